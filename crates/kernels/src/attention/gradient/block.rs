//! Blocks of the rows of a key head, and what they give its keys and values.

use std::ops::Range;

use opledger_dims::Class;

use super::problem::{AttentionGradient, Tallies};
use crate::attention::online_softmax::{QueryRows, divide, mask, maxima, weigh};
use crate::attention::ranges::{common, hull};
use crate::attention::row_loops::{count_finite, finite, multiply};
use crate::attention::{Attention, AttentionShape, Heads, VisibleKeys, shown};
use crate::buffer::Buffer;
use crate::gemm::matrix::Matrix;
use crate::gemm::microkernel::{Left, NR, NR_HALF, Next, PanelProduct};
use crate::gemm::packing::{pack_panel, unpack_panel};
use crate::isa::{Isa, vectorised};
use crate::meter::AttentionPart;
use crate::number::Number;
use crate::tasks::Shared;

/// Tasks aimed at, blocks of a task at least, and elements of sums that wait to be added up at most.
const TASKS: usize = 16;
const BLOCKS: usize = 8;
const WAITING: usize = 1 << 24;

/// Where results go.
pub(super) struct Outs<'a, T> {
    pub(super) dq: Shared<'a, T>,
    pub(super) dk: Shared<'a, T>,
    pub(super) dv: Shared<'a, T>,
}

/// How the blocks of a head are shared between tasks; it depends on the sizes alone.
pub(super) struct Cut {
    /// Rows and blocks of a key head.
    rows: usize,
    pub(super) all: usize,
    /// Blocks of a task, and tasks of a key head.
    pub(super) blocks: usize,
    pub(super) chunks: usize,
    /// Columns of the sums of a key and of a value, and elements of both for all keys.
    columns: [usize; 2],
    pub(super) sums: usize,
}

impl Cut {
    pub(super) fn new(shape: &AttentionShape) -> Cut {
        let rows = shape.queries * shape.group();
        let all = rows.div_ceil(NR);
        let columns = [shape.key_width, shape.value_width].map(|width| width.next_multiple_of(NR));
        let sums = shape.keys * (columns[0] + columns[1]);
        let pairs = shape.batch * shape.kv_heads;
        let spread = TASKS.div_ceil(pairs).min(WAITING / (pairs * sums));
        let chunks = spread.clamp(1, all.div_ceil(BLOCKS));
        let blocks = all.div_ceil(chunks);
        Cut { rows, all, blocks, chunks: all.div_ceil(blocks), columns, sums }
    }
}

/// A key head with what its rows give its keys and values.
pub(super) struct KeyHead<'a, T> {
    isa: Isa,
    problem: &'a AttentionGradient<'a, T>,
    keys: &'a VisibleKeys<'a>,
    item: usize,
    kv_head: usize,
    rows: usize,
    /// The rows of its keys and of its values, each after the other.
    k: Buffer<T>,
    v: Buffer<T>,
    columns: [usize; 2],
    /// The gradients of all keys, then those of all values, `columns` apart.
    pub(super) sums: Buffer<T>,
}

impl<'a, T: Number> KeyHead<'a, T> {
    pub(super) fn new(
        isa: Isa,
        problem: &'a AttentionGradient<'a, T>,
        (keys, item, kv_head): (&'a VisibleKeys<'a>, usize, usize),
        cut: &Cut,
    ) -> KeyHead<'a, T> {
        let Attention { shape, k, v, .. } = &problem.of;
        let gather = |heads: &Heads<'_, T>, width: usize| {
            let (mut rows, from) = (Buffer::take(keys.count() * width), heads.of(item, kv_head));
            for (number, row) in rows.chunks_exact_mut(width).enumerate() {
                row.copy_from_slice(&from[keys.position(number) * heads.token_stride..][..width]);
            }
            rows
        };
        let (k, v) = (gather(k, shape.key_width), gather(v, shape.value_width));
        let mut sums = Buffer::take(cut.sums);
        sums.fill(T::of(0.0));
        let (columns, rows) = (cut.columns, cut.rows);
        KeyHead { isa, problem, keys, item, kv_head, rows, k, v, columns, sums }
    }

    pub(super) fn keep(self) {
        [self.k, self.v, self.sums].into_iter().for_each(Buffer::keep);
    }

    /// Writes the gradients of keys and values where they belong.
    ///
    /// # Safety
    /// Nobody else reaches the rows of this head meanwhile.
    pub(super) unsafe fn finish(&self, outs: &Outs<'_, T>) {
        let AttentionShape { keys, kv_heads, key_width, value_width, .. } = self.problem.of.shape;
        let [of_keys, of_values] = self.columns;
        let (dk, dv) = self.sums.split_at(keys * of_keys);
        let sides = [(dk, of_keys, key_width, &outs.dk), (dv, of_values, value_width, &outs.dv)];
        for (sums, columns, width, out) in sides {
            let row = |position: usize| {
                let at = (self.item * keys + position) * kv_heads + self.kv_head;
                // SAFETY: a row of this head, by contract; one is alive at a time.
                unsafe { out.part(at * width, width) }
            };
            if self.keys.count() < keys {
                (0..keys).for_each(|position| row(position).fill(T::of(0.0)));
            }
            for number in 0..self.keys.count() {
                let sums = &sums[number * columns..][..width];
                row(self.keys.position(number)).copy_from_slice(sums);
            }
        }
    }

    /// Takes a block of rows into account, and writes the gradients of its queries.
    ///
    /// # Safety
    /// Nobody else reaches these rows of `dq` meanwhile.
    pub(super) unsafe fn block(&mut self, block: usize, dq: &Shared<'_, T>, tallies: &mut Tallies) {
        let first = block * NR;
        let place = QueryRows {
            isa: self.isa,
            problem: &self.problem.of,
            keys: self.keys,
            item: self.item,
            kv_head: self.kv_head,
            first,
            rows: NR.min(self.rows - first),
        };
        let seen: Vec<_> = (0..place.rows)
            .map(|lane| self.keys.seen_by(place.head(lane), place.query(lane)))
            .collect();
        let (all, every) = (hull(&seen), common(&seen));
        let pairs: usize = (0..place.rows)
            .map(|lane| match place.pairs(lane) {
                Some(row) => shown(&row[seen[lane].clone()]),
                None => seen[lane].len(),
            })
            .sum();
        let rows = seen.iter().filter(|seen| !seen.is_empty()).count();
        let width = self.problem.of.shape.key_width;
        if pairs == 0 {
            for lane in 0..place.rows {
                // SAFETY: a row of the block, by contract.
                unsafe { dq.part(place.row(lane) * width, width) }.fill(T::of(0.0));
            }
            return;
        }
        tallies.useful(&self.problem.of, pairs, rows);
        let full = match every.is_empty() || self.keys.by_pairs() {
            true => all.end..all.end,
            false => every,
        };
        let mut tile = Tile::new(self, place, seen, all, full);
        tile.weigh(self, tallies);
        tile.pull(self, tallies);
        tile.add_to(self, tallies);
        // SAFETY: by contract.
        unsafe { tile.finish(width, dq) };
    }
}

/// The rows of a block against all keys that any of them sees; [`NR`] numbers to a key.
struct Tile<'a, T> {
    place: QueryRows<'a, T>,
    seen: Vec<Range<usize>>,
    /// The keys that any row sees, and those that each sees; before and after these some do not.
    all: Range<usize>,
    full: Range<usize>,
    /// Rows of queries and of gradients, each after the other.
    q: Buffer<T>,
    dy: Buffer<T>,
    weights: Buffer<T>,
    /// Gradients of the weights, then of the scores.
    gradients: Buffer<T>,
}

impl<'a, T: Number> Tile<'a, T> {
    fn new(
        head: &KeyHead<'a, T>,
        place: QueryRows<'a, T>,
        seen: Vec<Range<usize>>,
        all: Range<usize>,
        full: Range<usize>,
    ) -> Tile<'a, T> {
        let AttentionShape { key_width, value_width, .. } = place.problem.shape;
        let (mut q, mut dy) =
            (Buffer::take(place.rows * key_width), Buffer::take(place.rows * value_width));
        for (lane, row) in q.chunks_exact_mut(key_width).enumerate() {
            row.copy_from_slice(place.vector(lane));
        }
        let heads = &head.problem.dy;
        for (lane, row) in dy.chunks_exact_mut(value_width).enumerate() {
            let from = heads.of(place.item, place.head(lane));
            row.copy_from_slice(&from[place.query(lane) * heads.token_stride..][..value_width]);
        }
        let numbers = all.len() * NR;
        let (weights, gradients) = (Buffer::take(numbers), Buffer::take(numbers));
        Tile { place, seen, all, full, q, dy, weights, gradients }
    }

    /// Lanes that are computed.
    fn lanes(&self) -> usize {
        if self.place.rows <= NR_HALF { NR_HALF } else { NR }
    }

    /// The keys that some row does not see.
    fn partial(&self) -> impl Iterator<Item = Range<usize>> + use<T> {
        let ends = [self.all.start..self.full.start, self.full.end..self.all.end];
        ends.into_iter().filter(|range| !range.is_empty())
    }

    /// The product of some rows `[keys, width]` with the rows of the block, of whose `width` elements `lanes`
    /// are brought side by side.
    fn with_rows(
        &self,
        isa: Isa,
        of_keys: &[T],
        rows: &[T],
        width: usize,
        prepare: impl FnOnce(&mut [T]),
        out: &mut [T],
    ) -> usize {
        let mut panel = Buffer::take(width * NR);
        let columns = Matrix { data: rows, row: 1, col: width };
        pack_panel(isa, columns, width, self.place.rows, &mut panel);
        prepare(&mut panel);
        let product = PanelProduct {
            m: self.all.len(),
            k: width,
            n: self.lanes(),
            a: Left::Stored(Matrix {
                data: &of_keys[self.all.start * width..],
                row: width,
                col: 1,
            }),
            b: &panel,
            add: false,
            far: false,
            next: Next::NOTHING,
        };
        product.into(isa, out, NR);
        let terms = product.m * product.k * product.n;
        panel.keep();
        terms
    }

    /// Computes the weights: scores in powers of two, their softmax down each lane.
    fn weigh(&mut self, head: &KeyHead<'a, T>, tallies: &mut Tallies) {
        let (isa, of) = (head.isa, self.place.problem);
        let width = of.shape.key_width;
        let mut weights = std::mem::replace(&mut self.weights, Buffer::take(0));
        let scaled = |panel: &mut [T]| {
            T::belongs_to(of.scaling());
            multiply(isa, panel, T::of(of.factor()));
            T::belongs_to(AttentionPart::Scores);
        };
        let terms = self.with_rows(isa, &head.k, &self.q, width, scaled, &mut weights);
        tallies.scores.executed(Class::Mul, terms);
        tallies.scores.executed(Class::Add, terms);
        let scaled = if of.scale.is_some() { &mut tallies.scale } else { &mut tallies.softmax };
        scaled.executed(Class::Mul, width * NR);
        self.hide(isa, &mut weights, T::of(f32::NEG_INFINITY));
        T::belongs_to(AttentionPart::Softmax);
        let (mut greatest, mut sums) = ([T::of(f32::NEG_INFINITY); NR], [T::of(0.0); NR]);
        maxima(isa, &weights, &mut greatest);
        weigh(isa, &mut weights, &greatest, &mut sums);
        let reciprocals = sums.map(|sum| {
            let reciprocal = T::of(1.0) / sum;
            if sum == T::of(0.0) { T::of(0.0) } else { reciprocal }
        });
        divide(isa, &mut weights, &reciprocals);
        let all = weights.len();
        tallies.softmax.executed(Class::Max, all + (4 + 3) * NR);
        tallies.softmax.executed(Class::Add, 2 * all);
        tallies.softmax.executed(Class::Exp, all);
        tallies.softmax.executed(Class::Div, NR);
        tallies.softmax.executed(Class::Mul, all);
        self.weights = weights;
    }

    /// Computes the gradients of the scores from those of the weights: `w·(dw − Σ dw·w)`, times the scale.
    fn pull(&mut self, head: &KeyHead<'a, T>, tallies: &mut Tallies) {
        let (isa, of) = (head.isa, self.place.problem);
        let mut gradients = std::mem::replace(&mut self.gradients, Buffer::take(0));
        T::belongs_to(AttentionPart::Products);
        let width = of.shape.value_width;
        let terms = self.with_rows(isa, &head.v, &self.dy, width, |_| {}, &mut gradients);
        tallies.products.executed(Class::Mul, terms);
        tallies.products.executed(Class::Add, terms);
        self.hide(isa, &mut gradients, T::of(0.0));
        T::belongs_to(AttentionPart::Pointwise);
        slopes(isa, &self.weights, &mut gradients, of.scale.map(T::of));
        let all = gradients.len();
        tallies.pointwise.executed(Class::Mul, 2 * all);
        tallies.pointwise.executed(Class::Add, 2 * all);
        if of.scale.is_some() {
            tallies.pointwise.executed(Class::Mul, all);
        }
        self.gradients = gradients;
    }

    /// Writes a number where a row does not see a key.
    fn hide(&self, isa: Isa, numbers: &mut [T], as_number: T) {
        let (mut first, mut last) = ([0; NR], [0; NR]);
        for (lane, seen) in self.seen.iter().enumerate() {
            (first[lane], last[lane]) = (seen.start as u32, seen.end as u32);
        }
        for part in self.partial() {
            let numbers = &mut numbers[(part.start - self.all.start) * NR..];
            mask(isa, numbers, part, (&first, &last), as_number);
        }
        for lane in 0..self.place.rows {
            let Some(row) = self.place.pairs(lane) else { break };
            let numbers = numbers[lane..].iter_mut().step_by(NR);
            for (number, _) in numbers.zip(&row[self.all.clone()]).filter(|(_, seen)| **seen == 0) {
                *number = as_number;
            }
        }
    }

    /// Whether something infinite or no number may meet a zero that stands for a hidden pair.
    fn meets_infinities(&self, head: &KeyHead<'a, T>, tallies: &mut Tallies) -> bool {
        if self.partial().next().is_none() {
            return false;
        }
        let width = self.place.problem.shape.key_width;
        let of_keys = self.partial().map(|part| &head.k[part.start * width..part.end * width]);
        let mut infinite = false;
        for numbers in of_keys.chain([&self.q[..], &self.dy[..]]) {
            count_finite(1, numbers.len(), &mut tallies.products);
            infinite |= !finite(head.isa, numbers, numbers.len(), numbers.len(), 1);
        }
        infinite
    }

    /// Adds what the rows give keys and values; the gradients of the queries are made meanwhile, where each
    /// pair has to be looked at, and stand in place of the queries.
    fn add_to(&mut self, head: &mut KeyHead<'a, T>, tallies: &mut Tallies) {
        T::belongs_to(AttentionPart::Products);
        let AttentionShape { keys, key_width, value_width, .. } = self.place.problem.shape;
        let [of_keys, of_values] = head.columns;
        if self.meets_infinities(head, tallies) {
            return self.pair_by_pair(head, tallies);
        }
        let (dk, dv) = head.sums.split_at_mut(keys * of_keys);
        let sides = [
            (&self.gradients, &self.q, key_width, dk, of_keys),
            (&self.weights, &self.dy, value_width, dv, of_values),
        ];
        let mut panel = Buffer::take(self.place.rows * NR);
        for (entries, rows, width, sums, columns) in sides {
            for column in (0..width).step_by(NR) {
                let some = NR.min(width - column);
                let from = Matrix { data: rows, row: width, col: 1 }.from(0, column);
                pack_panel(head.isa, from, self.place.rows, some, &mut panel);
                let product = PanelProduct {
                    m: self.all.len(),
                    k: self.place.rows,
                    n: if some <= NR_HALF { NR_HALF } else { NR },
                    a: Left::Stored(Matrix { data: entries, row: NR, col: 1 }),
                    b: &panel,
                    add: true,
                    far: false,
                    next: Next::NOTHING,
                };
                product.into(head.isa, &mut sums[self.all.start * columns + column..], columns);
                product.count(&mut tallies.products);
            }
        }
        panel.keep();
        let product = PanelProduct {
            m: key_width,
            k: self.all.len(),
            n: self.lanes(),
            a: Left::Stored(Matrix {
                data: &head.k[self.all.start * key_width..],
                row: 1,
                col: key_width,
            }),
            b: &self.gradients,
            add: false,
            far: false,
            next: Next::NOTHING,
        };
        let mut turned = Buffer::take(key_width * NR);
        product.into(head.isa, &mut turned, NR);
        product.count(&mut tallies.products);
        let first = self.q.as_mut_ptr();
        // SAFETY: the rows of queries, which nothing reads any more, have room for all lanes that hold one.
        unsafe { unpack_panel(head.isa, &turned, self.place.rows, first, key_width) };
        turned.keep();
    }

    /// The same, each row with only the keys that it sees: zero times infinity is no zero.
    fn pair_by_pair(&mut self, head: &mut KeyHead<'a, T>, tallies: &mut Tallies) {
        let AttentionShape { keys, key_width, value_width, .. } = self.place.problem.shape;
        let [of_keys, of_values] = head.columns;
        let (dk, dv) = head.sums.split_at_mut(keys * of_keys);
        let mut dq = vec![T::of(0.0); key_width];
        for (lane, seen) in self.seen.iter().enumerate() {
            let (q, dy) =
                (&mut self.q[lane * key_width..][..key_width], &self.dy[lane * value_width..]);
            dq.fill(T::of(0.0));
            for key in seen.clone().filter(|key| self.place.sees(lane, *key)) {
                let at = (key - self.all.start) * NR + lane;
                let (weight, gradient) = (self.weights[at], self.gradients[at]);
                let dv = &mut dv[key * of_values..][..value_width];
                dv.iter_mut().zip(dy).for_each(|(sum, dy)| *sum = weight.mul_add(*dy, *sum));
                let dk = &mut dk[key * of_keys..][..key_width];
                dk.iter_mut().zip(&*q).for_each(|(sum, q)| *sum = gradient.mul_add(*q, *sum));
                let k = &head.k[key * key_width..];
                dq.iter_mut().zip(k).for_each(|(sum, k)| *sum = gradient.mul_add(*k, *sum));
                for class in [Class::Mul, Class::Add] {
                    tallies.products.executed(class, 2 * key_width + value_width);
                }
            }
            q.copy_from_slice(&dq);
        }
    }

    /// Writes the gradients of the queries where they belong.
    ///
    /// # Safety
    /// Nobody else reaches these rows of `dq` meanwhile.
    unsafe fn finish(self, width: usize, dq: &Shared<'_, T>) {
        for (lane, row) in self.q.chunks_exact(width).enumerate() {
            // SAFETY: a row of the block, by contract.
            unsafe { dq.part(self.place.row(lane) * width, width) }.copy_from_slice(row);
        }
        [self.q, self.dy, self.weights, self.gradients].into_iter().for_each(Buffer::keep);
    }
}

vectorised! {
    /// `g = w·(g − Σ w·g)` down each lane, times a scale.
    fn slopes[T: Number](weights: &[T], gradients: &mut [T], scale: Option<T>) {
        let mut sums = [T::of(0.0); NR];
        for (w, g) in weights.as_chunks::<NR>().0.iter().zip(gradients.as_chunks::<NR>().0) {
            for ((sum, w), g) in sums.iter_mut().zip(w).zip(g) {
                *sum = w.mul_add(*g, *sum);
            }
        }
        let rows = weights.as_chunks::<NR>().0.iter().zip(gradients.as_chunks_mut::<NR>().0);
        match scale {
            None => {
                for (w, g) in rows {
                    for ((sum, w), g) in sums.iter().zip(w).zip(g) {
                        *g = *w * (*g - *sum);
                    }
                }
            }
            Some(scale) => {
                for (w, g) in rows {
                    for ((sum, w), g) in sums.iter().zip(w).zip(g) {
                        *g = *w * (*g - *sum) * scale;
                    }
                }
            }
        }
    }

    pub(super) fn add[T: Number](x: &mut [T], y: &[T]) {
        for (x, y) in x.iter_mut().zip(y) {
            *x += *y;
        }
    }
}
