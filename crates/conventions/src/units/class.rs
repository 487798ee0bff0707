//! The class of the module that a unit is.

use opledger_ir::{LinearFacts, ModuleClass, Node, Op, Role, Var};

use super::activation;
use super::lowering::{Lowering, Owner};
use crate::dialect::{ActivationManner, AttentionModule, LinearManner, NormManner, PoolerManner};

/// A norm of a library's own class.
const OWN_NORM: &str = "custom RMSNorm";

impl Lowering<'_> {
    /// The class of the module that is called, if one is.
    pub(super) fn class(&self, owner: Owner) -> Option<&'static str> {
        match owner {
            Owner::Multihead(_) => Some("MultiheadAttention"),
            Owner::Window(_) => Some("ShiftedWindowAttention"),
            Owner::Core(_) => None,
            Owner::Fused(_, facts) => Some(self.stored_class(facts)),
            Owner::Node(var) => self.class_at(var),
        }
    }

    fn class_at(&self, var: Var) -> Option<&'static str> {
        let node = self.graph.node(var);
        if let Op::Activation(function) = &node.op {
            let is_module = self.activation(node, *function) == ActivationManner::Module;
            return is_module.then(|| activation::class(*function));
        }
        let (_, module) = self.around(node).next()?;
        let is_norm = matches!(node.op, Op::Norm(_));
        match module.class {
            ModuleClass::Linear(facts) => {
                self.is_linear(var).then(|| self.linear_class(node, facts))
            }
            ModuleClass::LayerNorm if self.dialect.layer_norm_subclass => {
                is_norm.then(|| match self.is_own_family(node) {
                    true => "LayerNorm subclass",
                    false => "LayerNorm",
                })
            }
            ModuleClass::LayerNorm
                if self.dialect.pixel_norm_subclass && node.role == Some(Role::PixelNorm) =>
            {
                is_norm.then_some("LayerNorm subclass")
            }
            ModuleClass::LayerNorm if self.has_own_layer_norm(node) => is_norm.then_some(OWN_NORM),
            ModuleClass::LayerNorm => is_norm.then_some("LayerNorm"),
            ModuleClass::RmsNorm => is_norm.then_some(match self.dialect.rms_norm {
                NormManner::Module => "RMSNorm",
                NormManner::Spelled => OWN_NORM,
            }),
            ModuleClass::GroupNorm => is_norm.then_some("GroupNorm"),
            ModuleClass::Embedding => matches!(node.op, Op::Embedding(_)).then_some("Embedding"),
            ModuleClass::Positions => self.is_rows(node).then_some("Embedding"),
            ModuleClass::Dropout => matches!(node.op, Op::Dropout(_)).then_some("Dropout"),
            ModuleClass::Attention => {
                let is_core = matches!(node.op, Op::Attention(_));
                (is_core && self.in_timm_attention(node)).then_some("Attention")
            }
            ModuleClass::WindowAttention | ModuleClass::AttentionCore => {
                let is_table =
                    self.dialect.displacement_module && matches!(node.op, Op::Embedding(_));
                let softmax = self.is_softmax_module(node).then_some("Softmax");
                is_table.then_some("RelativePositionBias").or(softmax)
            }
            ModuleClass::Pooler => {
                let pooler = self.pooler(node).filter(|_| matches!(node.op, Op::Reduce(_)));
                pooler.map(PoolerManner::class)
            }
            ModuleClass::Convolution => {
                let Op::Convolution(op) = &node.op else { return None };
                // By a weight that is made of other parameters.
                if !node.inputs.get(1).is_some_and(|weight| self.is_parameter(*weight)) {
                    return (op.strides.len() == 1).then_some("ParametrizedConv1d");
                }
                ["Conv1d", "Conv2d", "Conv3d"].get(op.strides.len().wrapping_sub(1)).copied()
            }
            // Their parts are modules and functions of their own.
            ModuleClass::Model(_)
            | ModuleClass::FusedLinear(_)
            | ModuleClass::MultiheadAttention
            | ModuleClass::EncoderLayer
            | ModuleClass::DecoderLayer
            | ModuleClass::Router
            | ModuleClass::Distances
            | ModuleClass::Experts
            | ModuleClass::CausalConvolution
            | ModuleClass::Recurrence(_)
            | ModuleClass::SharedExpert => None,
        }
    }

    /// The class of a linear map by how it is stored.
    fn stored_class(&self, facts: LinearFacts) -> &'static str {
        match self.dialect.conv1d && facts.inputs_first {
            true => "Conv1D",
            false => "Linear",
        }
    }

    fn linear_class(&self, node: &Node, facts: LinearFacts) -> &'static str {
        if self.within(node, ModuleClass::Convolution).is_some() {
            // As many dimensions as its weight has behind those of channels.
            let weight = node.inputs.get(1).map(|weight| self.graph.shape(*weight).axes.len());
            if weight == Some(5) { "Conv3d" } else { "Conv2d" }
        } else if self.is_router(node) {
            "Router"
        } else if self.in_timm_attention(node) {
            "Linear in Attention"
        } else {
            self.stored_class(facts)
        }
    }

    /// Whether a node lies in a router that is a module with a weight, and not a linear module.
    pub(super) fn is_router(&self, node: &Node) -> bool {
        let functional = self.dialect.router == LinearManner::Function;
        let family = self.family(node);
        let own = |family| self.dialect.module_routers.iter().any(|own| own == family);
        functional && !family.is_some_and(own) && self.within(node, ModuleClass::Router).is_some()
    }

    /// Whether a node is of a mixture that is given the tokens of all items in a row.
    pub(super) fn has_listed_tokens(&self, node: &Node) -> bool {
        let functional = self.dialect.router == LinearManner::Function;
        let within = |class| self.within(node, class).is_some();
        functional && (within(ModuleClass::Router) || within(ModuleClass::SharedExpert))
    }

    /// Whether a node takes rows of a table by position.
    pub(super) fn is_rows(&self, node: &Node) -> bool {
        matches!(node.op, Op::Rearrange(_)) && node.inputs.iter().all(|v| self.is_parameter(*v))
    }

    /// The module of the library that is the mean over tokens at a node.
    pub(super) fn pooler(&self, node: &Node) -> Option<PoolerManner> {
        self.within(node, ModuleClass::Pooler)?;
        self.family(node).and_then(|family| self.dialect.poolers.get(family)).copied()
    }

    /// Whether softmax is a module of its own, as in `timm`'s window attention.
    pub(super) fn is_softmax_module(&self, node: &Node) -> bool {
        self.windows(node).is_some_and(|windows| windows.softmax_module)
            && matches!(node.op, Op::Softmax(_) | Op::Attention(_))
    }

    /// Whether a node lies in an attention module of `timm`'s Vision Transformers.
    fn in_timm_attention(&self, node: &Node) -> bool {
        self.dialect.attention == AttentionModule::Timm
            && self.within(node, ModuleClass::Attention).is_some()
            && (self.is_own_family(node) || self.family(node).is_none())
    }
}
