//! What MODEL names: a layer of the grammar, a preset, a configuration, or a directory with one.

use std::path::{Path, PathBuf};

use opledger_models::layer::{self, kinds};
use opledger_models::{Config, ConfigError, Model, Request, nearest, preset, preset_names};
use opledger_weights::read_config;

use crate::checkpoint;
use crate::failure::Failure;

/// A model that was found.
pub(crate) enum Found {
    /// A layer of the grammar.
    Layer(Box<Model>),
    /// A configuration, and the directory that may hold its weights.
    Config { config: Config, directory: Option<PathBuf> },
}

/// Finds what a text names.
pub(crate) fn find(text: &str) -> Result<Found, Failure> {
    let path = Path::new(text);
    let kind = text.split(':').next().unwrap_or_default().trim();
    if kinds().iter().any(|known| known.name == kind) {
        return Ok(Found::Layer(Box::new(layer::parse(text)?)));
    }
    if path.is_dir() {
        let config = read_config(path)?;
        return Ok(Found::Config { config, directory: Some(path.to_owned()) });
    }
    if path.exists() || path.extension().is_some_and(|e| e == "json") {
        let config = read_config(path)?;
        return Ok(Found::Config { config, directory: None });
    }
    if text.contains(':') {
        return Ok(Found::Layer(Box::new(layer::parse(text)?)));
    }
    match preset(text) {
        Ok(preset) => Ok(Found::Config { config: preset.config(), directory: None }),
        Err(ConfigError::Unknown { name, .. }) => {
            let known = kinds().iter().map(|kind| kind.name).chain(preset_names());
            let nearest = nearest(&name, known);
            Err(ConfigError::Unknown { name, nearest }.into())
        }
        Err(error) => Err(error.into()),
    }
}

impl Found {
    /// The model.
    pub(crate) fn model(&self, name: &str, request: &Request) -> Result<Model, Failure> {
        match self {
            Found::Layer(model) => Ok((**model).clone()),
            Found::Config { config, .. } => Ok(config.model(name, request)?),
        }
    }

    /// Whether there is one item unless a number is given.
    pub(crate) fn is_one_item(&self) -> bool {
        matches!(self, Found::Config { .. })
    }

    /// The directory of the configuration, when one was named.
    pub(crate) fn directory(&self) -> Option<&Path> {
        match self {
            Found::Config { directory, .. } => directory.as_deref(),
            Found::Layer(_) => None,
        }
    }

    /// The directory of the configuration, when it holds weights.
    pub(crate) fn weights(&self) -> Option<&Path> {
        self.directory().filter(|folder| checkpoint::is_there(folder))
    }
}
