//! Attention without the matrix of weights.

use opledger_dims::Class;
use rayon::prelude::*;

use super::strips::over_strips;
use super::tile::{KEYS, Place, QUERIES, Tile, exponentiate, maximum, multiply};
use super::{Attention, AttentionMeters, Tallies};
use crate::error::{KernelError, exactly};
use crate::isa::{Isa, isa};
use crate::meter::Meter;
use crate::tasks::Shared;

/// Multiplications below which no other thread is started.
pub(super) const SERIAL: usize = 1 << 17;

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

/// Queries from which on a lane for each pays.
const MIN_QUERIES: usize = 8;

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
    let shared = Shared::new(out);
    let width = shape.value_width;
    let offset = |item, query, head| ((item * shape.queries + query) * shape.heads + head) * width;
    if shape.queries >= MIN_QUERIES {
        over_strips(isa, problem, &keys, &shared, meters);
        return Ok(());
    }
    let state = || Rows {
        tile: Tile::new(shape.queries, shape.keys, shape.value_width),
        maxima: Vec::new(),
        sums: Vec::new(),
    };
    over_tiles(shape, QUERIES, state, |state, item, head, query, rows| {
        let mut tallies = Tallies::default();
        let matrix = item * shape.heads + head;
        let place = Place { isa, item, head, matrix, query, keys: &keys[item] };
        state.run(problem, &place, rows, &mut tallies);
        for row in 0..rows {
            // SAFETY: each (item, query, head) belongs to one task.
            let target = unsafe { shared.part(offset(item, query + row, head), width) };
            state.finish(isa, row, target);
        }
        tallies.record(meters);
    });
    Ok(())
}

/// The running state of the online softmax.
struct Rows {
    tile: Tile,
    maxima: Vec<f32>,
    sums: Vec<f32>,
}

impl Rows {
    fn run(
        &mut self,
        problem: &Attention<'_>,
        place: &Place<'_>,
        rows: usize,
        tallies: &mut Tallies,
    ) {
        let Attention { shape, q, k, v, .. } = problem;
        let (key_width, value_width) = (shape.key_width, shape.value_width);
        let all = self.tile.begin(place, rows);
        self.maxima.clear();
        self.maxima.resize(rows, f32::NEG_INFINITY);
        self.sums.clear();
        self.sums.resize(rows, 0.0);

        let group = shape.kv_head(place.head);
        let queries = q.from(place.item, place.head, place.query, key_width);
        let (k_data, v_data) = (k.of(place.item, group), v.of(place.item, group));
        for start in all.clone().step_by(KEYS) {
            let keys = start..all.end.min(start + KEYS);
            self.tile.turn(&keys);
            let k_rows = place.keys.rows(keys.clone(), k_data, k.token_stride, key_width);
            self.tile.scores(place, &keys, &queries, &k_rows, problem.scale, tallies);
            if let Some(bias) = &problem.bias {
                self.tile.bias(place, &keys, bias, shape.keys, tallies);
            }
            self.weigh(place.isa, &keys, value_width, tallies);
            let v_rows = place.keys.rows(keys.clone(), v_data, v.token_stride, value_width);
            self.tile.add_context(place, &keys, &v_rows, tallies);
        }
    }

    /// Turns scores into weights relative to the greatest score so far.
    fn weigh(
        &mut self,
        isa: Isa,
        keys: &std::ops::Range<usize>,
        width: usize,
        tallies: &mut Tallies,
    ) {
        for row in 0..self.sums.len() {
            let cols = self.tile.cols(row, keys);
            if cols.is_empty() {
                continue;
            }
            let len = cols.len();
            let before = self.tile.seen_before(row, keys.start);
            let old = self.maxima[row];
            let weights = self.tile.weights(row, cols);
            let found = maximum(isa, weights);
            let new = if found > old { found } else { old };
            // With no score above -∞ the weights are zero, not NaN.
            let shift = if new == f32::NEG_INFINITY { 0.0 } else { new };
            let sum = exponentiate(isa, weights, shift);
            let joins = usize::from(before);
            tallies.softmax.both(Class::Max, len - 1 + joins);
            tallies.softmax.both(Class::Add, len + len - 1 + joins);
            tallies.softmax.both(Class::Exp, len);
            tallies.softmax.both(Class::Div, len);
            if new > old && old > f32::NEG_INFINITY {
                let factor = crate::math::exp(old - new);
                self.sums[row] *= factor;
                multiply(isa, self.tile.context_row(row, width), factor);
                tallies.softmax.executed(Class::Add, 1);
                tallies.softmax.executed(Class::Exp, 1);
                tallies.softmax.executed(Class::Mul, 1 + width);
            }
            self.maxima[row] = new;
            self.sums[row] += sum;
        }
    }

    /// Writes the context of a row, divided by the sum of its weights.
    fn finish(&mut self, isa: Isa, row: usize, out: &mut [f32]) {
        let sum = self.sums[row];
        if sum == 0.0 {
            out.fill(0.0);
            return;
        }
        out.copy_from_slice(self.tile.context_row(row, out.len()));
        multiply(isa, out, 1.0 / sum);
    }
}
