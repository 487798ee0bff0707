//! Layers in stages: what a stage hands to the next, and the stages executed (Huang et al. 2019, §2).

use std::collections::BTreeSet;

use num_traits::Zero;
use opledger_dims::{Binding, EvalError, Poly, Scalar};
use opledger_ir::ops::Source;
use opledger_ir::{Graph, Loop, Op, Value, Var};

use crate::error::PartitionError;
use crate::partition::Partition;
use crate::placement::Placements;
use crate::ring::Wire;
use crate::run::{Run, Staged};
use crate::strategy::MeshAxis;
use crate::transfer::Transfer;

/// A graph whose layers are on stages: as many on each as on any other. The ranks of a stage stand in a mesh, or
/// there is one.
#[derive(Debug)]
pub struct Pipeline<'g> {
    graph: &'g Graph,
    stages: u64,
    body: &'g Loop,
    /// How each stage is cut.
    partition: Partition<'g>,
    /// What a rank of a stage hands to that of the next, as the next reads it.
    handed: Vec<(Var, Placements)>,
    /// What follows from parameters: the rest each stage computes for itself.
    learned: BTreeSet<Var>,
}

/// What stages did together.
#[derive(Clone, Debug)]
pub struct PipelineRun<T> {
    /// The results that are no iteration's.
    pub outputs: Vec<(String, Value<T>)>,
    /// For each stage, the bytes that each of its ranks handed to the next.
    pub sent: Vec<Vec<u64>>,
    /// For each transfer within stages and each rank, the bytes it sent, in all layers.
    pub within: Vec<Vec<u64>>,
    /// Bytes of the parameters that a rank of each stage read.
    pub weights: Vec<u64>,
}

impl<'g> Pipeline<'g> {
    /// Cuts the layers of a graph into stages of one rank.
    ///
    /// # Errors
    /// As [`Pipeline::over`].
    pub fn new(graph: &'g Graph, stages: u64) -> Result<Self, PartitionError> {
        Pipeline::over(graph, stages, &[])
    }

    /// Cuts the layers of a graph into stages, each of which is cut among the ranks of a mesh.
    ///
    /// # Errors
    /// When there are fewer than two stages, or the layers are not one repetition; those of [`Partition::over`].
    pub fn over(graph: &'g Graph, stages: u64, mesh: &[MeshAxis]) -> Result<Self, PartitionError> {
        if stages < 2 {
            return Err(PartitionError::Ranks { ranks: stages });
        }
        let [body] = graph.loops() else {
            let problem = format!(
                "layers that are one repetition are cut into stages, and there are {}",
                graph.loops().len()
            );
            return Err(PartitionError::Nothing { problem });
        };
        let mut learned = BTreeSet::new();
        for (var, node) in graph.vars().zip(graph.nodes()) {
            let own = matches!(node.op, Op::Source(Source::Param { .. }));
            if own || node.inputs.iter().any(|input| learned.contains(input)) {
                learned.extend(graph.results(var));
            }
        }
        let partition = Partition::over(graph, mesh)?;
        let carry = graph.vars().nth(body.body.start);
        let slots = carry.into_iter().flat_map(|carry| graph.results(carry));
        let mut handed: Vec<(Var, Placements)> =
            slots.map(|slot| (slot, partition.layout(slot))).collect();
        let behind = graph.nodes().iter().enumerate().skip(body.body.start + 1);
        for (at, node) in behind {
            let ends = graph.ends(body);
            for (var, layout) in node.inputs.iter().zip(&partition.wanted[at]) {
                let before = var.index() < body.body.start && !graph.node(*var).op.is_source();
                let enters = at == body.body.end && ends.entering.contains(var);
                let own = (*var, layout.clone());
                // What is brought to lie otherwise behind the first layer is handed on as it was made.
                let brought = partition
                    .transfers()
                    .iter()
                    .any(|transfer| transfer.value == *var && transfer.before > body.body.start);
                let own = if brought { (*var, partition.layout(*var)) } else { own };
                if before && !enters && learned.contains(var) && !handed.contains(&own) {
                    handed.push(own);
                }
            }
        }
        Ok(Pipeline { graph, stages, body, partition, handed, learned })
    }

    /// The values that a stage hands to the next.
    pub fn handed(&self) -> impl Iterator<Item = Var> {
        self.handed.iter().map(|(var, _)| *var)
    }

    /// How each stage is cut.
    pub fn within(&self) -> &Partition<'g> {
        &self.partition
    }

    /// How many stages there are.
    pub fn stages(&self) -> u64 {
        self.stages
    }

    /// Bytes that a rank hands on of a value.
    pub fn bytes(&self, var: Var) -> Poly {
        let own = self.handed.iter().filter(|(own, _)| *own == var);
        own.map(|(_, layout)| self.lying(var, layout)).sum()
    }

    fn lying(&self, var: Var, layout: &Placements) -> Poly {
        let shape = self.graph.shape(var);
        let elements = layout.elements(shape, self.partition.mesh());
        self.graph.fold(&(elements * shape.elem.bits() as i64).ratio(1, 8))
    }

    /// Bytes that each rank of a stage but the last hands to one of the next in a run.
    pub fn sent(&self) -> Poly {
        self.handed.iter().map(|(var, layout)| self.lying(*var, layout)).sum()
    }

    /// Bytes that a rank of a stage sends to others of the stage in a run, where there are some.
    pub fn sent_within(&self, stage: u64) -> Poly {
        let axes = 0..self.partition.mesh().len();
        axes.map(|axis| self.sent_within_along(stage, axis)).sum()
    }

    /// The same along an axis of the stage's mesh.
    pub fn sent_within_along(&self, stage: u64, axis: usize) -> Poly {
        let own = self.partition.transfers().iter().filter(|own| own.along == axis);
        self.graph.fold(&own.map(|own| own.sent() * self.times(own, stage)).sum())
    }

    /// How often a transfer is made in a stage.
    pub fn times(&self, of: &Transfer, stage: u64) -> Poly {
        let in_layer = (self.body.body.start + 1..=self.body.body.end).contains(&of.before);
        match (in_layer, self.is_on(of.before, stage)) {
            (true, _) => of.times.ratio(1, self.stages as i64),
            (false, true) => of.times.clone(),
            (false, false) => Poly::zero(),
        }
    }

    /// Bytes of the parameters of a rank of a stage: its layers, and what stands before the first and behind the last.
    pub fn weights(&self, stage: u64) -> Poly {
        let graph = self.graph;
        let mut bytes = Poly::zero();
        for (var, node) in graph.vars().zip(graph.nodes()) {
            let Op::Source(Source::Param { .. }) = &node.op else { continue };
            let once = self.lying(var, &self.partition.layout(var));
            if node.repeat == Some(self.body.repeat) {
                let layers = graph.repetition(self.body.repeat).count.ratio(1, self.stages as i64);
                bytes += once * layers;
            } else if self.readers(var).any(|at| self.is_on(at, stage)) {
                bytes += once;
            }
        }
        graph.fold(&bytes)
    }

    fn readers(&self, var: Var) -> impl Iterator<Item = usize> {
        let nodes = self.graph.nodes().iter().enumerate();
        nodes.filter(move |(_, node)| node.inputs.contains(&var)).map(|(at, _)| at)
    }

    /// Whether a stage executes a node.
    fn is_on(&self, at: usize, stage: u64) -> bool {
        let (start, end) = (self.body.body.start, self.body.body.end);
        (at >= start || stage == 0) && (at <= end || stage + 1 == self.stages)
    }

    /// Checks that stages have equally many layers, as far as their number is given.
    ///
    /// # Errors
    /// When they have not, with both sides.
    pub fn check(&self, binding: &Binding) -> Result<(), PartitionError> {
        let repeat = self.graph.repetition(self.body.repeat);
        let size = match repeat.count.at(binding) {
            Ok(size) => size,
            Err(EvalError::Unbound(_)) => return Ok(()),
            Err(problem) => return Err(problem.into()),
        };
        if (&size % self.stages).is_zero() {
            return Ok(());
        }
        let (ranks, formula, path) = (self.stages, repeat.count.clone(), repeat.scope.clone());
        Err(PartitionError::Uneven { ranks, size, what: "layers".to_owned(), formula, path })
    }

    /// Executes every stage at a complete binding, over wires that are made for each exchange of so many ranks.
    ///
    /// # Errors
    /// When the stages do not divide the layers, a source has no tensor, or an operation fails.
    pub fn run<T: Scalar, W: Wire>(
        &self,
        binding: &Binding,
        fed: &dyn Fn(&str) -> Option<Value<T>>,
        wire: impl Fn(usize) -> W,
    ) -> Result<PipelineRun<T>, PartitionError> {
        self.check(binding)?;
        let graph = self.graph;
        let stages = usize::try_from(self.stages).unwrap_or(usize::MAX);
        let ends = graph.ends(self.body);
        if !ends.stacks.is_empty() || !ends.stacked.is_empty() {
            let problem = "layers that give or are given stacks are not cut into stages".to_owned();
            return Err(PartitionError::Nothing { problem });
        }
        let mut run = Run::new(&self.partition, binding, fed, wire)?;
        let (repeat, handed, learned) = (self.body.repeat, &self.handed[..], &self.learned);
        run.staged = Some(Staged { repeat, stages, handed, learned });
        run.all()?;
        let ranks = usize::try_from(self.partition.ranks()).unwrap_or(usize::MAX);
        let mut sent = std::mem::take(&mut run.handed);
        // The last one hands nothing on.
        sent.push(vec![0; ranks]);
        let weights = run.read.take().iter().map(|own| own.values().sum()).collect();
        let within = run.sent();
        Ok(PipelineRun { outputs: run.outputs, sent, within, weights })
    }
}
