//! Text in place of ids: the `tokenizer.json` beside a configuration.

use std::path::Path;
#[cfg(feature = "text")]
use std::path::PathBuf;

#[cfg(feature = "text")]
use opledger_dims::escaped_within;
use opledger_interp::{Feeds, RunError};

/// Why text could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TextError {
    #[error("`{model}` has no tokenizer.json beside its configuration; give ids instead")]
    Missing { model: String },
    #[cfg(feature = "text")]
    #[error("`{}` is no tokenizer: {}", path.display(), escaped_within(problem, 300))]
    Malformed { path: PathBuf, problem: String },
    #[cfg(feature = "text")]
    #[error("the text could not be turned into ids: {}", escaped_within(.0, 300))]
    Encode(String),
    #[cfg(feature = "text")]
    #[error("the text has no tokens; give some words")]
    Empty,
    #[cfg(not(feature = "text"))]
    #[error("this build reads no text: it was made without the feature `text`; give ids instead")]
    Unsupported,
}

/// The tokenizer beside a model's configuration, if there is one.
pub(crate) fn beside(model: &str, directory: Option<&Path>) -> Result<Text, TextError> {
    let missing = || TextError::Missing { model: model.to_owned() };
    let path = directory.ok_or_else(missing)?.join("tokenizer.json");
    if path.exists() { Text::open(&path) } else { Err(missing()) }
}

#[cfg(feature = "text")]
mod with {
    use opledger_weights::read_bounded;

    use super::{Path, TextError};
    use crate::tokenizer::{MAX_BYTES, Tokenizer};

    /// A tokenizer.
    pub(crate) struct Text(Tokenizer);

    impl Text {
        pub(super) fn open(path: &Path) -> Result<Text, TextError> {
            let malformed =
                |problem: String| TextError::Malformed { path: path.to_owned(), problem };
            let bytes = read_bounded(path, MAX_BYTES).map_err(malformed)?;
            Ok(Text(Tokenizer::read(bytes).map_err(malformed)?))
        }

        /// The ids of a text, special tokens included.
        pub(crate) fn ids(&self, text: &str) -> Result<Vec<i64>, TextError> {
            let ids = self.0.ids(text).map_err(TextError::Encode)?;
            if ids.is_empty() { Err(TextError::Empty) } else { Ok(ids) }
        }

        /// The text of some ids, special tokens left out.
        pub(crate) fn text(&self, ids: &[i64]) -> Option<String> {
            self.0.text(ids)
        }
    }
}

#[cfg(not(feature = "text"))]
mod with {
    use super::{Path, TextError};

    /// No tokenizer can be made.
    pub(crate) enum Text {}

    impl Text {
        pub(super) fn open(_: &Path) -> Result<Text, TextError> {
            Err(TextError::Unsupported)
        }

        /// The ids of a text.
        pub(crate) fn ids(&self, _: &str) -> Result<Vec<i64>, TextError> {
            match *self {}
        }

        /// The text of some ids.
        pub(crate) fn text(&self, _: &[i64]) -> Option<String> {
            match *self {}
        }
    }
}

pub(crate) use with::Text;

/// The ids of some texts, the shorter ones padded with zeros to the longest.
pub(crate) struct Texts(Vec<Vec<i64>>);

impl Texts {
    pub(crate) fn read(texts: &[String], by: &Text) -> Result<Texts, TextError> {
        Ok(Texts(texts.iter().map(|text| by.ids(text)).collect::<Result<_, _>>()?))
    }

    /// How many texts.
    pub(crate) fn items(&self) -> usize {
        self.0.len()
    }

    /// Tokens of the longest.
    pub(crate) fn length(&self) -> usize {
        self.0.iter().map(Vec::len).max().unwrap_or(0)
    }

    /// Whether some are shorter than others.
    pub(crate) fn is_padded(&self) -> bool {
        self.0.iter().any(|ids| ids.len() < self.length())
    }

    /// Feeds the input of token ids at a path and, where a path of one is given, the mask that hides
    /// padding.
    pub(crate) fn feed(
        &self,
        feeds: Feeds,
        ids: &str,
        mask: Option<&str>,
    ) -> Result<Feeds, RunError> {
        let rows = |row: &dyn Fn(&Vec<i64>) -> Vec<i64>| -> Vec<i64> {
            let padding = |mut row: Vec<i64>| {
                row.resize(self.length(), 0);
                row
            };
            self.0.iter().flat_map(|ids| padding(row(ids))).collect()
        };
        let shape = [self.items(), self.length()];
        let feeds = feeds.with_ids(ids, &shape, rows(&Vec::clone))?;
        match mask {
            Some(mask) => feeds.with_ids(mask, &shape, rows(&|ids| vec![1; ids.len()])),
            None => Ok(feeds),
        }
    }
}
