//! A tile of the matrix of scores: some queries of a head against some of its keys.

use std::ops::Range;

use opledger_dims::Class;

use super::ranges::{clip, hull};
use super::row_loops::{count_finite, finite};
use super::{AttentionTallies, Bias, Vectors, VisibleKeys, shown};
use crate::gemm::matrix::{Dims, Matrix};
use crate::gemm::unpacked::product_into;
use crate::isa::{Isa, vectorised};
use crate::number::Number;

/// Queries of a tile, keys of a tile.
pub(super) const QUERIES: usize = 128;
pub(super) const KEYS: usize = 512;
/// Rows whose key ranges are clipped together.
const BLOCK: usize = 32;
/// Elements from a row of scores to the next: no multiple of a page.
const STRIDE: usize = KEYS + 16;

/// What the queries of a tile share.
pub(super) struct QueryTile<'a> {
    pub(super) isa: Isa,
    /// `item·heads + head`, and the head.
    pub(super) matrix: usize,
    pub(super) head: usize,
    /// The first query.
    pub(super) query: usize,
    pub(super) keys: &'a VisibleKeys<'a>,
}

impl<'a> QueryTile<'a> {
    /// Truth values of keys for a row, where pairs are hidden one by one.
    pub(super) fn pairs(&self, row: usize, numbers: Range<usize>) -> Option<&'a [i64]> {
        self.keys.row(self.head, self.query + row).map(|pairs| &pairs[numbers])
    }

    /// How many of some keys a row sees; the keys are numbered from `start` on.
    fn shown(&self, row: usize, start: usize, cols: &Range<usize>) -> usize {
        let pairs = self.pairs(row, start + cols.start..start + cols.end);
        pairs.map_or(cols.len(), shown)
    }
}

/// Rows whose product with a tile of keys covers the same columns.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Group {
    rows: Range<usize>,
    cols: Range<usize>,
    /// Whether the rows already hold a part of their context.
    started: bool,
}

/// The buffers of a thread.
pub(super) struct ScoreTile<T> {
    /// The numbers of the keys that each query sees.
    seen: Vec<Range<usize>>,
    /// Scores, then weights, `STRIDE` apart.
    pub(super) weights: Vec<T>,
    /// The context of each query, `width` apart.
    pub(super) context: Vec<T>,
    started: Vec<bool>,
    groups: Vec<Group>,
}

impl<T: Number> ScoreTile<T> {
    pub(super) fn new(queries: usize, keys: usize, width: usize) -> ScoreTile<T> {
        let rows = queries.min(QUERIES);
        let stored = if keys == 0 { 0 } else { (rows - 1) * STRIDE + keys.min(KEYS) };
        ScoreTile {
            seen: Vec::with_capacity(rows),
            weights: vec![T::of(0.0); stored],
            context: vec![T::of(0.0); rows * width],
            started: Vec::new(),
            groups: Vec::new(),
        }
    }

    /// Begins with other queries; returns the numbers of the keys that any of them sees.
    pub(super) fn begin(&mut self, place: &QueryTile<'_>, rows: usize) -> Range<usize> {
        self.seen.clear();
        self.seen.extend((0..rows).map(|i| place.keys.seen_by(place.head, place.query + i)));
        self.started.clear();
        self.started.resize(rows.div_ceil(BLOCK), false);
        self.context.fill(T::of(0.0));
        hull(&self.seen)
    }

    /// Begins with the next keys.
    pub(super) fn turn(&mut self, keys: &Range<usize>) {
        self.groups.clear();
        for (block, seen) in self.seen.chunks(BLOCK).enumerate() {
            let cols = clip(&hull(seen), keys);
            if cols.is_empty() {
                continue;
            }
            let start = block * BLOCK;
            let rows = start..start + seen.len();
            let started = self.started[block];
            match self.groups.last_mut() {
                Some(last)
                    if last.cols == cols && last.started == started && last.rows.end == start =>
                {
                    last.rows.end = rows.end;
                }
                _ => self.groups.push(Group { rows, cols, started }),
            }
        }
    }

    /// The rows that see some of the keys, with the columns of `weights` that hold them.
    pub(super) fn rows(&self, keys: &Range<usize>) -> impl Iterator<Item = (usize, Range<usize>)> {
        self.seen.iter().enumerate().filter_map(move |(row, seen)| {
            let cols = clip(seen, keys);
            (!cols.is_empty()).then_some((row, cols))
        })
    }

    /// The columns of `weights` that hold the keys that a row sees.
    pub(super) fn cols(&self, row: usize, keys: &Range<usize>) -> Range<usize> {
        clip(&self.seen[row], keys)
    }

    /// The context of a row.
    pub(super) fn context_row(&mut self, row: usize, width: usize) -> &mut [T] {
        &mut self.context[row * width..][..width]
    }

    /// The weights of a row at some columns.
    pub(super) fn weights(&mut self, row: usize, cols: Range<usize>) -> &mut [T] {
        &mut self.weights[row * STRIDE..][cols]
    }

    /// Whether the row has seen keys before those numbered from `start`.
    pub(super) fn seen_before(&self, row: usize, start: usize) -> bool {
        self.seen[row].start < start
    }

    /// `weights = scale·q·kᵀ + bias`, with `q` from the first query of the tile and `k` from the
    /// first of its keys.
    pub(super) fn scores(
        &mut self,
        place: &QueryTile<'_>,
        keys: &Range<usize>,
        q: &Vectors<'_, T>,
        k: &Vectors<'_, T>,
        scale: Option<T>,
        tallies: &mut AttentionTallies,
    ) {
        let width = q.width;
        let q = Matrix { data: &q.data, row: q.stride, col: 1 };
        let k = Matrix { data: &k.data, row: 1, col: k.stride };
        for Group { rows, cols, .. } in &self.groups {
            let dims = Dims { m: rows.len(), k: width, n: cols.len() };
            let target = &mut self.weights[rows.start * STRIDE + cols.start..];
            product_into(
                place.isa,
                dims,
                scale,
                q.from(rows.start, 0),
                k.from(0, cols.start),
                false,
                target,
                STRIDE,
                &mut tallies.scores,
            );
            if scale.is_some() {
                tallies.scale.executed(Class::Mul, dims.m * dims.n);
            }
        }
        for (row, cols) in self.rows(keys) {
            let pairs = place.shown(row, keys.start, &cols);
            tallies.scores.useful(Class::Mul, pairs * width);
            tallies.scores.useful(Class::Add, pairs * (width - 1));
            if scale.is_some() {
                tallies.scale.useful(Class::Mul, pairs);
            }
        }
    }

    /// Adds the bias to the scores.
    pub(super) fn bias(
        &mut self,
        place: &QueryTile<'_>,
        keys: &Range<usize>,
        bias: &Bias<'_, T>,
        len: usize,
        tallies: &mut AttentionTallies,
    ) {
        for row in 0..self.seen.len() {
            let cols = clip(&self.seen[row], keys);
            if cols.is_empty() {
                continue;
            }
            let bias = bias.row(place.matrix, place.query + row, len);
            let numbers = keys.start + cols.start..keys.start + cols.end;
            tallies.bias.useful(Class::Add, place.shown(row, keys.start, &cols));
            tallies.bias.executed(Class::Add, cols.len());
            let scores = &mut self.weights[row * STRIDE..][cols];
            match place.keys.positions(numbers.clone()) {
                None => add(place.isa, scores, &bias[numbers]),
                Some(positions) => {
                    for (score, &j) in scores.iter_mut().zip(positions) {
                        *score += bias[j];
                    }
                }
            }
        }
    }

    /// `context += weights·v`, with `v` from the first of the keys.
    pub(super) fn add_context(
        &mut self,
        place: &QueryTile<'_>,
        keys: &Range<usize>,
        v: &Vectors<'_, T>,
        tallies: &mut AttentionTallies,
    ) {
        let &Vectors { data: ref v, stride, width } = v;
        if width == 0 {
            return;
        }
        for (row, cols) in self.rows(keys) {
            let pairs = place.shown(row, keys.start, &cols);
            let terms = pairs - usize::from(!self.seen_before(row, keys.start));
            tallies.context.useful(Class::Mul, pairs * width);
            tallies.context.useful(Class::Add, terms * width);
        }
        for Group { rows, cols, started } in &self.groups {
            let mut partial = false;
            for row in rows.clone() {
                let seen = clip(&self.seen[row], keys);
                partial |= place.keys.by_pairs();
                if seen != *cols {
                    // A row that sees fewer keys takes the others with weight zero.
                    partial = true;
                    let weights = &mut self.weights[row * STRIDE..];
                    let seen = if seen.is_empty() { cols.start..cols.start } else { seen };
                    weights[cols.start..seen.start].fill(T::of(0.0));
                    weights[seen.end..cols.end].fill(T::of(0.0));
                }
            }
            let values = &v[cols.start * stride..];
            if partial {
                count_finite(cols.len(), width, &mut tallies.context);
            }
            if partial && !finite(place.isa, values, stride, width, cols.len()) {
                // Zero times infinity is no zero: each row takes only the keys it sees.
                for row in rows.clone() {
                    let seen = clip(&self.seen[row], keys);
                    let context = &mut self.context[row * width..][..width];
                    let numbers = keys.start + seen.start..keys.start + seen.end;
                    let pairs = place.pairs(row, numbers);
                    let shown = |j: &usize| pairs.is_none_or(|pairs| pairs[j - seen.start] != 0);
                    for j in seen.clone().filter(shown) {
                        let weight = self.weights[row * STRIDE + j];
                        accumulate(place.isa, context, weight, &v[j * stride..][..width]);
                        tallies.context.executed(Class::Mul, width);
                        tallies.context.executed(Class::Add, width);
                    }
                }
            } else {
                let dims = Dims { m: rows.len(), k: cols.len(), n: width };
                let weights = &self.weights[rows.start * STRIDE + cols.start..];
                product_into(
                    place.isa,
                    dims,
                    None,
                    Matrix { data: weights, row: STRIDE, col: 1 },
                    Matrix { data: values, row: stride, col: 1 },
                    *started,
                    &mut self.context[rows.start * width..],
                    width,
                    &mut tallies.context,
                );
            }
            for block in rows.start / BLOCK..rows.end.div_ceil(BLOCK) {
                self.started[block] = true;
            }
        }
    }
}

vectorised! {
    fn add[T: Number](x: &mut [T], y: &[T]) {
        for (x, &y) in x.iter_mut().zip(y) {
            *x += y;
        }
    }

    fn accumulate[T: Number](x: &mut [T], factor: T, y: &[T]) {
        for (x, y) in x.iter_mut().zip(y) {
            *x = factor.mul_add(*y, *x);
        }
    }
}
