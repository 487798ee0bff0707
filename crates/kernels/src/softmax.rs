//! Softmax over the last axis, with the masks of attention.

use opledger_dims::Class;

use crate::attention::{Keys, Mask};
use crate::error::{KernelError, exactly};
use crate::isa::{isa, vectorised};
use crate::lanes;
use crate::math;
use crate::meter::Meter;
use crate::tasks::over_rows;

/// Rows to normalise, contiguous `[batch, heads, queries, keys]`.
#[derive(Clone, Copy, Debug)]
pub struct Softmax<'a> {
    /// Batch items; with `heads` and `queries`, the rows. Without a mask only their product counts.
    pub batch: usize,
    /// Heads.
    pub heads: usize,
    /// Queries.
    pub queries: usize,
    /// Length of a row.
    pub keys: usize,
    /// The entries that take part in each row.
    pub mask: Mask<'a>,
}

/// Computes the softmax of each row of `x` into `out`; masked entries give zero whatever they hold.
///
/// A row without allowed entry gives zeros and counts nothing, one whose allowed entries are all
/// `-∞` gives zeros. Counts per row of `k` allowed entries: `k - 1` max, `k` subtractions, `k` exp,
/// `k - 1` add, `k` div (done as one reciprocal).
///
/// # Errors
/// [`KernelError::Length`] if a slice is not `[batch, heads, queries, keys]` or the mask not
/// `[batch, keys]`.
pub fn softmax<M: Meter>(
    rows: &Softmax<'_>,
    x: &[f32],
    out: &mut [f32],
    meter: &M,
) -> Result<(), KernelError> {
    let isa = isa()?;
    let &Softmax { batch, heads, queries, keys: width, mask } = rows;
    exactly("input", x.len(), &[batch, heads, queries, width])?;
    exactly("output", out.len(), &[batch, heads, queries, width])?;
    mask.check(batch, width)?;
    if out.is_empty() {
        return Ok(());
    }
    let keys: Vec<Keys> = match mask.keep {
        Some(_) => (0..batch).map(|item| mask.keys(item, width)).collect(),
        None => vec![mask.keys(0, width)],
    };
    over_rows(out, width, 4, meter, |first, out, tally| {
        let mut gathered = Vec::new();
        for (row, out) in out.chunks_mut(width).enumerate() {
            let row = first + row;
            let item = if keys.len() == 1 { 0 } else { row / queries / heads };
            let seen = keys[item].seen_by(row % queries);
            let x = &x[row * width..][..width];
            let k = seen.len();
            match keys[item].positions(seen.clone()) {
                None => {
                    out[..seen.start].fill(0.0);
                    out[seen.end..].fill(0.0);
                    normalise(isa, &x[seen.clone()], &mut out[seen]);
                }
                Some(positions) => {
                    gathered.clear();
                    gathered.extend(positions.iter().map(|&j| x[j]));
                    let compact = &mut out[..k];
                    normalise(isa, &gathered, compact);
                    gathered.copy_from_slice(compact);
                    out.fill(0.0);
                    for (&j, &value) in positions.iter().zip(&gathered) {
                        out[j] = value;
                    }
                }
            }
            if k > 0 {
                tally.both(Class::Max, k - 1);
                tally.both(Class::Add, k + k - 1);
                tally.both(Class::Exp, k);
                tally.both(Class::Div, k);
            }
        }
    });
    Ok(())
}

vectorised! {
    fn normalise(x: &[f32], out: &mut [f32]) {
        let greatest = lanes::max(x);
        let shift = if greatest == f32::NEG_INFINITY { 0.0 } else { greatest };
        for (out, x) in out.iter_mut().zip(x) {
            *out = x - shift;
        }
        let sum = lanes::map_sum(out, math::exp);
        let factor = if sum == 0.0 { 0.0 } else { 1.0 / sum };
        for out in out.iter_mut() {
            *out *= factor;
        }
    }
}
