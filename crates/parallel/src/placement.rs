//! Where the elements of a value lie when several ranks compute it together.

use std::fmt;
use std::ops::Deref;

use opledger_dims::Poly;
use opledger_ir::{Shape, Var};

use crate::strategy::MeshAxis;

/// Where the elements of a value lie along an axis of a mesh (the placements of GSPMD, Xu et al. 2021, §3, and of
/// PyTorch's DTensor: replicated, sharded, partial).
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

    /// The same with what says of rows which expert they are of by another name, where it has one.
    pub(crate) fn of(self, ids: impl FnOnce(Var) -> Option<Var>) -> Placement {
        match self {
            Placement::Chosen { ids: own, weight } => {
                Placement::Chosen { ids: ids(own).unwrap_or(own), weight }
            }
            Placement::Whole | Placement::Cut(_) | Placement::Flat | Placement::Partial => self,
        }
    }

    /// Among how many ranks the elements are divided, of so many.
    fn shares(self, ranks: u64) -> u64 {
        match self {
            Placement::Cut(_) | Placement::Flat => ranks,
            Placement::Whole | Placement::Partial | Placement::Chosen { .. } => 1,
        }
    }
}

/// How a value lies along each axis of a mesh.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Placements(Vec<Placement>);

impl Placements {
    /// The same along all axes of a mesh.
    pub(crate) fn all(placement: Placement, mesh: &[MeshAxis]) -> Placements {
        Placements(vec![placement; mesh.len()])
    }

    /// Another along one axis.
    pub(crate) fn with(&self, axis: usize, placement: Placement) -> Placements {
        let mut own = self.0.clone();
        own[axis] = placement;
        Placements(own)
    }

    /// Others along all axes.
    pub(crate) fn map(&self, f: impl FnMut((usize, &Placement)) -> Placement) -> Placements {
        self.0.iter().enumerate().map(f).collect()
    }

    /// The elements that a rank has.
    pub(crate) fn elements(&self, shape: &Shape, mesh: &[MeshAxis]) -> Poly {
        let shares = self.0.iter().zip(mesh).map(|(own, axis)| own.shares(axis.ranks));
        shape.elements().ratio(1, shares.product::<u64>() as i64)
    }
}

impl Deref for Placements {
    type Target = [Placement];

    fn deref(&self) -> &[Placement] {
        &self.0
    }
}

impl FromIterator<Placement> for Placements {
    fn from_iter<I: IntoIterator<Item = Placement>>(all: I) -> Placements {
        Placements(all.into_iter().collect())
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
