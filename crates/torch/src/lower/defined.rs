//! Functions that are others by their definitions (NIST Digital Library of Mathematical Functions, §4.23, §4.37,
//! §7.1).

use opledger_ir::IndexExpr;
use opledger_ir::ops::{ArithmeticKind, CompareKind, Factor, Pointwise};

use super::elementwise::{combined, operands};
use super::truth::{compare, select};
use crate::call::Call;
use crate::importer::{Importer, Lowered, Meaning, Obstacle};
use crate::tensor::Placed;
use crate::whole::WholeKind;

pub(super) fn lower(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Vec<Meaning>> {
    let value = match base {
        "positive" => call.value(own, "self")?,
        "deg2rad" => scaled(own, call, std::f64::consts::PI / 180.0)?,
        "rad2deg" => scaled(own, call, 180.0 / std::f64::consts::PI)?,
        // ln(x + √(x² ± 1)).
        "asinh" => logarithm(own, call, 1.0)?,
        "acosh" => logarithm(own, call, -1.0)?,
        // Half of ln((1 + x) / (1 − x)).
        "atanh" => {
            let x = real(own, call)?;
            let [more, less] = [ArithmeticKind::Add, ArithmeticKind::Sub].map(|kind| {
                let (one, x) = (Meaning::Number(1.0), Meaning::Tensor(x.clone()));
                combined(own, kind, one, x).map(Meaning::Tensor)
            });
            let ratio = combined(own, ArithmeticKind::Div, more?, less?)?;
            let logarithm = applied(own, ratio, [Pointwise::Log])?;
            times(own, logarithm, 0.5)?
        }
        // atan(x / √(1 − x²)), whose quotient is infinite at ±1; what is left of π/2.
        "asin" | "acos" => {
            let x = real(own, call)?;
            let root =
                [Pointwise::Power(2.0), Pointwise::Neg, Pointwise::Shift(1.0), Pointwise::Sqrt];
            let root = Meaning::Tensor(applied(own, x.clone(), root)?);
            let ratio = combined(own, ArithmeticKind::Div, Meaning::Tensor(x), root)?;
            let angle = applied(own, ratio, [Pointwise::Atan])?;
            let rest = [Pointwise::Neg, Pointwise::Shift(std::f64::consts::FRAC_PI_2)];
            Meaning::Tensor(if base == "acos" { applied(own, angle, rest)? } else { angle })
        }
        "atan2" => {
            let [y, x] = operands(own, call)?;
            direction(own, call, y, x)?
        }
        // sin(π·x) / (π·x), and 1 at 0.
        "sinc" | "special_sinc" => {
            let angle = scaled(own, call, std::f64::consts::PI)?;
            let of = own.real(angle.clone())?;
            let sine = Meaning::Tensor(applied(own, of, [Pointwise::Sin])?);
            let ratio = combined(own, ArithmeticKind::Div, sine, angle.clone())?;
            let is_none = compare(own, CompareKind::Equal, angle, Meaning::Number(0.0))?;
            let (one, ratio) = (Meaning::Number(1.0), Meaning::Tensor(ratio));
            select(own, call, Meaning::Whole(is_none), one, ratio)?
        }
        // Half of 1 + erf(x / √2).
        "special_ndtr" => {
            let angle = scaled(own, call, std::f64::consts::FRAC_1_SQRT_2)?;
            let of = own.real(angle)?;
            let sum = applied(own, of, [Pointwise::Erf, Pointwise::Shift(1.0)])?;
            times(own, sum, 0.5)?
        }
        // a·2ᵇ.
        "ldexp" => {
            let [a, b] = operands(own, call)?;
            let mut b = own.real(b)?;
            own.movement().real(&mut b)?;
            let power = Meaning::Tensor(applied(own, b, [Pointwise::Exp2])?);
            Meaning::Tensor(combined(own, ArithmeticKind::Mul, a, power)?)
        }
        _ => return Err(Obstacle::Unknown),
    };
    Ok(vec![value])
}

fn real(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Placed> {
    let mut x = call.tensor(own, "self")?;
    own.movement().real(&mut x)?;
    Ok(x)
}

/// The angle of a point: atan(y / x), half a turn further on the left, to the side of y; of a point at the
/// origin 0 or half a turn.
pub(super) fn direction(
    own: &mut Importer<'_>,
    call: &Call<'_>,
    y: Meaning,
    x: Meaning,
) -> Lowered<Meaning> {
    let zero = || Meaning::Number(0.0);
    let ratio = Meaning::Tensor(combined(own, ArithmeticKind::Div, y.clone(), x.clone())?);
    // 0/0 is no number.
    let [none_of_x, none_of_y] =
        [&x, &y].map(|part| compare(own, CompareKind::Equal, part.clone(), zero()));
    let at_origin = none_of_x?.zip(&none_of_y?, WholeKind::Truth, IndexExpr::and);
    let at_origin = Meaning::Whole(at_origin.map_err(Obstacle::sizes)?);
    let ratio = select(own, call, at_origin, zero(), ratio)?;
    let mut ratio = own.real(ratio)?;
    own.movement().real(&mut ratio)?;
    let angle = Meaning::Tensor(applied(own, ratio, [Pointwise::Atan])?);
    let left = compare(own, CompareKind::Less, x, zero())?;
    let below = compare(own, CompareKind::Less, y, zero())?;
    let half = Meaning::Number(std::f64::consts::PI);
    let [up, down] = [ArithmeticKind::Add, ArithmeticKind::Sub]
        .map(|kind| combined(own, kind, angle.clone(), half.clone()).map(Meaning::Tensor));
    let turned = select(own, call, Meaning::Whole(below), down?, up?)?;
    select(own, call, Meaning::Whole(left), turned, angle)
}

/// Functions one after another.
fn applied<const N: usize>(
    own: &mut Importer<'_>,
    mut x: Placed,
    functions: [Pointwise; N],
) -> Lowered<Placed> {
    for function in functions {
        x.var = own.graph.pointwise(x.var, function)?;
    }
    Ok(x)
}

fn times(own: &mut Importer<'_>, mut x: Placed, by: f64) -> Lowered<Meaning> {
    x.var = own.graph.scale(x.var, Factor::Number(by))?;
    Ok(Meaning::Tensor(x))
}

fn scaled(own: &mut Importer<'_>, call: &Call<'_>, by: f64) -> Lowered<Meaning> {
    let x = real(own, call)?;
    times(own, x, by)
}

/// ln(x + √(x² + more)).
fn logarithm(own: &mut Importer<'_>, call: &Call<'_>, more: f64) -> Lowered<Meaning> {
    let x = real(own, call)?;
    let root = [Pointwise::Power(2.0), Pointwise::Shift(more), Pointwise::Sqrt];
    let root = Meaning::Tensor(applied(own, x.clone(), root)?);
    let sum = combined(own, ArithmeticKind::Add, Meaning::Tensor(x), root)?;
    applied(own, sum, [Pointwise::Log]).map(Meaning::Tensor)
}
