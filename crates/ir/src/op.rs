//! The closed set of operations, and what each of them must say of itself.

use opledger_dims::{Binding, Poly, Scalar, Symbol};

use crate::ops::{
    Activation, Arithmetic, Attention, Concat, Dropout, Einsum, Embedding, Experts, Factor, Gather,
    Masked, Norm, Rearrange, Reduce, Rope, Scale, Sinusoid, Softmax, Source, Table, TopK,
};
use crate::{Call, Cost, OpError, Part, Shape, ShapeError, Value};

/// What an operation says of itself. Nothing here has a default: a new operation does not compile
/// until it says what it costs.
pub trait Operation {
    /// The name used in paths and reports.
    fn name(&self) -> &'static str;

    /// The shape of the result.
    ///
    /// # Errors
    /// The relation between the operands' shapes that does not hold.
    fn signature(&self, inputs: &[&Shape]) -> Result<Shape, ShapeError>;

    /// The number of scalar operations as polynomials over the sizes, part by part.
    fn cost(&self, inputs: &[&Shape], output: &Shape) -> Cost;

    /// The axes that must not be empty, since the operation sums or compares along them.
    fn summed(&self, inputs: &[&Shape]) -> Vec<(Symbol, Poly)>;

    /// The textbook algorithm: the definition of the operation and of its count. `mark` is called
    /// after each part and ascribes to it all that was counted since the last call.
    ///
    /// # Errors
    /// When a value does not fit the operation, such as an id outside its table.
    fn reference<T: Scalar>(
        &self,
        call: &Call<'_, T>,
        mark: &mut dyn FnMut(Part),
    ) -> Result<Value<T>, OpError>;
}

macro_rules! ops {
    ($($(#[$doc:meta])* $variant:ident($type:ident)),* $(,)?) => {
        /// An operation of a node.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Op {
            $($(#[$doc])* $variant($type),)*
            /// The value that enters an iteration of a repeated body.
            Carry,
            /// The value that leaves a repeated body after its last iteration.
            Exit,
        }

        $(impl From<$type> for Op {
            fn from(op: $type) -> Op {
                Op::$variant(op)
            }
        })*

        impl Operation for Op {
            fn name(&self) -> &'static str {
                match self {
                    $(Op::$variant(op) => op.name(),)*
                    Op::Carry => "carry",
                    Op::Exit => "exit",
                }
            }

            fn signature(&self, inputs: &[&Shape]) -> Result<Shape, ShapeError> {
                match self {
                    $(Op::$variant(op) => op.signature(inputs),)*
                    Op::Carry | Op::Exit => {
                        inputs.first().map(|s| (*s).clone()).ok_or(ShapeError::Arity { expected: 1, found: 0 })
                    }
                }
            }

            fn cost(&self, inputs: &[&Shape], output: &Shape) -> Cost {
                match self {
                    $(Op::$variant(op) => op.cost(inputs, output),)*
                    Op::Carry | Op::Exit => Cost::free(),
                }
            }

            fn summed(&self, inputs: &[&Shape]) -> Vec<(Symbol, Poly)> {
                match self {
                    $(Op::$variant(op) => op.summed(inputs),)*
                    Op::Carry | Op::Exit => Vec::new(),
                }
            }

            fn reference<T: Scalar>(
                &self,
                call: &Call<'_, T>,
                mark: &mut dyn FnMut(Part),
            ) -> Result<Value<T>, OpError> {
                match self {
                    $(Op::$variant(op) => op.reference(call, mark),)*
                    Op::Carry | Op::Exit => call.inputs.last().map(|v| (*v).clone()).ok_or(OpError::Operand(0)),
                }
            }
        }
    };
}

ops! {
    /// A value that comes from outside: an input or a parameter.
    Source(Source),
    /// A table of constants that depends on sizes only.
    Table(Table),
    /// A contraction of two operands.
    Einsum(Einsum),
    /// Addition, multiplication or division with broadcast by axis name.
    Arithmetic(Arithmetic),
    /// Multiplication by a constant.
    Scale(Scale),
    /// Softmax along one axis.
    Softmax(Softmax),
    /// LayerNorm or RMSNorm over the last axis.
    Norm(Norm),
    /// A pointwise function.
    Activation(Activation),
    /// Rows of a table by id.
    Embedding(Embedding),
    /// Moving without arithmetic.
    Rearrange(Rearrange),
    /// Joining along an axis.
    Concat(Concat),
    /// Rotary position embedding.
    Rope(Rope),
    /// Sine and cosine position table.
    Sinusoid(Sinusoid),
    /// Softmax attention.
    Attention(Attention),
    /// Sum, mean or maximum along an axis.
    Reduce(Reduce),
    /// Dropout.
    Dropout(Dropout),
    /// The places of the largest entries.
    TopK(TopK),
    /// Entries by their place.
    Gather(Gather),
    /// A linear map by the weights of chosen experts.
    Experts(Experts),
}

impl Op {
    /// Whether the node's value comes from outside the computation.
    pub fn is_source(&self) -> bool {
        matches!(self, Op::Source(_))
    }

    /// Whether the result is the operand's own buffer under other axes, so that nothing is read or
    /// written.
    pub fn is_view(&self) -> bool {
        match self {
            Op::Carry | Op::Exit | Op::Source(_) => true,
            Op::Rearrange(r) => r.is_view(),
            Op::Dropout(d) => !d.training,
            _ => false,
        }
    }

    /// The mask of an operation other than attention, when it computes the allowed pairs only.
    pub fn masked(&self) -> Option<&Masked> {
        match self {
            Op::Einsum(op) => op.masked.as_ref(),
            Op::Arithmetic(op) => op.masked.as_ref(),
            Op::Scale(op) => op.masked.as_ref(),
            Op::Softmax(op) => op.masked.as_ref(),
            _ => None,
        }
    }
}

/// Checks that there are exactly `N` operands.
pub(crate) fn operands<'a, const N: usize>(
    inputs: &[&'a Shape],
) -> Result<[&'a Shape; N], ShapeError> {
    inputs.try_into().map_err(|_| ShapeError::Arity { expected: N, found: inputs.len() })
}

impl Op {
    /// The sizes that stand in the operation itself; they need not stand in a shape.
    pub(crate) fn sizes(&self) -> Vec<&Poly> {
        match self {
            Op::Source(Source::Ids { below, .. }) => vec![below],
            Op::Table(Table::WindowDisplacement { side, .. }) => vec![side],
            Op::Table(Table::ShiftMask { rows, columns, side, shift, .. }) => {
                vec![rows, columns, side, shift]
            }
            Op::Table(Table::RelativeBuckets { offset, .. }) => vec![offset],
            Op::Rearrange(Rearrange::Slice { start, len, .. }) => vec![start, len],
            Op::Rearrange(Rearrange::Roll { by, .. }) => vec![by],
            Op::Rope(rope) => std::iter::once(&rope.offset).chain(&rope.rotated).collect(),
            Op::Scale(Scale { factor, .. }) => factor.size().into_iter().collect(),
            Op::Attention(a) => {
                let scale = a.scale.as_ref().and_then(Factor::size);
                scale.into_iter().chain(&a.mask.offset).chain(&a.mask.window).collect()
            }
            _ => Vec::new(),
        }
    }

    /// What relation between sizes fails at a complete binding, if any.
    pub(crate) fn conflict(&self, inputs: &[&Shape], binding: &Binding) -> Option<String> {
        let odd = |size: &Poly| size.at(binding).is_ok_and(|size| size % 2u32 != 0u32.into());
        match self {
            Op::Attention(_) => Attention::conflict(inputs, binding),
            Op::Rope(rope) => rope.problem(inputs[0].last()?, |size| size.at(binding).ok()),
            Op::TopK(op) => {
                let entries = inputs[0].last()?;
                let sizes = (entries.size.at(binding).ok()?, op.k.size.at(binding).ok()?);
                TopK::problem(&entries.name, &sizes.0, &sizes.1)
            }
            Op::Sinusoid(s) if odd(&s.width.size) => {
                Some(format!("axis `{}` is odd; sines and cosines come in pairs", s.width.name))
            }
            Op::Rearrange(Rearrange::Slice { axis, start, len }) => {
                let size =
                    inputs[0].axes.iter().find(|a| a.name == *axis)?.size.at(binding).ok()?;
                let end = (start + len).at(binding).ok()?;
                (end > size).then(|| format!("axis `{axis}` has {size} positions, {end} are used"))
            }
            _ => None,
        }
    }
}
