//! Which axes of a parameter are the rows of a matrix, and which its columns.

use std::collections::BTreeSet;

use opledger_ir::ops::Rearrange;
use opledger_ir::{Axis, Graph, Node, Op, Phase, Role, Var};

/// The matrix that a parameter is to the products that read it.
pub(super) struct Sides {
    /// Axes that a product keeps.
    pub(super) rows: Vec<Axis>,
    /// Axes that it sums over.
    pub(super) columns: Vec<Axis>,
}

/// The matrix, if all that reads a parameter are products that sum over the same axes of it, and it is looked up
/// nowhere.
pub(super) fn multiplied(g: &Graph, parameter: Var) -> Option<Sides> {
    let axes = &g.shape(parameter).axes;
    let mut found: Option<Vec<Axis>> = None;
    let permutes = |op: &Op| matches!(op, Op::Rearrange(Rearrange::Permute { .. }));
    for node in readers(g, parameter, permutes) {
        let Op::Einsum(op) = &node.op else { return None };
        let summed = |axis: &&Axis| op.summed_axes().any(|name| *name == axis.name);
        let both = |axis: &Axis| op.lhs.contains(&axis.name) && op.rhs.contains(&axis.name);
        let columns: Vec<Axis> = axes.iter().filter(summed).cloned().collect();
        let alone = axes.iter().all(|axis| columns.contains(axis) || !both(axis));
        if !alone || found.as_ref().is_some_and(|found| *found != columns) {
            return None;
        }
        found = Some(columns);
    }
    let columns = found.filter(|columns| !columns.is_empty())?;
    let rows: Vec<Axis> = axes.iter().filter(|axis| !columns.contains(axis)).cloned().collect();
    (!rows.is_empty()).then_some(Sides { rows, columns })
}

/// Whether a parameter is a bias, or the gain or shift of a norm, wherever it is read.
pub(super) fn shifts(g: &Graph, parameter: Var) -> bool {
    let own = |node: &Node| node.role == Some(Role::Bias) || matches!(node.op, Op::Norm(_));
    readers(g, parameter, |op| matches!(op, Op::Rearrange(_))).into_iter().all(own)
}

/// The nodes of the forward pass that read a parameter, also where it was moved first.
fn readers(g: &Graph, parameter: Var, moves: impl Fn(&Op) -> bool) -> Vec<&Node> {
    let (mut readers, mut values) = (Vec::new(), vec![parameter]);
    while let Some(value) = values.pop() {
        for (var, node) in g.vars().zip(g.nodes()) {
            let reads = node.phase == Phase::Forward && node.inputs.contains(&value);
            match (reads, moves(&node.op)) {
                (true, true) => values.push(var),
                (true, false) => readers.push(node),
                (false, _) => {}
            }
        }
    }
    readers
}

/// The parameters that a result is made with: those of products with no product behind them.
pub(crate) fn ends(g: &Graph, result: Var) -> BTreeSet<Var> {
    let (mut ends, mut seen, mut next) = (BTreeSet::new(), BTreeSet::new(), vec![result]);
    while let Some(var) = next.pop() {
        let node = g.node(var);
        let read = node.inputs.iter().map(|operand| parameter(g, *operand));
        let read: Vec<Var> = read.filter(|of| g.node(*of).op.is_source()).collect();
        if !seen.insert(var) || matches!(node.op, Op::Exit(_) | Op::Carry(_)) {
            continue;
        }
        match read.is_empty() || !matches!(node.op, Op::Einsum(_)) {
            true => next.extend(&node.inputs),
            false => ends.extend(read),
        }
    }
    ends
}

/// What a value is, its axes moved or not.
fn parameter(g: &Graph, mut var: Var) -> Var {
    while let (Op::Rearrange(_), [operand]) = (&g.node(var).op, &g.node(var).inputs[..]) {
        var = *operand;
    }
    var
}
