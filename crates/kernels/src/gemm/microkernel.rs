//! The microkernel: a block of `C` stays in registers while rows of `A`, read element by element, meet a
//! packed panel of `B`.
//!
//! In the words of BLIS (Van Zee and van de Geijn 2015) a block is `MR×NR`: `NR` is 32 columns, `MR` 12
//! rows with AVX-512, 6 with AVX2 and 4 without.
//!
//! Every element of the result is one chain of fused multiply-adds in the order of the terms, so
//! all instruction sets, and all cuts of the terms, give the same bits.

use std::hint::black_box;
use std::ops::Range;

use super::matrix::Matrix;
pub(crate) use crate::blocks::NR;
use crate::isa::{Isa, Level};
use crate::number::Number;
use crate::number::simd::{Vector, prefetch, prefetch_near};

/// Terms after which the first rows bring a panel closer.
const AHEAD: usize = 32;
/// Terms that are taken without moving an address.
const UNROLL: usize = 4;
/// Columns of half a panel.
pub(crate) const NR_HALF: usize = 16;

/// `C = A·B`, or `C = C + A·B`: `A` is `m×k`, `B` a panel of `k` rows of [`NR`], of which the
/// first `n` columns count.
#[derive(Clone, Copy)]
pub(crate) struct PanelProduct<'a, T> {
    pub(crate) m: usize,
    pub(crate) k: usize,
    /// [`NR`] or [`NR_HALF`].
    pub(crate) n: usize,
    pub(crate) a: Left<'a, T>,
    /// `B`, read at `term·NR + column`.
    pub(crate) b: &'a [T],
    /// Whether the sums begin with `C`.
    pub(crate) add: bool,
    /// Whether `C` is likely in no near cache.
    pub(crate) far: bool,
    /// What is brought into the second-level cache meanwhile.
    pub(crate) next: Next,
}

/// Where the elements of `A` stand.
#[derive(Clone, Copy)]
pub(crate) enum Left<'a, T> {
    /// As they are stored.
    Stored(Matrix<'a, T>),
    /// In strips, one for each block of rows as [`blocks`] cuts them: each term by term.
    Strips(&'a [T]),
}

/// Rows of a block at most: `MR`.
#[cfg(target_arch = "x86_64")]
const AVX512_ROWS: usize = 12;
#[cfg(target_arch = "x86_64")]
const AVX2_ROWS: usize = 6;
const PORTABLE_ROWS: usize = 4;

fn block_rows(isa: Isa) -> usize {
    match isa.level() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => AVX512_ROWS,
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => AVX2_ROWS,
        _ => PORTABLE_ROWS,
    }
}

/// Cuts rows into blocks of at most `most`, of nearly equal height: the first rows and the heights.
#[inline(always)]
fn blocks(rows: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let count = rows.div_ceil(most);
    let (height, taller) = (rows / count, rows % count);
    (0..count).map(move |i| (i * height + i.min(taller), height + usize::from(i < taller)))
}

/// Brings rows that follow one another in memory, whose terms lie apart, into strips.
pub(crate) fn strips<T: Number>(
    isa: Isa,
    a: Matrix<'_, T>,
    rows: usize,
    terms: Range<usize>,
    out: &mut [T],
) {
    let (most, k) = (block_rows(isa), terms.len());
    for (at, term) in terms.enumerate() {
        let from = &a.from(0, term).data[..rows];
        prefetch(from.as_ptr().wrapping_add(STRIPS_AHEAD * a.col), rows);
        for (row, height) in blocks(rows, most) {
            let (from, to) = (&from[row..][..height], &mut out[row * k + at * height..][..height]);
            match (<&[T; 12]>::try_from(from), <&mut [T; 12]>::try_from(&mut *to)) {
                (Ok(from), Ok(to)) => *to = *from,
                _ => to.copy_from_slice(from),
            }
        }
    }
}

/// Terms that are brought closer before they come into strips.
const STRIPS_AHEAD: usize = 8;

/// Memory that comes closer while a product is computed, as evenly as its loops allow: the memory is asked
/// all along, not in the first pass over a panel alone.
#[derive(Clone, Copy)]
pub(crate) struct Next {
    from: *const u8,
    bytes: usize,
}

impl Next {
    /// None.
    pub(crate) const NOTHING: Next = Next { from: std::ptr::null(), bytes: 0 };

    /// So many elements from a place, which is never followed.
    pub(crate) fn new<E>(from: *const E, elements: usize) -> Next {
        Next { from: from.cast(), bytes: elements * size_of::<E>() }
    }

    /// Where one of so many passes over a panel of `k` terms begins to bring two streams, and how far each
    /// moves at a term: all comes in the first pass, or by halves in the first two.
    fn share(self, pass: usize, passes: usize, k: usize, panel: *const u8) -> Streams {
        let half = self.bytes / 2;
        let (first, second) = (self.from, self.from.wrapping_add(half));
        match pass {
            _ if self.bytes == 0 => ([panel; 2], 0),
            0 if passes == 1 => ([first, second], half / k),
            0 => ([first; 2], half / k),
            1 => ([second; 2], half / k),
            _ => ([panel; 2], 0),
        }
    }
}

impl<T: Number> PanelProduct<'_, T> {
    /// Computes the product into rows of `c` that are `c_row` apart.
    pub(crate) fn into(self, isa: Isa, c: &mut [T], c_row: usize) {
        assert!(self.m == 0 || (self.m - 1) * c_row + self.n <= c.len());
        assert!(self.m <= 1 || self.n <= c_row);
        // SAFETY: the slice holds every row, as asserted, and is borrowed exclusively.
        unsafe { self.into_rows(isa, c.as_mut_ptr(), c_row) }
    }

    /// As [`PanelProduct::into`] for rows that lie among those of others.
    ///
    /// # Safety
    /// `c` points to `m` rows of `n` elements, `c_row` apart, valid for reads and writes and reached
    /// by nobody else meanwhile.
    pub(crate) unsafe fn into_rows(self, isa: Isa, c: *mut T, c_row: usize) {
        let PanelProduct { m, k, n, .. } = self;
        if m == 0 {
            return;
        }
        assert!(n == NR || n == NR_HALF);
        assert!(k > 0);
        assert!(match self.a {
            Left::Stored(a) => a.holds(m, k),
            Left::Strips(strips) => m * k <= strips.len(),
        });
        assert!((k - 1) * NR + n <= self.b.len());
        match isa.level() {
            // SAFETY: an `Isa` of this level exists only where the features were detected; the
            // assertions bound every index of A and B, the contract those of C.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { x86::avx512(self, c, c_row) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { x86::avx2(self, c, c_row) },
            // SAFETY: as above, with no feature needed.
            _ => unsafe { row_blocks::<T::Portable, PORTABLE_ROWS>(self, c, c_row) },
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{AVX2_ROWS, AVX512_ROWS, PanelProduct, row_blocks};
    use crate::number::Number;

    /// # Safety
    /// As [`row_blocks`].
    #[target_feature(enable = "avx512f,avx2,fma")]
    pub(super) unsafe fn avx512<T: Number>(p: PanelProduct<'_, T>, c: *mut T, c_row: usize) {
        // SAFETY: by contract.
        unsafe { row_blocks::<T::Avx512, AVX512_ROWS>(p, c, c_row) }
    }

    /// # Safety
    /// As [`row_blocks`].
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn avx2<T: Number>(p: PanelProduct<'_, T>, c: *mut T, c_row: usize) {
        // SAFETY: by contract.
        unsafe { row_blocks::<T::Avx2, AVX2_ROWS>(p, c, c_row) }
    }
}

/// Cuts the result into blocks of at most `MR` rows, of nearly equal height, and two vectors of
/// columns, or one.
///
/// # Safety
/// The processor has the instruction set of `V`, and every index of the product is in bounds.
#[inline(always)]
unsafe fn row_blocks<V: Vector, const MR: usize>(
    p: PanelProduct<'_, V::Number>,
    c: *mut V::Number,
    c_row: usize,
) {
    // Rows 0, 3, 6 and 9 of a block. Hidden, so that no chain of additions is made of them.
    let steps: [usize; 4] = match p.a {
        Left::Stored(a) => std::array::from_fn(|i| black_box(3 * i * a.row)),
        Left::Strips(_) => [0, 3, 6, 9],
    };
    let passes = p.m.div_ceil(MR) * p.n.div_ceil(2 * V::LANES);
    let (mut col, mut pass) = (0, 0);
    while col < p.n {
        let two = p.n - col >= 2 * V::LANES;
        for (row, rows) in blocks(p.m, MR) {
            let next = p.next.share(pass, passes, p.k, p.b.as_ptr().cast());
            // SAFETY: by contract; the rows and columns of each call exist.
            unsafe {
                if two {
                    dispatch::<V, 2>(&p, (steps, next), c, c_row, row, rows, col);
                } else {
                    dispatch::<V, 1>(&p, (steps, next), c, c_row, row, rows, col);
                }
            }
            pass += 1;
        }
        col += if two { 2 * V::LANES } else { V::LANES };
    }
}

/// Two streams that are brought closer, and how far they move at a term.
type Streams = ([*const u8; 2], usize);

/// Rows 0, 3, 6 and 9 of a block, and what is brought closer meanwhile.
type Far = ([usize; 4], Streams);

/// # Safety
/// As [`microkernel`], for 1 to 12 rows.
#[inline(always)]
unsafe fn dispatch<V: Vector, const COLS: usize>(
    p: &PanelProduct<'_, V::Number>,
    far: Far,
    c: *mut V::Number,
    c_row: usize,
    row: usize,
    rows: usize,
    col: usize,
) {
    // SAFETY: by contract.
    unsafe {
        match rows {
            1 => microkernel::<V, COLS, 1>(p, far, c, c_row, row, col),
            2 => microkernel::<V, COLS, 2>(p, far, c, c_row, row, col),
            3 => microkernel::<V, COLS, 3>(p, far, c, c_row, row, col),
            4 => microkernel::<V, COLS, 4>(p, far, c, c_row, row, col),
            5 => microkernel::<V, COLS, 5>(p, far, c, c_row, row, col),
            6 => microkernel::<V, COLS, 6>(p, far, c, c_row, row, col),
            7 => microkernel::<V, COLS, 7>(p, far, c, c_row, row, col),
            8 => microkernel::<V, COLS, 8>(p, far, c, c_row, row, col),
            9 => microkernel::<V, COLS, 9>(p, far, c, c_row, row, col),
            10 => microkernel::<V, COLS, 10>(p, far, c, c_row, row, col),
            11 => microkernel::<V, COLS, 11>(p, far, c, c_row, row, col),
            _ => microkernel::<V, COLS, 12>(p, far, c, c_row, row, col),
        }
    }
}

/// # Safety
/// As [`row_blocks`], for `ROWS` rows from `row` on and `COLS` vectors of columns from `col` on.
#[inline(always)]
unsafe fn microkernel<V: Vector, const COLS: usize, const ROWS: usize>(
    p: &PanelProduct<'_, V::Number>,
    far: Far,
    c: *mut V::Number,
    c_row: usize,
    row: usize,
    col: usize,
) {
    // SAFETY: the block lies inside the product, whose indices are in bounds by contract.
    unsafe {
        let c = c.add(row * c_row + col);
        let mut sums: Sums<V, COLS, ROWS> = [[V::splat(V::Number::of(0.0)); COLS]; ROWS];
        for (i, sums) in sums.iter_mut().enumerate() {
            for (j, sum) in sums.iter_mut().enumerate() {
                let from = c.add(i * c_row + j * V::LANES);
                if p.add {
                    *sum = V::load(from);
                } else if p.far {
                    V::prefetch(from);
                }
            }
        }
        // One pointer for three rows: an address is then a register and a multiple of another.
        let (first, a_row, a_term) = match p.a {
            Left::Stored(a) => (a.data.as_ptr().add(row * a.row), a.row, a.col),
            Left::Strips(strips) => (strips.as_ptr().add(row * p.k), 1, ROWS),
        };
        let (steps, next) = far;
        let (k, a) = (p.k, steps.map(|step| first.wrapping_add(step)));
        let b = p.b.as_ptr().add(col);
        if p.next.bytes > 0 {
            bringing::<V, COLS, ROWS>(k, a, [a_row, a_term], b, next, &mut sums);
        } else if let Left::Strips(_) = p.a {
            side_by_side::<V, COLS, ROWS>(k, first, ROWS, b, &mut sums);
        } else if a_row == 1 {
            side_by_side::<V, COLS, ROWS>(k, first, a_term, b, &mut sums);
        } else if row == 0 {
            row_by_row::<V, COLS, ROWS, true>(k, a, [a_row, a_term], b, &mut sums);
        } else {
            row_by_row::<V, COLS, ROWS, false>(k, a, [a_row, a_term], b, &mut sums);
        }
        for (i, sums) in sums.iter().enumerate() {
            for (j, sum) in sums.iter().enumerate() {
                sum.store(c.add(i * c_row + j * V::LANES));
            }
        }
    }
}

/// Sums of a block, a vector for [`Vector::LANES`] columns of a row.
type Sums<V, const COLS: usize, const ROWS: usize> = [[V; COLS]; ROWS];

/// Adds the products of one term: `a` points to rows 0, 3, 6 and 9. The first to meet a panel brings it closer,
/// if `NEAR`.
///
/// # Safety
/// As [`row_blocks`]; the addresses are those of a term of the product.
#[inline(always)]
unsafe fn take<V: Vector, const COLS: usize, const ROWS: usize, const NEAR: bool>(
    a: [*const V::Number; 4],
    a_row: usize,
    b: *const V::Number,
    sums: &mut Sums<V, COLS, ROWS>,
) {
    if NEAR {
        prefetch_near(b.wrapping_add(AHEAD * NR));
        if COLS * V::LANES > 16 {
            prefetch_near(b.wrapping_add(AHEAD * NR + 16));
        }
    }
    // SAFETY: by contract.
    unsafe {
        let mut b_now = [V::splat(V::Number::of(0.0)); COLS];
        for (j, b_now) in b_now.iter_mut().enumerate() {
            *b_now = V::load(b.add(j * V::LANES));
        }
        for (i, sums) in sums.iter_mut().enumerate() {
            let factor = V::splat(*a[i / 3].add(i % 3 * a_row));
            for (sum, b_now) in sums.iter_mut().zip(b_now) {
                *sum = factor.fused(b_now, *sum);
            }
        }
    }
}

/// All terms, while two streams are brought closer.
///
/// # Safety
/// As [`take`], for every term; past the last one the addresses are not followed.
#[inline(always)]
unsafe fn bringing<V: Vector, const COLS: usize, const ROWS: usize>(
    k: usize,
    mut a: [*const V::Number; 4],
    [a_row, a_term]: [usize; 2],
    mut b: *const V::Number,
    (next, step): Streams,
    sums: &mut Sums<V, COLS, ROWS>,
) {
    let mut brought = 0;
    for _ in 0..k {
        prefetch(next[0].wrapping_add(brought), 1);
        prefetch(next[1].wrapping_add(brought), 1);
        brought += step;
        // SAFETY: by contract.
        unsafe { take::<V, COLS, ROWS, true>(a, a_row, b, sums) };
        a = a.map(|a| a.wrapping_add(a_term));
        b = b.wrapping_add(NR);
    }
}

/// All terms of rows that lie side by side: one address serves all.
///
/// # Safety
/// As [`bringing`].
#[inline(always)]
unsafe fn side_by_side<V: Vector, const COLS: usize, const ROWS: usize>(
    k: usize,
    mut a: *const V::Number,
    a_term: usize,
    mut b: *const V::Number,
    sums: &mut Sums<V, COLS, ROWS>,
) {
    for _ in 0..k {
        let rows = [0, 3, 6, 9].map(|row| a.wrapping_add(row));
        // SAFETY: by contract.
        unsafe { take::<V, COLS, ROWS, true>(rows, 1, b, sums) };
        a = a.wrapping_add(a_term);
        b = b.wrapping_add(NR);
    }
}

/// All terms of rows whose terms mostly follow one another: some are taken without moving an address, since
/// additions of addresses want the ports of the processor that multiply.
///
/// # Safety
/// As [`bringing`].
#[inline(always)]
unsafe fn row_by_row<V: Vector, const COLS: usize, const ROWS: usize, const NEAR: bool>(
    k: usize,
    mut a: [*const V::Number; 4],
    [a_row, a_term]: [usize; 2],
    mut b: *const V::Number,
    sums: &mut Sums<V, COLS, ROWS>,
) {
    let unrolled = if a_term == 1 { k / UNROLL } else { 0 };
    // SAFETY: by contract.
    unsafe {
        for _ in 0..unrolled {
            for term in 0..UNROLL {
                let a = a.map(|a| a.wrapping_add(term));
                take::<V, COLS, ROWS, NEAR>(a, a_row, b.wrapping_add(term * NR), sums);
            }
            a = a.map(|a| a.wrapping_add(UNROLL));
            b = b.wrapping_add(UNROLL * NR);
        }
        for _ in unrolled * UNROLL..k {
            take::<V, COLS, ROWS, NEAR>(a, a_row, b, sums);
            a = a.map(|a| a.wrapping_add(a_term));
            b = b.wrapping_add(NR);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instruction_set_gives_the_bits_of_one_chain() {
        for m in (1..=30).chain([97]) {
            for (k, n) in [(1, NR_HALF), (5, NR), (33, NR_HALF), (70, NR)] {
                let number = |i: usize| ((i * 37 + 11) % 101) as f32 / 50.0 - 1.0;
                let (a_row, a_term, c_row) = (1 + m % 2 * (k + 1), 2 - m % 2, n + 3);
                let a: Vec<f32> = (0..m * a_row + k * a_term).map(number).collect();
                let b: Vec<f32> = (0..NR * k).map(|i| number(i + 5)).collect();
                // The same, term by term among the terms of others.
                let far = m + 2;
                let terms: Vec<f32> = (0..k * far)
                    .map(|i| a[(i % far).min(m - 1) * a_row + i / far * a_term])
                    .collect();
                for add in [false, true] {
                    let before: Vec<f32> = (0..c_row * m).map(|i| number(i + 9)).collect();
                    let mut expected = before.clone();
                    for i in 0..m {
                        for j in 0..n {
                            let c = &mut expected[i * c_row + j];
                            *c = (0..k).fold(if add { *c } else { 0.0 }, |sum, p| {
                                f32::mul_add(a[i * a_row + p * a_term], b[p * NR + j], sum)
                            });
                        }
                    }
                    for isa in Isa::available() {
                        let next = if add { Next::new(b.as_ptr(), NR * k) } else { Next::NOTHING };
                        let b = &b[..];
                        let mut brought = vec![0.0; m * k];
                        let stored = Matrix { data: &terms, row: 1, col: far };
                        strips(isa, stored, m, 0..k, &mut brought);
                        let stored = Left::Stored(Matrix { data: &a, row: a_row, col: a_term });
                        for a in [stored, Left::Strips(&brought)] {
                            let mut c = before.clone();
                            let product = PanelProduct { m, k, n, a, b, add, far: add, next };
                            product.into(isa, &mut c, c_row);
                            assert_eq!(c, expected, "{isa}, {m}x{k}x{n}");
                        }
                    }
                }
            }
        }
    }
}
