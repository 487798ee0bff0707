//! The driver: any interpreter over any graph.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use opledger_dims::{Binding, Integer};
use opledger_ir::ops::{Activation, Einsum};
use opledger_ir::{
    Call, Graph, Loop, Node, Op, OpError, Operation, Shape, Value, Var, path_at, to_usize,
};
use opledger_tensor::Tensor;

use crate::chain::{Chain, activation};
use crate::feeds::sizes_at;
use crate::plan::{Plan, Role, Schedule};
use crate::{Feeds, Ledger, Reached, Row, RunError, Store, available_memory, peak_bytes};

/// What executes one operation.
pub trait Interpreter {
    /// The type of a real number.
    type Scalar: Copy;

    /// A run begins, which needs at most so many bytes of computed values at once, as `f32`.
    fn begin(&mut self, computed_bytes: u64) {
        let _ = computed_bytes;
    }

    /// The peak of what the run has needed since it began, where the interpreter counts it.
    fn reached(&self) -> Option<Reached> {
        None
    }

    /// Takes a value that nothing in the run reads any more.
    fn retire(&mut self, value: Value<Self::Scalar>) {
        drop(value);
    }

    /// Takes a fed tensor over.
    fn adopt(&self, value: &Value<f32>) -> Value<Self::Scalar>;

    /// Gives a result back as numbers; `None` for whole numbers.
    fn release(&self, value: &Value<Self::Scalar>) -> Option<Tensor<f64>>;

    /// Executes a node's operation and records in the row what was done.
    ///
    /// # Errors
    /// When the values do not fit the operation.
    fn apply(
        &mut self,
        node: &Node,
        call: &Call<'_, Self::Scalar>,
        row: &Row,
    ) -> Result<Value<Self::Scalar>, OpError>;

    /// Whether chains of nodes are to be given to [`Interpreter::apply_chain`].
    fn chains(&self) -> bool {
        false
    }

    /// Executes a product by a weight and what follows it at once, and records in each row what was
    /// done for its node.
    ///
    /// # Errors
    /// When the values do not fit the operations.
    fn apply_chain(
        &mut self,
        chain: &ChainCall<'_, Self::Scalar>,
    ) -> Result<Value<Self::Scalar>, OpError> {
        let _ = chain;
        Err(OpError::Kernel("chains are not executed at once".into()))
    }
}

/// A product by a weight, and what follows it before any other node reads it: the value is
/// `activation(product + bias) + residual`.
pub struct ChainCall<'a, T> {
    /// The product.
    pub product: &'a Einsum,
    /// Its operands, and the sizes of the result.
    pub call: Call<'a, T>,
    /// The row of the product.
    pub row: &'a Row,
    /// Added along the axes of the weight, contiguous.
    pub bias: Option<(&'a Value<T>, &'a Row)>,
    /// Applied to each element.
    pub activation: Option<(Activation, &'a Row)>,
    /// Added at the end, of the shape of the result.
    pub residual: Option<(&'a Value<T>, &'a Row)>,
}

/// Watches a run.
pub trait Observer {
    /// A node begins. A clone of the ledger may be read on another thread while tasks fill it.
    fn started(&mut self, node: &Node, ledger: &Ledger);
}

/// Watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet;

impl Observer for Quiet {
    fn started(&mut self, _: &Node, _: &Ledger) {}
}

/// A finished run.
#[derive(Debug)]
pub struct Run<T> {
    /// The results of the graph, by name; of one inside a repetition there is one for each iteration,
    /// whose number stands in place of the `*` in its name.
    pub outputs: Vec<(String, Value<T>)>,
    /// What every node did.
    pub ledger: Ledger,
    /// The sizes of all symbols, those that followed from others and from the data included.
    pub binding: Binding,
    /// Wall-clock time of the computation, without drawing or reading the tensors fed.
    pub wall: Duration,
    /// The peak of computed values, where the interpreter counts it.
    pub reached: Option<Reached>,
}

impl<T: Clone> Run<T> {
    /// The result of a name as an `ndarray` array; `None` when there is none or it holds whole numbers.
    pub fn output(&self, name: &str) -> Option<ndarray::ArrayD<T>> {
        let (_, value) = self.outputs.iter().find(|(n, _)| n == name)?;
        value.real().map(|t| t.view().to_owned())
    }
}

/// Executes a graph at a binding of its free symbols.
///
/// # Errors
/// When the binding does not fit, the run would not fit in memory, a tensor fed does not fit, or an
/// operation fails.
pub fn run<I: Interpreter>(
    graph: &Graph,
    binding: &Binding,
    interpreter: &mut I,
    feeds: &Feeds,
    observer: &mut dyn Observer,
) -> Result<Run<I::Scalar>, RunError> {
    let (binding, store) = prepare::<I>(graph, binding, feeds)?;
    run_stored(graph, &binding, interpreter, &store, observer)
}

/// Checks that an interpreter can execute a graph at a binding, and makes what it needs: the complete
/// binding and all tensors. What is prepared once can be run as often as wanted by [`run_stored`].
///
/// # Errors
/// When the binding does not fit, the run would not fit in memory, or a tensor fed does not fit.
pub fn prepare<I: Interpreter>(
    graph: &Graph,
    binding: &Binding,
    feeds: &Feeds,
) -> Result<(Binding, Store), RunError> {
    let mut binding = graph.complete(binding)?;
    graph.check(&binding)?;
    check_memory(graph, &binding, size_of::<I::Scalar>())?;
    let store = feeds.store(graph, &mut binding)?;
    Ok((binding, store))
}

/// Executes a graph on what [`prepare`] made of it.
///
/// # Errors
/// When an operation fails.
pub fn run_stored<I: Interpreter>(
    graph: &Graph,
    binding: &Binding,
    interpreter: &mut I,
    store: &Store,
    observer: &mut dyn Observer,
) -> Result<Run<I::Scalar>, RunError> {
    run_cached(graph, binding, interpreter, store, &mut Caches::new(), observer)
}

/// Values that stand for those of sources, by path. A concatenation that alone reads one takes it and
/// lengthens it in its place.
pub(crate) type Caches<T> = BTreeMap<String, Value<T>>;

/// The same with some sources cached.
pub(crate) fn run_cached<I: Interpreter>(
    graph: &Graph,
    binding: &Binding,
    interpreter: &mut I,
    store: &Store,
    caches: &mut Caches<I::Scalar>,
    observer: &mut dyn Observer,
) -> Result<Run<I::Scalar>, RunError> {
    let plan = store.plan(graph, binding)?;
    let ledger = Ledger::with_parts(plan.steps.iter().map(|step| &step.parts[..]));
    let chained = interpreter.chains();
    let mut machine = Machine {
        graph,
        store,
        caches,
        interpreter,
        observer,
        schedule: if chained { &plan.chained } else { &plan.single },
        plan: &plan,
        values: vec![None; graph.nodes().len()],
        ledger,
        binding,
        iterations: Vec::new(),
        outputs: Vec::new(),
    };
    machine.interpreter.begin(plan.computed_bytes);
    let start = Instant::now();
    machine.execute(0..graph.nodes().len())?;
    let wall = start.elapsed();
    machine.collect(|node| node.repeat.is_none());
    let reached = machine.interpreter.reached();
    let Machine { outputs, ledger, .. } = machine;
    Ok(Run { outputs, ledger, binding: binding.clone(), wall, reached })
}

pub(crate) fn check_memory(
    graph: &Graph,
    binding: &Binding,
    real_bytes: usize,
) -> Result<(), RunError> {
    let needed = peak_bytes(graph, binding, real_bytes)?;
    match available_memory() {
        Some(available) if needed > available => Err(RunError::Memory { needed, available }),
        None if needed > Integer::from(isize::MAX) => {
            Err(RunError::Memory { needed, available: isize::MAX.into() })
        }
        _ => Ok(()),
    }
}

struct Machine<'a, I: Interpreter> {
    graph: &'a Graph,
    store: &'a Store,
    caches: &'a mut Caches<I::Scalar>,
    interpreter: &'a mut I,
    observer: &'a mut dyn Observer,
    plan: &'a Plan,
    schedule: &'a Schedule,
    values: Vec<Option<Value<I::Scalar>>>,
    ledger: Ledger,
    binding: &'a Binding,
    /// The present iteration of each repetition around the node at work, the outermost first.
    iterations: Vec<usize>,
    outputs: Vec<(String, Value<I::Scalar>)>,
}

impl<I: Interpreter> Machine<'_, I> {
    fn execute(&mut self, range: Range<usize>) -> Result<(), RunError> {
        let mut at = range.start;
        while at < range.end {
            match self.graph.loops().iter().find(|l| l.body.start == at) {
                Some(repetition) => {
                    self.repeat(repetition)?;
                    at = repetition.body.end + 1;
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

    fn repeat(&mut self, repetition: &Loop) -> Result<(), RunError> {
        let (carry, exit) = (repetition.body.start, repetition.body.end);
        let count = self.graph.repetition(repetition.repeat).count.at(self.binding);
        let count = count.map_err(OpError::from).and_then(|count| to_usize(&count));
        let count = count.map_err(|problem| self.error(&self.graph.nodes()[carry], problem))?;
        let mut value = self.value(self.graph.nodes()[carry].inputs[0]);
        for iteration in 0..count {
            self.values[carry] = value.take();
            self.free(carry);
            self.iterations.push(iteration);
            self.execute(carry + 1..exit)?;
            self.collect(|node| node.repeat == Some(repetition.repeat));
            self.iterations.pop();
            // The next iteration alone has what the body made, so that its buffer dies there.
            let result = repetition.result;
            value = match repetition.body.contains(&result.index()) {
                true => self.values[result.index()].take(),
                false => self.value(result),
            };
        }
        self.free(carry);
        self.values[exit] = value;
        self.free(exit);
        Ok(())
    }

    /// Keeps the results that belong to some nodes, those of a repeated scope under the path of the
    /// present iteration.
    fn collect(&mut self, of: impl Fn(&Node) -> bool) {
        for (name, var) in self.graph.outputs() {
            if of(self.graph.node(*var))
                && let Some(value) = self.value(*var)
            {
                self.outputs.push((path_at(name, &self.iterations), value));
            }
        }
    }

    fn step(&mut self, at: usize) -> Result<(), RunError> {
        let (graph, schedule) = (self.graph, self.schedule);
        let node = &graph.nodes()[at];
        if node.op.is_source() {
            return Ok(());
        }
        self.observer.started(node, &self.ledger);
        match &schedule.roles[at] {
            Role::Alone => self.single(at, node),
            Role::Member => Ok(()),
            Role::Last(chain) => self.chain(chain),
        }
    }

    fn single(&mut self, at: usize, node: &Node) -> Result<(), RunError> {
        if let Some(past) = self.cache(node) {
            return self.lengthen(at, node, past);
        }
        let operands = self.operands(node)?;
        let inputs: Vec<&Value<I::Scalar>> = operands.iter().collect();
        let shapes: Vec<&Shape> = self.graph.operand_shapes(node);
        let path = path_at(&node.path, &self.iterations);
        let (plan, binding) = (self.plan, self.binding);
        let output = &plan.steps[at].output;
        let call = Call { path: &path, inputs: &inputs, shapes: &shapes, output, binding };
        let row = self.ledger.row(at);
        let start = Instant::now();
        let value = self
            .interpreter
            .apply(node, &call, row)
            .map_err(|problem| self.error(node, problem))?;
        row.record_run(start.elapsed(), self.plan.steps[at].bytes);
        self.values[at] = Some(value);
        Ok(())
    }

    /// The cache that a node takes to lengthen it: the first operand of a concatenation that alone
    /// reads it, where what is added comes after all its elements.
    fn cache(&mut self, node: &Node) -> Option<Value<I::Scalar>> {
        let Op::Concat(op) = &node.op else { return None };
        let past = *node.inputs.first()?;
        let axis = node.shape.position(&op.axis)?;
        let outside = self.plan.steps[past.index()].output.get(..axis)?.iter().product::<usize>();
        let uses = self.graph.nodes().iter().flat_map(|n| &n.inputs).filter(|v| **v == past);
        let source = self.graph.node(past);
        if outside != 1 || !source.op.is_source() || uses.count() != 1 {
            return None;
        }
        self.caches.remove(&path_at(&source.path, &self.iterations))
    }

    /// Executes a concatenation in the buffer of its first operand.
    fn lengthen(&mut self, at: usize, node: &Node, past: Value<I::Scalar>) -> Result<(), RunError> {
        let step = &self.plan.steps[at];
        let new = self.value(node.inputs[1]);
        let start = Instant::now();
        let value = match (past, &new) {
            (Value::Real(past), Some(Value::Real(new))) => {
                let mut data = past.into_data();
                data.extend_from_slice(new.data());
                Tensor::new(&step.output, data).map_err(OpError::from)
            }
            _ => Err(OpError::Operand(1)),
        };
        let value = value.map_err(|problem| self.error(node, problem))?;
        self.ledger.row(at).record_run(start.elapsed(), step.bytes);
        self.values[at] = Some(value.into());
        Ok(())
    }

    /// Executes a chain; its time is the product's.
    fn chain(&mut self, chain: &Chain) -> Result<(), RunError> {
        let graph = self.graph;
        let node = &graph.nodes()[chain.product];
        let Op::Einsum(product) = &node.op else {
            return Err(self.error(node, OpError::Operand(0)));
        };
        let operands = self.operands(node)?;
        let inputs: Vec<&Value<I::Scalar>> = operands.iter().collect();
        let shapes: Vec<&Shape> = graph.operand_shapes(node);
        let path = path_at(&node.path, &self.iterations);
        let operand = |link: Option<(usize, Var)>| -> Result<_, RunError> {
            let Some((at, var)) = link else { return Ok(None) };
            let value = self.value(var).ok_or(OpError::Operand(1));
            Ok(Some((value.map_err(|e| self.error(&graph.nodes()[at], e))?, at)))
        };
        let (bias, residual) = (operand(chain.bias)?, operand(chain.residual)?);
        let ledger = &self.ledger;
        let start = Instant::now();
        let value = self
            .interpreter
            .apply_chain(&ChainCall {
                product,
                call: Call {
                    path: &path,
                    inputs: &inputs,
                    shapes: &shapes,
                    output: &self.plan.steps[chain.product].output,
                    binding: self.binding,
                },
                row: ledger.row(chain.product),
                bias: bias.as_ref().map(|(value, at)| (value, ledger.row(*at))),
                activation: activation(graph, chain).zip(chain.activation.map(|at| ledger.row(at))),
                residual: residual.as_ref().map(|(value, at)| (value, ledger.row(*at))),
            })
            .map_err(|problem| self.error(node, problem))?;
        let time = start.elapsed();
        for at in chain.nodes() {
            let time = if at == chain.product { time } else { Duration::ZERO };
            ledger.row(at).record_run(time, self.plan.steps[at].bytes);
        }
        self.values[chain.last] = Some(value);
        Ok(())
    }

    fn operands(&self, node: &Node) -> Result<Vec<Value<I::Scalar>>, RunError> {
        let value = |(i, var): (usize, &Var)| self.value(*var).ok_or(OpError::Operand(i));
        let operands: Result<Vec<_>, _> = node.inputs.iter().enumerate().map(value).collect();
        operands.map_err(|problem| self.error(node, problem))
    }

    /// The value of a node: fed when it is a source, computed otherwise. A source of a repeated scope
    /// is fed for the present iteration; one of an outer scope has fewer repetitions in its path.
    fn value(&self, var: Var) -> Option<Value<I::Scalar>> {
        let node = self.graph.node(var);
        if node.op.is_source() {
            let path = || path_at(&node.path, &self.iterations);
            if !self.caches.is_empty()
                && let Some(cache) = self.caches.get(&path())
            {
                return Some(cache.clone());
            }
            let source = match &self.plan.steps[var.index()].source {
                Some(source) => Some(source),
                None => self.store.get(&path()),
            };
            return source.map(|v| self.interpreter.adopt(v));
        }
        self.values[var.index()].clone()
    }

    /// Drops the values whose last use was the node at a position.
    fn free(&mut self, at: usize) {
        for &var in &self.schedule.dying[at] {
            if let Some(value) = self.values[var].take() {
                self.interpreter.retire(value);
            }
        }
    }

    fn error(&self, node: &Node, problem: OpError) -> RunError {
        let operands: Vec<String> = node
            .inputs
            .iter()
            .map(|v| {
                let shape = self.graph.shape(*v);
                match sizes_at(shape, self.binding) {
                    Ok(sizes) => format!("{shape} = {sizes:?}"),
                    Err(_) => shape.to_string(),
                }
            })
            .collect();
        RunError::Op {
            path: path_at(&node.path, &self.iterations),
            op: node.op.name(),
            operands: operands.join(" and "),
            problem,
        }
    }
}

/// Whether a node does work that the ledger should have a row for.
pub(crate) fn computes(node: &Node) -> bool {
    !matches!(node.op, Op::Source(_) | Op::Carry | Op::Exit)
}
