//! SIMD registers, one type per instruction set, and hints to the caches.

use half::{bf16, f16};

use super::Number;

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
    type Number: Number;
    const LANES: usize;
    /// # Safety
    /// The processor has the instruction set of the type.
    unsafe fn splat(x: Self::Number) -> Self;
    /// # Safety
    /// As [`Vector::splat`], and `LANES` numbers can be read.
    unsafe fn load(from: *const Self::Number) -> Self;
    /// Widens numbers of 16 bits.
    ///
    /// # Safety
    /// As [`Vector::splat`], and `LANES` of them can be read.
    unsafe fn load_bf16(from: *const bf16) -> Self;
    /// As [`Vector::load_bf16`].
    ///
    /// # Safety
    /// As there.
    unsafe fn load_f16(from: *const f16) -> Self;
    /// # Safety
    /// As [`Vector::splat`], and `LANES` numbers can be written.
    unsafe fn store(self, to: *mut Self::Number);
    /// `self·factor + term`.
    ///
    /// # Safety
    /// As [`Vector::splat`].
    unsafe fn fused(self, factor: Self, term: Self) -> Self;
    /// # Safety
    /// As [`Vector::splat`].
    unsafe fn plus(self, other: Self) -> Self;
    /// Adds the upper half of each sum's lanes to the lower one, in two registers whose sums take
    /// `LANES >> step` lanes, and brings what is left of both into one; `other` is `self` where its
    /// sums are wanted no more.
    ///
    /// # Safety
    /// As [`Vector::splat`].
    unsafe fn halved(self, other: Self, step: u32) -> Self;
    /// The first lane of each sum, after the last step.
    ///
    /// # Safety
    /// As [`Vector::splat`].
    unsafe fn firsts(self) -> [Self::Number; SUMS];
    /// The sums of [`TERMS`] numbers each, in `TERMS / LANES` registers, by halves: of two registers
    /// at once while there are two.
    ///
    /// # Safety
    /// As [`Vector::splat`].
    #[inline(always)]
    unsafe fn totals<const REGISTERS: usize>(
        sums: &[[Self; REGISTERS]; SUMS],
    ) -> [Self::Number; SUMS] {
        const { assert!(REGISTERS * Self::LANES == TERMS && REGISTERS > 0) };
        // SAFETY: by contract.
        unsafe {
            let mut firsts = sums.map(|registers| registers[0]);
            for (sum, registers) in firsts.iter_mut().zip(sums) {
                for register in &registers[1..] {
                    *sum = sum.plus(*register);
                }
            }
            let [a, b, c, d] = firsts;
            let mut sums = a.halved(b, 0).halved(c.halved(d, 0), 1);
            for step in 2..Self::LANES.ilog2() {
                sums = sums.halved(sums, step);
            }
            sums.firsts()
        }
    }
    /// Additions of [`Vector::totals`], those of lanes that are thrown away included.
    const TOTAL_ADDITIONS: usize =
        SUMS * (TERMS - Self::LANES) + (1 + Self::LANES.ilog2() as usize) * Self::LANES;
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
    unsafe fn load_bf16(from: *const bf16) -> Self {
        // SAFETY: by contract.
        let narrow = unsafe { from.cast::<[bf16; LANES]>().read_unaligned() };
        narrow.map(|x| T::of(x.to_f32()))
    }
    #[inline(always)]
    unsafe fn load_f16(from: *const f16) -> Self {
        // SAFETY: by contract.
        let narrow = unsafe { from.cast::<[f16; LANES]>().read_unaligned() };
        narrow.map(|x| T::of(x.to_f32()))
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
    unsafe fn plus(self, other: Self) -> Self {
        std::array::from_fn(|i| self[i] + other[i])
    }
    #[inline(always)]
    unsafe fn halved(self, other: Self, step: u32) -> Self {
        let half = LANES >> (step + 1);
        std::array::from_fn(|i| {
            let from = if i < LANES / 2 { self } else { other };
            let at = i % (LANES / 2) / half * 2 * half + i % half;
            from[at] + from[at + half]
        })
    }
    #[inline(always)]
    unsafe fn firsts(self) -> [T; SUMS] {
        std::array::from_fn(|i| self[i])
    }
    #[inline(always)]
    fn prefetch(_: *mut T) {}
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use half::{bf16, f16};

    use super::{SUMS, Vector};

    macro_rules! vector {
        ($type:ty, $lanes:literal, $splat:ident, $load:ident, $bf16:ident, $f16:ident, $store:ident, $fused:ident, $plus:ident, $halved:ident, $firsts:ident) => {
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
                unsafe fn load_bf16(from: *const bf16) -> Self {
                    // SAFETY: by contract.
                    unsafe { $bf16(from) }
                }
                #[inline(always)]
                unsafe fn load_f16(from: *const f16) -> Self {
                    // SAFETY: by contract.
                    unsafe { $f16(from) }
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
                unsafe fn plus(self, other: Self) -> Self {
                    // SAFETY: by contract.
                    unsafe { $plus(self, other) }
                }
                #[inline(always)]
                unsafe fn halved(self, other: Self, step: u32) -> Self {
                    // SAFETY: by contract.
                    unsafe { $halved(self, other, step) }
                }
                #[inline(always)]
                unsafe fn firsts(self) -> [f32; SUMS] {
                    // SAFETY: by contract.
                    unsafe { $firsts(self) }
                }
                #[inline(always)]
                fn prefetch(to: *mut f32) {
                    // SAFETY: a prefetch reads nothing, whatever the address.
                    unsafe { _mm_prefetch::<_MM_HINT_ET0>(to.cast()) }
                }
            }
        };
    }
    vector!(
        __m512,
        16,
        _mm512_set1_ps,
        _mm512_loadu_ps,
        bf16_512,
        f16_512,
        _mm512_storeu_ps,
        _mm512_fmadd_ps,
        _mm512_add_ps,
        halved_512,
        firsts_512
    );
    vector!(
        __m256,
        8,
        _mm256_set1_ps,
        _mm256_loadu_ps,
        bf16_256,
        f16_256,
        _mm256_storeu_ps,
        _mm256_fmadd_ps,
        _mm256_add_ps,
        halved_256,
        firsts_256
    );

    /// # Safety
    /// 16 numbers can be read.
    #[target_feature(enable = "avx512f,avx2,fma")]
    #[inline]
    unsafe fn bf16_512(from: *const bf16) -> __m512 {
        // SAFETY: by contract.
        let narrow = unsafe { _mm256_loadu_si256(from.cast()) };
        _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(narrow)))
    }

    /// # Safety
    /// As [`bf16_512`].
    #[target_feature(enable = "avx512f,avx2,fma")]
    #[inline]
    unsafe fn f16_512(from: *const f16) -> __m512 {
        // SAFETY: by contract.
        _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(from.cast()) })
    }

    /// # Safety
    /// 8 numbers can be read.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    unsafe fn bf16_256(from: *const bf16) -> __m256 {
        // SAFETY: by contract.
        let narrow = unsafe { _mm_loadu_si128(from.cast()) };
        _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(narrow)))
    }

    /// # Safety
    /// As [`bf16_256`].
    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn f16_256(from: *const f16) -> __m256 {
        // SAFETY: by contract.
        _mm256_cvtph_ps(unsafe { _mm_loadu_si128(from.cast()) })
    }

    #[target_feature(enable = "avx512f,avx2,fma")]
    #[inline]
    fn halved_512(a: __m512, b: __m512, step: u32) -> __m512 {
        let (low, high) = match step {
            0 => (_mm512_shuffle_f32x4::<0x44>(a, b), _mm512_shuffle_f32x4::<0xee>(a, b)),
            1 => (_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xdd>(a, b)),
            2 => (a, _mm512_permute_ps::<0b01_00_11_10>(a)),
            _ => (a, _mm512_movehdup_ps(a)),
        };
        _mm512_add_ps(low, high)
    }

    #[target_feature(enable = "avx512f,avx2,fma")]
    #[inline]
    fn firsts_512(sums: __m512) -> [f32; SUMS] {
        let firsts = _mm512_setr_epi32(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
        let mut totals = [0.0; SUMS];
        let sums = _mm512_castps512_ps128(_mm512_permutexvar_ps(firsts, sums));
        // SAFETY: the array holds four numbers.
        unsafe { _mm_storeu_ps(totals.as_mut_ptr(), sums) };
        totals
    }

    #[target_feature(enable = "avx2,fma")]
    #[inline]
    fn halved_256(a: __m256, b: __m256, step: u32) -> __m256 {
        let (low, high) = match step {
            0 => (_mm256_permute2f128_ps::<0x20>(a, b), _mm256_permute2f128_ps::<0x31>(a, b)),
            // Then the sums of `a` and `b` stand by turns in the halves of the register.
            1 => {
                (_mm256_shuffle_ps::<0b01_00_01_00>(a, b), _mm256_shuffle_ps::<0b11_10_11_10>(a, b))
            }
            _ => (a, _mm256_movehdup_ps(a)),
        };
        _mm256_add_ps(low, high)
    }

    #[target_feature(enable = "avx2,fma")]
    #[inline]
    fn firsts_256(sums: __m256) -> [f32; SUMS] {
        let (ac, bd) = (_mm256_castps256_ps128(sums), _mm256_extractf128_ps::<1>(sums));
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
