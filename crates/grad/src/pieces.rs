//! Functions in pieces, whose slope is another on either side of a bound.

use opledger_dims::Scalar;
use opledger_ir::ops::{Activation, ArithmeticKind, CompareKind, Pointwise};
use opledger_ir::{Axis, Var};

use crate::GradError;
use crate::back::{Applied, Back, Primal};

type Made = Result<Var, GradError>;

/// A number.
pub(crate) fn number(back: &mut Back, number: f64) -> Made {
    Ok(back.graph.fill(Vec::<Axis>::new(), number)?)
}

/// One of two values where a comparison of two numbers holds, else the other, over the axes of a value.
pub(crate) fn where_holds(
    back: &mut Back,
    kind: CompareKind,
    [a, b]: [Var; 2],
    [then, otherwise]: [Var; 2],
    like: Var,
) -> Made {
    let axes = back.shape(like).axes;
    let holds = back.graph.compare(kind, axes.clone(), a, b)?;
    Ok(back.graph.select(axes, holds, then, otherwise)?)
}

/// One gradient where x is above a number, another elsewhere.
pub(crate) fn where_above(back: &mut Back, x: Var, bound: f64, either: [Var; 2]) -> Made {
    let bound = number(back, bound)?;
    where_holds(back, CompareKind::Less, [bound, x], either, x)
}

/// A gradient where that of the result is not 0, else 0, however steep the function is: so the length of a
/// row of zeros that a least length takes the place of leads on to nothing.
pub(crate) fn where_given(back: &mut Back, dy: Var, dx: Var) -> Made {
    let none = number(back, 0.0)?;
    where_holds(back, CompareKind::Equal, [dy, none], [none, dx], dy)
}

/// The gradient where x is above one number and below another, 0 elsewhere, at both of them as well.
pub(crate) fn clamp(back: &mut Back, x: Var, [least, most]: [Option<f64>; 2], mut dy: Var) -> Made {
    let none = number(back, 0.0)?;
    if let Some(least) = least {
        let least = number(back, least)?;
        dy = where_holds(back, CompareKind::Less, [least, x], [dy, none], x)?;
    }
    if let Some(most) = most {
        let most = number(back, most)?;
        dy = where_holds(back, CompareKind::Less, [x, most], [dy, none], x)?;
    }
    Ok(dy)
}

/// s·dy below zero, dy above.
pub(crate) fn leaky_relu(back: &mut Back, x: Var, slope: f64, dy: Var) -> Made {
    let below = back.times(dy, slope)?;
    where_above(back, x, 0.0, [dy, below])
}

/// dy·exp(x / width) times a factor below zero, dy times another above.
pub(crate) fn exponential(
    back: &mut Back,
    x: Var,
    [width, below, above]: [f64; 3],
    dy: Var,
) -> Made {
    let times =
        |back: &mut Back, x: Var, by: f64| if by == 1.0 { Ok(x) } else { back.times(x, by) };
    let share = match width == 1.0 {
        true => x,
        false => {
            let width = number(back, width)?;
            back.graph.div("", x, width)?
        }
    };
    let power = back.of(Pointwise::Exp, share)?;
    let product = back.mul(dy, power)?;
    let lower = times(back, product, below)?;
    let upper = times(back, dy, above)?;
    where_above(back, x, 0.0, [upper, lower])
}

/// λ above zero and λ·a·exp(x) below; the function says of 1 and of −∞ what λ and λ·a are.
pub(crate) fn selu(back: &mut Back, x: Var, dy: Var) -> Made {
    let at = |x: f64| Pointwise::Selu.apply(x).to_f64();
    exponential(back, x, [1.0, -at(f64::NEG_INFINITY), at(1.0)], dy)
}

/// dy/6 between −3 and 3, 0 elsewhere.
pub(crate) fn hard_sigmoid(back: &mut Back, x: Var, dy: Var) -> Made {
    let six = number(back, 6.0)?;
    let share = back.graph.div("", dy, six)?;
    let none = number(back, 0.0)?;
    between(back, x, [share, none])
}

/// dy·(x/3 + 1/2) between −3 and 3, dy from 3 on, 0 up to −3.
pub(crate) fn hard_swish(back: &mut Back, x: Var, dy: Var) -> Made {
    let three = number(back, 3.0)?;
    let share = back.graph.div("", x, three)?;
    let slope = back.of(Pointwise::Shift(0.5), share)?;
    let within = back.mul(dy, slope)?;
    between(back, x, [within, dy])
}

/// One gradient between −3 and 3, another from 3 on, 0 up to −3.
fn between(back: &mut Back, x: Var, either: [Var; 2]) -> Made {
    let none = number(back, 0.0)?;
    let three = number(back, 3.0)?;
    let lower = where_holds(back, CompareKind::Less, [x, three], either, x)?;
    where_above(back, x, -3.0, [lower, none])
}

/// dy·(t + x·s·(1 − t²)), t being tanh(softplus(x)) and s the sigmoid of x.
pub(crate) fn mish(back: &mut Back, x: Var, dy: Var) -> Made {
    let soft = back.graph.activation(x, Activation::Softplus)?;
    let t = back.graph.activation(soft, Activation::Tanh)?;
    let s = back.graph.activation(x, Activation::Sigmoid)?;
    let bent = tanh_slope(back, t)?;
    let part = back.mul(s, bent)?;
    let part = back.mul(x, part)?;
    let slope = back.graph.add("", t, part)?;
    back.mul(dy, slope)
}

/// dy / (1 + |x|)².
pub(crate) fn softsign(back: &mut Back, x: Var, dy: Var) -> Made {
    let size = back.of(Pointwise::Abs, x)?;
    let below = back.of(Pointwise::Shift(1.0), size)?;
    let square = back.mul(below, below)?;
    Ok(back.graph.div("", dy, square)?)
}

/// The larger of two has the gradient, or the smaller; each of equal ones half of it: (1 ± sign(a − b))/2.
pub(crate) fn extreme(
    back: &mut Back,
    at: Applied<'_>,
    kind: ArithmeticKind,
    dy: Var,
) -> Result<(), GradError> {
    // The first operand has every axis of the second.
    let (a, b) = (at.operand(0)?, at.operand(1)?);
    let (own, other) = (back.value(a)?, back.value(b)?);
    let apart = back.sub(own, other)?;
    let sign = back.of(Pointwise::Sign, apart)?;
    let half = back.times(sign, 0.5)?;
    for of in [a, b].into_iter().filter(|of| back.is_wanted(*of)).collect::<Vec<_>>() {
        let side = if (of == a) == (kind == ArithmeticKind::Max) {
            half
        } else {
            back.of(Pointwise::Neg, half)?
        };
        let share = back.of(Pointwise::Shift(0.5), side)?;
        let part = back.mul(dy, share)?;
        let gradient = back.like(part, &back.shape_of(of))?;
        back.contribute(of, gradient)?;
    }
    Ok(())
}

/// `dy·b·a^(b − 1)`, 0 where b is, and `dy·y·ln a`, 0 where a is and b is not below.
pub(crate) fn power(
    back: &mut Back,
    at: Applied<'_>,
    [a, b]: [Primal; 2],
    dy: Var,
) -> Result<(), GradError> {
    let (base, exponent) = (back.value(a)?, back.value(b)?);
    let none = number(back, 0.0)?;
    if back.is_wanted(a) {
        let less = back.of(Pointwise::Shift(-1.0), exponent)?;
        let lower = back.graph.arithmetic("", ArithmeticKind::Pow, base, less)?;
        let slope = back.mul(lower, exponent)?;
        let product = back.mul(dy, slope)?;
        let either = [none, product];
        let da = where_holds(back, CompareKind::Equal, [exponent, none], either, base)?;
        back.contribute(a, da)?;
    }
    if back.is_wanted(b) {
        let y = back.value(at.result)?;
        let log = back.of(Pointwise::Log, base)?;
        let slope = back.mul(y, log)?;
        let product = back.mul(dy, slope)?;
        let flat = where_holds(back, CompareKind::Equal, [base, none], [none, product], base)?;
        let part = where_holds(back, CompareKind::Less, [exponent, none], [product, flat], base)?;
        let db = back.like(part, &back.shape_of(b))?;
        back.contribute(b, db)?;
    }
    Ok(())
}

/// 1 − x.
pub(crate) fn one_less(back: &mut Back, x: Var) -> Made {
    let opposite = back.of(Pointwise::Neg, x)?;
    back.of(Pointwise::Shift(1.0), opposite)
}

/// 1 − y².
pub(crate) fn tanh_slope(back: &mut Back, y: Var) -> Made {
    let square = back.mul(y, y)?;
    one_less(back, square)
}
