//! What a run needs to know of a graph: once for all sizes, and at the sizes of one run.

use opledger_dims::Binding;
use opledger_ir::{Footprint, Graph, Node, OpError, Operation, RepeatId, Shape, to_usize};

use crate::RunError;
use crate::ledger::RowHead;

/// A node in one of its iterations, which are numbered through all repetitions around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Instance {
    /// The position of the node in the graph.
    pub node: usize,
    /// The iteration; 0 for a node that is not repeated.
    pub iteration: usize,
}

/// What does not depend on sizes.
#[derive(Debug)]
pub(crate) struct Program {
    /// What each row of the ledger is about.
    pub(crate) rows: Vec<RowHead>,
    /// The repetitions around each node, the outermost first.
    around: Vec<Vec<RepeatId>>,
    /// For each node, the position after which its value is not used any more.
    pub(crate) last_uses: Vec<usize>,
    /// The body, by its place among the graph's, that begins at each node.
    pub(crate) bodies: Vec<Option<usize>>,
}

impl Program {
    /// The repetitions around a node, the outermost first.
    pub(crate) fn around(&self, node: usize) -> &[RepeatId] {
        &self.around[node]
    }

    pub(crate) fn new(graph: &Graph) -> Self {
        let head = |node: &Node| RowHead {
            path: node.path.as_str().into(),
            op: node.op.name(),
            parts: node.op.facts().parts.to_vec(),
        };
        let mut bodies = vec![None; graph.nodes().len()];
        for (place, body) in graph.loops().iter().enumerate() {
            bodies[body.body.start] = Some(place);
        }
        Program {
            rows: graph.nodes().iter().map(head).collect(),
            around: graph.nodes().iter().map(|node| graph.repetitions_around(node)).collect(),
            last_uses: graph.last_uses(),
            bodies,
        }
    }
}

/// What depends on sizes, at a complete binding.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sizes {
    pub(crate) binding: Binding,
    /// How often each repetition iterates.
    pub(crate) counts: Vec<usize>,
    pub(crate) nodes: Vec<NodeSizes>,
    /// Bytes of computed values that are alive at once, as `f32`.
    pub(crate) computed_bytes: u64,
}

/// A node at its sizes.
#[derive(Clone, Debug)]
pub(crate) struct NodeSizes {
    /// The sizes of the result.
    pub(crate) output: Vec<usize>,
}

impl Sizes {
    pub(crate) fn new(
        graph: &Graph,
        binding: Binding,
        needs: &Footprint,
    ) -> Result<Sizes, RunError> {
        let mut nodes: Vec<NodeSizes> = Vec::with_capacity(graph.nodes().len());
        for node in graph.nodes() {
            let output = sizes_at(&node.shape, &binding).map_err(|e| RunError::of(node, e))?;
            nodes.push(NodeSizes { output });
        }
        let count = |repetition: &opledger_ir::Repeat| -> Result<usize, OpError> {
            to_usize(&repetition.count.at(&binding)?)
        };
        let counts = graph.repetitions().iter().map(|repetition| {
            count(repetition).map_err(|problem| RunError::Op {
                path: repetition.scope.clone(),
                op: "repeat",
                operands: repetition.count.to_string(),
                problem,
            })
        });
        let counts = counts.collect::<Result<_, _>>()?;
        let computed_bytes = u64::try_from(needs.computed()).unwrap_or(u64::MAX);
        Ok(Sizes { binding, counts, nodes, computed_bytes })
    }

    /// The instance of a node at the present iteration of each repetition, if it is inside all of
    /// those around it.
    pub(crate) fn instance(
        &self,
        program: &Program,
        node: usize,
        present: &[Option<usize>],
    ) -> Option<Instance> {
        let iteration = program.around[node].iter().try_fold(0, |iteration, repetition| {
            let at = repetition.index();
            Some(iteration * self.counts[at] + present[at]?)
        })?;
        Some(Instance { node, iteration })
    }

    /// The iterations of the repetitions around a node that make an instance, the outermost first.
    pub(crate) fn iterations(&self, program: &Program, instance: Instance) -> Vec<usize> {
        let mut rest = instance.iteration;
        let mut iterations: Vec<usize> = Vec::new();
        for repetition in program.around[instance.node].iter().rev() {
            let count = self.counts[repetition.index()].max(1);
            iterations.push(rest % count);
            rest /= count;
        }
        iterations.reverse();
        iterations
    }

    /// All instances of a node.
    pub(crate) fn instances(
        &self,
        program: &Program,
        node: usize,
    ) -> impl Iterator<Item = Instance> + use<> {
        let counts = program.around[node].iter().map(|at| self.counts[at.index()]);
        (0..counts.product()).map(move |iteration| Instance { node, iteration })
    }
}

pub(crate) fn sizes_at(shape: &Shape, binding: &Binding) -> Result<Vec<usize>, OpError> {
    shape.axes.iter().map(|axis| to_usize(&axis.size.at(binding)?)).collect()
}
