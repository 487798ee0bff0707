//! What becomes of elements that are put at one place: the last of them, or all as one.

use opledger_ir::IndexExpr;
use opledger_ir::ops::{ArithmeticKind, Pointwise, ScatterKind};

use super::elementwise::combined;
use super::movement::sizes_of;
use super::places::{At, put_into};
use crate::call::Call;
use crate::importer::{Importer, Lowered, Meaning, Obstacle};
use crate::whole::{Whole, WholeKind};

/// What is made of the elements at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Made {
    Last,
    Sum,
    Product,
    Largest,
    Smallest,
    Mean,
}

/// How elements are put at their places.
#[derive(Clone, Copy, Debug)]
pub(super) struct Joining {
    made: Made,
    /// Whether what is there already is one of them.
    included: bool,
}

impl Joining {
    /// They are written, the last over all others.
    pub(super) const WRITE: Joining = Joining { made: Made::Last, included: true };
    /// They are added to what is there.
    pub(super) const ADD: Joining = Joining { made: Made::Sum, included: true };

    /// The largest of them alone.
    pub(super) const LARGEST: Joining = Joining { made: Made::Largest, included: false };

    /// As a call says by name.
    pub(super) fn named(call: &Call<'_>) -> Lowered<Joining> {
        let made = match call.text("reduce") {
            Some("sum" | "add") => Made::Sum,
            Some("prod" | "multiply") => Made::Product,
            Some("amax") => Made::Largest,
            Some("amin") => Made::Smallest,
            Some("mean") => Made::Mean,
            Some(_) | None => return Err(Obstacle::Unknown),
        };
        Ok(Joining { made, included: call.flag("include_self", true) })
    }

    /// `x` with each of some values at its place.
    pub(super) fn put(
        self,
        own: &mut Importer<'_>,
        mut x: Meaning,
        mut values: Meaning,
        at: &[At],
        of: WholeKind,
    ) -> Lowered<Meaning> {
        let sizes = sizes_of(&values)?;
        // The smallest is the opposite of the largest of opposites.
        if self.made == Made::Smallest {
            (x, values) = (opposite(own, x)?, opposite(own, values)?);
        }
        let before = sizes_of(&x)?;
        if !self.included {
            let nothing = self.nothing(sizes.clone(), of);
            x = put_into(own, ScatterKind::Write, x, nothing, at, of)?;
        }
        let kind = match self.made {
            Made::Last => ScatterKind::Write,
            Made::Sum | Made::Mean => ScatterKind::Add,
            Made::Product => ScatterKind::Mul,
            Made::Largest | Made::Smallest => ScatterKind::Max,
        };
        let joined = put_into(own, kind, x, values, at, of)?;
        match self.made {
            Made::Last | Made::Sum | Made::Product | Made::Largest => Ok(joined),
            Made::Smallest => opposite(own, joined),
            Made::Mean if of != WholeKind::Real => Err(Obstacle::Unknown),
            Made::Mean => {
                let whole = |sizes, number: i64| {
                    Meaning::Whole(Whole { sizes, expr: number.into(), kind: WholeKind::Whole })
                };
                let (start, ones) = (whole(before, i64::from(self.included)), whole(sizes, 1));
                let counts = put_into(own, ScatterKind::Add, start, ones, at, WholeKind::Whole)?;
                let one = IndexExpr::from(1);
                let counts = counts.whole()?.each(WholeKind::Whole, |count| {
                    if self.included {
                        count.clone()
                    } else {
                        count.below(&one).choose(&one, count)
                    }
                });
                let counts = Meaning::Whole(counts);
                combined(own, ArithmeticKind::Div, joined, counts).map(Meaning::Tensor)
            }
        }
    }

    /// What changes nothing that it is joined with.
    fn nothing(self, sizes: Vec<opledger_dims::Poly>, of: WholeKind) -> Meaning {
        let number = match self.made {
            Made::Last | Made::Sum | Made::Mean => 0.0,
            Made::Product => 1.0,
            // The least whole number that has an opposite.
            Made::Largest | Made::Smallest if of != WholeKind::Real => {
                return Meaning::Whole(Whole { sizes, expr: (i64::MIN + 1).into(), kind: of });
            }
            Made::Largest | Made::Smallest => f64::NEG_INFINITY,
        };
        super::create::numbers(sizes, number, of)
    }
}

fn opposite(own: &mut Importer<'_>, value: Meaning) -> Lowered<Meaning> {
    match value {
        Meaning::Whole(whole) => {
            let none = IndexExpr::from(0);
            Ok(Meaning::Whole(whole.each(whole.kind, |expr| none.minus(expr))))
        }
        value => {
            let mut x = own.real(value)?;
            x.var = own.graph.pointwise(x.var, Pointwise::Neg)?;
            Ok(Meaning::Tensor(x))
        }
    }
}
