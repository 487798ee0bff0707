//! What the rows of an account may be sorted by.

use std::fmt;
use std::str::FromStr;

/// What the rows of an account are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowOrder {
    /// The path, from a to z.
    Node,
    /// Parameters, the most first.
    Params,
    /// Multiplications inside contractions, the most first.
    Macs,
    /// Scalar operations, the most first.
    Flops,
    /// Bytes read, the most first.
    BytesRead,
    /// Bytes written, the most first.
    BytesWritten,
}

impl RowOrder {
    /// Every order.
    pub const ALL: [RowOrder; 6] = [
        RowOrder::Node,
        RowOrder::Params,
        RowOrder::Macs,
        RowOrder::Flops,
        RowOrder::BytesRead,
        RowOrder::BytesWritten,
    ];

    /// The name of its column.
    pub fn name(self) -> &'static str {
        match self {
            RowOrder::Node => "node",
            RowOrder::Params => "params",
            RowOrder::Macs => "macs",
            RowOrder::Flops => "flops",
            RowOrder::BytesRead => "bytes-read",
            RowOrder::BytesWritten => "bytes-written",
        }
    }

    pub(super) fn is_of_bytes(self) -> bool {
        match self {
            RowOrder::BytesRead | RowOrder::BytesWritten => true,
            RowOrder::Node | RowOrder::Params | RowOrder::Macs | RowOrder::Flops => false,
        }
    }
}

impl fmt::Display for RowOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for RowOrder {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let order = RowOrder::ALL.into_iter().find(|order| order.name() == name);
        order.ok_or_else(|| format!("there is no column `{name}` to sort by"))
    }
}
