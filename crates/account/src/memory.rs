//! Memory: bytes of parameters, of the cache, and of the values that are alive at once.

use std::str::FromStr;

use opledger_dims::{Integer, Quantity};
use opledger_ir::{Graph, SizeRole};
use opledger_report::Memory;

use crate::{AccountError, Model, SizedModel};

/// The kind of stored elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// 4 bytes.
    F32,
    /// 2 bytes.
    Bf16,
    /// 2 bytes.
    F16,
    /// 1 byte.
    Int8,
}

impl Dtype {
    /// Every kind.
    pub const ALL: [Dtype; 4] = [Dtype::F32, Dtype::Bf16, Dtype::F16, Dtype::Int8];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Dtype::F32 => "f32",
            Dtype::Bf16 => "bf16",
            Dtype::F16 => "f16",
            Dtype::Int8 => "int8",
        }
    }

    /// Bytes of an element.
    pub fn bytes(self) -> u32 {
        match self {
            Dtype::F32 => 4,
            Dtype::Bf16 | Dtype::F16 => 2,
            Dtype::Int8 => 1,
        }
    }
}

impl SizedModel<'_> {
    /// Bytes of parameters and of the cache, as elements of a kind, and of the values that are alive at
    /// once, as `f32`.
    ///
    /// # Errors
    /// When a size is unbound.
    pub fn memory(&self, dtype: Dtype) -> Result<Memory, AccountError> {
        let each = Integer::from(dtype.bytes());
        let parameters = self.quantity(Quantity::Parameters)?;
        let active = self.quantity(Quantity::ActiveParameters)?;
        let cache = self.model().cache_per_token()?.map(|elements| elements * &each);
        let size = |role| self.sizes().get(self.graph().size_of(role)?).cloned();
        let tokens =
            size(SizeRole::Tokens).unwrap_or_default() + size(SizeRole::Past).unwrap_or_default();
        let items = size(SizeRole::Batch).unwrap_or_else(|| 1.into());
        Ok(Memory {
            dtype: dtype.name(),
            active_parameters: (active != parameters).then_some(active),
            parameters: parameters * &each,
            cache: cache.as_ref().map(|cache| cache * tokens * items),
            cache_per_token: cache,
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

/// A name that no kind of elements has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no kind of elements; there are f32, bf16, f16 and int8")]
pub struct UnknownDtype(String);

impl FromStr for Dtype {
    type Err = UnknownDtype;

    fn from_str(name: &str) -> Result<Self, UnknownDtype> {
        let named = Dtype::ALL.into_iter().find(|dtype| dtype.name() == name);
        named.ok_or_else(|| UnknownDtype(name.escape_debug().to_string()))
    }
}
