//! A graph as what a tool watches: modules and functions, with the calls they make, and the ledger's
//! own counts of the nodes behind them.

mod attention;
mod calls;
mod sizes;

use std::collections::{BTreeMap, BTreeSet};

use opledger_dims::{Binding, Class, Counts, Integer};
use opledger_ir::ops::{ArithmeticKind, Source};
use opledger_ir::{Graph, ModuleClass, ModuleId, Node, Op, Part, Var};

use crate::call::Call;
use crate::written::AttentionModule;
use crate::{ConventionError, Share, Written};

/// A module, or a function outside any, of a model.
#[derive(Clone, Debug)]
pub struct Unit {
    /// Where: the path of the module or of the node.
    pub path: String,
    /// The module's class, unless it is a function.
    pub class: Option<&'static str>,
    /// The classes of modules around or at it that may run as one native operator, their conditions
    /// being met.
    pub native: Vec<&'static str>,
    /// Sizes of the module, by the names that rules use.
    pub sizes: Binding,
    /// The calls it makes, one run of it.
    pub calls: Vec<Call>,
    /// What its parameters are, one run of it.
    pub parameters: Integer,
    /// How often it runs.
    pub times: Integer,
    /// What the ledger counts for it, all its runs together.
    pub counts: BTreeMap<Share, Counts<Integer>>,
}

/// All units of a graph.
#[derive(Clone, Debug)]
pub struct Units {
    /// In the order of execution.
    pub units: Vec<Unit>,
}

/// Which iterations of repetitions a reading is of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Iteration {
    First,
    Later,
}

/// What a reading of a graph needs at every node.
pub(crate) struct Reading<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) binding: &'a Binding,
    pub(crate) written: &'a Written,
    /// For each node, whether a gradient flows to it in training: in the first iteration of the
    /// repetitions around it, or in later ones.
    gradient: Vec<bool>,
    /// For each node, the node that adds a parameter to it.
    biased: BTreeMap<Var, Var>,
}

impl<'a> Reading<'a> {
    /// The reading of the first iteration of every repetition, or of later ones.
    fn new(
        graph: &'a Graph,
        binding: &'a Binding,
        written: &'a Written,
        iteration: Iteration,
    ) -> Self {
        let mut gradient: Vec<bool> = Vec::new();
        let mut biased = BTreeMap::new();
        for (var, node) in graph.vars().zip(graph.nodes()) {
            let reached = match &node.op {
                Op::Source(Source::Param { trainable, .. }) => *trainable,
                // What a repeated body with parameters gave back.
                Op::Carry(_) if iteration == Iteration::Later => true,
                _ => node.inputs.iter().any(|v| gradient.get(v.index()).copied().unwrap_or(false)),
            };
            gradient.push(reached);
            if let (Op::Arithmetic(op), [x, bias]) = (&node.op, &node.inputs[..])
                && op.kind == ArithmeticKind::Add
                && is_parameter(graph.node(*bias))
                && is_linear(graph, graph.node(*x))
            {
                biased.insert(*x, var);
            }
        }
        Reading { graph, binding, written, gradient, biased }
    }

    /// Whether a gradient flows to a value in training.
    pub(crate) fn gradient(&self, var: Var) -> bool {
        self.gradient.get(var.index()).copied().unwrap_or(false)
    }
}

fn is_parameter(node: &Node) -> bool {
    matches!(node.op, Op::Source(Source::Param { .. }))
}

/// Whether a node is a product with a weight.
fn is_linear(graph: &Graph, node: &Node) -> bool {
    let weighted = || node.inputs.iter().any(|v| is_parameter(graph.node(*v)));
    matches!(node.op, Op::Einsum(_)) && weighted()
}

/// Whether a path lies in a published Vision Transformer.
fn is_vision_transformer(path: &str) -> bool {
    ["vit.", "deit."].iter().any(|root| path.starts_with(root))
}

/// The path without its last segment.
fn parent(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(parent, _)| parent)
}

/// The last segment of a path.
fn last(path: &str) -> &str {
    path.rsplit_once('.').map_or(path, |(_, last)| last)
}

impl Units {
    /// The units of a graph at a binding that gives all of its sizes.
    ///
    /// # Errors
    /// When a size is free.
    pub fn new(
        graph: &Graph,
        binding: &Binding,
        written: &Written,
    ) -> Result<Units, ConventionError> {
        let reading = Reading::new(graph, binding, written, Iteration::Later);
        let first = Reading::new(graph, binding, written, Iteration::First);
        let mut grouped: Vec<(Place, Vec<Var>)> = Vec::new();
        let mut known: BTreeMap<Place, usize> = BTreeMap::new();
        let joined: BTreeSet<Var> = reading.biased.values().copied().collect();
        for (var, node) in graph.vars().zip(graph.nodes()) {
            let silent = matches!(node.op, Op::Source(_) | Op::Carry(_) | Op::Exit(_))
                || joined.contains(&var);
            if silent {
                continue;
            }
            let place = reading.place(var, node);
            let at = *known.entry(place.clone()).or_insert_with(|| {
                grouped.push((place, Vec::new()));
                grouped.len() - 1
            });
            grouped[at].1.push(var);
            grouped[at].1.extend(reading.biased.get(&var));
        }
        let mut units = Vec::new();
        for (place, vars) in grouped {
            let mut unit = reading.unit(&place, &vars)?;
            let (_, calls) = first.calls(&place.class, &vars)?;
            if calls != unit.calls && unit.times > 0.into() {
                unit.times -= 1;
                let once = Unit { calls, times: 1.into(), counts: <_>::default(), ..unit.clone() };
                units.push(once);
            }
            if !(unit.calls.is_empty() && unit.counts.is_empty() && unit.class.is_none()) {
                units.push(unit);
            }
        }
        Ok(Units { units })
    }
}

/// What makes nodes one unit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    path: String,
    class: Option<&'static str>,
    /// Which call of a module that is called anew for each.
    call: Option<Var>,
}

impl Reading<'_> {
    fn place(&self, var: Var, node: &Node) -> Place {
        if let Some(scope) = self.multihead(node) {
            return Place { path: scope.to_owned(), class: Some("MultiheadAttention"), call: None };
        }
        let class = self.class(node);
        if let Some(path) = self.conv1d(&node.path).filter(|_| class == Some("Conv1D")) {
            return Place { path: path.to_owned(), class, call: None };
        }
        let path = match class {
            Some(_) if !matches!(node.op, Op::Activation(_)) => parent(&node.path).to_owned(),
            _ => node.path.clone(),
        };
        Place { path, class, call: Some(var) }
    }

    /// The path of the linear map of another class that a path lies in, which may hold several maps.
    pub(crate) fn conv1d<'p>(&self, path: &'p str) -> Option<&'p str> {
        let mut end = 0;
        path.split('.').find_map(|segment| {
            end += segment.len() + 1;
            self.written.conv1d.iter().any(|name| name == segment).then(|| &path[..end - 1])
        })
    }

    /// Whether attention is a module that keeps its projections to itself.
    fn keeps_projections(&self) -> bool {
        matches!(
            self.written.attention,
            AttentionModule::Multihead | AttentionModule::MultiheadInBlock
        )
    }

    /// The attention module around a path that keeps its projections to itself.
    fn multihead<'p>(&'p self, node: &'p Node) -> Option<&'p str> {
        match self.written.attention {
            AttentionModule::Multihead => {
                let id = self.around(node, ModuleClass::MultiheadAttention)?;
                Some(&self.graph.module_of(id).path)
            }
            AttentionModule::MultiheadInBlock => {
                let path = node.path.as_str();
                let at = format!("{path}.").find(".attention.")?;
                let published = is_vision_transformer(path);
                path.get(..at + ".attention".len()).filter(|_| published)
            }
            _ => None,
        }
    }

    /// The innermost module of a class around a node.
    pub(crate) fn around(&self, node: &Node, class: ModuleClass) -> Option<ModuleId> {
        self.graph.modules_around(node).find(|(_, module)| module.class == class).map(|(id, _)| id)
    }

    /// Whether a node lies in a module.
    pub(crate) fn within(&self, node: &Node, id: ModuleId) -> bool {
        self.graph.modules_around(node).any(|(around, _)| around == id)
    }

    fn unit(&self, place: &Place, vars: &[Var]) -> Result<Unit, ConventionError> {
        let nodes: Vec<&Node> = vars.iter().map(|v| self.graph.node(*v)).collect();
        let Some(first) = nodes.first() else {
            return Err(ConventionError::Malformed {
                file: place.path.clone(),
                problem: "a unit without nodes".to_owned(),
            });
        };
        let mut counts: BTreeMap<Share, Counts<Integer>> = BTreeMap::new();
        for node in &nodes {
            let linear = is_linear(self.graph, node);
            let conv = self.around(node, ModuleClass::Convolution).is_some();
            for (part, cost) in self.graph.node_cost(node).iter() {
                let share = match (&node.op, part) {
                    (Op::Einsum(_), _) if linear && conv => Share::ConvolutionProducts,
                    (Op::Einsum(_), _) if linear => Share::LinearProducts,
                    (Op::Experts(_), _) => Share::LinearProducts,
                    (Op::Einsum(_), _) | (_, Part::Scores | Part::Context) => {
                        Share::AttentionProducts
                    }
                    (_, Part::Scale) => Share::AttentionScale,
                    (_, Part::Bias) => Share::AttentionBias,
                    (_, Part::Softmax) => Share::Softmax,
                    _ => self.share(node, conv),
                };
                let sum = counts.entry(share).or_insert_with(Counts::zero);
                let more = cost.at(self.binding)?;
                *sum = Counts::from_fn(|class: Class| &sum[class] + &more[class]);
            }
        }
        let (sizes, calls) = self.calls(&place.class, vars)?;
        Ok(Unit {
            native: self.native(place, &nodes)?,
            parameters: self.parameters(&nodes)?,
            times: self.graph.multiplicity(first).at(self.binding)?,
            path: place.path.clone(),
            class: place.class,
            sizes,
            calls,
            counts,
        })
    }

    /// The share of a node that has only one.
    fn share(&self, node: &Node, conv: bool) -> Share {
        match &node.op {
            Op::Softmax(_) => match self.around(node, ModuleClass::Router).is_some() {
                true => Share::Routing,
                false => Share::Softmax,
            },
            Op::Scale(_) => Share::AttentionScale,
            Op::Norm(_) => Share::Normalisation,
            Op::Activation(_) => Share::Activation,
            Op::Rope(_) => Share::Rotation,
            Op::Embedding(_) => Share::Embedding,
            Op::TopK(_) => Share::Routing,
            Op::Arithmetic(op) => match op.kind {
                ArithmeticKind::Add => match node.inputs.first() {
                    Some(x) if is_linear(self.graph, self.graph.node(*x)) => match conv {
                        _ if !self.biased.contains_key(x) => Share::Addition,
                        true => Share::ConvolutionBias,
                        false => Share::LinearBias,
                    },
                    _ if op.masked.is_some() || node.path.ends_with(".bias") => {
                        Share::AttentionBias
                    }
                    _ => Share::Addition,
                },
                ArithmeticKind::Mul => Share::Multiplication,
                ArithmeticKind::Div => Share::Other,
            },
            _ => Share::Other,
        }
    }

    /// The elements of the parameters that nodes read, in one run.
    fn parameters(&self, nodes: &[&Node]) -> Result<Integer, ConventionError> {
        let read: BTreeSet<Var> =
            nodes.iter().flat_map(|node| node.inputs.iter().copied()).collect();
        let mut sum = Integer::default();
        for var in read.into_iter().filter(|v| is_parameter(self.graph.node(*v))) {
            sum += self.graph.shape(var).elements().at(self.binding)?;
        }
        Ok(sum)
    }
}
