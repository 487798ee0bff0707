//! Configurations as the `transformers` library writes them: the text of `config.json`, read whole
//! before anything is built, and every key accounted for.

mod error;
mod generation;
mod keys;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::{Map, Value};

pub use error::ConfigError;
pub use generation::GenerationSettings;
pub(crate) use keys::Keys;

/// A configuration.
#[derive(Clone, Debug)]
pub struct Config {
    origin: String,
    map: Map<String, Value>,
}

impl Config {
    /// Reads a text; `origin` says in errors where it comes from.
    ///
    /// # Errors
    /// When it is no JSON object with distinct keys.
    pub fn parse(origin: &str, text: &[u8]) -> Result<Config, ConfigError> {
        let malformed =
            |problem: String| ConfigError::Malformed { origin: origin.to_owned(), problem };
        match opledger_json::parse(text).map_err(|e| malformed(e.to_string()))? {
            Value::Object(map) => Ok(Config { origin: origin.to_owned(), map }),
            _ => Err(malformed("it is no JSON object".to_owned())),
        }
    }

    /// A configuration that stands inside another text.
    pub(crate) fn of(origin: String, map: Map<String, Value>) -> Config {
        Config { origin, map }
    }

    /// Lets `read` take what it knows; returns its result and the keys that it did not know.
    pub(crate) fn with_keys<T>(
        &self,
        read: impl FnOnce(&Keys<'_>) -> Result<T, ConfigError>,
    ) -> Result<(T, Vec<String>), ConfigError> {
        let asked = RefCell::new(BTreeSet::new());
        let keys = Keys::new(&self.map, &self.origin, &asked);
        let result = read(&keys)?;
        Ok((result, keys.not_understood()))
    }
}
