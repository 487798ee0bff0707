//! The fast interpreter: each operation by its kernel, under rayon.

mod attention;
mod einsum;
mod pointwise;

use opledger_ir::ops::Rearrange;
use opledger_ir::{Call, Node, Op, OpError, Operation, Part, Value};
use opledger_kernels::KernelError;
use opledger_tensor::{Scalar, Tensor};
use rayon::prelude::*;

use crate::{Feeds, Interpreter, Quiet, Row, Run, RunError};

/// Executes kernels in `f32`, tasks of which fill the ledger through atomics.
///
/// ```
/// use opledger_dims::Binding;
/// use opledger_interp::{Fast, Feeds};
/// use opledger_ir::{Graph, ops::Source};
///
/// let mut g = Graph::new();
/// let x = g.input("x", ["b", "n", "c"])?;
/// let w = g.param("weight", Source::weight("c"), ["f", "c"])?;
/// let y = g.einsum("b n c, f c -> b n f", x, w)?;
/// g.output("y", y);
/// let binding = Binding::from_iter([("b", 2), ("n", 3), ("c", 8), ("f", 5)]);
/// let run = Fast::new()?.run(&g, &binding, &Feeds::seeded(1))?;
/// assert_eq!(run.output("y").unwrap().shape(), [2, 3, 5]);
/// assert_eq!(run.ledger.useful(), g.counts_at(&binding)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Fast(());

impl Fast {
    /// The interpreter for this machine.
    ///
    /// # Errors
    /// When `OPLEDGER_ISA` asks for an instruction set the machine lacks.
    pub fn new() -> Result<Self, RunError> {
        opledger_kernels::isa().map_err(|e| RunError::Isa(e.to_string()))?;
        Ok(Fast(()))
    }

    /// Executes a graph at a binding of its free symbols.
    ///
    /// # Errors
    /// As [`run`](crate::run).
    pub fn run(
        mut self,
        graph: &opledger_ir::Graph,
        binding: &opledger_dims::Binding,
        feeds: &Feeds,
    ) -> Result<Run<f32>, RunError> {
        crate::run(graph, binding, &mut self, feeds, &mut Quiet)
    }
}

pub(crate) fn refused(error: KernelError) -> OpError {
    OpError::Kernel(error.to_string())
}

/// A result made by a kernel that fills a slice of zeros.
fn filled(
    call: &Call<'_, f32>,
    fill: impl FnOnce(&mut [f32]) -> Result<(), KernelError>,
) -> Result<Value<f32>, OpError> {
    let mut out = vec![0.0; call.output_len()];
    fill(&mut out).map_err(refused)?;
    Ok(Tensor::new(call.output, out)?.into())
}

impl Interpreter for Fast {
    type Scalar = f32;

    fn adopt(&self, value: &Value<f32>) -> Value<f32> {
        value.clone()
    }

    fn release(&self, value: &Value<f32>) -> Option<Tensor<f64>> {
        value.real().map(|t| t.map(|x| x.to_f64()))
    }

    fn apply(
        &mut self,
        node: &Node,
        call: &Call<'_, f32>,
        row: &Row,
    ) -> Result<Value<f32>, OpError> {
        let meter = row.meter(Part::Pointwise);
        match &node.op {
            Op::Einsum(op) => einsum::apply(op, call, row),
            Op::Attention(op) => attention::apply(op, call, row),
            Op::Arithmetic(op) => pointwise::arithmetic(op, call, meter),
            Op::Scale(op) => pointwise::scale(op, call, meter),
            Op::Softmax(op) => attention::softmax(op, call, meter),
            Op::Norm(op) => pointwise::norm(op, call, meter),
            Op::Activation(op) => pointwise::activation(*op, call, meter),
            Op::Embedding(_) => pointwise::embedding(call),
            Op::Rope(op) => pointwise::rope(op, call, meter),
            Op::Sinusoid(_) => pointwise::sinusoid(call, meter),
            Op::Reduce(op) => pointwise::reduce(op, call, meter),
            Op::Dropout(op) => pointwise::dropout(op, call, meter),
            Op::Rearrange(op) => rearrange(op, call),
            // Moving and tables have no arithmetic: the reference is as good as a kernel.
            Op::Concat(_) | Op::Table(_) | Op::Source(_) | Op::Carry | Op::Exit => {
                node.op.reference(call, &mut |_| {})
            }
        }
    }
}

fn rearrange(op: &Rearrange, call: &Call<'_, f32>) -> Result<Value<f32>, OpError> {
    match (op, call.inputs[0]) {
        (op, Value::Real(x)) if op.is_view() => Ok(x.reshape(call.output)?.into()),
        (op, Value::Index(x)) if op.is_view() => Ok(Value::Index(x.reshape(call.output)?)),
        (Rearrange::Permute { order }, Value::Real(x)) => {
            let own = opledger_ir::strides(x.shape());
            let stride =
                |axis| call.shapes[0].position(axis).map(|at| own[at]).ok_or(OpError::Operand(0));
            let strides = order.iter().map(stride).collect::<Result<Vec<_>, _>>()?;
            let source = opledger_kernels::Strided { data: x.data(), strides: &strides };
            filled(call, |out| opledger_kernels::permute(call.output, source, out))
        }
        (op, Value::Real(x)) => {
            let Some(runs) = op.runs(call)? else { return op.reference(call, &mut |_| {}) };
            filled(call, |out| {
                out.par_chunks_mut(runs.to.max(1)).enumerate().for_each(|(block, out)| {
                    for run in &runs.copied {
                        let from = &x.data()[block * runs.from + run.from..][..run.len];
                        out[run.to..][..run.len].copy_from_slice(from);
                    }
                });
                Ok(())
            })
        }
        (op, Value::Index(_)) => op.reference(call, &mut |_| {}),
    }
}
