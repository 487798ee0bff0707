//! Few rows by a panel, as a step of decoding multiplies: the panel, in whichever type it is kept, comes
//! from memory once and in its order, and meets all rows in registers.
//!
//! Every element of the result is the chain of fused multiply-adds that the microkernel computes.

use super::microkernel::{NR, NR_HALF};
use crate::elements::Element;
use crate::isa::{Isa, Level};
use crate::number::Number;
use crate::number::simd::{Vector, prefetch};

/// Rows up to which a product takes these loops.
pub(crate) const FEW_ROWS: usize = 4;
/// Bytes from where a panel is read to where it is brought closer.
const AHEAD: usize = 4096;

/// `C = A·B`: `A` is `m×k`, `B` a panel of `k` rows of [`NR`], of which the first `n` columns count.
#[derive(Clone, Copy)]
pub(crate) struct FewRows<'a, T, E> {
    pub(crate) m: usize,
    pub(crate) k: usize,
    /// [`NR`] or [`NR_HALF`].
    pub(crate) n: usize,
    /// `A`, read at `row·a_row + term·a_term`.
    pub(crate) a: &'a [T],
    pub(crate) a_row: usize,
    pub(crate) a_term: usize,
    /// `B`, read at `term·NR + column`.
    pub(crate) b: &'a [E],
    /// Whether the sums begin with `C`.
    pub(crate) add: bool,
}

impl<T: Number, E: Element<T>> FewRows<'_, T, E> {
    /// Computes the product into rows of `c` that are `c_row` apart.
    ///
    /// # Safety
    /// `c` points to `m` rows of `n` elements, `c_row` apart, valid for reads and writes and reached by nobody
    /// else meanwhile.
    pub(crate) unsafe fn into_rows(self, isa: Isa, c: *mut T, c_row: usize) {
        let FewRows { m, k, n, .. } = self;
        assert!(m > 0 && k > 0 && (n == NR || n == NR_HALF));
        assert!((m - 1) * self.a_row + (k - 1) * self.a_term < self.a.len());
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
            _ => unsafe { all_rows::<T::Portable, E, 2, 4>(self, c, c_row) },
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{FewRows, all_rows};
    use crate::elements::Element;
    use crate::number::Number;

    /// # Safety
    /// As [`all_rows`].
    #[target_feature(enable = "avx512f,avx2,fma,f16c")]
    pub(super) unsafe fn avx512<T: Number, E: Element<T>>(
        p: FewRows<'_, T, E>,
        c: *mut T,
        c_row: usize,
    ) {
        // SAFETY: by contract.
        unsafe { all_rows::<T::Avx512, E, 1, 2>(p, c, c_row) }
    }

    /// # Safety
    /// As [`all_rows`].
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) unsafe fn avx2<T: Number, E: Element<T>>(
        p: FewRows<'_, T, E>,
        c: *mut T,
        c_row: usize,
    ) {
        // SAFETY: by contract.
        unsafe { all_rows::<T::Avx2, E, 2, 4>(p, c, c_row) }
    }
}

/// Computes four rows at a time where registers hold them, else two; half a panel is `HALF` registers wide,
/// a panel `WHOLE`.
///
/// # Safety
/// The processor has the instruction set of `V`, and every index of the product is in bounds.
#[inline(always)]
unsafe fn all_rows<V: Vector, E: Element<V::Number>, const HALF: usize, const WHOLE: usize>(
    p: FewRows<'_, V::Number, E>,
    c: *mut V::Number,
    c_row: usize,
) {
    let mut row = 0;
    while row < p.m {
        let left = p.m - row;
        // SAFETY: by contract; the rows of each call exist.
        unsafe {
            row += match (p.n == NR, left) {
                (true, 4..) if WHOLE < 4 => some_rows::<V, E, 4, WHOLE>(&p, c, c_row, row),
                (true, 3) if WHOLE < 4 => some_rows::<V, E, 3, WHOLE>(&p, c, c_row, row),
                (true, 2..) => some_rows::<V, E, 2, WHOLE>(&p, c, c_row, row),
                (true, _) => some_rows::<V, E, 1, WHOLE>(&p, c, c_row, row),
                (false, 2..) => some_rows::<V, E, 2, HALF>(&p, c, c_row, row),
                (false, _) => some_rows::<V, E, 1, HALF>(&p, c, c_row, row),
            };
        }
    }
}

/// Computes `ROWS` rows from `row` on, and says how many.
///
/// # Safety
/// As [`all_rows`], and the rows exist.
#[inline(always)]
unsafe fn some_rows<V: Vector, E: Element<V::Number>, const ROWS: usize, const COLS: usize>(
    p: &FewRows<'_, V::Number, E>,
    c: *mut V::Number,
    c_row: usize,
    row: usize,
) -> usize {
    let ahead = AHEAD / size_of::<E>();
    // SAFETY: the rows lie inside the product, whose indices are in bounds by contract.
    unsafe {
        let mut sums = [[V::splat(V::Number::of(0.0)); COLS]; ROWS];
        if p.add {
            for (i, sums) in sums.iter_mut().enumerate() {
                for (j, sum) in sums.iter_mut().enumerate() {
                    *sum = V::load(c.add((row + i) * c_row + j * V::LANES));
                }
            }
        }
        let mut a: [*const V::Number; ROWS] =
            std::array::from_fn(|i| p.a.as_ptr().wrapping_add((row + i) * p.a_row));
        let mut b = p.b.as_ptr();
        for _ in 0..p.k {
            prefetch(b.wrapping_add(ahead).cast::<f32>(), NR * size_of::<E>() / size_of::<f32>());
            let b_now: [V; COLS] = std::array::from_fn(|j| E::load(b.add(j * V::LANES)));
            for (a, sums) in a.iter_mut().zip(&mut sums) {
                let factor = V::splat(**a);
                for (sum, b_now) in sums.iter_mut().zip(b_now) {
                    *sum = factor.fused(b_now, *sum);
                }
                // Past the last term the address is not followed.
                *a = a.wrapping_add(p.a_term);
            }
            b = b.wrapping_add(NR);
        }
        for (i, sums) in sums.iter().enumerate() {
            for (j, sum) in sums.iter().enumerate() {
                sum.store(c.add((row + i) * c_row + j * V::LANES));
            }
        }
    }
    ROWS
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::*;

    /// Each type against the chain over its elements, widened.
    fn check<E: Element<f32>>(narrow: fn(f32) -> E) {
        let number = |i: usize| ((i * 37 + 11) % 101) as f32 / 50.0 - 1.0;
        for m in 1..=FEW_ROWS {
            for (k, n) in [(1, NR_HALF), (5, NR), (33, NR_HALF), (70, NR)] {
                let (a_row, a_term, c_row) = (1 + m % 2 * (k + 1), 2 - m % 2, n + 3);
                let a: Vec<f32> = (0..m * a_row + k * a_term).map(number).collect();
                let b: Vec<E> = (0..NR * k).map(|i| narrow(number(i + 5))).collect();
                let (mut expected, add) = (vec![7.0; c_row * m], k == 33);
                for i in 0..m {
                    for j in 0..n {
                        let first = if add { 7.0 } else { 0.0 };
                        expected[i * c_row + j] = (0..k).fold(first, |sum, p| {
                            f32::mul_add(a[i * a_row + p * a_term], b[p * NR + j].widened(), sum)
                        });
                    }
                }
                for isa in Isa::available() {
                    let mut c = vec![7.0; c_row * m];
                    let product = FewRows { m, k, n, a: &a, a_row, a_term, b: &b, add };
                    // SAFETY: `c` holds `m` rows, `c_row` apart.
                    unsafe { product.into_rows(isa, c.as_mut_ptr(), c_row) };
                    assert_eq!(c, expected, "{isa}, {m}x{k}x{n}");
                }
            }
        }
    }

    #[test]
    fn every_type_gives_the_bits_of_one_chain_on_every_instruction_set() {
        check(|x| x);
        check(bf16::from_f32);
        check(f16::from_f32);
    }
}
