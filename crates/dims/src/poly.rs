//! Polynomials: arithmetic, evaluation, substitution.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::{Product, Sum};
use std::ops::{Add, AddAssign, Mul, Neg, Sub};

use num_rational::Ratio;
use num_traits::{One, Signed, Zero};

use crate::monomial::Monomial;
use crate::{Binding, Integer, Symbol};

pub(crate) type Rational = Ratio<Integer>;

/// A polynomial over named sizes with exact rational coefficients, in canonical form.
///
/// Arithmetic is total: integers are unbounded, so no operation overflows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Poly {
    terms: BTreeMap<Monomial, Rational>,
}

/// Why a polynomial has no value at a binding.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// A symbol has no value.
    #[error("symbol `{0}` has no value; give it one with {0}=<size>")]
    Unbound(Symbol),
    /// The value is not a whole number, so the polynomial is no size or count there.
    #[error("`{poly}` is {value} at {binding}, not a whole number")]
    Fraction {
        /// The polynomial.
        poly: Poly,
        /// Its value.
        value: String,
        /// Where it was evaluated.
        binding: Binding,
    },
}

impl Poly {
    /// The polynomial 0.
    pub fn zero() -> Self {
        Poly::default()
    }

    /// The polynomial 1.
    pub fn one() -> Self {
        Poly::from(1)
    }

    /// A symbol as a polynomial.
    pub fn symbol(symbol: impl Into<Symbol>) -> Self {
        Poly { terms: BTreeMap::from([(Monomial::symbol(symbol.into()), Rational::one())]) }
    }

    pub(crate) fn from_rational(value: Rational) -> Self {
        let mut poly = Poly::zero();
        poly.add_term(Monomial::one(), value);
        poly
    }

    pub(crate) fn terms(&self) -> impl Iterator<Item = (&Monomial, &Rational)> {
        self.terms.iter()
    }

    pub(crate) fn add_term(&mut self, monomial: Monomial, coefficient: Rational) {
        if coefficient.is_zero() {
            return;
        }
        match self.terms.entry(monomial) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(coefficient);
            }
            std::collections::btree_map::Entry::Occupied(mut entry) => {
                *entry.get_mut() += coefficient;
                if entry.get().is_zero() {
                    entry.remove();
                }
            }
        }
    }

    /// Whether this is the polynomial 0.
    pub fn is_zero(&self) -> bool {
        self.terms.is_empty()
    }

    /// The value, when no symbol occurs and it is whole.
    pub fn as_integer(&self) -> Option<Integer> {
        self.at(&Binding::new()).ok()
    }

    /// The symbol, when this polynomial is exactly one symbol.
    pub fn as_symbol(&self) -> Option<&Symbol> {
        let (monomial, coefficient) = self.terms.first_key_value()?;
        match monomial.powers() {
            [(symbol, 1)] if self.terms.len() == 1 && coefficient.is_one() => Some(symbol),
            _ => None,
        }
    }

    /// The symbols that occur, in their customary order.
    pub fn symbols(&self) -> BTreeSet<Symbol> {
        self.terms.keys().flat_map(|m| m.powers().iter().map(|(s, _)| s.clone())).collect()
    }

    /// The highest power of `symbol`.
    pub fn degree_in(&self, symbol: &Symbol) -> u32 {
        self.terms.keys().map(|m| m.exponent(symbol)).max().unwrap_or(0)
    }

    /// Whether no coefficient is negative, so that the value is none wherever sizes are not.
    pub fn is_never_negative(&self) -> bool {
        self.terms.values().all(|c| !c.is_negative())
    }

    /// How many terms the canonical form has.
    pub fn num_terms(&self) -> usize {
        self.terms.len()
    }

    /// `self` raised to `exponent`.
    pub fn pow(&self, exponent: u32) -> Self {
        (0..exponent).fold(Poly::one(), |power, _| &power * self)
    }

    /// What gives this polynomial when multiplied with `divisor`, if there is such a polynomial with
    /// whole coefficients.
    ///
    /// ```
    /// # mod opledger { pub use opledger_dims::*; }
    /// use opledger::Poly;
    ///
    /// let [b, n] = ["b", "n"].map(Poly::from);
    /// assert_eq!((&b * &n * 4).divided_by(&(&n * 2)), Some(&b * 2));
    /// assert_eq!((&n * &n - 1).divided_by(&(&n + 1)), Some(&n - 1));
    /// assert_eq!((&n + 1).divided_by(&n), None);
    /// ```
    pub fn divided_by(&self, divisor: &Poly) -> Option<Poly> {
        let (lead, coefficient) = divisor.terms.first_key_value()?;
        let (mut rest, mut quotient) = (self.clone(), Poly::zero());
        // Each step takes the leading term away, and the terms are ordered by degree.
        while let Some((monomial, value)) = rest.terms.first_key_value() {
            let factor = value / coefficient;
            let mut term = Poly::zero();
            term.add_term(monomial.divided_by(lead)?, factor.clone());
            if !factor.is_integer() {
                return None;
            }
            rest = &rest - &(&term * divisor);
            quotient += term;
        }
        Some(quotient)
    }

    /// `self · numerator / denominator`.
    ///
    /// # Panics
    /// Never for a non-zero denominator; a zero denominator is taken as one.
    pub fn ratio(&self, numerator: i64, denominator: i64) -> Self {
        let denominator = if denominator == 0 { 1 } else { denominator };
        self * &Poly::from_rational(Rational::new(numerator.into(), denominator.into()))
    }

    /// The exact value at a binding.
    ///
    /// # Errors
    /// When a symbol is unbound, or the value is not a whole number.
    #[doc(alias = "eval")]
    pub fn at(&self, binding: &Binding) -> Result<Integer, EvalError> {
        let mut sum = Rational::zero();
        for (monomial, coefficient) in &self.terms {
            let mut product = Integer::one();
            for (symbol, exponent) in monomial.powers() {
                let value =
                    binding.get(symbol).ok_or_else(|| EvalError::Unbound(symbol.clone()))?;
                product *= value.pow(*exponent);
            }
            sum += coefficient * product;
        }
        if sum.is_integer() {
            Ok(sum.to_integer())
        } else {
            let (poly, binding) = (self.clone(), binding.clone());
            Err(EvalError::Fraction { poly, value: sum.to_string(), binding })
        }
    }

    /// Replaces `symbol` by a polynomial.
    pub fn substitute(&self, symbol: &Symbol, by: &Poly) -> Self {
        let mut result = Poly::zero();
        for (monomial, coefficient) in &self.terms {
            let exponent = monomial.exponent(symbol);
            let rest = monomial.without(symbol, exponent);
            for (m, c) in &by.pow(exponent).terms {
                result.add_term(rest.times(m), coefficient * c);
            }
        }
        result
    }

    /// Replaces symbols by polynomials, all at once; others stay.
    pub fn compose(&self, by: &BTreeMap<Symbol, Poly>) -> Self {
        let mut result = Poly::zero();
        for (monomial, coefficient) in &self.terms {
            let mut term = Poly::from_rational(coefficient.clone());
            for (symbol, exponent) in monomial.powers() {
                let base = by.get(symbol).cloned().unwrap_or_else(|| Poly::symbol(symbol.clone()));
                term = &term * &base.pow(*exponent);
            }
            result += &term;
        }
        result
    }

    /// Replaces every bound symbol by its value; unbound ones stay.
    pub fn bind(&self, binding: &Binding) -> Self {
        let mut result = Poly::zero();
        for (monomial, coefficient) in &self.terms {
            let (mut rest, mut value) = (Monomial::one(), coefficient.clone());
            for (symbol, exponent) in monomial.powers() {
                match binding.get(symbol) {
                    Some(v) => value *= v.pow(*exponent),
                    None => {
                        for _ in 0..*exponent {
                            rest = rest.times(&Monomial::symbol(symbol.clone()));
                        }
                    }
                }
            }
            result.add_term(rest, value);
        }
        result
    }

    /// Writes `name` for the product of `factors` wherever a term holds all of them, as often as it
    /// does: with `c = h·e`, `h²·e·n` becomes `h·c·n`.
    pub fn fold(&self, name: &Symbol, factors: &[Symbol]) -> Self {
        let mut result = Poly::zero();
        for (monomial, coefficient) in &self.terms {
            let times = factors.iter().map(|f| monomial.exponent(f)).min().unwrap_or(0);
            let mut folded = monomial.clone();
            for factor in factors {
                folded = folded.without(factor, times);
            }
            for _ in 0..times {
                folded = folded.times(&Monomial::symbol(name.clone()));
            }
            result.add_term(folded, coefficient.clone());
        }
        result
    }
}

impl From<Integer> for Poly {
    fn from(value: Integer) -> Self {
        Poly::from_rational(Rational::from_integer(value))
    }
}

macro_rules! from_integers {
    ($($t:ty)*) => {$(
        impl From<$t> for Poly {
            fn from(value: $t) -> Self {
                Poly::from(Integer::from(value))
            }
        }
    )*};
}
from_integers!(i32 i64 u32 u64 usize i128 u128);

impl From<&str> for Poly {
    /// A symbol of that name; to read a formula, use `parse`.
    fn from(name: &str) -> Self {
        Poly::symbol(name)
    }
}

impl From<Symbol> for Poly {
    fn from(symbol: Symbol) -> Self {
        Poly::symbol(symbol)
    }
}

impl From<&Poly> for Poly {
    fn from(poly: &Poly) -> Self {
        poly.clone()
    }
}

impl AddAssign<&Poly> for Poly {
    fn add_assign(&mut self, other: &Poly) {
        for (monomial, coefficient) in &other.terms {
            self.add_term(monomial.clone(), coefficient.clone());
        }
    }
}

impl AddAssign for Poly {
    fn add_assign(&mut self, other: Poly) {
        *self += &other;
    }
}

impl Neg for &Poly {
    type Output = Poly;
    fn neg(self) -> Poly {
        Poly { terms: self.terms.iter().map(|(m, c)| (m.clone(), -c)).collect() }
    }
}

impl Neg for Poly {
    type Output = Poly;
    fn neg(self) -> Poly {
        -&self
    }
}

impl Add<&Poly> for &Poly {
    type Output = Poly;
    fn add(self, other: &Poly) -> Poly {
        let mut sum = self.clone();
        sum += other;
        sum
    }
}

impl Sub<&Poly> for &Poly {
    type Output = Poly;
    fn sub(self, other: &Poly) -> Poly {
        self + &-other
    }
}

impl Mul<&Poly> for &Poly {
    type Output = Poly;
    fn mul(self, other: &Poly) -> Poly {
        let mut product = Poly::zero();
        for (m, c) in &self.terms {
            for (n, d) in &other.terms {
                product.add_term(m.times(n), c * d);
            }
        }
        product
    }
}

macro_rules! by_value {
    ($($op:ident $method:ident)*) => {$(
        impl $op<Poly> for Poly {
            type Output = Poly;
            fn $method(self, other: Poly) -> Poly {
                (&self).$method(&other)
            }
        }
        impl $op<&Poly> for Poly {
            type Output = Poly;
            fn $method(self, other: &Poly) -> Poly {
                (&self).$method(other)
            }
        }
        impl $op<Poly> for &Poly {
            type Output = Poly;
            fn $method(self, other: Poly) -> Poly {
                self.$method(&other)
            }
        }
        impl $op<i64> for Poly {
            type Output = Poly;
            fn $method(self, other: i64) -> Poly {
                (&self).$method(&Poly::from(other))
            }
        }
        impl $op<i64> for &Poly {
            type Output = Poly;
            fn $method(self, other: i64) -> Poly {
                self.$method(&Poly::from(other))
            }
        }
    )*};
}
by_value!(Add add Sub sub Mul mul);

impl Sum for Poly {
    fn sum<I: Iterator<Item = Poly>>(iter: I) -> Poly {
        iter.fold(Poly::zero(), |sum, p| sum + p)
    }
}

impl<'a> Sum<&'a Poly> for Poly {
    fn sum<I: Iterator<Item = &'a Poly>>(iter: I) -> Poly {
        iter.fold(Poly::zero(), |sum, p| sum + p)
    }
}

impl Product for Poly {
    fn product<I: Iterator<Item = Poly>>(iter: I) -> Poly {
        iter.fold(Poly::one(), |product, p| product * p)
    }
}

impl<'a> Product<&'a Poly> for Poly {
    fn product<I: Iterator<Item = &'a Poly>>(iter: I) -> Poly {
        iter.fold(Poly::one(), |product, p| product * p)
    }
}

impl Zero for Poly {
    fn zero() -> Self {
        Poly::default()
    }
    fn is_zero(&self) -> bool {
        Poly::is_zero(self)
    }
}
