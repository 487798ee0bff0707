//! Fused attention with one query per lane: scores and context are kept transposed, so that the
//! softmax runs down columns and no key or value is repacked.

use std::ops::Range;

use opledger_dims::Class;

use super::mask::Vectors;
use super::tile::{Place, clip, hull};
use super::{Attention, Tallies};
use crate::isa::{Isa, vectorised};
use crate::math::exp_flushed;
use crate::micro::Product;

/// Queries of a tile, keys of a tile.
pub(super) const QUERIES: usize = 128;
const KEYS: usize = 256;
/// Keys, and queries, whose ranges are clipped together.
const KEY_BLOCK: usize = 32;
const LANES: usize = 16;

/// Queries from which on a lane for each pays.
pub(super) const MIN_QUERIES: usize = 8;

/// Keys of a tile that the same lanes may see.
#[derive(Clone, Debug)]
struct Group {
    keys: Range<usize>,
    lanes: Range<usize>,
    /// Whether some lane does not see some key.
    partial: bool,
}

/// The buffers of a thread. A matrix has one row per term, key or value element, and one column
/// per query.
pub(super) struct Wide {
    lanes: usize,
    seen: Vec<Range<usize>>,
    queries: Vec<f32>,
    weights: Vec<f32>,
    context: Vec<f32>,
    /// Per query: the greatest score, the sum of weights, and of the tile the greatest score, then
    /// the factor that the earlier weights take.
    maxima: Vec<f32>,
    sums: Vec<f32>,
    factors: Vec<f32>,
    /// Per query, the first key of the tile that it sees and the first after them.
    first: Vec<u32>,
    last: Vec<u32>,
    groups: Vec<Group>,
}

impl Wide {
    pub(super) fn new(problem: &Attention<'_>) -> Wide {
        let shape = &problem.shape;
        let lanes = shape.queries.min(QUERIES).next_multiple_of(LANES);
        let (keys, lane) = (shape.keys.min(KEYS), vec![0.0; lanes]);
        Wide {
            lanes,
            seen: Vec::new(),
            queries: vec![0.0; shape.key_width * lanes],
            weights: vec![0.0; keys * lanes],
            context: vec![0.0; shape.value_width * lanes],
            maxima: lane.clone(),
            sums: lane.clone(),
            factors: lane,
            first: vec![0; lanes],
            last: vec![0; lanes],
            groups: Vec::new(),
        }
    }

    pub(super) fn run(
        &mut self,
        problem: &Attention<'_>,
        place: &Place<'_>,
        rows: usize,
        tallies: &mut Tallies,
    ) {
        let Attention { shape, q, k, v, .. } = problem;
        self.seen.clear();
        self.seen.extend((0..rows).map(|i| place.keys.seen_by(place.query + i)));
        self.context.fill(0.0);
        self.maxima.fill(f32::NEG_INFINITY);
        self.sums.fill(0.0);
        self.load(&q.from(place.item, place.head, place.query, shape.key_width), problem.scale);

        let group = shape.kv_head(place.head);
        let (k_data, v_data) = (k.of(place.item, group), v.of(place.item, group));
        let all = hull(&self.seen);
        for start in all.clone().step_by(KEYS) {
            let keys = start..all.end.min(start + KEYS);
            let k_rows = place.keys.rows(keys.clone(), k_data, k.token_stride, shape.key_width);
            let v_rows = place.keys.rows(keys.clone(), v_data, v.token_stride, shape.value_width);
            self.turn(&keys);
            self.useful(problem, &keys, tallies);
            self.scores(problem, place, &keys, &k_rows, tallies);
            self.rescale(place.isa, shape.value_width, tallies);
            self.add_context(place.isa, &v_rows, tallies);
        }
    }

    /// Stores the queries by columns, multiplied by the scale.
    fn load(&mut self, q: &Vectors<'_>, scale: Option<f32>) {
        self.queries.fill(0.0);
        let factor = scale.unwrap_or(1.0);
        for lane in 0..self.seen.len() {
            let query = &q.data[lane * q.stride..][..q.width];
            for (column, x) in self.queries[lane..].iter_mut().step_by(self.lanes).zip(query) {
                *column = factor * x;
            }
        }
    }

    /// Begins with the next keys.
    fn turn(&mut self, keys: &Range<usize>) {
        let rows = self.seen.len();
        for lane in 0..self.lanes {
            // A lane without query goes with the last one.
            let cols = clip(&self.seen[lane.min(rows - 1)], keys);
            (self.first[lane], self.last[lane]) = (cols.start as u32, cols.end as u32);
        }
        self.groups.clear();
        if self.seen.iter().all(|seen| seen.start <= keys.start && keys.end <= seen.end) {
            let (keys, lanes) = (0..keys.len(), 0..rows.next_multiple_of(LANES));
            self.groups.push(Group { keys, lanes, partial: false });
            return;
        }
        for start in (0..keys.len()).step_by(KEY_BLOCK) {
            let block = start..keys.len().min(start + KEY_BLOCK);
            let of_lane = |lane: usize| self.first[lane] as usize..self.last[lane] as usize;
            let sees = |lane: &usize| !clip(&of_lane(*lane), &block).is_empty();
            let Some(low) = (0..rows).find(sees) else { continue };
            let high = (low..rows).rfind(sees).unwrap_or(low);
            let lanes = low / LANES * LANES..(high + 1).next_multiple_of(LANES);
            let partial = lanes
                .clone()
                .any(|lane| of_lane(lane).start > block.start || of_lane(lane).end < block.end);
            match self.groups.last_mut() {
                Some(last)
                    if last.lanes == lanes
                        && last.partial == partial
                        && last.keys.end == block.start =>
                {
                    last.keys.end = block.end;
                }
                _ => self.groups.push(Group { keys: block, lanes, partial }),
            }
        }
    }

    /// Counts what the definition asks for, query by query.
    fn useful(&self, problem: &Attention<'_>, keys: &Range<usize>, tallies: &mut Tallies) {
        let (key_width, value_width) = (problem.shape.key_width, problem.shape.value_width);
        for seen in &self.seen {
            let len = clip(seen, keys).len();
            if len == 0 {
                continue;
            }
            let joined = len - usize::from(seen.start >= keys.start);
            tallies.scores.useful(Class::Mul, len * key_width);
            tallies.scores.useful(Class::Add, len * (key_width - 1));
            if problem.scale.is_some() {
                tallies.scale.useful(Class::Mul, len);
            }
            if problem.bias.is_some() {
                tallies.bias.useful(Class::Add, len);
            }
            tallies.softmax.useful(Class::Max, joined);
            tallies.softmax.useful(Class::Add, len + joined);
            tallies.softmax.useful(Class::Exp, len);
            tallies.softmax.useful(Class::Div, len);
            tallies.context.useful(Class::Mul, len * value_width);
            tallies.context.useful(Class::Add, joined * value_width);
        }
    }

    /// Computes the scores of the tile, `-∞` where masked, and the greatest of each query.
    fn scores(
        &mut self,
        problem: &Attention<'_>,
        place: &Place<'_>,
        keys: &Range<usize>,
        k: &Vectors<'_>,
        tallies: &mut Tallies,
    ) {
        let (lanes, rows) = (self.lanes, self.seen.len());
        self.factors.copy_from_slice(&self.maxima);
        for group in &self.groups {
            let product = Product {
                m: group.keys.len(),
                k: k.width,
                n: group.lanes.len(),
                a: &k.data[group.keys.start * k.stride..],
                a_row: k.stride,
                a_term: 1,
                b: &self.queries[group.lanes.start..],
                b_term: lanes,
                add: false,
            };
            let target = &mut self.weights[group.keys.start * lanes + group.lanes.start..];
            product.into(place.isa, target, lanes);
            let covered = group.keys.len() * group.covered(rows);
            tallies.scores.executed(Class::Mul, covered * k.width);
            tallies.scores.executed(Class::Add, covered * (k.width - 1));
            if problem.scale.is_some() {
                tallies.scale.executed(Class::Mul, covered);
            }
            if let Some(bias) = &problem.bias {
                let numbers = keys.start + group.keys.start..keys.start + group.keys.end;
                let positions = place.keys.positions(numbers.clone());
                for lane in group.lanes.start..group.lanes.end.min(rows) {
                    let row = place.query + lane;
                    let bias = bias.row(place.matrix, row, problem.shape.keys);
                    let scores = self.weights[group.keys.start * lanes + lane..]
                        .iter_mut()
                        .step_by(lanes)
                        .take(numbers.len());
                    match positions {
                        None => scores.zip(&bias[numbers.clone()]).for_each(|(s, b)| *s += b),
                        Some(at) => scores.zip(at).for_each(|(s, &j)| *s += bias[j]),
                    }
                }
                tallies.bias.executed(Class::Add, covered);
            }
            let weights = &mut self.weights[group.keys.start * lanes..];
            if group.partial {
                let (first, last) = (&self.first, &self.last);
                mask(
                    place.isa,
                    weights,
                    lanes,
                    group.keys.clone(),
                    group.lanes.clone(),
                    first,
                    last,
                );
            }
            maxima(
                place.isa,
                weights,
                lanes,
                group.keys.len(),
                group.lanes.clone(),
                &mut self.factors,
            );
            tallies.softmax.executed(Class::Max, covered);
        }
    }

    /// Moves the earlier sums and context to the new maxima.
    fn rescale(&mut self, isa: Isa, width: usize, tallies: &mut Tallies) {
        if !advance(isa, &mut self.factors, &mut self.maxima) {
            return;
        }
        multiply(isa, &mut self.sums, &self.factors);
        for row in self.context.chunks_mut(self.lanes) {
            multiply(isa, row, &self.factors);
        }
        let rows = self.seen.len();
        tallies.softmax.executed(Class::Add, rows);
        tallies.softmax.executed(Class::Exp, rows);
        tallies.softmax.executed(Class::Mul, rows * (1 + width));
    }

    /// Turns scores into weights and adds the weighted values.
    fn add_context(&mut self, isa: Isa, v: &Vectors<'_>, tallies: &mut Tallies) {
        let (lanes, rows) = (self.lanes, self.seen.len());
        for group in &self.groups {
            let count = group.keys.len();
            let covered = count * group.covered(rows);
            let weights = &mut self.weights[group.keys.start * lanes..];
            weigh(isa, weights, lanes, count, group.lanes.clone(), &self.maxima, &mut self.sums);
            tallies.softmax.executed(Class::Add, 2 * covered);
            tallies.softmax.executed(Class::Exp, covered);
            tallies.softmax.executed(Class::Div, covered);
            if v.width == 0 {
                continue;
            }
            tallies.context.executed(Class::Mul, covered * v.width);
            tallies.context.executed(Class::Add, covered * v.width);
            let values = &v.data[group.keys.start * v.stride..];
            if group.partial && !super::tile::finite(isa, values, v.stride, v.width, count) {
                // Zero times infinity is no zero: each query takes only the keys it sees.
                for lane in group.lanes.start..group.lanes.end.min(rows) {
                    let seen = self.first[lane] as usize..self.last[lane] as usize;
                    for key in clip(&seen, &group.keys) {
                        let weight = weights[key * lanes + lane];
                        let value = &values[key * v.stride..][..v.width];
                        for (context, v) in
                            self.context[lane..].iter_mut().step_by(lanes).zip(value)
                        {
                            *context = weight.mul_add(*v, *context);
                        }
                    }
                }
                continue;
            }
            let product = Product {
                m: v.width,
                k: count,
                n: group.lanes.len(),
                a: values,
                a_row: 1,
                a_term: v.stride,
                b: &weights[group.lanes.start..],
                b_term: lanes,
                add: true,
            };
            product.into(isa, &mut self.context[group.lanes.start..], lanes);
        }
    }

    /// Divides by the sum of weights; the rows are then read by [`Wide::row`].
    pub(super) fn finish(&mut self, isa: Isa) {
        for sum in &mut self.sums {
            *sum = if *sum == 0.0 { 0.0 } else { 1.0 / *sum };
        }
        for row in self.context.chunks_mut(self.lanes) {
            divide(isa, row, &self.sums);
        }
    }

    /// Writes the context of a query.
    pub(super) fn row(&self, row: usize, out: &mut [f32]) {
        for (out, x) in out.iter_mut().zip(self.context.iter().skip(row).step_by(self.lanes)) {
            *out = *x;
        }
    }
}

impl Group {
    /// Its lanes that hold a query.
    fn covered(&self, rows: usize) -> usize {
        self.lanes.end.min(rows) - self.lanes.start
    }
}

/// The first lane of each block of [`LANES`].
fn blocks(lanes: Range<usize>) -> impl Iterator<Item = usize> {
    lanes.step_by(LANES)
}

/// The lanes of a slice from one on.
#[inline(always)]
fn some(x: &[f32], lane: usize) -> [f32; LANES] {
    let mut lanes = [0.0; LANES];
    lanes.copy_from_slice(&x[lane..lane + LANES]);
    lanes
}

vectorised! {
    /// Writes `-∞` where a lane does not see a key.
    fn mask(
        weights: &mut [f32],
        stride: usize,
        keys: Range<usize>,
        lanes: Range<usize>,
        first: &[u32],
        last: &[u32],
    ) {
        let (first, last) = (&first[lanes.clone()], &last[lanes.clone()]);
        for (row, key) in weights.chunks_mut(stride).zip(keys) {
            let key = key as u32;
            for ((score, first), last) in row[lanes.clone()].iter_mut().zip(first).zip(last) {
                *score = if *first <= key && key < *last { *score } else { f32::NEG_INFINITY };
            }
        }
    }

    /// Raises each lane of `maxima` to the greatest of its column; `NaN` is passed over.
    fn maxima(
        weights: &[f32],
        stride: usize,
        keys: usize,
        lanes: Range<usize>,
        maxima: &mut [f32],
    ) {
        for lane in blocks(lanes) {
            let mut greatest = some(maxima, lane);
            for row in weights.chunks(stride).take(keys) {
                let scores = some(row, lane);
                for (greatest, score) in greatest.iter_mut().zip(scores) {
                    *greatest = if score > *greatest { score } else { *greatest };
                }
            }
            maxima[lane..lane + LANES].copy_from_slice(&greatest);
        }
    }

    /// Replaces scores by `exp(score - maximum)` and adds them to the sums.
    fn weigh(
        weights: &mut [f32],
        stride: usize,
        keys: usize,
        lanes: Range<usize>,
        maxima: &[f32],
        sums: &mut [f32],
    ) {
        for lane in blocks(lanes) {
            // With no score above -∞ the weights are zero, not NaN.
            let shift = some(maxima, lane).map(|m| if m == f32::NEG_INFINITY { 0.0 } else { m });
            let mut total = some(sums, lane);
            for row in weights.chunks_mut(stride).take(keys) {
                let row = &mut row[lane..lane + LANES];
                for ((score, shift), total) in row.iter_mut().zip(shift).zip(&mut total) {
                    *score = exp_flushed(*score - shift);
                    *total += *score;
                }
            }
            sums[lane..lane + LANES].copy_from_slice(&total);
        }
    }

    /// Moves the maxima up to `factors`, which become what the earlier weights are multiplied by.
    /// Returns whether any of them changes.
    fn advance(factors: &mut [f32], maxima: &mut [f32]) -> bool {
        let mut moved = 0u32;
        for (factor, old) in factors.iter_mut().zip(maxima) {
            let new = *factor;
            let rises = new > *old && *old > f32::NEG_INFINITY;
            *factor = if rises { exp_flushed(*old - new) } else { 1.0 };
            *old = new;
            moved |= u32::from(rises);
        }
        moved != 0
    }

    /// Multiplies lane by lane.
    fn multiply(x: &mut [f32], factors: &[f32]) {
        for (x, factor) in x.iter_mut().zip(factors) {
            *x *= factor;
        }
    }

    /// Multiplies by the reciprocals of the sums; zero where it is zero, whatever the context is.
    fn divide(x: &mut [f32], reciprocals: &[f32]) {
        for (x, factor) in x.iter_mut().zip(reciprocals) {
            *x = if *factor == 0.0 { 0.0 } else { *x * factor };
        }
    }
}
