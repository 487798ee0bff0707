//! Which axes of a parameter are the rows of a matrix, and which its columns.

use std::collections::BTreeSet;

use opledger_ir::ops::Rearrange;
use opledger_ir::{Axis, Graph, Op, Phase, Role, Var};

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
    let mut values = vec![parameter];
    while let Some(value) = values.pop() {
        let readers = g.vars().filter(|var| {
            let node = g.node(*var);
            node.phase == Phase::Forward && node.inputs.contains(&value)
        });
        for reader in readers {
            let node = g.node(reader);
            if let Op::Rearrange(Rearrange::Permute { .. }) = node.op {
                values.push(reader);
                continue;
            }
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
    }
    let columns = found.filter(|columns| !columns.is_empty())?;
    let rows: Vec<Axis> = axes.iter().filter(|axis| !columns.contains(axis)).cloned().collect();
    (!rows.is_empty()).then_some(Sides { rows, columns })
}

/// Whether a parameter is a bias, or the gain or shift of a norm, wherever it is read.
pub(super) fn shifts(g: &Graph, parameter: Var) -> bool {
    let mut values = vec![parameter];
    while let Some(value) = values.pop() {
        let readers = g.vars().filter(|var| {
            let node = g.node(*var);
            node.phase == Phase::Forward && node.inputs.contains(&value)
        });
        for reader in readers {
            let node = g.node(reader);
            if matches!(node.op, Op::Rearrange(_)) {
                values.push(reader);
            } else if node.role != Some(Role::Bias) && !matches!(node.op, Op::Norm(_)) {
                return false;
            }
        }
    }
    true
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
