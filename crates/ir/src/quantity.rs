//! Quantities of a graph: of the whole, of a node, of a selection of nodes and parts.

use opledger_dims::{Poly, Quantity};

use crate::ops::Source;
use crate::{Cost, Graph, ModuleClass, Node, Op, Operation, Part, Phase, Role};

/// Nodes of a graph and the parts of them that a quantity is taken of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Selection<'a> {
    /// Segments of paths of which a node's path has one; every node where there are none.
    pub within: &'a [&'a str],
    /// The part of operations; every part where there is none.
    pub part: Option<Part>,
    /// The part of a training step; all of it where there is none.
    pub phase: Option<Phase>,
}

impl<'a> Selection<'a> {
    /// The whole graph.
    pub const ALL: Selection<'static> = Selection { within: &[], part: None, phase: None };

    /// The nodes below any of these path segments.
    pub const fn within(segments: &'a [&'a str]) -> Self {
        Selection { within: segments, part: None, phase: None }
    }

    /// One part of the operations that have it.
    pub const fn part(part: Part) -> Self {
        Selection { within: &[], part: Some(part), phase: None }
    }

    /// One part of a training step.
    pub const fn phase(phase: Phase) -> Self {
        Selection { within: &[], part: None, phase: Some(phase) }
    }

    /// Whether it has the node of a path.
    pub fn holds(&self, path: &str) -> bool {
        self.within.is_empty() || path.split('.').any(|segment| self.within.contains(&segment))
    }

    /// Whether it has a part of operations.
    pub fn holds_part(&self, part: Part) -> bool {
        self.part.is_none_or(|own| own == part)
    }
}

impl Graph {
    /// A quantity of the whole graph, as a polynomial in its sizes.
    ///
    /// ```
    /// # mod opledger { pub use {opledger_dims::*, opledger_ir::{self as ir, *}}; }
    /// use opledger::{Graph, Quantity, ir::ops::Source};
    ///
    /// let mut g = Graph::new();
    /// let x = g.input("x", ["b", "n", "c"])?;
    /// let w = g.param("fc.weight", Source::weight("c"), ["f", "c"])?;
    /// g.einsum("b n c, f c -> b n f", x, w)?;
    /// assert_eq!(g.quantity(Quantity::MatmulFlops).to_string(), "2·b·n·f·c");
    /// assert_eq!(g.quantity(Quantity::Parameters).to_string(), "f·c");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn quantity(&self, quantity: Quantity) -> Poly {
        self.quantity_of(quantity, &Selection::ALL)
    }

    /// A quantity of some nodes and parts; a part has scalar operations only.
    pub fn quantity_of(&self, quantity: Quantity, selection: &Selection<'_>) -> Poly {
        let nodes = self.nodes().iter().filter(|node| selection.holds(&node.path));
        let of_node = |node: &Node| match quantity.counts_operations() {
            true => {
                let cost = match selection.phase {
                    Some(phase) => self.phase_cost(node, phase),
                    None => Some(self.node_cost(node)),
                };
                let Some(cost) = cost else { return Poly::zero() };
                let parts = cost.iter().filter(|(part, _)| selection.holds_part(*part));
                parts.map(|(part, c)| (part, c.clone())).collect::<Cost>().quantity(quantity)
            }
            false if selection.part.is_some() => Poly::zero(),
            false if selection.phase.is_some_and(|phase| phase != node.phase) => Poly::zero(),
            false => self.node_quantity(node, quantity),
        };
        self.fold(&nodes.map(of_node).sum())
    }

    /// What a node costs in a part of a training step, all its runs together; none where it has no part in
    /// it.
    pub fn phase_cost(&self, node: &Node, phase: Phase) -> Option<Cost> {
        let cost = self.node_cost(node);
        if node.op.facts().again.is_empty() {
            return (node.phase == phase).then_some(cost);
        }
        let own = cost.iter().filter(|(part, _)| node.phase_of(*part) == phase);
        let own: Cost = own.map(|(part, counts)| (part, counts.clone())).collect();
        let any = own.parts().next().is_some();
        any.then_some(own)
    }

    /// A quantity of one node, all its runs together.
    pub fn node_quantity(&self, node: &Node, quantity: Quantity) -> Poly {
        let elements = || self.fold(&(node.shape.elements() * self.multiplicity(node)));
        match (quantity, &node.op) {
            (Quantity::Parameters | Quantity::ActiveParameters, _) if node.is_parameter() => {
                elements()
            }
            (Quantity::TrainableParameters, Op::Source(Source::Param { trainable, .. })) => {
                if *trainable {
                    elements()
                } else {
                    Poly::zero()
                }
            }
            (Quantity::ActiveParameters, Op::Experts(_)) => -self.idle_parameters(node, [2, 1]),
            (Quantity::ActiveParameters, Op::GatherNd(_)) if self.within_experts(node) => {
                -self.idle_parameters(node, [0, 1])
            }
            (Quantity::Cache, _) if matches!(node.role, Some(Role::Cache(_))) => {
                let held = { self.caches().iter() }
                    .find(|cache| std::ptr::eq(self.node(cache.past), node))
                    .map_or_else(|| node.shape.elements(), |cache| cache.held.clone());
                self.fold(&(held * self.multiplicity(node)))
            }
            (
                Quantity::Parameters
                | Quantity::TrainableParameters
                | Quantity::ActiveParameters
                | Quantity::Cache,
                _,
            ) => Poly::zero(),
            (Quantity::BytesRead, _) => self.node_bytes(node).0,
            (Quantity::BytesWritten, _) => self.node_bytes(node).1,
            (
                Quantity::Macs
                | Quantity::Flops
                | Quantity::MatmulFlops
                | Quantity::Multiplications
                | Quantity::Class(_),
                _,
            ) => self.node_cost(node).quantity(quantity),
        }
    }

    /// Multiplications inside contractions.
    pub fn macs(&self) -> Poly {
        self.quantity(Quantity::Macs)
    }

    /// All scalar operations, each worth one.
    pub fn flops(&self) -> Poly {
        self.quantity(Quantity::Flops)
    }

    /// Twice the macs.
    pub fn matmul_flops(&self) -> Poly {
        self.quantity(Quantity::MatmulFlops)
    }

    /// Whether a node looks up what experts have of their own, such as biases.
    fn within_experts(&self, node: &Node) -> bool {
        self.modules_around(node).any(|(_, module)| module.class == ModuleClass::Experts)
    }

    /// Parameters of experts, one operand, that a token does not meet by its choices, another.
    fn idle_parameters(&self, node: &Node, [of_all, choices]: [usize; 2]) -> Poly {
        let shapes = self.operand_shapes(node);
        let (ids, weight) = (shapes[choices], shapes[of_all]);
        let (Some(chosen), Some(all)) = (ids.axes.last(), weight.axes.first()) else {
            return Poly::zero();
        };
        let expert = weight.axes[1..].iter().map(|a| &a.size).product::<Poly>();
        self.fold(&((&all.size - &chosen.size) * expert * self.multiplicity(node)))
    }
}
