//! Layers of Transformers that record themselves in a [`Graph`](opledger_ir::Graph).
//!
//! A layer is made once, in the graph's present scope: `new` records its parameters under their
//! usual names (`self_attn.q_proj.weight`), and `forward` records its computation under the same
//! path, wherever the graph stands by then. Sizes are numbers or symbols; what a layer costs is then
//! read off the graph.
//!
//! Axes have fixed names: `c` is the model width, `f` the hidden width of a feed-forward layer, `h`
//! the heads, `g` the key and value heads when there are fewer, `e` the width of a head, `v` the
//! vocabulary. Weights are stored output axes first, as PyTorch stores them: a weight `[h, e, c]` is
//! PyTorch's `[h·e, c]` in the same memory order.
//!
//! ```
//! # mod opledger { pub use {opledger_ir::*, opledger_nn as nn}; }
//! use opledger::{Graph, nn::{AttentionConfig, MultiheadAttention}};
//!
//! let mut g = Graph::new();
//! let x = g.input("x", ["b", "n", "c"])?;
//! let config = AttentionConfig { bias: false, out_bias: false, ..AttentionConfig::new("c", "h") };
//! let attention = MultiheadAttention::new(&mut g.scope("self_attn"), &config)?;
//! let y = attention.forward(&mut g, x, x, x)?;
//! assert_eq!(g.shape(y).to_string(), "[b, n, c]");
//! assert_eq!(g.cost().macs().to_string(), "4·b·n·c² + 2·b·n²·c");
//! assert_eq!(g.parameters().0.to_string(), "4·c²");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod attention;
mod bert;
mod causal_convolution;
mod convolution;
mod cosine;
mod disentangled;
mod dropout;
mod embedding;
mod error;
mod feed_forward;
mod gated_delta;
mod group_norm;
mod linear;
mod lm_head;
mod mixture;
mod mlp_stack;
mod names;
mod norm;
mod positions;
mod recurrence;
mod rotary;
mod routing;
mod short_convolution;
mod single_head;
mod sizes;
mod stack;
mod state_space;
mod sublayers;
mod transformer;
mod vit;
mod window;

pub use attention::{
    Attend, Attended, AttentionConfig, KeysAndValues, LatentAttention, LatentConfig, LatentForm,
    MultiheadAttention, Origin, Temperature, Weights,
};
pub use bert::{BertEmbedding, BertEmbeddingConfig};
pub use convolution::{Convolution, ConvolutionConfig};
pub use cosine::{CosineWindowAttention, CosineWindowConfig};
pub use disentangled::{DisentangledAttention, DisentangledConfig};
pub use dropout::{Dropout, DropoutConfig};
pub use embedding::Embedding;
pub use error::NnError;
pub use feed_forward::{FeedForward, FeedForwardConfig};
pub use gated_delta::{DeltaMaps, GatedDelta, GatedDeltaConfig};
pub use group_norm::GroupNorm;
pub use linear::{Linear, LinearConfig};
pub use lm_head::LmHead;
pub use mixture::{ClampedGate, LatentExperts, MixtureConfig, MixtureOfExperts, SharedExpert};
pub use mlp_stack::{AttentionMlpStack, AttentionMlpStackConfig};
pub use names::{AttentionNames, FeedForwardNames, LayerNames};
pub use norm::{Norm, NormConfig};
pub use opledger_ir::ops::{Activation, NormKind, RopePairs, RopeScaling};
pub use positions::{LearnedPositions, SinusoidalPositions};
pub use rotary::RotaryEmbedding;
pub use routing::{
    Divisor, ExpertGroups, ExpertWeights, GroupScore, RouterScores, Routing, ScaledRouter,
    ScoreCorrection,
};
pub use short_convolution::{ShortConvolution, ShortConvolutionConfig};
pub use single_head::{SelfAttention, SelfAttentionConfig};
pub use sizes::ceil_div;
pub use stack::{Decoder, Encoder};
pub use state_space::{StateSpace, StateSpaceConfig};
pub use sublayers::{DecoderLayer, EncoderLayer, LayerConfig, Residual, Sublayers};
pub use transformer::{Transformer, TransformerConfig, TransformerMasks};
pub use vit::{VitAttention, VitAttentionConfig};
pub use window::{WindowAttention, WindowAttentionConfig};
