//! Ctrl-C: ends the process at once with exit code 130, and takes an unfinished file along.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The exit code of a process that was interrupted.
const INTERRUPTED: i32 = 130;

/// The file that is being written, if any. Whoever creates, renames or removes it holds the lock, so
/// that an interrupt finds either no file or a file it knows of.
static UNFINISHED: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Sets the handler.
pub(crate) fn install() {
    // Without a handler the system's own ends the process just as well, with its own exit code.
    let _ = ctrlc::set_handler(|| {
        if let Some(path) = unfinished().as_deref() {
            let _ = std::fs::remove_file(path);
        }
        std::process::exit(INTERRUPTED);
    });
}

fn unfinished() -> MutexGuard<'static, Option<PathBuf>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Creates an unfinished file; `path` tells where it is.
pub(crate) fn begin<T, E>(
    create: impl FnOnce() -> Result<T, E>,
    path: impl FnOnce(&T) -> &Path,
) -> Result<T, E> {
    let mut unfinished = unfinished();
    let file = create()?;
    *unfinished = Some(path(&file).to_owned());
    Ok(file)
}

/// Gives a finished file its name.
pub(crate) fn finish<T, E>(rename: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    let mut unfinished = unfinished();
    let renamed = rename()?;
    *unfinished = None;
    Ok(renamed)
}
