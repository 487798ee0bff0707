//! A graph cut among ranks: how every value lies, and what crosses.

use std::collections::BTreeMap;

use num_traits::Zero;
use opledger_dims::{Binding, EvalError, Integer, Poly};
use opledger_ir::ops::Source;
use opledger_ir::{Graph, Loop, Op, Phase, RepeatId, Var};

use crate::error::PartitionError;
use crate::placement::Placement;
use crate::rules::Rules;
use crate::strategy::{Seeds, Strategy};
use crate::threads::{End, Threads, ends, is_param};
use crate::transfer::{Collective, Transfer};

/// A graph cut among ranks.
#[derive(Debug)]
pub struct Partition<'g> {
    graph: &'g Graph,
    ranks: u64,
    strategy: Strategy,
    /// How each operand of each node is read.
    pub(crate) wanted: Vec<Vec<Placement>>,
    /// How the results of each node lie.
    pub(crate) made: Vec<Vec<Placement>>,
    transfers: Vec<Transfer>,
    threads: Threads,
    seeds: Seeds,
}

impl<'g> Partition<'g> {
    /// Cuts a graph.
    ///
    /// # Errors
    /// When there are fewer than two ranks, or nothing that could be cut so.
    pub fn new(graph: &'g Graph, strategy: Strategy, ranks: u64) -> Result<Self, PartitionError> {
        if ranks < 2 {
            return Err(PartitionError::Ranks { ranks });
        }
        let threads = Threads::of(graph);
        let seeds = strategy.seeds(graph, &threads)?;
        let (wanted, made, transfers) = (Vec::new(), Vec::new(), Vec::new());
        let mut partition =
            Partition { graph, ranks, strategy, wanted, made, transfers, threads, seeds };
        partition.plan();
        Ok(partition)
    }

    /// The graph.
    pub fn graph(&self) -> &'g Graph {
        self.graph
    }

    /// How many ranks there are.
    pub fn ranks(&self) -> u64 {
        self.ranks
    }

    /// In which way it is cut.
    pub fn strategy(&self) -> Strategy {
        self.strategy
    }

    /// How a value lies where it is made.
    pub fn placement(&self, var: Var) -> Placement {
        let made = self.made.get(var.index()).and_then(|results| results.get(var.result()));
        made.copied().unwrap_or(Placement::Whole)
    }

    /// What is brought to lie in another way, in the order of the nodes that read it.
    pub fn transfers(&self) -> &[Transfer] {
        &self.transfers
    }

    /// What crosses between ranks: of the transfers those that are a collective.
    pub fn collectives(&self) -> impl Iterator<Item = (&Transfer, Collective)> {
        self.transfers.iter().filter_map(|transfer| Some((transfer, transfer.collective?)))
    }

    /// Bytes that one rank sends in a run.
    pub fn sent(&self) -> Poly {
        let sent = |transfer: &Transfer| transfer.sent(self.ranks) * &transfer.times;
        self.transfers.iter().map(sent).sum()
    }

    /// Bytes of the parameters that a rank holds.
    pub fn weights(&self) -> Poly {
        self.graph.vars().map(|var| self.weight(var, self.placement(var))).sum()
    }

    /// Bytes of all parameters.
    pub fn whole_weights(&self) -> Poly {
        self.graph.vars().map(|var| self.weight(var, Placement::Whole)).sum()
    }

    fn weight(&self, var: Var, placement: Placement) -> Poly {
        let node = self.graph.node(var);
        if !is_param(self.graph, var) {
            return Poly::zero();
        }
        let elements = placement.elements(&node.shape, self.ranks);
        let bits = elements * node.shape.elem.bits() as i64 * self.graph.multiplicity(node);
        self.graph.fold(&bits.ratio(1, 8))
    }

    /// Checks that the ranks divide every axis that is cut, and every buffer that goes round in parts, as far as
    /// their sizes are given.
    ///
    /// # Errors
    /// The first size that they do not divide, with both sides.
    pub fn check(&self, binding: &Binding) -> Result<(), PartitionError> {
        for var in self.graph.vars().flat_map(|var| self.graph.results(var)) {
            if let Placement::Cut(axis) = self.placement(var) {
                self.divides(var, axis, binding)?;
            }
        }
        for transfer in &self.transfers {
            for axis in [transfer.from, transfer.to].into_iter().filter_map(Placement::axis) {
                self.divides(transfer.value, axis, binding)?;
            }
            let flat = [transfer.from, transfer.to].contains(&Placement::Flat);
            if flat || transfer.collective == Some(Collective::AllReduce) {
                let elements = self.graph.shape(transfer.value).elements();
                self.divided(transfer.value, &elements, "elements", binding)?;
            }
        }
        Ok(())
    }

    fn divides(&self, var: Var, axis: usize, binding: &Binding) -> Result<(), PartitionError> {
        let what = self.seeds.counts.get(&self.threads.at(var, axis)).copied().unwrap_or("places");
        self.divided(var, &self.graph.shape(var).axes[axis].size, what, binding)
    }

    fn divided(
        &self,
        var: Var,
        formula: &Poly,
        what: &str,
        binding: &Binding,
    ) -> Result<(), PartitionError> {
        let size = match formula.at(binding) {
            Ok(size) => size,
            // What is free is not held against anything.
            Err(EvalError::Unbound(_)) => return Ok(()),
            Err(problem) => return Err(problem.into()),
        };
        let ranks = self.ranks;
        if (&size % ranks).is_zero() {
            return Ok(());
        }
        let (formula, path) = (formula.clone(), self.graph.node(var).path.clone());
        Err(PartitionError::Uneven { ranks, size, what: what.to_owned(), formula, path })
    }

    fn plan(&mut self) {
        let graph = self.graph;
        let mut also = Known::default();
        let mut open: Vec<&Loop> = Vec::new();
        for (var, node) in graph.vars().zip(graph.nodes()) {
            let at = var.index();
            let given: Vec<Placement> =
                node.inputs.iter().map(|var| self.placement(*var)).collect();
            let count = node.further.len() + 1;
            match ends(&node.op) {
                Some(End::Carry(carried)) => {
                    let wanted: Vec<Placement> =
                        node.inputs
                            .iter()
                            .zip(&given)
                            .enumerate()
                            .map(|(at, (var, given))| {
                                if at < carried {
                                    self.carried(*var, *given)
                                } else {
                                    stack(*given)
                                }
                            })
                            .collect();
                    let body = graph.loops().iter().find(|body| body.body.start == at);
                    let around = body.and_then(|body| graph.repetition(body.repeat).parent);
                    self.bring(&mut also, (at, around), node.inputs.iter().zip(&wanted));
                    let slices = wanted.iter().enumerate().map(|(at, placement)| match placement {
                        Placement::Cut(axis) if at >= carried => Placement::Cut(axis - 1),
                        other => *other,
                    });
                    self.made.push(slices.collect());
                    self.wanted.push(wanted);
                    open.extend(body);
                }
                Some(End::Exit(carried)) => {
                    let Some(body) = open.pop() else { continue };
                    let entered = self.made[body.body.start][..carried].to_vec();
                    let stacked =
                        given[2 * carried..].iter().map(|placement| one_by_one(*placement));
                    let wanted: Vec<Placement> =
                        entered.iter().chain(&entered).copied().chain(stacked).collect();
                    let inside = Some(body.repeat);
                    let left = node.inputs.iter().zip(&wanted).skip(carried);
                    self.bring(&mut also, (at, inside), left);
                    self.results_of(&mut also, at, inside, |var| body.body.contains(&var.index()));
                    let stacks = wanted[2 * carried..].iter().map(|placement| match placement {
                        Placement::Cut(axis) => Placement::Cut(axis + 1),
                        other => *other,
                    });
                    self.made.push(entered.into_iter().chain(stacks).collect());
                    self.wanted.push(wanted);
                    // What was brought inside is of an iteration.
                    also.forget_since(body.body.start);
                }
                None if node.op.is_source() => {
                    let cut = self.seeds.cut.get(&var).map(|axis| Placement::Cut(*axis));
                    let flat = self.seeds.flat && is_param(graph, var);
                    let whole = if flat { Placement::Flat } else { Placement::Whole };
                    self.made.push(vec![cut.unwrap_or(whole); count]);
                    self.wanted.push(Vec::new());
                }
                None => {
                    let rules = Rules { graph, threads: &self.threads, tokens: &self.seeds.tokens };
                    let decision = rules.decide(node, &given);
                    let read = node.inputs.iter().zip(&decision.wanted);
                    self.bring(&mut also, (at, node.repeat), read);
                    self.made.push(vec![decision.results; count]);
                    self.wanted.push(decision.wanted);
                }
            }
        }
        let end = graph.nodes().len();
        self.results_of(&mut also, end, None, |var| graph.node(var).repeat.is_none());
        if self.seeds.flat_sums && !self.seeds.flat {
            self.gather_updated(end);
        }
    }

    /// How a value goes from iteration to iteration: whole, or cut.
    fn carried(&self, var: Var, given: Placement) -> Placement {
        let tokens = self.seeds.tokens.iter();
        let axis = tokens.copied().find_map(|thread| self.threads.axis_in(self.graph, var, thread));
        match (given, axis) {
            (Placement::Cut(axis), _) | (_, Some(axis)) => Placement::Cut(axis),
            (_, None) => Placement::Whole,
        }
    }

    /// The parts of the parameters that ranks have changed, for all of them.
    fn gather_updated(&mut self, end: usize) {
        let graph = self.graph;
        for (var, node) in
            graph.vars().zip(graph.nodes()).filter(|(var, _)| is_trained(graph, *var))
        {
            let mut also = Known::default();
            let repeat = node.repeat;
            self.step(&mut also, (end, repeat), var, (Placement::Whole, Placement::Flat));
            self.step(&mut also, (end, repeat), var, (Placement::Flat, Placement::Whole));
        }
    }

    /// Results are whole or cut: sums are finished.
    fn results_of(
        &mut self,
        also: &mut Known,
        before: usize,
        repeat: Option<RepeatId>,
        own: impl Fn(Var) -> bool,
    ) {
        let graph = self.graph;
        for (_, var) in graph.outputs().iter().filter(|(_, var)| own(*var)) {
            let wanted = one_by_one(self.placement(*var));
            let wanted = match wanted {
                Placement::Partial if self.seeds.flat_sums => Placement::Flat,
                Placement::Partial => self.carried(*var, wanted),
                other => other,
            };
            self.bring(also, (before, repeat), [(var, &wanted)].into_iter());
        }
    }

    /// Brings values to lie as they are wanted, unless they do already.
    fn bring<'v>(
        &mut self,
        also: &mut Known,
        (before, repeat): (usize, Option<RepeatId>),
        wanted: impl Iterator<Item = (&'v Var, &'v Placement)>,
    ) {
        for (var, to) in wanted {
            let (var, to, made) = (*var, *to, self.placement(*var));
            // A parameter of which ranks have parts is given up behind a pass.
            let gathered = self.seeds.flat && is_param(self.graph, var);
            let phase = self.graph.nodes().get(before).map(|node| node.phase);
            let passed = gathered && also.phase(var, to) != Some(phase);
            if made == to || also.has(var, to) && !passed {
                continue;
            }
            // What is whole already is cut without asking anybody; a finished sum is not summed again.
            let from =
                [Placement::Whole].into_iter().chain(also.cuts(var)).find(|p| also.has(var, *p));
            let from = from.filter(|_| !gathered).unwrap_or(made);
            self.step(also, (before, repeat), var, (from, to));
        }
    }

    fn step(
        &mut self,
        also: &mut Known,
        (before, repeat): (usize, Option<RepeatId>),
        value: Var,
        (from, to): (Placement, Placement),
    ) {
        let collective = match (from, to) {
            (Placement::Chosen { .. }, Placement::Partial) => None,
            (Placement::Chosen { .. }, _) => {
                self.step(also, (before, repeat), value, (from, Placement::Partial));
                return self.step(also, (before, repeat), value, (Placement::Partial, to));
            }
            (Placement::Partial, Placement::Cut(_) | Placement::Flat) => {
                Some(Collective::ReduceScatter)
            }
            (Placement::Partial, _) => Some(Collective::AllReduce),
            (Placement::Cut(_), Placement::Cut(_)) => Some(Collective::AllToAll),
            (Placement::Cut(_) | Placement::Flat, _) => Some(Collective::AllGather),
            (Placement::Whole, _) => None,
        };
        let shape = self.graph.shape(value);
        let bits = shape.elements() * shape.elem.bits() as i64;
        let (bytes, times) = (self.graph.fold(&bits.ratio(1, 8)), self.times(repeat));
        let phase = self.graph.nodes().get(before).map(|node| node.phase);
        also.add(value, to, (before, phase));
        self.transfers.push(Transfer { value, from, to, collective, before, times, bytes });
    }

    fn times(&self, repeat: Option<RepeatId>) -> Poly {
        let around = std::iter::successors(repeat, |id| self.graph.repetition(*id).parent);
        around.map(|id| &self.graph.repetition(id).count).product()
    }

    /// The sum of what one rank sends, at sizes.
    ///
    /// # Errors
    /// As [`Partition::check`].
    pub fn sent_at(&self, binding: &Binding) -> Result<Integer, PartitionError> {
        self.check(binding)?;
        Ok(self.sent().at(binding)?)
    }
}

/// How values lie beside the way in which they were made, and since when.
#[derive(Debug, Default)]
struct Known(BTreeMap<(Var, Placement), (usize, Option<Phase>)>);

impl Known {
    fn has(&self, var: Var, placement: Placement) -> bool {
        self.0.contains_key(&(var, placement))
    }

    fn cuts(&self, var: Var) -> impl Iterator<Item = Placement> {
        let own =
            self.0.keys().filter(move |(own, placement)| *own == var && placement.axis().is_some());
        own.map(|(_, placement)| *placement).collect::<Vec<_>>().into_iter()
    }

    fn phase(&self, var: Var, placement: Placement) -> Option<Option<Phase>> {
        self.0.get(&(var, placement)).map(|(_, phase)| *phase)
    }

    fn add(&mut self, var: Var, placement: Placement, since: (usize, Option<Phase>)) {
        self.0.insert((var, placement), since);
    }

    fn forget_since(&mut self, node: usize) {
        self.0.retain(|_, (since, _)| *since <= node);
    }
}

/// A stack whose slices are handed to iterations one by one.
fn stack(given: Placement) -> Placement {
    match given {
        Placement::Cut(0) => Placement::Whole,
        other => one_by_one(other),
    }
}

/// Rows of own experts do not leave the layer.
fn one_by_one(given: Placement) -> Placement {
    match given {
        Placement::Chosen { .. } => Placement::Partial,
        Placement::Whole | Placement::Cut(_) | Placement::Flat | Placement::Partial => given,
    }
}

/// Whether a value is a parameter that training changes.
fn is_trained(graph: &Graph, var: Var) -> bool {
    matches!(graph.node(var).op, Op::Source(Source::Param { trainable: true, .. }))
}
