//! Runs of operations on the elements of one shape, and on its rows, that one kernel executes.

use opledger_ir::ops::{Arithmetic, Reduce};
use opledger_ir::{Axis, Graph, Node, Op, OpError, Part, Value, Var};
use opledger_kernels::{self as kernels, Reduction, RowOperand, RowProgram, RowStep};

use super::metering::{Metering, refused};
use super::pointwise::binary_op;
use crate::{NodeCall, Operand, Schedule};

/// Joins, as far as can be, operations that follow each other on the elements and rows of one shape.
pub(super) fn join_all(graph: &Graph, schedule: &mut Schedule) {
    let last_uses = graph.last_uses();
    let mut end = graph.nodes().len();
    while let Some(last) = end.checked_sub(1) {
        let run = grow(graph, schedule, &last_uses, last);
        match run.first().filter(|_| schedule.join(graph, &run)) {
            Some(first) => end = *first,
            None => end = last,
        }
    }
}

/// What an operand has numbers of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    Elements,
    Rows,
    Columns,
    One,
}

/// What a value has numbers of beside a shape.
fn extent(axes: &[Axis], own: &[Axis]) -> Option<Extent> {
    let (column, rows) = axes.split_last()?;
    match own {
        [] => Some(Extent::One),
        _ if own == axes => Some(Extent::Elements),
        _ if own == rows => Some(Extent::Rows),
        [one] if one == column => Some(Extent::Columns),
        _ => None,
    }
}

/// Whether a node is an operation on the elements of a shape, or on its rows.
fn fits(graph: &Graph, node: &Node, axes: &[Axis]) -> bool {
    let of = |var: &Var| extent(axes, &graph.shape(*var).axes);
    let operands: Option<Vec<Extent>> = node.inputs.iter().map(of).collect();
    let Some(operands) = operands else { return false };
    let own = extent(axes, &node.shape.axes);
    let each = matches!(own, Some(Extent::Elements | Extent::Rows));
    match (&node.op, &operands[..]) {
        (Op::Arithmetic(Arithmetic { masked: None, .. }), [a, b]) => {
            each && Some(*a) == own && (*b != Extent::Columns || own == Some(Extent::Elements))
        }
        (Op::Scale(scale), [x]) if scale.masked.is_none() => each && Some(*x) == own,
        (Op::Activation(_) | Op::Pointwise(_), [x]) => each && Some(*x) == own,
        (Op::Reduce(reduce), [Extent::Elements]) => {
            own == Some(Extent::Rows) && axes.last().is_some_and(|axis| axis.name == *reduce.axis())
        }
        _ => false,
    }
}

/// The nodes of the longest run that ends with a node, or none.
///
/// A run holds its operands till its end. So that it needs no more memory than its nodes one by one, the
/// node that reads an operand for the last time has at least as many elements as the result.
fn grow(graph: &Graph, schedule: &Schedule, last_uses: &[usize], end: usize) -> Vec<usize> {
    let last = &graph.nodes()[end];
    let axes = &last.shape.axes;
    if axes.is_empty() || schedule.is_joined(end) || !fits(graph, last, axes) {
        return Vec::new();
    }
    let mut run = vec![end];
    let mut at = end;
    while let Some(before) = at.checked_sub(1) {
        at = before;
        let node = &graph.nodes()[at];
        if node.op.is_source() {
            continue;
        }
        let inside = |of: &usize| run.contains(of);
        let read = schedule.readers(at);
        let read = !read.is_empty() && read.iter().all(inside);
        if node.repeat != last.repeat || schedule.is_joined(at) || !read || !fits(graph, node, axes)
        {
            break;
        }
        run.push(at);
    }
    run.reverse();
    while let Some(place) = delaying(graph, last_uses, &run) {
        run.drain(..=place);
    }
    run
}

/// The last node of a run that has fewer elements than its result, and would alone let go of an operand; or
/// one on rows that none of the run reduces, of which there may be some where there are no elements.
fn delaying(graph: &Graph, last_uses: &[usize], run: &[usize]) -> Option<usize> {
    let end = *run.last()?;
    let axes = &graph.nodes()[end].shape.axes;
    let delays = |at: &usize| {
        let node = &graph.nodes()[*at];
        let dies = |var: &Var| {
            let made = !graph.node(*var).op.is_source() && !run.contains(&var.index());
            made && last_uses[var.index()] == *at
        };
        let rows = |var: &Var| run.contains(&var.index()) && graph.node(*var).shape.axes != *axes;
        let reduced = matches!(node.op, Op::Reduce(_)) || node.inputs.iter().any(rows);
        node.shape.axes != *axes && (!reduced || node.inputs.iter().any(dies))
    };
    run.iter().rposition(delays)
}

/// Executes a run as one kernel.
pub(super) fn apply<M: Metering>(
    group: &[NodeCall<'_, f32>],
    out: &mut [f32],
) -> Result<(), OpError> {
    let unknown = || OpError::Kernel("these nodes have no kernel together".into());
    let axes = &group.last().ok_or_else(unknown)?.node.shape.axes;
    let sizes = group.last().map_or(&[][..], |call| call.output);
    let mut steps: Vec<RowStep<'_>> = Vec::with_capacity(group.len());
    let mut by_rows = false;
    for call in group {
        let mut operand = |at: usize| match call.operands.get(at) {
            Some(Operand::Inside { node, .. }) => Ok(RowOperand::Step(*node)),
            Some(given) => {
                let Some(Value::Real(x)) = given.value() else { return Err(OpError::Operand(at)) };
                call.reads.all(at, x.len());
                let x = x.data();
                Ok(match extent(axes, &call.shapes[at].axes).ok_or_else(unknown)? {
                    Extent::Elements => RowOperand::Elements(x),
                    Extent::Rows => {
                        by_rows = true;
                        RowOperand::PerRow(x)
                    }
                    Extent::Columns => {
                        by_rows = true;
                        RowOperand::PerColumn(x)
                    }
                    Extent::One => RowOperand::One(x),
                })
            }
            None => Err(OpError::Operand(at)),
        };
        let step = match &call.node.op {
            Op::Arithmetic(op) => RowStep::Binary(binary_op(op.kind), [operand(0)?, operand(1)?]),
            Op::Scale(op) => {
                let factor = op.factor.value(&call.on(&[]))?;
                RowStep::Scale(factor as f32, operand(0)?)
            }
            Op::Activation(function) => RowStep::Activation(*function, operand(0)?),
            Op::Pointwise(function) => RowStep::Pointwise(*function, operand(0)?),
            Op::Reduce(reduce) => {
                let kind = match reduce {
                    Reduce::Sum(_) => Reduction::Sum,
                    Reduce::Mean(_) => Reduction::Mean,
                    Reduce::Max(_) => Reduction::Max,
                };
                let x = operand(0)?;
                by_rows = true;
                RowStep::Reduce(kind, x)
            }
            _ => return Err(unknown()),
        };
        steps.push(step);
    }
    let meters: Vec<&M> = group.iter().map(|call| M::of(call.row, Part::Pointwise)).collect();
    // Where rows mean nothing, every element is one.
    let width = if by_rows { sizes.last().copied().unwrap_or(1) } else { 1 };
    if !out.is_empty() {
        let program = RowProgram { width, steps: &steps };
        kernels::row_program(program, out, &meters).map_err(refused)?;
    }
    for (at, call) in group.iter().enumerate() {
        call.record_bytes(if at + 1 == group.len() { out.len() } else { 0 });
    }
    Ok(())
}
