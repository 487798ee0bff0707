//! Published tables and formulas about the cost of Transformers, recomputed from graphs.
//!
//! A table is a file: its source, what is assumed of it, its rows as printed, and how a cell is
//! computed. Nothing is executed here: quantities are folds of graphs, which the theorem ties to
//! execution, or the source's own arithmetic, and each result says which of the two it is.
//!
//! ```
//! let table = opledger_audit::audit("bert")?;
//! assert!(table.cells.iter().all(|cell| cell.agrees()));
//! # Ok::<(), opledger_audit::AuditError>(())
//! ```

mod error;
mod number;
mod quantity;
mod reading;
mod search;
mod settle;
mod table;
#[cfg(test)]
mod tests;

pub use error::AuditError;
pub use table::{Table, audit, table, table_names};
