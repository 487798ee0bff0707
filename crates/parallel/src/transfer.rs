//! What crosses between ranks, and how many bytes of it.

use opledger_dims::Poly;
use opledger_ir::Var;

use crate::placement::{Placement, Placements};

/// What ranks do together with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Collective {
    /// The sum of the terms of all ranks, for all of them.
    AllReduce,
    /// The parts of all ranks, for all of them.
    AllGather,
    /// Of the sum of the terms of all ranks, a part for each.
    ReduceScatter,
    /// Of each rank's part a part for each.
    AllToAll,
}

impl Collective {
    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Collective::AllReduce => "all-reduce",
            Collective::AllGather => "all-gather",
            Collective::ReduceScatter => "reduce-scatter",
            Collective::AllToAll => "all-to-all",
        }
    }

    /// How buffers go round.
    pub fn algorithm(self) -> &'static str {
        match self {
            Collective::AllReduce | Collective::AllGather | Collective::ReduceScatter => "ring",
            Collective::AllToAll => "pairwise",
        }
    }

    /// Bytes that one rank sends, of a value of so many bytes: around the ring of `r` ranks go r parts of it,
    /// each over r − 1 links, and twice so where they are summed first and handed out then (Patarasuk and
    /// Yuan 2009).
    pub fn sent(self, bytes: &Poly, ranks: u64) -> Poly {
        let r = ranks as i64;
        match self {
            Collective::AllReduce => bytes.ratio(2 * (r - 1), r),
            Collective::AllGather | Collective::ReduceScatter => bytes.ratio(r - 1, r),
            Collective::AllToAll => bytes.ratio(r - 1, r * r),
        }
    }
}

/// A value that is brought to lie in another way along an axis of the mesh, before a node that reads it.
#[derive(Clone, Debug, PartialEq)]
pub struct Transfer {
    /// The value.
    pub value: Var,
    /// Along which axis of the mesh.
    pub along: usize,
    /// How many ranks that axis has.
    pub ranks: u64,
    /// How it lies, along all axes.
    pub lies: Placements,
    /// How it is to lie along this one.
    pub to: Placement,
    /// What the ranks do together; nothing where each has what it needs.
    pub collective: Option<Collective>,
    /// The node that reads it, or as many as there are nodes where it is a result.
    pub before: usize,
    /// How often, in all iterations.
    pub times: Poly,
    /// Bytes of what the ranks along this axis have together.
    pub bytes: Poly,
}

impl Transfer {
    /// How it lies along the axis.
    pub fn from(&self) -> Placement {
        self.lies[self.along]
    }

    /// Bytes that one rank sends each time.
    pub fn sent(&self) -> Poly {
        self.collective.map_or_else(Poly::zero, |own| own.sent(&self.bytes, self.ranks))
    }
}
