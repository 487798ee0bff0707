//! The name that was meant.

/// The most similar of some names, if any is close.
pub fn nearest(name: &str, names: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    // Names are short; what comes after is as far away as it gets.
    let start: String = name.chars().take(64).collect();
    let close = names.map(|known| (strsim::levenshtein(&start, known), known)).min()?;
    let (length, other) = (name.chars().count(), close.1.len());
    (close.0 <= other.div_ceil(3) && close.0 < length.max(other)).then_some(close.1)
}
