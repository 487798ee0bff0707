//! Sizes on the command line: `b=32`, `n=1_024`, `n=10^12`.

use opledger_dims::{Binding, Integer, Symbol};

use crate::failure::Failure;

/// The most decimal digits a size may have; no model needs more.
const MAX_DIGITS: usize = 1000;

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
    Ok(Assignment { symbol: Symbol::new(symbol), size: size_of(size.trim())? })
}

/// Reads a size.
pub(crate) fn size_of(text: &str) -> Result<Integer, String> {
    if text.starts_with(['-', '−']) {
        return Err("a size cannot be negative".to_owned());
    }
    let bad = || format!("`{text}` is not a whole number; write it as 1000000, 1_000_000 or 10^6");
    let digits = |text: &str| -> Option<Integer> {
        let plain = text.replace('_', "");
        let whole = !plain.is_empty() && plain.bytes().all(|b| b.is_ascii_digit());
        // Reading digits takes time that grows with their square.
        (whole && plain.len() <= MAX_DIGITS).then(|| plain.parse().ok())?
    };
    match text.split_once('^') {
        None => digits(text).ok_or_else(bad),
        Some((base, power)) => {
            let base = digits(base).ok_or_else(bad)?;
            let power = digits(power).ok_or_else(bad)?;
            let power = u32::try_from(&power).ok().filter(|power| {
                usize::try_from(base.bits())
                    .is_ok_and(|bits| bits.saturating_mul(*power as usize) <= MAX_DIGITS * 10 / 3)
            });
            let power = power.ok_or_else(|| format!("`{text}` has over {MAX_DIGITS} digits"))?;
            Ok(base.pow(power))
        }
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
        assert!(size(&"9".repeat(100_000)).is_err());
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
