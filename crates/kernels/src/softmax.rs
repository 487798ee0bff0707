//! Softmax over the last axis, with the masks of attention.

use opledger_dims::Class;

use crate::error::{KernelError, exactly};
use crate::horizontal::{self, joins};
use crate::isa::{isa, vectorised};
use crate::meter::{Meter, Substitution};
use crate::number::Number;
use crate::score_rows::{ScoreRows, Seen};
use crate::tasks::over_rows;

/// Computes the softmax of each row of `x` into `out`; masked entries give zero whatever they hold.
///
/// A row without allowed entry gives zeros and counts nothing, one whose allowed entries are all
/// `-∞` gives zeros. Counts per row of `k` allowed entries: `k - 1` max, `k` subtractions, `k` exp,
/// `k - 1` add, `k` div (executed as a reciprocal and `k` mul).
///
/// # Errors
/// [`KernelError::Length`] if a slice is not `[batch, heads, queries, keys]` or the mask not
/// `[batch, keys]`.
pub fn softmax<T: Number, M: Meter>(
    rows: &ScoreRows<'_>,
    x: &[T],
    out: &mut [T],
    meter: &M,
) -> Result<(), KernelError> {
    all(rows, x, None, out, meter)
}

/// The same with a number of each batch item and head that joins the sum of its rows and is not kept: per
/// row with an allowed entry 1 max, 2 add and 1 exp more.
///
/// # Errors
/// As [`softmax`], and where there are not as many sinks.
pub fn softmax_beside<T: Number, M: Meter>(
    rows: &ScoreRows<'_>,
    x: &[T],
    sinks: &[T],
    out: &mut [T],
    meter: &M,
) -> Result<(), KernelError> {
    exactly("sinks", sinks.len(), &[rows.batch, rows.heads])?;
    all(rows, x, Some(sinks), out, meter)
}

fn all<T: Number, M: Meter>(
    rows: &ScoreRows<'_>,
    x: &[T],
    sinks: Option<&[T]>,
    out: &mut [T],
    meter: &M,
) -> Result<(), KernelError> {
    let isa = isa()?;
    rows.check("input", x.len())?;
    rows.check("output", out.len())?;
    let allowed = rows.allowed()?;
    let width = rows.keys;
    over_rows(out, width, 4, meter, |first, out, tally| {
        let mut gathered = Vec::new();
        for (row, out) in out.chunks_mut(width).enumerate() {
            let row = first + row;
            let x = &x[row * width..][..width];
            let seen = allowed.of(row);
            let sink = sinks.map(|sinks| sinks[row / rows.queries]);
            let k = seen.len();
            if k == 0 {
                out.fill(T::of(0.0));
                continue;
            }
            match seen {
                Seen::Run(seen) => {
                    out[..seen.start].fill(T::of(0.0));
                    out[seen.end..].fill(T::of(0.0));
                    normalise(isa, &x[seen.clone()], sink, &mut out[seen.clone()]);
                }
                Seen::Positions(positions) => {
                    gathered.clear();
                    gathered.extend(positions.iter().map(|&j| x[j]));
                    let compact = &mut out[..positions.len()];
                    normalise(isa, &gathered, sink, compact);
                    gathered.copy_from_slice(compact);
                    out.fill(T::of(0.0));
                    for (&j, &value) in positions.iter().zip(&gathered) {
                        out[j] = value;
                    }
                }
            };
            tally.useful(Class::Max, k - 1);
            tally.useful(Class::Add, k + k - 1);
            tally.useful(Class::Div, k);
            tally.both(Class::Exp, k);
            tally.substituted(Substitution::Reciprocal, k);
            if sink.is_some() {
                tally.both(Class::Max, 1);
                tally.both(Class::Add, 2);
                tally.both(Class::Exp, 1);
            }
            // Two more: a greatest of -∞, and a sum of zero.
            tally.executed(Class::Max, joins(k) + 2);
            tally.executed(Class::Add, k + joins(k));
            tally.executed(Class::Div, 1);
            tally.executed(Class::Mul, k);
        }
    });
    Ok(())
}

vectorised! {
    fn normalise[T: Number](x: &[T], sink: Option<T>, out: &mut [T]) {
        let (zero, lowest) = (T::of(0.0), T::of(f32::NEG_INFINITY));
        let mut greatest = horizontal::max(x);
        if let Some(sink) = sink.filter(|sink| *sink > greatest) {
            greatest = sink;
        }
        let shift = if greatest == lowest { zero } else { greatest };
        let mut sum = horizontal::write_sum(x, out, |x| (x - shift).exp());
        if let Some(sink) = sink {
            sum += (sink - shift).exp();
        }
        let reciprocal = T::of(1.0) / sum;
        let factor = if sum == zero { zero } else { reciprocal };
        for out in out.iter_mut() {
            *out *= factor;
        }
    }
}
