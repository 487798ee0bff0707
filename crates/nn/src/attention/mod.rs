//! Multi-head attention (Vaswani et al. 2017, §3.2): `softmax(q·kᵀ/√e + bias)·v` for each head, the
//! heads joined and projected. Fewer key and value heads than query heads make it grouped-query
//! (Ainslie et al. 2023) or, with one, multi-query attention (Shazeer 2019).

mod core;
mod heads;
mod latent;

use opledger_dims::Poly;
use opledger_ir::ops::{Activation, Concat, Factor, Rearrange, Source, Table};
use opledger_ir::{Axis, Graph, LinearFacts, Mask, ModuleClass, Projection, Role, Scope, Var};

pub(crate) use self::core::Core;
pub use self::heads::KeysAndValues;
use self::heads::{HeadAxes, maps};
pub use self::latent::{LatentAttention, LatentConfig, LatentForm};
use crate::linear::param;
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
    /// Whether that of keys has one too; Whisper's has none.
    pub key_bias: bool,
    /// Whether heads are projected after they are joined.
    pub out_proj: bool,
    /// Whether that projection has a bias.
    pub out_bias: bool,
    /// A norm of each head's queries and keys, before the rotation (Qwen 3).
    pub qk_norm: Option<NormConfig>,
    /// Whether that norm is over all heads of a token together (OLMo 2).
    pub qk_norm_joint: bool,
    /// Whether that norm comes after the rotation (Llama 4).
    pub qk_norm_turned: bool,
    /// A norm of each head's values (Gemma 4).
    pub value_norm: Option<NormConfig>,
    /// Whether values are made by the map of keys, before their norm and rotation (Gemma 4).
    pub keys_as_values: bool,
    /// Rotation of queries and keys by position.
    pub rope: Option<RotaryEmbedding>,
    /// By what queries are multiplied where they stand far from the first token.
    pub temperature: Option<Temperature>,
    /// Whether scores are divided by the square root of the head's width; T5 does not.
    pub scaled: bool,
    /// Whether queries are divided by it in the scores' stead, before they meet any key (Whisper).
    pub scaled_queries: bool,
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
    /// Whether the map of queries makes a gate as well, whose logistic function multiplies each element of
    /// what the heads give, before they are joined (Qwen 3-Next).
    pub gated: bool,
    /// Whether keys and values are given as heads, made by [`KeysAndValues`] or by another layer, and not
    /// made here: they are neither normed nor turned, and joined to no earlier ones.
    pub given_heads: bool,
    /// Where the projections stand.
    pub names: AttentionNames,
}

/// A factor of each query by its position, `1 + scale·ln(1 + ⌊(position + 1) / every⌋)`, so that attention to
/// very many tokens stays as sharp (Nakanishi 2025, arXiv:2501.19399; Llama 4).
#[derive(Clone, Debug, PartialEq)]
pub struct Temperature {
    /// The position of the first token.
    pub offset: Poly,
    /// After how many tokens the factor grows.
    pub every: u64,
    /// By how much.
    pub scale: f64,
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
            key_bias: true,
            out_proj: true,
            out_bias: true,
            qk_norm: None,
            qk_norm_joint: false,
            qk_norm_turned: false,
            value_norm: None,
            keys_as_values: false,
            rope: None,
            temperature: None,
            scaled: true,
            scaled_queries: false,
            scale: None,
            soft_cap: None,
            sinks: false,
            dropout: DropoutConfig::default(),
            frozen: false,
            origin: Origin::Torch,
            inputs_first: false,
            gated: false,
            given_heads: false,
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
    /// What a convolution in the place of attention was given of earlier tokens
    /// ([`ShortConvolution`](crate::ShortConvolution)).
    pub state: Option<Var>,
    /// The states that earlier tokens left to what goes from token to token
    /// ([`GatedDelta`](crate::GatedDelta)).
    pub memory: Option<Var>,
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
    /// Keys and values of this call behind those of earlier tokens, where there are any; none where a layer
    /// makes none.
    pub present: Option<(Var, Var)>,
    /// What a convolution was given of the last tokens, where it went on from earlier ones.
    pub state: Option<Var>,
    /// The states behind the last token, where there were earlier ones.
    pub memory: Option<Var>,
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
    /// Absent where keys and values are given as heads.
    keys: Option<KeysAndValues>,
    out: Option<Linear>,
    head_dim: Poly,
    gated: bool,
    query_norm: Option<Norm>,
    /// Absent where keys are given as heads.
    key_norm: Option<Norm>,
    value_norm: Option<Norm>,
    qk_norm_turned: bool,
    rope: Option<RotaryEmbedding>,
    temperature: Option<Temperature>,
    query_scale: Option<Factor>,
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
        let heads = HeadAxes::new(g, config)?;
        let names = &config.names;
        let maps = maps(g, config);
        let linear = config.linear(config.bias, Projection::Query);
        let to = match config.gated {
            false => heads.queries.to_vec(),
            true => {
                let [head, width] = &heads.queries;
                vec![head.clone(), Axis::new(GATED, &width.size + &width.size)]
            }
        };
        let from = vec![Axis::new("c", c)];
        let query = Linear::between(&mut g.enter(&maps).scope(&names.query), from, to, linear)?;
        let keys = match config.given_heads {
            true => None,
            false => Some(KeysAndValues::within(&mut g.enter(&maps), config, &heads)?),
        };
        let out = match config.out_proj {
            true => {
                let [head, _] = &heads.queries;
                let from = vec![head.clone(), heads.values[1].clone()];
                let linear = config.linear(config.out_bias, Projection::Output);
                let to = vec![Axis::new("c", c)];
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
            let axes = if config.qk_norm_joint { all } else { vec![heads.keys[1].clone()] };
            Norm::over(&mut g.scope(name), axes, norm)
        };
        let [queries, of_keys] = [&heads.queries, &heads.keys].map(|axes| axes.to_vec());
        let of_queries = config.qk_norm.map(|own| norm("q_norm", queries, own)).transpose()?;
        let made = |own: Option<NormConfig>| own.filter(|_| !config.given_heads);
        let of_keys = made(config.qk_norm).map(|own| norm("k_norm", of_keys, own)).transpose()?;
        let value_norm = made(config.value_norm).map(|own| {
            let axes = vec![heads.values[1].clone()];
            Norm::over(&mut g.scope("v_norm"), axes, own)
        });
        let value_norm = value_norm.transpose()?;
        let scale = match config.scale {
            Some(scale) => Some(Factor::Number(scale)),
            None => config.scaled.then(|| Factor::InverseSqrt(heads.queries[1].size.clone())),
        };
        let (query_scale, scale) = match config.scaled_queries {
            true => (scale, None),
            false => (None, scale),
        };
        let (rope, dropout, soft_cap) = (config.rope.clone(), config.dropout, config.soft_cap);
        Ok(MultiheadAttention {
            scope,
            query,
            keys,
            out,
            head_dim: heads.queries[1].size.clone(),
            gated: config.gated,
            query_norm: of_queries,
            key_norm: of_keys,
            value_norm,
            qk_norm_turned: config.qk_norm_turned,
            rope,
            temperature: config.temperature.clone(),
            query_scale,
            scale,
            soft_cap,
            sinks,
            dropout,
        })
    }

    /// Queries `[b, n, c]`, keys `[b, m, c]` and values `[b, m, c]` to `[b, n, c]`; where heads are
    /// given, keys `[b, m, g, e]` and values `[b, m, g, f]`.
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
        let q = self.query.forward(g, query)?;
        let (mut q, gate) = match self.gated {
            true => halves(g, q, &self.head_dim)?,
            false => (q, None),
        };
        if let Some(scale) = &self.query_scale {
            q = g.scale(q, scale.clone())?;
        }
        let (mut k, mut v) = match &self.keys {
            Some(maps) => maps.project(g, key, value)?,
            None => (key, value),
        };
        if let Some(norm) = &self.value_norm {
            v = norm.forward(g, v)?;
        }
        let normed = |g: &mut Graph, q: Var, k: Var, turned: bool| {
            if self.qk_norm_turned != turned {
                return Ok::<_, NnError>((q, k));
            }
            let norm = |g: &mut Graph, norm: &Option<Norm>, x| match norm {
                Some(norm) => norm.forward(g, x),
                None => Ok(x),
            };
            Ok((norm(g, &self.query_norm, q)?, norm(g, &self.key_norm, k)?))
        };
        (q, k) = normed(g, q, k, false)?;
        if let Some(rope) = &self.rope {
            let (of_queries, of_keys) = (tokens(g, q), tokens(g, k));
            let own = |g: &mut Graph, Axis { name, size }: &Axis| {
                let turned = Axis::new(name, size - &Poly::from(rope.still));
                rope.angles(g, turned, &self.head_dim)
            };
            let angles = call.angles.map_or_else(|| own(g, &of_queries), Ok)?;
            q = rope.turn(g, q, angles)?;
            if self.keys.is_some() {
                let others = if of_keys == of_queries { angles } else { own(g, &of_keys)? };
                k = rope.turn(g, k, others)?;
            }
        }
        (q, k) = normed(g, q, k, true)?;
        if let Some(Temperature { offset, every, scale }) = &self.temperature {
            let (tokens, offset) = (tokens(g, q), offset.clone());
            let table = Table::Temperature { tokens, offset, every: *every, scale: *scale };
            let table = g.table("temperatures", table)?;
            q = g.mul("temperature", q, table)?;
        }
        if let Some((keys, values)) = call.past.filter(|_| self.keys.is_some()) {
            (k, v) = (append(g, "keys", keys, k)?, append(g, "values", values, v)?);
        }
        let present = self.keys.is_some().then_some((k, v));
        let core = Core {
            mask: &call.mask,
            biases: call.bias.as_slice(),
            scale: self.scale.as_ref(),
            soft_cap: self.soft_cap,
            by_head: None,
            sinks: self.sinks,
            weights: call.weights,
            dropout: self.dropout,
        };
        let attended = core.attend(g, (q, k, v))?;
        let heads = match gate {
            Some(gate) => {
                let gate = g.activation(gate, Activation::Sigmoid)?;
                let gated = g.mul("gate", attended.output, gate)?;
                g.mark(gated, Role::Gate)
            }
            None => attended.output,
        };
        let output = join_heads(g, heads, self.out.as_ref())?;
        Ok(Attended { output, present, ..attended })
    }
}

/// The axis of a query and its gate.
const GATED: &str = "qz";

/// Queries and their gates, one after the other in each head, as `[…, h, e]` each.
fn halves(g: &mut Graph, both: Var, width: &Poly) -> Result<(Var, Option<Var>), NnError> {
    let mut half = |start: Poly| -> Result<Var, NnError> {
        let how = Rearrange::Slice { axis: GATED.into(), start, len: width.clone() };
        let half = g.rearrange(both, how)?;
        Ok(g.rename(half, GATED, "e")?)
    };
    Ok((half(Poly::zero())?, Some(half(width.clone())?)))
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
