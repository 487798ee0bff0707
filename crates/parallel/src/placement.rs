//! Where the elements of a value lie when several ranks compute it together.

use std::fmt;

use opledger_dims::Poly;
use opledger_ir::{Shape, Var};

/// Where the elements of a value lie (the placements of GSPMD, Xu et al. 2021, §3, and of PyTorch's DTensor:
/// replicated, sharded, partial).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Placement {
    /// Every rank has all of them.
    Whole,
    /// Each rank has an equal run of positions of this axis, in the order of the ranks.
    Cut(usize),
    /// Each rank has an equal run of the elements in their order, across axes.
    Flat,
    /// Each rank has a term of the sum that the value is.
    Partial,
    /// A rank has the rows whose experts it has; its other rows mean nothing.
    Chosen {
        /// Which expert each row is of, whole on every rank.
        ids: Var,
        /// The weight whose first axis, the experts, is cut.
        weight: Var,
    },
}

impl Placement {
    /// The axis that is cut, if one is.
    pub fn axis(self) -> Option<usize> {
        match self {
            Placement::Cut(axis) => Some(axis),
            Placement::Whole | Placement::Flat | Placement::Partial | Placement::Chosen { .. } => {
                None
            }
        }
    }

    /// The elements that a rank has.
    pub fn elements(self, shape: &Shape, ranks: u64) -> Poly {
        match self {
            Placement::Cut(_) | Placement::Flat => shape.elements().ratio(1, ranks as i64),
            Placement::Whole | Placement::Partial | Placement::Chosen { .. } => shape.elements(),
        }
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Placement::Whole => f.write_str("whole"),
            Placement::Cut(axis) => write!(f, "cut along axis {axis}"),
            Placement::Flat => f.write_str("cut element by element"),
            Placement::Partial => f.write_str("partial sums"),
            Placement::Chosen { .. } => f.write_str("rows of own experts"),
        }
    }
}
