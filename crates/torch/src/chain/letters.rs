//! Tensors that have a dimension for each letter of scores.

use opledger_dims::Poly;
use opledger_ir::IndexExpr;

use crate::importer::Importer;
use crate::tensor::{Dim, Placed, size};
use crate::whole::Whole;

/// What runs along the scores: their dimensions may be several letters at once, the outermost first, and
/// those of one element are none.
#[derive(Clone, Debug)]
pub(super) struct Letters {
    /// The size of each letter.
    pub(super) sizes: Vec<Poly>,
    /// The letters of each dimension.
    pub(super) dims: Vec<Vec<usize>>,
}

/// How dimensions of other sizes are made of letters.
pub(super) struct Reshaped {
    pub(super) dims: Vec<Vec<usize>>,
    /// Letters that are cut, with the sizes of what is left of them and of a new letter behind them.
    pub(super) cuts: Vec<(usize, [Poly; 2])>,
}

impl Letters {
    /// The size of a dimension.
    fn size(&self, dim: usize) -> Poly {
        self.dims[dim].iter().map(|letter| &self.sizes[*letter]).product()
    }

    /// The same elements in dimensions of other sizes; none where letters do not divide into them.
    pub(super) fn reshaped(&self, sizes: &[Poly]) -> Option<Reshaped> {
        let one = Poly::one();
        let mut left: Vec<(usize, Poly)> = self
            .dims
            .iter()
            .flatten()
            .rev()
            .map(|letter| (*letter, self.sizes[*letter].clone()))
            .collect();
        let mut reshaped = Reshaped { dims: Vec::new(), cuts: Vec::new() };
        let mut known = self.sizes.len();
        for size in sizes {
            let (mut dim, mut rest) = (Vec::new(), size.clone());
            while rest != one {
                let (letter, own) = left.pop()?;
                dim.push(letter);
                if let Some(quotient) = rest.divided_by(&own) {
                    rest = quotient;
                    continue;
                }
                let inner = own.divided_by(&rest)?;
                reshaped.cuts.push((letter, [rest, inner.clone()]));
                left.push((known, inner));
                known += 1;
                rest = one.clone();
            }
            reshaped.dims.push(dim);
        }
        left.is_empty().then_some(reshaped)
    }

    /// Truth values over the dimensions as such over the letters; none of more than the scores.
    pub(super) fn of_whole(&self, whole: &Whole) -> Option<Whole> {
        let one = Poly::one();
        if whole.sizes.len() > self.dims.len() {
            return None;
        }
        let whole = whole.ranked(self.dims.len());
        let fits = |(dim, own): (usize, &Poly)| *own == one || *own == self.size(dim);
        if !whole.sizes.iter().enumerate().all(fits) {
            return None;
        }
        let expr = whole.expr.at(&|dim| place(&self.dims[dim], &self.sizes, IndexExpr::Position));
        Some(Whole { sizes: self.sizes.clone(), expr, kind: whole.kind })
    }

    /// A tensor over the dimensions as one over the letters.
    pub(super) fn of_tensor(&self, own: &mut Importer<'_>, tensor: &Placed) -> Option<Placed> {
        let missing = self.dims.len().checked_sub(tensor.dims.len())?;
        let mut dims = vec![Dim::new(); missing];
        dims.extend(tensor.dims.iter().cloned());
        let given = Placed { var: tensor.var, dims };
        let mut sizes = Vec::new();
        for (letters, dim) in self.dims.iter().zip(&given.dims) {
            match dim.is_empty() {
                true => sizes.extend(letters.iter().map(|_| Poly::one())),
                false => sizes.extend(letters.iter().map(|letter| self.sizes[*letter].clone())),
            }
        }
        let cut = own.movement().reshape(&given, &sizes).ok()?;
        let mut dims = vec![Dim::new(); self.sizes.len()];
        for (letter, dim) in self.dims.iter().flatten().zip(cut.dims) {
            dims[*letter] = dim;
        }
        Some(Placed { var: cut.var, dims })
    }
}

/// The place along letters that run as one.
pub(super) fn place(
    letters: &[usize],
    sizes: &[Poly],
    of: impl Fn(usize) -> IndexExpr,
) -> IndexExpr {
    letters
        .iter()
        .fold(IndexExpr::from(0), |place, letter| place.scaled(&sizes[*letter]).plus(&of(*letter)))
}

/// A tensor of whose dimension, one of several, a part becomes a new dimension behind all.
pub(super) fn cut(
    own: &mut Importer<'_>,
    tensor: &Placed,
    dim: usize,
    into: &[Poly; 2],
) -> Option<Placed> {
    if tensor.dims[dim].is_empty() {
        let mut dims = tensor.dims.clone();
        dims.push(Dim::new());
        return Some(Placed { var: tensor.var, dims });
    }
    let mut sizes: Vec<Poly> = tensor.dims.iter().map(|dim| size(dim)).collect();
    sizes.splice(dim..=dim, into.clone());
    let mut cut = own.movement().reshape(tensor, &sizes).ok()?;
    let inner = cut.dims.remove(dim + 1);
    cut.dims.push(inner);
    Some(cut)
}
