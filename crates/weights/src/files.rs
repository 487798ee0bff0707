//! Files that are opened, and known again.

use std::fs::{self, File, Metadata};
use std::path::Path;
use std::time::SystemTime;

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

/// A text out of a file as messages show it: characters that steer a terminal are escaped, and what
/// is long is cut.
pub fn escaped(text: &str) -> String {
    const SHOWN: usize = 300;
    let mut shown = String::new();
    for c in text.chars().take(SHOWN) {
        match c {
            ' '..='~' => shown.push(c),
            _ => shown.extend(c.escape_debug()),
        }
    }
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

/// A path as messages show it.
pub(crate) fn display(path: &Path) -> String {
    escaped(&path.to_string_lossy())
}
