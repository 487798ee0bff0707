//! Multi-head latent attention (DeepSeek-V2, DeepSeek-AI 2024, §2.1): keys and values of all heads are
//! made from one latent of each token. Beside what a head makes of it, its keys have a part that turns by
//! position and is the same for all heads; queries have such a part of their own, and may be made from a
//! latent too.
//!
//! [`LatentForm`] says in which order the products are taken. The values are the same, the counts are not.

use opledger_dims::{Poly, Symbol};
use opledger_ir::ops::{Concat, Factor, Rearrange, Rope};
use opledger_ir::{Axis, Graph, ModuleClass, Projection, Scope, Var};

use super::core::{contract, names_of};
use super::{Attend, Attended, AttentionConfig, Core};
use crate::sizes::positive;
use crate::{Linear, LinearConfig, NnError, Norm, NormConfig, RotaryEmbedding};

/// In which order latent attention takes its products, and what it keeps of earlier tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LatentForm {
    /// Keys and values of all heads are made from the latents of all tokens, earlier ones as well; latents
    /// are kept (`transformers` from version 5).
    #[default]
    Expanded,
    /// Keys and values are made once for each token, and they are kept (DeepSeek's "naive").
    ExpandedOnce,
    /// The map to keys is applied to queries instead, and that to values to what attention gives, so that
    /// heads attend to the latents themselves; latents are kept (DeepSeek-V2, §2.1.2: "absorbed").
    Absorbed,
}

impl LatentForm {
    /// Every form.
    pub const ALL: [LatentForm; 3] =
        [LatentForm::Expanded, LatentForm::ExpandedOnce, LatentForm::Absorbed];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            LatentForm::Expanded => "expanded",
            LatentForm::ExpandedOnce => "expanded-once",
            LatentForm::Absorbed => "absorbed",
        }
    }
}

/// What an attention has a latent for, in place of projections to keys and values.
#[derive(Clone, Debug, PartialEq)]
pub struct LatentConfig {
    /// The width of the latent that queries are made from; of the input when `None`.
    pub query_rank: Option<Poly>,
    /// The width of the latent that keys and values are made from.
    pub rank: Poly,
    /// The width of what a head makes of it for a query and a key.
    pub head_dim: Poly,
    /// The width of the part of queries and keys that turns.
    pub rotated: Poly,
    /// The width of a value.
    pub value_head_dim: Poly,
    /// The norms of latents.
    pub norm: NormConfig,
    /// In which order the products are taken.
    pub form: LatentForm,
}

/// Latent attention. Parameters, with a head's width e, the part that turns t, a value's width f:
/// `q_a_proj.weight [q, c]`, `q_b_proj.nope.weight [h, e, q]`, `q_b_proj.rope.weight [h, t, q]`,
/// `kv_a_proj_with_mqa.latent.weight [d, c]`, `kv_a_proj_with_mqa.rope.weight [t, c]`,
/// `kv_b_proj.k.weight [h, e, d]`, `kv_b_proj.v.weight [h, f, d]`, the projection of the heads, and the
/// gains of the norms of latents. Without a latent of queries `q_proj` stands for `q_b_proj`.
///
/// ```
/// # mod opledger { pub use {opledger_ir::*, opledger_nn as nn}; }
/// use opledger::nn::{AttentionConfig, LatentAttention, LatentConfig, LatentForm, NormConfig};
/// use opledger::{Graph, nn::Attend};
///
/// let attention = AttentionConfig { bias: false, out_bias: false, ..AttentionConfig::new("c", "h") };
/// let macs = |form| -> Result<_, Box<dyn std::error::Error>> {
///     let latent = LatentConfig {
///         query_rank: None,
///         rank: "d".into(),
///         head_dim: "e".into(),
///         rotated: "t".into(),
///         value_head_dim: "f".into(),
///         norm: NormConfig::rms(),
///         form,
///     };
///     let mut g = Graph::new();
///     let x = g.input("x", ["b", "n", "c"])?;
///     LatentAttention::new(&mut g, &attention, &latent)?.forward_with(&mut g, x, Attend::default())?;
///     Ok(g.cost().macs())
/// };
/// // Scores and context are of the widths of heads, or of the latent.
/// let saved = macs(LatentForm::Absorbed)? - macs(LatentForm::Expanded)?;
/// assert_eq!(saved.to_string(), "2·b·n²·h·d - b·n²·h·f - b·n²·h·e");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct LatentAttention {
    scope: Scope,
    form: LatentForm,
    query_latent: Option<(Linear, Norm)>,
    /// Queries and keys, each the part that does not turn and the one that does.
    query: [Linear; 2],
    latent: Linear,
    latent_norm: Norm,
    key: [Linear; 2],
    value: Linear,
    out: Linear,
    heads: Axis,
    rotated: Poly,
    rope: Option<RotaryEmbedding>,
    scale: Factor,
}

impl LatentAttention {
    /// Attention in the present scope. Of the first configuration width, heads, biases, rotation and scale
    /// are used, and what the projection of the heads is called; biases are those of the maps to latents.
    ///
    /// # Errors
    /// When a size is below one.
    pub fn new(
        g: &mut Graph,
        config: &AttentionConfig,
        latent: &LatentConfig,
    ) -> Result<Self, NnError> {
        let scope = g.module(ModuleClass::Attention);
        let g = &mut *g.enter(&scope);
        positive("num_heads", &config.num_heads)?;
        let LatentConfig { rank, head_dim, rotated, value_head_dim, norm, .. } = latent;
        let (c, h, d) = (
            Axis::new("c", &config.embed_dim),
            Axis::new("h", &config.num_heads),
            Axis::new("d", rank),
        );
        let (e, t, f) =
            (Axis::new("e", head_dim), Axis::new("e", rotated), Axis::new("f", value_head_dim));
        let none = LinearConfig { frozen: config.frozen, ..LinearConfig::bias(false) };
        let biased = LinearConfig { bias: config.bias, ..none };
        let (query_latent, from, name) = match &latent.query_rank {
            Some(rank) => {
                let q = Axis::new("q", rank);
                let down = Linear::new(&mut g.scope("q_a_proj"), c.clone(), q.clone(), biased)?;
                let norm = Norm::new(&mut g.scope("q_a_layernorm"), q.clone(), *norm)?;
                (Some((down, norm)), q, "q_b_proj")
            }
            None => (None, c.clone(), "q_proj"),
        };
        let part = |g: &mut Graph, name: &str, from: &Axis, to: &[&Axis], linear| {
            let to = to.iter().map(|axis| (*axis).clone()).collect();
            Linear::between(&mut g.scope(name), vec![from.clone()], to, linear)
        };
        let of = |which| none.projection(which);
        let query = {
            let of = of(Projection::Query);
            let g = &mut *joined(g, name, of);
            [part(g, "nope", &from, &[&h, &e], of)?, part(g, "rope", &from, &[&h, &t], of)?]
        };
        let (latent_map, key_rotated) = {
            let g = &mut *joined(g, "kv_a_proj_with_mqa", biased);
            (part(g, "latent", &c, &[&d], biased)?, part(g, "rope", &c, &[&t], biased)?)
        };
        let latent_norm = Norm::new(&mut g.scope("kv_a_layernorm"), d.clone(), *norm)?;
        let (key, value) = {
            let g = &mut *joined(g, "kv_b_proj", of(Projection::Key));
            let key = part(g, "k", &d, &[&h, &e], of(Projection::Key))?;
            (key, part(g, "v", &d, &[&h, &f], of(Projection::Value))?)
        };
        let out = LinearConfig { bias: config.out_bias, ..of(Projection::Output) };
        let out =
            Linear::between(&mut g.scope(&config.names.out), vec![h.clone(), f], vec![c], out)?;
        Ok(LatentAttention {
            form: latent.form,
            query_latent,
            query,
            latent: latent_map,
            latent_norm,
            key: [key, key_rotated],
            value,
            out,
            heads: h,
            rotated: rotated.clone(),
            rope: config.rope.clone(),
            scale: match config.scale {
                Some(scale) => Factor::Number(scale),
                None => Factor::InverseSqrt(head_dim + rotated),
            },
            scope,
        })
    }

    /// `[b, n, c]` to `[b, n, c]`. Earlier tokens are latents `[b, p, d]` and turned keys `[b, p, t]`, or
    /// where heads are kept, keys `[b, p, h, e + t]` and values `[b, p, h, f]`.
    ///
    /// # Errors
    /// When the operands do not fit the configuration or each other.
    pub fn forward_with(&self, g: &mut Graph, x: Var, call: Attend) -> Result<Attended, NnError> {
        let g = &mut *g.enter(&self.scope);
        let tokens = match &g.shape(x).axes[..] {
            [.., tokens, _] => tokens.clone(),
            _ => {
                let found = g.shape(x).to_string();
                let (layer, expected) = ("LatentAttention", "[…, n, c]");
                return Err(NnError::Rank { layer, expected, found });
            }
        };
        let from = match &self.query_latent {
            Some((down, norm)) => {
                let latent = down.forward(g, x)?;
                norm.forward(g, latent)?
            }
            None => x,
        };
        let [plain, turned] = &self.query;
        let (plain, mut turned) = (plain.forward(g, from)?, turned.forward(g, from)?);
        let latent = self.latent.forward(g, x)?;
        let latent = self.latent_norm.forward(g, latent)?;
        let mut key = self.key[1].forward(g, x)?;
        if let Some(rope) = &self.rope {
            let angles = match call.angles {
                Some(angles) => angles,
                None => rope.angles(g, tokens.clone(), &self.rotated)?,
            };
            turned = g.record("rope", Rope { pairs: rope.pairs }, &[turned, angles])?;
            let of_all = one_head(g, key)?;
            let of_all = g.record("rope", Rope { pairs: rope.pairs }, &[of_all, angles])?;
            let axes = vec!["g".into(), "e".into()];
            key = g.rearrange(of_all, Rearrange::Merge { axes, into: "e".into() })?;
        }
        let appended = |g: &mut Graph, labels: [&str; 2], new: [Var; 2]| match call.past {
            None => Ok((new, None)),
            Some((first, second)) => {
                let mut grown = |label: &str, past, new| {
                    let axis = tokens.name.clone();
                    g.record(label, Concat { axis, grows: true }, &[past, new])
                };
                let all = [grown(labels[0], first, new[0])?, grown(labels[1], second, new[1])?];
                Ok::<_, NnError>((all, Some((all[0], all[1]))))
            }
        };
        let core = Core {
            mask: &call.mask,
            biases: call.bias.as_slice(),
            scale: Some(&self.scale),
            soft_cap: None,
            by_head: None,
            sinks: None,
            weights: call.weights,
            dropout: crate::DropoutConfig::default(),
        };
        let of_latents = ["latents", "turned_keys"];
        let (attended, present) = match self.form {
            LatentForm::Expanded => {
                let ([latent, key], present) = appended(g, of_latents, [latent, key])?;
                let [k, v] = self.expanded(g, latent, key)?;
                let q = g.concat(plain, turned, "e")?;
                (core.attend(g, (q, k, v))?, present)
            }
            LatentForm::ExpandedOnce => {
                let new = self.expanded(g, latent, key)?;
                let ([k, v], present) = appended(g, ["keys", "values"], new)?;
                let q = g.concat(plain, turned, "e")?;
                (core.attend(g, (q, k, v))?, present)
            }
            LatentForm::Absorbed => {
                let ([latent, key], present) = appended(g, of_latents, [latent, key])?;
                let q = over_heads(g, "absorb_keys", plain, self.key[0].weight(), "d")?;
                let as_width = |g: &mut Graph, x| {
                    g.rearrange(x, Rearrange::Rename { from: "d".into(), to: "e".into() })
                };
                let (q, k) = (as_width(g, q)?, as_width(g, latent)?);
                let (q, k) = (g.concat(q, turned, "e")?, g.concat(k, key, "e")?);
                let (k, v) = (one_head(g, k)?, one_head(g, latent)?);
                let attended = core.attend(g, (q, k, v))?;
                let output =
                    over_heads(g, "absorb_values", attended.output, self.value.weight(), "f")?;
                (Attended { output, ..attended }, present)
            }
        };
        let output = self.out.forward(g, attended.output)?;
        Ok(Attended { output, present, ..attended })
    }

    /// Keys `[b, m, h, e + t]` and values `[b, m, h, f]` of latents `[b, m, d]` and turned keys `[b, m, t]`.
    fn expanded(&self, g: &mut Graph, latent: Var, key: Var) -> Result<[Var; 2], NnError> {
        let own = self.key[0].forward(g, latent)?;
        let value = self.value.forward(g, latent)?;
        let order = names_of(g.shape(own));
        let of_all = g.rearrange(key, Rearrange::Expand { axis: self.heads.clone() })?;
        let of_all = g.rearrange(of_all, Rearrange::Permute { order })?;
        Ok([g.concat(own, of_all, "e")?, value])
    }
}

/// The scope of a map that holds those declared within it, side by side.
fn joined<'g>(g: &'g mut Graph, name: &str, linear: LinearConfig) -> opledger_ir::Scoped<'g> {
    let scope = g.scope(name).module(ModuleClass::FusedLinear(linear.facts));
    g.enter(&scope)
}

/// `[…, m, e]` to `[…, m, g=1, e]`: what is the same for all heads as that of one.
fn one_head(g: &mut Graph, x: Var) -> Result<Var, NnError> {
    let Some(width) = g.shape(x).last().cloned() else { return Ok(x) };
    let into = vec![Axis::new("g", Poly::one()), width.clone()];
    Ok(g.rearrange(x, Rearrange::Split { axis: width.name, into })?)
}

/// The product of each head of `x […, h, a]` with its matrix of `weight`, which has the axis `to` as well.
fn over_heads(g: &mut Graph, label: &str, x: Var, weight: Var, to: &str) -> Result<Var, NnError> {
    let mut out = names_of(g.shape(x));
    out.pop();
    out.push(Symbol::from(to));
    contract(g, label, x, weight, out, None)
}
