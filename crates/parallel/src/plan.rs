//! How values lie and what crosses, worked out node by node.

use std::collections::BTreeMap;

use opledger_dims::Poly;
use opledger_ir::ops::{Arithmetic, ArithmeticKind, Source};
use opledger_ir::{Graph, Loop, Node, Op, Phase, RepeatId, Var};

use crate::partition::Partition;
use crate::placement::{Placement, Placements};
use crate::rules::Rules;
use crate::threads::{End, ends, is_param};
use crate::transfer::{Collective, Transfer};

impl Partition<'_> {
    /// Plans until no more of what is carried turns out to be a sum that lies as its terms do.
    pub(crate) fn plan(&mut self) {
        loop {
            self.pass();
            let more = self.added_up();
            if more.is_empty() {
                return;
            }
            self.added.extend(more);
        }
    }

    /// Values that an iteration only adds to lie as what it adds: of partial sums, the sum is finished behind the
    /// last iteration, once.
    fn added_up(&self) -> Vec<((Var, usize), Placement)> {
        let graph = self.graph;
        let mut found = Vec::new();
        for body in graph.loops() {
            let Some(carry) = graph.vars().nth(body.body.start) else { continue };
            let (all, slots) = (graph.ends(body), graph.results(carry));
            for ((slot, next), entering) in slots.zip(all.next).zip(all.entering) {
                let Some(terms) = added(graph, slot, *next) else { continue };
                for along in 0..self.mesh.len() {
                    let lies = |var: Var| self.layout(var)[along];
                    let to = lies(terms[0]);
                    let alike = terms.iter().all(|term| lies(*term) == to);
                    let adds = matches!(to, Placement::Partial | Placement::Cut(_));
                    let begun = [Placement::Whole, to].contains(&lies(*entering));
                    let new = !self.added.contains_key(&(slot, along)) && lies(slot) != to;
                    if new && alike && adds && begun {
                        found.push(((slot, along), to));
                    }
                }
            }
        }
        found
    }

    fn pass(&mut self) {
        let graph = self.graph;
        self.made.clear();
        self.wanted.clear();
        self.transfers.clear();
        let mut also = Known::default();
        let mut open: Vec<&Loop> = Vec::new();
        for (var, node) in graph.vars().zip(graph.nodes()) {
            let at = var.index();
            let given: Vec<Placements> = node.inputs.iter().map(|var| self.layout(*var)).collect();
            let count = node.further.len() + 1;
            match ends(&node.op) {
                Some(End::Carry(carried)) => {
                    let slots = graph.results(var);
                    let pairs = node.inputs.iter().zip(slots).zip(&given).enumerate();
                    let wanted: Vec<Placements> = pairs
                        .map(|(at, ((var, slot), given))| {
                            given.map(|(along, placement)| match at < carried {
                                true => self.carried(along, (*var, slot), *placement),
                                false => stack(*placement, |ids| is_given(node, carried, ids)),
                            })
                        })
                        .collect();
                    let body = graph.loops().iter().find(|body| body.body.start == at);
                    let around = body.and_then(|body| graph.repetition(body.repeat).parent);
                    self.bring(&mut also, (at, around), node.inputs.iter().zip(&wanted));
                    let slices = wanted.iter().enumerate().map(|(at, layout)| {
                        layout.map(|(_, placement)| match *placement {
                            Placement::Cut(axis) if at >= carried => Placement::Cut(axis - 1),
                            other => {
                                other.of(|ids| graph.results(var).nth(at_of(node, carried, ids)?))
                            }
                        })
                    });
                    self.made.push(slices.collect());
                    self.wanted.push(wanted);
                    open.extend(body);
                }
                Some(End::Exit(carried)) => {
                    let Some(body) = open.pop() else { continue };
                    let entered = self.made[body.body.start][..carried].to_vec();
                    let left = |ids| is_given(node, 2 * carried, ids);
                    let stacked = given[2 * carried..]
                        .iter()
                        .map(|layout| layout.map(|(_, placement)| with_ids(*placement, left)));
                    let wanted: Vec<Placements> =
                        entered.iter().chain(&entered).cloned().chain(stacked).collect();
                    let inside = Some(body.repeat);
                    let leaving = node.inputs.iter().zip(&wanted).skip(carried);
                    self.bring(&mut also, (at, inside), leaving);
                    // What a repetition further in gives is given there.
                    let own = |var: Var| {
                        body.body.contains(&var.index()) && graph.node(var).repeat == inside
                    };
                    self.results_of(&mut also, at, inside, own);
                    let stacks = wanted[2 * carried..].iter().map(|layout| {
                        layout.map(|(_, placement)| match *placement {
                            Placement::Cut(axis) => Placement::Cut(axis + 1),
                            other => other.of(|ids| {
                                let at = at_of(node, 2 * carried, ids)?;
                                graph.results(var).nth(at - carried)
                            }),
                        })
                    });
                    self.made.push(entered.into_iter().chain(stacks).collect());
                    self.wanted.push(wanted);
                    // What was brought inside is of an iteration.
                    also.forget_since(body.body.start);
                }
                None if node.op.is_source() => {
                    let lies = self.seeds.iter().map(|seeds| {
                        let cut = seeds.cut.get(&var).map(|axis| Placement::Cut(*axis));
                        let flat = seeds.flat && is_param(graph, var);
                        let whole = if flat { Placement::Flat } else { Placement::Whole };
                        cut.unwrap_or(whole)
                    });
                    let lies: Placements = lies.collect();
                    self.made.push(vec![lies; count]);
                    self.wanted.push(Vec::new());
                }
                None => {
                    let decided = (0..self.mesh.len()).map(|along| {
                        let tokens = &self.seeds[along].tokens;
                        let rules = Rules { graph, threads: &self.threads, tokens };
                        let given: Vec<Placement> = given.iter().map(|own| own[along]).collect();
                        rules.decide(node, &given)
                    });
                    let decided: Vec<_> = decided.collect();
                    let operand = |at: usize| {
                        decided.iter().map(|own| own.wanted[at]).collect::<Placements>()
                    };
                    let wanted: Vec<Placements> = (0..given.len()).map(operand).collect();
                    self.bring(&mut also, (at, node.repeat), node.inputs.iter().zip(&wanted));
                    let results: Placements = decided.iter().map(|own| own.results).collect();
                    self.made.push(vec![results; count]);
                    self.wanted.push(wanted);
                }
            }
        }
        let end = graph.nodes().len();
        self.results_of(&mut also, end, None, |var| graph.node(var).repeat.is_none());
        for along in 0..self.mesh.len() {
            if self.seeds[along].flat_sums && !self.seeds[along].flat {
                self.gather_updated(end, along);
            }
        }
    }

    /// How a value goes from iteration to iteration: as what is added to it, whole, or cut.
    fn carried(&self, along: usize, (var, slot): (Var, Var), given: Placement) -> Placement {
        let added = self.added.get(&(slot, along)).copied();
        added.unwrap_or_else(|| self.finished(along, var, given))
    }

    /// How a sum lies when it is finished.
    fn finished(&self, along: usize, var: Var, given: Placement) -> Placement {
        let mut tokens = self.seeds[along].tokens.iter().copied();
        let axis = tokens.find_map(|thread| self.threads.axis_in(self.graph, var, thread));
        match (given, axis) {
            (Placement::Cut(axis), _) | (_, Some(axis)) => Placement::Cut(axis),
            (_, None) => Placement::Whole,
        }
    }

    /// The parts of the parameters that ranks have changed, for all of them.
    fn gather_updated(&mut self, end: usize, along: usize) {
        let graph = self.graph;
        for (var, node) in
            graph.vars().zip(graph.nodes()).filter(|(var, _)| is_trained(graph, *var))
        {
            let (mut also, mut lies) = (Known::default(), self.layout(var));
            for to in [Placement::Flat, Placement::Whole] {
                lies = self.step(&mut also, (end, node.repeat), var, lies, (along, to));
            }
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
            let wanted = self.layout(*var).map(|(along, placement)| match one_by_one(*placement) {
                Placement::Partial if self.seeds[along].flat_sums => Placement::Flat,
                Placement::Partial => self.finished(along, *var, Placement::Partial),
                other => other,
            });
            self.bring(also, (before, repeat), [(var, &wanted)].into_iter());
            self.results.insert(*var, wanted);
        }
    }

    /// Brings values to lie as they are wanted, unless they do already.
    fn bring<'v>(
        &mut self,
        also: &mut Known,
        (before, repeat): (usize, Option<RepeatId>),
        wanted: impl Iterator<Item = (&'v Var, &'v Placements)>,
    ) {
        for (var, to) in wanted {
            let (var, made) = (*var, self.layout(*var));
            // A parameter of which ranks have parts is given up behind a pass.
            let gathered = is_param(self.graph, var) && made.contains(&Placement::Flat);
            let phase = self.graph.nodes().get(before).map(|node| node.phase);
            let passed = gathered && also.phase(var, to) != Some(phase);
            if made == *to || also.has(var, to) && !passed {
                continue;
            }
            let from = if gathered { made } else { also.nearest(var, &made, to) };
            self.cross(also, (before, repeat), var, (from, to));
        }
    }

    /// From one layout to another, along one axis of the mesh after the other: parts of elements are gathered
    /// first and made last, and what becomes smaller does before the rest is sent.
    fn cross(
        &mut self,
        also: &mut Known,
        at: (usize, Option<RepeatId>),
        value: Var,
        (from, to): (Placements, &Placements),
    ) {
        let mut axes: Vec<usize> =
            (0..from.len()).filter(|axis| from[*axis] != to[*axis]).collect();
        axes.sort_by_key(|axis| match (from[*axis], to[*axis]) {
            (Placement::Flat, _) => 0,
            (_, Placement::Flat) => 3,
            (_, Placement::Cut(_)) => 1,
            (_, Placement::Whole | Placement::Partial | Placement::Chosen { .. }) => 2,
        });
        let mut now = from;
        for axis in axes {
            now = self.step(also, at, value, now, (axis, to[axis]));
        }
    }

    fn step(
        &mut self,
        also: &mut Known,
        (before, repeat): (usize, Option<RepeatId>),
        value: Var,
        lies: Placements,
        (along, to): (usize, Placement),
    ) -> Placements {
        let at = (before, repeat);
        let collective = match (lies[along], to) {
            (Placement::Chosen { .. }, to) if to != Placement::Partial => {
                let lies = self.step(also, at, value, lies, (along, Placement::Partial));
                return self.step(also, at, value, lies, (along, to));
            }
            (from, to) => collective(from, to),
        };
        let shape = self.graph.shape(value);
        let others = lies.with(along, Placement::Whole).elements(shape, &self.mesh);
        let bits = others * shape.elem.bits() as i64;
        let (bytes, times) = (self.graph.fold(&bits.ratio(1, 8)), self.times(repeat));
        let phase = self.graph.nodes().get(before).map(|node| node.phase);
        let (ranks, then) = (self.mesh[along].ranks, lies.with(along, to));
        also.add(value, then.clone(), (before, phase));
        let transfer = Transfer { value, along, ranks, lies, to, collective, before, times, bytes };
        self.transfers.push(transfer);
        then
    }

    fn times(&self, repeat: Option<RepeatId>) -> Poly {
        let around = std::iter::successors(repeat, |id| self.graph.repetition(*id).parent);
        around.map(|id| &self.graph.repetition(id).count).product()
    }
}

/// What ranks do together to bring a value from one placement to another.
fn collective(from: Placement, to: Placement) -> Option<Collective> {
    match (from, to) {
        (Placement::Partial, Placement::Cut(_) | Placement::Flat) => {
            Some(Collective::ReduceScatter)
        }
        (Placement::Partial, _) => Some(Collective::AllReduce),
        (Placement::Cut(_), Placement::Cut(_)) => Some(Collective::AllToAll),
        (Placement::Cut(_) | Placement::Flat, _) => Some(Collective::AllGather),
        (Placement::Whole | Placement::Chosen { .. }, _) => None,
    }
}

/// How values lie beside the way in which they were made, and since when.
#[derive(Debug, Default)]
struct Known(BTreeMap<(Var, Placements), (usize, Option<Phase>)>);

impl Known {
    fn has(&self, var: Var, layout: &Placements) -> bool {
        self.0.contains_key(&(var, layout.clone()))
    }

    /// Of the layouts that a value has, the one from which least is sent: what is whole already is cut without
    /// asking anybody, and a finished sum is not summed again.
    fn nearest(&self, var: Var, made: &Placements, to: &Placements) -> Placements {
        let known = self.0.keys().filter(|(own, _)| *own == var).map(|(_, layout)| layout);
        let sent = |layout: &&Placements| -> usize {
            let each = layout.iter().zip(to.iter()).map(|(from, to)| match from == to {
                true => 0,
                false => collective(one_by_one(*from), *to).map_or(0, |own| match own {
                    Collective::AllReduce => 2,
                    Collective::AllGather | Collective::ReduceScatter | Collective::AllToAll => 1,
                }),
            });
            each.sum()
        };
        known.chain([made]).min_by_key(sent).unwrap_or(made).clone()
    }

    fn phase(&self, var: Var, layout: &Placements) -> Option<Option<Phase>> {
        self.0.get(&(var, layout.clone())).map(|(_, phase)| *phase)
    }

    fn add(&mut self, var: Var, layout: Placements, since: (usize, Option<Phase>)) {
        self.0.insert((var, layout), since);
    }

    fn forget_since(&mut self, node: usize) {
        self.0.retain(|_, (since, _)| *since <= node);
    }
}

/// What an iteration adds to a value that goes through it, if it does nothing else with it.
fn added(graph: &Graph, slot: Var, next: Var) -> Option<Vec<Var>> {
    let (mut at, mut terms) = (slot, Vec::new());
    while at != next {
        let mut readers = graph.vars().filter(|var| graph.node(*var).inputs.contains(&at));
        let (reader, None) = (readers.next()?, readers.next()) else { return None };
        let node = graph.node(reader);
        let Op::Arithmetic(Arithmetic { kind: ArithmeticKind::Add, masked: None }) = node.op else {
            return None;
        };
        let term = node.inputs.iter().copied().find(|var| *var != at)?;
        terms.push(term);
        at = reader;
    }
    (!terms.is_empty()).then_some(terms)
}

/// A stack whose slices are handed to iterations one by one.
fn stack(given: Placement, ids: impl Fn(Var) -> bool) -> Placement {
    match given {
        Placement::Cut(0) => Placement::Whole,
        other => with_ids(other, ids),
    }
}

/// Rows of own experts enter and leave an iteration together with what says which expert they are of.
fn with_ids(given: Placement, is_there: impl Fn(Var) -> bool) -> Placement {
    match given {
        Placement::Chosen { ids, .. } if is_there(ids) => given,
        other => one_by_one(other),
    }
}

/// Which operand of a node behind the first so many a value is.
fn at_of(node: &Node, skip: usize, var: Var) -> Option<usize> {
    node.inputs.iter().enumerate().skip(skip).find(|(_, own)| **own == var).map(|(at, _)| at)
}

fn is_given(node: &Node, skip: usize, var: Var) -> bool {
    at_of(node, skip, var).is_some()
}

/// Rows of own experts as a sum, to which those of other ranks are zeros.
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
