//! Kernels over rows and elements against loops.

use opledger_dims::{Counted, Foremost, counted};
use opledger_kernels::*;
use proptest::prelude::*;

use crate::common::{BINARY, Ops, assert_close, bound, data, pools, run_one, wide};

fn affine(len: usize, seed: u64, present: bool) -> Option<Vec<f32>> {
    present.then(|| data(len, seed))
}

fn check_norms(rows: usize, c: usize, gamma: bool, beta: bool) {
    let x = data(rows * c, 1);
    let (gamma, beta) = (affine(c, 2, gamma), affine(c, 3, beta));
    let eps = 1e-3f32;
    let (mut layer, mut layer_out) = (Ops::default(), Vec::new());
    let (mut rms, mut rms_out) = (Ops::default(), Vec::new());
    for row in wide(&x).chunks(c) {
        let n = c as f64;
        let ops = &mut layer;
        let sum = ops.sum(row);
        let mean = ops.div(sum, n);
        let centred: Vec<f64> = row.iter().map(|x| ops.sub(*x, mean)).collect();
        let sum = ops.dot(&centred, &centred);
        let variance = ops.div(sum, n);
        let shifted = ops.add(variance, eps.into());
        let deviation = ops.sqrt(shifted);
        for (i, d) in centred.iter().enumerate() {
            let mut y = ops.div(*d, deviation);
            if let Some(gamma) = &gamma {
                y = ops.mul(y, gamma[i].into());
            }
            if let Some(beta) = &beta {
                y = ops.add(y, beta[i].into());
            }
            layer_out.push(y);
        }
        let ops = &mut rms;
        let sum = ops.dot(row, row);
        let mean = ops.div(sum, n);
        let shifted = ops.add(mean, eps.into());
        let root = ops.sqrt(shifted);
        for (i, x) in row.iter().enumerate() {
            let mut y = ops.div(*x, root);
            if let Some(weight) = &gamma {
                y = ops.mul(y, weight[i].into());
            }
            rms_out.push(y);
        }
    }
    let (gamma, beta) = (gamma.as_deref(), beta.as_deref());
    let norm = LayerNorm { width: c, eps, gamma, beta, channels: Channels::ELEMENTS };
    let out = run_one(x.len(), &layer, |out, m| layer_norm(&norm, &x, out, m).unwrap());
    // Centring cancels: its error counts against the deviation, at least √eps.
    assert_close(&out, &layer_out, 40.0 * bound(c));
    let norm = RmsNorm { width: c, eps, weight: gamma };
    let out = run_one(x.len(), &rms, |out, m| rms_norm(&norm, &x, out, m).unwrap());
    assert_close(&out, &rms_out, 8.0 * bound(c));
}

fn check_reduce(rows: usize, k: usize) {
    let x = data(rows * k, 5);
    for reduction in [Reduction::Sum, Reduction::Mean, Reduction::Max] {
        let mut ops = Ops::default();
        let mut expected = Vec::new();
        for row in wide(&x).chunks(k) {
            expected.push(match reduction {
                Reduction::Sum => ops.sum(row),
                Reduction::Mean => {
                    let sum = ops.sum(row);
                    ops.div(sum, k as f64)
                }
                Reduction::Max => row[1..].iter().fold(row[0], |a, b| ops.max(a, *b)),
            });
        }
        let out = run_one(rows, &ops, |out, m| reduce(reduction, k, &x, out, m).unwrap());
        assert_close(&out, &expected, bound(k));
    }
}

/// The reduction of rows upon rows is that of rows laid side by side.
fn check_reduce_columns(blocks: usize, terms: usize, width: usize) {
    let x = data(blocks * terms * width, 14);
    let across = |block: usize, column: usize| {
        (0..terms).map(|term| f64::from(x[(block * terms + term) * width + column])).collect()
    };
    let places = (0..blocks).flat_map(|block| (0..width).map(move |column| (block, column)));
    let rows: Vec<Vec<f64>> = places.map(|(block, column)| across(block, column)).collect();
    for reduction in [Reduction::Sum, Reduction::Mean, Reduction::Max] {
        let mut ops = Ops::default();
        let mut reduced = |row: &Vec<f64>| match reduction {
            Reduction::Sum => ops.sum(row),
            Reduction::Mean => {
                let sum = ops.sum(row);
                ops.div(sum, terms as f64)
            }
            Reduction::Max => row[1..].iter().fold(row[0], |a, b| ops.max(a, *b)),
        };
        let expected: Vec<f64> = rows.iter().map(&mut reduced).collect();
        let out = run_one(blocks * width, &ops, |out, m| {
            reduce_columns(reduction, terms, width, &x, out, m).unwrap();
        });
        assert_close(&out, &expected, bound(terms));
    }
}

fn check_top_k(rows: usize, width: usize, k: usize) {
    // Few distinct numbers, so that many are equal.
    let x: Vec<f32> = data(rows * width, 12).iter().map(|x| (4.0 * x).round()).collect();
    for order in [Foremost::Largest, Foremost::Smallest] {
        check_foremost(&x, [rows, width, k], order);
    }
}

fn check_foremost(x: &[f32], [rows, width, k]: [usize; 3], order: Foremost) {
    let mut ops = Ops::default();
    let mut expected = Vec::new();
    for row in x.chunks(width) {
        let mut places: Vec<usize> = (0..width).collect();
        // The order of equals stays.
        places.sort_by(|a, b| {
            let ascending = row[*a].partial_cmp(&row[*b]).unwrap();
            if order == Foremost::Smallest { ascending } else { ascending.reverse() }
        });
        expected.extend(places[..k].iter().map(|place| *place as i64));
        for pass in 0..k {
            (1..width - pass).for_each(|_| {
                ops.max(0.0, 0.0);
            });
        }
    }
    for pool in pools() {
        let (meter, mut out) = (AtomicMeter::new(), vec![-1; rows * k]);
        pool.install(|| top_k(width, k, order, x, &mut out, &meter).unwrap());
        assert_eq!(out, expected);
        let tally = meter.read();
        assert_eq!(tally.useful, ops.counts);
    }
}

fn check_along(blocks: usize, terms: usize, width: usize) {
    let x = data(blocks * terms * width, 21);
    let (mut ops, mut sums) = (Ops::default(), wide(&x));
    let (mut multiplied, mut products) = (Ops::default(), wide(&x));
    let (mut compared, mut places) = (Ops::default(), Vec::new());
    for block in 0..blocks {
        let at = |term: usize, column: usize| (block * terms + term) * width + column;
        for column in 0..width {
            let mut best = 0;
            for term in 1..terms {
                sums[at(term, column)] =
                    ops.add(sums[at(term - 1, column)], sums[at(term, column)]);
                products[at(term, column)] =
                    multiplied.mul(products[at(term - 1, column)], products[at(term, column)]);
                compared.max(0.0, 0.0);
                if x[at(term, column)] > x[at(best, column)] {
                    best = term;
                }
            }
            places.push(best as i64);
        }
    }
    let out = run_one(x.len(), &ops, |out, m| {
        cumulative(Running::Sum, terms, width, &x, out, m).unwrap();
    });
    assert_close(&out, &sums, bound(terms));
    let out = run_one(x.len(), &multiplied, |out, m| {
        cumulative(Running::Product, terms, width, &x, out, m).unwrap();
    });
    assert_close(&out, &products, bound(terms));
    for pool in pools() {
        let (meter, mut out) = (AtomicMeter::new(), vec![-1; blocks * width]);
        pool.install(|| arg_max(terms, width, &x, &mut out, &meter).unwrap());
        assert_eq!(out, places);
        assert_eq!(meter.read().useful, compared.counts);
    }
    let mut place = [0];
    arg_max(3, 1, &[1.0, f32::NAN, 9.0], &mut place, &NoMeter).unwrap();
    assert_eq!(place, [1]);
}

fn check_softmax(rows: usize, k: usize) {
    let x: Vec<f32> = data(rows * k, 6).iter().map(|x| 20.0 * x).collect();
    let mut ops = Ops::default();
    let mut expected = Vec::new();
    for row in wide(&x).chunks(k) {
        expected.extend(ops.softmax(row));
    }
    let whole = ScoreRows { batch: 1, heads: 1, queries: rows, keys: k, mask: Mask::default() };
    let out = run_one(x.len(), &ops, |out, m| softmax(&whole, &x, out, m).unwrap());
    assert_close(&out, &expected, bound(k));
    // One among the entries, and one above them all.
    for sink in [1.5, 90.0] {
        let mut ops = Ops::default();
        let each = wide(&x);
        let rows = each.chunks(k).flat_map(|row| ops.softmax_beside(row, Some(sink)));
        let expected: Vec<f64> = rows.collect();
        let sinks = [sink as f32];
        let out = run_one(x.len(), &ops, |out, m| {
            softmax_beside(&whole, &x, &sinks, out, m).unwrap();
        });
        assert_close(&out, &expected, bound(k));
    }
}

fn check_activations(n: usize) {
    let mut x: Vec<f32> = data(n, 7).iter().map(|x| 9.0 * x).collect();
    x.extend([0.0, -0.0, 100.0, -100.0]);
    for &function in Activation::ALL {
        // Every function's definition, on numbers that count themselves.
        let (expected, counts) = counted(|| {
            x.iter().map(|x| function.apply(Counted(f64::from(*x))).0).collect::<Vec<f64>>()
        });
        let o = Ops { counts };
        let out = run_one(x.len(), &o, |out, m| activation(function, &x, out, m).unwrap());
        assert_close(&out, &expected, 2e-6);
        let mut nan = [0.0];
        activation(function, &[f32::NAN], &mut nan, &NoMeter).unwrap();
        assert!(nan[0].is_nan(), "{function:?}");
    }
}

/// The functions with constants, by their definitions on numbers that count themselves.
fn check_pointwise(n: usize) {
    use Pointwise::*;
    let mut x: Vec<f32> = data(n, 17).iter().map(|x| 9.0 * x).collect();
    x.extend([0.0, -0.0, 2.5, -3.5, 100.0, -100.0]);
    let powers = [0.0, 1.0, 2.0, 3.0, 5.0, -2.0, 0.5, -0.5, 1.5, -0.3].map(Power);
    let bounds = [None, Some(-0.5), Some(0.75)];
    let clamps = bounds.iter().flat_map(|min| bounds.map(|max| Clamp { min: *min, max }));
    let plain = [
        Neg,
        Abs,
        Exp,
        Exp2,
        Expm1,
        Log,
        Log2,
        Log10,
        Log1p,
        Sqrt,
        Rsqrt,
        Reciprocal,
        Sin,
        Cos,
        Tan,
        Atan,
        Erf,
        Shift(0.3),
        LeakyRelu(0.1),
        Elu(1.3),
        Celu(1.3),
        Selu,
        HardSigmoid,
        HardSwish,
        Mish,
        LogSigmoid,
        Softsign,
        Floor,
        Ceil,
        Round,
        Sign,
    ];
    for function in plain.into_iter().chain(powers).chain(clamps) {
        let (expected, counts) = counted(|| {
            x.iter().map(|x| function.apply(Counted(f64::from(*x))).0).collect::<Vec<f64>>()
        });
        let out =
            run_one(x.len(), &Ops { counts }, |out, m| pointwise(function, &x, out, m).unwrap());
        for ((x, y), expected) in x.iter().zip(out).zip(expected) {
            let (y, scale) = (f64::from(y), 1.0 + expected.abs());
            let (same, most) =
                (y == expected || y.is_nan() && expected.is_nan(), f64::from(f32::MAX));
            let close = (y - expected).abs() <= 1e-5 * scale || expected > most && y.is_infinite();
            // Near its poles the tangent is as steep as it is large.
            let steep = function == Tan && (y - expected).abs() <= 1e-5 * scale * scale;
            assert!(same || close || steep, "{function:?} of {x}: {y} for {expected}");
        }
        let mut nan = [0.0];
        pointwise(function, &[f32::NAN], &mut nan, &NoMeter).unwrap();
        let constant = matches!(function, Sign) || function == Power(0.0);
        assert_eq!(nan[0].is_nan(), !constant, "{function:?}");
    }
}

fn check_elementwise(n: usize) {
    let x = data(n, 8);
    let multiplier = |i: usize| if i.is_multiple_of(3) { 0.0 } else { 1.5 };
    let mut ops = Ops::default();
    let expected: Vec<f64> = wide(&x).iter().map(|x| ops.mul(*x, 0.7f32.into())).collect();
    let out = run_one(n, &ops, |out, m| scale(0.7, &x, out, m).unwrap());
    assert_close(&out, &expected, 1e-7);
    let mut ops = Ops::default();
    let expected: Vec<f64> =
        wide(&x).iter().enumerate().map(|(i, x)| ops.mul(*x, multiplier(i).into())).collect();
    let out = run_one(n, &ops, |out, m| dropout(multiplier, &x, out, m).unwrap());
    assert_close(&out, &expected, 1e-7);
}

/// Strides of an operand that has its own order of axes, or repeats some.
fn strides(shape: &[usize], order: &[usize], repeat: &[bool]) -> (Vec<usize>, usize) {
    let mut strides = vec![0; shape.len()];
    let mut size = 1;
    for &axis in order {
        if axis < shape.len() && !repeat[axis] {
            strides[axis] = size;
            size *= shape[axis];
        }
    }
    (strides, size)
}

fn check_strided(shape: &[usize], orders: [&[usize]; 2], repeats: [&[bool]; 2]) {
    let [a, b] = [0, 1].map(|i| {
        let (strides, size) = strides(shape, orders[i], repeats[i]);
        (strides, data(size, i as u64 + 9))
    });
    let len: usize = shape.iter().product();
    let at = |index: usize, strides: &[usize]| {
        let (mut rest, mut offset) = (index, 0);
        for (size, stride) in shape.iter().zip(strides).rev() {
            offset += rest % size * stride;
            rest /= size;
        }
        offset
    };
    let side = |(strides, data)| {
        let (strides, data): (&Vec<usize>, &Vec<f32>) = (strides, data);
        Strided { data, strides }
    };
    let (left, right) = (side((&a.0, &a.1)), side((&b.0, &b.1)));
    for op in BINARY {
        let mut ops = Ops::default();
        let expected: Vec<f64> = (0..len)
            .map(|i| ops.binary(op, a.1[at(i, &a.0)].into(), b.1[at(i, &b.0)].into()))
            .collect();
        let out = run_one(len, &ops, |out, m| binary(op, shape, left, right, out, m).unwrap());
        assert_close(&out, &expected, if op == BinaryOp::Pow { 3e-6 } else { 1e-7 });
    }
    let condition: Vec<i64> = a.1.iter().map(|x| i64::from(*x > 0.0)).collect();
    let condition = Strided { data: &condition, strides: &a.0 };
    let chosen: Vec<f32> = (0..len)
        .map(|i| (a.1[at(i, &a.0)], b.1[at(i, &b.0)]))
        .map(|(x, y)| if x > 0.0 { x } else { y })
        .collect();
    let out = run_one(len, &Ops::default(), |out, _| {
        select(shape, condition, [left, right], out).unwrap();
    });
    assert_eq!(out, chosen);
    let copied: Vec<f32> = (0..len).map(|i| a.1[at(i, &a.0)]).collect();
    let out = run_one(len, &Ops::default(), |out, _| permute(shape, left, out).unwrap());
    assert_eq!(out, copied);
}

fn check_positions([batch, tokens, heads, pairs, extra]: [usize; 5], offset: usize) {
    let (width, turned) = (2 * pairs + extra, 2 * pairs);
    let inv_freq: Vec<f32> = (0..pairs).map(|i| 0.3f32.powi(i as i32)).collect();
    for factor in [None, Some(1.25)] {
        let mut o = Ops::default();
        let mut expected = Vec::new();
        let scaled = |o: &mut Ops, x| factor.map_or(x, |factor: f32| o.mul(x, factor.into()));
        for p in 0..tokens {
            let angle = |freq: &f32| o.mul((offset + p) as f64, f64::from(*freq));
            let once: Vec<f64> = inv_freq.iter().map(angle).collect();
            for function in [Ops::cos, Ops::sin] {
                for angle in once.iter().chain(&once) {
                    let value = function(&mut o, *angle);
                    expected.push(scaled(&mut o, value));
                }
            }
        }
        let out = run_one(expected.len(), &o, |out, m| {
            rotary_angles(RotaryPositions::From(offset), &inv_freq, factor, out, m).unwrap();
        });
        assert_close(&out, &expected, 1e-4);
    }
    // Each element has entries of its own, so that one that is read for another shows.
    let (x, table) = (data(batch * tokens * heads * width, 11), data(tokens * 2 * turned, 13));
    for pairing in [Pairing::HalfSplit, Pairing::Interleaved] {
        let mut o = Ops::default();
        let mut expected = wide(&x);
        for p in 0..tokens {
            for i in 0..pairs {
                let at = |quarter| f64::from(table[p * 2 * turned + quarter * pairs + i]);
                let (first, second) = match pairing {
                    Pairing::HalfSplit => (i, i + pairs),
                    Pairing::Interleaved => (2 * i, 2 * i + 1),
                };
                for row in 0..batch * heads {
                    let (b, h) = (row / heads, row % heads);
                    let head = &mut expected[((b * tokens + p) * heads + h) * width..][..width];
                    let (a, b) = (head[first], head[second]);
                    let (ac, bs) = (o.mul(a, at(0)), o.mul(b, at(2)));
                    let (bc, as_) = (o.mul(b, at(1)), o.mul(a, at(3)));
                    (head[first], head[second]) = (o.sub(ac, bs), o.add(bc, as_));
                }
            }
        }
        let problem = Rope { batch, tokens, heads, width, turned, table: &table, pairing };
        let out = run_one(x.len(), &o, |out, m| rope(&problem, &x, out, m).unwrap());
        assert_close(&out, &expected, 1e-5);
    }
    let mut o = Ops::default();
    let mut expected = Vec::new();
    for p in 0..tokens {
        for freq in &inv_freq {
            let angle = o.mul((offset + p) as f64, f64::from(*freq));
            expected.extend([o.sin(angle), o.cos(angle)]);
        }
    }
    let out = run_one(expected.len(), &o, |out, m| {
        sinusoid(tokens, offset, &inv_freq, out, m).unwrap();
    });
    assert_close(&out, &expected, 1e-4);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn rows_agree_with_loops(rows in 0usize..40, k in 1usize..150, gamma: bool, beta: bool) {
        check_norms(rows, k, gamma, beta);
        check_reduce(rows, k);
        check_reduce_columns(rows % 7, 1 + rows % 5, k);
        check_softmax(rows, k);
        check_top_k(rows, k, k.min(3));
    }

    #[test]
    fn what_runs_along_an_axis_agrees_with_loops(
        [blocks, terms, width] in [0usize..4, 1usize..40, 1usize..9],
    ) {
        check_along(blocks, terms, width);
    }

    #[test]
    fn elements_agree_with_loops(n in 0usize..300) {
        check_activations(n);
        check_pointwise(n);
        check_elementwise(n);
    }

    #[test]
    fn strided_agree_with_loops(
        shape in proptest::collection::vec(0usize..7, 0..5),
        orders in [Just(vec![0, 1, 2, 3, 4]).prop_shuffle(), Just(vec![4, 3, 2, 1, 0]).prop_shuffle()],
        repeats: [[bool; 5]; 2],
    ) {
        check_strided(&shape, [&orders[0], &orders[1]], [&repeats[0], &repeats[1]]);
    }

    #[test]
    fn positions_agree_with_loops(
        sizes in (0usize..3, 0usize..20, 0usize..4, 0usize..20, 0usize..4), offset in 0usize..300,
    ) {
        let (batch, tokens, heads, pairs, extra) = sizes;
        check_positions([batch, tokens, heads, pairs, extra], offset);
    }
}

#[test]
fn several_tasks_agree_with_loops() {
    check_norms(700, 33, true, true);
    check_norms(2, 30_000, true, false);
    check_reduce(700, 65);
    check_reduce(3, 30_000);
    check_reduce_columns(3, 5, 20_000);
    check_reduce_columns(700, 3, 65);
    check_along(700, 65, 1);
    check_along(3, 50, 4000);
    check_softmax(700, 65);
    check_softmax(2, 20_000);
    check_top_k(9000, 8, 2);
    check_top_k(40, 300, 300);
    check_activations(40_000);
    check_pointwise(20_000);
    check_elementwise(40_001);
    let (down, up) = (&[4, 3, 2, 1, 0][..], &[0, 1, 2, 3, 4][..]);
    check_strided(&[20, 30, 70], [down, down], [&[false; 5], &[true, true, false]]);
    check_strided(&[20, 30, 70], [up, down], [&[false; 5], &[false, true, false]]);
    check_strided(&[40_000], [down, down], [&[false], &[true]]);
    check_strided(&[40_000], [down, down], [&[true], &[false]]);
    check_positions([2, 300, 3, 16, 1], 7);
}

#[test]
fn gather_copies_rows_and_names_a_bad_id() {
    let table = data(7 * 3, 1);
    let mut out = vec![0.0; 12];
    assert_eq!(gather(&table, 3, &[6, 0, 3, 6], &mut out), Ok(12));
    for (row, id) in out.chunks(3).zip([6, 0, 3, 6]) {
        assert_eq!(row, &table[id * 3..][..3]);
    }
    for id in [7, -1, i64::MIN, i64::MAX] {
        assert_eq!(
            gather(&table, 3, &[0, id, 9, 1], &mut out),
            Err(KernelError::IdOutOfRange { id, position: 1, bound: 7 })
        );
    }
    let message = gather(&table, 3, &[7], &mut out[..3]).unwrap_err().to_string();
    assert_eq!(message, "id 7 at position 0 is outside 0..7");
    assert_eq!(gather(&table, 3, &[], &mut []), Ok(0));
    assert!(matches!(gather(&table, 4, &[0], &mut out[..4]), Err(KernelError::Shape { .. })));
    assert!(matches!(gather(&table, 3, &[0], &mut out), Err(KernelError::Length { .. })));
}

#[test]
fn nan_is_the_largest_and_more_than_there_are_cannot_be_chosen() {
    let x = [1.0, f32::NAN, f32::INFINITY, f32::NAN];
    let mut out = [0; 4];
    top_k(4, 4, Foremost::Largest, &x, &mut out, &NoMeter).unwrap();
    assert_eq!(out, [1, 3, 2, 0]);
    top_k(4, 4, Foremost::Smallest, &x, &mut out, &NoMeter).unwrap();
    assert_eq!(out, [0, 2, 1, 3]);
    let error = |width, k, out: &mut [i64]| {
        top_k(width, k, Foremost::Largest, &x, out, &NoMeter).unwrap_err()
    };
    assert_eq!(error(2, 3, &mut out), KernelError::Shape { what: "k <= width" });
    assert!(matches!(error(4, 2, &mut out), KernelError::Length { .. }));
    assert!(matches!(error(2, 2, &mut out[..3]), KernelError::Length { .. }));
    assert_eq!(top_k(4, 0, Foremost::Largest, &x, &mut [], &NoMeter), Ok(()));
}

#[test]
fn softmax_survives_extremes() {
    let inf = f32::INFINITY;
    let rows = |keys| ScoreRows { batch: 1, heads: 1, queries: 1, keys, mask: Mask::default() };
    let apply = |x: &[f32]| {
        let mut out = vec![f32::NAN; x.len()];
        softmax(&rows(x.len()), x, &mut out, &NoMeter).unwrap();
        out
    };
    assert_eq!(apply(&[1e30, -1e30, 1e30]), [0.5, 0.0, 0.5]);
    assert_eq!(apply(&[-inf, 3.0]), [0.0, 1.0]);
    assert_eq!(apply(&[-inf, -inf]), [0.0, 0.0]);
    assert!(apply(&[inf, 1.0])[0].is_nan());
    assert!(apply(&[f32::NAN, 1.0]).iter().all(|x| x.is_nan()));
    assert_eq!(apply(&[]), [0.0; 0]);
}

#[test]
fn maxima_keep_nan() {
    let mut x = data(70, 1);
    x[66] = f32::NAN;
    let mut out = [0.0];
    reduce(Reduction::Max, 70, &x, &mut out, &NoMeter).unwrap();
    assert!(out[0].is_nan());
    reduce(Reduction::Max, 2, &[f32::NEG_INFINITY; 2], &mut out, &NoMeter).unwrap();
    assert_eq!(out[0], f32::NEG_INFINITY);
    let mut out = [0.0; 35];
    reduce_columns(Reduction::Max, 2, 35, &x, &mut out, &NoMeter).unwrap();
    assert_eq!(out.iter().position(|x| x.is_nan()), Some(31));
}

#[test]
fn wrong_shapes_are_errors() {
    let x = [0.0; 6];
    let mut out = [0.0; 6];
    let m = &NoMeter;
    let layer = |width, gamma| LayerNorm {
        width,
        eps: 0.0,
        gamma,
        beta: None,
        channels: Channels::ELEMENTS,
    };
    let length = |result| assert!(matches!(result, Err(KernelError::Length { .. })), "{result:?}");
    assert!(matches!(
        layer_norm(&layer(0, None), &x, &mut out, m),
        Err(KernelError::EmptyReduction { .. })
    ));
    assert!(matches!(layer_norm(&layer(4, None), &x, &mut out, m), Err(KernelError::Shape { .. })));
    length(layer_norm(&layer(3, Some(&x)), &x, &mut out, m));
    length(layer_norm(&layer(3, None), &x, &mut out[..3], m));
    length(rms_norm(&RmsNorm { width: 3, eps: 0.0, weight: Some(&x) }, &x, &mut out, m));
    length(activation(Activation::Relu, &x, &mut out[..5], m));
    length(scale(1.0, &x, &mut out[..5], m));
    length(dropout(|_| 1.0, &x, &mut out[..5], m));
    length(reduce(Reduction::Sum, 2, &x, &mut out, m));
    assert!(matches!(
        reduce(Reduction::Sum, 0, &[], &mut out, m),
        Err(KernelError::EmptyReduction { .. })
    ));
    length(reduce_columns(Reduction::Sum, 2, 3, &x, &mut out, m));
    assert!(matches!(
        reduce_columns::<f32, _>(Reduction::Sum, 0, 3, &[], &mut out, m),
        Err(KernelError::EmptyReduction { .. })
    ));
    assert!(matches!(
        reduce_columns(Reduction::Sum, 1, 4, &x, &mut out, m),
        Err(KernelError::Shape { .. })
    ));
    let whole = Strided { data: &x, strides: &[3, 1] };
    assert!(matches!(permute(&[6], whole, &mut out), Err(KernelError::Shape { .. })));
    let wide = Strided { data: &x, strides: &[4, 1] };
    assert!(matches!(permute(&[2, 3], wide, &mut out), Err(KernelError::Short { .. })));
    length(binary(BinaryOp::Add, &[2, 2], whole, whole, &mut out, m));
    let spin = |width, turned, table| Rope {
        batch: 1,
        tokens: 1,
        heads: 1,
        width,
        turned,
        table,
        pairing: Pairing::HalfSplit,
    };
    length(rope(&spin(7, 2, &x[..4]), &x, &mut out, m));
    length(rope(&spin(6, 2, &x[..5]), &x, &mut out, m));
    for (width, turned) in [(2, 4), (6, 3)] {
        let spin = spin(width, turned, &[0.0; 8][..2 * turned]);
        let result = rope(&spin, &x[..width], &mut out[..width], m);
        assert!(matches!(result, Err(KernelError::Shape { .. })));
    }
    let result = rotary_angles(RotaryPositions::From(0), &x[..2], None, &mut out, m);
    assert!(matches!(result, Err(KernelError::Shape { .. })));
    length(sinusoid(2, 0, &x[..1], &mut out, m));
}

/// The environment is read once per process: each value needs its own.
#[test]
fn a_forced_instruction_set_is_used_or_refused() {
    let program = std::env::current_exe().unwrap();
    let reports = |value: &str| {
        let output = std::process::Command::new(&program)
            .args(["--ignored", "--exact", "rows::reports_the_instruction_set", "--nocapture"])
            .env("OPLEDGER_ISA", value)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(reports("sse9").contains("isa: OPLEDGER_ISA=sse9 is none of scalar, avx2, avx512"));
    let names: Vec<_> = Isa::available().map(Isa::name).collect();
    for name in ["scalar", "avx2", "avx512"] {
        let expected = if names.contains(&name) {
            format!("isa: {name}\n")
        } else {
            format!("isa: OPLEDGER_ISA={name}, but this machine does not support it")
        };
        assert!(reports(name).contains(&expected));
    }
}

#[test]
#[ignore = "run by another test with OPLEDGER_ISA set"]
fn reports_the_instruction_set() {
    match isa() {
        Ok(isa) => {
            let mut out = [0.0];
            scale(2.0, &[1.5], &mut out, &NoMeter).unwrap();
            assert_eq!(out, [3.0]);
            println!("isa: {isa}");
        }
        Err(error) => {
            assert_eq!(scale::<f32, _>(1.0, &[], &mut [], &NoMeter), Err(error.clone()));
            println!("isa: {error}");
        }
    }
}
