//! Functions of one element, and dropout.

use opledger_dims::Class;

use crate::error::{KernelError, exactly};
use crate::isa::{Isa, isa, vectorised};
use crate::math::{erf, exp, tanh};
use crate::meter::{Meter, Tally};
use crate::tasks::over_rows;

/// An activation function, with its operations per element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// `max(x, 0)`: 1 max.
    Relu,
    /// `0.5·x·(1 + erf(x·(1/√2)))`: 3 mul, 1 add, 1 erf.
    GeluErf,
    /// `0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x·x·x)))`: 6 mul, 2 add, 1 tanh.
    GeluTanh,
    /// `x / (1 + exp(-x))`: 1 exp, 1 add, 1 div.
    Silu,
    /// `tanh x`: 1 tanh.
    Tanh,
    /// `1 / (1 + exp(-x))`: 1 exp, 1 add, 1 div.
    Sigmoid,
}

impl Activation {
    /// Every activation.
    pub const ALL: [Activation; 6] = [
        Activation::Relu,
        Activation::GeluErf,
        Activation::GeluTanh,
        Activation::Silu,
        Activation::Tanh,
        Activation::Sigmoid,
    ];

    fn apply(self, isa: Isa, x: &[f32], out: &mut [f32], tally: &mut Tally) {
        let n = out.len();
        match self {
            Activation::Relu => {
                // NaN stays.
                map(isa, x, out, |x| if x < 0.0 { 0.0 } else { x });
                tally.both(Class::Max, n);
            }
            Activation::GeluErf => {
                let scale = std::f32::consts::FRAC_1_SQRT_2;
                map(isa, x, out, move |x| 0.5 * x * (1.0 + erf(x * scale)));
                tally.both(Class::Mul, 3 * n);
                tally.both(Class::Add, n);
                tally.both(Class::Erf, n);
            }
            Activation::GeluTanh => {
                let scale = std::f32::consts::FRAC_2_SQRT_PI * std::f32::consts::FRAC_1_SQRT_2;
                map(isa, x, out, move |x| {
                    0.5 * x * (1.0 + tanh(scale * (x + 0.044715 * x * x * x)))
                });
                tally.both(Class::Mul, 6 * n);
                tally.both(Class::Add, 2 * n);
                tally.both(Class::Tanh, n);
            }
            Activation::Silu => {
                map(isa, x, out, |x| x / (1.0 + exp(-x)));
                tally.both(Class::Exp, n);
                tally.both(Class::Add, n);
                tally.both(Class::Div, n);
            }
            Activation::Tanh => {
                map(isa, x, out, tanh);
                tally.both(Class::Tanh, n);
            }
            Activation::Sigmoid => {
                map(isa, x, out, |x| 1.0 / (1.0 + exp(-x)));
                tally.both(Class::Exp, n);
                tally.both(Class::Add, n);
                tally.both(Class::Div, n);
            }
        }
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
        function.apply(isa, &x[first..][..out.len()], out, tally);
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
