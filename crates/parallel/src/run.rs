//! A cut graph, executed: every rank in turn, node by node, and real buffers exchanged in between.

use std::collections::BTreeMap;

use opledger_dims::{Binding, Integer, Scalar};
use opledger_ir::ops::{Attention, Source};
use opledger_ir::{
    Call, Graph, Node, Op, OpError, Operation, Reads, RepeatId, Value, Var, indices, path_at,
    to_usize,
};
use opledger_tensor::Tensor;

use crate::error::PartitionError;
use crate::exchange::{assembled, exchange, flat, reshaped};
use crate::partition::Partition;
use crate::pieces::cut_value;
use crate::placement::Placement;
use crate::ring::{CountingWire, Wire};
use crate::threads::{End, ends};
use crate::transfer::Transfer;

/// What ranks did together.
#[derive(Clone, Debug)]
pub struct CutRun<T> {
    /// The results, put together from the ranks, those of each iteration by its name.
    pub outputs: Vec<(String, Value<T>)>,
    /// For each transfer of the partition and each rank, the bytes it sent, in all iterations.
    pub sent: Vec<Vec<u64>>,
    /// For each rank, the bytes of the parameters it holds.
    pub weights: Vec<u64>,
}

/// A number of bytes that is not what the formula says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Miscount {
    /// Where: the path of the value, or what is meant.
    pub path: String,
    /// Which rank.
    pub rank: usize,
    /// What it sent or holds.
    pub counted: Integer,
    /// What the formula says.
    pub formula: Integer,
}

impl Partition<'_> {
    /// Executes every rank at a complete binding, sources being given by the paths of their iterations.
    ///
    /// # Errors
    /// When the ranks do not divide a size, a source has no tensor, or an operation fails.
    pub fn run<T: Scalar>(
        &self,
        binding: &Binding,
        fed: &dyn Fn(&str) -> Option<Value<T>>,
    ) -> Result<CutRun<T>, PartitionError> {
        self.run_over(binding, fed, CountingWire::new)
    }

    /// The same over another wire, made for each exchange of so many ranks.
    ///
    /// # Errors
    /// As [`Partition::run`].
    pub fn run_over<T: Scalar, W: Wire>(
        &self,
        binding: &Binding,
        fed: &dyn Fn(&str) -> Option<Value<T>>,
        wire: impl Fn(usize) -> W,
    ) -> Result<CutRun<T>, PartitionError> {
        self.check(binding)?;
        let ranks = usize::try_from(self.ranks()).unwrap_or(usize::MAX);
        let graph = self.graph();
        let sent = vec![vec![0; ranks]; self.transfers().len()];
        let present = vec![0; graph.repetitions().len()];
        let (values, outputs) = (BTreeMap::new(), Vec::new());
        let mut run = Run { of: self, ranks, binding, fed, wire, values, present, sent, outputs };
        run.execute(0, graph.nodes().len())?;
        run.transfers(graph.nodes().len())?;
        for (name, var) in graph.outputs() {
            if graph.node(*var).repeat.is_none() {
                let value = run.together(*var)?;
                run.outputs.push((name.clone(), value));
            }
        }
        let weights = run.weights()?;
        Ok(CutRun { outputs: run.outputs, sent: run.sent, weights })
    }

    /// Where what a run counted is not what the formulas say, for each transfer and each rank.
    ///
    /// # Errors
    /// When a size has no value.
    pub fn miscounts<T>(
        &self,
        run: &CutRun<T>,
        binding: &Binding,
    ) -> Result<Vec<Miscount>, PartitionError> {
        let mut found = Vec::new();
        let mut hold = |path: &str, counted: &[u64], formula: &Integer| {
            for (rank, counted) in counted.iter().enumerate() {
                let counted = Integer::from(*counted);
                if counted != *formula {
                    let (path, formula) = (path.to_owned(), formula.clone());
                    found.push(Miscount { path, rank, counted, formula });
                }
            }
        };
        for (transfer, sent) in self.transfers().iter().zip(&run.sent) {
            let formula = (transfer.sent(self.ranks()) * &transfer.times).at(binding)?;
            hold(&self.graph().node(transfer.value).path, sent, &formula);
        }
        hold("weights", &run.weights, &self.weights().at(binding)?);
        Ok(found)
    }
}

struct Run<'a, T, F> {
    of: &'a Partition<'a>,
    ranks: usize,
    binding: &'a Binding,
    fed: &'a dyn Fn(&str) -> Option<Value<T>>,
    wire: F,
    /// The parts of all ranks.
    values: BTreeMap<(Var, Placement), Vec<Value<T>>>,
    /// The present iteration of each repetition.
    present: Vec<usize>,
    sent: Vec<Vec<u64>>,
    outputs: Vec<(String, Value<T>)>,
}

/// An operation on the values of one rank.
type Executing<'c, T> = dyn Fn(&[&Value<T>], &Op) -> Result<Vec<Value<T>>, OpError> + 'c;

impl<T: Scalar, W: Wire, F: Fn(usize) -> W> Run<'_, T, F> {
    fn graph(&self) -> &'_ Graph {
        self.of.graph()
    }

    fn execute(&mut self, start: usize, end: usize) -> Result<(), PartitionError> {
        let graph = self.of.graph();
        let mut at = start;
        for (var, node) in graph.vars().zip(graph.nodes()).skip(start).take(end - start) {
            if var.index() < at || node.op.is_source() {
                continue;
            }
            at = match ends(&node.op) {
                Some(End::Carry(carried)) => self.repeat(var, carried)?,
                Some(End::Exit(_)) | None => {
                    self.transfers(var.index())?;
                    self.apply(var, node)?;
                    var.index()
                }
            } + 1;
        }
        Ok(())
    }

    /// All iterations of the body that begins at a carry; where it ends.
    fn repeat(&mut self, carry: Var, carried: usize) -> Result<usize, PartitionError> {
        let graph = self.of.graph();
        let missing = || self.missing(carry, carry);
        let body = graph.loops().iter().find(|body| body.body.start == carry.index());
        let body = body.ok_or_else(missing)?;
        let exit = graph.vars().nth(body.body.end).ok_or_else(missing)?;
        let count = graph.repetition(body.repeat).count.at(self.binding)?;
        let count = to_usize(&count).map_err(|problem| self.wrong(carry, 0, problem))?;
        self.transfers(carry.index())?;
        let entering = self.operands(carry)?;
        let (slots, left) = (graph.results(carry).collect::<Vec<_>>(), graph.results(exit));
        let left: Vec<Var> = left.collect();
        let mut now: Vec<Vec<Value<T>>> = entering[..carried].to_vec();
        let mut gathered: Vec<Vec<Vec<Value<T>>>> = vec![Vec::new(); left.len() - carried];
        for turn in 0..count {
            let iteration = if body.reverse { count - 1 - turn } else { turn };
            self.present[body.repeat.index()] = iteration;
            for (slot, value) in slots.iter().zip(std::mem::take(&mut now)) {
                self.put(*slot, value);
            }
            for (slot, stack) in slots[carried..].iter().zip(&entering[carried..]) {
                let slices = stack.iter().map(|stack| slice(stack, iteration));
                let slices = slices.collect::<Result<_, _>>();
                self.put(*slot, slices.map_err(|problem| self.wrong(carry, 0, problem))?);
            }
            self.execute(carry.index() + 1, exit.index())?;
            self.transfers(exit.index())?;
            let own = |var: &Var| body.body.contains(&var.index());
            for (name, var) in graph.outputs().iter().filter(|(_, var)| own(var)) {
                if graph.node(*var).repeat == Some(body.repeat) {
                    let around = graph.repetitions_around(graph.node(*var));
                    let now: Vec<usize> =
                        around.iter().map(|id| self.present[id.index()]).collect();
                    let value = self.together(*var)?;
                    self.outputs.push((path_at(name, &now), value));
                }
            }
            let mut leaving = self.operands_from(exit, carried)?;
            let stacked = leaving.split_off(carried);
            now = leaving;
            for (gathered, value) in gathered.iter_mut().zip(stacked) {
                gathered.push(value);
            }
        }
        for (var, value) in left.iter().zip(now) {
            self.put(*var, value);
        }
        for (var, mut iterations) in left[carried..].iter().zip(gathered) {
            if body.reverse {
                iterations.reverse();
            }
            let each = (0..self.ranks).map(|rank| {
                let own: Vec<&Value<T>> = iterations.iter().map(|all| &all[rank]).collect();
                stacked(&own).map_err(|problem| self.wrong(exit, rank, problem))
            });
            let each = each.collect::<Result<_, _>>()?;
            self.put(*var, each);
        }
        Ok(body.body.end)
    }

    fn put(&mut self, var: Var, parts: Vec<Value<T>>) {
        self.values.insert((var, self.of.placement(var)), parts);
    }

    fn operands(&self, at: Var) -> Result<Vec<Vec<Value<T>>>, PartitionError> {
        self.operands_from(at, 0)
    }

    /// The parts of the operands of a node behind the first so many, as it wants them.
    fn operands_from(&self, at: Var, skip: usize) -> Result<Vec<Vec<Value<T>>>, PartitionError> {
        let wanted = self.of.wanted[at.index()].iter();
        let read = self.graph().node(at).inputs.iter().zip(wanted).skip(skip);
        read.map(|(var, placement)| self.read(at, *var, *placement)).collect()
    }

    fn read(
        &self,
        at: Var,
        var: Var,
        placement: Placement,
    ) -> Result<Vec<Value<T>>, PartitionError> {
        let node = self.graph().node(var);
        if node.op.is_source() && self.of.placement(var) == placement {
            let around = self.graph().repetitions_around(node);
            let iterations: Vec<usize> = around.iter().map(|id| self.present[id.index()]).collect();
            return self.source(node, placement, &path_at(&node.path, &iterations));
        }
        self.values.get(&(var, placement)).cloned().ok_or_else(|| self.missing(at, var))
    }

    fn source(
        &self,
        node: &Node,
        placement: Placement,
        path: &str,
    ) -> Result<Vec<Value<T>>, PartitionError> {
        let sizes = node.shape.axes.iter().map(|axis| to_usize(&axis.size.at(self.binding)?));
        let sizes: Vec<usize> =
            sizes.collect::<Result<_, OpError>>().map_err(|problem| op(path, 0, problem))?;
        let known = || {
            let Op::Source(source) = &node.op else { return None };
            source.known(&sizes).map(Value::Index)
        };
        let value = (self.fed)(path).or_else(known);
        let value = value.ok_or_else(|| PartitionError::Unfed { path: path.to_owned() })?;
        match placement {
            Placement::Cut(axis) => {
                cut_value(&value, axis, self.ranks).map_err(|problem| op(path, 0, problem))
            }
            Placement::Flat => flat(&value, self.ranks).map_err(|problem| op(path, 0, problem)),
            Placement::Whole | Placement::Partial | Placement::Chosen { .. } => {
                Ok(vec![value; self.ranks])
            }
        }
    }

    /// Executes a node on every rank.
    fn apply(&mut self, var: Var, node: &Node) -> Result<(), PartitionError> {
        let graph = self.of.graph();
        let operands = self.operands(var)?;
        let made = self.of.placement(var);
        let shapes = graph.operand_shapes(node);
        let mut output = Vec::with_capacity(node.shape.axes.len());
        for (at, axis) in node.shape.axes.iter().enumerate() {
            let size = to_usize(&axis.size.at(self.binding)?);
            let size = size.map_err(|problem| self.wrong(var, 0, problem))?;
            output.push(if made == Placement::Cut(at) { size / self.ranks } else { size });
        }
        let mut results: Vec<Vec<Value<T>>> = vec![Vec::new(); node.further.len() + 1];
        for rank in 0..self.ranks {
            let own: Vec<Value<T>> = operands.iter().map(|parts| parts[rank].clone()).collect();
            let call = |inputs: &[&Value<T>], op: &Op| {
                let call = Call {
                    path: &node.path,
                    inputs,
                    shapes: &shapes,
                    output: &output,
                    binding: self.binding,
                    reads: &Reads::of(inputs.len()),
                };
                op.reference(&call, &mut |_| {})
            };
            let made = self.on_rank(var, (rank, made), own, &call);
            let made = made.map_err(|problem| self.wrong(var, rank, problem))?;
            for (result, value) in results.iter_mut().zip(made) {
                result.push(value);
            }
        }
        for (result, parts) in graph.results(var).zip(results) {
            self.put(result, parts);
        }
        Ok(())
    }

    /// What a node is on a rank: the same operation, but that the rank knows which queries, words or experts
    /// it has.
    fn on_rank(
        &self,
        at: Var,
        (rank, made): (usize, Placement),
        mut own: Vec<Value<T>>,
        call: &Executing<'_, T>,
    ) -> Result<Vec<Value<T>>, OpError> {
        let mut op = self.graph().node(at).op.clone();
        let mut others = None;
        let wanted = &self.of.wanted[at.index()];
        if let Op::Attention(attention) = &mut op {
            shift(attention, made, rank, &own[0]);
        }
        let rows = [(matches!(op, Op::Embedding(_)), 0, 1), (matches!(op, Op::Experts(_)), 1, 2)];
        let rows = rows.into_iter().find(|(is, ..)| *is);
        if let Some((_, ids, table)) = rows
            && wanted[table] == Placement::Cut(0)
        {
            let held = own[table].shape()[0];
            let (local, foreign) = local_ids(&own[ids], held, rank)?;
            own[ids] = local;
            others = Some(foreign);
        }
        let inputs: Vec<&Value<T>> = own.iter().collect();
        let mut results = call(&inputs, &op)?;
        if let Some(foreign) = others {
            for result in &mut results {
                *result = without(result, &foreign)?;
            }
        }
        Ok(results)
    }

    /// The transfers before a node.
    fn transfers(&mut self, before: usize) -> Result<(), PartitionError> {
        let of = self.of;
        for (at, transfer) in of.transfers().iter().enumerate() {
            if transfer.before != before {
                continue;
            }
            let node = of.graph().node(transfer.value);
            if before == of.graph().nodes().len() && node.repeat.is_some() {
                self.everywhere(at, transfer, &of.graph().repetitions_around(node))?;
            } else {
                self.transfer(at, transfer)?;
            }
        }
        Ok(())
    }

    /// A transfer of a parameter of each iteration.
    fn everywhere(
        &mut self,
        at: usize,
        transfer: &Transfer,
        around: &[RepeatId],
    ) -> Result<(), PartitionError> {
        let graph = self.of.graph();
        let mut counts = Vec::with_capacity(around.len());
        for repeat in around {
            let count = to_usize(&graph.repetition(*repeat).count.at(self.binding)?);
            counts.push(count.map_err(|problem| self.wrong(transfer.value, 0, problem))?);
        }
        for iteration in indices(&counts) {
            for (repeat, now) in around.iter().zip(&iteration) {
                self.present[repeat.index()] = *now;
            }
            if transfer.from == Placement::Flat {
                let parts = self.read(transfer.value, transfer.value, Placement::Whole)?;
                let parts = self.alone((Placement::Whole, Placement::Flat), parts);
                let parts = parts.map_err(|problem| self.wrong(transfer.value, 0, problem))?;
                self.values.insert((transfer.value, Placement::Flat), parts);
            }
            self.transfer(at, transfer)?;
        }
        Ok(())
    }

    fn transfer(&mut self, at: usize, transfer: &Transfer) -> Result<(), PartitionError> {
        let Transfer { value, from, to, collective, .. } = transfer;
        let parts = self.read(*value, *value, *from)?;
        let shape = self.graph().shape(*value);
        let mut sizes = Vec::with_capacity(shape.axes.len());
        for axis in &shape.axes {
            let size = to_usize(&axis.size.at(self.binding)?);
            sizes.push(size.map_err(|problem| self.wrong(*value, 0, problem))?);
        }
        let mut wire = (self.wire)(self.ranks);
        let moved = match collective {
            Some(collective) => exchange(&mut wire, *collective, (*from, *to), parts, &sizes),
            None => self.alone((*from, *to), parts),
        };
        let moved = moved.map_err(|problem| self.wrong(*value, 0, problem))?;
        for (total, sent) in self.sent[at].iter_mut().zip(wire.sent()) {
            *total += sent;
        }
        self.values.insert((*value, *to), moved);
        Ok(())
    }

    /// What each rank does without the others.
    fn alone(
        &self,
        (from, to): (Placement, Placement),
        parts: Vec<Value<T>>,
    ) -> Result<Vec<Value<T>>, OpError> {
        if let Placement::Chosen { ids, weight } = from {
            let ids = self.read(ids, ids, Placement::Whole).map_err(|_| OpError::Operand(1))?;
            let experts = self.graph().shape(weight).axes[0].size.at(self.binding)?;
            let held = to_usize(&experts)? / self.ranks;
            let each = parts.iter().zip(&ids).enumerate().map(|(rank, (part, ids))| {
                let (_, foreign) = local_ids(ids, held, rank)?;
                without(part, &foreign)
            });
            return each.collect();
        }
        let own = parts.iter().enumerate().map(|(rank, part)| {
            let pieces = match to {
                Placement::Cut(axis) => cut_value(part, axis, self.ranks),
                Placement::Flat => flat(part, self.ranks),
                Placement::Whole | Placement::Partial | Placement::Chosen { .. } => {
                    return Ok(part.clone());
                }
            };
            pieces.map(|mut pieces| pieces.swap_remove(rank))
        });
        own.collect()
    }

    /// A result from the parts of all ranks.
    fn together(&self, var: Var) -> Result<Value<T>, PartitionError> {
        let found = self.values.iter().filter(|((own, _), _)| *own == var);
        let mut lies: Vec<(Placement, &Vec<Value<T>>)> =
            found.map(|((_, placement), parts)| (*placement, parts)).collect();
        lies.sort_by_key(|(placement, _)| *placement);
        match lies.first() {
            Some((Placement::Whole, parts)) => Ok(parts[0].clone()),
            Some((Placement::Cut(axis), parts)) => {
                let mut sizes = parts[0].shape().to_vec();
                sizes[*axis] *= self.ranks;
                assembled(parts, &sizes, *axis).map_err(|problem| self.wrong(var, 0, problem))
            }
            Some((Placement::Flat, parts)) => {
                let shape = self.graph().shape(var);
                let mut sizes = Vec::with_capacity(shape.axes.len());
                for axis in &shape.axes {
                    let size = to_usize(&axis.size.at(self.binding)?);
                    sizes.push(size.map_err(|problem| self.wrong(var, 0, problem))?);
                }
                let len = sizes.iter().product();
                let whole = assembled(parts, &[len], 0).and_then(|whole| reshaped(&whole, &sizes));
                whole.map_err(|problem| self.wrong(var, 0, problem))
            }
            Some((Placement::Partial | Placement::Chosen { .. }, _)) => Err(self.missing(var, var)),
            None if self.graph().node(var).op.is_source() => {
                let parts = self.read(var, var, self.of.placement(var))?;
                Ok(parts[0].clone())
            }
            None => Err(self.missing(var, var)),
        }
    }

    /// Bytes of the parameters that each rank holds.
    fn weights(&self) -> Result<Vec<u64>, PartitionError> {
        let mut held = vec![0; self.ranks];
        for (var, node) in self.graph().vars().zip(self.graph().nodes()) {
            let Op::Source(Source::Param { .. }) = &node.op else { continue };
            let paths = self.graph().instances(node, self.binding);
            for path in paths.map_err(|problem| self.wrong(var, 0, problem))? {
                let parts = self.source(node, self.of.placement(var), &path)?;
                for (held, part) in held.iter_mut().zip(&parts) {
                    *held += match part {
                        Value::Real(t) => size_of_val(t.data()) as u64,
                        Value::Index(t) => size_of_val(t.data()) as u64,
                    };
                }
            }
        }
        Ok(held)
    }

    fn wrong(&self, at: Var, rank: usize, problem: OpError) -> PartitionError {
        op(&self.graph().node(at).path, rank, problem)
    }

    fn missing(&self, at: Var, value: Var) -> PartitionError {
        let path = self.graph().node(at).path.clone();
        PartitionError::Missing { path, value: value.to_string() }
    }
}

fn op(path: &str, rank: usize, problem: OpError) -> PartitionError {
    PartitionError::Op { path: path.to_owned(), rank, problem }
}

/// Queries of a rank stand behind those of the ranks before it.
fn shift<T>(attention: &mut Attention, made: Placement, rank: usize, queries: &Value<T>) {
    let Some(query) = queries.shape().len().checked_sub(3) else { return };
    if made == Placement::Cut(query)
        && let Some(offset) = &mut attention.mask.offset
    {
        let before = rank * queries.shape()[query];
        *offset = &*offset + &opledger_dims::Poly::from(before as u64);
    }
}

/// Ids among the rows that a rank has, and which of them are none of its rows.
fn local_ids<T>(
    ids: &Value<T>,
    held: usize,
    rank: usize,
) -> Result<(Value<T>, Vec<bool>), OpError> {
    let ids = ids.index().ok_or(OpError::Operand(1))?;
    let own = |id: &i64| id - (rank * held) as i64;
    let foreign = |id: &i64| !(0..held as i64).contains(&own(id));
    let local = ids.map(|id| if foreign(id) { 0 } else { own(id) });
    Ok((Value::Index(local), ids.data().iter().map(foreign).collect()))
}

/// A value whose rows of foreign ids are zeros.
fn without<T: Scalar>(value: &Value<T>, foreign: &[bool]) -> Result<Value<T>, OpError> {
    let tensor = value.real().ok_or(OpError::Operand(0))?;
    let width = tensor.len() / foreign.len().max(1);
    let mut data = tensor.data().to_vec();
    for (row, _) in foreign.iter().enumerate().filter(|(_, foreign)| **foreign) {
        data[row * width..(row + 1) * width].fill(T::from_f64(0.0));
    }
    Ok(Value::Real(Tensor::new(tensor.shape(), data)?))
}

/// The slice of an iteration.
fn slice<T: Scalar>(stack: &Value<T>, iteration: usize) -> Result<Value<T>, OpError> {
    let (first, rest) = stack.shape().split_first().ok_or(OpError::Operand(0))?;
    let mut pieces = cut_value(stack, 0, *first)?;
    if iteration >= pieces.len() {
        return Err(OpError::Operand(0));
    }
    reshaped(&pieces.swap_remove(iteration), rest)
}

/// What iterations gave, side by side along a first axis.
fn stacked<T: Scalar>(all: &[&Value<T>]) -> Result<Value<T>, OpError> {
    let mut sizes = vec![all.len()];
    sizes.extend(all.first().into_iter().flat_map(|value| value.shape()));
    let whole: Vec<i64> =
        all.iter().filter_map(|v| v.index()).flat_map(|t| t.data()).copied().collect();
    if let Some(Value::Index(_)) = all.first() {
        return Ok(Value::Index(Tensor::new(&sizes, whole)?));
    }
    let data: Vec<T> =
        all.iter().filter_map(|v| v.real()).flat_map(|t| t.data()).copied().collect();
    Ok(Tensor::new(&sizes, data)?.into())
}
