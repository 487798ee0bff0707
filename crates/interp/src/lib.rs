//! Interpreters of a graph.
//!
//! [`run`] drives any [`Interpreter`] over a graph: it orders the work, repeats bodies, frees dead
//! values, fills the [`Ledger`] and wraps errors. [`Oracle`] executes the textbook references on a
//! scalar that counts itself; [`Fast`] executes the kernels. [`prove`] holds the two against the
//! derived cost, node by node.

mod chain;
mod driver;
mod error;
mod fast;
mod feeds;
mod ledger;
mod memory;
mod oracle;
mod plan;
mod session;
#[cfg(test)]
mod tests;
mod theorem;

pub use driver::{ChainCall, Interpreter, Observer, Quiet, Run, prepare, run, run_stored};
pub use error::RunError;
pub use fast::{Counting, Fast};
pub use feeds::{Feeds, Store};
pub use ledger::{Ledger, Row, RowCounts};
pub use memory::{Reached, available_memory, computed_bytes, peak_bytes};
pub use oracle::Oracle;
pub use session::Session;
pub use theorem::{Mismatch, Theorem, compare, prove};
