//! What the loops compute with: `f32`, or the same number counting what is done to it.
//!
//! Every kernel is generic over [`Number`], so the loops that compute are the loops that a test counts:
//! with `Counted<f32>` each lane of each addition, multiplication, comparison and function adds one to
//! the thread's count of its class.

pub(crate) mod simd;

use std::fmt::Debug;
use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub};

use opledger_dims::{Class, Counted, count};

use self::simd::Vector;
use crate::math;
use crate::meter::AttentionPart;

/// A number of 32 bits that kernels compute with: `f32` or [`Counted<f32>`](Counted).
///
/// A function (`exp`, `tanh`, …) is one operation of its class, as in the definitions, whatever its
/// approximation does inside. Sign, absolute value and bits cost nothing.
#[expect(private_bounds, reason = "only the numbers of this module are numbers")]
pub trait Number:
    Lanes
    + Copy
    + Debug
    + Send
    + Sync
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + MulAssign
    + 'static
{
    /// A constant.
    fn of(x: f32) -> Self;
    /// The number itself.
    fn value(self) -> f32;
    /// `self·factor + term`, rounded once: one multiplication and one addition.
    #[must_use]
    fn mul_add(self, factor: Self, term: Self) -> Self;
    /// Square root.
    #[must_use]
    fn sqrt(self) -> Self;
    /// `eˣ`.
    #[must_use]
    fn exp(self) -> Self;
    /// Natural logarithm.
    #[must_use]
    fn ln(self) -> Self;
    /// `tanh x`.
    #[must_use]
    fn tanh(self) -> Self;
    /// The error function.
    #[must_use]
    fn erf(self) -> Self;
    /// The number with these bits alone, to clear it without a multiplication.
    #[must_use]
    fn masked(self, bits: u32) -> Self {
        Self::of(f32::from_bits(self.value().to_bits() & bits))
    }
    /// Sine of radians.
    #[must_use]
    fn sin(self) -> Self;
    /// Cosine of radians.
    #[must_use]
    fn cos(self) -> Self;
    /// Arc tangent, in radians.
    #[must_use]
    fn atan(self) -> Self;
    /// Sine and cosine.
    #[must_use]
    fn sin_cos(self) -> (Self, Self);
    /// Whether it is no number: one comparison.
    #[must_use]
    fn is_nan(self) -> bool;
    /// Without its sign.
    #[must_use]
    fn abs(self) -> Self {
        Self::of(self.value().abs())
    }
}

/// Functions of a number that only kernels use, and the registers that hold it.
pub(crate) trait Lanes: Sized {
    /// A register of AVX-512, of AVX2, and of the portable code.
    type Avx512: Vector<Number = Self>;
    type Avx2: Vector<Number = Self>;
    type Portable: Vector<Number = Self>;
    /// What is computed from here on belongs to a part. Plain numbers do not listen.
    #[inline(always)]
    fn belongs_to(_: AttentionPart) {}
    /// `2ˣ` for `x <= 0`, zero where the result would be subnormal: one exponential.
    fn exp2_flushed(self) -> Self;
    /// `ln(1 + x)` for `x` in 0..=1: one logarithm.
    fn ln_1p(self) -> Self;
    /// `C = alpha·A·B`, or `C = C + alpha·A·B` with `add`, by `matrixmultiply`: the only arithmetic of
    /// kernels that is not seen. A counting number executes the textbook's loops in its place, one
    /// multiplication and one addition per term and one multiplication by `alpha` per element, beside
    /// what `matrixmultiply` computes.
    ///
    /// `sizes` are `m`, `k` and `n`; a factor comes with the strides of its rows and columns.
    ///
    /// # Safety
    /// `A` and `B` hold their elements; `c` points to `m` rows of `n` elements, `stride` apart, valid
    /// for reads and writes and reached by nobody else meanwhile.
    unsafe fn foreign_product(
        sizes: [usize; 3],
        alpha: Option<Self>,
        a: (&[Self], [usize; 2]),
        b: (&[Self], [usize; 2]),
        add: bool,
        c: *mut Self,
        stride: usize,
    );
}

/// [`Lanes::foreign_product`] of numbers that are an `f32` or a transparent wrapper of one.
///
/// # Safety
/// As there.
unsafe fn sgemm<T: Number>(
    [m, k, n]: [usize; 3],
    alpha: Option<T>,
    (a, [a_row, a_col]): (&[T], [usize; 2]),
    (b, [b_row, b_col]): (&[T], [usize; 2]),
    add: bool,
    c: *mut T,
    stride: usize,
) {
    let stride_of = |stride: usize| stride as isize;
    let beta = if add { 1.0 } else { 0.0 };
    // SAFETY: A, B and C hold their elements by contract; a stride of an axis longer than one is at
    // most the length of its slice, and no other is followed.
    unsafe {
        matrixmultiply::sgemm(
            m,
            k,
            n,
            alpha.map_or(1.0, Number::value),
            a.as_ptr().cast(),
            stride_of(a_row),
            stride_of(a_col),
            b.as_ptr().cast(),
            stride_of(b_row),
            stride_of(b_col),
            beta,
            c.cast(),
            stride_of(stride),
            1,
        );
    }
}

impl Number for f32 {
    #[inline(always)]
    fn of(x: f32) -> Self {
        x
    }
    #[inline(always)]
    fn value(self) -> f32 {
        self
    }
    #[inline(always)]
    fn mul_add(self, factor: Self, term: Self) -> Self {
        f32::mul_add(self, factor, term)
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        f32::sqrt(self)
    }
    #[inline(always)]
    fn exp(self) -> Self {
        math::exp(self)
    }
    #[inline(always)]
    fn tanh(self) -> Self {
        math::tanh(self)
    }
    #[inline(always)]
    fn erf(self) -> Self {
        math::erf(self)
    }
    #[inline(always)]
    fn ln(self) -> Self {
        f32::ln(self)
    }
    #[inline(always)]
    fn sin(self) -> Self {
        f32::sin(self)
    }
    #[inline(always)]
    fn cos(self) -> Self {
        f32::cos(self)
    }
    #[inline(always)]
    fn atan(self) -> Self {
        f32::atan(self)
    }
    #[inline(always)]
    fn sin_cos(self) -> (Self, Self) {
        f32::sin_cos(self)
    }
    #[inline(always)]
    fn is_nan(self) -> bool {
        f32::is_nan(self)
    }
    #[inline(always)]
    fn masked(self, bits: u32) -> Self {
        f32::from_bits(self.to_bits() & bits)
    }
    #[inline(always)]
    fn abs(self) -> Self {
        f32::abs(self)
    }
}

impl Lanes for f32 {
    #[cfg(target_arch = "x86_64")]
    type Avx512 = std::arch::x86_64::__m512;
    #[cfg(target_arch = "x86_64")]
    type Avx2 = std::arch::x86_64::__m256;
    #[cfg(not(target_arch = "x86_64"))]
    type Avx512 = [f32; 16];
    #[cfg(not(target_arch = "x86_64"))]
    type Avx2 = [f32; 8];
    type Portable = [f32; 8];
    #[inline(always)]
    fn exp2_flushed(self) -> Self {
        math::exp2_flushed(self)
    }
    #[inline(always)]
    fn ln_1p(self) -> Self {
        math::ln_1p(self)
    }
    unsafe fn foreign_product(
        sizes: [usize; 3],
        alpha: Option<Self>,
        a: (&[Self], [usize; 2]),
        b: (&[Self], [usize; 2]),
        add: bool,
        c: *mut Self,
        stride: usize,
    ) {
        // SAFETY: by contract.
        unsafe { sgemm(sizes, alpha, a, b, add, c, stride) }
    }
}

/// Counts one operation and applies it to the number inside.
macro_rules! counting {
    ($($name:ident $class:ident $of:path)*) => {$(
        fn $name(self) -> Self {
            count(Class::$class, 1);
            Counted($of(self.0))
        }
    )*};
}

impl Number for Counted<f32> {
    fn of(x: f32) -> Self {
        Counted(x)
    }
    fn value(self) -> f32 {
        self.0
    }
    fn mul_add(self, factor: Self, term: Self) -> Self {
        count(Class::Mul, 1);
        count(Class::Add, 1);
        Counted(f32::mul_add(self.0, factor.0, term.0))
    }
    fn sin_cos(self) -> (Self, Self) {
        count(Class::Sin, 1);
        count(Class::Cos, 1);
        let (sin, cos) = self.0.sin_cos();
        (Counted(sin), Counted(cos))
    }
    fn is_nan(self) -> bool {
        count(Class::Max, 1);
        self.0.is_nan()
    }
    counting!(
        sqrt Sqrt f32::sqrt  exp Exp math::exp  ln Log f32::ln  tanh Tanh math::tanh
        erf Erf math::erf  sin Sin f32::sin  cos Cos f32::cos  atan Atan f32::atan
    );
}

impl Lanes for Counted<f32> {
    type Avx512 = [Counted<f32>; 16];
    type Avx2 = [Counted<f32>; 8];
    type Portable = [Counted<f32>; 8];
    counting!(exp2_flushed Exp math::exp2_flushed  ln_1p Log math::ln_1p);
    #[cfg(test)]
    fn belongs_to(part: AttentionPart) {
        crate::counting::turn_to(part as usize);
    }
    unsafe fn foreign_product(
        sizes: [usize; 3],
        alpha: Option<Self>,
        a: (&[Self], [usize; 2]),
        b: (&[Self], [usize; 2]),
        add: bool,
        c: *mut Self,
        stride: usize,
    ) {
        let ([m, k, n], (a_data, [a_row, a_col]), (b_data, [b_row, b_col])) = (sizes, a, b);
        for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
            let mut sum = Counted(0.0);
            for p in 0..k {
                let (a, b) = (a_data[i * a_row + p * a_col], b_data[p * b_row + j * b_col]);
                sum = Number::mul_add(a, b, sum);
            }
            let _ = alpha.map(|alpha| alpha * sum);
        }
        // SAFETY: by contract.
        unsafe { sgemm(sizes, alpha, a, b, add, c, stride) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opledger_dims::{Counts, counted};

    #[test]
    fn a_counting_number_has_the_bits_of_the_plain_one_and_counts_each_operation() {
        type Function = (fn(Counted<f32>) -> Counted<f32>, fn(f32) -> f32, Class);
        let functions: [Function; 10] = [
            (Number::sqrt, Number::sqrt, Class::Sqrt),
            (Number::exp, Number::exp, Class::Exp),
            (Number::tanh, Number::tanh, Class::Tanh),
            (Number::erf, Number::erf, Class::Erf),
            (Number::ln, Number::ln, Class::Log),
            (Number::sin, Number::sin, Class::Sin),
            (Number::cos, Number::cos, Class::Cos),
            (Number::atan, Number::atan, Class::Atan),
            (|x| (-x).exp2_flushed(), |x| (-x).exp2_flushed(), Class::Exp),
            (Lanes::ln_1p, Lanes::ln_1p, Class::Log),
        ];
        for (counting, plain, class) in functions {
            let (value, counts) = counted(|| counting(Counted(0.7)));
            assert_eq!(value.0.to_bits(), plain(0.7).to_bits());
            assert_eq!(counts, Counts::zero().with(class, 1));
        }
        let x = Counted(0.7_f32);
        let (value, counts) = counted(|| Number::mul_add(x, x, x));
        assert_eq!(value.0.to_bits(), 0.7_f32.mul_add(0.7, 0.7).to_bits());
        assert_eq!(counts, Counts::zero().with(Class::Mul, 1).with(Class::Add, 1));
        let ((sin, cos), counts) = counted(|| Number::sin_cos(x));
        assert_eq!((sin.0, cos.0), 0.7_f32.sin_cos());
        assert_eq!(counts, Counts::zero().with(Class::Sin, 1).with(Class::Cos, 1));
        let compared = counted(|| (x.is_nan(), Counted(f32::NAN).is_nan()));
        assert_eq!(compared, ((false, true), Counts::zero().with(Class::Max, 2)));
        let free = counted(|| (Number::abs(-x).masked(u32::MAX), -x)).1;
        assert!(free.is_zero());
    }
}
