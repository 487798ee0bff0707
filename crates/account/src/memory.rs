//! Memory: bytes of parameters, of the cache, and of the values that are alive at once.

use opledger_dims::{Integer, Quantity};
use opledger_ir::{Elem, Graph, SizeRole};
use opledger_report::Memory;

use crate::{AccountError, Model, SizedModel};

/// The bytes of so many elements, the last byte full or not.
fn bytes(elements: Integer, elem: Elem) -> Integer {
    (elements * elem.bits() + 7u32) / 8u32
}

impl SizedModel<'_> {
    /// Bytes of parameters and of the cache, stored as elements of a type, and of the values that are
    /// alive at once, as `f32`.
    ///
    /// # Errors
    /// When a size is unbound.
    pub fn memory(&self, elem: Elem) -> Result<Memory, AccountError> {
        let parameters = self.quantity(Quantity::Parameters)?;
        let active = self.quantity(Quantity::ActiveParameters)?;
        let cache = self.model().cache_per_token()?;
        let size = |role| self.sizes().get(self.graph().size_of(role)?).cloned();
        let tokens =
            size(SizeRole::Tokens).unwrap_or_default() + size(SizeRole::Past).unwrap_or_default();
        let items = size(SizeRole::Batch).unwrap_or_else(|| 1.into());
        Ok(Memory {
            dtype: elem.name(),
            active_parameters: (active != parameters).then_some(active),
            parameters: bytes(parameters, elem),
            cache: cache.as_ref().map(|cache| bytes(cache * tokens * items, elem)),
            cache_per_token: cache.map(|cache| bytes(cache, elem)),
            activations: self.graph().footprint(self.sizes(), size_of::<f32>())?.live,
        })
    }
}

impl Model {
    /// Elements of keys and values of a token in all layers; none of a model without a cache.
    ///
    /// # Errors
    /// When the cache of the model has a size that no number was given for.
    pub fn cache_per_token(&self) -> Result<Option<Integer>, AccountError> {
        if !self.graph().caches().is_empty() {
            return of_one_token(self).map(Some);
        }
        self.with_cache(*self.request())?.as_ref().map(of_one_token).transpose()
    }
}

fn of_one_token(model: &Model) -> Result<Integer, AccountError> {
    let graph: &Graph = model.graph();
    let mut sizes = model.sizes().clone();
    for role in [SizeRole::Batch, SizeRole::Tokens, SizeRole::Past] {
        if let Some(symbol) = graph.size_of(role) {
            sizes.set(symbol, 1);
        }
    }
    Ok(graph.quantity(Quantity::Cache).at(&graph.complete(&sizes)?)?)
}
