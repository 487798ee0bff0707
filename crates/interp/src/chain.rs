//! Chains of nodes that one kernel can run: a product by a weight, and what follows it.

use opledger_ir::ops::{Activation, Arithmetic, ArithmeticKind, Einsum, Source};
use opledger_ir::{Graph, Node, Op, Var};

/// A product by a weight, with the bias, activation and residual that follow it, each result of
/// which nothing else reads. Between its nodes stand sources only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    /// The einsum.
    pub(crate) product: usize,
    /// The addition of a parameter along the columns, and the parameter.
    pub(crate) bias: Option<(usize, Var)>,
    /// The activation function.
    pub(crate) activation: Option<usize>,
    /// The addition of a value of the same shape, and the value.
    pub(crate) residual: Option<(usize, Var)>,
    /// The last of these nodes.
    pub(crate) last: usize,
}

impl Chain {
    /// Its nodes, in order.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = usize> {
        let bias = self.bias.map(|(at, _)| at);
        let residual = self.residual.map(|(at, _)| at);
        [Some(self.product), bias, self.activation, residual].into_iter().flatten()
    }
}

/// All chains of a graph, each as long as it can be.
pub(crate) fn chains(graph: &Graph) -> Vec<Chain> {
    let readers = readers(graph);
    let products = graph.nodes().iter().enumerate().filter(|(_, node)| by_weight(graph, node));
    products.map(|(at, _)| grow(graph, &readers, at)).collect()
}

/// For each value, the node that alone reads it.
fn readers(graph: &Graph) -> Vec<Option<usize>> {
    let mut readers = vec![None; graph.nodes().len()];
    let mut uses = vec![0; graph.nodes().len()];
    for (at, node) in graph.nodes().iter().enumerate() {
        for input in &node.inputs {
            readers[input.index()] = Some(at);
            uses[input.index()] += 1;
        }
    }
    let results = graph.outputs().iter().map(|(_, var)| *var);
    for kept in results.chain(graph.loops().iter().map(|l| l.result)) {
        uses[kept.index()] += 1;
    }
    readers.iter().zip(uses).map(|(reader, uses)| reader.filter(|_| uses == 1)).collect()
}

fn is_parameter(node: &Node) -> bool {
    matches!(node.op, Op::Source(Source::Param { .. }))
}

/// Whether a node is a product whose second operand is a parameter and whose result has the axes of
/// the first operand before those of the second.
fn by_weight(graph: &Graph, node: &Node) -> bool {
    let Op::Einsum(op) = &node.op else { return false };
    let weight = node.inputs.get(1).is_some_and(|var| is_parameter(graph.node(*var)));
    let columns = columns(op);
    let rows = op.out.len() - columns;
    weight
        && op.masked.is_none()
        && columns > 0
        && rows > 0
        && op.out[..rows].iter().all(|name| op.lhs.contains(name) && !op.rhs.contains(name))
        && op.out[rows..].iter().all(|name| op.rhs.contains(name) && !op.lhs.contains(name))
}

/// How many axes of a result come from the second operand.
fn columns(op: &Einsum) -> usize {
    op.out.iter().filter(|name| op.rhs.contains(name)).count()
}

/// The operation that adds, with the operand beside `value`.
fn addend(node: &Node, value: Var) -> Option<(usize, Var)> {
    let plain =
        matches!(&node.op, Op::Arithmetic(Arithmetic { kind: ArithmeticKind::Add, masked: None }));
    match node.inputs[..] {
        [a, b] if plain && a == value => Some((1, b)),
        [a, b] if plain && b == value => Some((0, a)),
        _ => None,
    }
}

fn grow(graph: &Graph, readers: &[Option<usize>], product: usize) -> Chain {
    let mut chain = Chain { product, bias: None, activation: None, residual: None, last: product };
    let Op::Einsum(op) = &graph.nodes()[product].op else { return chain };
    let columns = columns(op);
    while let Some(at) = readers[chain.last] {
        let between = &graph.nodes()[chain.last + 1..at];
        if between.iter().any(|node| !node.op.is_source()) {
            break;
        }
        let node = &graph.nodes()[at];
        let here = graph.nodes()[product].shape.axes.as_slice();
        let value = node.inputs.iter().find(|var| var.index() == chain.last).copied();
        let Some(value) = value else { break };
        match addend(node, value) {
            Some((1, other))
                if chain.last == product
                    && is_parameter(graph.node(other))
                    && graph.shape(other).axes[..] == here[here.len() - columns..] =>
            {
                chain.bias = Some((at, other));
            }
            Some((_, other)) if graph.shape(other).axes[..] == *here => {
                chain.residual = Some((at, other));
                chain.last = at;
                break;
            }
            None if chain.activation.is_none() && matches!(node.op, Op::Activation(_)) => {
                chain.activation = Some(at);
            }
            _ => break,
        }
        chain.last = at;
    }
    chain
}

/// The activation of a chain.
pub(crate) fn activation(graph: &Graph, chain: &Chain) -> Option<Activation> {
    match graph.nodes()[chain.activation?].op {
        Op::Activation(function) => Some(function),
        _ => None,
    }
}
