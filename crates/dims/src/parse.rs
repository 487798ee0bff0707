//! Reading polynomials.

use std::str::FromStr;

use num_rational::Ratio;
use num_traits::Zero;

use crate::{Integer, Poly, Symbol};

/// Why a text is no polynomial.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem} at character {position} of `{text}`")]
pub struct ParseError {
    /// What is wrong.
    pub problem: String,
    /// Where, counted in characters from 1.
    pub position: usize,
    /// The whole text.
    pub text: String,
}

/// The highest power and the deepest nesting a text may ask for; a formula needs less.
const MAX_POWER: u32 = 64;
const MAX_DEPTH: usize = 32;
/// The most terms an intermediate result may have.
const MAX_TERMS: usize = 4096;
/// The longest text that is read.
const MAX_LENGTH: usize = 4096;

/// Grammar: `sum := ['-'] product (('+' | '-') product)*`, `product := power (('·' | '*' | '/')? power)*`
/// with division by numbers only, `power := atom ('^' digits | superscript digits)?`,
/// `atom := number | name | '(' sum ')'`. Factors may stand side by side: `4bnc²` needs dots, since
/// `bnc` is one name, but `n(n+1)/2` reads as expected.
impl FromStr for Poly {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut parser = Parser { chars: text.chars().collect(), at: 0, depth: 0, text };
        if parser.chars.len() > MAX_LENGTH {
            return Err(parser.error(&format!("a formula of over {MAX_LENGTH} characters")));
        }
        let sum = parser.sum()?;
        match parser.peek() {
            None => Ok(sum),
            Some(c) => Err(parser.error(&format!("unexpected `{c}`"))),
        }
    }
}

struct Parser<'a> {
    chars: Vec<char>,
    at: usize,
    depth: usize,
    text: &'a str,
}

impl Parser<'_> {
    fn error(&self, problem: &str) -> ParseError {
        ParseError {
            problem: problem.to_owned(),
            position: self.at + 1,
            text: self.text.to_owned(),
        }
    }

    fn peek(&mut self) -> Option<char> {
        while self.chars.get(self.at).is_some_and(|c| c.is_whitespace()) {
            self.at += 1;
        }
        self.chars.get(self.at).copied()
    }

    fn eat(&mut self, wanted: &[char]) -> Option<char> {
        let c = self.peek().filter(|c| wanted.contains(c))?;
        self.at += 1;
        Some(c)
    }

    fn sum(&mut self) -> Result<Poly, ParseError> {
        let negative = self.eat(&['-', '−']).is_some();
        let mut sum = self.product()?;
        if negative {
            sum = -sum;
        }
        while let Some(sign) = self.eat(&['+', '-', '−']) {
            let next = self.product()?;
            sum = if sign == '+' { sum + next } else { sum - next };
        }
        Ok(sum)
    }

    fn product(&mut self) -> Result<Poly, ParseError> {
        let mut product = self.power()?;
        loop {
            if self.eat(&['·', '*', '×']).is_some() {
                let next = self.power()?;
                product = self.multiply(&product, &next)?;
            } else if self.eat(&['/']).is_some() {
                let divisor = self.power()?;
                match divisor.as_integer() {
                    Some(d) if !d.is_zero() => {
                        product = product * Poly::from_rational(Ratio::new(1.into(), d));
                    }
                    _ => {
                        return Err(
                            self.error("division by something that is not a non-zero number")
                        );
                    }
                }
            } else if self.peek().is_some_and(|c| c == '(' || c.is_alphanumeric()) {
                let next = self.power()?;
                product = self.multiply(&product, &next)?;
            } else {
                return Ok(product);
            }
        }
    }

    fn multiply(&self, a: &Poly, b: &Poly) -> Result<Poly, ParseError> {
        if a.num_terms().saturating_mul(b.num_terms()) > MAX_TERMS {
            return Err(self.error(&format!("a product of over {MAX_TERMS} terms")));
        }
        Ok(a * b)
    }

    fn power(&mut self) -> Result<Poly, ParseError> {
        let base = self.atom()?;
        let exponent = if self.eat(&['^']).is_some() {
            self.peek();
            self.digits(|c| c.to_digit(10))
        } else {
            match self.digits(|c| "⁰¹²³⁴⁵⁶⁷⁸⁹".chars().position(|s| s == c).map(|p| p as u32))
            {
                None => return Ok(base),
                some => some,
            }
        };
        let exponent = exponent.ok_or_else(|| self.error("a power that is not a whole number"))?;
        match u32::try_from(exponent) {
            Ok(e) if e <= MAX_POWER => {
                let mut result = Poly::one();
                for _ in 0..e {
                    result = self.multiply(&result, &base)?;
                }
                Ok(result)
            }
            _ => Err(self.error(&format!("a power above {MAX_POWER}"))),
        }
    }

    fn atom(&mut self) -> Result<Poly, ParseError> {
        match self.peek() {
            None => Err(self.error("a number, a name or `(` is missing")),
            Some('(') => {
                self.at += 1;
                self.depth += 1;
                if self.depth > MAX_DEPTH {
                    return Err(self.error(&format!("parentheses deeper than {MAX_DEPTH}")));
                }
                let inner = self.sum()?;
                self.depth -= 1;
                self.eat(&[')']).map(|_| inner).ok_or_else(|| self.error("`)` is missing"))
            }
            Some(c) if c.is_ascii_digit() => {
                let number = self.digits(|c| c.to_digit(10)).unwrap_or_default();
                Ok(Poly::from(number))
            }
            Some(c) if c.is_ascii_alphabetic() => {
                let start = self.at;
                while self
                    .chars
                    .get(self.at)
                    .is_some_and(|c| c.is_ascii_alphanumeric() || *c == '_')
                {
                    self.at += 1;
                }
                Ok(Poly::symbol(Symbol::from(
                    self.chars[start..self.at].iter().collect::<String>(),
                )))
            }
            Some(c) => Err(self.error(&format!("unexpected `{c}`"))),
        }
    }

    /// Digits from here on, as one number; underscores between decimal digits are skipped.
    fn digits(&mut self, digit: impl Fn(char) -> Option<u32>) -> Option<Integer> {
        let mut number = None;
        while let Some(&c) = self.chars.get(self.at) {
            match digit(c) {
                Some(d) => number = Some(number.unwrap_or_else(Integer::zero) * 10 + d),
                None if c == '_' && number.is_some() => {}
                None => break,
            }
            self.at += 1;
        }
        number
    }
}
