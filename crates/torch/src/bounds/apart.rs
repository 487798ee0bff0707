//! What one comparison of sizes says by others.

use opledger_dims::{Integer, Poly};
use opledger_ir::{SizeComparison, SizeRelation, SizeTerm};

use crate::atoms::{Fact, Limit};

/// Comparisons that together say the same as a bound of one number that is no polynomial.
pub(super) fn apart(
    term: &SizeTerm,
    limit: Limit,
    number: &Integer,
) -> Option<Vec<SizeComparison>> {
    let compare = |size: &SizeTerm, relation, number: Integer| {
        SizeComparison::new(size.clone(), relation, Poly::from(number))
    };
    match (term, limit) {
        (SizeTerm::Quotient(of), Limit::AtLeast | Limit::AtMost | Limit::Equal) => {
            let SizeTerm::Poly(by) = &of[1] else { return None };
            let by = by.as_integer().filter(|by| *by > Integer::default())?;
            let least = compare(&of[0], SizeRelation::AtLeast, number * &by);
            let most = compare(&of[0], SizeRelation::AtMost, number * &by + &by - 1u32);
            Some(match limit {
                Limit::AtLeast => vec![least],
                Limit::AtMost => vec![most],
                Limit::Equal | Limit::Unequal => vec![least, most],
            })
        }
        (SizeTerm::Least(of), Limit::AtLeast) => {
            Some(of.iter().map(|of| compare(of, SizeRelation::AtLeast, number.clone())).collect())
        }
        // A number is the smaller one where the other is as much at least, the greater one the other way round.
        (SizeTerm::Least(of), Limit::Equal) if is_one_of(of, number) => {
            Some(of.iter().map(|of| compare(of, SizeRelation::AtLeast, number.clone())).collect())
        }
        (SizeTerm::Greatest(of), Limit::Equal) if is_one_of(of, number) => {
            Some(of.iter().map(|of| compare(of, SizeRelation::AtMost, number.clone())).collect())
        }
        (SizeTerm::Greatest(of), Limit::AtMost) => {
            Some(of.iter().map(|of| compare(of, SizeRelation::AtMost, number.clone())).collect())
        }
        _ => None,
    }
}

fn is_one_of(of: &[SizeTerm; 2], number: &Integer) -> bool {
    of.contains(&SizeTerm::Poly(Poly::from(number.clone())))
}

/// Whether one of two holds whatever the size is.
pub(super) fn covers(a: &Fact, b: &Fact) -> bool {
    a.form == b.form
        && match (a.limit, b.limit) {
            (Limit::AtMost, Limit::AtLeast) => b.number <= &a.number + 1u32,
            (Limit::AtLeast, Limit::AtMost) => a.number <= &b.number + 1u32,
            (Limit::Equal, Limit::Unequal) | (Limit::Unequal, Limit::Equal) => a.number == b.number,
            (Limit::Unequal, Limit::Unequal) => a.number != b.number,
            (Limit::Unequal, Limit::AtLeast) => a.number >= b.number,
            (Limit::AtLeast, Limit::Unequal) => b.number >= a.number,
            (Limit::Unequal, Limit::AtMost) => a.number <= b.number,
            (Limit::AtMost, Limit::Unequal) => b.number <= a.number,
            (Limit::AtLeast, Limit::AtLeast)
            | (Limit::AtMost, Limit::AtMost)
            | (Limit::Equal, Limit::Equal | Limit::AtLeast | Limit::AtMost)
            | (Limit::AtLeast | Limit::AtMost, Limit::Equal) => false,
        }
}

/// A bound of a number as one of its opposite.
pub(super) fn opposite_sign(limit: Limit) -> Limit {
    match limit {
        Limit::AtLeast => Limit::AtMost,
        Limit::AtMost => Limit::AtLeast,
        Limit::Equal | Limit::Unequal => limit,
    }
}

/// The opposite of a number.
pub(super) fn negative(term: &SizeTerm) -> SizeTerm {
    SizeTerm::from(Poly::from(-1)).times(term.clone())
}

/// Whether a number made of sizes is never below 0.
pub(super) fn is_never_negative(term: &SizeTerm) -> bool {
    match term {
        SizeTerm::Poly(poly) => poly.is_never_negative(),
        // Divisors are above 0, where there is a value.
        SizeTerm::Quotient(both) => is_never_negative(&both[0]),
        SizeTerm::Remainder(_) => true,
        SizeTerm::Sum(of) | SizeTerm::Product(of) | SizeTerm::Least(of) => {
            of.iter().all(is_never_negative)
        }
        SizeTerm::Greatest(of) => of.iter().any(is_never_negative),
    }
}
