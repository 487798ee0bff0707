//! What is told beside a result.

use std::io::Write;

use opledger_account::Model;
use opledger_weights::escaped;

/// Tells something beside the result.
pub(crate) fn note(text: &str) {
    // Nobody is left to tell when stderr is closed.
    let _ = writeln!(std::io::stderr(), "note: {text}");
}

/// Tells what of a configuration was not understood.
pub(crate) fn unread_keys(model: &Model) {
    let keys = model.unread_keys();
    if !keys.is_empty() {
        let keys = keys.join(", ");
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
