//! What is told beside a result.

use std::io::Write;

use opledger_account::Model;
use opledger_dims::{escaped, escaped_within};

/// The most characters of a word and of a line that are told; an argument may be longer.
const WORD: usize = 300;
const LINE: usize = 4000;

/// Tells something beside the result.
pub(crate) fn note(text: &str) {
    tell("note: ", text);
}

/// Writes to stderr, as [`shown`].
pub(crate) fn tell(before: &str, text: &str) {
    // Nobody is left to tell when stderr is closed.
    let _ = writeln!(std::io::stderr(), "{before}{}", shown(text));
}

/// A message without characters that steer a terminal, its long words and lines cut.
pub(crate) fn shown(text: &str) -> String {
    let word = |word: &str| match word.chars().count() > WORD {
        true => escaped(word),
        false => escaped_within(word, WORD),
    };
    let line = |line: &str| {
        let words: Vec<String> = line.split(' ').map(word).collect();
        escaped_within(&words.join(" "), LINE)
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// Tells what of a configuration was not understood.
pub(crate) fn unread_keys(model: &Model) {
    let keys = model.unread_keys();
    if !keys.is_empty() {
        let all: Vec<String> = keys.iter().map(|key| escaped(key)).collect();
        let keys = all.join(", ");
        note(&format!(
            "the configuration has keys that are not known, taken to change nothing: {keys}"
        ));
    }
}

/// Tells which parameters have elements that are no numbers.
pub(crate) fn non_finite(parameters: &[(String, usize)]) {
    for (path, count) in parameters {
        note(&format!("{} has {count} elements that are infinite or no numbers", escaped(path)));
    }
}
