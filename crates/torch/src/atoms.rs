//! Sizes that are no polynomials as symbols of their own, so that two sizes are compared by the polynomial
//! that is their difference.

use std::collections::BTreeMap;

use opledger_dims::{Integer, Poly, Symbol};
use opledger_ir::{SizeComparison, SizeCondition, SizeRelation, SizeTerm};

/// The most terms of a difference.
const MOST_TERMS: usize = 512;

/// What a comparison says of a polynomial whose coefficients are whole and have no common divisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    AtLeast,
    AtMost,
    Equal,
    Unequal,
}

/// That a polynomial is at least a number, or at most, or the like.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fact {
    pub(crate) form: Poly,
    pub(crate) limit: Limit,
    pub(crate) number: Integer,
}

/// What a comparison comes to.
pub(crate) enum Reduced {
    Always,
    Never,
    Fact(Fact),
    /// Its numbers have too many terms.
    Long,
}

/// What symbols are multiples of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shares(pub(crate) BTreeMap<Symbol, i64>);

impl Shares {
    /// With each symbol as often as what it is a multiple of.
    pub(crate) fn widened(&self, of: &Poly) -> Poly {
        let wide = self.0.iter().map(|(own, by)| (own.clone(), &Poly::symbol(own) * *by));
        of.compose(&wide.collect())
    }

    /// With each symbol over what it is a multiple of.
    pub(crate) fn narrowed(&self, of: &Poly) -> Poly {
        let narrow = self.0.iter().map(|(own, by)| (own.clone(), Poly::symbol(own).ratio(1, *by)));
        of.compose(&narrow.collect())
    }

    /// That no symbol is what it is a multiple of, once.
    pub(crate) fn none_is_one(&self) -> impl Iterator<Item = SizeCondition> + '_ {
        let apart = |(own, by): (&Symbol, &i64)| {
            SizeCondition::new(Poly::symbol(own), SizeRelation::Unequal, Poly::from(*by))
        };
        self.0.iter().map(apart)
    }
}

/// The symbols of what is no polynomial.
#[derive(Default)]
pub(crate) struct Atoms {
    terms: Vec<SizeTerm>,
    shares: Shares,
}

impl Atoms {
    /// Symbols of polynomials stand for themselves over what they are multiples of.
    pub(crate) fn new(shares: Shares) -> Self {
        Atoms { terms: Vec::new(), shares }
    }

    /// A number as a polynomial.
    pub(crate) fn poly(&mut self, term: &SizeTerm) -> Option<Poly> {
        let poly = match term {
            SizeTerm::Poly(poly) => self.shares.widened(poly),
            SizeTerm::Sum(of) => &self.poly(&of[0])? + &self.poly(&of[1])?,
            SizeTerm::Product(of) => {
                let (a, b) = (self.poly(&of[0])?, self.poly(&of[1])?);
                if !Atoms::is_small(a.num_terms() * b.num_terms()) {
                    return None;
                }
                &a * &b
            }
            SizeTerm::Quotient(_)
            | SizeTerm::Remainder(_)
            | SizeTerm::Least(_)
            | SizeTerm::Greatest(_) => {
                let at = self.terms.iter().position(|own| own == term).unwrap_or_else(|| {
                    self.terms.push(term.clone());
                    self.terms.len() - 1
                });
                symbol(at).into()
            }
        };
        Atoms::is_small(poly.num_terms()).then_some(poly)
    }

    /// Whether a number of terms is one that is looked into.
    pub(crate) fn is_small(terms: usize) -> bool {
        terms <= MOST_TERMS
    }

    /// A number as a polynomial, if its parts stand for symbols already.
    pub(crate) fn known(&self, term: &SizeTerm) -> Option<Poly> {
        match term {
            SizeTerm::Poly(poly) => Some(self.shares.widened(poly)),
            SizeTerm::Sum(of) => Some(&self.known(&of[0])? + &self.known(&of[1])?),
            SizeTerm::Product(_) => None,
            SizeTerm::Quotient(_)
            | SizeTerm::Remainder(_)
            | SizeTerm::Least(_)
            | SizeTerm::Greatest(_) => {
                self.terms.iter().position(|own| own == term).map(|at| symbol(at).into())
            }
        }
    }

    /// What a symbol stands for, if for no polynomial.
    pub(crate) fn term(&self, own: &Symbol) -> Option<&SizeTerm> {
        let at = own.as_str().strip_prefix(MARK)?.parse::<usize>().ok()?;
        self.terms.get(at)
    }

    /// Whether a symbol stands for itself over what it is a multiple of.
    pub(crate) fn is_share(&self, own: &Symbol) -> bool {
        self.shares.0.get(own).is_some_and(|by| *by > 1)
    }

    /// Whether a polynomial is of symbols alone.
    pub(crate) fn is_plain(&self, poly: &Poly) -> bool {
        poly.symbols().iter().all(|symbol| self.term(symbol).is_none())
    }

    /// The other way round; none where such a number is multiplied with itself.
    pub(crate) fn back(&self, poly: &Poly) -> Option<SizeTerm> {
        let (mut rest, mut all) = (poly.clone(), Vec::new());
        for own in poly.symbols() {
            let Some(term) = self.term(&own) else { continue };
            match rest.degree_in(&own) {
                0 => continue,
                1 => {}
                _ => return None,
            }
            let without = rest.substitute(&own, &Poly::zero());
            let times = &rest.substitute(&own, &Poly::one()) - &without;
            all.push(match times == Poly::one() {
                true => term.clone(),
                false => self.back(&times)?.times(term.clone()),
            });
            rest = without;
        }
        let rest = self.shares.narrowed(&rest);
        if all.is_empty() || !rest.is_zero() {
            all.push(rest.into());
        }
        all.into_iter().reduce(SizeTerm::plus)
    }

    /// A comparison as what it says of the difference.
    pub(crate) fn reduced(&mut self, of: &SizeComparison) -> Reduced {
        let (Some(left), Some(right)) = (self.poly(&of.left), self.poly(&of.right)) else {
            return Reduced::Long;
        };
        let (whole, by, _) = (&left - &right).primitive();
        let turned = by < Integer::default();
        // The difference is a positive multiple of `whole`, or of its opposite.
        let whole = if turned { -whole } else { whole };
        let none = whole.symbols().into_iter().map(|symbol| (symbol, Poly::zero())).collect();
        let constant = whole.compose(&none);
        let Some(more) = constant.as_integer() else { return Reduced::Long };
        let (form, times, _) = (&whole - &constant).primitive();
        fact(of.relation, form, times, more)
    }
}

/// What it says that `times·form + more` compares with 0.
fn fact(relation: SizeRelation, form: Poly, times: Integer, more: Integer) -> Reduced {
    let zero = Integer::default();
    if times == zero {
        let holds = match relation {
            SizeRelation::Equal => more == zero,
            SizeRelation::Unequal => more != zero,
            SizeRelation::Below => more < zero,
            SizeRelation::AtMost => more <= zero,
            SizeRelation::Above => more > zero,
            SizeRelation::AtLeast => more >= zero,
        };
        return if holds { Reduced::Always } else { Reduced::Never };
    }
    let (relation, times, more) = match times < zero {
        true => (turned(relation), -times, -more),
        false => (relation, times, more),
    };
    let one = Integer::from(1);
    // Of `times·form ≥ n` and `times·form ≤ n`.
    let least = |n: Integer| -floored(&-n, &times);
    let most = |n: Integer| floored(&n, &times);
    let number = -more;
    let (limit, number) = match relation {
        SizeRelation::AtLeast => (Limit::AtLeast, least(number)),
        SizeRelation::Above => (Limit::AtLeast, least(number + one)),
        SizeRelation::AtMost => (Limit::AtMost, most(number)),
        SizeRelation::Below => (Limit::AtMost, most(number - one)),
        SizeRelation::Equal | SizeRelation::Unequal => {
            let equal = relation == SizeRelation::Equal;
            if &number % &times != zero {
                return if equal { Reduced::Never } else { Reduced::Always };
            }
            (if equal { Limit::Equal } else { Limit::Unequal }, number / times)
        }
    };
    Reduced::Fact(Fact { form, limit, number })
}

/// What holds of the opposites.
fn turned(relation: SizeRelation) -> SizeRelation {
    match relation {
        SizeRelation::Equal | SizeRelation::Unequal => relation,
        SizeRelation::Below => SizeRelation::Above,
        SizeRelation::AtMost => SizeRelation::AtLeast,
        SizeRelation::Above => SizeRelation::Below,
        SizeRelation::AtLeast => SizeRelation::AtMost,
    }
}

/// `⌊a / b⌋` for a positive `b`.
pub(crate) fn floored(a: &Integer, b: &Integer) -> Integer {
    let (quotient, zero) = (a / b, Integer::default());
    if a % b < zero { quotient - 1u32 } else { quotient }
}

/// No name of a size begins so.
const MARK: &str = "\u{1}";

fn symbol(at: usize) -> Symbol {
    format!("{MARK}{at}").as_str().into()
}
