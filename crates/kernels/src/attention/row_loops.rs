//! Loops over numbers that several kinds of attention share.

use crate::horizontal;
use crate::isa::vectorised;

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
