//! The name that a misspelt one was probably meant to be.

/// The most similar of some names, if any is close: at most a third of its characters are to be
/// inserted, deleted or replaced (Levenshtein 1965).
///
/// ```
/// # mod opledger { pub use opledger_dims as dims; }
/// use opledger::dims::nearest;
///
/// assert_eq!(nearest("flop", ["macs", "flops"].into_iter()), Some("flops"));
/// assert_eq!(nearest("bananas", ["macs", "flops"].into_iter()), None);
/// ```
pub fn nearest(name: &str, names: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    // Names are short; what comes after is as far away as it gets.
    let start: String = name.chars().take(64).collect();
    let close = names.map(|known| (strsim::levenshtein(&start, known), known)).min()?;
    let (length, other) = (name.chars().count(), close.1.len());
    (close.0 <= other.div_ceil(3) && close.0 < length.max(other)).then_some(close.1)
}

/// A hint for the end of a message about a name that is not known.
pub fn did_you_mean(nearest: &Option<&'static str>) -> String {
    nearest.map_or_else(String::new, |name| format!(" (did you mean `{name}`?)"))
}
