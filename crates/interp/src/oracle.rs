//! The oracle: the textbook references on a scalar that counts itself.

use std::marker::PhantomData;

use opledger_dims::{Binding, Counted, Scalar, take_counts};
use opledger_ir::{Graph, OpError, Operation, Value};
use opledger_kernels::{Meter, Tally};

use crate::interpreter::in_turn;
use crate::{Feeds, Interpreter, NodeCall, Prepared, Quiet, Run, RunError};

/// Executes every scalar operation one by one and counts each as it happens, in `f32` or `f64`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Oracle<T>(PhantomData<T>);

impl<T> Oracle<T> {
    /// An oracle.
    pub fn new() -> Self {
        Oracle(PhantomData)
    }
}

impl<T: Scalar> Oracle<T> {
    /// Executes a graph at values of its free symbols.
    ///
    /// # Errors
    /// As [`Prepared::new`] and [`Prepared::run`].
    pub fn run(
        &mut self,
        graph: &Graph,
        sizes: &Binding,
        feeds: &Feeds,
    ) -> Result<Run<Counted<T>>, RunError> {
        Prepared::new(graph, sizes, feeds)?.run(self, &mut Quiet)
    }
}

impl<T: Scalar> Interpreter for Oracle<T> {
    type Scalar = Counted<T>;

    fn adopt(&self, value: &Value<f32>) -> Value<Counted<T>> {
        match value {
            Value::Real(t) => Value::Real(t.map(|x| Counted::from_f64(f64::from(*x)))),
            Value::Index(t) => Value::Index(t.clone()),
        }
    }

    fn apply(
        &mut self,
        group: &mut [NodeCall<'_, Counted<T>>],
    ) -> Result<Vec<Value<Counted<T>>>, OpError> {
        in_turn(group, |node, call, row| {
            take_counts();
            node.op.reference(call, &mut |part| {
                let counts = take_counts();
                row.meter(part).record(&Tally {
                    useful: counts,
                    executed: counts,
                    ..Tally::default()
                });
            })
        })
    }
}
