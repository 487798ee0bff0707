//! The element-wise kernel under masks against loops over single entries.

use opledger_kernels::*;
use proptest::prelude::*;

use crate::common::{BINARY, Ops, assert_close, bound, data, run_one};

/// Entries `[batch, heads, queries, keys]` under a mask.
#[derive(Clone, Debug)]
struct Case {
    sizes: [usize; 4],
    causal_offset: Option<i64>,
    window: Option<usize>,
    chunk: Option<usize>,
    keep: Option<Vec<i64>>,
    /// Whether truth values are of pairs: `[heads, queries, keys]`, not `[batch, keys]`.
    pairs: bool,
    /// Over which axes the second operand repeats.
    repeat: [bool; 4],
}

impl Case {
    fn allowed(&self, [b, h, i, j]: [usize; 4]) -> bool {
        let [_, _, queries, keys] = self.sizes;
        let at = if self.pairs { (h * queries + i) * keys + j } else { b * keys + j };
        let (query, key) = (i as i64, j as i64);
        let last = query + self.causal_offset.unwrap_or(0);
        (self.causal_offset.is_none() || key <= last)
            && self.window.is_none_or(|w| key > last - w as i64)
            && self
                .chunk
                .is_none_or(|c| c > 0 && key.div_euclid(c as i64) >= last.div_euclid(c as i64))
            && self.keep.as_ref().is_none_or(|keep| keep[at] != 0)
    }

    fn index(&self, mut flat: usize) -> [usize; 4] {
        let mut index = [0; 4];
        for axis in (0..4).rev() {
            index[axis] = flat % self.sizes[axis];
            flat /= self.sizes[axis];
        }
        index
    }

    /// Row-major strides, zero where the operand repeats.
    fn strides(&self, repeat: [bool; 4]) -> ([usize; 4], usize) {
        let (mut strides, mut len) = ([0; 4], 1);
        for axis in (0..4).rev().filter(|axis| !repeat[*axis]) {
            strides[axis] = len;
            len *= self.sizes[axis];
        }
        (strides, len)
    }
}

fn check(case: &Case) {
    let [batch, heads, queries, keys] = case.sizes;
    let starts: Vec<usize> =
        (0..batch * heads).map(|matrix| matrix % heads * queries * keys).collect();
    let keep = case.keep.as_deref().map(|data| match case.pairs {
        true => Keep::Pairs(Pairs { data, starts: &starts, query_stride: keys }),
        false => Keep::Keys(&data[..batch * keys]),
    });
    let (causal_offset, window, chunk) = (case.causal_offset, case.window, case.chunk);
    let mask = Mask { causal_offset, window, chunk, keep };
    let rows = ScoreRows { batch, heads, queries, keys, mask };
    let ((a_strides, len), (b_strides, b_len)) =
        (case.strides([false; 4]), case.strides(case.repeat));
    let (mut a, b) = (data(len, 1), data(b_len, 2));
    let indices: Vec<[usize; 4]> = (0..len).map(|flat| case.index(flat)).collect();
    for (a, index) in a.iter_mut().zip(&indices) {
        if !case.allowed(*index) {
            *a = f32::NAN;
        }
    }
    let second = |index: &[usize; 4]| -> f64 {
        b[index.iter().zip(b_strides).map(|(i, s)| i * s).sum::<usize>()].into()
    };
    for op in BINARY {
        let mut ops = Ops::default();
        let expected: Vec<f64> = indices
            .iter()
            .zip(&a)
            .map(|(index, a)| match case.allowed(*index) {
                false => 0.0,
                true => ops.binary(op, (*a).into(), second(index)),
            })
            .collect();
        let operands =
            [Strided { data: &a, strides: &a_strides }, Strided { data: &b, strides: &b_strides }];
        let out = run_one(len, &ops, |out, m| {
            masked_binary(op, &rows, &case.sizes, operands, out, m).unwrap();
        });
        assert_close(&out, &expected, if op == BinaryOp::Pow { 3e-6 } else { 1e-7 });
    }
    // Sums over queries, of all heads apart and of two each together.
    for groups in (1..=2).filter(|groups| heads % groups == 0) {
        let width = 3;
        let x = data(batch * queries * heads * width, 3);
        let mut ops = Ops::default();
        let mut expected = vec![0.0; batch * keys * heads / groups * width];
        for (index, a) in indices.iter().zip(&a).filter(|(index, _)| case.allowed(**index)) {
            let [b, h, i, j] = *index;
            for column in 0..width {
                let x = f64::from(x[((b * queries + i) * heads + h) * width + column]);
                let at = ((b * keys + j) * (heads / groups) + h / groups) * width + column;
                let product = ops.mul((*a).into(), x);
                expected[at] = ops.add(expected[at], product);
            }
        }
        let problem = QuerySums { rows, groups, entries: &a, x: &x, width };
        let out = run_one(expected.len(), &ops, |out, m| {
            masked_query_sums(&problem, out, m).unwrap();
        });
        assert_close(&out, &expected, bound(queries * groups));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn agrees_with_loops(
        sizes in [0usize..4, 0usize..4, 0usize..12, 0usize..20],
        causal_offset in proptest::option::of(-5i64..15),
        window in proptest::option::of(0usize..9),
        chunk in proptest::option::of(0usize..9),
        keep in proptest::option::of(proptest::collection::vec(0i64..2, 4 * 12 * 20)),
        pairs: bool,
        repeat: [bool; 4],
    ) {
        check(&Case { sizes, causal_offset, window, chunk, keep, pairs, repeat });
    }
}

#[test]
fn several_tasks_agree_with_loops() {
    let keep = Some((0..3 * 120 * 150).map(|j| j % 7 % 3).collect());
    for (window, keep, pairs) in [
        (None, None, false),
        (Some(40), None, false),
        (Some(90), keep.clone(), false),
        (None, keep, true),
    ] {
        for repeat in [[false; 4], [true, false, false, false], [true; 4]] {
            let (sizes, keep) = ([2, 3, 120, 150], keep.clone());
            let chunk = window.map(|window| window + 7);
            check(&Case { sizes, causal_offset: Some(20), window, chunk, keep, pairs, repeat });
        }
    }
}

#[test]
fn wrong_shapes_are_errors() {
    let x = [0.0; 6];
    let side = Strided { data: &x, strides: &[3, 1] };
    let rows = |mask| ScoreRows { batch: 1, heads: 1, queries: 2, keys: 3, mask };
    let run = |mask, shape: &[usize], len| {
        let operands = [side, side];
        masked_binary(BinaryOp::Add, &rows(mask), shape, operands, &mut vec![0.0; len], &NoMeter)
    };
    assert_eq!(run(Mask::default(), &[2, 3], 6), Ok(()));
    assert!(matches!(run(Mask::default(), &[2, 3], 5), Err(KernelError::Length { .. })));
    assert!(matches!(run(Mask::default(), &[3, 2], 6), Err(KernelError::Shape { .. })));
    assert!(matches!(run(Mask::default(), &[4, 3], 6), Err(KernelError::Length { .. })));
    assert!(matches!(run(Mask::default(), &[1, 3], 3), Err(KernelError::Length { .. })));
    let keep = Mask { keep: Some(Keep::Keys(&[1, 1])), ..Mask::default() };
    assert!(matches!(run(keep, &[2, 3], 6), Err(KernelError::Length { .. })));
}
