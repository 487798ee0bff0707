//! Configurations as the `transformers` library writes them: `config.json`, read whole before
//! anything is built, and every key accounted for.

mod error;
pub(crate) mod json;
mod keys;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value};

pub use error::ConfigError;
pub(crate) use keys::Keys;

/// The longest configuration that is read, in bytes.
const MAX_BYTES: u64 = 4 << 20;

/// A configuration.
#[derive(Clone, Debug)]
pub struct Config {
    origin: String,
    map: Map<String, Value>,
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, is too long, or is no JSON object with distinct keys.
    pub fn read(path: &Path) -> Result<Config, ConfigError> {
        let unreadable =
            |problem: String| ConfigError::Unreadable { path: path.to_owned(), problem };
        let file = std::fs::File::open(path).map_err(|e| unreadable(e.to_string()))?;
        if !file.metadata().map_err(|e| unreadable(e.to_string()))?.is_file() {
            return Err(unreadable("it is no regular file".to_owned()));
        }
        let mut bytes = Vec::new();
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|e| unreadable(e.to_string()))?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(unreadable(format!("it is longer than {MAX_BYTES} bytes")));
        }
        Config::parse(&format!("`{}`", path.display()), &bytes)
    }

    /// Reads a text; `origin` says in errors where it comes from.
    ///
    /// # Errors
    /// When it is no JSON object with distinct keys.
    pub fn parse(origin: &str, text: &[u8]) -> Result<Config, ConfigError> {
        let malformed =
            |problem: String| ConfigError::Malformed { origin: origin.to_owned(), problem };
        match json::parse(text).map_err(|e| malformed(e.to_string()))? {
            Value::Object(map) => Ok(Config { origin: origin.to_owned(), map }),
            _ => Err(malformed("it is no JSON object".to_owned())),
        }
    }

    /// A configuration that stands inside another text.
    pub(crate) fn of(origin: String, map: Map<String, Value>) -> Config {
        Config { origin, map }
    }

    /// Lets `read` take what it knows; returns its result and the keys that it did not ask for.
    pub(crate) fn with_keys<T>(
        &self,
        read: impl FnOnce(&Keys<'_>) -> Result<T, ConfigError>,
    ) -> Result<(T, Vec<String>), ConfigError> {
        let asked = RefCell::new(BTreeSet::new());
        let keys = Keys::new(&self.map, &self.origin, &asked);
        let result = read(&keys)?;
        Ok((result, keys.unread()))
    }
}
