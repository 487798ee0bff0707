//! Ctrl-C: ends the process at once with exit code 130, and takes unfinished files along.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The exit code of a process that was interrupted.
const INTERRUPTED: i32 = 130;

/// The files that are being written. Whoever creates, renames or removes one holds the lock, so that
/// an interrupt finds no file that it does not know of.
static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Sets the handler.
pub(crate) fn install() {
    // Without a handler the system's own ends the process just as well, with its own exit code.
    let _ = ctrlc::set_handler(|| {
        // Held to the end, so that no file gets its name or begins meanwhile.
        let unfinished = unfinished();
        for path in unfinished.iter() {
            let _ = std::fs::remove_file(path);
        }
        std::process::exit(INTERRUPTED);
    });
}

fn unfinished() -> MutexGuard<'static, Vec<PathBuf>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Creates an unfinished file; `path` tells where it is.
pub(crate) fn begin<T, E>(
    create: impl FnOnce() -> Result<T, E>,
    path: impl FnOnce(&T) -> &Path,
) -> Result<T, E> {
    let mut unfinished = unfinished();
    let file = create()?;
    unfinished.push(path(&file).to_owned());
    Ok(file)
}

/// Gives a finished file its name.
pub(crate) fn finish<T, E>(path: &Path, rename: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    let mut unfinished = unfinished();
    let renamed = rename()?;
    unfinished.retain(|known| known != path);
    Ok(renamed)
}
