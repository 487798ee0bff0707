//! The online softmax (Milakov and Gimelshein 2018) of a block of queries, one per lane: scores and
//! context are kept transposed, so that maxima, exponentials and sums run down columns and every
//! product reads one panel.

use std::ops::Range;

use opledger_dims::Class;

use super::ranges::{clip, common, hull};
use super::row_loops::{finite, multiply, within_range};
use super::{Attention, AttentionShape, AttentionTallies, VisibleKeys};
use crate::buffer::Buffer;
use crate::gemm::matrix::Matrix;
use crate::gemm::microkernel::{NR, NR_HALF, PanelProduct};
use crate::gemm::packing::{pack_panel, unpack_panel};
use crate::isa::{Isa, vectorised};
use crate::math::exp2_flushed;
use crate::tasks::Shared;

/// One number per query.
type Lanes = [f32; NR];

/// Some rows of a key head; a row is a query and a head of the group, heads inner.
#[derive(Clone, Copy)]
pub(super) struct QueryRows<'a> {
    pub(super) isa: Isa,
    pub(super) problem: &'a Attention<'a>,
    pub(super) keys: &'a VisibleKeys,
    pub(super) item: usize,
    pub(super) kv_head: usize,
    /// The first row, and how many.
    pub(super) first: usize,
    pub(super) rows: usize,
}

impl<'a> QueryRows<'a> {
    fn query(&self, lane: usize) -> usize {
        (self.first + lane) / self.problem.shape.group()
    }

    fn head(&self, lane: usize) -> usize {
        let group = self.problem.shape.group();
        self.kv_head * group + (self.first + lane) % group
    }

    /// The query of a lane.
    pub(super) fn vector(&self, lane: usize) -> &'a [f32] {
        let (query, head) = (self.query(lane), self.head(lane));
        let Attention { shape, q, .. } = self.problem;
        &q.of(self.item, head)[query * q.token_stride..][..shape.key_width]
    }

    /// Where the result of a lane goes, in elements.
    pub(super) fn target(&self, lane: usize) -> usize {
        let shape = &self.problem.shape;
        let token = self.item * shape.queries + self.query(lane);
        (token * shape.heads + self.head(lane)) * shape.value_width
    }

    fn bias(&self, lane: usize) -> Option<&'a [f32]> {
        let shape = &self.problem.shape;
        let matrix = self.item * shape.heads + self.head(lane);
        let bias = self.problem.bias.as_ref();
        bias.map(|bias| bias.row(matrix, self.query(lane), shape.keys))
    }
}

/// Keys and values of some keys, each row contiguous.
pub(super) struct KeyTile<'a> {
    /// The numbers of the keys.
    pub(super) keys: Range<usize>,
    pub(super) k: &'a [f32],
    pub(super) v: &'a [f32],
}

/// The rows of a block and what they have gathered so far.
pub(super) struct QueryBlock<'a> {
    place: QueryRows<'a>,
    seen: Vec<Range<usize>>,
    /// The keys that any of them sees, and those that each sees.
    all: Range<usize>,
    every: Range<usize>,
    /// Queries by element, multiplied by the scale and log₂e: scores are then in powers of two.
    queries: Buffer,
    /// The context by element.
    context: Buffer,
    maxima: Lanes,
    sums: Lanes,
}

/// The keys of a tile that a block computes.
struct Cover {
    keys: Range<usize>,
    /// Those that every query sees; before and after it some do not.
    full: Range<usize>,
}

impl Cover {
    /// The keys that some query does not see.
    fn partial(&self) -> impl Iterator<Item = Range<usize>> {
        let ends = [self.keys.start..self.full.start, self.full.end..self.keys.end];
        ends.into_iter().filter(|range| !range.is_empty())
    }
}

impl<'a> QueryBlock<'a> {
    pub(super) fn new(place: QueryRows<'a>) -> QueryBlock<'a> {
        let QueryRows { isa, problem, rows, .. } = place;
        let AttentionShape { key_width, value_width, .. } = problem.shape;
        let seen: Vec<_> = (0..rows).map(|lane| place.keys.seen_by(place.query(lane))).collect();
        let mut queries = Buffer::take(key_width * NR);
        if problem.shape.group() == 1 {
            let data =
                &problem.q.of(place.item, place.kv_head)[place.first * problem.q.token_stride..];
            let columns = Matrix { data, row: 1, col: problem.q.token_stride };
            pack_panel(isa, columns, key_width, rows, &mut queries);
        } else {
            let mut copy = Buffer::take(rows * key_width);
            for (lane, copy) in copy.chunks_exact_mut(key_width).enumerate() {
                copy.copy_from_slice(place.vector(lane));
            }
            let columns = Matrix { data: &copy, row: 1, col: key_width };
            pack_panel(isa, columns, key_width, rows, &mut queries);
            copy.keep();
        }
        let scale = problem.scale.unwrap_or(1.0) * std::f32::consts::LOG2_E;
        multiply(isa, &mut queries, scale);
        let mut context = Buffer::take(value_width * NR);
        context.fill(0.0);
        let (maxima, sums) = ([f32::NEG_INFINITY; NR], [0.0; NR]);
        let (all, every) = (hull(&seen), common(&seen));
        QueryBlock { place, all, every, seen, queries, context, maxima, sums }
    }

    /// Its rows.
    pub(super) fn place(&self) -> &QueryRows<'a> {
        &self.place
    }

    /// The keys that any query of the block sees.
    pub(super) fn keys(&self) -> Range<usize> {
        self.all.clone()
    }

    fn width(&self) -> usize {
        if self.seen.len() <= NR_HALF { NR_HALF } else { NR }
    }

    /// Takes a tile of keys into account; `scores` holds [`NR`] numbers per key.
    pub(super) fn add(
        &mut self,
        tile: &KeyTile<'_>,
        scores: &mut [f32],
        tallies: &mut AttentionTallies,
    ) {
        let QueryRows { isa, problem, .. } = self.place;
        let keys = clip(&self.all, &tile.keys);
        if keys.is_empty() {
            return;
        }
        self.useful(&tile.keys, tallies);
        let full = clip(&self.every, &tile.keys);
        let full = if full.is_empty() { keys.end..keys.end } else { full };
        let cover = Cover { keys, full };
        let scores = &mut scores[cover.keys.start * NR..cover.keys.end * NR];
        self.score(tile, &cover, scores, tallies);
        self.rescale(isa, scores, problem.shape.value_width, tallies);
        weigh(isa, scores, &self.maxima, &mut self.sums);
        // The softmax runs over all lanes.
        let pairs = cover.keys.len() * NR;
        tallies.softmax.executed(Class::Max, pairs);
        tallies.softmax.executed(Class::Add, 2 * pairs);
        tallies.softmax.executed(Class::Exp, pairs);
        tallies.softmax.executed(Class::Div, pairs);
        self.add_context(isa, tile, &cover, scores, problem.shape.value_width, tallies);
    }

    /// Counts what the definition asks for, row by row.
    fn useful(&self, keys: &Range<usize>, tallies: &mut AttentionTallies) {
        // Pairs, and rows that begin here: their first pair joins nothing.
        let (rows, here) = (self.seen.len(), clip(&self.every, keys));
        let starting = |seen: &&Range<usize>| keys.contains(&seen.start) && !seen.is_empty();
        let (pairs, first) = if self.all == self.every {
            (rows * here.len(), if keys.contains(&self.all.start) { rows } else { 0 })
        } else if here.len() == keys.len() && self.every.start < keys.start {
            (rows * here.len(), 0)
        } else {
            let pairs = self.seen.iter().map(|seen| clip(seen, keys).len()).sum();
            (pairs, self.seen.iter().filter(starting).count())
        };
        let joined = pairs - if pairs == 0 { 0 } else { first };
        tallies.useful(self.place.problem, pairs, joined);
    }

    /// Computes the scores, `-∞` where a query does not see a key.
    fn score(
        &self,
        tile: &KeyTile<'_>,
        cover: &Cover,
        scores: &mut [f32],
        tallies: &mut AttentionTallies,
    ) {
        let QueryRows { isa, problem, .. } = self.place;
        let width = problem.shape.key_width;
        let pairs = cover.keys.len() * self.width();
        let product = PanelProduct {
            m: cover.keys.len(),
            k: width,
            n: self.width(),
            a: &tile.k[cover.keys.start * width..],
            a_row: width,
            a_term: 1,
            b: &self.queries,
            add: false,
            far: false,
        };
        product.into(isa, scores, NR);
        tallies.scores.executed(Class::Mul, pairs * width);
        tallies.scores.executed(Class::Add, pairs * (width - 1));
        if problem.scale.is_some() {
            tallies.scale.executed(Class::Mul, pairs);
        }
        let numbers = tile.keys.start + cover.keys.start..tile.keys.start + cover.keys.end;
        for lane in 0..self.place.rows {
            let Some(bias) = self.place.bias(lane) else { break };
            let scores = scores[lane..].iter_mut().step_by(NR);
            let add = |(score, bias): (&mut f32, &f32)| {
                *score = within_range(*bias).mul_add(std::f32::consts::LOG2_E, *score);
            };
            match self.place.keys.positions(numbers.clone()) {
                None => scores.zip(&bias[numbers.clone()]).for_each(add),
                Some(at) => scores.zip(at.iter().map(|&j| &bias[j])).for_each(add),
            }
            tallies.bias.executed(Class::Add, cover.keys.len());
        }
        if cover.partial().next().is_none() {
            return;
        }
        let (mut first, mut last) = ([0; NR], [0; NR]);
        for (lane, seen) in self.seen.iter().enumerate() {
            let seen = clip(seen, &tile.keys);
            (first[lane], last[lane]) = (seen.start as u32, seen.end as u32);
        }
        for part in cover.partial() {
            let scores = &mut scores[(part.start - cover.keys.start) * NR..];
            mask(isa, scores, part, &first, &last);
        }
    }

    /// Raises the maxima and moves the earlier sums and context to them.
    fn rescale(&mut self, isa: Isa, scores: &[f32], width: usize, tallies: &mut AttentionTallies) {
        let mut factors = self.maxima;
        maxima(isa, scores, &mut factors);
        // Lanes without a query hold anything.
        factors[self.seen.len()..].copy_from_slice(&self.maxima[self.seen.len()..]);
        if !advance(isa, &mut factors, &mut self.maxima) {
            return;
        }
        multiply_rows(isa, &mut self.sums, &factors);
        multiply_rows(isa, &mut self.context, &factors);
        tallies.softmax.executed(Class::Add, NR);
        tallies.softmax.executed(Class::Exp, NR);
        tallies.softmax.executed(Class::Mul, NR * (1 + width));
    }

    /// Adds the weighted values.
    fn add_context(
        &mut self,
        isa: Isa,
        tile: &KeyTile<'_>,
        cover: &Cover,
        weights: &mut [f32],
        width: usize,
        tallies: &mut AttentionTallies,
    ) {
        if width == 0 {
            return;
        }
        let pairs = cover.keys.len() * self.width();
        tallies.context.executed(Class::Mul, pairs * width);
        tallies.context.executed(Class::Add, pairs * width);
        let value = |key: usize| &tile.v[key * width..][..width];
        let infinite = |part: Range<usize>| {
            let values = &tile.v[part.start * width..part.end * width];
            !finite(isa, values, values.len(), values.len(), 1)
        };
        let mut keys = cover.keys.clone();
        if cover.partial().any(infinite) {
            // Zero times infinity is no zero: there each query takes only the keys it sees.
            keys = cover.full.clone();
            for part in cover.partial() {
                for (lane, seen) in self.seen.iter().enumerate() {
                    for key in clip(&clip(seen, &tile.keys), &part).map(|key| key + part.start) {
                        let weight = weights[(key - cover.keys.start) * NR + lane];
                        let context = self.context[lane..].iter_mut().step_by(NR);
                        for (context, v) in context.zip(value(key)) {
                            *context = weight.mul_add(*v, *context);
                        }
                    }
                }
            }
        }
        if keys.is_empty() {
            return;
        }
        let product = PanelProduct {
            m: width,
            k: keys.len(),
            n: self.width(),
            a: &tile.v[keys.start * width..],
            a_row: 1,
            a_term: width,
            b: &weights[(keys.start - cover.keys.start) * NR..],
            add: true,
            far: false,
        };
        product.into(isa, &mut self.context, NR);
    }

    /// Divides by the sums of weights and writes each row where it belongs in `out`.
    ///
    /// # Safety
    /// Nobody else reaches these rows of `out` meanwhile.
    pub(super) unsafe fn finish(mut self, out: &Shared<'_>) {
        let QueryRows { isa, problem, rows, .. } = self.place;
        let AttentionShape { heads, value_width, .. } = problem.shape;
        if value_width > 0 {
            let reciprocals = self.sums.map(|sum| if sum == 0.0 { 0.0 } else { 1.0 / sum });
            divide(isa, &mut self.context, &reciprocals);
        }
        if value_width > 0 && problem.shape.group() == 1 {
            let first = out.pointer(self.place.target(0));
            // SAFETY: these are the rows of the block, `heads` rows apart, by contract.
            unsafe { unpack_panel(isa, &self.context, rows, first, heads * value_width) };
        } else if value_width > 0 {
            let mut copy = Buffer::take(rows * value_width);
            // SAFETY: the copy holds all rows, each after the other.
            unsafe { unpack_panel(isa, &self.context, rows, copy.as_mut_ptr(), value_width) };
            for (lane, copy) in copy.chunks_exact(value_width).enumerate() {
                // SAFETY: a row of the block, by contract.
                unsafe { out.part(self.place.target(lane), value_width) }.copy_from_slice(copy);
            }
            copy.keep();
        }
        self.queries.keep();
        self.context.keep();
    }
}

vectorised! {
    /// Writes `-∞` where a lane does not see a key.
    fn mask(scores: &mut [f32], keys: Range<usize>, first: &[u32; NR], last: &[u32; NR]) {
        for (row, key) in scores.as_chunks_mut::<NR>().0.iter_mut().zip(keys) {
            let key = key as u32;
            for ((score, first), last) in row.iter_mut().zip(first).zip(last) {
                *score = if *first <= key && key < *last { *score } else { f32::NEG_INFINITY };
            }
        }
    }

    /// Raises each lane to the greatest of its column; `NaN` is passed over.
    fn maxima(scores: &[f32], maxima: &mut Lanes) {
        // Four rows at a time, so that no comparison waits for the one before.
        let mut greatest = [*maxima; 4];
        let (blocks, rest) = scores.as_chunks::<{ 4 * NR }>();
        for block in blocks {
            for (greatest, row) in greatest.iter_mut().zip(block.as_chunks::<NR>().0) {
                for (greatest, score) in greatest.iter_mut().zip(row) {
                    *greatest = if *score > *greatest { *score } else { *greatest };
                }
            }
        }
        for row in rest.as_chunks::<NR>().0 {
            for (greatest, score) in greatest[0].iter_mut().zip(row) {
                *greatest = if *score > *greatest { *score } else { *greatest };
            }
        }
        for lane in 0..NR {
            for greatest in greatest {
                maxima[lane] = if greatest[lane] > maxima[lane] { greatest[lane] } else { maxima[lane] };
            }
        }
    }

    /// Replaces scores by `2^(score - maximum)` and adds them to the sums.
    fn weigh(scores: &mut [f32], maxima: &Lanes, sums: &mut Lanes) {
        // With no score above -∞ the weights are zero, not NaN.
        let shift = maxima.map(|m| if m == f32::NEG_INFINITY { 0.0 } else { m });
        let mut totals = *sums;
        for row in scores.as_chunks_mut::<NR>().0 {
            for ((score, shift), total) in row.iter_mut().zip(&shift).zip(&mut totals) {
                *score = exp2_flushed(*score - shift);
                *total += *score;
            }
        }
        *sums = totals;
    }

    /// Moves the maxima up to `factors`, which become what the earlier weights are multiplied by.
    /// Returns whether any of them changes.
    fn advance(factors: &mut Lanes, maxima: &mut Lanes) -> bool {
        let mut moved = 0u32;
        for (factor, old) in factors.iter_mut().zip(maxima) {
            let new = *factor;
            let rises = new > *old && *old > f32::NEG_INFINITY;
            *factor = if rises { exp2_flushed(*old - new) } else { 1.0 };
            *old = new;
            moved |= u32::from(rises);
        }
        moved != 0
    }

    /// Multiplies each row lane by lane.
    fn multiply_rows(x: &mut [f32], factors: &Lanes) {
        for row in x.as_chunks_mut::<NR>().0 {
            for (x, factor) in row.iter_mut().zip(factors) {
                *x *= factor;
            }
        }
    }

    /// Multiplies by the reciprocals of the sums; zero where it is zero, whatever the context is.
    fn divide(x: &mut [f32], reciprocals: &Lanes) {
        let kept = reciprocals.map(|factor| if factor == 0.0 { 0 } else { u32::MAX });
        for row in x.as_chunks_mut::<NR>().0 {
            for ((x, factor), kept) in row.iter_mut().zip(reciprocals).zip(&kept) {
                *x = f32::from_bits((*x * factor).to_bits() & kept);
            }
        }
    }
}
