//! A graph lowered to the calls of a framework, as a dialect has them: what is asked of nodes, and
//! which of them are one unit.

use std::collections::BTreeMap;

use opledger_dims::{Binding, Pointwise};
use opledger_ir::ops::Source;
use opledger_ir::{
    Graph, LinearFacts, Module, ModuleClass, ModuleId, Node, Op, Projection, Role, Var,
};

use super::gradient::{Iteration, gradients};
use crate::Dialect;
use crate::dialect::{AttentionModule, Core, LinearManner, WindowManner};

/// A graph at a binding, as a dialect writes it.
pub(super) struct Lowering<'a> {
    pub(super) graph: &'a Graph,
    pub(super) binding: &'a Binding,
    pub(super) dialect: &'a Dialect,
    /// For each node, whether a gradient flows to it in training.
    gradients: Vec<bool>,
    /// The nodes that add a bias, by the products they add it to.
    pub(super) biases: BTreeMap<Var, Var>,
}

/// What the nodes of a unit have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owner {
    /// An attention that keeps its projections to itself.
    Multihead(ModuleId),
    /// Attention of which nothing but the result is asked for, where one function computes it.
    Core(ModuleId),
    /// Attention within windows that calls functions by the weights of modules that are not called.
    Window(ModuleId),
    /// A linear map that holds others.
    Fused(ModuleId, LinearFacts),
    /// A node, with the bias that is added to it.
    Node(Var),
}

impl<'a> Lowering<'a> {
    pub(super) fn new(
        graph: &'a Graph,
        binding: &'a Binding,
        dialect: &'a Dialect,
        iteration: Iteration,
    ) -> Self {
        let gradients = gradients(graph, iteration);
        let mut lowering = Lowering { graph, binding, dialect, gradients, biases: BTreeMap::new() };
        for (var, node) in graph.vars().zip(graph.nodes()) {
            if let (Some(Role::Bias), [product, ..]) = (node.role, &node.inputs[..])
                && (lowering.is_linear(*product) || lowering.is_convolution(*product))
            {
                lowering.biases.insert(*product, var);
            }
        }
        lowering
    }

    /// Whether a gradient flows to a value in training.
    pub(super) fn gradient(&self, var: Var) -> bool {
        self.gradients.get(var.index()).copied().unwrap_or(false)
    }

    pub(super) fn is_parameter(&self, var: Var) -> bool {
        matches!(self.graph.node(var).op, Op::Source(Source::Param { .. }))
    }

    /// The parameter that a value is, or moves.
    pub(super) fn parameter_behind(&self, var: Var) -> Option<Var> {
        let node = self.graph.node(var);
        // What is moved, and the parameter that a gain is one more than.
        let moved = { node.inputs.first() }
            .filter(|_| matches!(node.op, Op::Rearrange(_) | Op::Pointwise(Pointwise::Shift(_))));
        match moved {
            Some(of) => self.parameter_behind(*of),
            None => self.is_parameter(var).then_some(var),
        }
    }

    /// Whether a value is a product with a weight, the same for every row.
    pub(super) fn is_linear(&self, var: Var) -> bool {
        let node = self.graph.node(var);
        let Op::Einsum(op) = &node.op else { return false };
        let in_all = |name| op.rhs.contains(name) && op.out.contains(name);
        self.has_weight(node) && !op.lhs.iter().any(in_all)
    }

    /// Whether a value is a convolution.
    pub(super) fn is_convolution(&self, var: Var) -> bool {
        matches!(self.graph.node(var).op, Op::Convolution(_))
    }

    /// Whether an operand of a node is a parameter.
    pub(super) fn has_weight(&self, node: &Node) -> bool {
        node.inputs.iter().any(|v| self.is_parameter(*v))
    }

    /// The modules around a node, the innermost first.
    pub(super) fn around(&self, node: &'a Node) -> impl Iterator<Item = (ModuleId, &'a Module)> {
        self.graph.modules_around(node)
    }

    /// The innermost module around a node that is of a class.
    pub(super) fn within(&self, node: &'a Node, class: ModuleClass) -> Option<ModuleId> {
        self.around(node).find(|(_, module)| module.class == class).map(|(id, _)| id)
    }

    /// Which map of an attention a node belongs to.
    pub(super) fn projection(&self, node: &'a Node) -> Option<Projection> {
        self.around(node).find_map(|(_, module)| match module.class {
            ModuleClass::Linear(facts) => facts.projection,
            _ => None,
        })
    }

    /// The published family of the model around a node.
    pub(super) fn family(&self, node: &'a Node) -> Option<&'static str> {
        self.around(node).find_map(|(_, module)| match module.class {
            ModuleClass::Model(family) => Some(family),
            _ => None,
        })
    }

    /// Whether a node lies in a model of a family whose blocks the dialect has classes of its
    /// own for.
    pub(super) fn is_own_family(&self, node: &'a Node) -> bool {
        self.family(node).is_some_and(|family| self.dialect.families.iter().any(|f| f == family))
    }

    /// How the attention within windows that a node belongs to is written, where it is in another way.
    pub(super) fn windows(&self, node: &'a Node) -> Option<&'a WindowManner> {
        let windows = self.dialect.windows.as_ref()?;
        self.within(node, ModuleClass::WindowAttention).map(|_| windows)
    }

    /// What attends where a node stands.
    pub(super) fn core_at(&self, node: &'a Node) -> &'a Core {
        let own = || self.dialect.own_core.get(self.family(node)?);
        match self.windows(node) {
            Some(windows) => &windows.core,
            None => own().unwrap_or(&self.dialect.core),
        }
    }

    /// The unit that a node belongs to.
    pub(super) fn owner(&self, var: Var) -> Owner {
        let node = self.graph.node(var);
        let whole = match self.dialect.attention {
            AttentionModule::Multihead => self.within(node, ModuleClass::MultiheadAttention),
            AttentionModule::MultiheadInBlock if self.is_own_family(node) => {
                self.within(node, ModuleClass::Attention)
            }
            AttentionModule::Linears if self.dialect.multihead_in_models => self
                .within(node, ModuleClass::MultiheadAttention)
                .filter(|_| self.family(node).is_some()),
            AttentionModule::MultiheadInBlock
            | AttentionModule::Linears
            | AttentionModule::Timm => None,
        };
        let fused = |(id, module): (ModuleId, &Module)| match module.class {
            ModuleClass::FusedLinear(facts) => Some(Owner::Fused(id, facts)),
            _ => None,
        };
        let fused = || self.around(node).find_map(fused);
        let core = match self.core_at(node) {
            Core::Sdpa => self.within(node, ModuleClass::AttentionCore),
            Core::Chain { .. } => None,
        };
        let window = match self.windows(node).map(|windows| windows.projections) {
            Some(LinearManner::Function) => self.within(node, ModuleClass::WindowAttention),
            Some(LinearManner::Module) | None => None,
        };
        let whole = whole.map(Owner::Multihead).or_else(|| window.map(Owner::Window));
        let whole = whole.or_else(|| core.map(Owner::Core));
        whole.or_else(fused).unwrap_or(Owner::Node(var))
    }

    /// Where a unit of a class stands: in its module, or for what is none, at its node.
    pub(super) fn path(&self, owner: Owner, class: Option<&'static str>) -> String {
        let node = match owner {
            Owner::Multihead(id) | Owner::Window(id) | Owner::Core(id) | Owner::Fused(id, _) => {
                return self.graph.module_of(id).path.clone();
            }
            Owner::Node(var) => self.graph.node(var),
        };
        let module = self.around(node).next().map(|(_, module)| module.path.clone());
        let declared = class.is_some() && !matches!(node.op, Op::Activation(_));
        module.filter(|_| declared).unwrap_or_else(|| node.path.clone())
    }
}
