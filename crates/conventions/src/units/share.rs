//! What the ledger's counts of a node are for.

use std::collections::BTreeMap;

use opledger_dims::{Counts, EvalError, Integer};
use opledger_ir::ops::ArithmeticKind;
use opledger_ir::{Cost, LeftOut, ModuleClass, Op, Part, Role, Var};

use super::lowering::Lowering;
use crate::Share;

/// What the ledger counts, or why that is not known.
pub(super) type ShareCounts = Result<Counts<Integer>, EvalError>;

/// Adds counts to those of a share.
pub(super) fn add<K: Ord>(counts: &mut BTreeMap<K, ShareCounts>, share: K, more: ShareCounts) {
    let sum = counts.entry(share).or_insert_with(|| Ok(Counts::zero()));
    match (sum.as_mut(), more) {
        (Ok(known), Ok(more)) => *known += &more,
        (Ok(_), Err(unknown)) => *sum = Err(unknown),
        (Err(_), _) => {}
    }
}

impl Lowering<'_> {
    /// What the ledger counts for nodes, all their runs together, by share; which size is free where one
    /// is, as what only the contents of a mask say.
    pub(super) fn counts(&self, nodes: &[Var]) -> BTreeMap<Share, ShareCounts> {
        let mut counts = BTreeMap::new();
        for var in nodes {
            self.add_cost(&mut counts, *var, &self.graph.node_cost(self.graph.node(*var)));
        }
        counts
    }

    /// What the ledger leaves out of nodes, by share and reason.
    pub(super) fn left_out(&self, nodes: &[Var]) -> BTreeMap<(Share, LeftOut), ShareCounts> {
        let mut counts = BTreeMap::new();
        for var in nodes {
            let Some((why, more)) = self.graph.left_out(self.graph.node(*var)) else { continue };
            let mut own = BTreeMap::new();
            self.add_cost(&mut own, *var, &more);
            own.into_iter().for_each(|(share, more)| add(&mut counts, (share, why), more));
        }
        counts
    }

    fn add_cost(&self, counts: &mut BTreeMap<Share, ShareCounts>, var: Var, cost: &Cost) {
        for (part, cost) in cost.iter() {
            add(counts, self.share(var, part), cost.at(self.binding));
        }
    }

    pub(super) fn share(&self, var: Var, part: Part) -> Share {
        let node = self.graph.node(var);
        let share = of_part(part).or_else(|| node.role.and_then(of_role));
        let share = share.unwrap_or_else(|| match &node.op {
            Op::Einsum(_) if self.is_linear(var) => Share::LinearProducts,
            op => of_operation(op),
        });
        let convolution = { self.within(node, ModuleClass::Convolution) }
            .or_else(|| self.within(node, ModuleClass::CausalConvolution));
        match (share, convolution) {
            (Share::LinearProducts, Some(_)) => Share::ConvolutionProducts,
            (Share::LinearBias, Some(_)) => Share::ConvolutionBias,
            _ => share,
        }
    }
}

/// What a part of an operation is for, where it is for one thing only.
pub(super) fn of_part(part: Part) -> Option<Share> {
    match part {
        Part::Scores | Part::Context => Some(Share::AttentionProducts),
        Part::Scale => Some(Share::AttentionScale),
        Part::SoftCap => Some(Share::AttentionCap),
        Part::Bias => Some(Share::AttentionBias),
        Part::Softmax => Some(Share::Softmax),
        Part::Contraction | Part::Pointwise | Part::Widening | Part::Unforeseen => None,
    }
}

/// What a node of a role is for.
fn of_role(role: Role) -> Option<Share> {
    match role {
        Role::Bias => Some(Share::LinearBias),
        Role::Residual | Role::PositionSum => Some(Share::Addition),
        Role::ScoreScale => Some(Share::AttentionScale),
        Role::ScoreBias => Some(Share::AttentionBias),
        Role::Scores | Role::Context => Some(Share::AttentionProducts),
        Role::AttentionWeights => Some(Share::Softmax),
        Role::Similarity => Some(Share::Products),
        Role::Routing => Some(Share::Routing),
        Role::Combine => Some(Share::Combination),
        Role::Gate | Role::LayerScale | Role::NormedWeight => Some(Share::Multiplication),
        Role::PixelNorm => Some(Share::Normalisation),
        // Inputs, which count nothing.
        Role::WholeParameter
        | Role::Tokens
        | Role::Segments
        | Role::Positions
        | Role::Image
        | Role::Sound
        | Role::Visible
        | Role::Placed
        | Role::Cache(_) => None,
    }
}

/// What an operation without a role is for.
pub(super) fn of_operation(op: &Op) -> Share {
    match op {
        Op::Einsum(_) => Share::Products,
        Op::Convolution(_) | Op::ConvolutionTransposed(_) => Share::ConvolutionProducts,
        Op::Experts(_) | Op::ExpertsOuter(_) => Share::LinearProducts,
        Op::Attention(_) | Op::AttentionGradient(_) => Share::AttentionProducts,
        Op::Softmax(_) => Share::Softmax,
        Op::Scale(_) => Share::Multiplication,
        Op::Arithmetic(op) => match op.kind {
            ArithmeticKind::Add | ArithmeticKind::Sub => Share::Addition,
            ArithmeticKind::Mul => Share::Multiplication,
            ArithmeticKind::Div
            | ArithmeticKind::Max
            | ArithmeticKind::Min
            | ArithmeticKind::Pow => Share::Other,
        },
        Op::Norm(_) => Share::Normalisation,
        Op::Activation(_) => Share::Activation,
        Op::RotaryAngles(_) | Op::Rope(_) => Share::Rotation,
        Op::Embedding(_) => Share::Embedding,
        Op::TopK(_)
        | Op::Pointwise(_)
        | Op::Pool(_)
        | Op::Cumulative(_)
        | Op::ArgMax(_)
        | Op::Compare(_)
        | Op::AdaptivePool(_)
        | Op::Scatter(_)
        | Op::Select(_)
        | Op::ToReal(_)
        | Op::ToWhole(_)
        | Op::Sort(_)
        | Op::Fill(_)
        | Op::Reduce(_)
        | Op::Dropout(_)
        | Op::Source(_)
        | Op::Table(_)
        | Op::TokenPositions(_)
        | Op::IndexMap(_)
        | Op::Sinusoid(_)
        | Op::Rearrange(_)
        | Op::Concat(_)
        | Op::Gather(_)
        | Op::GatherNd(_)
        | Op::Carry(_)
        | Op::Exit(_) => Share::Other,
    }
}
