//! Matrix products against loops.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod common;

use common::{Ops, assert_close, bound, data, run_exact, wide};
use opledger_kernels::*;
use proptest::prelude::*;

/// A batch of matrices with some layout.
#[derive(Clone, Copy, Debug)]
enum Layout {
    Rows,
    Columns,
    Spread,
}

struct Stored {
    data: Vec<f32>,
    offsets: Vec<usize>,
    strides: (usize, usize),
}

impl Stored {
    fn new(
        batch: usize,
        rows: usize,
        cols: usize,
        layout: Layout,
        shared: bool,
        seed: u64,
    ) -> Self {
        let (strides, item) = match layout {
            Layout::Rows => ((cols, 1), rows * cols),
            Layout::Columns => ((1, rows), rows * cols),
            Layout::Spread => ((3 * cols + 1, 2), rows * (3 * cols + 1)),
        };
        let items = if shared { 1 } else { batch };
        // Items stand in reverse order.
        let offsets = (0..items).rev().map(|i| i * item).collect();
        Stored { data: data(items * item, seed), offsets, strides }
    }

    fn operand(&self) -> Operand<'_> {
        let (row_stride, col_stride) = self.strides;
        Operand { data: &self.data, offsets: &self.offsets, row_stride, col_stride }
    }

    fn at(&self, item: usize, row: usize, col: usize) -> f32 {
        let offset = self.offsets[if self.offsets.len() == 1 { 0 } else { item }];
        self.data[offset + row * self.strides.0 + col * self.strides.1]
    }
}

fn check([batch, m, k, n]: [usize; 4], layouts: [Layout; 2], shared: [bool; 2]) {
    let a = Stored::new(batch, m, k, layouts[0], shared[0], 1);
    let b = Stored::new(batch, k, n, layouts[1], shared[1], 2);
    let mut ops = Ops::default();
    let mut expected = Vec::new();
    for item in 0..batch {
        for i in 0..m {
            let row: Vec<f32> = (0..k).map(|p| a.at(item, i, p)).collect();
            for j in 0..n {
                let col: Vec<f32> = (0..k).map(|p| b.at(item, p, j)).collect();
                expected.push(ops.dot(&wide(&row), &wide(&col)));
            }
        }
    }
    let problem = Gemm { batch, m, k, n, a: a.operand(), b: b.operand() };
    let found = run_exact(expected.len(), &ops, |c, meter| gemm(&problem, c, meter).unwrap());
    assert_close(&found, &expected, bound(k));
}

fn layout() -> impl Strategy<Value = Layout> {
    prop_oneof![Just(Layout::Rows), Just(Layout::Columns), Just(Layout::Spread)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn agrees_with_loops(
        batch in 0usize..4, m in 0usize..40, k in 1usize..50, n in 0usize..70,
        layouts in [layout(), layout()], shared: [bool; 2],
    ) {
        check([batch, m, k, n], layouts, shared);
    }

    #[test]
    fn vectors_agree_with_loops(
        m in 1usize..6, k in 1usize..200, n in 1usize..200, turn: bool,
        layouts in [layout(), layout()],
    ) {
        check(if turn { [2, n, k, m] } else { [2, m, k, n] }, layouts, [false, true]);
    }
}

#[test]
fn products_of_several_tasks_agree_with_loops() {
    let rows = [Layout::Rows; 2];
    let weight = [Layout::Rows, Layout::Columns];
    check([1, 300, 33, 130], weight, [true; 2]);
    check([3, 260, 64, 90], rows, [false; 2]);
    check([1, 1, 300, 3000], weight, [true; 2]);
    check([1, 3, 300, 2500], rows, [true; 2]);
    check([70, 16, 64, 16], rows, [false; 2]);
    check([1, 2100, 300, 1], rows, [false; 2]);
}

#[test]
fn wrong_shapes_are_errors() {
    let x = [0.0; 6];
    let side = |row_stride| Operand { data: &x, offsets: &[0], row_stride, col_stride: 1 };
    let good = Gemm { batch: 1, m: 2, k: 3, n: 2, a: side(3), b: side(2) };
    let fails = |p: Gemm<'_>| gemm(&p, &mut [0.0; 4], &NoMeter).unwrap_err();
    assert_eq!(gemm(&good, &mut [0.0; 4], &NoMeter), Ok(()));
    assert!(matches!(fails(Gemm { k: 0, ..good }), KernelError::EmptyReduction { .. }));
    assert!(matches!(fails(Gemm { m: 3, ..good }), KernelError::Length { expected: 6, .. }));
    assert!(matches!(fails(Gemm { a: side(4), ..good }), KernelError::Short { needed: 7, .. }));
    assert!(matches!(fails(Gemm { b: side(3), ..good }), KernelError::Short { needed: 8, .. }));
    let offsets = Operand { offsets: &[0, 0], ..side(3) };
    assert!(matches!(fails(Gemm { a: offsets, ..good }), KernelError::Shape { .. }));
    let late = Operand { offsets: &[1], ..side(3) };
    assert!(matches!(fails(Gemm { a: late, ..good }), KernelError::Short { .. }));
    let huge = Gemm { m: usize::MAX, ..good };
    assert!(matches!(fails(huge), KernelError::TooLarge { .. }));
}
