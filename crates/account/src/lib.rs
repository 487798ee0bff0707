//! What a model costs, answered without running it.
//!
//! A text names a [`Model`]: a layer such as `mha:c=512,h=8`, a published model such as
//! `llama-3.1-8b`, a `config.json` or a directory that holds one. At sizes it is a [`SizedModel`],
//! which has exact numbers: any [`Quantity`] by its name, an account of every node, memory, and what
//! the tools of a framework would print. Without sizes the same questions have formulas for answers.
//!
//! ```
//! use opledger::{Elem, Model, Quantity};
//!
//! let model = Model::open("llama-3.1-8b")?;
//! assert_eq!(model.parameters().to_string(), "8030261248");
//!
//! let prompt = model.at([("n", 4096)])?; // of one item, unless `b` says otherwise
//! assert_eq!(prompt.quantity(Quantity::Macs)?.to_string(), "32938641063936");
//! assert_eq!(prompt.convention("fvcore")?.to_string(), "30739080937472");
//! let memory = prompt.memory(Elem::Bf16)?;
//! assert_eq!(memory.parameters, (2 * 8_030_261_248_u64).into());
//! # Ok::<(), opledger::AccountError>(())
//! ```

mod accepted;
mod assertion;
mod bounds;
mod by_convention;
mod change;
mod devices;
mod difference;
mod emitted;
mod error;
mod fit;
mod generation;
mod grid;
#[cfg(feature = "files")]
mod hub;
mod kinds;
mod lengths;
mod memory;
mod model;
mod nodes;
mod page;
mod parallel;
mod quantised;
mod questions;
mod reference;
mod roof;
mod size_list;
mod sized;
mod steps;
mod stored;
#[cfg(test)]
mod tests;
mod traffic;
mod training;
mod typed;

pub use assertion::{Assertion, AssertionError};
pub use by_convention::ConventionCounter;
pub use change::ChangeAssertion;
pub use devices::{Figure, KnownDevice, devices};
pub use emitted::Language;
pub use error::AccountError;
pub use fit::MemoryBudget;
pub use grid::{MOST_POINTS, SizedGrid, Sweep};
pub use memory::{CacheSize, CachedElements};
pub use model::Model;
pub use opledger_dims::Quantity;
pub use page::page;
pub use parallel::Cutting;
pub use quantised::QuantisedWeights;
pub use questions::Questions;
pub use reference::{ModelReference, ProgramOptions};
pub use roof::DeviceRoof;
pub use size_list::{SizeList, Stride};
pub use sized::SizedModel;
pub use training::{Attending, StepBytes, StepCounter, Training, TrainingOptions, TrainingSizes};
