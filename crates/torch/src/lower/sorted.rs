//! Choosing the largest, sorting, and the experts that tokens are sorted by.

use opledger_dims::{Foremost, Poly, Symbol};
use opledger_ir::ops::CompareKind;
use opledger_ir::{Axis, IndexExpr, Op, Var};

use super::movement::{cut, permute, reshape, sizes_of};
use super::truth::{compare, laid};
use crate::call::{Call, place};
use crate::importer::{Importer, Lowered, Meaning, Obstacle};
use crate::tensor::{DimPart, Placed};
use crate::whole::{Whole, WholeKind};

pub(super) fn lower(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Vec<Meaning>> {
    match base {
        "topk" => top_k(own, call),
        "sort" | "argsort" | "msort" => sort(own, call, base),
        "kthvalue" | "median" => ranked(own, call, base),
        "histc" => {
            let whole = call.value(own, "self")?.whole()?;
            match is_sorted(own, &whole) && call.float("min") == Some(0.0) {
                true => Ok(vec![Meaning::Groups(whole)]),
                false => Err(Obstacle::Unknown),
            }
        }
        "searchsorted" | "bucketize" => searched(own, call, base).map(|value| vec![value]),
        "cumsum" => Ok(vec![Meaning::Groups(call.value(own, "self")?.groups()?)]),
        _ => Err(Obstacle::Unknown),
    }
}

/// All along a dimension in their order, where each stood, or both.
fn sort(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Vec<Meaning>> {
    let value = call.value(own, "self")?;
    let sizes = sizes_of(&value)?;
    let dim =
        if base == "msort" { place(0, sizes.len())? } else { call.dim("dim", -1, sizes.len())? };
    let least = !call.flag("descending", false);
    let [sorted, places] = first_of(own, value, dim, &sizes[dim], least)?;
    Ok(match base {
        "argsort" => vec![places],
        "msort" => vec![sorted],
        _ => vec![sorted, places],
    })
}

/// The smallest or the largest along a dimension, so many of them in their order, and where they stand.
/// Sorting is to take all; comparing whole numbers costs nothing.
pub(super) fn first_of(
    own: &mut Importer<'_>,
    value: Meaning,
    dim: usize,
    count: &Poly,
    least: bool,
) -> Lowered<[Meaning; 2]> {
    let Meaning::Whole(whole) = value else { return of_reals(own, value, dim, count, least) };
    let all = whole.sizes[dim] == *count;
    let mut results = of_whole(own, &whole, dim, least)?;
    if !all {
        for result in &mut results {
            let own_result = std::mem::replace(result, Meaning::None);
            *result = cut(own, own_result, dim, &Poly::zero(), count)?;
        }
    }
    Ok(results)
}

/// Whole numbers along a dimension in their order, and where they stood.
fn of_whole(
    own: &mut Importer<'_>,
    whole: &Whole,
    dim: usize,
    least: bool,
) -> Lowered<[Meaning; 2]> {
    let none = IndexExpr::from(0);
    let signed = |whole: &Whole| match least {
        true => whole.clone(),
        false => whole.each(whole.kind, |expr| none.minus(expr)),
    };
    let mut order: Vec<usize> = (0..whole.sizes.len()).collect();
    order.swap(dim, whole.sizes.len() - 1);
    let turned = permute(Meaning::Whole(signed(whole)), &order)?.whole()?;
    let mut movement = own.movement();
    let tensor = movement.whole(&turned.sizes, &turned.expr, false)?;
    let dense = movement.dense(&tensor)?;
    let [sorted, places] = movement.graph.sort(dense.var)?;
    let sorted = own.given(sorted, turned.sizes.clone(), whole.kind)?;
    let places = own.given(places, turned.sizes, WholeKind::Whole)?;
    let sorted = permute(sorted, &order)?.whole()?;
    Ok([Meaning::Whole(signed(&sorted)), permute(places, &order)?])
}

/// The k-th smallest along a dimension, or of all; the median is that of half of them, rounded up.
fn ranked(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Vec<Meaning>> {
    let mut value = call.value(own, "self")?;
    let mut sizes = sizes_of(&value)?;
    let everything = base == "median" && !call.has("dim");
    if everything {
        let all: Poly = sizes.iter().product();
        sizes = vec![all];
        value = reshape(own, value, &sizes)?;
    }
    let dim = call.dim("dim", -1, sizes.len())?;
    let rank = match base {
        "median" => own.floor_div(&(&sizes[dim] + &Poly::one()), &2.into()),
        _ => call.size(own, "k")?.ok_or(Obstacle::Unknown)?,
    };
    let one_of = |own: &mut Importer<'_>, results: [Meaning; 2], at: &Poly| {
        let kept = call.sizes(own, 0)?;
        let each = results.into_iter().map(|result| {
            let one = cut(own, result, dim, at, &Poly::one())?;
            reshape(own, one, &kept)
        });
        each.collect::<Lowered<Vec<_>>>()
    };
    let ranked = first_of(own, value.clone(), dim, &rank, true)?;
    let mut only = one_of(own, ranked, &(&rank - &Poly::one()))?;
    if base == "median" && !matches!(value, Meaning::Whole(_)) {
        // Among numbers that one of them is not, the median is the first that is none
        // (`aten/src/ATen/native/Sorting.cpp`).
        let largest = first_of(own, value, dim, &Poly::one(), false)?;
        let largest = one_of(own, largest, &Poly::zero())?;
        let number = compare(own, CompareKind::Equal, largest[0].clone(), largest[0].clone())?;
        let mut either = Vec::new();
        for (median, none) in only.into_iter().zip(largest) {
            either.push(select_either(own, &number, median, none)?);
        }
        only = either;
    }
    only.truncate(if everything { 1 } else { 2 });
    Ok(only)
}

/// Of two tensors, or of two whole numbers, one where a condition holds.
pub(super) fn select_either(
    own: &mut Importer<'_>,
    when: &Whole,
    then: Meaning,
    otherwise: Meaning,
) -> Lowered<Meaning> {
    match (then, otherwise) {
        (Meaning::Whole(then), Meaning::Whole(otherwise)) => {
            let expr = when.expr.choose(&then.expr, &otherwise.expr);
            Ok(Meaning::Whole(Whole { expr, ..then }))
        }
        (then, otherwise) => laid(own, when, then, otherwise).map(Meaning::Tensor),
    }
}

/// The place of each number among sorted ones: how many of these are below it, or with `right` no larger.
fn searched(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Meaning> {
    if call.has("sorter") {
        return Err(Obstacle::Unknown);
    }
    let right = call.flag("right", false) || call.text("side") == Some("right");
    let of = if base == "bucketize" { "boundaries" } else { "sorted_sequence" };
    let (sorted, x) = (call.value(own, of)?, call.value(own, "self")?);
    let (mut among, mut sizes) = (sizes_of(&sorted)?, sizes_of(&x)?);
    // [..., x, 1] against [..., 1, sorted], or against [sorted].
    if among.len() > 1 {
        among.insert(among.len() - 1, Poly::one());
    }
    let sorted = reshape(own, sorted, &among)?;
    let results = sizes.clone();
    sizes.push(Poly::one());
    let x = reshape(own, x, &sizes)?;
    // NaN stands behind all numbers, so what is not before is asked.
    let not_before = super::truth::is_before(own, x, sorted, !right)?;
    let before = not_before.each(WholeKind::Whole, IndexExpr::is_zero);
    let count = super::reduction::summed(own, &before, results.len())?;
    Ok(Meaning::Whole(count.reshaped(&results)))
}

/// Whether numbers are those of a node that sorts, the smallest first.
fn is_sorted(own: &Importer<'_>, whole: &Whole) -> bool {
    let IndexExpr::Lookup { operand, at } = &whole.expr else { return false };
    *at == [IndexExpr::Position(0)]
        && own.whole_var(*operand).is_some_and(|var| result(own, var, 0))
}

/// Whether whole numbers are the places of a node that sorts.
pub(super) fn is_permutation(own: &Importer<'_>, operand: usize) -> bool {
    own.whole_var(operand).is_some_and(|var| result(own, var, 1))
}

fn result(own: &Importer<'_>, var: Var, at: usize) -> bool {
    matches!(own.graph.node(var).op, Op::Sort(_)) && var.result() == at
}

/// The largest or the smallest along a dimension, and where they stand.
fn top_k(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Vec<Meaning>> {
    let value = call.value(own, "self")?;
    let dim = call.dim("dim", -1, sizes_of(&value)?.len())?;
    let k = call.size_of(own, 0, dim)?;
    first_of(own, value, dim, &k, !call.flag("largest", true)).map(Vec::from)
}

/// The same of reals.
fn of_reals(
    own: &mut Importer<'_>,
    value: Meaning,
    dim: usize,
    count: &Poly,
    least: bool,
) -> Lowered<[Meaning; 2]> {
    let mut x = own.real(value)?;
    let mut movement = own.movement();
    movement.real(&mut x)?;
    let axis = movement.axis(&mut x, dim)?;
    movement.last(&mut x, &[axis.name])?;
    let taken = x.axes().into_iter().map(|axis| axis.name).collect();
    let chosen = Axis::new(movement.name(count, &taken), count.clone());
    let order = if least { Foremost::Smallest } else { Foremost::Largest };
    let ids = movement.graph.foremost(x.var, chosen.clone(), order)?;
    let values = movement.graph.gather(x.var, ids)?;
    let mut dims = x.dims;
    dims[dim] = vec![DimPart::Axis(chosen)];
    let mut values = Placed { var: values, dims: dims.clone() };
    if *count == Poly::one() && values.axes().len() > 1 {
        own.movement().drop_axis(&mut values, dim)?;
    }
    let places = own.computed(ids, dims, WholeKind::Whole)?;
    Ok([Meaning::Tensor(values), places])
}

/// `grouped_mm(x [rows, in], weight [experts, in, out], offsets)`: each row by the weight of its expert.
pub(super) fn grouped(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Meaning> {
    let ids = call.value(own, "offs")?.groups()?;
    let (x, mut weight) = (call.tensor(own, "input")?, call.tensor(own, "weight")?);
    if x.dims.len() != 2 || weight.dims.len() != 3 {
        return Err(Obstacle::Unknown);
    }
    let mut movement = own.movement();
    let found = movement.whole(&ids.sizes, &ids.expr, false)?;
    let (found, mut x) = (movement.dense(&found)?, movement.dense(&x)?);
    weight.dims.swap(1, 2);
    let mut weight = movement.dense(&weight)?;
    // Rows are called as the ids are; what is summed has one name, and all others their own.
    let (rows, terms) = (part(&x, 0)?, part(&x, 1)?);
    let (experts, width, inputs) = (part(&weight, 0)?, part(&weight, 1)?, part(&weight, 2)?);
    let row = part(&found, 0)?.name;
    let primed =
        |name: &Symbol, primes: usize| Symbol::from(format!("{name}{}", "'".repeat(primes)));
    let (summed, out) = (primed(&terms.name, 3), primed(&width.name, 4));
    movement.renamed(&mut x, &[(rows.name, row), (terms.name, summed.clone())])?;
    let names = [
        (experts.name.clone(), primed(&experts.name, 5)),
        (width.name, out.clone()),
        (inputs.name, summed),
    ];
    movement.renamed(&mut weight, &names)?;
    let var = movement.graph.experts("", x.var, found.var, weight.var)?;
    let dims = vec![found.dims[0].clone(), vec![DimPart::Axis(Axis::new(out, width.size))]];
    Ok(Meaning::Tensor(Placed { var, dims }))
}

fn part(tensor: &Placed, dim: usize) -> Lowered<Axis> {
    let axis = tensor.dims[dim].first().and_then(DimPart::axis).cloned();
    axis.ok_or_else(|| Obstacle::Bad("a dimension without an axis".to_owned()))
}
