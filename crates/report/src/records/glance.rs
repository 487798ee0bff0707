//! The rows of an account as people read them: in an order, the greatest of them, with shares.

use std::cmp::Reverse;
use std::ops::AddAssign;

use num_traits::Zero;
use opledger_dims::{Integer, Poly};

use super::RowOrder;
use super::account::{Account, AccountNode, Bytes, KindSum};
use crate::number::{percent, rounded};
use crate::{Amount, Cell, Column, Row, Table};

impl RowOrder {
    pub(super) fn number<N>(self, node: &AccountNode<N>) -> Option<&N> {
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

impl Account<Integer> {
    /// Sorts the rows; equal ones stay in the order of the model.
    pub fn sort(&mut self, order: RowOrder) {
        self.sorted = Some(order);
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
        let moved = self.sorted.filter(|order| order.is_of_bytes());
        columns.extend(moved.map(|order| Column::number(order.name().replace('-', " "))));
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
            let moved = moved.and_then(|order| order.number(node));
            own.cells.extend(moved.map(Amount::cell));
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
        let mut total = row(name, Cell::Empty, Cell::Empty, params, whole).ruled();
        total.cells.extend(moved.map(|order| match order {
            RowOrder::BytesWritten => self.bytes.written.cell(),
            _ => self.bytes.read.cell(),
        }));
        rows.push(total);
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

impl Account<Poly> {
    /// Sorts the rows as those of numbers at some sizes, which are the same rows, keeps the first of them, and sums
    /// the others in one row, `(rest)`; each with its share of all flops at these sizes.
    pub fn sort_as(&mut self, numbers: &Account<Integer>, order: RowOrder, most: Option<usize>) {
        self.sorted = Some(order);
        let rows = std::mem::take(&mut self.nodes).into_iter().zip(&numbers.nodes);
        let (mut shown, silent): (Vec<_>, Vec<_>) = rows.partition(|(_, number)| number.is_shown());
        match order {
            RowOrder::Node => shown.sort_by(|a, b| a.0.path.cmp(&b.0.path)),
            order => shown.sort_by_key(|(_, number)| Reverse(order.number(number))),
        }
        let rest = shown.split_off(most.unwrap_or(shown.len()).min(shown.len()));
        let mut flops: Vec<Integer> =
            shown.iter().map(|(_, number)| number.flops.clone()).collect();
        self.nodes = shown.into_iter().map(|(node, _)| node).collect();
        if most.is_some() {
            let mut summed: Option<(AccountNode<Poly>, Integer)> = None;
            for (node, number) in rest.into_iter().chain(silent) {
                match &mut summed {
                    None => summed = Some((node.into_rest(), number.flops.clone())),
                    Some((rest, flops)) => {
                        rest.take_in(&node);
                        *flops += &number.flops;
                    }
                }
            }
            let (node, number) = summed.unzip();
            self.nodes.extend(node);
            flops.extend(number);
        }
        let share = |flops: &Integer| percent(flops, &numbers.flops).unwrap_or_default();
        self.shares = flops.iter().map(share).collect();
    }

    /// The formulas of rows that are sorted, beside each other.
    pub(super) fn formulas_at_a_glance(&self) -> Table {
        let order = self.sorted.filter(|order| order.is_of_bytes());
        let mut columns = vec![
            Column { narrowest: Some(20), ..Column::name("node") },
            Column::word("op").dispensable(4),
            Column::text("params").dispensable(3),
            Column::text("macs").dispensable(2),
            Column::text("flops"),
            Column::number("flops %").dispensable(1),
        ];
        columns.extend(order.map(|order| Column::text(order.name().replace('-', " "))));
        let row = |(node, share): (&AccountNode<Poly>, &String)| {
            let mut cells = vec![
                node.path.as_str().into(),
                node.op_shown().into(),
                node.params_read.cell(),
                node.macs.cell(),
                node.flops.cell(),
                share.as_str().into(),
            ];
            cells.extend(order.and_then(|order| order.number(node)).map(Amount::cell));
            Row::new(cells)
        };
        Table { columns, rows: self.nodes.iter().zip(&self.shares).map(row).collect() }
    }
}

impl AccountNode<Integer> {
    /// Whether a table for people shows it: it computes something, or is the first to read parameters.
    fn is_shown(&self) -> bool {
        !self.flops.is_zero() || !self.params_read.is_zero()
    }
}

impl<N: for<'a> AddAssign<&'a N>> AccountNode<N> {
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
