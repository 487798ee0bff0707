//! Views and copies: no arithmetic.

use opledger_dims::Poly;
use opledger_ir::IndexExpr;
use opledger_ir::ops::Rearrange;

use super::arranged::{alike, said};
use super::hidden;
use crate::call::{Call, place};
use crate::importer::{Importer, Lowered, Meaning, Obstacle};
use crate::tensor::{Dim, DimPart, Placed};
use crate::whole::{Run, Whole};

/// What moves the elements of `self` and gives one tensor.
const MOVING: &[&str] = &[
    "view",
    "reshape",
    "_unsafe_view",
    "unflatten",
    "flatten",
    "view_as",
    "reshape_as",
    "squeeze",
    "unsqueeze",
    "expand",
    "expand_as",
    "broadcast_to",
    "transpose",
    "swapaxes",
    "swapdims",
    "t",
    "permute",
    "movedim",
    "mT",
    "numpy_T",
    "slice",
    "narrow",
    "select",
    "repeat",
    "tile",
];

pub(super) fn lower(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Vec<Meaning>> {
    let one = |value: Meaning| Ok(vec![value]);
    if MOVING.contains(&base)
        && let Meaning::Hidden(hidden) = call.value(own, "self")?
    {
        return hidden::moved(own, call, *hidden, |own| lower(own, call, base));
    }
    match base {
        "view" | "reshape" | "_unsafe_view" | "unflatten" | "flatten" | "view_as"
        | "reshape_as" | "squeeze" | "unsqueeze" => {
            let sizes = said(own, call)?;
            one(reshape(own, call.value(own, "self")?, &sizes)?)
        }
        "expand" | "expand_as" | "broadcast_to" => {
            let sizes = said(own, call)?;
            one(expand(call.value(own, "self")?, &sizes)?)
        }
        "transpose" | "swapaxes" | "swapdims" | "t" | "permute" | "movedim" | "mT" | "numpy_T" => {
            let value = call.value(own, "self")?;
            let order = order(call, base, rank(&value)?)?;
            one(permute(value, &order)?)
        }
        "contiguous" | "clone" | "detach" | "alias" | "lift_fresh_copy" | "lift_fresh"
        | "dropout" | "feature_dropout" | "alpha_dropout" | "view_of" => {
            let name = if call.has("self") { "self" } else { "input" };
            if call.flag("train", false) && call.float("p") != Some(0.0) {
                return Err(Obstacle::Bad(
                    "dropout in training: export the model in evaluation (`model.eval()`); of the function, \
                     write `F.dropout(x, p, training=self.training)`"
                        .to_owned(),
                ));
            }
            one(call.value(own, name)?)
        }
        "slice" => one(slice(own, call)?),
        "narrow" | "select" => {
            let value = call.value(own, "self")?;
            let run = run_of(own, call, base, &sizes_of(&value)?, 0)?;
            let cut = cut(own, value, run.dim, &run.start, &run.length)?;
            let result = call.sizes(own, 0)?;
            one(if base == "select" { reshape(own, cut, &result)? } else { cut })
        }
        "split" | "split_with_sizes" | "chunk" | "unbind" | "tensor_split" => {
            parts(own, call, base)
        }
        "cat" | "concat" | "stack" => one(super::beside::joined(own, call, base)?),
        "roll" => rolled(own, call),
        "repeat" | "tile" => {
            let value = call.value(own, "self")?;
            let sizes = call.sizes(own, 0)?;
            one(repeated(value, &sizes)?)
        }
        "repeat_interleave" => one(interleaved(own, call)?),
        _ => Err(Obstacle::Unknown),
    }
}

pub(crate) fn sizes_of(value: &Meaning) -> Lowered<Vec<Poly>> {
    match value {
        Meaning::Tensor(tensor) => Ok(tensor.sizes()),
        Meaning::Hidden(hidden) => Ok(hidden.real.sizes()),
        Meaning::Whole(whole) | Meaning::Choice { when: whole, .. } => Ok(whole.sizes.clone()),
        Meaning::Size(_) | Meaning::Number(_) => Ok(Vec::new()),
        Meaning::List(_) | Meaning::Groups(_) | Meaning::None => {
            Err(Obstacle::Bad("nothing where a tensor is needed".to_owned()))
        }
    }
}

pub(super) fn rank(value: &Meaning) -> Lowered<usize> {
    Ok(sizes_of(value)?.len())
}

/// Does the same to whole numbers, whatever they stand for.
fn on_whole(value: Meaning, of: impl FnOnce(Whole) -> Lowered<Whole>) -> Lowered<Meaning> {
    match value {
        Meaning::Whole(whole) => of(whole).map(Meaning::Whole),
        Meaning::Choice { when, then, otherwise } => {
            of(when).map(|when| Meaning::Choice { when, then, otherwise })
        }
        Meaning::Tensor(_)
        | Meaning::Hidden(_)
        | Meaning::Size(_)
        | Meaning::Number(_)
        | Meaning::List(_)
        | Meaning::Groups(_)
        | Meaning::None => Err(Obstacle::Bad("a tensor is needed".to_owned())),
    }
}

pub(crate) fn reshape(own: &mut Importer<'_>, value: Meaning, sizes: &[Poly]) -> Lowered<Meaning> {
    match value {
        Meaning::Tensor(tensor) => {
            alike(own, &tensor.sizes(), sizes)?;
            Ok(Meaning::Tensor(own.movement().reshape(&tensor, sizes)?))
        }
        value => on_whole(value, |whole| Ok(whole.reshaped(sizes))),
    }
}

pub(super) fn expand(value: Meaning, sizes: &[Poly]) -> Lowered<Meaning> {
    match value {
        Meaning::Tensor(tensor) => Ok(Meaning::Tensor(tensor.expanded(sizes))),
        value => on_whole(value, |whole| Ok(whole.ranked(sizes.len()).expanded(sizes.to_vec()))),
    }
}

/// Which dimension of the operand stands at each place.
pub(crate) fn order(call: &Call<'_>, base: &str, rank: usize) -> Lowered<Vec<usize>> {
    let mut order: Vec<usize> = (0..rank).collect();
    match base {
        "permute" => {
            let dims = call.ints("dims").ok_or(Obstacle::Unknown)?;
            order = dims.into_iter().map(|dim| place(dim, rank)).collect::<Lowered<_>>()?;
        }
        "movedim" => {
            let [from, to] = ["source", "destination"].map(|name| call.ints(name));
            let (Some(from), Some(to)) = (from, to) else { return Err(Obstacle::Unknown) };
            let ([from], [to]) = (&from[..], &to[..]) else { return Err(Obstacle::Unknown) };
            let moved = order.remove(place(*from, rank)?);
            order.insert(place(*to, rank)?, moved);
        }
        "numpy_T" => order.reverse(),
        "t" | "mT" if rank < 2 => {}
        "t" | "mT" => order.swap(rank - 2, rank - 1),
        _ => {
            let name = |own: &str, other: &'static str| {
                if call.has(own) { own.to_owned() } else { other.to_owned() }
            };
            let a = call.dim(&name("dim0", "axis0"), 0, rank)?;
            let b = call.dim(&name("dim1", "axis1"), 0, rank)?;
            if rank > 0 {
                order.swap(a, b);
            }
        }
    }
    Ok(order)
}

pub(crate) fn permute(value: Meaning, order: &[usize]) -> Lowered<Meaning> {
    let permuted = |sizes: &[Poly]| order.iter().map(|dim| sizes[*dim].clone()).collect();
    match value {
        Meaning::Tensor(tensor) => {
            let dims = order.iter().map(|dim| tensor.dims[*dim].clone()).collect();
            Ok(Meaning::Tensor(Placed { dims, ..tensor }))
        }
        value => on_whole(value, |whole| {
            let place = |dim| order.iter().position(|own| *own == dim).unwrap_or(0);
            Ok(whole.moved(permuted(&whole.sizes), |dim| IndexExpr::Position(place(dim))))
        }),
    }
}

/// A place counted from the end where it is below 0.
pub(crate) fn from_end(place: &Poly, size: &Poly) -> Poly {
    match place.as_integer() {
        Some(number) if number < 0.into() => place + size,
        _ => place.clone(),
    }
}

fn slice(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Meaning> {
    let value = call.value(own, "self")?;
    let sizes = sizes_of(&value)?;
    let dim = call.dim("dim", 0, sizes.len())?;
    let start = call.size(own, "start")?.unwrap_or_else(Poly::zero);
    let start = from_end(&start, &sizes[dim]);
    let length = call.size_of(own, 0, dim)?;
    let step = call.int("step", 1);
    if step == 1 {
        // More from the end than there are is all of it.
        let start = if length == sizes[dim] { Poly::zero() } else { start };
        return cut(own, value, dim, &start, &length);
    }
    let step = Poly::from(step);
    match value {
        // Every so-many-th: the first of each group, after as much as makes whole groups.
        Meaning::Tensor(tensor) => {
            let all = &length * &step;
            // Whole groups from the start on, or where the last would reach beyond the end, up to there.
            let spare = &(&sizes[dim] - &start) - &all;
            let (from, within) = match spare.is_never_negative() {
                true => (start.clone(), Poly::zero()),
                false => (&sizes[dim] - &all, -spare),
            };
            // Where there may be less than that, with so many positions more that each group is whole: they
            // are never looked at.
            let (cut, within) = match from.is_never_negative() {
                true => (cut(own, Meaning::Tensor(tensor), dim, &from, &all)?, within),
                false => {
                    let padded = lengthened(own, tensor, dim, &(&step - Poly::one()))?;
                    (cut(own, Meaning::Tensor(padded), dim, &start, &all)?, Poly::zero())
                }
            };
            let mut grouped = sizes.clone();
            grouped.splice(dim..=dim, [length.clone(), step]);
            let grouped = reshape(own, cut, &grouped)?;
            let first = self::cut(own, grouped, dim + 1, &within, &Poly::one())?;
            let mut result = sizes;
            result[dim] = length;
            reshape(own, first, &result)
        }
        value => on_whole(value, |whole| {
            let mut sizes = whole.sizes.clone();
            sizes[dim] = length;
            Ok(whole.moved(sizes, |own| {
                let at = IndexExpr::Position(own);
                if own == dim { at.scaled(&step).plus(&IndexExpr::size(start.clone())) } else { at }
            }))
        }),
    }
}

/// A dimension with zeros behind it.
fn lengthened(
    own: &mut Importer<'_>,
    mut tensor: Placed,
    dim: usize,
    after: &Poly,
) -> Lowered<Placed> {
    let mut movement = own.movement();
    let axis = movement.axis(&mut tensor, dim)?;
    let to = &axis.size + after;
    let how = Rearrange::Pad { axis: axis.name.clone(), to: to.clone() };
    tensor.var = movement.graph.rearrange(tensor.var, how)?;
    tensor.dims[dim] = vec![DimPart::Axis(opledger_ir::Axis { size: to, ..axis })];
    Ok(tensor)
}

/// A run of positions of a dimension.
pub(crate) fn cut(
    own: &mut Importer<'_>,
    value: Meaning,
    dim: usize,
    start: &Poly,
    length: &Poly,
) -> Lowered<Meaning> {
    match value {
        Meaning::Tensor(mut tensor) => {
            if start.is_zero() && *length == crate::tensor::size(&tensor.dims[dim]) {
                return Ok(Meaning::Tensor(tensor));
            }
            if let [DimPart::Repeat(_)] = &tensor.dims[dim][..] {
                tensor.dims[dim] = vec![DimPart::Repeat(length.clone())];
                return Ok(Meaning::Tensor(tensor));
            }
            let mut movement = own.movement();
            let axis = movement.axis(&mut tensor, dim)?;
            let how = Rearrange::Slice {
                axis: axis.name.clone(),
                start: start.clone(),
                len: length.clone(),
            };
            tensor.var = movement.graph.rearrange(tensor.var, how)?;
            let axis = opledger_ir::Axis { size: length.clone(), ..axis };
            tensor.dims[dim] = vec![DimPart::Axis(axis)];
            if *length == Poly::one() && tensor.axes().len() > 1 {
                movement.drop_axis(&mut tensor, dim)?;
            }
            Ok(Meaning::Tensor(tensor))
        }
        value => on_whole(value, |whole| {
            let mut sizes = whole.sizes.clone();
            sizes[dim] = length.clone();
            Ok(whole.moved(sizes, |own| {
                let at = IndexExpr::Position(own);
                if own == dim { at.plus(&IndexExpr::size(start.clone())) } else { at }
            }))
        }),
    }
}

/// A tensor cut into several along a dimension.
fn parts(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Vec<Meaning>> {
    let value = call.value(own, "self")?;
    let sizes = sizes_of(&value)?;
    let mut parts = Vec::new();
    while call.result(parts.len()).is_ok() {
        let run = run_of(own, call, base, &sizes, parts.len())?;
        let part = cut(own, value.clone(), run.dim, &run.start, &run.length)?;
        let result = call.sizes(own, parts.len())?;
        parts.push(if base == "unbind" { reshape(own, part, &result)? } else { part });
    }
    Ok(vec![Meaning::List(parts)])
}

/// Which positions of its operand, of these sizes, a result of an operation is that cuts.
pub(crate) fn run_of(
    own: &mut Importer<'_>,
    call: &Call<'_>,
    base: &str,
    sizes: &[Poly],
    result: usize,
) -> Lowered<Run> {
    let dim = call.dim("dim", 0, sizes.len())?;
    let place = |own: &Importer<'_>, name: &str| -> Lowered<Poly> {
        let place = call.size(own, name)?.unwrap_or_else(Poly::zero);
        Ok(from_end(&place, &sizes[dim]))
    };
    Ok(match base {
        "select" => Run::solid(dim, place(own, "index")?, Poly::one()),
        "unbind" => Run::solid(dim, (result as i64).into(), Poly::one()),
        "slice" | "narrow" => {
            let (start, length) = (place(own, "start")?, call.size_of(own, result, dim)?);
            let step = call.int("step", 1).into();
            Run { dim, start, length, step }
        }
        "split" | "split_with_sizes" | "chunk" | "tensor_split" => {
            let mut start = Poly::zero();
            for before in 0..result {
                start += call.size_of(own, before, dim)?;
            }
            Run::solid(dim, start, call.size_of(own, result, dim)?)
        }
        _ => return Err(Obstacle::Unknown),
    })
}

fn rolled(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Vec<Meaning>> {
    let mut tensor = call.tensor(own, "self")?;
    let shifts = call.ints("shifts").ok_or(Obstacle::Unknown)?;
    let dims = call.ints("dims").ok_or(Obstacle::Unknown)?;
    let rank = tensor.dims.len();
    for (shift, dim) in shifts.into_iter().zip(dims) {
        let dim = place(dim, rank)?;
        let mut movement = own.movement();
        let axis = movement.axis(&mut tensor, dim)?;
        // Towards the start is the other direction in PyTorch.
        let how = Rearrange::Roll { axis: axis.name, by: (-shift).into() };
        tensor.var = movement.graph.rearrange(tensor.var, how)?;
    }
    Ok(vec![Meaning::Tensor(tensor)])
}

/// Copies side by side along dimensions.
fn repeated(value: Meaning, sizes: &[Poly]) -> Lowered<Meaning> {
    match value {
        Meaning::Tensor(mut tensor) => {
            let missing = sizes.len() - tensor.dims.len().min(sizes.len());
            tensor.dims.splice(0..0, vec![Dim::new(); missing]);
            for (dim, size) in tensor.dims.iter_mut().zip(sizes) {
                let times = size.divided_by(&crate::tensor::size(dim)).ok_or(Obstacle::Unknown)?;
                if times != Poly::one() {
                    dim.insert(0, DimPart::Repeat(times));
                }
            }
            Ok(Meaning::Tensor(tensor))
        }
        value => on_whole(value, |whole| {
            let ranked = whole.ranked(sizes.len());
            let own = ranked.sizes.clone();
            Ok(ranked.moved(sizes.to_vec(), |dim| {
                IndexExpr::Position(dim).modulo(&IndexExpr::size(own[dim].clone()))
            }))
        }),
    }
}

fn interleaved(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Meaning> {
    let value = call.value(own, "self")?;
    let rank = rank(&value)?;
    let dim = call.dim("dim", 0, rank)?;
    let sizes = call.sizes(own, 0)?;
    match value {
        _ if sizes.len() != rank => Err(Obstacle::Unknown),
        Meaning::Tensor(mut tensor) => {
            let size = crate::tensor::size(&tensor.dims[dim]);
            let times = sizes[dim].divided_by(&size).ok_or(Obstacle::Unknown)?;
            tensor.dims[dim].push(DimPart::Repeat(times));
            Ok(Meaning::Tensor(tensor))
        }
        value => on_whole(value, |whole| {
            let times = sizes[dim].divided_by(&whole.sizes[dim]).ok_or(Obstacle::Unknown)?;
            Ok(whole.moved(sizes.clone(), |own| {
                let at = IndexExpr::Position(own);
                if own == dim { at.floor_div(&IndexExpr::size(times.clone())) } else { at }
            }))
        }),
    }
}
