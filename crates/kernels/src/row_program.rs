//! Several operations over the rows of a matrix as one kernel: all of them over some rows, then over the next,
//! so that what is between them stays in the cache. Each computes and counts as its own kernel does, bit by
//! bit.

use std::ops::Range;

use opledger_dims::{Activation, Class, Pointwise};

use crate::NoMeter;
use crate::activation::Function;
use crate::buffer::Buffer;
use crate::elementwise::{Map, map};
use crate::error::{KernelError, exactly};
use crate::isa::{Isa, isa};
use crate::meter::{Meter, Tally};
use crate::number::Number;
use crate::reduce::{Reduction, reduce_row};
use crate::strided::BinaryOp;
use crate::tasks::over_rows;

/// Elements of a step that are computed before the next step, where a row has no more.
const BLOCK: usize = 1 << 11;

/// What a step works on.
#[derive(Clone, Copy, Debug)]
pub enum RowOperand<'a, T = f32> {
    /// The result of an earlier step.
    Step(usize),
    /// A number for each element, `[rows, width]`.
    Elements(&'a [T]),
    /// A number for each row.
    PerRow(&'a [T]),
    /// A number for each column.
    PerColumn(&'a [T]),
    /// One number.
    One(&'a [T]),
}

/// An operation on each element, or, where all that it works on is a number for each row, on each row.
#[derive(Clone, Copy, Debug)]
pub enum RowStep<'a, T = f32> {
    /// As [`binary`](crate::binary()). The first operand has as many numbers as the result.
    Binary(BinaryOp, [RowOperand<'a, T>; 2]),
    /// As [`scale`](crate::scale()).
    Scale(f32, RowOperand<'a, T>),
    /// As [`activation`](crate::activation()).
    Activation(Activation, RowOperand<'a, T>),
    /// As [`pointwise`](crate::pointwise()).
    Pointwise(Pointwise, RowOperand<'a, T>),
    /// As [`reduce`](crate::reduce()): a number for each row.
    Reduce(Reduction, RowOperand<'a, T>),
}

impl<'a, T> RowStep<'a, T> {
    fn first(&self) -> RowOperand<'a, T>
    where
        T: Copy,
    {
        match self {
            RowStep::Binary(_, [a, _]) => *a,
            RowStep::Scale(_, x)
            | RowStep::Activation(_, x)
            | RowStep::Pointwise(_, x)
            | RowStep::Reduce(_, x) => *x,
        }
    }

    fn second(&self) -> Option<RowOperand<'a, T>>
    where
        T: Copy,
    {
        match self {
            RowStep::Binary(_, [_, b]) => Some(*b),
            RowStep::Scale(..)
            | RowStep::Activation(..)
            | RowStep::Pointwise(..)
            | RowStep::Reduce(..) => None,
        }
    }
}

/// Steps, of which the last has a number for each element, that of the whole.
#[derive(Clone, Copy, Debug)]
pub struct RowProgram<'a, T = f32> {
    /// Elements of a row.
    pub width: usize,
    /// The steps in order.
    pub steps: &'a [RowStep<'a, T>],
}

/// How many numbers there are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    Element,
    Row,
}

/// Where the steps leave their results.
struct Plan {
    extents: Vec<Extent>,
    /// The buffer of each step, and how many there are.
    slots: Vec<usize>,
    count: usize,
}

impl Plan {
    /// Checks that every operand has the numbers that its step needs.
    fn new<T: Number>(
        RowProgram { width, steps }: RowProgram<'_, T>,
        rows: usize,
    ) -> Result<Plan, KernelError> {
        let wrong = || KernelError::Shape { what: "each step has the numbers that it needs" };
        let mut extents: Vec<Extent> = Vec::with_capacity(steps.len());
        let mut last = vec![0; steps.len()];
        for (at, step) in steps.iter().enumerate() {
            for operand in [Some(step.first()), step.second()].into_iter().flatten() {
                match operand {
                    RowOperand::Step(of) if of < at => last[of] = at,
                    RowOperand::Step(_) => return Err(wrong()),
                    RowOperand::Elements(x) => exactly("elements", x.len(), &[rows, width])?,
                    RowOperand::PerRow(x) => exactly("numbers of rows", x.len(), &[rows])?,
                    RowOperand::PerColumn(x) => exactly("numbers of columns", x.len(), &[width])?,
                    RowOperand::One(x) => exactly("one number", x.len(), &[1])?,
                }
            }
            let extent = |operand: RowOperand<'_, T>| match operand {
                RowOperand::Step(of) => Some(extents[of]),
                RowOperand::Elements(_) => Some(Extent::Element),
                RowOperand::PerRow(_) => Some(Extent::Row),
                RowOperand::PerColumn(_) | RowOperand::One(_) => None,
            };
            let first = extent(step.first()).ok_or_else(wrong)?;
            let wider = match step.second() {
                Some(RowOperand::PerColumn(_)) => Some(Extent::Element),
                Some(operand) => extent(operand),
                None => None,
            };
            if first == Extent::Row && wider == Some(Extent::Element) {
                return Err(wrong());
            }
            extents.push(match step {
                RowStep::Reduce(..) if first == Extent::Row || width == 0 => return Err(wrong()),
                RowStep::Reduce(..) => Extent::Row,
                RowStep::Binary(..)
                | RowStep::Scale(..)
                | RowStep::Activation(..)
                | RowStep::Pointwise(..) => first,
            });
        }
        if extents.last() != Some(&Extent::Element) {
            return Err(wrong());
        }
        // A buffer is free again after the last step that reads it.
        let (mut slots, mut free, mut count) = (Vec::with_capacity(steps.len()), Vec::new(), 0);
        for at in 0..steps.len() {
            let slot = free.pop().unwrap_or_else(|| {
                count += 1;
                count - 1
            });
            slots.push(slot);
            free.extend((0..at).filter(|of| last[*of] == at).map(|of| slots[of]));
        }
        Ok(Plan { extents, slots, count })
    }
}

/// Computes the steps of a program; the result of the last is `out`, `[rows, width]`. Each step counts to the
/// meter of its place.
///
/// # Errors
/// [`KernelError::Shape`] if an operand has not the numbers that its step needs, or there are other numbers of
/// meters and steps; a length error.
pub fn row_program<T: Number, M: Meter>(
    program: RowProgram<'_, T>,
    out: &mut [T],
    meters: &[&M],
) -> Result<(), KernelError> {
    let isa = isa()?;
    let RowProgram { width, steps } = program;
    if meters.len() != steps.len() || width == 0 || !out.len().is_multiple_of(width) {
        return Err(KernelError::Shape { what: "a meter for each step, and whole rows" });
    }
    let plan = Plan::new(program, out.len() / width)?;
    over_rows(out, width, 1, &NoMeter, |first, out, _| {
        let mut tallies = vec![Tally::default(); steps.len()];
        let rows = (BLOCK / width).max(1);
        let block = Block { isa, program, plan: &plan, stride: rows * width };
        let mut scratch = Buffer::take(plan.count * block.stride);
        for (at, out) in out.chunks_mut(rows * width).enumerate() {
            block.run(first + at * rows, out, &mut scratch, &mut tallies);
        }
        scratch.keep();
        if M::ON {
            meters.iter().zip(&tallies).for_each(|(meter, tally)| meter.record(tally));
        }
    });
    Ok(())
}

/// The numbers of an operand for some rows.
#[derive(Clone, Copy)]
enum Numbers<'a, T> {
    /// As many as the result has.
    Each(&'a [T]),
    PerRow(&'a [T]),
    PerColumn(&'a [T]),
    One(T),
}

/// The buffers before and after the one that is written.
#[derive(Clone, Copy)]
struct Others<'s, T> {
    before: &'s [T],
    after: &'s [T],
}

struct Block<'a, T> {
    isa: Isa,
    program: RowProgram<'a, T>,
    plan: &'a Plan,
    /// Elements of a buffer.
    stride: usize,
}

impl<T: Number> Block<'_, T> {
    /// Computes all steps for the rows from one on.
    fn run(&self, first: usize, out: &mut [T], scratch: &mut [T], tallies: &mut [Tally]) {
        let RowProgram { width, steps } = self.program;
        let rows = first..first + out.len() / width;
        for (at, tally) in tallies.iter_mut().enumerate() {
            let slot = self.plan.slots[at] * self.stride;
            // The buffer that is written is read by nobody: an operand's is not free yet.
            let (before, rest) = scratch.split_at_mut(slot);
            let (own, after) = rest.split_at_mut(self.stride);
            let others = Others { before, after };
            let target = match at + 1 == steps.len() {
                true => &mut out[..],
                false => &mut own[..self.len(at, rows.len())],
            };
            self.step(at, &rows, others, target, tally);
        }
    }

    fn len(&self, step: usize, rows: usize) -> usize {
        match self.plan.extents[step] {
            Extent::Element => rows * self.program.width,
            Extent::Row => rows,
        }
    }

    /// The result of an earlier step.
    fn made<'s>(&self, of: usize, rows: usize, Others { before, after }: Others<'s, T>) -> &'s [T] {
        let (slot, len) = (self.plan.slots[of] * self.stride, self.len(of, rows));
        match slot.checked_sub(before.len() + self.stride) {
            Some(start) => &after[start..start + len],
            None => &before[slot..slot + len],
        }
    }

    /// What a step that gives so many numbers reads of an operand.
    fn numbers<'s>(
        &self,
        operand: RowOperand<'s, T>,
        result: Extent,
        rows: &Range<usize>,
        others: Others<'s, T>,
    ) -> Numbers<'s, T> {
        let width = self.program.width;
        match operand {
            RowOperand::Step(of) => {
                let made = self.made(of, rows.len(), others);
                match self.plan.extents[of] == result {
                    true => Numbers::Each(made),
                    false => Numbers::PerRow(made),
                }
            }
            RowOperand::Elements(x) => Numbers::Each(&x[rows.start * width..rows.end * width]),
            RowOperand::PerRow(x) if result == Extent::Row => Numbers::Each(&x[rows.clone()]),
            RowOperand::PerRow(x) => Numbers::PerRow(&x[rows.clone()]),
            RowOperand::PerColumn(x) => Numbers::PerColumn(x),
            RowOperand::One(x) => Numbers::One(x[0]),
        }
    }

    fn step(
        &self,
        at: usize,
        rows: &Range<usize>,
        others: Others<'_, T>,
        out: &mut [T],
        tally: &mut Tally,
    ) {
        let (isa, width) = (self.isa, self.program.width);
        let step = self.program.steps[at];
        // A reduction reads elements and gives a number for each row.
        let read = match step {
            RowStep::Reduce(..) => Extent::Element,
            RowStep::Binary(..)
            | RowStep::Scale(..)
            | RowStep::Activation(..)
            | RowStep::Pointwise(..) => self.plan.extents[at],
        };
        let numbers = |operand| self.numbers(operand, read, rows, others);
        let x = match numbers(step.first()) {
            Numbers::Each(x) | Numbers::PerRow(x) | Numbers::PerColumn(x) => x,
            Numbers::One(_) => &[],
        };
        match step {
            RowStep::Scale(factor, _) => {
                map(isa, x, out, move |x| T::of(factor) * x);
                tally.both(Class::Mul, out.len());
            }
            RowStep::Activation(function, _) => {
                function.count(out.len(), tally);
                function.drive(Map { isa, x, out });
            }
            RowStep::Pointwise(function, _) => {
                function.count(out.len(), tally);
                function.drive(Map { isa, x, out });
            }
            RowStep::Reduce(reduction, _) => {
                for (out, x) in out.iter_mut().zip(x.chunks_exact(width)) {
                    *out = reduce_row(isa, reduction, x, tally);
                }
            }
            RowStep::Binary(op, [_, b]) => {
                match numbers(b) {
                    Numbers::Each(b) => op.apply(isa, (x, 1), (b, 1), out),
                    Numbers::One(b) => op.apply(isa, (x, 1), (&[b], 0), out),
                    Numbers::PerRow(b) => {
                        for (row, out) in out.chunks_exact_mut(width).enumerate() {
                            op.apply(isa, (&x[row * width..], 1), (&b[row..], 0), out);
                        }
                    }
                    Numbers::PerColumn(b) => {
                        for (row, out) in out.chunks_exact_mut(width).enumerate() {
                            op.apply(isa, (&x[row * width..], 1), (b, 1), out);
                        }
                    }
                }
                op.count(out.len(), tally);
            }
        }
    }
}
