//! Sums over the queries that see a key, as gradients of keys and values are.
//!
//! Count: one mul and one add for each allowed pair and column; a sum begins at 0, which is all of it
//! where no query sees the key.

use opledger_dims::Class;
use rayon::prelude::*;

use crate::error::{KernelError, exactly};
use crate::meter::{Meter, Tally};
use crate::number::Number;
use crate::score_rows::{ScoreRows, Seen};
use crate::tasks::Shared;

/// Entries of pairs, and a row of each query.
#[derive(Clone, Copy, Debug)]
pub struct QuerySums<'a, T = f32> {
    /// The entries' rows: their heads are those of the result, each with so many `groups`.
    pub rows: ScoreRows<'a>,
    /// Heads whose sums are one.
    pub groups: usize,
    /// `[batch, heads, groups, queries, keys]`.
    pub entries: &'a [T],
    /// `[batch, queries, heads, groups, width]`.
    pub x: &'a [T],
    /// Columns.
    pub width: usize,
}

/// Computes the sum of the rows of all queries that see a key, with their entries, into `out`, contiguous
/// `[batch, keys, heads, width]`; zeros for a key that no query sees.
///
/// # Errors
/// A length or shape error, or that of a mask.
pub fn masked_query_sums<T: Number, M: Meter>(
    problem: &QuerySums<'_, T>,
    out: &mut [T],
    meter: &M,
) -> Result<(), KernelError> {
    let &QuerySums { rows, groups, entries, x, width } = problem;
    if groups == 0 || rows.heads % groups != 0 {
        return Err(KernelError::Shape { what: "each head has the same number of groups" });
    }
    let heads = rows.heads / groups;
    rows.check("entries", entries.len())?;
    exactly("x", x.len(), &[rows.batch, rows.queries, rows.heads, width])?;
    exactly("output", out.len(), &[rows.batch, rows.keys, heads, width])?;
    if out.is_empty() {
        return Ok(());
    }
    let allowed = rows.allowed()?;
    let shared = Shared::new(out);
    (0..rows.batch * heads).into_par_iter().for_each(|task| {
        let (item, head) = (task / heads, task % heads);
        let (mut tally, mut sums) = (Tally::default(), vec![T::of(0.0); rows.keys * width]);
        for group in 0..groups {
            for query in 0..rows.queries {
                let own = head * groups + group;
                let row = (item * rows.heads + own) * rows.queries + query;
                let entries = &entries[row * rows.keys..][..rows.keys];
                let x = &x[((item * rows.queries + query) * rows.heads + own) * width..][..width];
                let mut add = |key: usize| {
                    let sums = &mut sums[key * width..][..width];
                    sums.iter_mut().zip(x).for_each(|(sum, x)| *sum += entries[key] * *x);
                };
                let seen = allowed.of(row);
                tally.both(Class::Mul, seen.len() * width);
                tally.both(Class::Add, seen.len() * width);
                match seen {
                    Seen::Run(run) => run.for_each(&mut add),
                    Seen::Positions(positions) => positions.iter().copied().for_each(&mut add),
                }
            }
        }
        for (key, sum) in sums.chunks_exact(width).enumerate() {
            let offset = ((item * rows.keys + key) * heads + head) * width;
            // SAFETY: each (item, key, head) belongs to one task.
            unsafe { shared.part(offset, width) }.copy_from_slice(sum);
        }
        if M::ON {
            meter.record(&tally);
        }
    });
    Ok(())
}
