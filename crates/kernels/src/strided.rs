//! Kernels that read their operands through strides: broadcasts and copies.

use std::sync::atomic::{AtomicUsize, Ordering};

use opledger_dims::{Class, PowerSign};

use crate::elements::{Element, Elements, for_elements};
use crate::error::{KernelError, exactly, reaches};
use crate::isa::{Isa, isa, vectorised};
use crate::meter::{Meter, Tally};
use crate::number::Number;
use crate::tasks::over_rows;

/// An operand read at `Σ index·stride`, one stride per axis of the output.
#[derive(Clone, Copy, Debug)]
pub struct Strided<'a, T = f32> {
    /// The slice, from the element at index zero.
    pub data: &'a [T],
    /// Elements from an index to the next, per output axis; zero repeats the operand.
    pub strides: &'a [usize],
}

impl<'a, T> Strided<'a, T> {
    /// How many elements there are, and the strides.
    fn layout(&self) -> (usize, &'a [usize]) {
        (self.data.len(), self.strides)
    }
}

/// An operation on two elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    /// `a + b`: 1 add.
    Add,
    /// `a·b`: 1 mul.
    Mul,
    /// `a / b`: 1 div.
    Div,
    /// `a - b`: 1 add.
    Sub,
    /// The larger, NaN if either is: 1 max, and another that looks for NaN.
    Max,
    /// The smaller, likewise.
    Min,
    /// `a` to the power of `b`, as [`opledger_dims::power`] says: 1 log, 1 mul, 1 exp.
    Pow,
}

impl BinaryOp {
    /// Counts the operation on `n` pairs.
    pub(crate) fn count(self, n: usize, tally: &mut Tally) {
        match self {
            BinaryOp::Add | BinaryOp::Sub => tally.both(Class::Add, n),
            BinaryOp::Mul => tally.both(Class::Mul, n),
            BinaryOp::Div => tally.both(Class::Div, n),
            BinaryOp::Max | BinaryOp::Min => {
                tally.useful(Class::Max, n);
                tally.executed(Class::Max, 2 * n);
            }
            BinaryOp::Pow => {
                for class in [Class::Log, Class::Mul, Class::Exp] {
                    tally.both(class, n);
                }
            }
        }
    }

    /// Of two elements.
    #[inline(always)]
    pub(crate) fn of<T: Number>(self, a: T, b: T) -> T {
        match self {
            BinaryOp::Add => a + b,
            BinaryOp::Mul => a * b,
            BinaryOp::Div => a / b,
            BinaryOp::Sub => a - b,
            BinaryOp::Max => larger(a, b),
            BinaryOp::Min => -larger(-a, -b),
            BinaryOp::Pow => power(a, b),
        }
    }

    /// Of two rows, each with its step from an element to the next.
    pub(crate) fn apply<T: Number>(
        self,
        isa: Isa,
        (a, step_a): (&[T], usize),
        (b, step_b): (&[T], usize),
        out: &mut [T],
    ) {
        match self {
            BinaryOp::Add => pairs(isa, a, step_a, b, step_b, out, |a, b| a + b),
            BinaryOp::Mul => pairs(isa, a, step_a, b, step_b, out, |a, b| a * b),
            BinaryOp::Div => pairs(isa, a, step_a, b, step_b, out, |a, b| a / b),
            BinaryOp::Sub => pairs(isa, a, step_a, b, step_b, out, |a, b| a - b),
            BinaryOp::Max => pairs(isa, a, step_a, b, step_b, out, larger),
            BinaryOp::Min => pairs(isa, a, step_a, b, step_b, out, |a, b| -larger(-a, -b)),
            BinaryOp::Pow => pairs(isa, a, step_a, b, step_b, out, power),
        }
    }
}

/// The larger of two; NaN if either is.
#[inline(always)]
pub(crate) fn larger<T: Number>(a: T, b: T) -> T {
    let (less, nan) = (a < b, b.is_nan());
    if less | nan { b } else { a }
}

/// `base` to the power of `exponent`; what the sign of a base is worth costs nothing.
#[inline(always)]
pub(crate) fn power<T: Number>(base: T, exponent: T) -> T {
    let value = (exponent * base.abs().ln()).exp();
    match PowerSign::of(f64::from(base.value()), f64::from(exponent.value())) {
        PowerSign::Plus => value,
        PowerSign::Minus => -value,
        PowerSign::One => T::of(1.0),
        PowerSign::None => T::of(f32::NAN),
    }
}

/// Computes `a op b` into `out`, contiguous of shape `shape`: one operation per output element.
///
/// # Errors
/// [`KernelError::Shape`] if an operand has not one stride per axis; a length or reach error.
pub fn binary<T: Number, M: Meter>(
    op: BinaryOp,
    shape: &[usize],
    a: Strided<'_, T>,
    b: Strided<'_, T>,
    out: &mut [T],
    meter: &M,
) -> Result<(), KernelError> {
    let isa = isa()?;
    let walk = Walk::new(shape, [a, b], out)?;
    over_rows(out, walk.width(), 1, meter, |first, out, tally| {
        let [step_a, step_b] = walk.steps;
        walk.rows(first, out, |[from_a, from_b], out| {
            op.apply(isa, (&a.data[from_a..], step_a), (&b.data[from_b..], step_b), out);
            op.count(out.len(), tally);
        });
    });
    Ok(())
}

/// Copies a strided operand into `out`, contiguous of shape `shape`; counts nothing.
///
/// # Errors
/// As [`binary`].
pub fn permute<T: Number>(
    shape: &[usize],
    x: Strided<'_, T>,
    out: &mut [T],
) -> Result<(), KernelError> {
    let walk = Walk::new(shape, [x], out)?;
    over_rows(out, walk.width(), 1, &crate::NoMeter, |first, out, _| {
        let [step] = walk.steps;
        walk.rows(first, out, |[from], out| {
            let x = &x.data[from..];
            match step {
                1 => out.copy_from_slice(&x[..out.len()]),
                0 => out.fill(x[0]),
                _ => out.iter_mut().zip(x.iter().step_by(step)).for_each(|(out, x)| *out = *x),
            }
        });
    });
    Ok(())
}

/// Takes each element of `out`, contiguous of shape `shape`, from `a` where `condition` is not zero,
/// else from `b`; counts nothing.
///
/// # Errors
/// As [`binary`].
pub fn select<T: Number>(
    shape: &[usize],
    condition: Strided<'_, i64>,
    [a, b]: [Strided<'_, T>; 2],
    out: &mut [T],
) -> Result<(), KernelError> {
    let operands = [condition.layout(), a.layout(), b.layout()];
    let walk = Walk::over(shape, shape.len(), operands, out.len())?;
    over_rows(out, walk.width(), 1, &crate::NoMeter, |first, out, _| {
        let [step_condition, step_a, step_b] = walk.steps;
        walk.rows(first, out, |[from_condition, from_a, from_b], out| {
            for (i, out) in out.iter_mut().enumerate() {
                *out = match condition.data[from_condition + i * step_condition] {
                    0 => b.data[from_b + i * step_b],
                    _ => a.data[from_a + i * step_a],
                };
            }
        });
    });
    Ok(())
}

/// Copies rows of `table`, `[table.len() / width, width]`, into `out`, `[ids.len(), width]`; counts
/// nothing. Returns how many elements of the table were read, those of a row as often as it is looked
/// up.
///
/// # Errors
/// [`KernelError::IdOutOfRange`] for the first id that names no row; [`KernelError::Shape`] if the
/// table is not whole rows; [`KernelError::Length`] if `out` disagrees.
pub fn gather<T: Number>(
    table: &[T],
    width: usize,
    ids: &[i64],
    out: &mut [T],
) -> Result<usize, KernelError> {
    look_up(Elements::F32(table), width, ids, out)
}

/// As [`gather`] of a table that is kept in any type but blocks, which stand in panels
/// ([`PackedMatrix::columns`](crate::PackedMatrix::columns)).
///
/// # Errors
/// As [`gather`].
pub fn look_up<T: Number>(
    table: Elements<'_, T>,
    width: usize,
    ids: &[i64],
    out: &mut [T],
) -> Result<usize, KernelError> {
    exactly("output", out.len(), &[ids.len(), width])?;
    if out.is_empty() {
        return Ok(0);
    }
    if !table.len().is_multiple_of(width) || matches!(table, Elements::Blocks(_)) {
        return Err(KernelError::Shape { what: "the table is whole rows of single elements" });
    }
    let bound = table.len() / width;
    let outside = |id: &i64| usize::try_from(*id).map_or(true, |id| id >= bound);
    if let Some(position) = ids.iter().position(outside) {
        return Err(KernelError::IdOutOfRange { id: ids[position], position, bound });
    }
    let read = AtomicUsize::new(0);
    over_rows(out, width, 1, &crate::NoMeter, |first, out, _| {
        let mut elements = 0;
        for (out, &id) in out.chunks_mut(width).zip(&ids[first..]) {
            for_elements!(table.from(id as usize * width),
                row => out.iter_mut().zip(row).for_each(|(out, x)| *out = x.widened()),
                _blocks => {});
            elements += out.len();
        }
        read.fetch_add(elements, Ordering::Relaxed);
    });
    Ok(read.into_inner())
}

/// The output's axes, neighbours merged where every operand allows it, and the operands' strides.
pub(crate) struct Walk<const N: usize> {
    /// All axes but the last.
    outer: Vec<(usize, [usize; N])>,
    /// The last axis.
    len: usize,
    steps: [usize; N],
}

impl<const N: usize> Walk<N> {
    fn new<T>(
        shape: &[usize],
        operands: [Strided<'_, T>; N],
        out: &[T],
    ) -> Result<Walk<N>, KernelError> {
        Walk::of(operands, shape, out.len())
    }

    /// The walk through operands of one kind to a result of another.
    pub(crate) fn of<T>(
        operands: [Strided<'_, T>; N],
        shape: &[usize],
        out: usize,
    ) -> Result<Walk<N>, KernelError> {
        Walk::over(shape, shape.len(), operands.each_ref().map(Strided::layout), out)
    }

    /// The walk whose rows are those of the last axis.
    pub(crate) fn by_row<T>(
        shape: &[usize],
        operands: [Strided<'_, T>; N],
        out: &[T],
    ) -> Result<Walk<N>, KernelError> {
        let operands = operands.each_ref().map(Strided::layout);
        Walk::over(shape, shape.len().saturating_sub(1), operands, out.len())
    }

    /// Merges what can be merged of the first `mergeable` axes and keeps the others as they are.
    /// Operands come as their lengths and strides.
    fn over(
        shape: &[usize],
        mergeable: usize,
        operands: [(usize, &[usize]); N],
        out: usize,
    ) -> Result<Walk<N>, KernelError> {
        exactly("output", out, shape)?;
        for (len, strides) in operands {
            if strides.len() != shape.len() {
                return Err(KernelError::Shape { what: "one stride per axis" });
            }
            let axes: Vec<_> = shape.iter().copied().zip(strides.iter().copied()).collect();
            reaches("operand", len, 0, &axes)?;
        }
        let mut axes: Vec<(usize, [usize; N])> = Vec::with_capacity(shape.len());
        let counted = |&(axis, &size): &(usize, &usize)| axis >= mergeable || size != 1;
        for (axis, &size) in shape.iter().enumerate().filter(counted) {
            let strides = operands.map(|(_, strides)| strides[axis]);
            match axes.last_mut() {
                Some((outer, outer_strides))
                    if axis < mergeable
                        && (0..N).all(|i| {
                            size.checked_mul(strides[i]).is_some_and(|s| s == outer_strides[i])
                        }) =>
                {
                    *outer = outer.saturating_mul(size);
                    *outer_strides = strides;
                }
                _ => axes.push((size, strides)),
            }
        }
        let (len, steps) = axes.pop().unwrap_or((1, [1; N]));
        Ok(Walk { outer: axes, len, steps })
    }

    /// The operands' strides along a row.
    pub(crate) fn steps(&self) -> [usize; N] {
        self.steps
    }

    /// The length of the rows to cut the output into: long last axes are cut freely.
    pub(crate) fn width(&self) -> usize {
        if self.outer.is_empty() { 1 } else { self.len }
    }

    /// Calls `f(offsets, row)` for the rows of a chunk of the output.
    pub(crate) fn rows<T>(
        &self,
        first: usize,
        out: &mut [T],
        mut f: impl FnMut([usize; N], &mut [T]),
    ) {
        if self.outer.is_empty() {
            return f(self.steps.map(|step| first * step), out);
        }
        let mut index = vec![0; self.outer.len()];
        let mut offsets = [0; N];
        let mut rest = first;
        for (i, (size, strides)) in self.outer.iter().enumerate().rev() {
            index[i] = rest % size;
            rest /= size;
            for (offset, stride) in offsets.iter_mut().zip(strides) {
                *offset += index[i] * stride;
            }
        }
        for row in out.chunks_mut(self.len) {
            f(offsets, row);
            for (i, (size, strides)) in self.outer.iter().enumerate().rev() {
                index[i] += 1;
                for (offset, stride) in offsets.iter_mut().zip(strides) {
                    *offset += stride;
                }
                if index[i] < *size {
                    break;
                }
                index[i] = 0;
                for (offset, stride) in offsets.iter_mut().zip(strides) {
                    *offset -= size * stride;
                }
            }
        }
    }
}

fn pairs<T: Number>(
    isa: Isa,
    a: &[T],
    step_a: usize,
    b: &[T],
    step_b: usize,
    out: &mut [T],
    f: impl Fn(T, T) -> T + Copy,
) {
    match (step_a, step_b) {
        (1, 1) => both(isa, a, b, out, f),
        (1, 0) => one(isa, a, b[0], out, f),
        (0, 1) => one(isa, b, a[0], out, move |b, a| f(a, b)),
        _ => {
            for (i, out) in out.iter_mut().enumerate() {
                *out = f(a[i * step_a], b[i * step_b]);
            }
        }
    }
}

vectorised! {
    fn both[T: Number, F: Fn(T, T) -> T](a: &[T], b: &[T], out: &mut [T], f: F) {
        for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
            *out = f(*a, *b);
        }
    }

    fn one[T: Number, F: Fn(T, T) -> T](a: &[T], b: T, out: &mut [T], f: F) {
        for (out, a) in out.iter_mut().zip(a) {
            *out = f(*a, b);
        }
    }
}
