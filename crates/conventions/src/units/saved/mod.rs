//! What eager PyTorch saves of a forward pass for its backward: the storages of tensors that autograd keeps,
//! each once, without those of parameters and buffers.

mod attention;
mod lower;
mod table;
mod tape;

use std::fmt;
use std::str::FromStr;

use opledger_dims::{Binding, Poly, escaped};
use opledger_ir::{Elem, Graph, Var};

use crate::{ConventionError, Dialect};

/// Which of PyTorch's forms of `F.scaled_dot_product_attention` runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SavedBy {
    /// Its math: the weights of all pairs are saved.
    Autograd,
    /// Its fused kernel: a logarithm for each row is saved, and scores are computed again.
    Flash,
}

impl fmt::Display for SavedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            SavedBy::Autograd => "autograd",
            SavedBy::Flash => "flash",
        })
    }
}

/// `autograd` or `flash`.
impl FromStr for SavedBy {
    type Err = ConventionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "autograd" => Ok(SavedBy::Autograd),
            "flash" => Ok(SavedBy::Flash),
            other => Err(ConventionError::Unknown {
                kind: "policy of what is kept",
                name: escaped(other),
                known: vec!["autograd", "flash"],
            }),
        }
    }
}

/// How a forward pass runs.
#[derive(Clone, Copy, Debug)]
pub struct SavedOptions {
    /// How attention runs where it is one function.
    pub by: SavedBy,
    /// Whether modules drop out, where their library has a probability above 0 for them.
    pub dropout: bool,
    /// The type of parameters and values.
    pub elem: Elem,
}

/// A storage that is saved.
#[derive(Clone, Debug, PartialEq)]
pub struct Saved {
    /// The node whose call first saves it.
    pub at: Var,
    /// That call's operator.
    pub op: &'static str,
    /// Its bytes, one for each time that it is made.
    pub bytes: Poly,
    /// How often it is made in a run.
    pub times: Poly,
}

/// What eager PyTorch 2.15 saves on a CPU of the forward pass of a graph, in the order in which it does. The
/// sizes say how tensors lie in memory, and so which of them have a storage in common; the bytes are formulas
/// that hold wherever they lie so.
///
/// # Errors
/// When a size is free; when it was never observed what is saved of an operation, as the dialect has it.
pub fn saved(
    graph: &Graph,
    sizes: &Binding,
    dialect: &Dialect,
    options: SavedOptions,
) -> Result<Vec<Saved>, ConventionError> {
    lower::saved(graph, sizes, dialect, options)
}
