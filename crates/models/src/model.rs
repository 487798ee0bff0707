//! What a name becomes.

use std::collections::BTreeMap;

use opledger_dims::{Binding, Symbol};
use opledger_ir::{Graph, SizeCondition};

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
    pub conditions: Vec<SizeCondition>,
    /// What else a reader has to know of it: conditions in another form, what is not counted.
    pub notes: Vec<String>,
    /// Symbols that sizes may be given by, and what they are called in the graph.
    pub aliases: BTreeMap<Symbol, Symbol>,
    /// How many tokens it has positions for, where there is a bound.
    pub positions: Option<PositionLimit>,
    /// The most of sizes that its tables have rows for, where it was read from a program.
    pub rows: Vec<(Symbol, u64)>,
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
