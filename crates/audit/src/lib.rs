//! Published tables and formulas about the cost of Transformers, recomputed from graphs.
//!
//! A table is a file: its source, what is assumed of it, its rows as printed, and how a cell is
//! computed. Nothing is executed here: quantities are folds of graphs, which the theorem ties to
//! execution, or the source's own arithmetic, and each result says which of the two it is.
//!
//! The first column names the rows. In the text of a model `{column}` is a row's cell; in formulas a
//! column whose cell is a whole number is a size. A cell agrees when its exact value rounds to the
//! printed digits; a reading that names an empty cell is left out.
//!
//! ```
//! # mod opledger { pub use opledger_audit as audit; }
//! use opledger::audit::PublishedTable;
//!
//! let file = r#"{
//!   "id": "mine", "title": "A feed-forward layer", "source": "a notebook", "assumes": [],
//!   "columns": ["model", "c", "ff", "params", "GFLOPs of 1,000 tokens"],
//!   "rows": [["base", 512, 2048, "2.1M", "4.2"]],
//!   "readings": [
//!     {"name": "with biases", "column": "params", "value": "params",
//!      "quantities": {"params": {"model": "ffn:c={c},ff={ff}", "of": "params"}}},
//!     {"name": "2·macs", "column": "GFLOPs of 1,000 tokens", "value": "2*macs", "over": "10^9",
//!      "quantities": {"macs": {"model": "ffn:c={c},ff={ff}", "of": "macs",
//!                              "with": {"b": "1", "n": "1000"}}}}
//!   ],
//!   "formulas": [
//!     {"name": "parameters", "printed": "2*d*f", "readings": [{"name": "with biases", "value": "params",
//!      "quantities": {"params": {"model": "ffn:c=d,ff=f", "of": "params"}}}]}
//!   ]
//! }"#;
//! let table = PublishedTable::read("mine.json", file)?.settle()?;
//! let [params, flops, formula] = &table.cells[..] else { panic!() };
//! assert!(params.agrees() && flops.agrees() && !formula.agrees());
//! assert_eq!(formula.readings[0].difference.as_deref(), Some("d + f"));
//! # Ok::<(), opledger_audit::AuditError>(())
//! ```
//!
//! `of` is one of `params`, `active-params`, `macs`, `matmul-flops`, `flops` and `cache` (elements of
//! cached keys and values); `part` restricts it to a part of operations, such as `scores`. A reading
//! with an `unknown` searches the whole sizes of that symbol that agree with what is printed.

mod error;
mod number;
mod quantity;
mod reading;
mod search;
mod settle;
mod table;
#[cfg(test)]
mod tests;

pub use error::{AuditError, TableProblem};
pub use table::{PublishedTable, audit, table, table_names};
