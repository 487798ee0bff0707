//! Rules of functions in pieces, of norms over several axes and of places, against differences.

use crate::differences::{Made, checked, graph, param};
use opledger_grad::backward;
use opledger_interp::{Feeds, Oracle, Prepared, Quiet};
use opledger_ir::ops::{
    ArithmeticKind, CompareKind, IndexMap, Norm, NormKind, Pointwise, Reduce, ScatterKind,
};
use opledger_ir::{Axis, Graph, IndexExpr, Var};
use opledger_tensor::Tensor;
use proptest::prelude::*;

/// Numbers that stand as far apart as differences need: those of a parameter, to which their places are
/// added, every other one being negative.
pub(crate) fn apart(g: &mut Graph, x: Var) -> Made {
    let axes = g.shape(x).axes.clone();
    let place = |value: IndexExpr| IndexMap { axes: axes.clone(), value, truth: false };
    let mut flat = IndexExpr::from(1);
    for (at, axis) in axes.iter().enumerate() {
        flat = flat.scaled(&axis.size).plus(&IndexExpr::Position(at));
    }
    let odd = flat.modulo(&IndexExpr::from(2)).scaled(&2.into()).minus(&IndexExpr::from(1));
    let whole = g.record("", place(flat.times(&odd)), &[])?;
    let steps = g.to_real(whole)?;
    let steps = g.scale(steps, opledger_ir::ops::Factor::Number(0.5))?;
    let small = g.scale(x, opledger_ir::ops::Factor::Number(0.125))?;
    g.add("", small, steps)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..Default::default() })]

    #[test]
    fn functions_in_pieces_agree_with_differences(n in 1..9_usize, seed in 0..1000_u64) {
        let functions = [
            Pointwise::Tan,
            Pointwise::Clamp { min: Some(-0.7), max: Some(1.2) },
            Pointwise::Clamp { min: None, max: Some(0.3) },
            Pointwise::Clamp { min: Some(0.2), max: None },
            Pointwise::LeakyRelu(0.1),
            Pointwise::Elu(1.3),
            Pointwise::Celu(0.7),
            Pointwise::Selu,
            Pointwise::HardSigmoid,
            Pointwise::HardSwish,
            Pointwise::Mish,
            Pointwise::Softsign,
        ];
        for function in functions {
            checked(seed, |g| {
                let x = param(g, "x", [("n", n)])?;
                let x = match function {
                    // No pole lies near.
                    Pointwise::Tan => x,
                    _ => apart(g, x)?,
                };
                g.pointwise(x, function)
            });
        }
    }

    #[test]
    fn extremes_and_powers_agree_with_differences(
        n in 1..4_usize, c in 1..4_usize, seed in 0..1000_u64,
    ) {
        for kind in [ArithmeticKind::Max, ArithmeticKind::Min] {
            checked(seed, |g| {
                let a = param(g, "a", [("n", n), ("c", c)])?;
                let a = apart(g, a)?;
                let b = param(g, "b", [("c", c)])?;
                let b = g.scale(b, opledger_ir::ops::Factor::Number(0.0625))?;
                g.arithmetic("", kind, a, b)
            });
        }
        checked(seed, |g| {
            let a = param(g, "a", [("n", n), ("c", c)])?;
            let a = g.mul("", a, a)?;
            let a = g.pointwise(a, Pointwise::Shift(0.5))?;
            let b = param(g, "b", [("n", n)])?;
            g.arithmetic("", ArithmeticKind::Pow, a, b)
        });
        for axis in ["n", "c"] {
            checked(seed, |g| {
                let x = param(g, "x", [("n", n), ("c", c)])?;
                let x = apart(g, x)?;
                g.reduce(x, Reduce::Max(axis.into()))
            });
            checked(seed, |g| {
                let x = param(g, "x", [("n", n), ("c", c)])?;
                let square = g.mul("", x, x)?;
                g.cumulative(square, axis)
            });
        }
    }

    #[test]
    fn norms_over_several_axes_agree_with_differences(
        [b, h, e, n] in [1..3_usize, 1..4, 1..4, 1..4], seed in 0..1000_u64,
    ) {
        differences_of_norms([b, h, e, n], seed);
    }

    #[test]
    fn experts_agree_with_differences(
        [b, n, k, e] in [1..3_usize, 1..4, 1..4, 1..4], [f, c] in [1..4_usize, 1..4],
        seed in 0..1000_u64,
    ) {
        checked(seed, |g| {
            let x = param(g, "x", [("b", b), ("n", n), ("c", c)])?;
            let ids = g.input_ids("ids", [("b", b), ("n", n), ("k", k)], e as i64)?;
            let up = param(g, "up", [("x", e), ("f", f), ("c", c)])?;
            let down = param(g, "down", [("x", e), ("c", c), ("f", f)])?;
            let inner = g.experts("", x, ids, up)?;
            let inner = g.activation(inner, opledger_dims::Activation::Tanh)?;
            let outer = g.experts("", inner, ids, down)?;
            g.mul("", outer, outer)
        });
    }

    /// Scores, the choice of experts by a bias that none of their weights has, and weights of the chosen.
    #[test]
    fn routing_agrees_with_differences(
        [n, k] in [1..4_usize, 1..4], sigmoid: bool, seed in 0..1000_u64,
    ) {
        checked(seed, |g| {
            let x = param(g, "x", [("n", n), ("x", 4)])?;
            let bias = g.input("bias", [("x", 4)])?;
            let bias = apart(g, bias)?;
            let bias = g.scale(bias, opledger_ir::ops::Factor::Number(64.0))?;
            let scores = match sigmoid {
                true => g.activation(x, opledger_dims::Activation::Sigmoid)?,
                false => g.softmax(x, None)?,
            };
            let biased = g.add("", scores, bias)?;
            let ids = g.top_k(biased, ("k", k))?;
            let weights = g.gather(scores, ids)?;
            // Normed twice, the gradients of a row would add up to rounding alone.
            let share = match sigmoid {
                true => {
                    let sum = g.reduce(weights, Reduce::Sum("k".into()))?;
                    g.div("", weights, sum)?
                }
                false => weights,
            };
            g.mul("", share, share)
        });
    }

    #[test]
    fn places_agree_with_differences(
        [n, x, k] in [1..4_usize, 1..5, 1..5], seed in 0..1000_u64,
    ) {
        checked(seed, |g| {
            let scores = param(g, "scores", [("n", n), ("x", x)])?;
            let ids = g.input_ids("ids", [("n", n), ("k", k)], x as i64)?;
            let chosen = g.gather(scores, ids)?;
            g.mul("", chosen, chosen)
        });
        checked(seed, |g| {
            let of = param(g, "of", [("x", x), ("n", n), ("y", 3)])?;
            let first = g.input_ids("first", [("k", k)], x as i64)?;
            let second = g.input_ids("second", [("n", n), ("k", k)], 3)?;
            let axes = [("k", k), ("n", n)];
            let chosen = g.gather_nd(of, axes, &[("x", first), ("y", second)])?;
            g.mul("", chosen, chosen)
        });
        for kind in [ScatterKind::Write, ScatterKind::Add, ScatterKind::Max] {
            checked(seed, |g| {
                let to = param(g, "to", [("x", x), ("n", n), ("y", 3)])?;
                let to = apart(g, to)?;
                let v = param(g, "v", [("k", k), ("n", n)])?;
                let v = apart(g, v)?;
                let v = g.scale(v, opledger_ir::ops::Factor::Number(1.25))?;
                let first = g.input_ids("first", [("k", k)], x as i64)?;
                let second = g.input_ids("second", [("n", n), ("k", k)], 3)?;
                let written = g.scatter(kind, to, v, &[("x", first), ("y", second)])?;
                g.mul("", written, written)
            });
        }
    }
}

/// The gradient of each parameter, that of `y` being 1 everywhere.
fn gradients(
    record: impl Fn(&mut Graph) -> Made,
    feeds: &[(&str, &[usize], &[f32])],
) -> Vec<(String, Vec<f64>)> {
    let step = backward(&graph(record), "y").unwrap();
    let seed = step.vars().find(|var| step.node(*var).path == "gradient").unwrap();
    let size = |axis: &Axis| usize::try_from(axis.size.as_integer().unwrap()).unwrap();
    let shape: Vec<usize> = step.shape(seed).axes.iter().map(size).collect();
    let ones = vec![1.0; shape.iter().product()];
    let feeds = feeds.iter().fold(Feeds::seeded(1), |all, (name, shape, data)| {
        all.with(name, Tensor::new(shape, data.to_vec()).unwrap())
    });
    let feeds = feeds.with("gradient", Tensor::new(&shape, ones).unwrap());
    let prepared = Prepared::new(&step, &Default::default(), &feeds).unwrap();
    let run = prepared.run(&mut Oracle::<f64>::new(), &mut Quiet).unwrap();
    let gradient = |(name, value): &(String, opledger_ir::Value<opledger_dims::Counted<f64>>)| {
        use opledger_dims::Scalar;
        let name = name.strip_prefix("gradient.")?.to_owned();
        Some((name, value.real()?.data().iter().map(|x| x.to_f64()).collect()))
    };
    run.outputs.iter().filter_map(gradient).collect()
}

fn one(function: Pointwise, x: &[f32]) -> Vec<f64> {
    let n = x.len();
    let record = |g: &mut Graph| {
        let x = param(g, "x", [("n", n)])?;
        g.pointwise(x, function)
    };
    gradients(record, &[("x", &[n], x)]).remove(0).1
}

/// At their bends, as autograd of PyTorch 2.15 has them.
#[test]
fn bends_are_those_of_autograd() {
    let clamp = Pointwise::Clamp { min: Some(-1.0), max: Some(2.0) };
    assert_eq!(one(clamp, &[-1.0, 2.0, -1.5, 2.5, f32::NAN]), [0.; 5]);
    let nothing = Pointwise::Clamp { min: Some(2.0), max: Some(-1.0) };
    assert_eq!(one(nothing, &[-2.0, 0.0, 3.0]), [0.; 3]);
    assert_eq!(one(Pointwise::LeakyRelu(0.25), &[0.0]), [0.25]);
    assert_eq!(one(Pointwise::Elu(3.0), &[0.0, 1000.0]), [3., 1.]);
    assert_eq!(one(Pointwise::Celu(3.0), &[0.0, 1e6]), [1., 1.]);
    assert_eq!(one(Pointwise::Selu, &[0.0, 1.0]), [1.7580993408473766, 1.0507009873554805]);
    assert_eq!(one(Pointwise::HardSigmoid, &[-3.0, 3.0, 0.0]), [0., 0., 1. / 6.]);
    assert_eq!(one(Pointwise::HardSwish, &[-3.0, 3.0, 0.0]), [0., 1., 0.5]);
    assert_eq!(one(Pointwise::Softsign, &[0.0]), [1.0]);
    for root in [Pointwise::Sqrt, Pointwise::Power(0.5)] {
        assert_eq!(one(root, &[0.0, 4.0]), [f64::INFINITY, 0.25]);
    }
}

/// As `nn.functional.normalize` has them of a row of zeros.
#[test]
fn a_row_of_zeros_has_no_length_to_change() {
    let found = gradients(
        |g| {
            let x = param(g, "x", [("n", 2), ("c", 2)])?;
            let squares = g.mul("", x, x)?;
            let sum = g.reduce(squares, Reduce::Sum("c".into()))?;
            let length = g.pointwise(sum, Pointwise::Sqrt)?;
            let length = g.pointwise(length, Pointwise::Clamp { min: Some(0.25), max: None })?;
            g.div("", x, length)
        },
        &[("x", &[2, 2], &[0., 0., 3., 4.])],
    );
    let expected = [4., 4., 4. / 125., -3. / 125.];
    for (found, expected) in found[0].1.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-15, "{found} {expected}");
    }
}

#[test]
fn equal_ones_share_a_gradient() {
    let both = |kind| {
        gradients(
            |g| {
                let (a, b) = (param(g, "a", [("n", 3)])?, param(g, "b", [("n", 3)])?);
                g.arithmetic("", kind, a, b)
            },
            &[("a", &[3], &[1., 2., 3.]), ("b", &[3], &[2., 2., 2.])],
        )
    };
    let of = |a: [f64; 3], b: [f64; 3]| vec![("a".into(), a.to_vec()), ("b".into(), b.to_vec())];
    assert_eq!(both(ArithmeticKind::Max), of([0., 0.5, 1.], [1., 0.5, 0.]));
    assert_eq!(both(ArithmeticKind::Min), of([1., 0.5, 0.], [0., 0.5, 1.]));
    let powers = gradients(
        |g| {
            let (a, b) = (param(g, "a", [("n", 4)])?, param(g, "b", [("n", 4)])?);
            g.arithmetic("", ArithmeticKind::Pow, a, b)
        },
        &[("a", &[4], &[0., 2., 0., 1.]), ("b", &[4], &[0., 0., 2., 3.])],
    );
    assert_eq!(
        powers,
        [("a".to_owned(), vec![0., 0., 0., 3.]), ("b".to_owned(), vec![0., 2_f64.ln(), 0., 0.]),]
    );
    let most = gradients(
        |g| {
            let x = param(g, "x", [("n", 2), ("c", 3)])?;
            g.reduce(x, Reduce::Max("c".into()))
        },
        &[("x", &[2, 3], &[1., 4., 4., 2., 2., 2.])],
    );
    assert_eq!(most[0].1, [0., 0.5, 0.5, 1. / 3., 1. / 3., 1. / 3.]);
}

/// What is written twice to a place stays once; the larger of equal ones share.
#[test]
fn places_that_are_met_twice() {
    let of = |kind| {
        gradients(
            |g| {
                let (x, v) = (param(g, "x", [("n", 3)])?, param(g, "v", [("k", 3)])?);
                let k = vec![Axis::from(("k", 3))];
                // 0, 0, 1.
                let value = IndexExpr::Position(0).floor_div(&IndexExpr::from(2));
                let ids = g.record("", IndexMap { axes: k, value, truth: false }, &[])?;
                g.scatter(kind, x, v, &[("n", ids)])
            },
            &[("x", &[3], &[5., 1., 1.]), ("v", &[3], &[5., 5., 0.5])],
        )
    };
    let both = |x: [f64; 3], v: [f64; 3]| vec![("x".into(), x.to_vec()), ("v".into(), v.to_vec())];
    assert_eq!(of(ScatterKind::Write), both([0., 0., 1.], [0., 1., 1.]));
    assert_eq!(of(ScatterKind::Add), both([1.; 3], [1.; 3]));
    let third = 1. / 3.;
    assert_eq!(of(ScatterKind::Max), both([third, 1., 1.], [third, third, 0.]));
}

#[test]
fn comparisons_lead_nowhere() {
    let g = graph(|g| {
        let x = param(g, "x", [("n", 3)])?;
        let none = g.fill(Vec::<Axis>::new(), 0.0)?;
        let above = g.compare(CompareKind::Less, [("n", 3)], none, x)?;
        let above = g.to_real(above)?;
        g.mul("", x, above)
    });
    assert!(backward(&g, "y").is_ok());
}

fn differences_of_norms([b, h, e, n]: [usize; 4], seed: u64) {
    for kind in [NormKind::Layer, NormKind::Rms] {
        for affine in if kind == NormKind::Layer { vec![0, 1, 2] } else { vec![2] } {
            checked(seed, |g| {
                let x = param(g, "x", [("b", b), ("h", h), ("e", e), ("n", n)])?;
                let norm = Norm { kind, ..Norm::layer(0.01) }.over(3);
                let axes = [("h", h), ("e", e), ("n", n)].map(Axis::from);
                let axes = axes.into_iter().take(1 + affine).collect::<Vec<_>>();
                let shift = opledger_ir::ops::Source::shift;
                let gain = g.param("gain", shift(), axes.clone())?;
                let shift = g.param("shift", shift(), axes)?;
                g.norm(x, norm, Some(gain), (kind == NormKind::Layer).then_some(shift))
            });
        }
    }
}

/// The mean of a gradient's three elements is 10⁻⁵, since they cancel; the definition in single precision is
/// right by chance, the kernel off by a rounding of the terms.
#[test]
fn a_mean_whose_terms_cancel_is_off_by_their_rounding() {
    differences_of_norms([1, 1, 1, 3], 192);
}

/// What stands for hidden tokens, of which there may be none (`mask_token` of a masked autoencoder).
#[test]
fn a_sum_over_nothing_is_zero() {
    let g = graph(|g| {
        let x = param(g, "x", [("c", 2)])?;
        let hidden =
            Axis::new("n", opledger_dims::Poly::from("all") - opledger_dims::Poly::from("kept"));
        let x = g.rearrange(x, opledger_ir::ops::Rearrange::Expand { axis: hidden })?;
        let seen = g.input(
            "seen",
            ["kept", "c"].map(|name| match name {
                "c" => Axis::from(("c", 2)),
                other => Axis::new("n", other),
            }),
        )?;
        g.concat(seen, x, "n")
    });
    for (all, kept) in [(3, 3), (5, 2), (4, 3)] {
        let sizes = opledger_dims::Binding::from_iter([("all", all), ("kept", kept)]);
        crate::differences::check(&g, &sizes, 7);
    }
}
