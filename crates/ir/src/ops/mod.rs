//! The operations, one file each: formula and source, signature, cost, reference, proof.

mod activation;
mod arithmetic;
mod attention;
mod concat;
mod dropout;
mod einsum;
mod embedding;
mod experts;
mod fill;
mod gather;
mod norm;
mod pointwise;
mod rearrange;
mod reduce;
mod rope;
mod rotary_angles;
mod scale;
mod scan;
mod select;
mod sinusoid;
mod softmax;
mod source;
mod table;
mod to_real;
mod token_positions;
mod top_k;

#[cfg(test)]
pub(crate) mod proof;

pub use crate::frequencies::{RopeScaling, inverse_frequency};
pub use crate::masked::Masked;
pub use arithmetic::{Arithmetic, ArithmeticKind};
pub use attention::{Attention, AttentionSizes};
pub use concat::Concat;
pub use dropout::Dropout;
pub use einsum::Einsum;
pub use embedding::Embedding;
pub use experts::Experts;
pub use fill::Fill;
pub use gather::Gather;
pub use norm::{Norm, NormKind};
pub use opledger_dims::{Activation, Pointwise};
pub use rearrange::{Rearrange, Run, Runs};
pub use reduce::Reduce;
pub use rope::{Rope, RopePairs};
pub use rotary_angles::RotaryAngles;
pub use scale::{Factor, Scale};
pub use scan::{Carry, Exit};
pub use select::Select;
pub use sinusoid::Sinusoid;
pub use softmax::Softmax;
pub use source::{Draw, Source};
pub use table::Table;
pub use to_real::ToReal;
pub use token_positions::TokenPositions;
pub use top_k::TopK;
