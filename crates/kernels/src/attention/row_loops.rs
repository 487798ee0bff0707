//! Loops over numbers that several kinds of attention share.

use opledger_dims::Class;

use crate::horizontal;
use crate::isa::vectorised;
use crate::meter::Tally;
use crate::number::Number;

/// Counts what [`finite`] executes.
pub(super) fn count_finite(rows: usize, width: usize, tally: &mut Tally) {
    tally.executed(Class::Mul, rows * width);
    tally.executed(Class::Add, rows * horizontal::joins(width));
    tally.executed(Class::Max, rows);
}

/// The greatest magnitude of a bias that is finite in powers of two.
const GREATEST_BIAS: f32 = f32::MAX / std::f32::consts::LOG2_E;

/// A score in powers of two with its bias. A finite bias stays finite in powers of two: one beyond
/// ±2.358·10³⁸ counts as that.
#[inline(always)]
pub(super) fn biased<T: Number>(score: T, bias: T) -> T {
    let [least, greatest] = [-GREATEST_BIAS, GREATEST_BIAS].map(T::of);
    let raised = if bias < least { least } else { bias };
    let clamped = if raised > greatest { greatest } else { raised };
    let bias = if bias.abs() == T::of(f32::INFINITY) { bias } else { clamped };
    bias.mul_add(T::of(std::f32::consts::LOG2_E), score)
}

/// Counts what [`biased`] executes for so many scores.
pub(super) fn count_biased(scores: usize, tally: &mut Tally) {
    tally.executed(Class::Mul, scores);
    tally.executed(Class::Add, scores);
    tally.executed(Class::Max, 3 * scores);
}

vectorised! {
    /// Whether the first rows hold no infinity and no NaN.
    pub(super) fn finite[T: Number](data: &[T], stride: usize, width: usize, rows: usize) -> bool {
        let zero = T::of(0.0);
        let mut finite = true;
        // A closure of `all` would be compiled without the instruction set.
        for row in 0..rows {
            finite &= horizontal::sum_of(&data[row * stride..][..width], |v| v * zero) == zero;
        }
        finite
    }

    /// Multiplies by a number.
    pub(super) fn multiply[T: Number](x: &mut [T], factor: T) {
        for x in x {
            *x *= factor;
        }
    }
}
