//! What a training step costs as formulas in its sizes, those of the last batch where it is of several.

use opledger_dims::Poly;
use opledger_ir::ops::Source;
use opledger_ir::{Kind, Node, Op, Operation, Phase};

use super::{Training, kept_for_gradients};

impl Training<'_> {
    /// Twice the multiplications in contractions, and all scalar operations, of a part of the step; nothing where
    /// it has none.
    pub(crate) fn phase_formulas(&self, phase: Phase) -> Option<[Poly; 2]> {
        let (mut any, mut sums) = (false, [Poly::zero(), Poly::zero()]);
        // A cost is a formula of many terms, and most nodes are of another part.
        let may_be = |node: &&Node| node.phase == phase || !node.op.facts().again.is_empty();
        for node in self.graph.nodes().iter().filter(may_be) {
            let Some(cost) = self.graph.phase_cost(node, phase) else { continue };
            any |= !node.op.is_source();
            sums[0] += cost.matmul_flops();
            sums[1] += cost.flops();
        }
        any.then_some(sums)
    }

    /// Elements of the parameters that have a gradient.
    pub(crate) fn trained_formula(&self) -> Poly {
        self.gradients.iter().map(|own| self.elements(self.graph.node(own.parameter))).sum()
    }

    /// Elements of the optimiser's state.
    pub(crate) fn state_formula(&self) -> Poly {
        let own = self.updated.iter().map(|of| self.graph.node(of.source));
        let own = own.filter(|node| !matches!(node.op, Op::Source(Source::Param { .. })));
        own.map(|node| self.elements(node)).sum()
    }

    fn elements(&self, node: &Node) -> Poly {
        node.shape.elements() * self.graph.multiplicity(node)
    }

    /// What is kept for gradients: elements of the type that is asked for, and bytes of all else.
    pub(crate) fn kept_formulas(&self) -> [Poly; 2] {
        let (mut elements, mut bytes) = (Poly::zero(), Poly::zero());
        for var in kept_for_gradients(&self.graph) {
            let own = self.graph.shape(var);
            match own.elem.kind() {
                Kind::Real => elements += own.elements(),
                Kind::Whole => {
                    bytes += own.elements() * Poly::from((own.elem.bits() / 8) as i64);
                }
            }
        }
        [elements, bytes]
    }
}
