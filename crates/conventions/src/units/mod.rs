//! A graph as what a tool watches: modules and functions, with the calls they make, and the ledger's
//! own counts of the nodes behind them.

mod activation;
mod attention;
mod calls;
mod class;
mod experts;
mod gradient;
mod lowering;
mod multihead;
mod native;
mod observed;
mod recurrence;
mod saved;
mod share;
mod sizes;
mod step;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use opledger_dims::{Binding, Counts, EvalError, Integer};
use opledger_ir::{Graph, LeftOut, ModuleClass, Node, Op, Operation, Role, Var};

use self::gradient::Iteration;
use self::lowering::{Lowering, Owner};
pub use self::observed::{Observation, ObservedCall, ObservedModule, ObservedPart, ProductPart};
pub use self::saved::{Saved, SavedBy, SavedOptions, saved};
pub use self::step::{StepNode, StepUnits};
use crate::call::Call;
use crate::names::ModuleNames;
use crate::{ConventionError, Dialect, Share};

/// A module, or a function outside any, of a model.
#[derive(Clone, Debug)]
pub struct Unit {
    /// Where: the path of the module or of the node.
    pub path: String,
    /// The names of its module.
    pub names: ModuleNames,
    /// The module's class, unless it is a function.
    pub class: Option<Cow<'static, str>>,
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
    /// What the ledger counts for it, all its runs together; which size is free where one is, as what
    /// only the contents of a mask say.
    pub counts: BTreeMap<Share, Result<Counts<Integer>, EvalError>>,
    /// What the ledger leaves out of that, since a mask hides it or it falls on padding.
    pub left_out: BTreeMap<(Share, LeftOut), Result<Counts<Integer>, EvalError>>,
    /// What it is called by its operations, where a share does not say what they are.
    pub operations: String,
    /// Whether it runs and no result of the graph is of it.
    pub unused: bool,
    /// The nodes behind it; none for a first run that calls other operators than those after it,
    /// whose nodes stand with these.
    pub nodes: Vec<Var>,
}

impl Unit {
    /// What is of no module, makes no calls and has no parameters.
    fn of_no_module(path: String) -> Unit {
        Unit {
            path,
            names: ModuleNames::default(),
            class: None,
            native: Vec::new(),
            sizes: Binding::new(),
            calls: Vec::new(),
            parameters: Integer::default(),
            times: 1.into(),
            counts: BTreeMap::new(),
            left_out: BTreeMap::new(),
            operations: String::new(),
            unused: false,
            nodes: Vec::new(),
        }
    }
}

/// How operations of these names are called together.
fn called<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut all: Vec<&str> = Vec::new();
    names.for_each(|name| {
        if !all.contains(&name) {
            all.push(name);
        }
    });
    match &all[..] {
        [first, second, third, rest @ ..] if !rest.is_empty() => {
            format!("{first}, {second}, {third} and {} more", rest.len())
        }
        all => all.join(", "),
    }
}

/// All units of a graph.
#[derive(Clone, Debug)]
pub struct Units {
    /// In the order of execution.
    pub units: Vec<Unit>,
    /// What the library computes beside them.
    pub beside: Option<String>,
}

impl Units {
    /// The units of a graph at a binding that gives all of its sizes.
    ///
    /// # Errors
    /// When a size is free; when the dialect does not say how a node is written.
    pub fn new(
        graph: &Graph,
        binding: &Binding,
        dialect: &Dialect,
    ) -> Result<Units, ConventionError> {
        let lowering = Lowering::new(graph, binding, dialect, Iteration::Later);
        let first = Lowering::new(graph, binding, dialect, Iteration::First);
        let mut grouped: Vec<(Owner, Vec<Var>)> = Vec::new();
        let mut known: BTreeMap<Owner, usize> = BTreeMap::new();
        let joined: BTreeSet<Var> = lowering.biases.values().copied().collect();
        for (var, node) in graph.vars().zip(graph.nodes()) {
            let silent = matches!(node.op, Op::Source(_) | Op::Carry(_) | Op::Exit(_))
                || joined.contains(&var);
            if silent {
                continue;
            }
            let owner = lowering.owner(var);
            let at = *known.entry(owner).or_insert_with(|| {
                grouped.push((owner, Vec::new()));
                grouped.len() - 1
            });
            grouped[at].1.push(var);
            grouped[at].1.extend(lowering.biases.get(&var));
        }
        let mut units = Vec::new();
        let used = used(graph);
        let is_used = |var: &Var| used.get(var.index()).copied().unwrap_or(true);
        for (owner, nodes) in grouped {
            let unused = !nodes.iter().any(is_used);
            let mut unit = lowering.unit(owner, nodes)?;
            let works =
                unit.counts.values().any(|c| c.as_ref().is_ok_and(|c| *c != Counts::zero()));
            unit.unused = unused && works;
            let (_, calls) = first.calls(owner, &unit.nodes)?;
            if calls != unit.calls && unit.times > 0.into() {
                unit.times -= 1;
                units.push(Unit {
                    calls,
                    times: 1.into(),
                    counts: BTreeMap::new(),
                    left_out: BTreeMap::new(),
                    nodes: Vec::new(),
                    ..unit.clone()
                });
            }
            units.push(unit);
        }
        Ok(Units { units, beside: beside(graph, dialect) })
    }
}

/// For each node, whether a result of the graph is of it; all are used where no result is named.
fn used(graph: &Graph) -> Vec<bool> {
    let mut used = vec![graph.outputs().is_empty(); graph.nodes().len()];
    for (_, var) in graph.outputs() {
        used[var.index()] = true;
    }
    for (at, node) in graph.nodes().iter().enumerate().rev() {
        if used[at] {
            node.inputs.iter().for_each(|var| used[var.index()] = true);
        }
    }
    used
}

/// What the library that a graph is written in computes beside the graph's operations.
fn beside(graph: &Graph, dialect: &Dialect) -> Option<String> {
    let own = graph.modules().iter().find_map(|module| {
        if let ModuleClass::Model(family) = module.class {
            dialect.beside.get(family)
        } else {
            None
        }
    });
    let is_masked = graph.nodes().iter().any(|node| node.role == Some(Role::Visible));
    let of_mask = dialect.beside_masks.as_ref().filter(|_| is_masked);
    own.or(of_mask).cloned()
}

impl Lowering<'_> {
    fn unit(&self, owner: Owner, nodes: Vec<Var>) -> Result<Unit, ConventionError> {
        let class = self.class(owner);
        let (sizes, calls) = self.calls(owner, &nodes)?;
        let times = match nodes.first() {
            Some(first) => self.at(&self.graph.multiplicity(self.graph.node(*first)))?,
            None => Integer::default(),
        };
        let own = nodes.iter().map(|var| self.graph.node(*var).op.name());
        Ok(Unit {
            path: self.path(owner, class),
            operations: class.map_or_else(|| called(own), str::to_owned),
            left_out: self.left_out(&nodes),
            names: ModuleNames::default(),
            class: class.map(Cow::Borrowed),
            native: self.native(owner, &nodes)?,
            sizes,
            calls,
            parameters: self.parameters(&nodes)?,
            times,
            counts: self.counts(&nodes),
            unused: false,
            nodes,
        })
    }

    /// The elements of the parameters that nodes read, in one run.
    fn parameters(&self, nodes: &[Var]) -> Result<Integer, ConventionError> {
        // What a norm or a map is given is not its own, though it be a parameter.
        let given = |node: &Node| usize::from(matches!(node.op, Op::Norm(_) | Op::Einsum(_)));
        let nodes = nodes.iter().map(|var| self.graph.node(*var));
        let read: BTreeSet<Var> =
            nodes.flat_map(|node| node.inputs.iter().skip(given(node)).copied()).collect();
        let parameters: BTreeSet<Var> =
            read.into_iter().filter_map(|var| self.parameter_behind(var)).collect();
        parameters.into_iter().map(|var| self.elements(var)).sum()
    }
}
