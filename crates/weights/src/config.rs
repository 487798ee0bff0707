//! The configuration beside weights.

use std::path::{Path, PathBuf};

use opledger_models::{Config, ConfigError};

use crate::files::{display, read_bounded};
use crate::limits::MAX_CONFIG;

/// The file of a folder that says what its model is.
pub const CONFIG: &str = "config.json";
/// The file of a folder that says how its model generates.
pub const GENERATION: &str = "generation_config.json";

/// Why a file gave no configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigFileError {
    /// The file could not be read.
    #[error("`{}` could not be read: {problem}", display(path))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        problem: String,
    },
    /// The file is no configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// Reads a configuration from a file; of a folder, from its `config.json`.
///
/// # Errors
/// When it cannot be read, is too long, or is no JSON object with distinct keys.
pub fn read_config(path: &Path) -> Result<Config, ConfigFileError> {
    let path = &if path.is_dir() { path.join(CONFIG) } else { path.to_owned() };
    let unreadable =
        |problem: String| ConfigFileError::Unreadable { path: path.to_owned(), problem };
    let bytes = read_bounded(path, MAX_CONFIG).map_err(unreadable)?;
    Ok(Config::parse(&format!("`{}`", display(path)), &bytes)?)
}
