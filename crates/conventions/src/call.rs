//! A call of an operator of the framework.

use std::borrow::Cow;

use opledger_dims::Binding;
use serde::Deserialize;

/// How an operator is called: what decides whether a tool that replaces functions sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Manner {
    /// A function of `torch` or `torch.nn.functional`.
    Function,
    /// A method of a tensor.
    Method,
    /// An operator of the language: `+`, `*`, `@`.
    Operator,
    /// A function that was taken hold of before a tool could replace it.
    Captured,
}

/// One call of an operator.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Which operator.
    pub op: Cow<'static, str>,
    /// How it is called.
    pub by: Manner,
    /// Its sizes, by the names that rules use.
    pub sizes: Binding,
}

impl Call {
    pub(crate) fn new(op: &'static str, by: Manner, sizes: Binding) -> Self {
        Call { op: op.into(), by, sizes }
    }
}
