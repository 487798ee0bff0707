//! Rows of a learned table by id.

use opledger_dims::Poly;
use opledger_ir::ops::Source;
use opledger_ir::{Axis, Graph, ModuleClass, Scope, Var};

use crate::NnError;
use crate::linear::param;
use crate::sizes::positive;

/// An embedding table. Parameter `weight [v, c]`.
///
/// ```
/// # mod opledger { pub use {opledger_ir::*, opledger_nn as nn}; }
/// use opledger::{Graph, nn::Embedding};
///
/// let mut g = Graph::new();
/// let ids = g.input_ids("input_ids", ["b", "n"], "v")?;
/// let embedding = Embedding::new(&mut g.scope("embed_tokens"), "v", "c")?;
/// let x = embedding.forward(&mut g, ids)?;
/// assert_eq!(g.shape(x).to_string(), "[b, n, c]");
/// assert_eq!(g.parameters().0.to_string(), "c·v");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Embedding {
    scope: Scope,
    weight: Var,
}

impl Embedding {
    /// A trainable table of `num_embeddings` rows of `embedding_dim` elements.
    ///
    /// # Errors
    /// When a size is below one.
    pub fn new(
        g: &mut Graph,
        num_embeddings: impl Into<Poly>,
        embedding_dim: impl Into<Poly>,
    ) -> Result<Self, NnError> {
        Embedding::table(g, ("v", num_embeddings), ("c", embedding_dim), false)
    }

    /// The same table, not changed by training.
    ///
    /// # Errors
    /// When a size is below one.
    pub fn frozen(
        g: &mut Graph,
        num_embeddings: impl Into<Poly>,
        embedding_dim: impl Into<Poly>,
    ) -> Result<Self, NnError> {
        Embedding::table(g, ("v", num_embeddings), ("c", embedding_dim), true)
    }

    /// A table `[rows, columns]` of any two axes, changed by training unless `frozen`.
    ///
    /// # Errors
    /// When a size is below one.
    pub fn table(
        g: &mut Graph,
        rows: impl Into<Axis>,
        columns: impl Into<Axis>,
        frozen: bool,
    ) -> Result<Self, NnError> {
        let (rows, columns) = (rows.into(), columns.into());
        positive("num_embeddings", &rows.size)?;
        positive("embedding_dim", &columns.size)?;
        let scope = g.module(ModuleClass::Embedding);
        let axes = vec![rows, columns];
        let weight = param(&mut g.enter(&scope), "weight", Source::embedding(), axes, frozen)?;
        Ok(Embedding { scope, weight })
    }

    /// Ids `[…]` to `[…, c]`.
    ///
    /// # Errors
    /// When `ids` holds reals.
    pub fn forward(&self, g: &mut Graph, ids: Var) -> Result<Var, NnError> {
        Ok(g.enter(&self.scope).embedding("", ids, self.weight)?)
    }

    /// A table that is recorded already, a parameter of the module at a scope.
    pub(crate) fn of(scope: Scope, weight: Var) -> Self {
        Embedding { scope, weight }
    }

    /// The table, `[v, c]`, for a head tied to it.
    pub fn weight(&self) -> Var {
        self.weight
    }
}
