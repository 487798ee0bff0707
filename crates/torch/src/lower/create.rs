//! Tensors made of sizes and numbers alone.

use opledger_dims::Poly;
use opledger_ir::IndexExpr;
use opledger_ir::ops::{ArithmeticKind, Factor, Pointwise};

use super::elementwise::combined;
use super::movement::sizes_of;
use crate::call::Call;
use crate::importer::{Importer, Lowered, Meaning, Obstacle};
use crate::whole::{Whole, WholeKind};

pub(super) fn lower(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Vec<Meaning>> {
    let one = |value: Meaning| Ok(vec![value]);
    match base {
        "arange" => one(range(own, call)?),
        "linspace" => one(spaced(own, call)?),
        "ones" | "ones_like" | "new_ones" => one(filled(own, call, 1.0)?),
        "zeros" | "zeros_like" | "new_zeros" => one(filled(own, call, 0.0)?),
        "full" | "full_like" | "new_full" | "scalar_tensor" => {
            let name = ["fill_value", "s"].into_iter().find(|name| call.has(name));
            let value = match call.value(own, name.ok_or(Obstacle::Unknown)?)? {
                Meaning::Number(number) => number,
                Meaning::Size(size) => {
                    match size.as_integer().and_then(|n| i64::try_from(n).ok()) {
                        Some(number) => number as f64,
                        None => {
                            let expr = IndexExpr::size(size);
                            let whole = Whole {
                                sizes: call.sizes(own, 0)?,
                                expr,
                                kind: call.kind(own, 0)?,
                            };
                            return one(Meaning::Whole(whole));
                        }
                    }
                }
                // A number that sizes make.
                Meaning::Tensor(number) if number.dims.is_empty() => {
                    let sizes = call.sizes(own, 0)?;
                    return one(super::movement::expand(Meaning::Tensor(number), &sizes)?);
                }
                Meaning::Tensor(_)
                | Meaning::Whole(_)
                | Meaning::Groups(_)
                | Meaning::Hidden(_)
                | Meaning::Choice { .. }
                | Meaning::List(_)
                | Meaning::None => return Err(Obstacle::Unknown),
            };
            one(filled(own, call, value)?)
        }
        "tril" | "triu" => {
            let value = call.value(own, "self")?;
            let rank = sizes_of(&value)?.len();
            let diagonal = call.size(own, "diagonal")?.unwrap_or_else(Poly::zero);
            let diagonal = IndexExpr::size(diagonal);
            if rank < 2 {
                return Err(Obstacle::Unknown);
            }
            let [row, column] = [rank - 2, rank - 1].map(IndexExpr::Position);
            let shifted = row.plus(&diagonal);
            let kept = match base {
                "tril" => column.below(&shifted.plus(&1.into())),
                _ => shifted.below(&column.plus(&1.into())),
            };
            one(match value {
                Meaning::Whole(whole) => {
                    let kind = whole.kind;
                    Meaning::Whole(whole.each(kind, |expr| kept.choose(expr, &0.into())))
                }
                // A mask of one number: that number where it is kept, else 0.
                Meaning::Choice { when, then, otherwise } => match when.expr.as_number() {
                    Some(held) => {
                        let number = if held == 0 { otherwise } else { then };
                        let when = when.each(WholeKind::Truth, |_| kept.clone());
                        Meaning::Choice { when, then: number, otherwise: 0.0 }
                    }
                    None if otherwise == 0.0 => {
                        let when = when.each(WholeKind::Truth, |expr| kept.and(expr));
                        Meaning::Choice { when, then, otherwise }
                    }
                    None => return Err(Obstacle::Unknown),
                },
                Meaning::Tensor(tensor) => {
                    let sizes = tensor.sizes();
                    let when = Whole { sizes, expr: kept, kind: WholeKind::Truth };
                    Meaning::Tensor(super::truth::chosen(own, when, tensor, 0.0)?)
                }
                Meaning::Groups(_)
                | Meaning::Hidden(_)
                | Meaning::Size(_)
                | Meaning::Number(_)
                | Meaning::List(_)
                | Meaning::None => return Err(Obstacle::Unknown),
            })
        }
        "empty" | "empty_like" | "new_empty" => one(filled(own, call, 0.0)?),
        "tril_indices" | "triu_indices" => one(triangle(own, call, base)?),
        "eye" => {
            let (sizes, kind) = (call.sizes(own, 0)?, call.kind(own, 0)?);
            let [row, column] = [0, 1].map(IndexExpr::Position);
            one(Meaning::Whole(Whole { sizes, expr: row.equals(&column), kind }))
        }
        "one_hot" => {
            let ids = call.value(own, "self")?.whole()?;
            let (sizes, kind) = (call.sizes(own, 0)?, call.kind(own, 0)?);
            let place = IndexExpr::Position(ids.sizes.len());
            one(Meaning::Whole(Whole { sizes, expr: ids.expr.equals(&place), kind }))
        }
        _ => Err(Obstacle::Unknown),
    }
}

/// A tensor of one number.
fn filled(own: &mut Importer<'_>, call: &Call<'_>, number: f64) -> Lowered<Meaning> {
    Ok(numbers(call.sizes(own, 0)?, number, call.kind(own, 0)?))
}

/// One number at all places.
pub(super) fn numbers(sizes: Vec<Poly>, number: f64, kind: WholeKind) -> Meaning {
    match number.fract() == 0.0 && number.abs() < 9e15 {
        true => Meaning::Whole(Whole { sizes, expr: (number as i64).into(), kind }),
        false => {
            let when = Whole { sizes, expr: 1.into(), kind: WholeKind::Truth };
            Meaning::Choice { when, then: number, otherwise: number }
        }
    }
}

/// `arange`: positions, scaled and shifted; whole numbers as such, whatever their type.
fn range(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Meaning> {
    let (start, step) = (call.value(own, "start")?, call.value(own, "step")?);
    let sizes = call.sizes(own, 0)?;
    if let (Some(start), Some(step)) = (whole(&start, 0), whole(&step, 1)) {
        let expr = IndexExpr::Position(0).scaled(&step).plus(&IndexExpr::size(start));
        let whole = Whole { sizes: sizes.clone(), expr, kind: call.kind(own, 0)? };
        return Ok(Meaning::Whole(whole.reshaped(&sizes)));
    }
    let step = match whole(&step, 1) {
        Some(step) => step.as_integer().and_then(|step| i64::try_from(step).ok()),
        None => None,
    };
    let step = step.map(|step| step as f64).or_else(|| call.float("step"));
    let positions = Whole { sizes, expr: IndexExpr::Position(0), kind: WholeKind::Real };
    let scaled = stepped(own, positions, 0.0, step.ok_or(Obstacle::Unknown)?)?;
    match start {
        Meaning::None => Ok(scaled),
        Meaning::Number(0.0) => Ok(scaled),
        start => combined(own, ArithmeticKind::Add, scaled, start).map(Meaning::Tensor),
    }
}

/// A whole number, in an argument of a type that holds them or of one that need not; where it is missing,
/// another.
fn whole(value: &Meaning, otherwise: i64) -> Option<Poly> {
    match value {
        Meaning::None => Some(otherwise.into()),
        Meaning::Size(size) => Some(size.clone()),
        Meaning::Number(number) => {
            (number.fract() == 0.0 && number.abs() < 1e15).then(|| (*number as i64).into())
        }
        Meaning::Tensor(_)
        | Meaning::Whole(_)
        | Meaning::Groups(_)
        | Meaning::Hidden(_)
        | Meaning::Choice { .. }
        | Meaning::List(_) => None,
    }
}

/// Positions, scaled and shifted.
fn stepped(own: &mut Importer<'_>, positions: Whole, start: f64, step: f64) -> Lowered<Meaning> {
    let mut tensor = own.real(Meaning::Whole(positions))?;
    if step != 1.0 {
        tensor.var = own.graph.scale(tensor.var, Factor::Number(step))?;
    }
    if start != 0.0 {
        tensor.var = own.graph.pointwise(tensor.var, Pointwise::Shift(start))?;
    }
    Ok(Meaning::Tensor(tensor))
}

/// `linspace`: so many numbers from one to another, equally far apart.
fn spaced(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Meaning> {
    let (Some(start), Some(end)) = (call.float("start"), call.float("end")) else {
        return Err(Obstacle::Unknown);
    };
    let sizes = call.sizes(own, 0)?;
    let gaps = sizes.first().map(|count| count - &Poly::one()).ok_or(Obstacle::Unknown)?;
    let positions = Whole { sizes, expr: IndexExpr::Position(0), kind: WholeKind::Real };
    match gaps.as_integer().and_then(|gaps| i64::try_from(gaps).ok()) {
        Some(gaps) => stepped(own, positions, start, (end - start) / (gaps.max(1) as f64)),
        None => {
            let all = stepped(own, positions, 0.0, end - start)?;
            let share = combined(own, ArithmeticKind::Div, all, Meaning::Size(gaps))?;
            combined(own, ArithmeticKind::Add, Meaning::Tensor(share), Meaning::Number(start))
                .map(Meaning::Tensor)
        }
    }
}

/// The most places of a triangle that are listed.
const MOST_PLACES: usize = 1 << 16;

/// Rows and columns of the places of a triangle, one after the other.
fn triangle(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Meaning> {
    let sizes = call.sizes(own, 0)?;
    let [rows, columns, offset] =
        [("row", 0), ("col", 0), ("offset", 0)].map(|(name, or)| call.int(name, or));
    let are = |row: i64, column: i64| match base {
        "tril_indices" => column <= row.saturating_add(offset),
        _ => column >= row.saturating_add(offset),
    };
    let count =
        sizes.last().and_then(Poly::as_integer).and_then(|count| usize::try_from(count).ok());
    let all = usize::try_from(rows.saturating_mul(columns)).ok().filter(|all| *all <= MOST_PLACES);
    count.zip(all).ok_or(Obstacle::Unknown)?;
    let places = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
    let (of_rows, of_columns): (Vec<i64>, Vec<i64>) =
        places.filter(|(row, column)| are(*row, *column)).unzip();
    let values = [of_rows, of_columns].concat();
    own.listed(call.result(0)?, sizes, &values)
}
