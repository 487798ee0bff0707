//! Along an axis of blocks `[blocks, terms, width]`: sums and products up to each element, the place of the
//! largest.

use opledger_dims::Class;

use crate::error::{KernelError, exactly};
use crate::isa::{isa, vectorised};
use crate::meter::Meter;
use crate::number::Number;
use crate::tasks::over_rows;

/// What is made of all elements up to each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Running {
    /// Their sum: one add fewer than terms for each row.
    Sum,
    /// Their product: one mul fewer.
    Product,
}

/// Writes what is made of the first elements up to each along the `terms` of every block of `x`,
/// `[blocks, terms, width]`, into `out`.
///
/// # Errors
/// [`KernelError::Shape`] if `x` is not whole blocks; [`KernelError::Length`] if `out` is not as long.
pub fn cumulative<T: Number, M: Meter>(
    running: Running,
    terms: usize,
    width: usize,
    x: &[T],
    out: &mut [T],
    meter: &M,
) -> Result<(), KernelError> {
    let isa = isa()?;
    exactly("output", out.len(), &[x.len()])?;
    if out.is_empty() {
        return Ok(());
    }
    let block = terms.saturating_mul(width);
    if block == 0 || !out.len().is_multiple_of(block) {
        return Err(KernelError::Shape { what: "whole blocks of the result" });
    }
    over_rows(out, block, 1, meter, |first, out, tally| {
        out.copy_from_slice(&x[first * block..][..out.len()]);
        for out in out.chunks_exact_mut(block) {
            for term in 1..terms {
                let (before, rest) = out.split_at_mut(term * width);
                let before = &before[(term - 1) * width..];
                match running {
                    Running::Sum => add_to(isa, before, &mut rest[..width]),
                    Running::Product => multiply_by(isa, before, &mut rest[..width]),
                }
            }
            let class = match running {
                Running::Sum => Class::Add,
                Running::Product => Class::Mul,
            };
            tally.both(class, (terms - 1) * width);
        }
    });
    Ok(())
}

/// Writes the place of the largest element along the `terms` of every block of `x`,
/// `[blocks, terms, width]`, into `out`, `[blocks, width]`: of equal ones the first, NaN before every
/// number. One max fewer than terms for each; executed are three for one, as NaN is looked for on
/// both sides.
///
/// # Errors
/// [`KernelError::EmptyReduction`] if `terms` is zero and `out` is not empty; [`KernelError::Shape`] if
/// `out` is not whole rows; [`KernelError::Length`] if `x` disagrees.
pub fn arg_max<T: Number, M: Meter>(
    terms: usize,
    width: usize,
    x: &[T],
    out: &mut [i64],
    meter: &M,
) -> Result<(), KernelError> {
    exactly("input", x.len(), &[out.len(), terms])?;
    if out.is_empty() {
        return Ok(());
    }
    if terms == 0 {
        return Err(KernelError::EmptyReduction { what: "the axis of the largest" });
    }
    if width == 0 || !out.len().is_multiple_of(width) {
        return Err(KernelError::Shape { what: "whole rows of the result" });
    }
    over_rows(out, 1, terms, meter, |first, out, tally| {
        for (at, out) in out.iter_mut().enumerate() {
            let (block, column) = ((first + at) / width, (first + at) % width);
            let x = &x[block * terms * width + column..];
            let mut best = 0;
            for term in 1..terms {
                let (value, other) = (x[best * width], x[term * width]);
                if (other > value) | (other.is_nan() & !value.is_nan()) {
                    best = term;
                }
            }
            *out = best as i64;
        }
        tally.useful(Class::Max, out.len() * (terms - 1));
        tally.executed(Class::Max, 3 * out.len() * (terms - 1));
    });
    Ok(())
}

vectorised! {
    fn add_to[T: Number](x: &[T], out: &mut [T]) {
        for (out, x) in out.iter_mut().zip(x) {
            *out = *x + *out;
        }
    }
}

vectorised! {
    fn multiply_by[T: Number](x: &[T], out: &mut [T]) {
        for (out, x) in out.iter_mut().zip(x) {
            *out = *x * *out;
        }
    }
}
