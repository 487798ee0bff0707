//! Convolutions and pooling: windows that slide over positions.

use std::collections::BTreeSet;

use opledger_dims::{Poly, Symbol};
use opledger_ir::Axis;
use opledger_ir::ops::{Convolution, Pool, PoolKind};

use crate::call::Call;
use crate::importer::{Importer, Lowered, Meaning, Obstacle};
use crate::tensor::{Dim, DimPart, Placed};

pub(super) fn lower(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Vec<Meaning>> {
    let one = |tensor: Placed| Ok(vec![Meaning::Tensor(tensor)]);
    let kind = match base {
        "conv1d" | "conv2d" | "conv3d" | "convolution" => return one(convolution(own, call)?),
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

fn convolution(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Placed> {
    if call.flag("transposed", false) {
        return Err(Obstacle::Unknown);
    }
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
    let groups = usize::try_from(call.int("groups", 1)).map_err(|_| Obstacle::Unknown)?;
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
    let (x, weight) = (movement.dense(&x)?, movement.dense(&weight)?);
    let batch: Vec<Axis> = x.dims[0].iter().filter_map(DimPart::axis).cloned().collect();
    let axes = results(own, &batch, &sizes)?;
    let op = Convolution::new(axes, &strides, &padding, &dilations, groups);
    let var = own.graph.convolution("", x.var, weight.var, op)?;
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
