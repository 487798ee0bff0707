//! Writing and adding at places.

use opledger_dims::Poly;
use opledger_ir::IndexExpr;

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
        let single = sizes_of(&values)?.iter().all(|size| *size == Poly::one());
        if adds || !single || mask.sizes.len() > sizes.len() {
            return Err(Obstacle::Bad(super::by_data::OPEN.to_owned()));
        }
        // What the mask does not name is under it as a whole.
        let missing = sizes.len() - mask.sizes.len();
        let shape = [mask.sizes.clone(), vec![Poly::one(); missing]].concat();
        let mask = Meaning::Whole(mask.reshaped(&shape));
        let value = reshape(own, values, &[])?;
        return super::truth::select(own, call, mask, value, x);
    }
    let given = super::index::given(&indices)?;
    let (at, of_values) = super::index::at(own, &given, &sizes)?;
    let values = spread(values, &of_values)?;
    let joining = if adds { Joining::ADD } else { Joining::WRITE };
    let of = call.kind(own, 0)?;
    joining.put(own, x, values, &at, of)
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
