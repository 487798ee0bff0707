//! Reductions over the last axis.

use opledger_dims::Class;

use crate::error::{KernelError, exactly};
use crate::horizontal;
use crate::isa::{isa, vectorised};
use crate::meter::Meter;
use crate::tasks::over_rows;

/// How a row becomes one number, with its operations for a row of `k`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reduction {
    /// The sum: `k - 1` add.
    Sum,
    /// The mean: `k - 1` add, 1 div.
    Mean,
    /// The greatest: `k - 1` max; `NaN` if any entry is.
    Max,
}

/// Reduces each row of `x`, `[out.len(), width]`, to one element of `out`.
///
/// # Errors
/// [`KernelError::EmptyReduction`] if `width` is zero and `out` is not empty;
/// [`KernelError::Length`] if `x` disagrees.
pub fn reduce<M: Meter>(
    reduction: Reduction,
    width: usize,
    x: &[f32],
    out: &mut [f32],
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
            match reduction {
                Reduction::Sum => *out = sum(isa, x),
                Reduction::Mean => {
                    *out = sum(isa, x) / width as f32;
                    tally.both(Class::Div, 1);
                }
                Reduction::Max => *out = max(isa, x),
            }
            let class = if reduction == Reduction::Max { Class::Max } else { Class::Add };
            tally.both(class, x.len() - 1);
        }
    });
    Ok(())
}

vectorised! {
    fn sum(x: &[f32]) -> f32 {
        horizontal::sum_of(x, |v| v)
    }

    fn max(x: &[f32]) -> f32 {
        // Zero unless an entry is NaN.
        let nan = horizontal::sum_of(x, |v| if v.is_nan() { v } else { 0.0 });
        if nan.is_nan() { nan } else { horizontal::max(x) }
    }
}
