//! Text files that a user names.

use std::path::Path;

use opledger_weights::read_bounded;

/// The longest text that is read, in bytes.
const MAX_BYTES: u64 = 64 << 20;

/// Reads a text file; a pipe or a device, which may never end, is refused.
///
/// # Errors
/// What is wrong with the file.
pub(crate) fn read_text(path: &Path) -> Result<String, String> {
    String::from_utf8(read_bounded(path, MAX_BYTES)?).map_err(|e| e.to_string())
}
