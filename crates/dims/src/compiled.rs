//! Polynomials to be evaluated at many points.

use num_integer::Integer as _;
use num_traits::{One, ToPrimitive};

use crate::{Binding, EvalError, Integer, Poly, Symbol};

/// A polynomial over some symbols in a form that is fast to evaluate: whole coefficients in 128 bits
/// over one denominator. Values are exact; what exceeds 128 bits on the way is computed as
/// [`Poly::at`] does it.
#[derive(Clone, Debug)]
pub struct Compiled {
    symbols: Vec<Symbol>,
    /// None where a coefficient exceeds 128 bits.
    terms: Option<Vec<Term>>,
    denominator: i128,
    poly: Poly,
}

/// A coefficient, and the powers of symbols by their position.
type Term = (i128, Vec<(usize, u32)>);

impl Poly {
    /// The polynomial over the symbols given, which all of its own are.
    ///
    /// # Errors
    /// When another symbol occurs.
    pub fn compile(&self, symbols: &[Symbol]) -> Result<Compiled, EvalError> {
        let mut denominator = Integer::one();
        for (_, coefficient) in self.terms() {
            denominator = denominator.lcm(coefficient.denom());
        }
        let mut terms = Some(Vec::new());
        for (monomial, coefficient) in self.terms() {
            let mut powers = Vec::new();
            for (symbol, exponent) in monomial.powers() {
                let at = symbols.iter().position(|s| s == symbol);
                powers.push((at.ok_or_else(|| EvalError::Unbound(symbol.clone()))?, *exponent));
            }
            let whole = coefficient.numer() * (&denominator / coefficient.denom());
            terms = match (terms, whole.to_i128()) {
                (Some(mut terms), Some(whole)) => {
                    terms.push((whole, powers));
                    Some(terms)
                }
                _ => None,
            };
        }
        let small = denominator.to_i128();
        Ok(Compiled {
            symbols: symbols.to_vec(),
            terms: terms.filter(|_| small.is_some()),
            denominator: small.unwrap_or(1),
            poly: self.clone(),
        })
    }
}

impl Compiled {
    /// The exact value where each symbol has the value at its position.
    ///
    /// # Errors
    /// When a value is missing, or the result is not a whole number.
    pub fn at(&self, values: &[i128]) -> Result<Integer, EvalError> {
        if let Some(value) = self.in_128_bits(values) {
            return Ok(value.into());
        }
        let given = self.symbols.iter().cloned().zip(values.iter().copied());
        self.poly.at(&Binding::from_iter(given))
    }

    fn in_128_bits(&self, values: &[i128]) -> Option<i128> {
        let mut sum = 0_i128;
        for (coefficient, powers) in self.terms.as_ref()? {
            let mut product = *coefficient;
            for (at, exponent) in powers {
                for _ in 0..*exponent {
                    product = product.checked_mul(*values.get(*at)?)?;
                }
            }
            sum = sum.checked_add(product)?;
        }
        (sum % self.denominator == 0).then(|| sum / self.denominator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn values_are_those_of_the_polynomial(
            coefficients in prop::collection::vec(-40..40_i64, 6),
            b in 0..50_i64,
            n in -3..(1_i64 << 40),
        ) {
            let (x, y) = (Poly::from("b"), Poly::from("n"));
            let powers = [Poly::one(), x.clone(), y.clone(), &x * &y, y.pow(2), y.pow(3)];
            // n·(n + 1)/2 is whole.
            let triangle = (y.pow(2) + &y).ratio(1, 2);
            let poly = powers.iter().zip(&coefficients).fold(triangle, |p, (m, c)| p + m * *c);
            let compiled = poly.compile(&["b".into(), "n".into()]).unwrap();
            let binding = Binding::from_iter([("b", b), ("n", n)]);
            prop_assert_eq!(compiled.at(&[b.into(), n.into()]), poly.at(&binding));
        }
    }

    #[test]
    fn what_has_no_value_says_so() {
        let half = Poly::from("n").ratio(1, 2);
        assert!(half.compile(&["b".into()]).is_err());
        let compiled = half.compile(&["n".into()]).unwrap();
        assert_eq!(compiled.at(&[4]).unwrap(), 2.into());
        assert!(matches!(compiled.at(&[3]), Err(EvalError::Fraction { .. })));
        assert!(matches!(compiled.at(&[]), Err(EvalError::Unbound(_))));
        let huge = Poly::from("n").pow(9).compile(&["n".into()]).unwrap();
        assert_eq!(huge.at(&[1 << 40]).unwrap(), Integer::from(2).pow(360));
    }
}
