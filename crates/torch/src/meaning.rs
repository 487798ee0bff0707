//! What a value of a program is to the graph, and why an operation cannot be recorded.

use opledger_dims::{Poly, Symbol};
use opledger_ir::GraphError;

use crate::hidden::Hidden;
use crate::tensor::{Misfit, Placed};
use crate::whole::Whole;
/// What a name of the program stands for.
#[derive(Clone, Debug)]
pub(crate) enum Meaning {
    /// Reals that the graph computes.
    Tensor(Placed),
    /// Whole numbers by their places.
    Whole(Whole),
    /// How many of sorted whole numbers there are of each, and the sums of that.
    Groups(Whole),
    /// Two reals, one where a truth value holds and one where not.
    Choice { when: Whole, then: f64, otherwise: f64 },
    /// Reals with numbers that hide.
    Hidden(Box<Hidden>),
    /// A size.
    Size(Poly),
    /// A number.
    Number(f64),
    /// Several values.
    List(Vec<Meaning>),
    /// Nothing.
    None,
}

impl Meaning {
    /// Reals that the graph computes; anything else is unknown to who asks, as below.
    pub(crate) fn placed(self) -> Lowered<Placed> {
        match self {
            Meaning::Tensor(value) => Ok(value),
            Meaning::Whole(_)
            | Meaning::Groups(_)
            | Meaning::Choice { .. }
            | Meaning::Hidden(_)
            | Meaning::Size(_)
            | Meaning::Number(_)
            | Meaning::List(_)
            | Meaning::None => Err(Obstacle::Unknown),
        }
    }

    /// Whole numbers by their places.
    pub(crate) fn whole(self) -> Lowered<Whole> {
        match self {
            Meaning::Whole(value) => Ok(value),
            Meaning::Tensor(_)
            | Meaning::Groups(_)
            | Meaning::Choice { .. }
            | Meaning::Hidden(_)
            | Meaning::Size(_)
            | Meaning::Number(_)
            | Meaning::List(_)
            | Meaning::None => Err(Obstacle::Unknown),
        }
    }

    /// How many of sorted whole numbers there are.
    pub(crate) fn groups(self) -> Lowered<Whole> {
        match self {
            Meaning::Groups(value) => Ok(value),
            Meaning::Tensor(_)
            | Meaning::Whole(_)
            | Meaning::Choice { .. }
            | Meaning::Hidden(_)
            | Meaning::Size(_)
            | Meaning::Number(_)
            | Meaning::List(_)
            | Meaning::None => Err(Obstacle::Unknown),
        }
    }

    /// A size.
    pub(crate) fn size(self) -> Lowered<Poly> {
        match self {
            Meaning::Size(value) => Ok(value),
            Meaning::Tensor(_)
            | Meaning::Whole(_)
            | Meaning::Groups(_)
            | Meaning::Choice { .. }
            | Meaning::Hidden(_)
            | Meaning::Number(_)
            | Meaning::List(_)
            | Meaning::None => Err(Obstacle::Unknown),
        }
    }

    /// Several values.
    pub(crate) fn list(self) -> Lowered<Vec<Meaning>> {
        match self {
            Meaning::List(value) => Ok(value),
            Meaning::Tensor(_)
            | Meaning::Whole(_)
            | Meaning::Groups(_)
            | Meaning::Choice { .. }
            | Meaning::Hidden(_)
            | Meaning::Size(_)
            | Meaning::Number(_)
            | Meaning::None => Err(Obstacle::Unknown),
        }
    }
}

/// A complex tensor: its real parts and its imaginary ones.
pub(crate) type Pair = [Meaning; 2];

/// Why a node is not recorded.
#[derive(Debug)]
pub(crate) enum Obstacle {
    /// The operation is not known.
    Unknown,
    /// Two symbols stand for one size.
    Equal(Symbol, Symbol),
    /// A quotient is a number or a size over one, as an argument or the number of elements says.
    Known(Symbol, Poly),
    /// The arguments are not understood.
    Bad(String),
    Graph(GraphError),
}

impl From<Misfit> for Obstacle {
    fn from(misfit: Misfit) -> Self {
        match misfit {
            Misfit::Graph(error) => Obstacle::Graph(error),
            Misfit::Sizes(problem) => Obstacle::Bad(problem),
        }
    }
}

impl From<GraphError> for Obstacle {
    fn from(error: GraphError) -> Self {
        Obstacle::Graph(error)
    }
}

impl Obstacle {
    /// That two sizes meet which differ: one size, where both are symbols.
    pub(crate) fn sizes([a, b]: [Poly; 2]) -> Obstacle {
        match (a.as_symbol(), b.as_symbol()) {
            (Some(a), Some(b)) => Obstacle::Equal(a.clone(), b.clone()),
            _ => Obstacle::Bad(format!("a dimension of {a} meets one of {b}")),
        }
    }
}

pub(crate) type Lowered<T> = Result<T, Obstacle>;
