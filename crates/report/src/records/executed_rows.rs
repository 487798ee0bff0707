//! The rows of a run as people read them: together by module, in an order, the greatest of them.

use std::cmp::Reverse;
use std::fmt;
use std::str::FromStr;

use num_traits::ToPrimitive;
use opledger_dims::Integer;

use super::execution::{ExecutedNode, Execution, OperationCounts, SubstitutedRecord};

/// What the rows of a run are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunOrder {
    /// The path, from a to z.
    Node,
    /// Multiplications inside contractions, the most first.
    Macs,
    /// Useful scalar operations, the most first.
    Flops,
    /// Executed scalar operations, the most first.
    Executed,
    /// Time, the most first.
    Time,
}

impl RunOrder {
    /// Every order.
    pub const ALL: [RunOrder; 5] =
        [RunOrder::Node, RunOrder::Macs, RunOrder::Flops, RunOrder::Executed, RunOrder::Time];

    /// The name of its column.
    pub fn name(self) -> &'static str {
        match self {
            RunOrder::Node => "node",
            RunOrder::Macs => "macs",
            RunOrder::Flops => "flops",
            RunOrder::Executed => "executed-flops",
            RunOrder::Time => "ms",
        }
    }
}

impl fmt::Display for RunOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for RunOrder {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let order = RunOrder::ALL.into_iter().find(|order| order.name() == name);
        order.ok_or_else(|| format!("there is no column `{name}` to sort by"))
    }
}

impl OperationCounts {
    fn add(&mut self, other: &OperationCounts) {
        self.counts += &other.counts;
        self.flops += &other.flops;
        self.macs += &other.macs;
    }
}

impl ExecutedNode {
    /// Takes in another node: several have no operation and no parts of their own.
    fn take_in(&mut self, other: ExecutedNode) {
        self.op = None;
        self.parts.clear();
        self.members += other.members;
        self.runs += other.runs;
        self.useful.add(&other.useful);
        self.executed.add(&other.executed);
        for SubstitutedRecord { class, number, by } in other.substituted {
            match self.substituted.iter_mut().find(|own| (own.class, own.by) == (class, by)) {
                Some(own) => own.number += number,
                None => self.substituted.push(SubstitutedRecord { class, number, by }),
            }
        }
        self.bytes.read += other.bytes.read;
        self.bytes.written += other.bytes.written;
        self.ms += other.ms;
        self.least_ms = self.least_ms.zip(other.least_ms).map(|(own, other)| own + other);
        let flops = self.useful.flops.to_f64().filter(|flops| *flops > 0.0 && self.ms > 0.0);
        self.gflop_per_s = flops.map(|flops| flops / (1e6 * self.ms));
    }

    pub(super) fn op_shown(&self) -> String {
        match (self.op, self.members) {
            (Some(op), _) => op.to_owned(),
            (None, members) => format!("{members} nodes"),
        }
    }
}

impl Execution {
    /// Tells nodes together under the first `depth` segments of their paths.
    pub fn group(&mut self, depth: usize) {
        let mut grouped: Vec<ExecutedNode> = Vec::new();
        for mut node in std::mem::take(&mut self.nodes) {
            node.path = match depth {
                0 => "(all)".to_owned(),
                depth => node.path.split('.').take(depth).collect::<Vec<_>>().join("."),
            };
            match grouped.iter_mut().find(|own| own.path == node.path) {
                Some(own) => own.take_in(node),
                None => grouped.push(node),
            }
        }
        self.nodes = grouped;
    }

    /// Sorts the rows; equal ones stay in the order of the model.
    pub fn sort(&mut self, order: RunOrder) {
        let by = |number: fn(&ExecutedNode) -> &Integer| {
            move |node: &ExecutedNode| Reverse(number(node).clone())
        };
        match order {
            RunOrder::Node => self.nodes.sort_by(|a, b| a.path.cmp(&b.path)),
            RunOrder::Macs => self.nodes.sort_by_cached_key(by(|node| &node.useful.macs)),
            RunOrder::Flops => self.nodes.sort_by_cached_key(by(|node| &node.useful.flops)),
            RunOrder::Executed => self.nodes.sort_by_cached_key(by(|node| &node.executed.flops)),
            RunOrder::Time => self.nodes.sort_by(|a, b| b.ms.total_cmp(&a.ms)),
        }
    }

    /// Keeps the first rows, and sums the others in one row, `(rest)`.
    pub fn keep(&mut self, rows: usize) {
        if self.nodes.len() <= rows {
            return;
        }
        let mut others = self.nodes.split_off(rows).into_iter();
        if let Some(mut rest) = others.next() {
            others.for_each(|other| rest.take_in(other));
            rest.path = "(rest)".to_owned();
            rest.op = None;
            rest.parts.clear();
            self.nodes.push(rest);
        }
    }
}
