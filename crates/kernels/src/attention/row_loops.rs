//! Loops over numbers that several kinds of attention share.

use crate::horizontal;
use crate::isa::vectorised;

/// The greatest magnitude of a bias that is finite in powers of two.
const GREATEST_BIAS: f32 = f32::MAX / std::f32::consts::LOG2_E;

/// A bias that stays finite in powers of two if it is finite: one beyond ±2.358·10³⁸ counts as that.
#[inline(always)]
pub(super) fn within_range(bias: f32) -> f32 {
    if bias.is_infinite() { bias } else { bias.clamp(-GREATEST_BIAS, GREATEST_BIAS) }
}

vectorised! {
    /// Whether the first rows hold no infinity and no NaN.
    pub(super) fn finite(data: &[f32], stride: usize, width: usize, rows: usize) -> bool {
        // A closure of `all` would be compiled without the instruction set.
        for row in 0..rows {
            if horizontal::sum_of(&data[row * stride..][..width], |v| v * 0.0) != 0.0 {
                return false;
            }
        }
        true
    }

    /// Multiplies by a number.
    pub(super) fn multiply(x: &mut [f32], factor: f32) {
        for x in x {
            *x *= factor;
        }
    }
}
