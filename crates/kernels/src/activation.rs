//! Activation functions: how they are computed and what that counts.

use opledger_dims::{Activation, Class};

use crate::meter::{Substitution, Tally};
use crate::number::Number;

/// A loop over numbers that is compiled for each activation function.
pub(crate) trait ElementLoop<T = f32> {
    fn run<F: Fn(T) -> T + Copy>(self, f: F);
}

/// An activation function as a kernel runs and counts it.
pub(crate) trait Function {
    /// Runs a loop with the function.
    fn drive<T: Number>(self, body: impl ElementLoop<T>);

    /// Counts the function of `n` elements.
    fn count(self, n: usize, tally: &mut Tally);
}

impl Function for Activation {
    fn drive<T: Number>(self, body: impl ElementLoop<T>) {
        let of = T::of;
        match self {
            // NaN stays.
            Activation::Relu => body.run(move |x| if x < of(0.0) { of(0.0) } else { x }),
            Activation::ReluSquared => body.run(move |x| {
                let positive = if x < of(0.0) { of(0.0) } else { x };
                positive * positive
            }),
            Activation::GeluErf => {
                let scale = std::f32::consts::FRAC_1_SQRT_2;
                body.run(move |x| of(0.5) * x * (of(1.0) + (x * of(scale)).erf()));
            }
            Activation::GeluTanh => {
                let scale = std::f32::consts::FRAC_2_SQRT_PI * std::f32::consts::FRAC_1_SQRT_2;
                body.run(move |x| {
                    let inner = of(scale) * (x + of(0.044715) * x * x * x);
                    of(0.5) * x * (of(1.0) + inner.tanh())
                });
            }
            Activation::QuickGelu => {
                body.run(move |x| x / (of(1.0) + (of(-1.702) * x).exp()));
            }
            Activation::Silu => body.run(move |x| x / (of(1.0) + (-x).exp())),
            Activation::Tanh => body.run(T::tanh),
            Activation::Sigmoid => body.run(move |x| of(1.0) / (of(1.0) + (-x).exp())),
            // NaN stays.
            Activation::Softplus => body.run(move |x| {
                let positive = if x < of(0.0) { of(0.0) } else { x };
                positive + (-x.abs()).exp().ln_1p()
            }),
        }
    }

    fn count(self, n: usize, tally: &mut Tally) {
        let counts: &[(Class, usize)] = match self {
            Activation::Relu => &[(Class::Max, 1)],
            Activation::ReluSquared => &[(Class::Max, 1), (Class::Mul, 1)],
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
                for substitution in [Substitution::ClearedSign, Substitution::LogOfSum] {
                    tally.useful(substitution.class(), n);
                    tally.substituted(substitution, n);
                }
                &[(Class::Max, 1), (Class::Exp, 1), (Class::Add, 1), (Class::Log, 1)]
            }
        };
        for &(class, number) in counts {
            tally.both(class, number * n);
        }
    }
}
