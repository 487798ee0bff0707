//! The ledger: what every node did, written through atomics while tasks run.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use opledger_dims::{Counts, Integer};
use opledger_ir::{Part, PartCounts};
use opledger_kernels::{AtomicMeter, Substitution};

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
    path: Arc<str>,
    op: &'static str,
    parts: Vec<(Part, AtomicMeter)>,
    elsewhere: AtomicMeter,
    nanoseconds: AtomicU64,
    bytes_read: AtomicU64,
    bytes_written: AtomicU64,
    bytes_relocated: AtomicU64,
    /// Whether it was executed with others, or in the buffer of an operand.
    fused: AtomicBool,
    runs: AtomicU64,
}

/// What a row is about.
#[derive(Clone, Debug)]
pub(crate) struct RowHead {
    pub(crate) path: Arc<str>,
    pub(crate) op: &'static str,
    /// The parts of its cost.
    pub(crate) parts: Vec<Part>,
}

/// Useful operations that were not executed as such: those of another form were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Substituted {
    /// The part whose operations they are.
    pub part: Part,
    /// What was done in their place.
    pub by: Substitution,
    /// How many they are.
    pub number: u64,
}

/// The counts of a row at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowCounts {
    /// What the mathematics asked for, part by part.
    pub useful: PartCounts<u64>,
    /// What ran, part by part.
    pub executed: PartCounts<u64>,
    /// What of the useful operations was done in another form.
    pub substituted: Vec<Substituted>,
    /// How long the node took, all its runs together.
    pub time: Duration,
    /// Bytes that were read of the operands it was handed, each once a run and every look-up.
    pub bytes_read: u64,
    /// Bytes of the results that were written.
    pub bytes_written: u64,
    /// Bytes that were copied to make room for a result that continues an operand's buffer, as a cache
    /// grows: no part of the operation.
    pub bytes_relocated: u64,
    /// Whether it was ever executed with others, or in the buffer of an operand: it may then have
    /// moved fewer bytes than by itself.
    pub fused: bool,
    /// How often it ran.
    pub runs: u64,
}

impl Ledger {
    /// An empty ledger, one row per node.
    pub(crate) fn new(heads: &[RowHead]) -> Self {
        let row = |head: &RowHead| Row {
            path: head.path.clone(),
            op: head.op,
            parts: head.parts.iter().map(|part| (*part, AtomicMeter::default())).collect(),
            elsewhere: AtomicMeter::default(),
            nanoseconds: AtomicU64::new(0),
            bytes_read: AtomicU64::new(0),
            bytes_written: AtomicU64::new(0),
            bytes_relocated: AtomicU64::new(0),
            fused: AtomicBool::new(false),
            runs: AtomicU64::new(0),
        };
        Ledger { rows: heads.iter().map(row).collect() }
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

    /// What ran, summed over all nodes.
    pub fn executed(&self) -> Counts<Integer> {
        self.sum(|counts| counts.executed.total())
    }

    /// All scalar operations the mathematics asked for, each worth one (the convention `flops`).
    pub fn flops(&self) -> Integer {
        self.useful().total()
    }

    /// Multiply-accumulates the mathematics asked for: multiplications inside contractions (the
    /// convention `macs`).
    pub fn macs(&self) -> Integer {
        self.rows.iter().map(|row| Integer::from(row.counts().useful.macs())).sum()
    }

    fn sum(&self, of: impl Fn(&RowCounts) -> Counts<u64>) -> Counts<Integer> {
        self.rows.iter().fold(Counts::zero(), |sum, row| sum + of(&row.counts()).widen())
    }
}

impl RowCounts {
    /// The operations of a part that were done in another form, in their classes.
    pub fn substituted(&self, part: Part) -> Counts<u64> {
        let mut counts = Counts::zero();
        for own in self.substituted.iter().filter(|own| own.part == part) {
            counts[own.by.class()] += own.number;
        }
        counts
    }
}

impl Row {
    /// The meter of a part. What is recorded of a part that the cost does not have is kept too, and
    /// fails the comparison.
    pub fn meter(&self, part: Part) -> &AtomicMeter {
        self.parts.iter().find(|(p, _)| *p == part).map_or(&self.elsewhere, |(_, meter)| meter)
    }

    /// The path of the node, with a `*` in place of iterations.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The name of its operation.
    pub fn op(&self) -> &'static str {
        self.op
    }

    /// The parts this row keeps apart.
    pub fn parts(&self) -> impl Iterator<Item = Part> {
        self.parts.iter().map(|(part, _)| *part)
    }

    /// Adds bytes that were read and written for the node.
    pub fn record_bytes(&self, read: u64, written: u64) {
        self.bytes_read.fetch_add(read, Ordering::Relaxed);
        self.bytes_written.fetch_add(written, Ordering::Relaxed);
    }

    /// Adds bytes that were copied to make room.
    pub fn record_relocated(&self, bytes: u64) {
        self.bytes_relocated.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn record_run(&self, time: Duration, fused: bool) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
        self.fused.fetch_or(fused, Ordering::Relaxed);
        self.runs.fetch_add(1, Ordering::Relaxed);
    }

    /// The counts at this moment; the node may still be at work.
    pub fn counts(&self) -> RowCounts {
        let (mut useful, mut executed) = (PartCounts::free(), PartCounts::free());
        let mut substituted = Vec::new();
        for (part, meter) in
            self.parts.iter().map(|(p, m)| (*p, m)).chain([(Part::Unforeseen, &self.elsewhere)])
        {
            let tally = meter.read();
            useful.add(part, &tally.useful);
            executed.add(part, &tally.executed);
            if !tally.widened.is_zero() {
                executed.add(Part::Widening, &tally.widened);
            }
            let forms = Substitution::ALL.into_iter().zip(tally.substituted);
            let done = forms.filter(|(_, number)| *number > 0);
            substituted.extend(done.map(|(by, number)| Substituted { part, by, number }));
        }
        RowCounts {
            useful,
            executed,
            substituted,
            time: Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed)),
            bytes_read: self.bytes_read.load(Ordering::Relaxed),
            bytes_written: self.bytes_written.load(Ordering::Relaxed),
            bytes_relocated: self.bytes_relocated.load(Ordering::Relaxed),
            fused: self.fused.load(Ordering::Relaxed),
            runs: self.runs.load(Ordering::Relaxed),
        }
    }
}

/// A line for each node that was executed, and their sum: scalar operations that the mathematics asked
/// for and that ran, and milliseconds; then what was done in another form.
impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = |time: Duration| format!("{:.3}", time.as_secs_f64() * 1e3);
        let mut lines = vec![["node", "op", "runs", "useful", "executed", "ms"].map(str::to_owned)];
        let mut time = Duration::ZERO;
        let mut substituted = [0; Substitution::ALL.len()];
        for row in self.rows.iter() {
            let counts = row.counts();
            time += counts.time;
            for own in &counts.substituted {
                substituted[own.by as usize] += own.number;
            }
            if counts.runs > 0 {
                lines.push([
                    row.path.to_string(),
                    row.op.to_owned(),
                    counts.runs.to_string(),
                    counts.useful.total().total().to_string(),
                    counts.executed.total().total().to_string(),
                    milliseconds(counts.time),
                ]);
            }
        }
        let (useful, executed) = (self.flops(), self.executed().total());
        lines.push([
            "total".to_owned(),
            String::new(),
            String::new(),
            useful.to_string(),
            executed.to_string(),
            milliseconds(time),
        ]);
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
        let widths: [usize; 6] = std::array::from_fn(|column| width(column).unwrap_or(0));
        for (i, [path, op, numbers @ ..]) in lines.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{path:<0$}  {op:<1$}", widths[0], widths[1])?;
            for (number, width) in numbers.iter().zip(&widths[2..]) {
                write!(f, "  {number:>width$}")?;
            }
        }
        for by in Substitution::ALL {
            let number = substituted[by as usize];
            if number > 0 {
                write!(f, "\nsubstituted: {number} {} ({})", by.class(), by.name())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::{Fast, Feeds};
    use opledger_dims::Binding;
    use opledger_ir::Graph;
    use opledger_ir::ops::Activation;

    #[test]
    fn a_ledger_is_a_table() {
        let mut g = Graph::new();
        let x = g.input("x", ["n"]).unwrap();
        let y = g.add("sum", x, x).unwrap();
        let y = g.activation(y, Activation::Softplus).unwrap();
        g.output("y", y);
        let sizes = Binding::from_iter([("n", 1200)]);
        let run = Fast::new().unwrap().run(&g, &sizes, &Feeds::seeded(1)).unwrap();
        assert_eq!((run.ledger.flops(), run.ledger.macs()), (8400.into(), 0.into()));
        let text = run.ledger.to_string();
        let (table, forms) = text.split_at(text.find("\nsubstituted").unwrap());
        let without_time: Vec<&str> =
            table.lines().map(|line| line.rsplit_once("  ").unwrap().0.trim_end()).collect();
        assert_eq!(
            without_time,
            [
                "node      op        runs  useful  executed",
                "sum       add          1    1200      1200",
                "softplus  softplus     1    7200      4800",
                "total                       8400      6000",
            ]
        );
        let expected = "\nsubstituted: 1200 add (log1p)\nsubstituted: 1200 max (the sign cleared)";
        assert_eq!(forms, expected);
        // A row names the forms that were taken, and no other.
        let taken = |node: usize| run.ledger.row(node).counts().substituted.len();
        assert_eq!([taken(1), taken(2)], [0, 2]);
    }
}
