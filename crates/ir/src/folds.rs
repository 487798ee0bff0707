//! Readings of a graph that add up over its nodes: cost and bytes.

use opledger_dims::{Poly, Quantity};

use crate::graph::{Graph, Node};
use crate::operation::Operation;
use crate::{Cost, Shape, Var};

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
        once.map(|counts| counts.map(|count| self.fold(&(count * &times))))
    }

    /// The cost of the whole graph, derived: the sum over its nodes.
    pub fn cost(&self) -> Cost {
        let mut sum = Cost::free();
        for node in self.nodes() {
            sum.add_all(&self.node_cost(node));
        }
        sum
    }

    /// Bytes a node reads and writes, all its runs together: each operand once, the result once, no
    /// reuse between nodes. Of a table the rows looked up are read, each look-up counting; of experts
    /// those that the choices meet at most. What a buffer holds that the result continues is left alone.
    /// Views and sources move nothing.
    pub fn node_bytes(&self, node: &Node) -> (Poly, Poly) {
        let facts = node.op.facts();
        if facts.view {
            return (Poly::zero(), Poly::zero());
        }
        let read = self.operand_bytes(node).into_iter().sum();
        let written = node.results().map(|shape| self.bytes(node, shape.elements(), shape));
        let kept = facts.grown.map(|operand| self.shape(node.inputs[operand]));
        let kept = kept.map_or_else(Poly::zero, |shape| self.bytes(node, shape.elements(), shape));
        (read, written.sum::<Poly>() - kept)
    }

    /// Bytes that a node reads of each operand, as [`Graph::node_bytes`].
    pub fn operand_bytes(&self, node: &Node) -> Vec<Poly> {
        let facts = node.op.facts();
        let of = |(operand, var): (usize, &Var)| match facts.view {
            true => Poly::zero(),
            false => {
                let shape = self.shape(*var);
                self.bytes(node, facts.elements_read(operand, shape, &node.shape), shape)
            }
        };
        node.inputs.iter().enumerate().map(of).collect()
    }

    /// The bytes of so many elements of a kind, in all runs of a node.
    fn bytes(&self, node: &Node, elements: Poly, of: &Shape) -> Poly {
        let (bytes, block) = of.elem.ratio();
        self.fold(&(elements * self.multiplicity(node)).ratio(bytes.into(), block.into()))
    }

    /// The value whose buffer a value is: itself, or what it is a view of.
    pub fn buffer_of(&self, var: Var) -> Var {
        let mut var = var;
        while let (true, Some(of)) = (self.node(var).op.facts().view, self.node(var).inputs.first())
        {
            var = *of;
        }
        var
    }

    /// Parameters: all of them, and those that are trainable.
    pub fn parameters(&self) -> (Poly, Poly) {
        (self.quantity(Quantity::Parameters), self.quantity(Quantity::TrainableParameters))
    }
}
