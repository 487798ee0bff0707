//! What runs along a dimension: sums and products of all elements up to each, and logarithms of sums of
//! exponentials.

use opledger_ir::ops::{ArithmeticKind, CompareKind, CumulativeKind, Pointwise};
use opledger_ir::{Axis, GraphError, IndexExpr, Scan, ScanValues};

use crate::call::Call;
use crate::importer::{Importer, Lowered, Meaning, Obstacle};
use crate::tensor::Placed;
use crate::whole::{Whole, WholeKind};

pub(super) fn lower(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Vec<Meaning>> {
    let value = match base {
        "cumsum" => joined(own, call, CumulativeKind::Sum)?,
        "cumprod" => joined(own, call, CumulativeKind::Product)?,
        "logcumsumexp" | "_logcumsumexp" => Meaning::Tensor(log_sums(own, call)?),
        _ => return Err(Obstacle::Unknown),
    };
    Ok(vec![value])
}

/// Sums or products; sums of whole numbers that are the same along the dimension are an expression.
fn joined(own: &mut Importer<'_>, call: &Call<'_>, kind: CumulativeKind) -> Lowered<Meaning> {
    let whole = match call.value(own, "self")? {
        Meaning::Whole(whole) => whole,
        value => {
            let mut tensor = own.real(value)?;
            let dim = call.dim("dim", -1, tensor.dims.len())?;
            let mut movement = own.movement();
            movement.real(&mut tensor)?;
            let axis = movement.axis(&mut tensor, dim)?.name;
            let var = match kind {
                CumulativeKind::Sum => movement.graph.cumulative(tensor.var, axis)?,
                CumulativeKind::Product => movement.graph.cumulative_product(tensor.var, axis)?,
            };
            return Ok(Meaning::Tensor(Placed { var, ..tensor }));
        }
    };
    let dim = call.dim("dim", -1, whole.sizes.len())?;
    if kind == CumulativeKind::Product || whole.expr.uses(dim) {
        return of_whole(own, &whole, dim, kind);
    }
    let position = IndexExpr::Position(dim).plus(&1.into());
    Ok(Meaning::Whole(whole.each(WholeKind::Whole, |expr| expr.times(&position))))
}

/// The sums or products of whole numbers along a dimension.
pub(super) fn of_whole(
    own: &mut Importer<'_>,
    whole: &Whole,
    dim: usize,
    kind: CumulativeKind,
) -> Lowered<Meaning> {
    let mut movement = own.movement();
    let mut tensor = movement.whole(&whole.sizes, &whole.expr, false)?;
    let axis = movement.axis(&mut tensor, dim)?.name;
    let var = match kind {
        CumulativeKind::Sum => movement.graph.cumulative(tensor.var, axis)?,
        CumulativeKind::Product => movement.graph.cumulative_product(tensor.var, axis)?,
    };
    own.computed(var, tensor.dims, WholeKind::Whole)
}

/// The logarithm of the sum of the exponentials up to each element, step by step from −∞ on: of what is
/// summed up and the next element the larger, and ln(1 + e^−d) where they are d apart
/// (`aten/src/ATen/native/cpu/ReduceOpsKernel.cpp`).
fn log_sums(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Placed> {
    let mut x = call.tensor(own, "self")?;
    let dim = call.dim("dim", -1, x.dims.len())?;
    let (axis, others) = stepwise(own, &mut x, dim)?;
    let start = own.graph.fill(others.clone(), f64::NEG_INFINITY)?;
    let none = own.graph.fill(Vec::<Axis>::new(), 0.0)?;
    let scope = own.graph.repeated(call.result(0)?, axis.size);
    let (carried, stacks) = (vec![start], vec![x.var]);
    let scan = Scan { carried, stacks, axis: axis.name, reverse: false };
    let values = own.graph.scan(&scope, &scan, |g, at| -> Result<ScanValues, GraphError> {
        let (before, next) = (at.carried[0], at.stacked[0]);
        let larger = g.arithmetic("", ArithmeticKind::Max, before, next)?;
        let apart = g.arithmetic("", ArithmeticKind::Sub, before, next)?;
        let distance = g.pointwise(apart, Pointwise::Abs)?;
        let below = g.pointwise(distance, Pointwise::Neg)?;
        // Equal infinities are none apart.
        let same = g.compare(CompareKind::Equal, others.clone(), before, next)?;
        let below = g.select(others, same, none, below)?;
        let share = g.pointwise(below, Pointwise::Exp)?;
        let more = g.pointwise(share, Pointwise::Log1p)?;
        let sum = g.add("", larger, more)?;
        Ok(ScanValues { carried: vec![sum], stacked: vec![sum] })
    })?;
    Ok(Placed { var: values.stacked[0], ..x })
}

/// The tensor with the axis of a dimension in front of all others: that axis, and those.
pub(super) fn stepwise(
    own: &mut Importer<'_>,
    x: &mut Placed,
    dim: usize,
) -> Lowered<(Axis, Vec<Axis>)> {
    let mut movement = own.movement();
    movement.real(x)?;
    let axis = movement.axis(x, dim)?;
    let shape = &movement.graph.shape(x.var).axes;
    let others: Vec<Axis> = shape.iter().filter(|own| own.name != axis.name).cloned().collect();
    let mut order = vec![axis.name.clone()];
    order.extend(others.iter().map(|axis| axis.name.clone()));
    movement.order(x, order)?;
    Ok((axis, others))
}
