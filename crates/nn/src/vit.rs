//! The attention of Vision Transformers (Dosovitskiy et al. 2020; named as in the `timm` library):
//! one map `qkv` gives queries, keys and values side by side.

use opledger_dims::Poly;
use opledger_ir::ops::{Factor, Rearrange};
use opledger_ir::{Axis, Graph, ModuleClass, Projection, Scope, Var};

use crate::attention::{Core, join_heads};
use crate::sizes::{Named, quotient};
use crate::{Attend, Attended, DropoutConfig, Linear, LinearConfig, NnError};

/// Options of a [`VitAttention`].
#[derive(Clone, Debug, PartialEq)]
pub struct VitAttentionConfig {
    /// The width of input and result.
    pub dim: Poly,
    /// Heads.
    pub num_heads: Poly,
    /// The width of a head; `dim / num_heads` when `None`.
    pub head_dim: Option<Poly>,
    /// Whether `qkv` has a bias.
    pub qkv_bias: bool,
    /// Whether the result is projected.
    pub out_proj: bool,
    /// Whether that projection has a bias.
    pub out_bias: bool,
    /// Dropout of the attention weights; in inference it is not recorded.
    pub dropout: DropoutConfig,
    /// Whether training leaves the parameters alone.
    pub frozen: bool,
}

impl VitAttentionConfig {
    /// No bias in `qkv`; an output projection with bias.
    pub fn new(dim: impl Into<Poly>, num_heads: impl Into<Poly>) -> Self {
        VitAttentionConfig {
            dim: dim.into(),
            num_heads: num_heads.into(),
            head_dim: None,
            qkv_bias: false,
            out_proj: true,
            out_bias: true,
            dropout: DropoutConfig::default(),
            frozen: false,
        }
    }
}

/// Attention with one map for queries, keys and values. Parameters `qkv.weight [s=3, h, e, c]`, which
/// is PyTorch's `[3·c, c]`, `proj.weight [c, h, e]`, and their biases.
///
/// ```
/// # mod opledger { pub use {opledger_ir::*, opledger_nn as nn}; }
/// use opledger::{Graph, nn::{VitAttention, VitAttentionConfig}};
///
/// let mut g = Graph::new();
/// let x = g.input("x", ["b", "n", "c"])?;
/// let attn = VitAttention::new(&mut g.scope("attn"), &VitAttentionConfig::new("c", "h"))?;
/// attn.forward(&mut g, x)?;
/// assert_eq!(g.cost().macs().to_string(), "4·b·n·c² + 2·b·n²·c");
/// assert_eq!(g.parameters().0.to_string(), "4·c² + c");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct VitAttention {
    scope: Scope,
    qkv: Linear,
    proj: Option<Linear>,
    head_dim: Poly,
    dropout: DropoutConfig,
}

impl VitAttention {
    /// Attention in the present scope.
    ///
    /// # Errors
    /// When a size is below one, or the heads do not divide the width.
    pub fn new(g: &mut Graph, config: &VitAttentionConfig) -> Result<Self, NnError> {
        let scope = g.module(ModuleClass::Attention);
        VitAttention::here(&mut g.enter(&scope), config)
    }

    /// The same as part of the module around it.
    pub(crate) fn here(g: &mut Graph, config: &VitAttentionConfig) -> Result<Self, NnError> {
        let head_dim = match &config.head_dim {
            Some(given) => given.clone(),
            None => {
                let (dim, heads) =
                    (Named("dim", &config.dim), Named("num_heads", &config.num_heads));
                quotient(g, "e", dim, heads, "head_dim")?
            }
        };
        let (c, s) = (Axis::new("c", &config.dim), Axis::new("s", 3));
        let heads = [Axis::new("h", &config.num_heads), Axis::new("e", &head_dim)];
        let linear = |bias, which| {
            LinearConfig { frozen: config.frozen, ..LinearConfig::bias(bias) }.projection(which)
        };
        let three = std::iter::once(s).chain(heads.clone()).collect();
        let qkv = linear(config.qkv_bias, Projection::QueryKeyValue);
        let qkv = Linear::between(&mut g.scope("qkv"), vec![c.clone()], three, qkv)?;
        let proj = match config.out_proj {
            true => {
                let scope = &mut g.scope("proj");
                let linear = linear(config.out_bias, Projection::Output);
                Some(Linear::between(scope, heads.into(), vec![c], linear)?)
            }
            false => None,
        };
        Ok(VitAttention { scope: g.here(), qkv, proj, head_dim, dropout: config.dropout })
    }

    /// `[b, n, c]` to `[b, n, c]`.
    ///
    /// # Errors
    /// When `x` does not fit the configuration.
    pub fn forward(&self, g: &mut Graph, x: Var) -> Result<Var, NnError> {
        Ok(self.forward_with(g, x, Attend::default())?.output)
    }

    /// The same with a mask, a bias, or the weights given back.
    ///
    /// # Errors
    /// When `x` does not fit the configuration.
    pub fn forward_with(&self, g: &mut Graph, x: Var, call: Attend) -> Result<Attended, NnError> {
        self.attend(g, x, &call, call.bias.as_slice())
    }

    /// The same with any number of biases in place of the call's.
    pub(crate) fn attend(
        &self,
        g: &mut Graph,
        x: Var,
        call: &Attend,
        biases: &[Var],
    ) -> Result<Attended, NnError> {
        let g = &mut *g.enter(&self.scope);
        let found = g.shape(x).clone();
        if found.axes.len() < 2 {
            let (layer, expected, found) = ("VitAttention", "[…, n, c]", found.to_string());
            return Err(NnError::Rank { layer, expected, found });
        }
        let qkv = self.qkv.forward(g, x)?;
        let mut part = |index: i64| -> Result<Var, NnError> {
            let one = Rearrange::Slice { axis: "s".into(), start: index.into(), len: 1.into() };
            let one = g.rearrange(qkv, one)?;
            let axes = vec!["s".into(), "h".into()];
            Ok(g.rearrange(one, Rearrange::Merge { axes, into: "h".into() })?)
        };
        let heads = (part(0)?, part(1)?, part(2)?);
        let scale = Factor::InverseSqrt(self.head_dim.clone());
        let core = Core {
            mask: &call.mask,
            biases,
            scale: Some(&scale),
            soft_cap: None,
            by_head: None,
            sinks: None,
            weights: call.weights,
            dropout: self.dropout,
        };
        let attended = core.attend(g, heads)?;
        let output = join_heads(g, attended.output, self.proj.as_ref())?;
        Ok(Attended { output, ..attended })
    }
}
