//! Polynomials as text and as LaTeX.

use std::fmt::{self, Write};

use num_traits::{One, Signed};

use crate::Poly;
use crate::monomial::Monomial;
use crate::poly::Rational;

/// How one notation writes the parts of a polynomial.
struct Notation {
    dot: &'static str,
    minus: &'static str,
    coefficient: fn(&Rational) -> String,
    power: fn(&str, u32) -> String,
}

const TEXT: Notation = Notation {
    dot: "·",
    minus: " - ",
    coefficient: Rational::to_string,
    power: |symbol, exponent| match exponent {
        1 => symbol.to_owned(),
        _ => symbol.chars().chain(superscript(exponent)).collect(),
    },
};

const LATEX: Notation = Notation {
    dot: r" \, ",
    minus: " - ",
    coefficient: |c| {
        if c.is_integer() {
            c.to_string()
        } else {
            format!(r"\tfrac{{{}}}{{{}}}", c.numer(), c.denom())
        }
    },
    power: |symbol, exponent| {
        let base = match symbol.split_once('_') {
            Some((head, tail)) => format!(r"{head}_{{\mathrm{{{}}}}}", tail.replace('_', r"\_")),
            None if symbol.len() > 1 => format!(r"\mathrm{{{symbol}}}"),
            None => symbol.to_owned(),
        };
        if exponent == 1 { base } else { format!("{base}^{{{exponent}}}") }
    },
};

fn superscript(exponent: u32) -> impl Iterator<Item = char> {
    const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let digits: Vec<char> =
        exponent.to_string().bytes().map(|d| DIGITS[usize::from(d - b'0')]).collect();
    digits.into_iter()
}

fn term(
    out: &mut impl Write,
    notation: &Notation,
    monomial: &Monomial,
    size: &Rational,
) -> fmt::Result {
    let mut first = true;
    if !size.is_one() || monomial.powers().is_empty() {
        out.write_str(&(notation.coefficient)(size))?;
        first = false;
    }
    for (symbol, exponent) in monomial.powers() {
        let power = (notation.power)(symbol.as_str(), *exponent);
        write!(out, "{}{power}", if first { "" } else { notation.dot })?;
        first = false;
    }
    Ok(())
}

fn write_poly(poly: &Poly, out: &mut impl Write, notation: &Notation) -> fmt::Result {
    if poly.is_zero() {
        return out.write_str("0");
    }
    for (i, (monomial, coefficient)) in poly.terms().enumerate() {
        out.write_str(match (i, coefficient.is_negative()) {
            (0, false) => "",
            (0, true) => "-",
            (_, false) => " + ",
            (_, true) => notation.minus,
        })?;
        term(out, notation, monomial, &coefficient.abs())?;
    }
    Ok(())
}

impl fmt::Display for Poly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_poly(self, f, &TEXT)
    }
}

impl Poly {
    /// The polynomial as LaTeX mathematics: `4 \, b \, n \, c^{2}`.
    pub fn latex(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = write_poly(self, &mut out, &LATEX);
        out
    }
}
