//! Parts of polynomials: what is common to the coefficients, those of one sign, those that a number divides.

use num_rational::Ratio;
use num_traits::{One, Signed, Zero};

use crate::poly::Rational;
use crate::{Integer, Poly, Symbol};

impl Poly {
    /// The polynomial with whole coefficients that have no common divisor, the first of them positive, of
    /// which this is a multiple, and the multiple's numerator and denominator.
    ///
    /// ```
    /// # mod opledger { pub use opledger_dims::*; }
    /// use opledger::Poly;
    ///
    /// let [b, n] = ["b", "n"].map(Poly::from);
    /// let (primitive, numerator, denominator) = (&b * 24 - &b * &n * 8).ratio(1, 3).primitive();
    /// assert_eq!(primitive, &b * &n - &b * 3);
    /// assert_eq!((numerator, denominator), ((-8).into(), 3.into()));
    /// ```
    pub fn primitive(&self) -> (Poly, Integer, Integer) {
        // What a fraction loses when it is lowered to its terms.
        let common = |a: &Integer, b: &Integer| b / Ratio::new(a.clone(), b.clone()).denom();
        let (mut numerator, mut denominator) = (Integer::zero(), Integer::one());
        for coefficient in self.terms().map(|(_, coefficient)| coefficient) {
            let (over, under) = (coefficient.numer().abs(), coefficient.denom());
            numerator = if numerator.is_zero() { over } else { common(&numerator, &over).abs() };
            let shared = common(&denominator, under).abs();
            denominator = denominator * under / shared;
        }
        let Some((_, first)) = self.terms().next() else {
            return (Poly::zero(), Integer::zero(), Integer::one());
        };
        if first.is_negative() {
            numerator = -numerator;
        }
        let inverse = Poly::from_rational(Ratio::new(denominator.clone(), numerator.clone()));
        (self * &inverse, numerator, denominator)
    }

    /// Two polynomials without negative coefficients of which this is the difference.
    pub fn split(&self) -> (Poly, Poly) {
        let (mut more, mut less) = (Poly::zero(), Poly::zero());
        for (monomial, coefficient) in self.terms() {
            let side = if coefficient.is_negative() { &mut less } else { &mut more };
            side.add_term(monomial.clone(), coefficient.abs());
        }
        (more, less)
    }

    /// The least and the greatest whole number that the value may be where every symbol lies between two
    /// others, the first not below 0; none where there is no such.
    ///
    /// ```
    /// # mod opledger { pub use opledger_dims::*; }
    /// use opledger::{Integer, Poly};
    ///
    /// let [b, n] = ["b", "n"].map(Poly::from);
    /// let least = |_: &_| (Integer::from(2), None);
    /// assert_eq!((&b * &n + 1).range(least), (Some(5.into()), None));
    /// assert_eq!((Poly::from(1) - n).range(least), (None, Some((-1).into())));
    /// ```
    pub fn range(
        &self,
        of: impl Fn(&Symbol) -> (Integer, Option<Integer>),
    ) -> (Option<Integer>, Option<Integer>) {
        let (mut least, mut most) = (Some(Rational::zero()), Some(Rational::zero()));
        for (monomial, coefficient) in self.terms() {
            let (mut low, mut high) = (Integer::one(), Some(Integer::one()));
            for (symbol, exponent) in monomial.powers() {
                let (own_low, own_high) = of(symbol);
                low *= own_low.pow(*exponent);
                high = high.zip(own_high).map(|(high, own)| high * own.pow(*exponent));
            }
            let low = Some(coefficient * low);
            let high = high.map(|high| coefficient * high);
            let (low, high) = if coefficient.is_negative() { (high, low) } else { (low, high) };
            least = least.zip(low).map(|(sum, low)| sum + low);
            most = most.zip(high).map(|(sum, high)| sum + high);
        }
        (least.map(|least| least.ceil().to_integer()), most.map(|most| most.floor().to_integer()))
    }

    /// The terms with a symbol that a whole number divides, divided by it, and the others.
    pub fn divided_terms(&self, by: &Integer) -> (Poly, Poly) {
        let (mut divided, mut rest) = (Poly::zero(), Poly::zero());
        for (monomial, coefficient) in self.terms() {
            let over = coefficient / by;
            match over.is_integer() && monomial.degree() > 0 {
                true => divided.add_term(monomial.clone(), over),
                false => rest.add_term(monomial.clone(), coefficient.clone()),
            }
        }
        (divided, rest)
    }
}
