//! Random windows that slide along axes: derived cost = the oracle's count = the kernels' useful count,
//! and the kernels' values are those of textbook loops, exactly, on dyadic data.

use opledger_dims::{Binding, Poly};
use opledger_interp::{Feeds, prove};
use opledger_ir::ops::{Convolution, Pool, PoolKind, Source};
use opledger_ir::{Axis, Graph};
use proptest::prelude::*;

/// Along one axis: taps, stride, padding before and after, dilation, positions beyond the window.
type Drawn = (usize, usize, (usize, usize), usize, usize);

fn drawn() -> impl Strategy<Value = Drawn> {
    (1..5_usize, 1..4_usize, (0..4_usize, 0..4_usize), 1..4_usize, 0..9_usize)
}

/// The axes of input, weight and result, as numbers or as free sizes with their values.
struct Axes {
    input: Vec<Axis>,
    taps: Vec<Axis>,
    result: Vec<Axis>,
    values: Vec<(&'static str, usize)>,
    slides: [Vec<usize>; 2],
    padding: Vec<(usize, usize)>,
}

/// Windows that lie on the padded input; with `met`, each on some of the input.
fn axes(drawn: &[Drawn], free: bool, met: bool) -> Axes {
    let names = [["s", "k", "r"], ["t", "l", "q"], ["u", "m", "p"]];
    let (mut input, mut taps, mut result, mut values) = (vec![], vec![], vec![], vec![]);
    let (mut slides, mut all_padding) = ([vec![], vec![]], vec![]);
    for ((k, stride, padding, dilation, more), [s, t, r]) in drawn.iter().copied().zip(names) {
        let reach = (k - 1) * dilation + 1;
        let padding = match met {
            true => (padding.0.min(k - 1), padding.1.min(k - 1)),
            false => padding,
        };
        let least = if met { reach } else { reach.saturating_sub(padding.0 + padding.1).max(1) };
        let size = least + more;
        let results = (size + padding.0 + padding.1 - reach) / stride + 1;
        for (axes, name, size) in
            [(&mut input, s, size), (&mut taps, t, k), (&mut result, r, results)]
        {
            axes.push(if free { Axis::from(name) } else { Axis::new(name, size) });
            values.extend(free.then_some((name, size)));
        }
        slides[0].push(stride);
        slides[1].push(dilation);
        all_padding.push(padding);
    }
    Axes { input, taps, result, values, slides, padding: all_padding }
}

/// Asserts that the graph is rebuilt, the theorem and, to the bit where sums are exact, the values.
fn check(g: &Graph, values: Vec<(&'static str, usize)>, exact: bool) {
    let rebuilt = g.rebuild(|to, node, operands| to.copy(node, operands)).unwrap();
    assert_eq!(rebuilt.to_string(), g.to_string());
    let binding = Binding::from_iter(values);
    let proof = prove(g, &binding, &Feeds::seeded(3).dyadic()).unwrap();
    assert!(proof.theorem.holds(), "{g}\nat {binding}: {}", proof.theorem.mismatches[0]);
    for (name, _) in g.outputs() {
        let (fast, oracle) = (proof.fast.output(name).unwrap(), proof.oracle.output(name).unwrap());
        let close = |(x, y): (&f32, f32)| *x == y || !exact && (x - y).abs() < 1e-6;
        let equal = fast.iter().zip(oracle.iter().map(|y| y.0)).all(close);
        assert!(equal, "{g}\nat {binding}: {name} is not what textbook loops give");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn convolutions(
        [items, inputs, groups] in [0..3_usize, 1..5, 1..4],
        outputs in prop_oneof![1..7_usize, 30..40_usize],
        drawn in prop::collection::vec(drawn(), 1..4),
        free: bool,
    ) {
        let Axes { input, taps, result, mut values, slides: [strides, dilations], padding } =
            axes(&drawn, free, false);
        values.push(("b", items));
        let all = Axis::new("c", Poly::from(inputs * groups));
        let of_group = Axis::new("i", inputs);
        let out = Axis::new("o", outputs * groups);
        let mut g = Graph::new();
        let x = g.input("x", [vec![Axis::from("b"), all], input].concat()).unwrap();
        let weight = [vec![out.clone(), of_group], taps].concat();
        let weight = g.param("weight", Source::weight(inputs), weight).unwrap();
        let result = [vec![Axis::from("b"), out], result].concat();
        let op = Convolution::new(result, &strides, &padding, &dilations, groups);
        let y = g.convolution("", x, weight, op).unwrap();
        g.output("y", y);
        check(&g, values, true);
    }

    #[test]
    fn pools(
        items in 0..4_usize,
        drawn in prop::collection::vec(drawn(), 1..4),
        free: bool,
    ) {
        let Axes { input, result, mut values, slides: [strides, dilations], padding, .. } =
            axes(&drawn, free, true);
        // The window of a pool is of numbers.
        let window: Vec<usize> = drawn.iter().map(|(taps, ..)| *taps).collect();
        values.retain(|(name, _)| !["k", "l", "m"].contains(name));
        values.push(("b", items));
        let mut g = Graph::new();
        let x = g.input("x", [vec![Axis::from("b")], input].concat()).unwrap();
        for kind in [PoolKind::Max, PoolKind::Mean, PoolKind::MeanWithPadding] {
            let result = [vec![Axis::from("b")], result.clone()].concat();
            let pool = Pool::new(kind, result, &window, &strides, &padding);
            let y = g.pool(x, Pool { dilations: dilations.clone(), ..pool }).unwrap();
            g.output(&format!("{kind:?}"), y);
        }
        check(&g, values, false);
    }
}
