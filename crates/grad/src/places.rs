//! What reads and writes at places that whole numbers name.

use opledger_dims::{Poly, Symbol};
use opledger_ir::ops::{CompareKind, GatherNd, IndexMap, Scatter, ScatterKind};
use opledger_ir::{Axis, IndexExpr, Var};

use crate::GradError;
use crate::back::{Applied, Back, Primal};
use crate::pieces::number;

type Along = Vec<(Symbol, Var)>;

/// The gradient of each place that was read is added up there.
fn added(back: &mut Back, of: Primal, dy: Var, along: &[(Symbol, Var)]) -> Result<(), GradError> {
    let none = back.zeros(&back.shape_of(of))?;
    let sum = back.graph.scatter(ScatterKind::Add, none, dy, along)?;
    back.contribute(of, sum)
}

pub(crate) fn gather(back: &mut Back, at: Applied<'_>, dy: Var) -> Result<(), GradError> {
    let (x, ids) = (at.operand(0)?, back.value(at.operand(1)?)?);
    let Some(entries) = back.shape_of(x).last().cloned() else { return Ok(()) };
    added(back, x, dy, &[(entries.name, ids)])
}

/// The axes that are looked up along with the values of the operands from `first` on.
fn looked_up(
    back: &mut Back,
    at: Applied<'_>,
    along: &[Symbol],
    first: usize,
) -> Result<Along, GradError> {
    let each = along.iter().enumerate();
    each.map(|(place, name)| {
        Ok((name.clone(), at.operand(first + place).and_then(|of| back.value(of))?))
    })
    .collect()
}

pub(crate) fn gather_nd(
    back: &mut Back,
    at: Applied<'_>,
    op: &GatherNd,
    dy: Var,
) -> Result<(), GradError> {
    let along = looked_up(back, at, &op.along, 1)?;
    added(back, at.operand(0)?, dy, &along)
}

/// What was written has the gradient of its place, what is there no longer has none.
pub(crate) fn scatter(
    back: &mut Back,
    at: Applied<'_>,
    op: &Scatter,
    dy: Var,
) -> Result<(), GradError> {
    let (x, v) = (at.operand(0)?, at.operand(1)?);
    let along = looked_up(back, at, &op.along, 2)?;
    let elements = back.shape_of(v).axes;
    match op.kind {
        ScatterKind::Add => {
            back.contribute_to_wanted(x, dy)?;
            if back.is_wanted(v) {
                let dv = back.graph.gather_nd(dy, elements, &along)?;
                back.contribute(v, dv)?;
            }
            Ok(())
        }
        ScatterKind::Write => {
            if back.is_wanted(x) {
                let none = back.zeros(&back.shape_of(v))?;
                let dx = back.graph.scatter(ScatterKind::Write, dy, none, &along)?;
                back.contribute(x, dx)?;
            }
            if back.is_wanted(v) {
                let there = back.graph.gather_nd(dy, elements.clone(), &along)?;
                let stayed = stayed(back, x, &elements, &along)?;
                let none = number(back, 0.0)?;
                let dv = back.graph.select(elements, stayed, there, none)?;
                back.contribute(v, dv)?;
            }
            Ok(())
        }
        // Equal shares to all that are the largest, the entry that was there being one.
        ScatterKind::Max => {
            let (own, elements_of, most) = (back.value(x)?, back.value(v)?, back.value(at.result)?);
            let axes = back.shape_of(x).axes;
            let kept = back.graph.compare(CompareKind::Equal, axes.clone(), own, most)?;
            let most = back.graph.gather_nd(most, elements.clone(), &along)?;
            let largest = (CompareKind::Equal, elements.clone());
            let largest = back.graph.compare(largest.0, largest.1, elements_of, most)?;
            let (many, more) = (back.graph.to_real(kept)?, back.graph.to_real(largest)?);
            let many = back.graph.scatter(ScatterKind::Add, many, more, &along)?;
            let share = back.graph.div("", dy, many)?;
            let none = number(back, 0.0)?;
            if back.is_wanted(x) {
                let dx = back.graph.select(axes, kept, share, none)?;
                back.contribute(x, dx)?;
            }
            if back.is_wanted(v) {
                let share = back.graph.gather_nd(share, elements.clone(), &along)?;
                let dv = back.graph.select(elements, largest, share, none)?;
                back.contribute(v, dv)?;
            }
            Ok(())
        }
        ScatterKind::Mul => Err(GradError::unknown(at.node, "")),
    }
}

/// Which of the elements that are written stay, none after them being written to the same place: each
/// one's number is written as it was, and looked up.
fn stayed(
    back: &mut Back,
    x: Primal,
    elements: &[Axis],
    along: &[(Symbol, Var)],
) -> Result<Var, GradError> {
    let map = |axes: &[Axis], value: IndexExpr, truth: bool| IndexMap {
        axes: axes.to_vec(),
        value,
        truth,
    };
    let (mut own, mut step) = (IndexExpr::from(0), Poly::one());
    for (place, axis) in elements.iter().enumerate().rev() {
        own = own.plus(&IndexExpr::Position(place).scaled(&step));
        step = &step * &axis.size;
    }
    let numbers = back.graph.record("", map(elements, own.clone(), false), &[])?;
    let axes = back.shape_of(x).axes;
    let before = back.graph.record("", map(&axes, IndexExpr::from(-1), false), &[])?;
    let last = back.graph.scatter(ScatterKind::Write, before, numbers, along)?;
    let at = axes.iter().map(|axis| match along.iter().position(|(name, _)| *name == axis.name) {
        Some(place) => IndexExpr::Lookup {
            operand: 1 + place,
            at: positions(&back.shape(along[place].1).axes, elements),
        },
        None => positions(std::slice::from_ref(axis), elements).swap_remove(0),
    });
    let there = IndexExpr::Lookup { operand: 0, at: at.collect() };
    let ids = along.iter().map(|(_, ids)| *ids);
    let operands: Vec<Var> = std::iter::once(last).chain(ids).collect();
    Ok(back.graph.record("", map(elements, there.minus(&own).is_zero(), true), &operands)?)
}

/// The positions along some of a value's axes.
fn positions(axes: &[Axis], of: &[Axis]) -> Vec<IndexExpr> {
    let place = |axis: &Axis| of.iter().position(|own| own.name == axis.name);
    axes.iter().filter_map(place).map(IndexExpr::Position).collect()
}
