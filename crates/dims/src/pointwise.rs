//! Functions of one number with constants, applied to each element: what each is, and what one
//! evaluation counts.
//!
//! | function | formula | count per element |
//! |---|---|---|
//! | neg | −x | none: a change of sign moves one bit |
//! | floor, ceil, round | to a whole number, round to even where two are as near | none: no class has it |
//! | sign | 1, −1 or 0, and 0 for NaN | 2 max |
//! | abs | max(x, −x) | 1 max |
//! | clamp | min(max(x, least), greatest) | 1 max for each bound |
//! | shift | x + c | 1 add |
//! | power | xᵖ, p whole: squares and products from the highest bit of p on, p < 0 one div more | ⌊log₂ p⌋ mul, and 1 for each further bit that is set |
//! | power | x^½ = √x, x^−½ = 1/√x | as sqrt, rsqrt |
//! | power | other p: exp(p·ln x) | 1 log, 1 mul, 1 exp |
//! | sqrt, reciprocal, rsqrt | √x, 1/x, 1/√x | 1 sqrt; 1 div; both |
//! | exp, log, sin, cos, atan, erf | of that name | 1 of that class |
//! | exp2, expm1 | exp(x·ln 2), exp(x) − 1 | 1 mul, 1 exp; 1 exp, 1 add |
//! | log2, log10, log1p | ln(x)·(1/ln 2), ln(x)·(1/ln 10), ln(1 + x) | 1 log, 1 mul; 1 log, 1 add |
//! | tan | sin x / cos x | 1 sin, 1 cos, 1 div |
//! | leaky_relu | x where x > 0, else s·x (Maas et al. 2013) | 1 max, 1 mul |
//! | elu | x where x > 0, else a·(exp(x) − 1) (Clevert et al. 2015) | 1 max, 1 exp, 1 add, 1 mul |
//! | celu | x where x > 0, else a·(exp(x/a) − 1) (Barron 2017) | as elu, 1 div |
//! | selu | λ·elu(x) with a and λ of Klambauer et al. 2017 | as elu, 1 mul |
//! | hard_sigmoid | min(max(x + 3, 0), 6)/6 (Howard et al. 2019) | 1 add, 2 max, 1 div |
//! | hard_swish | x·min(max(x + 3, 0), 6)/6 (ibid.) | 1 add, 2 max, 1 mul, 1 div |
//! | softsign | x / (1 + max(x, −x)) | 1 max, 1 add, 1 div |
//! | log_sigmoid | −softplus(−x) | 2 max, 1 exp, 2 add, 1 log |
//! | mish | x·tanh(softplus(x)) (Misra 2019) | as softplus, 1 tanh, 1 mul |
//!
//! `x where x > 0` is one comparison, which is of class max; both sides are evaluated, so that a count
//! does not depend on the data.

use std::f64::consts::{LN_2, LN_10};

use crate::{Activation, Class, Counts, Scalar};

/// A function of one number, with its constants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pointwise {
    /// −x.
    Neg,
    /// Absolute value.
    Abs,
    /// e to the power of x.
    Exp,
    /// 2 to the power of x.
    Exp2,
    /// exp(x) − 1.
    Expm1,
    /// Natural logarithm.
    Log,
    /// Logarithm to base 2.
    Log2,
    /// Logarithm to base 10.
    Log10,
    /// ln(1 + x).
    Log1p,
    /// Square root.
    Sqrt,
    /// 1/√x.
    Rsqrt,
    /// 1/x.
    Reciprocal,
    /// Sine of radians.
    Sin,
    /// Cosine of radians.
    Cos,
    /// Tangent of radians.
    Tan,
    /// Arc tangent, in radians.
    Atan,
    /// Error function.
    Erf,
    /// x to a constant power.
    Power(f64),
    /// x, or the nearer bound where it lies outside; NaN stays.
    Clamp {
        /// The lower bound.
        min: Option<f64>,
        /// The upper bound, which holds where the two contradict each other.
        max: Option<f64>,
    },
    /// x plus a constant.
    Shift(f64),
    /// Leaky rectified linear unit, by its slope below zero.
    LeakyRelu(f64),
    /// Exponential linear unit, by its limit below zero.
    Elu(f64),
    /// Continuously differentiable exponential linear unit, by its limit below zero.
    Celu(f64),
    /// Scaled exponential linear unit.
    Selu,
    /// Sigmoid in three straight pieces.
    HardSigmoid,
    /// Sigmoid linear unit in pieces.
    HardSwish,
    /// x times the hyperbolic tangent of its softplus.
    Mish,
    /// Logarithm of the logistic function.
    LogSigmoid,
    /// x over one and its absolute value.
    Softsign,
    /// The next whole number below.
    Floor,
    /// The next whole number above.
    Ceil,
    /// The nearest whole number; of two the even one.
    Round,
    /// 1, −1 or 0.
    Sign,
}

/// λ and a of the scaled exponential linear unit (Klambauer et al. 2017, §2).
pub(crate) const SELU: [f64; 2] = [1.050_700_987_355_480_5, 1.673_263_242_354_377_2];

/// Whether x > 0: one comparison.
fn is_positive<T: Scalar>(x: T) -> bool {
    x.max(T::from_f64(0.0)).to_f64() > 0.0
}

/// The smaller of two; NaN if either is.
fn min<T: Scalar>(x: T, y: T) -> T {
    -(-x).max(-y)
}

/// x to a whole power of at least 1, from its highest bit on.
fn whole_power<T: Scalar>(x: T, power: u64) -> T {
    let below = (0..power.ilog2()).rev();
    below.fold(x, |y, bit| if power >> bit & 1 == 1 { y * y * x } else { y * y })
}

/// `base` to the power of `exponent`, exp(exponent·ln|base|), with the sign that a whole exponent
/// leaves; a negative number to a broken power is NaN, anything to the power of 0 is 1.
///
/// Count: 1 log, 1 mul, 1 exp.
#[must_use]
pub fn power<T: Scalar>(base: T, exponent: T) -> T {
    let negative = base.to_f64().is_sign_negative();
    let size = if negative { -base } else { base };
    let value = (exponent * size.ln()).exp();
    match PowerSign::of(base.to_f64(), exponent.to_f64()) {
        PowerSign::Plus => value,
        PowerSign::Minus => -value,
        PowerSign::One => T::from_f64(1.0),
        PowerSign::None => T::from_f64(f64::NAN),
    }
}

/// What becomes of exp(exponent·ln|base|) where the base is negative or the exponent zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerSign {
    /// It is the power.
    Plus,
    /// The power is its negative.
    Minus,
    /// The power is 1.
    One,
    /// There is no power.
    None,
}

impl PowerSign {
    /// Of a base and an exponent.
    pub fn of(base: f64, exponent: f64) -> PowerSign {
        if exponent == 0.0 {
            return PowerSign::One;
        }
        match (base.is_sign_negative(), exponent % 2.0) {
            (false, _) => PowerSign::Plus,
            (true, rest) if rest.abs() == 1.0 => PowerSign::Minus,
            (true, 0.0) => PowerSign::Plus,
            (true, _) if base == 0.0 || base.is_infinite() => PowerSign::Plus,
            (true, _) => PowerSign::None,
        }
    }
}

impl Pointwise {
    /// The one spelling used in paths and reports.
    pub fn name(self) -> &'static str {
        match self {
            Pointwise::Neg => "neg",
            Pointwise::Abs => "abs",
            Pointwise::Exp => "exp",
            Pointwise::Exp2 => "exp2",
            Pointwise::Expm1 => "expm1",
            Pointwise::Log => "log",
            Pointwise::Log2 => "log2",
            Pointwise::Log10 => "log10",
            Pointwise::Log1p => "log1p",
            Pointwise::Sqrt => "sqrt",
            Pointwise::Rsqrt => "rsqrt",
            Pointwise::Reciprocal => "reciprocal",
            Pointwise::Sin => "sin",
            Pointwise::Cos => "cos",
            Pointwise::Tan => "tan",
            Pointwise::Atan => "atan",
            Pointwise::Erf => "erf",
            Pointwise::Power(_) => "power",
            Pointwise::Clamp { .. } => "clamp",
            Pointwise::Shift(_) => "shift",
            Pointwise::LeakyRelu(_) => "leaky_relu",
            Pointwise::Elu(_) => "elu",
            Pointwise::Celu(_) => "celu",
            Pointwise::Selu => "selu",
            Pointwise::HardSigmoid => "hard_sigmoid",
            Pointwise::HardSwish => "hard_swish",
            Pointwise::Mish => "mish",
            Pointwise::LogSigmoid => "log_sigmoid",
            Pointwise::Softsign => "softsign",
            Pointwise::Floor => "floor",
            Pointwise::Ceil => "ceil",
            Pointwise::Round => "round",
            Pointwise::Sign => "sign",
        }
    }

    /// Of a power that is whole, whether it is negative, and its size.
    pub fn whole_power(power: f64) -> Option<(bool, u64)> {
        let whole = power.fract() == 0.0 && power.abs() < (1_u64 << 53) as f64;
        whole.then_some((power < 0.0, power.abs() as u64))
    }

    /// The function at a number: its definition, and that of its count.
    pub fn apply<T: Scalar>(self, x: T) -> T {
        let of = T::from_f64;
        let rounded = |to: fn(f64) -> f64| of(to(x.to_f64()));
        let six = |x: T| min((x + of(3.0)).max(of(0.0)), of(6.0));
        // Both sides are evaluated, whichever is taken.
        let above_zero = |below: T| if is_positive(x) { x } else { below };
        match self {
            Pointwise::Neg => -x,
            Pointwise::Abs => x.max(-x),
            Pointwise::Exp => x.exp(),
            Pointwise::Exp2 => (x * of(LN_2)).exp(),
            Pointwise::Expm1 => x.exp() - of(1.0),
            Pointwise::Log => x.ln(),
            Pointwise::Log2 => x.ln() * of(LN_2.recip()),
            Pointwise::Log10 => x.ln() * of(LN_10.recip()),
            Pointwise::Log1p => (of(1.0) + x).ln(),
            Pointwise::Sqrt => x.sqrt(),
            Pointwise::Rsqrt => of(1.0) / x.sqrt(),
            Pointwise::Reciprocal => of(1.0) / x,
            Pointwise::Sin => x.sin(),
            Pointwise::Cos => x.cos(),
            Pointwise::Tan => x.sin() / x.cos(),
            Pointwise::Atan => x.atan(),
            Pointwise::Erf => x.erf(),
            Pointwise::Power(p) => match Pointwise::whole_power(p) {
                Some((_, 0)) => of(1.0),
                Some((false, p)) => whole_power(x, p),
                Some((true, p)) => of(1.0) / whole_power(x, p),
                None if p == 0.5 => x.sqrt(),
                None if p == -0.5 => of(1.0) / x.sqrt(),
                None => power(x, of(p)),
            },
            Pointwise::Clamp { min: least, max: greatest } => {
                let x = least.map_or(x, |least| x.max(of(least)));
                greatest.map_or(x, |greatest| min(x, of(greatest)))
            }
            Pointwise::Shift(c) => x + of(c),
            Pointwise::LeakyRelu(slope) => above_zero(of(slope) * x),
            Pointwise::Elu(a) => above_zero(of(a) * (x.exp() - of(1.0))),
            Pointwise::Celu(a) => above_zero(of(a) * ((x / of(a)).exp() - of(1.0))),
            Pointwise::Selu => {
                let [scale, a] = SELU;
                of(scale) * above_zero(of(a) * (x.exp() - of(1.0)))
            }
            Pointwise::HardSigmoid => six(x) / of(6.0),
            Pointwise::HardSwish => x * six(x) / of(6.0),
            Pointwise::Mish => x * Activation::Softplus.apply(x).tanh(),
            Pointwise::LogSigmoid => -Activation::Softplus.apply(-x),
            Pointwise::Softsign => x / (of(1.0) + x.max(-x)),
            Pointwise::Floor => rounded(f64::floor),
            Pointwise::Ceil => rounded(f64::ceil),
            Pointwise::Round => rounded(f64::round_ties_even),
            Pointwise::Sign => {
                let sides = [is_positive(x), is_positive(-x)];
                of(f64::from(i8::from(sides[0]) - i8::from(sides[1])))
            }
        }
    }

    /// What one evaluation costs.
    pub fn cost(self) -> Counts<u64> {
        let counts = |each: &[(Class, u64)]| {
            each.iter().fold(Counts::zero(), |sum, (class, number)| sum.with(*class, *number))
        };
        let elu = [(Class::Max, 1), (Class::Exp, 1), (Class::Add, 1), (Class::Mul, 1)];
        let softplus = [(Class::Max, 2), (Class::Exp, 1), (Class::Add, 2), (Class::Log, 1)];
        match self {
            Pointwise::Neg | Pointwise::Floor | Pointwise::Ceil | Pointwise::Round => counts(&[]),
            Pointwise::Sign => counts(&[(Class::Max, 2)]),
            Pointwise::Abs => counts(&[(Class::Max, 1)]),
            Pointwise::Clamp { min, max } => {
                let bounds = u64::from(min.is_some()) + u64::from(max.is_some());
                counts(&[(Class::Max, bounds)])
            }
            Pointwise::Shift(_) => counts(&[(Class::Add, 1)]),
            Pointwise::Power(p) => match Pointwise::whole_power(p) {
                Some((_, 0)) => counts(&[]),
                Some((negative, p)) => {
                    let products = p.ilog2() + p.count_ones() - 1;
                    counts(&[(Class::Mul, products.into()), (Class::Div, negative.into())])
                }
                None if p == 0.5 => Pointwise::Sqrt.cost(),
                None if p == -0.5 => Pointwise::Rsqrt.cost(),
                None => counts(&[(Class::Log, 1), (Class::Mul, 1), (Class::Exp, 1)]),
            },
            Pointwise::Sqrt => counts(&[(Class::Sqrt, 1)]),
            Pointwise::Reciprocal => counts(&[(Class::Div, 1)]),
            Pointwise::Rsqrt => counts(&[(Class::Sqrt, 1), (Class::Div, 1)]),
            Pointwise::Exp => counts(&[(Class::Exp, 1)]),
            Pointwise::Log => counts(&[(Class::Log, 1)]),
            Pointwise::Sin => counts(&[(Class::Sin, 1)]),
            Pointwise::Cos => counts(&[(Class::Cos, 1)]),
            Pointwise::Atan => counts(&[(Class::Atan, 1)]),
            Pointwise::Erf => counts(&[(Class::Erf, 1)]),
            Pointwise::Exp2 => counts(&[(Class::Mul, 1), (Class::Exp, 1)]),
            Pointwise::Expm1 => counts(&[(Class::Exp, 1), (Class::Add, 1)]),
            Pointwise::Log2 | Pointwise::Log10 => counts(&[(Class::Log, 1), (Class::Mul, 1)]),
            Pointwise::Log1p => counts(&[(Class::Log, 1), (Class::Add, 1)]),
            Pointwise::Tan => counts(&[(Class::Sin, 1), (Class::Cos, 1), (Class::Div, 1)]),
            Pointwise::LeakyRelu(_) => counts(&[(Class::Max, 1), (Class::Mul, 1)]),
            Pointwise::Elu(_) => counts(&elu),
            Pointwise::Celu(_) => counts(&elu).with(Class::Div, 1),
            Pointwise::Selu => counts(&elu).with(Class::Mul, 2),
            Pointwise::HardSigmoid => counts(&[(Class::Add, 1), (Class::Max, 2), (Class::Div, 1)]),
            Pointwise::HardSwish => Pointwise::HardSigmoid.cost().with(Class::Mul, 1),
            Pointwise::Softsign => counts(&[(Class::Max, 1), (Class::Add, 1), (Class::Div, 1)]),
            Pointwise::LogSigmoid => counts(&softplus),
            Pointwise::Mish => counts(&softplus).with(Class::Tanh, 1).with(Class::Mul, 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Counted, counted};

    /// Every function, each with every form of its constants.
    fn every() -> Vec<Pointwise> {
        use Pointwise::*;
        let powers = [0.0, 1.0, 2.0, 3.0, 7.0, 40.0, -1.0, -6.0, 0.5, -0.5, 1.5, -0.3];
        let bounds = [None, Some(-0.5), Some(0.75)];
        let clamps = bounds.iter().flat_map(|min| bounds.map(|max| Clamp { min: *min, max }));
        let plain = [
            Neg,
            Abs,
            Exp,
            Exp2,
            Expm1,
            Log,
            Log2,
            Log10,
            Log1p,
            Sqrt,
            Rsqrt,
            Reciprocal,
            Sin,
            Cos,
            Tan,
            Atan,
            Erf,
            Shift(0.3),
            LeakyRelu(0.1),
            Elu(1.3),
            Celu(1.3),
            Selu,
            HardSigmoid,
            HardSwish,
            Mish,
            LogSigmoid,
            Softsign,
            Floor,
            Ceil,
            Round,
            Sign,
        ];
        plain.into_iter().chain(powers.map(Power)).chain(clamps).collect()
    }

    /// A function with constants has one name, whatever they are.
    #[test]
    fn no_two_functions_have_one_name() {
        let mut named: std::collections::BTreeMap<&str, std::mem::Discriminant<Pointwise>> =
            std::collections::BTreeMap::new();
        for function in every() {
            let kind = std::mem::discriminant(&function);
            assert_eq!(*named.entry(function.name()).or_insert(kind), kind, "{function:?}");
        }
    }

    #[test]
    fn every_definition_counts_its_cost() {
        for function in every() {
            for x in [-4.5, -0.25, 0.0, 0.5, 3.5] {
                let (_, counts) = counted(|| function.apply(Counted(x)));
                assert_eq!(counts, function.cost(), "{function:?}");
            }
        }
        for [base, exponent] in [[2.0, 3.0], [-2.0, 3.0], [-2.0, 0.5], [0.0, 0.0]] {
            let (_, counts) = counted(|| power(Counted(base), Counted(exponent)));
            assert_eq!(counts, Pointwise::Power(0.3).cost());
        }
    }

    /// The values of PyTorch's functions of these names, written anew.
    #[test]
    fn every_function_has_its_value() {
        use Pointwise::*;
        let below = |x: f64, y: f64| if x > 0.0 { x } else { y };
        for x in [-4.5_f64, -0.25, 0.0, 0.5, 3.5] {
            let [scale, a] = SELU;
            for (function, expected) in [
                (Neg, -x),
                (Abs, x.abs()),
                (Exp2, x.exp2()),
                (Expm1, x.exp_m1()),
                (Reciprocal, x.recip()),
                (Tan, x.tan()),
                (Shift(0.3), x + 0.3),
                (LeakyRelu(0.1), below(x, 0.1 * x)),
                (Elu(1.3), below(x, 1.3 * x.exp_m1())),
                (Celu(1.3), below(x, 1.3 * (x / 1.3).exp_m1())),
                (Selu, scale * below(x, a * x.exp_m1())),
                (HardSigmoid, (x / 6.0 + 0.5).clamp(0.0, 1.0)),
                (HardSwish, x * (x / 6.0 + 0.5).clamp(0.0, 1.0)),
                (Mish, x * x.exp().ln_1p().tanh()),
                (LogSigmoid, -(-x).exp().ln_1p()),
                (Softsign, x / (1.0 + x.abs())),
                (Floor, x.floor()),
                (Ceil, x.ceil()),
                (Round, x.round_ties_even()),
                (Sign, if x == 0.0 { 0.0 } else { x.signum() }),
                (Clamp { min: Some(-0.5), max: Some(0.75) }, x.clamp(-0.5, 0.75)),
            ] {
                let value: f64 = function.apply(x);
                let close = (value - expected).abs() <= 1e-14 * expected.abs().max(1.0);
                assert!(close || value == expected, "{function:?} of {x}: {value}, not {expected}");
            }
        }
    }

    /// Whole and broken powers of numbers of either sign, as IEEE 754 has them.
    #[test]
    fn powers_are_those_of_the_number_type() {
        for base in [-8.0_f64, -1.0, -0.0, 0.0, 0.25, 3.0, f64::INFINITY, f64::NEG_INFINITY] {
            for exponent in [-3.0, -2.0, -0.3, 0.0, 0.5, 1.0, 2.0, 5.0] {
                let expected = base.powf(exponent);
                for value in [power(base, exponent), Pointwise::Power(exponent).apply(base)] {
                    // The square root of a negative number is none.
                    let rooted = exponent == 0.5 && base == f64::NEG_INFINITY && value.is_nan();
                    let close = (value - expected).abs() <= 1e-13 * expected.abs();
                    let same = close || value == expected || value.is_nan() && expected.is_nan();
                    assert!(same || rooted, "{base}^{exponent} = {value}, not {expected}");
                }
            }
        }
    }
}
