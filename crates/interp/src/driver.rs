//! The driver: any interpreter over any graph. It orders the work, repeats bodies, hands values over
//! and frees them; what nodes do is the interpreter's business.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use opledger_ir::ops::Source;
use opledger_ir::{Elem, Graph, Loop, Node, Op, OpError, Operation, Reads, Value, Var, path_at};

use crate::error::RunError;
use crate::interpreter::{Interpreter, NodeCall, Observer, Operand};
use crate::ledger::Ledger;
use crate::memory::{Peak, bytes_of};
use crate::program::{Instance, Program, Sizes, sizes_at};
use crate::scan::{self, Stack};
use crate::schedule::{Schedule, is_executed};
use crate::tensors::Tensors;
use crate::weight::Held;

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

/// A schedule, and when values die under it.
#[derive(Debug)]
pub(crate) struct Timetable {
    pub(crate) schedule: Schedule,
    /// The values that nothing reads after each position.
    pub(crate) dying: Vec<Vec<usize>>,
}

impl Timetable {
    pub(crate) fn new(graph: &Graph, last_uses: &[usize], interpreter: &impl Interpreter) -> Self {
        let schedule = interpreter.schedule(graph);
        let count = graph.nodes().len();
        let mut dying = vec![Vec::new(); count];
        for (value, &used) in last_uses.iter().enumerate() {
            let held = !graph.nodes()[value].op.is_source() && schedule.last(value) == value;
            if held && used < count {
                // What dies inside a group dies with its last node.
                dying[schedule.last(used)].push(value);
            }
        }
        Timetable { schedule, dying }
    }
}

/// What is to be executed: a graph with its sizes and tensors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) program: &'a Program,
    pub(crate) sizes: &'a Sizes,
    pub(crate) tensors: &'a Tensors,
}

impl Job<'_> {
    pub(crate) fn execute<I: Interpreter>(
        self,
        timetable: &Timetable,
        interpreter: &mut I,
        caches: &mut Caches<I::Scalar>,
        observer: &mut dyn Observer,
    ) -> Result<Finished<I::Scalar>, RunError> {
        let ledger = Ledger::new(&self.program.rows);
        let mut driver = Driver {
            job: self,
            timetable,
            ledger: &ledger,
            caches,
            interpreter,
            observer,
            values: vec![Vec::new(); self.graph.nodes().len()],
            present: vec![None; self.graph.repetitions().len()],
            results: Vec::new(),
        };
        driver.interpreter.begin(self.sizes.computed_bytes);
        let start = Instant::now();
        driver.execute(0..self.graph.nodes().len())?;
        let wall = start.elapsed();
        driver.collect(|_, node| node.repeat.is_none());
        let (results, peak) = (driver.results, driver.interpreter.peak());
        Ok(Finished { results, ledger, wall, peak })
    }
}

struct Driver<'a, I: Interpreter> {
    job: Job<'a>,
    timetable: &'a Timetable,
    ledger: &'a Ledger,
    caches: &'a mut Caches<I::Scalar>,
    interpreter: &'a mut I,
    observer: &'a mut dyn Observer,
    /// The results of each node that are alive.
    values: Vec<Vec<Value<I::Scalar>>>,
    /// The present iteration of each repetition, inside it.
    present: Vec<Option<usize>>,
    results: Vec<GraphResult<I::Scalar>>,
}

impl<'a, I: Interpreter> Driver<'a, I> {
    fn execute(&mut self, range: Range<usize>) -> Result<(), RunError> {
        let mut at = range.start;
        while at < range.end {
            match self.job.program.bodies[at] {
                Some(place) => {
                    let body = &self.job.graph.loops()[place];
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

    /// Runs a body as often as it is repeated: what one iteration carries out is carried into the next,
    /// each is given its slice of the stacks, and what it gives is stacked.
    fn repeat(&mut self, body: &Loop) -> Result<(), RunError> {
        let (carry, exit) = (body.body.start, body.body.end);
        let (ends, repetition) = (self.job.graph.ends(body), body.repeat.index());
        let count = self.job.sizes.counts[repetition];
        let all = |driver: &Self, at: usize, vars: &[Var]| {
            let values = vars.iter().enumerate().map(|(i, var)| {
                driver.value(*var).ok_or_else(|| driver.error(at, OpError::Operand(i)))
            });
            values.collect::<Result<Vec<_>, RunError>>()
        };
        let mut carried = all(self, carry, ends.entering)?;
        let stacks = all(self, carry, ends.stacks)?;
        // What the iteration before left of an outer repetition, where one of the results is the graph's.
        for value in std::mem::take(&mut self.values[exit]) {
            self.interpreter.retire(value);
        }
        let shapes = self.job.graph.nodes()[exit].results().skip(carried.len());
        let mut gathered: Vec<Stack<I::Scalar>> = shapes
            .map(|shape| Stack::new(shape, &self.job.sizes.binding))
            .collect::<Result<_, _>>()
            .map_err(|problem| self.error(exit, problem))?;
        self.interpreter.hold(gathered.iter().map(Stack::bytes).sum());
        for turn in 0..count {
            let iteration = if body.reverse { count - 1 - turn } else { turn };
            for stack in &stacks {
                let slice = scan::slice(stack, iteration);
                let slice = slice.map_err(|problem| self.error(carry, problem))?;
                self.interpreter.hold(bytes_of(&slice));
                carried.push(slice);
            }
            self.values[carry] = std::mem::take(&mut carried);
            self.free(carry);
            self.present[repetition] = Some(iteration);
            self.execute(carry + 1..exit)?;
            // Another body of the repetition has results of its own.
            let own = |at: usize, node: &Node| body.body.contains(&at) || node.op.is_source();
            self.collect(|at, node| node.repeat == Some(body.repeat) && own(at, node));
            for (stack, var) in gathered.iter_mut().zip(ends.stacked) {
                let value = self.value(*var).ok_or(OpError::Operand(0));
                let put = value.and_then(|value| stack.put(iteration, &value));
                put.map_err(|problem| self.error(exit, problem))?;
            }
            carried = all(self, exit, ends.next)?;
            // The next iteration alone has what is carried out, so that its buffer dies there; the rest
            // dies here.
            self.free_of(exit, &body.body);
        }
        self.present[repetition] = None;
        // What dies here is given back, which a buffer is that nothing else has.
        drop(stacks);
        self.free(carry);
        for stack in gathered {
            carried.push(stack.value().map_err(|problem| self.error(exit, problem))?);
        }
        self.values[exit] = carried;
        self.free(exit);
        Ok(())
    }

    /// Keeps the results that belong to some nodes.
    fn collect(&mut self, of: impl Fn(usize, &Node) -> bool) {
        for (output, (_, var)) in self.job.graph.outputs().iter().enumerate() {
            if of(var.index(), self.job.graph.node(*var))
                && let Some(value) = self.value(*var)
                && let Some(of) = self.instance(*var)
            {
                self.results.push(GraphResult { output, of, value });
            }
        }
    }

    /// Executes the group that stands at a position.
    fn step(&mut self, at: usize) -> Result<(), RunError> {
        let (graph, ledger) = (self.job.graph, self.ledger);
        if !is_executed(&graph.nodes()[at]) {
            return Ok(());
        }
        self.observer.started(&graph.nodes()[at], ledger);
        let group = self.timetable.schedule.group(at);
        if group.is_empty() {
            return Ok(());
        }
        let mut calls = Vec::with_capacity(group.len());
        for node in group {
            calls.push(self.call(*node, group)?);
        }
        let own = |operand: &Operand<_>| matches!(operand, Operand::Own(_));
        let fused = group.len() > 1 || calls.iter().any(|call| call.operands.iter().any(own));
        let start = Instant::now();
        let results = self.interpreter.apply(&mut calls);
        // The time of a group is its first node's.
        let mut time = start.elapsed();
        drop(calls);
        let results = results.map_err(|problem| self.error(group[0], problem))?;
        for node in group {
            ledger.row(*node).record_run(std::mem::take(&mut time), fused);
        }
        self.values[at] = results;
        Ok(())
    }

    /// A node of a group with all that it works on.
    fn call(&mut self, at: usize, group: &[usize]) -> Result<NodeCall<'a, I::Scalar>, RunError> {
        let Job { graph, sizes, .. } = self.job;
        let node = &graph.nodes()[at];
        let mut operands = Vec::with_capacity(node.inputs.len());
        for (i, var) in node.inputs.iter().enumerate() {
            let alone = i == 0 && self.timetable.schedule.consumes(at);
            let operand = match group.iter().position(|member| *member == var.index()) {
                Some(node) => Some(Operand::Inside { node, result: var.result() }),
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
            elems: node.inputs.iter().map(|var| self.elem(*var)).collect(),
            output: &sizes.nodes[at].output,
            binding: &sizes.binding,
            reads: Reads::of(node.inputs.len()),
            row: self.ledger.row(at),
        })
    }

    /// A value as an operand; `alone` when nothing reads it afterwards.
    fn operand(&mut self, var: Var, alone: bool) -> Option<Operand<I::Scalar>> {
        if !self.job.graph.node(var).op.is_source() {
            return self.made(var).map(Operand::Made);
        }
        let instance = self.instance(var)?;
        if alone && let Some(own) = self.caches.remove(&instance) {
            return Some(Operand::Own(own));
        }
        if self.interpreter.reads_weights()
            && let Some(Held::Weight(weight)) = self.job.tensors.of(instance)
        {
            return Some(Operand::Weight(weight.clone()));
        }
        let value = self.fed(instance)?;
        Some(match self.job.graph.node(var).op {
            Op::Source(Source::Param { .. }) => Operand::Parameter(value),
            _ => Operand::Input(value),
        })
    }

    /// The type of a value's elements in memory.
    fn elem(&self, var: Var) -> Elem {
        let graph = self.job.graph;
        let instance = graph.node(var).op.is_source().then(|| self.instance(var)).flatten();
        match instance.and_then(|instance| self.job.tensors.of(instance)) {
            Some(Held::Weight(weight)) => weight.elem(),
            Some(Held::Plain(_)) | None => graph.shape(var).elem,
        }
    }

    /// The value of a node: fed when it is a source, computed otherwise.
    fn value(&self, var: Var) -> Option<Value<I::Scalar>> {
        match self.job.graph.node(var).op.is_source() {
            true => self.fed(self.instance(var)?),
            false => self.made(var),
        }
    }

    fn made(&self, var: Var) -> Option<Value<I::Scalar>> {
        self.values[var.index()].get(var.result()).cloned()
    }

    fn fed(&self, instance: Instance) -> Option<Value<I::Scalar>> {
        let cached = || self.caches.get(&instance).cloned();
        let fed = self.job.tensors.of(instance);
        fed.map(|held| self.interpreter.adopt(&held.value())).or_else(cached)
    }

    /// The present instance of a node. Of a node of an outer scope, repetitions further in do not
    /// matter.
    fn instance(&self, var: Var) -> Option<Instance> {
        let Job { program, sizes, .. } = self.job;
        sizes.instance(program, var.index(), &self.present)
    }

    /// Drops the values whose last use was the node at a position.
    fn free(&mut self, at: usize) {
        self.free_of(at, &(0..self.job.graph.nodes().len()));
    }

    /// The same for the values of some nodes.
    fn free_of(&mut self, at: usize, nodes: &Range<usize>) {
        for node in self.timetable.dying[at].iter().filter(|node| nodes.contains(node)) {
            for value in std::mem::take(&mut self.values[*node]) {
                self.interpreter.retire(value);
            }
        }
    }

    /// The path of a node in the present iterations.
    fn path(&self, at: usize) -> String {
        let around = self.job.program.around(at);
        let iterations: Vec<usize> =
            around.iter().map_while(|repetition| self.present[repetition.index()]).collect();
        path_at(&self.job.graph.nodes()[at].path, &iterations)
    }

    fn error(&self, at: usize, problem: OpError) -> RunError {
        let node = &self.job.graph.nodes()[at];
        let operands: Vec<String> = node
            .inputs
            .iter()
            .map(|v| {
                let shape = self.job.graph.shape(*v);
                match sizes_at(shape, &self.job.sizes.binding) {
                    Ok(sizes) => format!("{shape} = {sizes:?}"),
                    Err(_) => shape.to_string(),
                }
            })
            .collect();
        let (path, op) = (self.path(at), node.op.name());
        RunError::Op { path, op, operands: operands.join(" and "), problem }
    }
}
