//! How a kernel reports the operations it ran.

use std::sync::atomic::{AtomicU64, Ordering};

use opledger_dims::{Class, Counts};

/// The operations of one task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// What the mathematics asks for.
    pub useful: Counts<u64>,
    /// What the tiles covered, with what only the blocked algorithm needs.
    pub executed: Counts<u64>,
}

impl Tally {
    /// Counts `number` operations that were asked for and executed.
    #[inline(always)]
    pub fn both(&mut self, class: Class, number: usize) {
        self.useful[class] += number as u64;
        self.executed[class] += number as u64;
    }

    /// Counts `number` operations that were asked for.
    #[inline(always)]
    pub fn useful(&mut self, class: Class, number: usize) {
        self.useful[class] += number as u64;
    }

    /// Counts `number` operations that were executed.
    #[inline(always)]
    pub fn executed(&mut self, class: Class, number: usize) {
        self.executed[class] += number as u64;
    }
}

/// Where the tasks of a kernel report, each once, when it ends.
pub trait Meter: Sync {
    /// Whether anything is recorded; `false` compiles the counting away.
    const ON: bool;

    /// Adds the operations of one task.
    fn record(&self, tally: &Tally);
}

/// Counts nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoMeter;

impl Meter for NoMeter {
    const ON: bool = false;

    #[inline(always)]
    fn record(&self, _: &Tally) {}
}

/// Sums the tallies of concurrent tasks; may be read while they run.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct AtomicMeter {
    useful: [AtomicU64; Class::ALL.len()],
    executed: [AtomicU64; Class::ALL.len()],
}

impl AtomicMeter {
    /// A meter at zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// The operations recorded so far.
    pub fn read(&self) -> Tally {
        let load = |cells: &[AtomicU64; 11]| {
            Counts::from_fn(|class| cells[class as usize].load(Ordering::Relaxed))
        };
        Tally { useful: load(&self.useful), executed: load(&self.executed) }
    }
}

impl Meter for AtomicMeter {
    const ON: bool = true;

    fn record(&self, tally: &Tally) {
        for (cells, counts) in [(&self.useful, &tally.useful), (&self.executed, &tally.executed)] {
            for (class, &number) in counts.nonzero() {
                cells[class as usize].fetch_add(number, Ordering::Relaxed);
            }
        }
    }
}
