//! What an optimiser does with gradients, as operations on each parameter and its state.

use std::collections::BTreeMap;
use std::fmt;

use opledger_ir::ops::{ArithmeticKind, Pointwise, Reduce};
use opledger_ir::{Axis, Graph, GraphError, Phase, RepeatId, Scan, ScanValues, Scope, Var};

use crate::back::{Back, Closed};

/// How parameters are changed by their gradients.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Optimizer {
    /// `p − rate·(g + decay·p)`, as `torch.optim.SGD`.
    Sgd {
        /// The share of the parameter that joins its gradient.
        weight_decay: f64,
    },
    /// The same with `b = momentum·b + g` in the place of the gradient; the state is `momentum_buffer`.
    Momentum {
        /// The share of the buffer that stays.
        momentum: f64,
        /// The share of the parameter that joins its gradient.
        weight_decay: f64,
    },
    /// `(1 − rate·decay)·p − rate/(1 − β₁ᵗ)·m / (√v/√(1 − β₂ᵗ) + ε)` (Loshchilov and Hutter 2019), as
    /// `torch.optim.AdamW`; the state is `exp_avg` and `exp_avg_sq`.
    AdamW {
        /// The shares of both means that stay.
        betas: [f64; 2],
        /// What is added to the root.
        eps: f64,
        /// The share of the parameter that it loses.
        weight_decay: f64,
    },
}

/// Names of state, as `torch.optim` has them.
const BUFFER: &str = "momentum_buffer";
const MEAN: &str = "exp_avg";
const SQUARES: &str = "exp_avg_sq";

impl Optimizer {
    /// SGD without decay.
    pub const SGD: Optimizer = Optimizer::Sgd { weight_decay: 0.0 };
    /// SGD with a momentum of 0.9.
    pub const MOMENTUM: Optimizer = Optimizer::Momentum { momentum: 0.9, weight_decay: 0.0 };
    /// AdamW as PyTorch has it by default.
    pub const ADAMW: Optimizer =
        Optimizer::AdamW { betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.01 };
    /// Adam (Kingma and Ba 2015) as PyTorch has it by default.
    pub const ADAM: Optimizer =
        Optimizer::AdamW { betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.0 };

    /// The names of its state, of which there is one of each parameter's shape.
    pub fn state(self) -> &'static [&'static str] {
        match self {
            Optimizer::Sgd { .. } => &[],
            Optimizer::Momentum { .. } => &[BUFFER],
            Optimizer::AdamW { .. } => &[MEAN, SQUARES],
        }
    }
}

impl fmt::Display for Optimizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Optimizer::Sgd { .. } => "sgd",
            Optimizer::Momentum { .. } => "momentum",
            Optimizer::AdamW { weight_decay, .. } if *weight_decay == 0.0 => "adam",
            Optimizer::AdamW { .. } => "adamw",
        })
    }
}

/// What follows the gradients of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Update {
    /// How parameters are changed.
    pub optimizer: Optimizer,
    /// The norm of all gradients together above which they are made shorter, as
    /// `torch.nn.utils.clip_grad_norm_` does.
    pub clip: Option<f64>,
}

/// A parameter or a state, which a step changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Updated {
    /// What it was: a parameter, or an input of its shape.
    pub source: Var,
    /// The result that it is afterwards, by name.
    pub result: String,
}

/// Numbers that are the same for all parameters.
struct Rates {
    /// What a gradient is multiplied with.
    rate: Var,
    /// What gradients are made shorter by.
    clip: Option<Var>,
    /// What a parameter is multiplied with.
    shrink: Option<Var>,
    /// `√(1 − β₂ᵗ)`.
    root: Option<Var>,
}

type Gradients = BTreeMap<Var, Var>;

/// Records the update of every parameter that has a gradient: results `updated.…` of the parameters and of
/// the state, which is an input of each parameter's shape. The learning rate is an input `optimizer.rate`;
/// of AdamW `optimizer.first` and `optimizer.second` are `1 − β₁ᵗ` and `1 − β₂ᵗ` at step t.
pub(crate) fn record(back: &mut Back, update: Update) -> Result<Vec<Updated>, GraphError> {
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
    let given = g.input("optimizer.rate", Vec::<Axis>::new())?;
    let mut rates = Rates { rate: given, clip, shrink: None, root: None };
    if let Optimizer::AdamW { weight_decay, .. } = update.optimizer {
        let first = g.input("optimizer.first", Vec::<Axis>::new())?;
        let second = g.input("optimizer.second", Vec::<Axis>::new())?;
        rates.rate = g.div("", given, first)?;
        rates.root = Some(g.pointwise(second, Pointwise::Sqrt)?);
        if weight_decay != 0.0 {
            let less = times(g, given, -weight_decay)?;
            rates.shrink = Some(g.pointwise(less, Pointwise::Shift(1.0))?);
        }
    }
    let mut all = Vec::new();
    updates(g, &back.closed, None, &gradients, (update.optimizer, &rates), &mut all)?;
    Ok(all)
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
    body: impl FnOnce(&mut Graph, &Gradients, Var) -> Result<Var, GraphError>,
) -> Result<Var, GraphError> {
    let scan = Scan {
        carried: vec![carried],
        stacks: gradients.values().copied().collect(),
        axis: closed.axis.clone(),
        reverse: false,
    };
    let scope = closed.scope.clone().in_phase(Phase::Update);
    let results = g.scan(&scope, &scan, |g, at| -> Result<ScanValues, GraphError> {
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
) -> Result<Var, GraphError> {
    for (parameter, gradient) in gradients {
        if g.node(*parameter).repeat != around {
            continue;
        }
        let mut square = g.mul("", *gradient, *gradient)?;
        for axis in g.shape(square).axes.clone().into_iter().rev() {
            square = g.reduce(square, Reduce::Sum(axis.name))?;
        }
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
    (optimizer, rates): (Optimizer, &Rates),
    all: &mut Vec<Updated>,
) -> Result<(), GraphError> {
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

/// Records the update of one parameter; gives the parameter and its state with what they are afterwards.
fn one(
    g: &mut Graph,
    parameter: Var,
    gradient: Var,
    optimizer: Optimizer,
    rates: &Rates,
) -> Result<Vec<Updated>, GraphError> {
    let path = g.node(parameter).path.clone();
    let label = g.node(parameter).label().to_owned();
    let axes = g.shape(parameter).axes.clone();
    let state = |g: &mut Graph, name: &str| g.input(&format!("{label}.{name}"), axes.clone());
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
    // The state before and after, in the order of its names.
    let (step, kept) = match optimizer {
        Optimizer::Sgd { weight_decay } => {
            let gradient = decayed(g, weight_decay)?;
            (g.mul("", gradient, rates.rate)?, Vec::new())
        }
        Optimizer::Momentum { momentum, weight_decay } => {
            let before = state(g, BUFFER)?;
            let gradient = decayed(g, weight_decay)?;
            let stays = times(g, before, momentum)?;
            let buffer = g.add("", stays, gradient)?;
            (g.mul("", buffer, rates.rate)?, vec![(before, buffer, BUFFER)])
        }
        Optimizer::AdamW { betas: [first, second], eps, .. } => {
            let (mean, squares) = (state(g, MEAN)?, state(g, SQUARES)?);
            let apart = g.arithmetic("", ArithmeticKind::Sub, gradient, mean)?;
            let share = times(g, apart, 1.0 - first)?;
            let next = g.add("", mean, share)?;
            let stays = times(g, squares, second)?;
            let square = g.mul("", gradient, gradient)?;
            let share = times(g, square, 1.0 - second)?;
            let sum = g.add("", stays, share)?;
            let mut below = g.pointwise(sum, Pointwise::Sqrt)?;
            if let Some(root) = rates.root {
                below = g.div("", below, root)?;
            }
            let below = g.pointwise(below, Pointwise::Shift(eps))?;
            let above = g.mul("", next, rates.rate)?;
            let kept = vec![(mean, next, MEAN), (squares, sum, SQUARES)];
            (g.div("", above, below)?, kept)
        }
    };
    let stays = match rates.shrink {
        Some(shrink) => g.mul("", parameter, shrink)?,
        None => parameter,
    };
    let after = g.arithmetic("", ArithmeticKind::Sub, stays, step)?;
    let mut updated = Vec::with_capacity(1 + kept.len());
    let mut note = |source: Var, after: Var, result: String| {
        g.output(&result, after);
        updated.push(Updated { source, result });
    };
    note(parameter, after, format!("updated.{path}"));
    for (before, after, name) in kept {
        note(before, after, format!("updated.{path}.{name}"));
    }
    Ok(updated)
}

fn times(g: &mut Graph, x: Var, number: f64) -> Result<Var, GraphError> {
    g.scale(x, opledger_ir::ops::Factor::Number(number))
}
