//! Names of sizes.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// The name of a size, such as `n` (tokens) or `h` (heads). Cheap to clone.
///
/// Symbols order as formulas of this field are usually written: `b l n m h g e f c` first, then
/// every other name alphabetically.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Symbol(Arc<str>);

/// The customary order of the one-letter sizes inside a product.
const CUSTOMARY: [&str; 9] = ["b", "l", "n", "m", "h", "g", "e", "f", "c"];

impl Symbol {
    /// Makes a symbol from a name.
    pub fn new(name: &str) -> Self {
        Symbol(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn rank(&self) -> usize {
        CUSTOMARY.iter().position(|c| *c == &*self.0).unwrap_or(CUSTOMARY.len())
    }
}

impl Ord for Symbol {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank()).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Symbol {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl From<&str> for Symbol {
    fn from(name: &str) -> Self {
        Symbol::new(name)
    }
}

impl From<&Symbol> for Symbol {
    fn from(symbol: &Symbol) -> Self {
        symbol.clone()
    }
}

impl From<String> for Symbol {
    fn from(name: String) -> Self {
        Symbol(name.into())
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
