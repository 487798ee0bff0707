//! Assertions about quantities: `flops <= 2.5e9`, `params == 124439808`.

use std::fmt;
use std::str::FromStr;

use opledger_dims::Integer;

/// How a count is held against a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Less,
    AtMost,
    Equal,
    AtLeast,
    More,
    NotEqual,
}

/// The longer ones first, so that `<=` is not read as `<`.
const RELATIONS: [(&str, Relation); 6] = [
    ("<=", Relation::AtMost),
    (">=", Relation::AtLeast),
    ("==", Relation::Equal),
    ("!=", Relation::NotEqual),
    ("<", Relation::Less),
    (">", Relation::More),
];

/// The most digits a bound may stand for.
const MAX_EXPONENT: u32 = 1000;

/// What must hold of a count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assertion {
    text: String,
    quantity: String,
    relation: Relation,
    /// The bound times a power of ten that makes it whole.
    bound: Integer,
    scale: Integer,
}

/// Why a text is no assertion.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{expected} at character {position}\n  {text}\n  {}^", " ".repeat(position - 1))]
pub struct AssertionError {
    expected: &'static str,
    /// Counted from 1.
    position: usize,
    text: String,
}

impl Assertion {
    /// The name of the quantity it is about.
    pub fn quantity(&self) -> &str {
        &self.quantity
    }

    /// Whether a count keeps it.
    pub fn holds(&self, count: &Integer) -> bool {
        self.holds_of(count, &1.into())
    }

    /// Whether a count keeps it with the bound in this unit, which may be negative.
    pub(crate) fn holds_of(&self, count: &Integer, unit: &Integer) -> bool {
        let order = (count * &self.scale).cmp(&(&self.bound * unit));
        match self.relation {
            Relation::Less => order.is_lt(),
            Relation::AtMost => order.is_le(),
            Relation::Equal => order.is_eq(),
            Relation::AtLeast => order.is_ge(),
            Relation::More => order.is_gt(),
            Relation::NotEqual => order.is_ne(),
        }
    }
}

impl fmt::Display for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Assertion {
    type Err = AssertionError;

    fn from_str(text: &str) -> Result<Self, AssertionError> {
        let error = |expected, byte: usize| AssertionError {
            expected,
            position: text[..byte].chars().count() + 1,
            text: text.to_owned(),
        };
        let skip = |at: usize| at + (text[at..].len() - text[at..].trim_start().len());
        let start = skip(0);
        let named = |c: char| c.is_alphanumeric() || "-_.@".contains(c);
        let end = text[start..].find(|c| !named(c)).map_or(text.len(), |at| start + at);
        if start == end {
            return Err(error("expected a quantity such as flops, params or fvcore", start));
        }
        let at = skip(end);
        let relation = RELATIONS.iter().find(|(sign, _)| text[at..].starts_with(sign));
        let Some((sign, relation)) = relation else {
            return Err(error("expected one of <, <=, ==, !=, >=, >", at));
        };
        let at = skip(at + sign.len());
        let number = text[at..].trim_end();
        let (bound, scale) = decimal(number).map_err(|(what, byte)| error(what, at + byte))?;
        Ok(Assertion {
            text: text.trim().to_owned(),
            quantity: text[start..end].to_owned(),
            relation: *relation,
            bound,
            scale,
        })
    }
}

/// What a number is, for those who wrote none.
const NUMBER: &str = "expected a number such as 1000, 2.5G, 2.5e9 or 10^12";

/// The letters of powers of 1000.
const LETTERS: [(char, u32); 5] = [('k', 3), ('M', 6), ('G', 9), ('T', 12), ('P', 15)];

/// `2.5e9`, `2.5G`, `1_000`, `1,000` or `10^12` as a whole number over a power of ten; otherwise what is
/// expected and at which byte.
fn decimal(text: &str) -> Result<(Integer, Integer), (&'static str, usize)> {
    let ten = || Integer::from(10);
    let power = |digits: &str, at: usize| match digits.parse::<u32>() {
        Ok(exponent) if exponent <= MAX_EXPONENT => Ok(exponent),
        _ => Err(("expected an exponent of at most 1000", at)),
    };
    if let Some((letter, zeros)) = LETTERS.iter().find(|(letter, _)| text.ends_with(*letter)) {
        let (number, scale) = mantissa(text[..text.len() - letter.len_utf8()].trim_end())?;
        return Ok((number * ten().pow(*zeros), scale));
    }
    if let Some((base, exponent)) = text.split_once('^') {
        let number: Integer = base.trim().parse().map_err(|_| ("expected a number", 0))?;
        return Ok((number.pow(power(exponent.trim(), base.len() + 1)?), 1.into()));
    }
    let (digits, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], power(text[at + 1..].trim_start_matches('+'), at + 1)?),
        None => (text, 0),
    };
    let (number, scale) = mantissa(digits)?;
    Ok((number * ten().pow(exponent), scale))
}

/// Digits with a point, as a whole number over a power of ten.
fn mantissa(text: &str) -> Result<(Integer, Integer), (&'static str, usize)> {
    let (mut digits, mut decimals, mut seen) = (String::new(), 0, false);
    for (at, c) in text.char_indices() {
        match c {
            '0'..='9' => {
                digits.push(c);
                decimals += u32::from(seen);
            }
            '.' if !seen => seen = true,
            '_' | ',' if !digits.is_empty() && !seen => {}
            _ => return Err((NUMBER, at)),
        }
    }
    let number: Integer = digits.parse().map_err(|_| (NUMBER, 0))?;
    Ok((number, Integer::from(10).pow(decimals)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(text: &str, count: i64) -> bool {
        text.parse::<Assertion>().unwrap().holds(&count.into())
    }

    #[test]
    fn counts_are_held_against_bounds_exactly() {
        assert!(holds("flops <= 2.5e9", 2_500_000_000) && !holds("flops <= 2.5e9", 2_500_000_001));
        assert!(holds("params==124_439_808", 124_439_808) && !holds("params==124,439,808", 1));
        assert!(holds("flops <= 2.5G", 2_500_000_000) && !holds("flops <= 2.5 G", 2_500_000_001));
        assert!(holds("params == 117k", 117_000) && holds("macs > 1M", 1_000_001));
        assert!(
            holds("macs < 1.5T", 1_499_999_999_999) && !holds("x < 0.0015P", 1_500_000_000_000)
        );
        assert!(holds("macs<10^3", 999) && !holds("macs < 10^3", 1000));
        assert!(holds("fvcore@0.1.5 >= 1.5", 2) && !holds("x > 1.5", 1) && holds("x != 7", 8));
    }

    #[test]
    fn a_text_that_is_none_points_at_the_character() {
        let cases = [
            ("", "quantity", 1),
            ("flops 5", "one of <", 7),
            ("flops = 5", "one of <", 7),
            ("flops <= ", "a number", 10),
            ("flops <= 2.5.1", "a number", 13),
            ("flops <= G", "a number", 10),
            ("flops <= 5GM", "a number", 11),
            ("flops <= 5K", "a number", 11),
            ("flops <= 1e9k", "a number", 11),
            ("flops <= 1e9999", "exponent", 12),
            ("flops <= 10^9999", "exponent", 13),
            ("flöps ≤ 1", "one of <", 7),
        ];
        for (text, expected, position) in cases {
            let error = text.parse::<Assertion>().unwrap_err();
            assert!(error.expected.contains(expected), "{text}: {error}");
            assert_eq!(error.position, position, "{text}");
        }
    }
}
