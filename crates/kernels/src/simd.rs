//! SIMD registers, one type per instruction set, and hints to the caches.

use crate::number::Number;

/// Brings `len` numbers that will be read into the second-level cache; never faults.
#[inline(always)]
pub(crate) fn prefetch<T>(from: *const T, len: usize) {
    #[cfg(target_arch = "x86_64")]
    for line in (0..len).step_by(16) {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: a prefetch reads nothing, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(from.wrapping_add(line).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (from, len);
}

/// Brings the cache line of a number that will be read soon into the first-level cache; never faults.
#[inline(always)]
pub(crate) fn prefetch_near<T>(from: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(from.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = from;
}

/// As [`prefetch`], of numbers that will be written.
#[inline(always)]
pub(crate) fn prefetch_write<T>(to: *const T, len: usize) {
    #[cfg(target_arch = "x86_64")]
    for line in (0..len).step_by(16) {
        use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
        // SAFETY: as above.
        unsafe { _mm_prefetch::<_MM_HINT_ET0>(to.wrapping_add(line).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (to, len);
}

/// Sums that [`Vector::totals`] ends at once, and the terms that each holds.
pub(crate) const SUMS: usize = 4;
pub(crate) const TERMS: usize = 16;

/// Some numbers in one register.
pub(crate) trait Vector: Copy {
    type Number;
    const LANES: usize;
    /// # Safety
    /// The processor has the instruction set of the type.
    unsafe fn splat(x: Self::Number) -> Self;
    /// # Safety
    /// As [`Vector::splat`], and `LANES` numbers can be read.
    unsafe fn load(from: *const Self::Number) -> Self;
    /// # Safety
    /// As [`Vector::splat`], and `LANES` numbers can be written.
    unsafe fn store(self, to: *mut Self::Number);
    /// `self·factor + term`.
    ///
    /// # Safety
    /// As [`Vector::splat`].
    unsafe fn fused(self, factor: Self, term: Self) -> Self;
    /// The sums of [`TERMS`] numbers each, in `TERMS / LANES` registers, by halves.
    ///
    /// # Safety
    /// As [`Vector::splat`].
    unsafe fn totals<const REGISTERS: usize>(
        sums: &[[Self; REGISTERS]; SUMS],
    ) -> [Self::Number; SUMS];
    /// Brings the cache line of an address that will be written close; never faults.
    fn prefetch(to: *mut Self::Number);
}

impl<T: Number, const LANES: usize> Vector for [T; LANES] {
    type Number = T;
    const LANES: usize = LANES;
    #[inline(always)]
    unsafe fn splat(x: T) -> Self {
        [x; LANES]
    }
    #[inline(always)]
    unsafe fn load(from: *const T) -> Self {
        // SAFETY: by contract.
        unsafe { from.cast::<[T; LANES]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut T) {
        // SAFETY: by contract.
        unsafe { to.cast::<[T; LANES]>().write_unaligned(self) }
    }
    #[inline(always)]
    unsafe fn fused(self, factor: Self, term: Self) -> Self {
        std::array::from_fn(|i| self[i].mul_add(factor[i], term[i]))
    }
    #[inline(always)]
    unsafe fn totals<const REGISTERS: usize>(sums: &[[Self; REGISTERS]; SUMS]) -> [T; SUMS] {
        sums.map(|sums| {
            let mut terms: [T; TERMS] = std::array::from_fn(|i| sums[i / LANES][i % LANES]);
            let mut half = TERMS / 2;
            while half > 0 {
                for i in 0..half {
                    terms[i] = terms[i] + terms[i + half];
                }
                half /= 2;
            }
            terms[0]
        })
    }
    #[inline(always)]
    fn prefetch(_: *mut T) {}
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{SUMS, Vector};

    macro_rules! vector {
        ($type:ty, $lanes:literal, $splat:ident, $load:ident, $store:ident, $fused:ident, $totals:ident) => {
            impl Vector for $type {
                type Number = f32;
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
                #[inline(always)]
                unsafe fn totals<const REGISTERS: usize>(
                    sums: &[[Self; REGISTERS]; SUMS],
                ) -> [f32; SUMS] {
                    // SAFETY: by contract.
                    unsafe { $totals(sums) }
                }
                #[inline(always)]
                fn prefetch(to: *mut f32) {
                    // SAFETY: a prefetch reads nothing, whatever the address.
                    unsafe { _mm_prefetch::<_MM_HINT_ET0>(to.cast()) }
                }
            }
        };
    }
    vector!(__m512, 16, _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_fmadd_ps, of_512);
    vector!(__m256, 8, _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_fmadd_ps, of_256);

    /// In each step the upper halves are added to the lower ones, of two registers at once while
    /// there are two.
    #[target_feature(enable = "avx512f,avx2,fma")]
    #[inline]
    fn of_512<const REGISTERS: usize>(sums: &[[__m512; REGISTERS]; SUMS]) -> [f32; SUMS] {
        let [a, b, c, d] = sums.map(|sums| sums[0]);
        let eight = |a, b| {
            let (low, high) =
                (_mm512_shuffle_f32x4::<0x44>(a, b), _mm512_shuffle_f32x4::<0xee>(a, b));
            _mm512_add_ps(low, high)
        };
        let (ab, cd) = (eight(a, b), eight(c, d));
        let (low, high) =
            (_mm512_shuffle_f32x4::<0x88>(ab, cd), _mm512_shuffle_f32x4::<0xdd>(ab, cd));
        let four = _mm512_add_ps(low, high);
        let two = _mm512_add_ps(four, _mm512_permute_ps::<0b01_00_11_10>(four));
        let one = _mm512_add_ps(two, _mm512_movehdup_ps(two));
        let firsts = _mm512_setr_epi32(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
        let mut totals = [0.0; SUMS];
        let sums = _mm512_castps512_ps128(_mm512_permutexvar_ps(firsts, one));
        // SAFETY: the array holds four numbers.
        unsafe { _mm_storeu_ps(totals.as_mut_ptr(), sums) };
        totals
    }

    /// As [`of_512`].
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    fn of_256<const REGISTERS: usize>(sums: &[[__m256; REGISTERS]; SUMS]) -> [f32; SUMS] {
        let eight = sums.map(|sums| _mm256_add_ps(sums[0], sums[1]));
        let four = |a, b| {
            let (low, high) =
                (_mm256_permute2f128_ps::<0x20>(a, b), _mm256_permute2f128_ps::<0x31>(a, b));
            _mm256_add_ps(low, high)
        };
        let (ab, cd) = (four(eight[0], eight[1]), four(eight[2], eight[3]));
        // Now a and c in the lower half, b and d in the upper one.
        let (low, high) = (
            _mm256_shuffle_ps::<0b01_00_01_00>(ab, cd),
            _mm256_shuffle_ps::<0b11_10_11_10>(ab, cd),
        );
        let two = _mm256_add_ps(low, high);
        let one = _mm256_add_ps(two, _mm256_movehdup_ps(two));
        let (ac, bd) = (_mm256_castps256_ps128(one), _mm256_extractf128_ps::<1>(one));
        let sums = _mm_unpacklo_ps(
            _mm_shuffle_ps::<0b10_00_10_00>(ac, ac),
            _mm_shuffle_ps::<0b10_00_10_00>(bd, bd),
        );
        let mut totals = [0.0; SUMS];
        // SAFETY: the array holds four numbers.
        unsafe { _mm_storeu_ps(totals.as_mut_ptr(), sums) };
        totals
    }
}
