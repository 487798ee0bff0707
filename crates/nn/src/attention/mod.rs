//! Multi-head attention (Vaswani et al. 2017, §3.2): `softmax(q·kᵀ/√e + bias)·v` for each head, the
//! heads joined and projected. Fewer key and value heads than query heads make it grouped-query
//! (Ainslie et al. 2023) or, with one, multi-query attention (Shazeer 2019).

mod core;
mod latent;

use opledger_dims::Poly;
use opledger_ir::ops::{Concat, Factor, Rearrange, Rope, Source};
use opledger_ir::{Axis, Graph, LinearFacts, Mask, ModuleClass, Projection, Scope, Var};

pub(crate) use self::core::Core;
pub use self::latent::{LatentAttention, LatentConfig, LatentForm};
use crate::linear::param;
use crate::sizes::{Named, positive, quotient};
use crate::{
    AttentionNames, DropoutConfig, Linear, LinearConfig, NnError, Norm, NormConfig, RotaryEmbedding,
};

/// Options of a [`MultiheadAttention`].
///
/// ```
/// # mod opledger { pub use opledger_nn as nn; }
/// use opledger::nn::AttentionConfig;
///
/// // Llama 3's: 8 key and value heads, no biases.
/// let config = AttentionConfig {
///     kv_heads: Some(8.into()),
///     bias: false,
///     out_bias: false,
///     ..AttentionConfig::new(4096, 32)
/// };
/// # let _ = config;
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionConfig {
    /// The width of queries' input and of the result.
    pub embed_dim: Poly,
    /// Query heads.
    pub num_heads: Poly,
    /// Key and value heads; as many as query heads when `None`.
    pub kv_heads: Option<Poly>,
    /// The width of a query and key head; `embed_dim / num_heads` when `None`.
    pub head_dim: Option<Poly>,
    /// The width of a value head; `head_dim` when `None`.
    pub value_head_dim: Option<Poly>,
    /// The width of keys' input; `embed_dim` when `None`.
    pub kdim: Option<Poly>,
    /// The width of values' input; `embed_dim` when `None`.
    pub vdim: Option<Poly>,
    /// Whether the projections of queries, keys and values have biases.
    pub bias: bool,
    /// Whether heads are projected after they are joined.
    pub out_proj: bool,
    /// Whether that projection has a bias.
    pub out_bias: bool,
    /// A norm of each head's queries and keys, before the rotation (Qwen 3).
    pub qk_norm: Option<NormConfig>,
    /// Whether that norm is over all heads of a token together (OLMo 2).
    pub qk_norm_joint: bool,
    /// Rotation of queries and keys by position.
    pub rope: Option<RotaryEmbedding>,
    /// Whether scores are divided by the square root of the head's width; T5 does not.
    pub scaled: bool,
    /// What they are multiplied with in its stead (Granite).
    pub scale: Option<f64>,
    /// What scaled scores are kept below, above its negative: `c·tanh(s / c)` (Gemma 2).
    pub soft_cap: Option<f64>,
    /// Whether each head has a sink, a number that joins the softmax of its rows as one more score and
    /// weighs no value (gpt-oss).
    pub sinks: bool,
    /// Dropout of the attention weights; in inference it is not recorded.
    pub dropout: DropoutConfig,
    /// Whether training leaves the parameters alone.
    pub frozen: bool,
    /// Whose code it is.
    pub origin: Origin,
    /// Whether the library stores the projections `[in, out]`.
    pub inputs_first: bool,
    /// Where the projections stand.
    pub names: AttentionNames,
}

/// Whose code a layer is: the same mathematics is other modules in other libraries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// A layer of `torch.nn`.
    #[default]
    Torch,
    /// Another library's, whose parts are modules of their own.
    Library,
}

impl AttentionConfig {
    /// PyTorch's `nn.MultiheadAttention(embed_dim, num_heads)`.
    pub fn new(embed_dim: impl Into<Poly>, num_heads: impl Into<Poly>) -> Self {
        AttentionConfig {
            embed_dim: embed_dim.into(),
            num_heads: num_heads.into(),
            kv_heads: None,
            head_dim: None,
            value_head_dim: None,
            kdim: None,
            vdim: None,
            bias: true,
            out_proj: true,
            out_bias: true,
            qk_norm: None,
            qk_norm_joint: false,
            rope: None,
            scaled: true,
            scale: None,
            soft_cap: None,
            sinks: false,
            dropout: DropoutConfig::default(),
            frozen: false,
            origin: Origin::Torch,
            inputs_first: false,
            names: AttentionNames::default(),
        }
    }

    fn linear(&self, bias: bool, projection: Projection) -> LinearConfig {
        let facts = LinearFacts { projection: Some(projection), inputs_first: self.inputs_first };
        LinearConfig { bias, frozen: self.frozen, facts }
    }
}

/// Which attention weights a call gives back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Weights {
    /// None: the fused operation is recorded.
    #[default]
    None,
    /// Their mean over the heads, `[b, n, m]`, as PyTorch gives back.
    Mean,
    /// Those of each head, `[b, h, n, m]`.
    Heads,
}

/// Options of one call.
#[derive(Clone, Debug, Default)]
pub struct Attend {
    /// Which query sees which key.
    pub mask: Mask,
    /// Added to the scores; axes query and key last, or key alone; before them any of heads and batch by
    /// name.
    pub bias: Option<Var>,
    /// Which weights to give back.
    pub weights: Weights,
    /// Keys and values of earlier tokens, `[b, p, g, e]`, the token axis under the name it has in
    /// the keys' input; they come before those of this call.
    pub past: Option<(Var, Var)>,
    /// The table by which queries and keys turn, recorded by [`RotaryEmbedding::angles`] for the axis of
    /// the queries' tokens; without it a layer that turns them records its own.
    pub angles: Option<Var>,
}

impl From<Mask> for Attend {
    fn from(mask: Mask) -> Self {
        Attend { mask, ..Attend::default() }
    }
}

/// What a call gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attended {
    /// The result, `[b, n, c]`.
    pub output: Var,
    /// The weights asked for.
    pub weights: Option<Var>,
    /// Keys and values of earlier tokens and of this call, where earlier ones were given.
    pub present: Option<(Var, Var)>,
}

/// Multi-head attention. Parameters `q_proj.weight [h, e, c]`, `k_proj.weight` and `v_proj.weight
/// [g, e, c]`, `out_proj.weight [c, h, e]`, and their biases; `sinks [h]` where there are any.
///
/// ```
/// # mod opledger { pub use {opledger_ir::*, opledger_nn as nn}; }
/// use opledger::{Graph, Mask, nn::{AttentionConfig, MultiheadAttention}};
///
/// let mut g = Graph::new();
/// let x = g.input("x", ["b", "n", "c"])?;
/// let attention = MultiheadAttention::new(&mut g, &AttentionConfig::new("c", "h"))?;
/// let causal = attention.forward_with(&mut g, x, x, x, Mask::causal().into())?;
/// assert_eq!(g.shape(causal.output).to_string(), "[b, n, c]");
/// assert_eq!(g.parameters().0.to_string(), "4·c² + 4·c");
/// assert_eq!(g.cost().macs().to_string(), "4·b·n·c² + b·n²·c + b·n·c");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct MultiheadAttention {
    scope: Scope,
    query: Linear,
    key: Linear,
    value: Linear,
    out: Option<Linear>,
    head_dim: Poly,
    qk_norm: Option<[Norm; 2]>,
    rope: Option<RotaryEmbedding>,
    scale: Option<Factor>,
    soft_cap: Option<f64>,
    sinks: Option<Var>,
    dropout: DropoutConfig,
}

impl MultiheadAttention {
    /// Attention in the present scope.
    ///
    /// # Errors
    /// When a size is below one, or the heads do not divide the width.
    pub fn new(g: &mut Graph, config: &AttentionConfig) -> Result<Self, NnError> {
        let scope = g.module(match config.origin {
            Origin::Torch => ModuleClass::MultiheadAttention,
            Origin::Library => ModuleClass::Attention,
        });
        let g = &mut *g.enter(&scope);
        let (c, h) = (&config.embed_dim, &config.num_heads);
        let kv_heads = config.kv_heads.as_ref().unwrap_or(h);
        let head_dim = match &config.head_dim {
            Some(given) => given.clone(),
            None => quotient(g, "e", Named("embed_dim", c), Named("num_heads", h), "head_dim")?,
        };
        let value_dim = config.value_head_dim.as_ref().unwrap_or(&head_dim);
        positive("kv_heads", kv_heads)?;
        if let (Some(value), Some(by)) = (h.as_integer(), kv_heads.as_integer())
            && &value % &by != 0.into()
        {
            return Err(NnError::Indivisible {
                whole: "num_heads",
                value,
                divisor: "kv_heads",
                by,
            });
        }

        let width = |size: &Option<Poly>| Axis::new("c", size.as_ref().unwrap_or(c));
        let heads = Axis::new("h", h);
        let shared = Axis::new(if kv_heads == h { "h" } else { "g" }, kv_heads);
        let e = Axis::new("e", &head_dim);
        let f = Axis::new(if *value_dim == head_dim { "e" } else { "f" }, value_dim);
        let names = &config.names;
        let maps = match &names.fused {
            Some(name) => {
                let which = Projection::QueryKeyValue;
                g.scope(name).module(ModuleClass::FusedLinear(config.linear(false, which).facts))
            }
            None => g.here(),
        };
        let mut project = |name: &str, which: Projection, from: Axis, to: Vec<Axis>| {
            let linear = config.linear(config.bias, which);
            Linear::between(&mut g.enter(&maps).scope(name), vec![from], to, linear)
        };
        let to = vec![heads.clone(), e.clone()];
        let query = project(&names.query, Projection::Query, Axis::new("c", c), to.clone())?;
        let of_keys = vec![shared.clone(), e.clone()];
        let key = project(&names.key, Projection::Key, width(&config.kdim), of_keys.clone())?;
        let value =
            project(&names.value, Projection::Value, width(&config.vdim), vec![shared, f.clone()])?;
        let out = match config.out_proj {
            true => {
                let (from, to) = (vec![heads, f], vec![Axis::new("c", c)]);
                let linear = config.linear(config.out_bias, Projection::Output);
                Some(Linear::between(&mut g.scope(&names.out), from, to, linear)?)
            }
            false => None,
        };
        let sinks = match config.sinks {
            true => {
                let axes = vec![Axis::new("h", h)];
                Some(param(g, "sinks", Source::shift(), axes, config.frozen)?)
            }
            false => None,
        };
        let mut norm = |name, all: Vec<Axis>, norm| {
            let axes = if config.qk_norm_joint { all } else { vec![e.clone()] };
            Norm::over(&mut g.scope(name), axes, norm)
        };
        let qk_norm = match config.qk_norm {
            Some(config) => Some([norm("q_norm", to, config)?, norm("k_norm", of_keys, config)?]),
            None => None,
        };
        let scale = match config.scale {
            Some(scale) => Some(Factor::Number(scale)),
            None => config.scaled.then(|| Factor::InverseSqrt(head_dim.clone())),
        };
        let (rope, dropout, soft_cap) = (config.rope.clone(), config.dropout, config.soft_cap);
        Ok(MultiheadAttention {
            scope,
            query,
            key,
            value,
            out,
            head_dim,
            qk_norm,
            rope,
            scale,
            soft_cap,
            sinks,
            dropout,
        })
    }

    /// Queries `[b, n, c]`, keys `[b, m, c]` and values `[b, m, c]` to `[b, n, c]`.
    ///
    /// # Errors
    /// When the operands do not fit the configuration or each other.
    pub fn forward(&self, g: &mut Graph, query: Var, key: Var, value: Var) -> Result<Var, NnError> {
        Ok(self.forward_with(g, query, key, value, Attend::default())?.output)
    }

    /// The same with a mask, a bias, or the weights given back. With weights the chain einsum →
    /// scale → bias → softmax → einsum is recorded instead of the fused operation.
    ///
    /// # Errors
    /// When the operands do not fit the configuration or each other.
    pub fn forward_with(
        &self,
        g: &mut Graph,
        query: Var,
        key: Var,
        value: Var,
        call: Attend,
    ) -> Result<Attended, NnError> {
        let g = &mut *g.enter(&self.scope);
        for x in [query, key, value] {
            let shape = g.shape(x);
            if shape.axes.len() < 2 {
                let (layer, expected, found) =
                    ("MultiheadAttention", "[…, n, c]", shape.to_string());
                return Err(NnError::Rank { layer, expected, found });
            }
        }
        let mut q = self.query.forward(g, query)?;
        let mut k = self.key.forward(g, key)?;
        let mut v = self.value.forward(g, value)?;
        if let Some([query, key]) = &self.qk_norm {
            (q, k) = (query.forward(g, q)?, key.forward(g, k)?);
        }
        if let Some(rope) = &self.rope {
            let (of_queries, of_keys) = (tokens(g, q), tokens(g, k));
            let own = |g: &mut Graph, axis: &Axis| rope.angles(g, axis.clone(), &self.head_dim);
            let angles = call.angles.map_or_else(|| own(g, &of_queries), Ok)?;
            let others = if of_keys == of_queries { angles } else { own(g, &of_keys)? };
            q = g.record("rope", Rope { pairs: rope.pairs }, &[q, angles])?;
            k = g.record("rope", Rope { pairs: rope.pairs }, &[k, others])?;
        }
        let mut present = None;
        if let Some((keys, values)) = call.past {
            (k, v) = (append(g, "keys", keys, k)?, append(g, "values", values, v)?);
            present = Some((k, v));
        }
        let core = Core {
            mask: &call.mask,
            biases: call.bias.as_slice(),
            scale: self.scale.as_ref(),
            soft_cap: self.soft_cap,
            sinks: self.sinks,
            weights: call.weights,
            dropout: self.dropout,
        };
        let attended = core.attend(g, (q, k, v))?;
        let output = join_heads(g, attended.output, self.out.as_ref())?;
        Ok(Attended { output, present, ..attended })
    }
}

/// `[…, p, g, e]` and `[…, n, g, e]` to `[…, p + n, g, e]`.
fn append(g: &mut Graph, label: &str, past: Var, new: Var) -> Result<Var, NnError> {
    let axis = tokens(g, new).name;
    Ok(g.record(label, Concat { axis, grows: true }, &[past, new])?)
}

/// The tokens of `[…, n, h, e]`.
fn tokens(g: &Graph, x: Var) -> Axis {
    g.shape(x).axes.iter().rev().nth(2).map_or_else(|| "n".into(), Axis::clone)
}

/// `[…, n, h, e]` to `[…, n, c]`: projected, or the heads side by side.
pub(crate) fn join_heads(g: &mut Graph, x: Var, out: Option<&Linear>) -> Result<Var, NnError> {
    match out {
        Some(out) => out.forward(g, x),
        None => {
            let axes = g.shape(x).axes.iter().rev().take(2).rev().map(|a| a.name.clone()).collect();
            Ok(g.rearrange(x, Rearrange::Merge { axes, into: "c".into() })?)
        }
    }
}

#[cfg(test)]
mod tests;
