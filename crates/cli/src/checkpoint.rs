//! The weights beside a configuration.

use std::path::Path;

use opledger_dims::Binding;
use opledger_interp::{Feeds, available_memory};
use opledger_ir::Graph;
use opledger_models::Names;
use opledger_weights::{Checkpoint, escaped};

use crate::failure::Failure;
use crate::subject::note;

/// Whether a folder holds weights.
pub(crate) fn is_there(folder: &Path) -> bool {
    ["model.safetensors", "model.safetensors.index.json"].iter().any(|f| folder.join(f).exists())
}

/// Reads every parameter of a graph at a complete binding from a folder. What is noteworthy is told
/// beside the result.
pub(crate) fn load(
    folder: &Path,
    (graph, names): (&Graph, &Names),
    binding: &Binding,
    feeds: Feeds,
) -> Result<Feeds, Failure> {
    let checkpoint = Checkpoint::open(folder)?;
    let available = available_memory();
    let loaded = checkpoint.load(graph, binding, names, available.as_ref())?;
    for (path, count) in &loaded.non_finite {
        note(&format!("{} has {count} elements that are infinite or no numbers", escaped(path)));
    }
    Ok(loaded.tensors.into_iter().fold(feeds, |feeds, (path, value)| feeds.with(&path, value)))
}
