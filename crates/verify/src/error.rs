//! Why claims could not be tried.

use opledger_dims::{EvalError, did_you_mean};
use opledger_interp::RunError;
use opledger_ir::GraphError;
use opledger_nn::NnError;
use opledger_tensor::LayoutError;

/// What a verdict stands on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Evidence {
    /// A run at the claim's own size.
    #[error("a run at the claim's own size")]
    Run,
    /// A layer with heads.
    #[error("a layer with heads")]
    Heads,
    /// A parameter in memory.
    #[error("the parameter `{0}`")]
    Parameter(String),
    /// Results on which kernels and oracle agree.
    #[error("results on which kernels and oracle agree")]
    Agreement,
}

/// Why claims could not be tried.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// No claim has this name.
    #[error("there is no claim `{id}`{}; the claims are {known}", did_you_mean(.nearest))]
    Unknown {
        /// The name asked for.
        id: String,
        /// The most similar name, if any is close.
        nearest: Option<&'static str>,
        /// The names there are.
        known: String,
    },
    /// Other tokens for a claim that has no such experiment.
    #[error(
        "--set and --seed are about the experiments of {known}, and {other} has none; name one of these"
    )]
    NoExperiment {
        /// The claim.
        other: &'static str,
        /// Those that have.
        known: String,
    },
    /// Tokens that no experiment is made with.
    #[error("an experiment takes n from 3 to {}, c from 1 to {}, and h that divides c; not n={tokens}, c={width}, h={heads}", most[0], most[1])]
    Experiment {
        /// How many.
        tokens: usize,
        /// How wide.
        width: usize,
        /// With how many heads.
        heads: usize,
        /// The most tokens, and the widest.
        most: [usize; 2],
    },
    /// A run failed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A graph could not be recorded.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A layer could not be made.
    #[error(transparent)]
    Layer(#[from] NnError),
    /// A claim's own formula does not parse.
    #[error(transparent)]
    Formula(#[from] opledger_dims::ParseError),
    /// A formula has no value at a size.
    #[error(transparent)]
    Size(#[from] EvalError),
    /// Data that do not fill their shape.
    #[error(transparent)]
    Tensor(#[from] LayoutError),
    /// A claim's evidence is not there.
    #[error("evidence is missing: {0}")]
    Missing(Evidence),
}
