//! Numbers as printed, exact fractions, and whether the one rounds to the other.

use opledger_dims::{Binding, Integer, Poly};

use crate::TableProblem;

/// A printed decimal: `digits · 10^exponent`, exact to half a unit of its last digit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Printed {
    digits: Integer,
    exponent: i32,
}

/// What stands for a power of ten after a number.
const SUFFIXES: [(&str, &str); 4] = [("M", "6"), ("G", "9"), ("B", "9"), ("T", "12")];

impl Printed {
    /// Reads `65`, `1.03`, `1,542`, `125M` or `3.14E23`.
    pub(crate) fn read(text: &str) -> Option<Printed> {
        let text = text.replace([',', '_'], "");
        let suffix = SUFFIXES.iter().find_map(|(suffix, power)| {
            text.strip_suffix(suffix).map(|mantissa| (mantissa, *power))
        });
        let (mantissa, power) =
            suffix.or(text.split_once(['E', 'e'])).unwrap_or((text.as_str(), "0"));
        let (whole, decimals) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{decimals}");
        let plain = !whole.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        let power: i32 = power.parse().ok().filter(|p| (-60..=60).contains(p))?;
        let exponent = power - i32::try_from(decimals.len()).ok()?;
        plain.then(|| digits.parse().ok()).flatten().map(|digits| Printed { digits, exponent })
    }

    /// Decimals after the point.
    pub(crate) fn places(&self) -> u32 {
        self.exponent.min(0).unsigned_abs()
    }

    /// `digits` with `half` units of the last digit more, as a fraction.
    pub(crate) fn with_halves(&self, half: i32) -> Fraction {
        let ten = Integer::from(10);
        let numerator = &self.digits * 2 + half;
        match u32::try_from(self.exponent) {
            Ok(power) => Fraction::new(numerator * ten.pow(power), 2.into()),
            Err(_) => Fraction::new(numerator, ten.pow(self.exponent.unsigned_abs()) * 2),
        }
    }

    /// Whether a value is the printed one when it is rounded to the printed digits. Where it lies
    /// right between two, either is.
    pub(crate) fn is(&self, value: &Fraction) -> bool {
        self.with_halves(-1) <= *value && *value <= self.with_halves(1)
    }

    /// How far a value is above the printed number, in percent of it.
    pub(crate) fn percent_off(&self, value: &Fraction) -> Option<String> {
        let printed = self.with_halves(0);
        let off = &value.numerator * &printed.denominator - &printed.numerator * &value.denominator;
        let whole = &printed.numerator * &value.denominator;
        let percent = (whole != Integer::from(0)).then(|| Fraction::new(off * 100, whole))?;
        let sign = if percent.numerator < Integer::from(0) { "" } else { "+" };
        Some(format!("{sign}{} %", percent.decimal(2)))
    }
}

/// An exact fraction; the denominator is positive.
#[derive(Clone, Debug)]
pub(crate) struct Fraction {
    pub(crate) numerator: Integer,
    pub(crate) denominator: Integer,
}

impl Fraction {
    /// `numerator / denominator`; a zero denominator is taken as one.
    pub(crate) fn new(numerator: Integer, denominator: Integer) -> Fraction {
        let zero = Integer::from(0);
        match denominator {
            d if d < zero => Fraction { numerator: -numerator, denominator: -d },
            d if d == zero => Fraction { numerator, denominator: 1.into() },
            denominator => Fraction { numerator, denominator },
        }
    }

    /// Rounded to `places` decimals, half away from zero.
    pub(crate) fn decimal(&self, places: u32) -> String {
        let zero = Integer::from(0);
        let negative = self.numerator < zero;
        let size = if negative { -&self.numerator } else { self.numerator.clone() };
        let scaled = size * Integer::from(10).pow(places) * 2 + &self.denominator;
        let rounded: Integer = scaled / (&self.denominator * 2);
        let digits = format!("{:0>1$}", rounded.to_string(), places as usize + 1);
        let (whole, decimals) = digits.split_at(digits.len() - places as usize);
        let sign = if negative && rounded != zero { "-" } else { "" };
        let point = if places > 0 { "." } else { "" };
        format!("{sign}{whole}{point}{decimals}")
    }

    /// Whether it is a whole number.
    pub(crate) fn is_whole(&self) -> bool {
        &self.numerator % &self.denominator == Integer::from(0)
    }

    /// The greatest whole number that is not above.
    pub(crate) fn floor(&self) -> Integer {
        let quotient = &self.numerator / &self.denominator;
        let below = self.numerator < Integer::from(0) && !self.is_whole();
        if below { quotient - 1 } else { quotient }
    }

    /// As a floating-point number, for drawing.
    pub(crate) fn real(&self) -> f64 {
        self.decimal(9).parse().unwrap_or(f64::NAN)
    }
}

impl PartialEq for Fraction {
    fn eq(&self, other: &Self) -> bool {
        &self.numerator * &other.denominator == &other.numerator * &self.denominator
    }
}

impl PartialOrd for Fraction {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        let left = &self.numerator * &other.denominator;
        left.partial_cmp(&(&other.numerator * &self.denominator))
    }
}

/// A polynomial without symbols, as a whole number.
pub(crate) fn whole(poly: &Poly) -> Result<Integer, TableProblem> {
    Ok(poly.at(&Binding::new())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fraction(numerator: i64, denominator: i64) -> Fraction {
        Fraction::new(numerator.into(), denominator.into())
    }

    #[test]
    fn a_value_agrees_when_it_rounds_to_the_printed_digits() {
        let is = |text: &str, n, d| Printed::read(text).unwrap().is(&fraction(n, d));
        assert!(is("65", 64_500, 1000) && is("65", 65_500, 1000));
        assert!(!is("65", 64_499, 1000) && !is("65", 65_501, 1000));
        assert!(is("1.03", 10_250, 10_000) && !is("1.03", 10_249, 10_000));
        assert!(!is("3.14E23", 314, 100));
        assert!(is("3.14E2", 314_499, 1000) && !is("3.14E2", 314_501, 1000));
        assert!(is("1,542", 15_424, 10));
        assert!(is("1.3B", 1_349_999_999, 1) && !is("1.3B", 1_350_000_001, 1));
        for text in ["", ".", "1.0.0", "12a", "-3", "1e99"] {
            assert_eq!(Printed::read(text), None, "{text}");
        }
    }

    #[test]
    fn fractions_are_written_and_rounded() {
        assert_eq!(fraction(2, 3).decimal(2), "0.67");
        assert_eq!(fraction(-2, 3).decimal(0), "-1");
        assert_eq!(fraction(-1, 1000).decimal(1), "0.0");
        assert_eq!(fraction(1, 8).decimal(2), "0.13");
        assert_eq!(
            [7, -7, 6, -6].map(|n| fraction(n, 3).floor()),
            [2, -3, 2, -2].map(Integer::from)
        );
        let off = Printed::read("50").unwrap().percent_off(&fraction(49, 1));
        assert_eq!(off.as_deref(), Some("-2.00 %"));
    }
}
