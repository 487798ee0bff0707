//! The online softmax (Milakov and Gimelshein 2018) of a block of queries, one per lane: scores and
//! context are kept transposed, so that maxima, exponentials and sums run down columns and every
//! product reads one panel.

use std::ops::Range;

use opledger_dims::Class;

use super::ranges::{clip, common, hull};
use super::row_loops::{
    beside_sink, biased, cap, count_biased, count_finite, count_sinks, finite, multiply,
};
use super::{Attention, AttentionShape, AttentionTallies, VisibleKeys, shown};
use crate::buffer::Buffer;
use crate::gemm::matrix::Matrix;
use crate::gemm::microkernel::{Left, NR, NR_HALF, Next, PanelProduct};
use crate::gemm::packing::{pack_panel, unpack_panel};
use crate::isa::{Isa, vectorised};
use crate::meter::{AttentionPart, Tally};
use crate::number::Number;
use crate::tasks::Shared;

/// One number per query.
type Lanes<T> = [T; NR];

/// Some rows of a key head; a row is a query and a head of the group, heads inner.
#[derive(Clone, Copy)]
pub(super) struct QueryRows<'a, T> {
    pub(super) isa: Isa,
    pub(super) problem: &'a Attention<'a, T>,
    pub(super) keys: &'a VisibleKeys<'a>,
    pub(super) item: usize,
    pub(super) kv_head: usize,
    /// The first row, and how many.
    pub(super) first: usize,
    pub(super) rows: usize,
}

impl<'a, T: Number> QueryRows<'a, T> {
    pub(super) fn query(&self, lane: usize) -> usize {
        (self.first + lane) / self.problem.shape.group()
    }

    pub(super) fn head(&self, lane: usize) -> usize {
        let group = self.problem.shape.group();
        self.kv_head * group + (self.first + lane) % group
    }

    /// The query of a lane.
    pub(super) fn vector(&self, lane: usize) -> &'a [T] {
        let (query, head) = (self.query(lane), self.head(lane));
        let Attention { shape, q, .. } = self.problem;
        &q.of(self.item, head)[query * q.token_stride..][..shape.key_width]
    }

    /// The place of a lane's query among all of all heads.
    pub(super) fn row(&self, lane: usize) -> usize {
        let shape = &self.problem.shape;
        (self.item * shape.queries + self.query(lane)) * shape.heads + self.head(lane)
    }

    /// Where the result of a lane goes, in elements.
    pub(super) fn target(&self, lane: usize) -> usize {
        self.row(lane) * self.problem.shape.value_width
    }

    /// Truth values of the keys, where pairs are hidden one by one.
    pub(super) fn pairs(&self, lane: usize) -> Option<&'a [i64]> {
        self.keys.row(self.head(lane), self.query(lane))
    }

    /// Whether a lane sees a key inside the range that it sees.
    pub(super) fn sees(&self, lane: usize, key: usize) -> bool {
        self.pairs(lane).is_none_or(|pairs| pairs[key] != 0)
    }

    fn bias(&self, lane: usize) -> Option<&'a [T]> {
        let shape = &self.problem.shape;
        let matrix = self.item * shape.heads + self.head(lane);
        let bias = self.problem.bias.as_ref();
        bias.map(|bias| bias.row(matrix, self.query(lane), shape.keys))
    }
}

/// Keys and values of some keys, each row contiguous.
pub(super) struct KeyTile<'a, T> {
    /// The numbers of the keys.
    pub(super) keys: Range<usize>,
    pub(super) k: &'a [T],
    pub(super) v: &'a [T],
}

/// The rows of a block and what they have gathered so far.
pub(super) struct QueryBlock<'a, T> {
    place: QueryRows<'a, T>,
    seen: Vec<Range<usize>>,
    /// The keys that any of them sees, and those that each sees.
    all: Range<usize>,
    every: Range<usize>,
    /// Queries by element, multiplied as [`Attention::factor`] says.
    queries: Buffer<T>,
    /// The context by element.
    context: Buffer<T>,
    maxima: Lanes<T>,
    sums: Lanes<T>,
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

impl<'a, T: Number> QueryBlock<'a, T> {
    pub(super) fn new(
        place: QueryRows<'a, T>,
        tallies: &mut AttentionTallies,
    ) -> QueryBlock<'a, T> {
        let QueryRows { isa, problem, rows, .. } = place;
        let AttentionShape { key_width, value_width, .. } = problem.shape;
        let seen_by = |lane| place.keys.seen_by(place.head(lane), place.query(lane));
        let seen: Vec<_> = (0..rows).map(seen_by).collect();
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
        T::belongs_to(problem.scaling());
        multiply(isa, &mut queries, T::of(problem.factor()));
        tallies.scaled(problem, queries.len());
        let mut context = Buffer::take(value_width * NR);
        context.fill(T::of(0.0));
        let (maxima, sums) = ([T::of(f32::NEG_INFINITY); NR], [T::of(0.0); NR]);
        let (all, every) = (hull(&seen), common(&seen));
        QueryBlock { place, all, every, seen, queries, context, maxima, sums }
    }

    /// Its rows.
    pub(super) fn place(&self) -> &QueryRows<'a, T> {
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
        tile: &KeyTile<'_, T>,
        scores: &mut [T],
        tallies: &mut AttentionTallies,
    ) {
        let QueryRows { isa, problem, .. } = self.place;
        let keys = clip(&self.all, &tile.keys);
        if keys.is_empty() {
            return;
        }
        if self.useful(&tile.keys, tallies) == 0 {
            return;
        }
        let full = clip(&self.every, &tile.keys);
        let partial = full.is_empty() || self.place.keys.by_pairs();
        let full = if partial { keys.end..keys.end } else { full };
        let cover = Cover { keys, full };
        let scores = &mut scores[cover.keys.start * NR..cover.keys.end * NR];
        self.score(tile, &cover, scores, tallies);
        T::belongs_to(AttentionPart::Softmax);
        self.rescale(isa, scores, problem.shape.value_width, tallies);
        weigh(isa, scores, &self.maxima, &mut self.sums);
        // The softmax runs over all lanes.
        tallies.softmax.executed(Class::Max, NR);
        tallies.softmax.executed(Class::Add, 2 * scores.len());
        tallies.softmax.executed(Class::Exp, scores.len());
        self.add_context(isa, tile, &cover, scores, problem.shape.value_width, tallies);
    }

    /// Counts what the definition asks for, row by row; how many pairs there are.
    fn useful(&self, keys: &Range<usize>, tallies: &mut AttentionTallies) -> usize {
        // Pairs, and rows that begin here: their first pair joins nothing.
        let (rows, here) = (self.seen.len(), clip(&self.every, keys));
        let starting = |seen: &&Range<usize>| keys.contains(&seen.start) && !seen.is_empty();
        let (pairs, first) = if self.place.keys.by_pairs() {
            (self.shown(keys), self.seen.iter().filter(starting).count())
        } else if self.all == self.every {
            (rows * here.len(), if keys.contains(&self.all.start) { rows } else { 0 })
        } else if here.len() == keys.len() && self.every.start < keys.start {
            (rows * here.len(), 0)
        } else {
            let pairs = self.seen.iter().map(|seen| clip(seen, keys).len()).sum();
            (pairs, self.seen.iter().filter(starting).count())
        };
        let joined = pairs - if pairs == 0 { 0 } else { first };
        tallies.useful(self.place.problem, pairs, joined);
        pairs
    }

    /// Pairs with some keys, which may be hidden one by one.
    fn shown(&self, keys: &Range<usize>) -> usize {
        let seen = self.seen.iter().enumerate().map(|(lane, seen)| {
            let seen = seen.start.max(keys.start)..seen.end.min(keys.end);
            let row = self.place.pairs(lane).filter(|_| !seen.is_empty());
            row.map_or(0, |row| shown(&row[seen]))
        });
        seen.sum()
    }

    /// Computes the scores, `-∞` where a query does not see a key.
    fn score(
        &self,
        tile: &KeyTile<'_, T>,
        cover: &Cover,
        scores: &mut [T],
        tallies: &mut AttentionTallies,
    ) {
        let QueryRows { isa, problem, .. } = self.place;
        let width = problem.shape.key_width;
        let product = PanelProduct {
            m: cover.keys.len(),
            k: width,
            n: self.width(),
            a: Left::Stored(Matrix {
                data: &tile.k[cover.keys.start * width..],
                row: width,
                col: 1,
            }),
            b: &self.queries,
            add: false,
            far: false,
            next: Next::NOTHING,
        };
        T::belongs_to(AttentionPart::Scores);
        product.into(isa, scores, NR);
        product.count(&mut tallies.scores);
        if let Some(greatest) = problem.cap() {
            T::belongs_to(AttentionPart::SoftCap);
            cap(isa, scores, T::of(greatest));
            tallies.soft_cap.executed(Class::Tanh, scores.len());
            tallies.soft_cap.executed(Class::Mul, scores.len());
        }
        T::belongs_to(AttentionPart::Bias);
        let numbers = tile.keys.start + cover.keys.start..tile.keys.start + cover.keys.end;
        for lane in 0..self.place.rows {
            let Some(bias) = self.place.bias(lane) else { break };
            let scores = scores[lane..].iter_mut().step_by(NR);
            let add = |(score, bias): (&mut T, &T)| *score = biased(*score, *bias);
            match self.place.keys.positions(numbers.clone()) {
                None => scores.zip(&bias[numbers.clone()]).for_each(add),
                Some(at) => scores.zip(at.iter().map(|&j| &bias[j])).for_each(add),
            }
            count_biased(cover.keys.len(), &mut tallies.bias);
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
            mask(isa, scores, part, (&first, &last), T::of(f32::NEG_INFINITY));
        }
        for lane in 0..self.place.rows {
            let Some(row) = self.place.pairs(lane) else { break };
            let scores = scores[lane..].iter_mut().step_by(NR);
            for (score, _) in scores.zip(&row[numbers.clone()]).filter(|(_, seen)| **seen == 0) {
                *score = T::of(f32::NEG_INFINITY);
            }
        }
    }

    /// Raises the maxima and moves the earlier sums and context to them.
    fn rescale(&mut self, isa: Isa, scores: &[T], width: usize, tallies: &mut AttentionTallies) {
        let mut factors = self.maxima;
        maxima(isa, scores, &mut factors);
        // Lanes without a query hold anything.
        factors[self.seen.len()..].copy_from_slice(&self.maxima[self.seen.len()..]);
        // Those of the columns in four, and two in each lane to see whether it rises.
        tallies.softmax.executed(Class::Max, scores.len() + (4 + 2) * NR);
        tallies.softmax.executed(Class::Add, NR);
        tallies.softmax.executed(Class::Exp, NR);
        if !advance(isa, &mut factors, &mut self.maxima) {
            return;
        }
        multiply_rows(isa, &mut self.sums, &factors);
        multiply_rows(isa, &mut self.context, &factors);
        tallies.softmax.executed(Class::Mul, NR * (1 + width));
    }

    /// Adds the weighted values.
    fn add_context(
        &mut self,
        isa: Isa,
        tile: &KeyTile<'_, T>,
        cover: &Cover,
        weights: &mut [T],
        width: usize,
        tallies: &mut AttentionTallies,
    ) {
        if width == 0 {
            return;
        }
        T::belongs_to(AttentionPart::Context);
        let value = |key: usize| &tile.v[key * width..][..width];
        let mut infinite = |part: Range<usize>| {
            let values = &tile.v[part.start * width..part.end * width];
            count_finite(1, values.len(), &mut tallies.context);
            !finite(isa, values, values.len(), values.len(), 1)
        };
        let mut keys = cover.keys.clone();
        if cover.partial().any(&mut infinite) {
            // Zero times infinity is no zero: there each query takes only the keys it sees.
            keys = cover.full.clone();
            for part in cover.partial() {
                for (lane, seen) in self.seen.iter().enumerate() {
                    let seen = clip(&clip(seen, &tile.keys), &part);
                    let seen = seen.map(|key| key + part.start);
                    for key in seen.filter(|key| self.place.sees(lane, tile.keys.start + key)) {
                        tallies.context.executed(Class::Mul, width);
                        tallies.context.executed(Class::Add, width);
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
            a: Left::Stored(Matrix { data: &tile.v[keys.start * width..], row: 1, col: width }),
            b: &weights[(keys.start - cover.keys.start) * NR..],
            add: true,
            far: false,
            next: Next::NOTHING,
        };
        product.into(isa, &mut self.context, NR);
        product.count(&mut tallies.context);
    }

    /// What weights are multiplied with beside the sinks of their heads.
    fn join_sinks(&self, reciprocals: &mut Lanes<T>, tally: &mut Tally) {
        let Some(sinks) = self.place.problem.sinks else { return };
        let rows = self.place.rows;
        for (lane, reciprocal) in reciprocals[..rows].iter_mut().enumerate() {
            let (greatest, sum) = (self.maxima[lane], self.sums[lane]);
            let factor = beside_sink(greatest, sum, sinks[self.place.head(lane)]);
            *reciprocal = if sum == T::of(0.0) { T::of(0.0) } else { factor };
        }
        count_sinks(rows, tally);
        tally.executed(Class::Div, rows);
        tally.executed(Class::Max, rows);
    }

    /// Divides by the sums of weights and writes each row where it belongs in `out`.
    ///
    /// # Safety
    /// Nobody else reaches these rows of `out` meanwhile.
    pub(super) unsafe fn finish(mut self, out: &Shared<'_, T>, tallies: &mut AttentionTallies) {
        let QueryRows { isa, problem, rows, .. } = self.place;
        let AttentionShape { heads, value_width, .. } = problem.shape;
        if value_width > 0 {
            T::belongs_to(AttentionPart::Softmax);
            let mut reciprocals = self.sums.map(|sum| {
                let reciprocal = T::of(1.0) / sum;
                if sum == T::of(0.0) { T::of(0.0) } else { reciprocal }
            });
            self.join_sinks(&mut reciprocals, &mut tallies.softmax);
            divide(isa, &mut self.context, &reciprocals);
            tallies.softmax.executed(Class::Max, 2 * NR);
            tallies.softmax.executed(Class::Div, NR);
            tallies.softmax.executed(Class::Mul, self.context.len());
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
    /// Writes a number where a lane does not see a key.
    pub(super) fn mask[T: Number](
        scores: &mut [T],
        keys: Range<usize>,
        seen: (&[u32; NR], &[u32; NR]),
        hidden: T,
    ) {
        let (first, last) = seen;
        for (row, key) in scores.as_chunks_mut::<NR>().0.iter_mut().zip(keys) {
            let key = key as u32;
            for ((score, first), last) in row.iter_mut().zip(first).zip(last) {
                *score = if *first <= key && key < *last { *score } else { hidden };
            }
        }
    }

    /// Raises each lane to the greatest of its column; `NaN` is passed over.
    pub(super) fn maxima[T: Number](scores: &[T], maxima: &mut Lanes<T>) {
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
    pub(super) fn weigh[T: Number](scores: &mut [T], maxima: &Lanes<T>, sums: &mut Lanes<T>) {
        // With no score above -∞ the weights are zero, not NaN.
        let shift = maxima.map(|m| if m == T::of(f32::NEG_INFINITY) { T::of(0.0) } else { m });
        let mut totals = *sums;
        for row in scores.as_chunks_mut::<NR>().0 {
            for ((score, shift), total) in row.iter_mut().zip(&shift).zip(&mut totals) {
                *score = (*score - *shift).exp2_flushed();
                *total += *score;
            }
        }
        *sums = totals;
    }

    /// Moves the maxima up to `factors`, which become what the earlier weights are multiplied by.
    /// Returns whether any of them changes.
    fn advance[T: Number](factors: &mut Lanes<T>, maxima: &mut Lanes<T>) -> bool {
        let mut moved = 0u32;
        for (factor, old) in factors.iter_mut().zip(maxima) {
            let new = *factor;
            let rises = (new > *old) & (*old > T::of(f32::NEG_INFINITY));
            let moved_by = (*old - new).exp2_flushed();
            *factor = if rises { moved_by } else { T::of(1.0) };
            *old = new;
            moved |= u32::from(rises);
        }
        moved != 0
    }

    /// Multiplies each row lane by lane.
    fn multiply_rows[T: Number](x: &mut [T], factors: &Lanes<T>) {
        for row in x.as_chunks_mut::<NR>().0 {
            for (x, &factor) in row.iter_mut().zip(factors) {
                *x *= factor;
            }
        }
    }

    /// Multiplies by the reciprocals of the sums; zero where it is zero, whatever the context is.
    pub(super) fn divide[T: Number](x: &mut [T], reciprocals: &Lanes<T>) {
        let kept = reciprocals.map(|factor| if factor == T::of(0.0) { 0 } else { u32::MAX });
        for row in x.as_chunks_mut::<NR>().0 {
            for ((x, &factor), &kept) in row.iter_mut().zip(reciprocals).zip(&kept) {
                *x = (*x * factor).masked(kept);
            }
        }
    }
}
