//! Matrix products against loops.

use opledger_dims::Class;
use opledger_kernels::*;
use proptest::prelude::*;

use crate::common::{Ops, assert_close, bound, data, run, wide};

/// A batch of matrices with some layout.
#[derive(Clone, Copy, Debug)]
enum Layout {
    Rows,
    Columns,
    Spread,
    /// The batch is the innermost axis, and an axis of one element has the stride 1.
    Interleaved,
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
        let items = if shared { 1 } else { batch };
        let alone = |size: usize, stride: usize| if size == 1 { 1 } else { stride };
        let (strides, item, len) = match layout {
            Layout::Rows => ((cols, 1), rows * cols, rows * cols),
            Layout::Columns => ((1, rows), rows * cols, rows * cols),
            Layout::Spread => ((3 * cols + 1, 2), rows * (3 * cols + 1), rows * (3 * cols + 1)),
            Layout::Interleaved => {
                ((alone(rows, cols * items), alone(cols, items)), 1, rows * cols)
            }
        };
        // Items stand in reverse order.
        let offsets = (0..items).rev().map(|i| i * item).collect();
        Stored { data: data(items * len, seed), offsets, strides }
    }

    fn operand(&self) -> MatrixBatch<'_> {
        let (row_stride, col_stride) = self.strides;
        MatrixBatch { data: &self.data, offsets: &self.offsets, row_stride, col_stride }
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
    let problem = Gemm { batch, m, k, n, a: a.operand(), b: Right::Plain(b.operand()) };
    let (found, [tally]) = run(expected.len(), |c, [meter]: &[AtomicMeter; 1]| {
        gemm(&problem, c, meter).unwrap();
    });
    assert_eq!(tally.useful, ops.counts);
    // Registers hold columns in sixteens.
    let padded = [n, n.next_multiple_of(16)].map(|n| (batch * m * n * k) as u64);
    assert!(padded.contains(&tally.executed[Class::Mul]), "{:?}", tally.executed);
    // Sums begin at zero.
    assert!(tally.executed[Class::Add] >= tally.executed[Class::Mul]);
    assert_close(&found, &expected, bound(k));
}

fn layout() -> impl Strategy<Value = Layout> {
    prop_oneof![
        Just(Layout::Rows),
        Just(Layout::Columns),
        Just(Layout::Spread),
        Just(Layout::Interleaved)
    ]
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

    #[test]
    fn dot_products_of_every_layout_agree_with_loops(
        batch in 1usize..6, m in 1usize..3, k in 1usize..9, n in 1usize..3,
        layouts in [layout(), layout()], shared: [bool; 2],
    ) {
        check([batch, m, k, n], layouts, shared);
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
    // Terms that lie apart, in more rows, terms and columns than one task takes, and in fewer.
    let apart = [Layout::Columns, Layout::Rows];
    check([1, 131, 1030, 555], apart, [true; 2]);
    check([1, 1601, 40, 70], apart, [true; 2]);
    check([2, 100, 33, 90], apart, [false; 2]);
}

#[test]
fn a_few_rows_by_a_matrix_stored_by_rows_have_the_bits_of_panels() {
    let most = if isa().unwrap() == Isa::SCALAR { 2 } else { 8 };
    for (k, n) in [(5, 16), (70, 64), (197, 65), (1100, 1500)] {
        for (m, layout) in (1..=most).flat_map(|m| [(m, Layout::Rows), (m, Layout::Spread)]) {
            let a = Stored::new(1, m, k, layout, true, 1);
            let b = Stored::new(1, k, n, Layout::Rows, true, 2);
            let packed = PackedMatrix::new(&b.data, [k, n], [n, 1]).unwrap();
            let [plain, panels] = [Right::Plain(b.operand()), Right::Packed(&packed)].map(|b| {
                let mut c = vec![f32::NAN; m * n];
                gemm(&Gemm { batch: 1, m, k, n, a: a.operand(), b }, &mut c, &NoMeter).unwrap();
                c
            });
            assert_eq!(plain, panels, "{m}x{k}x{n}");
        }
    }
}

#[test]
fn columns_that_only_fill_registers_are_executed() {
    let (a, b) = (data(20 * 5, 1), data(5 * 24, 2));
    let side = |data, row_stride| MatrixBatch { data, offsets: &[0], row_stride, col_stride: 1 };
    let problem =
        Gemm { batch: 1, m: 20, k: 5, n: 24, a: side(&a, 5), b: Right::Plain(side(&b, 24)) };
    let (_, [tally]) = run(20 * 24, |c, [meter]: &[AtomicMeter; 1]| {
        gemm(&problem, c, meter).unwrap();
    });
    // The portable product is not ours.
    let columns = if isa().unwrap() == Isa::SCALAR { 24 } else { 32 };
    assert_eq!(tally.useful[Class::Mul], 20 * 5 * 24);
    assert_eq!(tally.executed[Class::Mul], 20 * 5 * columns);
}

#[test]
fn wrong_shapes_are_errors() {
    let x = [0.0; 6];
    let side = |row_stride| MatrixBatch { data: &x, offsets: &[0], row_stride, col_stride: 1 };
    let good = Gemm { batch: 1, m: 2, k: 3, n: 2, a: side(3), b: Right::Plain(side(2)) };
    let fails = |p: Gemm<'_>| gemm(&p, &mut [0.0; 4], &NoMeter).unwrap_err();
    assert_eq!(gemm(&good, &mut [0.0; 4], &NoMeter), Ok(()));
    assert!(matches!(fails(Gemm { k: 0, ..good }), KernelError::EmptyReduction { .. }));
    assert!(matches!(fails(Gemm { m: 3, ..good }), KernelError::Length { expected: 6, .. }));
    assert!(matches!(fails(Gemm { a: side(4), ..good }), KernelError::Short { needed: 7, .. }));
    assert!(matches!(
        fails(Gemm { b: Right::Plain(side(3)), ..good }),
        KernelError::Short { needed: 8, .. }
    ));
    let offsets = MatrixBatch { offsets: &[0, 0], ..side(3) };
    assert!(matches!(fails(Gemm { a: offsets, ..good }), KernelError::Shape { .. }));
    let late = MatrixBatch { offsets: &[1], ..side(3) };
    assert!(matches!(fails(Gemm { a: late, ..good }), KernelError::Short { .. }));
    let huge = Gemm { m: usize::MAX, ..good };
    assert!(matches!(fails(huge), KernelError::TooLarge { .. }));
}

/// A packed factor and an epilogue against loops: `f(a·b + bias) + residual`.
fn check_epilogue([batch, m, k, n]: [usize; 4], activation: Option<Activation>, parts: [bool; 2]) {
    let (a, b) = (data(batch * m * k, 1), data(n * k, 2));
    let (bias, residual) = (data(n, 3), data(batch * m * n, 4));
    let packed = PackedMatrix::new(&b, [k, n], [1, k]).unwrap();
    assert_eq!(packed.shape(), [k, n]);
    let offsets: Vec<usize> = (0..batch).map(|item| item * m * k).collect();
    let left = MatrixBatch { data: &a, offsets: &offsets, row_stride: k, col_stride: 1 };
    let epilogue = Epilogue {
        bias: parts[0].then_some(&bias[..]),
        activation,
        residual: parts[1].then_some(&residual[..]),
    };
    let plain = MatrixBatch { data: &b, offsets: &[0], row_stride: 1, col_stride: k };
    for right in [Right::Packed(&packed), Right::Plain(plain)] {
        let problem = Gemm { batch, m, k, n, a: left, b: right };
        let mut out = vec![f32::NAN; batch * m * n];
        let meters: [AtomicMeter; 4] = Default::default();
        let [product, bias_meter, activation_meter, residual_meter] = &meters;
        let by_part = GemmMeters {
            product,
            bias: bias_meter,
            activation: activation_meter,
            residual: residual_meter,
        };
        gemm_with(&problem, &epilogue, &mut out, &by_part).unwrap();

        // The same steps, one kernel each.
        let mut steps = vec![0.0; out.len()];
        let step_meters: [AtomicMeter; 4] = Default::default();
        gemm(&problem, &mut steps, &step_meters[0]).unwrap();
        let rows = [batch * m, n];
        let add = |x: Vec<f32>, y: &[f32], strides: &[usize], meter: &AtomicMeter| {
            let mut sum = vec![0.0; x.len()];
            let x = Strided { data: &x, strides: &[n, 1] };
            binary(BinaryOp::Add, &rows, x, Strided { data: y, strides }, &mut sum, meter).unwrap();
            sum
        };
        if parts[0] {
            steps = add(steps, &bias, &[0, 1], &step_meters[1]);
        }
        if let Some(function) = activation {
            let x = steps.clone();
            opledger_kernels::activation(function, &x, &mut steps, &step_meters[2]).unwrap();
        }
        if parts[1] {
            steps = add(steps, &residual, &[n, 1], &step_meters[3]);
        }
        assert_eq!(out, steps, "{batch}x{m}x{k}x{n}");
        for (fused, apart) in meters.iter().zip(&step_meters) {
            assert_eq!(fused.read(), apart.read());
        }
    }
}

#[test]
fn packed_factors_and_epilogues_give_the_bits_of_separate_kernels() {
    for size in [[1, 1, 1, 1], [1, 7, 5, 33], [2, 13, 40, 70], [1, 200, 1100, 64], [3, 97, 9, 31]] {
        check_epilogue(size, None, [false, false]);
        check_epilogue(size, None, [true, false]);
        check_epilogue(size, Some(Activation::Relu), [true, true]);
    }
    for &activation in Activation::ALL {
        check_epilogue([1, 30, 20, 48], Some(activation), [true, true]);
        check_epilogue([1, 30, 20, 45], Some(activation), [false, false]);
    }
}

#[test]
fn epilogues_of_wrong_length_are_errors() {
    let (a, c) = (data(6, 1), &mut [0.0; 4]);
    let side = MatrixBatch { data: &a, offsets: &[0], row_stride: 3, col_stride: 1 };
    let packed = PackedMatrix::new(&a, [3, 2], [2, 1]).unwrap();
    let problem = Gemm { batch: 1, m: 2, k: 3, n: 2, a: side, b: Right::Packed(&packed) };
    let meters = GemmMeters::all(&NoMeter);
    let bias = Epilogue { bias: Some(&a[..3]), ..Epilogue::default() };
    assert!(matches!(gemm_with(&problem, &bias, c, &meters), Err(KernelError::Length { .. })));
    let residual = Epilogue { residual: Some(&a[..5]), ..Epilogue::default() };
    assert!(matches!(gemm_with(&problem, &residual, c, &meters), Err(KernelError::Length { .. })));
    let other = Gemm { k: 2, ..problem };
    assert!(matches!(gemm(&other, c, &NoMeter), Err(KernelError::Shape { .. })));
    assert!(matches!(
        PackedMatrix::new(&a, [0, 2], [2, 1]),
        Err(KernelError::EmptyReduction { .. })
    ));
    assert!(matches!(PackedMatrix::new(&a, [4, 2], [2, 1]), Err(KernelError::Short { .. })));
}

/// A weight kept in 16 bits gives the bits of the same weight widened before, for few rows, many, and more
/// terms than are summed at once; so do rows that are looked up.
#[test]
fn a_weight_in_16_bits_gives_the_bits_of_the_same_weight_widened() {
    for (m, k, n) in
        [(1, 40, 70), (3, 33, 31), (4, 1100, 16), (5, 40, 70), (13, 1100, 45), (200, 70, 260)]
    {
        let (a, weight) = (data(m * k, 1), data(n * k, 2));
        let bf16s: Vec<bf16> = weight.iter().map(|x| bf16::from_f32(*x)).collect();
        let f16s: Vec<f16> = weight.iter().map(|x| f16::from_f32(*x)).collect();
        for narrow in [Elements::Bf16(&bf16s), Elements::F16(&f16s)] {
            let wide: Vec<f32> = match narrow {
                Elements::Bf16(all) => all.iter().map(|x| x.to_f32()).collect(),
                Elements::F16(all) => all.iter().map(|x| x.to_f32()).collect(),
                Elements::F32(_) | Elements::Blocks(_) => unreachable!(),
            };
            let mut packing = Packing::new([k, n], Order::Columns, narrow.weight_type()).unwrap();
            packing.extend(narrow).unwrap();
            let narrow = packing.finish().unwrap();
            let wide = PackedMatrix::new(&wide, [k, n], [1, k]).unwrap();
            assert_eq!(
                (2 * narrow.bytes(), narrow.weight_type().bytes(1)),
                (wide.bytes(), Some(2))
            );
            let side = MatrixBatch { data: &a, offsets: &[0], row_stride: k, col_stride: 1 };
            let [narrow, wide] = [&narrow, &wide].map(|b| {
                let mut c = vec![f32::NAN; m * n];
                let problem = Gemm { batch: 1, m, k, n, a: side, b: Right::Packed(b) };
                gemm(&problem, &mut c, &NoMeter).unwrap();
                let mut columns = vec![f32::NAN; 2 * k];
                b.columns(&[n as i64 - 1, 0], &mut columns, &NoMeter).unwrap();
                (c, columns)
            });
            assert_eq!(narrow, wide, "{m}x{k}x{n}");
        }
    }
}

/// The same of blocks, and what widening them takes: once for the rows of a task, and for each look-up.
#[test]
fn a_weight_in_blocks_gives_the_bits_of_the_same_weight_widened() {
    for of in BlockType::ALL {
        for (m, k, n) in [(1, 256, 70), (3, 512, 31), (5, 1280, 16), (200, 256, 260)] {
            let a = data(m * k, 1);
            let len = n * k / of.elements() * of.bytes();
            let bytes: Vec<u8> = (0..len).map(|i| (i * 73 + i / 7 + 5) as u8 & 0xbb).collect();
            let mut wide = Vec::new();
            of.widen(&bytes, &mut wide);
            let mut packing = Packing::new([k, n], Order::Columns, WeightType::Blocks(of)).unwrap();
            for some in bytes.chunks(7 * of.bytes()) {
                packing.extend(Elements::Blocks(Blocks { of, bytes: some })).unwrap();
            }
            let narrow = packing.finish().unwrap();
            assert_eq!(narrow.bytes(), len / n * n.next_multiple_of(32));
            let wide = PackedMatrix::new(&wide, [k, n], [1, k]).unwrap();
            let side = MatrixBatch { data: &a, offsets: &[0], row_stride: k, col_stride: 1 };
            let [narrow, wide] = [&narrow, &wide].map(|b| {
                let meter = AtomicMeter::new();
                let mut c = vec![f32::NAN; m * n];
                let problem = Gemm { batch: 1, m, k, n, a: side, b: Right::Packed(b) };
                gemm(&problem, &mut c, &meter).unwrap();
                let product = meter.read();
                let mut columns = vec![f32::NAN; 2 * k];
                b.columns(&[n as i64 - 1, 0], &mut columns, &meter).unwrap();
                let mut all = Vec::new();
                b.unpack(Order::Columns, &mut all);
                let bits =
                    [c, columns, all].map(|x| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>());
                (bits, product, meter.read())
            });
            assert_eq!(narrow.0, wide.0, "{of:?}, {m}x{k}x{n}");
            assert_eq!(narrow.1.executed, wide.1.executed);
            // A multiplication of each element, of panels filled up to 32 columns, by each task of rows.
            let times = (m.div_ceil(96) * k * n.next_multiple_of(32)) as u64;
            let shifted = ["Q4_1", "Q5_1", "Q4_K", "Q5_K"].contains(&of.name());
            let scales = match of.name() {
                "Q4_K" | "Q5_K" => times / 32 * 2,
                "Q6_K" => times / 16,
                _ => 0,
            };
            let adds = if shifted { times } else { 0 };
            let widened = narrow.1.widened;
            assert_eq!(
                (widened[Class::Mul], widened[Class::Add]),
                (times + scales, adds),
                "{of:?}"
            );
            assert!(wide.2.widened.is_zero() && narrow.2.executed == narrow.1.executed);
            assert!(narrow.2.widened[Class::Mul] > widened[Class::Mul]);
        }
    }
    let rows = Packing::<f32>::new([256, 4], Order::Rows, WeightType::Blocks(BlockType::Q8_0));
    assert!(matches!(rows, Err(KernelError::Shape { .. })));
    let part = Packing::<f32>::new([40, 4], Order::Columns, WeightType::Blocks(BlockType::Q8_0));
    assert!(matches!(part, Err(KernelError::Shape { .. })));
}
