//! Claims, findings and verdicts.

use opledger_dims::{EvalError, did_you_mean};
use opledger_interp::{RunError, Theorem};
use opledger_ir::GraphError;
use opledger_nn::NnError;
use opledger_tensor::LayoutError;

use crate::bench::Bench;

/// A statement of a source.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// Its name, such as `B2`.
    pub id: &'static str,
    /// Who says so.
    pub source: &'static str,
    /// What is said, in the source's own terms.
    pub statement: &'static str,
    pub(crate) settle: fn(&mut Bench<'_>) -> Result<Finding, VerifyError>,
}

/// What execution says of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// True as stated.
    Holds,
    /// True when the source's word is read in a narrower sense, which is named.
    HoldsUnderConvention,
    /// Not true in any reading tried.
    Refuted,
}

impl Verdict {
    /// The name used in reports and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Holds => "holds",
            Verdict::HoldsUnderConvention => "holds-under-convention",
            Verdict::Refuted => "refuted",
        }
    }
}

/// The evidence on one claim.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) verdict: Verdict,
    pub(crate) convention: Option<String>,
    pub(crate) claimed: String,
    pub(crate) derived: String,
    pub(crate) measured: String,
    pub(crate) note: String,
    pub(crate) details: Vec<String>,
    /// Whether derivation and measurement agree, so that the verdict stands on both.
    pub(crate) settled: bool,
}

/// A settled claim.
#[derive(Clone, Debug)]
pub struct Settled {
    /// Its name, such as `B2`.
    pub id: &'static str,
    /// Who says so.
    pub source: &'static str,
    /// What is said.
    pub statement: String,
    /// What execution says of it.
    pub verdict: Verdict,
    /// The convention under which it holds, when it does under one only.
    pub convention: Option<String>,
    /// The formula or number the source gives.
    pub claimed: String,
    /// What the recorded graph gives.
    pub derived: String,
    /// What was counted while it ran.
    pub measured: String,
    /// What a reader should know beside.
    pub note: String,
    /// The evidence at length, line by line.
    pub details: Vec<String>,
    /// Whether derivation and measurement agree.
    pub settled: bool,
}

/// All claims asked for, and the theorem over everything that was executed for them.
#[derive(Clone, Debug)]
pub struct Report {
    /// The claims, in their order.
    pub claims: Vec<Settled>,
    /// Derived cost against both interpreters, at every node and size that was executed.
    pub theorem: Theorem,
}

impl Report {
    /// Whether every claim was settled and no count differed.
    pub fn complete(&self) -> bool {
        self.claims.iter().all(|c| c.settled) && self.theorem.holds()
    }
}

/// How claims are settled.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Leave out executions of over two thousand million operations.
    pub quick: bool,
}

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
