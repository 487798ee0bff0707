//! What can be wrong with weights.

use std::fmt;
use std::path::PathBuf;

use opledger_dims::{Integer, escaped};
use opledger_ir::OpError;

use crate::files::{display, quoted};
use crate::header::HeaderError;

/// Why weights could not be read. What comes from a file is shown [`escaped`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeightsError {
    /// A file that cannot be opened or read.
    #[error("`{}` could not be read: {problem}", display(path))]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// What went wrong.
        problem: String,
    },
    /// A folder with files that look like weights, none of which is read.
    #[error(
        "`{}` holds {}, and neither `model.safetensors` nor `model.safetensors.index.json`, by which \
         weights are found; {mend}, or name its config.json itself to draw weights from the seed",
        display(folder),
        list(found)
    )]
    OtherName {
        /// The folder.
        folder: PathBuf,
        /// The files.
        found: Vec<String>,
        /// What to do.
        mend: &'static str,
    },
    /// A file whose header is none, or does not describe the file.
    #[error("`{}` is no safetensors file: {}", display(path), quoted(&problem.to_string()))]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: HeaderError,
    },
    /// An index that does not describe the files beside it.
    #[error("`{}` is no index of weights: {}", display(path), quoted(&problem.to_string()))]
    Index {
        /// The index.
        path: PathBuf,
        /// What is wrong.
        problem: IndexError,
    },
    /// A file that is not what it was when its header was read.
    #[error(
        "`{}` changed while it was read; read it again when nothing writes to it",
        display(path)
    )]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// No tensor of that name.
    #[error("`{}` has no tensor `{}`", display(path), escaped(name))]
    Unknown {
        /// The file or folder.
        path: PathBuf,
        /// The name asked for.
        name: String,
    },
    /// Elements of a kind that is not read.
    #[error(
        "tensor `{}` of `{}` is {dtype}; F32, F16, BF16, I64, I32, U8 and BOOL are read",
        escaped(name),
        display(path)
    )]
    Dtype {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The kind.
        dtype: String,
    },
    /// The tensors would not fit in memory.
    #[error("the weights of `{}` need {needed} bytes of memory{}", display(path), .available.as_ref().map(|n| format!(", {n} are available")).unwrap_or_default())]
    Memory {
        /// The file or folder.
        path: PathBuf,
        /// Bytes of the tensors, or of the one that could not be had.
        needed: Integer,
        /// Bytes that may be taken, when known.
        available: Option<Integer>,
    },
    /// A size of a parameter that has no value, or none that fits the machine.
    #[error("parameter `{path}`: {problem}")]
    Size {
        /// The path in the graph.
        path: String,
        /// What is wrong.
        problem: OpError,
    },
    /// Tensors that are not those of the graph.
    #[error("`{}` has not the weights of this model: {differences}", display(path))]
    Different {
        /// The file or folder.
        path: PathBuf,
        /// All of them.
        differences: Differences,
    },
    /// A copy of a parameter that is none.
    #[error(
        "tensor `{}` of `{}` is taken for a copy of `{parameter}`, and has other elements",
        escaped(name),
        display(path)
    )]
    Untied {
        /// The file or folder.
        path: PathBuf,
        /// The copy.
        name: String,
        /// The path in the graph.
        parameter: String,
    },
}

/// Why a text is no index of the files beside it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// No JSON object of the keys of an index, each once.
    #[error("{0}")]
    Json(String),
    /// A key that is needed and missing.
    #[error("it has no `weight_map`")]
    NoMap,
    /// Metadata with objects or lists.
    #[error("its metadata is no map of single values")]
    Metadata,
    /// A file that is not a file of the folder.
    #[error("its file `{}` {problem}", escaped(file))]
    File {
        /// As the index names it.
        file: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A file that cannot be found.
    #[error("its file `{}` is not there: {problem}", escaped(file))]
    NotThere {
        /// As the index names it.
        file: String,
        /// What the system said.
        problem: String,
    },
    /// A tensor that two files have, or one more than is read.
    #[error("tensor `{}` is in two files, or one of too many", escaped(tensor))]
    TooMany {
        /// Its name.
        tensor: String,
    },
    /// A tensor that is in another file than the index says.
    #[error(
        "tensor `{}` should be in `{}` and is in {}",
        escaped(tensor),
        escaped(said),
        place(there)
    )]
    Elsewhere {
        /// Its name.
        tensor: String,
        /// Where it should be.
        said: String,
        /// Where it is.
        there: Option<String>,
    },
}

fn place(file: &Option<String>) -> String {
    file.as_ref().map_or("no file".to_owned(), |file| format!("`{}`", escaped(file)))
}

/// In what the tensors of files and the parameters of a graph differ, one line each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// Tensors that the graph needs and no file has.
    pub missing: Vec<String>,
    /// Tensors that the graph does not take.
    pub extra: Vec<String>,
    /// Tensors of another shape or kind, or with another use.
    pub mismatched: Vec<String>,
}

impl Differences {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.extra.is_empty() && self.mismatched.is_empty()
    }
}

impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 10;
        let kinds = [
            ("missing", &self.missing),
            ("too many", &self.extra),
            ("different", &self.mismatched),
        ];
        let counts = kinds.map(|(kind, lines)| format!("{} {kind}", lines.len()));
        f.write_str(&counts.join(", "))?;
        for (kind, lines) in kinds {
            for line in lines.iter().take(SHOWN) {
                write!(f, "\n  {kind}: {line}")?;
            }
            if lines.len() > SHOWN {
                write!(f, "\n  {kind}: and {} more", lines.len() - SHOWN)?;
            }
        }
        Ok(())
    }
}

/// Names of files, the first of many.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 4;
    let shown: Vec<String> =
        names.iter().take(SHOWN).map(|name| format!("`{}`", escaped(name))).collect();
    let more = names.len().saturating_sub(SHOWN);
    shown.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
}
