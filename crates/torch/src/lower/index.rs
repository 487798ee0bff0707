//! Looking up by place.

use opledger_dims::Poly;
use opledger_ir::IndexExpr;

use super::by_data::OPEN;
use super::movement::{cut, sizes_of};
use super::places::{At, from_either_end, only, taken};
use crate::call::Call;
use crate::importer::{Importer, Lowered, Meaning, Obstacle};
use crate::tensor::{Dim, DimPart, Placed};
use crate::whole::{Whole, WholeKind};

pub(super) fn lower(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Vec<Meaning>> {
    let one = |value: Lowered<Meaning>| value.map(|value| vec![value]);
    match base {
        "embedding" => {
            let table = call.tensor(own, "weight")?;
            let ids = call.value(own, "indices")?.whole()?;
            one(rows(own, &table, &ids))
        }
        "index" => one(indexed(own, call)),
        "gather" => one(gathered(own, call, "index")),
        "take_along_dim" => one(gathered(own, call, "indices")),
        "take" => {
            let value = call.value(own, "self")?;
            let all: Poly = sizes_of(&value)?.iter().product();
            let flat = super::movement::reshape(own, value, std::slice::from_ref(&all))?;
            let ids = call.value(own, "index")?.whole()?;
            let place = from_either_end(own, &ids.expr, &all);
            one(taken(own, flat, &ids.sizes, &[At::Place(place)]))
        }
        "index_select" => {
            let value = call.value(own, "self")?;
            let dim = call.dim("dim", 0, sizes_of(&value)?.len())?;
            let ids = call.value(own, "index")?.whole()?;
            match value {
                Meaning::Whole(whole) => {
                    let sizes = call.sizes(own, 0)?;
                    let at = ids.expr.at(&|_| IndexExpr::Position(dim));
                    let moved = whole.moved(sizes, |own| {
                        if own == dim { at.clone() } else { IndexExpr::Position(own) }
                    });
                    Ok(vec![Meaning::Whole(moved)])
                }
                Meaning::Tensor(tensor) if dim == 0 => one(rows(own, &tensor, &ids)),
                Meaning::Tensor(tensor) => one(along(own, tensor, dim, &ids)),
                Meaning::Choice { .. }
                | Meaning::Groups(_)
                | Meaning::Hidden(_)
                | Meaning::Size(_)
                | Meaning::Number(_)
                | Meaning::List(_)
                | Meaning::None => Err(Obstacle::Unknown),
            }
        }
        _ => Err(Obstacle::Unknown),
    }
}

/// Rows of a table: a run of them where ids are positions, else looked up by id.
pub(super) fn rows(own: &mut Importer<'_>, table: &Placed, ids: &Whole) -> Lowered<Meaning> {
    let one = Poly::one();
    let sizes = table.sizes();
    let row = table.dims.get(1..).ok_or(Obstacle::Unknown)?.to_vec();
    // Ids that count up along one dimension.
    let (constant, terms) = ids.expr.parts();
    if let [(IndexExpr::Position(dim), factor)] = &terms[..]
        && *factor == one
    {
        let length = ids.sizes[*dim].clone();
        own.reads_positions(&(&constant + &length), &sizes[0]);
        let cut = cut(own, Meaning::Tensor(table.clone()), 0, &constant, &length)?;
        let run = cut.placed()?;
        let mut dims: Vec<Dim> = repeated(&ids.sizes);
        dims[*dim] = run.dims[0].clone();
        dims.extend(run.dims[1..].to_vec());
        return Ok(Meaning::Tensor(Placed { var: run.var, dims }));
    }
    if terms.is_empty() && sizes.len() == 2 {
        // The same row everywhere.
        let cut = cut(own, Meaning::Tensor(table.clone()), 0, &constant, &one)?;
        let mut run = cut.placed()?;
        let mut dims: Vec<Dim> = repeated(&ids.sizes);
        if run.dims[0].iter().any(|piece| piece.axis().is_some()) {
            own.movement().drop_axis(&mut run, 0)?;
        }
        dims.extend(run.dims[1..].to_vec());
        return Ok(Meaning::Tensor(Placed { var: run.var, dims }));
    }
    if row.is_empty() && ids.sizes.len() != 1 {
        let flat = ids.reshaped(&[ids.sizes.iter().product()]);
        let found = rows(own, table, &flat)?;
        return super::movement::reshape(own, found, &ids.sizes);
    }
    if row.is_empty() {
        // One number for each place.
        let mut movement = own.movement();
        let found = movement.whole(&ids.sizes, &ids.expr, false)?;
        if found.dims.len() != 1 || table.dims.len() != 1 {
            return Err(Obstacle::Unknown);
        }
        let (found, table) = (movement.dense(&found)?, movement.dense(table)?);
        let var = movement.graph.gather(table.var, found.var)?;
        return Ok(Meaning::Tensor(Placed { var, dims: found.dims }));
    }
    if row.len() != 1 {
        // Rows of several dimensions as one.
        let flat = [sizes[0].clone(), sizes[1..].iter().product()];
        let table = own.movement().reshape(table, &flat)?;
        let found = rows(own, &table, ids)?;
        let back = [&ids.sizes[..], &sizes[1..]].concat();
        return super::movement::reshape(own, found, &back);
    }
    let mut movement = own.movement();
    let found = movement.whole(&ids.sizes, &ids.expr, false)?;
    let mut table = movement.dense(table)?;
    // The names of rows must not stand among those of ids.
    let taken = found.axes().into_iter().map(|axis| axis.name).collect();
    let width = movement.axis(&mut table, 1)?;
    let name = movement.name(&width.size, &taken);
    movement.renamed(&mut table, &[(width.name, name)])?;
    let var = movement.graph.embedding("", found.var, table.var)?;
    let mut dims = found.dims;
    dims.push(table.dims[1].clone());
    Ok(Meaning::Tensor(Placed { var, dims }))
}

/// Places of one dimension that count up, or are one.
fn run(own: &mut Importer<'_>, tensor: Placed, dim: usize, ids: &Whole) -> Lowered<Meaning> {
    let (constant, terms) = ids.expr.parts();
    let one = Poly::one();
    let counts = match &terms[..] {
        [] => ids.sizes.iter().all(|size| *size == one),
        [(IndexExpr::Position(_), factor)] => *factor == one,
        _ => false,
    };
    let [length] = &ids.sizes[..] else { return Err(Obstacle::Unknown) };
    if !counts {
        return Err(Obstacle::Unknown);
    }
    let start = super::movement::from_end(&constant, &crate::tensor::size(&tensor.dims[dim]));
    cut(own, Meaning::Tensor(tensor), dim, &start, length)
}

/// Entries of one dimension by their places, which stand where the dimension stood.
fn along(own: &mut Importer<'_>, tensor: Placed, dim: usize, ids: &Whole) -> Lowered<Meaning> {
    let rank = tensor.dims.len();
    let order: Vec<usize> =
        std::iter::once(dim).chain((0..rank).filter(|own| *own != dim)).collect();
    let turned = super::movement::permute(Meaning::Tensor(tensor), &order)?;
    let turned = turned.placed()?;
    let found = rows(own, &turned, ids)?;
    // [places…, others…] to where the dimension stood.
    let places = ids.sizes.len();
    let order: Vec<usize> =
        (places..places + dim).chain(0..places).chain(places + dim..places + rank - 1).collect();
    super::movement::permute(found, &order)
}

fn repeated(sizes: &[Poly]) -> Vec<Dim> {
    let one = Poly::one();
    let dim = |size: &Poly| match *size == one {
        true => Dim::new(),
        false => vec![DimPart::Repeat(size.clone())],
    };
    sizes.iter().map(dim).collect()
}

/// The whole numbers that dimensions are indexed by, with these dimensions.
pub(super) fn given(indices: &[Meaning]) -> Lowered<Vec<(usize, Whole)>> {
    let mut given = Vec::new();
    for (dim, index) in indices.iter().enumerate() {
        match index {
            Meaning::Whole(whole) if whole.kind == WholeKind::Truth => {
                return Err(Obstacle::Bad(OPEN.to_owned()));
            }
            Meaning::Whole(whole) => given.push((dim, whole.clone())),
            Meaning::None => {}
            Meaning::Tensor(_)
            | Meaning::Groups(_)
            | Meaning::Hidden(_)
            | Meaning::Choice { .. }
            | Meaning::Size(_)
            | Meaning::Number(_)
            | Meaning::List(_) => return Err(Obstacle::Unknown),
        }
    }
    if given.is_empty() { Err(Obstacle::Unknown) } else { Ok(given) }
}

/// Where the elements of an indexed tensor of these sizes stand, and the sizes of the result: whole
/// numbers are broadcast, and their dimensions stand in the place of those they index where these are
/// neighbours, else first.
pub(super) fn at(
    own: &Importer<'_>,
    given: &[(usize, Whole)],
    sizes: &[Poly],
) -> Lowered<(Vec<At>, Vec<Poly>)> {
    let rank = given.iter().map(|(_, index)| index.sizes.len()).max().unwrap_or(0);
    let together = given.windows(2).all(|pair| pair[1].0 == pair[0].0 + 1);
    let start = if together { given.first().map_or(0, |(first, _)| *first) } else { 0 };
    let mut places = vec![Poly::one(); rank];
    let mut at: Vec<Option<At>> = vec![None; sizes.len()];
    for (dim, index) in given {
        let size = sizes.get(*dim).ok_or(Obstacle::Unknown)?;
        equal(size, index)?;
        let wide = index.ranked(rank);
        places = crate::whole::broadcast(&places, &wide.sizes).map_err(Obstacle::sizes)?;
        let place = wide.expr.at(&|own| IndexExpr::Position(own + start));
        at[*dim] = Some(At::Place(from_either_end(own, &place, size)));
    }
    let mut untouched = 0;
    let mut rest = Vec::new();
    let mut all = Vec::new();
    for (at, size) in at.into_iter().zip(sizes) {
        all.push(at.unwrap_or_else(|| {
            let shift = if untouched >= start { rank } else { 0 };
            untouched += 1;
            rest.push(size.clone());
            At::Along(untouched - 1 + shift)
        }));
    }
    rest.splice(start..start, places);
    Ok((all, rest))
}

/// `x[i, j, …]` by whole numbers.
fn indexed(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Meaning> {
    let value = call.value(own, "self")?;
    let indices = call.value(own, "indices")?.list()?;
    let given = given(&indices)?;
    match (value, &given[..]) {
        (Meaning::Tensor(tensor), [(dim, ids)]) => {
            let size = tensor.sizes().get(*dim).cloned().ok_or(Obstacle::Unknown)?;
            let expr = from_either_end(own, &ids.expr, &size);
            let ids = Whole { expr, ..ids.clone() };
            if *dim == 0 {
                return rows(own, &tensor, &ids);
            }
            match run(own, tensor.clone(), *dim, &ids) {
                Err(Obstacle::Unknown) => along(own, tensor, *dim, &ids),
                result => result,
            }
        }
        (value, given) => {
            let (at, sizes) = at(own, given, &sizes_of(&value)?)?;
            taken(own, value, &sizes, &at)
        }
    }
}

/// `empty[places] = 0, 1, 2, …` by places that are a permutation: where each stands.
pub(super) fn inverse(
    own: &mut Importer<'_>,
    indices: &[Meaning],
    values: &Meaning,
) -> Lowered<Option<Meaning>> {
    let ([Meaning::Whole(places)], Meaning::Whole(values)) = (indices, values) else {
        return Ok(None);
    };
    let sorted = match &places.expr {
        IndexExpr::Lookup { operand, at } if *at == [IndexExpr::Position(0)] => {
            super::sorted::is_permutation(own, *operand)
        }
        _ => false,
    };
    if !sorted || values.expr != IndexExpr::Position(0) {
        return Ok(None);
    }
    let mut movement = own.movement();
    let permutation = movement.whole(&places.sizes, &places.expr, false)?;
    let [_, inverse] = movement.graph.sort(permutation.var)?;
    own.given(inverse, places.sizes.clone(), WholeKind::Whole).map(Some)
}

/// Places that run over as many as a symbol says, in a dimension of another symbol: one size.
fn equal(size: &Poly, index: &Whole) -> Lowered<()> {
    if let IndexExpr::Position(dim) = &index.expr
        && let (Some(a), Some(b)) = (size.as_symbol(), index.sizes[*dim].as_symbol())
        && a != b
    {
        return Err(Obstacle::Equal(a.clone(), b.clone()));
    }
    Ok(())
}

/// `gather`: an element of each row by its place.
fn gathered(own: &mut Importer<'_>, call: &Call<'_>, index: &str) -> Lowered<Meaning> {
    let value = call.value(own, "self")?;
    let ids = call.value(own, index)?.whole()?;
    let (rank, sizes) = (ids.sizes.len(), sizes_of(&value)?);
    if rank == 0 || sizes.len() != rank {
        return Err(Obstacle::Unknown);
    }
    let dim = call.dim("dim", 0, rank)?;
    let one = Poly::one();
    let broadcast = ids
        .sizes
        .iter()
        .zip(&sizes)
        .enumerate()
        .any(|(own, (ids, x))| own != dim && ids != x && (*ids == one || *x == one));
    if index == "indices" && broadcast {
        return Err(Obstacle::Unknown);
    }
    if let Meaning::Tensor(tensor) = &value
        && dim + 1 == rank
        && ids.sizes[..dim] == sizes[..dim]
    {
        return gathered_last(own, tensor.clone(), &ids);
    }
    let place = from_either_end(own, &ids.expr, &sizes[dim]);
    let at = only(dim, place, &sizes, &ids.sizes);
    taken(own, value, &ids.sizes, &at)
}

/// The same along the last dimension.
fn gathered_last(own: &mut Importer<'_>, mut tensor: Placed, ids: &Whole) -> Lowered<Meaning> {
    let last = ids.sizes.len() - 1;
    let mut movement = own.movement();
    let mut found = movement.whole(&ids.sizes, &ids.expr, false)?;
    movement.real(&mut tensor)?;
    // Rows run along; the last dimension of each is one of its own, so that no name stands for both.
    tensor.dims.push(Dim::new());
    found.dims.insert(last, Dim::new());
    let (mut tensor, mut found, dims) = movement.aligned(&tensor, &found)?;
    let rows = &dims[..last];
    let order: Vec<_> =
        rows.iter().flatten().filter_map(DimPart::axis).map(|axis| axis.name.clone()).collect();
    let looked = movement.axis(&mut tensor, last)?;
    let own_last = found.dims.pop().unwrap_or_default();
    movement.widened(&mut found, rows)?;
    found.dims.push(own_last);
    let chosen = movement.axis(&mut found, last)?;
    movement.order(&mut tensor, [&order[..], &[looked.name]].concat())?;
    movement.order(&mut found, [&order[..], std::slice::from_ref(&chosen.name)].concat())?;
    let var = movement.graph.gather(tensor.var, found.var)?;
    let mut dims = rows.to_vec();
    dims.push(vec![DimPart::Axis(chosen)]);
    Ok(Meaning::Tensor(Placed { var, dims }))
}
