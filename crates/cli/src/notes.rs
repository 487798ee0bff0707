//! What is told beside a result.

use std::io::Write;

use opledger_account::Model;

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
