//! What joins the elements of a row: softmax, norms, sums.

use opledger_ir::ops::{Arithmetic, ArithmeticKind, Norm, NormKind, Pointwise, Reduce};
use opledger_ir::{Masking, Var};

use crate::GradError;
use crate::back::{Applied, Back};

/// `dx = y·(dy − Σ dy·y)`.
pub(crate) fn softmax(
    back: &mut Back,
    at: Applied<'_>,
    mask: Option<Masking>,
    dy: Var,
) -> Result<(), GradError> {
    let y = back.value(at.result)?;
    let Some(keys) = back.shape(y).last().cloned() else { return Ok(()) };
    let weighed = back.graph.mul_masked("", dy, y, mask.clone())?;
    let sum = back.graph.reduce(weighed, Reduce::Sum(keys.name))?;
    let (masked, keep) = mask.clone().map_or((None, None), |mask| (Some(mask.masked), mask.keep));
    let less = Arithmetic { kind: ArithmeticKind::Sub, masked };
    let apart = back.graph.record_masked("", less, &[dy, sum], keep)?;
    let dx = back.graph.mul_masked("", apart, y, mask)?;
    back.contribute(at.operand(0)?, dx)
}

/// `dx = (d − mean d − x̂·mean(d·x̂))·r` with `d = dy·gain`, `x̂` the normed row and `r` what it was
/// multiplied with; without centring the first mean is missing (Ba et al. 2016; Zhang and Sennrich 2019).
/// Mean and `r` are computed again.
pub(crate) fn norm(back: &mut Back, at: Applied<'_>, op: &Norm, dy: Var) -> Result<(), GradError> {
    let x = at.operand(0)?;
    let shape = back.shape_of(x);
    let Some(row) = shape.last().cloned().filter(|_| op.over == 1) else {
        return Err(GradError::unknown(at.node, " over several axes"));
    };
    let own = back.value(x)?;
    let mean = |back: &mut Back, x: Var| back.graph.reduce(x, Reduce::Mean(row.name.clone()));
    let centred = match op.kind {
        NormKind::Layer => {
            let middle = mean(back, own)?;
            back.sub(own, middle)?
        }
        NormKind::Rms => own,
    };
    let square = back.mul(centred, centred)?;
    let spread = mean(back, square)?;
    let spread = back.of(Pointwise::Shift(op.eps), spread)?;
    let factor = back.of(Pointwise::Rsqrt, spread)?;
    let normed = back.mul(centred, factor)?;
    let gain = op.gain.then(|| at.operand(1)).transpose()?;
    let shift = op.shift.then(|| at.operand(1 + usize::from(op.gain))).transpose()?;
    if let Some(gain) = gain.filter(|gain| back.is_wanted(*gain)) {
        let product = back.mul(dy, normed)?;
        let dgain = back.like(product, &back.shape_of(gain))?;
        back.contribute(gain, dgain)?;
    }
    if let Some(shift) = shift.filter(|shift| back.is_wanted(*shift)) {
        let dshift = back.like(dy, &back.shape_of(shift))?;
        back.contribute(shift, dshift)?;
    }
    if !back.is_wanted(x) {
        return Ok(());
    }
    let d = match gain {
        Some(gain) => {
            let gain = back.value(gain)?;
            back.mul(dy, gain)?
        }
        None => dy,
    };
    let along = back.mul(d, normed)?;
    let along = mean(back, along)?;
    let along = back.mul(normed, along)?;
    let mut apart = back.sub(d, along)?;
    if op.kind == NormKind::Layer {
        let middle = mean(back, d)?;
        apart = back.sub(apart, middle)?;
    }
    let dx = back.mul(apart, factor)?;
    back.contribute(x, dx)
}

/// A sum gives each term its gradient, a mean its share of it.
pub(crate) fn reduce(
    back: &mut Back,
    at: Applied<'_>,
    op: &Reduce,
    dy: Var,
) -> Result<(), GradError> {
    let x = at.operand(0)?;
    let shape = back.shape_of(x);
    let dx = match op {
        Reduce::Sum(axis) => back.along(dy, axis, &shape)?,
        Reduce::Mean(axis) => {
            let Some(axis) = shape.axes.iter().find(|own| own.name == *axis).cloned() else {
                return Err(GradError::unknown(at.node, ""));
            };
            let size = back.size(axis.size)?;
            let share = back.graph.div("", dy, size)?;
            back.along(share, &axis.name, &shape)?
        }
        Reduce::Max(_) => return Err(GradError::unknown(at.node, " by a maximum")),
    };
    back.contribute(x, dx)
}
