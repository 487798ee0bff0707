//! What moves elements moves gradients back.

use opledger_dims::Poly;
use opledger_ir::ops::{Concat, Pointwise, Rearrange, Rope, ScatterKind};
use opledger_ir::{Axis, Var};

use crate::GradError;
use crate::back::{Applied, Back, Primal};

pub(crate) fn rearrange(
    back: &mut Back,
    at: Applied<'_>,
    how: &Rearrange,
    dy: Var,
) -> Result<(), GradError> {
    let x = at.operand(0)?;
    let shape = back.shape_of(x);
    let of = |axis: &opledger_dims::Symbol| shape.axes.iter().find(|own| own.name == *axis);
    let how = match how {
        Rearrange::Split { axis, into } => Some(Rearrange::Merge {
            axes: into.iter().map(|axis| axis.name.clone()).collect(),
            into: axis.clone(),
        }),
        Rearrange::Merge { axes, into } => Some(Rearrange::Split {
            axis: into.clone(),
            into: axes.iter().filter_map(of).cloned().collect(),
        }),
        Rearrange::Rename { from, to } => {
            Some(Rearrange::Rename { from: to.clone(), to: from.clone() })
        }
        Rearrange::Permute { .. } => {
            Some(Rearrange::Permute { order: shape.axes.iter().map(|a| a.name.clone()).collect() })
        }
        Rearrange::Pad { axis, .. } => of(axis).map(|own| Rearrange::Slice {
            axis: axis.clone(),
            start: Poly::zero(),
            len: own.size.clone(),
        }),
        Rearrange::Roll { axis, by } => {
            of(axis).map(|own| Rearrange::Roll { axis: axis.clone(), by: &own.size - by })
        }
        Rearrange::Slice { axis, start, .. } => {
            let Some(size) = of(axis).map(|own| own.size.clone()) else {
                return Err(GradError::unknown(at.node, ""));
            };
            let padded = Rearrange::Pad { axis: axis.clone(), to: size.clone() };
            let mut dx = back.graph.rearrange(dy, padded)?;
            if !start.is_zero() {
                let by = &size - start;
                dx = back.graph.rearrange(dx, Rearrange::Roll { axis: axis.clone(), by })?;
            }
            return back.contribute(x, dx);
        }
        Rearrange::Expand { .. } => {
            let dx = back.like(dy, &shape)?;
            return back.contribute(x, dx);
        }
    };
    let dx = back.graph.rearrange(dy, how.ok_or_else(|| GradError::unknown(at.node, ""))?)?;
    back.contribute(x, dx)
}

/// Each operand has its run of positions.
pub(crate) fn concat(
    back: &mut Back,
    at: Applied<'_>,
    op: &Concat,
    dy: Var,
) -> Result<(), GradError> {
    let mut start = Poly::zero();
    for x in at.node.inputs.iter().copied().map(Primal) {
        let own = back.shape_of(x);
        let own = own.axes.iter().find(|own| own.name == op.axis);
        let len = own.map(|own| own.size.clone());
        let len = len.ok_or_else(|| GradError::unknown(at.node, ""))?;
        if back.is_wanted(x) {
            let axis = op.axis.clone();
            let how = Rearrange::Slice { axis, start: start.clone(), len: len.clone() };
            let dx = back.graph.rearrange(dy, how)?;
            back.contribute(x, dx)?;
        }
        start += len;
    }
    Ok(())
}

/// The gradients of all places that looked a row up are added to it.
pub(crate) fn embedding(back: &mut Back, at: Applied<'_>, dy: Var) -> Result<(), GradError> {
    let (ids, table) = (back.value(at.operand(0)?)?, at.operand(1)?);
    let axes = back.shape_of(table).axes;
    let Some(rows) = axes.first().map(|axis| axis.name.clone()) else { return Ok(()) };
    let none = back.graph.fill(axes, 0.0)?;
    let added = back.graph.scatter(ScatterKind::Add, none, dy, &[(rows, ids)])?;
    back.contribute(table, added)
}

/// Turned back: the sines with the other sign, which is free.
pub(crate) fn rope(back: &mut Back, at: Applied<'_>, op: &Rope, dy: Var) -> Result<(), GradError> {
    let (x, angles) = (at.operand(0)?, at.operand(1)?);
    if back.is_wanted(angles) {
        return Err(GradError::unknown(at.node, " by angles"));
    }
    let angles = back.value(angles)?;
    let functions = back.shape(angles).axes.iter().rev().nth(1).cloned();
    let Some(functions) = functions else { return Ok(()) };
    let one = |start: i64| Rearrange::Slice {
        axis: functions.name.clone(),
        start: start.into(),
        len: Poly::one(),
    };
    let cosines = back.graph.rearrange(angles, one(0))?;
    let sines = back.graph.rearrange(angles, one(1))?;
    let sines = back.of(Pointwise::Neg, sines)?;
    let back_angles = back.graph.concat(cosines, sines, functions.name)?;
    let dx = back.graph.rope(dy, op.pairs, back_angles)?;
    back.contribute(x, dx)
}

/// Each of two operands has the gradient where it was chosen.
pub(crate) fn select(back: &mut Back, at: Applied<'_>, dy: Var) -> Result<(), GradError> {
    let (condition, a, b) = (at.operand(0)?, at.operand(1)?, at.operand(2)?);
    let condition = back.value(condition)?;
    let axes = back.shape(dy).axes;
    let none = back.graph.fill(Vec::<Axis>::new(), 0.0)?;
    for (of, [first, second]) in [(a, [dy, none]), (b, [none, dy])] {
        if back.is_wanted(of) {
            let chosen = back.graph.select(axes.clone(), condition, first, second)?;
            let gradient = back.like(chosen, &back.shape_of(of))?;
            back.contribute(of, gradient)?;
        }
    }
    Ok(())
}
