//! The closed set of operations.

use opledger_dims::{Binding, Poly, Scalar, Symbol};

use crate::facts::{AxisMap, Facts};
use crate::operation::Operation;
use crate::ops::{
    Activation, AdaptivePool, ArgMax, Arithmetic, Attention, AttentionGradient, Carry, Compare,
    Concat, Convolution, ConvolutionTransposed, Cumulative, Dropout, Einsum, Embedding, Exit,
    Experts, ExpertsOuter, Fill, Gather, GatherNd, IndexMap, Norm, Pointwise, Pool, Rearrange,
    Reduce, Rope, RotaryAngles, Scale, Scatter, Select, Sinusoid, Softmax, Sort, Source, Table,
    ToReal, ToWhole, TokenPositions, TopK,
};
use crate::{Call, Cost, OpError, Part, Shape, ShapeError, Value};

macro_rules! ops {
    ($($(#[$doc:meta])* $variant:ident($type:ident)),* $(,)?) => {
        /// An operation of a node.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Op {
            $($(#[$doc])* $variant($type),)*
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
                }
            }

            fn signature(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
                match self {
                    $(Op::$variant(op) => op.signature(inputs),)*
                }
            }

            fn cost(&self, inputs: &[&Shape], output: &Shape) -> Cost {
                match self {
                    $(Op::$variant(op) => op.cost(inputs, output),)*
                }
            }

            fn summed(&self, inputs: &[&Shape]) -> Vec<(Symbol, Poly)> {
                match self {
                    $(Op::$variant(op) => op.summed(inputs),)*
                }
            }

            fn facts(&self) -> Facts<'_> {
                match self {
                    $(Op::$variant(op) => op.facts(),)*
                }
            }

            fn axis_map(&self, inputs: &[&Shape], output: &Shape) -> AxisMap {
                match self {
                    $(Op::$variant(op) => op.axis_map(inputs, output),)*
                }
            }

            fn detail(&self) -> String {
                match self {
                    $(Op::$variant(op) => op.detail(),)*
                }
            }

            fn conflict(&self, inputs: &[&Shape], binding: &Binding) -> Option<String> {
                match self {
                    $(Op::$variant(op) => op.conflict(inputs, binding),)*
                }
            }

            fn reference<T: Scalar>(
                &self,
                call: &Call<'_, T>,
                mark: &mut dyn FnMut(Part),
            ) -> Result<Vec<Value<T>>, OpError> {
                match self {
                    $(Op::$variant(op) => op.reference(call, mark),)*
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
    /// The positions of tokens among those that are no padding.
    TokenPositions(TokenPositions),
    /// Whole numbers computed from positions, sizes and other whole numbers.
    IndexMap(IndexMap),
    /// A contraction of two operands.
    Einsum(Einsum),
    /// An operation on two numbers with broadcast by axis name.
    Arithmetic(Arithmetic),
    /// Multiplication by a constant.
    Scale(Scale),
    /// Softmax along one axis.
    Softmax(Softmax),
    /// LayerNorm or RMSNorm over the last axis.
    Norm(Norm),
    /// A pointwise function.
    Activation(Activation),
    /// A pointwise function with constants.
    Pointwise(Pointwise),
    /// Comparisons of two reals, as truth values.
    Compare(Compare),
    /// One of two values for each element.
    Select(Select),
    /// Whole numbers as reals.
    ToReal(ToReal),
    /// Reals as whole numbers.
    ToWhole(ToWhole),
    /// Whole numbers in their order, and where they stood.
    Sort(Sort),
    /// A tensor of one number.
    Fill(Fill),
    /// Rows of a table by id.
    Embedding(Embedding),
    /// Moving without arithmetic.
    Rearrange(Rearrange),
    /// A sum over a window that slides along axes.
    Convolution(Convolution),
    /// Products added to their places in a result over which a window slides.
    ConvolutionTransposed(ConvolutionTransposed),
    /// The maximum or mean of a window that slides along axes.
    Pool(Pool),
    /// The maximum or mean of windows of which there are so many.
    AdaptivePool(AdaptivePool),
    /// Joining along an axis.
    Concat(Concat),
    /// Cosines and sines of a rotary position embedding.
    RotaryAngles(RotaryAngles),
    /// Rotary position embedding.
    Rope(Rope),
    /// Sine and cosine position table.
    Sinusoid(Sinusoid),
    /// Softmax attention.
    Attention(Attention),
    /// Gradients of attention.
    AttentionGradient(AttentionGradient),
    /// Sum, mean or maximum along an axis.
    Reduce(Reduce),
    /// Sums or products up to each element along an axis.
    Cumulative(Cumulative),
    /// The place of the largest along an axis.
    ArgMax(ArgMax),
    /// Dropout.
    Dropout(Dropout),
    /// The places of the largest entries.
    TopK(TopK),
    /// Entries by their place.
    Gather(Gather),
    /// Entries by their places along several axes.
    GatherNd(GatherNd),
    /// A tensor with some entries written or joined with others.
    Scatter(Scatter),
    /// A linear map by the weights of chosen experts.
    Experts(Experts),
    /// Outer products of rows, added up by expert.
    ExpertsOuter(ExpertsOuter),
    /// Where an iteration of a repeated body begins.
    Carry(Carry),
    /// Where a repetition ends.
    Exit(Exit),
}

impl Op {
    /// Whether the node's value comes from outside the computation.
    pub fn is_source(&self) -> bool {
        matches!(self, Op::Source(_))
    }

    /// Whether the result is the operand's own buffer under other axes, so that nothing is read or
    /// written.
    pub fn is_view(&self) -> bool {
        self.facts().view
    }
}
