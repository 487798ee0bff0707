//! What an interpreter is: how it groups the nodes of a graph, and how it executes a group.

use std::borrow::Cow;

use opledger_dims::{Binding, Scalar};
use opledger_ir::{Call, Elem, Graph, Node, OpError, Reads, Shape, Value};

use crate::ledger::{Ledger, Row};
use crate::memory::Peak;
use crate::schedule::Schedule;
use crate::weight::Weight;

/// What executes the nodes of a graph, a group at a time.
pub trait Interpreter: Send {
    /// The type of a real number.
    type Scalar: Scalar;

    /// Which nodes of a graph it executes together: none, unless it says so.
    fn schedule(&self, graph: &Graph) -> Schedule {
        Schedule::one_by_one(graph)
    }

    /// A run begins, whose computed values need at most so many bytes at once, as `f32`.
    fn begin(&mut self, _computed_bytes: u64) {}

    /// The most that computed values have needed since the run began; `None` if it is not counted.
    fn peak(&self) -> Option<Peak> {
        None
    }

    /// Takes a tensor that was fed.
    fn adopt(&self, value: &Value<f32>) -> Value<Self::Scalar>;

    /// Whether it takes weights in the layout in which they are kept, as [`Operand::Weight`]; else they are
    /// unpacked for it.
    fn reads_weights(&self) -> bool {
        false
    }

    /// Executes the nodes of a group of its schedule, and records in the row of each what was done
    /// for it. The results are those of the last node.
    ///
    /// # Errors
    /// When the values do not fit the operations.
    fn apply(
        &mut self,
        group: &mut [NodeCall<'_, Self::Scalar>],
    ) -> Result<Vec<Value<Self::Scalar>>, OpError>;

    /// So many bytes were taken for values that are moved and not computed: a slice of a stack, a stack
    /// of what iterations give.
    fn hold(&mut self, bytes: u64) {
        let _ = bytes;
    }

    /// Takes back a value that nothing in the run reads any more.
    fn retire(&mut self, value: Value<Self::Scalar>) {
        drop(value);
    }
}

/// What a node works on.
#[derive(Clone, Debug)]
pub enum Operand<T> {
    /// An input.
    Input(Value<T>),
    /// A parameter.
    Parameter(Value<T>),
    /// A parameter in the layout in which it is kept.
    Weight(Weight),
    /// What an earlier group made.
    Made(Value<T>),
    /// An input of one run that nothing else reads, to be changed in place (see
    /// [`Schedule::consume`]).
    Own(Value<T>),
    /// A result of an earlier node of the same group, by its position there.
    Inside {
        /// Which node of the group.
        node: usize,
        /// Which of its results.
        result: usize,
    },
}

impl<T> Operand<T> {
    /// The value, if it was there before the group and is no [`Operand::Weight`].
    pub fn value(&self) -> Option<&Value<T>> {
        match self {
            Operand::Input(value)
            | Operand::Parameter(value)
            | Operand::Made(value)
            | Operand::Own(value) => Some(value),
            Operand::Weight(_) | Operand::Inside { .. } => None,
        }
    }
}

/// One node of a group that is to be executed.
#[derive(Debug)]
pub struct NodeCall<'a, T> {
    /// The node.
    pub node: &'a Node,
    /// Its path in the present iteration.
    pub path: Cow<'a, str>,
    /// What it works on.
    pub operands: Vec<Operand<T>>,
    /// The named axes of the operands.
    pub shapes: Vec<&'a Shape>,
    /// The types of their elements in memory, those of a weight in this iteration.
    pub elems: Vec<Elem>,
    /// The sizes of the first result.
    pub output: &'a [usize],
    /// The values of all symbols.
    pub binding: &'a Binding,
    /// What has been read of the operands.
    pub reads: Reads,
    /// Where to record what was done.
    pub row: &'a Row,
}

impl<T> NodeCall<'_, T> {
    /// The call of the node's operation on values.
    pub fn on<'c>(&'c self, inputs: &'c [&'c Value<T>]) -> Call<'c, T> {
        Call {
            path: &self.path,
            inputs,
            shapes: &self.shapes,
            output: self.output,
            binding: self.binding,
            reads: &self.reads,
        }
    }

    /// Records the bytes that have been read of the operands, and those of so many written elements
    /// of the result. What a buffer held that the result continues, and that was copied into another
    /// all the same, is relocated.
    pub fn record_bytes(&self, written: usize) {
        let bytes = |elements: u64| self.node.shape.elem.bytes_of(elements);
        let kept = self.reads.kept();
        let written = bytes((written as u64).saturating_sub(kept));
        self.row.record_bytes(self.reads.bytes(&self.elems), written);
        self.row.record_relocated(bytes(kept));
    }

    /// The values of its operands, none of which may be made inside the group or be kept as a weight.
    ///
    /// # Errors
    /// The first operand that is.
    pub fn inputs(&self) -> Result<Vec<&Value<T>>, OpError> {
        let values = self.operands.iter().enumerate();
        values.map(|(i, operand)| operand.value().ok_or(OpError::Operand(i))).collect()
    }
}

/// Elements of results that were written: those of a result that is an operand's own buffer were not.
pub(crate) fn written<T>(inputs: &[&Value<T>], results: &[Value<T>]) -> usize {
    let own = |result: &&Value<T>| !inputs.iter().any(|input| same_buffer(input, result));
    results.iter().filter(own).map(|result| result.shape().iter().product::<usize>()).sum()
}

fn same_buffer<T>(a: &Value<T>, b: &Value<T>) -> bool {
    match (a, b) {
        (Value::Real(a), Value::Real(b)) => std::ptr::eq(a.data().as_ptr(), b.data().as_ptr()),
        (Value::Index(a), Value::Index(b)) => std::ptr::eq(a.data().as_ptr(), b.data().as_ptr()),
        (Value::Real(_), Value::Index(_)) | (Value::Index(_), Value::Real(_)) => false,
    }
}

/// Executes the nodes of a group one after the other, and records the bytes that each moves.
///
/// # Errors
/// The first that `apply` gives, or an operand that no earlier node of the group made.
pub fn in_turn<T: Scalar>(
    group: &[NodeCall<'_, T>],
    mut apply: impl FnMut(&Node, &Call<'_, T>, &Row) -> Result<Vec<Value<T>>, OpError>,
) -> Result<Vec<Value<T>>, OpError> {
    let mut made: Vec<Vec<Value<T>>> = Vec::with_capacity(group.len());
    for call in group {
        let value = |(i, operand): (usize, &Operand<T>)| match operand {
            Operand::Inside { node, result } => {
                let value = made.get(*node).and_then(|results| results.get(*result));
                value.cloned().ok_or(OpError::Operand(i))
            }
            given => given.value().cloned().ok_or(OpError::Operand(i)),
        };
        let operands = call.operands.iter().enumerate().map(value);
        let operands = operands.collect::<Result<Vec<_>, _>>()?;
        let inputs: Vec<&Value<T>> = operands.iter().collect();
        let results = apply(call.node, &call.on(&inputs), call.row)?;
        call.record_bytes(written(&inputs, &results));
        made.push(results);
    }
    made.pop().ok_or(OpError::Operand(0))
}

/// Watches a run.
pub trait Observer: Send {
    /// A node begins. A clone of the ledger may be read on another thread while tasks fill it.
    fn started(&mut self, node: &Node, ledger: &Ledger);
}

/// Watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet;

impl Observer for Quiet {
    fn started(&mut self, _: &Node, _: &Ledger) {}
}
