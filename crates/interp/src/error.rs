//! Why a run did not happen or did not finish, or has no such result.

use opledger_dims::Integer;
use opledger_ir::{BindingError, Kind, Node, OpError, Operation};

/// Why a run did not happen or did not finish, or has no such result.
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
    /// The graph does not go on from a cache.
    #[error("this graph cannot generate step by step: it lacks {missing}; record it with a cache")]
    NoSession {
        /// What it lacks.
        missing: &'static str,
    },
    /// A result was asked for that the graph does not give.
    #[error("there is no result `{name}`; the results are {known}")]
    OutputUnknown {
        /// The name given.
        name: String,
        /// The names there are.
        known: String,
    },
    /// A result was asked for as what it is not.
    #[error("result `{name}` holds {}", match found {
        Kind::Real => "reals; ask for them with `output`",
        Kind::Whole => "whole numbers; ask for them with `whole_numbers`",
    })]
    OutputKind {
        /// The name given.
        name: String,
        /// What the result holds.
        found: Kind,
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

impl RunError {
    /// What went wrong with a node before it was executed.
    pub(crate) fn of(node: &Node, problem: OpError) -> Self {
        RunError::Op {
            path: node.path.clone(),
            op: node.op.name(),
            operands: node.shape.to_string(),
            problem,
        }
    }
}
