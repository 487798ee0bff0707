//! Repetitions: a body recorded once, what goes into it, round and out.

use opledger_dims::Symbol;

use super::{Graph, Loop, Scope};
use crate::operation::Operation;
use crate::ops::{Carry, Exit};
use crate::{Axis, GraphError, Op, RepeatId, Shape, Var};

/// What goes into a repetition; see [`Graph::scan`].
#[derive(Clone, Debug)]
pub struct Scan {
    /// Values that go from iteration to iteration.
    pub carried: Vec<Var>,
    /// Stacks, whose first axis is the loop's, of which an iteration is given its slice.
    pub stacks: Vec<Var>,
    /// The name of the loop's axis.
    pub axis: Symbol,
    /// Whether the last iteration runs first.
    pub reverse: bool,
}

impl Default for Scan {
    /// Nothing carried, nothing stacked, forwards along an axis `l`.
    fn default() -> Self {
        Scan { carried: Vec::new(), stacks: Vec::new(), axis: "l".into(), reverse: false }
    }
}

/// The values at the two ends of a recorded body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends<'a> {
    /// What is carried into the first iteration.
    pub entering: &'a [Var],
    /// The stacks of which every iteration is given its slice.
    pub stacks: &'a [Var],
    /// What an iteration hands to the next.
    pub next: &'a [Var],
    /// What is stacked of every iteration.
    pub stacked: &'a [Var],
}

/// Values of an iteration, entering or leaving, and the results of a repetition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanValues {
    /// Those that are carried.
    pub carried: Vec<Var>,
    /// Those that are slices of stacks, or stacks.
    pub stacked: Vec<Var>,
}

/// A repetition whose body is being recorded; see [`Graph::open_scan`].
#[derive(Clone, Debug)]
pub struct OpenScan {
    scope: Scope,
    /// Where the graph stood.
    outer: Scope,
    /// The repetition whose body was recorded.
    around: Option<RepeatId>,
    axis: Axis,
    start: usize,
    carried: Vec<Var>,
    reverse: bool,
}

impl Graph {
    /// Records the body of a repetition once: `body` maps the value entering an iteration to the
    /// value leaving it. The result is the value after the last iteration.
    ///
    /// # Errors
    /// Those of the body; or the body does not give back the shape it was given.
    #[track_caller]
    pub fn repeat<E: From<GraphError>>(
        &mut self,
        scope: &Scope,
        initial: Var,
        body: impl FnOnce(&mut Graph, Var) -> Result<Var, E>,
    ) -> Result<Var, E> {
        // Bodies in bodies: what is stacked by both has two axes.
        let outer = scope.repeat.and_then(|id| self.repetition(id).parent);
        let around = std::iter::successors(outer, |id| self.repetition(*id).parent);
        let axis = format!("layer{}", "'".repeat(around.count())).into();
        let scan = Scan { carried: vec![initial], axis, ..Scan::default() };
        let results = self.scan(scope, &scan, |g, entering| -> Result<ScanValues, E> {
            let [x] = entering.carried[..] else { return Ok(entering) };
            Ok(ScanValues { carried: vec![body(g, x)?], stacked: Vec::new() })
        })?;
        Ok(results.carried.first().copied().unwrap_or(initial))
    }

    /// Records the body of a repetition once, with any number of values carried from iteration to
    /// iteration, stacks of which each iteration is given its slice, and values of each iteration that
    /// are stacked. The results are what the last iteration carries out, and the stacks.
    ///
    /// ```
    /// # mod opledger { pub use opledger_ir::{self as ir, *}; }
    /// use opledger::{Graph, ir::{Axis, GraphError, Scan, ScanValues}};
    ///
    /// let mut g = Graph::new();
    /// let x = g.input("x", ["l", "n"])?; // l rows
    /// let zero = g.input("start", ["n"])?;
    /// let layers = g.repeated("sums", "l");
    /// let scan = Scan { carried: vec![zero], stacks: vec![x], ..Scan::default() };
    /// let sums = g.scan(&layers, &scan, |g, at| -> Result<ScanValues, GraphError> {
    ///     let sum = g.add("", at.carried[0], at.stacked[0])?;
    ///     Ok(ScanValues { carried: vec![sum], stacked: vec![sum] })
    /// })?;
    /// assert_eq!(g.shape(sums.carried[0]).to_string(), "[n]"); // the sum of all rows
    /// assert_eq!(g.shape(sums.stacked[0]).to_string(), "[l, n]"); // of each row and those before
    /// assert_eq!(g.cost().total().to_string(), "add = l·n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of the body; a carried value that changes its shape; a stack whose first axis is not the
    /// loop's; a scope that is not repeated.
    #[track_caller]
    pub fn scan<E: From<GraphError>>(
        &mut self,
        scope: &Scope,
        scan: &Scan,
        body: impl FnOnce(&mut Graph, ScanValues) -> Result<ScanValues, E>,
    ) -> Result<ScanValues, E> {
        let (open, entering) = self.open_scan(scope, scan)?;
        match body(self, entering) {
            Ok(given) => Ok(self.close_scan(open, &given)?),
            Err(problem) => {
                self.leave_scan(&open);
                Err(problem)
            }
        }
    }

    /// Begins the body of a repetition, as [`Graph::scan`] does: what is recorded until
    /// [`Graph::close_scan`] is its body. The values are those of an iteration.
    ///
    /// # Errors
    /// A stack whose first axis is not the loop's.
    #[track_caller]
    pub fn open_scan(
        &mut self,
        scope: &Scope,
        scan: &Scan,
    ) -> Result<(OpenScan, ScanValues), GraphError> {
        let k = scan.carried.len();
        let axis = match scope.repeat {
            Some(repeat) => Axis::new(&scan.axis, &self.repeats[repeat.0].count),
            None => Axis::new(&scan.axis, 1),
        };
        let start = self.nodes.len();
        let entering = [&scan.carried[..], &scan.stacks].concat();
        let outer = self.move_to(scope.clone());
        let carry = Carry { carried: k, axis: axis.clone() };
        let entered = self.record_all("", carry, &entering);
        let around = std::mem::replace(&mut self.body, scope.repeat);
        let (carried, reverse) = (scan.carried.clone(), scan.reverse);
        let open = OpenScan { scope: scope.clone(), outer, around, axis, start, carried, reverse };
        let entered = entered.inspect_err(|_| self.leave_scan(&open))?;
        let (carried, stacked) = entered.split_at(k);
        Ok((open, ScanValues { carried: carried.to_vec(), stacked: stacked.to_vec() }))
    }

    /// Ends the body of a repetition; the results are what the last iteration carries out, and stacks.
    ///
    /// # Errors
    /// A carried value that changes its shape.
    #[track_caller]
    pub fn close_scan(
        &mut self,
        open: OpenScan,
        given: &ScanValues,
    ) -> Result<ScanValues, GraphError> {
        self.leave_scan(&open);
        let OpenScan { scope, axis, start, carried, reverse, .. } = open;
        let end = self.nodes.len();
        if let Some(repeat) = scope.repeat {
            self.loops.push(Loop { repeat, body: start..end, reverse });
        }
        let outer = scope.repeat.and_then(|r| self.repeats[r.0].parent);
        let exit = Scope { repeat: outer, ..scope.clone() };
        let k = carried.len();
        let operands = [&carried[..], &given.carried, &given.stacked].concat();
        let exit = self.enter(&exit).record_all("", Exit { carried: k, axis }, &operands);
        if exit.is_err() && scope.repeat.is_some() {
            self.loops.pop();
        }
        let (carried, stacked) = exit.map(|all| {
            let (carried, stacked) = all.split_at(k);
            (carried.to_vec(), stacked.to_vec())
        })?;
        Ok(ScanValues { carried, stacked })
    }

    fn leave_scan(&mut self, open: &OpenScan) {
        self.body = open.around;
        self.move_to(open.outer.clone());
    }

    /// Gives a recorded repetition one more stack, by any result of its carry: the slice of an iteration.
    ///
    /// # Errors
    /// When the first axis of the stack is not the loop's.
    #[track_caller]
    pub fn give_stack(&mut self, carry: Var, stack: Var) -> Result<Var, GraphError> {
        self.widen(carry, stack)
    }

    /// Stacks one more value of a recorded body, by any result of its exit: the stack.
    ///
    /// # Errors
    /// When the value has the loop's axis already.
    #[track_caller]
    pub fn stack_also(&mut self, exit: Var, value: Var) -> Result<Var, GraphError> {
        self.widen(exit, value)
    }

    /// An end of a repetition with one more operand, and so one more result.
    #[track_caller]
    fn widen(&mut self, end: Var, operand: Var) -> Result<Var, GraphError> {
        let node = self.node(end);
        let inputs = [&node.inputs[..], &[operand]].concat();
        let op = node.op.clone();
        let shapes: Vec<&Shape> = inputs.iter().map(|var| self.shape(*var)).collect();
        let shape = match op.signature(&shapes).map(|mut results| results.pop()) {
            Ok(Some(shape)) => shape,
            Ok(None) => return Err(self.missing(end)),
            Err(problem) => return Err(self.error(&op, "", problem, &inputs)),
        };
        let node = self.node_mut(end);
        node.inputs = inputs;
        node.further.push(shape);
        Ok(end.sibling(node.further.len()))
    }

    /// The repetition that a new node belongs to. What is computed in a body runs in each of its
    /// iterations, also by a layer that was made outside, whose parameters all of them share.
    pub(super) fn repetition_of(&self, op: &Op) -> Option<RepeatId> {
        let own = self.scope.repeat;
        let Some(body) = self.body.filter(|_| !op.is_source()) else { return own };
        let mut around = std::iter::successors(Some(body), |id| self.repetition(*id).parent);
        if own.is_none_or(|own| around.any(|id| id == own)) { Some(body) } else { own }
    }

    /// What the two ends of a recorded body name.
    pub fn ends(&self, body: &Loop) -> Ends<'_> {
        let (carry, exit) = (&self.nodes[body.body.start], &self.nodes[body.body.end]);
        let carried = match &exit.op {
            Op::Exit(op) => op.carried,
            _ => 0,
        };
        let (entering, stacks) = carry.inputs.split_at(carried.min(carry.inputs.len()));
        let leaving = exit.inputs.get(carried..).unwrap_or_default();
        let (next, stacked) = leaving.split_at(carried.min(leaving.len()));
        Ends { entering, stacks, next, stacked }
    }
}
