//! What a training step makes smaller, and its gradient of a result.

use opledger_ir::ops::{GatherNd, Pointwise, Reduce, ScatterKind};
use opledger_ir::{GraphError, Phase, Scope, Var};

use crate::GradError;
use crate::back::Back;

/// How far results are from what is wanted of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Loss {
    /// None: the gradient of the result is an input `gradient` of its shape.
    #[default]
    Given,
    /// The mean over all rows of `log Σ exp x − x[label]`: the logarithm of the softmax at a label of each
    /// row of scores. The labels are an input `labels`, the places along the last axis.
    CrossEntropy {
        /// Whether rows may be left out: an input `labels.kept` is 1 for each row that counts, else 0.
        ignoring: bool,
    },
    /// The mean of `(x − target)²`; the target is an input `target` of the result's shape.
    MeanSquare,
}

/// Records the loss of a result as a result of the graph; gives the gradient of the result, divided by
/// the number of batches.
pub(crate) fn gradient(
    back: &mut Back,
    of: Var,
    loss: Loss,
    batches: u32,
) -> Result<Var, GradError> {
    let outer = back.graph.move_to(Scope::default().in_phase(Phase::Loss));
    let made = match loss {
        Loss::Given => back.graph.input("gradient", back.shape(of).axes).map_err(GradError::from),
        Loss::CrossEntropy { ignoring } => cross_entropy(back, of, ignoring, batches),
        Loss::MeanSquare => mean_square(back, of, batches),
    };
    back.graph.move_to(outer);
    made
}

/// The gradient is `(softmax x − one at the label) / rows`.
fn cross_entropy(back: &mut Back, x: Var, ignoring: bool, batches: u32) -> Result<Var, GradError> {
    let shape = back.shape(x);
    let Some((classes, rows)) = shape.axes.split_last() else {
        return Err(GradError::Loss { shape: shape.to_string(), needs: "an axis of classes" });
    };
    let labels = back.graph.input_ids("labels", rows.to_vec(), classes.size.clone())?;
    let kept = match ignoring {
        true => Some(back.graph.input_mask("labels.kept", rows.to_vec())?),
        false => None,
    };
    let along = classes.name.clone();
    let most = back.graph.reduce(x, Reduce::Max(along.clone()))?;
    let below = back.sub(x, most)?;
    let powers = back.of(Pointwise::Exp, below)?;
    let sum = back.graph.reduce(powers, Reduce::Sum(along.clone()))?;
    let log = back.of(Pointwise::Log, sum)?;
    let look = GatherNd { axes: rows.to_vec(), along: vec![along.clone()] };
    let chosen = back.graph.record("", look, &[below, labels])?;
    let mut each = back.sub(log, chosen)?;
    let kept = kept.map(|kept| back.graph.to_real(kept)).transpose()?;
    let count = match kept {
        Some(kept) => {
            each = back.mul(each, kept)?;
            all(back, kept)?
        }
        None => back.size(rows.iter().map(|axis| axis.size.clone()).product())?,
    };
    let total = all(back, each)?;
    let loss = back.graph.div("", total, count)?;
    name(back, loss);
    back.graph.move_to(Scope::default().in_phase(Phase::Backward));
    let count = of_all(back, count, batches)?;
    let shares = back.graph.div("", powers, sum)?;
    let less = back.graph.fill(rows.to_vec(), -1.0)?;
    let apart = back.graph.scatter(ScatterKind::Add, shares, less, &[(along, labels)])?;
    match kept {
        Some(kept) => {
            let weights = back.graph.div("", kept, count)?;
            back.mul(apart, weights)
        }
        None => Ok(back.graph.div("", apart, count)?),
    }
}

/// The gradient is `2·(x − target) / elements`.
fn mean_square(back: &mut Back, x: Var, batches: u32) -> Result<Var, GradError> {
    let shape = back.shape(x);
    let target = back.graph.input("target", shape.axes.clone())?;
    let apart = back.sub(x, target)?;
    let square = back.mul(apart, apart)?;
    let total = all(back, square)?;
    let count = back.size(shape.elements())?;
    let loss = back.graph.div("", total, count)?;
    name(back, loss);
    back.graph.move_to(Scope::default().in_phase(Phase::Backward));
    let count = of_all(back, count, batches)?;
    let twice = back.times(apart, 2.0)?;
    Ok(back.graph.div("", twice, count)?)
}

/// Gives the graph the loss as a result.
fn name(back: &mut Back, loss: Var) {
    back.loss = Some(crate::told(&mut back.graph, "loss".to_owned(), loss));
}

/// A number of elements, of each of so many batches.
fn of_all(back: &mut Back, count: Var, batches: u32) -> Result<Var, GradError> {
    if batches == 1 { Ok(count) } else { back.times(count, f64::from(batches)) }
}

/// The sum of all elements.
fn all(back: &mut Back, mut x: Var) -> Result<Var, GraphError> {
    for axis in back.shape(x).axes.into_iter().rev() {
        x = back.graph.reduce(x, Reduce::Sum(axis.name))?;
    }
    Ok(x)
}
