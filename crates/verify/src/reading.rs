//! What a sentence about "operations" or "parameters" may mean: quantities, derived from a graph,
//! counted by a run, or stored in memory.

use opledger_dims::{Integer, Quantity};
use opledger_interp::{Ledger, Tensors};
use opledger_ir::ops::Source;
use opledger_ir::{Graph, Node, Op, PartCounts, Selection};

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

/// What a run counted.
pub(crate) fn counted(
    graph: &Graph,
    ledger: &Ledger,
    selection: &Selection<'_>,
    quantity: Quantity,
) -> Integer {
    let rows =
        graph.nodes().iter().zip(ledger.rows()).filter(|(node, _)| selection.holds(&node.path));
    let of_row = |counts: &PartCounts<u64>| {
        let parts = counts.iter().filter(|(part, _)| selection.holds_part(*part));
        let parts = parts.map(|(part, c)| quantity.of_counts(c, part.is_contraction()));
        Integer::from(parts.sum::<u64>())
    };
    rows.map(|(_, row)| of_row(&row.counts().useful)).sum()
}

/// How many elements the parameters in memory have.
pub(crate) fn stored(
    graph: &Graph,
    tensors: &Tensors,
    selection: &Selection<'_>,
    quantity: Quantity,
) -> Integer {
    let counted = |node: &Node| match &node.op {
        Op::Source(Source::Param { trainable, .. }) => {
            *trainable || quantity == Quantity::Parameters
        }
        _ => false,
    };
    let nodes = tensors.iter().map(|(at, fed)| (&graph.nodes()[at], fed));
    let chosen = nodes.filter(|(node, _)| selection.holds(&node.path) && counted(node));
    chosen.map(|(_, fed)| Integer::from(fed.value.shape().iter().product::<usize>())).sum()
}
