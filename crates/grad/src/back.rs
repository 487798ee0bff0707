//! The graph while gradients are recorded behind it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use opledger_dims::{Poly, Symbol};
use opledger_ir::ops::{ArithmeticKind, IndexMap, Masked, Pointwise, Rearrange, Reduce};
use opledger_ir::{
    Axis, Graph, IndexExpr, Masking, Node, Op, Operation, Phase, RepeatId, Scope, Shape, Var,
};

use crate::GradError;

/// A value of the graph whose gradients are asked for. Where gradients are recorded it is read through
/// [`Back::value`]: that of a repeated body is another in each iteration, and kept in a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Primal(pub(crate) Var);

/// A node of that graph, whose operands are to have their gradients.
#[derive(Clone, Copy)]
pub(crate) struct Applied<'a> {
    pub(crate) node: &'a Node,
    pub(crate) result: Primal,
}

impl Applied<'_> {
    pub(crate) fn operand(self, at: usize) -> Result<Primal, GradError> {
        let operand = self.node.inputs.get(at).copied().map(Primal);
        operand.ok_or_else(|| GradError::unknown(self.node, " without operands"))
    }
}

/// A repetition whose gradients are being recorded, as a repetition that runs the other way.
pub(crate) struct Turned {
    /// The nodes of its body, the carry first and the exit excluded.
    pub(crate) body: Range<usize>,
    pub(crate) repeat: RepeatId,
    /// Its exit.
    pub(crate) exit: Var,
    /// The carry of the repetition that is being recorded.
    pub(crate) carry: Var,
    /// Values of the body as they stand in the one that is being recorded.
    pub(crate) known: BTreeMap<Var, Var>,
    /// Values from outside, which all iterations use, with their gradients so far.
    pub(crate) captured: BTreeMap<Primal, Var>,
}

/// A repetition whose gradients are recorded.
pub(crate) struct Closed {
    pub(crate) repeat: RepeatId,
    /// The nodes of the body of its gradients.
    pub(crate) body: Range<usize>,
    /// The exit of the repetition of gradients.
    pub(crate) exit: Var,
    /// Where its body stands.
    pub(crate) scope: Scope,
    pub(crate) axis: Symbol,
}

/// What is known of gradients so far.
pub(crate) struct Back {
    pub(crate) graph: Graph,
    /// Which values have one.
    wanted: BTreeSet<Var>,
    gradients: BTreeMap<Var, Var>,
    /// Which values are computed again where they are read.
    again: BTreeSet<Var>,
    /// Those outside of repetitions that were.
    known: BTreeMap<Var, Var>,
    /// The first results of the nodes that the graph had; those behind are the gradients'.
    pub(crate) primals: Vec<Var>,
    /// The repetitions around what is being recorded, the outermost first.
    pub(crate) frames: Vec<Turned>,
    /// Repetitions whose gradients are recorded.
    pub(crate) closed: Vec<Closed>,
    /// Parameters with their gradients, those of repeated bodies in an iteration.
    pub(crate) parameters: Vec<(Var, Var)>,
    /// For each parameter whose gradient is added to that of earlier batches, the input that has it.
    pub(crate) earlier: BTreeMap<Var, Var>,
    /// What the result that is the loss is called.
    pub(crate) loss: Option<String>,
    /// Whether gradients of earlier batches are added to those of parameters.
    pub(crate) accumulates: bool,
    /// For each node that was recorded for one of the graph, that one; the graph's own are their own.
    pub(crate) forward: Vec<Option<Var>>,
}

type Made = Result<Var, GradError>;

impl Back {
    pub(crate) fn new(graph: Graph, wanted: BTreeSet<Var>, again: BTreeSet<Var>) -> Back {
        let (primals, gradients, known) =
            (graph.vars().collect(), BTreeMap::new(), BTreeMap::new());
        let (frames, closed) = (Vec::new(), Vec::new());
        let (parameters, earlier) = (Vec::new(), BTreeMap::new());
        let forward = graph.vars().map(Some).collect();
        Back {
            graph,
            wanted,
            gradients,
            again,
            known,
            primals,
            frames,
            closed,
            parameters,
            earlier,
            loss: None,
            accumulates: false,
            forward,
        }
    }

    /// What was recorded behind so many nodes, and is for nothing else, is for one of the graph.
    pub(crate) fn recorded_for(&mut self, of: Primal, before: usize) {
        self.forward.resize(self.graph.nodes().len(), None);
        for slot in self.forward.iter_mut().skip(before) {
            slot.get_or_insert(of.0);
        }
    }

    pub(crate) fn is_wanted(&self, of: Primal) -> bool {
        self.wanted.contains(&of.0)
    }

    /// In how many of the repetitions around a value lies: at most as many as there are.
    fn level(&self, of: Primal) -> usize {
        let (at, node) = (of.0.index(), self.graph.node(of.0));
        if node.op.is_source() {
            let own = self.frames.iter().position(|frame| Some(frame.repeat) == node.repeat);
            return own.map_or(0, |place| place + 1);
        }
        match at < self.primals.len() {
            true => self.frames.iter().take_while(|frame| frame.body.contains(&at)).count(),
            false => self.frames.len(),
        }
    }

    /// Whether a value is from outside of the innermost repetition; a source of a repetition that is not under
    /// way is of one inside of it.
    pub(crate) fn is_outside(&self, of: Primal) -> bool {
        let repeat = self.graph.node(of.0).repeat;
        let further_in = self.graph.node(of.0).op.is_source()
            && repeat.is_some_and(|id| self.frames.iter().all(|frame| frame.repeat != id));
        !further_in && self.level(of) < self.frames.len()
    }

    pub(crate) fn gradient(&self, of: Primal) -> Option<Var> {
        match self.frames.last().and_then(|frame| frame.captured.get(&of)) {
            Some(captured) => Some(*captured),
            None => self.gradients.get(&of.0).copied(),
        }
    }

    /// The gradient of a value is this from now on.
    pub(crate) fn set_gradient(&mut self, of: Primal, gradient: Var) {
        let captured = self.frames.last_mut().and_then(|frame| frame.captured.get_mut(&of));
        match captured {
            Some(captured) => *captured = gradient,
            None => drop(self.gradients.insert(of.0, gradient)),
        }
    }

    /// Adds what one use of a value says of its gradient.
    pub(crate) fn contribute(&mut self, to: Primal, gradient: Var) -> Result<(), GradError> {
        let sum = match self.gradient(to) {
            Some(before) => self.graph.add("", before, gradient)?,
            None => gradient,
        };
        self.set_gradient(to, sum);
        Ok(())
    }

    /// The same where a parameter leads to the value.
    pub(crate) fn contribute_to_wanted(
        &mut self,
        to: Primal,
        gradient: Var,
    ) -> Result<(), GradError> {
        if self.is_wanted(to) { self.contribute(to, gradient) } else { Ok(()) }
    }

    /// A value as it is read where gradients are recorded. One of a repeated body was another in each
    /// iteration: all are kept in a stack, of which the present one is a slice. What only moves, and what
    /// is made of nothing, is made again, and so is what is not to be kept.
    pub(crate) fn value(&mut self, of: Primal) -> Made {
        let level = self.level(of);
        let node = self.graph.node(of.0).clone();
        let again = self.primals.get(of.0.index()).is_some_and(|first| self.again.contains(first));
        let kept = !again && level == 0;
        if node.op.is_source() || kept || of.0.index() >= self.primals.len() {
            return Ok(of.0);
        }
        if let Some(known) = self.known_at(level).get(&of.0) {
            return Ok(*known);
        }
        let moves = matches!(node.op, Op::Rearrange(_)) || node.inputs.is_empty();
        let value = match &node.op {
            Op::Carry(carry) if of.0.result() >= carry.carried => {
                let stack = self.value(Primal(node.inputs[of.0.result()]))?;
                self.graph.give_stack(self.frames[level - 1].carry, stack)?
            }
            _ if (moves || again) && level == self.frames.len() => {
                return self.computed_again(of, &node, again);
            }
            _ if level == 0 => of.0,
            _ => {
                let kept = self.graph.stack_also(self.frames[level - 1].exit, of.0)?;
                let stack = self.value(Primal(kept))?;
                self.graph.give_stack(self.frames[level - 1].carry, stack)?
            }
        };
        self.known_at(level).insert(of.0, value);
        Ok(value)
    }

    /// Values of a level as they stand where gradients are recorded.
    fn known_at(&mut self, level: usize) -> &mut BTreeMap<Var, Var> {
        match level.checked_sub(1) {
            Some(frame) => &mut self.frames[frame].known,
            None => &mut self.known,
        }
    }

    /// A node recorded once more, here.
    fn computed_again(&mut self, of: Primal, node: &Node, again: bool) -> Made {
        let mut operands = Vec::with_capacity(node.inputs.len());
        for var in &node.inputs {
            operands.push(self.value(Primal(*var))?);
        }
        let phase = if again { Phase::Recomputation } else { Phase::Backward };
        let before = self.graph.nodes().len();
        let outer = self.graph.move_to(Scope::of(node).in_phase(phase));
        let results = self.graph.record_all("", node.op.clone(), &operands);
        self.graph.move_to(outer);
        self.recorded_for(of, before);
        let (results, level) = (results?, self.level(of));
        let all: Vec<Var> = self.graph.results(of.0).collect();
        self.known_at(level).extend(all.into_iter().zip(results.iter().copied()));
        Ok(results[of.0.result()])
    }

    /// The axes of a value.
    pub(crate) fn shape_of(&self, of: Primal) -> Shape {
        self.graph.shape(of.0).clone()
    }

    /// Nothing, of a shape.
    pub(crate) fn zeros(&mut self, shape: &Shape) -> Made {
        Ok(self.graph.fill(shape.axes.clone(), 0.0)?)
    }

    pub(crate) fn shape(&self, var: Var) -> Shape {
        self.graph.shape(var).clone()
    }

    pub(crate) fn mul(&mut self, a: Var, b: Var) -> Made {
        Ok(self.graph.mul("", a, b)?)
    }

    pub(crate) fn sub(&mut self, a: Var, b: Var) -> Made {
        Ok(self.graph.arithmetic("", ArithmeticKind::Sub, a, b)?)
    }

    pub(crate) fn of(&mut self, function: Pointwise, x: Var) -> Made {
        Ok(self.graph.pointwise(x, function)?)
    }

    pub(crate) fn times(&mut self, x: Var, number: f64) -> Made {
        Ok(self.graph.scale(x, opledger_ir::ops::Factor::Number(number))?)
    }

    /// The sum over the axes that a shape lacks, its axes in their order: the gradient of what was
    /// repeated along them.
    pub(crate) fn like(&mut self, gradient: Var, shape: &Shape) -> Made {
        let mut sum = gradient;
        for axis in self.shape(gradient).axes {
            if shape.position(&axis.name).is_none() {
                // What a difference counts may be nothing, whose sum is 0: it begins there.
                if !axis.size.is_never_negative() {
                    let to = &axis.size + &Poly::one();
                    sum = self
                        .graph
                        .rearrange(sum, Rearrange::Pad { axis: axis.name.clone(), to })?;
                }
                sum = self.graph.reduce(sum, Reduce::Sum(axis.name))?;
            }
        }
        self.ordered(sum, &shape.axes)
    }

    /// The axes in another order.
    pub(crate) fn ordered(&mut self, x: Var, axes: &[Axis]) -> Made {
        let names =
            |axes: &[Axis]| -> Vec<Symbol> { axes.iter().map(|a| a.name.clone()).collect() };
        let order = names(axes);
        if names(&self.shape(x).axes) == order {
            return Ok(x);
        }
        Ok(self.graph.rearrange(x, Rearrange::Permute { order })?)
    }

    /// The axes called by other names, place by place.
    pub(crate) fn renamed(&mut self, mut x: Var, names: &[Symbol]) -> Made {
        let own: Vec<Symbol> = self.shape(x).axes.into_iter().map(|axis| axis.name).collect();
        let changed: Vec<usize> = (0..own.len()).filter(|at| own[*at] != names[*at]).collect();
        // A name that is still another axis's waits behind one of no axis.
        let between = |at: usize| Symbol::from(format!("{}''''", names[at]));
        let taken = |at: usize| own.contains(&names[at]);
        for at in &changed {
            let to = if taken(*at) { between(*at) } else { names[*at].clone() };
            x = self.graph.rename(x, own[*at].clone(), to)?;
        }
        for at in changed.into_iter().filter(|at| taken(*at)) {
            x = self.graph.rename(x, between(at), names[at].clone())?;
        }
        Ok(x)
    }

    /// Repeated along an axis that a shape has beside its own.
    pub(crate) fn along(&mut self, x: Var, axis: &Symbol, shape: &Shape) -> Made {
        let axis = shape.axes.iter().find(|own| own.name == *axis).cloned();
        let Some(axis) = axis else { return Ok(x) };
        let repeated = self.graph.rearrange(x, Rearrange::Expand { axis })?;
        self.ordered(repeated, &shape.axes)
    }

    /// The mask of a node with so many operands beside it.
    pub(crate) fn masking(
        &mut self,
        node: &Node,
        masked: Option<&Masked>,
        operands: usize,
    ) -> Result<Option<Masking>, GradError> {
        let Some(masked) = masked.cloned() else { return Ok(None) };
        let keep = node.inputs.get(operands).copied().map(Primal);
        let keep = keep.map(|keep| self.value(keep)).transpose()?;
        Ok(Some(Masking { masked, keep }))
    }

    /// Whether a value was computed under the same mask, and so is 0 for every hidden pair.
    pub(crate) fn is_none_where_hidden(&self, pairs: Var, masked: &Masked) -> bool {
        self.graph.node(pairs).op.facts().masked == Some(masked)
    }

    /// A size as a real.
    pub(crate) fn size(&mut self, size: Poly) -> Made {
        let map = IndexMap { axes: Vec::new(), value: IndexExpr::size(size), truth: false };
        let whole = self.graph.record("", map, &[])?;
        Ok(self.graph.to_real(whole)?)
    }
}
