//! Why something could not be measured or compared.

use opledger_dims::Integer;
use opledger_interp::RunError;
use opledger_kernels::KernelError;

/// Why something could not be measured or compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MeasureError {
    /// A kernel refused its operands, or the instruction set asked for is not to be had.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// A layer could not be run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A point would not fit in memory.
    #[error(
        "{point} needs {needed} bytes of memory, {available} are available; give smaller sizes"
    )]
    Memory {
        /// The point.
        point: String,
        /// Bytes of its operands and result.
        needed: Integer,
        /// Bytes the machine can give.
        available: Integer,
    },
    /// A size that must be at least one is zero.
    #[error("{size} is 0 in {point}; give it at least 1")]
    Zero {
        /// The point.
        point: String,
        /// The size.
        size: &'static str,
    },
    /// The heads of keys do not divide those of queries.
    #[error("kv = {kv} does not divide h = {heads}; give --set kv=<a divisor of {heads}>")]
    Heads {
        /// Heads of the queries.
        heads: usize,
        /// Heads of the keys and values.
        kv: usize,
    },
    /// The number of threads is not to be had.
    #[error("a pool of {threads} threads could not be started: {problem}")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// What went wrong.
        problem: String,
    },
    /// A text is no saved bench.
    #[error("it holds no saved bench ({problem}); write one with --save")]
    Saved {
        /// What is wrong.
        problem: String,
    },
}
