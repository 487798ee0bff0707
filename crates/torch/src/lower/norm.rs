//! Normalisation and softmax.

use opledger_dims::{Poly, Symbol};
use opledger_ir::Var;
use opledger_ir::ops::{ArithmeticKind, Norm, Pointwise};

use crate::call::{Call, place};
use crate::importer::{Importer, Lowered, Meaning, Obstacle};
use crate::tensor::{Dim, Placed};

pub(super) fn lower(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Vec<Meaning>> {
    let one = |tensor: Placed| Ok(vec![Meaning::Tensor(tensor)]);
    match base {
        "layer_norm" | "native_layer_norm" => {
            let eps = call.float("eps").unwrap_or(1e-5);
            one(normalised(own, call, Norm::layer(eps))?)
        }
        "rms_norm" => {
            // Without a number PyTorch takes the step of single precision.
            let eps = call.float("eps").unwrap_or(f64::from(f32::EPSILON));
            one(normalised(own, call, Norm::rms(eps))?)
        }
        "group_norm" => {
            let groups = Poly::from(call.int("num_groups", 1));
            one(group_norm(own, call, groups)?)
        }
        // A group for each channel, with the statistics of the item.
        "instance_norm" if call.flag("use_input_stats", true) => {
            let channels = call.tensor(own, "input")?.sizes().get(1).cloned();
            one(group_norm(own, call, channels.ok_or(Obstacle::Unknown)?)?)
        }
        "instance_norm" => one(batch_norm(own, call)?),
        "batch_norm" | "_native_batch_norm_legit_no_training" | "native_batch_norm" => {
            one(batch_norm(own, call)?)
        }
        "softmax" | "_softmax" => one(softmax(own, call)?),
        "_weight_norm" | "_weight_norm_interface" => weight_norm(own, call),
        _ => Err(Obstacle::Unknown),
    }
}

/// LayerNorm or RMSNorm over the last dimensions.
fn normalised(own: &mut Importer<'_>, call: &Call<'_>, norm: Norm) -> Lowered<Placed> {
    let mut x = call.tensor(own, "input")?;
    let shape = ["normalized_shape", "normalised_shape"].iter().find_map(|name| call.ints(name));
    let over = match shape {
        Some(shape) => shape.len(),
        None => call.value(own, "normalized_shape")?.list()?.len(),
    };
    let affine = [call.optional(own, "weight")?, call.optional(own, "bias")?];
    let rank = x.dims.len();
    if over > rank {
        return Err(Obstacle::Bad(format!("a norm over {over} of {rank} dimensions")));
    }
    let mut movement = own.movement();
    movement.real(&mut x)?;
    let mut row = Vec::new();
    for dim in rank - over..rank {
        // Parts that lie side by side are one row all the same.
        for piece in &x.dims[dim] {
            row.extend(piece.axis().map(|axis| axis.name.clone()));
        }
    }
    if row.is_empty() {
        row.push(movement.axis(&mut x, rank - 1)?.name);
    }
    movement.last(&mut x, &row)?;
    let [gain, shift] = affine;
    // A row of one element has gain and shift without an axis.
    let several = x.dims[rank - over..].iter().any(|dim| crate::tensor::size(dim) != Poly::one());
    let plain = row.len() == 1 && several;
    let mut vars = Vec::new();
    for affine in [&gain, &shift] {
        vars.push(match affine {
            Some(affine) if plain => Some(along(own, affine, &x, rank - over)?),
            Some(_) | None => None,
        });
    }
    let norm = norm.over(row.len());
    let var = own.graph.norm(x.var, norm, vars[0], vars[1])?;
    let mut result = Placed { var, ..x };
    if !plain {
        // Over several axes gain and shift are operations of their own.
        for (kind, affine) in [(ArithmeticKind::Mul, gain), (ArithmeticKind::Add, shift)] {
            if let Some(affine) = affine {
                let (a, b) = (Meaning::Tensor(result), Meaning::Tensor(affine));
                result = super::elementwise::combined(own, kind, a, b)?;
            }
        }
    }
    Ok(result)
}

/// A gain or shift with the name of the axis that it runs along.
fn along(own: &mut Importer<'_>, affine: &Placed, x: &Placed, from: usize) -> Lowered<Var> {
    let mut movement = own.movement();
    let mut padded = affine.clone();
    let mut dims = vec![Dim::new(); from];
    dims.append(&mut padded.dims);
    let padded = Placed { var: affine.var, dims };
    let (_, named, _) = movement.aligned(x, &padded)?;
    Ok(named.var)
}

/// GroupNorm: channels in groups, all positions of a group a row.
fn group_norm(own: &mut Importer<'_>, call: &Call<'_>, groups: Poly) -> Lowered<Placed> {
    let x = call.tensor(own, "input")?;
    let sizes = x.sizes();
    let [items, channels, positions @ ..] = &sizes[..] else { return Err(Obstacle::Unknown) };
    let per_group = channels.divided_by(&groups).ok_or(Obstacle::Unknown)?;
    let grouped = [&[items.clone(), groups, per_group], positions].concat();
    let mut movement = own.movement();
    let mut of = movement.reshape(&x, &grouped)?;
    movement.real(&mut of)?;
    let row: Vec<Symbol> = of.dims[2..]
        .iter()
        .flatten()
        .filter_map(|piece| piece.axis().map(|axis| axis.name.clone()))
        .collect();
    if row.is_empty() {
        return Err(Obstacle::Bad("a group of one element".to_owned()));
    }
    movement.last(&mut of, &row)?;
    let norm = Norm::layer(call.float("eps").unwrap_or(1e-5)).over(row.len());
    let var = own.graph.norm(of.var, norm, None, None)?;
    let normalised = own.movement().reshape(&Placed { var, ..of }, &sizes)?;
    let affine = [call.optional(own, "weight")?, call.optional(own, "bias")?];
    per_channel(own, normalised, affine, positions.len())
}

/// A gain and a shift for each channel, the second dimension.
fn per_channel(
    own: &mut Importer<'_>,
    x: Placed,
    [gain, shift]: [Option<Placed>; 2],
    positions: usize,
) -> Lowered<Placed> {
    let mut result = x;
    for (kind, affine) in [(ArithmeticKind::Mul, gain), (ArithmeticKind::Add, shift)] {
        let Some(affine) = affine else { continue };
        result = super::elementwise::combined(
            own,
            kind,
            Meaning::Tensor(result),
            Meaning::Tensor(channelled(affine, positions)),
        )?;
    }
    Ok(result)
}

/// One number for each channel, before so many dimensions of one.
fn channelled(mut tensor: Placed, positions: usize) -> Placed {
    tensor.dims.extend(vec![Dim::new(); positions]);
    tensor
}

/// BatchNorm in evaluation: centred by the mean that was kept, divided by the deviation, then gain and
/// shift. The deviation is computed once for each channel.
fn batch_norm(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Placed> {
    if call.flag("training", false) || call.flag("train", false) {
        return Err(Obstacle::Bad(
            "batch norm in training: export the model in evaluation (`model.eval()`)".to_owned(),
        ));
    }
    let x = call.tensor(own, "input")?;
    let positions = x.dims.len().saturating_sub(2);
    let [mean, variance] = ["running_mean", "running_var"].map(|name| call.optional(own, name));
    let (Some(mean), Some(variance)) = (mean?, variance?) else {
        return Err(Obstacle::Bad("batch norm without kept statistics".to_owned()));
    };
    let eps = call.float("eps").unwrap_or(1e-5);
    let shifted = own.graph.pointwise(variance.var, Pointwise::Shift(eps))?;
    let deviation = own.graph.pointwise(shifted, Pointwise::Sqrt)?;
    let deviation = Placed { var: deviation, ..variance };
    let mut result = x;
    for (kind, by) in [(ArithmeticKind::Sub, mean), (ArithmeticKind::Div, deviation)] {
        let (a, b) = (Meaning::Tensor(result), Meaning::Tensor(channelled(by, positions)));
        result = super::elementwise::combined(own, kind, a, b)?;
    }
    let affine = [call.optional(own, "weight")?, call.optional(own, "bias")?];
    per_channel(own, result, affine, positions)
}

/// `g·v / ‖v‖`, a length for each position of one dimension, or one of all (Salimans and Kingma 2016); the
/// lengths too.
fn weight_norm(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Vec<Meaning>> {
    let (v, g) = (call.tensor(own, "v")?, call.tensor(own, "g")?);
    let rank = v.dims.len();
    let kept = match call.int("dim", 0) {
        -1 => None,
        dim => Some(place(dim, rank)?),
    };
    let over: Vec<usize> = (0..rank).filter(|dim| Some(*dim) != kept).collect();
    let mut lengths = super::reduction::lengths(own, v.clone(), &over, true, 2.0)?;
    let by = Meaning::Tensor(lengths.clone());
    let share = super::elementwise::combined(own, ArithmeticKind::Div, Meaning::Tensor(g), by)?;
    let (v, share) = (Meaning::Tensor(v), Meaning::Tensor(share));
    let weight = super::elementwise::combined(own, ArithmeticKind::Mul, v, share)?;
    if kept.is_none() {
        lengths.dims.clear();
    }
    Ok(vec![Meaning::Tensor(weight), Meaning::Tensor(lengths)])
}

fn softmax(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Placed> {
    let name = if call.has("self") { "self" } else { "input" };
    let mut x = call.tensor(own, name)?;
    let rank = x.dims.len();
    if rank == 0 {
        return Err(Obstacle::Unknown);
    }
    let dim = call.dim("dim", -1, rank)?;
    let mut movement = own.movement();
    movement.real(&mut x)?;
    let axis = movement.axis(&mut x, dim)?;
    movement.last(&mut x, &[axis.name])?;
    let var = own.graph.softmax(x.var, None)?;
    Ok(Placed { var, ..x })
}
