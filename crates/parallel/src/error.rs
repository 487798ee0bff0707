//! Why a graph cannot be cut.

use opledger_dims::{EvalError, Integer, Poly};
use opledger_ir::OpError;

/// Why a graph cannot be cut among ranks.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PartitionError {
    /// Fewer than two ranks.
    #[error("{ranks} ranks are no cut: give at least 2")]
    Ranks {
        /// How many.
        ranks: u64,
    },
    /// Nothing that this cut could be made in.
    #[error("{problem}")]
    Nothing {
        /// What is missing.
        problem: String,
    },
    /// A value that two axes of a mesh cut at the same place.
    #[error("two ways cut the same axis of `{path}`; ask for one of them")]
    Twice {
        /// What makes it.
        path: String,
    },
    /// A size that the ranks do not divide.
    #[error("{ranks} ranks do not divide {size} {what} ({formula}, of `{path}`)")]
    Uneven {
        /// How many ranks.
        ranks: u64,
        /// The size.
        size: Integer,
        /// What it counts.
        what: String,
        /// The size as a formula.
        formula: Poly,
        /// Where it stands.
        path: String,
    },
    /// A size without a value.
    #[error(transparent)]
    Size(#[from] EvalError),
    /// A source without a tensor.
    #[error("`{path}` has no tensor")]
    Unfed {
        /// The source.
        path: String,
    },
    /// A value that no node before has made.
    #[error("at `{path}` the value {value} is not there")]
    Missing {
        /// Where it is read.
        path: String,
        /// The value.
        value: String,
    },
    /// An operation that failed on a rank.
    #[error("at `{path}`, rank {rank}: {problem}")]
    Op {
        /// Where.
        path: String,
        /// Which rank.
        rank: usize,
        /// Why.
        problem: OpError,
    },
}
