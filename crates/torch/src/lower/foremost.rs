//! The largest and the smallest of all elements up to each along a dimension, and where they stand.

use opledger_ir::ops::{CompareKind, Pointwise};
use opledger_ir::{GraphError, IndexExpr, Scan, ScanValues, Var};

use super::extreme::of_whole;
use super::movement::sizes_of;
use super::running::stepwise;
use crate::call::Call;
use crate::importer::{Importer, Lowered, Meaning, Obstacle};
use crate::tensor::Placed;
use crate::whole::{Whole, WholeKind};

pub(super) fn lower(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Vec<Meaning>> {
    match base {
        "cummax" | "cummin" => extremes(own, call, base == "cummin").map(Vec::from),
        _ => Err(Obstacle::Unknown),
    }
}

/// The largest or the smallest of all elements up to each, and where the last such stands, step by step:
/// an element takes the place of what is no larger, and NaN that of all (`aten/src/ATen/native/ReduceOps.cpp`).
fn extremes(own: &mut Importer<'_>, call: &Call<'_>, least: bool) -> Lowered<[Meaning; 2]> {
    let value = call.value(own, "self")?;
    let dim = call.dim("dim", -1, sizes_of(&value)?.len())?;
    let mut x = match value {
        Meaning::Whole(whole) => return extremes_of_whole(own, &whole, dim, least),
        value => own.real(value)?,
    };
    let (axis, others) = stepwise(own, &mut x, dim)?;
    if least {
        // The smallest of all is the largest of their opposites, and a change of sign is free.
        x.var = own.graph.pointwise(x.var, Pointwise::Neg)?;
    }
    let start = own.graph.fill(others.clone(), f64::NEG_INFINITY)?;
    let none = own.graph.fill(others.clone(), 0.0)?;
    let expr = IndexExpr::Position(0);
    let positions = Whole { sizes: vec![axis.size.clone()], expr, kind: WholeKind::Whole };
    let mut positions = own.real(Meaning::Whole(positions))?;
    let mut movement = own.movement();
    let called = movement.axis(&mut positions, 0)?.name;
    movement.renamed(&mut positions, &[(called, axis.name.clone())])?;
    let scope = own.graph.repeated(call.result(0)?, axis.size);
    let (carried, stacks) = (vec![start, none], vec![x.var, positions.var]);
    let scan = Scan { carried, stacks, axis: axis.name, reverse: false };
    let values = own.graph.scan(&scope, &scan, |g, at| -> Result<ScanValues, GraphError> {
        let ([before, place], [next, here]) = (pair(&at.carried), pair(&at.stacked));
        let replaces = g.compare(CompareKind::AtMost, others.clone(), before, next)?;
        let number = g.compare(CompareKind::Equal, others.clone(), next, next)?;
        let mut joined = |next, before| {
            let chosen = g.select(others.clone(), replaces, next, before)?;
            g.select(others.clone(), number, chosen, next)
        };
        let (largest, place) = (joined(next, before)?, joined(here, place)?);
        Ok(ScanValues { carried: vec![largest, place], stacked: vec![largest, place] })
    })?;
    let [mut found, places] = pair(&values.stacked);
    if least {
        found = own.graph.pointwise(found, Pointwise::Neg)?;
    }
    let places = own.graph.to_whole(places)?;
    let places = own.computed(places, x.dims.clone(), WholeKind::Whole)?;
    Ok([Meaning::Tensor(Placed { var: found, ..x }), places])
}

fn pair(of: &[Var]) -> [Var; 2] {
    [of[0], of[1]]
}

/// The same of whole numbers, among those up to each counted backwards from it, so that the first of the
/// largest is the last.
fn extremes_of_whole(
    own: &mut Importer<'_>,
    whole: &Whole,
    dim: usize,
    least: bool,
) -> Lowered<[Meaning; 2]> {
    let back = whole.sizes.len();
    let sizes = [&whole.sizes[..], std::slice::from_ref(&whole.sizes[dim])].concat();
    let (here, behind) = (IndexExpr::Position(dim), IndexExpr::Position(back));
    // In the place of what stands before the first, the element itself.
    let behind = behind.below(&here.plus(&1.into())).choose(&behind, &0.into());
    let place = here.minus(&behind);
    let all = whole.moved(sizes, |own| match own == dim {
        true => place.clone(),
        false => IndexExpr::Position(own),
    });
    let (places, found) = of_whole(own, &all, &[back], false, least)?;
    let places = places.whole()?.each(WholeKind::Whole, |behind| here.minus(behind));
    let found = found.whole()?.each(whole.kind, IndexExpr::clone);
    Ok([Meaning::Whole(found), Meaning::Whole(places)])
}
