//! Functions of numbers in cases: what is infinite or none, what is near 0, whole parts.

use opledger_dims::Activation;
use opledger_ir::IndexExpr;
use opledger_ir::ops::{ArithmeticKind, CompareKind, Factor, Pointwise};

use super::elementwise::{STRAIGHT, combined, operands, threshold};
use super::truth::{chosen, compare, select};
use crate::call::Call;
use crate::importer::{Importer, Lowered, Meaning, Obstacle};
use crate::tensor::Placed;
use crate::whole::WholeKind;

pub(super) fn lower(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Vec<Meaning>> {
    let infinite = Meaning::Number(f64::INFINITY);
    let value = match base {
        "isinf" | "isfinite" => {
            let far = Meaning::Tensor(distance(own, call)?);
            let kind = if base == "isinf" { CompareKind::Equal } else { CompareKind::Less };
            Meaning::Whole(compare(own, kind, far, infinite)?)
        }
        "nan_to_num" => numbers(own, call)?,
        // To a place behind the point, or before it.
        "round" => {
            let decimals = i32::try_from(call.int("decimals", 0)).map_err(|_| Obstacle::Unknown)?;
            let tens = Meaning::Number(10_f64.powi(decimals.abs()));
            let (up, down) = (ArithmeticKind::Mul, ArithmeticKind::Div);
            let [before, after] = if decimals < 0 { [down, up] } else { [up, down] };
            let x = call.value(own, "self")?;
            let mut x = combined(own, before, x, tens.clone())?;
            x.var = own.graph.pointwise(x.var, Pointwise::Round)?;
            Meaning::Tensor(combined(own, after, Meaning::Tensor(x), tens)?)
        }
        "trunc" | "fix" => {
            let x = call.tensor(own, "self")?;
            Meaning::Tensor(whole_part(own, call, x)?)
        }
        "frac" => {
            let (x, whole) = (call.value(own, "self")?, call.tensor(own, "self")?);
            let whole = whole_part(own, call, whole)?;
            Meaning::Tensor(combined(own, ArithmeticKind::Sub, x, Meaning::Tensor(whole))?)
        }
        "hardshrink" => {
            let (x, far) = (call.value(own, "self")?, Meaning::Tensor(distance(own, call)?));
            let least = Meaning::Number(call.float("lambd").unwrap_or(0.5));
            let near = compare(own, CompareKind::AtMost, far, least)?;
            select(own, call, Meaning::Whole(near), Meaning::Number(0.0), x)?
        }
        // What is no further from 0 than a bound is taken away.
        "softshrink" => {
            let (x, bound) = (call.tensor(own, "self")?, call.float("lambd").unwrap_or(0.5));
            let mut near = x.clone();
            own.movement().real(&mut near)?;
            let clamp = Pointwise::Clamp { min: Some(-bound), max: Some(bound) };
            near.var = own.graph.pointwise(near.var, clamp)?;
            let (x, near) = (Meaning::Tensor(x), Meaning::Tensor(near));
            Meaning::Tensor(combined(own, ArithmeticKind::Sub, x, near)?)
        }
        "remainder" | "fmod" => {
            let [a, b] = operands(own, call)?;
            let whole = quotient(own, call, [a.clone(), b.clone()], base == "remainder")?;
            let whole = combined(own, ArithmeticKind::Mul, Meaning::Tensor(whole), b)?;
            Meaning::Tensor(combined(own, ArithmeticKind::Sub, a, Meaning::Tensor(whole))?)
        }
        "floor_divide" | "div" | "divide" if call.kind(own, 0)? == WholeKind::Real => {
            let down = match call.text("rounding_mode") {
                None if base == "floor_divide" => true,
                Some("floor") => true,
                Some("trunc") => false,
                _ => return Err(Obstacle::Unknown),
            };
            let both = operands(own, call)?;
            Meaning::Tensor(quotient(own, call, both, down)?)
        }
        "erfc" => {
            let mut x = call.tensor(own, "self")?;
            own.movement().real(&mut x)?;
            for function in [Pointwise::Erf, Pointwise::Neg, Pointwise::Shift(1.0)] {
                x.var = own.graph.pointwise(x.var, function)?;
            }
            Meaning::Tensor(x)
        }
        // Half of eˣ and of e⁻ˣ.
        "sinh" | "cosh" => {
            let mut x = call.tensor(own, "self")?;
            own.movement().real(&mut x)?;
            let mut opposite = x.clone();
            opposite.var = own.graph.pointwise(x.var, Pointwise::Neg)?;
            let [up, down] = [x, opposite].map(|mut x| {
                x.var = own.graph.pointwise(x.var, Pointwise::Exp)?;
                x.var = own.graph.scale(x.var, Factor::Number(0.5))?;
                Ok::<_, Obstacle>(Meaning::Tensor(x))
            });
            let kind = if base == "sinh" { ArithmeticKind::Sub } else { ArithmeticKind::Add };
            Meaning::Tensor(combined(own, kind, up?, down?)?)
        }
        "hypot" => {
            let [a, b] = operands(own, call)?.map(|value| {
                let mut x = own.real(value)?;
                own.movement().real(&mut x)?;
                x.var = own.graph.pointwise(x.var, Pointwise::Power(2.0))?;
                Ok::<_, Obstacle>(Meaning::Tensor(x))
            });
            let mut sum = combined(own, ArithmeticKind::Add, a?, b?)?;
            sum.var = own.graph.pointwise(sum.var, Pointwise::Sqrt)?;
            Meaning::Tensor(sum)
        }
        // Where one of two is no number, the other.
        "fmax" | "fmin" => {
            let [a, b] = operands(own, call)?;
            let kind = if base == "fmax" { ArithmeticKind::Max } else { ArithmeticKind::Min };
            let both = Meaning::Tensor(combined(own, kind, a.clone(), b.clone())?);
            let [is_a, is_b] =
                [&a, &b].map(|one| compare(own, CompareKind::Equal, one.clone(), one.clone()));
            let first = select(own, call, Meaning::Whole(is_b?), both, a)?;
            select(own, call, Meaning::Whole(is_a?), first, b)?
        }
        // ln(x / (1 − x)), kept from both ends by a bound.
        "logit" => {
            let mut x = call.tensor(own, "self")?;
            own.movement().real(&mut x)?;
            if let Some(least) = call.float("eps").filter(|least| *least >= 0.0) {
                let clamp = Pointwise::Clamp { min: Some(least), max: Some(1.0 - least) };
                x.var = own.graph.pointwise(x.var, clamp)?;
            }
            let x = Meaning::Tensor(x);
            let rest = combined(own, ArithmeticKind::Sub, Meaning::Number(1.0), x.clone())?;
            let mut odds = combined(own, ArithmeticKind::Div, x, Meaning::Tensor(rest))?;
            odds.var = own.graph.pointwise(odds.var, Pointwise::Log)?;
            Meaning::Tensor(odds)
        }
        "softplus" => softplus(own, call)?,
        "logaddexp" => Meaning::Tensor(log_sum(own, call)?),
        _ => return Err(Obstacle::Unknown),
    };
    Ok(vec![value])
}

/// ln(1 + e^(β·x)) / β, and x itself where β·x is above a threshold.
fn softplus(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Meaning> {
    let beta = call.float("beta").unwrap_or(1.0);
    let mut x = call.tensor(own, "self")?;
    own.movement().real(&mut x)?;
    let given = Meaning::Tensor(x.clone());
    x.var = own.graph.scale(x.var, Factor::Number(beta))?;
    let scaled = Meaning::Tensor(x.clone());
    x.var = own.graph.activation(x.var, Activation::Softplus)?;
    x.var = own.graph.scale(x.var, Factor::Number(1.0 / beta))?;
    let soft = Meaning::Tensor(x);
    if threshold(call) >= STRAIGHT {
        return Ok(soft);
    }
    let near = compare(own, CompareKind::AtMost, scaled, Meaning::Number(threshold(call)))?;
    select(own, call, Meaning::Whole(near), soft, given)
}

/// How far each number is from 0.
fn distance(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Placed> {
    let mut x = call.tensor(own, "self")?;
    own.movement().real(&mut x)?;
    x.var = own.graph.pointwise(x.var, Pointwise::Abs)?;
    Ok(x)
}

/// Numbers in the place of what is infinite or none.
fn numbers(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Meaning> {
    let x = call.value(own, "self")?;
    let most = f64::from(f32::MAX);
    let given = |name: &str, default: f64| call.float(name).unwrap_or(default);
    let is_number = compare(own, CompareKind::Equal, x.clone(), x.clone())?;
    let none = Meaning::Number(given("nan", 0.0));
    let mut value = select(own, call, Meaning::Whole(is_number), x.clone(), none)?;
    for (from, to) in
        [(f64::INFINITY, given("posinf", most)), (f64::NEG_INFINITY, given("neginf", -most))]
    {
        let is = compare(own, CompareKind::Equal, x.clone(), Meaning::Number(from))?;
        let finite = is.each(WholeKind::Truth, IndexExpr::is_zero);
        let so_far = own.real(value)?;
        value = Meaning::Tensor(chosen(own, finite, so_far, to)?);
    }
    Ok(value)
}

/// A number without what is behind its point.
fn whole_part(own: &mut Importer<'_>, call: &Call<'_>, mut x: Placed) -> Lowered<Placed> {
    own.movement().real(&mut x)?;
    let value = Meaning::Tensor(x.clone());
    let below = compare(own, CompareKind::Less, value, Meaning::Number(0.0))?;
    let [up, down] = [Pointwise::Ceil, Pointwise::Floor].map(|rounded| {
        let var = own.graph.pointwise(x.var, rounded);
        var.map(|var| Meaning::Tensor(Placed { var, dims: x.dims.clone() }))
    });
    let whole = select(own, call, Meaning::Whole(below), up?, down?)?;
    own.real(whole)
}

/// ln(eᵃ + eᵇ): the larger of both, and ln(1 + e^−d) where they are d apart.
fn log_sum(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Placed> {
    let [a, b] = operands(own, call)?;
    let larger = combined(own, ArithmeticKind::Max, a.clone(), b.clone())?;
    let mut below = combined(own, ArithmeticKind::Sub, a.clone(), b.clone())?;
    for function in [Pointwise::Abs, Pointwise::Neg] {
        below.var = own.graph.pointwise(below.var, function)?;
    }
    // Equal infinities are none apart.
    let same = compare(own, CompareKind::Equal, a, b)?;
    let mut more = chosen(own, same.each(WholeKind::Truth, IndexExpr::is_zero), below, 0.0)?;
    for function in [Pointwise::Exp, Pointwise::Log1p] {
        more.var = own.graph.pointwise(more.var, function)?;
    }
    let (larger, more) = (Meaning::Tensor(larger), Meaning::Tensor(more));
    combined(own, ArithmeticKind::Add, larger, more)
}

/// How often one value has room in another: rounded down, or towards 0.
fn quotient(
    own: &mut Importer<'_>,
    call: &Call<'_>,
    [a, b]: [Meaning; 2],
    down: bool,
) -> Lowered<Placed> {
    let mut quotient = combined(own, ArithmeticKind::Div, a, b)?;
    if !down {
        return whole_part(own, call, quotient);
    }
    quotient.var = own.graph.pointwise(quotient.var, Pointwise::Floor)?;
    Ok(quotient)
}
