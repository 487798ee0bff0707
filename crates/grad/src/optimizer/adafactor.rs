//! Adafactor (Shazeer and Stern 2018, algorithm 4), as `_single_tensor_adafactor` of `torch/optim/_adafactor.py`.

use opledger_dims::Poly;
use opledger_ir::ops::{Einsum, Pointwise};
use opledger_ir::{Axis, Graph, GraphError, Var};

use super::matrix::{Sides, multiplied, shifts};
use super::{Kept, Rates, alike, size, square_sum, state, summed};
use crate::GradError;

const ROWS: &str = "row_var";
const COLUMNS: &str = "col_var";
const VARIANCE: &str = "variance";

/// Numbers of a step.
pub(super) struct AdafactorRates {
    pub(super) eps: [f64; 2],
    /// `min(rate, 1/√t)`.
    pub(super) rate: Var,
    /// `t^β`.
    pub(super) share: Var,
}

/// What is taken from a parameter, and its state.
pub(super) fn step(
    g: &mut Graph,
    parameter: Var,
    gradient: Var,
    rates: &Rates<'_>,
) -> Result<(Var, Kept), GradError> {
    let Some(AdafactorRates { eps: [eps, least], rate, share }) = &rates.adafactor else {
        return Ok((gradient, Vec::new()));
    };
    let (rate, share) = (*rate, *share);
    let at_least = |g: &mut Graph, x: Var, min: f64| {
        g.pointwise(x, Pointwise::Clamp { min: Some(min), max: None })
    };
    let norm = root_mean_square(g, parameter)?;
    let norm = at_least(g, norm, *least)?;
    let alpha = g.mul("", norm, rate)?;
    let square = g.mul("", gradient, gradient)?;
    let axes = g.shape(parameter).axes.clone();
    let (estimate, kept) = match sides(g, parameter) {
        Some(Sides { rows, columns }) => {
            let without = |out: &[Axis]| -> Vec<Axis> {
                axes.iter().filter(|axis| !out.contains(axis)).cloned().collect()
            };
            let before = state(g, parameter, ROWS, &without(&columns))?;
            let means = mean(g, square, &columns)?;
            let of_rows = lerp(g, before, means, share)?;
            let column_before = state(g, parameter, COLUMNS, &without(&rows))?;
            let means = mean(g, square, &rows)?;
            let of_columns = lerp(g, column_before, means, share)?;
            let names = |axes: Vec<Axis>| axes.into_iter().map(|axis| axis.name).collect();
            let product = Einsum {
                lhs: names(without(&columns)),
                rhs: names(without(&rows)),
                out: names(axes.clone()),
                masked: None,
            };
            let product = g.record("", product, &[of_rows, of_columns])?;
            let all = mean(g, of_rows, &rows)?;
            let all = at_least(g, all, *eps)?;
            let kept = vec![(before, of_rows, ROWS), (column_before, of_columns, COLUMNS)];
            (g.div("", product, all)?, kept)
        }
        None => {
            let before = alike(g, parameter, VARIANCE)?;
            let next = lerp(g, before, square, share)?;
            (next, vec![(before, next, VARIANCE)])
        }
    };
    let estimate = at_least(g, estimate, eps * eps)?;
    let root = g.pointwise(estimate, Pointwise::Rsqrt)?;
    let update = g.mul("", root, gradient)?;
    let norm = root_mean_square(g, update)?;
    let norm = at_least(g, norm, 1.0)?;
    let alpha = g.div("", alpha, norm)?;
    Ok((g.mul("", update, alpha)?, kept))
}

/// The rows and columns of a parameter: those of the products that read it, else its last two axes. Biases and
/// gains are vectors, in whatever axes.
fn sides(g: &Graph, parameter: Var) -> Option<Sides> {
    let of_axes = || match &g.shape(parameter).axes[..] {
        [.., row, column] if !shifts(g, parameter) => {
            Some(Sides { rows: vec![row.clone()], columns: vec![column.clone()] })
        }
        _ => None,
    };
    multiplied(g, parameter).or_else(of_axes)
}

/// `x + share·(y − x)`, the share a value.
fn lerp(g: &mut Graph, x: Var, y: Var, share: Var) -> Result<Var, GraphError> {
    let apart = g.arithmetic("", opledger_ir::ops::ArithmeticKind::Sub, y, x)?;
    let part = g.mul("", apart, share)?;
    g.add("", x, part)
}

fn mean(g: &mut Graph, x: Var, over: &[Axis]) -> Result<Var, GraphError> {
    let sum = summed(g, x, over)?;
    let count = size(g, over.iter().map(|axis| axis.size.clone()).product::<Poly>())?;
    g.div("", sum, count)
}

/// `‖x‖ / √elements`.
fn root_mean_square(g: &mut Graph, x: Var) -> Result<Var, GraphError> {
    let count = size(g, g.shape(x).elements())?;
    let sum = square_sum(g, x)?;
    let norm = g.pointwise(sum, Pointwise::Sqrt)?;
    let root = g.pointwise(count, Pointwise::Sqrt)?;
    g.div("", norm, root)
}
