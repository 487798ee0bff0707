//! Bags of rows that are looked up: `nn.EmbeddingBag`.

use opledger_dims::Poly;
use opledger_ir::IndexExpr;
use opledger_ir::ops::{ArithmeticKind, Reduce};

use super::index::rows;
use super::joining::Joining;
use super::places::At;
use crate::call::Call;
use crate::importer::{Importer, Lowered, Meaning, Obstacle};
use crate::tensor::{Dim, Placed};
use crate::whole::{Whole, WholeKind};

/// `nn.EmbeddingBag`: of each bag of ids the rows summed, averaged, or the largest of each column. The other
/// results are for training.
pub(super) fn lower(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Vec<Meaning>> {
    if !matches!(base, "embedding_bag" | "_embedding_bag" | "_embedding_bag_forward_only") {
        return Err(Obstacle::Unknown);
    }
    let table = call.tensor(own, "weight")?;
    let [Meaning::Whole(ids), Meaning::Whole(offsets)] =
        [call.value(own, "indices")?, call.value(own, "offsets")?]
    else {
        return Err(Obstacle::Unknown);
    };
    let sizes = call.sizes(own, 0)?;
    let [count, _] = &sizes[..] else { return Err(Obstacle::Unknown) };
    let [all] = &ids.sizes[..] else { return Err(Obstacle::Unknown) };
    let (constant, terms) = offsets.expr.parts();
    let includes_end = call.flag("include_last_offset", false);
    // As many ids in each.
    let each = all.divided_by(count).filter(|each| match &terms[..] {
        [(IndexExpr::Position(0), step)] => constant.is_zero() && step == each,
        [] => constant.is_zero() && *count == Poly::one(),
        _ => false,
    });
    let Some(each) = each.filter(|_| !includes_end) else {
        let rows = rows(own, &table, &ids)?;
        let rows = own.real(rows)?;
        let sums = of_any_length(own, call, rows, (all, &offsets, includes_end))?;
        return Ok(vec![sums, Meaning::None, Meaning::None, Meaning::None]);
    };
    let bags = ids.reshaped(&[count.clone(), each.clone()]);
    let rows = rows(own, &table, &bags)?;
    let mut rows = own.real(rows)?;
    if let Some(weights) = call.optional(own, "per_sample_weights")? {
        let mut weights = own.movement().reshape(&weights, &[count.clone(), each])?;
        weights.dims.push(Dim::new());
        let (a, b) = (Meaning::Tensor(rows), Meaning::Tensor(weights));
        rows = super::elementwise::combined(own, ArithmeticKind::Mul, a, b)?;
    }
    let reduce = match call.int("mode", 0) {
        0 => Reduce::Sum,
        1 => Reduce::Mean,
        2 => Reduce::Max,
        _ => return Err(Obstacle::Unknown),
    };
    let rows = match call.int("padding_idx", -1) {
        padding if padding < 0 => {
            super::reduction::along(own, &mut rows, &[1], false, reduce)?;
            rows
        }
        padding => padded(own, rows, &bags, padding, call.int("mode", 0))?,
    };
    Ok(vec![Meaning::Tensor(rows), Meaning::None, Meaning::None, Meaning::None])
}

/// Sums or means of the rows of bags that are no padding; of a bag of padding alone 0.
fn padded(
    own: &mut Importer<'_>,
    rows: Placed,
    bags: &Whole,
    padding: i64,
    mode: i64,
) -> Lowered<Placed> {
    let mut seen = bags.each(WholeKind::Truth, |id| id.equals(&padding.into()).is_zero());
    seen.sizes.push(Poly::one());
    let mut sum = super::truth::chosen(own, seen.clone(), rows, 0.0)?;
    super::reduction::along(own, &mut sum, &[1], false, Reduce::Sum)?;
    match mode {
        0 => Ok(sum),
        1 => {
            let count = super::reduction::summed(own, &seen, 1)?;
            let count = count.reshaped(&[count.sizes[0].clone(), Poly::one()]);
            let least = |count: &IndexExpr| count.is_positive().choose(count, &1.into());
            let count = Meaning::Whole(count.each(WholeKind::Whole, least));
            super::elementwise::combined(own, ArithmeticKind::Div, Meaning::Tensor(sum), count)
        }
        _ => Err(Obstacle::Unknown),
    }
}

/// Bags that begin where offsets say: each row joins what its bag has already, from zeros on, as in PyTorch
/// (`aten/src/ATen/native/EmbeddingBag.cpp`, `index_select_add`).
fn of_any_length(
    own: &mut Importer<'_>,
    call: &Call<'_>,
    mut rows: Placed,
    (all, offsets, includes_end): (&Poly, &Whole, bool),
) -> Lowered<Meaning> {
    let sizes = call.sizes(own, 0)?;
    let ([count, width], [begun]) = (&sizes[..], &offsets.sizes[..]) else {
        return Err(Obstacle::Unknown);
    };
    if call.int("padding_idx", -1) >= 0 {
        return Err(Obstacle::Bad("padding in bags of several lengths".to_owned()));
    }
    if let Some(mut weights) = call.optional(own, "per_sample_weights")? {
        weights.dims.push(Dim::new());
        let (a, b) = (Meaning::Tensor(rows), Meaning::Tensor(weights));
        rows = super::elementwise::combined(own, ArithmeticKind::Mul, a, b)?;
    }
    // The bag of an id is the last that begins no later.
    let starts = offsets.expr.at(&|_| IndexExpr::Position(1));
    let before = starts.below(&IndexExpr::Position(0).plus(&1.into()));
    let before =
        Whole { sizes: vec![all.clone(), begun.clone()], expr: before, kind: WholeKind::Whole };
    let bag = super::reduction::summed(own, &before, 1)?.expr.minus(&1.into());
    // What stands behind the last offset, where that ends the last bag, is in none.
    let none = IndexExpr::size(count.clone()).below(&bag.plus(&1.into()));
    let held = match includes_end {
        true => {
            let inside = Whole {
                sizes: vec![all.clone(), Poly::one()],
                expr: none.is_zero(),
                kind: WholeKind::Truth,
            };
            super::truth::chosen(own, inside, rows, 0.0)?
        }
        false => rows,
    };
    let place = if includes_end { super::places::within(&bag, count) } else { bag.clone() };
    let at = [At::Place(place), At::Along(1)];
    let zeros = Meaning::Tensor(own.zeros(vec![count.clone(), width.clone()])?);
    let join = |own: &mut Importer<'_>, joining: Joining| {
        joining.put(own, zeros.clone(), Meaning::Tensor(held.clone()), &at, WholeKind::Real)
    };
    match call.int("mode", 0) {
        0 => join(own, Joining::ADD),
        1 => {
            let sums = join(own, Joining::ADD)?;
            let start = |bag: &IndexExpr| offsets.expr.at(&|_| bag.clone());
            let next = IndexExpr::Position(0).plus(&1.into());
            let end = match includes_end {
                true => start(&next),
                false => {
                    let last = IndexExpr::size(count.clone()).below(&next.plus(&1.into()));
                    let inside = super::places::within(&next, count);
                    last.choose(&IndexExpr::size(all.clone()), &start(&inside))
                }
            };
            let length = end.minus(&start(&IndexExpr::Position(0)));
            let length = length.is_positive().choose(&length, &1.into());
            let sizes = vec![count.clone(), Poly::one()];
            let by = Meaning::Whole(Whole { sizes, expr: length, kind: WholeKind::Whole });
            super::elementwise::combined(own, ArithmeticKind::Div, sums, by).map(Meaning::Tensor)
        }
        2 if !includes_end => join(own, Joining::LARGEST),
        _ => Err(Obstacle::Unknown),
    }
}
