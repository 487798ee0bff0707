//! Tensors side by side along a dimension.

use opledger_dims::{Poly, Symbol};
use opledger_ir::IndexExpr;

use super::movement::{reshape, sizes_of};
use crate::call::Call;
use crate::importer::{Importer, Lowered, Meaning, Obstacle};
use crate::tensor::{DimPart, Placed};
use crate::whole::Whole;

/// Tensors side by side.
pub(super) fn joined(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Meaning> {
    let values = call.value(own, "tensors")?.list()?;
    let sizes = call.sizes(own, 0)?;
    let rank = sizes.len();
    let dim = call.dim("dim", 0, rank)?;
    let values: Vec<Meaning> = match base {
        "stack" => values
            .into_iter()
            .map(|value| {
                let mut own_sizes = sizes_of(&value)?;
                if own_sizes.len() < dim {
                    return Err(Obstacle::Unknown);
                }
                own_sizes.insert(dim, Poly::one());
                reshape(own, value, &own_sizes)
            })
            .collect::<Lowered<_>>()?,
        _ => values,
    };
    for value in &values {
        if sizes_of(value)?.len() != rank || rank == 0 {
            return Err(Obstacle::Bad("tensors of different ranks are joined".to_owned()));
        }
    }
    if values.iter().all(|value| matches!(value, Meaning::Whole(_))) {
        return whole_joined(values, dim, sizes);
    }
    in_a_row(own, values, dim).map(Meaning::Tensor)
}

/// Reals side by side along a dimension.
pub(super) fn in_a_row(
    own: &mut Importer<'_>,
    values: Vec<Meaning>,
    dim: usize,
) -> Lowered<Placed> {
    let mut all = values.into_iter();
    let first = all.next().ok_or(Obstacle::Unknown)?;
    let mut row = own.real(first)?;
    for value in all {
        let next = own.real(value)?;
        row = side_by_side(own, &row, &next, dim)?;
    }
    Ok(row)
}

/// Two tensors side by side along a dimension.
pub(crate) fn side_by_side(
    own: &mut Importer<'_>,
    a: &Placed,
    b: &Placed,
    dim: usize,
) -> Lowered<Placed> {
    let mut movement = own.movement();
    let (mut a, mut b) = (a.clone(), b.clone());
    movement.real(&mut a)?;
    movement.real(&mut b)?;
    let joined = movement.axis(&mut a, dim)?;
    let other = movement.axis(&mut b, dim)?;
    // The joined dimension runs along as the others do, but for its size.
    let (mut left, mut right) = (a, b);
    for (tensor, axis) in [(&mut left, &joined), (&mut right, &other)] {
        let alike = opledger_ir::Axis::new(axis.name.clone(), "joined");
        tensor.dims[dim] = vec![DimPart::Axis(alike)];
    }
    let (mut left, mut right, dims) = movement.aligned(&left, &right)?;
    movement.widened(&mut left, &dims)?;
    movement.widened(&mut right, &dims)?;
    let common = joined.name.clone();
    // Where they lie otherwise, both as the dimensions do.
    let lie = |of: &Placed| crate::tensor::names(movement.graph.shape(of.var));
    if lie(&left) != lie(&right) {
        let axes = dims.iter().flatten().filter_map(DimPart::axis);
        let order: Vec<Symbol> = axes.map(|axis| axis.name.clone()).collect();
        movement.order(&mut left, order.clone())?;
        movement.order(&mut right, order)?;
    }
    let var = movement.graph.concat(left.var, right.var, common.clone())?;
    let size = &joined.size + &other.size;
    let mut dims = dims;
    dims[dim] = vec![DimPart::Axis(opledger_ir::Axis::new(common, size))];
    Ok(Placed { var, dims })
}

/// Whole numbers side by side along a dimension.
pub(super) fn whole_joined(values: Vec<Meaning>, dim: usize, sizes: Vec<Poly>) -> Lowered<Meaning> {
    let mut wholes = values.into_iter().filter_map(|value| value.whole().ok());
    let mut sum = wholes.next().ok_or(Obstacle::Unknown)?;
    for next in wholes {
        let start = sum.sizes[dim].clone();
        let shifted = next.expr.at(&|own| {
            let at = IndexExpr::Position(own);
            if own == dim { at.minus(&IndexExpr::size(start.clone())) } else { at }
        });
        let at = IndexExpr::Position(dim);
        let first = at.below(&IndexExpr::size(start.clone()));
        // One expression is enough where the second gives the first part's only element too.
        let zero = |expr: &IndexExpr| {
            expr.at(&|own| if own == dim { 0.into() } else { IndexExpr::Position(own) })
        };
        let one = start == Poly::one();
        let expr = match one && zero(&shifted) == zero(&sum.expr) {
            true => shifted,
            false => first.choose(&sum.expr, &shifted),
        };
        let mut sizes = sum.sizes.clone();
        sizes[dim] = &start + &next.sizes[dim];
        sum = Whole { sizes, expr, kind: sum.kind };
    }
    Ok(Meaning::Whole(Whole { sizes, ..sum }))
}
