//! The loops of FlashAttention (Dao et al. 2022): blocks of queries over tiles of the keys and values of
//! their head, those first brought together.

use std::ops::Range;

use rayon::prelude::*;

use super::online_softmax::{KeyTile, QueryBlock, QueryRows};
use super::ranges::hull;
use super::{
    Attention, AttentionMeters, AttentionShape, AttentionTallies, Heads, SERIAL, VisibleKeys,
};
use crate::buffer::Buffer;
use crate::gemm::microkernel::NR;
use crate::isa::Isa;
use crate::meter::Meter;
use crate::number::Number;
use crate::number::simd::{prefetch, prefetch_write};
use crate::tasks::Shared;

/// Keys of a tile: the scores of a block stay in the first-level cache.
const KEYS: usize = 256;
/// Elements of queries and context of one task, and its blocks at least and at most: with a tile of
/// keys and values they stay in the second-level cache.
const STATE: usize = 1 << 16;
const QUERY_BLOCKS: (usize, usize) = (2, 16);
/// Tasks aimed at.
const TASKS: usize = 32;
/// Multiplications below which one task takes several heads.
const TASK: usize = 1 << 19;
/// Elements of keys and values that are brought together at once.
const WAVE: usize = 1 << 22;
/// Rows that one task brings together.
const ROWS: usize = 64;

/// Runs the queries of all heads in blocks. Keys and values are brought together once per head, for
/// all queries of its group of heads.
pub(super) fn over_query_blocks<T: Number, M: Meter>(
    isa: Isa,
    problem: &Attention<'_, T>,
    keys: &[VisibleKeys<'_>],
    out: &Shared<'_, T>,
    meters: &AttentionMeters<'_, M>,
) {
    let shape = &problem.shape;
    let work = [shape.queries, shape.keys, shape.key_width + shape.value_width]
        .iter()
        .fold(shape.batch * shape.heads, |work, &size| work.saturating_mul(size));
    let parallel = work > SERIAL;
    let pairs = shape.batch * shape.kv_heads;
    let size = shape.keys.saturating_mul(shape.key_width + shape.value_width);
    let wave = (WAVE / size.max(1)).clamp(1, pairs);
    for first in (0..pairs).step_by(wave) {
        let heads = first..pairs.min(first + wave);
        let k =
            HeadRows::gather(&problem.k, shape.key_width, problem, keys, heads.clone(), parallel);
        let v =
            HeadRows::gather(&problem.v, shape.value_width, problem, keys, heads.clone(), parallel);
        let cut = Cut::new(problem, heads.len());
        let chunks = heads.len() * cut.chunks;
        let together = cut.together(shape, chunks);
        let task = |index: usize| {
            let mut tallies = AttentionTallies::default();
            for index in index * together..chunks.min((index + 1) * together) {
                let (pair, chunk) = (heads.start + index / cut.chunks, index % cut.chunks);
                let (item, kv_head) = (pair / shape.kv_heads, pair % shape.kv_heads);
                let blocks = chunk * cut.blocks..cut.all.min((chunk + 1) * cut.blocks);
                let place = |block: usize| {
                    let (first, keys) = (block * NR, &keys[item]);
                    let rows = NR.min(cut.rows - first);
                    QueryRows { isa, problem, keys, item, kv_head, first, rows }
                };
                run(problem, blocks.map(place), k.of(pair), v.of(pair), out, &mut tallies);
            }
            tallies.record(meters);
        };
        let tasks = chunks.div_ceil(together);
        if parallel && tasks > 1 {
            (0..tasks).into_par_iter().with_max_len(1).for_each(task);
        } else {
            (0..tasks).for_each(task);
        }
        k.keep();
        v.keep();
    }
}

/// Runs some blocks of queries over the keys and values of their head.
fn run<'p, T: Number>(
    problem: &Attention<'_, T>,
    places: impl Iterator<Item = QueryRows<'p, T>>,
    k: &[T],
    v: &[T],
    out: &Shared<'_, T>,
    tallies: &mut AttentionTallies,
) {
    let shape = &problem.shape;
    let (key_width, value_width) = (shape.key_width, shape.value_width);
    let mut places = places.peekable();
    let mut blocks: Vec<QueryBlock<'_, T>> = Vec::with_capacity(places.size_hint().0);
    while let Some(place) = places.next() {
        // The next queries come closer meanwhile.
        if let Some(next) = places.peek() {
            (0..next.rows).for_each(|lane| prefetch(next.vector(lane).as_ptr(), key_width));
        }
        blocks.push(QueryBlock::new(place, tallies));
    }
    let ranges: Vec<_> = blocks.iter().map(QueryBlock::keys).collect();
    let seen = hull(&ranges);
    let mut scores = Buffer::take(seen.len().min(KEYS) * NR);
    for start in seen.clone().step_by(KEYS) {
        let keys = start..seen.end.min(start + KEYS);
        let rows = |data, width| part(data, &keys, width);
        let tile = KeyTile { k: rows(k, key_width), v: rows(v, value_width), keys: keys.clone() };
        for block in &mut blocks {
            block.add(&tile, &mut scores, tallies);
        }
    }
    scores.keep();
    let mut blocks = blocks.into_iter().peekable();
    while let Some(block) = blocks.next() {
        if let Some(next) = blocks.peek()
            && value_width > 0
        {
            for lane in 0..next.place().rows {
                prefetch_write(out.pointer(next.place().target(lane)), value_width);
            }
        }
        // SAFETY: each (item, query, head) belongs to one task.
        unsafe { block.finish(out, tallies) };
    }
}

fn part<'a, T>(data: &'a [T], rows: &Range<usize>, width: usize) -> &'a [T] {
    &data[rows.start * width..rows.end * width]
}

/// How the blocks of a head are shared between tasks.
struct Cut {
    /// Rows and blocks of a key head.
    rows: usize,
    all: usize,
    /// Blocks of a task, and tasks of a key head.
    blocks: usize,
    chunks: usize,
}

impl Cut {
    /// Depends on the sizes alone.
    fn new<T>(problem: &Attention<'_, T>, heads: usize) -> Cut {
        let shape = &problem.shape;
        let rows = shape.queries * shape.group();
        let all = rows.div_ceil(NR);
        let fitting = STATE / ((shape.key_width + shape.value_width).max(1) * NR);
        let spread = (heads * all).div_ceil(TASKS);
        let blocks = fitting.min(spread).clamp(QUERY_BLOCKS.0, QUERY_BLOCKS.1).min(all);
        Cut { rows, all, blocks, chunks: all.div_ceil(blocks) }
    }

    /// How many of so many chunks one task takes: short ones cost less than to hand them out.
    fn together(&self, shape: &AttentionShape, chunks: usize) -> usize {
        let rows = self.blocks * NR;
        let work =
            rows.saturating_mul(shape.keys).saturating_mul(shape.key_width + shape.value_width);
        (TASK / work.max(1)).clamp(1, (chunks / TASKS).max(1))
    }
}

/// The key or value rows of some heads.
struct HeadRows<'a, T> {
    heads: &'a Heads<'a, T>,
    kv_heads: usize,
    width: usize,
    /// Rows of each head, without those that are left out; the first head that was copied.
    copy: Option<Buffer<T>>,
    rows: usize,
    first: usize,
}

impl<'a, T: Number> HeadRows<'a, T> {
    /// Copies rows that do not follow each other, or of which some are left out.
    fn gather(
        heads: &'a Heads<'a, T>,
        width: usize,
        problem: &Attention<'_, T>,
        keys: &[VisibleKeys<'_>],
        pairs: Range<usize>,
        parallel: bool,
    ) -> HeadRows<'a, T> {
        let (rows, kv_heads) = (problem.shape.keys, problem.shape.kv_heads);
        let mut gathered =
            HeadRows { heads, kv_heads, width, copy: None, rows, first: pairs.start };
        let items = pairs.start / kv_heads..pairs.end.div_ceil(kv_heads);
        let whole = keys[items.clone()].iter().all(VisibleKeys::all);
        if width == 0 || rows == 0 || (whole && heads.token_stride == width) {
            return gathered;
        }
        let mut copy = Buffer::take(pairs.len() * rows * width);
        let shared = Shared::new(&mut copy);
        let blocks = rows.div_ceil(ROWS);
        let task = |index: usize| {
            let (item, block) = (items.start + index / blocks, index % blocks);
            let of_item = item * kv_heads..(item + 1) * kv_heads;
            let of_item = pairs.start.max(of_item.start)..pairs.end.min(of_item.end);
            let keys = &keys[item];
            for number in block * ROWS..keys.count().min((block + 1) * ROWS) {
                let position = keys.position(number);
                for pair in of_item.clone() {
                    let from = heads.of(item, pair % kv_heads);
                    let to = ((pair - pairs.start) * rows + number) * width;
                    // SAFETY: each row of the copy belongs to one task.
                    unsafe { shared.part(to, width) }
                        .copy_from_slice(&from[position * heads.token_stride..][..width]);
                }
            }
        };
        let tasks = items.len() * blocks;
        if parallel {
            (0..tasks).into_par_iter().for_each(task);
        } else {
            (0..tasks).for_each(task);
        }
        gathered.copy = Some(copy);
        gathered
    }

    /// The rows of one (item, head), each after the other.
    fn of(&self, pair: usize) -> &[T] {
        match &self.copy {
            Some(copy) => {
                let size = self.rows * self.width;
                &copy[(pair - self.first) * size..][..size]
            }
            None => self.heads.of(pair / self.kv_heads, pair % self.kv_heads),
        }
    }

    fn keep(self) {
        if let Some(copy) = self.copy {
            copy.keep();
        }
    }
}
