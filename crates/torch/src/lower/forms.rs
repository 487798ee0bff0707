//! Tensors that others are put together of by definition: stacks, diagonals, quarter turns, products of all
//! pairs, sums between points and over what is a number.

use opledger_dims::Poly;
use opledger_ir::IndexExpr;
use opledger_ir::ops::{ArithmeticKind, CompareKind, Factor, Rearrange, Reduce};

use super::beside::{in_a_row, whole_joined};
use super::elementwise::combined;
use super::movement::{cut, reshape, sizes_of};
use super::places::{At, taken};
use super::reduction::{along, dims, summed};
use super::truth::{chosen, compare};
use crate::call::{Call, place};
use crate::importer::{Importer, Lowered, Meaning, Obstacle};
use crate::tensor::{Dim, Placed};
use crate::whole::{Whole, WholeKind};

pub(super) fn lower(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Vec<Meaning>> {
    let value = match base {
        "hstack" | "vstack" | "row_stack" | "dstack" | "column_stack" => stacked(own, call, base)?,
        "atleast_1d" | "atleast_2d" | "atleast_3d" if call.has("self") => {
            let sizes = call.sizes(own, 0)?;
            reshape(own, call.value(own, "self")?, &sizes)?
        }
        "rot90" => turned(own, call)?,
        "diag" | "trace" => diagonal(own, call, base)?,
        "diag_embed" => embedded(own, call)?,
        "kron" => all_pairs(own, call)?,
        "cross" | "linalg_cross" => crossed(own, call, base)?,
        "linalg_vecdot" => {
            let (x, y) = (call.value(own, "x")?, call.value(own, "y")?);
            let mut products = combined(own, ArithmeticKind::Mul, x, y)?;
            let dim = call.dim("dim", -1, products.dims.len())?;
            along(own, &mut products, &[dim], false, Reduce::Sum)?;
            Meaning::Tensor(products)
        }
        "trapezoid" | "trapz" => between_points(own, call)?,
        "nansum" | "nanmean" => of_numbers(own, call, base)?,
        _ => return Err(Obstacle::Unknown),
    };
    Ok(vec![value])
}

/// Tensors side by side, each with as many dimensions as the form has at least.
fn stacked(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Meaning> {
    let sizes = call.sizes(own, 0)?;
    let one = Poly::one;
    let (dim, mut ranked) = (
        match base {
            "hstack" => usize::from(sizes.len() > 1),
            "column_stack" => 1,
            "dstack" => 2,
            "vstack" | "row_stack" => 0,
            _ => return Err(Obstacle::Unknown),
        },
        Vec::new(),
    );
    for value in call.value(own, "tensors")?.list()? {
        let sizes = match (base, &sizes_of(&value)?[..]) {
            ("hstack", []) => vec![one()],
            ("vstack" | "row_stack", []) | ("column_stack", []) => vec![one(), one()],
            ("vstack" | "row_stack", [n]) => vec![one(), n.clone()],
            ("column_stack", [n]) => vec![n.clone(), one()],
            ("dstack", []) => vec![one(), one(), one()],
            ("dstack", [n]) => vec![one(), n.clone(), one()],
            ("dstack", [m, n]) => vec![m.clone(), n.clone(), one()],
            (_, sizes) => sizes.to_vec(),
        };
        ranked.push(reshape(own, value, &sizes)?);
    }
    match ranked.iter().all(|value| matches!(value, Meaning::Whole(_))) {
        true => whole_joined(ranked, dim, sizes),
        false => in_a_row(own, ranked, dim).map(Meaning::Tensor),
    }
}

/// Two dimensions turned by quarters, from the first towards the second.
fn turned(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Meaning> {
    let value = call.value(own, "self")?;
    let (before, sizes) = (sizes_of(&value)?, call.sizes(own, 0)?);
    let rank = before.len();
    let turned = call.ints("dims").unwrap_or_else(|| vec![0, 1]);
    let [from, towards] = turned[..] else { return Err(Obstacle::Unknown) };
    let (from, towards) = (place(from, rank)?, place(towards, rank)?);
    let mut at: Vec<At> = (0..rank).map(At::Along).collect();
    let last = |dim: usize| IndexExpr::size(&before[dim] - &Poly::one());
    let backwards = |dim: usize, by: usize| At::Place(last(dim).minus(&IndexExpr::Position(by)));
    match call.int("k", 1).rem_euclid(4) {
        1 => (at[from], at[towards]) = (At::Along(towards), backwards(towards, from)),
        2 => (at[from], at[towards]) = (backwards(from, from), backwards(towards, towards)),
        3 => (at[from], at[towards]) = (backwards(from, towards), At::Along(from)),
        _ => {}
    }
    taken(own, value, &sizes, &at)
}

/// The diagonal of a matrix, its sum, or the matrix of a diagonal.
fn diagonal(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Meaning> {
    let value = call.value(own, "self")?;
    let before = sizes_of(&value)?;
    let [rows, columns] = &before[..] else { return embedded(own, call) };
    let offset = call.int("diagonal", 0);
    let along_both = |by: i64| At::Place(IndexExpr::Position(0).plus(&by.max(0).into()));
    let at = [along_both(-offset), along_both(offset)];
    if base == "diag" {
        let sizes = call.sizes(own, 0)?;
        return taken(own, value, &sizes, &at);
    }
    if rows != columns || call.kind(own, 0)? != WholeKind::Real {
        return Err(Obstacle::Unknown);
    }
    let elements = taken(own, value, std::slice::from_ref(rows), &at)?;
    let mut sum = own.real(elements)?;
    along(own, &mut sum, &[0], false, Reduce::Sum)?;
    Ok(Meaning::Tensor(sum))
}

/// The last dimension as the diagonal of two, zeros beside it.
fn embedded(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Meaning> {
    let sizes = call.sizes(own, 0)?;
    let rank = sizes.len();
    let (a, b) = (call.dim("dim1", -2, rank)?, call.dim("dim2", -1, rank)?);
    if a == b {
        return Err(Obstacle::Unknown);
    }
    if call.int("offset", 0) != 0 {
        return beside(own, call, [a, b]);
    }
    let expr = IndexExpr::Position(a).equals(&IndexExpr::Position(b));
    let mut others = 0;
    let from: Vec<usize> = (0..rank)
        .map(|dim| {
            others += usize::from(dim != a && dim != b);
            if dim == a { rank - 2 } else { others.saturating_sub(1) }
        })
        .collect();
    match call.value(own, "self")? {
        Meaning::Whole(whole) => {
            let place = |dim: usize| {
                let stands = (0..rank).find(|own| *own != b && from[*own] == dim).unwrap_or(a);
                IndexExpr::Position(stands)
            };
            let spread = whole.moved(sizes.clone(), place);
            let value = expr.choose(&spread.expr, &0.into());
            Ok(Meaning::Whole(Whole { sizes, expr: value, kind: call.kind(own, 0)? }))
        }
        value => {
            let x = own.real(value)?;
            let of = |dim: usize| if dim == b { Dim::new() } else { x.dims[from[dim]].clone() };
            let x = Placed { var: x.var, dims: (0..rank).map(of).collect() };
            let on_diagonal = Whole { sizes, expr, kind: WholeKind::Truth };
            chosen(own, on_diagonal, x, 0.0).map(Meaning::Tensor)
        }
    }
}

/// The last dimension as a diagonal of two that lies so many columns to the right of the middle one.
fn beside(own: &mut Importer<'_>, call: &Call<'_>, [a, b]: [usize; 2]) -> Lowered<Meaning> {
    let (sizes, offset) = (call.sizes(own, 0)?, call.int("offset", 0));
    let value = call.value(own, "self")?;
    let length = sizes_of(&value)?.pop().ok_or(Obstacle::Unknown)?;
    // Along the side that no column or row stands before.
    let along = if offset > 0 { a } else { b };
    let place = super::places::within(&IndexExpr::Position(along), &length);
    let others = (0..sizes.len()).filter(|dim| *dim != a && *dim != b).map(At::Along);
    let at: Vec<At> = others.chain([At::Place(place)]).collect();
    let spread = taken(own, value, &sizes, &at)?;
    let expr = IndexExpr::Position(b).equals(&IndexExpr::Position(a).plus(&offset.into()));
    match spread {
        Meaning::Whole(whole) => {
            let expr = expr.choose(&whole.expr, &0.into());
            Ok(Meaning::Whole(Whole { sizes, expr, kind: call.kind(own, 0)? }))
        }
        value => {
            let x = own.real(value)?;
            let on_diagonal = Whole { sizes, expr, kind: WholeKind::Truth };
            chosen(own, on_diagonal, x, 0.0).map(Meaning::Tensor)
        }
    }
}

/// Each element of one tensor times all of another.
fn all_pairs(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Meaning> {
    let (mut a, mut b) = (call.tensor(own, "self")?, call.tensor(own, "other")?);
    let rank = a.dims.len().max(b.dims.len());
    for tensor in [&mut a, &mut b] {
        tensor.dims.splice(0..0, vec![Dim::new(); rank - tensor.dims.len()]);
    }
    a.dims = a.dims.into_iter().flat_map(|dim| [dim, Dim::new()]).collect();
    b.dims = b.dims.into_iter().flat_map(|dim| [Dim::new(), dim]).collect();
    let products = combined(own, ArithmeticKind::Mul, Meaning::Tensor(a), Meaning::Tensor(b))?;
    let sizes = call.sizes(own, 0)?;
    reshape(own, Meaning::Tensor(products), &sizes)
}

/// The cross product of vectors of three: of each element the two products of the next two.
fn crossed(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Meaning> {
    let both = [call.tensor(own, "self")?, call.tensor(own, "other")?];
    let sizes = call.sizes(own, 0)?;
    if both.iter().any(|x| x.dims.len() != sizes.len()) {
        return Err(Obstacle::Unknown);
    }
    // Without a dimension the first of three.
    let first = || sizes.iter().position(|size| *size == 3.into()).ok_or(Obstacle::Unknown);
    let dim = match base == "cross" && !call.has("dim") {
        true => first()?,
        false => call.dim("dim", -1, sizes.len())?,
    };
    let mut next = |x: &Placed, by: i64| -> Lowered<Meaning> {
        let mut x = x.clone();
        let axis = own.movement().axis(&mut x, dim)?;
        let how = Rearrange::Roll { axis: axis.name, by: by.into() };
        x.var = own.graph.rearrange(x.var, how)?;
        Ok(Meaning::Tensor(x))
    };
    let [a, b] = &both;
    let (left, right) = ([next(a, 1)?, next(b, 2)?], [next(a, 2)?, next(b, 1)?]);
    let [left, right] =
        [left, right].map(|[a, b]| combined(own, ArithmeticKind::Mul, a, b).map(Meaning::Tensor));
    combined(own, ArithmeticKind::Sub, left?, right?).map(Meaning::Tensor)
}

/// The integral through points: the sum less half of both ends, times their distance; or of each distance
/// times both of its ends the half.
fn between_points(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Meaning> {
    let y = Meaning::Tensor(call.tensor(own, "y")?);
    let sizes = sizes_of(&y)?;
    let dim = call.dim("dim", -1, sizes.len())?;
    let (one, less) = (Poly::one(), &sizes[dim] - &Poly::one());
    let mut part = |of: &Meaning, dim: usize, start: &Poly, length: &Poly| {
        cut(own, of.clone(), dim, start, length)
    };
    if !call.has("x") {
        let ends = [part(&y, dim, &Poly::zero(), &one)?, part(&y, dim, &less, &one)?];
        let [first, last] = ends;
        let mut ends = combined(own, ArithmeticKind::Add, first, last)?;
        ends.var = own.graph.scale(ends.var, Factor::Number(0.5))?;
        ends.dims.remove(dim);
        let mut sum = own.real(y)?;
        along(own, &mut sum, &[dim], false, Reduce::Sum)?;
        let (sum, ends) = (Meaning::Tensor(sum), Meaning::Tensor(ends));
        let mut area = combined(own, ArithmeticKind::Sub, sum, ends)?;
        let distance = call.float("dx").unwrap_or(1.0);
        if distance != 1.0 {
            area.var = own.graph.scale(area.var, Factor::Number(distance))?;
        }
        return Ok(Meaning::Tensor(area));
    }
    let x = call.value(own, "x")?;
    let of_x = sizes_of(&x)?;
    // Places of one dimension run along that of the points.
    if of_x.len() != sizes.len() && (of_x.len() != 1 || dim + 1 != sizes.len()) {
        return Err(Obstacle::Unknown);
    }
    let dim_of_x = if of_x.len() == 1 { 0 } else { dim };
    let mut part = |of: &Meaning, dim: usize, start: &Poly| cut(own, of.clone(), dim, start, &less);
    let heights = [part(&y, dim, &one)?, part(&y, dim, &Poly::zero())?];
    let places = [part(&x, dim_of_x, &one)?, part(&x, dim_of_x, &Poly::zero())?];
    let ([a, b], [to, from]) = (heights, places);
    let both = Meaning::Tensor(combined(own, ArithmeticKind::Add, a, b)?);
    let apart = Meaning::Tensor(combined(own, ArithmeticKind::Sub, to, from)?);
    let mut sum = combined(own, ArithmeticKind::Mul, both, apart)?;
    along(own, &mut sum, &[dim], false, Reduce::Sum)?;
    sum.var = own.graph.scale(sum.var, Factor::Number(0.5))?;
    Ok(Meaning::Tensor(sum))
}

/// The sum or the mean of those elements that are numbers.
fn of_numbers(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Meaning> {
    let x = call.tensor(own, "self")?;
    let dims = dims(call, x.dims.len())?;
    let value = Meaning::Tensor(x.clone());
    let mut are = compare(own, CompareKind::Equal, value.clone(), value)?;
    let mut sum = chosen(own, are.clone(), x, 0.0)?;
    along(own, &mut sum, &dims, call.flag("keepdim", false), Reduce::Sum)?;
    if base == "nansum" {
        return Ok(Meaning::Tensor(sum));
    }
    for dim in dims {
        are = summed(own, &are, dim)?;
    }
    let sizes = call.sizes(own, 0)?;
    let count = Meaning::Whole(are.reshaped(&sizes));
    combined(own, ArithmeticKind::Div, Meaning::Tensor(sum), count).map(Meaning::Tensor)
}
