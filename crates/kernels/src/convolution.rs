//! Convolution: panels of what the taps meet, for the matrix product, or a direct loop where few
//! channels of results share them.
//!
//! Each group of channels is a product `W·X`: a row of `W` is the weights of one channel of results, a
//! column of `X` what the taps of one result meet, zero where they fall on padding. `X` is brought into
//! panels of columns, some columns a task, and never stands in memory as a whole (the products of
//! Chetlur et al. 2014, §3).

use std::ops::Range;

use opledger_dims::Class;
use rayon::prelude::*;

use crate::buffer::Buffer;
use crate::error::{KernelError, exactly};
use crate::gemm::matrix::{Dims, Matrix};
use crate::gemm::microkernel::NR;
use crate::gemm::product_of_panels;
use crate::isa::{Isa, isa, vectorised};
use crate::meter::{Meter, Tally};
use crate::number::Number;
use crate::sliding::SlidingAxis;
use crate::tasks::{Shared, over_rows};

/// `out[b, o, r…] = Σ_{i, k…} x[b, i, …] · weight[o, i, k…]`, each group of channels by itself.
#[derive(Clone, Copy, Debug)]
pub struct Convolution<'a, T = f32> {
    /// Items.
    pub batch: usize,
    /// Groups of channels.
    pub groups: usize,
    /// Channels of the input in a group.
    pub inputs: usize,
    /// Channels of the result in a group.
    pub outputs: usize,
    /// The axes that the window slides along, one to three.
    pub axes: &'a [SlidingAxis],
    /// `[batch, groups·inputs, input…]`.
    pub x: &'a [T],
    /// `[groups·outputs, inputs, taps…]`.
    pub weight: &'a [T],
}

/// Channels of results in a group up to which panels cost more than they save.
const FEW: usize = 4;
/// Elements of the panels of one task aimed at.
const PANELS: usize = 1 << 18;
/// The fewest columns of a task that is not alone.
const COLUMNS: usize = 2 * NR;
/// Multiplications below which no other thread is started.
const SERIAL: usize = 1 << 18;

/// Computes a convolution into `out`, contiguous `[batch, groups·outputs, results…]`.
///
/// Counts, for each result, as many multiplications as taps fall on the input, and one addition fewer
/// where there is any. Executed are those of all taps, padding included, in whole registers of columns,
/// or, where a group has few channels of results, those on the input, each sum beginning with zero.
///
/// # Errors
/// [`KernelError::Shape`] for no axis or more than three, or steps of nothing; a length error if a
/// slice disagrees; [`KernelError::EmptyReduction`] if a sum has no terms at all.
pub fn convolution<T: Number, M: Meter>(
    problem: &Convolution<'_, T>,
    out: &mut [T],
    meter: &M,
) -> Result<(), KernelError> {
    let isa = isa()?;
    let &Convolution { batch, groups, inputs, outputs, axes, x, weight } = problem;
    let axes = SlidingAxis::three(axes)?;
    let [input, taps, results] =
        [axes.map(|axis| axis.input), axes.map(|axis| axis.taps), axes.map(|axis| axis.results)];
    let sizes = |first: [usize; 3], axes: [usize; 3]| [&first[..], &axes[..]].concat();
    exactly("input", x.len(), &sizes([batch, groups, inputs], input))?;
    exactly("weight", weight.len(), &sizes([groups, outputs, inputs], taps))?;
    exactly("output", out.len(), &sizes([batch, groups, outputs], results))?;
    if out.is_empty() {
        return Ok(());
    }
    let terms = inputs * taps.iter().product::<usize>();
    if terms == 0 {
        return Err(KernelError::EmptyReduction { what: "the taps of all channels" });
    }
    let inside = axes.map(|axis| (0..axis.results).map(|at| axis.inside(at)).collect());
    let reached = (0..taps[2]).map(|tap| axes[2].reached(tap)).collect();
    let task = Task { isa, inputs, outputs, groups, axes, inside, reached, x, weight, terms };
    if outputs <= FEW {
        task.direct(out, meter);
    } else {
        task.panels(batch, out, meter);
    }
    Ok(())
}

/// What every task knows.
struct Task<'a, T> {
    isa: Isa,
    inputs: usize,
    outputs: usize,
    groups: usize,
    axes: [SlidingAxis; 3],
    /// Along each axis, the taps of every result that fall on the input.
    inside: [Vec<Range<usize>>; 3],
    /// Along the last axis, the results of which each tap falls on the input.
    reached: Vec<Range<usize>>,
    x: &'a [T],
    weight: &'a [T],
    /// Terms of each sum, padding included.
    terms: usize,
}

impl<T: Number> Task<'_, T> {
    /// Positions of one channel of the input, and results of one channel.
    fn positions(&self) -> [usize; 2] {
        [self.axes.map(|axis| axis.input), self.axes.map(|axis| axis.results)]
            .map(|sizes| sizes.iter().product())
    }

    /// The place of a result along each axis.
    fn place(&self, result: usize) -> [usize; 3] {
        let [_, y, x] = self.axes.map(|axis| axis.results);
        [result / x / y, result / x % y, result % x]
    }

    /// The taps of some results that fall on the input, and the results that have any.
    fn on_input(&self, results: Range<usize>) -> [usize; 2] {
        let (mut place, mut sums) = (self.place(results.start), [0, 0]);
        for _ in results {
            let taps = (0..3).map(|axis| self.inside[axis][place[axis]].len()).product::<usize>();
            sums = [sums[0] + taps, sums[1] + usize::from(taps > 0)];
            for axis in (0..3).rev() {
                place[axis] += 1;
                if place[axis] < self.axes[axis].results {
                    break;
                }
                place[axis] = 0;
            }
        }
        sums
    }

    /// The useful operations of so many channels of results with these taps.
    fn useful(&self, [taps, sums]: [usize; 2], channels: usize, tally: &mut Tally) {
        tally.useful(Class::Mul, channels * self.inputs * taps);
        tally.useful(Class::Add, channels * (self.inputs * taps - sums));
    }

    /// One channel of results after the other: each tap is a row of weights of one number.
    fn direct<M: Meter>(&self, out: &mut [T], meter: &M) {
        let [size, results] = self.positions();
        let channels = self.groups * self.outputs;
        let [planes, rows, row] = self.axes;
        let on_input = if M::ON { self.on_input(0..results) } else { [0, 0] };
        over_rows(out, results, self.terms, meter, |first, out, tally| {
            for (at, out) in out.chunks_exact_mut(results).enumerate() {
                let (item, channel) = ((first + at) / channels, (first + at) % channels);
                let group = item * self.groups + channel / self.outputs;
                let x = &self.x[group * self.inputs * size..][..self.inputs * size];
                let weight = &self.weight[channel * self.terms..][..self.terms];
                out.fill(T::of(0.0));
                for (line, out) in out.chunks_exact_mut(row.results).enumerate() {
                    let (plane, line) = (line / rows.results, line % rows.results);
                    for input in 0..self.inputs {
                        let x = &x[input * size..][..size];
                        for k0 in self.inside[0][plane].clone() {
                            for k1 in self.inside[1][line].clone() {
                                let at =
                                    planes.place(plane, k0) * rows.input + rows.place(line, k1);
                                let x = &x[at * row.input..][..row.input];
                                let taps = ((input * planes.taps + k0) * rows.taps + k1) * row.taps;
                                self.add_taps(x, &weight[taps..][..row.taps], out, tally);
                            }
                        }
                    }
                }
                self.useful(on_input, 1, tally);
            }
        });
    }

    /// Adds to a line of results what the taps of a line of the window meet on a line of the input.
    fn add_taps(&self, x: &[T], weight: &[T], out: &mut [T], tally: &mut Tally) {
        let row = self.axes[2];
        for (tap, weight) in weight.iter().enumerate() {
            let reached = &self.reached[tap];
            if reached.is_empty() {
                continue;
            }
            let out = &mut out[reached.clone()];
            let x = &x[row.place(reached.start, tap)..];
            match row.stride {
                1 => add_line(self.isa, x, *weight, out),
                stride => {
                    for (out, x) in out.iter_mut().zip(x.iter().step_by(stride)) {
                        *out = weight.mul_add(*x, *out);
                    }
                }
            }
            tally.executed(Class::Mul, out.len());
            tally.executed(Class::Add, out.len());
        }
    }

    /// Some columns of results at a time, all channels of a group.
    fn panels<M: Meter>(&self, batch: usize, out: &mut [T], meter: &M) {
        let [size, results] = self.positions();
        let items = batch * self.groups;
        let columns = self.columns(items, results);
        let cuts = results.div_ceil(columns);
        let whole = Shared::new(out);
        let task = |task: usize| {
            let (item, first) = (task / cuts, task % cuts * columns);
            let cols = columns.min(results - first);
            let x = &self.x[item * self.inputs * size..][..self.inputs * size];
            let rows = item % self.groups * self.outputs;
            let weight = &self.weight[rows * self.terms..][..self.outputs * self.terms];
            let mut panels = Buffer::take(cols.next_multiple_of(NR) * self.terms);
            for (panel, col) in panels.chunks_exact_mut(NR * self.terms).zip((0..cols).step_by(NR))
            {
                self.fill(x, first + col..first + cols.min(col + NR), panel);
            }
            let c = whole.pointer(item * self.outputs * results + first);
            let dims = Dims { m: self.outputs, k: self.terms, n: cols };
            let weight = Matrix { data: weight, row: self.terms, col: 1 };
            let mut tally = Tally::default();
            // SAFETY: the block lies inside `out`, and each block belongs to one task.
            unsafe {
                product_of_panels(self.isa, dims, weight, &panels, (c, results), &mut tally);
            }
            panels.keep();
            if M::ON {
                let on_input = self.on_input(first..first + cols);
                self.useful(on_input, self.outputs, &mut tally);
                meter.record(&tally);
            }
        };
        let work = items.saturating_mul(results).saturating_mul(self.outputs * self.terms);
        if items * cuts == 1 || work <= SERIAL {
            (0..items * cuts).for_each(task);
        } else {
            (0..items * cuts).into_par_iter().with_max_len(1).for_each(task);
        }
    }

    /// Columns of a task: by the sizes alone.
    fn columns(&self, items: usize, results: usize) -> usize {
        let mut columns = (PANELS / self.terms / NR * NR).clamp(COLUMNS, 1024);
        while items * results.div_ceil(columns) < 32 && columns > COLUMNS {
            columns = (columns / 2).next_multiple_of(NR);
        }
        columns
    }

    /// Writes what the taps of some results meet, one result a column, one tap of one channel a row.
    fn fill(&self, x: &[T], results: Range<usize>, panel: &mut [T]) {
        let [planes, rows, row] = self.axes;
        let size = planes.input * rows.input * row.input;
        // Results that are neighbours along the last axis: columns, and the place of the first.
        let mut lines: [(Range<usize>, [usize; 3]); NR] = std::array::from_fn(|_| (0..0, [0; 3]));
        let (mut count, mut col) = (0, 0);
        while col < results.len() {
            let place = self.place(results.start + col);
            let end = results.len().min(col + row.results - place[2]);
            lines[count] = (col..end, place);
            (count, col) = (count + 1, end);
        }
        let mut out = panel.chunks_exact_mut(NR);
        for x in (0..self.inputs).map(|input| &x[input * size..][..size]) {
            for (k0, k1) in (0..planes.taps).flat_map(|k| (0..rows.taps).map(move |l| (k, l))) {
                for tap in 0..row.taps {
                    let Some(out) = out.next() else { return };
                    out.fill(T::of(0.0));
                    let reached = &self.reached[tap];
                    for (columns, [plane, line, first]) in &lines[..count] {
                        if !self.inside[0][*plane].contains(&k0)
                            || !self.inside[1][*line].contains(&k1)
                        {
                            continue;
                        }
                        let last = first + columns.len();
                        let inside = reached.start.max(*first)..reached.end.min(last);
                        if inside.is_empty() {
                            continue;
                        }
                        let at = planes.place(*plane, k0) * rows.input + rows.place(*line, k1);
                        let x = &x[at * row.input + row.place(inside.start, tap)..];
                        let out = &mut out[columns.start + inside.start - first..][..inside.len()];
                        match row.stride {
                            1 => out.copy_from_slice(&x[..out.len()]),
                            stride => {
                                let x = x.iter().step_by(stride);
                                out.iter_mut().zip(x).for_each(|(out, x)| *out = *x);
                            }
                        }
                    }
                }
            }
        }
    }
}

vectorised! {
    fn add_line[T: Number](x: &[T], weight: T, out: &mut [T]) {
        for (out, x) in out.iter_mut().zip(x) {
            *out = weight.mul_add(*x, *out);
        }
    }
}
