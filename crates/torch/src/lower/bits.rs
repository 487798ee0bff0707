//! Bits of whole numbers in two's complement, of which one of two is known.

use opledger_dims::Poly;
use opledger_ir::IndexExpr;

use super::elementwise::{operands, whole};
use crate::call::Call;
use crate::importer::{Importer, Lowered, Meaning, Obstacle};
use crate::whole::WholeKind;

pub(super) fn lower(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Vec<Meaning>> {
    if !OPERATIONS.contains(&base) || call.kind(own, 0)? != WholeKind::Whole {
        return Err(Obstacle::Unknown);
    }
    let kind = WholeKind::Whole;
    if base == "bitwise_not" {
        let x = call.value(own, "self")?.whole()?;
        return Ok(vec![Meaning::Whole(x.each(kind, |x| IndexExpr::from(-1).minus(x)))]);
    }
    let [a, b] = operands(own, call)?.map(|value| whole(&value).ok_or(Obstacle::Unknown));
    let (mut a, mut b) = (a?, b?);
    let shifts = base.ends_with("shift");
    if b.expr.as_number().is_none() && !shifts {
        std::mem::swap(&mut a, &mut b);
    }
    let known = b.expr.as_number().ok_or(Obstacle::Unknown)?;
    let power = || {
        let by = u32::try_from(known).ok().and_then(|by| 1_i64.checked_shl(by));
        by.filter(|by| *by > 0).ok_or(Obstacle::Unknown)
    };
    let power = if shifts { power()? } else { 1 };
    let of = |a: &IndexExpr, _: &IndexExpr| match base {
        "bitwise_left_shift" => a.scaled(&power.into()),
        "bitwise_right_shift" => a.floor_div(&power.into()),
        "__and__" | "bitwise_and" => common(a, known),
        // What is common is in the sum of both twice.
        "__or__" | "bitwise_or" => a.plus(&known.into()).minus(&common(a, known)),
        _ => a.plus(&known.into()).minus(&common(a, known).scaled(&Poly::from(2))),
    };
    a.zip(&b, kind, of).map(|value| vec![Meaning::Whole(value)]).map_err(Obstacle::sizes)
}

const OPERATIONS: &[&str] = &[
    "bitwise_not",
    "bitwise_left_shift",
    "bitwise_right_shift",
    "__and__",
    "bitwise_and",
    "__or__",
    "bitwise_or",
    "bitwise_xor",
];

/// The bits that a number and a known one have in common: run by run of the known one.
fn common(a: &IndexExpr, known: i64) -> IndexExpr {
    if known < 0 {
        return a.minus(&common(a, !known));
    }
    let (mut all, mut rest, mut at) = (IndexExpr::from(0), known, 0);
    while rest != 0 {
        let skipped = rest.trailing_zeros();
        rest >>= skipped;
        at += skipped;
        let run = rest.trailing_ones();
        let above = a.floor_div(&(1_i64 << at).into());
        // The highest run of a number above 0 ends below its sign.
        all = all.plus(&above.modulo(&(1_i64 << run.min(62)).into()).scaled(&(1_i64 << at).into()));
        rest >>= run;
        at += run;
    }
    all
}
