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
    let close = names.map(|known| (distance(&start, known), known)).min()?;
    let (length, other) = (name.chars().count(), close.1.len());
    (close.0 <= other.div_ceil(3) && close.0 < length.max(other)).then_some(close.1)
}

/// How many characters are to be inserted, deleted or replaced at least.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (deleted, left) in from.chars().enumerate() {
        let mut replaced = std::mem::replace(&mut row[0], deleted + 1);
        for (at, right) in to.chars().enumerate() {
            let least =
                (row[at] + 1).min(row[at + 1] + 1).min(replaced + usize::from(left != right));
            replaced = std::mem::replace(&mut row[at + 1], least);
        }
    }
    row[row.len() - 1]
}

/// The known name that another one begins with or begins, word by word, else the most similar: for names
/// that are made longer by what is said of them.
pub fn nearest_by_words(name: &str, known: &[&'static str]) -> Option<&'static str> {
    let start: String = name.chars().take(64).collect();
    let name = start.to_lowercase().replace('_', "-");
    let begins = |long: &str, short: &str| {
        let rest = long.strip_prefix(short);
        !short.is_empty() && rest.is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
    };
    let within = known.iter().copied().filter(|known| begins(&name, known));
    let around = known.iter().copied().filter(|known| begins(known, &name));
    let found = within.max_by_key(|known| known.len());
    let found = found.or_else(|| around.min_by_key(|known| (known.len(), *known)));
    found.or_else(|| nearest(&name, known.iter().copied()))
}

/// A hint for the end of a message about a name that is not known.
pub fn did_you_mean(nearest: &Option<&'static str>) -> String {
    nearest.map_or_else(String::new, |name| format!(" (did you mean `{name}`?)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_of_the_fewest_changes() {
        let cases = [("", "", 0), ("a", "", 1), ("", "abc", 3), ("kitten", "sitting", 3)];
        for (from, to, changes) in cases.into_iter().chain([("flaw", "lawn", 2), ("é", "e", 1)]) {
            assert_eq!((distance(from, to), distance(to, from)), (changes, changes), "{from}");
        }
    }

    #[test]
    fn a_name_is_near_while_something_of_it_is_left() {
        // One change of three letters is near, a change of every letter is not.
        assert_eq!(nearest("mac", ["max"].into_iter()), Some("max"));
        assert_eq!(nearest("b", ["a"].into_iter()), None);
        assert_eq!(nearest("", ["a"].into_iter()), None);
    }

    #[test]
    fn names_are_near_by_their_words() {
        let known = ["llama-3-70b", "llama-3-8b", "gpt2"];
        for (name, near) in [
            ("Llama-3-8B-Instruct", Some("llama-3-8b")),
            ("llama", Some("llama-3-8b")),
            ("lama-3-8b", Some("llama-3-8b")),
            ("gpt2_small", Some("gpt2")),
            ("gpt21", Some("gpt2")),
            ("", None),
            ("bananas", None),
        ] {
            assert_eq!(nearest_by_words(name, &known), near, "{name}");
        }
    }
}
