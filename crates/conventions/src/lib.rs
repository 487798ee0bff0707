//! How tools count operations, as data; what each of them says of a graph, and why two differ.
//!
//! A graph is read as the calls of the framework a tool watches: [`Units`] are its modules and
//! functions with their sizes, as the [`Dialect`] that the model is written in calls them. A [`Convention`]
//! is a file of rules over such calls, or of weights over the ledger's classes. [`Explanation`] puts
//! two of them side by side, share by share, until nothing is left of their difference.
//!
//! ```
//! # mod opledger {
//! #     pub use {opledger_conventions as conventions, opledger_dims::*, opledger_ir::{self as ir, *}};
//! # }
//! use opledger::conventions::{Tally, Units, convention, dialect, explain};
//! use opledger::ir::{LinearFacts, ModuleClass, ops::Source};
//! use opledger::{Binding, Graph};
//!
//! let mut g = Graph::new();
//! let x = g.input("x", ["b", "n", "c"])?;
//! let linear = g.scope("fc").module(ModuleClass::Linear(LinearFacts::default()));
//! let w = g.enter(&linear).param("weight", Source::weight("c"), ["f", "c"])?;
//! g.enter(&linear).einsum("b n c, f c -> b n f", x, w)?;
//! let sizes = Binding::from_iter([("b", 2), ("n", 3), ("c", 4), ("f", 5)]);
//!
//! let units = Units::new(&g, &sizes, &dialect("torch.nn")?)?;
//! let [fvcore, torchinfo] = [convention("fvcore", &[])?, convention("torchinfo", &[])?];
//! assert_eq!(Tally::new(&fvcore, &units)?.total(), 120.into()); // b·n·c·f multiply-accumulates
//! assert_eq!(Tally::new(&torchinfo, &units)?.total(), 40.into()); // parameters times b
//! let explanation = explain(&fvcore, &torchinfo, &units)?;
//! assert_eq!(explanation.unaccounted(), 0.into());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod call;
mod convention;
mod dialect;
mod error;
mod explain;
pub mod framework;
mod names;
mod share;
mod tally;
mod units;

pub use call::{Call, Manner};
pub use convention::{Bug, Convention, Counting, Rule, convention, convention_names, conventions};
pub use dialect::{
    ActivationManner, Dialect, DropoutPlace, Dropouts, ExpertsManner, LinearManner, PoolerManner,
    SavedManner, WindowManner, dialect, dialect_names,
};
pub use error::ConventionError;
pub use explain::{Explanation, Line, explain, explain_tallies};
pub use names::ModuleNames;
pub use share::Share;
pub use tally::{Entry, Tally};
pub use units::{
    Observation, ObservedCall, ObservedModule, ObservedPart, ProductPart, Saved, SavedBy,
    SavedOptions, StepNode, StepUnits, Unit, Units, saved,
};
