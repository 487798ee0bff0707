//! Gradients of recorded graphs, as graphs: reverse mode by a rule for each operation, written with the
//! operations there are (Linnainmaa 1976; Griewank and Walther 2008, chapter 3).
//!
//! ```
//! # mod opledger { pub use opledger_grad as grad; pub use opledger_ir::{self as ir, *}; }
//! use opledger::{Graph, grad::backward, ir::ops::Source};
//!
//! let mut g = Graph::new();
//! let x = g.input("x", ["b", "c"])?;
//! let w = g.param("w", Source::weight("c"), ["f", "c"])?;
//! let y = g.einsum("b c, f c -> b f", x, w)?;
//! g.output("y", y);
//! let step = backward(&g, "y")?;
//! // One product more, of the gradient of y and x; nobody asks for that of x.
//! assert_eq!(step.macs().to_string(), "2·b·f·c");
//! assert_eq!(step.outputs()[1].0, "gradient.w");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod back;
mod functions;
mod loss;
mod moving;
mod optimizer;
mod pieces;
mod places;
mod pools;
mod products;
mod recompute;
mod repeat;
mod rows;
mod rules;
mod windows;
mod written_out;

use std::collections::BTreeSet;

use opledger_dims::Binding;
use opledger_ir::ops::Source;
use opledger_ir::{Graph, GraphError, Kind, Node, Op, Operation, Var};
use thiserror::Error;

use back::{Back, Primal};
pub use loss::Loss;
pub use optimizer::{Optimizer, Update, Updated};
pub use recompute::Recompute;
use written_out::WrittenOut;
pub use written_out::written_out;

/// Why a graph has no gradient.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum GradError {
    /// What was recorded does not fit.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// An operation on the way has no rule.
    #[error("`{path}`: no gradient is known of {operation}{why}")]
    NoRule {
        /// Its name.
        operation: &'static str,
        /// Where it stands.
        path: String,
        /// What about it is not known, after a space; nothing where all of it is.
        why: &'static str,
    },
    /// A parameter of a repeated body is used in another repetition as well.
    #[error("`{path}` is used in two repetitions; give each parameters of its own")]
    Repeated {
        /// The parameter.
        path: String,
    },
    /// A result has no such loss.
    #[error("a result of shape {shape} has no such loss: it needs {needs}")]
    Loss {
        /// The shape of the result.
        shape: String,
        /// What it lacks.
        needs: &'static str,
    },
    /// What is to be computed again is nowhere.
    #[error("no module has the path `{path}`")]
    NoModule {
        /// The path.
        path: String,
    },
    /// Nothing is called so.
    #[error("the graph has no result `{name}`; its results are {known}", known = known.join(", "))]
    NoResult {
        /// The name asked for.
        name: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// A matrix whose shorter side is not known.
    #[error(
        "`{path}`: which side of the matrix is the shorter one is open, and Muon multiplies along it; give its sizes"
    )]
    Sides {
        /// Its path.
        path: String,
    },
    /// No parameter leads to it.
    #[error("`{name}` depends on no parameter")]
    NoParameter {
        /// The result.
        name: String,
    },
}

impl GradError {
    fn unknown(node: &Node, why: &'static str) -> Self {
        GradError::NoRule { operation: node.op.name(), path: node.path.clone(), why }
    }
}

/// A graph that computes what `graph` does and the gradients of all parameters that lead to its result
/// `name`. The gradient of that result is an input `gradient` of its shape; the gradient of parameter `p`
/// is a result `gradient.p` of the parameter's shape. Attention is [written out](written_out) first: its
/// weights are kept.
///
/// What no parameter leads to has no gradient and costs nothing; of several uses the gradients are added.
/// Under a mask, all goes over the allowed pairs alone.
///
/// # Errors
/// When nothing is called `name`, no parameter leads to it, or an operation between has no rule, which is
/// told with its path before anything is executed.
pub fn backward(graph: &Graph, name: &str) -> Result<Graph, GradError> {
    TrainingStep::default().of(graph, name)
}

/// How gradients are asked for.
///
/// ```
/// # mod opledger { pub use opledger_grad as grad; pub use opledger_ir::{self as ir, *}; }
/// use opledger::{Graph, grad::{Loss, TrainingStep}, ir::ops::Source};
///
/// let mut g = Graph::new();
/// let x = g.input("x", ["b", "c"])?;
/// let w = g.param("w", Source::weight("c"), ["v", "c"])?;
/// let y = g.einsum("b c, v c -> b v", x, w)?;
/// g.output("scores", y);
/// let step = TrainingStep { loss: Loss::CrossEntropy { ignoring: false }, ..TrainingStep::default() };
/// let step = step.of(&g, "scores")?;
/// let names: Vec<&str> = step.outputs().iter().map(|(name, _)| name.as_str()).collect();
/// assert_eq!(names, ["scores", "loss", "gradient.w"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrainingStep {
    /// What is made smaller.
    pub loss: Loss,
    /// What of the forward pass is not kept, but computed again.
    pub recompute: Recompute,
    /// Which of several batches this is, whose gradients are added before parameters change.
    pub accumulate: Option<Accumulate>,
    /// Sizes that are known: by them Muon takes the shorter side of a matrix.
    pub sizes: Binding,
    /// What is done with the gradients. Without, those of parameter `p` are a result `gradient.p`; else
    /// `updated.p` is the parameter after the step.
    pub update: Option<Update>,
}

impl TrainingStep {
    /// The graph and the gradients of all parameters that lead to its result `name`: as [`backward`], with
    /// the loss of the result as a result `loss`, or `step.loss` where the graph has one of that name.
    ///
    /// # Errors
    /// As [`backward`], and when the result has no such loss or no module has a path that is named.
    pub fn of(&self, graph: &Graph, name: &str) -> Result<Graph, GradError> {
        Ok(self.recorded(graph, name)?.graph)
    }

    /// The same, and which value is the gradient of which parameter: of one of a repeated body, that of an
    /// iteration.
    ///
    /// # Errors
    /// As [`TrainingStep::of`].
    pub fn recorded(&self, graph: &Graph, name: &str) -> Result<Recorded, GradError> {
        gradients(graph, name, self)
    }
}

/// One of several batches whose gradients are added, each divided by how many there are.
///
/// ```
/// # mod opledger { pub use opledger_grad as grad; pub use opledger_ir::{self as ir, *}; }
/// use opledger::{Graph, grad::{Accumulate, Loss, TrainingStep}, ir::ops::Source};
///
/// let mut g = Graph::new();
/// let x = g.input("x", ["b", "c"])?;
/// let w = g.param("w", Source::weight("c"), ["f", "c"])?;
/// let y = g.einsum("b c, f c -> b f", x, w)?;
/// g.output("y", y);
/// let accumulate = Some(Accumulate { batches: 2, earlier: true });
/// let second = TrainingStep { loss: Loss::MeanSquare, accumulate, ..TrainingStep::default() };
/// let second = second.of(&g, "y")?;
/// // What the first batch left, to which that of the second is added.
/// assert!(second.nodes().iter().any(|node| node.path == "w.accumulated"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accumulate {
    /// How many batches there are; the gradient of a loss is divided by it.
    pub batches: u32,
    /// Whether gradients of earlier ones are added: that of parameter `p` is an input `p.accumulated`.
    pub earlier: bool,
}

/// A graph with its gradients.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The graph.
    pub graph: Graph,
    /// Those of all parameters that have one.
    pub gradients: Vec<Gradient>,
    /// The result that is the loss, by name; none of a gradient that is given.
    pub loss: Option<String>,
    /// What the update changes, parameters and state; nothing where there is none.
    pub updated: Vec<Updated>,
    /// For each node, what it is for; none of a loss, of an update, and of what costs nothing.
    pub origins: Vec<Option<RecordedFor>>,
}

/// The gradient of a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gradient {
    /// The parameter.
    pub parameter: Var,
    /// Its gradient: of a parameter of a repeated body, that of an iteration.
    pub value: Var,
    /// The result that it is, by name; none where an update takes it.
    pub result: Option<String>,
    /// The input that it was added to: the gradient of earlier batches.
    pub earlier: Option<Var>,
}

/// What a node of a step is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordedFor {
    /// The node of the given graph: attention where it is written out.
    pub given: Var,
    /// The node of the step's forward pass, whose gradients it makes or which it computes again; that itself.
    pub forward: Var,
}

fn gradients(graph: &Graph, name: &str, asked: &TrainingStep) -> Result<Recorded, GradError> {
    let whole = asked.recompute.whole(graph, &led_to(graph));
    let WrittenOut { graph, scores, given } = written_out::with_scores(graph, &whole)?;
    let result = graph.outputs().iter().find(|(own, _)| own == name).map(|(_, var)| *var);
    let result = result.ok_or_else(|| GradError::NoResult {
        name: name.to_owned(),
        known: graph.outputs().iter().map(|(own, _)| own.clone()).collect(),
    })?;
    let wanted = led_to(&graph);
    if !wanted.contains(&result) {
        return Err(GradError::NoParameter { name: name.to_owned() });
    }
    let again = asked.recompute.again(&graph, &scores);
    let again = again.map_err(|path| GradError::NoModule { path })?;
    let ends = optimizer::ends(&graph, result);
    let mut back = Back::new(graph, wanted, again);
    back.accumulates = asked.accumulate.is_some_and(|of| of.earlier);
    let batches = asked.accumulate.map_or(1, |of| of.batches);
    let seed = loss::gradient(&mut back, result, asked.loss, batches)?;
    back.contribute(Primal(result), seed)?;
    let all = back.primals.len();
    repeat::all(&mut back, 0..all)?;
    repeat::parameters(&mut back, None)?;
    // As the parameters stand.
    back.parameters.sort();
    let mut gradients: Vec<Gradient> = Vec::with_capacity(back.parameters.len());
    for (parameter, value) in &back.parameters {
        let (parameter, value, earlier) =
            (*parameter, *value, back.earlier.get(parameter).copied());
        gradients.push(Gradient { parameter, value, result: None, earlier });
    }
    let updated = match asked.update {
        Some(update) => optimizer::record(&mut back, update, &asked.sizes, &ends)?,
        None => {
            for own in &mut gradients {
                let name = format!("gradient.{}", back.graph.node(own.parameter).path);
                own.result = Some(told(&mut back.graph, name, own.value));
            }
            Vec::new()
        }
    };
    let origin = |forward: &Option<Var>| {
        let forward = (*forward)?;
        let given = given.get(forward.index()).copied().flatten()?;
        Some(RecordedFor { given, forward })
    };
    let mut origins: Vec<Option<RecordedFor>> = back.forward.iter().map(origin).collect();
    origins.resize(back.graph.nodes().len(), None);
    let loss = back.loss;
    Ok(Recorded { loss, graph: back.graph, gradients, updated, origins })
}

/// Gives the graph a result, behind `step.` where it has one of that name already; what it is called.
fn told(graph: &mut Graph, name: String, value: Var) -> String {
    let taken = |name: &String| graph.outputs().iter().any(|(own, _)| own == name);
    let name = if taken(&name) { format!("step.{name}") } else { name };
    graph.output(&name, value);
    name
}

/// The values that a parameter which training changes leads to by reals.
fn led_to(graph: &Graph) -> BTreeSet<Var> {
    let mut wanted: BTreeSet<Var> = BTreeSet::new();
    let real = |var: &Var| graph.shape(*var).elem.kind() == Kind::Real;
    loop {
        let before = wanted.len();
        for var in graph.vars() {
            let node = graph.node(var);
            let parameter = matches!(node.op, Op::Source(Source::Param { trainable: true, .. }));
            let led = |operand: Option<&Var>| operand.is_some_and(|of| wanted.contains(of));
            let led: Vec<Var> = match &node.op {
                // What goes in, and what the iteration before hands over.
                Op::Carry(_) => {
                    let body = graph.loops().iter().find(|body| body.body.start == var.index());
                    let next = body.map(|body| graph.ends(body).next).unwrap_or_default();
                    let of = |at: usize| led(node.inputs.get(at)) || led(next.get(at));
                    graph
                        .results(var)
                        .enumerate()
                        .filter(|(at, _)| of(*at))
                        .map(|(_, var)| var)
                        .collect()
                }
                Op::Exit(exit) => {
                    let of = |at: usize| {
                        at < exit.carried && led(node.inputs.get(at))
                            || led(node.inputs.get(exit.carried + at))
                    };
                    graph
                        .results(var)
                        .enumerate()
                        .filter(|(at, _)| of(*at))
                        .map(|(_, var)| var)
                        .collect()
                }
                _ if parameter || node.inputs.iter().any(|of| wanted.contains(of)) => {
                    graph.results(var).collect()
                }
                _ => Vec::new(),
            };
            wanted.extend(led.into_iter().filter(real));
        }
        if wanted.len() == before {
            return wanted;
        }
    }
}
