//! What a node is counted under where the work is drawn in shares, by what its layer said of it.

use opledger_ir::{Graph, ModuleClass, Node, Op, Role};

/// The names of the kinds, in the order in which they are stacked.
pub(super) const NAMES: [&str; 7] = [
    "linear maps outside attention",
    "linear maps of attention",
    "attention between tokens",
    "recurrence",
    "convolutions",
    "norms",
    "everything else",
];

/// The kind of a node, by its place among [`NAMES`].
pub(super) fn kind(graph: &Graph, node: &Node) -> usize {
    let between = match node.role {
        Some(
            Role::Scores
            | Role::Context
            | Role::AttentionWeights
            | Role::ScoreScale
            | Role::ScoreBias,
        ) => true,
        None
        | Some(
            Role::Tokens
            | Role::Segments
            | Role::WholeParameter
            | Role::Positions
            | Role::Image
            | Role::Sound
            | Role::Visible
            | Role::Cache(_)
            | Role::Bias
            | Role::Residual
            | Role::PositionSum
            | Role::Similarity
            | Role::Placed
            | Role::Routing
            | Role::Combine
            | Role::Gate
            | Role::NormedWeight
            | Role::PixelNorm
            | Role::LayerScale,
        ) => matches!(node.op, Op::Attention(_)),
    };
    if between {
        return 2;
    }
    let classes = || graph.modules_around(node).map(|(_, module)| &module.class);
    let linear =
        |class: &ModuleClass| matches!(class, ModuleClass::Linear(_) | ModuleClass::FusedLinear(_));
    let attention = |class: &ModuleClass| {
        matches!(
            class,
            ModuleClass::Attention
                | ModuleClass::MultiheadAttention
                | ModuleClass::WindowAttention
                | ModuleClass::AttentionCore
        )
    };
    let norm = |class: &ModuleClass| {
        matches!(class, ModuleClass::LayerNorm | ModuleClass::RmsNorm | ModuleClass::GroupNorm)
    };
    let convolution = |class: &ModuleClass| {
        matches!(class, ModuleClass::Convolution | ModuleClass::CausalConvolution)
    };
    let experts = |class: &ModuleClass| matches!(class, ModuleClass::Experts | ModuleClass::Router);
    match () {
        () if classes().any(norm) => 5,
        () if classes().any(convolution) => 4,
        () if classes().any(linear) && classes().any(attention) => 1,
        () if classes().any(linear) || classes().any(experts) => 0,
        () if classes().any(|class| matches!(class, ModuleClass::Recurrence(_))) => 3,
        () => 6,
    }
}
