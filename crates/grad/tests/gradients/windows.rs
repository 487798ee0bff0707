//! Rules of what slides along axes, against differences.

use crate::differences::checked;
use opledger_dims::Poly;
use opledger_ir::Axis;
use opledger_ir::ops::{Convolution, ConvolutionTransposed, Pool, PoolKind, Source};
use proptest::prelude::*;

/// Stride, taps, padding and dilation along an axis, and how much longer than its window the input is.
type Along = (usize, usize, (usize, usize), usize, usize);

fn along() -> impl Strategy<Value = Vec<Along>> {
    let one = (1..4_usize, 1..4_usize, (0..3_usize, 0..3_usize), 1..4_usize, 0..4_usize);
    prop::collection::vec(one, 1..3)
}

const NAMES: [[&str; 3]; 2] = [["s", "k", "r"], ["s1", "k1", "r1"]];

/// Input and results along an axis, at least one of each.
fn sizes((stride, taps, padding, dilation, more): Along) -> [usize; 2] {
    let window = (taps - 1) * dilation + 1;
    let input = window.saturating_sub(padding.0 + padding.1).max(1) + more;
    [input, (input + padding.0 + padding.1 - window) / stride + 1]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..Default::default() })]

    #[test]
    fn convolutions_agree_with_differences(
        [b, o, i, groups] in [1..3_usize, 1..3, 1..3, 1..3], axes in along(), transposed: bool,
        seed in 0..1000_u64,
    ) {
        // A window that lies on padding alone leaves no input to slide along.
        prop_assume!(axes.iter().all(|(_, taps, padding, dilation, _)| padding.0 <= (taps - 1) * dilation));
        checked(seed, |g| {
            let (mut long, mut short, mut taps) = (vec![], vec![], vec![]);
            let (mut strides, mut padding, mut dilations) = (vec![], vec![], vec![]);
            for (one, [s, k, r]) in axes.iter().copied().zip(NAMES) {
                let [input, results] = sizes(one);
                long.push(Axis::from((s, input)));
                taps.push(Axis::from((k, one.1)));
                short.push(Axis::from((r, results)));
                strides.push(one.0);
                padding.push(one.2);
                dilations.push(one.3);
            }
            let first = |c: (&str, usize), rest: &[Axis]| {
                [&[Axis::from(("b", b)), Axis::from(c)], rest].concat()
            };
            let (inputs, outputs) = (("i", i * groups), ("o", o * groups));
            let y = if transposed {
                let x = g.param("x", Source::shift(), first(inputs, &short))?;
                let weight = [&[Axis::from(inputs), Axis::from(("oo", o))], &taps[..]].concat();
                let w = g.param("w", Source::shift(), weight)?;
                let result = first(outputs, &long);
                let op =
                    ConvolutionTransposed::new(result, &strides, &padding, &dilations, groups);
                match g.convolution_transposed("", x, w, op) {
                    Ok(y) => y,
                    // The input is longer than these windows reach.
                    Err(_) => return g.mul("", x, x),
                }
            } else {
                let x = g.param("x", Source::shift(), first(inputs, &long))?;
                let weight = [&[Axis::from(outputs), Axis::from(("ii", i))], &taps[..]].concat();
                let w = g.param("w", Source::shift(), weight)?;
                let op = Convolution::new(
                    first(outputs, &short), &strides, &padding, &dilations, Poly::from(groups),
                );
                g.convolution("", x, w, op)?
            };
            g.mul("", y, y)
        });
    }

    #[test]
    fn pools_agree_with_differences(
        b in 1..3_usize, axes in along(), seed in 0..1000_u64, which in 0..3_usize,
    ) {
        // Every window meets the input.
        let axes: Vec<Along> = axes
            .into_iter()
            .map(|(stride, taps, padding, dilation, more)| {
                let most = (taps - 1) * dilation;
                (stride, taps, (padding.0.min(most), padding.1.min(most)), dilation, more)
            })
            .collect();
        prop_assume!(axes.iter().all(|one| {
            let [input, results] = sizes(*one);
            (0..results).all(|at| {
                let place = |tap: usize| (at * one.0 + tap * one.3) as i64 - one.2.0 as i64;
                (0..one.1).any(|tap| (0..input as i64).contains(&place(tap)))
            })
        }));
        let kind = [PoolKind::Max, PoolKind::Mean, PoolKind::MeanWithPadding][which];
        checked(seed, |g| {
            let (mut long, mut short) = (vec![Axis::from(("b", b))], vec![Axis::from(("b", b))]);
            for (one, [s, _, r]) in axes.iter().copied().zip(NAMES) {
                let [input, results] = sizes(one);
                long.push(Axis::from((s, input)));
                short.push(Axis::from((r, results)));
            }
            let of = |each: fn(&Along) -> usize| axes.iter().map(each).collect::<Vec<_>>();
            let padding: Vec<_> = axes.iter().map(|one| one.2).collect();
            let x = g.param("x", Source::shift(), long)?;
            let x = crate::further::apart(g, x)?;
            let pool = Pool::new(kind, short, &of(|one| one.1), &of(|one| one.0), &padding);
            let pool = Pool { dilations: of(|one| one.3), ..pool };
            let y = g.pool(x, pool)?;
            g.mul("", y, y)
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..Default::default() })]

    #[test]
    fn pools_to_a_number_of_results_agree_with_differences(
        b in 1..3_usize, axes in prop::collection::vec((1..7_usize, 1..5_usize), 1..3), max: bool,
        free: bool, seed in 0..1000_u64,
    ) {
        let kind = if max { PoolKind::Max } else { PoolKind::Mean };
        let mut sizes = vec![("b", b)];
        let [mut long, mut short] = [vec![Axis::from("b")], vec![Axis::from("b")]];
        for ((input, results), [s, _, r]) in axes.into_iter().zip(NAMES) {
            for (axes, name, size) in [(&mut long, s, input), (&mut short, r, results)] {
                axes.push(if free { Axis::from(name) } else { Axis::from((name, size)) });
                sizes.extend(free.then_some((name, size)));
            }
        }
        let g = crate::differences::graph(|g| {
            let x = g.param("x", Source::shift(), long.clone())?;
            let x = crate::further::apart(g, x)?;
            let y = g.adaptive_pool(x, kind, 1, short.clone())?;
            g.mul("", y, y)
        });
        crate::differences::check(&g, &opledger_dims::Binding::from_iter(sizes), seed);
    }
}

/// Sizes that are no numbers, as a stem has them, and as many groups as there are channels.
#[test]
fn a_convolution_of_any_size_agrees_with_differences() {
    let g = crate::differences::graph(|g| {
        let x = g.param("x", Source::shift(), ["b", "c", "n"])?;
        let axes = [Axis::from("c"), Axis::from(("i", 1)), Axis::from(("k", 4))];
        let w = g.param("w", Source::shift(), axes)?;
        let axes = ["b", "c", "n"].map(Axis::from);
        let y = g.convolution("", x, w, Convolution::new(axes, &[1], &[(3, 0)], &[1], "c"))?;
        let axes = [Axis::from("o"), Axis::from("c"), Axis::from(("k", 2))];
        let stem = g.param("stem", Source::shift(), axes)?;
        let half: Poly = "half".into();
        let axes = [Axis::from("b"), Axis::from("o"), Axis::new("r", half)];
        g.convolution("", y, stem, Convolution::new(axes, &[2], &[(0, 0)], &[1], 1))
    });
    let sizes = [("b", 2), ("c", 3), ("n", 5), ("o", 2), ("half", 2)];
    crate::differences::check(&g, &opledger_dims::Binding::from_iter(sizes), 3);
}

/// The gradient of a depthwise convolution costs twice the convolution: no other channel is met.
#[test]
fn gradients_of_convolutions_cost_what_their_pairs_do() {
    let g = crate::differences::graph(|g| {
        let x = g.param("x", Source::shift(), ["b", "c", "n"])?;
        let axes = [Axis::from("c"), Axis::from(("i", 1)), Axis::from(("k", 4))];
        let w = g.param("w", Source::shift(), axes)?;
        let axes = ["b", "c", "n"].map(Axis::from);
        g.convolution("", x, w, Convolution::new(axes, &[1], &[(3, 0)], &[1], "c"))
    });
    let step = opledger_grad::backward(&g, "y").unwrap();
    let sizes = opledger_dims::Binding::from_iter([("b", 2), ("c", 3), ("n", 9)]);
    let macs = |g: &opledger_ir::Graph| {
        let sizes = g.complete(&sizes).unwrap();
        g.cost().total()[opledger_dims::Class::Mul].at(&sizes).unwrap()
    };
    assert_eq!(macs(&step), macs(&g) * 3u32);
}
