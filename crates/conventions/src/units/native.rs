//! Modules of torch.nn that run as one native operator where their conditions are met.

use opledger_ir::{ModuleClass, ModuleId, Op, Var};

use super::activation;
use super::lowering::{Lowering, Owner};
use crate::ConventionError;
use crate::dialect::AttentionModule;

impl Lowering<'_> {
    /// The modules around or at a unit that may run as one native operator.
    pub(super) fn native(
        &self,
        owner: Owner,
        nodes: &[Var],
    ) -> Result<Vec<&'static str>, ConventionError> {
        let mut found = Vec::new();
        let keeps_projections = match self.dialect.attention {
            AttentionModule::Multihead | AttentionModule::MultiheadInBlock => true,
            AttentionModule::Linears | AttentionModule::Timm => false,
        };
        if !keeps_projections || self.dialect.sequence_first {
            return Ok(found);
        }
        let first = nodes.first().map(|var| self.graph.node(*var));
        if let Some(layer) = first.and_then(|node| self.within(node, ModuleClass::EncoderLayer)) {
            let inside: Vec<Var> = self.inside(layer).collect();
            if self.is_fusable(&inside)? && inside.iter().all(|var| self.is_relu_or_gelu(*var)) {
                found.push("TransformerEncoderLayer");
            }
        }
        // A mask of numbers, which a causal one is, keeps the module off its native operator.
        let masked = |var: &Var| matches!(&self.graph.node(*var).op, Op::Attention(op) if !op.mask.is_none());
        let unmasked = !nodes.iter().any(masked);
        if matches!(owner, Owner::Multihead(_)) && unmasked && self.is_fusable(nodes)? {
            found.push("MultiheadAttention");
        }
        Ok(found)
    }

    /// The nodes of a module.
    pub(super) fn inside(&self, id: ModuleId) -> impl Iterator<Item = Var> {
        let lies = move |var: &Var| self.around(self.graph.node(*var)).any(|(one, _)| one == id);
        self.graph.vars().filter(lies)
    }

    /// Whether attention among nodes is of a value to itself, with biases, by an even number of heads
    /// (the conditions in `torch/nn/modules/activation.py`).
    fn is_fusable(&self, nodes: &[Var]) -> Result<bool, ConventionError> {
        let mut linear = nodes.iter().filter(|var| self.is_linear(**var));
        if !linear.all(|var| self.biases.contains_key(var)) {
            return Ok(false);
        }
        for var in nodes {
            let node = self.graph.node(*var);
            if let Op::Attention(_) = &node.op {
                let heads = node.shape.axes.iter().rev().nth(1);
                if heads.map_or(Ok(0.into()), |a| self.at(&a.size))? % 2 != 0.into() {
                    return Ok(false);
                }
            }
        }
        Ok(self.attends_to_itself(nodes))
    }

    fn is_relu_or_gelu(&self, var: Var) -> bool {
        match &self.graph.node(var).op {
            Op::Activation(function) => activation::is_native(*function),
            Op::Source(_)
            | Op::Table(_)
            | Op::Sinusoid(_)
            | Op::TokenPositions(_)
            | Op::IndexMap(_)
            | Op::RotaryAngles(_)
            | Op::Einsum(_)
            | Op::Arithmetic(_)
            | Op::Scale(_)
            | Op::Softmax(_)
            | Op::Norm(_)
            | Op::Embedding(_)
            | Op::Pointwise(_)
            | Op::Convolution(_)
            | Op::Pool(_)
            | Op::Cumulative(_)
            | Op::ArgMax(_)
            | Op::Compare(_)
            | Op::ConvolutionTransposed(_)
            | Op::AdaptivePool(_)
            | Op::Scatter(_)
            | Op::Select(_)
            | Op::ToReal(_)
            | Op::ToWhole(_)
            | Op::Sort(_)
            | Op::Fill(_)
            | Op::Rearrange(_)
            | Op::Concat(_)
            | Op::Rope(_)
            | Op::Attention(_)
            | Op::Reduce(_)
            | Op::Dropout(_)
            | Op::TopK(_)
            | Op::Gather(_)
            | Op::GatherNd(_)
            | Op::Experts(_)
            | Op::ExpertsOuter(_)
            | Op::AttentionGradient(_)
            | Op::Carry(_)
            | Op::Exit(_) => true,
        }
    }
}
