//! Elements of another type.

use opledger_ir::IndexExpr;

use super::truth::truth;
use crate::call::Call;
use crate::importer::{Importer, Lowered, Meaning, NarrowType, Obstacle};
use crate::whole::{Whole, WholeKind};

pub(super) fn lower(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Vec<Meaning>> {
    match base {
        "to" | "type_as" | "_to_copy" | "float" | "double" | "bool" | "long" | "int" => {
            let (value, kind) = (call.value(own, "self")?, call.kind(own, 0)?);
            let narrow = own.narrow(call.result(0)?)?;
            let value = match converted(own, value, kind)? {
                Meaning::Whole(whole) => Meaning::Whole(wrapped(whole, narrow)),
                value => value,
            };
            Ok(vec![value])
        }
        _ => Err(Obstacle::Unknown),
    }
}

/// Whole numbers as those of few bits hold them: what is too large begins anew from the least.
fn wrapped(whole: Whole, narrow: Option<NarrowType>) -> Whole {
    let Some(NarrowType { bits, signed }) = narrow else { return whole };
    let (range, least) = (1_i64 << bits, if signed { -(1_i64 << (bits - 1)) } else { 0 });
    let wrap = |expr: &IndexExpr| {
        let above = expr.minus(&IndexExpr::from(least));
        above.modulo(&IndexExpr::from(range)).plus(&IndexExpr::from(least))
    };
    let wrap = |expr: &IndexExpr| match expr.as_number() {
        Some(number) if (least..least + range).contains(&number) => expr.clone(),
        _ if expr.is_truth() => expr.clone(),
        _ => wrap(expr),
    };
    let kind = whole.kind;
    whole.each(kind, wrap)
}

/// A value with elements of another type.
fn converted(own: &mut Importer<'_>, value: Meaning, kind: WholeKind) -> Lowered<Meaning> {
    match (value, kind) {
        (Meaning::Whole(whole), WholeKind::Truth) => {
            Ok(Meaning::Whole(whole.each(WholeKind::Truth, IndexExpr::truth)))
        }
        (Meaning::Whole(whole), kind) => Ok(Meaning::Whole(Whole { kind, ..whole })),
        (Meaning::Choice { when, then, otherwise }, WholeKind::Truth) => {
            let truth = |number: f64| IndexExpr::from(i64::from(number != 0.0));
            let expr = |when: &IndexExpr| when.choose(&truth(then), &truth(otherwise));
            Ok(Meaning::Whole(when.each(WholeKind::Truth, expr)))
        }
        (value, WholeKind::Real) => Ok(value),
        (value, WholeKind::Whole) => {
            let tensor = own.real(value)?;
            let var = own.graph.to_whole(tensor.var)?;
            own.computed(var, tensor.dims, WholeKind::Whole)
        }
        (value, WholeKind::Truth) => truth(own, value).map(Meaning::Whole),
    }
}
