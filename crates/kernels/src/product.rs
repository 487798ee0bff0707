//! One matrix product on one thread.

use crate::isa::{Isa, vectorised};
use crate::lanes::{dot, two_dots};

/// A matrix inside a slice.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) row: usize,
    pub(crate) col: usize,
}

impl<'a> Matrix<'a> {
    /// The matrix without its first rows and columns.
    pub(crate) fn from(self, row: usize, col: usize) -> Matrix<'a> {
        Matrix { data: &self.data[row * self.row + col * self.col..], ..self }
    }

    pub(crate) fn transposed(self) -> Matrix<'a> {
        Matrix { data: self.data, row: self.col, col: self.row }
    }

    fn holds(&self, rows: usize, cols: usize) -> bool {
        (rows - 1) * self.row + (cols - 1) * self.col < self.data.len()
    }
}

/// `A` is `m×k`, `B` is `k×n`; none is zero.
#[derive(Clone, Copy)]
pub(crate) struct Dims {
    pub(crate) m: usize,
    pub(crate) k: usize,
    pub(crate) n: usize,
}

/// Rows of `C` up to which packing `B` costs more than it saves.
pub(crate) const FEW: usize = 2;

/// `C = alpha·A·B + beta·C`; with `beta` zero `C` is not read.
///
/// # Safety
/// `c` points to `m` rows of `n` elements, `stride` apart, valid for reads and writes and reached
/// by nobody else meanwhile; `n <= stride`.
#[allow(clippy::too_many_arguments)]
pub(crate) unsafe fn product(
    isa: Isa,
    Dims { m, k, n }: Dims,
    alpha: f32,
    a: Matrix<'_>,
    b: Matrix<'_>,
    beta: f32,
    c: *mut f32,
    stride: usize,
) {
    debug_assert!(m > 0 && k > 0 && n > 0 && n <= stride);
    assert!(a.holds(m, k) && b.holds(k, n));
    if m <= FEW && (b.row == 1 || b.col == 1) {
        for i in 0..m {
            // SAFETY: row i of C, by the contract of this function.
            let row = unsafe { std::slice::from_raw_parts_mut(c.add(i * stride), n) };
            vector_product(isa, a.from(i, 0), b, k, alpha, beta, row);
        }
    } else if n == 1 && stride == 1 && (a.row == 1 || a.col == 1) {
        // SAFETY: the only column of C, by the contract of this function.
        let column = unsafe { std::slice::from_raw_parts_mut(c, m) };
        vector_product(isa, b.transposed(), a.transposed(), k, alpha, beta, column);
    } else {
        let stride_of = |stride: usize| stride as isize;
        // SAFETY: A and B hold their elements as asserted above, C by contract; a stride of an
        // axis longer than one is at most the length of its slice, and no other is followed.
        unsafe {
            matrixmultiply::sgemm(
                m,
                k,
                n,
                alpha,
                a.data.as_ptr(),
                stride_of(a.row),
                stride_of(a.col),
                b.data.as_ptr(),
                stride_of(b.row),
                stride_of(b.col),
                beta,
                c,
                stride_of(stride),
                1,
            );
        }
    }
}

/// As [`product`] into a slice that starts at row 0 of `C`.
#[allow(clippy::too_many_arguments)]
pub(crate) fn product_into(
    isa: Isa,
    dims: Dims,
    alpha: f32,
    a: Matrix<'_>,
    b: Matrix<'_>,
    beta: f32,
    c: &mut [f32],
    stride: usize,
) {
    assert!(dims.n <= stride && (dims.m - 1) * stride + dims.n <= c.len());
    // SAFETY: the slice holds every row, and is borrowed exclusively.
    unsafe { product(isa, dims, alpha, a, b, beta, c.as_mut_ptr(), stride) }
}

/// `c = alpha·x·B + beta·c` with `x` the first row of `a`.
fn vector_product(
    isa: Isa,
    a: Matrix<'_>,
    b: Matrix<'_>,
    k: usize,
    alpha: f32,
    beta: f32,
    c: &mut [f32],
) {
    let copied: Vec<f32>;
    let x = if a.col == 1 {
        &a.data[..k]
    } else {
        copied = a.data.iter().step_by(a.col.max(1)).copied().take(k).collect();
        // A zero stride repeats the first element.
        if a.col == 0 { &vec![a.data[0]; k] } else { &copied }
    };
    if b.row == 1 {
        dots(isa, x, b.data, b.col, alpha, beta, c);
    } else {
        sweep(isa, x, b.data, b.row, alpha, beta, c);
    }
}

/// Columns that [`sweep`] keeps in registers.
const SWEEP: usize = 64;

vectorised! {
    /// Each column of `B` is contiguous: a dot product per output, two columns at a time so that
    /// memory delivers more streams.
    fn dots(x: &[f32], b: &[f32], stride: usize, alpha: f32, beta: f32, c: &mut [f32]) {
        let column = |j: usize| &b[j * stride..][..x.len()];
        let write = |c: &mut f32, sum: f32| {
            let value = alpha * sum;
            *c = if beta == 0.0 { value } else { beta * *c + value };
        };
        let (pairs, last) = c.as_chunks_mut::<2>();
        let done = 2 * pairs.len();
        for (pair, [c0, c1]) in pairs.iter_mut().enumerate() {
            let (sum0, sum1) = two_dots(x, column(2 * pair), column(2 * pair + 1));
            write(c0, sum0);
            write(c1, sum1);
        }
        for (j, c) in last.iter_mut().enumerate() {
            write(c, dot(x, column(done + j)));
        }
    }

    /// Each row of `B` is contiguous: a block of columns is swept row by row.
    fn sweep(x: &[f32], b: &[f32], stride: usize, alpha: f32, beta: f32, c: &mut [f32]) {
        for (block, c) in c.chunks_mut(SWEEP).enumerate() {
            let mut sums = [0.0f32; SWEEP];
            for (p, &x) in x.iter().enumerate() {
                let row = &b[p * stride + block * SWEEP..][..c.len()];
                if let Ok(row) = <&[f32; SWEEP]>::try_from(row) {
                    for (sum, &b) in sums.iter_mut().zip(row) {
                        *sum = x.mul_add(b, *sum);
                    }
                } else {
                    for (sum, &b) in sums.iter_mut().zip(row) {
                        *sum = x.mul_add(b, *sum);
                    }
                }
            }
            for (c, &sum) in c.iter_mut().zip(&sums) {
                *c = if beta == 0.0 { alpha * sum } else { beta * *c + alpha * sum };
            }
        }
    }
}
