//! Why a run did not happen or did not finish.

use opledger_dims::Integer;
use opledger_ir::{BindingError, OpError};

/// Why a run did not happen or did not finish.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// The sizes do not fit the graph.
    #[error(transparent)]
    Binding(#[from] BindingError),
    /// The run would not fit in memory.
    #[error("the run needs {needed} bytes of memory, {available} are available")]
    Memory {
        /// Bytes of parameters, inputs and live values at the peak.
        needed: Integer,
        /// Bytes the machine can give.
        available: Integer,
    },
    /// A tensor was fed whose sizes are not the graph's.
    #[error("tensor `{path}` has shape {found:?} where {expected:?} is needed ({axes})")]
    FeedShape {
        /// The path of the source.
        path: String,
        /// The axes with their names.
        axes: String,
        /// The sizes needed.
        expected: Vec<usize>,
        /// The sizes given.
        found: Vec<usize>,
    },
    /// A tensor was fed whose elements are of the wrong kind or out of range.
    #[error("tensor `{path}`: {problem}")]
    FeedElements {
        /// The path of the source.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// A tensor was fed that the graph does not take.
    #[error("tensor `{path}` is no input or parameter of this model; it takes {known}")]
    FeedUnknown {
        /// The path given.
        path: String,
        /// The paths the graph takes.
        known: String,
    },
    /// An operation failed.
    #[error("{path} ({op}) on {operands}: {problem}")]
    Op {
        /// The node.
        path: String,
        /// The operation.
        op: &'static str,
        /// The operands' axes and sizes.
        operands: String,
        /// What went wrong.
        problem: OpError,
    },
    /// The number of threads is not to be had.
    #[error("a pool of {threads} threads could not be started: {problem}")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// What went wrong.
        problem: String,
    },
    /// The instruction set asked for is not to be had.
    #[error("{0}")]
    Isa(String),
}
