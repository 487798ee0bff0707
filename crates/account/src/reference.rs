//! What a text names: a layer of the grammar, a published model, a configuration, or a directory
//! with one.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use opledger_dims::nearest;
use opledger_models::layer::{self, kinds};
use opledger_models::{Config, ConfigError, Request, preset};

use crate::AccountError;

/// What a text names; it becomes a graph for a [`Request`].
#[derive(Clone, Debug)]
pub enum ModelReference {
    /// A layer of the grammar, which is the same for every request.
    Layer(Box<opledger_models::ModelGraph>),
    /// A configuration: of a published model, of a file, or of a directory that may hold weights.
    Config {
        /// What it says.
        config: Config,
        /// The directory, when one was named.
        directory: Option<PathBuf>,
    },
}

impl FromStr for ModelReference {
    type Err = AccountError;

    /// Finds what a text names: the kind of a layer first, then a published model by its name, in small
    /// letters or capitals, then a path, then a published model by the name it is published under. A
    /// folder that is called as a model or a layer is named by a path with a separator, `./gpt2`.
    fn from_str(text: &str) -> Result<Self, AccountError> {
        let kind = text.split(':').next().unwrap_or_default().trim();
        if kinds().iter().any(|known| known.name == kind) {
            return Ok(ModelReference::Layer(Box::new(layer::parse(text)?)));
        }
        if !text.contains(std::path::is_separator)
            && let Ok(preset) = preset(text)
        {
            return Ok(ModelReference::Config { config: preset.config(), directory: None });
        }
        #[cfg(feature = "files")]
        if let Some(reference) = ModelReference::of_path(Path::new(text))? {
            return Ok(reference);
        }
        if text.contains(':') {
            return Ok(ModelReference::Layer(Box::new(layer::parse(text)?)));
        }
        match preset(text) {
            Ok(preset) => Ok(ModelReference::Config { config: preset.config(), directory: None }),
            Err(ConfigError::Unknown { name, nearest: model }) => {
                let nearest = nearest(&name, kinds().iter().map(|kind| kind.name)).or(model);
                Err(ConfigError::Unknown { name, nearest }.into())
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl ModelReference {
    /// The configuration of a file or of a directory; none where no file has this path.
    #[cfg(feature = "files")]
    fn of_path(path: &Path) -> Result<Option<ModelReference>, AccountError> {
        if !path.exists() && path.extension().is_none_or(|e| e != "json") {
            return Ok(None);
        }
        let config = opledger_weights::read_config(path)?;
        let directory = path.is_dir().then(|| path.to_owned());
        Ok(Some(ModelReference::Config { config, directory }))
    }

    /// The model, recorded as a request asks; `name` is what it is called.
    ///
    /// # Errors
    /// When the configuration cannot be built, or does not support what is asked.
    pub fn record(
        &self,
        name: &str,
        request: &Request,
    ) -> Result<opledger_models::ModelGraph, AccountError> {
        match self {
            ModelReference::Layer(model) => Ok((**model).clone()),
            ModelReference::Config { config, .. } => Ok(config.model(name, request)?),
        }
    }

    /// Whether it is a whole model, of which there is one item unless a number is given.
    pub fn is_whole_model(&self) -> bool {
        matches!(self, ModelReference::Config { .. })
    }

    /// The directory of the configuration, when one was named.
    pub fn directory(&self) -> Option<&Path> {
        match self {
            ModelReference::Config { directory, .. } => directory.as_deref(),
            ModelReference::Layer(_) => None,
        }
    }
}
