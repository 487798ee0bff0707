//! Convolutions and pooling: windows that slide over positions.

use std::collections::BTreeSet;

use opledger_dims::{Poly, Symbol};
use opledger_ir::ops::{Convolution, ConvolutionTransposed, Pool, PoolKind, Reduce};
use opledger_ir::{Axis, GraphError, IndexExpr, Scan, ScanValues};

use super::movement::{reshape, sizes_of};
use super::places::{At, taken};

use crate::call::Call;
use crate::importer::{Importer, Lowered, Meaning, Obstacle};
use crate::tensor::{Dim, DimPart, Placed};
use crate::whole::{Whole, WholeKind};

pub(super) fn lower(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Vec<Meaning>> {
    let one = |tensor: Placed| Ok(vec![Meaning::Tensor(tensor)]);
    let kind = match base {
        "conv1d" | "conv2d" | "conv3d" => return one(convolution(own, call)?),
        "convolution" if !call.flag("transposed", false) => return one(convolution(own, call)?),
        "convolution" | "conv_transpose1d" | "conv_transpose2d" | "conv_transpose3d" => {
            return one(transposed(own, call)?);
        }
        "adaptive_avg_pool1d"
        | "adaptive_avg_pool2d"
        | "adaptive_avg_pool3d"
        | "_adaptive_avg_pool2d"
        | "_adaptive_avg_pool3d" => {
            return one(adaptive(own, call, PoolKind::Mean)?);
        }
        // The largest, and where it stands, which nobody may ask for.
        "adaptive_max_pool1d" | "adaptive_max_pool2d" | "adaptive_max_pool3d" => {
            let largest = adaptive(own, call, PoolKind::Max)?;
            let asked = call.result(1).is_ok_and(|name| own.is_asked_for(name));
            return match asked {
                true => Err(Obstacle::Unknown),
                false => Ok(vec![Meaning::Tensor(largest), Meaning::None]),
            };
        }
        "max_pool1d_with_indices" | "max_pool2d_with_indices" | "max_pool3d_with_indices" => {
            let asked = call.result(1).is_ok_and(|name| own.is_asked_for(name));
            return match asked {
                true => placed(own, call),
                false => Ok(vec![Meaning::Tensor(pool(own, call, PoolKind::Max)?), Meaning::None]),
            };
        }
        "max_pool1d" | "max_pool2d" | "max_pool3d" => PoolKind::Max,
        "avg_pool1d" | "avg_pool2d" | "avg_pool3d"
            if call.flag("count_include_pad", true) && !call.has("divisor_override") =>
        {
            PoolKind::MeanWithPadding
        }
        "avg_pool1d" | "avg_pool2d" | "avg_pool3d" if !call.has("divisor_override") => {
            PoolKind::Mean
        }
        _ => return Err(Obstacle::Unknown),
    };
    one(pool(own, call, kind)?)
}

/// Whole numbers, one for each axis that the window slides along.
fn each(call: &Call<'_>, name: &str, axes: usize, default: &[usize]) -> Lowered<Vec<usize>> {
    let given = match call.ints(name) {
        Some(given) if !given.is_empty() => given,
        Some(_) | None => return Ok(default.to_vec()),
    };
    let given: Vec<usize> = given
        .into_iter()
        .map(usize::try_from)
        .collect::<Result<_, _>>()
        .map_err(|_| Obstacle::Bad(format!("`{name}` has a number below 0")))?;
    match given[..] {
        [same] => Ok(vec![same; axes]),
        _ if given.len() == axes => Ok(given),
        _ => Err(Obstacle::Bad(format!("`{name}` has {} numbers for {axes} axes", given.len()))),
    }
}

/// The axes of a result whose first are those of the operand: names that differ from each other.
fn results(own: &mut Importer<'_>, first: &[Axis], sizes: &[Poly]) -> Lowered<Vec<Axis>> {
    let mut axes = first.to_vec();
    let mut taken: BTreeSet<Symbol> = axes.iter().map(|axis| axis.name.clone()).collect();
    let sliding = sizes.get(first.len()..).ok_or(Obstacle::Unknown)?;
    for size in sliding {
        let name = own.movement().name(size, &taken);
        taken.insert(name.clone());
        axes.push(Axis::new(name, size.clone()));
    }
    Ok(axes)
}

/// How many groups there are: a number, or as many as a size says.
fn groups(own: &Importer<'_>, call: &Call<'_>) -> Lowered<Result<usize, Poly>> {
    let Some(size) = call.size(own, "groups")? else { return Ok(Ok(1)) };
    match size.as_integer() {
        Some(number) => usize::try_from(&number).map(Ok).map_err(|_| Obstacle::Unknown),
        None => Ok(Err(size)),
    }
}

/// As many groups as a size says, one by one, as where each item has weights of its own: `sizes` are those
/// of the result, `op` convolves one of them.
fn group_by_group(
    own: &mut Importer<'_>,
    [x, weight]: [Placed; 2],
    sizes: &[Poly],
    groups: &Poly,
    op: impl FnOnce(Vec<Axis>) -> Convolution,
) -> Lowered<Placed> {
    const GROUP: &str = "group";
    let apart = |of: &[Poly], dim: usize| -> Lowered<Vec<Poly>> {
        let each = of[dim].divided_by(groups).ok_or_else(|| {
            Obstacle::Bad(format!("{} channels are no multiple of {groups} groups", of[dim]))
        })?;
        Ok([&of[..dim], &[groups.clone(), each], &of[dim + 1..]].concat())
    };
    let (of_x, of_weight) = (apart(&x.sizes(), 1)?, apart(&weight.sizes(), 0)?);
    let results_of = apart(sizes, 1)?;
    let mut movement = own.movement();
    let mut x = movement.reshape(&x, &of_x)?;
    x.dims.swap(0, 1);
    let weight = movement.reshape(&weight, &of_weight)?;
    let mut both = Vec::new();
    for of in [&x, &weight] {
        let mut of = movement.dense(of)?;
        let name = movement.axis(&mut of, 0)?.name;
        movement.renamed(&mut of, &[(name, Symbol::new(GROUP))])?;
        both.push(of);
    }
    let batch: Vec<Axis> = both[0].dims[1].iter().filter_map(DimPart::axis).cloned().collect();
    let own_sizes = [&results_of[..1], &results_of[2..]].concat();
    let op = op(results(own, &batch, &own_sizes)?);
    let scope = own.graph.repeated("groups", groups.clone());
    let stacks = both.iter().map(|of| of.var).collect();
    let scan = Scan { carried: Vec::new(), stacks, axis: GROUP.into(), reverse: false };
    let values = own.graph.scan(&scope, &scan, |g, at| -> Result<ScanValues, GraphError> {
        let one = g.convolution("", at.stacked[0], at.stacked[1], op)?;
        Ok(ScanValues { carried: Vec::new(), stacked: vec![one] })
    })?;
    let mut movement = own.movement();
    let mut result = movement.tensor_of_all(values.stacked[0]);
    result.dims.swap(0, 1);
    Ok(movement.reshape(&result, sizes)?)
}

fn convolution(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Placed> {
    let mut x = call.tensor(own, "input")?;
    let weight = call.tensor(own, "weight")?;
    let along = weight.dims.len().saturating_sub(2);
    let batched = x.dims.len() == along + 2;
    let mut sizes = call.sizes(own, 0)?;
    if !batched {
        x.dims.insert(0, Dim::new());
        sizes.insert(0, Poly::one());
    }
    let ones = vec![1; along];
    let strides = each(call, "stride", along, &ones)?;
    let dilations = each(call, "dilation", along, &ones)?;
    let groups = groups(own, call)?;
    let padding: Vec<(usize, usize)> = match call.text("padding") {
        None => {
            each(call, "padding", along, &vec![0; along])?.into_iter().map(|p| (p, p)).collect()
        }
        Some("valid") => vec![(0, 0); along],
        Some("same") => {
            let taps = weight.sizes()[2..].iter().map(Poly::as_integer).collect::<Option<Vec<_>>>();
            let taps = taps.ok_or(Obstacle::Unknown)?;
            let total = taps.into_iter().zip(&dilations).map(|(taps, dilation)| {
                let taps = usize::try_from(&taps).map_err(|_| Obstacle::Unknown)?;
                // What is odd is more after the input.
                let all = dilation * taps.saturating_sub(1);
                Ok((all / 2, all - all / 2))
            });
            total.collect::<Lowered<_>>()?
        }
        Some(other) => return Err(Obstacle::Bad(format!("padding `{other}`"))),
    };
    let mut movement = own.movement();
    movement.real(&mut x)?;
    let mut result = match groups {
        Err(groups) => group_by_group(own, [x, weight], &sizes, &groups, |axes| {
            Convolution::new(axes, &strides, &padding, &dilations, 1)
        })?,
        Ok(groups) => {
            let (x, weight) = (movement.dense(&x)?, movement.dense(&weight)?);
            let batch: Vec<Axis> = x.dims[0].iter().filter_map(DimPart::axis).cloned().collect();
            let axes = results(own, &batch, &sizes)?;
            let op = Convolution::new(axes, &strides, &padding, &dilations, groups);
            let var = own.graph.convolution("", x.var, weight.var, op)?;
            own.movement().tensor(var)?
        }
    };
    if let Some(mut bias) = call.optional(own, "bias")? {
        bias.dims.extend(vec![Dim::new(); along]);
        result = super::product::biased(own, result, bias)?;
    }
    if !batched {
        result.dims.remove(0);
    }
    Ok(result)
}

/// Windows that lie on the result, an element of the input for each.
fn transposed(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Placed> {
    let mut x = call.tensor(own, "input")?;
    let weight = call.tensor(own, "weight")?;
    let along = weight.dims.len().saturating_sub(2);
    let batched = x.dims.len() == along + 2;
    let mut sizes = call.sizes(own, 0)?;
    if !batched {
        x.dims.insert(0, Dim::new());
        sizes.insert(0, Poly::one());
    }
    let ones = vec![1; along];
    let strides = each(call, "stride", along, &ones)?;
    let dilations = each(call, "dilation", along, &ones)?;
    let padding = each(call, "padding", along, &vec![0; along])?;
    let more = each(call, "output_padding", along, &vec![0; along])?;
    let groups = groups(own, call)?.map_err(|groups| {
        Obstacle::Bad(format!("there are {groups} groups, and their number may be no size here"))
    })?;
    // What is added after the result is padding that is not cut off; the sizes of the result say how much.
    let cut: Vec<(usize, usize)> = padding.iter().map(|p| (*p, *p)).collect();
    let spare = strides.iter().zip(&dilations).map(|(stride, dilation)| *stride.max(dilation));
    if more.iter().zip(spare).any(|(more, spare)| *more >= spare) {
        return Err(Obstacle::Bad("`output_padding` is not below the stride".to_owned()));
    }
    let mut movement = own.movement();
    movement.real(&mut x)?;
    let (x, weight) = (movement.dense(&x)?, movement.dense(&weight)?);
    let batch: Vec<Axis> = x.dims[0].iter().filter_map(DimPart::axis).cloned().collect();
    let axes = results(own, &batch, &sizes)?;
    let op = ConvolutionTransposed::new(axes, &strides, &cut, &dilations, groups);
    let var = own.graph.convolution_transposed("", x.var, weight.var, op)?;
    let mut result = own.movement().tensor(var)?;
    if let Some(mut bias) = call.optional(own, "bias")? {
        bias.dims.extend(vec![Dim::new(); along]);
        result = super::product::biased(own, result, bias)?;
    }
    if !batched {
        result.dims.remove(0);
    }
    Ok(result)
}

/// Windows that cover the last dimensions, as many as the result has.
fn adaptive(own: &mut Importer<'_>, call: &Call<'_>, kind: PoolKind) -> Lowered<Placed> {
    let sizes = call.sizes(own, 0)?;
    let mut x = call.tensor(own, "self")?;
    let rank = x.dims.len();
    let along = call.operation.chars().find_map(|c| c.to_digit(10)).unwrap_or(2) as usize;
    let from = rank.checked_sub(along).ok_or(Obstacle::Unknown)?;
    let before = x.sizes();
    if sizes.len() != rank {
        return Err(Obstacle::Unknown);
    }
    if sizes[from..] == before[from..] {
        return Ok(x);
    }
    let reduce = if kind == PoolKind::Max { Reduce::Max } else { Reduce::Mean };
    let (mut blocks, mut inside) = (before[..from].to_vec(), Vec::new());
    for (size, result) in before[from..].iter().zip(&sizes[from..]) {
        let Some(block) = size.divided_by(result) else { break };
        blocks.extend([result.clone(), block]);
        inside.push(blocks.len() - 1);
    }
    if inside.len() == along {
        // Whole blocks.
        let mut x = own.movement().reshape(&x, &blocks)?;
        super::reduction::along(own, &mut x, &inside, false, reduce)?;
        return Ok(x);
    }
    let mut movement = own.movement();
    movement.real(&mut x)?;
    let x = movement.dense(&x)?;
    let first: Vec<Axis> =
        x.dims[..from].iter().flatten().filter_map(DimPart::axis).cloned().collect();
    let axes = results(own, &first, &sizes)?;
    let var = own.graph.adaptive_pool(x.var, kind, from, axes)?;
    Ok(own.movement().tensor(var)?)
}

fn pool(own: &mut Importer<'_>, call: &Call<'_>, kind: PoolKind) -> Lowered<Placed> {
    let name = if call.has("self") { "self" } else { "input" };
    let mut x = call.tensor(own, name)?;
    let along = call.operation.chars().find_map(|c| c.to_digit(10)).unwrap_or(2) as usize;
    let rank = x.dims.len();
    if rank < along {
        return Err(Obstacle::Unknown);
    }
    let window = each(call, "kernel_size", along, &[])?;
    if window.len() != along {
        return Err(Obstacle::Unknown);
    }
    let strides = each(call, "stride", along, &window)?;
    let dilations = each(call, "dilation", along, &vec![1; along])?;
    let padding = each(call, "padding", along, &vec![0; along])?;
    let padding: Vec<(usize, usize)> = padding.into_iter().map(|p| (p, p)).collect();
    let sizes = call.sizes(own, 0)?;
    let mut movement = own.movement();
    movement.real(&mut x)?;
    let x = movement.dense(&x)?;
    let first: Vec<Axis> =
        x.dims[..rank - along].iter().flatten().filter_map(DimPart::axis).cloned().collect();
    let axes = results(own, &first, &sizes)?;
    let op = Pool {
        partial: call.flag("ceil_mode", false),
        dilations,
        ..Pool::new(kind, axes, &window, &strides, &padding)
    };
    let var = own.graph.pool(x.var, op)?;
    Ok(own.movement().tensor(var)?)
}

/// The largest of each window, and where it stands in its plane: the comparisons find the place, and what
/// stands there is looked up.
fn placed(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Vec<Meaning>> {
    let x = Meaning::Tensor(call.tensor(own, "self")?);
    let along = call.operation.chars().find_map(|c| c.to_digit(10)).unwrap_or(2) as usize;
    let window = each(call, "kernel_size", along, &[])?;
    let strides = each(call, "stride", along, &window)?;
    let dilations = each(call, "dilation", along, &vec![1; along])?;
    let padding = each(call, "padding", along, &vec![0; along])?;
    let beyond = padding.iter().any(|padding| *padding > 0) || call.flag("ceil_mode", false);
    if beyond && dilations.iter().any(|dilation| *dilation > 1) {
        let apart = "places of the largest in windows that are not all on the input, of taps that are apart";
        return Err(Obstacle::Bad(apart.to_owned()));
    }
    let (sizes, of_x) = (call.sizes(own, 0)?, sizes_of(&x)?);
    let (rank, of) = (sizes.len(), |number: usize| Poly::from(number as u64));
    let outer =
        rank.checked_sub(along).filter(|_| window.len() == along).ok_or(Obstacle::Unknown)?;
    // From a result and a place in its window to a place on the input.
    let stands = |axis: usize, tap: &IndexExpr| {
        let start = IndexExpr::Position(outer + axis).scaled(&of(strides[axis]));
        let place = start.plus(&tap.scaled(&of(dilations[axis])));
        if !beyond {
            return place;
        }
        // A tap beyond the input is its nearest element, which the window has as well.
        let place = place.minus(&IndexExpr::size(of(padding[axis])));
        let place = place.below(&0.into()).choose(&0.into(), &place);
        let last = IndexExpr::size(&of_x[outer + axis] - &Poly::one());
        last.below(&place).choose(&last, &place)
    };
    let tap = |axis: usize| IndexExpr::Position(rank + axis);
    let before = (0..outer).map(At::Along);
    let at: Vec<At> =
        before.clone().chain((0..along).map(|axis| At::Place(stands(axis, &tap(axis))))).collect();
    let taps: Vec<Poly> = window.iter().map(|taps| of(*taps)).collect();
    let windows = taken(own, x.clone(), &[&sizes[..], &taps].concat(), &at)?;
    let mut windows = own.real(windows)?;
    own.movement().real(&mut windows)?;
    let over: Vec<usize> = (rank..rank + along).collect();
    let tap = super::extreme::place(own, windows, &over, false)?.whole()?.expr;
    let place = (0..along).fold(IndexExpr::from(0), |flat, axis| {
        let inner: usize = window[axis + 1..].iter().product();
        let tap =
            tap.floor_div(&IndexExpr::size(of(inner))).modulo(&IndexExpr::size(taps[axis].clone()));
        flat.scaled(&of_x[outer + axis]).plus(&stands(axis, &tap))
    });
    let plane: Poly = of_x[outer..].iter().product();
    let flat = reshape(own, x, &[&of_x[..outer], &[plane]].concat())?;
    let at: Vec<At> = before.chain([At::Place(place.clone())]).collect();
    let largest = taken(own, flat, &sizes, &at)?;
    let places = Whole { sizes, expr: place, kind: WholeKind::Whole };
    Ok(vec![largest, Meaning::Whole(places)])
}
