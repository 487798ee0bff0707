//! Sizes on the command line: `b=32`, `n=1_024`, `n=10^12`.

use opledger_dims::{Binding, Integer, Symbol, escaped};
use opledger_report::thousands;

use crate::failure::Failure;
use crate::notes::note_unit;

/// The most decimal digits a size may have; no model needs more.
const MAX_DIGITS: usize = 1000;
const MAX_BITS: u64 = 3322;

/// A symbol and the size it is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub(crate) symbol: Symbol,
    pub(crate) size: Integer,
}

/// Reads `symbol=size`.
pub(crate) fn assignment(text: &str) -> Result<Assignment, String> {
    let (symbol, size) =
        text.split_once('=').ok_or("it is not of the form symbol=size, such as n=128")?;
    let symbol = symbol.trim();
    if symbol.is_empty() {
        return Err("the symbol before `=` is missing, as in n=128".to_owned());
    }
    let size = size_of(size.trim())?;
    units(text).iter().for_each(|told| note_unit(told));
    Ok(Assignment { symbol: Symbol::new(symbol), size })
}

/// Reads a size.
pub(crate) fn size_of(text: &str) -> Result<Integer, String> {
    if text.starts_with(['-', '−']) {
        return Err("a size cannot be negative".to_owned());
    }
    let bad = || match text.split_once("..") {
        Some(_) => format!("`{text}` is several sizes, and one is taken here"),
        None => format!("`{text}` is not a whole number; {}", instead(text)),
    };
    let long = || format!("`{}` has over {MAX_DIGITS} digits", escaped(text));
    let digits = |text: &str| -> Result<Integer, String> {
        let plain = text.replace('_', "");
        if plain.is_empty() || !plain.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad());
        }
        // Reading digits takes time that grows with their square.
        if plain.len() > MAX_DIGITS {
            return Err(long());
        }
        plain.parse().map_err(|_| bad())
    };
    if let Some((number, unit)) = suffix(text) {
        return match (number, unit) {
            ("", _) => Err(bad()),
            (number, Some(unit)) => Ok(digits(number)? * unit),
            (number, None) => Err(format!(
                "`{}` may be thousands or 1024s; write {number}k (of 1000) or {number}Ki (of 1024)",
                escaped(text)
            )),
        };
    }
    let Some((base, power)) = text.split_once('^') else { return digits(text) };
    let (base, power) = (digits(base)?, digits(power)?);
    if base <= 1.into() {
        return Ok(if power == 0.into() { 1.into() } else { base });
    }
    // Of a base of k bits the power has at least (k - 1)·power bits; 2^3322 has 1001 digits.
    let least = |power: u32| (base.bits() - 1).saturating_mul(power.into());
    let power = u32::try_from(&power).ok().filter(|power| least(*power) < MAX_BITS);
    let size = base.pow(power.ok_or_else(long)?);
    if size.to_string().len() > MAX_DIGITS { Err(long()) } else { Ok(size) }
}

/// The units of sizes: powers of 1000, and of 1024.
const UNITS: [(&str, u32, u32); 8] = [
    ("Ki", 1024, 1),
    ("Mi", 1024, 2),
    ("Gi", 1024, 3),
    ("Ti", 1024, 4),
    ("k", 1000, 1),
    ("M", 1000, 2),
    ("G", 1000, 3),
    ("T", 1000, 4),
];

/// A number before a unit and the unit; no unit where `K` does not say which.
fn suffix(text: &str) -> Option<(&str, Option<Integer>)> {
    let plain = |number: &str| number.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let of = |(name, base, power): &(&str, u32, u32)| {
        let number = text.strip_suffix(name).filter(|number| plain(number))?;
        Some((number, Some(Integer::from(*base).pow(*power))))
    };
    let unsaid = || text.strip_suffix('K').filter(|number| plain(number)).map(|n| (n, None));
    UNITS.iter().find_map(of).or_else(unsaid)
}

/// Which units were taken in sizes that were read, where there are any: in model names `128k` is often
/// 131,072.
pub(crate) fn units(text: &str) -> Option<String> {
    let sizes = text.split_once('=')?.1;
    let words: Vec<&str> = sizes.split([',', '.', ':', '*', '+']).map(str::trim).collect();
    let used = |(name, _, _): &&(&str, u32, u32)| {
        let own = |word: &&str| suffix(word).is_some() && word.ends_with(name);
        words.iter().any(own)
    };
    let told = UNITS.iter().filter(used).map(|(name, base, power)| {
        let size = thousands(&Integer::from(*base).pow(*power));
        match base {
            1000 => {
                let other = name.to_uppercase();
                let binary = thousands(&Integer::from(1024).pow(*power));
                format!("{name} is {size} ({other}i is {binary})")
            }
            _ => format!("{name} is {size}"),
        }
    });
    let told: Vec<String> = told.collect();
    (!told.is_empty()).then(|| format!("in {}, {}", text.trim(), told.join(", ")))
}

/// Reads a number of bytes: `24GB`, `1.5TB`, `24GiB`, `24_000_000_000`.
pub(crate) fn bytes(text: &str) -> Result<Integer, String> {
    let form = || {
        format!("`{}` is no number of bytes; write it as 24GB, 24GiB or 24000000000", escaped(text))
    };
    let at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = (text[..at].trim(), &text[at..]);
    let power = match unit.trim_end_matches("iB").trim_end_matches('B') {
        "" => 0,
        "k" | "K" => 1,
        "M" => 2,
        "G" => 3,
        "T" => 4,
        "P" => 5,
        _ => return Err(form()),
    };
    if power > 0 && !unit.ends_with('B') {
        return Err(format!(
            "`{}`: write {unit}B (powers of 1000) or {unit}iB (of 1024)",
            escaped(text)
        ));
    }
    let plain = unit.is_empty();
    let unit = Integer::from(if unit.ends_with("iB") { 1024 } else { 1000 }).pow(power);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    let all = size_of(&digits).map_err(|_| form())? * unit;
    let decimals = u32::try_from(fraction.len()).map_err(|_| form())?;
    let all = all / Integer::from(10).pow(decimals);
    // No model fits in less, so a unit was forgotten.
    if plain && all < LEAST_BYTES.into() {
        let number = escaped(number);
        return Err(format!(
            "`{number}` has no unit; write {number}GB, or {number}B if bytes are meant"
        ));
    }
    Ok(all)
}

/// Below this a number of bytes needs its unit.
const LEAST_BYTES: u64 = 1_000_000;

/// How to write what is no whole number, where that can be told.
fn instead(text: &str) -> String {
    let usual = || "write it as 1000000, 1_000_000 or 10^6".to_owned();
    let Some((digits, power)) = text.split_once(['e', 'E']) else { return usual() };
    let whole = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match (digits, power.strip_prefix('+').unwrap_or(power)) {
        ("1", power) if whole(power) => format!("write it as 10^{power}"),
        (digits, power) if whole(digits) && power.parse().is_ok_and(|power: usize| power < 30) => {
            format!("write it as {digits}{}", "0".repeat(power.parse().unwrap_or_default()))
        }
        _ => "a size has no fraction".to_owned(),
    }
}

/// The sizes of the command line, each given once.
pub(crate) fn binding(assignments: &[Assignment]) -> Result<Binding, Failure> {
    let mut given = Binding::new();
    for Assignment { symbol, size } in assignments {
        if let Some(first) = given.get(symbol) {
            return Err(Failure::Twice {
                symbol: symbol.clone(),
                first: first.clone(),
                second: size.clone(),
            });
        }
        given.set(symbol, size.clone());
    }
    Ok(given)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_exact_and_what_is_no_size_is_refused() {
        let size = |text: &str| size_of(text).map(|n| n.to_string());
        assert_eq!(size("128").unwrap(), "128");
        assert_eq!(size("1_000_000").unwrap(), "1000000");
        assert_eq!(size("10^12").unwrap(), "1000000000000");
        assert_eq!(size("0").unwrap(), "0");
        assert_eq!(size("2^0").unwrap(), "1");
        assert!(size("-1").unwrap_err().contains("negative"));
        for bad in ["", "1e6", "1.5", "x", "_", "10^", "^3", "2^3^4", "+1", "0x10"] {
            assert!(size(bad).unwrap_err().contains("not a whole number"), "{bad}");
        }
        for huge in ["10^999999999", "2^99999999999999999999", "10^1000"] {
            assert!(size(huge).unwrap_err().contains("over 1000 digits"), "{huge}");
        }
        assert!(size(&"9".repeat(100_000)).unwrap_err().contains("over 1000 digits"));
        for (longest, first) in [("10^999", "10^1000"), ("2^3321", "2^3322"), ("7^1183", "7^1184")]
        {
            assert!(size(longest).is_ok() && size(first).is_err(), "{longest}, {first}");
        }
        assert_eq!((size("1^9999999999"), size("0^7")), (Ok("1".into()), Ok("0".into())));
        for (text, mend) in [
            ("1e5", "write it as 10^5"),
            ("1e+5", "write it as 10^5"),
            ("32E3", "write it as 32000"),
            ("1e-5", "a size has no fraction"),
            ("1..5", "several sizes"),
        ] {
            assert!(size(text).unwrap_err().contains(mend), "{text}: {:?}", size(text));
        }
    }

    #[test]
    fn units_are_of_1000_or_of_1024_and_said() {
        let size = |text: &str| size_of(text).map(|n| n.to_string());
        assert_eq!(size("128k").unwrap(), "128000");
        assert_eq!(size("128Ki").unwrap(), "131072");
        assert_eq!(size("1_000M").unwrap(), "1000000000");
        assert_eq!(
            (size("2Gi").unwrap(), size("1T").unwrap()),
            ("2147483648".into(), "1000000000000".into())
        );
        assert!(size("128K").unwrap_err().contains("write 128k (of 1000) or 128Ki (of 1024)"));
        for bad in ["k", "1.5k", "-1k", "128ki", "128kB", "128m", "10^3k", "k5", "Ki"] {
            assert!(size(bad).is_err(), "{bad}");
        }
        assert_eq!(units("n=128"), None);
        assert_eq!(units("n=128k").unwrap(), "in n=128k, k is 1,000 (Ki is 1,024)");
        assert_eq!(units("n=128Ki").unwrap(), "in n=128Ki, Ki is 1,024");
        let both = units("n=1Ki..128Ki:*2,200M").unwrap();
        assert!(both.contains("Ki is 1,024, M is 1,000,000 (Mi is 1,048,576)"), "{both}");
    }

    #[test]
    fn a_size_is_given_once() {
        let given = |texts: &[&str]| {
            let list: Vec<_> = texts.iter().map(|t| assignment(t).unwrap()).collect();
            binding(&list).map(|b| b.to_string()).map_err(|e| e.to_string())
        };
        assert_eq!(given(&["c=512", "n=2"]).unwrap(), "n=2, c=512");
        assert_eq!(given(&["n=2", "n=2"]).unwrap_err(), "--set gives n twice: 2 and 2");
        assert!(assignment("n").is_err() && assignment("=3").is_err());
    }
}
