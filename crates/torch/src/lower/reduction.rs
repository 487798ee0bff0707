//! Sums, means and maxima along dimensions.

use opledger_dims::{Poly, Symbol};
use opledger_ir::ops::{ArithmeticKind, CumulativeKind, Pointwise, Reduce};
use opledger_ir::{Axis, IndexExpr};

use super::elementwise::combined;
use crate::call::{Call, place};
use crate::importer::{Importer, Lowered, Meaning, Obstacle};
use crate::tensor::{Dim, DimPart, Placed};
use crate::whole::{Whole, WholeKind};

pub(super) fn lower(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Vec<Meaning>> {
    let one = |tensor: Placed| Ok(vec![Meaning::Tensor(tensor)]);
    match base {
        "sum" if call.kind(own, 0)? != WholeKind::Real => whole_sum(own, call),
        "sum" => {
            let x = call.tensor(own, "self")?;
            let (sizes, over) = (x.sizes(), dims(call, x.dims.len())?);
            match over.iter().any(|dim| sizes[*dim].is_zero()) {
                // A sum of nothing.
                true => {
                    let sizes = call.sizes(own, 0)?;
                    one(own.zeros(sizes)?)
                }
                false => one(reduced(own, call, Reduce::Sum)?),
            }
        }
        // A mean of nothing is no number, a product of nothing 1.
        "mean" | "prod" if over_nothing(own, call)? => {
            let number = if base == "mean" { f64::NAN } else { 1.0 };
            Ok(vec![super::create::numbers(call.sizes(own, 0)?, number, call.kind(own, 0)?)])
        }
        "mean" => one(reduced(own, call, Reduce::Mean)?),
        "var" | "std" => one(variance(own, call, base)?.0),
        "var_mean" | "std_mean" => {
            let (spread, mean) = variance(own, call, base)?;
            Ok(vec![Meaning::Tensor(spread), Meaning::Tensor(mean)])
        }
        "prod" => product(own, call),
        "count_nonzero" => {
            let value = call.value(own, "self")?;
            let mut truth = super::truth::truth(own, value)?;
            for dim in dims(call, truth.sizes.len())? {
                truth = summed(own, &truth, dim)?;
            }
            let sizes = call.sizes(own, 0)?;
            Ok(vec![Meaning::Whole(truth.reshaped(&sizes))])
        }
        "linalg_vector_norm" | "norm" => one(vector_norm(own, call)?),
        // Without an order it is the length of all, of two dimensions too.
        "linalg_norm"
            if !call.has("ord") || call.ints("dim").is_some_and(|dims| dims.len() == 1) =>
        {
            one(vector_norm(own, call)?)
        }
        // Of Frobenius, unless another is named.
        "linalg_matrix_norm" if !call.has("ord") || call.text("ord") == Some("fro") => {
            let x = call.tensor(own, "self")?;
            let over = call.ints("dim").unwrap_or_else(|| vec![-2, -1]);
            let over = over.into_iter().map(|dim| place(dim, x.dims.len()));
            let over = over.collect::<Lowered<Vec<_>>>()?;
            one(lengths(own, x, &over, call.flag("keepdim", false), 2.0)?)
        }
        "linalg_matrix_norm" | "linalg_norm" if call.float("ord").is_some() => {
            one(matrix_norm(own, call)?)
        }
        "logsumexp" => {
            let x = call.tensor(own, "self")?;
            let dims = dims(call, x.dims.len())?;
            one(log_sum_exp(own, &x, &dims, call.flag("keepdim", false))?)
        }
        "log_softmax" | "_log_softmax" => {
            let x = call.tensor(own, if call.has("self") { "self" } else { "input" })?;
            let dim = call.dim("dim", -1, x.dims.len())?;
            one(log_softmax(own, x, dim)?)
        }
        "cosine_similarity" => one(cosine(own, call)?),
        "cdist" | "_cdist_forward" | "pairwise_distance" => one(distance(own, call, base)?),
        _ => Err(Obstacle::Unknown),
    }
}

/// The dimensions that a call names; all of them where it names none.
pub(super) fn dims(call: &Call<'_>, rank: usize) -> Lowered<Vec<usize>> {
    match call.ints("dim") {
        Some(dims) if !dims.is_empty() => dims.into_iter().map(|dim| place(dim, rank)).collect(),
        Some(_) | None => Ok((0..rank).collect()),
    }
}

/// Whether one of the dimensions that a call names has no elements.
fn over_nothing(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<bool> {
    let sizes = super::movement::sizes_of(&call.value(own, "self")?)?;
    Ok(dims(call, sizes.len())?.into_iter().any(|dim| sizes[dim].is_zero()))
}

fn reduced(own: &mut Importer<'_>, call: &Call<'_>, kind: fn(Symbol) -> Reduce) -> Lowered<Placed> {
    let mut x = call.tensor(own, "self")?;
    let dims = dims(call, x.dims.len())?;
    along(own, &mut x, &dims, call.flag("keepdim", false), kind)?;
    Ok(x)
}

/// Dimensions as one axis, which stands in none of them then.
pub(super) fn joined(own: &mut Importer<'_>, x: &mut Placed, dims: &[usize]) -> Lowered<Axis> {
    let mut dims = dims.to_vec();
    dims.sort_unstable();
    let parts: Vec<DimPart> = dims.iter().flat_map(|dim| x.dims[*dim].clone()).collect();
    for dim in &dims {
        x.dims[*dim].clear();
    }
    x.dims.push(parts);
    let last = x.dims.len() - 1;
    let axis = own.movement().axis(x, last)?;
    x.dims.pop();
    Ok(axis)
}

/// Reduces over several dimensions at once.
pub(super) fn along(
    own: &mut Importer<'_>,
    x: &mut Placed,
    dims: &[usize],
    keep: bool,
    kind: fn(Symbol) -> Reduce,
) -> Lowered<()> {
    own.movement().real(x)?;
    let mut dims = dims.to_vec();
    dims.sort_unstable();
    dims.dedup();
    let axis = joined(own, x, &dims)?;
    x.var = own.graph.reduce(x.var, kind(axis.name))?;
    if !keep {
        for dim in dims.iter().rev() {
            x.dims.remove(*dim);
        }
    }
    Ok(())
}

/// The product along dimensions: the last of those of all up to each.
fn product(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Vec<Meaning>> {
    let value = call.value(own, "self")?;
    let (sizes, kind) = (call.sizes(own, 0)?, call.kind(own, 0)?);
    let dims = dims(call, super::movement::sizes_of(&value)?.len())?;
    let last = |size: &Poly| size - &Poly::one();
    let value = match value {
        Meaning::Whole(mut whole) if kind != WholeKind::Real => {
            for dim in dims {
                let all = super::running::of_whole(own, &whole, dim, CumulativeKind::Product)?;
                let place = IndexExpr::size(last(&whole.sizes[dim]));
                let mut sizes = whole.sizes.clone();
                sizes[dim] = Poly::one();
                whole = all.whole()?.moved(sizes, |own| match own == dim {
                    true => place.clone(),
                    false => IndexExpr::Position(own),
                });
            }
            Meaning::Whole(whole)
        }
        value => {
            let mut x = own.real(value)?;
            own.movement().real(&mut x)?;
            let axis = joined(own, &mut x, &dims)?;
            x.var = own.graph.cumulative_product(x.var, axis.name.clone())?;
            let (dim, place) = (x.dims.len(), last(&axis.size));
            x.dims.push(vec![DimPart::Axis(axis)]);
            super::movement::cut(own, Meaning::Tensor(x), dim, &place, &Poly::one())?
        }
    };
    super::movement::reshape(own, value, &sizes).map(|value| vec![value])
}

/// Variance by its definition: the mean of the squares of what is centred, or their sum over one fewer;
/// and the mean.
fn variance(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<(Placed, Placed)> {
    let x = call.tensor(own, "self")?;
    let dims = dims(call, x.dims.len())?;
    let keep = call.flag("keepdim", false);
    let unbiased = call.flag("unbiased", true);
    let correction = call.float("correction").unwrap_or(if unbiased { 1.0 } else { 0.0 });
    let mut mean = x.clone();
    along(own, &mut mean, &dims, true, Reduce::Mean)?;
    let operands = (Meaning::Tensor(x), Meaning::Tensor(mean.clone()));
    let centred = combined(own, ArithmeticKind::Sub, operands.0, operands.1)?;
    let count: Poly = dims.iter().map(|dim| crate::tensor::size(&centred.dims[*dim])).product();
    let var = own.graph.pointwise(centred.var, Pointwise::Power(2.0))?;
    let mut squares = Placed { var, ..centred };
    if correction == 0.0 {
        along(own, &mut squares, &dims, keep, Reduce::Mean)?;
    } else {
        along(own, &mut squares, &dims, keep, Reduce::Sum)?;
        let by = match count.as_integer().and_then(|count| i64::try_from(count).ok()) {
            Some(count) => Meaning::Number(count as f64 - correction),
            None if correction.fract() == 0.0 => {
                Meaning::Size(&count - Poly::from(correction as i64))
            }
            None => return Err(Obstacle::Unknown),
        };
        let operand = Meaning::Tensor(squares);
        squares = combined(own, ArithmeticKind::Div, operand, by)?;
    }
    if base.starts_with("std") {
        squares.var = own.graph.pointwise(squares.var, Pointwise::Sqrt)?;
    }
    if !keep {
        let mut gone = dims;
        gone.sort_unstable();
        for dim in gone.into_iter().rev() {
            mean.dims.remove(dim);
        }
    }
    Ok((squares, mean))
}

/// The length of vectors: the root of the sum of squares, the sum of absolute values, the largest or the
/// smallest of them, how many are not 0, or the root of the sum of their powers.
fn vector_norm(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Placed> {
    let x = call.tensor(own, "self")?;
    let dims = dims(call, x.dims.len())?;
    let keep = call.flag("keepdim", false);
    let order = ["ord", "p"].iter().find_map(|name| call.float(name)).unwrap_or(2.0);
    lengths(own, x, &dims, keep, order)
}

/// The largest or the smallest sum of absolute values of a column (order 1 or −1) or of a row (±∞).
fn matrix_norm(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Placed> {
    let mut x = call.tensor(own, "self")?;
    let rank = x.dims.len();
    let over = call.ints("dim").unwrap_or_else(|| vec![-2, -1]);
    let [rows, columns] = over[..] else { return Err(Obstacle::Unknown) };
    let (rows, columns) = (place(rows, rank)?, place(columns, rank)?);
    let order = call.float("ord").ok_or(Obstacle::Unknown)?;
    let (summed, left) = match order.abs() {
        1.0 => (rows, columns),
        f64::INFINITY => (columns, rows),
        // The others are of singular values.
        _ => return Err(Obstacle::Unknown),
    };
    own.movement().real(&mut x)?;
    x.var = own.graph.pointwise(x.var, Pointwise::Abs)?;
    along(own, &mut x, &[summed], true, Reduce::Sum)?;
    let least = order < 0.0;
    let opposite = |own: &mut Importer<'_>, x: &mut Placed| -> Lowered<()> {
        if least {
            x.var = own.graph.pointwise(x.var, Pointwise::Neg)?;
        }
        Ok(())
    };
    opposite(own, &mut x)?;
    along(own, &mut x, &[left], true, Reduce::Max)?;
    opposite(own, &mut x)?;
    if !call.flag("keepdim", false) {
        let mut gone = [rows, columns];
        gone.sort_unstable();
        gone.into_iter().rev().for_each(|dim| drop(x.dims.remove(dim)));
    }
    Ok(x)
}

/// Sums of whole numbers, which cost nothing: what has been summed up to the last along each dimension.
fn whole_sum(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Vec<Meaning>> {
    let mut whole = call.value(own, "self")?.whole()?;
    for dim in dims(call, whole.sizes.len())? {
        whole = summed(own, &whole, dim)?;
    }
    let sizes = call.sizes(own, 0)?;
    Ok(vec![Meaning::Whole(whole.reshaped(&sizes))])
}

/// The sum of whole numbers along a dimension, which then has one element.
pub(super) fn summed(own: &mut Importer<'_>, whole: &Whole, dim: usize) -> Lowered<Whole> {
    let (size, mut sizes) = (whole.sizes[dim].clone(), whole.sizes.clone());
    sizes[dim] = Poly::one();
    if !whole.expr.uses(dim) {
        let expr = whole.expr.scaled(&size);
        return Ok(Whole { sizes, expr, kind: WholeKind::Whole });
    }
    let sums = super::running::of_whole(own, whole, dim, CumulativeKind::Sum)?.whole()?;
    let last = IndexExpr::size(&size - &Poly::one());
    Ok(sums.moved(sizes, |own| if own == dim { last.clone() } else { IndexExpr::Position(own) }))
}

/// What is left when the largest along dimensions is taken away, and that largest.
fn below_largest(own: &mut Importer<'_>, x: &Placed, dims: &[usize]) -> Lowered<(Placed, Placed)> {
    let mut largest = x.clone();
    along(own, &mut largest, dims, true, Reduce::Max)?;
    let operands = (Meaning::Tensor(x.clone()), Meaning::Tensor(largest.clone()));
    let rest = combined(own, ArithmeticKind::Sub, operands.0, operands.1)?;
    Ok((rest, largest))
}

/// The logarithm of the sum of exponentials, the largest taken out before.
fn log_sum_exp(own: &mut Importer<'_>, x: &Placed, dims: &[usize], keep: bool) -> Lowered<Placed> {
    let (mut sum, mut largest) = below_largest(own, x, dims)?;
    sum.var = own.graph.pointwise(sum.var, Pointwise::Exp)?;
    along(own, &mut sum, dims, keep, Reduce::Sum)?;
    sum.var = own.graph.pointwise(sum.var, Pointwise::Log)?;
    if !keep {
        let mut gone = dims.to_vec();
        gone.sort_unstable();
        for dim in gone.into_iter().rev() {
            largest.dims.remove(dim);
        }
    }
    combined(own, ArithmeticKind::Add, Meaning::Tensor(sum), Meaning::Tensor(largest))
}

/// The logarithm of a softmax: what is below the largest, less the logarithm of the sum of its
/// exponentials.
pub(super) fn log_softmax(own: &mut Importer<'_>, mut x: Placed, dim: usize) -> Lowered<Placed> {
    own.movement().real(&mut x)?;
    let (rest, _) = below_largest(own, &x, &[dim])?;
    let mut sum = rest.clone();
    sum.var = own.graph.pointwise(sum.var, Pointwise::Exp)?;
    along(own, &mut sum, &[dim], true, Reduce::Sum)?;
    sum.var = own.graph.pointwise(sum.var, Pointwise::Log)?;
    combined(own, ArithmeticKind::Sub, Meaning::Tensor(rest), Meaning::Tensor(sum))
}

/// Lengths along dimensions, by the order of the norm.
pub(super) fn lengths(
    own: &mut Importer<'_>,
    mut x: Placed,
    dims: &[usize],
    keep: bool,
    order: f64,
) -> Lowered<Placed> {
    own.movement().real(&mut x)?;
    let (inside, reduce, after): (_, fn(Symbol) -> Reduce, _) = match order {
        2.0 => (vec![Pointwise::Power(2.0)], Reduce::Sum, Some(Pointwise::Sqrt)),
        1.0 => (vec![Pointwise::Abs], Reduce::Sum, None),
        f64::INFINITY => (vec![Pointwise::Abs], Reduce::Max, None),
        // The smallest is the opposite of the largest of opposites.
        f64::NEG_INFINITY => {
            (vec![Pointwise::Abs, Pointwise::Neg], Reduce::Max, Some(Pointwise::Neg))
        }
        // How many are not 0.
        0.0 => {
            let are = super::truth::truth(own, Meaning::Tensor(x))?;
            x = own.real(Meaning::Whole(are))?;
            (Vec::new(), Reduce::Sum, None)
        }
        p => {
            let root = Pointwise::Power(1.0 / p);
            (vec![Pointwise::Abs, Pointwise::Power(p)], Reduce::Sum, Some(root))
        }
    };
    for function in inside {
        x.var = own.graph.pointwise(x.var, function)?;
    }
    along(own, &mut x, dims, keep, reduce)?;
    if let Some(function) = after {
        x.var = own.graph.pointwise(x.var, function)?;
    }
    Ok(x)
}

/// The sum of the products of two vectors, each over its length, which is no less than a number.
fn cosine(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Placed> {
    let both = [call.tensor(own, "x1")?, call.tensor(own, "x2")?];
    let rank = both.iter().map(|x| x.dims.len()).max().unwrap_or(0);
    let dim = call.dim("dim", 1, rank)?;
    let least = Pointwise::Clamp { min: Some(call.float("eps").unwrap_or(1e-8)), max: None };
    let mut unit = Vec::new();
    for mut x in both {
        let missing = rank - x.dims.len();
        x.dims.splice(0..0, vec![Dim::new(); missing]);
        let mut length = lengths(own, x.clone(), &[dim], true, 2.0)?;
        length.var = own.graph.pointwise(length.var, least)?;
        unit.push(Meaning::Tensor(combined(
            own,
            ArithmeticKind::Div,
            Meaning::Tensor(x),
            Meaning::Tensor(length),
        )?));
    }
    let [a, b] = <[Meaning; 2]>::try_from(unit).map_err(|_| Obstacle::Unknown)?;
    let mut products = combined(own, ArithmeticKind::Mul, a, b)?;
    along(own, &mut products, &[dim], false, Reduce::Sum)?;
    Ok(products)
}

/// Distances of vectors: of each of some from each of others, or pair by pair.
fn distance(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Placed> {
    let (mut a, mut b) = (call.tensor(own, "x1")?, call.tensor(own, "x2")?);
    if base == "pairwise_distance" {
        return pairwise(own, call, &a, &b);
    }
    if a.dims.len() < 2 || b.dims.len() < 2 {
        return Err(Obstacle::Unknown);
    }
    // [.., n, 1, c] less [.., 1, m, c].
    a.dims.insert(a.dims.len() - 1, Dim::new());
    b.dims.insert(b.dims.len() - 2, Dim::new());
    apart(own, call, &a, &b, 0.0)
}

/// How far vectors are apart, pair by pair, as the call measures it.
pub(super) fn pairwise(
    own: &mut Importer<'_>,
    call: &Call<'_>,
    a: &Placed,
    b: &Placed,
) -> Lowered<Placed> {
    apart(own, call, a, b, call.float("eps").unwrap_or(1e-6))
}

fn apart(
    own: &mut Importer<'_>,
    call: &Call<'_>,
    a: &Placed,
    b: &Placed,
    eps: f64,
) -> Lowered<Placed> {
    let (a, b) = (Meaning::Tensor(a.clone()), Meaning::Tensor(b.clone()));
    let mut apart = combined(own, ArithmeticKind::Sub, a, b)?;
    if eps != 0.0 {
        apart.var = own.graph.pointwise(apart.var, Pointwise::Shift(eps))?;
    }
    let last = apart.dims.len().checked_sub(1).ok_or(Obstacle::Unknown)?;
    let order = call.float("p").unwrap_or(2.0);
    lengths(own, apart, &[last], call.flag("keepdim", false), order)
}
