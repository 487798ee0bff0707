//! The fast interpreter: each operation by its kernel, under rayon.

mod attention;
mod chain;
mod concat;
mod convolution;
mod einsum;
mod metering;
mod moving;
mod pointwise;
mod pool;
mod together;

use std::marker::PhantomData;

use opledger_dims::Binding;
use opledger_ir::{Call, Graph, Op, OpError, Operation, Part, Value};
use opledger_kernels::{AtomicMeter, NoMeter};
use opledger_tensor::Tensor;

pub use self::metering::Metering;
use self::pool::{BufferPool, bytes};
use crate::interpreter::written;
use crate::{
    Feeds, Interpreter, NodeCall, Operand, Peak, Prepared, Quiet, Row, Run, RunError, Schedule,
    Weight,
};

/// Executes kernels in `f32`, tasks of which fill the ledger through atomics.
///
/// ```
/// # mod opledger {
/// #     pub use {opledger_dims::*, opledger_interp::*, opledger_ir::{self as ir, *}};
/// # }
/// use opledger::{Binding, Fast, Feeds, Graph, ir::ops::Source};
///
/// let mut g = Graph::new();
/// let x = g.input("x", ["b", "n", "c"])?;
/// let w = g.param("weight", Source::weight("c"), ["f", "c"])?;
/// let y = g.einsum("b n c, f c -> b n f", x, w)?;
/// g.output("y", y);
/// let binding = Binding::from_iter([("b", 2), ("n", 3), ("c", 8), ("f", 5)]);
/// let run = Fast::new()?.run(&g, &binding, &Feeds::seeded(1))?;
/// assert_eq!(run.output("y")?.shape(), [2, 3, 5]);
/// assert_eq!(run.ledger.useful(), g.counts_at(&binding)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Fast<M = AtomicMeter> {
    pool: BufferPool,
    fused: bool,
    meter: PhantomData<M>,
}

impl Fast<NoMeter> {
    /// An interpreter whose kernels are compiled without counting, to measure what counting costs.
    /// Its ledgers hold times and bytes only.
    ///
    /// # Errors
    /// As [`Fast::new`].
    pub fn uncounted() -> Result<Self, RunError> {
        Self::made()
    }
}

impl Fast {
    /// The interpreter for this machine.
    ///
    /// # Errors
    /// When `OPLEDGER_ISA` asks for an instruction set the machine lacks.
    pub fn new() -> Result<Self, RunError> {
        Self::made()
    }
}

impl<M: Metering> Fast<M> {
    fn made() -> Result<Self, RunError> {
        opledger_kernels::isa().map_err(|e| RunError::Isa(e.to_string()))?;
        Ok(Fast { pool: BufferPool::default(), fused: true, meter: PhantomData })
    }

    /// The same interpreter executing every node by itself.
    #[must_use]
    pub fn node_by_node(self) -> Self {
        Fast { fused: false, ..self }
    }

    /// Executes a graph at values of its free symbols. What is drawn is drawn, and weights are packed, for
    /// each run; a [`Prepared`] keeps both.
    ///
    /// # Errors
    /// As [`Prepared::new`] and [`Prepared::run`].
    pub fn run(
        &mut self,
        graph: &Graph,
        sizes: &Binding,
        feeds: &Feeds,
    ) -> Result<Run<f32>, RunError> {
        Prepared::new(graph, sizes, feeds)?.run(self, &mut Quiet)
    }
}

impl<M> Fast<M> {
    /// A value whose buffer is not of the pool.
    fn noted(&mut self, value: Value<f32>) -> Value<f32> {
        self.pool.made(match &value {
            Value::Real(t) => bytes::<f32>(t.len()),
            Value::Index(t) => bytes::<i64>(t.len()),
        });
        value
    }
}

impl<M: Metering> Interpreter for Fast<M> {
    type Scalar = f32;

    fn schedule(&self, graph: &Graph) -> Schedule {
        let mut schedule = Schedule::one_by_one(graph);
        if self.fused {
            chain::join_all(graph, &mut schedule);
            together::join_all(graph, &mut schedule);
        }
        for (at, node) in graph.nodes().iter().enumerate() {
            if matches!(&node.op, Op::Concat(concat) if concat.grows) {
                schedule.consume(graph, at);
            }
        }
        schedule
    }

    fn begin(&mut self, computed_bytes: u64) {
        self.pool.begin(computed_bytes);
    }

    fn peak(&self) -> Option<Peak> {
        Some(self.pool.peak())
    }

    fn adopt(&self, value: &Value<f32>) -> Value<f32> {
        value.clone()
    }

    fn reads_weights(&self) -> bool {
        true
    }

    fn apply(&mut self, group: &mut [NodeCall<'_, f32>]) -> Result<Vec<Value<f32>>, OpError> {
        M::execute(self, group)
    }

    fn hold(&mut self, bytes: u64) {
        self.pool.made(bytes);
    }

    fn retire(&mut self, value: Value<f32>) {
        // A buffer that a view or a result still shares is not given back.
        match value {
            Value::Real(tensor) => {
                if let Ok(buffer) = tensor.try_into_data() {
                    self.pool.give(buffer);
                }
            }
            Value::Index(tensor) => {
                if let Ok(buffer) = tensor.try_into_data() {
                    self.pool.gone(bytes::<i64>(buffer.len()));
                }
            }
        }
    }
}

impl<M: Metering> Fast<M> {
    /// Executes nodes that are joined, or one.
    fn execute(&mut self, group: &mut [NodeCall<'_, f32>]) -> Result<Vec<Value<f32>>, OpError> {
        match group {
            [call] if !chain::begins(call) => match concat::in_place(call)? {
                Some(value) => Ok(vec![self.noted(value)]),
                None => self.single(call),
            },
            _ => {
                let output = group.last().map_or(&[][..], |call| call.output);
                let mut buffer = self.pool.take(output.iter().product());
                match group {
                    [first, ..] if !chain::begins(first) => {
                        together::apply::<M>(group, &mut buffer)?
                    }
                    _ => chain::apply::<M>(group, &mut buffer)?,
                }
                Ok(vec![Tensor::new(output, buffer)?.into()])
            }
        }
    }

    /// Executes one node, and records the bytes that it moves.
    fn single(&mut self, call: &NodeCall<'_, f32>) -> Result<Vec<Value<f32>>, OpError> {
        if let Some(Operand::Weight(weight)) = call.operands.last() {
            let result = self.by_weight(call, weight)?;
            call.record_bytes(call.output.iter().product());
            return Ok(vec![result]);
        }
        let inputs = call.inputs()?;
        let results = self.compute(call, &inputs)?;
        call.record_bytes(written(&inputs, &results));
        Ok(results)
    }

    /// Looks up rows of a weight, or multiplies by those of experts.
    fn by_weight(
        &mut self,
        call: &NodeCall<'_, f32>,
        weight: &Weight,
    ) -> Result<Value<f32>, OpError> {
        let before = &call.operands[..call.operands.len() - 1];
        let inputs = before.iter().enumerate();
        let inputs: Vec<&Value<f32>> = inputs
            .map(|(at, operand)| operand.value().ok_or(OpError::Operand(at)))
            .collect::<Result<_, _>>()?;
        let (node, row, call) = (call.node, call.row, &call.on(&inputs));
        let mut buffer = self.pool.take(call.output_len());
        match &node.op {
            Op::Embedding(_) => {
                let meter = M::of(row, Part::Widening);
                pointwise::embedding(call, Some(weight), &mut buffer, meter)?;
            }
            Op::Experts(_) => {
                let meter = M::of(row, Part::Contraction);
                einsum::experts(call, Some(weight), &mut buffer, meter)?;
            }
            op => return Err(OpError::Kernel(format!("{} reads no packed weight", op.name()))),
        }
        Ok(Tensor::new(call.output, buffer)?.into())
    }

    /// Executes one node by the kernel of its operation.
    fn compute(
        &mut self,
        call: &NodeCall<'_, f32>,
        inputs: &[&Value<f32>],
    ) -> Result<Vec<Value<f32>>, OpError> {
        let (node, row) = (call.node, call.row);
        let call = &call.on(inputs);
        match (&node.op, call.inputs.first()) {
            (Op::Rearrange(op), Some(Value::Real(x))) if op.is_view() => {
                return Ok(vec![x.reshape(call.output)?.into()]);
            }
            (Op::Rearrange(op), Some(Value::Index(x))) if op.is_view() => {
                return Ok(vec![Value::Index(x.reshape(call.output)?)]);
            }
            (Op::Rearrange(op), Some(Value::Index(x))) => {
                let ids = moving::rearrange_ids(op, call, x)?;
                return Ok(vec![self.noted(ids)]);
            }
            (Op::Table(op), _) => {
                let table = moving::table(op, call)?;
                return Ok(vec![self.noted(table)]);
            }
            (Op::TokenPositions(op), _) => {
                let positions = moving::token_positions(op, call)?;
                return Ok(vec![self.noted(positions)]);
            }
            // What does not change the value has no kernel.
            (Op::IndexMap(_) | Op::ToWhole(_) | Op::Sort(_), _)
            | (Op::Source(_) | Op::Carry(_) | Op::Exit(_), _) => {
                let results = node.op.reference(call, &mut |_| {})?;
                return Ok(results.into_iter().map(|value| self.noted(value)).collect());
            }
            (Op::Cumulative(op), Some(Value::Index(x))) => {
                let sums = pointwise::cumulative_ids(op, call, x)?;
                return Ok(vec![self.noted(sums)]);
            }
            (Op::ArgMax(op), Some(Value::Index(x))) => {
                let places = pointwise::arg_max_ids(op, call, x)?;
                return Ok(vec![self.noted(places)]);
            }
            (Op::ArgMax(op), _) => {
                let places = pointwise::arg_max(op, call, M::of(row, Part::Pointwise))?;
                return Ok(vec![self.noted(places)]);
            }
            (Op::Compare(op), _) => {
                let truths = pointwise::compare(op, call, M::of(row, Part::Pointwise))?;
                return Ok(vec![self.noted(truths)]);
            }
            (Op::Scatter(op), Some(Value::Index(x))) => {
                let ids = moving::scatter_ids(op, call, x)?;
                return Ok(vec![self.noted(ids)]);
            }
            (Op::TopK(op), _) => {
                let places = pointwise::top_k(op, call, M::of(row, Part::Pointwise))?;
                return Ok(vec![self.noted(places)]);
            }
            (Op::Dropout(op), Some(x)) if !op.training => return Ok(vec![(*x).clone()]),
            _ => {}
        }
        if let Op::AttentionGradient(op) = &node.op {
            let like = |at: usize| Ok::<_, OpError>(call.real(at)?.shape().to_vec());
            let shapes = [like(0)?, like(1)?, like(2)?];
            let mut made = shapes.each_ref().map(|own| self.pool.take(own.iter().product()));
            attention::gradient::<M>(op, call, made.each_mut().map(|out| &mut out[..]), row)?;
            let results = shapes.iter().zip(made);
            return results.map(|(own, data)| Ok(Tensor::new(own, data)?.into())).collect();
        }
        let mut buffer = self.pool.take(call.output_len());
        compute::<M>(&node.op, call, &mut buffer, row)?;
        Ok(vec![Tensor::new(call.output, buffer)?.into()])
    }
}

/// Computes every element of a result by the kernel of its operation.
fn compute<M: Metering>(
    op: &Op,
    call: &Call<'_, f32>,
    out: &mut [f32],
    row: &Row,
) -> Result<(), OpError> {
    let meter = M::of(row, Part::Pointwise);
    match op {
        Op::Einsum(op) => einsum::apply::<M>(op, call, out, row),
        Op::Attention(op) => attention::apply::<M>(op, call, out, row),
        Op::Convolution(op) => convolution::apply(op, call, out, M::of(row, Part::Contraction)),
        Op::ConvolutionTransposed(op) => {
            convolution::transposed(op, call, out, M::of(row, Part::Contraction))
        }
        Op::Pool(op) => convolution::pool(op, call, out, meter),
        Op::AdaptivePool(op) => convolution::adaptive_pool(op, call, out, meter),
        Op::ExpertsOuter(_) => einsum::experts_outer(call, out, M::of(row, Part::Contraction)),
        Op::Experts(_) => einsum::experts(call, None, out, M::of(row, Part::Contraction)),
        Op::Arithmetic(op) => pointwise::arithmetic(op, call, out, meter),
        Op::Scale(op) => pointwise::scale(op, call, out, meter),
        Op::Softmax(op) => attention::softmax(op, call, out, meter),
        Op::Norm(op) => pointwise::norm(op, call, out, meter),
        Op::Activation(op) => pointwise::activation(*op, call, out, meter),
        Op::Pointwise(op) => pointwise::with_constants(*op, call, out, meter),
        Op::Select(op) => pointwise::select(op, call, out),
        Op::ToReal(_) => pointwise::to_real(call, out),
        Op::Fill(op) => pointwise::fill(op, out),
        Op::Embedding(_) => pointwise::embedding(call, None, out, M::of(row, Part::Widening)),
        Op::RotaryAngles(op) => pointwise::rotary_angles(op, call, out, meter),
        Op::Rope(op) => pointwise::rope(op, call, out, meter),
        Op::Sinusoid(_) => pointwise::sinusoid(call, out, meter),
        Op::Reduce(op) => pointwise::reduce(op, call, out, meter),
        Op::Cumulative(op) => pointwise::cumulative(op, call, out, meter),
        Op::Dropout(op) => pointwise::dropout(op, call, out, meter),
        Op::Rearrange(op) => moving::rearrange(op, call, out),
        Op::Gather(_) => moving::gather(call, out),
        Op::GatherNd(op) => moving::gather_nd(op, call, out),
        Op::Scatter(op) => moving::scatter(op, call, out, meter),
        Op::Concat(op) => concat::apply(op, call, out),
        Op::AttentionGradient(_)
        | Op::TopK(_)
        | Op::ArgMax(_)
        | Op::Compare(_)
        | Op::Table(_)
        | Op::TokenPositions(_)
        | Op::IndexMap(_)
        | Op::ToWhole(_)
        | Op::Sort(_)
        | Op::Source(_)
        | Op::Carry(_)
        | Op::Exit(_) => Err(OpError::Kernel(format!("{} has no kernel", op.name()))),
    }
}
