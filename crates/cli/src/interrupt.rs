//! Signals that end the process: it ends at once, with 128 and the number of the signal as its exit code
//! (130 for Ctrl-C), and takes unfinished files along.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The files that are being written. Whoever creates, renames or removes one holds the lock, so that
/// an interrupt finds no file that it does not know of.
static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Has signals answered. Where they cannot be, the system's own answer ends the process just as well,
/// with its own exit code.
#[cfg(unix)]
pub(crate) fn install() {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::sync::mpsc;

    use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGXFSZ};
    use signal_hook::iterator::Signals;

    // A file that grows beyond what is allowed is then an error of the write.
    let _ = signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)));
    let (ready, is_ready) = mpsc::channel();
    // Signals are taken over by the thread that answers them, so never without one.
    let answer = move || {
        let hangup = (!ignores(SIGHUP)).then_some(SIGHUP);
        let signals = Signals::new([SIGINT, SIGTERM, SIGQUIT].into_iter().chain(hangup));
        let _ = ready.send(());
        if let Some(signal) = signals.ok().and_then(|mut signals| signals.forever().next()) {
            end(128 + signal);
        }
    };
    if std::thread::Builder::new().name("signals".to_owned()).spawn(answer).is_ok() {
        let _ = is_ready.recv();
    }
}

/// Whether the process was started with a signal ignored, as `nohup` does.
#[cfg(unix)]
fn ignores(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// Has Ctrl-C answered.
#[cfg(not(unix))]
pub(crate) fn install() {
    // Without a handler the system's own ends the process just as well, with its own exit code.
    let _ = ctrlc::set_handler(|| end(130));
}

/// Removes what is unfinished and ends the process.
fn end(code: i32) -> ! {
    // Held to the end, so that no file gets its name or begins meanwhile.
    let unfinished = unfinished();
    for path in unfinished.iter() {
        let _ = std::fs::remove_file(path);
    }
    std::process::exit(code)
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
