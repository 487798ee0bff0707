//! Numbers for people.

use opledger_dims::Integer;

/// A whole number with a comma between each three digits.
pub fn thousands(number: &Integer) -> String {
    let digits = number.to_string();
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits.as_str()), |d| ("-", d));
    let mut out = String::from(sign);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A real number with a fixed number of decimals and commas in its whole part.
pub(crate) fn decimals(number: f64, decimals: usize) -> String {
    let text = format!("{number:.decimals$}");
    match text.split_once('.') {
        Some((whole, rest)) => match whole.parse::<Integer>() {
            Ok(integer) if !whole.starts_with('-') => format!("{}.{rest}", thousands(&integer)),
            _ => text,
        },
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_stand_between_each_three_digits() {
        let shown = |n: i64| thousands(&n.into());
        assert_eq!([0, 999, 1000].map(shown), ["0", "999", "1,000"]);
        assert_eq!([-1000, -999, 1_234_567].map(shown), ["-1,000", "-999", "1,234,567"]);
        assert_eq!(thousands(&Integer::from(10).pow(30)).len(), 41);
        assert_eq!(decimals(1234.5678, 2), "1,234.57");
        assert_eq!(decimals(-0.5, 1), "-0.5");
    }
}
