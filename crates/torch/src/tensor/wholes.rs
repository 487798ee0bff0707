//! Whole numbers that expressions give.

use opledger_dims::Poly;
use opledger_ir::ops::ToReal;
use opledger_ir::{Axis, IndexExpr, Var};

use super::{Arranged, Dim, DimPart, Movement, Placed};

impl Movement<'_> {
    /// Whole numbers given by an expression, recorded over the dimensions that it depends on.
    pub(crate) fn whole(
        &mut self,
        sizes: &[Poly],
        expr: &IndexExpr,
        truth: bool,
    ) -> Arranged<Placed> {
        let one = Poly::one();
        let used: Vec<usize> = (0..sizes.len()).filter(|dim| expr.uses(*dim)).collect();
        let axes = self.axes(&used.iter().map(|dim| sizes[*dim].clone()).collect::<Vec<_>>());
        let mut dims: Vec<Dim> = sizes
            .iter()
            .map(|size| if *size == one { Dim::new() } else { vec![DimPart::Repeat(size.clone())] })
            .collect();
        for (dim, axis) in used.iter().zip(&axes) {
            dims[*dim] = vec![DimPart::Axis(axis.clone())];
        }
        if let Some(var) = self.given(expr, &used, sizes) {
            let own = self.graph.shape(var).axes.clone();
            for (dim, axis) in used.iter().zip(own) {
                dims[*dim] = vec![DimPart::Axis(axis)];
            }
            return Ok(Placed { var, dims });
        }
        let var = self.mapped(expr, &used, axes, truth)?;
        Ok(Placed { var, dims })
    }

    /// Whole numbers given by an expression over some dimensions, each of which has an axis.
    pub(crate) fn mapped(
        &mut self,
        expr: &IndexExpr,
        used: &[usize],
        axes: Vec<Axis>,
        truth: bool,
    ) -> Arranged<Var> {
        let mut operands: Vec<Var> = Vec::new();
        let value = expr.map(
            &|dim| {
                let at = used.iter().position(|own| *own == dim);
                at.map_or_else(|| IndexExpr::from(0), IndexExpr::Position)
            },
            &|operand, at| IndexExpr::Lookup { operand, at },
        );
        value.visit(&mut |expr| {
            if let IndexExpr::Lookup { operand, .. } = expr {
                let var = self.wholes.get(*operand).copied();
                operands.extend(var.filter(|var| !operands.contains(var)));
            }
        });
        let place = |own: usize| {
            operands.iter().position(|var| self.wholes.get(own) == Some(var)).unwrap_or(0)
        };
        let value = value.map(&IndexExpr::Position, &|operand, at| IndexExpr::Lookup {
            operand: place(operand),
            at,
        });
        let op = opledger_ir::ops::IndexMap { axes, value, truth };
        Ok(self.graph.record("", op, &operands)?)
    }

    /// The tensor that an expression over dimensions of some sizes gives back as it is, over those used.
    pub(crate) fn given(&self, expr: &IndexExpr, used: &[usize], sizes: &[Poly]) -> Option<Var> {
        let IndexExpr::Lookup { operand, at } = expr else { return None };
        let places = used.iter().map(|dim| IndexExpr::Position(*dim));
        let var = *self.wholes.get(*operand)?;
        // A part of a tensor begins as all of it does.
        let own = self.graph.shape(var).axes.iter().map(|axis| &axis.size);
        let is_whole = own.eq(used.iter().filter_map(|dim| sizes.get(*dim)));
        (is_whole && at.iter().cloned().eq(places)).then_some(var)
    }

    /// Whole numbers as reals.
    pub(crate) fn reals(&mut self, tensor: Placed) -> Arranged<Placed> {
        if self.graph.shape(tensor.var).elem.kind() == opledger_ir::Kind::Real {
            return Ok(tensor);
        }
        let var = self.graph.record("", ToReal, &[tensor.var])?;
        Ok(Placed { var, ..tensor })
    }
}
