//! The weights beside a configuration.

use std::path::Path;

use opledger_account::Model;
use opledger_dims::Binding;
use opledger_interp::{Feeds, available_memory};
use opledger_weights::{Checkpoint, escaped};

use crate::failure::Failure;
use crate::notes::note;

/// The directory of a model's configuration, when it holds weights.
pub(crate) fn beside(model: &Model) -> Option<&Path> {
    let files = ["model.safetensors", "model.safetensors.index.json"];
    model.directory().filter(|folder| files.iter().any(|file| folder.join(file).exists()))
}

/// Reads every parameter of a model at a complete binding from a folder. What is noteworthy is told
/// beside the result.
pub(crate) fn load(
    folder: &Path,
    model: &Model,
    binding: &Binding,
    feeds: Feeds,
) -> Result<Feeds, Failure> {
    let checkpoint = Checkpoint::open(folder)?;
    let available = available_memory();
    let loaded =
        checkpoint.load(model.graph(), binding, &model.recorded().names, available.as_ref())?;
    for (path, count) in &loaded.non_finite {
        note(&format!("{} has {count} elements that are infinite or no numbers", escaped(path)));
    }
    Ok(loaded.tensors.into_iter().fold(feeds, |feeds, (path, value)| feeds.with(&path, value)))
}
