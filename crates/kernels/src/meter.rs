//! How a kernel reports the operations it ran.

use std::sync::atomic::{AtomicU64, Ordering};

use opledger_dims::{Class, Counts};

/// An operation of the definition that a kernel discharges in another form. The operations of that
/// form are executed, and counted as such.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Substitution {
    /// Divisions by one number: by its reciprocal, each a multiplication.
    Reciprocal,
    /// The scale of scores: multiplied into the queries, of which there are fewer.
    FoldedScale,
    /// The division of scores by a number: its inverse multiplied into the queries.
    FoldedDivisor,
    /// The division by the soft cap of scores: done to the queries, of which there are fewer.
    FoldedCap,
    /// `1 + x` and its logarithm: one function.
    LogOfSum,
    /// A maximum with the number's negative: the sign is cleared.
    ClearedSign,
}

impl Substitution {
    /// Every substitution, in the order of reports.
    pub const ALL: [Substitution; 6] = [
        Substitution::Reciprocal,
        Substitution::FoldedScale,
        Substitution::FoldedDivisor,
        Substitution::FoldedCap,
        Substitution::LogOfSum,
        Substitution::ClearedSign,
    ];

    /// The class of the operations that it takes the place of.
    pub const fn class(self) -> Class {
        match self {
            Substitution::Reciprocal | Substitution::FoldedDivisor | Substitution::FoldedCap => {
                Class::Div
            }
            Substitution::FoldedScale => Class::Mul,
            Substitution::LogOfSum => Class::Add,
            Substitution::ClearedSign => Class::Max,
        }
    }

    /// What is done in place of operations of its class.
    pub const fn name(self) -> &'static str {
        match self {
            Substitution::Reciprocal => "a reciprocal, then mul",
            Substitution::FoldedScale => "the scale in the queries",
            Substitution::FoldedDivisor => "the divisor in the queries",
            Substitution::FoldedCap => "the soft cap in the queries",
            Substitution::LogOfSum => "log1p",
            Substitution::ClearedSign => "the sign cleared",
        }
    }
}

/// The parts of attention, which are counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AttentionPart {
    Scores,
    Scale,
    SoftCap,
    Bias,
    Softmax,
    Context,
    /// Of gradients: sums of products, and the rest.
    Products,
    Pointwise,
}

/// The operations of one task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// What the mathematics asks for.
    pub useful: Counts<u64>,
    /// What the loops did: lanes that only fill a register, masked-out positions that were computed
    /// anyway, and what only the blocked algorithm needs included.
    pub executed: Counts<u64>,
    /// Useful operations that were not executed as such, by [`Substitution`]: with those of its
    /// class, `executed` is never less than `useful`.
    pub substituted: [u64; Substitution::ALL.len()],
    /// What else ran: making numbers of weights that are kept in blocks.
    pub widened: Counts<u64>,
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

    /// Counts `number` operations that were asked for and discharged in another form.
    #[inline(always)]
    pub fn substituted(&mut self, substitution: Substitution, number: usize) {
        self.substituted[substitution as usize] += number as u64;
    }

    /// The operations that were asked for and discharged in another form, in their classes.
    pub fn substituted_counts(&self) -> Counts<u64> {
        let mut counts = Counts::zero();
        for substitution in Substitution::ALL {
            counts[substitution.class()] += self.substituted[substitution as usize];
        }
        counts
    }

    /// All that ran: what was executed, and what else.
    pub fn ran(&self) -> Counts<u64> {
        self.executed + self.widened
    }

    /// Counts `number` operations that were executed.
    #[inline(always)]
    pub fn executed(&mut self, class: Class, number: usize) {
        self.executed[class] += number as u64;
    }

    /// Counts `number` operations that made numbers of a weight's blocks.
    #[inline(always)]
    pub fn widened(&mut self, class: Class, number: usize) {
        self.widened[class] += number as u64;
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
    substituted: [AtomicU64; Substitution::ALL.len()],
    widened: [AtomicU64; Class::ALL.len()],
}

impl AtomicMeter {
    /// A meter at zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// The operations recorded so far.
    pub fn read(&self) -> Tally {
        let load = |cells: &[AtomicU64; Class::ALL.len()]| {
            Counts::from_fn(|class| cells[class as usize].load(Ordering::Relaxed))
        };
        let substituted = std::array::from_fn(|i| self.substituted[i].load(Ordering::Relaxed));
        Tally {
            useful: load(&self.useful),
            executed: load(&self.executed),
            substituted,
            widened: load(&self.widened),
        }
    }
}

impl Meter for AtomicMeter {
    const ON: bool = true;

    fn record(&self, tally: &Tally) {
        for (cells, counts) in [
            (&self.useful, &tally.useful),
            (&self.executed, &tally.executed),
            (&self.widened, &tally.widened),
        ] {
            for (class, &number) in counts.nonzero() {
                cells[class as usize].fetch_add(number, Ordering::Relaxed);
            }
        }
        for (cell, &number) in self.substituted.iter().zip(&tally.substituted) {
            if number > 0 {
                cell.fetch_add(number, Ordering::Relaxed);
            }
        }
    }
}
