//! Conditions on sizes under which a graph is what it was read from.

use std::collections::BTreeSet;
use std::fmt;

use num_integer::Integer as _;
use num_traits::{Signed, Zero};
use opledger_dims::{Binding, Integer, Poly, Symbol};

/// A number made of sizes.
#[derive(Clone, Debug, PartialEq)]
pub enum SizeTerm {
    /// A polynomial.
    Poly(Poly),
    /// A sum of what is no polynomial.
    Sum(Box<[SizeTerm; 2]>),
    /// A product of what is no polynomial.
    Product(Box<[SizeTerm; 2]>),
    /// A quotient, rounded down.
    Quotient(Box<[SizeTerm; 2]>),
    /// What a division leaves.
    Remainder(Box<[SizeTerm; 2]>),
    /// The smaller of two.
    Least(Box<[SizeTerm; 2]>),
    /// The greater of two.
    Greatest(Box<[SizeTerm; 2]>),
}

impl SizeTerm {
    /// The sum.
    #[must_use]
    pub fn plus(self, other: SizeTerm) -> SizeTerm {
        match (self, other) {
            (SizeTerm::Poly(a), SizeTerm::Poly(b)) => SizeTerm::Poly(&a + &b),
            (a, b) => SizeTerm::Sum(Box::new([a, b])),
        }
    }

    /// The product.
    #[must_use]
    pub fn times(self, other: SizeTerm) -> SizeTerm {
        match (self, other) {
            (SizeTerm::Poly(a), SizeTerm::Poly(b)) => SizeTerm::Poly(&a * &b),
            (a, b) => SizeTerm::Product(Box::new([a, b])),
        }
    }

    fn collect_symbols(&self, into: &mut BTreeSet<Symbol>) {
        match self {
            SizeTerm::Poly(poly) => into.extend(poly.symbols()),
            SizeTerm::Sum(of)
            | SizeTerm::Product(of)
            | SizeTerm::Quotient(of)
            | SizeTerm::Remainder(of)
            | SizeTerm::Least(of)
            | SizeTerm::Greatest(of) => of.iter().for_each(|term| term.collect_symbols(into)),
        }
    }

    /// Its value; none where a size has none, or where a division is by 0.
    pub fn at(&self, binding: &Binding) -> Option<Integer> {
        let both = |of: &[SizeTerm; 2]| Some((of[0].at(binding)?, of[1].at(binding)?));
        // As Python divides: rounded down, whatever the signs.
        let divisible = |(_, b): &(Integer, Integer)| !b.is_zero();
        match self {
            SizeTerm::Poly(poly) => poly.at(binding).ok(),
            SizeTerm::Sum(of) => both(of).map(|(a, b)| a + b),
            SizeTerm::Product(of) => both(of).map(|(a, b)| a * b),
            SizeTerm::Quotient(of) => both(of).filter(divisible).map(|(a, b)| a.div_floor(&b)),
            SizeTerm::Remainder(of) => both(of).filter(divisible).map(|(a, b)| a.mod_floor(&b)),
            SizeTerm::Least(of) => both(of).map(|(a, b)| a.min(b)),
            SizeTerm::Greatest(of) => both(of).map(|(a, b)| a.max(b)),
        }
    }
}

impl From<Poly> for SizeTerm {
    fn from(poly: Poly) -> Self {
        SizeTerm::Poly(poly)
    }
}

impl fmt::Display for SizeTerm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An operand of a product or of a division.
        let factor = |term: &SizeTerm| match term {
            SizeTerm::Poly(poly) if poly.num_terms() > 1 => format!("({poly})"),
            SizeTerm::Poly(poly) => poly.to_string(),
            // These stand within signs of their own.
            SizeTerm::Quotient(_) | SizeTerm::Least(_) | SizeTerm::Greatest(_) => term.to_string(),
            SizeTerm::Sum(_) | SizeTerm::Product(_) | SizeTerm::Remainder(_) => format!("({term})"),
        };
        match self {
            SizeTerm::Poly(poly) => poly.fmt(f),
            SizeTerm::Sum(of) => write!(f, "{} + {}", of[0], of[1]),
            SizeTerm::Product(of) if matches!(of[0], SizeTerm::Product(_)) => {
                write!(f, "{}·{}", of[0], factor(&of[1]))
            }
            SizeTerm::Product(of) => write!(f, "{}·{}", factor(&of[0]), factor(&of[1])),
            SizeTerm::Quotient(of) => write!(f, "⌊{} / {}⌋", factor(&of[0]), factor(&of[1])),
            SizeTerm::Remainder(of) => write!(f, "{} mod {}", factor(&of[0]), factor(&of[1])),
            SizeTerm::Least(of) => write!(f, "min({}, {})", of[0], of[1]),
            SizeTerm::Greatest(of) => write!(f, "max({}, {})", of[0], of[1]),
        }
    }
}

/// How two sizes compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SizeRelation {
    /// They are one.
    Equal,
    /// They differ.
    Unequal,
    /// The first is the smaller one.
    Below,
    /// The first is no greater.
    AtMost,
    /// The first is the greater one.
    Above,
    /// The first is no smaller.
    AtLeast,
}

impl SizeRelation {
    /// What holds where this does not.
    #[must_use]
    pub fn opposite(self) -> SizeRelation {
        match self {
            SizeRelation::Equal => SizeRelation::Unequal,
            SizeRelation::Unequal => SizeRelation::Equal,
            SizeRelation::Below => SizeRelation::AtLeast,
            SizeRelation::AtMost => SizeRelation::Above,
            SizeRelation::Above => SizeRelation::AtMost,
            SizeRelation::AtLeast => SizeRelation::Below,
        }
    }
}

/// Two sizes that are compared, such as `n ≤ 1024` or `n mod 4 = 0`.
#[derive(Clone, Debug, PartialEq)]
pub struct SizeComparison {
    /// One size.
    pub left: SizeTerm,
    /// How it compares.
    pub relation: SizeRelation,
    /// With which.
    pub right: SizeTerm,
}

impl SizeComparison {
    /// A comparison of two sizes.
    pub fn new(
        left: impl Into<SizeTerm>,
        relation: SizeRelation,
        right: impl Into<SizeTerm>,
    ) -> Self {
        SizeComparison { left: left.into(), relation, right: right.into() }
    }

    /// What holds where this does not.
    #[must_use]
    pub fn opposite(self) -> SizeComparison {
        SizeComparison { relation: self.relation.opposite(), ..self }
    }

    fn holds(&self, binding: &Binding) -> Option<bool> {
        let (left, right) = (self.left.at(binding)?, self.right.at(binding)?);
        Some(match self.relation {
            SizeRelation::Equal => left == right,
            SizeRelation::Unequal => left != right,
            SizeRelation::Below => left < right,
            SizeRelation::AtMost => left <= right,
            SizeRelation::Above => left > right,
            SizeRelation::AtLeast => left >= right,
        })
    }

    /// Whether it holds whatever the sizes are, as far as the difference of polynomials shows it, or that
    /// both sides are the same.
    pub fn always_holds(&self) -> bool {
        let same = matches!(
            self.relation,
            SizeRelation::Equal | SizeRelation::AtMost | SizeRelation::AtLeast
        );
        let (SizeTerm::Poly(left), SizeTerm::Poly(right)) = (&self.left, &self.right) else {
            return same && self.left == self.right;
        };
        let Some(difference) = (left - right).as_integer() else { return false };
        match self.relation {
            SizeRelation::Equal => difference.is_zero(),
            SizeRelation::Unequal => !difference.is_zero(),
            SizeRelation::Below => difference.is_negative(),
            SizeRelation::AtMost => !difference.is_positive(),
            SizeRelation::Above => difference.is_positive(),
            SizeRelation::AtLeast => !difference.is_negative(),
        }
    }
}

impl fmt::Display for SizeComparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let relation = match self.relation {
            SizeRelation::Equal => "=",
            SizeRelation::Unequal => "≠",
            SizeRelation::Below => "<",
            SizeRelation::AtMost => "≤",
            SizeRelation::Above => ">",
            SizeRelation::AtLeast => "≥",
        };
        write!(f, "{} {relation} {}", self.left, self.right)
    }
}

/// A condition on sizes.
#[derive(Clone, Debug, PartialEq)]
pub enum SizeCondition {
    /// A comparison.
    One(SizeComparison),
    /// One of several.
    Any(Vec<SizeComparison>),
}

impl SizeCondition {
    /// A comparison as a condition.
    pub fn new(
        left: impl Into<SizeTerm>,
        relation: SizeRelation,
        right: impl Into<SizeTerm>,
    ) -> Self {
        SizeCondition::One(SizeComparison::new(left, relation, right))
    }

    /// That one of several holds.
    pub fn any(of: Vec<SizeComparison>) -> Self {
        match <[SizeComparison; 1]>::try_from(of) {
            Ok([one]) => SizeCondition::One(one),
            Err(of) => SizeCondition::Any(of),
        }
    }

    /// The comparisons of which one holds.
    pub fn comparisons(&self) -> &[SizeComparison] {
        match self {
            SizeCondition::One(one) => std::slice::from_ref(one),
            SizeCondition::Any(of) => of,
        }
    }

    /// The sizes that it is about.
    pub fn symbols(&self) -> BTreeSet<Symbol> {
        let mut symbols = BTreeSet::new();
        let sides = self.comparisons().iter().flat_map(|of| [&of.left, &of.right]);
        sides.for_each(|term| term.collect_symbols(&mut symbols));
        symbols
    }

    /// Whether it holds at sizes; none where one of them is missing.
    pub fn holds(&self, binding: &Binding) -> Option<bool> {
        let all = || self.comparisons().iter().map(|of| of.holds(binding));
        if all().any(|holds| holds == Some(true)) {
            return Some(true);
        }
        all().all(|holds| holds == Some(false)).then_some(false)
    }

    /// Whether one of its comparisons holds whatever the sizes are.
    pub fn always_holds(&self) -> bool {
        self.comparisons().iter().any(SizeComparison::always_holds)
    }
}

impl From<SizeComparison> for SizeCondition {
    fn from(comparison: SizeComparison) -> Self {
        SizeCondition::One(comparison)
    }
}

impl fmt::Display for SizeCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, comparison) in self.comparisons().iter().enumerate() {
            write!(f, "{}{comparison}", if at > 0 { " or " } else { "" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn term(text: &str) -> SizeTerm {
        text.parse::<Poly>().unwrap().into()
    }

    fn remainder(of: &str, by: &str) -> SizeTerm {
        SizeTerm::Remainder(Box::new([term(of), term(by)]))
    }

    #[test]
    fn conditions_are_told_and_held_at_sizes() {
        use SizeRelation::{Above, AtLeast, AtMost, Below, Equal, Unequal};
        let sizes = Binding::new().with("n", 6).with("b", 2);
        for (condition, told, holds) in [
            (SizeCondition::new(term("n"), AtMost, term("6")), "n ≤ 6", Some(true)),
            (SizeCondition::new(term("n"), Below, term("6")), "n < 6", Some(false)),
            (SizeCondition::new(term("n"), AtLeast, term("7")), "n ≥ 7", Some(false)),
            (SizeCondition::new(term("n"), Above, term("3*b")), "n > 3·b", Some(false)),
            (SizeCondition::new(term("n"), Unequal, term("b")), "n ≠ b", Some(true)),
            (
                SizeCondition::new(remainder("n + b", "4"), Equal, term("0")),
                "(n + b) mod 4 = 0",
                Some(true),
            ),
            (SizeCondition::new(remainder("n", "4"), Equal, term("0")), "n mod 4 = 0", Some(false)),
            (
                SizeCondition::new(remainder("n", "b - 2"), Equal, term("0")),
                "n mod (b - 2) = 0",
                None,
            ),
            (SizeCondition::new(term("m"), Equal, term("n")), "m = n", None),
        ] {
            assert_eq!((condition.to_string().as_str(), condition.holds(&sizes)), (told, holds));
        }
        let quotient = SizeTerm::Quotient(Box::new([term("n"), term("4")]));
        let whole = quotient.clone().times(term("4")).plus(remainder("n", "4"));
        assert_eq!(whole.to_string(), "⌊n / 4⌋·4 + n mod 4");
        let three = quotient.clone().times(term("b")).times(quotient.clone());
        assert_eq!(three.to_string(), "⌊n / 4⌋·b·⌊n / 4⌋");
        assert_eq!(whole.at(&sizes), Some(6.into()));
        let [least, most] = [SizeTerm::Least, SizeTerm::Greatest].map(|of| {
            let both = of(Box::new([term("n"), term("b + 1")]));
            (both.to_string(), both.at(&sizes))
        });
        assert_eq!(least, ("min(n, b + 1)".to_owned(), Some(3.into())));
        assert_eq!(most, ("max(n, b + 1)".to_owned(), Some(6.into())));
    }

    #[test]
    fn one_of_several_comparisons_is_enough() {
        use SizeRelation::{Above, Equal};
        let sizes = Binding::new().with("n", 6);
        let holds = |of: [(&str, SizeRelation, &str); 2]| {
            let of = of.map(|(a, relation, b)| SizeComparison::new(term(a), relation, term(b)));
            SizeCondition::any(of.to_vec()).holds(&sizes)
        };
        assert_eq!(holds([("m", Equal, "1"), ("n", Equal, "6")]), Some(true));
        assert_eq!(holds([("m", Equal, "1"), ("n", Equal, "7")]), None);
        assert_eq!(holds([("n", Above, "6"), ("n", Equal, "7")]), Some(false));
        let of = vec![SizeComparison::new(term("n"), Above, term("6"))];
        assert!(matches!(SizeCondition::any(of), SizeCondition::One(_)));
    }

    #[test]
    fn what_always_holds_is_known() {
        let same = |a: &str, relation, b: &str| {
            SizeCondition::new(term(a), relation, term(b)).always_holds()
        };
        assert!(same("40*b", SizeRelation::Equal, "40*b"));
        assert!(!same("40*b", SizeRelation::Equal, "40*n"));
        let quotient = || SizeTerm::Quotient(Box::new([term("n"), term("4")]));
        assert!(SizeCondition::new(quotient(), SizeRelation::Equal, quotient()).always_holds());
        assert!(!SizeCondition::new(quotient(), SizeRelation::Unequal, quotient()).always_holds());
        assert!(same("n", SizeRelation::Below, "n + 1") && !same("n", SizeRelation::Below, "n"));
        assert!(
            same("n", SizeRelation::Unequal, "n + 1") && !same("n", SizeRelation::Unequal, "b")
        );
    }
}
