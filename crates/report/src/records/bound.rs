//! How long a device takes at least: a lower bound, and no prediction.

use num_traits::{ToPrimitive, Zero};
use opledger_dims::{Binding, Integer};
use serde::{Serialize, Serializer};

use super::account::title;
use crate::number::{duration, percent, rounded};
use crate::{Amount, Block, Cell, Column, Document, Record, Row, Table, json, latex};

/// An exact time: so many of the parts of which a second has `per`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExactTime {
    /// How many parts.
    pub of: Integer,
    /// How many of them are a second.
    pub per: Integer,
}

impl ExactTime {
    /// As many seconds.
    pub fn seconds(&self) -> f64 {
        let (of, per) = (self.of.to_f64(), self.per.to_f64());
        of.unwrap_or(f64::INFINITY) / per.unwrap_or(f64::INFINITY)
    }
}

impl Serialize for ExactTime {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_f64(self.seconds())
    }
}

/// What a device can do at most, and who says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BoundDevice {
    /// Its name.
    pub name: String,
    /// The type of the elements that are multiplied, stored and moved.
    pub dtype: &'static str,
    /// Operations a second in products of that type.
    pub operations_per_second: u64,
    /// Where that is from.
    pub operations_source: String,
    /// Bytes a second between it and its memory.
    pub bytes_per_second: u64,
    /// Where that is from.
    pub bytes_source: String,
}

impl BoundDevice {
    /// What it can do, and who says so.
    pub(super) fn lines(&self) -> Vec<String> {
        let BoundDevice { name, dtype, operations_per_second, bytes_per_second, .. } = self;
        let rate = |rate: u64| rounded(&rate.into());
        vec![
            format!(
                "{name}: at most {} operations a second in products of {dtype} ({})",
                rate(*operations_per_second),
                self.operations_source
            ),
            format!(
                "{name}: at most {} bytes a second from and to memory ({})",
                rate(*bytes_per_second),
                self.bytes_source
            ),
        ]
    }
}

/// What nodes do and move, and how long that takes at least.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BoundCost {
    /// Twice the multiplications in contractions.
    #[serde(serialize_with = "json::quantity")]
    pub matmul_flops: Integer,
    /// Bytes of operands, each read once, and of results, each written once.
    #[serde(serialize_with = "json::quantity")]
    pub bytes: Integer,
    /// The sum over nodes of the longer of operations at the peak and bytes at the bandwidth.
    #[serde(rename = "seconds")]
    pub least: ExactTime,
    /// What of that is of nodes whose operations take longer than their bytes.
    #[serde(rename = "seconds_bound_by_operations")]
    pub by_operations: ExactTime,
}

impl BoundCost {
    fn bound_by(&self) -> String {
        let (all, own) = (&self.least.of, &self.by_operations.of);
        let mixed = |name: &str, of: &Integer| match percent(of, all).as_deref() {
            // What rounds to all of it is still a part.
            None | Some("100.0") => name.to_owned(),
            Some(share) => format!("{name} {share} %"),
        };
        match () {
            () if all.is_zero() => String::new(),
            () if own.is_zero() => "memory".to_owned(),
            () if own == all => "operations".to_owned(),
            () if own * 2 > *all => mixed("operations", own),
            () => mixed("memory", &(all - own)),
        }
    }

    fn intensity(&self) -> Cell {
        let (flops, bytes) = (self.matmul_flops.to_f64(), self.bytes.to_f64());
        let ratio = flops.zip(bytes).filter(|(_, bytes)| *bytes > 0.0).map(|(f, b)| f / b);
        // What multiplies nothing has none.
        Cell::real(ratio.filter(|ratio| ratio.is_finite() && *ratio > 0.0), 1)
    }
}

/// A part of what is done: a forward pass, the steps of a generation, gradients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BoundPhase {
    /// Its name.
    pub phase: String,
    /// How often it runs.
    pub runs: u64,
    /// All runs together.
    #[serde(flatten)]
    pub cost: BoundCost,
    /// The longer of all operations at the peak and all weights and caches moved once a run, which holds
    /// whatever is fused.
    #[serde(rename = "seconds_whatever_is_fused")]
    pub fused: ExactTime,
}

/// A module, all its runs together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BoundModule {
    /// Its path.
    pub path: String,
    /// Of which kind of layer it is; none where nodes of several are told together.
    pub kind: Option<&'static str>,
    /// Its part of the bound.
    #[serde(flatten)]
    pub cost: BoundCost,
}

/// From how many items on the operations of a step take longer than its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BoundBatch {
    /// The size that counts items.
    pub symbol: String,
    /// How many; none where no number is enough.
    #[serde(serialize_with = "json::optional")]
    pub from: Option<Integer>,
    /// Why.
    pub reason: String,
}

/// How long a model takes at least on a device.
#[derive(Clone, Debug, Serialize)]
pub struct LowerBound {
    /// The model.
    pub model: String,
    /// Its sizes.
    #[serde(serialize_with = "json::binding")]
    pub binding: Binding,
    /// What the device can do at most.
    pub device: BoundDevice,
    /// All of it.
    pub total: BoundCost,
    /// The same whatever is fused.
    #[serde(rename = "seconds_whatever_is_fused")]
    pub fused: ExactTime,
    /// By part.
    pub phases: Vec<BoundPhase>,
    /// By module, the longest first.
    pub modules: Vec<BoundModule>,
    /// When a step that takes one token an item is bound by operations.
    pub batch: Option<BoundBatch>,
    /// Whether there are experts, of which the most that tokens can meet are read.
    pub experts: bool,
}

impl LowerBound {
    fn phases(&self) -> Table {
        let columns = vec![
            Column::word("part"),
            Column::number("runs").dispensable(3),
            Column::number("matmul-flops").dispensable(2),
            Column::number("bytes").dispensable(1),
            Column::word("bound by"),
            Column::number("at least"),
            Column::number("fused at least"),
        ];
        let row = |name: &str, runs: u64, cost: &BoundCost, fused: &ExactTime| {
            Row::new([
                name.into(),
                Cell::Number(runs.into()),
                cost.matmul_flops.cell(),
                cost.bytes.cell(),
                cost.bound_by().into(),
                duration(cost.least.seconds()).into(),
                duration(fused.seconds()).into(),
            ])
        };
        let own = |own: &BoundPhase| row(&own.phase, own.runs, &own.cost, &own.fused);
        let mut rows: Vec<Row> = self.phases.iter().map(own).collect();
        if rows.len() > 1 {
            let runs = self.phases.iter().map(|own| own.runs).max().unwrap_or(0);
            let mut all = row("all", runs, &self.total, &self.fused).ruled();
            all.cells[1] = Cell::Empty;
            rows.push(all);
        }
        Table { columns, rows }
    }

    fn modules(&self) -> Table {
        let mut columns = vec![Column { narrowest: Some(30), ..Column::name("module") }];
        let kinds = self.modules.iter().any(|own| own.kind.is_some());
        columns.extend(kinds.then(|| Column::word("kind").dispensable(5)));
        columns.extend([
            Column::number("≈matmul-flops").dispensable(3),
            Column::number("≈bytes").dispensable(2),
            Column::number("flops/byte").dispensable(1),
            Column::word("bound by"),
            Column::number("at least"),
            Column::number("%"),
            Column::bar(),
        ]);
        let row = |path: &str, kind: Option<&str>, cost: &BoundCost| {
            let share = percent(&cost.least.of, &self.total.least.of);
            let mut cells = vec![path.into()];
            cells.extend(kinds.then(|| kind.unwrap_or_default().into()));
            cells.extend([
                rounded(&cost.matmul_flops).into(),
                rounded(&cost.bytes).into(),
                cost.intensity(),
                cost.bound_by().into(),
                duration(cost.least.seconds()).into(),
                share.map_or(Cell::Empty, Cell::Text),
                Cell::share(&cost.least.of, &self.total.least.of),
            ]);
            Row::new(cells)
        };
        let own = self.modules.iter().map(|own| row(&own.path, own.kind, &own.cost));
        let all = row("total", None, &self.total).ruled();
        Table { columns, rows: own.chain([all]).collect() }
    }

    fn told(&self) -> String {
        format!(
            "A lower bound, no prediction: of each node the longer of matmul-flops at the peak and bytes \
             at the bandwidth, nodes one after the other, each reading its operands and writing its \
             result once, reals as {}; the bound of a module is the sum over its nodes. A run that fuses \
             nodes may take less, but no less than \"fused at least\": the longer of all matmul-flops, and \
             weights and cache moved once a run.",
            self.device.dtype
        )
    }
}

impl Record for LowerBound {
    fn document(&self) -> Document {
        let heading =
            format!("{}: lower bound on {}", title(&self.model, &self.binding), self.device.name);
        let mut blocks =
            vec![Block::Title(heading), Block::Table(self.phases()), Block::Table(self.modules())];
        if let Some(BoundBatch { reason, .. }) = &self.batch {
            blocks.push(Block::Text(reason.clone()));
        }
        blocks.push(Block::Lines(self.device.lines()));
        blocks.push(Block::Text(self.told()));
        if self.experts {
            blocks.push(Block::Text(
                "Of experts as many are read as tokens meet at most; where tokens choose the same, fewer \
                 bytes are moved than this."
                    .to_owned(),
            ));
        }
        Document { blocks }
    }

    fn rows(&self) -> Table {
        let columns =
            ["path", "kind", "matmul_flops", "bytes", "bound_by", "seconds"].map(Column::word);
        let row = |own: &BoundModule| {
            Row::new([
                own.path.as_str().into(),
                own.kind.unwrap_or_default().into(),
                own.cost.matmul_flops.cell(),
                own.cost.bytes.cell(),
                own.cost.bound_by().into(),
                Cell::Real(own.cost.least.seconds(), 9),
            ])
        };
        Table { columns: columns.to_vec(), rows: self.modules.iter().map(row).collect() }
    }

    fn latex(&self) -> Option<String> {
        Some(latex::document(&self.document().without_bars().steady()))
    }
}
