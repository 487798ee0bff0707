//! What a run did: useful and executed counts, time, and the theorem.

use num_traits::Zero;
use opledger_dims::{Binding, Class, Counts, Integer};
use serde::Serialize;

use super::account::title;
use super::{BoundDevice, Bytes, convention_line};
use crate::{Block, Cell, Column, Document, Record, Row, Table, json, thousands};

/// What was done: as the mathematics asks for, or as the arithmetic ran.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OperationCounts {
    /// Scalar operations by class.
    #[serde(serialize_with = "json::counts")]
    pub counts: Counts<Integer>,
    /// All scalar operations, each worth one.
    #[serde(serialize_with = "json::quantity")]
    pub flops: Integer,
    /// Multiplications inside contractions.
    #[serde(serialize_with = "json::quantity")]
    pub macs: Integer,
}

/// Operations asked for that another form took the place of.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SubstitutedRecord {
    /// Their class.
    pub class: &'static str,
    /// How many.
    #[serde(serialize_with = "json::quantity")]
    pub number: Integer,
    /// What ran in their place.
    pub by: &'static str,
}

impl SubstitutedRecord {
    /// As a line; none when nothing was substituted.
    fn line(all: &[SubstitutedRecord]) -> Option<String> {
        let one = |SubstitutedRecord { class, number, by }: &_| {
            format!("{} {class} ({by})", thousands(number))
        };
        let words: Vec<String> = all.iter().map(one).collect();
        (!words.is_empty()).then(|| format!("substituted: {}", words.join("; ")))
    }
}

/// Wall-clock milliseconds of the computation over its repetitions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct WallMs {
    /// The fastest.
    pub min: f64,
    /// The one in the middle.
    pub median: f64,
    /// The slowest.
    pub max: f64,
}

/// Bytes of computed values at the worst moment of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PeakBytes {
    /// From the lifetimes of the values.
    #[serde(serialize_with = "json::quantity")]
    pub foreseen: Integer,
    /// In values that were alive.
    #[serde(serialize_with = "json::quantity")]
    pub reached: Integer,
    /// In values that were alive and in buffers kept for later ones.
    #[serde(serialize_with = "json::quantity")]
    pub held: Integer,
}

/// How many counts were held against the derived cost, and how many did not agree.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TheoremRecord {
    /// Nodes compared.
    pub nodes: usize,
    /// Pairs of a node and a binding compared.
    pub points: usize,
    /// Counts that did not agree.
    pub mismatches: usize,
    /// Each of them in words.
    pub details: Vec<String>,
}

impl TheoremRecord {
    /// As a line and its details.
    pub(crate) fn lines(&self) -> Vec<String> {
        let TheoremRecord { nodes, points, mismatches, details } = self;
        let head = format!(
            "theorem: {nodes} nodes at {points} points, {mismatches} mismatches \
             (derived = useful ≤ executed + substituted, by class)"
        );
        std::iter::once(head).chain(details.iter().map(|d| format!("  {d}"))).collect()
    }
}

/// A node that was executed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExecutedNode {
    /// The path.
    pub path: String,
    /// The operation; none for several nodes.
    pub op: Option<&'static str>,
    /// How many nodes it stands for.
    pub members: usize,
    /// How often it ran in one run of the model.
    pub runs: u64,
    /// What the mathematics asks for.
    pub useful: OperationCounts,
    /// What ran.
    pub executed: OperationCounts,
    /// What of the useful operations another form took the place of.
    pub substituted: Vec<SubstitutedRecord>,
    /// The same by part of the operation.
    pub parts: Vec<ExecutedPart>,
    /// Bytes moved.
    pub bytes: Bytes<Integer>,
    /// Milliseconds in the median run of the model.
    pub ms: f64,
    /// Useful flops per nanosecond; none when it took no time.
    pub gflop_per_s: Option<f64>,
    /// Milliseconds that it takes at least, where the machine was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub least_ms: Option<f64>,
}

/// A part of an operation that was executed, such as the softmax of attention.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExecutedPart {
    /// The part.
    pub name: &'static str,
    /// What the mathematics asks for.
    pub useful: OperationCounts,
    /// What ran.
    pub executed: OperationCounts,
    /// What of the useful operations another form took the place of.
    pub substituted: Vec<SubstitutedRecord>,
}

/// A result of the model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// The kind of its elements.
    pub dtype: &'static str,
    /// Its sizes.
    pub shape: Vec<usize>,
    /// Its first values, where they are asked for, the last axis running fastest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<f64>>,
}

/// How many values of a result are shown at most, and of them in a row and how many rows.
const VALUES: [usize; 3] = [4096, 8, 8];

impl Output {
    /// How many values are kept to be shown.
    pub const MOST: usize = VALUES[0];

    /// Its values, a line for each place along all axes but the last.
    fn shown(&self) -> Vec<String> {
        let Some(values) = &self.values else { return Vec::new() };
        let row = self.shape.last().copied().unwrap_or(1).max(1);
        let [_, most, rows] = VALUES;
        let all: usize = self.shape.iter().product();
        let mut lines: Vec<String> = Vec::new();
        for (at, line) in values.chunks(row).take(rows).enumerate() {
            let shown: Vec<String> = line.iter().take(most).map(|x| number(*x)).collect();
            let more = if line.len() > most || row > most { " …" } else { "" };
            lines.push(format!("  {}{}{more}", self.place(at), shown.join(" ")));
        }
        if all / row > lines.len() {
            lines.push(format!("  … {} rows in all", thousands(&(all / row).into())));
        }
        lines
    }

    /// `[0, 3] ` before a row.
    fn place(&self, row: usize) -> String {
        let before = self.shape.split_last().map_or(&[][..], |(_, before)| before);
        let mut place = Vec::new();
        let mut rest = row;
        for size in before.iter().rev() {
            place.push((rest % size.max(&1)).to_string());
            rest /= size.max(&1);
        }
        place.reverse();
        if place.is_empty() { String::new() } else { format!("[{}] ", place.join(", ")) }
    }
}

/// A value to five digits, in a column.
fn number(x: f64) -> String {
    let text = match x {
        x if x == x.trunc() && x.abs() < 1e6 => format!("{x}"),
        x if (1e-3..1e5).contains(&x.abs()) => format!("{x:.4}"),
        x => format!("{x:.3e}"),
    };
    format!("{text:>10}")
}

/// A run of a model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Execution {
    /// The model.
    pub model: String,
    /// The sizes.
    #[serde(serialize_with = "json::binding")]
    pub binding: Binding,
    /// Who executed.
    pub interpreter: &'static str,
    /// How many threads.
    pub threads: usize,
    /// The seed of what was drawn.
    pub seed: u64,
    /// How often the model ran.
    pub repeat: usize,
    /// Time of the computation.
    pub wall_ms: WallMs,
    /// What the mathematics asks for, in one run.
    pub useful: OperationCounts,
    /// What ran, in one run.
    pub executed: OperationCounts,
    /// What of the useful operations another form took the place of, in one run.
    pub substituted: Vec<SubstitutedRecord>,
    /// Bytes moved in one run.
    pub bytes: Bytes<Integer>,
    /// Bytes copied to make room for caches that grow, which is no part of an operation.
    #[serde(serialize_with = "json::quantity")]
    pub bytes_relocated: Integer,
    /// Useful flops per nanosecond of the median run; none when it took no time.
    pub gflop_per_s: Option<f64>,
    /// What the machine can do at most, where it was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<BoundDevice>,
    /// The sum over nodes of the milliseconds that they take at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub least_ms: Option<f64>,
    /// The peak of memory; none where the interpreter does not count it.
    pub peak_bytes: Option<PeakBytes>,
    /// The ledger against the derived cost.
    pub theorem: TheoremRecord,
    /// The results.
    pub outputs: Vec<Output>,
    /// The nodes.
    pub nodes: Vec<ExecutedNode>,
    /// What the numbers mean.
    #[serde(serialize_with = "json::pairs")]
    pub conventions: Vec<(&'static str, &'static str)>,
}

impl Record for Execution {
    fn document(&self) -> Document {
        let mut table = Table {
            columns: vec![
                Column::name("node"),
                Column::word("op").dispensable(2),
                Column::number("macs").dispensable(1),
                Column::number("useful flops"),
                Column::number("executed flops"),
                Column::number("ms"),
                Column::number("ms %").dispensable(4),
                Column::number("GFLOP/s"),
            ],
            rows: Vec::new(),
        };
        let bounded = self.device.is_some();
        if bounded {
            let least = Column::number("at least ms").dispensable(3);
            table.columns.extend([least, Column::number("% of bound")]);
        }
        table.columns.push(Column::bar());
        // Of the times of nodes, which leave out what is between them.
        let all: f64 = self.nodes.iter().map(|node| node.ms).sum();
        let share = |ms: f64| Some(ms / all).filter(|share| share.is_finite());
        for node in &self.nodes {
            let mut cells = vec![
                node.path.as_str().into(),
                node.op_shown().into(),
                (&node.useful.macs).into(),
                (&node.useful.flops).into(),
                (&node.executed.flops).into(),
                Cell::Real(node.ms, 3),
                Cell::real(share(node.ms).map(|share| 100.0 * share), 1),
                Cell::real(node.gflop_per_s, 2),
            ];
            cells.extend(bounded.then(|| reached(node.least_ms, node.ms)).into_iter().flatten());
            cells.push(share(node.ms).map_or(Cell::Empty, Cell::Share));
            table.rows.push(Row::new(cells));
            for part in node.parts.iter().filter(|_| node.parts.len() > 1) {
                table.rows.push(Row::new([
                    format!("  {}", part.name).into(),
                    Cell::Empty,
                    (&part.useful.macs).into(),
                    (&part.useful.flops).into(),
                    (&part.executed.flops).into(),
                ]));
            }
        }
        let mut total = vec![
            "total".into(),
            Cell::Empty,
            (&self.useful.macs).into(),
            (&self.useful.flops).into(),
            (&self.executed.flops).into(),
            Cell::Real(self.wall_ms.median, 3),
            Cell::Empty,
            Cell::real(self.gflop_per_s, 2),
        ];
        let median = self.wall_ms.median;
        total.extend(bounded.then(|| reached(self.least_ms, median)).into_iter().flatten());
        table.rows.push(Row::new(total).ruled());
        let WallMs { min, median, max } = self.wall_ms;
        let mut lines = vec![format!(
            "{} interpreter, {}, seed {}, {}: min {min:.3}, median {median:.3}, max {max:.3} ms",
            self.interpreter,
            plural(self.threads, "thread"),
            self.seed,
            plural(self.repeat, "run"),
        )];
        for output in &self.outputs {
            let Output { name, dtype, shape, .. } = output;
            lines.push(format!("output {name}: {dtype} {shape:?}"));
            lines.extend(output.shown());
        }
        let [read, written] = [&self.bytes.read, &self.bytes.written].map(thousands);
        lines.push(match self.bytes_relocated.is_zero() {
            true => format!("bytes: {read} read, {written} written"),
            false => format!(
                "bytes: {read} read, {written} written, {} copied to make room for caches",
                thousands(&self.bytes_relocated)
            ),
        });
        if let Some(PeakBytes { foreseen, reached, held }) = &self.peak_bytes {
            let [foreseen, reached, held] = [foreseen, reached, held].map(thousands);
            lines.push(format!(
                "peak of activations: foreseen {foreseen}, reached {reached}, with kept buffers \
                 {held} bytes, f32"
            ));
        }
        lines.extend(SubstitutedRecord::line(&self.substituted));
        lines.extend(self.theorem.lines());
        let rate = "GFLOP/s = useful flops / time; useful = what the mathematics asks for; \
                    executed = what ran; substituted = useful, done in another form";
        let footer = format!("{}; {rate}", convention_line(&["macs", "flops"]));
        let mut blocks = vec![
            Block::Title(title(&self.model, &self.binding)),
            Block::Table(table),
            Block::Lines(lines),
            Block::Text(footer),
        ];
        if let Some(device) = &self.device {
            blocks.push(Block::Lines(device.lines()));
            blocks.push(Block::Text(BOUND.to_owned()));
        }
        Document { blocks }
    }

    fn rows(&self) -> Table {
        let mut columns: Vec<Column> =
            ["path", "op", "runs", "ms", "gflop_per_s", "macs", "useful_flops", "executed_flops"]
                .map(Column::word)
                .to_vec();
        columns.extend(Class::ALL.map(|class| Column::word(class.name())));
        columns.extend(["bytes_read", "bytes_written"].map(Column::word));
        let bounded = self.device.is_some();
        columns.extend(bounded.then(|| Column::word("least_ms")));
        let rows = self.nodes.iter().map(|node| {
            let mut cells = vec![
                node.path.as_str().into(),
                node.op.unwrap_or_default().into(),
                Cell::Number(node.runs.into()),
                Cell::Real(node.ms, 6),
                Cell::real(node.gflop_per_s, 6),
                (&node.useful.macs).into(),
                (&node.useful.flops).into(),
                (&node.executed.flops).into(),
            ];
            cells.extend(node.useful.counts.iter().map(|(_, n)| n.into()));
            cells.extend([(&node.bytes.read).into(), (&node.bytes.written).into()]);
            cells.extend(bounded.then(|| Cell::real(node.least_ms, 9)));
            Row::new(cells)
        });
        Table { columns, rows: rows.collect() }
    }
}

const BOUND: &str = "at least = the longer of matmul-flops at the peak and of the bytes that the run moved at the \
                     bandwidth, a lower bound and no prediction; % of bound = at least / ms. What the \
                     processor's own caches hold can come faster than memory gives it, so small nodes can \
                     exceed 100.";

/// The least time and which share of the speed that it allows was reached.
fn reached(least: Option<f64>, ms: f64) -> [Cell; 2] {
    let share = least.filter(|least| ms > 0.0 && *least > 0.0).map(|least| 100.0 * least / ms);
    [Cell::real(least, 3), Cell::real(share, 1)]
}

fn plural(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
