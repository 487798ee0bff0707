//! Progress on stderr, only when that is a terminal.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use num_traits::ToPrimitive;
use opledger_dims::Integer;
use opledger_interp::{Ledger, Observer};
use opledger_ir::Node;

const TICK: Duration = Duration::from_millis(100);
const STEPS: u64 = 1000;

/// Shows the node at work and the fraction of the useful operations that are done.
///
/// The run only leaves a note; another thread reads the ledger while tasks fill it and draws.
pub(crate) struct Progress(Option<Shown>);

struct Shown {
    now: Arc<Mutex<Option<(String, Ledger)>>>,
    done: Arc<AtomicBool>,
    drawing: Option<JoinHandle<()>>,
}

impl Progress {
    /// Progress towards a number of useful operations.
    pub(crate) fn new(total: &Integer) -> Self {
        let total = total.to_f64().unwrap_or(f64::MAX).max(1.0);
        if !std::io::stderr().is_terminal() {
            return Progress(None);
        }
        let now: Arc<Mutex<Option<(String, Ledger)>>> = Arc::default();
        let done = Arc::new(AtomicBool::new(false));
        let (seen, end) = (Arc::clone(&now), Arc::clone(&done));
        let drawing = std::thread::Builder::new().spawn(move || {
            let bar = bar("{elapsed:>4} {bar:30} {percent:>3}%  {wide_msg}", STEPS);
            while !end.load(Ordering::Relaxed) {
                std::thread::park_timeout(TICK);
                if let Some((path, ledger)) = &*seen.lock().unwrap_or_else(PoisonError::into_inner)
                {
                    let useful = ledger.useful().total().to_f64().unwrap_or(0.0);
                    bar.set_message(path.clone());
                    bar.set_position((useful / total * STEPS as f64) as u64);
                }
            }
            bar.finish_and_clear();
        });
        // Without a thread nothing is drawn.
        Progress(drawing.ok().map(|drawing| Shown { now, done, drawing: Some(drawing) }))
    }
}

impl Observer for Progress {
    fn started(&mut self, node: &Node, ledger: &Ledger) {
        if let Some(shown) = &self.0 {
            let mut now = shown.now.lock().unwrap_or_else(PoisonError::into_inner);
            *now = Some((node.path.clone(), ledger.clone()));
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        if let Some(drawing) = self.drawing.take() {
            drawing.thread().unpark();
            // A drawing thread that failed has nothing to tell.
            let _ = drawing.join();
        }
    }
}

/// Shows one line that says what is being done.
pub(crate) struct Notes(ProgressBar);

impl Notes {
    /// No note yet.
    pub(crate) fn new() -> Self {
        if !std::io::stderr().is_terminal() {
            return Notes(ProgressBar::hidden());
        }
        let bar = bar("{spinner} {elapsed:>4}  {wide_msg}", STEPS);
        bar.enable_steady_tick(TICK);
        Notes(bar)
    }

    /// Replaces the note.
    pub(crate) fn say(&self, text: &str) {
        self.0.set_message(text.to_owned());
    }
}

impl Drop for Notes {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn bar(template: &str, length: u64) -> ProgressBar {
    let bar = ProgressBar::new(length);
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style.progress_chars("━━ ")),
        Err(_) => bar,
    }
}
