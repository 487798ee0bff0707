//! Readings of a graph that add up over its nodes: cost, bytes, parameters.

use opledger_dims::Poly;

use crate::graph::{Graph, Node};
use crate::op::{Op, Operation};
use crate::ops::Source;
use crate::{Cost, PartCounts, Shape};

impl Graph {
    /// How often a node runs: the product of the repetitions around it.
    pub fn multiplicity(&self, node: &Node) -> Poly {
        let mut product = Poly::one();
        let mut at = node.repeat;
        while let Some(id) = at {
            let repeat = self.repetition(id);
            product = product * &repeat.count;
            at = repeat.parent;
        }
        product
    }

    /// The cost of one node, all its runs together.
    pub fn node_cost(&self, node: &Node) -> Cost {
        let once = node.op.cost(&self.operand_shapes(node), &node.shape);
        let times = self.multiplicity(node);
        PartCounts(once.0.iter().map(|(p, c)| (*p, c.map(|c| self.fold(&(c * &times))))).collect())
    }

    /// The cost of the whole graph, derived: the sum over its nodes.
    pub fn cost(&self) -> Cost {
        let mut sum = Cost::free();
        for node in self.nodes() {
            for (part, counts) in &self.node_cost(node).0 {
                sum.add(*part, counts);
            }
        }
        sum
    }

    /// Bytes a node reads and writes, all its runs together: each operand once, the result once, no
    /// reuse between nodes. Views and sources move nothing.
    pub fn node_bytes(&self, node: &Node) -> (Poly, Poly) {
        if node.op.is_view() {
            return (Poly::zero(), Poly::zero());
        }
        let times = self.multiplicity(node);
        let bytes = |s: &Shape| self.fold(&(s.bits() * &times).ratio(1, 8));
        (node.inputs.iter().map(|v| bytes(self.shape(*v))).sum(), bytes(&node.shape))
    }

    /// Parameters: all of them, and those that are trainable.
    pub fn parameters(&self) -> (Poly, Poly) {
        let (mut total, mut trainable) = (Poly::zero(), Poly::zero());
        for node in self.nodes() {
            if let Op::Source(Source::Param { trainable: is_trainable, .. }) = &node.op {
                let size = self.fold(&(node.shape.elements() * self.multiplicity(node)));
                total += &size;
                if *is_trainable {
                    trainable += size;
                }
            }
        }
        (total, trainable)
    }

    /// The parameters that a token meets: of experts, those of the ones that run.
    pub fn active_parameters(&self) -> Poly {
        let mut active = self.parameters().0;
        for node in self.nodes().iter().filter(|node| matches!(node.op, Op::Experts(_))) {
            let shapes = self.operand_shapes(node);
            let (ids, weight) = (shapes[1], shapes[2]);
            let (Some(chosen), Some(all)) = (ids.axes.last(), weight.axes.first()) else {
                continue;
            };
            let expert = weight.axes[1..].iter().map(|a| &a.size).product::<Poly>();
            let idle = (&all.size - &chosen.size) * expert * self.multiplicity(node);
            active = active - self.fold(&idle);
        }
        active
    }
}
