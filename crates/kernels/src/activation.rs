//! Activation functions: how they are computed and what that counts.

use opledger_dims::{Activation, Class};

use crate::math::{erf, exp, ln_1p, tanh};
use crate::meter::Tally;

/// A loop over numbers that is compiled for each activation function.
pub(crate) trait ElementLoop {
    fn run<F: Fn(f32) -> f32 + Copy>(self, f: F);
}

/// An activation function as a kernel runs and counts it.
pub(crate) trait Function {
    /// Runs a loop with the function.
    fn drive(self, body: impl ElementLoop);

    /// Counts the function of `n` elements.
    fn count(self, n: usize, tally: &mut Tally);
}

impl Function for Activation {
    fn drive(self, body: impl ElementLoop) {
        match self {
            // NaN stays.
            Activation::Relu => body.run(|x| if x < 0.0 { 0.0 } else { x }),
            Activation::GeluErf => {
                let scale = std::f32::consts::FRAC_1_SQRT_2;
                body.run(move |x| 0.5 * x * (1.0 + erf(x * scale)));
            }
            Activation::GeluTanh => {
                let scale = std::f32::consts::FRAC_2_SQRT_PI * std::f32::consts::FRAC_1_SQRT_2;
                body.run(move |x| 0.5 * x * (1.0 + tanh(scale * (x + 0.044715 * x * x * x))));
            }
            Activation::QuickGelu => body.run(|x| x / (1.0 + exp(-1.702 * x))),
            Activation::Silu => body.run(|x| x / (1.0 + exp(-x))),
            Activation::Tanh => body.run(tanh),
            Activation::Sigmoid => body.run(|x| 1.0 / (1.0 + exp(-x))),
            // NaN stays.
            Activation::Softplus => body.run(|x| {
                let positive = if x < 0.0 { 0.0 } else { x };
                positive + ln_1p(exp(-x.abs()))
            }),
        }
    }

    fn count(self, n: usize, tally: &mut Tally) {
        let counts: &[(Class, usize)] = match self {
            Activation::Relu => &[(Class::Max, 1)],
            Activation::GeluErf => &[(Class::Mul, 3), (Class::Add, 1), (Class::Erf, 1)],
            Activation::GeluTanh => &[(Class::Mul, 6), (Class::Add, 2), (Class::Tanh, 1)],
            Activation::QuickGelu => {
                &[(Class::Mul, 1), (Class::Exp, 1), (Class::Add, 1), (Class::Div, 1)]
            }
            Activation::Silu | Activation::Sigmoid => {
                &[(Class::Exp, 1), (Class::Add, 1), (Class::Div, 1)]
            }
            Activation::Tanh => &[(Class::Tanh, 1)],
            Activation::Softplus => {
                &[(Class::Max, 2), (Class::Exp, 1), (Class::Add, 2), (Class::Log, 1)]
            }
        };
        for &(class, number) in counts {
            tally.both(class, number * n);
        }
    }
}
