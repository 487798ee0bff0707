//! The header of a GGUF file: what it says of the model, and which tensors it holds in which types.
//!
//! The format: `docs/gguf.md` of `ggml-org/ggml`, versions 2 and 3, little-endian. Nothing is believed
//! that the length of the file does not bear out, and nothing is allocated by a length that it says.

mod checkpoint;
mod reader;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use opledger_dims::{Integer, escaped};
use serde_json::{Map, Value};

use crate::files::display;
use crate::kinds::TensorKind;

/// What a GGUF file says before its elements.
#[derive(Clone, Debug)]
pub struct Gguf {
    /// The file.
    pub path: PathBuf,
    /// What it says of the model, by key. An array of texts, or a long one, stands as its length:
    /// `{"length": 32000}`.
    pub metadata: Map<String, Value>,
    /// Its tensors, by name.
    pub tensors: BTreeMap<String, GgufTensor>,
    /// Where the elements begin, and how long the file is, in bytes.
    pub(crate) start: u64,
    pub(crate) length: u64,
}

/// A tensor of a GGUF file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GgufTensor {
    /// How its elements are stored.
    pub kind: TensorKind,
    /// Its sizes, outermost first.
    pub shape: Vec<u64>,
    /// Where its elements begin, in bytes after the header.
    pub(crate) begin: u64,
}

impl GgufTensor {
    /// How many elements it has.
    pub fn elements(&self) -> Integer {
        self.shape.iter().map(|size| Integer::from(*size)).product()
    }

    /// The bytes that they take, scales and zeros included.
    pub fn bytes(&self) -> Integer {
        let (block, bytes) = self.kind.block();
        self.elements() / Integer::from(block) * Integer::from(bytes)
    }
}

impl Gguf {
    /// Reads the header of a file.
    ///
    /// # Errors
    /// What cannot be read, or is not as the format has it, with the byte where it stands.
    pub fn open(path: &Path) -> Result<Gguf, GgufError> {
        reader::read(path)
    }

    /// Reads the header of so many bytes that a reader gives; `path` stands for them in errors.
    ///
    /// # Errors
    /// As [`Gguf::open`].
    pub fn parse(path: &Path, bytes: impl Read, length: u64) -> Result<Gguf, GgufError> {
        reader::parse(path, bytes, length)
    }
}

/// Why a file is no GGUF file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GgufError {
    /// A file that cannot be opened or read.
    #[error("`{}` could not be read: {problem}", display(path))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        problem: String,
    },
    /// A file whose header is none, or does not describe the file.
    #[error("`{}` is no GGUF file that is read: {problem}, at byte {at}", display(path))]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: GgufProblem,
        /// Where.
        at: u64,
    },
}

/// What is wrong with a GGUF file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GgufProblem {
    /// Other first bytes.
    #[error("it does not begin with `GGUF`")]
    Magic,
    /// A version that is not known.
    #[error("its version is {0}, and 2 and 3 are read")]
    Version(u32),
    /// Bytes in the other order.
    #[error("its bytes stand in big-endian order, and little-endian files are read")]
    BigEndian,
    /// The file ends within what it says it has.
    #[error("it ends within its {0}; download it again")]
    Short(&'static str),
    /// More of something than is read.
    #[error("it claims {number} {what}; at most {most} are read")]
    Many {
        /// Of what.
        what: &'static str,
        /// How many.
        number: u64,
        /// The most that are read.
        most: u64,
    },
    /// A type of values that the format does not have.
    #[error("key `{}` has values of the unknown type {kind}", escaped(key))]
    ValueKind {
        /// The key.
        key: String,
        /// The type.
        kind: u32,
    },
    /// An array within an array.
    #[error("key `{}` has arrays within an array", escaped(.0))]
    Nested(String),
    /// A key or a tensor twice.
    #[error("`{}` is there twice", escaped(.0))]
    Twice(String),
    /// A text that is no UTF-8.
    #[error("a text of it is no UTF-8")]
    Text,
    /// A type of tensors that is not known.
    #[error(
        "tensor `{}` has the type {kind}, of which it is not known how many bytes it takes",
        escaped(name)
    )]
    TensorKind {
        /// The tensor.
        name: String,
        /// The type.
        kind: u32,
    },
    /// Sizes that no file holds, or that do not fill blocks.
    #[error(
        "tensor `{}` has sizes {shape:?} (innermost first), which are no blocks of {block}",
        escaped(name)
    )]
    Shape {
        /// The tensor.
        name: String,
        /// Its sizes.
        shape: Vec<u64>,
        /// How many elements a block has.
        block: u64,
    },
    /// A tensor that begins where none may.
    #[error("tensor `{}` overlaps another, or is not aligned", escaped(.0))]
    Place(String),
}
