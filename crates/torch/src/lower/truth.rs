//! Comparisons, truth values, and choices by them.

use opledger_dims::Poly;
use opledger_ir::IndexExpr;
use opledger_ir::ops::CompareKind;

use super::elementwise::{constant, operands, whole};
use super::hidden;
use super::movement::sizes_of;
use crate::call::Call;
use crate::hidden::hides;
use crate::importer::{Importer, Lowered, Meaning, Obstacle};
use crate::tensor::{DimPart, Placed};
use crate::whole::{Whole, WholeKind};

pub(super) fn lower(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Vec<Meaning>> {
    let one = |value: Lowered<Meaning>| value.map(|value| vec![value]);
    match base {
        "eq" | "ne" | "lt" | "le" | "gt" | "ge" | "__and__" | "__or__" | "bitwise_and"
        | "bitwise_or" | "logical_and" | "logical_or" | "logical_xor" | "bitwise_xor" => {
            one(compared(own, call, base))
        }
        "bitwise_not" | "logical_not" => {
            let value = call.value(own, "self")?;
            let truth = truth(own, value)?;
            Ok(vec![Meaning::Whole(truth.each(WholeKind::Truth, IndexExpr::is_zero))])
        }
        // A number is itself, NaN is not.
        "isnan" => {
            let x = call.value(own, "self")?;
            let same = compare(own, CompareKind::Equal, x.clone(), x)?;
            Ok(vec![Meaning::Whole(same.each(WholeKind::Truth, IndexExpr::is_zero))])
        }
        "where" => one(selected(own, call)),
        "masked_fill" => one(filled(own, call)),
        "threshold" => {
            let x = call.value(own, "self")?;
            let [threshold, value] = [call.value(own, "threshold")?, call.value(own, "value")?];
            // NaN is kept.
            let below = compare(own, CompareKind::AtMost, x.clone(), threshold)?;
            one(select(own, call, Meaning::Whole(below), value, x))
        }
        "prelu" => {
            let x = call.value(own, "self")?;
            let mut weight = call.tensor(own, "weight")?;
            // One number for each channel, the second dimension.
            let behind = sizes_of(&x)?.len().saturating_sub(2);
            if crate::tensor::size(&weight.dims[0]) != Poly::one() {
                weight.dims.extend(vec![crate::tensor::Dim::new(); behind]);
            }
            let weight = Meaning::Tensor(weight);
            let kind = opledger_ir::ops::ArithmeticKind::Mul;
            let below = super::elementwise::combined(own, kind, x.clone(), weight)?;
            let above = compare(own, CompareKind::Less, Meaning::Number(0.0), x.clone())?;
            one(select(own, call, Meaning::Whole(above), x, Meaning::Tensor(below)))
        }
        _ => Err(Obstacle::Unknown),
    }
}

/// A value as truth values: whether it is not 0.
pub(super) fn truth(own: &mut Importer<'_>, value: Meaning) -> Lowered<Whole> {
    match whole(&value) {
        Some(whole) => Ok(whole.each(WholeKind::Truth, IndexExpr::truth)),
        None => {
            let none = compare(own, CompareKind::Equal, value, Meaning::Number(0.0))?;
            Ok(none.each(WholeKind::Truth, IndexExpr::is_zero))
        }
    }
}

/// Where a comparison of reals holds.
pub(super) fn compare(
    own: &mut Importer<'_>,
    kind: CompareKind,
    a: Meaning,
    b: Meaning,
) -> Lowered<Whole> {
    let (a, b) = (own.real(a)?, own.real(b)?);
    let mut movement = own.movement();
    let (a, b, dims) = movement.aligned(&a, &b)?;
    let axes: Vec<_> = dims.iter().flatten().filter_map(DimPart::axis).cloned().collect();
    let var = movement.graph.compare(kind, axes, a.var, b.var)?;
    own.computed(var, dims, WholeKind::Truth)?.whole()
}

/// Where numbers are below others, or no larger with `equal`.
pub(super) fn is_before(
    own: &mut Importer<'_>,
    a: Meaning,
    b: Meaning,
    equal: bool,
) -> Lowered<Whole> {
    if let (Some(x), Some(y)) = (whole(&a), whole(&b)) {
        let combine: fn(&IndexExpr, &IndexExpr) -> IndexExpr = match equal {
            true => |a, b| below(a, &b.plus(&1.into())),
            false => below,
        };
        return x.zip(&y, WholeKind::Truth, combine).map_err(Obstacle::sizes);
    }
    compare(own, if equal { CompareKind::AtMost } else { CompareKind::Less }, a, b)
}

/// The elements of a tensor where a condition holds, and a number elsewhere.
pub(super) fn chosen(
    own: &mut Importer<'_>,
    when: Whole,
    x: Placed,
    otherwise: f64,
) -> Lowered<Placed> {
    let condition = own.movement().whole(&when.sizes, &when.expr, true)?;
    let otherwise = own.graph.fill(Vec::<opledger_ir::Axis>::new(), otherwise)?;
    let (x, condition, dims) = own.movement().aligned(&x, &condition)?;
    let axes: Vec<_> = dims.iter().flatten().filter_map(DimPart::axis).cloned().collect();
    let var = own.graph.select(axes, condition.var, x.var, otherwise)?;
    Ok(Placed { var, dims })
}

/// A comparison of reals by its name.
fn compared_reals(own: &mut Importer<'_>, base: &str, a: Meaning, b: Meaning) -> Lowered<Whole> {
    match base {
        "eq" => compare(own, CompareKind::Equal, a, b),
        "ne" => {
            let same = compare(own, CompareKind::Equal, a, b)?;
            Ok(same.each(WholeKind::Truth, IndexExpr::is_zero))
        }
        "lt" => compare(own, CompareKind::Less, a, b),
        "le" => compare(own, CompareKind::AtMost, a, b),
        "gt" => compare(own, CompareKind::Less, b, a),
        "ge" => compare(own, CompareKind::AtMost, b, a),
        "logical_and" | "logical_or" | "logical_xor" => {
            let (a, b) = (truth(own, a)?, truth(own, b)?);
            let combine: fn(&IndexExpr, &IndexExpr) -> IndexExpr = match base {
                "logical_and" => IndexExpr::and,
                "logical_or" => IndexExpr::or,
                _ => |a, b| a.equals(b).is_zero(),
            };
            a.zip(&b, WholeKind::Truth, combine).map_err(Obstacle::sizes)
        }
        _ => Err(Obstacle::Unknown),
    }
}

/// Comparisons and what joins truth values.
fn compared(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Meaning> {
    let [a, b] = operands(own, call)?;
    let (Some(x), Some(y)) = (whole(&a), whole(&b)) else {
        return compared_reals(own, base, a, b).map(Meaning::Whole);
    };
    let bits = x.kind != WholeKind::Truth || y.kind != WholeKind::Truth;
    let combine: fn(&IndexExpr, &IndexExpr) -> IndexExpr = match base {
        "eq" => IndexExpr::equals,
        "ne" => |a, b| a.equals(b).is_zero(),
        "lt" => below,
        "gt" => |a, b| below(b, a),
        "le" => |a, b| below(a, &b.plus(&1.into())),
        "ge" => |a, b| below(b, &a.plus(&1.into())),
        "logical_and" => IndexExpr::and,
        "logical_or" => IndexExpr::or,
        "logical_xor" => |a, b| a.truth().equals(&b.truth()).is_zero(),
        "bitwise_xor" if !bits => |a, b| a.equals(b).is_zero(),
        "__and__" | "bitwise_and" if !bits => IndexExpr::and,
        "__or__" | "bitwise_or" if !bits => IndexExpr::or,
        _ => return Err(Obstacle::Unknown),
    };
    x.zip(&y, WholeKind::Truth, combine).map(Meaning::Whole).map_err(Obstacle::sizes)
}

/// Whether a number is below another; an absolute value is where both the number and its opposite are.
fn below(a: &IndexExpr, b: &IndexExpr) -> IndexExpr {
    let none = IndexExpr::from(0);
    // `|e| + 0`, or with the constant of the comparison on either side.
    let (constant, terms) = a.parts();
    if let [(IndexExpr::Choose(of), factor)] = &terms[..] {
        let [when, then, otherwise] = &**of;
        let bound = b.minus(&IndexExpr::size(constant));
        let opposite = none.minus(then);
        if *factor == Poly::one() && *when == then.is_positive() && *otherwise == opposite {
            return then.below(&bound).and(&opposite.below(&bound));
        }
    }
    a.below(b)
}

fn selected(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Meaning> {
    let condition = call.value(own, "condition")?;
    let (then, otherwise) = (call.value(own, "self")?, call.value(own, "other")?);
    select(own, call, condition, then, otherwise)
}

/// `masked_fill(x, mask, number)`: the number where the mask holds.
fn filled(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Meaning> {
    let [x, mask, number] = ["self", "mask", "value"].map(|name| call.value(own, name));
    select(own, call, mask?, number?, x?)
}

pub(super) fn select(
    own: &mut Importer<'_>,
    call: &Call<'_>,
    condition: Meaning,
    then: Meaning,
    otherwise: Meaning,
) -> Lowered<Meaning> {
    let when = truth(own, condition)?;
    let sizes = call.sizes(own, 0)?;
    let kind = call.kind(own, 0)?;
    let rank = sizes.len();
    if let (Some(a), Some(b)) = (whole(&then), whole(&otherwise))
        && kind != WholeKind::Real
    {
        let [when, a, b] = [&when, &a, &b].map(|one| one.ranked(rank).expr);
        return Ok(Meaning::Whole(Whole { sizes, expr: when.choose(&a, &b), kind }));
    }
    // One number or another, also where one of them was such a choice before.
    let choice = |value: &Meaning| match value {
        Meaning::Choice { when, then, otherwise } => Some((when.clone(), *then, *otherwise)),
        Meaning::Tensor(_)
        | Meaning::Whole(_)
        | Meaning::Groups(_)
        | Meaning::Hidden(_)
        | Meaning::Size(_)
        | Meaning::Number(_)
        | Meaning::List(_)
        | Meaning::None => None,
    };
    let wide = |when: &Whole| when.ranked(rank).expanded(sizes.clone());
    match (constant(&then), constant(&otherwise), choice(&then), choice(&otherwise)) {
        (Some(then), Some(otherwise), _, _) => {
            return Ok(Meaning::Choice { when: wide(&when), then, otherwise });
        }
        (Some(number), None, _, Some((before, then, otherwise))) => {
            let (now, before) = (wide(&when), wide(&before));
            let both = |of: fn(&IndexExpr, &IndexExpr) -> IndexExpr| {
                now.zip(&before, WholeKind::Truth, of).map_err(Obstacle::sizes)
            };
            if number == otherwise {
                let when = both(|now, before| now.is_zero().and(before))?;
                return Ok(Meaning::Choice { when, then, otherwise });
            }
            if number == then {
                let when = both(IndexExpr::or)?;
                return Ok(Meaning::Choice { when, then, otherwise });
            }
        }
        _ => {}
    }
    let seen = match (constant(&then), constant(&otherwise)) {
        (_, Some(number)) if hides(number) => Some((wide(&when), then.clone())),
        (Some(number), _) if hides(number) => {
            let opposite = wide(&when).each(WholeKind::Truth, IndexExpr::is_zero);
            Some((opposite, otherwise.clone()))
        }
        _ => None,
    };
    if let Some((seen, value)) = seen {
        let real = own.spared(|own| laid(own, &when, then, otherwise))?;
        return hidden::where_seen(seen, &value, real);
    }
    laid(own, &when, then, otherwise).map(Meaning::Tensor)
}

/// One of two tensors at each place, all three laid over each other.
pub(super) fn laid(
    own: &mut Importer<'_>,
    when: &Whole,
    then: Meaning,
    otherwise: Meaning,
) -> Lowered<Placed> {
    let condition = own.movement().whole(&when.sizes, &when.expr, true)?;
    let mut three = [own.real(then)?, own.real(otherwise)?, condition];
    let mut movement = own.movement();
    if three.iter().flat_map(|one| &one.dims).any(|dim| dim.len() > 1) {
        // What is cut in one is cut in all before their axes get names in common.
        for (a, b) in [(0, 1), (0, 2), (1, 2), (0, 1)] {
            let (first, second, _) = movement.aligned(&three[a], &three[b])?;
            (three[a], three[b]) = (first, second);
        }
    }
    let [then, otherwise, condition] = three;
    let (then, otherwise, dims) = movement.aligned(&then, &otherwise)?;
    let values = Placed { var: then.var, dims: dims.clone() };
    let (values, condition, dims) = movement.aligned(&values, &condition)?;
    let mut axes: Vec<_> = dims.iter().flatten().filter_map(DimPart::axis).cloned().collect();
    axes.dedup();
    let var = movement.graph.select(axes, condition.var, values.var, otherwise.var)?;
    Ok(Placed { var, dims })
}
