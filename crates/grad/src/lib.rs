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
mod moving;
mod products;
mod rows;
mod rules;
mod written_out;

use opledger_ir::ops::Source;
use opledger_ir::{Graph, GraphError, Node, Op, Operation, Var};
use thiserror::Error;

use back::Back;
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
    /// A part that is repeated has no rule yet.
    #[error(
        "`{path}` is repeated, and no gradient is known of what is; record its layers one by one"
    )]
    Repeated {
        /// Where the repetition stands.
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
/// Under a mask, gradients of keys and values are summed over every query, hidden pairs being zeros; all
/// else goes over the allowed pairs alone.
///
/// # Errors
/// When nothing is called `name`, no parameter leads to it, or an operation between has no rule, which is
/// told with its path before anything is executed.
pub fn backward(graph: &Graph, name: &str) -> Result<Graph, GradError> {
    if let Some(body) = graph.loops().first() {
        let path = graph.nodes().get(body.body.start).map_or("", |node| &node.path);
        return Err(GradError::Repeated { path: path.to_owned() });
    }
    let graph = written_out(graph)?;
    let result = graph.outputs().iter().find(|(own, _)| own == name).map(|(_, var)| *var);
    let result = result.ok_or_else(|| GradError::NoResult {
        name: name.to_owned(),
        known: graph.outputs().iter().map(|(own, _)| own.clone()).collect(),
    })?;
    let wanted = led_to(&graph);
    if !wanted[result.index()] {
        return Err(GradError::NoParameter { name: name.to_owned() });
    }
    let vars: Vec<Var> = graph.vars().collect();
    let mut back = Back::new(graph, wanted);
    let axes = back.graph.shape(result).axes.clone();
    let seed = back.graph.input("gradient", axes)?;
    back.contribute(result, seed)?;
    for var in vars.iter().rev().copied() {
        if let Some(gradient) = back.gradient(var) {
            let node = back.graph.node(var).clone();
            rules::pull_back(&mut back, var, &node, gradient)?;
        }
    }
    for var in vars {
        let node = back.graph.node(var);
        if let (Op::Source(Source::Param { .. }), Some(gradient)) = (&node.op, back.gradient(var)) {
            let name = format!("gradient.{}", node.path);
            back.graph.output(&name, gradient);
        }
    }
    Ok(back.graph)
}

/// Which nodes a parameter leads to by reals.
fn led_to(graph: &Graph) -> Vec<bool> {
    let mut wanted: Vec<bool> = Vec::new();
    for node in graph.nodes() {
        let real = node.shape.elem.kind() == opledger_ir::Kind::Real;
        let parameter = matches!(node.op, Op::Source(Source::Param { .. }));
        let led = real && (parameter || node.inputs.iter().any(|var| wanted[var.index()]));
        wanted.push(led);
    }
    wanted
}
