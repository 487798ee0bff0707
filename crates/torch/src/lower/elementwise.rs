//! Functions of one element, and of two at the same place.

use opledger_dims::{Activation, Poly};
use opledger_ir::ops::{ArithmeticKind, Factor, Pointwise};
use opledger_ir::{IndexExpr, Var};

use super::hidden;
use crate::call::Call;
use crate::importer::{Importer, Lowered, Meaning, Obstacle};
use crate::tensor::{Dim, DimPart, Placed};
use crate::whole::{Whole, WholeKind, towards_zero};

pub(super) fn lower(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Vec<Meaning>> {
    let one = |value: Lowered<Meaning>| value.map(|value| vec![value]);
    if let Some(function) = function(call, base)? {
        return one(applied(own, call, function));
    }
    match base {
        "max" | "min" if call.has("other") => {
            one(arithmetic(own, call, if base == "max" { "maximum" } else { "minimum" }))
        }
        "add" | "sub" | "rsub" | "subtract" | "mul" | "multiply" | "div" | "divide"
        | "true_divide" | "maximum" | "minimum" | "floor_divide" | "remainder" | "fmod" => {
            one(arithmetic(own, call, base))
        }
        "pow" => one(power(own, call)),
        "addcmul" | "addcdiv" => one(added(own, call, base)),
        "clamp" | "clip" | "clamp_min" | "clamp_max" => one(clamped(own, call)),
        "lerp" => one(between(own, call)),
        "glu" => one(gated(own, call)),
        "outer" | "ger" => {
            let mut a = call.tensor(own, "self")?;
            a.dims.push(Dim::new());
            let b = call.value(own, "vec2")?;
            one(combined(own, ArithmeticKind::Mul, Meaning::Tensor(a), b).map(Meaning::Tensor))
        }
        "zero" | "fill" => one(set(own, call, base)),
        _ => Err(Obstacle::Unknown),
    }
}

/// From here on ln(1 + eˣ) is x in single precision, and PyTorch's default threshold.
pub(super) const STRAIGHT: f64 = 20.0;

/// Where a softplus becomes its argument.
pub(super) fn threshold(call: &Call<'_>) -> f64 {
    call.float("threshold").unwrap_or(STRAIGHT)
}

/// A function of one number.
enum Function {
    Named(Activation),
    Pointwise(Pointwise),
}

fn function(call: &Call<'_>, base: &str) -> Lowered<Option<Function>> {
    let float = |name: &str, default: f64| call.float(name).unwrap_or(default);
    let named = |function| Ok(Some(Function::Named(function)));
    let point = |function| Ok(Some(Function::Pointwise(function)));
    match base {
        "relu" => named(Activation::Relu),
        "gelu" if call.text("approximate") == Some("tanh") => named(Activation::GeluTanh),
        "gelu" => named(Activation::GeluErf),
        "silu" => named(Activation::Silu),
        "sigmoid" => named(Activation::Sigmoid),
        "tanh" => named(Activation::Tanh),
        "softplus" if float("beta", 1.0) == 1.0 && threshold(call) >= STRAIGHT => {
            named(Activation::Softplus)
        }
        "neg" | "negative" => point(Pointwise::Neg),
        "abs" | "absolute" => point(Pointwise::Abs),
        "exp" => point(Pointwise::Exp),
        "log" => point(Pointwise::Log),
        "sqrt" => point(Pointwise::Sqrt),
        "rsqrt" => point(Pointwise::Rsqrt),
        "reciprocal" => point(Pointwise::Reciprocal),
        "sin" => point(Pointwise::Sin),
        "cos" => point(Pointwise::Cos),
        "erf" => point(Pointwise::Erf),
        "square" => point(Pointwise::Power(2.0)),
        "exp2" => point(Pointwise::Exp2),
        "expm1" => point(Pointwise::Expm1),
        "log2" => point(Pointwise::Log2),
        "log10" => point(Pointwise::Log10),
        "log1p" => point(Pointwise::Log1p),
        "tan" => point(Pointwise::Tan),
        "atan" => point(Pointwise::Atan),
        "hardtanh" => {
            let bound = |name: &str, default| Some(float(name, default));
            point(Pointwise::Clamp { min: bound("min_val", -1.0), max: bound("max_val", 1.0) })
        }
        "celu" => point(Pointwise::Celu(float("alpha", 1.0))),
        "selu" => point(Pointwise::Selu),
        "log_sigmoid" => point(Pointwise::LogSigmoid),
        "softsign" => point(Pointwise::Softsign),
        "ceil" => point(Pointwise::Ceil),
        "round" if !call.has("decimals") => point(Pointwise::Round),
        // In evaluation a random slope is the mean of its bounds.
        "rrelu" if !call.flag("training", false) => {
            point(Pointwise::LeakyRelu((float("lower", 0.125) + float("upper", 1.0 / 3.0)) / 2.0))
        }
        "relu6" => point(Pointwise::Clamp { min: Some(0.0), max: Some(6.0) }),
        "leaky_relu" => point(Pointwise::LeakyRelu(float("negative_slope", 0.01))),
        "elu" if float("scale", 1.0) == 1.0 && float("input_scale", 1.0) == 1.0 => {
            point(Pointwise::Elu(float("alpha", 1.0)))
        }
        "hardsigmoid" => point(Pointwise::HardSigmoid),
        "hardswish" => point(Pointwise::HardSwish),
        "mish" => point(Pointwise::Mish),
        "floor" => point(Pointwise::Floor),
        "sign" | "sgn" => point(Pointwise::Sign),
        _ => Ok(None),
    }
}

fn applied(own: &mut Importer<'_>, call: &Call<'_>, function: Function) -> Lowered<Meaning> {
    let name = if call.has("self") { "self" } else { "input" };
    let value = call.value(own, name)?;
    if let (Meaning::Whole(whole), Function::Pointwise(Pointwise::Neg)) = (&value, &function) {
        let expr = |expr: &IndexExpr| IndexExpr::from(0).minus(expr);
        return Ok(Meaning::Whole(whole.each(whole.kind, expr)));
    }
    if let (Meaning::Whole(whole), Function::Pointwise(Pointwise::Abs)) = (&value, &function) {
        let none = IndexExpr::from(0);
        let expr = |expr: &IndexExpr| expr.is_positive().choose(expr, &none.minus(expr));
        return Ok(Meaning::Whole(whole.each(whole.kind, expr)));
    }
    // The logarithm of what is seen hides the rest by −∞.
    if let (Function::Pointwise(Pointwise::Log), Some((when, then, otherwise))) =
        (&function, one_of_two(&value))
        && then >= 0.0
        && otherwise >= 0.0
    {
        return Ok(Meaning::Choice { when, then: then.ln(), otherwise: otherwise.ln() });
    }
    let mut tensor = own.real(value)?;
    own.movement().real(&mut tensor)?;
    let var = match function {
        Function::Named(function) => own.graph.activation(tensor.var, function)?,
        Function::Pointwise(function) => own.graph.pointwise(tensor.var, function)?,
    };
    Ok(Meaning::Tensor(Placed { var, ..tensor }))
}

/// No less than one bound and no more than another, which may be tensors; of whole numbers by an
/// expression.
fn clamped(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Meaning> {
    let mut value = call.value(own, "self")?;
    let kind = call.kind(own, 0)?;
    let [min, max] = [call.value(own, "min")?, call.value(own, "max")?];
    if let (Some(least), Some(most)) = (bound(&min), bound(&max))
        && !matches!(value, Meaning::Whole(_))
    {
        let mut x = own.real(value)?;
        own.movement().real(&mut x)?;
        x.var = own.graph.pointwise(x.var, Pointwise::Clamp { min: least, max: most })?;
        return Ok(Meaning::Tensor(x));
    }
    for (by, arithmetic) in [(min, ArithmeticKind::Max), (max, ArithmeticKind::Min)] {
        if matches!(by, Meaning::None) {
            continue;
        }
        value = match (whole(&value), whole(&by)) {
            (Some(x), Some(y)) if kind != WholeKind::Real => {
                let combine: fn(&IndexExpr, &IndexExpr) -> IndexExpr = match arithmetic {
                    ArithmeticKind::Max => larger,
                    _ => smaller,
                };
                x.zip(&y, kind, combine).map(Meaning::Whole).map_err(Obstacle::sizes)?
            }
            _ => combined(own, arithmetic, value, by).map(Meaning::Tensor)?,
        };
    }
    Ok(value)
}

/// A bound that is a number, or none.
fn bound(value: &Meaning) -> Option<Option<f64>> {
    match value {
        Meaning::None => Some(None),
        value => number(value).map(Some),
    }
}

fn larger(a: &IndexExpr, b: &IndexExpr) -> IndexExpr {
    a.below(b).choose(b, a)
}

fn smaller(a: &IndexExpr, b: &IndexExpr) -> IndexExpr {
    a.below(b).choose(a, b)
}

/// `start + weight·(end − start)`.
fn between(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Meaning> {
    let [start, end, weight] = ["self", "end", "weight"].map(|name| call.value(own, name));
    let (start, end) = (start?, end?);
    let apart = combined(own, ArithmeticKind::Sub, end, start.clone())?;
    let part = combined(own, ArithmeticKind::Mul, Meaning::Tensor(apart), weight?)?;
    combined(own, ArithmeticKind::Add, start, Meaning::Tensor(part)).map(Meaning::Tensor)
}

/// The first half of a dimension times the sigmoid of the second.
fn gated(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Meaning> {
    let x = Meaning::Tensor(call.tensor(own, "self")?);
    let sizes = super::movement::sizes_of(&x)?;
    let dim = call.dim("dim", -1, sizes.len())?;
    let half = own.floor_div(&sizes[dim], &2.into());
    let first = super::movement::cut(own, x.clone(), dim, &Poly::zero(), &half)?;
    let second = super::movement::cut(own, x, dim, &half, &half)?;
    let mut gate = own.real(second)?;
    gate.var = own.graph.activation(gate.var, Activation::Sigmoid)?;
    combined(own, ArithmeticKind::Mul, first, Meaning::Tensor(gate)).map(Meaning::Tensor)
}

/// `x + value·a·b`, or `x + value·a / b`.
fn added(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Meaning> {
    let [x, a, b] = ["self", "tensor1", "tensor2"].map(|name| call.value(own, name));
    let kind = if base == "addcmul" { ArithmeticKind::Mul } else { ArithmeticKind::Div };
    let mut term = Meaning::Tensor(combined(own, kind, a?, b?)?);
    let value = call.float("value").unwrap_or(1.0);
    if value != 1.0 {
        term = scaled(own, term, value)?;
    }
    combined(own, ArithmeticKind::Add, x?, term).map(Meaning::Tensor)
}

/// All elements the same number.
fn set(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Meaning> {
    let number = match base {
        "zero" => Some(0.0),
        _ => number(&call.value(own, "value")?),
    };
    let number = number.ok_or(Obstacle::Unknown)?;
    let when = Whole { sizes: call.sizes(own, 0)?, expr: 1.into(), kind: WholeKind::Truth };
    Ok(Meaning::Choice { when, then: number, otherwise: number })
}

/// A number that is whole.
fn whole_number(value: f64) -> Option<i64> {
    (value.fract() == 0.0 && value.abs() < 9e15).then_some(value as i64)
}

/// A value as whole numbers, if it is.
pub(super) fn whole(value: &Meaning) -> Option<Whole> {
    match value {
        Meaning::Whole(whole) => Some(whole.clone()),
        Meaning::Size(size) => {
            let expr = IndexExpr::size(size.clone());
            Some(Whole::filled(Vec::new(), expr, WholeKind::Whole))
        }
        Meaning::Number(number) => whole_number(*number)
            .map(|number| Whole::filled(Vec::new(), number.into(), WholeKind::Real)),
        Meaning::Tensor(_)
        | Meaning::Hidden(_)
        | Meaning::Choice { .. }
        | Meaning::List(_)
        | Meaning::Groups(_)
        | Meaning::None => None,
    }
}

/// A value as one number, if it is.
pub(super) fn number(value: &Meaning) -> Option<f64> {
    match value {
        Meaning::Number(number) => Some(*number),
        Meaning::Size(size) => {
            size.as_integer().and_then(|size| i64::try_from(size).ok()).map(|n| n as f64)
        }
        Meaning::Choice { when, then, otherwise } if when.sizes.is_empty() => {
            match when.expr.as_number() {
                Some(0) => Some(*otherwise),
                Some(_) => Some(*then),
                None => None,
            }
        }
        Meaning::Whole(whole) if whole.sizes.is_empty() => whole.expr.as_number().map(|n| n as f64),
        Meaning::Tensor(_)
        | Meaning::Hidden(_)
        | Meaning::Choice { .. }
        | Meaning::Whole(_)
        | Meaning::List(_)
        | Meaning::Groups(_)
        | Meaning::None => None,
    }
}

/// The number that a value has everywhere, whatever its sizes.
pub(super) fn constant(value: &Meaning) -> Option<f64> {
    match value {
        Meaning::Choice { when, then, otherwise } => match when.expr.as_number() {
            Some(0) => Some(*otherwise),
            Some(_) => Some(*then),
            None => None,
        },
        Meaning::Whole(whole) => whole.expr.as_number().map(|n| n as f64),
        value => number(value),
    }
}

pub(super) fn operands(own: &Importer<'_>, call: &Call<'_>) -> Lowered<[Meaning; 2]> {
    let name = if call.has("self") { "self" } else { "input" };
    Ok([call.value(own, name)?, call.value(own, "other")?])
}

fn arithmetic(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Meaning> {
    let [mut a, mut b] = operands(own, call)?;
    if base == "rsub" {
        std::mem::swap(&mut a, &mut b);
    }
    let alpha = call.float("alpha").unwrap_or(1.0);
    if alpha != 1.0 {
        if base == "rsub" {
            return Err(Obstacle::Unknown);
        }
        b = scaled(own, b, alpha)?;
    }
    let kind = call.kind(own, 0)?;
    let rounding = call.text("rounding_mode");
    if let (Some(x), Some(y)) = (whole(&a), whole(&b)) {
        let combine: Option<fn(&IndexExpr, &IndexExpr) -> IndexExpr> = match base {
            "add" => Some(IndexExpr::plus),
            "sub" | "subtract" | "rsub" => Some(IndexExpr::minus),
            "mul" | "multiply" => Some(IndexExpr::times),
            "floor_divide" => Some(IndexExpr::floor_div),
            "div" | "divide" if rounding == Some("floor") => Some(IndexExpr::floor_div),
            "div" | "divide" if rounding == Some("trunc") => Some(towards_zero),
            "fmod" => Some(|a, b| a.minus(&b.times(&towards_zero(a, b)))),
            "remainder" => Some(IndexExpr::modulo),
            "maximum" => Some(larger),
            "minimum" => Some(smaller),
            _ => None,
        };
        if let Some(combine) = combine {
            return x.zip(&y, kind, combine).map(Meaning::Whole).map_err(Obstacle::sizes);
        }
    }
    if kind != WholeKind::Real {
        return Err(Obstacle::Unknown);
    }
    // Rounded quotients of reals are told case by case.
    if rounding.is_some() || matches!(base, "remainder" | "fmod" | "floor_divide") {
        return Err(Obstacle::Unknown);
    }
    if let Some(choice) = mask_arithmetic(base, &a, &b) {
        return Ok(choice);
    }
    if base == "add"
        && let Some(hidden) =
            hidden::sum(own, [&a, &b], |own, a, b| combined(own, ArithmeticKind::Add, a, b))?
    {
        return Ok(hidden);
    }
    let kind = match base {
        "add" => ArithmeticKind::Add,
        "sub" | "subtract" | "rsub" => ArithmeticKind::Sub,
        "mul" | "multiply" => ArithmeticKind::Mul,
        "div" | "divide" | "true_divide" => ArithmeticKind::Div,
        "maximum" => ArithmeticKind::Max,
        "minimum" => ArithmeticKind::Min,
        _ => return Err(Obstacle::Unknown),
    };
    combined(own, kind, a, b).map(Meaning::Tensor)
}

/// A value that is one number or another: where, and which.
fn one_of_two(value: &Meaning) -> Option<(Whole, f64, f64)> {
    match value {
        Meaning::Whole(whole) => whole.one_of_two(),
        Meaning::Choice { when, then, otherwise } => Some((when.clone(), *then, *otherwise)),
        Meaning::Tensor(_)
        | Meaning::Groups(_)
        | Meaning::Hidden(_)
        | Meaning::Size(_)
        | Meaning::Number(_)
        | Meaning::List(_)
        | Meaning::None => None,
    }
}

/// A float mask made by arithmetic: `(1 − seen)·least`, or one added to nothing.
fn mask_arithmetic(base: &str, a: &Meaning, b: &Meaning) -> Option<Meaning> {
    let apply = |x: f64, y: f64| match base {
        "mul" | "multiply" => Some(x * y),
        "add" => Some(x + y),
        "sub" | "subtract" | "rsub" => Some(x - y),
        _ => None,
    };
    let ((when, ..), then, otherwise) = match (one_of_two(a), number(b), number(a), one_of_two(b)) {
        (Some(one), Some(y), _, _) => {
            let (then, otherwise) = (apply(one.1, y)?, apply(one.2, y)?);
            (one, then, otherwise)
        }
        (_, _, Some(x), Some(one)) => {
            let (then, otherwise) = (apply(x, one.1)?, apply(x, one.2)?);
            (one, then, otherwise)
        }
        _ => return None,
    };
    Some(Meaning::Choice { when, then, otherwise })
}

pub(super) fn scaled(own: &mut Importer<'_>, value: Meaning, by: f64) -> Lowered<Meaning> {
    if let (Meaning::Whole(whole), Some(by)) = (&value, whole_number(by)) {
        let kind = whole.kind;
        return Ok(Meaning::Whole(whole.each(kind, |expr| expr.scaled(&Poly::from(by)))));
    }
    combined(own, ArithmeticKind::Mul, value, Meaning::Number(by)).map(Meaning::Tensor)
}

/// Two values combined place by place.
pub(super) fn combined(
    own: &mut Importer<'_>,
    kind: ArithmeticKind,
    a: Meaning,
    b: Meaning,
) -> Lowered<Placed> {
    // A constant is no operand.
    let constant = match (number(&a), number(&b)) {
        (None, Some(number)) => Some((a.clone(), number, false)),
        (Some(number), None) => Some((b.clone(), number, true)),
        (Some(_), Some(_)) | (None, None) => None,
    };
    if let Some((value, number, first)) = constant {
        let mut tensor = own.real(value)?;
        own.movement().real(&mut tensor)?;
        if let Some(var) = with_number(own, kind, tensor.var, number, first)? {
            return Ok(Placed { var, ..tensor });
        }
    }
    let (a, b) = (own.real(a)?, own.real(b)?);
    let mut movement = own.movement();
    let (mut a, mut b, mut dims) = movement.aligned(&a, &b)?;
    // What neither has is computed as often as the program says.
    if dims.iter().flatten().any(|piece| matches!(piece, DimPart::Repeat(_))) {
        a.dims = dims;
        movement.real(&mut a)?;
        dims = a.dims.clone();
    }
    let covers = |tensor: &Placed, dims: &[Dim], graph: &opledger_ir::Graph| {
        let own = crate::tensor::names(graph.shape(tensor.var));
        dims.iter().flatten().filter_map(DimPart::axis).all(|axis| own.contains(&axis.name))
    };
    let turns = match kind {
        ArithmeticKind::Add | ArithmeticKind::Mul | ArithmeticKind::Max | ArithmeticKind::Min => {
            true
        }
        ArithmeticKind::Sub | ArithmeticKind::Div | ArithmeticKind::Pow => false,
    };
    if !covers(&a, &dims, movement.graph) {
        if turns && covers(&b, &dims, movement.graph) {
            std::mem::swap(&mut a, &mut b);
        } else {
            movement.widened(&mut a, &dims)?;
        }
    }
    let var = movement.graph.arithmetic("", kind, a.var, b.var)?;
    Ok(Placed { var, dims })
}

/// A tensor combined with a number; none where the number has to be an operand.
fn with_number(
    own: &mut Importer<'_>,
    kind: ArithmeticKind,
    var: Var,
    number: f64,
    first: bool,
) -> Lowered<Option<Var>> {
    let graph = &mut own.graph;
    let scale = |graph: &mut opledger_ir::Graph, var, by| graph.scale(var, Factor::Number(by));
    Ok(Some(match (kind, first) {
        (ArithmeticKind::Add, _) => graph.pointwise(var, Pointwise::Shift(number))?,
        (ArithmeticKind::Sub, false) => graph.pointwise(var, Pointwise::Shift(-number))?,
        (ArithmeticKind::Sub, true) => {
            let negative = graph.pointwise(var, Pointwise::Neg)?;
            graph.pointwise(negative, Pointwise::Shift(number))?
        }
        (ArithmeticKind::Mul, _) => scale(graph, var, number)?,
        (ArithmeticKind::Max, _) => {
            graph.pointwise(var, Pointwise::Clamp { min: Some(number), max: None })?
        }
        (ArithmeticKind::Min, _) => {
            graph.pointwise(var, Pointwise::Clamp { min: None, max: Some(number) })?
        }
        (ArithmeticKind::Pow, false) => graph.pointwise(var, Pointwise::Power(number))?,
        (ArithmeticKind::Div, _) | (ArithmeticKind::Pow, true) => return Ok(None),
    }))
}

fn power(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Meaning> {
    let (base, exponent) = (call.value(own, "self")?, call.value(own, "exponent")?);
    if let (Meaning::Whole(whole), Some(2.0)) = (&base, number(&exponent)) {
        return Ok(Meaning::Whole(whole.each(whole.kind, |expr| expr.times(expr))));
    }
    combined(own, ArithmeticKind::Pow, base, exponent).map(Meaning::Tensor)
}
