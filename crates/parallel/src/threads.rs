//! Axes that are one axis: from a parameter that makes columns to the one that sums over them.
//!
//! Nothing is read off names. Axes of operands and results that run along with each other are one *thread*,
//! and so are the two that a contraction sums over, and the heads of queries, keys and values.

use std::collections::BTreeSet;

use opledger_dims::Symbol;
use opledger_ir::ops::{Rearrange, Reduce, Source};
use opledger_ir::{Graph, Node, Op, Operation, Phase, Role, Var};

/// Every axis of every value, by the thread it belongs to.
#[derive(Debug)]
pub(crate) struct Threads {
    /// The first axis of each result of each node.
    first: Vec<Vec<usize>>,
    parent: Vec<usize>,
    facts: Vec<Met>,
    /// Values of a backward pass that several nodes read.
    several: BTreeSet<Var>,
}

/// What a thread meets on its way.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Met {
    /// An input that is no cache.
    pub(crate) input: bool,
    /// A result that is no cache.
    pub(crate) output: bool,
    /// The sum of a sublayer's result and what went into it.
    pub(crate) residual: bool,
    /// A value that goes from iteration to iteration.
    pub(crate) carried: bool,
    /// An operation in which positions of the axis meet, other than a sum of products.
    pub(crate) mixed: bool,
    /// A parameter that makes it of sums of products.
    pub(crate) made: bool,
    /// A parameter that sums over it.
    pub(crate) summed: bool,
    /// A table that is looked up in by it.
    pub(crate) looked_up: bool,
}

impl Threads {
    pub(crate) fn of(graph: &Graph) -> Self {
        let mut count = 0;
        let mut first = Vec::with_capacity(graph.nodes().len());
        for node in graph.nodes() {
            let of_node: Vec<usize> = node
                .results()
                .map(|shape| {
                    let at = count;
                    count += shape.axes.len();
                    at
                })
                .collect();
            first.push(of_node);
        }
        let (parent, facts) = ((0..count).collect(), vec![Met::default(); count]);
        let mut threads = Threads { first, parent, facts, several: several(graph) };
        for var in graph.vars() {
            threads.join_node(graph, var);
        }
        // Joined first, so that what is met is noted of whole threads.
        for var in graph.vars() {
            threads.note_node(graph, var);
        }
        threads.note_ends(graph);
        threads
    }

    /// The thread of an axis of a value.
    pub(crate) fn at(&self, var: Var, axis: usize) -> usize {
        let mut at = self.first[var.index()][var.result()] + axis;
        while self.parent[at] != at {
            at = self.parent[at];
        }
        at
    }

    /// Whether a value of a backward pass is read by several nodes: sums are then finished before any of them,
    /// as at the `f` of Megatron-LM (Shoeybi et al. 2019, §3).
    pub(crate) fn is_gradient_of_several(&self, var: Var) -> bool {
        self.several.contains(&var)
    }

    /// What a thread meets.
    pub(crate) fn met(&self, thread: usize) -> Met {
        self.facts[thread]
    }

    /// The axis of a value that belongs to a thread, the first if several do.
    pub(crate) fn axis_in(&self, graph: &Graph, var: Var, thread: usize) -> Option<usize> {
        (0..graph.shape(var).axes.len()).find(|axis| self.at(var, *axis) == thread)
    }

    fn join(&mut self, one: (Var, usize), other: (Var, usize)) {
        let (one, other) = (self.at(one.0, one.1), self.at(other.0, other.1));
        self.parent[one.max(other)] = one.min(other);
    }

    fn note(&mut self, var: Var, axis: usize, note: impl FnOnce(&mut Met)) {
        let at = self.at(var, axis);
        note(&mut self.facts[at]);
    }

    fn join_node(&mut self, graph: &Graph, result: Var) {
        let node = graph.node(result);
        if ends(&node.op).is_some() {
            return self.join_ends(graph, node, result);
        }
        for (operand, along) in along(graph, node).iter().enumerate() {
            for (axis, to) in along.iter().enumerate() {
                let Some(to) = to else { continue };
                for result in graph.results(result) {
                    if graph.shape(result).axes.len() == node.shape.axes.len() {
                        self.join((node.inputs[operand], axis), (result, *to));
                    }
                }
            }
        }
        for [one, other] in contracted(graph, node) {
            self.join((node.inputs[one.0], one.1), (node.inputs[other.0], other.1));
        }
        if let Some([query, key, value]) = heads(graph, node) {
            let [q, k, v] = [node.inputs[0], node.inputs[1], node.inputs[2]];
            self.join((q, query), (k, key));
            self.join((q, query), (v, value));
            for result in graph.results(result) {
                self.join((q, query), (result, query));
            }
        }
    }

    /// What is carried is one value; a stack has the loop's axis before those of its slice.
    fn join_ends(&mut self, graph: &Graph, node: &Node, result: Var) {
        let (carried, leaving) = match ends(&node.op) {
            Some(End::Carry(carried)) => (carried, false),
            Some(End::Exit(carried)) => (carried, true),
            None => return,
        };
        for (at, result) in graph.results(result).enumerate() {
            let rank = graph.shape(result).axes.len();
            for axis in 0..rank {
                match (at < carried, leaving) {
                    (true, false) => self.join((node.inputs[at], axis), (result, axis)),
                    (true, true) => {
                        self.join((node.inputs[at], axis), (result, axis));
                        self.join((node.inputs[carried + at], axis), (result, axis));
                    }
                    (false, false) => self.join((node.inputs[at], axis + 1), (result, axis)),
                    (false, true) if axis > 0 => {
                        self.join((node.inputs[carried + at], axis - 1), (result, axis));
                    }
                    (false, true) => {}
                }
            }
        }
    }

    fn note_node(&mut self, graph: &Graph, result: Var) {
        let node = graph.node(result);
        if let Op::Source(source) = &node.op {
            let cache = matches!(node.role, Some(Role::Cache(_)));
            let given = match source {
                Source::Input { .. }
                | Source::Ids { .. }
                | Source::Whole { .. }
                | Source::Visible { .. } => !cache,
                Source::Buffer { .. } | Source::Known { .. } | Source::Param { .. } => false,
            };
            for axis in 0..node.shape.axes.len() {
                self.note(result, axis, |met| met.input |= given);
            }
            return;
        }
        match ends(&node.op) {
            Some(End::Carry(carried)) => {
                for result in graph.results(result).take(carried) {
                    for axis in 0..graph.shape(result).axes.len() {
                        self.note(result, axis, |met| met.carried = true);
                    }
                }
                return;
            }
            Some(End::Exit(_)) => return,
            None => {}
        }
        if node.role == Some(Role::Residual) {
            for axis in 0..node.shape.axes.len() {
                self.note(result, axis, |met| met.residual = true);
            }
        }
        let along = along(graph, node);
        let pairs = contracted(graph, node);
        let of_heads = heads(graph, node);
        // A gradient's sum over places is finished among ranks, whoever has which.
        let adds = node.phase == Phase::Backward && matches!(node.op, Op::Reduce(Reduce::Sum(_)));
        for (operand, var) in node.inputs.iter().enumerate() {
            let is_param = is_param(graph, *var);
            for axis in 0..graph.shape(*var).axes.len() {
                let summed = pairs.iter().flatten().any(|end| *end == (operand, axis));
                let head = of_heads.is_some_and(|heads| heads.get(operand) == Some(&axis));
                let runs =
                    along.get(operand).and_then(|axes| axes.get(axis)).is_some_and(Option::is_some);
                let looked_up = matches!(node.op, Op::Embedding(_)) && (operand, axis) == (1, 0);
                self.note(*var, axis, |met| {
                    met.summed |= summed && is_param;
                    met.made |= runs && is_param && !pairs.is_empty();
                    met.looked_up |= looked_up;
                    met.mixed |= !(summed || head || runs || looked_up || adds);
                });
            }
        }
    }

    fn note_ends(&mut self, graph: &Graph) {
        let cached: Vec<Var> = graph.caches().iter().map(|cache| cache.present).collect();
        for (_, var) in graph.outputs() {
            // Gradients lie as their parameters do.
            let told = graph.node(*var).phase == Phase::Forward;
            if told && !cached.contains(var) {
                for axis in 0..graph.shape(*var).axes.len() {
                    self.note(*var, axis, |met| met.output = true);
                }
            }
        }
    }
}

/// Values of a backward pass that several nodes read.
fn several(graph: &Graph) -> BTreeSet<Var> {
    let (mut once, mut several) = (BTreeSet::new(), BTreeSet::new());
    for node in graph.nodes() {
        let read: BTreeSet<Var> = node.inputs.iter().copied().collect();
        for var in read.into_iter().filter(|var| graph.node(*var).phase == Phase::Backward) {
            if !once.insert(var) {
                several.insert(var);
            }
        }
    }
    several
}

/// An end of a repetition, and how many values it carries.
pub(crate) enum End {
    Carry(usize),
    Exit(usize),
}

/// The end of a repetition that an operation is, if it is one.
pub(crate) fn ends(op: &Op) -> Option<End> {
    if let Op::Carry(carry) = op {
        return Some(End::Carry(carry.carried));
    }
    if let Op::Exit(exit) = op {
        return Some(End::Exit(exit.carried));
    }
    None
}

/// Whether a value is a parameter.
pub(crate) fn is_param(graph: &Graph, var: Var) -> bool {
    matches!(graph.node(var).op, Op::Source(Source::Param { .. }))
}

/// For each operand and axis, the axis of the result that runs along with it. Beside what operations say:
/// the outermost of axes that are merged is a run of the merged one, and so of one that is split.
pub(crate) fn along(graph: &Graph, node: &Node) -> Vec<Vec<Option<usize>>> {
    let shapes = graph.operand_shapes(node);
    let map = node.op.axis_map(&shapes, &node.shape);
    let mut along: Vec<Vec<Option<usize>>> =
        (0..shapes.len()).map(|operand| map.of(operand).to_vec()).collect();
    if let (Op::Rearrange(how), [x]) = (&node.op, &shapes[..]) {
        let outermost = match how {
            Rearrange::Merge { axes, into } => axes.first().map(|first| (first, into)),
            Rearrange::Split { axis, into } => into.first().map(|first| (axis, &first.name)),
            Rearrange::Rename { .. }
            | Rearrange::Permute { .. }
            | Rearrange::Slice { .. }
            | Rearrange::Roll { .. }
            | Rearrange::Pad { .. }
            | Rearrange::Expand { .. } => None,
        };
        if let Some((from, to)) = outermost
            && let (Some(from), Some(to)) = (x.position(from), node.shape.position(to))
        {
            along[0][from] = Some(to);
        }
    }
    // A gain does not run where the norm's own rows do not.
    if let (Op::Norm(_), Some(rows)) = (&node.op, along.first().cloned()) {
        for axes in &mut along[1..] {
            axes.iter_mut().filter(|to| !rows.contains(to)).for_each(|to| *to = None);
        }
    }
    // Positions of queries and keys decide which pairs a mask leaves.
    if let Some(masked) = node.op.facts().masked {
        for (operand, shape) in shapes.iter().enumerate() {
            for name in [&masked.query, &masked.key] {
                if let Some(axis) = shape.position(name) {
                    along[operand].get_mut(axis).map(|to| to.take());
                }
            }
        }
    }
    along
}

/// The pairs of axes, each by its operand, that an operation sums products over.
pub(crate) fn contracted(graph: &Graph, node: &Node) -> Vec<[(usize, usize); 2]> {
    let shapes = graph.operand_shapes(node);
    if let Op::Einsum(einsum) = &node.op {
        let masked = einsum.masked.as_ref();
        let hidden = |name: &Symbol| masked.is_some_and(|m| m.query == *name || m.key == *name);
        let pair = |name: &Symbol| {
            let at = |names: &[Symbol]| names.iter().position(|own| own == name);
            Some([(0, at(&einsum.lhs)?), (1, at(&einsum.rhs)?)])
        };
        return einsum.summed_axes().filter(|name| !hidden(name)).filter_map(pair).collect();
    }
    if let Op::Experts(_) = node.op {
        return vec![[(0, shapes[0].axes.len().saturating_sub(1)), (2, 2)]];
    }
    Vec::new()
}

/// Where attention has the heads of queries, keys and values.
pub(crate) fn heads(graph: &Graph, node: &Node) -> Option<[usize; 3]> {
    let Op::Attention(_) = node.op else { return None };
    let at = graph.shape(node.inputs[0]).axes.len() - 2;
    Some([at, at, at])
}
