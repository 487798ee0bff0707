//! Sizes given to symbols.

use std::collections::BTreeMap;
use std::fmt;

use crate::{Integer, Symbol};

/// Values of symbols, such as `b=2, n=128`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Binding(BTreeMap<Symbol, Integer>);

impl Binding {
    /// No symbol bound.
    pub fn new() -> Self {
        Binding::default()
    }

    /// Gives `symbol` a value, replacing an earlier one.
    pub fn set(&mut self, symbol: impl Into<Symbol>, value: impl Into<Integer>) -> &mut Self {
        self.0.insert(symbol.into(), value.into());
        self
    }

    /// The same binding with one more value.
    #[must_use]
    pub fn with(mut self, symbol: impl Into<Symbol>, value: impl Into<Integer>) -> Self {
        self.set(symbol, value);
        self
    }

    /// The value of `symbol`.
    pub fn get(&self, symbol: &Symbol) -> Option<&Integer> {
        self.0.get(symbol)
    }

    /// The bound symbols and their values, in customary order.
    pub fn iter(&self) -> impl Iterator<Item = (&Symbol, &Integer)> {
        self.0.iter()
    }

    /// Whether no symbol is bound.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<S: Into<Symbol>, V: Into<Integer>> FromIterator<(S, V)> for Binding {
    fn from_iter<I: IntoIterator<Item = (S, V)>>(iter: I) -> Self {
        Binding(iter.into_iter().map(|(s, v)| (s.into(), v.into())).collect())
    }
}

impl fmt::Display for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (symbol, value)) in self.0.iter().enumerate() {
            write!(f, "{}{symbol}={value}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}
