//! Every rule against differences, and the theorem on what it records.

use crate::differences::{Made, check, checked, graph, param};
use opledger_dims::{Activation, Binding, Symbol};
use opledger_grad::{GradError, backward, written_out};
use opledger_ir::ops::{
    ArithmeticKind, CompareKind, Factor, Norm, Pointwise, Rearrange, Reduce, RopePairs,
    RotaryAngles, Source,
};
use opledger_ir::{Axis, Graph, Mask, Scoring};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..Default::default() })]

    #[test]
    fn products_agree_with_differences(
        [b, n, c] in [1..4_usize, 1..4, 1..4], seed in 0..1000_u64,
    ) {
        checked(seed, |g| {
            let x = param(g, "x", [("b", b), ("n", n), ("c", c)])?;
            let w = param(g, "w", [("f", c + 1), ("c", c)])?;
            let up = g.einsum("b n c, f c -> b n f", x, w)?;
            let square = param(g, "square", [("f'", c + 1), ("f", c + 1)])?;
            let again = g.einsum("b n f, f' f -> b n f'", up, square)?;
            // Tokens with tokens, of a value that is used twice.
            let other = g.rename(again, "n", "n'")?;
            g.einsum("b n f, b n' f -> b n n'", again, other)
        });
    }

    #[test]
    fn arithmetic_agrees_with_differences(n in 1..5_usize, c in 1..5_usize, seed in 0..1000_u64) {
        for kind in [ArithmeticKind::Add, ArithmeticKind::Sub, ArithmeticKind::Mul, ArithmeticKind::Div] {
            checked(seed, |g| {
                let a = param(g, "a", [("n", n), ("c", c)])?;
                let b = param(g, "b", [("c", c)])?;
                // Away from a division by 0.
                let b = match kind {
                    ArithmeticKind::Div => {
                        let square = g.mul("", b, b)?;
                        g.pointwise(square, Pointwise::Shift(1.0))?
                    }
                    _ => b,
                };
                let joined = g.arithmetic("", kind, a, b)?;
                g.scale(joined, Factor::InverseSqrt(3.into()))
            });
        }
    }

    #[test]
    fn functions_agree_with_differences(n in 1..9_usize, seed in 0..1000_u64) {
        for function in Activation::ALL {
            checked(seed, |g| {
                let x = param(g, "x", [("n", n)])?;
                g.activation(x, *function)
            });
        }
        let any = [
            Pointwise::Neg, Pointwise::Abs, Pointwise::Exp, Pointwise::Exp2, Pointwise::Expm1,
            Pointwise::Sin, Pointwise::Cos, Pointwise::Atan, Pointwise::Erf, Pointwise::Power(3.0),
            Pointwise::Shift(0.5), Pointwise::LogSigmoid,
        ];
        let positive = [
            Pointwise::Log, Pointwise::Log2, Pointwise::Log10, Pointwise::Log1p, Pointwise::Sqrt,
            Pointwise::Rsqrt, Pointwise::Reciprocal, Pointwise::Power(0.5),
        ];
        let any = any.into_iter().map(|function| (function, false));
        for (function, squared) in any.chain(positive.into_iter().map(|function| (function, true))) {
            checked(seed, |g| {
                let x = param(g, "x", [("n", n)])?;
                let x = match squared {
                    true => {
                        let square = g.mul("", x, x)?;
                        g.pointwise(square, Pointwise::Shift(0.5))?
                    }
                    false => x,
                };
                g.pointwise(x, function)
            });
        }
    }

    #[test]
    fn rows_agree_with_differences(n in 1..4_usize, c in 2..6_usize, seed in 0..1000_u64) {
        checked(seed, |g| {
            let x = param(g, "x", [("n", n), ("c", c)])?;
            g.softmax(x, None)
        });
        for norm in [Norm::layer(0.01), Norm { kind: opledger_ir::ops::NormKind::Rms, ..Norm::layer(0.01) }] {
            for affine in [true, false] {
                checked(seed, |g| {
                    let x = param(g, "x", [("n", n), ("c", c)])?;
                    let gain = param(g, "gain", [("c", c)])?;
                    let shift = param(g, "shift", [("c", c)])?;
                    let operands = affine.then_some((gain, shift)).unzip();
                    g.norm(x, norm.clone(), operands.0, operands.1)
                });
            }
        }
        for reduce in [Reduce::Sum("n".into()), Reduce::Mean("c".into())] {
            checked(seed, |g| {
                let x = param(g, "x", [("n", n), ("c", c)])?;
                let square = g.mul("", x, x)?;
                g.reduce(square, reduce.clone())
            });
        }
    }

    #[test]
    fn what_moves_agrees_with_differences(n in 2..6_usize, seed in 0..1000_u64) {
        let hows = [
            Rearrange::Split { axis: "c".into(), into: vec![("h", 2).into(), ("e", 3).into()] },
            Rearrange::Merge { axes: vec!["n".into(), "c".into()], into: "m".into() },
            Rearrange::Rename { from: "n".into(), to: "m".into() },
            Rearrange::Permute { order: vec!["c".into(), "n".into()] },
            Rearrange::Slice { axis: "n".into(), start: 1.into(), len: (n as i64 - 1).into() },
            Rearrange::Slice { axis: "c".into(), start: 0.into(), len: 4.into() },
            Rearrange::Slice { axis: "c".into(), start: 1.into(), len: 3.into() },
            Rearrange::Roll { axis: "c".into(), by: 2.into() },
            Rearrange::Pad { axis: "n".into(), to: (n as i64 + 2).into() },
            Rearrange::Expand { axis: ("r", 3).into() },
        ];
        for how in hows {
            checked(seed, |g| {
                let x = param(g, "x", [("n", n), ("c", 6)])?;
                let square = g.mul("", x, x)?;
                g.rearrange(square, how.clone())
            });
        }
        checked(seed, |g| {
            let x = param(g, "x", [("n", n), ("c", 2)])?;
            let y = param(g, "y", [("n", n), ("c", 3)])?;
            let both = g.concat(x, y, "c")?;
            g.mul("", both, both)
        });
        // Of nothing and all.
        checked(seed, |g| {
            let x = param(g, "x", [("n", n), ("c", 2)])?;
            let none = g.input("none", [("n", 0), ("c", 2)])?;
            let all = g.concat(x, none, "n")?;
            g.mul("", all, all)
        });
        checked(seed, |g| {
            let x = param(g, "x", [("n", n)])?;
            let square = g.mul("", x, x)?;
            g.dropout("", square, opledger_ir::ops::Dropout { p: 0.5, training: false, seed: 0 })
        });
        checked(seed, |g| {
            let table = param(g, "table", [("v", 3), ("c", 2)])?;
            let ids = g.input_ids("ids", [("b", 2), ("n", n)], 3)?;
            let rows = g.embedding("", ids, table)?;
            g.mul("", rows, rows)
        });
        checked(seed, |g| {
            let x = param(g, "x", [("n", n), ("c", 2)])?;
            let y = param(g, "y", [("c", 2)])?;
            let z = g.input("z", [("n", n), ("c", 2)])?;
            let none = g.fill(Vec::<Axis>::new(), 0.0)?;
            let above = g.compare(CompareKind::Less, [("n", n), ("c", 2)], none, z)?;
            g.select([("n", n), ("c", 2)], above, x, y)
        });
        for pairs in [RopePairs::Halves, RopePairs::Neighbours] {
            checked(seed, |g| {
                let x = param(g, "x", [("b", 1), ("n", n), ("h", 2), ("e", 4)])?;
                let angles = g.record("", RotaryAngles::new(("n", n), ("e", 4), 10.0), &[])?;
                g.rope(x, pairs, angles)
            });
        }
    }

    #[test]
    fn attention_agrees_with_differences(
        [b, n, h, e] in [1..3_usize, 1..5, 1..3, 1..4], groups in 1..3_usize, [bias, sinks]: [bool; 2],
        which in 0..4_usize, seed in 0..1000_u64,
    ) {
        // The queries of a bias may be called otherwise.
        let query = ["n", "i"][seed as usize % 2];
        let masks: [fn(&mut Graph) -> Mask; 4] = [
            |_| Mask::none(),
            |_| Mask::causal(),
            |_| Mask::sliding(2),
            |g| {
                let axes = ["b", "n"].map(Symbol::from).map(|name| Axis::new(name.clone(), name));
                Mask::none().keeping(g.input_mask("keep", axes).unwrap())
            },
        ];
        let g = graph(|g| {
            let axes = |heads: usize| {
                [Axis::new("b", "b"), Axis::new("n", "n"), Axis::from(("h", heads)), Axis::from(("e", e))]
            };
            let q = g.param("q", Source::shift(), axes(h * groups))?;
            let k = g.param("k", Source::shift(), axes(h))?;
            let v = g.param("v", Source::shift(), axes(h))?;
            let bias = match bias {
                true => Some(g.param(
                    "bias",
                    Source::shift(),
                    [Axis::from(("h", h * groups)), Axis::new(query, "n"), Axis::new("m", "n")],
                )?),
                false => None,
            };
            let sinks = match sinks {
                true => Some(param(g, "sinks", [("h", h * groups)])?),
                false => None,
            };
            let scale = Some(Factor::InverseSqrt(e.into()).into());
            let mask = masks[which](g);
            g.attention_by((q, k, v), Scoring { scale, bias, mask, sinks, ..Scoring::default() })
        });
        let sizes = Binding::from_iter([("b", b), ("n", n)]);
        check(&g, &sizes, seed);
        // Written out it costs the same, part by part.
        let chain = written_out(&g).unwrap();
        prop_assert_eq!(g.cost().total(), chain.cost().total());
    }
}

/// Heads that are a product of two factors in one layer, and of two others in the next.
#[test]
fn heads_may_share_keys_in_two_ways() {
    let g = graph(|g| {
        let axes = |heads: &str| ["b", "n", heads, "e"].map(Axis::from);
        let mut q = g.param("q", Source::shift(), axes("h"))?;
        for (shared, mask) in [("g", Mask::causal()), ("u", Mask::sliding(2))] {
            let k = g.param(&format!("k_{shared}"), Source::shift(), axes(shared))?;
            let v = g.param(&format!("v_{shared}"), Source::shift(), axes(shared))?;
            q = g.attention_by((q, k, v), Scoring { mask, ..Scoring::default() })?;
        }
        Ok(q)
    });
    let sizes = [("b", 2), ("n", 4), ("h", 4), ("g", 1), ("u", 2), ("e", 3)];
    check(&g, &Binding::from_iter(sizes), 5);
    let sizes = Binding::from_iter(sizes);
    let chain = written_out(&g).unwrap();
    let total = |g: &Graph| {
        let sizes = g.complete(&sizes).unwrap();
        g.cost().total().map(|count| count.at(&sizes).unwrap())
    };
    assert_eq!(total(&g), total(&chain));
}

#[test]
fn a_value_of_whole_numbers_leads_nowhere() {
    let g = graph(|g| {
        let x = param(g, "x", [("n", 3)])?;
        let places = g.arg_max(x, "n")?;
        g.to_real(places)
    });
    let error = backward(&g, "y").unwrap_err();
    assert_eq!(error.to_string(), "`y` depends on no parameter");
}

#[test]
fn what_has_no_rule_is_named_with_its_place() {
    let of = |record: &dyn Fn(&mut Graph) -> Made| backward(&graph(record), "y").unwrap_err();
    let error = of(&|g| {
        let x = param(g, "x", [("n", 3)])?;
        g.within("head", |g| g.cumulative_product(x, "n"))
    });
    let expected = "`head.cumulative_product`: no gradient is known of cumulative_product";
    assert_eq!(error.to_string(), expected);
    let g = graph(|g| param(g, "x", [("n", 3)]));
    let error = backward(&g, "z").unwrap_err();
    assert_eq!(error.to_string(), "the graph has no result `z`; its results are y");
    assert!(matches!(error, GradError::NoResult { .. }));
    // What no parameter leads to needs no rule.
    let g = graph(|g| {
        let x = param(g, "x", [("n", 3)])?;
        let input = g.input("input", [("n", 3)])?;
        let products = g.cumulative_product(input, "n")?;
        g.mul("", x, products)
    });
    let step = backward(&g, "y").unwrap();
    assert_eq!(step.cost().flops().to_string(), "8");
}
