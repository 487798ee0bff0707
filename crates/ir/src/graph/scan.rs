//! Repetitions: a body recorded once, what goes into it, round and out.

use opledger_dims::Symbol;

use super::{Graph, Loop, Scope};
use crate::ops::{Carry, Exit};
use crate::{Axis, GraphError, Op, RepeatId, Var};

/// What goes into a repetition; see [`Graph::scan`].
#[derive(Clone, Debug)]
pub struct Scan {
    /// ScanValues that go from iteration to iteration.
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

/// ScanValues of an iteration, entering or leaving, and the results of a repetition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanValues {
    /// Those that are carried.
    pub carried: Vec<Var>,
    /// Those that are slices of stacks, or stacks.
    pub stacked: Vec<Var>,
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
        let scan = Scan { carried: vec![initial], ..Scan::default() };
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
        let (start, k) = (self.nodes.len(), scan.carried.len());
        let axis = match scope.repeat {
            Some(repeat) => Axis::new(&scan.axis, &self.repeats[repeat.0].count),
            None => Axis::new(&scan.axis, 1),
        };
        let entering = [&scan.carried[..], &scan.stacks].concat();
        let mut inner = self.enter(scope);
        let carry = Carry { carried: k, axis: axis.clone() };
        let entered = inner.record_all("", carry, &entering)?;
        let (carried, stacked) = entered.split_at(k);
        let around = std::mem::replace(&mut inner.body, scope.repeat);
        let entered = ScanValues { carried: carried.to_vec(), stacked: stacked.to_vec() };
        let given = body(&mut inner, entered);
        inner.body = around;
        drop(inner);
        let given = given?;
        let end = self.nodes.len();
        if let Some(repeat) = scope.repeat {
            self.loops.push(Loop { repeat, body: start..end, reverse: scan.reverse });
        }
        let outer = scope.repeat.and_then(|r| self.repeats[r.0].parent);
        let exit = Scope { repeat: outer, ..scope.clone() };
        let operands = [&scan.carried[..], &given.carried, &given.stacked].concat();
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
