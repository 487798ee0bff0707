//! Models by name: a layer such as `mha:c=512,h=8`, a configuration of the `transformers` library, or a
//! preset becomes a graph and the sizes it gives. And their weights, read from files.

mod config;
mod family;
pub mod layer;
mod preset;
pub mod weights;

use opledger_dims::Binding;
use opledger_ir::Graph;

pub use config::{Config, ConfigError};
pub use family::{Logits, Request, families};
pub use preset::{Preset, preset, preset_names, presets};

pub use layer::error::nearest;
use weights::Names;

/// A computation with a name, and the sizes that are settled already.
#[derive(Clone, Debug)]
pub struct Model {
    /// What it is called.
    pub name: String,
    /// The computation; sizes are symbols.
    pub graph: Graph,
    /// Sizes of some of those symbols; the others are free.
    pub binding: Binding,
    /// What its parameters are called in weight files.
    pub names: Names,
    /// Keys of its configuration that are not known, and taken to change nothing.
    pub unread_keys: Vec<String>,
}

impl Model {
    /// A model whose parameters are called in files as in the graph.
    pub(crate) fn new(name: &str, graph: Graph, binding: Binding) -> Model {
        let (names, unread_keys) = (Names::default(), Vec::new());
        Model { name: name.to_owned(), graph, binding, names, unread_keys }
    }
}
