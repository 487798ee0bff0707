//! What a name becomes.

use std::collections::BTreeMap;

use opledger_dims::{Binding, Symbol};
use opledger_ir::Graph;

use crate::names::Names;

/// A computation with a name, and the sizes that are settled already.
#[derive(Clone, Debug)]
pub struct ModelGraph {
    /// What it is called.
    pub name: String,
    /// The computation; sizes are symbols.
    pub graph: Graph,
    /// Sizes of some of those symbols; the others are free.
    pub binding: Binding,
    /// What its parameters are called in weight files.
    pub names: Names,
    /// Keys of its configuration that are not known: what they ask for is not in the graph.
    pub not_understood: Vec<String>,
    /// Under which conditions on sizes the graph is the model, where it was read from a program.
    pub conditions: Vec<String>,
    /// The sizes that it is the model for, where these are bounded.
    pub bounds: Vec<SizeBound>,
    /// Symbols that sizes may be given by, and what they are called in the graph.
    pub aliases: BTreeMap<Symbol, Symbol>,
    /// How many tokens it has positions for, where there is a bound.
    pub positions: Option<PositionLimit>,
}

/// The least and the most of a size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SizeBound {
    /// The size.
    pub symbol: Symbol,
    /// The least.
    pub least: u64,
    /// The most, where there is one.
    pub most: Option<u64>,
}

/// How many tokens a model has positions for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PositionLimit {
    /// The key of its configuration that says how many positions there are.
    pub key: &'static str,
    /// What the key says.
    pub positions: u64,
    /// How many tokens stand on them.
    pub tokens: u64,
    /// Whether positions beyond are computed, though the model was not made for them; else there are
    /// none.
    pub computed: bool,
}
