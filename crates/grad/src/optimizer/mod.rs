//! What an optimiser does with gradients, as operations on each parameter and its state.

mod adafactor;
mod kinds;
mod matrix;
mod muon;

use std::collections::{BTreeMap, BTreeSet};

use opledger_dims::{Binding, Poly};
use opledger_ir::ops::{ArithmeticKind, IndexMap, Pointwise, Reduce};
use opledger_ir::{
    Axis, Graph, GraphError, IndexExpr, Phase, RepeatId, Scan, ScanValues, Scope, Var,
};

use crate::GradError;
use crate::back::{Back, Closed};
use kinds::{AdamW, BUFFER, FIRST, MEAN, MOST, RATE, SECOND, SHARE, SQUARES};
pub use kinds::{Optimizer, Update, Updated};
pub(crate) use matrix::ends;

/// What is the same for all parameters.
struct Rates<'b> {
    /// The learning rate.
    rate: Var,
    /// What gradients are made shorter by.
    clip: Option<Var>,
    /// What a parameter is multiplied with, of Muon what all but matrices of hidden layers are.
    shrink: Option<Var>,
    adamw: Option<OfAdamW>,
    adafactor: Option<adafactor::AdafactorRates>,
    muon: Option<muon::MuonRates>,
    /// Sizes that are known.
    sizes: &'b Binding,
    /// Parameters that the result is made with.
    ends: &'b BTreeSet<Var>,
}

/// Numbers of AdamW in a step.
#[derive(Clone, Copy)]
struct OfAdamW {
    of: AdamW,
    /// `rate/(1 − β₁ᵗ)`.
    rate: Var,
    /// `√(1 − β₂ᵗ)`.
    root: Var,
}

type Gradients = BTreeMap<Var, Var>;

/// Records the update of every parameter that has a gradient: results `updated.…` of the parameters and of
/// the state, which is an input for each parameter. The learning rate is an input `optimizer.rate`; of AdamW
/// `optimizer.first` and `optimizer.second` are `1 − β₁ᵗ` and `1 − β₂ᵗ` at step t, of Adafactor
/// `optimizer.most` is `1/√t` and `optimizer.share` a power of t.
pub(crate) fn record(
    back: &mut Back,
    update: Update,
    sizes: &Binding,
    ends: &BTreeSet<Var>,
) -> Result<Vec<Updated>, GradError> {
    let root = Scope::default().in_phase(Phase::Update);
    back.graph.move_to(root);
    let gradients = stacked(back)?;
    let g = &mut back.graph;
    let clip = match update.clip {
        Some(most) => {
            let zero = g.fill(Vec::<Axis>::new(), 0.0)?;
            let squares = squares(g, &back.closed, None, &gradients, zero)?;
            let norm = g.pointwise(squares, Pointwise::Sqrt)?;
            let below = g.pointwise(norm, Pointwise::Shift(1e-6))?;
            let most = g.fill(Vec::<Axis>::new(), most)?;
            let share = g.div("", most, below)?;
            let one = g.fill(Vec::<Axis>::new(), 1.0)?;
            Some(g.arithmetic("", ArithmeticKind::Min, share, one)?)
        }
        None => None,
    };
    let rate = number(g, RATE)?;
    let (optimizer, shrunk) = (update.optimizer, |g: &mut Graph, decay: f64| {
        if decay == 0.0 {
            return Ok::<_, GraphError>(None);
        }
        let less = times(g, rate, -decay)?;
        Ok(Some(g.pointwise(less, Pointwise::Shift(1.0))?))
    });
    let mut rates =
        Rates { rate, clip, shrink: None, adamw: None, adafactor: None, muon: None, sizes, ends };
    if let Some(of) = optimizer.adamw() {
        let (first, second) = (number(g, FIRST)?, number(g, SECOND)?);
        let own = g.div("", rate, first)?;
        let root = g.pointwise(second, Pointwise::Sqrt)?;
        rates.adamw = Some(OfAdamW { of, rate: own, root });
        rates.shrink = shrunk(g, of.weight_decay)?;
    }
    match optimizer {
        Optimizer::Sgd { .. } | Optimizer::Momentum { .. } | Optimizer::AdamW { .. } => {}
        Optimizer::Adafactor { eps, weight_decay, .. } => {
            let (most, share) = (number(g, MOST)?, number(g, SHARE)?);
            let rate = g.arithmetic("", ArithmeticKind::Min, rate, most)?;
            rates.adafactor = Some(adafactor::AdafactorRates { eps, rate, share });
            rates.shrink = shrunk(g, weight_decay)?;
        }
        Optimizer::Muon { momentum, weight_decay, iterations, .. } => {
            let shrink = shrunk(g, weight_decay)?;
            rates.muon = Some(muon::MuonRates { momentum, iterations, shrink });
        }
    }
    let mut all = Vec::new();
    updates(g, &back.closed, None, &gradients, (optimizer, &rates), &mut all)?;
    Ok(all)
}

/// A number that a step is given.
fn number(g: &mut Graph, name: &str) -> Result<Var, GraphError> {
    g.input(name, Vec::<Axis>::new())
}

/// A size as a real.
fn size(g: &mut Graph, size: Poly) -> Result<Var, GraphError> {
    let map = IndexMap { axes: Vec::new(), value: IndexExpr::size(size), truth: false };
    let whole = g.record("", map, &[])?;
    g.to_real(whole)
}

/// The sum of the squares of all elements.
fn square_sum(g: &mut Graph, x: Var) -> Result<Var, GraphError> {
    let square = g.mul("", x, x)?;
    summed(g, square, &g.shape(square).axes.clone())
}

/// The sum over axes.
fn summed(g: &mut Graph, mut x: Var, axes: &[Axis]) -> Result<Var, GraphError> {
    for axis in axes.iter().rev() {
        x = g.reduce(x, Reduce::Sum(axis.name.clone()))?;
    }
    Ok(x)
}

/// `x + share·(y − x)`.
fn towards(g: &mut Graph, x: Var, y: Var, share: f64) -> Result<Var, GraphError> {
    let apart = g.arithmetic("", ArithmeticKind::Sub, y, x)?;
    let part = times(g, apart, share)?;
    g.add("", x, part)
}

/// The gradient of each parameter outside of all repetitions: of one of a repeated body, of all iterations.
fn stacked(back: &mut Back) -> Result<Gradients, GraphError> {
    let mut gradients = Gradients::new();
    for (parameter, gradient) in back.parameters.clone() {
        let (mut gradient, mut repeat) = (gradient, back.graph.node(parameter).repeat);
        while let Some(id) = repeat {
            let of =
                |closed: &&Closed| closed.repeat == id && closed.body.contains(&gradient.index());
            if let Some(closed) = back.closed.iter().find(of) {
                gradient = back.graph.stack_also(closed.exit, gradient)?;
            }
            repeat = back.graph.repetition(id).parent;
        }
        gradients.insert(parameter, gradient);
    }
    Ok(gradients)
}

/// The repetitions straight inside another, or inside none, that have gradients, each once though it may have
/// several bodies.
fn inside<'c>(g: &Graph, closed: &'c [Closed], around: Option<RepeatId>) -> Vec<&'c Closed> {
    let mut inside: Vec<&Closed> = Vec::new();
    for own in closed.iter().filter(|own| g.repetition(own.repeat).parent == around) {
        if inside.iter().all(|other| other.repeat != own.repeat) {
            inside.push(own);
        }
    }
    inside
}

/// The gradients of what is repeated by a repetition, or by one inside of it.
fn within(g: &Graph, gradients: &Gradients, repeat: RepeatId) -> Gradients {
    let own = |parameter: &Var| {
        let around =
            std::iter::successors(g.node(*parameter).repeat, |id| g.repetition(*id).parent);
        around.into_iter().any(|id| id == repeat)
    };
    gradients.iter().filter(|(parameter, _)| own(parameter)).map(|(p, g)| (*p, *g)).collect()
}

/// Goes through the iterations of a repetition, which are given their gradients, with one number that goes
/// from iteration to iteration.
fn through(
    g: &mut Graph,
    closed: &Closed,
    gradients: &Gradients,
    carried: Var,
    body: impl FnOnce(&mut Graph, &Gradients, Var) -> Result<Var, GradError>,
) -> Result<Var, GradError> {
    let scan = Scan {
        carried: vec![carried],
        stacks: gradients.values().copied().collect(),
        axis: closed.axis.clone(),
        reverse: false,
    };
    let scope = closed.scope.clone().in_phase(Phase::Update);
    let results = g.scan(&scope, &scan, |g, at| -> Result<ScanValues, GradError> {
        let own = gradients.keys().copied().zip(at.stacked.iter().copied()).collect();
        let next = body(g, &own, at.carried[0])?;
        Ok(ScanValues { carried: vec![next], stacked: Vec::new() })
    })?;
    Ok(results.carried[0])
}

/// A number and the squares of all elements of gradients.
fn squares(
    g: &mut Graph,
    closed: &[Closed],
    around: Option<RepeatId>,
    gradients: &Gradients,
    mut sum: Var,
) -> Result<Var, GradError> {
    for (parameter, gradient) in gradients {
        if g.node(*parameter).repeat != around {
            continue;
        }
        let square = square_sum(g, *gradient)?;
        sum = g.add("", sum, square)?;
    }
    for own in inside(g, closed, around) {
        let inner = within(g, gradients, own.repeat);
        if !inner.is_empty() {
            sum = through(g, own, &inner, sum, |g, slices, sum| {
                squares(g, closed, Some(own.repeat), slices, sum)
            })?;
        }
    }
    Ok(sum)
}

fn updates(
    g: &mut Graph,
    closed: &[Closed],
    around: Option<RepeatId>,
    gradients: &Gradients,
    (optimizer, rates): (Optimizer, &Rates<'_>),
    all: &mut Vec<Updated>,
) -> Result<(), GradError> {
    for (parameter, gradient) in gradients {
        if g.node(*parameter).repeat == around {
            let scope = Scope::of(g.node(*parameter)).in_phase(Phase::Update);
            let outer = g.move_to(scope);
            let done = one(g, *parameter, *gradient, optimizer, rates);
            g.move_to(outer);
            all.extend(done?);
        }
    }
    for own in inside(g, closed, around) {
        let inner = within(g, gradients, own.repeat);
        if !inner.is_empty() {
            through(g, own, &inner, rates.rate, |g, slices, rate| {
                updates(g, closed, Some(own.repeat), slices, (optimizer, rates), all)?;
                Ok(rate)
            })?;
        }
    }
    Ok(())
}

/// State before and after a step, with its name.
type Kept = Vec<(Var, Var, &'static str)>;

/// Records the update of one parameter; gives the parameter and its state with what they are afterwards.
fn one(
    g: &mut Graph,
    parameter: Var,
    gradient: Var,
    optimizer: Optimizer,
    rates: &Rates<'_>,
) -> Result<Vec<Updated>, GradError> {
    let path = g.node(parameter).path.clone();
    let gradient = match rates.clip {
        Some(clip) => g.mul("", gradient, clip)?,
        None => gradient,
    };
    let decayed = |g: &mut Graph, weight_decay: f64| match weight_decay == 0.0 {
        true => Ok(gradient),
        false => {
            let share = times(g, parameter, weight_decay)?;
            g.add("", gradient, share)
        }
    };
    let mut shrink = rates.shrink;
    let (step, kept) = match optimizer {
        Optimizer::Sgd { weight_decay } => {
            let gradient = decayed(g, weight_decay)?;
            (g.mul("", gradient, rates.rate)?, Vec::new())
        }
        Optimizer::Momentum { momentum, weight_decay } => {
            let before = alike(g, parameter, BUFFER)?;
            let gradient = decayed(g, weight_decay)?;
            let stays = times(g, before, momentum)?;
            let buffer = g.add("", stays, gradient)?;
            (g.mul("", buffer, rates.rate)?, vec![(before, buffer, BUFFER)])
        }
        Optimizer::AdamW { .. } => adamw(g, parameter, gradient, rates)?,
        Optimizer::Adafactor { .. } => adafactor::step(g, parameter, gradient, rates)?,
        Optimizer::Muon { .. } => match muon::matrix(g, parameter, rates)? {
            Some(matrix) => {
                shrink = rates.muon.as_ref().and_then(|own| own.shrink);
                muon::step(g, parameter, gradient, (rates, &matrix))?
            }
            None => adamw(g, parameter, gradient, rates)?,
        },
    };
    let stays = match shrink {
        Some(shrink) => g.mul("", parameter, shrink)?,
        None => parameter,
    };
    let after = g.arithmetic("", ArithmeticKind::Sub, stays, step)?;
    let mut updated = Vec::with_capacity(1 + kept.len());
    let mut note = |source: Var, after: Var, result: String| {
        let result = crate::told(g, result, after);
        updated.push(Updated { source, result });
    };
    note(parameter, after, format!("updated.{path}"));
    for (before, after, name) in kept {
        note(before, after, format!("updated.{path}.{name}"));
    }
    Ok(updated)
}

/// State of a parameter, of these axes.
fn state(g: &mut Graph, parameter: Var, name: &str, axes: &[Axis]) -> Result<Var, GraphError> {
    let label = g.node(parameter).label().to_owned();
    g.input(&format!("{label}.{name}"), axes.to_vec())
}

/// State of a parameter's shape.
fn alike(g: &mut Graph, parameter: Var, name: &str) -> Result<Var, GraphError> {
    let axes = g.shape(parameter).axes.clone();
    state(g, parameter, name, &axes)
}

fn adamw(
    g: &mut Graph,
    parameter: Var,
    gradient: Var,
    rates: &Rates<'_>,
) -> Result<(Var, Kept), GradError> {
    let (mean, squares) = (alike(g, parameter, MEAN)?, alike(g, parameter, SQUARES)?);
    let Some(OfAdamW { of: AdamW { betas: [first, second], eps, .. }, rate, root }) = rates.adamw
    else {
        return Ok((gradient, Vec::new()));
    };
    let next = towards(g, mean, gradient, 1.0 - first)?;
    let stays = times(g, squares, second)?;
    let square = g.mul("", gradient, gradient)?;
    let share = times(g, square, 1.0 - second)?;
    let sum = g.add("", stays, share)?;
    let below = g.pointwise(sum, Pointwise::Sqrt)?;
    let below = g.div("", below, root)?;
    let below = g.pointwise(below, Pointwise::Shift(eps))?;
    let above = g.mul("", next, rate)?;
    let kept = vec![(mean, next, MEAN), (squares, sum, SQUARES)];
    Ok((g.div("", above, below)?, kept))
}

fn times(g: &mut Graph, x: Var, number: f64) -> Result<Var, GraphError> {
    g.scale(x, opledger_ir::ops::Factor::Number(number))
}
