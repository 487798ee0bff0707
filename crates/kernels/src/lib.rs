//! Fast `f32` kernels on the CPU that report what they did: slices in, slices out, counts back.
//!
//! The crate knows no graph and no tensor. Every kernel checks its shapes once, cuts its work into
//! tasks by shape alone, and runs them under rayon; so results and counts are the same bits for
//! every number of threads. Small problems run on the calling thread.
//!
//! # Counting
//!
//! Each task sums the operations of the loops it runs in a [`Tally`], from the bounds of those
//! loops, and gives it to a [`Meter`] once, when it ends. With [`NoMeter`] nothing is handed over. The
//! inner loops know neither, so they are the same code.
//!
//! - *useful* is what the mathematics asks for: a dot product of `k` terms is `k` mul and `k - 1`
//!   add; each kernel states its own.
//! - *executed* is what the kernel's arithmetic did: masked-out positions that were computed anyway,
//!   columns and lanes that only fill a register, the merging of lanes, comparisons that guard a row,
//!   and the operations that only the blocked algorithm needs (rescaling in the online softmax). A
//!   fused multiply-add is one mul and one add. A function of one number (`exp`, `tanh`, `erf`,
//!   `sqrt`, `log1p`, sine, cosine) is one operation of its class, whatever its approximation does
//!   inside. Sign, absolute value, bits, indices and moves are none.
//! - *substituted* are useful operations that were not executed as such, by [`Substitution`]:
//!   divisions of a row by one number are executed as one div, a reciprocal, and a mul each. So
//!   `substituted <= useful <= executed + substituted`, class by class.
//!
//! Kernels are generic over [`Number`]: `f32`, or [`Counted<f32>`](opledger_dims::Counted), whose
//! operators count. Tests run every kernel on numbers that count, for every instruction set of the
//! machine, and hold `executed` against what they counted, part by part: fused attention says where
//! each part begins, and a part of another kernel is what it adds to the rest. The one exception is
//! `matrixmultiply`, whose inside is not seen: a product that it computes counts as the textbook's, one
//! mul and one add per term.
//!
//! # Weights in fewer bits
//!
//! A [`PackedMatrix`] is kept in 32 bits, or in 16 (bf16, f16) that are widened where they are loaded.
//! Widening is exact, like a move, and no operation: the loops are the same, and so are bits and counts.
//! One in [`Blocks`] is widened some rows of a panel at a time, once for all rows of a task; the
//! multiplications and additions that this takes are counted apart, as `widened`.
//!
//! # Instruction sets
//!
//! Vector loops and the microkernels are compiled for several instruction sets, see [`isa()`].
//! All of them give the same useful counts, and what they execute differs by the lanes that their
//! registers have; vector loops, microkernels and fused attention give the same bits. Portable code
//! multiplies with `matrixmultiply`, as do narrow products and the chain of attention everywhere; it
//! detects its own instruction set, whatever is forced, and what its tiles pad is not seen.

mod activation;
mod adaptive_pool;
mod along;
mod attention;
mod blocks;
mod buffer;
mod compare;
mod convolution;
mod convolution_transposed;
#[cfg(test)]
mod counting;
mod elements;
mod elementwise;
mod error;
mod experts;
mod experts_outer;
mod gemm;
mod gemv;
mod horizontal;
mod isa;
pub mod math;
mod meter;
mod norm;
mod number;
mod pointwise;
mod pool;
mod position;
mod probe;
mod query_sums;
mod reduce;
mod reduce_columns;
mod row_program;
mod scatter;
mod score_rows;
mod sliding;
mod softmax;
mod strided;
mod tasks;
mod top_k;

pub use adaptive_pool::adaptive_pool;
pub use along::{Running, arg_max, cumulative};
pub use attention::{
    Attention, AttentionGradient, AttentionGradientMeters, AttentionMeters, AttentionShape, Bias,
    Context, Heads, Keep, Mask, Pairs, Scores, attention, attention_gradient, masked_context,
    masked_scores,
};
pub use blocks::{BlockType, Blocks};
pub use compare::{CompareOp, compare};
pub use convolution::{Convolution, convolution};
pub use convolution_transposed::convolution_transposed;
pub use elements::{Elements, WeightType, bf16, f16};
pub use elementwise::{activation, dropout, pointwise, scale};
pub use error::KernelError;
pub use experts::{ExpertMatrices, Experts, experts};
pub use experts_outer::{OuterProducts, experts_outer};
pub use gemm::{
    Epilogue, Gemm, GemmMeters, MatrixBatch, Order, PackedMatrix, Packing, Right, gemm, gemm_with,
};
pub use isa::{Isa, isa};
pub use meter::{AtomicMeter, Meter, NoMeter, Substitution, Tally};
pub use norm::{Channels, LayerNorm, RmsNorm, layer_norm, rms_norm};
pub use number::Number;
pub use opledger_dims::{Activation, Pointwise};
pub use pool::{Pooling, pool};
pub use position::{Pairing, Rope, RotaryPositions, rope, rotary_angles, sinusoid};
pub use probe::{FmaChains, fma_chains, read_sum};
pub use query_sums::{QuerySums, masked_query_sums};
pub use reduce::{Reduction, reduce};
pub use reduce_columns::reduce_columns;
pub use row_program::{RowOperand, RowProgram, RowStep, row_program};
pub use scatter::{Meeting, scatter};
pub use score_rows::{ScoreRows, masked_binary};
pub use sliding::SlidingAxis;
pub use softmax::{softmax, softmax_beside};
pub use strided::{BinaryOp, Strided, binary, gather, look_up, permute, select};
pub use top_k::top_k;
