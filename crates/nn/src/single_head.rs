//! Self-attention with one head, queries and keys of another width than values: the block whose
//! multiplications `n·c₁·c₂` and `n²·c₂` tutorials count.

use opledger_dims::Poly;
use opledger_ir::{Graph, Var};

use crate::{Attend, Attended, AttentionConfig, MultiheadAttention, NnError};

/// Options of a [`SelfAttention`].
#[derive(Clone, Debug, PartialEq)]
pub struct SelfAttentionConfig {
    /// The width of the input.
    pub embed_dim: Poly,
    /// The width of queries and keys; `embed_dim` when `None`.
    pub key_dim: Option<Poly>,
    /// The width of values; `embed_dim` when `None`.
    pub value_dim: Option<Poly>,
    /// Whether queries, keys and values have biases.
    pub bias: bool,
    /// Whether the result is projected (W_O), with a bias if `bias` is set.
    pub out_proj: bool,
    /// Whether training leaves the parameters alone.
    pub frozen: bool,
}

impl SelfAttentionConfig {
    /// All widths equal, no biases, no output projection.
    pub fn new(embed_dim: impl Into<Poly>) -> Self {
        SelfAttentionConfig {
            embed_dim: embed_dim.into(),
            key_dim: None,
            value_dim: None,
            bias: false,
            out_proj: false,
            frozen: false,
        }
    }
}

/// Self-attention with one head. Parameters as [`MultiheadAttention`]'s with `h = 1`.
///
/// ```
/// # mod opledger { pub use {opledger_ir::{self as ir, *}, opledger_nn as nn}; }
/// use opledger::{Graph, ir::Axis, nn::{SelfAttention, SelfAttentionConfig}};
///
/// let mut g = Graph::new();
/// let x = g.input("x", ["b".into(), "n".into(), Axis::new("c", "c1")])?;
/// let config = SelfAttentionConfig { key_dim: Some("c2".into()), ..SelfAttentionConfig::new("c1") };
/// SelfAttention::new(&mut g, &config)?.forward(&mut g, x)?;
/// assert_eq!(
///     g.cost().macs().to_string(),
///     "2·b·n·c1·c2 + b·n·c1² + b·n²·c2 + b·n²·c1"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SelfAttention(MultiheadAttention);

impl SelfAttention {
    /// Attention in the present scope.
    ///
    /// # Errors
    /// When a size is below one.
    pub fn new(g: &mut Graph, config: &SelfAttentionConfig) -> Result<Self, NnError> {
        let or_all =
            |width: &Option<Poly>| Some(width.as_ref().unwrap_or(&config.embed_dim).clone());
        let heads = AttentionConfig {
            head_dim: or_all(&config.key_dim),
            value_head_dim: or_all(&config.value_dim),
            bias: config.bias,
            out_proj: config.out_proj,
            out_bias: config.bias,
            frozen: config.frozen,
            ..AttentionConfig::new(&config.embed_dim, 1)
        };
        Ok(SelfAttention(MultiheadAttention::new(g, &heads)?))
    }

    /// `[b, n, c]` to `[b, n, c]`, or to the width of values without output projection.
    ///
    /// # Errors
    /// When `x` does not fit the configuration.
    pub fn forward(&self, g: &mut Graph, x: Var) -> Result<Var, NnError> {
        self.0.forward(g, x, x, x)
    }

    /// The same with a mask, a bias, or the weights given back.
    ///
    /// # Errors
    /// When `x` does not fit the configuration.
    pub fn forward_with(&self, g: &mut Graph, x: Var, call: Attend) -> Result<Attended, NnError> {
        self.0.forward_with(g, x, x, x, call)
    }
}
