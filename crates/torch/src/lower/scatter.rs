//! Writing and adding at places.

use opledger_dims::Poly;
use opledger_ir::IndexExpr;
use opledger_ir::ops::ArithmeticKind;

use super::elementwise::combined;
use super::joining::Joining;
use super::movement::{from_end, reshape, sizes_of};
use super::places::{At, from_either_end, only, picked, spread};
use crate::call::Call;
use crate::importer::{Importer, Lowered, Meaning, Obstacle};
use crate::whole::{Run, Whole};

pub(super) fn lower(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Vec<Meaning>> {
    let one = |value: Lowered<Meaning>| value.map(|value| vec![value]);
    match base {
        "scatter" if !call.has("reduce") => one(scattered(own, call, Joining::WRITE)),
        "scatter_add" => one(scattered(own, call, Joining::ADD)),
        "scatter" | "scatter_reduce" => one(scattered(own, call, Joining::named(call)?)),
        "index_add" => one(by_one(own, call, Joining::ADD)),
        "index_copy" | "index_fill" => one(by_one(own, call, Joining::WRITE)),
        "index_reduce" => one(by_one(own, call, Joining::named(call)?)),
        "index_put" | "_unsafe_index_put" => one(indexed(own, call)),
        "put" => one(put_flat(own, call)),
        "max_unpool2d" | "max_unpool3d" => one(unpooled(own, call)),
        "masked_scatter" => one(masked(own, call)),
        "slice_scatter" | "select_scatter" => one(over_run(own, call, base)),
        "copy" => {
            let value = call.value(own, "src")?;
            let sizes = call.sizes(own, 0)?;
            one(spread(value, &sizes))
        }
        _ => Err(Obstacle::Unknown),
    }
}

fn ids(own: &Importer<'_>, call: &Call<'_>) -> Lowered<Whole> {
    call.value(own, "index")?.whole()
}

/// `scatter(x, dim, ids, values)`: each value in the place of its id along the dimension.
fn scattered(own: &mut Importer<'_>, call: &Call<'_>, joining: Joining) -> Lowered<Meaning> {
    let (x, ids) = (call.value(own, "self")?, ids(own, call)?);
    let sizes = sizes_of(&x)?;
    let dim = call.dim("dim", 0, sizes.len())?;
    if ids.sizes.len() != sizes.len() {
        return Err(Obstacle::Unknown);
    }
    let values = match call.value(own, "src")? {
        Meaning::None => spread(call.value(own, "value")?, &ids.sizes)?,
        // As many as there are ids, from the first on.
        values => {
            let along: Vec<At> =
                (0..sizes.len()).map(|own| At::Place(IndexExpr::Position(own))).collect();
            let own_sizes = sizes_of(&values)?;
            match own_sizes == ids.sizes {
                true => values,
                false => super::places::taken(own, values, &ids.sizes, &along)?,
            }
        }
    };
    let place = from_either_end(own, &ids.expr, &sizes[dim]);
    let at = only(dim, place, &sizes, &ids.sizes);
    let of = call.kind(own, 0)?;
    joining.put(own, x, values, &at, of)
}

/// `index_add(x, dim, ids, values)`: whole slices at the ids along a dimension.
fn by_one(own: &mut Importer<'_>, call: &Call<'_>, joining: Joining) -> Lowered<Meaning> {
    let (x, ids) = (call.value(own, "self")?, ids(own, call)?);
    let sizes = sizes_of(&x)?;
    let dim = call.dim("dim", 0, sizes.len())?;
    let count = match &ids.sizes[..] {
        [] => Poly::one(),
        [count] => count.clone(),
        _ => return Err(Obstacle::Unknown),
    };
    let mut of_values = sizes.clone();
    of_values[dim] = count;
    let mut values = match call.value(own, "source")? {
        Meaning::None => spread(call.value(own, "value")?, &of_values)?,
        values => reshape(own, values, &of_values)?,
    };
    let alpha = call.float("alpha").unwrap_or(1.0);
    if alpha != 1.0 {
        values = super::elementwise::scaled(own, values, alpha)?;
    }
    let place = ids.expr.at(&|_| IndexExpr::Position(dim));
    let place = from_either_end(own, &place, &sizes[dim]);
    let at = only(dim, place, &sizes, &of_values);
    let of = call.kind(own, 0)?;
    joining.put(own, x, values, &at, of)
}

/// `x[i, j, …] = values` or `+= values`: where a truth value holds, at places, or an order turned round.
fn indexed(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Meaning> {
    let indices = call.value(own, "indices")?.list()?;
    let (x, values) = (call.value(own, "self")?, call.value(own, "values")?);
    let adds = call.flag("accumulate", false);
    if let Some(inverse) = super::index::inverse(own, &indices, &values)? {
        return Ok(inverse);
    }
    let sizes = sizes_of(&x)?;
    if let [Meaning::Whole(mask)] = &indices[..]
        && mask.kind == crate::whole::WholeKind::Truth
    {
        // What the mask does not name is under it as a whole, and may have values of its own.
        let missing = sizes.len().checked_sub(mask.sizes.len()).ok_or(Obstacle::Unknown)?;
        let of_values = sizes_of(&values)?;
        let (one_for_all, rest) = of_values.split_at(of_values.len().saturating_sub(missing));
        if one_for_all.iter().any(|size| *size != Poly::one()) {
            return Err(Obstacle::Bad(super::by_data::OPEN.to_owned()));
        }
        one_size(mask.sizes.iter().zip(&sizes))?;
        let shape = [mask.sizes.clone(), vec![Poly::one(); missing]].concat();
        let mask = Meaning::Whole(mask.reshaped(&shape));
        let values = reshape(
            own,
            values,
            if rest.iter().all(|size| *size == Poly::one()) { &[] } else { rest },
        )?;
        let values = match adds {
            true => Meaning::Tensor(combined(own, ArithmeticKind::Add, x.clone(), values)?),
            false => values,
        };
        return super::truth::select(own, call, mask, values, x);
    }
    let given = super::index::given(&indices)?;
    let (at, of_values) = super::index::at(own, &given, &sizes)?;
    one_size(sizes_of(&values)?.iter().rev().zip(of_values.iter().rev()))?;
    let values = spread(values, &of_values)?;
    let joining = if adds { Joining::ADD } else { Joining::WRITE };
    let of = call.kind(own, 0)?;
    joining.put(own, x, values, &at, of)
}

/// Two symbols that meet are one size.
fn one_size<'a>(mut both: impl Iterator<Item = (&'a Poly, &'a Poly)>) -> Lowered<()> {
    both.try_for_each(|(a, b)| match (a.as_symbol(), b.as_symbol()) {
        (Some(a), Some(b)) if a != b => Err(Obstacle::Equal(a.clone(), b.clone())),
        _ => Ok(()),
    })
}

/// `put(x, places, values)`: values at places of all elements in their order.
fn put_flat(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Meaning> {
    let (x, ids) = (call.value(own, "self")?, ids(own, call)?);
    let (sizes, count) = (sizes_of(&x)?, ids.sizes.iter().product::<Poly>());
    let all: Poly = sizes.iter().product();
    let flat = reshape(own, x, std::slice::from_ref(&all))?;
    let values = call.value(own, "source")?;
    let values = reshape(own, values, std::slice::from_ref(&count))?;
    let place = ids.reshaped(std::slice::from_ref(&count)).expr;
    let at = [At::Place(from_either_end(own, &place, &all))];
    let joining = if call.flag("accumulate", false) { Joining::ADD } else { Joining::WRITE };
    let of = call.kind(own, 0)?;
    let put = joining.put(own, flat, values, &at, of)?;
    reshape(own, put, &sizes)
}

/// `max_unpool(x, places)`: each element in its place of a plane, in which zeros are.
fn unpooled(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Meaning> {
    let (x, ids) = (call.value(own, "self")?, call.value(own, "indices")?.whole()?);
    let (sizes, of_x) = (call.sizes(own, 0)?, sizes_of(&x)?);
    let spatial = if call.operation.starts_with("aten.max_unpool3d") { 3 } else { 2 };
    let outer = sizes.len().checked_sub(spatial).ok_or(Obstacle::Unknown)?;
    let flat = |sizes: &[Poly]| -> Vec<Poly> {
        [&sizes[..outer], &[sizes[outer..].iter().product()]].concat()
    };
    let (from, to) = (flat(&of_x), flat(&sizes));
    let values = reshape(own, x, &from)?;
    let zeros = Meaning::Tensor(own.zeros(to.clone())?);
    let at = only(outer, ids.reshaped(&from).expr, &to, &from);
    let put = Joining::WRITE.put(own, zeros, values, &at, crate::whole::WholeKind::Real)?;
    reshape(own, put, &sizes)
}

/// `masked_scatter(x, mask, source)`: where the mask holds, the next element of the source.
fn masked(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Meaning> {
    let x = call.value(own, "self")?;
    let mask = call.value(own, "mask")?.whole()?;
    let sizes = sizes_of(&x)?;
    let mask = mask.ranked(sizes.len()).expanded(sizes.clone());
    let all: Poly = sizes.iter().product();
    let source = call.tensor(own, "source")?;
    let length: Poly = source.sizes().iter().product();
    let source = own.movement().reshape(&source, std::slice::from_ref(&length))?;
    // How many hold up to each place, in the order of memory.
    let flat = mask.reshaped(std::slice::from_ref(&all));
    let mut movement = own.movement();
    let mut truths = movement.whole(&flat.sizes, &flat.expr, true)?;
    let axis = movement.axis(&mut truths, 0)?;
    let var = movement.graph.cumulative(truths.var, axis.name)?;
    let held = own.computed(var, truths.dims, crate::whole::WholeKind::Whole)?.whole()?;
    let place = super::places::within(&held.expr.minus(&1.into()), &length);
    let next = picked(own, &source, &[all], &[At::Place(place)])?;
    let next = reshape(own, Meaning::Tensor(next), &sizes)?;
    super::truth::select(own, call, Meaning::Whole(mask), next, x)
}

/// A run of positions, or one, of a dimension written over.
fn over_run(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Meaning> {
    let (x, source) = (call.value(own, "self")?, call.value(own, "src")?);
    let sizes = sizes_of(&x)?;
    let dim = call.dim("dim", 0, sizes.len())?;
    let (start, source) = match base {
        "select_scatter" => {
            let mut whole = sizes.clone();
            whole[dim] = Poly::one();
            (call.size(own, "index")?, reshape(own, source, &whole)?)
        }
        _ => (call.size(own, "start")?, source),
    };
    let start = from_end(&start.unwrap_or_else(Poly::zero), &sizes[dim]);
    let length = sizes_of(&source)?[dim].clone();
    let run = Run { dim, start, length, step: call.int("step", 1).into() };
    super::overwriting::overwritten(own, x, &run, source)
}
