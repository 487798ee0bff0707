//! What a sentence about "operations" or "parameters" may mean: quantities, derived from a graph, or
//! counted by a run.

use std::collections::HashSet;

use opledger_dims::{Binding, Integer, Quantity};
use opledger_interp::{Ledger, Tensors};
use opledger_ir::ops::Source;
use opledger_ir::{Graph, Op, PartCounts, Selection};

/// One executed size.
pub(crate) struct Point {
    pub(crate) at: Binding,
    pub(crate) ledger: Ledger,
    /// By node, how many elements of it as a parameter the run was fed.
    pub(crate) fed: Vec<(usize, u64)>,
}

/// A quantity in the words of a verdict.
pub(crate) fn in_words(quantity: Quantity) -> String {
    match quantity {
        Quantity::Class(class) => format!("{class} alone"),
        Quantity::Parameters => "parameters".to_owned(),
        Quantity::TrainableParameters => "trainable parameters".to_owned(),
        Quantity::Multiplications => "multiplications".to_owned(),
        other => format!("{other}: {}", other.meaning()),
    }
}

/// Whether it is parameters that are counted.
pub(crate) fn is_of_parameters(quantity: Quantity) -> bool {
    matches!(quantity, Quantity::Parameters | Quantity::TrainableParameters)
}

/// What a run counted: scalar operations, or elements of the parameters it was fed.
pub(crate) fn counted(
    graph: &Graph,
    point: &Point,
    selection: &Selection<'_>,
    quantity: Quantity,
) -> Integer {
    if is_of_parameters(quantity) {
        let counts = |at: &usize| {
            let node = &graph.nodes()[*at];
            selection.holds(&node.path) && (trains(&node.op) || quantity == Quantity::Parameters)
        };
        return point.fed.iter().filter(|(at, _)| counts(at)).map(|(_, n)| Integer::from(*n)).sum();
    }
    let rows = graph.nodes().iter().zip(point.ledger.rows());
    let rows = rows.filter(|(node, _)| selection.holds(&node.path));
    let of_row = |counts: &PartCounts<u64>| {
        let parts = counts.iter().filter(|(part, _)| selection.holds_part(*part));
        let parts = parts.map(|(part, c)| quantity.of_counts(c, part.is_contraction()));
        Integer::from(parts.sum::<u64>())
    };
    rows.map(|(_, row)| of_row(&row.counts().useful)).sum()
}

fn trains(op: &Op) -> bool {
    matches!(op, Op::Source(Source::Param { trainable: true, .. }))
}

/// By node, the elements in the buffers of those parameters that some operation which ran was handed.
pub(crate) fn fed(graph: &Graph, tensors: &Tensors, ledger: &Ledger) -> Vec<(usize, u64)> {
    let ran = graph.nodes().iter().zip(ledger.rows()).filter(|(_, row)| row.counts().runs > 0);
    let read: HashSet<usize> =
        ran.flat_map(|(node, _)| node.inputs.iter().map(|var| var.index())).collect();
    let parameters = tensors.iter().filter(|(at, _)| {
        read.contains(at) && matches!(graph.nodes()[*at].op, Op::Source(Source::Param { .. }))
    });
    parameters.map(|(at, fed)| (at, fed.shape().iter().product::<usize>() as u64)).collect()
}

/// The greatest of some differences; NaN if one is.
pub(crate) fn greatest(differences: impl Iterator<Item = f64>) -> f64 {
    differences.fold(0.0, |a: f64, b| if a.is_nan() || a > b { a } else { b })
}
