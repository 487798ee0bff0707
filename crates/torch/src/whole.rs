//! Tensors of whole numbers and of truth values as expressions in their places.

use opledger_dims::Poly;
use opledger_ir::IndexExpr;

/// What the numbers are to PyTorch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WholeKind {
    Truth,
    Whole,
    /// Reals that are whole.
    Real,
}

/// A tensor whose elements follow from their places.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Whole {
    pub(crate) sizes: Vec<Poly>,
    pub(crate) expr: IndexExpr,
    pub(crate) kind: WholeKind,
}

impl Whole {
    /// The same number everywhere.
    pub(crate) fn filled(sizes: Vec<Poly>, expr: IndexExpr, kind: WholeKind) -> Whole {
        Whole { sizes, expr, kind }
    }

    /// Where it is the first of two numbers, that number, and what it is elsewhere.
    pub(crate) fn one_of_two(&self) -> Option<(Whole, f64, f64)> {
        if self.expr.is_truth() {
            return Some((self.clone(), 1.0, 0.0));
        }
        let (constant, terms) = self.expr.parts();
        let [(term, factor)] = &terms[..] else { return None };
        // Whole numbers that a real has.
        let number = |of: &Poly| {
            let number = i64::try_from(of.as_integer()?).ok()?;
            (number.unsigned_abs() <= 1 << 53).then_some(number as f64)
        };
        let (otherwise, more) = (number(&constant)?, number(factor)?);
        let when = self.each(WholeKind::Truth, |_| term.clone());
        term.is_truth().then_some((when, otherwise + more, otherwise))
    }

    /// A tensor that look-ups go by this number to, with an axis for each dimension.
    pub(crate) fn given(operand: usize, sizes: Vec<Poly>, kind: WholeKind) -> Whole {
        let at = (0..sizes.len()).map(IndexExpr::Position).collect();
        let expr = IndexExpr::Lookup { operand, at };
        Whole { sizes: Vec::new(), expr, kind }.with_sizes(sizes)
    }

    /// The same expression over dimensions of other sizes; in one of one element the position is 0.
    fn with_sizes(self, sizes: Vec<Poly>) -> Whole {
        let one = Poly::one();
        let expr = self.expr.at(&|dim| match sizes.get(dim) {
            Some(size) if *size == one => IndexExpr::from(0),
            Some(_) | None => IndexExpr::Position(dim),
        });
        Whole { sizes, expr, kind: self.kind }
    }

    /// The elements at other places: `from` gives, for each dimension of this tensor, its place.
    pub(crate) fn moved(&self, sizes: Vec<Poly>, from: impl Fn(usize) -> IndexExpr) -> Whole {
        let expr = self.expr.at(&from);
        Whole { sizes: Vec::new(), expr, kind: self.kind }.with_sizes(sizes)
    }

    /// The same with dimensions of one in front.
    pub(crate) fn ranked(&self, rank: usize) -> Whole {
        let missing = rank.saturating_sub(self.sizes.len());
        let sizes = [vec![Poly::one(); missing], self.sizes.clone()].concat();
        self.moved(sizes, |dim| IndexExpr::Position(dim + missing))
    }

    /// The same repeated to these sizes, of the same rank.
    pub(crate) fn expanded(&self, sizes: Vec<Poly>) -> Whole {
        Whole { sizes, ..self.clone() }
    }

    /// The elements in the same order, in dimensions of other sizes.
    pub(crate) fn reshaped(&self, sizes: &[Poly]) -> Whole {
        let one = Poly::one();
        let apart = |sizes: &[Poly]| -> Vec<usize> {
            (0..sizes.len()).filter(|dim| sizes[*dim] != one).collect()
        };
        let (own, new) = (apart(&self.sizes), apart(sizes));
        let same = own.len() == new.len()
            && own.iter().zip(&new).all(|(a, b)| self.sizes[*a] == sizes[*b]);
        if same {
            let place = |dim| own.iter().position(|a| *a == dim).map(|at| new[at]);
            return self.moved(sizes.to_vec(), |dim| {
                place(dim).map_or_else(|| IndexExpr::from(0), IndexExpr::Position)
            });
        }
        // By the number of an element in the order of memory.
        let inner = |sizes: &[Poly], dim: usize| -> Poly { sizes[dim + 1..].iter().product() };
        let number = (0..sizes.len()).fold(IndexExpr::from(0), |sum, dim| {
            sum.plus(&IndexExpr::Position(dim).scaled(&inner(sizes, dim)))
        });
        let outermost = own.first().copied();
        self.moved(sizes.to_vec(), |dim| {
            let above = number.floor_div(&IndexExpr::size(inner(&self.sizes, dim)));
            match outermost == Some(dim) {
                true => above,
                false => above.modulo(&IndexExpr::size(self.sizes[dim].clone())),
            }
        })
    }

    /// Two tensors of broadcast dimensions combined place by place. None where sizes differ.
    pub(crate) fn zip(
        &self,
        other: &Whole,
        kind: WholeKind,
        combine: impl Fn(&IndexExpr, &IndexExpr) -> IndexExpr,
    ) -> Result<Whole, [Poly; 2]> {
        let rank = self.sizes.len().max(other.sizes.len());
        let (a, b) = (self.ranked(rank), other.ranked(rank));
        let sizes = broadcast(&a.sizes, &b.sizes)?;
        Ok(Whole { sizes, expr: combine(&a.expr, &b.expr), kind })
    }

    /// Each element made anew.
    pub(crate) fn each(&self, kind: WholeKind, of: impl Fn(&IndexExpr) -> IndexExpr) -> Whole {
        Whole { sizes: self.sizes.clone(), expr: of(&self.expr), kind }
    }
}

/// Numbers that are written into a part of a tensor, by the places of the whole tensor.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    /// Where they are written.
    inside: IndexExpr,
    numbers: IndexExpr,
}

impl Written {
    /// Numbers in the place of all that there are.
    pub(crate) fn all(numbers: &Whole) -> Written {
        Written { inside: 1.into(), numbers: numbers.expr.clone() }
    }

    /// The same, seen from a tensor of which the one that they are written into is a run of positions.
    pub(crate) fn within(&self, run: &Run) -> Written {
        let first = IndexExpr::size(run.start.clone());
        let behind = IndexExpr::Position(run.dim).minus(&first);
        let step = IndexExpr::size(run.step.clone());
        let place = behind.floor_div(&step);
        let moved = |expr: &IndexExpr| {
            expr.at(&|dim| match dim == run.dim {
                true => place.clone(),
                false => IndexExpr::Position(dim),
            })
        };
        let end = first.plus(&IndexExpr::size(&run.length * &run.step));
        let position = IndexExpr::Position(run.dim);
        let inside = position.below(&end).and(&first.below(&position.plus(&1.into())));
        let inside = inside.and(&behind.modulo(&step).is_zero());
        let (own, numbers) = (moved(&self.inside), moved(&self.numbers));
        Written { inside: inside.and(&own), numbers }
    }

    /// The tensor afterwards.
    pub(crate) fn over(&self, before: &Whole) -> Whole {
        Whole { expr: self.inside.choose(&self.numbers, &before.expr), ..before.clone() }
    }
}

/// Positions of one dimension, equally far apart.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) dim: usize,
    pub(crate) start: Poly,
    pub(crate) length: Poly,
    /// How far apart they are, at least 1.
    pub(crate) step: Poly,
}

impl Run {
    /// Positions side by side.
    pub(crate) fn solid(dim: usize, start: Poly, length: Poly) -> Run {
        Run { dim, start, length, step: Poly::one() }
    }
}

/// The sizes of two tensors of one rank that are repeated along each other; the two that differ where
/// they do.
pub(crate) fn broadcast(a: &[Poly], b: &[Poly]) -> Result<Vec<Poly>, [Poly; 2]> {
    let one = Poly::one();
    let both = a.iter().zip(b).map(|(a, b)| match (*a == one, *b == one) {
        (true, _) => Ok(b.clone()),
        (_, true) => Ok(a.clone()),
        _ if a == b => Ok(a.clone()),
        _ => Err([a.clone(), b.clone()]),
    });
    both.collect()
}

/// How often one whole number has room in another, rounded towards 0.
pub(crate) fn towards_zero(a: &IndexExpr, b: &IndexExpr) -> IndexExpr {
    let none = IndexExpr::from(0);
    let size = |x: &IndexExpr| x.is_positive().choose(x, &none.minus(x));
    let quotient = size(a).floor_div(&size(b));
    let alike = a.is_positive().equals(&b.is_positive());
    alike.choose(&quotient, &none.minus(&quotient))
}
