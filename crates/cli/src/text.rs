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

/// The files of a folder that texts are read by.
pub(crate) const FILES: [&str; 2] = [TOKENIZER, SETTINGS];
const TOKENIZER: &str = "tokenizer.json";
const SETTINGS: &str = "tokenizer_config.json";

/// How the shorter of several texts are made as long as the longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Padding {
    /// Whether it stands before the text.
    pub(crate) left: bool,
    /// The id it is made of.
    pub(crate) id: i64,
}

/// The tokenizer beside a model's configuration, if there is one.
pub(crate) fn beside(model: &str, directory: Option<&Path>) -> Result<Text, TextError> {
    let missing = || TextError::Missing { model: model.to_owned() };
    let path = directory.ok_or_else(missing)?.join(TOKENIZER);
    if path.exists() { Text::open(&path, &path.with_file_name(SETTINGS)) } else { Err(missing()) }
}

/// The tokenizer of a file.
pub(crate) fn of_file(path: &Path) -> Result<Text, TextError> {
    Text::open(path, &path.with_file_name(SETTINGS))
}

#[cfg(feature = "text")]
mod with {
    use opledger_weights::read_bounded;

    use super::{Padding, Path, TextError};
    use crate::tokenizer::{MAX_BYTES, Tokenizer};

    /// A tokenizer.
    pub(crate) struct Text {
        tokenizer: Tokenizer,
        padding: Padding,
    }

    impl Text {
        /// Opens a tokenizer, with what another file says of it.
        pub(super) fn open(path: &Path, settings: &Path) -> Result<Text, TextError> {
            let malformed = |path: &Path, problem: String| TextError::Malformed {
                path: path.to_owned(),
                problem,
            };
            let bytes = read_bounded(path, MAX_BYTES).map_err(|e| malformed(path, e))?;
            let tokenizer = Tokenizer::read(bytes).map_err(|e| malformed(path, e))?;
            // Without a word, zeros on the right, as in the `transformers` library.
            let (left, id) = tokenizer.padding().unwrap_or((false, 0));
            let mut padding = Padding { left, id };
            if settings.exists() {
                let left = padded_left(settings).map_err(|e| malformed(settings, e))?;
                padding.left = left.unwrap_or(padding.left);
            }
            Ok(Text { tokenizer, padding })
        }

        /// How the shorter of several texts are padded.
        pub(crate) fn padding(&self) -> Padding {
            self.padding
        }

        /// The ids of a text, special tokens included.
        pub(crate) fn ids(&self, text: &str) -> Result<Vec<i64>, TextError> {
            let ids = self.tokenizer.ids(text).map_err(TextError::Encode)?;
            if ids.is_empty() { Err(TextError::Empty) } else { Ok(ids) }
        }

        /// The text of some ids, special tokens left out.
        pub(crate) fn text(&self, ids: &[i64]) -> Option<String> {
            self.tokenizer.text(ids)
        }
    }

    /// What `padding_side` says, which the `transformers` library takes before what stands in the
    /// tokenizer itself.
    fn padded_left(settings: &Path) -> Result<Option<bool>, String> {
        let bytes = read_bounded(settings, MAX_BYTES)?;
        let all: serde_json::Value = serde_json::from_slice(&bytes).map_err(|e| e.to_string())?;
        match all.get("padding_side").map(|side| side.as_str()) {
            None => Ok(None),
            Some(Some("left")) => Ok(Some(true)),
            Some(Some("right")) => Ok(Some(false)),
            Some(_) => Err("its `padding_side` is neither `left` nor `right`".to_owned()),
        }
    }
}

#[cfg(not(feature = "text"))]
mod with {
    use super::{Padding, Path, TextError};

    /// No tokenizer can be made.
    pub(crate) enum Text {}

    impl Text {
        pub(super) fn open(_: &Path, _: &Path) -> Result<Text, TextError> {
            Err(TextError::Unsupported)
        }

        /// How the shorter of several texts are padded.
        pub(crate) fn padding(&self) -> Padding {
            match *self {}
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

/// The ids of some texts, the shorter ones padded to the longest.
pub(crate) struct Texts {
    texts: Vec<Vec<i64>>,
    padding: Padding,
}

impl Texts {
    pub(crate) fn read(texts: &[String], by: &Text) -> Result<Texts, TextError> {
        let texts = texts.iter().map(|text| by.ids(text)).collect::<Result<_, _>>()?;
        Ok(Texts { texts, padding: by.padding() })
    }

    /// How many texts.
    pub(crate) fn items(&self) -> usize {
        self.texts.len()
    }

    /// Tokens of the longest.
    pub(crate) fn length(&self) -> usize {
        self.texts.iter().map(Vec::len).max().unwrap_or(0)
    }

    /// Whether some are shorter than others.
    pub(crate) fn is_padded(&self) -> bool {
        self.texts.iter().any(|ids| ids.len() < self.length())
    }

    /// Feeds the input of token ids at a path and, where a path of one is given, the mask that hides
    /// padding.
    pub(crate) fn feed(
        &self,
        feeds: Feeds,
        ids: &str,
        mask: Option<&str>,
    ) -> Result<Feeds, RunError> {
        let rows = |padding: i64, row: &dyn Fn(&Vec<i64>) -> Vec<i64>| -> Vec<i64> {
            let padded = |ids| {
                let row = row(ids);
                let beside = vec![padding; self.length() - row.len()];
                if self.padding.left { [beside, row].concat() } else { [row, beside].concat() }
            };
            self.texts.iter().flat_map(padded).collect()
        };
        let shape = [self.items(), self.length()];
        let feeds = feeds.with_ids(ids, &shape, rows(self.padding.id, &Vec::clone))?;
        match mask {
            Some(mask) => feeds.with_ids(mask, &shape, rows(0, &|ids| vec![1; ids.len()])),
            None => Ok(feeds),
        }
    }
}
