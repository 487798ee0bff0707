//! Functions of one number with constants: how they are computed and what that counts.

use opledger_dims::{Class, Pointwise};

use crate::activation::{ElementLoop, Function};
use crate::meter::{Substitution, Tally};
use crate::number::Number;
use crate::strided::power;

/// λ and a of the scaled exponential linear unit.
const SELU: [f32; 2] = [1.050_701, 1.673_263_2];

/// `x`, or the nearer of 0 and 6; NaN stays.
#[inline(always)]
fn six<T: Number>(x: T) -> T {
    let x = if x < T::of(0.0) { T::of(0.0) } else { x };
    if x > T::of(6.0) { T::of(6.0) } else { x }
}

/// `x` where it is above zero, else `below`, which is evaluated everywhere.
#[inline(always)]
fn above_zero<T: Number>(x: T, below: T) -> T {
    if x > T::of(0.0) { x } else { below }
}

/// `ln(1 + eˣ)`.
#[inline(always)]
fn softplus<T: Number>(x: T) -> T {
    let positive = if x < T::of(0.0) { T::of(0.0) } else { x };
    positive + (-x.abs()).exp().ln_1p()
}

/// A whole power of at least 1, from its highest bit on.
#[inline(always)]
fn whole_power<T: Number>(x: T, power: u64) -> T {
    let below = (0..power.ilog2()).rev();
    below.fold(x, |y, bit| if power >> bit & 1 == 1 { y * y * x } else { y * y })
}

/// 1, −1 or 0, by two comparisons.
#[inline(always)]
fn sign<T: Number>(x: T) -> T {
    let (above, below) = (x > T::of(0.0), x < T::of(0.0));
    T::of(f32::from(i8::from(above) - i8::from(below)))
}

impl Function for Pointwise {
    fn drive<T: Number>(self, body: impl ElementLoop<T>) {
        let of = T::of;
        let constant = |c: f64| T::of(c as f32);
        match self {
            Pointwise::Neg => body.run(|x| -x),
            Pointwise::Abs => body.run(T::abs),
            Pointwise::Exp => body.run(T::exp),
            Pointwise::Exp2 => body.run(move |x| (x * of(std::f32::consts::LN_2)).exp()),
            Pointwise::Expm1 => body.run(move |x| x.exp() - of(1.0)),
            Pointwise::Log => body.run(T::ln),
            Pointwise::Log2 => body.run(move |x| x.ln() * of(std::f32::consts::LOG2_E)),
            Pointwise::Log10 => body.run(move |x| x.ln() * of(std::f32::consts::LOG10_E)),
            Pointwise::Log1p => body.run(move |x| (of(1.0) + x).ln()),
            Pointwise::Sqrt => body.run(T::sqrt),
            Pointwise::Rsqrt => body.run(move |x| of(1.0) / x.sqrt()),
            Pointwise::Reciprocal => body.run(move |x| of(1.0) / x),
            Pointwise::Sin => body.run(T::sin),
            Pointwise::Cos => body.run(T::cos),
            Pointwise::Tan => body.run(move |x| {
                let (sin, cos) = x.sin_cos();
                sin / cos
            }),
            Pointwise::Atan => body.run(T::atan),
            Pointwise::Erf => body.run(T::erf),
            Pointwise::Power(p) => match Pointwise::whole_power(p) {
                Some((_, 0)) => body.run(move |_| of(1.0)),
                Some((false, 1)) => body.run(|x| x),
                Some((false, 2)) => body.run(|x| x * x),
                Some((false, 3)) => body.run(|x| x * x * x),
                Some((false, p)) => body.run(move |x| whole_power(x, p)),
                Some((true, p)) => body.run(move |x| of(1.0) / whole_power(x, p)),
                None if p == 0.5 => Pointwise::Sqrt.drive(body),
                None if p == -0.5 => Pointwise::Rsqrt.drive(body),
                None => body.run(move |x| power(x, constant(p))),
            },
            // NaN stays.
            Pointwise::Clamp { min: None, max: None } => body.run(|x| x),
            Pointwise::Clamp { min: Some(min), max: None } => {
                let min = constant(min);
                body.run(move |x| if x < min { min } else { x });
            }
            Pointwise::Clamp { min: None, max: Some(max) } => {
                let max = constant(max);
                body.run(move |x| if x > max { max } else { x });
            }
            Pointwise::Clamp { min: Some(min), max: Some(max) } => {
                let (min, max) = (constant(min), constant(max));
                body.run(move |x| {
                    let x = if x < min { min } else { x };
                    if x > max { max } else { x }
                });
            }
            Pointwise::Shift(c) => body.run(move |x| x + constant(c)),
            Pointwise::LeakyRelu(slope) => {
                body.run(move |x| above_zero(x, constant(slope) * x));
            }
            Pointwise::Elu(a) => {
                body.run(move |x| above_zero(x, constant(a) * (x.exp() - of(1.0))));
            }
            Pointwise::Celu(a) => body.run(move |x| {
                let a = constant(a);
                above_zero(x, a * ((x / a).exp() - of(1.0)))
            }),
            Pointwise::Selu => body.run(move |x| {
                let [scale, a] = SELU.map(of);
                scale * above_zero(x, a * (x.exp() - of(1.0)))
            }),
            Pointwise::HardSigmoid => body.run(move |x| six(x + of(3.0)) / of(6.0)),
            Pointwise::HardSwish => body.run(move |x| x * six(x + of(3.0)) / of(6.0)),
            Pointwise::Mish => body.run(|x| x * softplus(x).tanh()),
            Pointwise::LogSigmoid => body.run(|x| -softplus(-x)),
            Pointwise::Softsign => body.run(move |x| x / (of(1.0) + x.abs())),
            Pointwise::Floor => body.run(move |x| of(x.value().floor())),
            Pointwise::Ceil => body.run(move |x| of(x.value().ceil())),
            Pointwise::Round => body.run(move |x| of(x.value().round_ties_even())),
            Pointwise::Sign => body.run(sign),
        }
    }

    fn count(self, n: usize, tally: &mut Tally) {
        const ELU: [(Class, usize); 4] =
            [(Class::Max, 1), (Class::Exp, 1), (Class::Add, 1), (Class::Mul, 1)];
        const SOFTPLUS: [(Class, usize); 4] =
            [(Class::Max, 1), (Class::Exp, 1), (Class::Add, 1), (Class::Log, 1)];
        let mut each = |counts: &[(Class, usize)]| {
            counts.iter().for_each(|(class, number)| tally.both(*class, number * n));
        };
        let mut substitutions: &[Substitution] = &[];
        match self {
            Pointwise::Neg | Pointwise::Floor | Pointwise::Ceil | Pointwise::Round => {}
            Pointwise::Sign => each(&[(Class::Max, 2)]),
            Pointwise::Abs => substitutions = &[Substitution::ClearedSign],
            Pointwise::Clamp { min, max } => {
                each(&[(Class::Max, usize::from(min.is_some()) + usize::from(max.is_some()))]);
            }
            Pointwise::Shift(_) => each(&[(Class::Add, 1)]),
            Pointwise::Power(p) => match Pointwise::whole_power(p) {
                Some((_, 0)) => {}
                Some((negative, p)) => {
                    let products = (p.ilog2() + p.count_ones() - 1) as usize;
                    each(&[(Class::Mul, products), (Class::Div, usize::from(negative))]);
                }
                None if p == 0.5 => each(&[(Class::Sqrt, 1)]),
                None if p == -0.5 => each(&[(Class::Sqrt, 1), (Class::Div, 1)]),
                None => each(&[(Class::Log, 1), (Class::Mul, 1), (Class::Exp, 1)]),
            },
            Pointwise::Exp => each(&[(Class::Exp, 1)]),
            Pointwise::Log => each(&[(Class::Log, 1)]),
            Pointwise::Sqrt => each(&[(Class::Sqrt, 1)]),
            Pointwise::Sin => each(&[(Class::Sin, 1)]),
            Pointwise::Cos => each(&[(Class::Cos, 1)]),
            Pointwise::Erf => each(&[(Class::Erf, 1)]),
            Pointwise::Reciprocal => each(&[(Class::Div, 1)]),
            Pointwise::Exp2 => each(&[(Class::Mul, 1), (Class::Exp, 1)]),
            Pointwise::Expm1 => each(&[(Class::Exp, 1), (Class::Add, 1)]),
            Pointwise::Log2 | Pointwise::Log10 => each(&[(Class::Log, 1), (Class::Mul, 1)]),
            Pointwise::Log1p => each(&[(Class::Log, 1), (Class::Add, 1)]),
            Pointwise::Rsqrt => each(&[(Class::Sqrt, 1), (Class::Div, 1)]),
            Pointwise::Atan => each(&[(Class::Atan, 1)]),
            Pointwise::Tan => each(&[(Class::Sin, 1), (Class::Cos, 1), (Class::Div, 1)]),
            Pointwise::LeakyRelu(_) => each(&[(Class::Max, 1), (Class::Mul, 1)]),
            Pointwise::Elu(_) => each(&ELU),
            Pointwise::Celu(_) => {
                each(&ELU);
                each(&[(Class::Div, 1)]);
            }
            Pointwise::Selu => {
                each(&ELU);
                each(&[(Class::Mul, 1)]);
            }
            Pointwise::HardSigmoid => each(&[(Class::Add, 1), (Class::Max, 2), (Class::Div, 1)]),
            Pointwise::HardSwish => {
                each(&[(Class::Add, 1), (Class::Max, 2), (Class::Mul, 1), (Class::Div, 1)]);
            }
            Pointwise::Softsign => {
                each(&[(Class::Add, 1), (Class::Div, 1)]);
                substitutions = &[Substitution::ClearedSign];
            }
            Pointwise::LogSigmoid => {
                each(&SOFTPLUS);
                substitutions = &[Substitution::ClearedSign, Substitution::LogOfSum];
            }
            Pointwise::Mish => {
                each(&SOFTPLUS);
                each(&[(Class::Tanh, 1), (Class::Mul, 1)]);
                substitutions = &[Substitution::ClearedSign, Substitution::LogOfSum];
            }
        }
        for substitution in substitutions {
            tally.useful(substitution.class(), n);
            tally.substituted(*substitution, n);
        }
    }
}
