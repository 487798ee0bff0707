//! Gradients of what is repeated, against differences and the theorem.

use crate::differences::{check, graph};
use opledger_dims::{Activation, Binding};
use opledger_ir::ops::{Norm, Reduce, Source};
use opledger_ir::{Axis, GraphError, Scan, ScanValues};
use proptest::prelude::*;

fn sizes<const N: usize>(sizes: [(&str, usize); N]) -> Binding {
    Binding::from_iter(sizes)
}

fn axes<const N: usize>(names: [&str; N]) -> [Axis; N] {
    names.map(|name| Axis::new(name, name))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..Default::default() })]

    #[test]
    fn layers_with_parameters_of_their_own(l in 0..4_usize, seed in 0..1000_u64) {
        let g = graph(|g| {
            let mut x = g.param("x", Source::shift(), axes(["n", "c"]))?;
            let all = g.param("all", Source::shift(), axes(["c"]))?;
            let layers = g.repeated("layers", "l");
            let (w, gain) = {
                let mut g = g.enter(&layers);
                let w = g.param("w", Source::weight("c"), [Axis::new("f", "c"), Axis::new("c", "c")])?;
                (w, g.param("gain", Source::gain(), axes(["c"]))?)
            };
            x = g.repeat(&layers, x, |g, x| {
                let normed = g.norm(x, Norm::layer(0.1), Some(gain), None)?;
                let up = g.einsum("n c, f c -> n f", normed, w)?;
                let up = g.activation(up, Activation::Silu)?;
                let up = g.rename(up, "f", "c")?;
                // Of every layer: a value from outside.
                let up = g.mul("", up, all)?;
                g.add("", x, up)
            })?;
            g.mul("", x, all)
        });
        check(&g, &sizes([("l", l), ("n", 2), ("c", 3)]), seed);
    }

    #[test]
    fn stacks_that_enter_and_leave(l in 1..4_usize, reverse: bool, seed in 0..1000_u64) {
        let g = graph(|g| {
            let x = g.param("x", Source::shift(), axes(["l", "n"]))?;
            let start = g.param("start", Source::shift(), axes(["n"]))?;
            let decay = g.param("decay", Source::shift(), axes(["n"]))?;
            let steps = g.repeated("steps", "l");
            let scan = Scan { carried: vec![start], stacks: vec![x], reverse, ..Scan::default() };
            let done = g.scan(&steps, &scan, |g, at| -> Result<ScanValues, GraphError> {
                let less = g.mul("", at.carried[0], decay)?;
                let state = g.add("", less, at.stacked[0])?;
                let out = g.mul("", state, state)?;
                Ok(ScanValues { carried: vec![state], stacked: vec![out] })
            })?;
            let sum = g.reduce(done.stacked[0], Reduce::Sum("l".into()))?;
            match seed % 2 {
                0 => g.add("", sum, done.carried[0]),
                _ => Ok(sum),
            }
        });
        check(&g, &sizes([("l", l), ("n", 2)]), seed);
    }

    #[test]
    fn repetitions_in_repetitions(l in 1..3_usize, m in 1..4_usize, seed in 0..1000_u64) {
        let g = graph(|g| {
            let x = g.param("x", Source::shift(), axes(["m", "n"]))?;
            let all = g.param("all", Source::shift(), axes(["n"]))?;
            let start = g.input("start", axes(["n"]))?;
            let layers = g.repeated("layers", "l");
            let own = g.enter(&layers).param("own", Source::shift(), axes(["n"]))?;
            let steps = g.enter(&layers).repeated("steps", "m");
            let every = g.enter(&steps).param("every", Source::shift(), axes(["n"]))?;
            g.repeat(&layers, x, |g, x| {
                let before = g.mul("", x, own)?;
                let scan = Scan {
                    carried: vec![start],
                    stacks: vec![before],
                    axis: "m".into(),
                    ..Scan::default()
                };
                let done = g.scan(&steps, &scan, |g, at| -> Result<ScanValues, GraphError> {
                    let part = g.mul("", at.carried[0], every)?;
                    let part = g.mul("", part, own)?;
                    let state = g.add("", part, at.stacked[0])?;
                    let out = g.mul("", state, all)?;
                    Ok(ScanValues { carried: vec![state], stacked: vec![out] })
                })?;
                let after = g.activation(done.stacked[0], Activation::Tanh)?;
                g.add("", after, before)
            })
        });
        check(&g, &sizes([("l", l), ("m", m), ("n", 2)]), seed);
    }

    #[test]
    fn a_layer_that_is_applied_again_and_again(l in 1..4_usize, seed in 0..1000_u64) {
        let g = graph(|g| {
            let x = g.input("x", axes(["n", "c"]))?;
            let w = g.param("w", Source::weight("c"), [Axis::new("f", "c"), Axis::new("c", "c")])?;
            let layers = g.repeated("layers", "l");
            g.repeat(&layers, x, |g, x| {
                let up = g.einsum("n c, f c -> n f", x, w)?;
                let up = g.activation(up, Activation::Tanh)?;
                g.rename(up, "f", "c")
            })
        });
        check(&g, &sizes([("l", l), ("n", 2), ("c", 3)]), seed);
    }
}
