//! Models by name: a text such as `mha:c=512,h=8` becomes a graph and the sizes it gives. And their
//! weights, read from files.

pub mod layer;
pub mod weights;

use opledger_dims::Binding;
use opledger_ir::Graph;

/// A computation with a name, and the sizes that are settled already.
#[derive(Clone, Debug)]
pub struct Model {
    /// What it is called.
    pub name: String,
    /// The computation; sizes are symbols.
    pub graph: Graph,
    /// Sizes of some of those symbols; the others are free.
    pub binding: Binding,
}
