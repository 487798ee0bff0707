//! Sums over the queries that see a key, as gradients of keys and values are.
//!
//! Count: one mul and one add for each allowed pair and column; a sum begins at 0, which is all of it
//! where no query sees the key. Executed are all keys between the first and the last that any of some queries
//! sees, and columns in sixteens.

use opledger_dims::Class;
use rayon::prelude::*;

use crate::attention::{count_finite, finite};
use crate::buffer::Buffer;
use crate::error::{KernelError, exactly};
use crate::gemm::matrix::Matrix;
use crate::gemm::microkernel::{Left, NR, NR_HALF, Next, PanelProduct};
use crate::gemm::packing::pack_panel;
use crate::isa::{Isa, isa};
use crate::meter::{Meter, Tally};
use crate::number::Number;
use crate::score_rows::{Allowed, ScoreRows, Seen};
use crate::tasks::Shared;

/// Queries whose rows are added at once.
const QUERIES: usize = 64;

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
    let (isa, allowed) = (isa()?, rows.allowed()?);
    let shared = Shared::new(out);
    (0..rows.batch * heads).into_par_iter().for_each(|task| {
        let (item, head) = (task / heads, task % heads);
        let columns = width.next_multiple_of(NR);
        let mut sums = Buffer::take(rows.keys * columns);
        sums.fill(T::of(0.0));
        let mut tally = Tally::default();
        for group in 0..groups {
            let matrix = item * rows.heads + head * groups + group;
            for first in (0..rows.queries).step_by(QUERIES) {
                let place = Place { isa, problem, matrix, first, allowed: &allowed };
                place.add_to(&mut sums, columns, &mut tally);
            }
        }
        for (key, sum) in sums.chunks_exact(columns).take(rows.keys).enumerate() {
            let offset = ((item * rows.keys + key) * heads + head) * width;
            // SAFETY: each (item, key, head) belongs to one task.
            unsafe { shared.part(offset, width) }.copy_from_slice(&sum[..width]);
        }
        sums.keep();
        if M::ON {
            meter.record(&tally);
        }
    });
    Ok(())
}

/// Some queries of a matrix of entries.
struct Place<'a, T> {
    isa: Isa,
    problem: &'a QuerySums<'a, T>,
    matrix: usize,
    first: usize,
    allowed: &'a Allowed<'a>,
}

impl<T: Number> Place<'_, T> {
    /// The row of a query.
    fn x(&self, query: usize) -> &[T] {
        let &QuerySums { rows, x, width, .. } = self.problem;
        let (item, head) = (self.matrix / rows.heads, self.matrix % rows.heads);
        &x[((item * rows.queries + query) * rows.heads + head) * width..][..width]
    }

    /// Adds the rows of its queries to the sums of the keys that see them, `columns` apart.
    fn add_to(&self, sums: &mut [T], columns: usize, tally: &mut Tally) {
        let &QuerySums { rows, entries, width, .. } = self.problem;
        let queries = self.first..rows.queries.min(self.first + QUERIES);
        let seen: Vec<_> = queries
            .clone()
            .map(|query| self.allowed.of(self.matrix * rows.queries + query))
            .collect();
        let ends = seen.iter().filter(|seen| seen.len() > 0).map(Seen::hull);
        let Some(all) = ends.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end)) else { return };
        let pairs: usize = seen.iter().map(Seen::len).sum();
        tally.useful(Class::Mul, pairs * width);
        tally.useful(Class::Add, pairs * width);
        let entries = |query: usize| {
            &entries[(self.matrix * rows.queries + query) * rows.keys..][..rows.keys]
        };
        let mut x = Buffer::take(queries.len() * width);
        for (query, x) in queries.clone().zip(x.chunks_exact_mut(width.max(1))) {
            x.copy_from_slice(self.x(query));
        }
        let partial = pairs < queries.len() * all.len();
        if partial {
            count_finite(1, x.len(), tally);
        }
        if partial && !finite(self.isa, &x, x.len(), x.len(), 1) {
            // Zero times infinity is no zero: each key takes only the queries that see it.
            for (query, seen) in queries.zip(&seen) {
                let (entries, x) = (entries(query), self.x(query));
                seen.for_each(|key| {
                    let sums = &mut sums[key * columns..][..width];
                    sums.iter_mut()
                        .zip(x)
                        .for_each(|(sum, x)| *sum = entries[key].mul_add(*x, *sum));
                });
            }
            tally.executed(Class::Mul, pairs * width);
            tally.executed(Class::Add, pairs * width);
            return x.keep();
        }
        let mut tile = Buffer::take(queries.len() * all.len());
        for ((query, seen), tile) in
            queries.clone().zip(&seen).zip(tile.chunks_exact_mut(all.len()))
        {
            let entries = &entries(query)[all.clone()];
            if seen.len() == all.len() {
                tile.copy_from_slice(entries);
                continue;
            }
            tile.fill(T::of(0.0));
            seen.for_each(|key| tile[key - all.start] = entries[key - all.start]);
        }
        let mut panel = Buffer::take(queries.len() * NR);
        for column in (0..width).step_by(NR) {
            let some = NR.min(width - column);
            let from = Matrix { data: &x, row: width, col: 1 }.from(0, column);
            pack_panel(self.isa, from, queries.len(), some, &mut panel);
            let product = PanelProduct {
                m: all.len(),
                k: queries.len(),
                n: if some <= NR_HALF { NR_HALF } else { NR },
                a: Left::Stored(Matrix { data: &tile, row: 1, col: all.len() }),
                b: &panel,
                add: true,
                far: false,
                next: Next::NOTHING,
            };
            product.into(self.isa, &mut sums[all.start * columns + column..], columns);
            product.count(tally);
        }
        [x, tile, panel].into_iter().for_each(Buffer::keep);
    }
}
