//! Reductions over the last axis.

use opledger_dims::Class;

use crate::error::{KernelError, exactly};
use crate::horizontal::{self, joins};
use crate::isa::{Isa, isa, vectorised};
use crate::meter::{Meter, Tally};
use crate::number::Number;
use crate::tasks::over_rows;

/// How a row becomes one number, with its operations for a row of `k`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reduction {
    /// The sum: `k - 1` add.
    Sum,
    /// The mean: `k - 1` add, 1 div.
    Mean,
    /// The greatest: `k - 1` max; `NaN` if any entry is, which is looked for in a pass of its own.
    Max,
}

/// Reduces each row of `x`, `[out.len(), width]`, to one element of `out`.
///
/// # Errors
/// [`KernelError::EmptyReduction`] if `width` is zero and `out` is not empty;
/// [`KernelError::Length`] if `x` disagrees.
pub fn reduce<T: Number, M: Meter>(
    reduction: Reduction,
    width: usize,
    x: &[T],
    out: &mut [T],
    meter: &M,
) -> Result<(), KernelError> {
    let isa = isa()?;
    exactly("input", x.len(), &[out.len(), width])?;
    if out.is_empty() {
        return Ok(());
    }
    if width == 0 {
        return Err(KernelError::EmptyReduction { what: "the reduced axis" });
    }
    over_rows(out, 1, width, meter, |first, out, tally| {
        let x = &x[first * width..];
        for (out, x) in out.iter_mut().zip(x.chunks(width)) {
            *out = reduce_row(isa, reduction, x, tally);
        }
    });
    Ok(())
}

/// Reduces a row, which is not empty.
pub(crate) fn reduce_row<T: Number>(
    isa: Isa,
    reduction: Reduction,
    x: &[T],
    tally: &mut Tally,
) -> T {
    let width = x.len();
    let (reduced, class) = match reduction {
        Reduction::Sum => (sum(isa, x), Class::Add),
        Reduction::Mean => {
            tally.both(Class::Div, 1);
            (sum(isa, x) / T::of(width as f32), Class::Add)
        }
        Reduction::Max => {
            // NaN is looked for in every entry and in their sum.
            tally.executed(Class::Add, joins(width));
            tally.executed(Class::Max, width + 1);
            (max(isa, x), Class::Max)
        }
    };
    tally.useful(class, width - 1);
    tally.executed(class, joins(width));
    reduced
}

vectorised! {
    fn sum[T: Number](x: &[T]) -> T {
        horizontal::sum_of(x, |v| v)
    }

    fn max[T: Number](x: &[T]) -> T {
        // Zero unless an entry is NaN.
        let nan = horizontal::sum_of(x, |v| if v.is_nan() { v } else { T::of(0.0) });
        let greatest = horizontal::max(x);
        if nan.is_nan() { nan } else { greatest }
    }
}
