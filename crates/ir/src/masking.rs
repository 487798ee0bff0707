//! The masks that layers record operations with.

use opledger_dims::{Poly, Symbol};

use crate::masked::Masked;
use crate::{MaskRule, Support, Var};

/// Which keys a query may see, as an operation is recorded with it. Without any rule, all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mask {
    /// Causal: query `i` sees keys `j <= i + offset`.
    pub offset: Option<Poly>,
    /// Sliding window, with `offset` only: of those, the last `window` keys.
    pub window: Option<Poly>,
    /// A tensor `[batch…, keys]` of 0 (hidden) and 1 (visible), such as a padding mask.
    pub keep: Option<Var>,
}

impl Mask {
    /// Every query sees every key.
    pub fn none() -> Self {
        Mask::default()
    }

    /// Query `i` sees keys up to and with `i`.
    pub fn causal() -> Self {
        Mask { offset: Some(Poly::zero()), ..Mask::default() }
    }

    /// Query `i` sees itself and the `window - 1` keys before it.
    pub fn sliding(window: impl Into<Poly>) -> Self {
        Mask { window: Some(window.into()), ..Mask::causal() }
    }

    /// The same mask that also hides the keys where `keep` is 0.
    #[must_use]
    pub fn keeping(self, keep: Var) -> Self {
        Mask { keep: Some(keep), ..self }
    }

    /// Whether every pair is allowed.
    pub fn is_none(&self) -> bool {
        *self == Mask::default()
    }

    /// What an operation says of the mask; the tensor is an operand.
    pub fn rule(&self) -> MaskRule {
        let (offset, window) = (self.offset.clone(), self.window.clone());
        MaskRule { offset, window, keep: self.keep.is_some() }
    }

    /// The mask of an operation over the axes of queries and keys, of which it leaves `support`.
    pub fn over(
        &self,
        query: impl Into<Symbol>,
        key: impl Into<Symbol>,
        support: Support,
    ) -> Masking {
        let (rule, query, key) = (self.rule(), query.into(), key.into());
        Masking { masked: Masked { rule, query, key, support }, keep: self.keep }
    }
}

/// The mask of an operation that computes allowed pairs only, and the tensor that is its operand.
#[derive(Clone, Debug, PartialEq)]
pub struct Masking {
    /// What the operation says.
    pub masked: Masked,
    /// Its last operand, when a tensor hides keys.
    pub keep: Option<Var>,
}
