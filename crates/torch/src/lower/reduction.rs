//! Sums, means and maxima along dimensions, and sums that run.

use opledger_dims::{Poly, Symbol};
use opledger_ir::IndexExpr;
use opledger_ir::ops::{ArithmeticKind, Pointwise, Reduce};

use super::movement::sizes_of;
use crate::call::{Call, place};
use crate::importer::{Importer, Lowered, Meaning, Obstacle};
use crate::tensor::{Dim, Placed};
use crate::whole::{Whole, WholeKind};

pub(super) fn lower(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Vec<Meaning>> {
    let one = |tensor: Placed| Ok(vec![Meaning::Tensor(tensor)]);
    match base {
        "sum" => one(reduced(own, call, Reduce::Sum)?),
        "mean" => one(reduced(own, call, Reduce::Mean)?),
        "amax" => one(reduced(own, call, Reduce::Max)?),
        // The largest, and where it stands, which nobody may ask for.
        "max" if call.has("dim") => {
            Ok(vec![Meaning::Tensor(reduced(own, call, Reduce::Max)?), Meaning::None])
        }
        "adaptive_avg_pool2d" | "adaptive_avg_pool1d" | "adaptive_avg_pool3d" => {
            let sizes = call.sizes(own, 0)?;
            let mut x = call.tensor(own, "self")?;
            let rank = x.dims.len();
            let positions = base.as_bytes()[base.len() - 2] - b'0';
            let from = rank.checked_sub(usize::from(positions)).ok_or(Obstacle::Unknown)?;
            if sizes.len() != rank {
                return Err(Obstacle::Unknown);
            }
            let before = x.sizes();
            if sizes[from..] == before[from..] {
                return one(x);
            }
            if sizes[from..].iter().any(|size| *size != Poly::one()) {
                return one(averaged(own, &x, &sizes, from)?);
            }
            along(own, &mut x, &(from..rank).collect::<Vec<_>>(), true, Reduce::Mean)?;
            one(x)
        }
        "var" | "std" => one(variance(own, call, base)?),
        "linalg_vector_norm" | "norm" => one(vector_norm(own, call)?),
        "cumsum" => cumulated(own, call),
        "diff" => difference(own, call),
        "all" | "any" => truths(own, call),
        _ => Err(Obstacle::Unknown),
    }
}

/// The dimensions that a call names; all of them where it names none.
fn dims(call: &Call<'_>, rank: usize) -> Lowered<Vec<usize>> {
    match call.ints("dim") {
        Some(dims) if !dims.is_empty() => dims.into_iter().map(|dim| place(dim, rank)).collect(),
        Some(_) | None => Ok((0..rank).collect()),
    }
}

fn reduced(own: &mut Importer<'_>, call: &Call<'_>, kind: fn(Symbol) -> Reduce) -> Lowered<Placed> {
    let mut x = call.tensor(own, "self")?;
    let dims = dims(call, x.dims.len())?;
    along(own, &mut x, &dims, call.flag("keepdim", false), kind)?;
    Ok(x)
}

/// Reduces over several dimensions at once.
fn along(
    own: &mut Importer<'_>,
    x: &mut Placed,
    dims: &[usize],
    keep: bool,
    kind: fn(Symbol) -> Reduce,
) -> Lowered<()> {
    let mut movement = own.movement();
    movement.real(x)?;
    let mut dims = dims.to_vec();
    dims.sort_unstable();
    dims.dedup();
    // All of them as one axis.
    let parts: Dim = dims.iter().flat_map(|dim| x.dims[*dim].clone()).collect();
    for dim in &dims {
        x.dims[*dim].clear();
    }
    x.dims.push(parts);
    let last = x.dims.len() - 1;
    let axis = movement.axis(x, last)?;
    x.dims.pop();
    x.var = movement.graph.reduce(x.var, kind(axis.name))?;
    if !keep {
        for dim in dims.iter().rev() {
            x.dims.remove(*dim);
        }
    }
    Ok(())
}

/// Means over blocks of equal sizes, where every dimension is cut into whole ones.
fn averaged(own: &mut Importer<'_>, x: &Placed, sizes: &[Poly], from: usize) -> Lowered<Placed> {
    let before = x.sizes();
    let mut blocks = before[..from].to_vec();
    let mut inside = Vec::new();
    for (size, result) in before[from..].iter().zip(&sizes[from..]) {
        let block = size.divided_by(result).ok_or(Obstacle::Unknown)?;
        blocks.extend([result.clone(), block]);
        inside.push(blocks.len() - 1);
    }
    let mut x = own.movement().reshape(x, &blocks)?;
    along(own, &mut x, &inside, false, Reduce::Mean)?;
    Ok(x)
}

/// Variance by its definition: the mean of the squares of what is centred, or their sum over one fewer.
fn variance(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Placed> {
    let x = call.tensor(own, "self")?;
    let dims = dims(call, x.dims.len())?;
    let keep = call.flag("keepdim", false);
    let unbiased = call.flag("unbiased", true);
    let correction = call.float("correction").unwrap_or(if unbiased { 1.0 } else { 0.0 });
    let mut mean = x.clone();
    along(own, &mut mean, &dims, true, Reduce::Mean)?;
    let operands = (Meaning::Tensor(x), Meaning::Tensor(mean));
    let centred = super::elementwise::combined(own, ArithmeticKind::Sub, operands.0, operands.1)?;
    let count: Poly = dims.iter().map(|dim| crate::tensor::size(&centred.dims[*dim])).product();
    let var = own.graph.pointwise(centred.var, Pointwise::Power(2.0))?;
    let mut squares = Placed { var, ..centred };
    if correction == 0.0 {
        along(own, &mut squares, &dims, keep, Reduce::Mean)?;
    } else {
        let count = count.as_integer().and_then(|count| i64::try_from(count).ok());
        let Some(count) = count else { return Err(Obstacle::Unknown) };
        along(own, &mut squares, &dims, keep, Reduce::Sum)?;
        let by = Meaning::Number(count as f64 - correction);
        let operand = Meaning::Tensor(squares);
        squares = super::elementwise::combined(own, ArithmeticKind::Div, operand, by)?;
    }
    if base == "std" {
        squares.var = own.graph.pointwise(squares.var, Pointwise::Sqrt)?;
    }
    Ok(squares)
}

/// The length of vectors: the root of the sum of squares, or the sum of absolute values.
fn vector_norm(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Placed> {
    let x = call.tensor(own, "self")?;
    let dims = dims(call, x.dims.len())?;
    let keep = call.flag("keepdim", false);
    let order = ["ord", "p"].iter().find_map(|name| call.float(name)).unwrap_or(2.0);
    let mut of = x;
    own.movement().real(&mut of)?;
    let (inside, root) = match order {
        2.0 => (Pointwise::Power(2.0), true),
        1.0 => (Pointwise::Abs, false),
        _ => return Err(Obstacle::Unknown),
    };
    of.var = own.graph.pointwise(of.var, inside)?;
    along(own, &mut of, &dims, keep, Reduce::Sum)?;
    if root {
        of.var = own.graph.pointwise(of.var, Pointwise::Sqrt)?;
    }
    Ok(of)
}

/// Running sums; of whole numbers that are the same along the dimension, an expression.
fn cumulated(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Vec<Meaning>> {
    let whole = match call.value(own, "self")? {
        Meaning::Whole(whole) => whole,
        Meaning::Tensor(mut tensor) => {
            let dim = call.dim("dim", -1, tensor.dims.len())?;
            let mut movement = own.movement();
            movement.real(&mut tensor)?;
            let axis = movement.axis(&mut tensor, dim)?;
            let var = movement.graph.cumulative(tensor.var, axis.name)?;
            return Ok(vec![Meaning::Tensor(Placed { var, ..tensor })]);
        }
        _ => return Err(Obstacle::Unknown),
    };
    let dim = call.dim("dim", -1, whole.sizes.len())?;
    if whole.expr.uses(dim) {
        let mut movement = own.movement();
        let mut tensor = movement.whole(&whole.sizes, &whole.expr, false)?;
        let axis = movement.axis(&mut tensor, dim)?;
        let var = movement.graph.cumulative(tensor.var, axis.name)?;
        return Ok(vec![own.computed(var, tensor.dims, WholeKind::Whole)?]);
    }
    let position = IndexExpr::Position(dim).plus(&1.into());
    let sum = whole.each(WholeKind::Whole, |expr| expr.times(&position));
    Ok(vec![Meaning::Whole(sum)])
}

/// Differences of neighbours.
fn difference(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Vec<Meaning>> {
    let Meaning::Whole(mut whole) = call.value(own, "self")? else { return Err(Obstacle::Unknown) };
    let sizes = call.sizes(own, 0)?;
    let dim = call.dim("dim", -1, whole.sizes.len())?;
    if call.int("n", 1) != 1 || call.has("append") {
        return Err(Obstacle::Unknown);
    }
    if let Meaning::Whole(before) = call.value(own, "prepend")? {
        let mut sizes = whole.sizes.clone();
        sizes[dim] = &sizes[dim] + &before.sizes[dim];
        let joined = vec![Meaning::Whole(before), Meaning::Whole(whole)];
        let Meaning::Whole(joined) = super::movement::whole_joined(joined, dim, sizes)? else {
            return Err(Obstacle::Unknown);
        };
        whole = joined;
    }
    let at = |own: usize, by: i64| {
        let place = IndexExpr::Position(own);
        if own == dim { place.plus(&by.into()) } else { place }
    };
    let later = whole.expr.at(&|own| at(own, 1));
    let expr = later.minus(&whole.expr.at(&|own| at(own, 0)));
    Ok(vec![Meaning::Whole(Whole { sizes, expr, kind: WholeKind::Whole })])
}

/// Whether all or any of truth values hold that are the same everywhere.
fn truths(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Vec<Meaning>> {
    let value = call.value(own, "self")?;
    let rank = sizes_of(&value)?.len();
    let Meaning::Whole(whole) = value else { return Err(Obstacle::Unknown) };
    let dims = dims(call, rank)?;
    if dims.iter().any(|dim| whole.expr.uses(*dim)) {
        return Err(Obstacle::Unknown);
    }
    let sizes = call.sizes(own, 0)?;
    let truth = whole.each(WholeKind::Truth, IndexExpr::truth);
    Ok(vec![Meaning::Whole(truth.reshaped(&sizes))])
}
