//! Why a convention cannot be read or applied.

use opledger_dims::{EvalError, ParseError};
use opledger_ir::OpError;

/// Why a convention cannot be read or applied.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ConventionError {
    /// No such name.
    #[error("{kind} `{name}` is not known; there are: {}", known.join(", "))]
    Unknown {
        /// What was looked for.
        kind: &'static str,
        /// The name.
        name: String,
        /// All that there are.
        known: Vec<&'static str>,
    },
    /// A file is not of the form of its kind.
    #[error("{file}: {problem}")]
    Malformed {
        /// Which file.
        file: String,
        /// What is wrong.
        problem: String,
    },
    /// A formula cannot be read.
    #[error("{file}: {source}")]
    Formula {
        /// Which file.
        file: String,
        /// What is wrong.
        source: ParseError,
    },
    /// No such bug of the convention.
    #[error("{convention} has no bug `{bug}`; it has: {known}")]
    Bug {
        /// Of which convention.
        convention: String,
        /// What was asked for.
        bug: String,
        /// What there is.
        known: String,
    },
    /// A convention has no rule for a call or a class of modules, which its tool was never seen to meet.
    #[error(
        "{convention} has no rule for `{op}` at {path}, which the tool was never seen to count: ask for another convention, or for the runtime's own count, which has every operation"
    )]
    NoRule {
        /// Which convention.
        convention: String,
        /// The operator, or the class.
        op: String,
        /// Where.
        path: String,
    },
    /// A convention counts a module once for each of its names, and which these are is not known.
    #[error(
        "{convention} counts a module once for each of its names, and `{path}` has its parameters in common with `{other}`: one module under two names, or two modules that share them"
    )]
    Names {
        /// Which convention.
        convention: String,
        /// Where.
        path: String,
        /// The other name.
        other: String,
    },
    /// A rule counts by a size that a call does not have.
    #[error(
        "{convention} counts `{op}` at {path} by its `{size}`, which it was never seen to do for one of its kind"
    )]
    NoSize {
        /// Which convention.
        convention: String,
        /// The operator or the class.
        op: String,
        /// Where.
        path: String,
        /// What the rule asks for.
        size: String,
    },
    /// A convention rounds a count, which no polynomial does.
    #[error(
        "{convention} rounds what it counts for `{op}` at {path}, which no formula in sizes does: count at sizes"
    )]
    Rounded {
        /// Which convention.
        convention: String,
        /// The operator.
        op: String,
        /// Where.
        path: String,
    },
    /// A convention counts what no graph has.
    #[error(
        "{convention} counts whatever runs, and the library computes more than the operations of the model: {beside}"
    )]
    Beside {
        /// Which convention.
        convention: String,
        /// What the library computes.
        beside: String,
    },
    /// A dialect does not say which calls stand for a node.
    #[error("models written as {dialect} have no calls for `{op}` at {path}: {missing}")]
    Unwritten {
        /// Which dialect.
        dialect: String,
        /// The operation.
        op: &'static str,
        /// Where.
        path: String,
        /// What it does not say.
        missing: String,
    },
    /// What PyTorch saves of values of a type.
    #[error("what PyTorch saves of values in {elem} was never observed; of f32 and bf16 it was")]
    SavedAs {
        /// The type.
        elem: &'static str,
    },
    /// A convention that has the ledger's formula.
    #[error("{convention} counts by the ledger, whose formula is that of the graph's cost")]
    OwnFormula {
        /// Which convention.
        convention: String,
    },
    /// A framework's formula is not for a model.
    #[error("{convention} says nothing of this model ({family}): {why}")]
    NotCovered {
        /// Which framework.
        convention: String,
        /// The model's family.
        family: String,
        /// Why.
        why: String,
    },
    /// A rule cannot be evaluated.
    #[error("{convention}, {op} of {path}: {source}")]
    Rule {
        /// Which convention.
        convention: String,
        /// The operator or the module.
        op: String,
        /// Where.
        path: String,
        /// A size the rule names and the call does not have.
        source: EvalError,
    },
    /// A size is free or does not fit.
    #[error(transparent)]
    Size(#[from] EvalError),
    /// A size of the graph.
    #[error(transparent)]
    Graph(#[from] OpError),
}

impl ConventionError {
    /// Whether a convention has no number for a model, of which another may have one.
    pub fn is_refusal(&self) -> bool {
        match self {
            ConventionError::NoRule { .. }
            | ConventionError::Names { .. }
            | ConventionError::NoSize { .. }
            | ConventionError::Beside { .. }
            | ConventionError::Rounded { .. }
            | ConventionError::NotCovered { .. }
            | ConventionError::Rule { .. }
            | ConventionError::Size(EvalError::Unbound(_)) => true,
            ConventionError::Unknown { .. }
            | ConventionError::Malformed { .. }
            | ConventionError::Formula { .. }
            | ConventionError::Bug { .. }
            | ConventionError::Unwritten { .. }
            | ConventionError::OwnFormula { .. }
            | ConventionError::SavedAs { .. }
            | ConventionError::Size(EvalError::Fraction { .. })
            | ConventionError::Graph(_) => false,
        }
    }
}
