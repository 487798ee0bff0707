//! Functions of one number.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, LN_2, LN_10, PI};

use opledger_ir::Var;
use opledger_ir::ops::{Activation, Pointwise};

use crate::back::{Applied, Back};
use crate::pieces::{one_less, tanh_slope};
use crate::{GradError, pieces};

type Made = Result<Var, GradError>;

/// Passes `dy · f′(x)` on.
pub(crate) fn activation(
    back: &mut Back,
    at: Applied<'_>,
    function: Activation,
    dy: Var,
) -> Result<(), GradError> {
    let operand = at.operand(0)?;
    let dx = match function {
        Activation::Relu => {
            let x = back.value(operand)?;
            {
                let none = pieces::number(back, 0.0)?;
                pieces::where_above(back, x, 0.0, [dy, none])?
            }
        }
        Activation::ReluSquared => {
            let x = back.value(operand)?;

            let above = back.graph.activation(x, Activation::Relu)?;
            let slope = back.times(above, 2.0)?;
            back.mul(dy, slope)?
        }
        Activation::Sigmoid => {
            let y = back.value(at.result)?;

            let slope = sigmoid_slope(back, y)?;
            back.mul(dy, slope)?
        }
        Activation::Tanh => {
            let y = back.value(at.result)?;

            let slope = tanh_slope(back, y)?;
            back.mul(dy, slope)?
        }
        // s + y·(1 − s), s being the sigmoid.
        Activation::Silu => {
            let x = back.value(operand)?;
            let y = back.value(at.result)?;

            let s = back.graph.activation(x, Activation::Sigmoid)?;
            let rest = one_less(back, s)?;
            let part = back.mul(y, rest)?;
            let slope = back.graph.add("", s, part)?;
            back.mul(dy, slope)?
        }
        Activation::Softplus => {
            let x = back.value(operand)?;

            let slope = back.graph.activation(x, Activation::Sigmoid)?;
            back.mul(dy, slope)?
        }
        // Φ(x) + x·φ(x).
        Activation::GeluErf => {
            let x = back.value(operand)?;

            let scaled = back.times(x, FRAC_1_SQRT_2)?;
            let error = back.of(Pointwise::Erf, scaled)?;
            let shifted = back.of(Pointwise::Shift(1.0), error)?;
            let below = back.times(shifted, 0.5)?;
            let square = back.mul(x, x)?;
            let power = back.times(square, -0.5)?;
            let bell = back.of(Pointwise::Exp, power)?;
            let density = back.times(bell, FRAC_2_SQRT_PI * FRAC_1_SQRT_2 / 2.0)?;
            let part = back.mul(x, density)?;
            let slope = back.graph.add("", below, part)?;
            back.mul(dy, slope)?
        }
        // (1 + t)/2 + x·(1 − t²)·u′/2 with t = tanh u, u = √(2/π)·(x + 0.044715·x³).
        Activation::GeluTanh => {
            let x = back.value(operand)?;

            let factor = (2.0 / PI).sqrt();
            let square = back.mul(x, x)?;
            let cubic = back.times(square, 0.044_715)?;
            let inner = back.of(Pointwise::Shift(1.0), cubic)?;
            let product = back.mul(x, inner)?;
            let u = back.times(product, factor)?;
            let t = back.graph.activation(u, Activation::Tanh)?;
            let shifted = back.of(Pointwise::Shift(1.0), t)?;
            let first = back.times(shifted, 0.5)?;
            let bent = tanh_slope(back, t)?;
            let steep = back.times(square, 3.0 * 0.044_715 * factor / 2.0)?;
            let steep = back.of(Pointwise::Shift(factor / 2.0), steep)?;
            let second = back.mul(bent, steep)?;
            let second = back.mul(x, second)?;
            let slope = back.graph.add("", first, second)?;
            back.mul(dy, slope)?
        }
        // s + 1.702·x·s·(1 − s) with s = σ(1.702·x).
        Activation::QuickGelu => {
            let x = back.value(operand)?;

            let scaled = back.times(x, 1.702)?;
            let s = back.graph.activation(scaled, Activation::Sigmoid)?;
            let bent = sigmoid_slope(back, s)?;
            let part = back.mul(scaled, bent)?;
            let slope = back.graph.add("", s, part)?;
            back.mul(dy, slope)?
        }
    };
    back.contribute(operand, dx)
}

/// Passes `dy · f′(x)` on.
pub(crate) fn pointwise(
    back: &mut Back,
    at: Applied<'_>,
    function: Pointwise,
    dy: Var,
) -> Result<(), GradError> {
    let operand = at.operand(0)?;
    let divided = |back: &mut Back, by: f64| -> Made {
        let x = back.value(operand)?;
        let by = if by == 1.0 { x } else { back.times(x, by)? };
        Ok(back.graph.div("", dy, by)?)
    };
    let dx = match function {
        Pointwise::Neg => back.of(Pointwise::Neg, dy)?,
        Pointwise::Shift(_) => dy,
        Pointwise::Abs => {
            let x = back.value(operand)?;

            let sign = back.of(Pointwise::Sign, x)?;
            back.mul(dy, sign)?
        }
        Pointwise::Exp => {
            let y = back.value(at.result)?;
            back.mul(dy, y)?
        }
        Pointwise::Exp2 => {
            let y = back.value(at.result)?;

            let product = back.mul(dy, y)?;
            back.times(product, LN_2)?
        }
        Pointwise::Expm1 => {
            let y = back.value(at.result)?;

            let slope = back.of(Pointwise::Shift(1.0), y)?;
            back.mul(dy, slope)?
        }
        Pointwise::Log => divided(back, 1.0)?,
        Pointwise::Log2 => divided(back, LN_2)?,
        Pointwise::Log10 => divided(back, LN_10)?,
        Pointwise::Log1p => {
            let x = back.value(operand)?;

            let by = back.of(Pointwise::Shift(1.0), x)?;
            back.graph.div("", dy, by)?
        }
        Pointwise::Sqrt => {
            let y = back.value(at.result)?;

            let twice = back.times(y, 2.0)?;
            let dx = back.graph.div("", dy, twice)?;
            pieces::where_given(back, dy, dx)?
        }
        // −y/2x.
        Pointwise::Rsqrt => {
            let x = back.value(operand)?;
            let y = back.value(at.result)?;

            let by = back.times(x, -2.0)?;
            let slope = back.graph.div("", y, by)?;
            back.mul(dy, slope)?
        }
        // −y².
        Pointwise::Reciprocal => {
            let y = back.value(at.result)?;

            let square = back.mul(y, y)?;
            let product = back.mul(dy, square)?;
            back.of(Pointwise::Neg, product)?
        }
        Pointwise::Sin => {
            let x = back.value(operand)?;

            let slope = back.of(Pointwise::Cos, x)?;
            back.mul(dy, slope)?
        }
        Pointwise::Cos => {
            let x = back.value(operand)?;

            let slope = back.of(Pointwise::Sin, x)?;
            let product = back.mul(dy, slope)?;
            back.of(Pointwise::Neg, product)?
        }
        Pointwise::Erf => {
            let x = back.value(operand)?;

            let square = back.mul(x, x)?;
            let power = back.of(Pointwise::Neg, square)?;
            let bell = back.of(Pointwise::Exp, power)?;
            let slope = back.times(bell, FRAC_2_SQRT_PI)?;
            back.mul(dy, slope)?
        }
        // A power of 0 is 1 everywhere.
        Pointwise::Power(0.0) => return Ok(()),
        Pointwise::Power(power) => {
            let x = back.value(operand)?;

            let less = back.of(Pointwise::Power(power - 1.0), x)?;
            let slope = back.times(less, power)?;
            let dx = back.mul(dy, slope)?;
            // Steep without end at 0.
            if (0.0..1.0).contains(&power) { pieces::where_given(back, dy, dx)? } else { dx }
        }
        Pointwise::LogSigmoid => {
            let x = back.value(operand)?;

            let s = back.graph.activation(x, Activation::Sigmoid)?;
            let slope = one_less(back, s)?;
            back.mul(dy, slope)?
        }
        // Flat between the places where they step.
        Pointwise::Floor | Pointwise::Ceil | Pointwise::Round | Pointwise::Sign => return Ok(()),
        // 1 / (1 + x²).
        Pointwise::Atan => {
            let x = back.value(operand)?;

            let square = back.mul(x, x)?;
            let by = back.of(Pointwise::Shift(1.0), square)?;
            back.graph.div("", dy, by)?
        }
        // 1 + y².
        Pointwise::Tan => {
            let y = back.value(at.result)?;

            let square = back.mul(y, y)?;
            let slope = back.of(Pointwise::Shift(1.0), square)?;
            back.mul(dy, slope)?
        }
        Pointwise::Clamp { min, max } => {
            let x = back.value(operand)?;
            pieces::clamp(back, x, [min, max], dy)?
        }
        Pointwise::LeakyRelu(slope) => {
            let x = back.value(operand)?;
            pieces::leaky_relu(back, x, slope, dy)?
        }
        Pointwise::Elu(limit) => {
            let x = back.value(operand)?;
            pieces::exponential(back, x, [1.0, limit, 1.0], dy)?
        }
        Pointwise::Celu(limit) => {
            let x = back.value(operand)?;
            pieces::exponential(back, x, [limit, 1.0, 1.0], dy)?
        }
        Pointwise::Selu => {
            let x = back.value(operand)?;
            pieces::selu(back, x, dy)?
        }
        Pointwise::HardSigmoid => {
            let x = back.value(operand)?;
            pieces::hard_sigmoid(back, x, dy)?
        }
        Pointwise::HardSwish => {
            let x = back.value(operand)?;
            pieces::hard_swish(back, x, dy)?
        }
        Pointwise::Mish => {
            let x = back.value(operand)?;
            pieces::mish(back, x, dy)?
        }
        Pointwise::Softsign => {
            let x = back.value(operand)?;
            pieces::softsign(back, x, dy)?
        }
    };
    back.contribute(operand, dx)
}

/// y·(1 − y).
fn sigmoid_slope(back: &mut Back, y: Var) -> Made {
    let rest = one_less(back, y)?;
    back.mul(y, rest)
}
