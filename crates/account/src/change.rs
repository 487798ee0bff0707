//! Assertions about what changed: `flops <= +5%`, `params == 0`, `macs < -1e9`.

use std::fmt;
use std::str::FromStr;

use opledger_dims::Integer;

use crate::{Assertion, AssertionError};

/// What must hold of the difference between two counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeAssertion {
    text: String,
    /// The same of a difference without a sign.
    bound: Assertion,
    negative: bool,
    /// Whether the bound is in percent of the count before.
    percent: bool,
}

impl ChangeAssertion {
    /// The name of the quantity it is about.
    pub fn quantity(&self) -> &str {
        self.bound.quantity()
    }

    /// Whether the change between two counts keeps it. From zero, no percentage is more than nothing.
    ///
    /// ```
    /// use opledger::account::ChangeAssertion;
    ///
    /// let most: ChangeAssertion = "flops <= +5%".parse()?;
    /// assert!(most.holds(&1000.into(), &1050.into()) && !most.holds(&1000.into(), &1051.into()));
    /// # Ok::<(), opledger::account::AssertionError>(())
    /// ```
    pub fn holds(&self, before: &Integer, after: &Integer) -> bool {
        let (difference, one) = (after - before, Integer::from(1));
        let sign = Integer::from(if self.negative { -1 } else { 1 });
        match self.percent {
            true => self.bound.holds_of(&(difference * 100), &(sign * before)),
            false => self.bound.holds_of(&difference, &(sign * one)),
        }
    }
}

impl fmt::Display for ChangeAssertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for ChangeAssertion {
    type Err = AssertionError;

    fn from_str(text: &str) -> Result<Self, AssertionError> {
        let text = text.trim();
        let plain = text.strip_suffix('%').unwrap_or(text).trim_end();
        let after = plain.rfind(['<', '>', '=']).map_or(plain.len(), |at| at + 1);
        let (relation, number) = (&plain[..after], plain[after..].trim_start());
        let unsigned = number.strip_prefix(['+', '-', '−']);
        let negative = number.starts_with(['-', '−']);
        let bound = format!("{relation} {}", unsigned.unwrap_or(number)).parse()?;
        let (text, percent) = (text.to_owned(), text.ends_with('%'));
        Ok(ChangeAssertion { text, bound, negative, percent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(text: &str, before: i64, after: i64) -> bool {
        text.parse::<ChangeAssertion>().unwrap().holds(&before.into(), &after.into())
    }

    #[test]
    fn changes_are_held_against_bounds_exactly() {
        assert!(holds("flops <= +5%", 1000, 1050) && !holds("flops <= +5%", 1000, 1051));
        assert!(holds("flops<=5 %", 1000, 1050) && holds("x <= +3.1%", 1000, 1031));
        assert!(holds("x < -2.5%", 1000, 974) && !holds("x < -2.5%", 1000, 975));
        assert!(holds("params == 0", 7, 7) && !holds("params == 0", 7, 8));
        assert!(holds("macs <= -1e3", 5000, 4000) && !holds("macs <= −1e3", 5000, 4001));
        assert!(holds("bytes-read >= +1_000", 0, 1000) && !holds("x <= +5%", 0, 1));
        assert!(holds("flops <= +2.5k", 0, 2500) && !holds("flops <= +2.5k", 0, 2501));
        for bad in ["", "flops", "flops +5%", "flops <= %", "flops <= +-5%", "flops <= 5%%"] {
            assert!(bad.parse::<ChangeAssertion>().is_err(), "{bad}");
        }
    }
}
