//! A strip of queries, one per lane: scores and context are kept transposed, so that the softmax
//! runs down columns and every product reads one short row of the strip at a time.

use std::ops::Range;

use opledger_dims::Class;

use super::tile::{Place, clip, hull};
use super::{Attention, Tallies};
use crate::buffer::Buffer;
use crate::isa::{Isa, vectorised};
use crate::math::exp2_flushed;
use crate::micro::{HALF, Product, WIDTH};
use crate::panels::{pack_panel, unpack_panel};
use crate::product::Matrix;

/// One number per query.
type Lanes = [f32; WIDTH];

/// Keys and values of some keys, each row contiguous.
pub(super) struct Tile<'a> {
    /// The numbers of the keys.
    pub(super) keys: Range<usize>,
    pub(super) k: &'a [f32],
    pub(super) v: &'a [f32],
}

/// The queries of a strip and what they have gathered so far.
pub(super) struct Strip {
    seen: Vec<Range<usize>>,
    /// The keys that any of them sees.
    all: Range<usize>,
    /// Whether all see the same.
    alike: bool,
    /// Queries by element, multiplied by the scale and log₂e: scores are then in powers of two.
    queries: Buffer,
    /// The context by element.
    context: Buffer,
    maxima: Lanes,
    sums: Lanes,
}

/// The keys of a tile that a strip computes.
struct Cover {
    keys: Range<usize>,
    /// Those that every query sees; before and after it some do not.
    full: Range<usize>,
    queries: usize,
}

impl Cover {
    fn pairs(&self) -> usize {
        self.keys.len() * self.queries
    }

    /// The keys that some query does not see.
    fn partial(&self) -> impl Iterator<Item = Range<usize>> {
        let ends = [self.keys.start..self.full.start, self.full.end..self.keys.end];
        ends.into_iter().filter(|range| !range.is_empty())
    }
}

impl Strip {
    /// `place` names the first of `rows` queries.
    pub(super) fn new(problem: &Attention<'_>, place: &Place<'_>, rows: usize) -> Strip {
        let (key_width, value_width) = (problem.shape.key_width, problem.shape.value_width);
        let seen: Vec<_> = (0..rows).map(|i| place.keys.seen_by(place.query + i)).collect();
        let q = problem.q.from(place.item, place.head, place.query, key_width);
        let mut queries = Buffer::take(key_width * WIDTH);
        let columns = Matrix { data: &q.data, row: 1, col: q.stride };
        pack_panel(place.isa, columns, key_width, rows, &mut queries);
        let scale = problem.scale.unwrap_or(1.0) * std::f32::consts::LOG2_E;
        multiply(place.isa, &mut queries, scale);
        let mut context = Buffer::take(value_width * WIDTH);
        context.fill(0.0);
        let (maxima, sums) = ([f32::NEG_INFINITY; WIDTH], [0.0; WIDTH]);
        let alike = seen.windows(2).all(|pair| pair[0] == pair[1]);
        Strip { all: hull(&seen), alike, seen, queries, context, maxima, sums }
    }

    /// The keys that any query of the strip sees.
    pub(super) fn keys(&self) -> Range<usize> {
        self.all.clone()
    }

    fn width(&self) -> usize {
        if self.seen.len() <= HALF { HALF } else { WIDTH }
    }

    /// Takes a tile of keys into account; `scores` holds [`WIDTH`] numbers per key.
    pub(super) fn add(
        &mut self,
        problem: &Attention<'_>,
        place: &Place<'_>,
        tile: &Tile<'_>,
        scores: &mut [f32],
        tallies: &mut Tallies,
    ) {
        let keys = clip(&self.all, &tile.keys);
        if keys.is_empty() {
            return;
        }
        self.useful(problem, &tile.keys, tallies);
        let full = if self.alike { keys.clone() } else { self.full(&keys, &tile.keys) };
        let cover = Cover { keys, full, queries: self.seen.len() };
        let scores = &mut scores[cover.keys.start * WIDTH..cover.keys.end * WIDTH];
        self.score(problem, place, tile, &cover, scores, tallies);
        self.rescale(place.isa, scores, problem.shape.value_width, tallies);
        weigh(place.isa, scores, &self.maxima, &mut self.sums);
        tallies.softmax.executed(Class::Max, cover.pairs());
        tallies.softmax.executed(Class::Add, 2 * cover.pairs());
        tallies.softmax.executed(Class::Exp, cover.pairs());
        tallies.softmax.executed(Class::Div, cover.pairs());
        self.add_context(place.isa, tile, &cover, scores, problem.shape.value_width, tallies);
    }

    /// The part of `keys`, relative to a tile, that every query sees.
    fn full(&self, keys: &Range<usize>, tile: &Range<usize>) -> Range<usize> {
        let everyone = self.seen.iter().map(|seen| clip(seen, tile));
        let full = everyone
            .fold(keys.clone(), |full, seen| full.start.max(seen.start)..full.end.min(seen.end));
        if full.is_empty() { keys.end..keys.end } else { full }
    }

    /// Counts what the definition asks for, query by query.
    fn useful(&self, problem: &Attention<'_>, keys: &Range<usize>, tallies: &mut Tallies) {
        let (key_width, value_width) = (problem.shape.key_width, problem.shape.value_width);
        // Pairs, and pairs but the first of each query.
        let (mut pairs, mut joined) = (0, 0);
        let of_query = |seen: &Range<usize>| {
            let len = clip(seen, keys).len();
            (len, len - usize::from(len > 0 && seen.start >= keys.start))
        };
        if self.alike {
            let (len, rest) = of_query(&self.all);
            (pairs, joined) = (len * self.seen.len(), rest * self.seen.len());
        } else {
            for (len, rest) in self.seen.iter().map(of_query) {
                (pairs, joined) = (pairs + len, joined + rest);
            }
        }
        tallies.scores.useful(Class::Mul, pairs * key_width);
        tallies.scores.useful(Class::Add, pairs * (key_width - 1));
        if problem.scale.is_some() {
            tallies.scale.useful(Class::Mul, pairs);
        }
        if problem.bias.is_some() {
            tallies.bias.useful(Class::Add, pairs);
        }
        tallies.softmax.useful(Class::Max, joined);
        tallies.softmax.useful(Class::Add, pairs + joined);
        tallies.softmax.useful(Class::Exp, pairs);
        tallies.softmax.useful(Class::Div, pairs);
        tallies.context.useful(Class::Mul, pairs * value_width);
        tallies.context.useful(Class::Add, joined * value_width);
    }

    /// Computes the scores, `-∞` where a query does not see a key.
    fn score(
        &self,
        problem: &Attention<'_>,
        place: &Place<'_>,
        tile: &Tile<'_>,
        cover: &Cover,
        scores: &mut [f32],
        tallies: &mut Tallies,
    ) {
        let width = problem.shape.key_width;
        let product = Product {
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
        product.into(place.isa, scores, WIDTH);
        tallies.scores.executed(Class::Mul, cover.pairs() * width);
        tallies.scores.executed(Class::Add, cover.pairs() * (width - 1));
        if problem.scale.is_some() {
            tallies.scale.executed(Class::Mul, cover.pairs());
        }
        if let Some(bias) = &problem.bias {
            let numbers = tile.keys.start + cover.keys.start..tile.keys.start + cover.keys.end;
            let positions = place.keys.positions(numbers.clone());
            for lane in 0..cover.queries {
                let bias = bias.row(place.matrix, place.query + lane, problem.shape.keys);
                let scores = scores[lane..].iter_mut().step_by(WIDTH);
                let add = |(score, bias): (&mut f32, &f32)| {
                    *score = bias.mul_add(std::f32::consts::LOG2_E, *score);
                };
                match positions {
                    None => scores.zip(&bias[numbers.clone()]).for_each(add),
                    Some(at) => scores.zip(at.iter().map(|&j| &bias[j])).for_each(add),
                }
            }
            tallies.bias.executed(Class::Add, cover.pairs());
        }
        if self.alike {
            return;
        }
        let (mut first, mut last) = ([0; WIDTH], [0; WIDTH]);
        for (lane, seen) in self.seen.iter().enumerate() {
            let seen = clip(seen, &tile.keys);
            (first[lane], last[lane]) = (seen.start as u32, seen.end as u32);
        }
        for part in cover.partial() {
            let scores = &mut scores[(part.start - cover.keys.start) * WIDTH..];
            mask(place.isa, scores, part, &first, &last);
        }
    }

    /// Raises the maxima and moves the earlier sums and context to them.
    fn rescale(&mut self, isa: Isa, scores: &[f32], width: usize, tallies: &mut Tallies) {
        let mut factors = self.maxima;
        maxima(isa, scores, &mut factors);
        // Lanes without a query hold anything.
        factors[self.seen.len()..].copy_from_slice(&self.maxima[self.seen.len()..]);
        if !advance(isa, &mut factors, &mut self.maxima) {
            return;
        }
        multiply_rows(isa, &mut self.sums, &factors);
        multiply_rows(isa, &mut self.context, &factors);
        let rows = self.seen.len();
        tallies.softmax.executed(Class::Add, rows);
        tallies.softmax.executed(Class::Exp, rows);
        tallies.softmax.executed(Class::Mul, rows * (1 + width));
    }

    /// Adds the weighted values.
    fn add_context(
        &mut self,
        isa: Isa,
        tile: &Tile<'_>,
        cover: &Cover,
        weights: &mut [f32],
        width: usize,
        tallies: &mut Tallies,
    ) {
        if width == 0 {
            return;
        }
        tallies.context.executed(Class::Mul, cover.pairs() * width);
        tallies.context.executed(Class::Add, cover.pairs() * width);
        let value = |key: usize| &tile.v[key * width..][..width];
        let infinite = |part: Range<usize>| {
            let values = &tile.v[part.start * width..part.end * width];
            !super::tile::finite(isa, values, width, width, part.len())
        };
        let mut keys = cover.keys.clone();
        if cover.partial().any(infinite) {
            // Zero times infinity is no zero: there each query takes only the keys it sees.
            keys = cover.full.clone();
            for part in cover.partial() {
                for (lane, seen) in self.seen.iter().enumerate() {
                    for key in clip(&clip(seen, &tile.keys), &part).map(|key| key + part.start) {
                        let weight = weights[(key - cover.keys.start) * WIDTH + lane];
                        let context = self.context[lane..].iter_mut().step_by(WIDTH);
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
        let product = Product {
            m: width,
            k: keys.len(),
            n: self.width(),
            a: &tile.v[keys.start * width..],
            a_row: 1,
            a_term: width,
            b: &weights[(keys.start - cover.keys.start) * WIDTH..],
            add: true,
            far: false,
        };
        product.into(isa, &mut self.context, WIDTH);
    }

    /// Divides by the sums of weights and writes each query's row, `stride` elements after the one
    /// before.
    ///
    /// # Safety
    /// `out` points to the first row; all rows are valid for writes and reached by nobody else
    /// meanwhile.
    pub(super) unsafe fn finish(mut self, isa: Isa, out: *mut f32, stride: usize) {
        let reciprocals = self.sums.map(|sum| if sum == 0.0 { 0.0 } else { 1.0 / sum });
        divide(isa, &mut self.context, &reciprocals);
        // SAFETY: by contract.
        unsafe { unpack_panel(isa, &self.context, self.seen.len(), out, stride) };
        self.queries.keep();
        self.context.keep();
    }
}

vectorised! {
    /// Writes `-∞` where a lane does not see a key.
    fn mask(scores: &mut [f32], keys: Range<usize>, first: &[u32; WIDTH], last: &[u32; WIDTH]) {
        for (row, key) in scores.as_chunks_mut::<WIDTH>().0.iter_mut().zip(keys) {
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
        let (blocks, rest) = scores.as_chunks::<{ 4 * WIDTH }>();
        for block in blocks {
            for (greatest, row) in greatest.iter_mut().zip(block.as_chunks::<WIDTH>().0) {
                for (greatest, score) in greatest.iter_mut().zip(row) {
                    *greatest = if *score > *greatest { *score } else { *greatest };
                }
            }
        }
        for row in rest.as_chunks::<WIDTH>().0 {
            for (greatest, score) in greatest[0].iter_mut().zip(row) {
                *greatest = if *score > *greatest { *score } else { *greatest };
            }
        }
        for lane in 0..WIDTH {
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
        for row in scores.as_chunks_mut::<WIDTH>().0 {
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

    fn multiply(x: &mut [f32], factor: f32) {
        for x in x {
            *x *= factor;
        }
    }

    /// Multiplies each row lane by lane.
    fn multiply_rows(x: &mut [f32], factors: &Lanes) {
        for row in x.as_chunks_mut::<WIDTH>().0 {
            for (x, factor) in row.iter_mut().zip(factors) {
                *x *= factor;
            }
        }
    }

    /// Multiplies by the reciprocals of the sums; zero where it is zero, whatever the context is.
    fn divide(x: &mut [f32], reciprocals: &Lanes) {
        let kept = reciprocals.map(|factor| if factor == 0.0 { 0 } else { u32::MAX });
        for row in x.as_chunks_mut::<WIDTH>().0 {
            for ((x, factor), kept) in row.iter_mut().zip(reciprocals).zip(&kept) {
                *x = f32::from_bits((*x * factor).to_bits() & kept);
            }
        }
    }
}
