//! Products of matrices, and of rows with the weights of experts.

use opledger_dims::{Class, Counted};
use proptest::prelude::*;

use super::{add_up, counts_itself, data, numbers, run};
use crate::gemm::matrix::Matrix;
use crate::gemm::microkernel::{Left, NR, NR_HALF, Next, PanelProduct};
use crate::gemv::{VECTORS, VectorBlock, count_dots};
use crate::number::simd::SUMS;
use crate::*;

/// The strides of a matrix's rows and columns, and how many elements it takes.
fn layout(kind: usize, [rows, cols]: [usize; 2]) -> ([usize; 2], usize) {
    match kind {
        0 => ([cols, 1], rows * cols),
        1 => ([1, rows], rows * cols),
        _ => ([2 * cols + 1, 2], rows * (2 * cols + 1)),
    }
}

/// Batched products.
#[derive(Clone, Copy, Debug)]
struct Case {
    batch: usize,
    m: usize,
    k: usize,
    n: usize,
    /// How the factors are stored.
    kinds: [usize; 2],
    /// Whether all items have the same right factor.
    shared: bool,
    bias: bool,
    activation: Option<Activation>,
    residual: bool,
}

/// What a product is computed of.
struct Data {
    a: Vec<f32>,
    b: Vec<f32>,
    a_offsets: Vec<usize>,
    b_offsets: Vec<usize>,
    bias: Vec<f32>,
    residual: Vec<f32>,
}

impl Case {
    /// Elements of a right factor, and how many there are.
    fn right(&self) -> (usize, usize) {
        (layout(self.kinds[1], [self.k, self.n]).1, if self.shared { 1 } else { self.batch })
    }

    fn data(&self) -> Data {
        let &Case { batch, m, k, n, kinds, .. } = self;
        let (a_len, (b_len, items)) = (layout(kinds[0], [m, k]).1, self.right());
        Data {
            a: data(a_len * batch, 1, false),
            b: data(b_len * items, 2, false),
            a_offsets: (0..batch).map(|item| item * a_len).collect(),
            b_offsets: (0..items).map(|item| item * b_len).collect(),
            bias: data(n, 3, false),
            residual: data(batch * m * n, 4, false),
        }
    }

    fn product<T: Number>(&self, data: &Data, packed: Kept, meters: &[AtomicMeter; 4]) -> Vec<T> {
        let &Case { batch, m, k, n, kinds, .. } = self;
        let [a, b, bias, residual] =
            [&data.a, &data.b, &data.bias, &data.residual].map(|x| numbers::<T>(x));
        let [([a_row, a_col], _), ([b_row, b_col], _)] =
            [layout(kinds[0], [m, k]), layout(kinds[1], [k, n])];
        let panels = match packed {
            None | Some(WeightType::F32) => PackedMatrix::new(&b, [k, n], [b_row, b_col]).unwrap(),
            Some(narrow @ WeightType::Blocks(_)) => {
                packed_in(narrow, [k, n], Order::Columns, data.b.iter().copied())
            }
            Some(narrow) => {
                let at = |i: usize| data.b[i / n * b_row + i % n * b_col];
                packed_in(narrow, [k, n], Order::Rows, (0..k * n).map(at))
            }
        };
        let offsets = &data.a_offsets;
        let left = MatrixBatch { data: &a, offsets, row_stride: a_row, col_stride: a_col };
        let offsets = &data.b_offsets;
        let right = MatrixBatch { data: &b, offsets, row_stride: b_row, col_stride: b_col };
        let right = if packed.is_some() { Right::Packed(&panels) } else { Right::Plain(right) };
        let epilogue = Epilogue {
            bias: self.bias.then_some(&bias[..]),
            activation: self.activation,
            residual: self.residual.then_some(&residual[..]),
        };
        let [product, bias, activation, residual] = meters;
        let mut out = numbers::<T>(&vec![f32::NAN; batch * m * n]);
        let problem = Gemm { batch, m, k, n, a: left, b: right };
        match self {
            Case { bias: false, activation: None, residual: false, .. } => {
                gemm(&problem, &mut out, product).unwrap();
            }
            _ => {
                let meters = GemmMeters { product, bias, activation, residual };
                gemm_with(&problem, &epilogue, &mut out, &meters).unwrap();
            }
        }
        out
    }
}

/// Whether a right factor is packed, and the type in which it is then kept.
type Kept = Option<WeightType>;

/// A matrix that is kept in fewer bits; of blocks, with bytes that numbers give.
fn packed_in<T: Number>(
    narrow: WeightType,
    shape: [usize; 2],
    order: Order,
    elements: impl Iterator<Item = f32>,
) -> PackedMatrix<T> {
    let mut packing = Packing::new(shape, order, narrow).unwrap();
    match narrow {
        WeightType::F32 => unreachable!("a matrix in 32 bits is packed as it is"),
        WeightType::Bf16 => {
            let halves: Vec<bf16> = elements.map(bf16::from_f32).collect();
            packing.extend(Elements::Bf16(&halves)).unwrap();
        }
        WeightType::F16 => {
            let halves: Vec<f16> = elements.map(f16::from_f32).collect();
            packing.extend(Elements::F16(&halves)).unwrap();
        }
        WeightType::Blocks(of) => {
            let bytes: Vec<u8> = elements.map(|x| x.to_bits() as u8 & 0xbb).collect();
            let bytes =
                bytes.iter().copied().cycle().take(of.bytes() * (bytes.len() / of.elements()));
            packing
                .extend(Elements::Blocks(Blocks { of, bytes: &bytes.collect::<Vec<u8>>() }))
                .unwrap();
        }
    }
    packing.finish().unwrap()
}

/// Runs a product as its factors are stored, and with the right one packed, in each type, if all items share
/// it.
fn check(case: Case) {
    let data = case.data();
    let types = [WeightType::F32, WeightType::Bf16, WeightType::F16];
    let blocks = BlockType::ALL.map(WeightType::Blocks);
    for packed in [None].into_iter().chain(types.into_iter().chain(blocks).map(Some)) {
        let whole = |of: BlockType| case.kinds[1] == 1 && case.k.is_multiple_of(of.elements());
        let kept = match packed {
            Some(WeightType::Blocks(of)) => case.shared && whole(of),
            Some(_) => case.shared,
            None => true,
        };
        if !kept {
            continue;
        }
        let what = format!("{case:?}, packed: {packed:?}");
        counts_itself!(what, T, |meters| case.product::<T>(&data, packed, meters));
        for isa in Isa::available() {
            let on = [true, case.bias, case.activation.is_some(), case.residual];
            add_up(&format!("{what} on {isa}"), on, |[_, bias, activation, residual]| {
                let activation = case.activation.filter(|_| activation);
                let case = Case { bias, activation, residual, ..case };
                run(isa, |meters| case.product::<Counted<f32>>(&data, packed, meters))
            });
        }
    }
}

fn plain([batch, m, k, n]: [usize; 4], kinds: [usize; 2], shared: bool) -> Case {
    Case { batch, m, k, n, kinds, shared, bias: false, activation: None, residual: false }
}

/// Axes of a window: input, taps, stride, padding before, dilation, and further results.
fn sliding() -> impl Strategy<Value = SlidingAxis> {
    (1usize..12, 1usize..4, 1usize..4, 0usize..4, 1usize..3, 0usize..3).prop_map(
        |(input, taps, stride, before, dilation, more)| SlidingAxis {
            input,
            taps,
            results: input / stride + more,
            stride,
            before,
            dilation,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn pools_count_themselves(
        items in 0usize..4,
        axes in prop::collection::vec(sliding(), 1..4),
        after in 0usize..3,
        odd: bool,
        seed: u64,
    ) {
        // No window lies on padding alone.
        let mut axes = axes;
        for axis in &mut axes {
            axis.dilation = axis.dilation.min(axis.input);
            axis.before = axis.before.min((axis.taps - 1) * axis.dilation);
            axis.results = axis.results.min((axis.before + axis.input - 1) / axis.stride + 1);
        }
        let size = |of: fn(&SlidingAxis) -> usize| axes.iter().map(of).product::<usize>();
        let x = data(items * size(|axis| axis.input), seed, odd);
        let (len, after) = (items * size(|axis| axis.results), vec![after; axes.len()]);
        for pooling in [Pooling::Max, Pooling::Mean, Pooling::MeanWithPadding(&after)] {
            counts_itself!(format!("{pooling:?} of {items}: {axes:?}"), T, |[meter]| {
                let mut out = numbers::<T>(&vec![7.0; len]);
                pool(pooling, items, &axes, &numbers::<T>(&x), &mut out, meter).unwrap();
                out
            });
        }
    }

    #[test]
    fn convolutions_count_themselves(
        [batch, groups, inputs] in [0usize..3, 1usize..3, 1usize..4],
        outputs in prop_oneof![1usize..9, 95usize..98],
        axes in prop::collection::vec(sliding(), 1..4),
        seed: u64,
    ) {
        let size = |of: fn(&SlidingAxis) -> usize| axes.iter().map(of).product::<usize>();
        let x = data(batch * groups * inputs * size(|axis| axis.input), seed, false);
        let weight = data(groups * outputs * inputs * size(|axis| axis.taps), seed + 1, false);
        let len = batch * groups * outputs * size(|axis| axis.results);
        counts_itself!(format!("{batch}·{groups}·{inputs} to {outputs}: {axes:?}"), T, |[meter]| {
            let (x, weight) = (&numbers::<T>(&x)[..], &numbers::<T>(&weight)[..]);
            let problem = Convolution { batch, groups, inputs, outputs, axes: &axes, x, weight };
            let mut out = numbers::<T>(&vec![7.0; len]);
            convolution(&problem, &mut out, meter).unwrap();
            out
        });
        // The other way round, results are where the window lies.
        let x = data(batch * groups * inputs * size(|axis| axis.results), seed + 2, false);
        let len = batch * groups * outputs * size(|axis| axis.input);
        counts_itself!(format!("{batch}·{groups}·{inputs} back to {outputs}: {axes:?}"), T, |[meter]| {
            let (x, weight) = (&numbers::<T>(&x)[..], &numbers::<T>(&weight)[..]);
            let problem = Convolution { batch, groups, inputs, outputs, axes: &axes, x, weight };
            let mut out = numbers::<T>(&vec![7.0; len]);
            convolution_transposed(&problem, &mut out, meter).unwrap();
            out
        });
    }

    #[test]
    fn windows_that_cover_an_axis_count_themselves(
        items in 0usize..4,
        axes in prop::collection::vec((1usize..12, 1usize..7), 1..4),
        odd: bool,
        seed: u64,
    ) {
        let axes: Vec<[usize; 2]> = axes.into_iter().map(|(input, results)| [input, results]).collect();
        let size = |at: usize| axes.iter().map(|axis| axis[at]).product::<usize>();
        let x = data(items * size(0), seed, odd);
        for mean in [false, true] {
            counts_itself!(format!("mean {mean} of {items}: {axes:?}"), T, |[meter]| {
                let mut out = numbers::<T>(&vec![7.0; items * size(1)]);
                adaptive_pool(mean, items, &axes, &numbers::<T>(&x), &mut out, meter).unwrap();
                out
            });
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn products_count_themselves(
        batch in 1usize..4,
        m in prop_oneof![1usize..4, 3usize..14, 20usize..40],
        k in prop_oneof![1usize..20, 30usize..80],
        n in prop_oneof![1usize..9, 9usize..40, 60usize..100],
        kinds in [0usize..3, 0usize..3],
        [shared, bias, residual]: [bool; 3],
        activation in prop::option::of(prop::sample::select(Activation::ALL)),
    ) {
        check(Case { bias, residual, activation, ..plain([batch, m, k, n], kinds, shared) });
    }

    #[test]
    fn panels_count_themselves(m in 0usize..30, k in 1usize..40, half: bool, add: bool, seed: u64) {
        let n = if half { NR_HALF } else { NR };
        let [a, b, c] = [m * k, k * NR, m * NR].map(|len| data(len, seed, false));
        counts_itself!(format!("a panel of {m}x{k}x{n}"), T, |[meter]| {
            let (a, b, mut c) = (numbers::<T>(&a), numbers::<T>(&b), numbers::<T>(&c));
            let (next, far) = (Next::NOTHING, false);
            let a = Left::Stored(Matrix { data: &a, row: k, col: 1 });
            let product = PanelProduct { m, k, n, a, b: &b, add, far, next };
            product.into(isa().unwrap(), &mut c, NR);
            let mut tally = Tally::default();
            product.count(&mut tally);
            meter.record(&tally);
            c
        });
    }

    #[test]
    fn vectors_count_themselves(
        rows in 1usize..7,
        count in 1usize..=VECTORS,
        width in prop_oneof![1usize..40, 60usize..140],
        seed: u64,
    ) {
        let [x, y] = [rows * width, count * width].map(|len| data(len, seed, false));
        counts_itself!(format!("{rows} rows by {count} vectors of {width}"), T, |[dots, axpys]| {
            let (mut x, y) = (numbers::<T>(&x), numbers::<T>(&y));
            let vectors: Vec<&[T]> = y.chunks_exact(width).collect();
            let block = VectorBlock { vectors: &vectors, rows, stride: count, ahead: 0 };
            let mut out = numbers::<T>(&vec![7.0; rows * count]);
            let mut tally = Tally::default();
            block.dots(isa().unwrap(), &x, &mut out);
            count_dots::<T>(isa().unwrap(), rows * count.div_ceil(SUMS), width, &mut tally);
            dots.record(&tally);
            let mut tally = Tally::default();
            block.axpys(isa().unwrap(), &out, &mut x);
            tally.executed(Class::Mul, rows * count * width);
            tally.executed(Class::Add, rows * count * width);
            axpys.record(&tally);
            out.extend(x);
            out
        });
    }

    #[test]
    fn experts_count_themselves(
        rows in prop_oneof![0usize..12, 20usize..60],
        choices in 1usize..4,
        count in 1usize..6,
        width in prop_oneof![1usize..9, 9usize..50],
        terms in 1usize..50,
        seed: u64,
    ) {
        check_experts([rows, choices, count, width, terms], seed);
    }
}

/// Runs rows by the experts chosen for each: rows, choices of each, experts, width, terms.
fn check_experts(sizes: [usize; 5], seed: u64) {
    let [rows, choices, count, width, terms] = sizes;
    let [x, weight] = [rows * terms, count * width * terms].map(|len| data(len, seed, false));
    let chosen = data(rows * choices, seed + 1, false);
    let id = |x: &f32| ((x * 1e3) as i64).rem_euclid(count as i64);
    let ids: Vec<i64> = chosen.iter().map(id).collect();
    for narrow in [None, Some(WeightType::Bf16), Some(WeightType::F16)] {
        let what = format!(
            "{rows} rows, {choices} of {count} experts, {width} by {terms}, packed: {narrow:?}"
        );
        counts_itself!(what, T, |[meter]| {
            let (x, plain) = (numbers::<T>(&x), numbers::<T>(&weight));
            let packed: Vec<PackedMatrix<T>> = weight
                .chunks(width * terms)
                .filter_map(|one| Some((narrow?, one)))
                .map(|(narrow, one)| {
                    packed_in(narrow, [terms, width], Order::Columns, one.iter().copied())
                })
                .collect();
            let weight = match narrow {
                None => ExpertMatrices::Plain(&plain),
                Some(_) => ExpertMatrices::Packed(&packed),
            };
            let (ids, experts_of) = (&ids[..], count);
            let problem =
                Experts { x: &x, choices, ids, weight, experts: experts_of, width, terms };
            let mut out = numbers::<T>(&vec![7.0; ids.len() * width]);
            experts(&problem, &mut out, meter).unwrap();
            out
        });
    }
}

/// More choices of an expert than are multiplied at once, and experts that nobody chose.
#[test]
fn outer_products_of_experts_count_themselves() {
    for (ids, [experts, width, terms]) in
        [(vec![1; 300], [2, 5, 7]), (vec![0, 2, 2, 0], [4, 9, 17]), (vec![0, 1, 1, 0], [2, 0, 3])]
    {
        let (y, x) = (data(ids.len() * width, 1, false), data(ids.len() / 2 * terms, 2, false));
        counts_itself!(format!("{ids:?}, {width} by {terms}"), T, |[meter]| {
            let (y, x) = (&numbers::<T>(&y)[..], &numbers::<T>(&x)[..]);
            let ids = &ids[..];
            let problem = OuterProducts { y, ids, x, choices: 2, experts, width, terms };
            let mut out = numbers::<T>(&vec![7.0; experts * width * terms]);
            experts_outer(&problem, &mut out, meter).unwrap();
            out
        });
    }
}

/// More rows of an expert than are multiplied at once, and a rest of few.
#[test]
fn experts_of_many_rows_count_themselves() {
    for sizes in [[700, 1, 1, 20, 11], [517, 1, 1, 9, 40], [400, 3, 2, 33, 5]] {
        check_experts(sizes, 5);
    }
}

#[test]
fn products_of_several_tasks_blocks_and_cuts_of_terms_count_themselves() {
    for (sizes, kinds, shared) in [
        ([1, 100, 1030, 45], [0, 0], true),
        ([1, 5, 1030, 70], [0, 1], true),
        ([1, 3, 300, 1100], [0, 0], true),
        ([1, 1, 70, 2100], [0, 0], true),
        ([1, 2100, 70, 1], [0, 0], true),
        ([20, 16, 64, 33], [0, 1], false),
        ([2, 200, 20, 260], [1, 0], true),
    ] {
        check(plain(sizes, kinds, shared));
    }
}

#[test]
fn looked_up_columns_count_what_widening_them_takes() {
    let [k, n] = [256, 70];
    let x = data(k * n, 1, false);
    let halves = [WeightType::Bf16, WeightType::F16];
    for narrow in halves.into_iter().chain(BlockType::ALL.map(WeightType::Blocks)) {
        counts_itself!(format!("columns of {narrow:?}"), T, |[meter]| {
            let packed: PackedMatrix<T> =
                packed_in(narrow, [k, n], Order::Columns, x.iter().copied());
            let ids = [0, 69, 31, 32, 31];
            let mut out = numbers::<T>(&vec![7.0; ids.len() * k]);
            packed.columns(&ids, &mut out, meter).unwrap();
            out
        });
    }
}

#[test]
fn products_by_blocks_count_what_widening_them_takes() {
    for sizes in [[1, 1, 256, 40], [1, 3, 512, 31], [1, 7, 256, 33], [1, 100, 1280, 45]] {
        check(plain(sizes, [0, 1], true));
    }
}
