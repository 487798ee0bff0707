//! The layer grammar: `kind:key=value,key=value`.
//!
//! Sizes are whole numbers or formulas. A number becomes the binding of the symbol with the key's
//! name, so the graph stays symbolic; a formula (`ff=4*c`) takes the symbol's place; a size that is
//! not given stays a free symbol. [`kinds`] lists every kind with its keys, and is what the parser
//! itself goes by.
//!
//! ```
//! # mod opledger { pub use opledger_models as models; }
//! use opledger::models::layer::parse;
//!
//! let model = parse("mha:c=512,h=8,bias=false")?;
//! assert_eq!(model.graph.cost().macs().to_string(), "4·b·n·c² + 2·b·n²·c");
//! assert_eq!(model.binding.to_string(), "h=8, c=512");
//! # Ok::<(), opledger_models::layer::LayerError>(())
//! ```

mod attention;
mod build;
mod error;
mod keys;
mod settings;
mod stacks;
mod table;

use std::collections::BTreeMap;

use opledger_ir::{BindingError, Graph};

use crate::model::ModelGraph;
use crate::names::Names;
use settings::Settings;

pub use error::LayerError;
pub use keys::{Domain, Fit, Key};
pub use table::{Kind, kinds};

/// The longest text that is read, in characters.
const MAX_LENGTH: usize = 4096;

/// Reads a layer.
///
/// # Errors
/// What in the text has no meaning, or which sizes do not fit together.
pub fn parse(text: &str) -> Result<ModelGraph, LayerError> {
    let length = text.chars().count();
    if length > MAX_LENGTH {
        return Err(LayerError::TooLong { length, limit: MAX_LENGTH });
    }
    let text = text.trim();
    let (name, settings) = text.split_once(':').unwrap_or((text, ""));
    let kind = table::find(name.trim())?;
    let settings = Settings::read(kind.name, kind.keys, settings)?;
    let mut graph = Graph::new();
    (kind.build)(&settings, &mut graph)?;
    match graph.complete(&settings.binding) {
        Ok(_) => Ok(ModelGraph {
            conditions: Vec::new(),
            only: None,
            notes: Vec::new(),
            aliases: BTreeMap::new(),
            name: text.to_owned(),
            graph,
            binding: settings.binding,
            names: Names::default(),
            not_understood: Vec::new(),
            positions: None,
            decoder: None,
            rows: Vec::new(),
        }),
        Err(BindingError::Unknown { symbol, .. }) => {
            Err(LayerError::Unused { key: symbol.to_string(), kind: kind.name })
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
