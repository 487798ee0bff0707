//! Looking up by place.

use opledger_dims::Poly;
use opledger_ir::IndexExpr;

use super::movement::{cut, sizes_of};
use crate::call::Call;
use crate::importer::{Importer, Lowered, Meaning, Obstacle};
use crate::tensor::{Dim, DimPart, Placed};
use crate::whole::{Whole, WholeKind};

pub(super) fn lower(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Vec<Meaning>> {
    let one = |value: Lowered<Meaning>| value.map(|value| vec![value]);
    match base {
        "embedding" => {
            let table = call.tensor(own, "weight")?;
            let Meaning::Whole(ids) = call.value(own, "indices")? else {
                return Err(Obstacle::Unknown);
            };
            one(rows(own, &table, &ids))
        }
        "index" => one(indexed(own, call)),
        "index_put" => one(inverse(own, call)),
        "gather" => one(gathered(own, call)),
        "index_select" => {
            let value = call.value(own, "self")?;
            let dim = call.dim("dim", 0, sizes_of(&value)?.len())?;
            let Meaning::Whole(ids) = call.value(own, "index")? else {
                return Err(Obstacle::Unknown);
            };
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
                _ => Err(Obstacle::Unknown),
            }
        }
        _ => Err(Obstacle::Unknown),
    }
}

/// Rows of a table: a run of them where ids are positions, else looked up by id.
fn rows(own: &mut Importer<'_>, table: &Placed, ids: &Whole) -> Lowered<Meaning> {
    let one = Poly::one();
    let sizes = table.sizes();
    let row = table.dims.get(1..).ok_or(Obstacle::Unknown)?.to_vec();
    // Ids that count up along one dimension.
    let (constant, terms) = ids.expr.parts();
    if let [(IndexExpr::Position(dim), factor)] = &terms[..]
        && *factor == one
    {
        let length = ids.sizes[*dim].clone();
        let cut = cut(own, Meaning::Tensor(table.clone()), 0, &constant, &length)?;
        let Meaning::Tensor(run) = cut else { return Err(Obstacle::Unknown) };
        let mut dims: Vec<Dim> = repeated(&ids.sizes);
        dims[*dim] = run.dims[0].clone();
        dims.extend(run.dims[1..].to_vec());
        return Ok(Meaning::Tensor(Placed { var: run.var, dims }));
    }
    if terms.is_empty() && sizes.len() == 2 {
        // The same row everywhere.
        let cut = cut(own, Meaning::Tensor(table.clone()), 0, &constant, &one)?;
        let Meaning::Tensor(mut run) = cut else { return Err(Obstacle::Unknown) };
        let mut dims: Vec<Dim> = repeated(&ids.sizes);
        if run.dims[0].iter().any(|piece| piece.axis().is_some()) {
            own.movement().drop_axis(&mut run, 0)?;
        }
        dims.extend(run.dims[1..].to_vec());
        return Ok(Meaning::Tensor(Placed { var: run.var, dims }));
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
    let Meaning::Tensor(turned) = turned else { return Err(Obstacle::Unknown) };
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

/// `x[i, j, …]` by whole numbers, which are broadcast.
fn indexed(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Meaning> {
    let value = call.value(own, "self")?;
    let Meaning::List(indices) = call.value(own, "indices")? else { return Err(Obstacle::Unknown) };
    let sizes = call.sizes(own, 0)?;
    let given: Vec<(usize, Whole)> = indices
        .iter()
        .enumerate()
        .filter_map(|(dim, index)| match index {
            Meaning::Whole(whole) => Some((dim, whole.clone())),
            _ => None,
        })
        .collect();
    let others = indices.iter().filter(|index| !matches!(index, Meaning::None)).count();
    if given.is_empty() || others != given.len() {
        return Err(Obstacle::Unknown);
    }
    if given.iter().any(|(_, whole)| whole.kind == WholeKind::Truth) {
        // How many places hold depends on the data.
        return Err(Obstacle::Unknown);
    }
    let own_sizes = sizes_of(&value)?;
    match value {
        Meaning::Whole(whole) => {
            let rank = given.iter().map(|(_, index)| index.sizes.len()).max().unwrap_or(0);
            let first = given[0].0;
            let together = given.windows(2).all(|pair| pair[1].0 == pair[0].0 + 1);
            // Where the broadcast dimensions stand in the result.
            let start = if together { first } else { 0 };
            for (dim, index) in &given {
                equal(&own_sizes[*dim], index)?;
            }
            let moved = whole.moved(sizes, |dim| {
                let by = given.iter().find(|(own, _)| *own == dim);
                match by {
                    Some((_, index)) => {
                        let wide = index.ranked(rank);
                        wide.expr.at(&|own| IndexExpr::Position(own + start))
                    }
                    None => {
                        let before = given.iter().filter(|(own, _)| *own < dim).count();
                        let shift = if start <= dim { rank } else { 0 };
                        IndexExpr::Position(dim - before + shift)
                    }
                }
            });
            Ok(Meaning::Whole(moved))
        }
        Meaning::Tensor(tensor) => match &given[..] {
            [(0, ids)] => rows(own, &tensor, ids),
            [(dim, ids)] => match run(own, tensor.clone(), *dim, ids) {
                Err(Obstacle::Unknown) => along(own, tensor, *dim, ids),
                result => result,
            },
            _ => Err(Obstacle::Unknown),
        },
        _ => Err(Obstacle::Unknown),
    }
}

/// `empty[places] = 0, 1, 2, …` by places that are a permutation: where each stands.
fn inverse(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Meaning> {
    let Meaning::List(indices) = call.value(own, "indices")? else { return Err(Obstacle::Unknown) };
    let ([Meaning::Whole(places)], Meaning::Whole(values)) =
        (&indices[..], call.value(own, "values")?)
    else {
        return Err(Obstacle::Unknown);
    };
    let sorted = match &places.expr {
        IndexExpr::Lookup { operand, at } if *at == [IndexExpr::Position(0)] => {
            super::sorted::is_permutation(own, *operand)
        }
        _ => false,
    };
    if !sorted || values.expr != IndexExpr::Position(0) {
        return Err(Obstacle::Unknown);
    }
    let mut movement = own.movement();
    let permutation = movement.whole(&places.sizes, &places.expr, false)?;
    let [_, inverse] = movement.graph.sort(permutation.var)?;
    own.given(inverse, places.sizes.clone(), WholeKind::Whole)
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
fn gathered(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Meaning> {
    let value = call.value(own, "self")?;
    let Meaning::Whole(ids) = call.value(own, "index")? else { return Err(Obstacle::Unknown) };
    let rank = ids.sizes.len();
    if rank == 0 || sizes_of(&value)?.len() != rank {
        return Err(Obstacle::Unknown);
    }
    let dim = call.dim("dim", 0, rank)?;
    match value {
        Meaning::Whole(whole) => {
            let sizes = ids.sizes.clone();
            Ok(Meaning::Whole(whole.moved(sizes, |own| {
                if own == dim { ids.expr.clone() } else { IndexExpr::Position(own) }
            })))
        }
        Meaning::Tensor(mut tensor) if dim + 1 == rank => {
            let mut movement = own.movement();
            let mut found = movement.whole(&ids.sizes, &ids.expr, false)?;
            movement.real(&mut tensor)?;
            // Rows run along; the last dimension is looked up.
            let mut rows = tensor.clone();
            rows.dims.pop();
            let last = movement.axis(&mut found, rank - 1)?;
            let mut of = found.clone();
            of.dims.pop();
            let (tensor_rows, of, dims) = movement.aligned(&rows, &of)?;
            let (mut tensor_rows, mut of) = (tensor_rows, of);
            movement.widened(&mut tensor_rows, &dims)?;
            movement.widened(&mut of, &dims)?;
            let rows: Vec<_> = dims.iter().flatten().filter_map(DimPart::axis).cloned().collect();
            let axes = crate::tensor::names(movement.graph.shape(tensor_rows.var));
            let looked: Vec<_> =
                axes.into_iter().filter(|name| !rows.iter().any(|row| row.name == *name)).collect();
            let order: Vec<_> = rows.iter().map(|row| row.name.clone()).collect();
            movement.order(&mut tensor_rows, [order.clone(), looked].concat())?;
            movement.order(&mut of, [order, vec![last.name.clone()]].concat())?;
            let var = movement.graph.gather(tensor_rows.var, of.var)?;
            let mut dims = dims;
            dims.push(vec![DimPart::Axis(last)]);
            Ok(Meaning::Tensor(Placed { var, dims }))
        }
        _ => Err(Obstacle::Unknown),
    }
}
