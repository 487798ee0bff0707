//! Matrix product of a matrix read element by element with one read by rows, in registers.
//!
//! Every element of the result is one chain of fused multiply-adds in the order of the terms, so
//! all instruction sets give the same bits.

use std::ops::Range;

use crate::isa::{Isa, Level};

/// `C = A·B + C`, or `C = A·B`: `A` is `m×k`, `B` is `k×n`.
#[derive(Clone, Copy)]
pub(crate) struct Product<'a> {
    pub(crate) m: usize,
    pub(crate) k: usize,
    pub(crate) n: usize,
    /// `A`, read at `row·a_row + term·a_term`.
    pub(crate) a: &'a [f32],
    pub(crate) a_row: usize,
    pub(crate) a_term: usize,
    /// `B`, read at `term·b_term + column`.
    pub(crate) b: &'a [f32],
    pub(crate) b_term: usize,
    /// Whether `C` is added to.
    pub(crate) add: bool,
}

impl Product<'_> {
    /// Computes the product into rows of `c` that are `c_row` apart.
    pub(crate) fn into(self, isa: Isa, c: &mut [f32], c_row: usize) {
        let Product { m, k, n, .. } = self;
        if m == 0 || n == 0 {
            return;
        }
        assert!(k > 0 && (m - 1) * self.a_row + (k - 1) * self.a_term < self.a.len());
        assert!((k - 1) * self.b_term + n <= self.b.len());
        assert!((m - 1) * c_row + n <= c.len() && (m == 1 || n <= c_row));
        match isa.level() {
            // SAFETY: an `Isa` of this level exists only where the features were detected; the
            // assertions bound every index.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { x86::avx512(self, c, c_row) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { x86::avx2(self, c, c_row) },
            // SAFETY: the assertions bound every index.
            _ => unsafe { blocks::<[f32; 8], 4>(self, c, c_row) },
        }
    }
}

/// Some numbers in one register.
trait Vector: Copy {
    const LANES: usize;
    /// # Safety
    /// The processor has the instruction set of the type.
    unsafe fn splat(x: f32) -> Self;
    /// # Safety
    /// As [`Vector::splat`], and `LANES` numbers can be read.
    unsafe fn load(from: *const f32) -> Self;
    /// # Safety
    /// As [`Vector::splat`], and `LANES` numbers can be written.
    unsafe fn store(self, to: *mut f32);
    /// `self·factor + term`.
    ///
    /// # Safety
    /// As [`Vector::splat`].
    unsafe fn fused(self, factor: Self, term: Self) -> Self;
}

impl Vector for [f32; 8] {
    const LANES: usize = 8;
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        [x; 8]
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: by contract.
        unsafe { from.cast::<[f32; 8]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: by contract.
        unsafe { to.cast::<[f32; 8]>().write_unaligned(self) }
    }
    #[inline(always)]
    unsafe fn fused(self, factor: Self, term: Self) -> Self {
        std::array::from_fn(|i| self[i].mul_add(factor[i], term[i]))
    }
}

impl Vector for f32 {
    const LANES: usize = 1;
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        x
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: by contract.
        unsafe { *from }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: by contract.
        unsafe { *to = self }
    }
    #[inline(always)]
    unsafe fn fused(self, factor: Self, term: Self) -> Self {
        self.mul_add(factor, term)
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Product, Vector, blocks};

    macro_rules! vector {
        ($type:ty, $lanes:literal, $splat:ident, $load:ident, $store:ident, $fused:ident) => {
            impl Vector for $type {
                const LANES: usize = $lanes;
                #[inline(always)]
                unsafe fn splat(x: f32) -> Self {
                    // SAFETY: by contract.
                    unsafe { $splat(x) }
                }
                #[inline(always)]
                unsafe fn load(from: *const f32) -> Self {
                    // SAFETY: by contract.
                    unsafe { $load(from) }
                }
                #[inline(always)]
                unsafe fn store(self, to: *mut f32) {
                    // SAFETY: by contract.
                    unsafe { $store(to, self) }
                }
                #[inline(always)]
                unsafe fn fused(self, factor: Self, term: Self) -> Self {
                    // SAFETY: by contract.
                    unsafe { $fused(self, factor, term) }
                }
            }
        };
    }
    vector!(__m512, 16, _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_fmadd_ps);
    vector!(__m256, 8, _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_fmadd_ps);

    /// # Safety
    /// As [`blocks`].
    #[target_feature(enable = "avx512f,avx2,fma")]
    pub(super) unsafe fn avx512(p: Product<'_>, c: &mut [f32], c_row: usize) {
        // SAFETY: by contract.
        unsafe { blocks::<__m512, 12>(p, c, c_row) }
    }

    /// # Safety
    /// As [`blocks`].
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn avx2(p: Product<'_>, c: &mut [f32], c_row: usize) {
        // SAFETY: by contract.
        unsafe { blocks::<__m256, 6>(p, c, c_row) }
    }
}

/// Elements of `B` that stay in the first-level cache beside the rest.
const B_CACHED: usize = 1 << 13;

/// Cuts the result into blocks of `ROWS` rows and two vectors of columns.
///
/// # Safety
/// The processor has the instruction set of `V`, and every index of the product is in bounds.
#[inline(always)]
unsafe fn blocks<V: Vector, const ROWS: usize>(p: Product<'_>, c: &mut [f32], c_row: usize) {
    // With a small B each row of A is read once; else a strip of B stays for all rows.
    let rows_at_once = if p.k * p.n <= B_CACHED { ROWS } else { p.m };
    let mut from = 0;
    while from < p.m {
        let rows = from..p.m.min(from + rows_at_once);
        let mut col = 0;
        while col < p.n {
            // SAFETY: by contract; the columns of each call exist.
            unsafe {
                if p.n - col >= 2 * V::LANES {
                    columns::<V, 2, ROWS>(&p, c, c_row, rows.clone(), col);
                    col += 2 * V::LANES;
                } else if p.n - col >= V::LANES {
                    columns::<V, 1, ROWS>(&p, c, c_row, rows.clone(), col);
                    col += V::LANES;
                } else {
                    columns::<f32, 1, ROWS>(&p, c, c_row, rows.clone(), col);
                    col += 1;
                }
            }
        }
        from = rows.end;
    }
}

/// # Safety
/// As [`blocks`], for some rows and `COLS` vectors of columns from `col` on.
#[inline(always)]
unsafe fn columns<V: Vector, const COLS: usize, const ROWS: usize>(
    p: &Product<'_>,
    c: &mut [f32],
    c_row: usize,
    rows: Range<usize>,
    col: usize,
) {
    let Range { start: mut row, end } = rows;
    // SAFETY: by contract; the rows of each call exist.
    unsafe {
        while end - row >= ROWS {
            block::<V, COLS, ROWS>(p, c, c_row, row, col);
            row += ROWS;
        }
        if end - row >= 8 {
            block::<V, COLS, 8>(p, c, c_row, row, col);
            row += 8;
        }
        if end - row >= 4 {
            block::<V, COLS, 4>(p, c, c_row, row, col);
            row += 4;
        }
        while row < end {
            block::<V, COLS, 1>(p, c, c_row, row, col);
            row += 1;
        }
    }
}

/// # Safety
/// As [`columns`], for `ROWS` rows from `row` on.
#[inline(always)]
unsafe fn block<V: Vector, const COLS: usize, const ROWS: usize>(
    p: &Product<'_>,
    c: &mut [f32],
    c_row: usize,
    row: usize,
    col: usize,
) {
    // SAFETY: the block lies inside the product, whose indices are in bounds by contract.
    unsafe {
        let mut sums = [[V::splat(0.0); COLS]; ROWS];
        let mut a = p.a.as_ptr().add(row * p.a_row);
        let mut b = p.b.as_ptr().add(col);
        for term in 0..p.k {
            let mut b_now = [V::splat(0.0); COLS];
            for (j, b_now) in b_now.iter_mut().enumerate() {
                *b_now = V::load(b.add(j * V::LANES));
            }
            for (i, sums) in sums.iter_mut().enumerate() {
                let factor = V::splat(*a.add(i * p.a_row));
                for (sum, b_now) in sums.iter_mut().zip(b_now) {
                    *sum = factor.fused(b_now, *sum);
                }
            }
            if term + 1 < p.k {
                a = a.add(p.a_term);
                b = b.add(p.b_term);
            }
        }
        for (i, sums) in sums.iter().enumerate() {
            for (j, sum) in sums.iter().enumerate() {
                let to = c.as_mut_ptr().add((row + i) * c_row + col + j * V::LANES);
                if p.add {
                    sum.fused(V::splat(1.0), V::load(to)).store(to);
                } else {
                    sum.store(to);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instruction_set_gives_the_bits_of_one_chain() {
        let sizes = [(1, 1, 1), (3, 5, 7), (12, 9, 32), (13, 4, 49), (27, 33, 64), (25, 130, 80)];
        for (m, k, n) in sizes {
            let number = |i: usize| ((i * 37 + 11) % 101) as f32 / 50.0 - 1.0;
            let (a_row, a_term, b_term, c_row) = (1, m + 2, n + 3, n + 1);
            let a: Vec<f32> = (0..a_term * k).map(number).collect();
            let b: Vec<f32> = (0..b_term * k).map(|i| number(i + 5)).collect();
            for add in [false, true] {
                let before: Vec<f32> = (0..c_row * m).map(|i| number(i + 9)).collect();
                let mut expected = before.clone();
                for i in 0..m {
                    for j in 0..n {
                        let sum = (0..k).fold(0.0, |sum, p| {
                            f32::mul_add(a[i * a_row + p * a_term], b[p * b_term + j], sum)
                        });
                        let c = &mut expected[i * c_row + j];
                        *c = if add { sum + *c } else { sum };
                    }
                }
                for isa in Isa::available() {
                    let mut c = before.clone();
                    let (a, b) = (&a[..], &b[..]);
                    let product = Product { m, k, n, a, a_row, a_term, b, b_term, add };
                    product.into(isa, &mut c, c_row);
                    assert_eq!(c, expected, "{isa}, {m}x{k}x{n}");
                }
            }
        }
    }
}
