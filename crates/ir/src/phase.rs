//! What a node is done for in a training step.

use std::fmt;

/// The part of a training step that a node belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// The model itself, which is all there is where nothing is trained.
    #[default]
    Forward,
    /// What is made of the results to be made smaller.
    Loss,
    /// Gradients.
    Backward,
    /// What the forward pass had and did not keep, made again for the gradients.
    Recomputation,
    /// What the optimiser does.
    Update,
}

impl Phase {
    /// All of them, in the order of a step.
    pub const ALL: [Phase; 5] =
        [Phase::Forward, Phase::Loss, Phase::Backward, Phase::Recomputation, Phase::Update];
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Phase::Forward => "forward",
            Phase::Loss => "loss",
            Phase::Backward => "backward",
            Phase::Recomputation => "recomputation",
            Phase::Update => "update",
        })
    }
}
