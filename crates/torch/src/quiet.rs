//! Work on what a stranger wrote: what it indexes beyond is an error, told by whoever reads the result, and
//! not printed on the way.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    /// Whether a panic of this thread is caught and told.
    static TOLD: Cell<bool> = const { Cell::new(false) };
}

/// Does some work; none where it panics.
pub(crate) fn caught<R>(work: impl FnOnce() -> R) -> Option<R> {
    static HOOK: Once = Once::new();
    // Once for the process: what other threads print, and this one elsewhere, is printed as before.
    HOOK.call_once(|| {
        let printed = panic::take_hook();
        panic::set_hook(Box::new(move |panicked| {
            if !TOLD.get() {
                printed(panicked);
            }
        }));
    });
    let before = TOLD.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    TOLD.set(before);
    result.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_nothing_and_is_told_to_nobody() {
        assert_eq!(caught(|| 1), Some(1));
        let none: Vec<usize> = Vec::new();
        assert_eq!(caught(|| none[usize::from(TOLD.get())]), None);
        assert!(!TOLD.get());
    }
}
