//! Attention without the matrix of weights.

use rayon::prelude::*;

use super::decode::{MAX_ROWS, over_chunks};
use super::strips::over_strips;
use super::{Attention, AttentionMeters};
use crate::error::{KernelError, exactly};
use crate::isa::isa;
use crate::meter::Meter;
use crate::tasks::Shared;

/// Multiplications below which no other thread is started.
pub(super) const SERIAL: usize = 1 << 19;

/// Calls `task(state, item, head, first query, rows)` for each tile of queries.
pub(super) fn over_tiles<S>(
    shape: &super::AttentionShape,
    rows: usize,
    state: impl Fn() -> S + Sync + Send,
    task: impl Fn(&mut S, usize, usize, usize, usize) + Sync + Send,
) {
    let tiles = shape.queries.div_ceil(rows);
    let run = |state: &mut S, index: usize| {
        let (rest, tile) = (index / tiles, index % tiles);
        let query = tile * rows;
        let rows = rows.min(shape.queries - query);
        task(state, rest / shape.heads, rest % shape.heads, query, rows);
    };
    let tasks = shape.batch * shape.heads * tiles;
    let work = [shape.queries, shape.keys, shape.key_width + shape.value_width]
        .iter()
        .fold(shape.batch * shape.heads, |work, &size| work.saturating_mul(size));
    if tasks == 1 || work <= SERIAL {
        let mut state = state();
        (0..tasks).for_each(|index| run(&mut state, index));
    } else {
        (0..tasks).into_par_iter().for_each_init(&state, run);
    }
}

/// Computes `softmax(scale·q·kᵀ + bias)·v` into `out`, contiguous
/// `[batch, queries, heads, value_width]`, without storing the weights.
///
/// A query that sees no key, or only scores of `-∞`, gives zeros. Counts per part as
/// [`AttentionMeters`] says; executed are whole tiles and the rescaling of rows whose maximum
/// moved.
///
/// # Errors
/// A shape, length or reach error; [`KernelError::EmptyReduction`] if `key_width` is zero.
pub fn attention<M: Meter>(
    problem: &Attention<'_>,
    out: &mut [f32],
    meters: &AttentionMeters<'_, M>,
) -> Result<(), KernelError> {
    let isa = isa()?;
    let shape = &problem.shape;
    exactly("output", out.len(), &[shape.batch, shape.queries, shape.heads, shape.value_width])?;
    if shape.no_rows() {
        return Ok(());
    }
    shape.check()?;
    if shape.key_width == 0 {
        return Err(KernelError::EmptyReduction { what: "key_width" });
    }
    let kv = |width| [shape.batch, shape.keys, shape.kv_heads, width];
    problem.q.check("q", [shape.batch, shape.queries, shape.heads, shape.key_width])?;
    problem.k.check("k", kv(shape.key_width))?;
    problem.v.check("v", kv(shape.value_width))?;
    problem.mask.check(shape.batch, shape.keys)?;
    if let Some(bias) = &problem.bias {
        bias.check(shape)?;
    }

    let keys: Vec<_> = (0..shape.batch).map(|b| problem.mask.keys(b, shape.keys)).collect();
    if shape.queries * shape.group() <= MAX_ROWS {
        over_chunks(isa, problem, &keys, out, meters);
    } else {
        over_strips(isa, problem, &keys, &Shared::new(out), meters);
    }
    Ok(())
}
