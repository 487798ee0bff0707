//! Files that are opened, and known again.

use std::fs::{self, File, Metadata};
use std::io::Read;
use std::path::Path;
use std::time::SystemTime;

use opledger_dims::escaped_within;

/// By what a file is known again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) length: u64,
    modified: Option<SystemTime>,
    /// Device and number on it, where the system has them.
    number: Option<(u64, u64)>,
}

impl Identity {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let number = {
            use std::os::unix::fs::MetadataExt;
            Some((metadata.dev(), metadata.ino()))
        };
        #[cfg(not(unix))]
        let number = None;
        Identity { length: metadata.len(), modified: metadata.modified().ok(), number }
    }
}

/// Opens a regular file; what is none (a pipe would keep this waiting) is not opened. The error is
/// what the system said.
pub(crate) fn open_regular(path: &Path) -> Result<(File, Identity), String> {
    let told = |e: std::io::Error| e.to_string();
    if !fs::metadata(path).map_err(told)?.is_file() {
        return Err("it is no regular file".to_owned());
    }
    let file = File::open(path).map_err(told)?;
    let metadata = file.metadata().map_err(told)?;
    Ok((file, Identity::of(&metadata)))
}

/// Reads a regular file of at most so many bytes.
///
/// # Errors
/// What the system said, or that the file is none or longer.
pub fn read_bounded(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let (file, _) = open_regular(path)?;
    let mut bytes = Vec::new();
    let read = file.take(most.saturating_add(1)).read_to_end(&mut bytes);
    match read.map_err(|e| e.to_string())? as u64 > most {
        true => Err(format!("it is longer than {most} bytes")),
        false => Ok(bytes),
    }
}

/// A path, or a message that quotes a file, as messages show it.
pub(crate) fn quoted(text: &str) -> String {
    escaped_within(text, 300)
}

/// A path as messages show it.
pub(crate) fn display(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}
