//! Bits of whole numbers in two's complement.

use std::collections::BTreeSet;

use opledger_dims::Poly;
use opledger_ir::IndexExpr;

use super::elementwise::{operands, whole};
use crate::call::Call;
use crate::importer::{Importer, Lowered, Meaning, NarrowType, Obstacle};
use crate::whole::{Whole, WholeKind};

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
    let Some(known) = b.expr.as_number() else {
        let value = match bits {
            Bits::ShiftLeft | Bits::ShiftRight => {
                let left = bits == Bits::ShiftLeft;
                match shifted(&a, &b, left) {
                    Err(Obstacle::Unknown) => {
                        let width = own.width(call.result(0)?)?.bits;
                        let a = own.looked_up(a)?;
                        let b = own.looked_up(b)?;
                        by_any(&a, &b, left, width)?
                    }
                    value => value?,
                }
            }
            Bits::Not | Bits::And | Bits::Or | Bits::Xor => {
                let width = own.width(call.result(0)?)?;
                // Each bit reads both.
                let (a, b) = (own.looked_up(a)?, own.looked_up(b)?);
                let of = |a: &IndexExpr, b: &IndexExpr| each_bit(a, b, bits, width);
                // As it stands: times a number it has coefficients that no whole number has.
                own.looked_up(a.zip(&b, kind, of).map_err(Obstacle::sizes)?)?
            }
        };
        return Ok(vec![Meaning::Whole(value)]);
    };
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

/// The most places that shifts are looked at one by one.
const MOST_SHIFTS: u64 = 64;

/// Numbers shifted by as many bits as their places say.
fn shifted(a: &Whole, b: &Whole, left: bool) -> Lowered<Whole> {
    let mut by: Vec<IndexExpr> = vec![b.expr.clone()];
    for (dim, size) in b.sizes.iter().enumerate().filter(|(dim, _)| b.expr.uses(*dim)) {
        let size = size.as_integer().and_then(|size| u64::try_from(size).ok());
        let size = size.filter(|size| *size * by.len() as u64 <= MOST_SHIFTS);
        let size = size.ok_or(Obstacle::Unknown)? as i64;
        let each = by.iter().flat_map(|expr| {
            (0..size).map(move |place| {
                expr.at(&|own| if own == dim { place.into() } else { IndexExpr::Position(own) })
            })
        });
        by = each.collect();
    }
    let by: Option<BTreeSet<i64>> = by.iter().map(IndexExpr::as_number).collect();
    let by = by.filter(|by| by.iter().all(|by| (0..63).contains(by))).ok_or(Obstacle::Unknown)?;
    let power = |of: &IndexExpr| {
        let power = |by: &i64| IndexExpr::from(1_i64 << by);
        let (others, last) = (by.iter().rev().skip(1), by.last().map_or_else(|| 1.into(), power));
        others.fold(last, |rest, by| of.equals(&(*by).into()).choose(&power(by), &rest))
    };
    let of = |a: &IndexExpr, b: &IndexExpr| match left {
        true => a.times(&power(b)),
        false => a.floor_div(&power(b)),
    };
    a.zip(b, WholeKind::Whole, of).map_err(Obstacle::sizes)
}

/// Numbers shifted by any number of bits below their width; a number of 64 bits that passes them is another
/// here.
fn by_any(a: &Whole, b: &Whole, left: bool, width: u32) -> Lowered<Whole> {
    let most = i64::from(width.min(63)) - 1;
    let power = |of: &IndexExpr| {
        let last = IndexExpr::from(1_i64 << most);
        (0..most)
            .rev()
            .fold(last, |rest, by| of.equals(&by.into()).choose(&(1_i64 << by).into(), &rest))
    };
    let of = |a: &IndexExpr, b: &IndexExpr| match left {
        true => a.times(&power(b)),
        false => a.floor_div(&power(b)),
    };
    a.zip(b, WholeKind::Whole, of).map_err(Obstacle::sizes)
}

/// What is made of two numbers, bit by bit; the highest bit of one with a sign counts below 0.
fn each_bit(a: &IndexExpr, b: &IndexExpr, bits: Bits, of: NarrowType) -> IndexExpr {
    let NarrowType { bits: width, signed } = of;
    let joined = |x: IndexExpr, y: IndexExpr| match bits {
        Bits::Or => x.plus(&y).is_positive(),
        Bits::Xor => x.plus(&y).modulo(&2.into()),
        Bits::And | Bits::Not | Bits::ShiftLeft | Bits::ShiftRight => x.times(&y),
    };
    let bit = |of: &IndexExpr, at: u32| of.floor_div(&(1_i64 << at).into()).modulo(&2.into());
    let low = if signed { width - 1 } else { width };
    let all = (0..low).fold(IndexExpr::from(0), |all, at| {
        all.plus(&joined(bit(a, at), bit(b, at)).scaled(&Poly::from(1_i64 << at)))
    });
    if !signed {
        return all;
    }
    let sign = |of: &IndexExpr| of.below(&0.into());
    let least = if width == 64 { i64::MIN } else { -(1_i64 << (width - 1)) };
    all.plus(&joined(sign(a), sign(b)).scaled(&Poly::from(least)))
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
