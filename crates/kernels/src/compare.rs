//! Comparisons of two operands that are read through strides.

use opledger_dims::Class;

use crate::error::KernelError;
use crate::meter::Meter;
use crate::number::Number;
use crate::strided::{Strided, Walk};
use crate::tasks::over_rows;

/// A comparison of two elements; none holds of NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompareOp {
    /// `a < b`.
    Less,
    /// `a ≤ b`.
    AtMost,
    /// `a = b`.
    Equal,
}

/// Writes 1 where a comparison holds and 0 elsewhere into `out`, contiguous of shape `shape`: one max per
/// element.
///
/// # Errors
/// [`KernelError::Shape`] if an operand has not one stride per axis; a length or reach error.
pub fn compare<T: Number, M: Meter>(
    comparison: CompareOp,
    shape: &[usize],
    [a, b]: [Strided<'_, T>; 2],
    out: &mut [i64],
    meter: &M,
) -> Result<(), KernelError> {
    match comparison {
        CompareOp::Less => holds(shape, [a, b], out, meter, |a, b| a < b),
        CompareOp::AtMost => holds(shape, [a, b], out, meter, |a, b| a <= b),
        CompareOp::Equal => holds(shape, [a, b], out, meter, |a, b| a == b),
    }
}

fn holds<T: Number, M: Meter>(
    shape: &[usize],
    [a, b]: [Strided<'_, T>; 2],
    out: &mut [i64],
    meter: &M,
    holds: impl Fn(T, T) -> bool + Sync,
) -> Result<(), KernelError> {
    let walk = Walk::of([a, b], shape, out.len())?;
    over_rows(out, walk.width(), 1, meter, |first, out, tally| {
        let [step_a, step_b] = walk.steps();
        walk.rows(first, out, |[from_a, from_b], out| {
            for (i, out) in out.iter_mut().enumerate() {
                let (a, b) = (a.data[from_a + i * step_a], b.data[from_b + i * step_b]);
                *out = i64::from(holds(a, b));
            }
            tally.both(Class::Max, out.len());
        });
    });
    Ok(())
}
