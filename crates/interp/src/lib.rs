//! Interpreters of a graph.
//!
//! A [`Prepared`] run owns a graph with its sizes and tensors, and drives any [`Interpreter`] over it:
//! it orders the work, repeats bodies, frees dead values, fills the [`Ledger`] and wraps errors.
//! [`Fast`] executes the kernels, [`Oracle`] the textbook references on a scalar that counts itself. A
//! [`Session`] is a prepared run that keeps keys and values from step to step. [`prove`] holds both
//! interpreters against the derived cost, node by node.

mod available;
mod driver;
mod error;
mod fast;
mod feeds;
mod interpreter;
mod ledger;
mod memory;
mod oracle;
mod prepared;
mod program;
mod proof;
mod run;
mod scan;
mod schedule;
mod session;
mod tensors;
#[cfg(test)]
mod tests;
mod theorem;
mod weight;

pub use available::available_memory;
pub use error::RunError;
pub use fast::{Fast, Metering};
pub use feeds::Feeds;
pub use interpreter::{Interpreter, NodeCall, Observer, Operand, Quiet, in_turn};
pub use ledger::{Ledger, Row, RowCounts, Substituted};
pub use memory::Peak;
pub use opledger_kernels::{
    BlockType, Blocks, Elements, KernelError, Substitution, WeightType, bf16, f16,
};
pub use oracle::Oracle;
pub use prepared::Prepared;
pub use program::Instance;
pub use proof::{Proof, prove};
pub use run::Run;
pub use schedule::Schedule;
pub use session::Session;
pub use tensors::{Fed, Tensors, mask_sizes};
pub use theorem::{Formulas, Mismatch, Theorem, compare};
pub use weight::{Weight, WeightLayout, WeightWriter};
