//! Tensors of broadcast dimensions under common names.

use std::collections::BTreeSet;

use opledger_dims::{Poly, Symbol};
use opledger_ir::ops::Rearrange;

use super::{Arranged, Dim, DimPart, Misfit, Movement, Placed, size};

impl Movement<'_> {
    /// Two tensors of broadcast dimensions with equal names for what runs along, and their common
    /// dimensions.
    pub(crate) fn aligned(
        &mut self,
        a: &Placed,
        b: &Placed,
    ) -> Arranged<(Placed, Placed, Vec<Dim>)> {
        let (mut a, mut b) = (a.clone(), b.clone());
        let rank = a.dims.len().max(b.dims.len());
        for tensor in [&mut a, &mut b] {
            let missing = rank - tensor.dims.len();
            tensor.dims.splice(0..0, vec![Dim::new(); missing]);
        }
        for dim in 0..rank {
            self.refine(&mut a, &mut b, dim)?;
        }
        let mut names = Vec::new();
        let mut taken: BTreeSet<Symbol> = a.axes().into_iter().map(|axis| axis.name).collect();
        for dim in 0..rank {
            for (at, piece) in b.dims[dim].iter().enumerate() {
                let DimPart::Axis(axis) = piece else { continue };
                match a.dims[dim].get(at) {
                    Some(DimPart::Axis(own)) => names.push((axis.name.clone(), own.name.clone())),
                    Some(DimPart::Repeat(_)) | None => {
                        let name = self.name(&axis.size, &taken);
                        taken.insert(name.clone());
                        names.push((axis.name.clone(), name));
                    }
                }
            }
        }
        self.renamed(&mut b, &names)?;
        let mut dims = Vec::new();
        for dim in 0..rank {
            let (own, other) = (&a.dims[dim], &b.dims[dim]);
            let pieces = own.iter().zip(other).map(|(own, other)| match (own, other) {
                (DimPart::Repeat(_), DimPart::Axis(_)) => other.clone(),
                (DimPart::Axis(_) | DimPart::Repeat(_), _) => own.clone(),
            });
            dims.push(if own.is_empty() {
                other.clone()
            } else if other.is_empty() {
                own.clone()
            } else {
                pieces.collect()
            });
        }
        Ok((a, b, dims))
    }

    /// Splits a dimension of both into parts of equal sizes, where both have more than one element.
    fn refine(&mut self, a: &mut Placed, b: &mut Placed, dim: usize) -> Arranged<()> {
        let one = Poly::one();
        for tensor in [&mut *a, &mut *b] {
            if size(&tensor.dims[dim]) == one {
                self.scalar(tensor, dim)?;
            }
        }
        if a.dims[dim].is_empty() || b.dims[dim].is_empty() {
            return Ok(());
        }
        let sizes = |own: &Placed, other: &Placed| {
            let (own, other) = (size(&own.dims[dim]), size(&other.dims[dim]));
            Misfit::Sizes(format!("a dimension of {own} meets one of {other}"))
        };
        let mut at = 0;
        loop {
            match (a.dims[dim].get(at), b.dims[dim].get(at)) {
                (None, None) => return Ok(()),
                (Some(x), Some(y)) if x.size() == y.size() => at += 1,
                (Some(x), Some(y)) => {
                    let (x, y) = (x.size().clone(), y.size().clone());
                    if let Some(rest) = x.divided_by(&y) {
                        self.split(a, dim, at, &[y, rest])?;
                    } else if let Some(rest) = y.divided_by(&x) {
                        self.split(b, dim, at, &[x, rest])?;
                    } else if size(&a.dims[dim]) == size(&b.dims[dim]) {
                        // No common parts: one axis each.
                        self.single(a, dim)?;
                        self.single(b, dim)?;
                        at = 0;
                    } else {
                        return Err(sizes(a, b));
                    }
                }
                (Some(_), None) | (None, Some(_)) => return Err(sizes(a, b)),
            }
        }
    }

    /// The tensor with an axis wherever `dims` has one.
    pub(crate) fn widened(&mut self, tensor: &mut Placed, dims: &[Dim]) -> Arranged<()> {
        let own: BTreeSet<Symbol> =
            self.graph.shape(tensor.var).axes.iter().map(|axis| axis.name.clone()).collect();
        for axis in dims.iter().flatten().filter_map(DimPart::axis) {
            if !own.contains(&axis.name) {
                let how = Rearrange::Expand { axis: axis.clone() };
                tensor.var = self.graph.rearrange(tensor.var, how)?;
            }
        }
        tensor.dims = dims.to_vec();
        Ok(())
    }
}
