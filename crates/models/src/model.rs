//! What a name becomes.

use std::collections::BTreeMap;

use opledger_dims::{Binding, Symbol};
use opledger_ir::{Graph, Role, SizeCondition};

use crate::decoder_sizes::DecoderSizes;
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
    /// The only sizes at which the graph is known to be the model, where a condition was not understood.
    pub only: Option<Binding>,
    /// What else a reader has to know of it: conditions in another form, what is not counted.
    pub notes: Vec<String>,
    /// Symbols that sizes may be given by, and what they are called in the graph.
    pub aliases: BTreeMap<Symbol, Symbol>,
    /// How many tokens it has positions for, where there is a bound.
    pub positions: Option<PositionLimit>,
    /// Its sizes, where it is a causal decoder.
    pub decoder: Option<DecoderSizes>,
    /// The most of sizes that its tables have rows for, where it was read from a program.
    pub rows: Vec<(Symbol, u64)>,
}

impl ModelGraph {
    /// Height and width of images of a shape, where they are others than those that the graph is of.
    pub fn other_image(&self, shape: &[usize]) -> Option<[u64; 2]> {
        let input = self.graph.inputs_of(Role::Image).next()?;
        let sides =
            |sizes: &[u64]| <[u64; 2]>::try_from(sizes.get(sizes.len().checked_sub(2)?..)?).ok();
        let axes = &self.graph.shape(input).axes;
        // Images that are cut into patches have no sides of their own.
        if axes.len() < 3 {
            return None;
        }
        let own =
            axes.iter().map(|axis| axis.size.as_integer().and_then(|n| u64::try_from(n).ok()));
        let own: Vec<u64> = own.map(Option::unwrap_or_default).collect();
        let given: Vec<u64> = shape.iter().map(|size| *size as u64).collect();
        let (own, given) = (sides(&own)?, sides(&given)?);
        (own != given).then_some(given)
    }
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
