//! One matrix product on one thread that packs nothing: few rows or few columns (in BLIS, skinny and
//! unpacked), and what is left to `matrixmultiply`.

use std::borrow::Cow;

use opledger_dims::Class;

use super::matrix::{Dims, Matrix};
use super::microkernel::NR_HALF;
use crate::buffer::Buffer;
use crate::gemv::{VECTORS, VectorBlock};
use crate::horizontal::{dot, joins, two_dots};
use crate::isa::{Isa, vectorised};
use crate::meter::Tally;
use crate::number::Number;

/// Rows of `C` up to which `B` is read as stored, for each of them if its columns are contiguous.
const FEW: usize = 2;
/// Rows of `C` that vector registers let share one pass over a `B` whose rows are contiguous.
pub(crate) const SWEPT: usize = 8;

/// Whether a few rows of `C` are computed in one pass over a `B` whose rows are contiguous, which
/// then needs no packing.
pub(crate) fn sweeps(isa: Isa, rows: usize, columns: usize) -> bool {
    rows <= FEW || rows <= SWEPT && columns >= NR_HALF && isa != Isa::SCALAR
}

/// `C = alpha·A·B`, or `C = C + alpha·A·B` with `add`; without `alpha` nothing is multiplied. What it
/// executes is counted in `tally`, the multiplications by `alpha`, one per element of `C`, aside.
///
/// # Safety
/// `c` points to `m` rows of `n` elements, `stride` apart, valid for reads and writes and reached
/// by nobody else meanwhile; `n <= stride`.
#[allow(clippy::too_many_arguments)]
pub(crate) unsafe fn product<T: Number>(
    isa: Isa,
    Dims { m, k, n }: Dims,
    alpha: Option<T>,
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    add: bool,
    c: *mut T,
    stride: usize,
    tally: &mut Tally,
) {
    debug_assert!(m > 0 && k > 0 && n > 0 && n <= stride);
    assert!(a.holds(m, k) && b.holds(k, n));
    if m <= FEW && b.row == 1 {
        let (x, x_row) = contiguous(a, m, k);
        for i in 0..m {
            // SAFETY: row i of C, by the contract of this function.
            let row = unsafe { std::slice::from_raw_parts_mut(c.add(i * stride), n) };
            dots(isa, &x[i * x_row..][..k], b.data, b.col, alpha, add, row);
        }
        tally.executed(Class::Mul, m * n * k);
        tally.executed(Class::Add, m * n * (joins(k) + usize::from(add)));
    } else if n == 1 && m > 1 && stride == 1 && (a.row == 1 || a.col == 1) {
        let dims = Dims { m: 1, k, n: m };
        // SAFETY: the only column of C as a row, by the contract of this function.
        unsafe { product(isa, dims, alpha, b.transposed(), a.transposed(), add, c, m, tally) }
    } else if b.col == 1 && m == 1 && n <= NARROW {
        // SAFETY: the only row of C, by the contract of this function.
        let row = unsafe { std::slice::from_raw_parts_mut(c, n) };
        narrow(isa, &contiguous(a, 1, k).0[..k], b.data, b.row, alpha, add, row);
        tally.executed(Class::Mul, n * k);
        tally.executed(Class::Add, n * (k + usize::from(add)));
    } else if b.col == 1 && sweeps(isa, m, n) {
        // SAFETY: by the contract of this function.
        unsafe { sweep(isa, Dims { m, k, n }, alpha, a, b, add, c, stride, tally) }
    } else {
        // SAFETY: A and B hold their elements as asserted above, C by contract.
        unsafe {
            let (a, b) = ((a.data, [a.row, a.col]), (b.data, [b.row, b.col]));
            T::foreign_product([m, k, n], alpha, a, b, add, c, stride);
        }
        tally.executed(Class::Mul, m * n * k);
        tally.executed(Class::Add, m * n * k);
    }
}

/// As [`product`] into a slice that starts at row 0 of `C`.
#[allow(clippy::too_many_arguments)]
pub(crate) fn product_into<T: Number>(
    isa: Isa,
    dims: Dims,
    alpha: Option<T>,
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    add: bool,
    c: &mut [T],
    stride: usize,
    tally: &mut Tally,
) {
    assert!(dims.n <= stride && (dims.m - 1) * stride + dims.n <= c.len());
    // SAFETY: the slice holds every row, and is borrowed exclusively.
    unsafe { product(isa, dims, alpha, a, b, add, c.as_mut_ptr(), stride, tally) }
}

/// What a sum becomes in `C`.
#[inline(always)]
fn ended<T: Number>(sum: T, alpha: Option<T>, add: bool, c: T) -> T {
    let product = alpha.map_or(sum, |alpha| alpha * sum);
    if add { c + product } else { product }
}

/// The rows of `A`, each contiguous, and the elements from one to the next.
fn contiguous<T: Number>(a: Matrix<'_, T>, m: usize, k: usize) -> (Cow<'_, [T]>, usize) {
    if a.col == 1 {
        return (Cow::Borrowed(a.data), a.row);
    }
    let row = |i| (0..k).map(move |p| a.data[i * a.row + p * a.col]);
    (Cow::Owned((0..m).flat_map(row).collect()), k)
}

/// Columns whose sums [`sweep`] keeps in the cache.
const SWEEP: usize = 1024;
/// Elements of `B` that meet all rows of `C` before the next, and the rows of `B` that hold them at
/// most.
const TOGETHER: usize = 4096;
const MOST: usize = 64;

/// [`product`] where each row of `B` is contiguous: some rows of `B` after the others, so that it is
/// read once and in the order of memory. Each element is one chain of fused multiply-adds in the
/// order of the terms.
///
/// # Safety
/// As [`product`].
#[allow(clippy::too_many_arguments)]
unsafe fn sweep<T: Number>(
    isa: Isa,
    Dims { m, k, n }: Dims,
    alpha: Option<T>,
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    add: bool,
    c: *mut T,
    stride: usize,
    tally: &mut Tally,
) {
    let (x, x_row) = contiguous(a, m, k);
    let mut buffer = Buffer::take(m * n.min(SWEEP));
    let mut vectors = [&[][..]; MOST];
    for col in (0..n).step_by(SWEEP) {
        let width = SWEEP.min(n - col);
        let sums = &mut buffer[..m * width];
        sums.fill(T::of(0.0));
        let group = (TOGETHER / width).clamp(VECTORS, MOST);
        for term in (0..k).step_by(group) {
            let vectors = &mut vectors[..group.min(k - term)];
            for (i, vector) in vectors.iter_mut().enumerate() {
                *vector = &b.data[(term + i) * b.row + col..][..width];
            }
            let block = VectorBlock { vectors, rows: m, stride: x_row, ahead: 0 };
            block.axpys(isa, &x[term..], sums);
        }
        for (i, sums) in sums.chunks_exact(width).enumerate() {
            // SAFETY: columns of row i of C, by contract.
            let row = unsafe { std::slice::from_raw_parts_mut(c.add(i * stride + col), width) };
            for (c, &sum) in row.iter_mut().zip(sums) {
                *c = ended(sum, alpha, add, *c);
            }
        }
    }
    buffer.keep();
    tally.executed(Class::Mul, m * n * k);
    tally.executed(Class::Add, m * n * (k + usize::from(add)));
}

/// Columns that [`narrow`] keeps in registers.
const NARROW: usize = 64;

vectorised! {
    /// Each column of `B` is contiguous: a dot product per output, two columns at a time so that
    /// memory delivers more streams.
    fn dots[T: Number](x: &[T], b: &[T], stride: usize, alpha: Option<T>, add: bool, c: &mut [T]) {
        let column = |j: usize| &b[j * stride..][..x.len()];
        let write = |c: &mut T, sum| *c = ended(sum, alpha, add, *c);
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

    /// Each of the short rows of `B` is contiguous: their sums stay in registers.
    fn narrow[T: Number](x: &[T], b: &[T], stride: usize, alpha: Option<T>, add: bool, c: &mut [T]) {
        let mut sums = [T::of(0.0); NARROW];
        for (p, &x) in x.iter().enumerate() {
            let row = &b[p * stride..][..c.len()];
            if let Ok(row) = <&[T; NARROW]>::try_from(row) {
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
            *c = ended(sum, alpha, add, *c);
        }
    }
}
