//! Experiments with orders of tokens that somebody asks for.

/// What experiments with orders of tokens are made on, where somebody says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnExperiment {
    /// How many tokens.
    pub tokens: Option<usize>,
    /// How wide they are.
    pub width: Option<usize>,
    /// How many heads attend.
    pub heads: Option<usize>,
    /// The seed of tokens and weights.
    pub seed: Option<u64>,
}

impl OwnExperiment {
    /// Whether anything is said.
    pub fn is_any(&self) -> bool {
        *self != OwnExperiment::default()
    }
}

/// How far something moved in an experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct MovedOutput {
    /// What, and how.
    pub name: String,
    /// How far, the greatest difference of an element.
    pub moved: f64,
}
