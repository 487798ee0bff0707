//! Sizes that are multiples of whole numbers, and quotients that come out even because they are.

use std::collections::BTreeMap;

use opledger_dims::{Integer, Poly, Symbol};
use opledger_ir::{SizeComparison, SizeCondition, SizeRelation, SizeTerm};

use crate::atoms::{Atoms, Shares};

/// The largest whole number that is looked for as a factor of a size.
const MOST: i64 = 1024;
/// How often conditions are read again with what they say.
const MOST_ROUNDS: usize = 6;

/// Sizes, each with a whole number that it is a multiple of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Multiples(Vec<(Poly, i64)>);

impl Multiples {
    /// Those that conditions say: `n mod 4 = 0`, or that a size equals a sum of multiples, as in
    /// `n = 4·⌊(⌊n / 2⌋ − 1) / 2⌋ + 4`.
    pub(crate) fn of(conditions: &[SizeCondition]) -> Multiples {
        let mut own = Multiples::default().with(conditions);
        // What halves are multiples of shows once it is known that there are halves.
        for _ in 0..MOST_ROUNDS {
            let simplified = conditions.iter().map(|of| own.simplified_condition(of));
            let next = own.with(&simplified.collect::<Vec<_>>());
            if next.0 == own.0 {
                break;
            }
            own = next;
        }
        own
    }

    /// These and what conditions say.
    fn with(&self, conditions: &[SizeCondition]) -> Multiples {
        let mut all = self.0.clone();
        let is_told = |(size, by): &(Poly, i64)| size.divided_by(&(*by).into()).is_none();
        all.extend(conditions.iter().filter_map(multiple).filter(is_told));
        all.sort_by_key(|(size, by)| (size.to_string(), -by));
        let mut kept: Vec<(Poly, i64)> = Vec::new();
        for (size, by) in all {
            if !kept.iter().any(|(own, more)| *own == size && more % by == 0) {
                kept.push((size, by));
            }
        }
        Multiples(kept)
    }

    /// The same as conditions.
    pub(crate) fn conditions(&self) -> impl Iterator<Item = SizeCondition> + '_ {
        self.0.iter().map(|(size, by)| {
            let of = [SizeTerm::Poly(size.clone()), Poly::from(*by).into()];
            let remainder = SizeTerm::Remainder(Box::new(of));
            SizeCondition::new(remainder, SizeRelation::Equal, Poly::zero())
        })
    }

    /// A size divided by another and rounded down, where that is known to be a polynomial.
    pub(crate) fn quotient(&self, a: &Poly, b: &Poly) -> Option<Poly> {
        if let Some(quotient) = a.divided_by(b) {
            return Some(quotient);
        }
        let shares = self.shares();
        let (wide, wide_by) = (shares.widened(a), shares.widened(b));
        let quotient = wide.divided_by(&wide_by).or_else(|| all_but(&wide, &wide_by));
        if let Some(quotient) = quotient {
            return Some(shares.narrowed(&quotient));
        }
        let by = b.as_integer().and_then(|by| i64::try_from(by).ok()).filter(|by| *by > 0)?;
        if self.0.iter().any(|(own, of)| own == a && of % by == 0) {
            return Some(a.ratio(1, by));
        }
        // `s` stands for the symbol over what it is a multiple of, and for the symbol again.
        let (mut wide, mut back, mut none) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for symbol in a.symbols() {
            none.insert(symbol.clone(), Poly::zero());
            if let Some(of) = self.of_symbol(&symbol) {
                wide.insert(symbol.clone(), &Poly::symbol(symbol.clone()) * of);
                back.insert(symbol.clone(), Poly::symbol(symbol).ratio(1, of));
            }
        }
        if wide.is_empty() {
            return None;
        }
        let a = a.compose(&wide);
        let constant = a.compose(&none);
        let number = constant.as_integer().and_then(|number| i64::try_from(number).ok())?;
        let quotient = (&a - &constant).divided_by(b)?;
        Some(&quotient.compose(&back) + &Poly::from(number.div_euclid(by)))
    }

    /// What symbols are multiples of.
    pub(crate) fn shares(&self) -> Shares {
        let symbols = self.0.iter().filter_map(|(size, _)| size.as_symbol());
        Shares(symbols.filter_map(|own| Some((own.clone(), self.of_symbol(own)?))).collect())
    }

    /// What a symbol is a multiple of.
    fn of_symbol(&self, symbol: &Symbol) -> Option<i64> {
        let own = self.0.iter().filter(|(size, _)| size.as_symbol() == Some(symbol));
        own.map(|(_, by)| *by).reduce(common_multiple)
    }

    /// The same condition, both sides simplified.
    pub(crate) fn simplified_condition(&self, condition: &SizeCondition) -> SizeCondition {
        let simplified = condition.comparisons().iter().map(|of| {
            let [left, right] = [&of.left, &of.right].map(|term| self.simplified(term));
            SizeComparison::new(left, of.relation, right)
        });
        SizeCondition::any(simplified.collect())
    }

    /// The same number, with quotients and remainders that are known as polynomials.
    pub(crate) fn simplified(&self, term: &SizeTerm) -> SizeTerm {
        let both = |of: &[SizeTerm; 2]| [self.simplified(&of[0]), self.simplified(&of[1])];
        match term {
            SizeTerm::Poly(_) => term.clone(),
            SizeTerm::Sum(of) => {
                let [a, b] = both(of);
                a.plus(b)
            }
            SizeTerm::Product(of) => {
                let [a, b] = both(of);
                a.times(b)
            }
            SizeTerm::Quotient(of) => {
                let of = both(of);
                let known = match &of {
                    [SizeTerm::Poly(a), SizeTerm::Poly(b)] => self.quotient(a, b),
                    _ => None,
                };
                known.map_or_else(|| SizeTerm::Quotient(Box::new(of)), SizeTerm::Poly)
            }
            SizeTerm::Remainder(of) => {
                let of = both(of);
                let known = match &of {
                    [SizeTerm::Poly(a), SizeTerm::Poly(b)] => {
                        self.quotient(a, b).map(|whole| a - &(b * &whole))
                    }
                    _ => None,
                };
                known.map_or_else(|| SizeTerm::Remainder(Box::new(of)), SizeTerm::Poly)
            }
            SizeTerm::Least(of) => SizeTerm::Least(Box::new(both(of))),
            SizeTerm::Greatest(of) => SizeTerm::Greatest(Box::new(both(of))),
        }
    }
}

/// A quotient that leaves a number which is less than the divisor wherever that is positive, as of
/// `8·n + 1` by `2·n`, or that lacks one, as of `8·n - 1`.
fn all_but(a: &Poly, b: &Poly) -> Option<Poly> {
    let none = a.symbols().into_iter().map(|symbol| (symbol, Poly::zero())).collect();
    let rest = a.compose(&none);
    let quotient = (a - &rest).divided_by(b)?;
    // A positive divisor is as much as what all its coefficients are multiples of, or more.
    let (_, least, by) = b.primitive();
    let (rest, one) = (rest.as_integer()?, Integer::from(1));
    let zero = Integer::default();
    if by != one || !b.is_never_negative() {
        None
    } else if rest >= zero {
        (rest < least).then_some(quotient)
    } else {
        (-rest <= least).then(|| &quotient - &Poly::one())
    }
}

fn common_multiple(a: i64, b: i64) -> i64 {
    (1..=b).map(|times| a * times).find(|all| all % b == 0).unwrap_or(a)
}

/// The size that a condition says is a multiple of a whole number.
fn multiple(condition: &SizeCondition) -> Option<(Poly, i64)> {
    let SizeCondition::One(SizeComparison { left, relation, right }) = condition else {
        return None;
    };
    if *relation != SizeRelation::Equal {
        return None;
    }
    if let Some(even) = comes_out_even(left, right) {
        return Some(even);
    }
    [(left, right), (right, left)].into_iter().find_map(|(size, sum)| {
        let (SizeTerm::Poly(size), SizeTerm::Sum(_) | SizeTerm::Product(_)) = (size, sum) else {
            return None;
        };
        let shares = (1..=MOST).find(|share| size.ratio(*share, 1).as_symbol().is_some())?;
        let by = (2..=MOST).rev().find(|by| divides(*by, sum))?;
        Some((size.ratio(shares, 1), by * shares))
    })
}

/// Of `m·n = c·m·⌊n / c⌋` and of `m·(n mod c) = 0`: `n` and `c`.
fn comes_out_even(left: &SizeTerm, right: &SizeTerm) -> Option<(Poly, i64)> {
    let mut atoms = Atoms::default();
    let difference = &atoms.poly(left)? - &atoms.poly(right)?;
    let symbols = difference.symbols();
    let mut own = symbols.iter().filter(|symbol| atoms.term(symbol).is_some());
    let (Some(symbol), None) = (own.next(), own.next()) else { return None };
    let rest = difference.substitute(symbol, &Poly::zero());
    let times = &difference.substitute(symbol, &Poly::one()) - &rest;
    let (SizeTerm::Quotient(of) | SizeTerm::Remainder(of)) = atoms.term(symbol)? else {
        return None;
    };
    let [SizeTerm::Poly(size), SizeTerm::Poly(by)] = &**of else { return None };
    let by = by.as_integer().and_then(|by| i64::try_from(by).ok())?;
    // Of a quotient that is rounded up as well, as of `n = c·⌊(n + c - 1) / c⌋`.
    let none = size.symbols().into_iter().map(|own| (own, Poly::zero())).collect();
    let more = size.compose(&none);
    let (zero, less) = (Integer::default(), Integer::from(by));
    let up = more.as_integer().is_some_and(|more| more >= zero && more < less);
    let (even, size) = match atoms.term(symbol)? {
        SizeTerm::Quotient(_) if up => {
            let size = size - &more;
            (&rest * by == -(&times * &size), size)
        }
        SizeTerm::Quotient(_) => (false, size.clone()),
        _ => (rest.is_zero(), size.clone()),
    };
    (even
        && difference.degree_in(symbol) == 1
        && (1..=MOST).contains(&by)
        && times.num_terms() == 1)
        .then_some((size, by))
}

/// Whether a number is seen to be a multiple of a whole number.
fn divides(by: i64, term: &SizeTerm) -> bool {
    match term {
        SizeTerm::Poly(poly) => poly.divided_by(&by.into()).is_some(),
        SizeTerm::Sum(of) => of.iter().all(|term| divides(by, term)),
        SizeTerm::Product(of) => of.iter().any(|term| divides(by, term)),
        SizeTerm::Least(of) | SizeTerm::Greatest(of) => of.iter().all(|term| divides(by, term)),
        SizeTerm::Quotient(_) | SizeTerm::Remainder(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(text: &str) -> SizeCondition {
        crate::guards::conditions(text, &crate::told::by_name).unwrap().remove(0)
    }

    fn poly(text: &str) -> Poly {
        text.parse().unwrap()
    }

    #[test]
    fn a_size_that_equals_a_sum_of_multiples_is_one() {
        let up = guard("h == (4 + 4*(((-1) + (h // 2)) // 2))");
        let own = Multiples::of(&[up.clone(), guard("h % 2 == 0"), guard("w // 2 == 3")]);
        let told: Vec<String> = own.conditions().map(|own| own.to_string()).collect();
        assert_eq!(told, ["h mod 4 = 0"]);
        // What it says of quotients holds of them then.
        assert_eq!(own.simplified(&up.comparisons()[0].right).to_string(), "h");
    }

    #[test]
    fn a_size_that_comes_out_even_is_a_multiple() {
        for even in [
            "(w*h) == (8*w*(h // 8))",
            "(8*w*(h // 8)) == (h*w)",
            "h == 8*(h // 8)",
            "(3*w*(h % 8)) == 0",
            "0 == h % 8",
            "h == 8*((h + 7) // 8)",
            "16*w*((h + 3) // 8) == 2*w*h",
        ] {
            let own = Multiples::of(&[guard(even)]);
            let told: Vec<String> = own.conditions().map(|own| own.to_string()).collect();
            assert_eq!(told, ["h mod 8 = 0"], "{even}");
        }
        for other in
            ["(w*h) == (4*w*(h // 8))", "w == h // 8", "(h // 8) * (h // 8) == h", "h % 8 == w"]
        {
            assert_eq!(Multiples::of(&[guard(other)]).conditions().count(), 0, "{other}");
        }
    }

    #[test]
    fn what_a_half_is_a_multiple_of_is_twice_that_of_the_whole() {
        let half = "(1 + ((h - 1) // 2))";
        let whole = guard(&format!("h == 2*{half}"));
        let own = Multiples::of(&[guard(&format!("{half} == 2 + 2*(({half} - 1) // 2)")), whole]);
        let told: Vec<String> = own.conditions().map(|own| own.to_string()).collect();
        assert_eq!(told, ["h mod 4 = 0"]);
    }

    #[test]
    fn quotients_of_multiples_are_polynomials() {
        let own = Multiples::of(&[guard("h % 4 == 0"), guard("w % 6 == 0"), guard("w % 4 == 0")]);
        let half = own.quotient(&poly("h"), &2.into()).unwrap();
        assert_eq!(half, poly("h").ratio(1, 2));
        let less = own.quotient(&(&half - 1), &2.into()).unwrap();
        assert_eq!(less, poly("h").ratio(1, 4) - Poly::one());
        assert_eq!(own.quotient(&poly("w"), &12.into()), Some(poly("w").ratio(1, 12)));
        assert_eq!(
            own.quotient(&poly("3*w*h + 7"), &4.into()),
            Some(poly("3*w*h").ratio(1, 4) + 1)
        );
        for (a, b) in [("h", 8), ("h + b", 4), ("b", 4), ("w", 5)] {
            assert_eq!(own.quotient(&poly(a), &b.into()), None, "{a} / {b}");
        }
        assert_eq!(own.quotient(&poly("h"), &poly("b")), None);
        // What is left is less than any divisor.
        assert_eq!(own.quotient(&poly("8*b + 1"), &poly("2*b")), Some(4.into()));
        let eighths = own.quotient(&(&poly("h").ratio(1, 2) + 1), &poly("h").ratio(1, 4));
        assert_eq!(eighths, None);
        let own = Multiples::of(&[guard("h % 16 == 0")]);
        let eighths = own.quotient(&(&poly("h").ratio(1, 2) + 1), &poly("h").ratio(1, 8));
        assert_eq!(eighths, Some(4.into()));
        assert_eq!(own.quotient(&poly("8*b - 1"), &poly("2*b")), Some(3.into()));
        for (a, b) in [("8*b + 2", "2*b"), ("8*b - 3", "2*b"), ("8*b + 1", "2*b - 1")] {
            assert_eq!(own.quotient(&poly(a), &poly(b)), None, "{a} / {b}");
        }
        assert_eq!(own.quotient(&poly("2*b*b"), &poly("b")), Some(poly("2*b")));
    }
}
