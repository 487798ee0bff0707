//! Bits of whole numbers in two's complement, of which one of two is known.

use opledger_dims::Poly;
use opledger_ir::IndexExpr;

use super::elementwise::{operands, whole};
use crate::call::Call;
use crate::importer::{Importer, Lowered, Meaning, Obstacle};
use crate::whole::WholeKind;

/// What is done with bits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bits {
    Not,
    ShiftLeft,
    ShiftRight,
    And,
    Or,
    Xor,
}

fn operation(base: &str) -> Option<Bits> {
    Some(match base {
        "bitwise_not" => Bits::Not,
        "bitwise_left_shift" => Bits::ShiftLeft,
        "bitwise_right_shift" => Bits::ShiftRight,
        "__and__" | "bitwise_and" => Bits::And,
        "__or__" | "bitwise_or" => Bits::Or,
        "bitwise_xor" => Bits::Xor,
        _ => return None,
    })
}

pub(super) fn lower(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Vec<Meaning>> {
    let bits = operation(base).ok_or(Obstacle::Unknown)?;
    let kind = WholeKind::Whole;
    if call.kind(own, 0)? != kind {
        return Err(Obstacle::Unknown);
    }
    let inverse = |x: &IndexExpr| IndexExpr::from(-1).minus(x);
    if bits == Bits::Not {
        let x = call.value(own, "self")?.whole()?;
        return Ok(vec![Meaning::Whole(x.each(kind, inverse))]);
    }
    let [a, b] = operands(own, call)?.map(|value| whole(&value).ok_or(Obstacle::Unknown));
    let (mut a, mut b) = (a?, b?);
    let shifts = matches!(bits, Bits::ShiftLeft | Bits::ShiftRight);
    if b.expr.as_number().is_none() && !shifts {
        std::mem::swap(&mut a, &mut b);
    }
    let known = b.expr.as_number().ok_or(Obstacle::Unknown)?;
    let power = || {
        let by = u32::try_from(known).ok().and_then(|by| 1_i64.checked_shl(by));
        by.filter(|by| *by > 0).ok_or(Obstacle::Unknown)
    };
    let power = if shifts { power()? } else { 1 };
    let of = |a: &IndexExpr, _: &IndexExpr| match bits {
        Bits::Not => inverse(a),
        Bits::ShiftLeft => a.scaled(&power.into()),
        Bits::ShiftRight => a.floor_div(&power.into()),
        Bits::And => common(a, known),
        // What is common is in the sum of both twice.
        Bits::Or => a.plus(&known.into()).minus(&common(a, known)),
        Bits::Xor => a.plus(&known.into()).minus(&common(a, known).scaled(&Poly::from(2))),
    };
    a.zip(&b, kind, of).map(|value| vec![Meaning::Whole(value)]).map_err(Obstacle::sizes)
}

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
