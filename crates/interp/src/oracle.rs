//! The oracle: the textbook references on a scalar that counts itself.

use std::marker::PhantomData;

use opledger_dims::{Counted, Scalar, take_counts};
use opledger_ir::{Call, Node, OpError, Operation, Value};
use opledger_kernels::{Meter, Tally};
use opledger_tensor::Tensor;

use crate::{Interpreter, Row};

/// Executes every scalar operation one by one and counts each as it happens, in `f32` or `f64`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Oracle<T>(PhantomData<T>);

impl<T> Oracle<T> {
    /// An oracle.
    pub fn new() -> Self {
        Oracle(PhantomData)
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

    fn release(&self, value: &Value<Counted<T>>) -> Option<Tensor<f64>> {
        value.real().map(|t| t.map(|x| x.to_f64()))
    }

    fn apply(
        &mut self,
        node: &Node,
        call: &Call<'_, Counted<T>>,
        row: &Row,
    ) -> Result<Value<Counted<T>>, OpError> {
        take_counts();
        node.op.reference(call, &mut |part| {
            let counts = take_counts();
            row.meter(part).record(&Tally { useful: counts, executed: counts });
        })
    }
}
