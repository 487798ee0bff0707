//! A small model that shows what counting by hooks misses: multi-head attention with its weights
//! given back, then Linear → ReLU → Dropout → Linear, no residual, no norm, repeated.

use opledger_dims::Poly;
use opledger_ir::ops::Activation;
use opledger_ir::{Graph, Scope, Var};

use crate::{
    Attend, AttentionConfig, DropoutConfig, FeedForward, FeedForwardConfig, MultiheadAttention,
    NnError, Weights,
};

/// Options of an [`AttentionMlpStack`].
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionMlpStackConfig {
    /// How many times the body is repeated.
    pub num_layers: Poly,
    /// The width.
    pub embed_dim: Poly,
    /// Heads.
    pub num_heads: Poly,
    /// The hidden width of the two linear maps.
    pub dim_feedforward: Poly,
    /// Dropout between them.
    pub dropout: DropoutConfig,
}

impl Default for AttentionMlpStackConfig {
    /// Two layers of width 64 with 4 heads and hidden width 128, dropout 0.1 in inference.
    fn default() -> Self {
        AttentionMlpStackConfig {
            num_layers: 2.into(),
            embed_dim: 64.into(),
            num_heads: 4.into(),
            dim_feedforward: 128.into(),
            dropout: DropoutConfig::inference(0.1),
        }
    }
}

/// The repeated model. Parameters `layers.*.self_attn.…`, `layers.*.linear1.…`,
/// `layers.*.linear2.…`.
///
/// ```
/// # mod opledger { pub use {opledger_ir::{self as ir, *}, opledger_nn as nn}; }
/// use opledger::{Graph, ir::Axis, nn::{AttentionMlpStack, AttentionMlpStackConfig}};
///
/// let mut g = Graph::new();
/// let x = g.input("x", [Axis::new("b", 32), Axis::new("n", 10), Axis::new("c", 64)])?;
/// AttentionMlpStack::new(&mut g, &AttentionMlpStackConfig::default())?.forward(&mut g, x)?;
/// assert_eq!(g.parameters().0, 66_432.into());
/// assert_eq!(g.cost().macs(), 21_790_720.into());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct AttentionMlpStack {
    layers: Scope,
    attention: MultiheadAttention,
    feed_forward: FeedForward,
}

impl AttentionMlpStack {
    /// The model in the present scope.
    ///
    /// # Errors
    /// When a size is below one, or the heads do not divide the width.
    pub fn new(g: &mut Graph, config: &AttentionMlpStackConfig) -> Result<Self, NnError> {
        crate::sizes::not_negative("num_layers", &config.num_layers)?;
        let layers = g.repeated("layers", config.num_layers.clone());
        let g = &mut *g.enter(&layers);
        let attention = AttentionConfig::new(&config.embed_dim, &config.num_heads);
        let attention = MultiheadAttention::new(&mut g.scope("self_attn"), &attention)?;
        let feed_forward = FeedForwardConfig {
            activation: Activation::Relu,
            dropout: config.dropout,
            ..FeedForwardConfig::new(&config.embed_dim, &config.dim_feedforward)
        };
        let feed_forward = FeedForward::new(g, &feed_forward)?;
        Ok(AttentionMlpStack { layers, attention, feed_forward })
    }

    /// `[b, n, c]` to the same shape.
    ///
    /// # Errors
    /// When `x` does not fit the configuration.
    pub fn forward(&self, g: &mut Graph, x: Var) -> Result<Var, NnError> {
        g.repeat(&self.layers, x, |g, x| {
            let call = Attend { weights: Weights::Mean, ..Attend::default() };
            let attended = self.attention.forward_with(g, x, x, x, call)?;
            self.feed_forward.forward(g, attended.output)
        })
    }
}
