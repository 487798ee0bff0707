//! Reductions over an axis that is not the last: row upon row, so nothing is moved first.

use opledger_dims::Class;

use crate::error::{KernelError, exactly};
use crate::isa::{isa, vectorised};
use crate::meter::Meter;
use crate::number::Number;
use crate::reduce::Reduction;
use crate::tasks::over_rows;

/// Reduces the `terms` rows of each block of `x`, `[blocks, terms, width]`, to a row of `out`,
/// `[blocks, width]`, in their order. Asked for is what [`reduce`](crate::reduce) is asked for as many
/// numbers; a maximum is looked at for NaN besides.
///
/// # Errors
/// [`KernelError::EmptyReduction`] if `terms` is zero and `out` is not empty;
/// [`KernelError::Shape`] if `out` is not whole rows; [`KernelError::Length`] if `x` disagrees.
pub fn reduce_columns<T: Number, M: Meter>(
    reduction: Reduction,
    terms: usize,
    width: usize,
    x: &[T],
    out: &mut [T],
    meter: &M,
) -> Result<(), KernelError> {
    let isa = isa()?;
    exactly("input", x.len(), &[out.len(), terms])?;
    if out.is_empty() {
        return Ok(());
    }
    if terms == 0 {
        return Err(KernelError::EmptyReduction { what: "the reduced axis" });
    }
    if width == 0 || !out.len().is_multiple_of(width) {
        return Err(KernelError::Shape { what: "whole rows of the result" });
    }
    over_rows(out, 1, terms, meter, |first, out, tally| {
        let joins = out.len() * (terms - 1);
        match reduction {
            Reduction::Sum => tally.both(Class::Add, joins),
            Reduction::Mean => {
                tally.both(Class::Add, joins);
                tally.both(Class::Div, out.len());
            }
            Reduction::Max => {
                tally.useful(Class::Max, joins);
                tally.executed(Class::Max, 2 * joins);
            }
        }
        // A task may begin and end inside a row.
        let (mut at, mut rest) = (first, out);
        while !rest.is_empty() {
            let (block, column) = (at / width, at % width);
            let (out, after) = rest.split_at_mut(rest.len().min(width - column));
            let block = &x[block * terms * width..][..terms * width];
            at += out.len();
            match reduction {
                Reduction::Sum => sum(isa, block, [width, column], out),
                Reduction::Mean => mean(isa, block, [width, column], out),
                Reduction::Max => max(isa, block, [width, column], out),
            }
            rest = after;
        }
    });
    Ok(())
}

/// Joins the rows of a block, `width` long, from a column on, as far as `out` goes.
#[inline(always)]
fn join<T: Number>(
    block: &[T],
    [width, column]: [usize; 2],
    out: &mut [T],
    join: impl Fn(T, T) -> T,
) {
    for (term, row) in block.chunks_exact(width).enumerate() {
        let row = &row[column..][..out.len()];
        match term {
            0 => out.copy_from_slice(row),
            _ => out.iter_mut().zip(row).for_each(|(out, x)| *out = join(*out, *x)),
        }
    }
}

vectorised! {
    fn sum[T: Number](block: &[T], from: [usize; 2], out: &mut [T]) {
        join(block, from, out, |a, b| a + b);
    }

    fn mean[T: Number](block: &[T], from: [usize; 2], out: &mut [T]) {
        join(block, from, out, |a, b| a + b);
        let terms = T::of((block.len() / from[0]) as f32);
        out.iter_mut().for_each(|x| *x = *x / terms);
    }

    fn max[T: Number](block: &[T], from: [usize; 2], out: &mut [T]) {
        join(block, from, out, |a, b| if a.is_nan() | (a > b) { a } else { b });
    }
}
