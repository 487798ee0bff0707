//! What the textbook loops need of a number.

use std::fmt::Debug;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// A real number as the reference algorithms see it.
///
/// Every method but the conversions and [`Neg`] is one operation of a
/// [`Class`](crate::Class); a sign change moves one bit and is none.
pub trait Scalar:
    Copy
    + Debug
    + Send
    + Sync
    + 'static
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    /// Rounds a constant to this type.
    fn from_f64(value: f64) -> Self;
    /// The value, exact for `f32` and `f64`.
    fn to_f64(self) -> f64;
    /// The larger of two; NaN if either is.
    #[must_use]
    fn max(self, other: Self) -> Self;
    /// e to the power of `self`.
    #[must_use]
    fn exp(self) -> Self;
    /// Natural logarithm.
    #[must_use]
    fn ln(self) -> Self;
    /// Square root.
    #[must_use]
    fn sqrt(self) -> Self;
    /// Hyperbolic tangent.
    #[must_use]
    fn tanh(self) -> Self;
    /// Error function.
    #[must_use]
    fn erf(self) -> Self;
    /// Sine of radians.
    #[must_use]
    fn sin(self) -> Self;
    /// Cosine of radians.
    #[must_use]
    fn cos(self) -> Self;
    /// Arc tangent, in radians.
    #[must_use]
    fn atan(self) -> Self;
}

macro_rules! scalar {
    ($float:ident, $erf:path) => {
        impl Scalar for $float {
            fn from_f64(value: f64) -> Self {
                value as $float
            }
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
            fn max(self, other: Self) -> Self {
                if self.is_nan() || self > other { self } else { other }
            }
            fn exp(self) -> Self {
                $float::exp(self)
            }
            fn ln(self) -> Self {
                $float::ln(self)
            }
            fn sqrt(self) -> Self {
                $float::sqrt(self)
            }
            fn tanh(self) -> Self {
                $float::tanh(self)
            }
            fn erf(self) -> Self {
                $erf(self)
            }
            fn sin(self) -> Self {
                $float::sin(self)
            }
            fn cos(self) -> Self {
                $float::cos(self)
            }
            fn atan(self) -> Self {
                $float::atan(self)
            }
        }
    };
}
scalar!(f32, libm::erff);
scalar!(f64, libm::erf);
