//! The places of the largest or smallest entries of rows.

use opledger_dims::{Class, Foremost};

use crate::error::{KernelError, exactly};
use crate::meter::Meter;
use crate::number::Number;
use crate::tasks::over_rows;

/// Writes the places of the `k` foremost entries of each row of `x`, `[rows, width]`, into `out`,
/// `[rows, k]`, in their order: of equal entries the first, NaN larger than every number.
///
/// Counts per row: `k` passes, each one max fewer than entries are left; executed are three
/// for each, as NaN is looked for on both sides.
///
/// # Errors
/// [`KernelError::Shape`] if `k` is more than `width`; [`KernelError::Length`] if `out` is not whole
/// rows or `x` disagrees.
pub fn top_k<T: Number, M: Meter>(
    width: usize,
    k: usize,
    order: Foremost,
    x: &[T],
    out: &mut [i64],
    meter: &M,
) -> Result<(), KernelError> {
    if k > width {
        return Err(KernelError::Shape { what: "k <= width" });
    }
    let rows = out.len().checked_div(k).unwrap_or(0);
    exactly("output", out.len(), &[rows, k])?;
    if out.is_empty() {
        return Ok(());
    }
    exactly("input", x.len(), &[rows, width])?;
    over_rows(out, k, width, meter, |first, out, tally| {
        let mut left = Vec::with_capacity(width);
        for (row, out) in out.chunks_mut(k).enumerate() {
            let x = &x[(first + row) * width..][..width];
            left.clear();
            left.extend(0..width);
            for out in out {
                let mut best = 0;
                for at in 1..left.len() {
                    let (value, other) = (x[left[best]], x[left[at]]);
                    // NaN takes the place of a number, or a number that of NaN.
                    let (beyond, [gone, stays]) = match order {
                        Foremost::Largest => (other > value, [other, value]),
                        Foremost::Smallest => (other < value, [value, other]),
                    };
                    if beyond | (gone.is_nan() & !stays.is_nan()) {
                        best = at;
                    }
                }
                tally.useful(Class::Max, left.len() - 1);
                tally.executed(Class::Max, 3 * (left.len() - 1));
                *out = left.remove(best) as i64;
            }
        }
    });
    Ok(())
}
