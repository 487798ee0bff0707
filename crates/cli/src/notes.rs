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

/// What of a configuration was not understood.
pub(crate) fn not_understood(model: &Model) -> Vec<String> {
    match model.not_understood() {
        [] => Vec::new(),
        keys => {
            let keys: Vec<String> = keys.iter().map(|key| escaped(key)).collect();
            vec![format!("not understood in the configuration: {}", keys.join(", "))]
        }
    }
}

/// That a model's weights are no one's.
pub(crate) fn drawn(seed: u64) -> String {
    format!("weights: drawn from seed {seed}")
}

/// Which parameters have elements that are no numbers.
pub(crate) fn non_finite(parameters: &[(String, usize)]) -> Vec<String> {
    let told = |(path, count): &(String, usize)| {
        format!("{} has {count} elements that are infinite or no numbers", escaped(path))
    };
    parameters.iter().map(told).collect()
}
