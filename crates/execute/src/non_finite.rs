//! Where a number of a run first is infinite or none.

use opledger_interp::{Fast, Interpreter, NodeCall, Operand, RunError};
use opledger_ir::{Op, OpError, Operation, Value};

use crate::FirstNonFinite;

/// Executes nodes one by one, and notes the first that makes such a number of none.
pub(crate) struct Looking {
    fast: Fast,
    pub(crate) first: Option<FirstNonFinite>,
}

impl Looking {
    pub(crate) fn new() -> Result<Self, RunError> {
        Ok(Looking { fast: Fast::new()?.node_by_node(), first: None })
    }
}

fn finite(value: &Value<f32>) -> bool {
    value.real().is_none_or(|tensor| tensor.data().iter().all(|x| x.is_finite()))
}

impl Interpreter for Looking {
    type Scalar = f32;

    fn adopt(&self, value: &Value<f32>) -> Value<f32> {
        self.fast.adopt(value)
    }

    fn reads_weights(&self) -> bool {
        self.fast.reads_weights()
    }

    fn begin(&mut self, computed_bytes: u64) {
        self.fast.begin(computed_bytes);
    }

    fn apply(&mut self, group: &mut [NodeCall<'_, f32>]) -> Result<Vec<Value<f32>>, OpError> {
        let given = |operand: &Operand<f32>| operand.value().is_none_or(finite);
        let numbers = group.iter().flat_map(|call| &call.operands).all(given);
        let results = self.fast.apply(group)?;
        if self.first.is_none() && numbers && !results.iter().all(finite) {
            // A constant is what it is.
            let last = group.last().filter(|call| !matches!(call.node.op, Op::Fill(_)));
            self.first = last.map(|call| FirstNonFinite {
                path: call.path.clone().into_owned(),
                operation: call.node.op.name(),
                phase: call.node.phase,
            });
        }
        Ok(results)
    }

    fn retire(&mut self, value: Value<f32>) {
        self.fast.retire(value);
    }
}
