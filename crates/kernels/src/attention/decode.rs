//! Few queries over many keys, which are cut into chunks and merged (Flash-Decoding, Dao et al. 2023): keys and values are read once, in the order of memory, for all
//! queries and for all heads of a group.

use std::ops::Range;

use opledger_dims::Class;
use rayon::prelude::*;

use super::ranges::clip;
use super::row_loops::{beside_sink, biased, cap, count_biased, count_sinks, multiply};
use super::{
    Attention, AttentionMeters, AttentionShape, AttentionTallies, Heads, SERIAL, VisibleKeys,
};
use crate::buffer::Buffer;
use crate::gemv::{VECTORS, VectorBlock, count_dots};
use crate::horizontal::{self, joins};
use crate::isa::{Isa, vectorised};
use crate::meter::{AttentionPart, Meter, Tally};
use crate::number::Number;
use crate::number::simd::SUMS;
use crate::tasks::Shared;

/// Queries of one key head, over all heads of its group, up to which this pays.
pub(super) const MAX_ROWS: usize = 8;
/// Elements at least from a vector to the one that is brought closer meanwhile.
const AHEAD: usize = 2048;
/// Elements of keys and values of a task at least, and tasks of an item at most: what tasks leave for
/// merging stays small.
const CHUNK: usize = 1 << 18;
const MAX_CHUNKS: usize = 64;

/// Runs all queries over chunks of keys, and merges what they gathered in the order of the keys.
pub(super) fn over_chunks<T: Number, M: Meter>(
    isa: Isa,
    problem: &Attention<'_, T>,
    keys: &[VisibleKeys<'_>],
    out: &mut [T],
    meters: &AttentionMeters<'_, M>,
) {
    let shape = &problem.shape;
    let rows = shape.queries * shape.heads;
    let of_key = shape.kv_heads * (shape.key_width + shape.value_width);
    let chunk = (CHUNK / of_key.max(1)).max(shape.keys.div_ceil(MAX_CHUNKS)).max(1);
    let chunks = shape.keys.div_ceil(chunk).max(1);
    let work = (rows * shape.batch)
        .saturating_mul(shape.keys)
        .saturating_mul(shape.key_width + shape.value_width);
    let parallel = work > SERIAL;

    let queries = scaled(isa, problem);
    let mut tallies = AttentionTallies::default();
    tallies.scaled(problem, queries.len());
    tallies.record(meters);
    let state = rows * (shape.value_width + 2);
    let mut states = Buffer::take(shape.batch * chunks * state);
    let shared = Shared::new(&mut states);
    let task = |index: usize| {
        let (item, chunk_at) = (index / chunks, index % chunks);
        let count = keys[item].count();
        let numbers = count.min(chunk_at * chunk)..count.min((chunk_at + 1) * chunk);
        // SAFETY: each state belongs to one task.
        let state = State::new(unsafe { shared.part(index * state, state) }, rows);
        let queries = &queries[item * rows * shape.key_width..][..rows * shape.key_width];
        let mut tallies = AttentionTallies::default();
        let part = Part { isa, problem, item, keys: &keys[item], numbers };
        part.run(queries, state, &mut tallies);
        tallies.record(meters);
    };
    for_each(shape.batch * chunks, parallel, task);

    let width = shape.value_width;
    let out = Shared::new(out);
    let finish = |index: usize| {
        let (item, row) = (index / rows, index % rows);
        let parts = states[item * chunks * state..][..chunks * state].chunks_exact(state);
        // SAFETY: each row belongs to one task.
        let out = unsafe { out.part(index * width, width) };
        let mut tallies = AttentionTallies::default();
        let sink = problem.sinks.map(|sinks| sinks[row % shape.heads]);
        merge(isa, parts, (row, rows), sink, out, &mut tallies.softmax);
        tallies.record(meters);
    };
    for_each(shape.batch * rows, parallel && chunks > 1, finish);
    states.keep();
    queries.keep();
}

fn for_each(tasks: usize, parallel: bool, task: impl Fn(usize) + Sync + Send) {
    if parallel && tasks > 1 {
        (0..tasks).into_par_iter().with_max_len(1).for_each(task);
    } else {
        (0..tasks).for_each(task);
    }
}

/// The queries `[batch, queries, heads, key_width]`, multiplied as [`Attention::factor`] says.
fn scaled<T: Number>(isa: Isa, problem: &Attention<'_, T>) -> Buffer<T> {
    let AttentionShape { batch, queries, heads, key_width, .. } = problem.shape;
    let mut scaled = Buffer::take(batch * queries * heads * key_width);
    for (index, row) in scaled.chunks_exact_mut(key_width).enumerate() {
        let (item, query, head) =
            (index / (queries * heads), index / heads % queries, index % heads);
        let q = problem.q.from(item, head, query, key_width);
        row.copy_from_slice(&q.data[..key_width]);
    }
    T::belongs_to(problem.scaling());
    multiply(isa, &mut scaled, T::of(problem.factor()));
    scaled
}

/// What the rows of an item gathered from a chunk; a row is a query and a head, heads inner.
struct State<'a, T> {
    maxima: &'a mut [T],
    sums: &'a mut [T],
    /// `value_width` elements for each row.
    context: &'a mut [T],
}

impl<'a, T> State<'a, T> {
    fn new(data: &'a mut [T], rows: usize) -> State<'a, T> {
        let (maxima, rest) = data.split_at_mut(rows);
        let (sums, context) = rest.split_at_mut(rows);
        State { maxima, sums, context }
    }
}

/// A chunk of the keys of an item.
struct Part<'a, T> {
    isa: Isa,
    problem: &'a Attention<'a, T>,
    item: usize,
    keys: &'a VisibleKeys<'a>,
    numbers: Range<usize>,
}

impl<T: Number> Part<'_, T> {
    fn run(&self, queries: &[T], state: State<'_, T>, tallies: &mut AttentionTallies) {
        let Part { isa, problem, .. } = *self;
        let shape = &problem.shape;
        let seen: Vec<_> = (0..shape.queries).map(|query| self.seen_by(query, tallies)).collect();
        let len = self.numbers.len();
        let mut scores = Buffer::take(shape.queries * shape.heads * len);
        let layout = Layout { shape, seen: &seen, positions: self.positions(), len };
        let width = shape.key_width;
        let keys = self.vectors(&problem.k, width);
        let ahead = keys.ahead();
        let mut groups = 0;
        T::belongs_to(AttentionPart::Scores);
        layout.meet(&keys, |rows, key, vectors| {
            groups += rows.len() * vectors.len().div_ceil(SUMS);
            let queries = &queries[rows.start * width..];
            let scores = &mut scores[rows.start * len + key..];
            let (rows, stride) = (rows.len(), len);
            VectorBlock { vectors, rows, stride, ahead }.dots(isa, queries, scores);
        });
        count_dots::<T>(isa, groups, width, &mut tallies.scores);
        if let Some(greatest) = problem.cap() {
            T::belongs_to(AttentionPart::SoftCap);
            for (row, scores) in scores.chunks_exact_mut(len.max(1)).enumerate() {
                cap(isa, &mut scores[seen[row / shape.heads].clone()], T::of(greatest));
            }
        }
        T::belongs_to(AttentionPart::Bias);
        self.add_bias(&seen, &mut scores);
        T::belongs_to(AttentionPart::Softmax);
        for (row, scores) in scores.chunks_exact_mut(len.max(1)).enumerate() {
            let seen = seen[row / shape.heads].clone();
            (state.maxima[row], state.sums[row]) = weigh(isa, &mut scores[seen]);
        }
        T::belongs_to(AttentionPart::Context);
        state.context.fill(T::of(0.0));
        if len == 0 {
            state.maxima.fill(T::of(f32::NEG_INFINITY));
            state.sums.fill(T::of(0.0));
        } else if shape.value_width > 0 {
            let width = shape.value_width;
            let values = self.vectors(&problem.v, width);
            let ahead = values.ahead();
            layout.meet(&values, |rows, key, vectors| {
                let weights = &scores[rows.start * len + key..];
                let context = &mut state.context[rows.start * width..];
                let (rows, stride) = (rows.len(), len);
                VectorBlock { vectors, rows, stride, ahead }.axpys(isa, weights, context);
            });
        }
        scores.keep();
    }

    /// The keys of the chunk that a query sees, counted for all heads, but for what computes the scores.
    fn seen_by(&self, query: usize, tallies: &mut AttentionTallies) -> Range<usize> {
        let seen = self.keys.seen_by(0, query);
        let here = clip(&seen, &self.numbers);
        let first = !here.is_empty() && seen.start >= self.numbers.start;
        let heads = self.problem.shape.heads;
        let (pairs, joined) = (heads * here.len(), heads * (here.len() - usize::from(first)));
        tallies.useful(self.problem, pairs, joined);
        if !self.numbers.is_empty() {
            self.executed(here.len(), tallies);
        }
        here
    }

    /// Counts what the keys that a query sees execute, for all heads.
    fn executed(&self, keys: usize, tallies: &mut AttentionTallies) {
        let AttentionShape { heads, value_width, .. } = self.problem.shape;
        let pairs = heads * keys;
        if self.problem.soft_cap.is_some() {
            tallies.soft_cap.executed(Class::Tanh, pairs);
            tallies.soft_cap.executed(Class::Mul, pairs);
        }
        if self.problem.bias.is_some() {
            count_biased(pairs, &mut tallies.bias);
        }
        // As `weigh` does.
        tallies.softmax.executed(Class::Max, heads * (joins(keys) + 1));
        tallies.softmax.executed(Class::Add, heads * (keys + joins(keys)));
        tallies.softmax.executed(Class::Exp, pairs);
        tallies.context.executed(Class::Mul, pairs * value_width);
        tallies.context.executed(Class::Add, pairs * value_width);
    }

    fn positions(&self) -> Positions<'_> {
        match self.keys.positions(self.numbers.clone()) {
            Some(positions) => Positions::Kept(positions),
            None => Positions::From(self.numbers.start),
        }
    }

    fn vectors<'a>(&self, heads: &Heads<'a, T>, width: usize) -> Rows<'a, T> {
        let Heads { token_stride, head_stride, .. } = *heads;
        Rows { data: heads.of(self.item, 0), token_stride, head_stride, width }
    }

    fn add_bias(&self, seen: &[Range<usize>], scores: &mut [T]) {
        let shape = &self.problem.shape;
        let Some(bias) = &self.problem.bias else { return };
        let len = self.numbers.len();
        for (row, scores) in scores.chunks_exact_mut(len.max(1)).enumerate() {
            let (query, head) = (row / shape.heads, row % shape.heads);
            let bias = bias.row(self.item * shape.heads + head, query, shape.keys);
            for at in seen[query].clone() {
                let position = self.keys.position(self.numbers.start + at);
                scores[at] = biased(scores[at], bias[position]);
            }
        }
    }
}

/// Merges what a row of so many gathered from each chunk, in their order, beside its sink.
fn merge<'a, T: Number>(
    isa: Isa,
    parts: impl Iterator<Item = &'a [T]> + Clone,
    (row, rows): (usize, usize),
    sink: Option<T>,
    out: &mut [T],
    tally: &mut Tally,
) {
    T::belongs_to(AttentionPart::Softmax);
    let (zero, lowest) = (T::of(0.0), T::of(f32::NEG_INFINITY));
    let greatest = parts.clone().map(|part| part[row]);
    let greatest = greatest.fold(lowest, |a, b| if b > a { b } else { a });
    let shift = if greatest == lowest { zero } else { greatest };
    let width = out.len();
    out.fill(zero);
    let (mut sum, mut all, mut joined) = (zero, 0, 0);
    for part in parts {
        all += 1;
        // A chunk in which the row sees nothing, or only scores of -∞.
        if part[rows + row] == zero {
            continue;
        }
        joined += 1;
        let factor = (part[row] - shift).exp2_flushed();
        sum = part[rows + row].mul_add(factor, sum);
        let part = &part[2 * rows + row * width..][..width];
        if width > 0 {
            VectorBlock { vectors: &[part], rows: 1, stride: 1, ahead: 0 }.axpys(
                isa,
                &[factor],
                out,
            )
        };
    }
    let reciprocal = match sink {
        Some(sink) => beside_sink(greatest, sum, sink),
        None => T::of(1.0) / sum,
    };
    count_sinks(usize::from(sink.is_some()), tally);
    multiply(isa, out, if sum == zero { zero } else { reciprocal });
    tally.executed(Class::Max, 2 * all + 2);
    tally.executed(Class::Exp, joined);
    tally.executed(Class::Add, joined * (2 + width));
    tally.executed(Class::Mul, joined * (1 + width) + width);
    tally.executed(Class::Div, 1);
}

/// Where the keys of a chunk are.
#[derive(Clone, Copy)]
enum Positions<'a> {
    From(usize),
    Kept(&'a [usize]),
}

/// How the rows of an item meet the keys of a chunk.
struct Layout<'a> {
    shape: &'a AttentionShape,
    /// The keys that each query sees.
    seen: &'a [Range<usize>],
    positions: Positions<'a>,
    /// Keys of the chunk, and scores of a row.
    len: usize,
}

/// Keys or values of an item.
struct Rows<'a, T> {
    data: &'a [T],
    token_stride: usize,
    head_stride: usize,
    width: usize,
}

impl<T> Rows<'_, T> {
    /// Elements from a vector to the one that takes its place in the next block of keys.
    fn ahead(&self) -> usize {
        AHEAD.max(VECTORS * self.token_stride)
    }
}

impl Layout<'_> {
    /// Calls `visit(rows, first key, vectors)` for the rows of each query and some of the keys that it
    /// sees, nearly in the order of the vectors in memory.
    fn meet<'v, T>(
        &self,
        vectors: &Rows<'v, T>,
        mut visit: impl FnMut(Range<usize>, usize, &[&'v [T]]),
    ) {
        let (heads, kv_heads, group) = (self.shape.heads, self.shape.kv_heads, self.shape.group());
        let blocks = self.len.div_ceil(VECTORS);
        let by_token = vectors.head_stride <= vectors.token_stride;
        let (outer, inner) = if by_token { (blocks, kv_heads) } else { (kv_heads, blocks) };
        for (outer, inner) in (0..outer).flat_map(|outer| (0..inner).map(move |i| (outer, i))) {
            let (block, kv_head) = if by_token { (outer, inner) } else { (inner, outer) };
            let keys = block * VECTORS..self.len.min((block + 1) * VECTORS);
            let mut some: [&[T]; VECTORS] = [&[]; VECTORS];
            for (vector, key) in some.iter_mut().zip(keys.clone()) {
                let position = match self.positions {
                    Positions::From(first) => first + key,
                    Positions::Kept(positions) => positions[key],
                };
                let at = position * vectors.token_stride + kv_head * vectors.head_stride;
                *vector = &vectors.data[at..][..vectors.width];
            }
            for (query, seen) in self.seen.iter().enumerate() {
                let first = query * heads + kv_head * group;
                let here = clip(seen, &keys);
                if !here.is_empty() {
                    visit(first..first + group, keys.start + here.start, &some[here]);
                }
            }
        }
    }
}

vectorised! {
    /// Replaces scores by `2^(score - maximum)`; returns the maximum and the sum.
    fn weigh[T: Number](scores: &mut [T]) -> (T, T) {
        let maximum = horizontal::max(scores);
        // With no score above -∞ the weights are zero, not NaN.
        let shift = if maximum == T::of(f32::NEG_INFINITY) { T::of(0.0) } else { maximum };
        (maximum, horizontal::map_sum(scores, |score| (score - shift).exp2_flushed()))
    }
}
