//! Values of both interpreters where scores are −∞ or at the ends of their range.

use super::*;
use opledger_ir::ops::Einsum;
use opledger_tensor::Tensor;

/// What a row of a bias is made of.
const KINDS: usize = 7;

/// A bias of some rows, each of one kind or of all: ordinary numbers, −∞, the least float, −10⁴ and
/// numbers that swallow any score.
fn bias(rows: usize, keys: usize, mut draw: impl FnMut(usize) -> usize) -> Vec<f32> {
    let mut bias = Vec::with_capacity(rows * keys);
    for _ in 0..rows {
        let kind = draw(KINDS + 3);
        for _ in 0..keys {
            let kind = if kind < KINDS { kind } else { draw(KINDS) };
            let ordinary = draw(200) as f32 / 100.0 - 1.0;
            bias.push(match kind {
                0 => ordinary,
                1 => f32::NEG_INFINITY,
                2 => f32::MIN,
                3 => -1e4,
                4 => 1e30,
                5 => 1e4,
                _ => f32::MAX,
            });
        }
    }
    bias
}

/// Attention fused, and as the chain that defines it, under every mask.
fn graph() -> Graph {
    let mut g = Graph::new();
    let q = g.input("q", ["b", "n", "h", "e"]).unwrap();
    let k = g.input("k", ["b", "m", "h", "e"]).unwrap();
    let v = g.input("v", ["b", "m", "h", "f"]).unwrap();
    let by_head = g.input_mask("by head", ["h", "m"]).unwrap();
    let pairs = g.input_mask("pairs", ["b", "h", "n", "m"]).unwrap();
    let keep = g.input_mask("keep", ["b", "m"]).unwrap();
    let bias = g.input("bias", ["b", "h", "n", "m"]).unwrap();
    let scores = g.einsum("b n h e, b m h e -> b h n m", q, k).unwrap();
    let plain = g.add("", scores, bias).unwrap();
    let weights = g.softmax(plain, None).unwrap();
    g.output("unmasked weights", weights);
    for (i, mask) in [
        Mask::none(),
        Mask::causal(),
        Mask { offset: Some("m".into()), ..Mask::none() },
        Mask { offset: Some((-2).into()), ..Mask::none() },
        Mask::sliding(3),
        Mask::none().keeping(keep),
        Mask::sliding(4).keeping(keep),
        Mask::around(2).keeping(by_head),
        Mask::none().keeping(pairs),
    ]
    .into_iter()
    .enumerate()
    {
        let scale = Some(Factor::InverseSqrt("e".into()));
        let y = g.attention((q, k, v), mask.clone(), scale, Some(bias)).unwrap();
        g.output(&format!("fused {i}"), y);
        let masked = g.masking(&mask, &["b", "h", "n", "m"].map(Axis::from));
        let over = |spec: &str| Einsum::parse(spec).unwrap().over(masked.masked.clone());
        let scores = over("b n h e, b m h e -> b h n m");
        let scores = g.record_masked("", scores, &[q, k], masked.keep).unwrap();
        let factor = Factor::InverseSqrt("e".into());
        let scaled = g.scale_masked(scores, factor, Some(masked.clone())).unwrap();
        let biased = g.add_masked("", scaled, bias, Some(masked.clone())).unwrap();
        let weights = g.softmax(biased, Some(masked.clone())).unwrap();
        let context = over("b h n m, b m h f -> b n h f");
        let y = g.record_masked("", context, &[weights, v], masked.keep).unwrap();
        g.output(&format!("weights {i}"), weights);
        g.output(&format!("chain {i}"), y);
    }
    g
}

/// How far a value may be off: a sum with ±10⁴ is rounded to 10⁻³, and a weight by as much.
const BOUND: f64 = 2e-3;

fn check(g: &Graph, sizes: [usize; 4], seed: u64) {
    let [b, h, n, m] = sizes;
    let at = [("b", b), ("h", h), ("n", n), ("m", m), ("e", 5), ("f", 3)];
    let mut state = seed;
    let mut draw = |below: usize| {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (state >> 33) as usize % below
    };
    let bias = Tensor::new(&[b, h, n, m], bias(b * h * n, m, &mut draw)).unwrap();
    let (at, feeds) = (Binding::from_iter(at), Feeds::seeded(seed).with("bias", bias));
    let proof = prove(g, &at, &feeds).unwrap();
    assert!(proof.theorem.holds(), "{}", proof.theorem.mismatches[0]);
    let exact = Oracle::<f64>::new().run(g, &at, &feeds).unwrap();
    for (name, value) in &proof.fast.outputs {
        let (exact, single) = (exact.output(name).unwrap(), proof.oracle.output(name).unwrap());
        let kernels = value.real().unwrap().data();
        for ((x, single), exact) in kernels.iter().zip(single).zip(exact) {
            let (x, single) = (f64::from(*x), f64::from(single.0));
            assert!((x - exact.0).abs() <= BOUND, "{name} of {sizes:?}: {x} for {}", exact.0);
            let off = (single - exact.0).abs();
            assert!(off <= BOUND, "{name} of {sizes:?}: {single} for {} in f64", exact.0);
        }
    }
}

#[test]
fn both_interpreters_give_the_same_values() {
    let g = graph();
    for seed in 0..60 {
        let of =
            |multiple: u64, least: usize, below: u64| least + (seed * multiple % below) as usize;
        check(&g, [of(1, 1, 2), of(5, 1, 3), of(7, 1, 12), of(11, 1, 39)], seed);
    }
}

#[test]
fn tiles_and_chunks_of_keys_agree_too() {
    for (i, sizes) in [[1, 1, 40, 600], [1, 2, 1, 5000], [2, 1, 130, 70]].into_iter().enumerate() {
        check(&graph(), sizes, 11 + i as u64);
    }
}

/// Scores that overflow to −∞ without any bias: alone in its row, such a score gives zeros.
#[test]
fn a_row_whose_only_score_overflows_is_zero() {
    let mut g = Graph::new();
    let [q, k] = ["q", "k"].map(|name| g.input(name, ["n", "h", "e"]).unwrap());
    let y = g.attention((q, k, q), Mask::causal(), None, None).unwrap();
    g.output("y", y);
    let tensor = |x: [f32; 4]| Tensor::new(&[2, 1, 2], x.to_vec()).unwrap();
    let feeds = Feeds::seeded(1)
        .with("q", tensor([1e20, 1e20, 1.0, 1.0]))
        .with("k", tensor([-1e20, -1e20, -1.0, -1.0]));
    let proof = prove(&g, &Binding::from_iter([("n", 2), ("h", 1), ("e", 2)]), &feeds).unwrap();
    assert!(proof.theorem.holds(), "{}", proof.theorem.mismatches[0]);
    let kernels: Vec<f32> = proof.fast.output("y").unwrap().iter().copied().collect();
    let oracle: Vec<f32> = proof.oracle.output("y").unwrap().iter().map(|y| y.0).collect();
    assert_eq!((kernels, oracle), (vec![0.0, 0.0, 1.0, 1.0], vec![0.0, 0.0, 1.0, 1.0]));
}
