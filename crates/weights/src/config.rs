//! The configuration beside weights.

use std::path::{Path, PathBuf};

use opledger_models::{Config, ConfigError};

use crate::checkpoint::Checkpoint;
use crate::files::{display, read_bounded};
use crate::limits::MAX_CONFIG;

/// The file of a folder that says what its model is.
pub const CONFIG: &str = "config.json";
/// The file of a folder that says how its model generates.
pub const GENERATION: &str = "generation_config.json";

/// What a head is called that may be the table of words.
const HEAD: &str = "lm_head.weight";

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

/// Reads a configuration from a file; of a folder, from its `config.json`, and where that leaves open
/// whether there is a head, as the names of the weights beside it say.
///
/// # Errors
/// When it cannot be read, is too long, or is no JSON object with distinct keys.
pub fn read_config(path: &Path) -> Result<Config, ConfigFileError> {
    let folder = path;
    let path = &if path.is_dir() { path.join(CONFIG) } else { path.to_owned() };
    let unreadable =
        |problem: String| ConfigFileError::Unreadable { path: path.to_owned(), problem };
    let bytes = read_bounded(path, MAX_CONFIG).map_err(unreadable)?;
    let config = Config::parse(&format!("`{}`", display(path)), &bytes)?;
    // A head in files that cannot be read is found wanting when they are.
    let has_head = |weights: Checkpoint| weights.info(HEAD).is_some();
    match config.leaves_head_open()
        && folder.is_dir()
        && Checkpoint::open(folder).is_ok_and(has_head)
    {
        true => Ok(config.with_head_apart()),
        false => Ok(config),
    }
}
