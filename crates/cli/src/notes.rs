//! What is told beside a result.

use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use opledger_account::Model;
use opledger_dims::{Binding, Integer, escaped, escaped_within};
use opledger_models::PositionLimit;
use opledger_report::thousands;

/// The most characters of a word and of a line that are told; an argument may be longer.
const WORD: usize = 300;
const LINE: usize = 4000;

/// Tells something beside the result.
pub(crate) fn note(text: &str) {
    tell("note: ", text);
}

/// What units of sizes on the command line were taken for.
static UNITS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Tells what a unit was taken for, at once and to who reads a result by program.
pub(crate) fn note_unit(text: &str) {
    note(text);
    UNITS.lock().unwrap_or_else(PoisonError::into_inner).push(text.to_owned());
}

/// What units were taken for.
pub(crate) fn units() -> Vec<String> {
    UNITS.lock().unwrap_or_else(PoisonError::into_inner).clone()
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

/// What a reader has to know of a model at sizes.
pub(crate) fn about(model: &Model, sizes: &Binding) -> Vec<String> {
    let notes = [taken_for(model), not_understood(model), quantised(model), conditions(model)];
    [notes.concat(), beyond(model, sizes)].concat()
}

/// What of a configuration was not understood.
fn not_understood(model: &Model) -> Vec<String> {
    match model.not_understood() {
        [] => Vec::new(),
        keys => {
            let keys: Vec<String> = keys.iter().map(|key| escaped(key)).collect();
            vec![format!("not understood in the configuration: {}", keys.join(", "))]
        }
    }
}

/// That weights are quantised in a way whose bytes are not known.
fn quantised(model: &Model) -> Vec<String> {
    let weights = model.quantised_weights().err().map(|problem| problem.to_string());
    let unknown = model.unknown_type().map(|dtype| {
        format!("the type of the weights, {dtype}, is not known: bytes are those of f32")
    });
    weights.into_iter().chain(unknown).collect()
}

/// Under which conditions an exported program is what was counted, and what of it is left out.
fn conditions(model: &Model) -> Vec<String> {
    model.conditions().iter().map(|condition| escaped_within(condition, LINE)).collect()
}

/// What a name was taken for, where a folder has it as well.
fn taken_for(model: &Model) -> Vec<String> {
    let name = model.name();
    let folder = model.directory().is_none() && !name.contains('/') && Path::new(name).is_dir();
    let what = if model.reference().is_whole_model() { "published model" } else { "layer" };
    let told =
        || format!("`{name}` is taken for the {what}; the folder of that name is `./{name}`");
    let cached = model.directory().filter(|folder| *folder != Path::new(name));
    let read =
        |folder: &Path| format!("`{name}` is read from `{}`", escaped(&folder.to_string_lossy()));
    folder.then(told).into_iter().chain(cached.map(read)).collect()
}

/// That there are more tokens than the model was made for.
fn beyond(model: &Model, sizes: &Binding) -> Vec<String> {
    let told = |(tokens, limit): (Integer, &PositionLimit)| {
        format!(
            "{} tokens are more than the {} that the model was made for (`{}` = {} in its configuration)",
            thousands(&tokens),
            thousands(&limit.tokens.into()),
            limit.key,
            limit.positions
        )
    };
    model.beyond(sizes).map(told).into_iter().collect()
}

/// That a model's weights are no one's.
pub(crate) fn drawn(seed: u64) -> String {
    format!("weights: drawn from seed {seed}")
}

/// That nobody gave the encoder a sound.
pub(crate) fn no_sound(seed: u64) -> String {
    format!("input_features: drawn from seed {seed}; --input <FILE> reads them")
}

/// Which tensors of the files are not of the model.
pub(crate) fn left_aside(tensors: &[String]) -> Vec<String> {
    const SHOWN: usize = 3;
    let names = tensors.iter().take(SHOWN).map(|name| format!("`{}`", escaped(name)));
    let names = names.collect::<Vec<_>>().join(", ");
    match tensors.len() {
        0 => Vec::new(),
        all if all > SHOWN => vec![format!(
            "left aside, of parts that the model does not have: {names} and {} more",
            all - SHOWN
        )],
        _ => vec![format!("left aside, of parts that the model does not have: {names}")],
    }
}

/// That queries of a program see no key.
pub(crate) fn blind(queries: &Integer) -> Option<String> {
    let told = || {
        format!(
            "queries that see no key of their mask: {}; their result is 0 here, in PyTorch the mean of \
             the values where a number hides, and NaN where −∞ does",
            thousands(queries)
        )
    };
    (*queries > 0.into()).then(told)
}

/// Which parameters have elements that are no numbers.
pub(crate) fn non_finite(parameters: &[(String, usize)]) -> Vec<String> {
    let told = |(path, count): &(String, usize)| {
        format!("{} has {count} elements that are infinite or no numbers", escaped(path))
    };
    parameters.iter().map(told).collect()
}
