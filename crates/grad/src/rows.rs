//! What joins the elements of a row: softmax, norms, sums.

use opledger_dims::{Poly, Symbol};
use opledger_ir::ops::{
    Arithmetic, ArithmeticKind, CompareKind, Cumulative, CumulativeKind, IndexMap, Norm, NormKind,
    Pointwise, Rearrange, Reduce, Softmax,
};
use opledger_ir::{Axis, IndexExpr, Masking, Var};

use crate::GradError;
use crate::back::{Applied, Back};
use crate::pieces::number;

/// `dx = y·(dy − Σ dy·y)`, and for a sink, which has the share `1 − Σ y` of its row and is not kept, the sum
/// of `−(1 − Σ y)·Σ dy·y` over its rows.
pub(crate) fn softmax(
    back: &mut Back,
    at: Applied<'_>,
    op: &Softmax,
    mask: Option<Masking>,
    dy: Var,
) -> Result<(), GradError> {
    let y = back.value(at.result)?;
    let Some(keys) = back.shape(y).last().cloned() else { return Ok(()) };
    let weighed = back.graph.mul_masked("", dy, y, mask.clone())?;
    let sum = back.graph.reduce(weighed, Reduce::Sum(keys.name.clone()))?;
    if op.sinks && back.is_wanted(at.operand(1)?) {
        let sinks = at.operand(1)?;
        let kept = back.graph.reduce(y, Reduce::Sum(keys.name))?;
        let less = back.of(Pointwise::Shift(-1.0), kept)?;
        let product = back.mul(less, sum)?;
        let gradient = back.like(product, &back.shape_of(sinks))?;
        back.contribute(sinks, gradient)?;
    }
    if !back.is_wanted(at.operand(0)?) {
        return Ok(());
    }
    let (masked, keep) = mask.clone().map_or((None, None), |mask| (Some(mask.masked), mask.keep));
    let less = Arithmetic { kind: ArithmeticKind::Sub, masked };
    let apart = back.graph.record_masked("", less, &[dy, sum], keep)?;
    let dx = back.graph.mul_masked("", apart, y, mask)?;
    back.contribute(at.operand(0)?, dx)
}

/// The mean over the last axes of a value.
fn mean(back: &mut Back, x: Var, row: &[Axis]) -> Result<Var, GradError> {
    let [one] = row else {
        let taken = back.shape(x).axes;
        let mut name = Symbol::new("row");
        while taken.iter().any(|axis| axis.name == name) {
            name = Symbol::from(format!("{name}'"));
        }
        let axes = row.iter().map(|axis| axis.name.clone()).collect();
        let merge = Rearrange::Merge { axes, into: name.clone() };
        let whole = back.graph.rearrange(x, merge)?;
        return Ok(back.graph.reduce(whole, Reduce::Mean(name))?);
    };
    Ok(back.graph.reduce(x, Reduce::Mean(one.name.clone()))?)
}

/// `dx = (d − mean d − x̂·mean(d·x̂))·r` with `d = dy·gain`, `x̂` the normed row and `r` what it was
/// multiplied with; without centring the first mean is missing (Ba et al. 2016; Zhang and Sennrich 2019).
/// Mean and `r` are computed again.
pub(crate) fn norm(back: &mut Back, at: Applied<'_>, op: &Norm, dy: Var) -> Result<(), GradError> {
    let x = at.operand(0)?;
    let shape = back.shape_of(x);
    let row = shape.axes[shape.axes.len() - op.over..].to_vec();
    let own = back.value(x)?;
    let mean = |back: &mut Back, x: Var| mean(back, x, &row);
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
        // Equal shares to all that are the largest.
        Reduce::Max(axis) => {
            let (own, most) = (back.value(x)?, back.value(at.result)?);
            let largest = back.graph.compare(CompareKind::Equal, shape.axes.clone(), own, most)?;
            let each = back.graph.to_real(largest)?;
            let many = back.graph.reduce(each, Reduce::Sum(axis.clone()))?;
            let share = back.graph.div("", dy, many)?;
            let none = number(back, 0.0)?;
            back.graph.select(shape.axes, largest, share, none)?
        }
    };
    back.contribute(x, dx)
}

/// The sum of the gradients from each element on: the sums up to each, of what is turned round.
pub(crate) fn cumulative(
    back: &mut Back,
    at: Applied<'_>,
    op: &Cumulative,
    dy: Var,
) -> Result<(), GradError> {
    if op.kind == CumulativeKind::Product {
        return Err(GradError::unknown(at.node, ""));
    }
    let last = turned(back, dy, &op.axis)?;
    let sums = back.graph.cumulative(last, op.axis.clone())?;
    let dx = turned(back, sums, &op.axis)?;
    back.contribute(at.operand(0)?, dx)
}

/// The last element along an axis first.
fn turned(back: &mut Back, x: Var, along: &Symbol) -> Result<Var, GradError> {
    let axes = back.shape(x).axes;
    let Some(axis) = axes.iter().find(|own| own.name == *along).cloned() else { return Ok(x) };
    let value = IndexExpr::size(&axis.size - &Poly::one()).minus(&IndexExpr::Position(0));
    let places = IndexMap { axes: vec![axis], value, truth: false };
    let places = back.graph.record("", places, &[])?;
    Ok(back.graph.gather_nd(x, axes, &[(along.clone(), places)])?)
}
