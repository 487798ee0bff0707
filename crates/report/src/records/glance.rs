//! The rows of an account as people read them: in an order, the greatest of them, with shares.

use std::cmp::Reverse;
use std::fmt;
use std::str::FromStr;

use num_traits::Zero;
use opledger_dims::Integer;

use super::account::{Account, AccountNode, Bytes, KindSum};
use crate::number::{percent, rounded};
use crate::{Amount, Cell, Column, Row, Table};

/// What the rows of an account are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowOrder {
    /// The path, from a to z.
    Node,
    /// Parameters, the most first.
    Params,
    /// Multiplications inside contractions, the most first.
    Macs,
    /// Scalar operations, the most first.
    Flops,
    /// Bytes read, the most first.
    BytesRead,
    /// Bytes written, the most first.
    BytesWritten,
}

impl RowOrder {
    /// Every order.
    pub const ALL: [RowOrder; 6] = [
        RowOrder::Node,
        RowOrder::Params,
        RowOrder::Macs,
        RowOrder::Flops,
        RowOrder::BytesRead,
        RowOrder::BytesWritten,
    ];

    /// The name of its column.
    pub fn name(self) -> &'static str {
        match self {
            RowOrder::Node => "node",
            RowOrder::Params => "params",
            RowOrder::Macs => "macs",
            RowOrder::Flops => "flops",
            RowOrder::BytesRead => "bytes-read",
            RowOrder::BytesWritten => "bytes-written",
        }
    }

    pub(super) fn number(self, node: &AccountNode<Integer>) -> Option<&Integer> {
        match self {
            RowOrder::Node => None,
            RowOrder::Params => Some(&node.params_read),
            RowOrder::Macs => Some(&node.macs),
            RowOrder::Flops => Some(&node.flops),
            RowOrder::BytesRead => Some(&node.bytes.read),
            RowOrder::BytesWritten => Some(&node.bytes.written),
        }
    }
}

impl fmt::Display for RowOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for RowOrder {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let order = RowOrder::ALL.into_iter().find(|order| order.name() == name);
        order.ok_or_else(|| format!("there is no column `{name}` to sort by"))
    }
}

impl Account<Integer> {
    /// Sorts the rows; equal ones stay in the order of the model.
    pub fn sort(&mut self, order: RowOrder) {
        match order {
            RowOrder::Node => self.nodes.sort_by(|a, b| a.path.cmp(&b.path)),
            number => self.nodes.sort_by_cached_key(|node| Reverse(number.number(node).cloned())),
        }
    }

    /// Keeps the first rows that a table shows, and sums the others in one row, `(rest)`.
    pub fn keep(&mut self, rows: usize) {
        let (shown, silent): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.nodes).into_iter().partition(AccountNode::is_shown);
        let mut shown = shown.into_iter();
        self.nodes = shown.by_ref().take(rows).collect();
        let mut rest: Option<AccountNode<Integer>> = None;
        for node in shown.chain(silent) {
            match &mut rest {
                None => rest = Some(node.into_rest()),
                Some(rest) => rest.take_in(&node),
            }
        }
        self.nodes.extend(rest);
    }

    /// The rows under their columns, with the whole below.
    pub(super) fn glance(&self) -> Table {
        let shaped = self.nodes.iter().any(|node| node.is_shown() && node.shape.is_some());
        let lines = self.has_lines();
        let mut columns = vec![
            Column { narrowest: Some(30), ..Column::name("node") },
            Column::word("op").dispensable(5),
        ];
        columns.extend(shaped.then(|| Column::word("shape").dispensable(6)));
        columns.extend([
            Column::number("params").dispensable(3),
            Column::number("macs").dispensable(2),
            Column::number("flops"),
            Column::number("≈flops").dispensable(4),
            Column::number("flops %").dispensable(1),
        ]);
        columns.push(Column::bar());
        columns.extend(lines.then(|| Column::word("where")));
        let row =
            |name: Cell, op: Cell, shape: Cell, params: Cell, [macs, flops]: [&Integer; 2]| {
                let share = percent(flops, &self.flops).map_or(Cell::Empty, Cell::Text);
                let mut cells = vec![name, op];
                cells.extend(shaped.then_some(shape));
                cells.extend([params, macs.cell(), flops.cell(), rounded(flops).into(), share]);
                cells.push(Cell::share(flops, &self.flops));
                Row::new(cells)
            };
        let mut rows = Vec::new();
        for node in self.nodes.iter().filter(|node| node.is_shown()) {
            let (path, op) = (node.path.as_str().into(), node.op_shown().into());
            let shape = node.shape_shown().into();
            let params = node.params_read.cell();
            let mut own = row(path, op, shape, params, [&node.macs, &node.flops]);
            own.cells.extend(lines.then(|| node.line_shown().into()));
            rows.push(own);
            for part in node.parts.iter().filter(|_| node.parts.len() > 1) {
                let (name, none) = (format!("  {}", part.name).into(), || Cell::Empty);
                let mut own = row(name, none(), none(), none(), [&part.macs, &part.flops]);
                // The bar of the whole operation stands above.
                if let Some(bar) = own.cells.last_mut() {
                    *bar = Cell::Empty;
                }
                rows.push(own);
            }
        }
        let (name, params) = ("total".into(), self.params.total.cell());
        let whole = [&self.macs, &self.flops];
        rows.push(row(name, Cell::Empty, Cell::Empty, params, whole).ruled());
        Table { columns, rows }
    }
}

impl Account<Integer> {
    /// The sums by kind of layer.
    pub(super) fn kinds(&self) -> Table {
        let columns = vec![
            Column::name("kind of layer"),
            Column::number("params"),
            Column::number("params %").dispensable(3),
            Column::number("macs").dispensable(2),
            Column::number("flops"),
            Column::number("flops %").dispensable(1),
            Column::bar(),
        ];
        let share =
            |part: &Integer, whole: &Integer| percent(part, whole).map_or(Cell::Empty, Cell::Text);
        let row = |own: &KindSum| {
            Row::new([
                own.kind.into(),
                own.params.cell(),
                share(&own.params, &self.params.total),
                own.macs.cell(),
                own.flops.cell(),
                share(&own.flops, &self.flops),
                Cell::share(&own.flops, &self.flops),
            ])
        };
        Table { columns, rows: self.kinds.iter().map(row).collect() }
    }
}

impl AccountNode<Integer> {
    /// Whether a table for people shows it: it computes something, or is the first to read parameters.
    fn is_shown(&self) -> bool {
        !self.flops.is_zero() || !self.params_read.is_zero()
    }

    fn into_rest(self) -> Self {
        let (path, formula) = ("(rest)".to_owned(), String::new());
        let (axes, shape, line, parts) = (None, None, None, Vec::new());
        AccountNode { path, op: None, axes, shape, line, parts, formula, ..self }
    }

    pub(super) fn take_in(&mut self, other: &Self) {
        self.members += other.members;
        self.counts += &other.counts;
        self.macs += &other.macs;
        self.flops += &other.flops;
        self.params += &other.params;
        self.params_read += &other.params_read;
        let Bytes { read, written } = &mut self.bytes;
        *read += &other.bytes.read;
        *written += &other.bytes.written;
    }
}
