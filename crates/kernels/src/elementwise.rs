//! Activation functions over a slice, scaling and dropout.

use opledger_dims::Class;

use opledger_dims::Activation;

use crate::activation::{ElementLoop, Function};
use crate::error::{KernelError, exactly};
use crate::isa::{Isa, isa, vectorised};
use crate::meter::Meter;
use crate::tasks::over_rows;

/// Writes the function of each element of `x`.
struct Map<'a> {
    isa: Isa,
    x: &'a [f32],
    out: &'a mut [f32],
}

impl ElementLoop for Map<'_> {
    fn run<F: Fn(f32) -> f32 + Copy>(self, f: F) {
        map(self.isa, self.x, self.out, f);
    }
}

vectorised! {
    fn map[F: Fn(f32) -> f32](x: &[f32], out: &mut [f32], f: F) {
        for (out, x) in out.iter_mut().zip(x) {
            *out = f(*x);
        }
    }
}

/// Applies an activation to each element of `x`; counts as [`Activation`] says.
///
/// # Errors
/// [`KernelError::Length`] if `out` is not as long as `x`.
pub fn activation<M: Meter>(
    function: Activation,
    x: &[f32],
    out: &mut [f32],
    meter: &M,
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
pub fn scale<M: Meter>(
    factor: f32,
    x: &[f32],
    out: &mut [f32],
    meter: &M,
) -> Result<(), KernelError> {
    let isa = isa()?;
    exactly("output", out.len(), &[x.len()])?;
    over_rows(out, 1, 1, meter, |first, out, tally| {
        map(isa, &x[first..][..out.len()], out, move |x| factor * x);
        tally.both(Class::Mul, out.len());
    });
    Ok(())
}

/// Multiplies element `i` of `x` by `multiplier(i)`, zero or `1/(1 - p)`: 1 mul each.
///
/// # Errors
/// [`KernelError::Length`] if `out` is not as long as `x`.
pub fn dropout<M: Meter>(
    multiplier: impl Fn(usize) -> f32 + Sync,
    x: &[f32],
    out: &mut [f32],
    meter: &M,
) -> Result<(), KernelError> {
    exactly("output", out.len(), &[x.len()])?;
    over_rows(out, 1, 2, meter, |first, out, tally| {
        let x = &x[first..][..out.len()];
        for (i, (out, x)) in out.iter_mut().zip(x).enumerate() {
            *out = multiplier(first + i) * x;
        }
        tally.both(Class::Mul, out.len());
    });
    Ok(())
}
