//! How tools count operations, as data; what each of them says of a graph, and why two differ.
//!
//! A graph is read as the calls of the framework a tool watches: [`Units`] are its modules and
//! functions with their sizes, as a [`Written`] way of writing the model calls them. A [`Convention`]
//! is a file of rules over such calls, or of weights over the ledger's classes. [`Explanation`] puts
//! two of them side by side, share by share, until nothing is left of their difference.

mod call;
mod convention;
mod error;
mod explain;
mod share;
mod tally;
mod units;
mod written;

pub use call::{Call, Manner};
pub use convention::{Bug, Convention, Counting, Rule, convention, convention_names, conventions};
pub use error::ConventionError;
pub use explain::{Explanation, Line, explain};
pub use share::Share;
pub use tally::{Entry, Tally};
pub use units::{Unit, Units};
pub use written::{Written, written, written_names};
