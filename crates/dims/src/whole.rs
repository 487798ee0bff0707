//! The terms of a polynomial, for who writes it down in another language.

use num_integer::Integer as _;
use num_traits::One;

use crate::{Integer, Poly, Symbol};

/// A polynomial as a sum of terms with whole coefficients, over one denominator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WholeTerms {
    /// Coefficients, with the powers of symbols that each is multiplied with; the highest degree first.
    pub terms: Vec<(Integer, Vec<(Symbol, u32)>)>,
    /// What their sum is divided by.
    pub denominator: Integer,
}

impl Poly {
    /// Its terms.
    ///
    /// ```
    /// # mod opledger { pub use opledger_dims::*; }
    /// use opledger::Poly;
    ///
    /// let pairs: Poly = "n²/2 + n/2".parse()?;
    /// let whole = pairs.whole_terms();
    /// assert_eq!(whole.denominator, 2.into());
    /// assert_eq!(whole.terms, [(1.into(), vec![("n".into(), 2)]), (1.into(), vec![("n".into(), 1)])]);
    /// # Ok::<(), opledger_dims::ParseError>(())
    /// ```
    pub fn whole_terms(&self) -> WholeTerms {
        let mut denominator = Integer::one();
        for (_, coefficient) in self.terms() {
            denominator = denominator.lcm(coefficient.denom());
        }
        let mut terms: Vec<(Integer, Vec<(Symbol, u32)>)> = self
            .terms()
            .map(|(monomial, coefficient)| {
                let whole = coefficient.numer() * (&denominator / coefficient.denom());
                (whole, monomial.powers().to_vec())
            })
            .collect();
        let degree = |powers: &[(Symbol, u32)]| powers.iter().map(|(_, e)| e).sum::<u32>();
        terms.sort_by_key(|(_, powers)| std::cmp::Reverse(degree(powers)));
        WholeTerms { terms, denominator }
    }
}
