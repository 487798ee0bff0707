//! Layers in stages: what a stage hands to the next, and the stages executed (Huang et al. 2019, §2).

use std::collections::{BTreeMap, BTreeSet};

use num_traits::Zero;
use opledger_dims::{Binding, EvalError, Poly, Scalar};
use opledger_ir::ops::Source;
use opledger_ir::{
    Call, Graph, Loop, Node, Op, OpError, Operation, Reads, Value, Var, path_at, to_usize,
};
use opledger_tensor::Tensor;

use crate::error::PartitionError;
use crate::ring::Wire;

/// A graph whose layers are on stages, one rank each: as many on each as on any other.
#[derive(Debug)]
pub struct Pipeline<'g> {
    graph: &'g Graph,
    stages: u64,
    body: &'g Loop,
    /// What a stage hands to the next.
    handed: Vec<Var>,
    /// What follows from parameters: the rest each stage computes for itself.
    learned: BTreeSet<Var>,
}

/// What stages did together.
#[derive(Clone, Debug)]
pub struct PipelineRun<T> {
    /// The results that are no iteration's.
    pub outputs: Vec<(String, Value<T>)>,
    /// Bytes that each stage sent.
    pub sent: Vec<u64>,
    /// Bytes of the parameters that each stage read.
    pub weights: Vec<u64>,
}

impl<'g> Pipeline<'g> {
    /// Cuts the layers of a graph into stages.
    ///
    /// # Errors
    /// When there are fewer than two stages, or the layers are not one repetition.
    pub fn new(graph: &'g Graph, stages: u64) -> Result<Self, PartitionError> {
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
        let carry = graph.vars().nth(body.body.start);
        let mut handed: Vec<Var> =
            carry.into_iter().flat_map(|carry| graph.results(carry)).collect();
        let read = graph.nodes().iter().enumerate().filter(|(at, _)| *at > body.body.start);
        for var in read.flat_map(|(at, node)| node.inputs.iter().map(move |var| (at, var))) {
            let (at, var) = (var.0, *var.1);
            let before = var.index() < body.body.start && !graph.node(var).op.is_source();
            let enters = at == body.body.end && graph.ends(body).entering.contains(&var);
            if before && !enters && learned.contains(&var) && !handed.contains(&var) {
                handed.push(var);
            }
        }
        Ok(Pipeline { graph, stages, body, handed, learned })
    }

    /// The values that a stage hands to the next.
    pub fn handed(&self) -> &[Var] {
        &self.handed
    }

    /// How many stages there are.
    pub fn stages(&self) -> u64 {
        self.stages
    }

    /// Bytes of a value.
    pub fn bytes(&self, var: Var) -> Poly {
        let shape = self.graph.shape(var);
        self.graph.fold(&(shape.elements() * shape.elem.bits() as i64).ratio(1, 8))
    }

    /// Bytes that each stage but the last sends in a run.
    pub fn sent(&self) -> Poly {
        self.handed.iter().map(|var| self.bytes(*var)).sum()
    }

    /// Bytes of the parameters of a stage: its layers, and what stands before the first and behind the last.
    pub fn weights(&self, stage: u64) -> Poly {
        let graph = self.graph;
        let mut bytes = Poly::zero();
        for (var, node) in graph.vars().zip(graph.nodes()) {
            let Op::Source(Source::Param { .. }) = &node.op else { continue };
            let once = self.bytes(var);
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

    /// Executes every stage at a complete binding, over a wire.
    ///
    /// # Errors
    /// When the stages do not divide the layers, a source has no tensor, or an operation fails.
    pub fn run<T: Scalar>(
        &self,
        binding: &Binding,
        fed: &dyn Fn(&str) -> Option<Value<T>>,
        wire: &mut impl Wire,
    ) -> Result<PipelineRun<T>, PartitionError> {
        self.check(binding)?;
        let graph = self.graph;
        let stages = usize::try_from(self.stages).unwrap_or(usize::MAX);
        let (start, end) = (self.body.body.start, self.body.body.end);
        let ends = graph.ends(self.body);
        let missing = || self.missing(start, "the ends of the layers");
        let count = to_usize(&graph.repetition(self.body.repeat).count.at(binding)?);
        let layers = count.map_err(|problem| self.wrong(start, 0, problem))? / stages;
        let slots: Vec<Var> = graph.results(graph.vars().nth(start).ok_or_else(missing)?).collect();
        let left: Vec<Var> = graph.results(graph.vars().nth(end).ok_or_else(missing)?).collect();
        if !ends.stacks.is_empty() || !ends.stacked.is_empty() {
            let problem = "layers that give or are given stacks are not cut into stages".to_owned();
            return Err(PartitionError::Nothing { problem });
        }
        let mut handed: Vec<(Var, Value<T>)> = Vec::new();
        let mut run = PipelineRun { outputs: Vec::new(), sent: Vec::new(), weights: Vec::new() };
        for stage in 0..stages {
            let held = BTreeMap::new();
            let mut own = Stage {
                of: self,
                rank: stage,
                binding,
                fed,
                held,
                layer: 0,
                read: BTreeMap::new(),
            };
            own.held.extend(handed.drain(..));
            for (var, node) in graph.vars().zip(graph.nodes()).take(start) {
                if stage == 0 || !self.learned.contains(&var) {
                    own.execute(var, node)?;
                }
            }
            if stage == 0 {
                for (slot, var) in slots.iter().zip(ends.entering) {
                    let value = own.value(*var)?;
                    own.held.insert(*slot, value);
                }
            }
            for layer in stage * layers..(stage + 1) * layers {
                own.layer = layer;
                for (var, node) in graph.vars().zip(graph.nodes()).take(end).skip(start + 1) {
                    own.execute(var, node)?;
                }
                let next: Vec<Value<T>> =
                    ends.next.iter().map(|var| own.value(*var)).collect::<Result<_, _>>()?;
                own.held.extend(slots.iter().copied().zip(next));
            }
            if stage + 1 == stages {
                for (slot, var) in slots.iter().zip(&left) {
                    let value = own.value(*slot)?;
                    own.held.insert(*var, value);
                }
                for (var, node) in graph.vars().zip(graph.nodes()).skip(end + 1) {
                    own.execute(var, node)?;
                }
                for (name, var) in graph.outputs() {
                    if graph.node(*var).repeat.is_none() {
                        run.outputs.push((name.clone(), own.value(*var)?));
                    }
                }
            } else {
                for var in &self.handed {
                    let value = own.value(*var)?;
                    let arrived = passed(wire, stage, &value);
                    handed.push((
                        *var,
                        arrived.map_err(|problem| self.wrong(start, stage, problem))?,
                    ));
                }
            }
            run.weights.push(own.read.values().sum());
        }
        run.sent = wire.sent().to_vec();
        Ok(run)
    }

    fn wrong(&self, at: usize, rank: usize, problem: OpError) -> PartitionError {
        let path = self.graph.nodes()[at].path.clone();
        PartitionError::Op { path, rank, problem }
    }

    fn missing(&self, at: usize, value: &str) -> PartitionError {
        let path = self.graph.nodes()[at].path.clone();
        PartitionError::Missing { path, value: value.to_owned() }
    }
}

/// A value over a wire to the next stage.
fn passed<T: Scalar>(
    wire: &mut impl Wire,
    from: usize,
    value: &Value<T>,
) -> Result<Value<T>, OpError> {
    Ok(match value {
        Value::Real(t) => Value::Real(Tensor::new(t.shape(), wire.send(from, from + 1, t.data()))?),
        Value::Index(t) => {
            Value::Index(Tensor::new(t.shape(), wire.send(from, from + 1, t.data()))?)
        }
    })
}

/// A rank with what it holds.
struct Stage<'a, T> {
    of: &'a Pipeline<'a>,
    rank: usize,
    binding: &'a Binding,
    fed: &'a dyn Fn(&str) -> Option<Value<T>>,
    held: BTreeMap<Var, Value<T>>,
    layer: usize,
    /// Bytes of each parameter that was read.
    read: BTreeMap<String, u64>,
}

impl<T: Scalar> Stage<'_, T> {
    fn value(&mut self, var: Var) -> Result<Value<T>, PartitionError> {
        let node = self.of.graph.node(var);
        if !node.op.is_source() {
            let held = self.held.get(&var).cloned();
            return held.ok_or_else(|| self.of.missing(var.index(), &var.to_string()));
        }
        let layer = [self.layer];
        let path = path_at(&node.path, if node.repeat.is_some() { &layer } else { &[] });
        let unfed = || PartitionError::Unfed { path: path.clone() };
        let value = (self.fed)(&path).ok_or_else(unfed)?;
        if let (Op::Source(Source::Param { .. }), Value::Real(t)) = (&node.op, &value) {
            self.read.insert(path, size_of_val(t.data()) as u64);
        }
        Ok(value)
    }

    fn execute(&mut self, var: Var, node: &Node) -> Result<(), PartitionError> {
        if node.op.is_source() {
            return Ok(());
        }
        let graph = self.of.graph;
        let operands: Vec<Value<T>> =
            node.inputs.iter().map(|var| self.value(*var)).collect::<Result<_, _>>()?;
        let wrong = |problem| self.of.wrong(var.index(), self.rank, problem);
        let mut output = Vec::with_capacity(node.shape.axes.len());
        for axis in &node.shape.axes {
            output.push(to_usize(&axis.size.at(self.binding)?).map_err(wrong)?);
        }
        let inputs: Vec<&Value<T>> = operands.iter().collect();
        let call = Call {
            path: &node.path,
            inputs: &inputs,
            shapes: &graph.operand_shapes(node),
            output: &output,
            binding: self.binding,
            reads: &Reads::of(inputs.len()),
        };
        let results = node.op.reference(&call, &mut |_| {}).map_err(wrong)?;
        self.held.extend(graph.results(var).zip(results));
        Ok(())
    }
}
