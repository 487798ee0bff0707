//! Of which kind of layer a node is and at which module it is told, by what its layer said of it.

use opledger_ir::{Graph, ModuleClass, Node, Op, Role};

/// A kind of layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum LayerKind {
    Linear,
    AttentionMaps,
    BetweenTokens,
    Recurrence,
    Convolution,
    Norm,
    Embedding,
    Other,
}

impl LayerKind {
    pub(crate) const ALL: [LayerKind; 8] = [
        LayerKind::Linear,
        LayerKind::AttentionMaps,
        LayerKind::BetweenTokens,
        LayerKind::Recurrence,
        LayerKind::Convolution,
        LayerKind::Norm,
        LayerKind::Embedding,
        LayerKind::Other,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            LayerKind::Linear => "linear maps outside attention",
            LayerKind::AttentionMaps => "linear maps of attention",
            LayerKind::BetweenTokens => "attention between tokens",
            LayerKind::Recurrence => "recurrence",
            LayerKind::Convolution => "convolutions",
            LayerKind::Norm => "norms",
            LayerKind::Embedding => "embeddings",
            LayerKind::Other => "everything else",
        }
    }
}

/// The kind of a node.
pub(crate) fn kind(graph: &Graph, node: &Node) -> LayerKind {
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
        return LayerKind::BetweenTokens;
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
    let embedding = |class: &ModuleClass| {
        matches!(class, ModuleClass::Embedding | ModuleClass::Positions | ModuleClass::Distances)
    };
    match () {
        () if classes().any(norm) => LayerKind::Norm,
        () if classes().any(convolution) => LayerKind::Convolution,
        () if classes().any(linear) && classes().any(attention) => LayerKind::AttentionMaps,
        () if classes().any(linear) || classes().any(experts) => LayerKind::Linear,
        () if classes().any(|class| matches!(class, ModuleClass::Recurrence(_))) => {
            LayerKind::Recurrence
        }
        () if classes().any(embedding) => LayerKind::Embedding,
        () => LayerKind::Other,
    }
}

/// Where a node is told: at the module that holds its parameters, or by itself.
pub(crate) fn place(graph: &Graph, node: &Node) -> String {
    match graph.modules_around(node).next() {
        Some((_, module)) if is_leaf(&module.class) => module.path.clone(),
        _ => node.path.clone(),
    }
}

/// Whether a module is one row.
fn is_leaf(class: &ModuleClass) -> bool {
    match class {
        ModuleClass::Linear(_)
        | ModuleClass::FusedLinear(_)
        | ModuleClass::Convolution
        | ModuleClass::CausalConvolution
        | ModuleClass::Recurrence(_)
        | ModuleClass::Embedding
        | ModuleClass::Positions
        | ModuleClass::Distances
        | ModuleClass::LayerNorm
        | ModuleClass::RmsNorm
        | ModuleClass::GroupNorm
        | ModuleClass::Router
        | ModuleClass::Experts => true,
        ModuleClass::Model(_)
        | ModuleClass::Dropout
        | ModuleClass::MultiheadAttention
        | ModuleClass::Attention
        | ModuleClass::WindowAttention
        | ModuleClass::AttentionCore
        | ModuleClass::EncoderLayer
        | ModuleClass::DecoderLayer
        | ModuleClass::SharedExpert
        | ModuleClass::Pooler => false,
    }
}
