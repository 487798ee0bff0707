//! The configuration beside weights.

use std::io::Read;
use std::path::{Path, PathBuf};

use opledger_models::{Config, ConfigError, POOLERS, Request};

use crate::checkpoint::Checkpoint;
use crate::files::{display, open_regular, read_bounded};
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
    /// The file is one of PyTorch's.
    #[error(
        "`{}` is a file of `torch.save` or of TorchScript, a pickle, which is not opened; export the model: \
         `torch.export.save(torch.export.export(model.eval(), example), \"model.pt2\")` (such an \
         archive is called .pt2)",
        display(path)
    )]
    Pickled {
        /// The file.
        path: PathBuf,
    },
    /// The file is no configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// Reads a configuration from a file; of a folder, from its `config.json`. Where that leaves open whether
/// there is a head, the names of the weights beside it say, as they do whether there is a pooler; a head
/// of other elements than the table of words is a matrix of its own, whatever the configuration says.
///
/// # Errors
/// When it cannot be read, is too long, or is no JSON object with distinct keys.
pub fn read_config(path: &Path) -> Result<Config, ConfigFileError> {
    let folder = path;
    let path = &if path.is_dir() { path.join(CONFIG) } else { path.to_owned() };
    let unreadable =
        |problem: String| ConfigFileError::Unreadable { path: path.to_owned(), problem };
    if is_pickled(path) {
        return Err(ConfigFileError::Pickled { path: path.to_owned() });
    }
    let bytes = read_bounded(path, MAX_CONFIG).map_err(unreadable)?;
    let config = Config::parse(&format!("`{}`", display(path)), &bytes)?;
    if !folder.is_dir() {
        return Ok(config);
    }
    // What is wrong with files is told when they are read.
    let Ok(weights) = Checkpoint::open(folder) else { return Ok(config) };
    let config = match config.leaves_head_open() && weights.info(HEAD).is_some() {
        true => config.with_head_apart(),
        false => config,
    };
    let config = with_another_head(&config, &weights).unwrap_or(config);
    let is_pooler = |name: &str| POOLERS.iter().any(|pooler| name.ends_with(pooler));
    match weights.names().any(is_pooler) {
        true => Ok(config),
        false => Ok(config.without_pooler()),
    }
}

/// Whether a file begins as those that `torch.save` and `torch.jit.save` write: a zip archive, or before
/// PyTorch 1.6 a pickle of protocol 2.
fn is_pickled(path: &Path) -> bool {
    let mut begin = [0; 4];
    let Ok((mut file, _)) = open_regular(path) else { return false };
    file.read_exact(&mut begin).is_ok() && (begin == *b"PK\x03\x04" || begin[..2] == [0x80, 2])
}

/// The configuration with a head of its own, where the weights have one that the configuration takes for
/// the table of words, and it is not, bit by bit.
fn with_another_head(config: &Config, weights: &Checkpoint) -> Option<Config> {
    let head = weights.names().find(|name| name.ends_with(HEAD))?;
    let tied = config.model("", &Request::default()).ok()?;
    let table = tied.names.spellings(tied.names.original(head)?);
    let table = table.iter().find_map(|name| weights.tensors.get(name))?;
    if !weights.differ([weights.tensors.get(head)?, table]).ok()? {
        return None;
    }
    let apart = config.clone().with_another_head();
    apart.model("", &Request::default()).is_ok().then_some(apart)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_torch_save_are_told_how_to_be_exported() {
        let folder = tempfile::tempdir().unwrap();
        for (begin, pickled) in [
            (&b"PK\x03\x04rest"[..], true),
            (b"\x80\x02ctorch", true),
            (b"[1]x", false),
            (b"PK", false),
        ] {
            let path = folder.path().join("model.pt");
            std::fs::write(&path, begin).unwrap();
            let error = read_config(&path).unwrap_err();
            assert_eq!(matches!(error, ConfigFileError::Pickled { .. }), pickled, "{error}");
            assert_eq!(error.to_string().contains("torch.export.save"), pickled, "{error}");
        }
    }
}
