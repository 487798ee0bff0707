//! Positions of a dimension that are written over.

use opledger_dims::Poly;
use opledger_ir::IndexExpr;
use opledger_ir::ops::ScatterKind;

use super::beside::in_a_row;
use super::movement::{cut, sizes_of};
use super::places;
use crate::importer::{Importer, Lowered, Meaning};
use crate::whole::{Run, Whole, Written};

/// A value as whole numbers that may be written into others.
pub(crate) fn written_numbers(value: &Meaning) -> Option<Whole> {
    match value {
        Meaning::Whole(whole) => Some(whole.clone()),
        Meaning::Choice { when, then, otherwise } if then == otherwise && then.fract() == 0.0 => {
            Some(Whole { expr: (*then as i64).into(), ..when.clone() })
        }
        Meaning::Choice { .. }
        | Meaning::Tensor(_)
        | Meaning::Hidden(_)
        | Meaning::Groups(_)
        | Meaning::Size(_)
        | Meaning::Number(_)
        | Meaning::List(_)
        | Meaning::None => None,
    }
}

/// A value with another written over these positions of it.
pub(crate) fn overwritten(
    own: &mut Importer<'_>,
    before: Meaning,
    run: &Run,
    value: Meaning,
) -> Lowered<Meaning> {
    if let (Meaning::Whole(whole), Some(value)) = (&before, written_numbers(&value)) {
        return Ok(Meaning::Whole(Written::all(&value).within(run).over(whole)));
    }
    let Run { dim, start, length, step } = run;
    let (dim, sizes) = (*dim, sizes_of(&before)?);
    if *step != Poly::one() {
        let (before, value) = (own.real(before)?, own.real(value)?);
        let place = IndexExpr::Position(dim).scaled(step).plus(&IndexExpr::size(start.clone()));
        let at = places::only(dim, place, &sizes, &value.sizes());
        return places::put(own, ScatterKind::Write, &before, &value, &at).map(Meaning::Tensor);
    }
    let end = start + length;
    let rest = &sizes[dim] - &end;
    let mut parts = Vec::new();
    if !start.is_zero() {
        parts.push(cut(own, before.clone(), dim, &Poly::zero(), start)?);
    }
    parts.push(value);
    if !rest.is_zero() {
        parts.push(cut(own, before, dim, &end, &rest)?);
    }
    in_a_row(own, parts, dim).map(Meaning::Tensor)
}
