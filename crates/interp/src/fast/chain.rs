//! Chains of nodes that one kernel executes: a product by a weight, and what follows it.

use opledger_ir::ops::{Arithmetic, ArithmeticKind, Einsum, Source};
use opledger_ir::{Call, Graph, Node, Op, OpError, Part, Value, Var};
use opledger_kernels::{self as kernels, Epilogue, GemmMeters};

use super::einsum::{Product, Rows};
use super::metering::{Metering, refused};
use crate::weight::matrix;
use crate::{NodeCall, Operand, Schedule};

/// Joins, as far as can be, every product by a weight with the bias, activation and residual that
/// follow it.
pub(super) fn join_all(graph: &Graph, schedule: &mut Schedule) {
    for at in 0..graph.nodes().len() {
        if by_weight(graph, &graph.nodes()[at]) {
            let chain = grow(graph, schedule, at);
            schedule.join(graph, &chain);
        }
    }
}

fn is_parameter(node: &Node) -> bool {
    matches!(node.op, Op::Source(Source::Param { .. }))
}

/// Whether a node is a product by a parameter.
fn by_weight(graph: &Graph, node: &Node) -> bool {
    let weight = node.inputs.get(1).is_some_and(|var| is_parameter(graph.node(*var)));
    weight && matches!(&node.op, Op::Einsum(op) if matrix(op).is_some())
}

/// How many axes of a result come from the second operand.
fn columns(op: &Einsum) -> usize {
    op.out.iter().filter(|name| op.rhs.contains(name)).count()
}

/// The operand that is added to a value, and its place, when that is what a node does.
fn addend(node: &Node, value: usize) -> Option<(usize, Var)> {
    let plain =
        matches!(&node.op, Op::Arithmetic(Arithmetic { kind: ArithmeticKind::Add, masked: None }));
    match node.inputs[..] {
        [a, b] if plain && a.index() == value => Some((1, b)),
        [a, b] if plain && b.index() == value => Some((0, a)),
        _ => None,
    }
}

/// The nodes of the longest chain that a product begins.
fn grow(graph: &Graph, schedule: &Schedule, product: usize) -> Vec<usize> {
    let mut chain = vec![product];
    let node = &graph.nodes()[product];
    let Op::Einsum(op) = &node.op else { return chain };
    let here = node.shape.axes.as_slice();
    let columns = columns(op);
    let (mut last, mut activated) = (product, false);
    while let Some(at) = schedule.only_reader(last) {
        let between = &graph.nodes()[last + 1..at];
        if between.iter().any(|node| !node.op.is_source()) {
            break;
        }
        let node = &graph.nodes()[at];
        match addend(node, last) {
            Some((1, other))
                if last == product
                    && is_parameter(graph.node(other))
                    && graph.shape(other).axes[..] == here[here.len() - columns..] =>
            {
                chain.push(at);
            }
            Some((_, other)) if graph.shape(other).axes[..] == *here => {
                chain.push(at);
                break;
            }
            None if !activated && matches!(node.op, Op::Activation(_)) => {
                activated = true;
                chain.push(at);
            }
            _ => break,
        }
        last = at;
    }
    chain
}

/// Whether a node is a product by a parameter, so that a chain begins with it.
pub(super) fn begins(call: &NodeCall<'_, f32>) -> bool {
    matches!(&call.node.op, Op::Einsum(op) if matrix(op).is_some())
        && matches!(call.operands[..], [_, Operand::Parameter(_) | Operand::Weight(_)])
}

/// Executes a chain as one kernel.
pub(super) fn apply<M: Metering>(
    group: &[NodeCall<'_, f32>],
    out: &mut [f32],
) -> Result<(), OpError> {
    let unknown = || OpError::Kernel("these nodes have no kernel together".into());
    let [first, links @ ..] = group else { return Err(unknown()) };
    let Op::Einsum(op) = &first.node.op else { return Err(unknown()) };
    let mut meters = GemmMeters::all(M::of(first.row, Part::Contraction));
    let mut epilogue = Epilogue { bias: None, activation: None, residual: None };
    for link in links {
        let meter = M::of(link.row, Part::Pointwise);
        let mut operands = link.operands.iter().enumerate();
        let outside = operands.find_map(|(at, operand)| Some((at, operand.value()?)));
        match (&link.node.op, outside) {
            (Op::Activation(function), None) => {
                epilogue.activation = Some(*function);
                meters.activation = meter;
            }
            // What is added along the columns has fewer axes than what is added element by element.
            (Op::Arithmetic(_), Some((at, Value::Real(addend)))) => {
                link.reads.all(at, addend.len());
                if addend.shape().len() < first.output.len() {
                    (epilogue.bias, meters.bias) = (Some(addend.data()), meter);
                } else {
                    (epilogue.residual, meters.residual) = (Some(addend.data()), meter);
                }
            }
            _ => return Err(unknown()),
        }
    }
    match first.operands.get(1) {
        Some(Operand::Weight(weight)) => {
            let rows = first.operands[0].value().ok_or(OpError::Operand(0))?;
            let inputs = [rows];
            let call: Call<'_, f32> = first.on(&inputs);
            let [matrix] = weight.matrices() else { return Err(unknown()) };
            call.reads.all(1, weight.len());
            let rows = Rows::new(op, &call)?;
            kernels::gemm_with(&rows.by(matrix), &epilogue, out, &meters).map_err(refused)?;
        }
        _ => {
            let inputs = first.inputs()?;
            let call = first.on(&inputs);
            let product = Product::new(op, &call)?;
            kernels::gemm_with(&product.problem(), &epilogue, out, &meters).map_err(refused)?;
        }
    }
    // What is between the nodes is never written.
    for (at, call) in group.iter().enumerate() {
        call.record_bytes(if at + 1 == group.len() { out.len() } else { 0 });
    }
    Ok(())
}
