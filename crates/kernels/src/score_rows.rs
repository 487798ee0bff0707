//! ScoreRows of scores under the masks of attention, and the element-wise kernel on them.
//!
//! Count: one operation per allowed entry; hidden entries are 0 and neither read nor counted.

use std::borrow::Cow;
use std::ops::Range;

use crate::attention::{AttentionShape, Mask, VisibleKeys};
use crate::error::{KernelError, exactly};
use crate::isa::isa;
use crate::meter::Meter;
use crate::number::Number;
use crate::strided::{BinaryOp, Strided, Walk};
use crate::tasks::over_rows;

/// ScoreRows of entries, one per key, contiguous `[batch, heads, queries, keys]`.
#[derive(Clone, Copy, Debug)]
pub struct ScoreRows<'a> {
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

impl ScoreRows<'_> {
    /// Checks that a slice holds these rows.
    pub(crate) fn check(&self, what: &'static str, found: usize) -> Result<(), KernelError> {
        exactly(what, found, &[self.batch, self.heads, self.queries, self.keys])
    }

    /// The allowed entries of every row.
    pub(crate) fn allowed(&self) -> Result<Allowed<'_>, KernelError> {
        let &ScoreRows { batch, heads, queries, keys, mask } = self;
        let (kv_heads, key_width, value_width) = (heads, 0, 0);
        let shape =
            AttentionShape { batch, queries, keys, heads, kv_heads, key_width, value_width };
        mask.check(&shape)?;
        let items = match mask.keep {
            Some(_) if keys > 0 => (0..batch).map(|item| mask.keys(item, &shape)).collect(),
            _ => vec![mask.keys(0, &shape)],
        };
        Ok(Allowed { items, heads, queries })
    }
}

/// The allowed entries of every row: those of one batch item stand for all without truth values.
pub(crate) struct Allowed<'a> {
    items: Vec<VisibleKeys<'a>>,
    heads: usize,
    queries: usize,
}

/// The allowed entries of one row.
pub(crate) enum Seen<'a> {
    /// Neighbours.
    Run(Range<usize>),
    /// Positions in ascending order.
    Positions(Cow<'a, [usize]>),
}

impl Seen<'_> {
    /// From the first to the last, of which there are some.
    pub(crate) fn hull(&self) -> Range<usize> {
        match self {
            Seen::Run(run) => run.clone(),
            Seen::Positions(positions) => match (positions.first(), positions.last()) {
                (Some(first), Some(last)) => *first..last + 1,
                _ => 0..0,
            },
        }
    }

    /// Calls `f` with each.
    pub(crate) fn for_each(&self, f: impl FnMut(usize)) {
        match self {
            Seen::Run(run) => run.clone().for_each(f),
            Seen::Positions(positions) => positions.iter().copied().for_each(f),
        }
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        match self {
            Seen::Run(run) => run.len(),
            Seen::Positions(positions) => positions.len(),
        }
    }
}

impl Allowed<'_> {
    /// The allowed entries of a row.
    pub(crate) fn of(&self, row: usize) -> Seen<'_> {
        let (matrix, query) = (row / self.queries, row % self.queries);
        let item = if self.items.len() == 1 { 0 } else { matrix / self.heads };
        let (keys, head) = (&self.items[item], matrix % self.heads);
        let seen = keys.seen_by(head, query);
        match (keys.positions(seen.clone()), keys.row(head, query)) {
            (Some(positions), _) => Seen::Positions(Cow::Borrowed(positions)),
            (None, Some(row)) => Seen::Positions(seen.filter(|j| row[*j] != 0).collect()),
            (None, None) => Seen::Run(seen),
        }
    }
}

/// Computes `a op b` into `out` for the allowed entries of `rows`, whose axes in full are `shape`, and
/// zero for the others: one operation per allowed entry.
///
/// # Errors
/// [`KernelError::Shape`] if the last axis of `shape` is not that of the keys; a length error if
/// `shape` and `rows` differ, or the mask is not `[batch, keys]`; else as
/// [`binary`](crate::binary()).
pub fn masked_binary<T: Number, M: Meter>(
    op: BinaryOp,
    rows: &ScoreRows<'_>,
    shape: &[usize],
    [a, b]: [Strided<'_, T>; 2],
    out: &mut [T],
    meter: &M,
) -> Result<(), KernelError> {
    let isa = isa()?;
    rows.check("output", out.len())?;
    if shape.last() != Some(&rows.keys) {
        return Err(KernelError::Shape { what: "the last axis is that of the keys" });
    }
    let walk = Walk::by_row(shape, [a, b], out)?;
    let allowed = rows.allowed()?;
    over_rows(out, rows.keys, 1, meter, |first, out, tally| {
        let [step_a, step_b] = walk.steps();
        let mut row = first;
        walk.rows(first, out, |[from_a, from_b], out| {
            match allowed.of(row) {
                Seen::Run(run) => {
                    out[..run.start].fill(T::of(0.0));
                    out[run.end..].fill(T::of(0.0));
                    if !run.is_empty() {
                        let a = &a.data[from_a + run.start * step_a..];
                        let b = &b.data[from_b + run.start * step_b..];
                        op.apply(isa, (a, step_a), (b, step_b), &mut out[run.clone()]);
                        op.count(run.len(), tally);
                    }
                }
                Seen::Positions(positions) => {
                    out.fill(T::of(0.0));
                    for &j in &*positions {
                        out[j] = op.of(a.data[from_a + j * step_a], b.data[from_b + j * step_b]);
                        op.count(1, tally);
                    }
                }
            }
            row += 1;
        });
    });
    Ok(())
}
