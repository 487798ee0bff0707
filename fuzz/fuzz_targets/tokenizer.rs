//! Any bytes as a tokenizer: an answer, and of what is accepted, ids and their text.

#![no_main]

use libfuzzer_sys::fuzz_target;

// The command's own: a binary has no library to depend on.
#[allow(dead_code, unreachable_pub)]
#[path = "../../crates/cli/src/tokenizer/mod.rs"]
mod tokenizer;

const TEXT: &str = "ab ba ##a  A\u{301}\u{fdfa} 12\n";

fuzz_target!(|bytes: &[u8]| {
    let Ok(tokenizer) = tokenizer::Tokenizer::read(bytes.to_vec()) else { return };
    if let Ok(ids) = tokenizer.ids(TEXT) {
        let _ = tokenizer.text(&ids);
    }
    let _ = tokenizer.text(&[0, 1, 2, i64::MAX]);
});
