//! The ledger: what every node did, written through atomics while tasks run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opledger_dims::{Counts, Integer};
use opledger_ir::{Part, PartCounts};
use opledger_kernels::AtomicMeter;

/// One row per node of a graph. Rows of a repeated body add up over its iterations.
///
/// Clones share the rows, so a run can be watched from another thread.
#[derive(Clone, Debug)]
pub struct Ledger {
    rows: Arc<[Row]>,
}

/// What one node did.
#[derive(Debug)]
pub struct Row {
    parts: Vec<(Part, AtomicMeter)>,
    elsewhere: AtomicMeter,
    nanoseconds: AtomicU64,
    bytes_read: AtomicU64,
    bytes_written: AtomicU64,
    runs: AtomicU64,
}

/// The counts of a row at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowCounts {
    /// What the mathematics asked for, part by part.
    pub useful: PartCounts<u64>,
    /// What the loops covered, part by part.
    pub executed: PartCounts<u64>,
    /// How long the node took, all its runs together.
    pub time: Duration,
    /// Bytes of its operands, counted once a run.
    pub bytes_read: u64,
    /// Bytes of its results.
    pub bytes_written: u64,
    /// How often it ran.
    pub runs: u64,
}

impl Ledger {
    /// An empty ledger whose rows keep these parts apart, one row per node.
    pub(crate) fn with_parts<'a>(parts: impl Iterator<Item = &'a [Part]>) -> Self {
        let row = |parts: &[Part]| Row {
            parts: parts.iter().map(|part| (*part, AtomicMeter::default())).collect(),
            elsewhere: AtomicMeter::default(),
            nanoseconds: AtomicU64::new(0),
            bytes_read: AtomicU64::new(0),
            bytes_written: AtomicU64::new(0),
            runs: AtomicU64::new(0),
        };
        Ledger { rows: parts.map(row).collect() }
    }

    /// The row of the node at a position of the graph.
    pub fn row(&self, node: usize) -> &Row {
        &self.rows[node]
    }

    /// All rows, in the order of the graph's nodes.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// What the mathematics asked for, summed over all nodes.
    pub fn useful(&self) -> Counts<Integer> {
        self.sum(|counts| counts.useful.total())
    }

    /// What the loops covered, summed over all nodes.
    pub fn executed(&self) -> Counts<Integer> {
        self.sum(|counts| counts.executed.total())
    }

    /// Multiply-accumulates the mathematics asked for: multiplications inside contractions.
    pub fn macs(&self) -> Integer {
        self.rows.iter().map(|row| Integer::from(row.counts().useful.macs())).sum()
    }

    fn sum(&self, of: impl Fn(&RowCounts) -> Counts<u64>) -> Counts<Integer> {
        self.rows.iter().fold(Counts::zero(), |sum, row| sum + of(&row.counts()).widen())
    }
}

impl Row {
    /// The meter of a part. What is recorded of a part that the cost does not have is kept too, and
    /// fails the comparison.
    pub fn meter(&self, part: Part) -> &AtomicMeter {
        self.parts.iter().find(|(p, _)| *p == part).map_or(&self.elsewhere, |(_, meter)| meter)
    }

    /// The parts this row keeps apart.
    pub fn parts(&self) -> impl Iterator<Item = Part> {
        self.parts.iter().map(|(part, _)| *part)
    }

    pub(crate) fn record_run(&self, time: Duration, [read, written]: [u64; 2]) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
        self.bytes_read.fetch_add(read, Ordering::Relaxed);
        self.bytes_written.fetch_add(written, Ordering::Relaxed);
        self.runs.fetch_add(1, Ordering::Relaxed);
    }

    /// The counts at this moment; the node may still be at work.
    pub fn counts(&self) -> RowCounts {
        let (mut useful, mut executed) = (PartCounts(Vec::new()), PartCounts(Vec::new()));
        for (part, meter) in
            self.parts.iter().map(|(p, m)| (*p, m)).chain([(Part::Unforeseen, &self.elsewhere)])
        {
            let tally = meter.read();
            useful.0.push((part, tally.useful));
            executed.0.push((part, tally.executed));
        }
        RowCounts {
            useful,
            executed,
            time: Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed)),
            bytes_read: self.bytes_read.load(Ordering::Relaxed),
            bytes_written: self.bytes_written.load(Ordering::Relaxed),
            runs: self.runs.load(Ordering::Relaxed),
        }
    }
}
