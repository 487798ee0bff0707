//! Proofs of attention: counts under every mask, values by hand, and the chain that defines it.

use super::*;
use crate::ops::proof::{evaluate, evaluate_at, prove};
use crate::ops::{Activation, ArithmeticKind, Einsum, IndexMap, Rearrange};
use crate::{Graph, IndexExpr, Mask, Masking, Scoring, Var};
use proptest::prelude::*;

const SIZES: [&str; 7] = ["b", "n", "m", "g", "r", "e", "f"];

struct Operands {
    q: Var,
    k: Var,
    v: Var,
    bias: Var,
    sinks: Var,
    keep: Var,
    pairs: Var,
    by_head: Var,
    apart: Var,
}

fn operands(g: &mut Graph) -> Operands {
    let heads = Axis::new("h", Poly::from("g") * Poly::from("r"));
    let axis = Axis::from;
    let places = [axis("n"), axis("m")].to_vec();
    Operands {
        q: g.input("q", [axis("b"), axis("n"), heads.clone(), axis("e")]).unwrap(),
        k: g.input("k", ["b", "m", "g", "e"]).unwrap(),
        v: g.input("v", ["b", "m", "g", "f"]).unwrap(),
        bias: g.input("bias", [heads.clone(), axis("n"), axis("m")]).unwrap(),
        sinks: g.input("sinks", [heads.clone()]).unwrap(),
        keep: g.input_mask("keep", ["b", "m"]).unwrap(),
        pairs: g.input_mask("pairs", [axis("n"), heads.clone(), axis("b"), axis("m")]).unwrap(),
        by_head: g.input_mask("by head", [heads, axis("m")]).unwrap(),
        apart: g.record("", apart(places), &[]).unwrap(),
    }
}

/// A mask of positions without a closed form: places whose numbers are not apart by a multiple of three.
fn apart(axes: Vec<Axis>) -> IndexMap {
    let [i, j] = [0, 1].map(IndexExpr::Position);
    let value = i.plus(&j.scaled(&Poly::from(2))).modulo(&3.into()).truth();
    IndexMap { axes, value, truth: true }
}

/// Attention as the chain that defines it: scores, scale, bias, softmax, context.
fn chain(g: &mut Graph, o: &Operands, mask: &Mask) -> [Var; 5] {
    let split =
        |axis: &str| Rearrange::Split { axis: axis.into(), into: vec!["g".into(), "r".into()] };
    let q = g.rearrange(o.q, split("h")).unwrap();
    let bias = g.rearrange(o.bias, split("h")).unwrap();
    let heads = Axis::new("h", Poly::from("g") * Poly::from("r"));
    let mut masked = g.masking(mask, &["b".into(), heads, "n".into(), "m".into()]);
    if let Some(keep) = masked.keep.filter(|keep| g.shape(*keep).position(&"h".into()).is_some()) {
        masked = Masking { keep: Some(g.rearrange(keep, split("h")).unwrap()), ..masked };
    }
    let over = |spec: &str| Einsum::parse(spec).unwrap().over(masked.masked.clone());
    let scores = over("b n g r e, b m g e -> b g r n m");
    let scores = g.record_masked("scores", scores, &[q, o.k], masked.keep).unwrap();
    let factor = Factor::InverseSqrt("e".into());
    let scaled = g.scale_masked(scores, factor, Some(masked.clone())).unwrap();
    let biased = g.add_masked("bias", scaled, bias, Some(masked.clone())).unwrap();
    let weights = g.softmax(biased, Some(masked.clone())).unwrap();
    let context = over("b g r n m, b m g f -> b n g r f");
    let context = g.record_masked("context", context, &[weights, o.v], masked.keep).unwrap();
    [scores, scaled, biased, weights, context]
}

fn masks(o: &Operands) -> [Mask; 15] {
    let keep = o.keep;
    [
        Mask::none(),
        Mask::causal(),
        Mask { offset: Some(Poly::from("m") - Poly::from("n")), ..Mask::none() },
        Mask::sliding(2),
        Mask::chunked(2),
        Mask { offset: Some(Poly::from("m") - Poly::from("n")), ..Mask::chunked(3) },
        Mask::none().keeping(keep),
        Mask::causal().keeping(keep),
        Mask::sliding(3).keeping(keep),
        Mask::chunked(3).keeping(keep),
        Mask::around(2),
        Mask::none().keeping(o.pairs),
        Mask::causal().keeping(o.by_head),
        Mask::none().keeping(o.apart),
        Mask::around(3).keeping(o.apart),
    ]
}

proptest! {
    #[test]
    fn counted_reference_equals_cost(
        b in 0..3_usize, n in 1..6_usize, m in 1..6_usize, g in 1..3_usize, r in 1..3_usize, e in 1..4_usize,
    ) {
        let mut graph = Graph::new();
        let o = operands(&mut graph);
        for mask in masks(&o) {
            let scale = Some(Factor::InverseSqrt("e".into()));
            graph.attention((o.q, o.k, o.v), mask.clone(), scale, Some(o.bias)).unwrap();
            graph.attention((o.q, o.k, o.v), mask.clone(), None, None).unwrap();
            chain(&mut graph, &o, &mask);
            for (soft_cap, sinks) in [(Some(2.0), None), (None, Some(o.sinks)), (Some(0.5), Some(o.sinks))] {
                let scale = Some(Factor::InverseSqrt("e".into()).into());
                let scoring = Scoring { scale, soft_cap, mask: mask.clone(), sinks, ..Scoring::default() };
                let biased = Scoring { bias: Some(o.bias), scale: None, ..scoring.clone() };
                graph.attention_by((o.q, o.k, o.v), scoring).unwrap();
                graph.attention_by((o.q, o.k, o.v), biased).unwrap();
            }
        }
        let sizes: Vec<(&str, usize)> = SIZES.into_iter().zip([b, n, m, g, r, e, 3]).collect();
        prove(&graph, &sizes);
    }
}

#[test]
fn the_cost_is_that_of_the_chain() {
    const PARTS: [Part; 5] = [Part::Scores, Part::Scale, Part::Bias, Part::Softmax, Part::Context];
    let all = masks(&operands(&mut Graph::new())).len();
    for i in 0..all {
        let cost_of = |fused: bool| {
            let mut g = Graph::new();
            let o = operands(&mut g);
            let mask = masks(&o)[i].clone();
            let parts = if fused {
                let scale = Some(Factor::InverseSqrt("e".into()));
                let y = g.attention((o.q, o.k, o.v), mask, scale, Some(o.bias)).unwrap();
                let cost = g.node_cost(g.node(y));
                PARTS.map(|part| cost.part(part))
            } else {
                chain(&mut g, &o, &mask).map(|var| g.node_cost(g.node(var)).total())
            };
            (parts, g.cost().total(), g.definitions().to_vec())
        };
        assert_eq!(cost_of(true), cost_of(false), "mask {i}");
    }
}

#[test]
fn causal_is_the_exact_triangle() {
    let mut g = Graph::new();
    let q = g.input("q", ["b", "n", "h", "e"]).unwrap();
    g.attention((q, q, q), Mask::causal(), None, None).unwrap();
    assert_eq!(g.cost().macs().to_string(), "b·n²·h·e + b·n·h·e");
    let mut g = Graph::new();
    let q = g.input("q", ["b", "n", "h", "e"]).unwrap();
    let k = g
        .input(
            "k",
            [
                Axis::from("b"),
                Axis::new("m", Poly::from("p") + Poly::from("n")),
                Axis::from("h"),
                Axis::from("e"),
            ],
        )
        .unwrap();
    let offset = Mask { offset: Some("p".into()), ..Mask::none() };
    g.attention((q, k, k), offset, None, None).unwrap();
    assert_eq!(g.cost().macs().to_string(), "2·b·n·h·e·p + b·n²·h·e + b·n·h·e");
}

#[test]
fn a_hidden_key_never_matters_and_a_blind_row_is_zero() {
    let mut g = Graph::new();
    let axes = [("n", 2), ("h", 1), ("e", 1)].map(Axis::from);
    let q = g.input("q", axes.clone()).unwrap();
    let v = g.input("v", axes).unwrap();
    let causal = g.attention((q, q, v), Mask::causal(), None, None).unwrap();
    let before = Mask { offset: Some((-1).into()), ..Mask::none() };
    let strict = g.attention((q, q, v), before, None, None).unwrap();
    let feeds: [(&str, &[f64]); 2] = [("q", &[1.0, f64::NAN]), ("v", &[5.0, f64::NAN])];
    assert_eq!(evaluate(&g, causal, &feeds)[0], 5.0);
    assert_eq!(evaluate(&g, strict, &feeds)[0], 0.0);
}

#[test]
fn a_row_of_minus_infinities_is_zero_and_one_of_least_floats_a_mean() {
    let mut g = Graph::new();
    let [n, m, h, e] = [("n", 2), ("m", 2), ("h", 1), ("e", 1)].map(Axis::from);
    let q = g.input("q", [n.clone(), h.clone(), e.clone()]).unwrap();
    let k = g.input("k", [m.clone(), h.clone(), e.clone()]).unwrap();
    let v = g.input("v", [m.clone(), h.clone(), e]).unwrap();
    let bias = g.input("bias", [h, n, m]).unwrap();
    let y = g.attention((q, k, v), Mask::none(), None, Some(bias)).unwrap();
    let (dark, least) = (f64::NEG_INFINITY, f64::from(f32::MIN));
    let of =
        |v: &[f64], bias: &[f64]| evaluate(&g, y, &[("q", &[1.0, 2.0]), ("v", v), ("bias", bias)]);
    assert_eq!(of(&[3.0, 5.0], &[dark, dark, least, least]), [0.0, 4.0]);
    assert_eq!(of(&[3.0, f64::INFINITY], &[dark, dark, dark, 0.0])[0], 0.0);
    assert_eq!(of(&[3.0, 5.0], &[dark, least, 0.0, dark]), [5.0, 3.0]);
}

/// Queries with one batch axis less or more than usual: a mask that hides every pair but the first key of the
/// first query, the second of the second, and so on, leaves the values themselves.
#[test]
fn a_mask_by_queries_finds_them_whatever_stands_before() {
    for outer in [&[][..], &["b"], &["b", "c"]] {
        let mut g = Graph::new();
        let [heads, width] = [("h", 2), ("e", 1)].map(Axis::from);
        let mut of = |name: &str, places: &str| {
            let outer = outer.iter().map(|axis| Axis::new(*axis, 2));
            let axes: Vec<Axis> =
                outer.chain([Axis::new(places, 3), heads.clone(), width.clone()]).collect();
            g.input(name, axes).unwrap()
        };
        let (q, k, v) = (of("q", "n"), of("k", "m"), of("v", "m"));
        let keep = g.input_mask("keep", [("n", 3), ("m", 3)]).unwrap();
        let y = g.attention((q, k, v), Mask::none().keeping(keep), None, None).unwrap();
        let numbers: Vec<f64> = (0..6 << outer.len()).map(f64::from).collect();
        let diagonal: Vec<f64> = (0..9).map(|at| f64::from(u8::from(at % 4 == 0))).collect();
        let feeds: [(&str, &[f64]); 4] =
            [("q", &numbers), ("k", &numbers), ("v", &numbers), ("keep", &diagonal)];
        assert_eq!(evaluate(&g, y, &feeds), numbers, "{outer:?}");
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let mut g = Graph::new();
    let q = g.input("q", ["b", "n", "h", "e"]).unwrap();
    let narrow = g.input("k", [("b", "b"), ("m", "m"), ("h", "h"), ("e", "z")]).unwrap();
    let error =
        g.attention((q, narrow, q), Mask::none(), None, None).unwrap_err().problem.to_string();
    assert_eq!(error, "axis `e` is e in one operand and z in another");
    let bias = g.input("bias", ["q", "n", "n'"]).unwrap();
    let error =
        g.attention((q, q, q), Mask::none(), None, Some(bias)).unwrap_err().problem.to_string();
    assert_eq!(error, "operand 0 has no axis `q`");
    let error = |g: &mut Graph, axes: &[&str]| {
        let keep = g.input_mask("keep", axes.iter().copied()).unwrap();
        let mask = Mask::none().keeping(keep);
        g.attention((q, q, q), mask, None, None).map_err(|error| error.problem.to_string())
    };
    assert!(error(&mut g, &["n"]).is_ok());
    assert!(error(&mut g, &["h", "n", "n'"]).is_ok());
    assert_eq!(error(&mut g, &["q", "n"]), Err("operand 0 has no axis `q`".to_owned()));
    assert_eq!(error(&mut g, &["e", "n"]), Err("operand 0 has no axis `e`".to_owned()));
    let other = "axis `n` is n in one operand and b in another".to_owned();
    assert_eq!(error(&mut g, &["b"]), Err(other));
    let sinks = g.input("sinks", ["n"]).unwrap();
    let scoring = Scoring { sinks: Some(sinks), ..Scoring::default() };
    let error = g.attention_by((q, q, q), scoring).unwrap_err().problem.to_string();
    assert_eq!(error, "axis `h` is h in one operand and n in another");
}

/// Attention with a soft cap over every pair, as the chain that defines it.
#[test]
fn a_soft_cap_is_a_quotient_a_tanh_and_a_product() {
    let mut g = Graph::new();
    let o = operands(&mut g);
    let [_, scaled, ..] = chain(&mut g, &o, &Mask::none());
    let cap = g.fill(Vec::<Axis>::new(), 1.5).unwrap();
    let x = g.arithmetic("", ArithmeticKind::Div, scaled, cap).unwrap();
    let x = g.activation(x, Activation::Tanh).unwrap();
    let capped = g.scale(x, Factor::Number(1.5)).unwrap();
    let weights = g.softmax(capped, None).unwrap();
    let context = g.einsum("b g r n m, b m g f -> b n g r f", weights, o.v).unwrap();
    let scale = Some(Factor::InverseSqrt("e".into()).into());
    let scoring = Scoring { scale, soft_cap: Some(1.5), ..Scoring::default() };
    let fused = g.attention_by((o.q, o.k, o.v), scoring).unwrap();
    let cost = |var: Var| g.node_cost(g.node(var)).total();
    let parts = g.node_cost(g.node(fused)).part(Part::SoftCap);
    let mut chained = g.node_cost(g.node(x)).total();
    chained += &cost(capped);
    chained += &cost(g.node(x).inputs[0]);
    assert_eq!(parts, chained);
    let sizes = SIZES.into_iter().zip([2, 3, 4, 2, 1, 2, 3]);
    let numbers = |seed: usize, len: usize| -> Vec<f64> {
        (0..len).map(|at| ((at * 7 + seed * 5) % 11) as f64 / 4.0 - 1.0).collect()
    };
    let (q, k, v) = (numbers(1, 24), numbers(2, 32), numbers(3, 48));
    let feeds: [(&str, &[f64]); 3] = [("q", &q), ("k", &k), ("v", &v)];
    let of = |var| evaluate_at(&g, var, &feeds, sizes.clone());
    for (x, y) in of(fused).into_iter().zip(of(context)) {
        assert!((x - y).abs() < 1e-12, "{x} for {y}");
    }
}

/// Scores that are divided by a number are those multiplied by its inverse, each at the cost of a division.
#[test]
fn a_scale_may_be_a_division() {
    let mut g = Graph::new();
    let o = operands(&mut g);
    let mut scaled = |scale: Scaling| {
        let scoring = Scoring { scale: Some(scale), ..Scoring::default() };
        g.attention_by((o.q, o.k, o.v), scoring).unwrap()
    };
    let divided = scaled(Scaling::Over(4.0));
    let multiplied = scaled(Factor::Number(0.25).into());
    let pairs = Poly::from("b") * Poly::from("g") * Poly::from("r") * Poly::from("n");
    let pairs = pairs * Poly::from("m");
    for (var, class) in [(divided, Class::Div), (multiplied, Class::Mul)] {
        let expected = Counts::zero().with(class, pairs.clone());
        assert_eq!(g.node_cost(g.node(var)).part(Part::Scale), expected);
    }
    let sizes = SIZES.into_iter().zip([2, 3, 4, 2, 1, 2, 3]);
    prove(&g, &sizes.clone().collect::<Vec<_>>());
    let numbers = |seed: usize, len: usize| -> Vec<f64> {
        (0..len).map(|at| ((at * 7 + seed * 5) % 11) as f64 / 4.0 - 1.0).collect()
    };
    let (q, k, v) = (numbers(1, 24), numbers(2, 32), numbers(3, 48));
    let feeds: [(&str, &[f64]); 3] = [("q", &q), ("k", &k), ("v", &v)];
    let of = |var| evaluate_at(&g, var, &feeds, sizes.clone());
    assert_eq!(of(divided), of(multiplied));
}

/// By hand: scores 0 and ln 2 beside a sink of ln 3, so weights of 1/6 and 2/6.
#[test]
fn a_sink_takes_its_weight_and_gives_nothing() {
    let mut g = Graph::new();
    let axes = |n: &str, size: u64| [Axis::new(n, size), Axis::new("h", 1), Axis::new("e", 1)];
    let q = g.input("q", axes("n", 1)).unwrap();
    let [k, v] = ["k", "v"].map(|name| g.input(name, axes("m", 2)).unwrap());
    let sinks = g.input("sinks", [("h", 1)]).unwrap();
    let scoring = Scoring { sinks: Some(sinks), ..Scoring::default() };
    let y = g.attention_by((q, k, v), scoring).unwrap();
    let of = |k: &[f64], v: &[f64], sink: f64| {
        evaluate(&g, y, &[("q", &[1.0]), ("k", k), ("v", v), ("sinks", &[sink])])[0]
    };
    let (dark, two, three) = (f64::NEG_INFINITY, 2.0_f64.ln(), 3.0_f64.ln());
    assert!((of(&[0.0, two], &[6.0, 12.0], three) - 5.0).abs() < 1e-12);
    assert!((of(&[0.0, two], &[3.0, 6.0], dark) - 5.0).abs() < 1e-12);
    assert_eq!(of(&[dark, dark], &[3.0, f64::INFINITY], three), 0.0);
    assert_eq!(of(&[0.0, two], &[3.0, 6.0], 1e6), 0.0);
}

/// Pairs of a mask of positions are known as soon as its sizes are.
#[test]
fn a_mask_of_positions_is_counted_from_its_sizes() {
    let mut g = Graph::new();
    let o = operands(&mut g);
    g.attention((o.q, o.k, o.v), Mask::none().keeping(o.apart), None, None).unwrap();
    let mut free: Vec<String> = g.symbols().iter().map(ToString::to_string).collect();
    free.sort_unstable();
    assert_eq!(free, ["b", "e", "f", "g", "m", "n", "r"]);
    for (n, m) in [(0, 3), (1, 1), (4, 7), (9, 2)] {
        let sizes = SIZES.into_iter().zip([2, n, m, 1, 3, 1, 1]);
        let shown = |i: i64| (0..m).filter(|j| (i + 2 * j) % 3 != 0).count();
        let pairs: usize = (0..n).map(shown).sum();
        let binding = Binding::from_iter(sizes);
        let counts = g.counts_at(&binding).unwrap();
        assert_eq!(counts[Class::Exp], (pairs * 6).into(), "{n} {m}");
    }
    let many = Binding::from_iter(SIZES.into_iter().zip([2, 100_000, 100_000, 1, 3, 1, 1]));
    let error = g.complete(&many).unwrap_err().to_string();
    assert!(error.contains("10000000000 truth values of a mask"), "{error}");
    g.complete(&many.with("pairs", 10).with("rows", 5)).unwrap();
}
