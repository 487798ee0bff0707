//! A cut graph, executed: every rank in turn, node by node, and real buffers exchanged in between.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use opledger_dims::{Binding, Integer, Poly, Scalar};
use opledger_ir::ops::Source;
use opledger_ir::{
    Call, Graph, Node, Op, OpError, Operation, Reads, RepeatId, Value, Var, indices, path_at,
    to_usize,
};
use opledger_tensor::Tensor;

use crate::error::PartitionError;
use crate::exchange::{exchange, flat};
use crate::mesh::Mesh;
use crate::partition::Partition;
use crate::pieces::{bytes_of, cut_value, slice, stacked, zeros};
use crate::place::{local_ids, shift, without};
use crate::placement::{Placement, Placements};
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
    /// For each rank, the bytes of the results it gives.
    pub given: Vec<u64>,
    /// For each value that no iteration gives up and each rank, the bytes it holds.
    pub held: BTreeMap<Var, Vec<u64>>,
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
        let mut run = Run::new(self, binding, fed, wire)?;
        run.all()?;
        let weights = run.weights()?;
        let held = run.held();
        Ok(CutRun { outputs: run.outputs, sent: run.sent, weights, given: run.given, held })
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
            let formula = (transfer.sent() * &transfer.times).at(binding)?;
            hold(&self.graph().node(transfer.value).path, sent, &formula);
        }
        hold("weights", &run.weights, &self.weights().at(binding)?);
        let given: Poly = self.graph().outputs().iter().map(|(_, var)| self.given(*var)).sum();
        hold("results", &run.given, &given.at(binding)?);
        for (var, held) in &run.held {
            hold(&self.graph().node(*var).path, held, &self.held(*var).at(binding)?);
        }
        Ok(found)
    }
}

/// Layers on stages: what the next one is given.
pub(crate) struct Staged<'a> {
    pub(crate) repeat: RepeatId,
    pub(crate) stages: usize,
    /// What a stage hands to the next, as the next reads it.
    pub(crate) handed: &'a [(Var, Placements)],
    /// What follows from parameters: the rest each stage computes for itself.
    pub(crate) learned: &'a BTreeSet<Var>,
}

pub(crate) struct Run<'a, T, F> {
    of: &'a Partition<'a>,
    mesh: Mesh,
    ranks: usize,
    pub(crate) staged: Option<Staged<'a>>,
    /// For each stage but the last, the bytes that each of its ranks handed to the next.
    pub(crate) handed: Vec<Vec<u64>>,
    /// For each stage, the bytes of each parameter that a rank read.
    pub(crate) read: RefCell<Vec<BTreeMap<String, u64>>>,
    binding: &'a Binding,
    fed: &'a dyn Fn(&str) -> Option<Value<T>>,
    wire: F,
    /// The parts of all ranks.
    values: BTreeMap<(Var, Placements), Vec<Value<T>>>,
    /// The present iteration of each repetition.
    present: Vec<usize>,
    sent: Vec<Vec<u64>>,
    given: Vec<u64>,
    pub(crate) outputs: Vec<(String, Value<T>)>,
}

/// An operation on the values of one rank.
type Executing<'c, T> = dyn Fn(&[&Value<T>], &Op) -> Result<Vec<Value<T>>, OpError> + 'c;

impl<'a, T: Scalar, W: Wire, F: Fn(usize) -> W> Run<'a, T, F> {
    pub(crate) fn new(
        of: &'a Partition<'a>,
        binding: &'a Binding,
        fed: &'a dyn Fn(&str) -> Option<Value<T>>,
        wire: F,
    ) -> Result<Self, PartitionError> {
        of.check(binding)?;
        let mesh = Mesh::of(of.mesh());
        let ranks = mesh.ranks();
        Ok(Run {
            of,
            ranks,
            staged: None,
            handed: Vec::new(),
            read: RefCell::new(vec![BTreeMap::new()]),
            binding,
            fed,
            wire,
            values: BTreeMap::new(),
            present: vec![0; of.graph().repetitions().len()],
            sent: vec![vec![0; ranks]; of.transfers().len()],
            given: vec![0; ranks],
            outputs: Vec::new(),
            mesh,
        })
    }

    /// Executes all nodes, and gives the results.
    pub(crate) fn all(&mut self) -> Result<(), PartitionError> {
        let graph = self.of.graph();
        self.execute(0, graph.nodes().len())?;
        self.transfers(graph.nodes().len())?;
        for (name, var) in graph.outputs() {
            if graph.node(*var).repeat.is_none() {
                let value = self.together(*var)?;
                self.outputs.push((name.clone(), value));
            }
        }
        Ok(())
    }

    /// For each transfer of the partition and each rank, the bytes it sent.
    pub(crate) fn sent(&self) -> Vec<Vec<u64>> {
        self.sent.clone()
    }

    fn graph(&self) -> &'a Graph {
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
            if self.staged.as_ref().is_some_and(|own| own.repeat == body.repeat) {
                self.hand_over((turn, count), &slots, &mut now)?;
            }
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

    /// Where an iteration begins a stage, all that the one before has is given up, but for what it hands over.
    fn hand_over(
        &mut self,
        (turn, count): (usize, usize),
        slots: &[Var],
        now: &mut [Vec<Value<T>>],
    ) -> Result<(), PartitionError> {
        let Some(staged) = &self.staged else { return Ok(()) };
        let each = count / staged.stages;
        if turn == 0 || turn % each != 0 {
            return Ok(());
        }
        let (learned, handed) = (staged.learned, staged.handed);
        let mut sent = vec![0; self.ranks];
        let mut arrived = Vec::new();
        for (var, layout) in handed {
            let parts = match slots.iter().position(|slot| slot == var) {
                Some(slot) => now[slot].clone(),
                None => self.read(*var, *var, layout)?,
            };
            let mut own = Vec::with_capacity(parts.len());
            for (rank, part) in parts.iter().enumerate() {
                let mut wire = (self.wire)(2);
                let part = passed(&mut wire, part);
                own.push(part.map_err(|problem| self.wrong(*var, rank, problem))?);
                sent[rank] += wire.sent()[0];
            }
            match slots.iter().position(|slot| slot == var) {
                Some(slot) => now[slot] = own,
                None => arrived.push(((*var, layout.clone()), own)),
            }
        }
        self.values.retain(|(var, _), _| !learned.contains(var));
        self.values.extend(arrived);
        self.handed.push(sent);
        self.read.get_mut().push(BTreeMap::new());
        Ok(())
    }

    fn put(&mut self, var: Var, parts: Vec<Value<T>>) {
        self.values.insert((var, self.of.layout(var)), parts);
    }

    fn operands(&self, at: Var) -> Result<Vec<Vec<Value<T>>>, PartitionError> {
        self.operands_from(at, 0)
    }

    /// The parts of the operands of a node behind the first so many, as it wants them.
    fn operands_from(&self, at: Var, skip: usize) -> Result<Vec<Vec<Value<T>>>, PartitionError> {
        let wanted = self.of.wanted[at.index()].iter();
        let read = self.graph().node(at).inputs.iter().zip(wanted).skip(skip);
        read.map(|(var, layout)| self.read(at, *var, layout)).collect()
    }

    fn read(
        &self,
        at: Var,
        var: Var,
        layout: &Placements,
    ) -> Result<Vec<Value<T>>, PartitionError> {
        let node = self.graph().node(var);
        if node.op.is_source() && self.of.layout(var) == *layout {
            let around = self.graph().repetitions_around(node);
            let iterations: Vec<usize> = around.iter().map(|id| self.present[id.index()]).collect();
            return self.source(node, layout, &path_at(&node.path, &iterations));
        }
        self.values.get(&(var, layout.clone())).cloned().ok_or_else(|| self.missing(at, var))
    }

    fn source(
        &self,
        node: &Node,
        layout: &Placements,
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
        let parts = self.mesh.parts(&value, layout);
        let parts = parts.map_err(|problem| op(path, 0, problem))?;
        if let (Op::Source(Source::Param { .. }), Some(stage)) =
            (&node.op, self.read.borrow_mut().last_mut())
        {
            stage.insert(path.to_owned(), bytes_of(&parts[0]));
        }
        Ok(parts)
    }

    /// Executes a node on every rank.
    fn apply(&mut self, var: Var, node: &Node) -> Result<(), PartitionError> {
        let graph = self.of.graph();
        let operands = self.operands(var)?;
        let made = self.of.layout(var);
        let shapes = graph.operand_shapes(node);
        let mut output = Vec::with_capacity(node.shape.axes.len());
        for (at, axis) in node.shape.axes.iter().enumerate() {
            let size = to_usize(&axis.size.at(self.binding)?);
            let size = size.map_err(|problem| self.wrong(var, 0, problem))?;
            output.push(size / self.mesh.shares(&made, at));
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
            let made = self.on_rank(var, (rank, &made), own, &call);
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
        (rank, made): (usize, &Placements),
        mut own: Vec<Value<T>>,
        call: &Executing<'_, T>,
    ) -> Result<Vec<Value<T>>, OpError> {
        let mut op = self.graph().node(at).op.clone();
        let mut others = None;
        let wanted = &self.of.wanted[at.index()];
        for along in 0..made.len() {
            let place = self.mesh.place(rank, along);
            if let Op::Attention(attention) = &mut op {
                shift(attention, made[along], place, &own[0]);
            }
            let rows =
                [(matches!(op, Op::Embedding(_)), 0, 1), (matches!(op, Op::Experts(_)), 1, 2)];
            let rows = rows.into_iter().find(|(is, ..)| *is);
            if let Some((_, ids, table)) = rows
                && wanted[table][along] == Placement::Cut(0)
            {
                let held = own[table].shape()[0];
                let (local, foreign) = local_ids(&own[ids], held, place)?;
                own[ids] = local;
                others = Some(foreign);
            }
            // Of the experts that a rank has, rows that chose another are none.
            if matches!(op, Op::ExpertsOuter(_)) && made[along] == Placement::Cut(0) {
                let experts = self.graph().shape(at).axes[0].size.at(self.binding)?;
                let held = to_usize(&experts)? / self.mesh.size(along);
                let (local, foreign) = local_ids(&own[EXPERTS_OUTER_IDS], held, place)?;
                own[EXPERTS_OUTER_IDS] = local;
                own[EXPERTS_OUTER_ROWS] = without(&own[EXPERTS_OUTER_ROWS], &foreign)?;
            }
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
            if transfer.from() == Placement::Flat {
                let whole = transfer.lies.with(transfer.along, Placement::Whole);
                let parts = self.read(transfer.value, transfer.value, &whole)?;
                let parts = self.alone(transfer.along, (&whole, Placement::Flat), parts);
                let parts = parts.map_err(|problem| self.wrong(transfer.value, 0, problem))?;
                self.values.insert((transfer.value, transfer.lies.clone()), parts);
            }
            self.transfer(at, transfer)?;
        }
        Ok(())
    }

    fn transfer(&mut self, at: usize, transfer: &Transfer) -> Result<(), PartitionError> {
        let Transfer { value, along, lies, to, collective, .. } = transfer;
        let (along, ends) = (*along, (transfer.from(), *to));
        let parts = self.read(*value, *value, lies)?;
        let path = &self.of.graph().node(*value).path;
        let wrong = |problem| op(path, 0, problem);
        let moved = match collective {
            Some(collective) => {
                let others = lies.with(along, Placement::Whole);
                let sizes = self.sizes(*value)?;
                let sizes: Vec<usize> = { sizes.iter().enumerate() }
                    .map(|(at, size)| size / self.mesh.shares(&others, at))
                    .collect();
                let mut moved = vec![None; self.ranks];
                for group in self.mesh.groups(along) {
                    let mut wire = (self.wire)(group.len());
                    let own = group.iter().map(|rank| parts[*rank].clone()).collect();
                    let own = exchange(&mut wire, *collective, ends, own, &sizes).map_err(wrong)?;
                    for ((rank, part), sent) in group.iter().zip(own).zip(wire.sent()) {
                        moved[*rank] = Some(part);
                        self.sent[at][*rank] += sent;
                    }
                }
                moved.into_iter().flatten().collect()
            }
            None => self.alone(along, (lies, *to), parts).map_err(wrong)?,
        };
        self.values.insert((*value, lies.with(along, *to)), moved);
        Ok(())
    }

    /// The sizes of a value.
    fn sizes(&self, var: Var) -> Result<Vec<usize>, PartitionError> {
        let axes = self.graph().shape(var).axes.iter();
        axes.map(|axis| {
            let size = to_usize(&axis.size.at(self.binding)?);
            size.map_err(|problem| self.wrong(var, 0, problem))
        })
        .collect()
    }

    /// What each rank does without the others.
    fn alone(
        &self,
        along: usize,
        (lies, to): (&Placements, Placement),
        parts: Vec<Value<T>>,
    ) -> Result<Vec<Value<T>>, OpError> {
        let ranks = self.mesh.size(along);
        if let Placement::Chosen { ids, weight } = lies[along] {
            let axes = self.graph().shape(ids).axes.len();
            // Rows lie as what says which expert they are of.
            let rows = lies.map(|(_, placement)| match placement {
                Placement::Cut(axis) if *axis < axes => *placement,
                _ => Placement::Whole,
            });
            let ids = self.read(ids, ids, &rows).map_err(|_| OpError::Operand(1))?;
            let experts = self.graph().shape(weight).axes[0].size.at(self.binding)?;
            let held = to_usize(&experts)? / ranks;
            let each = parts.iter().zip(&ids).enumerate().map(|(rank, (part, ids))| {
                let (_, foreign) = local_ids(ids, held, self.mesh.place(rank, along))?;
                without(part, &foreign)
            });
            return each.collect();
        }
        let own = parts.iter().enumerate().map(|(rank, part)| {
            let place = self.mesh.place(rank, along);
            let pieces = match to {
                Placement::Cut(axis) => cut_value(part, axis, ranks),
                Placement::Flat => flat(part, ranks),
                // One of them has the sum so far.
                Placement::Partial if place > 0 => return zeros(part),
                Placement::Whole | Placement::Partial | Placement::Chosen { .. } => {
                    return Ok(part.clone());
                }
            };
            pieces.map(|mut pieces| pieces.swap_remove(place))
        });
        own.collect()
    }

    /// A result from the parts of all ranks.
    fn together(&mut self, var: Var) -> Result<Value<T>, PartitionError> {
        let layout = self.of.results.get(&var).ok_or_else(|| self.missing(var, var))?;
        let parts = self.read(var, var, layout)?;
        self.given.iter_mut().zip(&parts).for_each(|(given, part)| *given += bytes_of(part));
        let whole = self.mesh.whole(parts, layout, &self.sizes(var)?);
        whole.map_err(|problem| self.wrong(var, 0, problem))
    }

    /// Bytes of the reals that each rank holds at the end, as they were made.
    fn held(&self) -> BTreeMap<Var, Vec<u64>> {
        let own = self.values.iter().filter(|((var, layout), parts)| {
            let node = self.graph().node(*var);
            let real = parts.iter().all(|part| part.real().is_some());
            real && node.repeat.is_none() && !node.op.is_source() && self.of.layout(*var) == *layout
        });
        own.map(|((var, _), parts)| (*var, parts.iter().map(bytes_of).collect())).collect()
    }

    /// Bytes of the parameters that each rank holds.
    fn weights(&self) -> Result<Vec<u64>, PartitionError> {
        let mut held = vec![0; self.ranks];
        for (var, node) in self.graph().vars().zip(self.graph().nodes()) {
            let Op::Source(Source::Param { .. }) = &node.op else { continue };
            let paths = self.graph().instances(node, self.binding);
            for path in paths.map_err(|problem| self.wrong(var, 0, problem))? {
                let parts = self.source(node, &self.of.layout(var), &path)?;
                for (held, part) in held.iter_mut().zip(&parts) {
                    *held += bytes_of(part);
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

/// Operands of the gradients of experts' weights: the ids of rows, and one of the two that are multiplied.
const EXPERTS_OUTER_IDS: usize = 1;
const EXPERTS_OUTER_ROWS: usize = 0;

/// A value over a wire between two stages.
fn passed<T: Scalar>(wire: &mut impl Wire, value: &Value<T>) -> Result<Value<T>, OpError> {
    Ok(match value {
        Value::Real(t) => Value::Real(Tensor::new(t.shape(), wire.send(0, 1, t.data()))?),
        Value::Index(t) => Value::Index(Tensor::new(t.shape(), wire.send(0, 1, t.data()))?),
    })
}
