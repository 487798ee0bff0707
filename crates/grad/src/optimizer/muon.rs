//! Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon), as `_single_tensor_muon` of
//! `torch/optim/_muon.py`.

use opledger_dims::Poly;
use opledger_ir::ops::{ArithmeticKind, Pointwise, Rearrange};
use opledger_ir::{Axis, Graph, GraphError, Var};

use super::matrix::{Sides, multiplied};
use super::{BUFFER, Kept, Rates, alike, size, square_sum, times, towards};
use crate::GradError;

/// The coefficients of an iteration, and what a norm is not taken below.
const COEFFICIENTS: [f64; 3] = [3.4445, -4.7750, 2.0315];
const LEAST: f64 = 1e-7;

/// Numbers of a step.
pub(super) struct MuonRates {
    pub(super) momentum: f64,
    pub(super) iterations: u32,
    /// What a matrix is multiplied with.
    pub(super) shrink: Option<Var>,
}

/// A matrix of a hidden layer.
pub(super) struct HiddenMatrix {
    of: Sides,
    /// Whether it has more rows than columns.
    tall: bool,
}

fn elements(axes: &[Axis]) -> Poly {
    axes.iter().map(|axis| axis.size.clone()).product()
}

/// A parameter that hidden layers multiply with; none of all else.
pub(super) fn matrix(
    g: &Graph,
    parameter: Var,
    rates: &Rates<'_>,
) -> Result<Option<HiddenMatrix>, GradError> {
    let Some(of) = multiplied(g, parameter).filter(|_| !rates.ends.contains(&parameter)) else {
        return Ok(None);
    };
    let sizes = g.complete(rates.sizes).unwrap_or_else(|_| rates.sizes.clone());
    let [rows, columns] = [&of.rows, &of.columns].map(|axes| elements(axes).at(&sizes));
    let (Ok(rows), Ok(columns)) = (rows, columns) else {
        let path = g.node(parameter).path.clone();
        return Err(GradError::Sides { path });
    };
    Ok(Some(HiddenMatrix { of, tall: rows > columns }))
}

/// What is taken from a matrix, and its state.
pub(super) fn step(
    g: &mut Graph,
    parameter: Var,
    gradient: Var,
    (rates, HiddenMatrix { of, tall }): (&Rates<'_>, &HiddenMatrix),
) -> Result<(Var, Kept), GradError> {
    let Some(own) = &rates.muon else { return Ok((gradient, Vec::new())) };
    let before = alike(g, parameter, BUFFER)?;
    let buffer = towards(g, before, gradient, 1.0 - own.momentum)?;
    let update = towards(g, gradient, buffer, own.momentum)?;
    let (short, long) = if *tall { (&of.columns, &of.rows) } else { (&of.rows, &of.columns) };
    let flat = flattened(g, update, short, long)?;
    let made = orthogonal(g, flat, own.iterations)?;
    let axes = g.shape(parameter).axes.clone();
    let made = unflattened(g, made, (short, long), &axes)?;
    let (rows, columns) = (size(g, elements(&of.rows))?, size(g, elements(&of.columns))?);
    let ratio = g.div("", rows, columns)?;
    let ratio = g.pointwise(ratio, Pointwise::Clamp { min: Some(1.0), max: None })?;
    let root = g.pointwise(ratio, Pointwise::Sqrt)?;
    let rate = g.mul("", rates.rate, root)?;
    Ok((g.mul("", made, rate)?, vec![(before, buffer, BUFFER)]))
}

/// The axes `short` and `long`.
fn flattened(g: &mut Graph, x: Var, short: &[Axis], long: &[Axis]) -> Result<Var, GraphError> {
    let order = short.iter().chain(long).map(|axis| axis.name.clone()).collect();
    let mut x = g.rearrange(x, Rearrange::Permute { order })?;
    for (axes, name) in [(short, "short"), (long, "long")] {
        let axes = axes.iter().map(|axis| axis.name.clone()).collect();
        x = g.rearrange(x, Rearrange::Merge { axes, into: name.into() })?;
    }
    Ok(x)
}

/// The axes as a parameter has them.
fn unflattened(
    g: &mut Graph,
    mut x: Var,
    (short, long): (&[Axis], &[Axis]),
    axes: &[Axis],
) -> Result<Var, GraphError> {
    for (into, name) in [(short, "short"), (long, "long")] {
        x = g.rearrange(x, Rearrange::Split { axis: name.into(), into: into.to_vec() })?;
    }
    let order = axes.iter().map(|axis| axis.name.clone()).collect();
    g.rearrange(x, Rearrange::Permute { order })
}

/// Newton–Schulz iterations, `_zeropower_via_newtonschulz`: `x = a·x + (b·A + c·A²)·x` with `A = x·xᵀ`.
fn orthogonal(g: &mut Graph, x: Var, iterations: u32) -> Result<Var, GraphError> {
    let [a, b, c] = COEFFICIENTS;
    let sum = square_sum(g, x)?;
    let norm = g.pointwise(sum, Pointwise::Sqrt)?;
    let norm = g.pointwise(norm, Pointwise::Clamp { min: Some(LEAST), max: None })?;
    let mut x = g.div("", x, norm)?;
    for _ in 0..iterations {
        let other = g.rename(x, "short", "short'")?;
        let gram = g.einsum("short long, short' long -> short short'", x, other)?;
        let second = g.rename(gram, "short'", "short''")?;
        let second = g.rename(second, "short", "short'")?;
        let product = "short short', short' short'' -> short short''";
        let square = g.einsum(product, gram, second)?;
        let square = g.rename(square, "short''", "short'")?;
        let square = times(g, square, c)?;
        let first = times(g, gram, b)?;
        let both = g.arithmetic("", ArithmeticKind::Add, first, square)?;
        let turned = g.einsum("short short', short' long -> short long", both, other)?;
        let stays = times(g, x, a)?;
        x = g.arithmetic("", ArithmeticKind::Add, stays, turned)?;
    }
    Ok(x)
}
