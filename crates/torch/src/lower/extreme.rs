//! The largest and the smallest, where they stand, and what holds of all or any.

use opledger_dims::Poly;
use opledger_ir::IndexExpr;
use opledger_ir::ops::{Pointwise, Reduce};

use super::movement::sizes_of;
use super::reduction::{along, dims, joined};
use crate::call::Call;
use crate::importer::{Importer, Lowered, Meaning, Obstacle};
use crate::tensor::Placed;
use crate::whole::{Whole, WholeKind};

pub(super) fn lower(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Vec<Meaning>> {
    match base {
        "max" | "min" | "amax" | "amin" | "argmax" | "argmin" => extreme(own, call, base),
        "all" | "any" => truths(own, call, base),
        "aminmax" => {
            let mut x = call.tensor(own, "self")?;
            own.movement().real(&mut x)?;
            let (dims, keep) = (dims(call, x.dims.len())?, call.flag("keepdim", false));
            let (mut least, mut most) = (x.clone(), x);
            least.var = own.graph.pointwise(least.var, Pointwise::Neg)?;
            for x in [&mut least, &mut most] {
                along(own, x, &dims, keep, Reduce::Max)?;
            }
            least.var = own.graph.pointwise(least.var, Pointwise::Neg)?;
            Ok(vec![Meaning::Tensor(least), Meaning::Tensor(most)])
        }
        _ => Err(Obstacle::Unknown),
    }
}

/// The largest or smallest along dimensions, and where it stands along one.
fn extreme(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Vec<Meaning>> {
    let value = call.value(own, "self")?;
    let rank = sizes_of(&value)?.len();
    let dims = dims(call, rank)?;
    let keep = call.flag("keepdim", false);
    let least = base.ends_with("min");
    let (wants_value, wants_place) = match base {
        "amax" | "amin" => (true, false),
        "argmax" | "argmin" => (false, true),
        _ => (true, call.has("dim")),
    };
    let whole = value.clone().whole().ok();
    let mut results = Vec::new();
    match whole {
        Some(whole) if call.kind(own, 0)? != WholeKind::Real || !wants_value => {
            let (places, found) = of_whole(own, &whole, &dims, keep, least)?;
            results.extend(wants_value.then_some(found));
            results.extend(wants_place.then_some(places));
        }
        Some(_) | None => {
            let mut x = own.real(value)?;
            own.movement().real(&mut x)?;
            if least {
                // The smallest of all is the largest of their opposites, and a change of sign is free.
                x.var = own.graph.pointwise(x.var, Pointwise::Neg)?;
            }
            if wants_value {
                let mut largest = x.clone();
                along(own, &mut largest, &dims, keep, Reduce::Max)?;
                if least {
                    largest.var = own.graph.pointwise(largest.var, Pointwise::Neg)?;
                }
                results.push(Meaning::Tensor(largest));
            }
            if wants_place {
                // Computed where it is asked for: nobody may ask for where the largest stands.
                let asked = !wants_value || own.is_asked_for(call.result(1)?);
                results.push(match asked {
                    true => place(own, x, &dims, keep)?,
                    false => Meaning::None,
                });
            }
        }
    }
    Ok(results)
}

fn left(mut x: Placed, dims: &[usize], keep: bool) -> Placed {
    let mut gone = dims.to_vec();
    gone.sort_unstable();
    if !keep {
        for dim in gone.into_iter().rev() {
            x.dims.remove(dim);
        }
    }
    x
}

/// Where the largest stands along dimensions that are taken as one.
pub(super) fn place(
    own: &mut Importer<'_>,
    mut x: Placed,
    dims: &[usize],
    keep: bool,
) -> Lowered<Meaning> {
    let axis = joined(own, &mut x, dims)?;
    x.var = own.graph.arg_max(x.var, axis.name)?;
    let x = left(x, dims, keep);
    own.computed(x.var, x.dims, WholeKind::Whole)
}

/// Where the largest of whole numbers stands along dimensions, and which it is. Comparing whole numbers
/// costs nothing.
pub(super) fn of_whole(
    own: &mut Importer<'_>,
    whole: &Whole,
    over: &[usize],
    keep: bool,
    least: bool,
) -> Lowered<(Meaning, Meaning)> {
    let none = IndexExpr::from(0);
    let compared = match least {
        true => whole.each(WholeKind::Whole, |expr| none.minus(expr)),
        false => whole.clone(),
    };
    let mut movement = own.movement();
    let mut x = movement.whole(&compared.sizes, &compared.expr, false)?;
    movement.real(&mut x)?;
    let places = place(own, x, over, true)?;
    let places = places.whole()?;
    // Back from the place among all dimensions that are taken as one to that in each.
    let mut sorted = over.to_vec();
    sorted.sort_unstable();
    let inner = |dim: usize| -> Poly {
        sorted.iter().filter(|own| **own > dim).map(|own| &whole.sizes[*own]).product()
    };
    let found = whole.moved(places.sizes.clone(), |dim| match over.contains(&dim) {
        false => IndexExpr::Position(dim),
        true if over.len() == 1 => places.expr.clone(),
        true => places
            .expr
            .floor_div(&IndexExpr::size(inner(dim)))
            .modulo(&IndexExpr::size(whole.sizes[dim].clone())),
    });
    let sizes: Vec<Poly> = match keep {
        true => places.sizes.clone(),
        false => {
            let kept = places.sizes.iter().enumerate().filter(|(dim, _)| !over.contains(dim));
            kept.map(|(_, size)| size.clone()).collect()
        }
    };
    Ok((Meaning::Whole(places.reshaped(&sizes)), Meaning::Whole(found.reshaped(&sizes))))
}

/// Whether all or any of truth values hold: the least or the largest of them.
fn truths(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Vec<Meaning>> {
    let value = call.value(own, "self")?;
    let truth = super::truth::truth(own, value)?;
    let dims = dims(call, truth.sizes.len())?;
    let sizes = call.sizes(own, 0)?;
    if !dims.iter().any(|dim| truth.expr.uses(*dim)) {
        return Ok(vec![Meaning::Whole(truth.reshaped(&sizes))]);
    }
    let (_, found) = of_whole(own, &truth, &dims, call.flag("keepdim", false), base == "all")?;
    let found = found.whole()?;
    Ok(vec![Meaning::Whole(found.each(WholeKind::Truth, IndexExpr::truth))])
}
