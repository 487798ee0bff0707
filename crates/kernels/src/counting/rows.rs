//! Kernels over rows and elements.

use opledger_dims::Foremost;
use proptest::prelude::*;

use super::{counts_itself, data, numbers};
use crate::*;

const BINARY: [BinaryOp; 7] = [
    BinaryOp::Add,
    BinaryOp::Mul,
    BinaryOp::Div,
    BinaryOp::Sub,
    BinaryOp::Max,
    BinaryOp::Min,
    BinaryOp::Pow,
];

/// The masks of rows of so many keys, by number.
fn mask(kind: usize, queries: usize, keys: usize, keep: Keep<'_>) -> Mask<'_> {
    Mask {
        causal_offset: (kind & 1 > 0).then_some(keys as i64 - queries as i64),
        window: (kind & 2 > 0).then_some(3),
        chunk: (kind & 3 == 3).then_some(5),
        keep: (kind & 4 > 0).then_some(keep),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn softmax_counts_itself(
        [batch, heads, queries] in [1usize..3, 1usize..3, 1usize..6],
        keys in prop_oneof![1usize..8, 30usize..36, 60usize..140],
        kind in 0usize..8,
        [odd, pairs]: [bool; 2],
        seed: u64,
    ) {
        let len = batch * heads * queries * keys;
        let x = data(len, seed, odd);
        let keep: Vec<i64> = data(len, seed + 1, false).iter().map(|x| i64::from(*x > 0.0)).collect();
        let starts: Vec<usize> = (0..batch * heads).map(|matrix| matrix * queries * keys).collect();
        let keep = match pairs {
            true => Keep::Pairs(Pairs { data: &keep, starts: &starts, query_stride: keys }),
            false => Keep::Keys(&keep[..batch * keys]),
        };
        let rows = ScoreRows { batch, heads, queries, keys, mask: mask(kind, queries, keys, keep) };
        counts_itself!(format!("softmax of {rows:?}"), T, |[meter]| {
            let mut out = numbers::<T>(&vec![7.0; len]);
            softmax(&rows, &numbers::<T>(&x), &mut out, meter).unwrap();
            out
        });
        let sinks = data(batch * heads, seed + 4, odd);
        counts_itself!(format!("softmax beside sinks of {rows:?}"), T, |[meter]| {
            let mut out = numbers::<T>(&vec![7.0; len]);
            let (x, sinks) = (numbers::<T>(&x), numbers::<T>(&sinks));
            softmax_beside(&rows, &x, &sinks, &mut out, meter).unwrap();
            out
        });
        let [a, b] = [data(len, seed + 2, odd), data(keys, seed + 3, odd)];
        let shape = [batch * heads, queries, keys];
        let (strides, repeated) = ([queries * keys, keys, 1], [0, 0, kind % 2]);
        for op in BINARY {
            counts_itself!(format!("{op:?} of {rows:?}"), T, |[meter]| {
                let mut out = numbers::<T>(&vec![7.0; len]);
                let (a, b) = (numbers::<T>(&a), numbers::<T>(&b));
                let a = Strided { data: &a, strides: &strides };
                let b = Strided { data: &b, strides: &repeated };
                masked_binary(op, &rows, &shape, [a, b], &mut out, meter).unwrap();
                out
            });
        }
        let width = 1 + kind;
        let x = data(batch * queries * heads * width, seed + 4, odd);
        for groups in (1..=heads).filter(|groups| heads % groups == 0) {
            counts_itself!(format!("sums over queries of {rows:?}"), T, |[meter]| {
                let mut out = numbers::<T>(&vec![7.0; batch * keys * heads / groups * width]);
                let (entries, x) = (numbers::<T>(&a), numbers::<T>(&x));
                let problem = QuerySums { rows, groups, entries: &entries, x: &x, width };
                masked_query_sums(&problem, &mut out, meter).unwrap();
                out
            });
        }
    }

    #[test]
    fn norms_count_themselves(
        rows in 1usize..40,
        [groups, channels] in [1usize..3, 1usize..40],
        positions in prop_oneof![Just(1usize), 1usize..9],
        [gain, shift]: [bool; 2],
        seed: u64,
    ) {
        let width = channels * positions;
        let x = data(rows * width, seed, false);
        let gain = gain.then(|| data(groups * channels, seed + 1, false));
        let shift = shift.then(|| data(groups * channels, seed + 2, false));
        counts_itself!(format!("layer_norm of {rows} by {channels}·{positions}"), T, |[meter]| {
            let (gamma, beta) = (gain.as_deref().map(numbers::<T>), shift.as_deref().map(numbers::<T>));
            let norm = LayerNorm {
                width,
                eps: 1e-5,
                gamma: gamma.as_deref(),
                beta: beta.as_deref(),
                channels: Channels { groups, positions },
            };
            let mut out = numbers::<T>(&x);
            layer_norm(&norm, &numbers::<T>(&x), &mut out, meter).unwrap();
            out
        });
        let weight = gain.map(|_| data(width, seed + 3, false));
        counts_itself!(format!("rms_norm of {rows} by {width}"), T, |[meter]| {
            let weight = weight.as_deref().map(numbers::<T>);
            let norm = RmsNorm { width, eps: 1e-5, weight: weight.as_deref() };
            let mut out = numbers::<T>(&x);
            rms_norm(&norm, &numbers::<T>(&x), &mut out, meter).unwrap();
            out
        });
    }

    #[test]
    fn what_goes_over_elements_counts_itself(
        len in prop_oneof![0usize..70, 5000usize..5003],
        seed: u64,
    ) {
        let x = data(len, seed, true);
        for &function in Activation::ALL {
            counts_itself!(format!("{function:?} of {len}"), T, |[meter]| {
                let mut out = numbers::<T>(&x);
                activation(function, &numbers::<T>(&x), &mut out, meter).unwrap();
                out
            });
        }
        use Pointwise::*;
        let powers = [0.0, 1.0, 2.0, 3.0, 7.0, -2.0, 0.5, -0.5, 1.5].map(Power);
        let bounds = [None, Some(-0.5), Some(0.75)];
        let clamps = bounds.iter().flat_map(|min| bounds.map(|max| Clamp { min: *min, max }));
        let plain = [
            Neg, Abs, Exp, Exp2, Expm1, Log, Log2, Log10, Log1p, Sqrt, Rsqrt, Reciprocal, Sin, Cos,
            Tan, Atan, Erf, Shift(0.3), LeakyRelu(0.1), Elu(1.3), Celu(1.3), Selu, HardSigmoid, HardSwish,
            Mish, LogSigmoid, Softsign, Floor, Ceil, Round, Sign,
        ];
        for function in plain.into_iter().chain(powers).chain(clamps) {
            counts_itself!(format!("{function:?} of {len}"), T, |[meter]| {
                let mut out = numbers::<T>(&x);
                pointwise(function, &numbers::<T>(&x), &mut out, meter).unwrap();
                out
            });
        }
        counts_itself!(format!("scale of {len}"), T, |[meter]| {
            let mut out = numbers::<T>(&x);
            scale(0.3, &numbers::<T>(&x), &mut out, meter).unwrap();
            out
        });
        counts_itself!(format!("dropout of {len}"), T, |[meter]| {
            let mut out = numbers::<T>(&x);
            let multiplier = |i: usize| if i.is_multiple_of(3) { 0.0 } else { 1.25 };
            dropout(multiplier, &numbers::<T>(&x), &mut out, meter).unwrap();
            out
        });
    }

    #[test]
    fn broadcasts_count_themselves(shape in [1usize..5, 1usize..5, 1usize..40], seed: u64) {
        let [a, b, c] = shape;
        let len = shape.iter().product::<usize>();
        let x = data(len, seed, true);
        let layouts = [[b * c, c, 1], [0, 0, 1], [0, 1, 0], [1, a, a * b]];
        for (op, strides) in BINARY.into_iter().flat_map(|op| layouts.map(|strides| (op, strides))) {
            for swapped in [false, true] {
                counts_itself!(format!("{op:?} of {shape:?} by {strides:?}"), T, |[meter]| {
                    let mut out = numbers::<T>(&x);
                    let x = numbers::<T>(&x);
                    let whole = Strided { data: &x, strides: &[b * c, c, 1] };
                    let other = Strided { data: &x, strides: &strides };
                    let [x, y] = if swapped { [other, whole] } else { [whole, other] };
                    binary(op, &shape, x, y, &mut out, meter).unwrap();
                    out
                });
            }
        }
    }

    #[test]
    fn reductions_count_themselves(rows in 1usize..6, width in 1usize..140, odd: bool, seed: u64) {
        let x = data(rows * width, seed, odd);
        for reduction in [Reduction::Sum, Reduction::Mean, Reduction::Max] {
            counts_itself!(format!("{reduction:?} of {rows} by {width}"), T, |[meter]| {
                let mut out = numbers::<T>(&vec![0.0; rows]);
                reduce(reduction, width, &numbers::<T>(&x), &mut out, meter).unwrap();
                out
            });
            counts_itself!(format!("{reduction:?} down {rows} of {width}"), T, |[meter]| {
                let mut out = numbers::<T>(&vec![0.0; width]);
                reduce_columns(reduction, rows, width, &numbers::<T>(&x), &mut out, meter).unwrap();
                out
            });
        }
        for inner in [1, 3] {
            let (terms, x) = (width, x.repeat(inner));
            for running in [Running::Sum, Running::Product] {
                let what = format!("{running:?} up to each of {rows} by {terms} by {inner}");
                counts_itself!(what, T, |[meter]| {
                    let mut out = numbers::<T>(&x);
                    cumulative(running, terms, inner, &numbers::<T>(&x), &mut out, meter).unwrap();
                    out
                });
            }
            counts_itself!(format!("the largest of {rows} by {terms} by {inner}"), T, |[meter]| {
                let mut places = vec![0; rows * inner];
                arg_max(terms, inner, &numbers::<T>(&x), &mut places, meter).unwrap();
                places.iter().map(|place| T::of(*place as f32)).collect()
            });
        }
        let y = data(rows * width, seed + 5, false);
        let places: Vec<usize> = (0..width).map(|at| at * 7 % (rows * width)).collect();
        for comparison in [CompareOp::Less, CompareOp::AtMost, CompareOp::Equal] {
            counts_itself!(format!("{comparison:?} of {rows} by {width}"), T, |[meter]| {
                let (x, y) = (numbers::<T>(&x), numbers::<T>(&y));
                let operands = [(&x, [width, 1]), (&y, [0, 1])];
                let operands = operands.each_ref().map(|(data, strides)| Strided { data, strides });
                let mut truths = vec![7; rows * width];
                compare(comparison, &[rows, width], operands, &mut truths, meter).unwrap();
                truths.iter().map(|truth| T::of(*truth as f32)).collect()
            });
        }
        for meeting in [Meeting::Write, Meeting::Add, Meeting::Mul, Meeting::Max] {
            counts_itself!(format!("{meeting:?} of {width} to {rows} by {width}"), T, |[meter]| {
                let mut out = numbers::<T>(&x[..rows * width]);
                scatter(&numbers::<T>(&y[..width]), &places, meeting, &mut out, meter).unwrap();
                out
            });
        }
        let k = 1 + seed as usize % width;
        for order in [Foremost::Largest, Foremost::Smallest] {
            counts_itself!(format!("{k} of {rows} by {width}, {order:?}"), T, |[meter]| {
                let mut ids = vec![0; rows * k];
                top_k(width, k, order, &numbers::<T>(&x), &mut ids, meter).unwrap();
                ids.iter().map(|id| T::of(*id as f32)).collect()
            });
        }
    }

    #[test]
    fn positions_count_themselves(
        [batch, tokens, heads] in [1usize..3, 1usize..6, 1usize..3],
        [pairs, rest] in [0usize..20, 0usize..4],
        factor in prop::option::of(0.5f32..2.0),
        halves: bool,
        seed: u64,
    ) {
        let width = 2 * pairs + rest;
        let x = data(batch * tokens * heads * width, seed, false);
        let inv_freq = data(pairs, seed + 1, false);
        let pairing = if halves { Pairing::HalfSplit } else { Pairing::Interleaved };
        let offset = (seed % 100) as usize;
        let (turned, table) = (2 * pairs, data(tokens * 4 * pairs, seed + 2, false));
        counts_itself!(format!("{pairing:?} of {batch}·{tokens}·{heads} by {width}"), T, |[meter]| {
            let (table, mut out) = (&numbers::<T>(&table), numbers::<T>(&x));
            let problem = Rope { batch, tokens, heads, width, turned, table, pairing };
            rope(&problem, &numbers::<T>(&x), &mut out, meter).unwrap();
            out
        });
        counts_itself!(format!("angles of {tokens} by {pairs}, {factor:?}"), T, |[meter]| {
            let mut out = numbers::<T>(&table);
            rotary_angles(RotaryPositions::From(offset), &inv_freq, factor, &mut out, meter).unwrap();
            out
        });
        counts_itself!(format!("angles of a grid of {tokens} by {pairs}"), T, |[meter]| {
            let mut out = numbers::<T>(&table);
            let grid = RotaryPositions::Grid([tokens, 1]);
            rotary_angles(grid, &inv_freq, factor, &mut out, meter).unwrap();
            out
        });
        counts_itself!(format!("sinusoids of {tokens} by {pairs}"), T, |[meter]| {
            let mut out = numbers::<T>(&vec![0.0; tokens * 2 * pairs]);
            sinusoid(tokens, offset, &inv_freq, &mut out, meter).unwrap();
            out
        });
    }
}

#[test]
fn several_steps_over_rows_count_themselves() {
    for [rows, width] in [[1, 1], [3, 7], [70, 33], [5, 5000]] {
        let (x, gain) = (data(rows * width, 1, false), data(width, 2, false));
        counts_itself!(format!("{rows}x{width}"), T, |[a, b, c, d, e, f]| {
            let (x, gain) = (numbers::<T>(&x), numbers::<T>(&gain));
            let steps = [
                RowStep::Reduce(Reduction::Mean, RowOperand::Elements(&x)),
                RowStep::Binary(BinaryOp::Sub, [RowOperand::Elements(&x), RowOperand::Step(0)]),
                RowStep::Activation(Activation::GeluErf, RowOperand::Step(1)),
                RowStep::Binary(BinaryOp::Mul, [RowOperand::Step(2), RowOperand::PerColumn(&gain)]),
                RowStep::Pointwise(Pointwise::Shift(0.5), RowOperand::Step(3)),
                RowStep::Scale(0.25, RowOperand::Step(4)),
            ];
            let mut out = numbers::<T>(&vec![7.0; rows * width]);
            let meters = [a, b, c, d, e, f];
            row_program(RowProgram { width, steps: &steps }, &mut out, &meters).unwrap();
            out
        });
    }
}
