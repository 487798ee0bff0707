//! Functions of one number over a slice, scaling and dropout.

use opledger_dims::Class;

use opledger_dims::{Activation, Pointwise};

use crate::activation::{ElementLoop, Function};
use crate::error::{KernelError, exactly};
use crate::isa::{Isa, isa, vectorised};
use crate::meter::Meter;
use crate::number::Number;
use crate::tasks::over_rows;

/// Writes the function of each element of `x`.
pub(crate) struct Map<'a, T> {
    pub(crate) isa: Isa,
    pub(crate) x: &'a [T],
    pub(crate) out: &'a mut [T],
}

impl<T: Number> ElementLoop<T> for Map<'_, T> {
    fn run<F: Fn(T) -> T + Copy>(self, f: F) {
        map(self.isa, self.x, self.out, f);
    }
}

vectorised! {
    /// Writes a function of each element of `x`.
    pub(crate) fn map[T: Number, F: Fn(T) -> T](x: &[T], out: &mut [T], f: F) {
        for (out, x) in out.iter_mut().zip(x) {
            *out = f(*x);
        }
    }
}

/// Applies an activation to each element of `x`; counts as [`Activation`] says.
///
/// # Errors
/// [`KernelError::Length`] if `out` is not as long as `x`.
pub fn activation<T: Number, M: Meter>(
    function: Activation,
    x: &[T],
    out: &mut [T],
    meter: &M,
) -> Result<(), KernelError> {
    each(function, x, out, meter)
}

/// Applies a function with constants to each element of `x`; counts as [`Pointwise`] says.
///
/// # Errors
/// [`KernelError::Length`] if `out` is not as long as `x`.
pub fn pointwise<T: Number, M: Meter>(
    function: Pointwise,
    x: &[T],
    out: &mut [T],
    meter: &M,
) -> Result<(), KernelError> {
    each(function, x, out, meter)
}

fn each<T: Number>(
    function: impl Function + Copy + Sync,
    x: &[T],
    out: &mut [T],
    meter: &impl Meter,
) -> Result<(), KernelError> {
    let isa = isa()?;
    exactly("output", out.len(), &[x.len()])?;
    over_rows(out, 1, 4, meter, |first, out, tally| {
        function.count(out.len(), tally);
        function.drive(Map { isa, x: &x[first..][..out.len()], out });
    });
    Ok(())
}

/// Multiplies each element of `x` by `factor`: 1 mul each.
///
/// # Errors
/// [`KernelError::Length`] if `out` is not as long as `x`.
pub fn scale<T: Number, M: Meter>(
    factor: f32,
    x: &[T],
    out: &mut [T],
    meter: &M,
) -> Result<(), KernelError> {
    let isa = isa()?;
    exactly("output", out.len(), &[x.len()])?;
    over_rows(out, 1, 1, meter, |first, out, tally| {
        map(isa, &x[first..][..out.len()], out, move |x| T::of(factor) * x);
        tally.both(Class::Mul, out.len());
    });
    Ok(())
}

/// Multiplies element `i` of `x` by `multiplier(i)`, zero or `1/(1 - p)`: 1 mul each.
///
/// # Errors
/// [`KernelError::Length`] if `out` is not as long as `x`.
pub fn dropout<T: Number, M: Meter>(
    multiplier: impl Fn(usize) -> f32 + Sync,
    x: &[T],
    out: &mut [T],
    meter: &M,
) -> Result<(), KernelError> {
    exactly("output", out.len(), &[x.len()])?;
    over_rows(out, 1, 2, meter, |first, out, tally| {
        let x = &x[first..][..out.len()];
        for (i, (out, x)) in out.iter_mut().zip(x).enumerate() {
            *out = T::of(multiplier(first + i)) * *x;
        }
        tally.both(Class::Mul, out.len());
    });
    Ok(())
}
