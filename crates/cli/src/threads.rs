//! The threads that execute.

use std::num::NonZero;

use crate::failure::Failure;

/// The most threads that may be asked for.
pub(crate) const MOST: u16 = 1024;

/// Starts the threads that execute, of which the calling one is the first: as many as asked for, else as
/// `RAYON_NUM_THREADS` says, which is taken as [`MOST`] where it is more, else one for each core.
///
/// Whatever runs a kernel starts them first: a pool that starts by itself, at its first task, panics
/// where it cannot.
pub(crate) fn start(asked: Option<u16>) -> Result<(), Failure> {
    let threads = asked.map(usize::from).or_else(from_environment).unwrap_or_else(cores);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).use_current_thread();
    pool.build_global().map_err(|e| Failure::Threads { threads, problem: e.to_string() })
}

fn from_environment() -> Option<usize> {
    let threads: usize = std::env::var("RAYON_NUM_THREADS").ok()?.parse().ok()?;
    (threads > 0).then(|| threads.min(MOST.into()))
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}
