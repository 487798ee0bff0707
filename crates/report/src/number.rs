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

/// The letters of the powers of 1000.
const LETTERS: [&str; 11] = ["", "k", "M", "G", "T", "P", "E", "Z", "Y", "R", "Q"];

/// What [`rounded`] says, for the foot of a table.
pub(crate) const ROUNDED: &str =
    "rounded to three digits, k M G T P E Z Y R Q = 10^3, 10^6, … 10^30";

/// A whole number of at least 0 to three digits: `12.3 G` is 12.3·10^9. Exact below 1000.
pub(crate) fn rounded(number: &Integer) -> String {
    let mut digits = number.to_string();
    if digits.len() <= 3 || digits.starts_with('-') {
        return digits;
    }
    let (first, rest) = digits.split_at(3);
    let up = i64::from(rest.as_bytes()[0] >= b'5');
    let lead = (first.parse::<Integer>().unwrap_or_default() + up).to_string();
    // 999.5 rounds to four digits.
    let power = digits.len() - 3 + (lead.len() - 3);
    digits = lead[..3].to_owned();
    let (thousands, above) = (power.div_ceil(3), power % 3);
    // Of three digits with `above` zeros behind them, so many stand before the point.
    let whole = if above == 0 { 3 } else { above };
    let shown =
        if whole == 3 { digits } else { format!("{}.{}", &digits[..whole], &digits[whole..]) };
    match LETTERS.get(thousands) {
        Some(letter) => format!("{shown} {letter}"),
        None => format!("{shown}·10^{}", 3 * thousands),
    }
}

/// A part of a whole in percent, to a tenth; nothing of an empty whole.
pub(crate) fn percent(part: &Integer, whole: &Integer) -> Option<String> {
    let zero = Integer::default();
    if *whole <= zero || *part < zero {
        return None;
    }
    let tenths: Integer = (part * 2000 + whole) / (whole * 2);
    let tenths = tenths.to_string();
    if tenths == "0" && *part > zero {
        return Some("< 0.1".to_owned());
    }
    let padded = format!("{tenths:0>2}");
    let (above, tenth) = padded.split_at(padded.len() - 1);
    Some(format!("{above}.{tenth}"))
}

/// A time to three digits: `1.23 ms`.
pub(crate) fn duration(seconds: f64) -> String {
    if seconds == 0.0 {
        return "0 s".to_owned();
    }
    if !seconds.is_finite() || seconds >= 999.5 {
        return format!("{} s", seconds.round());
    }
    let units = [("s", 1.0), ("ms", 1e3), ("µs", 1e6), ("ns", 1e9), ("ps", 1e12)];
    // What rounds to 1000 of a unit is one of the next.
    let unit = units.into_iter().find(|(_, per)| seconds * per >= 0.9995);
    let (name, per) = unit.unwrap_or(("ps", 1e12));
    let shown = seconds * per;
    match shown {
        shown if shown < 0.0005 => format!("{shown:.2e} {name}"),
        shown if shown < 9.995 => format!("{shown:.2} {name}"),
        shown if shown < 99.95 => format!("{shown:.1} {name}"),
        shown => format!("{shown:.0} {name}"),
    }
}

/// A difference in percent of what it is from, with its sign, to a tenth; nothing from zero.
pub(crate) fn change(from: &Integer, difference: &Integer) -> Option<String> {
    let zero = Integer::default();
    if *difference == zero {
        return Some("0.0".to_owned());
    }
    let (sign, size) =
        if *difference < zero { ('-', -difference) } else { ('+', difference.clone()) };
    let shown = percent(&size, from)?;
    Some(match shown.strip_prefix("< ") {
        Some(least) => format!("{sign}< {least}"),
        None => format!("{sign}{shown}"),
    })
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
    fn three_digits_and_a_letter_are_the_nearest() {
        let power = |n: u32| Integer::from(10).pow(n);
        for (number, shown) in [
            (0.into(), "0"),
            (999.into(), "999"),
            (1000.into(), "1.00 k"),
            (9_994.into(), "9.99 k"),
            (9_995.into(), "10.0 k"),
            (99_950.into(), "100 k"),
            (999_499.into(), "999 k"),
            (999_500.into(), "1.00 M"),
            (12_345_678_901_u64.into(), "12.3 G"),
            (power(30), "1.00 Q"),
            (power(33) - 1, "1.00·10^33"),
            (power(40) * 2, "20.0·10^39"),
        ] {
            assert_eq!(rounded(&number), shown, "{number}");
        }
        let share = |part: u32, whole: u32| percent(&part.into(), &whole.into());
        assert_eq!(share(1, 8).unwrap(), "12.5");
        assert_eq!(share(1, 1999).unwrap(), "0.1");
        assert_eq!(share(1, 2001).unwrap(), "< 0.1");
        assert_eq!((share(0, 7).unwrap(), share(7, 7).unwrap()), ("0.0".into(), "100.0".into()));
        assert_eq!(share(0, 0), None);
        let change = |from: i64, by: i64| change(&from.into(), &by.into());
        assert_eq!(change(1000, 31).unwrap(), "+3.1");
        assert_eq!(change(1000, -1000).unwrap(), "-100.0");
        assert_eq!(change(100_000, -1).unwrap(), "-< 0.1");
        assert_eq!((change(5, 0).unwrap(), change(0, 5)), ("0.0".to_owned(), None));
    }

    #[test]
    fn times_have_three_digits_and_a_unit() {
        for (seconds, shown) in [
            (0.0, "0 s"),
            (1.0, "1.00 s"),
            (0.99951, "1.00 s"),
            (0.0123, "12.3 ms"),
            (0.9994, "999 ms"),
            (4.56e-6, "4.56 µs"),
            (2.5e-10, "250 ps"),
            (1e-14, "0.01 ps"),
            (1e-20, "1.00e-8 ps"),
            (1234.4, "1234 s"),
        ] {
            assert_eq!(duration(seconds), shown);
        }
    }

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
