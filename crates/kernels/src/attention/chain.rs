//! The two products of attention as a chain, when the matrix of weights is wanted.

use rayon::prelude::*;

use super::score_tile::{KEYS, QUERIES, QueryTile, ScoreTile};
use super::{AttentionMeters, AttentionShape, AttentionTallies, Bias, Heads, Mask, SERIAL};
use crate::error::{KernelError, exactly};
use crate::isa::isa;
use crate::meter::Meter;
use crate::number::Number;
use crate::tasks::Shared;

/// Scores of queries `[batch, queries, heads, key_width]` with keys
/// `[batch, keys, kv_heads, key_width]`.
#[derive(Clone, Copy, Debug)]
pub struct Scores<'a, T = f32> {
    /// The sizes; `value_width` is not used.
    pub shape: AttentionShape,
    /// The queries.
    pub q: Heads<'a, T>,
    /// The keys.
    pub k: Heads<'a, T>,
    /// The allowed pairs.
    pub mask: Mask<'a>,
    /// Added to the scaled scores of allowed pairs.
    pub bias: Option<Bias<'a, T>>,
    /// Multiplies the scores; `None` multiplies and counts nothing.
    pub scale: Option<f32>,
}

/// Computes `scale·q·kᵀ + bias` for the allowed pairs into `out`, contiguous
/// `[batch, heads, queries, keys]`, and zero for the others.
///
/// Counts to the meters `scores`, `scale` and `bias`; the others stay as they are.
///
/// # Errors
/// A shape, length or reach error; [`KernelError::EmptyReduction`] if `key_width` is zero.
pub fn masked_scores<T: Number, M: Meter>(
    problem: &Scores<'_, T>,
    out: &mut [T],
    meters: &AttentionMeters<'_, M>,
) -> Result<(), KernelError> {
    let isa = isa()?;
    let Scores { shape, q, k, mask, bias, scale } = problem;
    exactly("scores", out.len(), &[shape.batch, shape.heads, shape.queries, shape.keys])?;
    if out.is_empty() {
        return Ok(());
    }
    shape.check()?;
    let width = shape.key_width;
    if width == 0 {
        return Err(KernelError::EmptyReduction { what: "key_width" });
    }
    q.check("q", [shape.batch, shape.queries, shape.heads, width])?;
    k.check("k", [shape.batch, shape.keys, shape.kv_heads, width])?;
    mask.check(shape)?;
    if let Some(bias) = bias {
        bias.check(shape)?;
    }

    let keys: Vec<_> = (0..shape.batch).map(|item| mask.keys(item, shape)).collect();
    let shared = Shared::new(out);
    let state = || ScoreTile::new(shape.queries, shape.keys, 0);
    over_tiles(shape, QUERIES, state, |tile, item, head, query, rows| {
        let mut tallies = AttentionTallies::default();
        let matrix = item * shape.heads + head;
        let place = QueryTile { isa, matrix, head, query, keys: &keys[item] };
        let offset = ((item * shape.heads + head) * shape.queries + query) * shape.keys;
        // SAFETY: each (item, head, query) belongs to one task.
        let target = unsafe { shared.part(offset, rows * shape.keys) };
        target.fill(T::of(0.0));
        let all = tile.begin(&place, rows);
        let queries = q.from(item, head, query, width);
        let k_data = k.of(item, shape.kv_head(head));
        for start in all.clone().step_by(KEYS) {
            let keys = start..all.end.min(start + KEYS);
            tile.turn(&keys);
            let k_rows = place.keys.rows(keys.clone(), k_data, k.token_stride, width);
            tile.scores(&place, &keys, &queries, &k_rows, scale.map(T::of), &mut tallies);
            if let Some(bias) = bias {
                tile.bias(&place, &keys, bias, shape.keys, &mut tallies);
            }
            for row in 0..rows {
                let cols = tile.cols(row, &keys);
                let numbers = keys.start + cols.start..keys.start + cols.end;
                let target = &mut target[row * shape.keys..][..shape.keys];
                let scores = tile.weights(row, cols);
                let pairs = place.pairs(row, numbers.clone());
                match place.keys.positions(numbers.clone()) {
                    None => {
                        let target = &mut target[numbers];
                        target.copy_from_slice(scores);
                        hide(target, pairs);
                    }
                    Some(positions) => {
                        for (score, &j) in scores.iter().zip(positions) {
                            target[j] = *score;
                        }
                    }
                }
            }
        }
        tallies.record(meters);
    });
    Ok(())
}

/// Weights `[batch, heads, queries, keys]` applied to values `[batch, keys, kv_heads, value_width]`.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a, T = f32> {
    /// The sizes; `key_width` is not used.
    pub shape: AttentionShape,
    /// The weights, contiguous; those of masked pairs are not read.
    pub weights: &'a [T],
    /// The values.
    pub v: Heads<'a, T>,
    /// The allowed pairs.
    pub mask: Mask<'a>,
}

/// Computes the sum of the allowed values with their weights into `out`, contiguous
/// `[batch, queries, heads, value_width]`; zeros for a query that sees no key.
///
/// # Errors
/// A shape, length or reach error.
pub fn masked_context<T: Number, M: Meter>(
    problem: &Context<'_, T>,
    out: &mut [T],
    meter: &M,
) -> Result<(), KernelError> {
    let isa = isa()?;
    let Context { shape, weights, v, mask } = problem;
    let width = shape.value_width;
    exactly("context", out.len(), &[shape.batch, shape.queries, shape.heads, width])?;
    exactly("weights", weights.len(), &[shape.batch, shape.heads, shape.queries, shape.keys])?;
    if out.is_empty() {
        return Ok(());
    }
    shape.check()?;
    v.check("v", [shape.batch, shape.keys, shape.kv_heads, width])?;
    mask.check(shape)?;

    let keys: Vec<_> = (0..shape.batch).map(|item| mask.keys(item, shape)).collect();
    let shared = Shared::new(out);
    let state = || ScoreTile::new(shape.queries, shape.keys, width);
    over_tiles(shape, QUERIES, state, |tile, item, head, query, rows| {
        let mut tallies = AttentionTallies::default();
        let matrix = item * shape.heads + head;
        let place = QueryTile { isa, matrix, head, query, keys: &keys[item] };
        let offset = ((item * shape.heads + head) * shape.queries + query) * shape.keys;
        let source = &weights[offset..][..rows * shape.keys];
        let all = tile.begin(&place, rows);
        let v_data = v.of(item, shape.kv_head(head));
        for start in all.clone().step_by(KEYS) {
            let keys = start..all.end.min(start + KEYS);
            tile.turn(&keys);
            for row in 0..rows {
                let cols = tile.cols(row, &keys);
                let numbers = keys.start + cols.start..keys.start + cols.end;
                let source = &source[row * shape.keys..][..shape.keys];
                let weights = tile.weights(row, cols);
                let pairs = place.pairs(row, numbers.clone());
                match place.keys.positions(numbers.clone()) {
                    None => {
                        weights.copy_from_slice(&source[numbers]);
                        hide(weights, pairs);
                    }
                    Some(positions) => {
                        for (weight, &j) in weights.iter_mut().zip(positions) {
                            *weight = source[j];
                        }
                    }
                }
            }
            let v_rows = place.keys.rows(keys.clone(), v_data, v.token_stride, width);
            tile.add_context(&place, &keys, &v_rows, &mut tallies);
        }
        for row in 0..rows {
            let offset = ((item * shape.queries + query + row) * shape.heads + head) * width;
            // SAFETY: each (item, query, head) belongs to one task.
            let target = unsafe { shared.part(offset, width) };
            target.copy_from_slice(tile.context_row(row, width));
        }
        if M::ON {
            meter.record(&tallies.context);
        }
    });
    Ok(())
}

/// Zero where pairs are hidden one by one.
fn hide<T: Number>(entries: &mut [T], pairs: Option<&[i64]>) {
    let pairs = entries.iter_mut().zip(pairs.unwrap_or(&[]));
    pairs.filter(|(_, seen)| **seen == 0).for_each(|(entry, _)| *entry = T::of(0.0));
}

/// Calls `task(state, item, head, first query, rows)` for each tile of queries.
fn over_tiles<S>(
    shape: &AttentionShape,
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
