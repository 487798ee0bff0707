//! The driver: any interpreter over any graph. It orders the work, repeats bodies, hands values over
//! and frees them; what nodes do is the interpreter's business.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use opledger_ir::ops::Source;
use opledger_ir::{Graph, Loop, Node, Op, OpError, Operation, Value, Var, path_at};

use crate::program::sizes_at;
use crate::schedule::{Timetable, is_executed};
use crate::{Instance, Interpreter, Ledger, NodeCall, Observer, Operand, Peak, Prepared, RunError};

/// Values of sources for one run, which takes them. A node that has its operand for itself may change
/// one in place.
pub(crate) type Caches<T> = BTreeMap<Instance, Value<T>>;

/// What a run gives.
pub(crate) struct Finished<T> {
    pub(crate) results: Vec<GraphResult<T>>,
    pub(crate) ledger: Ledger,
    pub(crate) wall: Duration,
    pub(crate) peak: Option<Peak>,
}

/// A result of a graph, of one iteration.
pub(crate) struct GraphResult<T> {
    /// Its place among the outputs of the graph.
    pub(crate) output: usize,
    /// The instance that made it.
    pub(crate) of: Instance,
    pub(crate) value: Value<T>,
}

pub(crate) fn execute<I: Interpreter>(
    prepared: &Prepared,
    timetable: &Timetable,
    interpreter: &mut I,
    caches: &mut Caches<I::Scalar>,
    observer: &mut dyn Observer,
) -> Result<Finished<I::Scalar>, RunError> {
    let graph = prepared.graph();
    let ledger = Ledger::new(&prepared.program().rows);
    let mut driver = Driver {
        graph,
        prepared,
        timetable,
        ledger: &ledger,
        caches,
        interpreter,
        observer,
        values: vec![None; graph.nodes().len()],
        present: vec![None; graph.repetitions().len()],
        results: Vec::new(),
    };
    driver.interpreter.begin(prepared.sizes().computed_bytes);
    let start = Instant::now();
    driver.execute(0..graph.nodes().len())?;
    let wall = start.elapsed();
    driver.collect(|node| node.repeat.is_none());
    let (results, peak) = (driver.results, driver.interpreter.peak());
    Ok(Finished { results, ledger, wall, peak })
}

struct Driver<'a, I: Interpreter> {
    graph: &'a Graph,
    prepared: &'a Prepared,
    timetable: &'a Timetable,
    ledger: &'a Ledger,
    caches: &'a mut Caches<I::Scalar>,
    interpreter: &'a mut I,
    observer: &'a mut dyn Observer,
    values: Vec<Option<Value<I::Scalar>>>,
    /// The present iteration of each repetition, inside it.
    present: Vec<Option<usize>>,
    results: Vec<GraphResult<I::Scalar>>,
}

impl<'a, I: Interpreter> Driver<'a, I> {
    fn execute(&mut self, range: Range<usize>) -> Result<(), RunError> {
        let mut at = range.start;
        while at < range.end {
            match self.prepared.program().bodies[at] {
                Some(place) => {
                    let body = &self.graph.loops()[place];
                    self.repeat(body)?;
                    at = body.body.end + 1;
                }
                None => {
                    self.step(at)?;
                    self.free(at);
                    at += 1;
                }
            }
        }
        Ok(())
    }

    fn repeat(&mut self, body: &Loop) -> Result<(), RunError> {
        let (carry, exit) = (body.body.start, body.body.end);
        let repetition = body.repeat.index();
        let mut value = self.value(self.graph.nodes()[carry].inputs[0]);
        for iteration in 0..self.prepared.sizes().counts[repetition] {
            self.values[carry] = value.take();
            self.free(carry);
            self.present[repetition] = Some(iteration);
            self.execute(carry + 1..exit)?;
            self.collect(|node| node.repeat == Some(body.repeat));
            // The next iteration alone has what the body made, so that its buffer dies there.
            value = match body.body.contains(&body.result.index()) {
                true => self.values[body.result.index()].take(),
                false => self.value(body.result),
            };
        }
        self.present[repetition] = None;
        self.free(carry);
        self.values[exit] = value;
        self.free(exit);
        Ok(())
    }

    /// Keeps the results that belong to some nodes.
    fn collect(&mut self, of: impl Fn(&Node) -> bool) {
        for (output, (_, var)) in self.graph.outputs().iter().enumerate() {
            if of(self.graph.node(*var))
                && let Some(value) = self.value(*var)
                && let Some(of) = self.instance(*var)
            {
                self.results.push(GraphResult { output, of, value });
            }
        }
    }

    /// Executes the group that stands at a position.
    fn step(&mut self, at: usize) -> Result<(), RunError> {
        let (graph, ledger, sizes) = (self.graph, self.ledger, self.prepared.sizes());
        if !is_executed(&graph.nodes()[at]) {
            return Ok(());
        }
        self.observer.started(&graph.nodes()[at], ledger);
        let group = self.timetable.schedule.group(at);
        if group.is_empty() {
            return Ok(());
        }
        let calls = group.iter().map(|node| self.call(*node, group));
        let mut calls = calls.collect::<Result<Vec<_>, RunError>>()?;
        let start = Instant::now();
        let value = self.interpreter.apply(&mut calls);
        // The time of a group is its first node's.
        let mut time = start.elapsed();
        drop(calls);
        let value = value.map_err(|problem| self.error(group[0], problem))?;
        for node in group {
            ledger.row(*node).record_run(std::mem::take(&mut time), sizes.nodes[*node].bytes);
        }
        self.values[at] = Some(value);
        Ok(())
    }

    /// A node of a group with all that it works on.
    fn call(&mut self, at: usize, group: &[usize]) -> Result<NodeCall<'a, I::Scalar>, RunError> {
        let (graph, prepared) = (self.graph, self.prepared);
        let node = &graph.nodes()[at];
        let mut operands = Vec::with_capacity(node.inputs.len());
        for (i, var) in node.inputs.iter().enumerate() {
            let alone = i == 0 && self.timetable.schedule.consumes(at);
            let operand = match group.iter().position(|member| *member == var.index()) {
                Some(inside) => Some(Operand::Inside(inside)),
                None => self.operand(*var, alone),
            };
            operands.push(operand.ok_or_else(|| self.error(at, OpError::Operand(i)))?);
        }
        let path = match node.repeat {
            None => Cow::Borrowed(node.path.as_str()),
            Some(_) => Cow::Owned(self.path(at)),
        };
        Ok(NodeCall {
            node,
            path,
            operands,
            shapes: graph.operand_shapes(node),
            output: &prepared.sizes().nodes[at].output,
            binding: prepared.binding(),
            row: self.ledger.row(at),
        })
    }

    /// A value as an operand; `alone` when nothing reads it afterwards.
    fn operand(&mut self, var: Var, alone: bool) -> Option<Operand<I::Scalar>> {
        if !self.graph.node(var).op.is_source() {
            return self.values[var.index()].clone().map(Operand::Made);
        }
        let instance = self.instance(var)?;
        if alone && let Some(own) = self.caches.remove(&instance) {
            return Some(Operand::Own(own));
        }
        let value = self.fed(instance)?;
        Some(match self.graph.node(var).op {
            Op::Source(Source::Param { .. }) => Operand::Parameter(value, instance),
            _ => Operand::Input(value),
        })
    }

    /// The value of a node: fed when it is a source, computed otherwise.
    fn value(&self, var: Var) -> Option<Value<I::Scalar>> {
        match self.graph.node(var).op.is_source() {
            true => self.fed(self.instance(var)?),
            false => self.values[var.index()].clone(),
        }
    }

    fn fed(&self, instance: Instance) -> Option<Value<I::Scalar>> {
        let cached = || self.caches.get(&instance).cloned();
        let fed = self.prepared.tensors().of(instance);
        fed.map(|value| self.interpreter.adopt(value)).or_else(cached)
    }

    /// The present instance of a node. Of a node of an outer scope, repetitions further in do not
    /// matter.
    fn instance(&self, var: Var) -> Option<Instance> {
        let Driver { prepared, present, .. } = self;
        prepared.sizes().instance(prepared.program(), var.index(), present)
    }

    /// Drops the values whose last use was the node at a position.
    fn free(&mut self, at: usize) {
        for &var in &self.timetable.dying[at] {
            if let Some(value) = self.values[var].take() {
                self.interpreter.retire(value);
            }
        }
    }

    /// The path of a node in the present iterations.
    fn path(&self, at: usize) -> String {
        let around = self.prepared.program().around(at);
        let iterations: Vec<usize> =
            around.iter().map_while(|repetition| self.present[repetition.index()]).collect();
        path_at(&self.graph.nodes()[at].path, &iterations)
    }

    fn error(&self, at: usize, problem: OpError) -> RunError {
        let node = &self.graph.nodes()[at];
        let operands: Vec<String> = node
            .inputs
            .iter()
            .map(|v| {
                let shape = self.graph.shape(*v);
                match sizes_at(shape, self.prepared.binding()) {
                    Ok(sizes) => format!("{shape} = {sizes:?}"),
                    Err(_) => shape.to_string(),
                }
            })
            .collect();
        let (path, op) = (self.path(at), node.op.name());
        RunError::Op { path, op, operands: operands.join(" and "), problem }
    }
}
