//! To which values a gradient flows in training.

use opledger_ir::ops::Source;
use opledger_ir::{Graph, Op};

/// Which iterations of repetitions are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Iteration {
    First,
    Later,
}

/// For each node, whether a gradient flows to it: in the first iteration of the repetitions around
/// it, or in later ones.
pub(super) fn gradients(graph: &Graph, iteration: Iteration) -> Vec<bool> {
    let mut reached: Vec<bool> = Vec::new();
    for node in graph.nodes() {
        let operands =
            || node.inputs.iter().any(|v| reached.get(v.index()).copied().unwrap_or(false));
        let here = match &node.op {
            Op::Source(Source::Param { trainable, .. }) => *trainable,
            // What a repeated body with parameters gave back.
            Op::Carry(_) => iteration == Iteration::Later || operands(),
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
            | Op::Activation(_)
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
            | Op::Exit(_) => operands(),
        };
        reached.push(here);
    }
    reached
}
