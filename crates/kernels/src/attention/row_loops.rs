//! Loops over numbers that several kinds of attention share.

use opledger_dims::Class;

use crate::horizontal;
use crate::isa::vectorised;
use crate::meter::Tally;
use crate::number::Number;

/// Counts what [`finite`] executes.
pub(crate) fn count_finite(rows: usize, width: usize, tally: &mut Tally) {
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
    pub(crate) fn finite[T: Number](data: &[T], stride: usize, width: usize, rows: usize) -> bool {
        let zero = T::of(0.0);
        let mut finite = true;
        // A closure of `all` would be compiled without the instruction set.
        for row in 0..rows {
            finite &= horizontal::sum_of(&data[row * stride..][..width], |v| v * zero) == zero;
        }
        finite
    }

    /// `cap·tanh(x)`.
    pub(super) fn cap[T: Number](x: &mut [T], cap: T) {
        for x in x {
            *x = x.tanh() * cap;
        }
    }

    /// Multiplies by a number.
    pub(super) fn multiply[T: Number](x: &mut [T], factor: T) {
        for x in x {
            *x *= factor;
        }
    }
}

/// What the weights of a row are multiplied with so that they add up to one beside a sink: `greatest` is
/// its greatest score in powers of two, `sum` that of its weights. A row whose sum is zero has no weights.
pub(super) fn beside_sink<T: Number>(greatest: T, sum: T, sink: T) -> T {
    let sink = biased(T::of(0.0), sink);
    let shift = if sink > greatest { sink } else { greatest };
    let factor = (greatest - shift).exp2_flushed();
    factor / sum.mul_add(factor, (sink - shift).exp2_flushed())
}

/// Counts what [`beside_sink`] executes for so many rows, but for the division.
pub(super) fn count_sinks(rows: usize, tally: &mut Tally) {
    count_biased(rows, tally);
    tally.executed(Class::Max, rows);
    tally.executed(Class::Add, 3 * rows);
    tally.executed(Class::Exp, 2 * rows);
    tally.executed(Class::Mul, rows);
}
