//! Causal decoders with RMSNorm, rotation by position and a gated feed-forward layer (Touvron et al.
//! 2023), of which several families are variants. Named as in the `transformers` library.

use opledger_dims::Poly;
use opledger_ir::Axis;
use opledger_ir::ops::Activation;
use opledger_nn::{
    Attend, AttentionConfig, AttentionNames, Embedding, EncoderLayer, FeedForwardConfig,
    FeedForwardNames, LayerConfig, LayerNames, LmHead, MixtureConfig, Norm, NormConfig, Origin,
    Residual,
};

use super::causal::{causal_layers, causal_mask, causal_sizes, first_position, logits};
use super::checks::{head, multiple, same};
use super::recorder::{Problem, Recorder};
use super::request::Request;
use super::rope::{angles, made_for, rope, whole_heads};
use super::tokens::token_ids;
use crate::config::Keys;
use crate::names::Names;

/// What the families differ in.
#[derive(Clone, Debug, Default)]
pub(super) struct Variant {
    /// The class with a head, and the one without.
    pub(super) classes: [&'static str; 2],
    /// What the class with a head was called in the first files.
    pub(super) old_class: Option<&'static str>,
    /// Biases of the projections of queries, keys and values.
    pub(super) qkv_bias: bool,
    /// Bias of the output projection.
    pub(super) out_bias: bool,
    /// Biases of the feed-forward layer.
    pub(super) mlp_bias: bool,
    /// Norms of each head's queries and keys.
    pub(super) qk_norm: bool,
    /// How many tokens a query sees, itself included.
    pub(super) window: Option<u64>,
    /// The scope of a mixture of experts in place of the feed-forward layer.
    pub(super) mixture: Option<&'static str>,
    /// Whether `tie_word_embeddings` is true when it is missing.
    pub(super) tied: bool,
}

/// Records a decoder.
pub(super) fn build(
    keys: &Keys<'_>,
    request: &Request,
    r: &mut Recorder,
    variant: &Variant,
) -> Result<(), Problem> {
    let [causal, base] = variant.classes;
    let old = variant.old_class.map(|old| (old, true));
    let classes: Vec<_> = [(causal, true), (base, false)].into_iter().chain(old).collect();
    let with_head = head(keys, &classes)?;
    keys.pass_over(&["pad_token_id"]);
    let tied = keys.flag_or("tie_word_embeddings", variant.tied)?;
    let (config, kv_axis) = layer(keys, request, r, variant)?;
    let (v, l) = (keys.size("vocab_size")?, keys.times("num_hidden_layers")?);
    let (v, l) = (r.size("v", v), r.size("l", l));
    let c = Poly::from("c");

    r.names =
        Names::default().prefix("model.").ignore("model.layers.*.self_attn.rotary_emb.inv_freq");
    if let Some(scope) = variant.mixture {
        for map in ["w1", "w2", "w3"] {
            let graph = format!("model.layers.*.{scope}.experts.{map}.weight");
            let file = format!("model.layers.*.{scope}.experts.*.{map}.weight");
            r.names = std::mem::take(&mut r.names).stack(&graph, &file);
        }
    }
    let g = &mut r.graph;
    let ids = token_ids(g, "input_ids", ["b", "n"], v.clone())?;
    causal_sizes(g, request);
    let mask = causal_mask(keys, g, request, variant.window)?;
    let mut scope = g.scope("model");
    let m = &mut *scope;
    let embedding = Embedding::new(&mut m.scope("embed_tokens"), v.clone(), c.clone())?;
    let layers = m.repeated("layers", l);
    let layer = EncoderLayer::new(&mut m.enter(&layers), &config)?;
    let norm = Norm::new(&mut m.scope("norm"), ("c", &c), config.norm)?;
    let x = embedding.forward(m, ids)?;
    let angles = angles(m, &config)?;
    let x = causal_layers(m, request, (&layers, "self_attn", &kv_axis), x, |g, x, past| {
        layer.forward_with(g, x, Attend { mask, past, angles, ..Attend::default() })
    })?;
    let x = norm.forward(m, x)?;
    drop(scope);
    if !with_head {
        g.output("last_hidden_state", x);
        return Ok(());
    }
    let head = match tied {
        true => LmHead::tied(&mut g.scope("lm_head"), &embedding),
        false => LmHead::new(&mut g.scope("lm_head"), c, v, false)?,
    };
    if tied {
        r.names = std::mem::take(&mut r.names).tie("lm_head.weight", "model.embed_tokens.weight");
    }
    logits(g, request, x, |g, x| head.forward(g, x))
}

/// The layers, and the axes of key and value heads.
fn layer(
    keys: &Keys<'_>,
    request: &Request,
    r: &mut Recorder,
    variant: &Variant,
) -> Result<(LayerConfig, [Axis; 2]), Problem> {
    let (width, heads) = (keys.size("hidden_size")?, keys.size("num_attention_heads")?);
    let kv_heads = keys.size_or("num_key_value_heads", heads)?;
    multiple(keys, ("num_attention_heads", heads), ("num_key_value_heads", kv_heads))?;
    let head_dim = match keys.optional("head_dim")? {
        Some(given) => given,
        None => {
            multiple(keys, ("hidden_size", width), ("num_attention_heads", heads))?;
            width / heads
        }
    };
    if head_dim % 2 == 1 {
        let pairs = "an even head width, since the rotation turns pairs";
        return Err(keys.unsupported("head_dim", pairs).into());
    }
    let eps = keys.epsilon_or("rms_norm_eps", 1e-6)?;
    let activation = keys.activation("hidden_act", Activation::Silu)?;
    let hidden = keys.size("intermediate_size")?;
    whole_heads(keys)?;
    let rope = rope(keys, first_position(request))?;
    r.positions = made_for(keys, &rope)?;

    let (c, h) = (r.size("c", width), r.size("h", heads));
    let ff = r.size("ff", hidden);
    let kv = if kv_heads == heads { h.clone() } else { r.size("kv", kv_heads) };
    // With c = h·e formulas are written with c.
    let e = r.size("e", head_dim);
    if head_dim * heads == width {
        let factors = ["h".into(), "e".into()];
        r.graph.define(opledger_ir::Definition::Product { whole: "c".into(), factors });
    }
    let norm = NormConfig { eps, ..NormConfig::rms() };
    let attention = AttentionConfig {
        kv_heads: Some(kv.clone()),
        head_dim: Some(e.clone()),
        bias: variant.qkv_bias,
        out_bias: variant.out_bias,
        qk_norm: variant.qk_norm.then_some(norm),
        rope: Some(rope),
        origin: Origin::Library,
        names: AttentionNames::new("q_proj", "k_proj", "v_proj", "o_proj"),
        ..AttentionConfig::new(c.clone(), h.clone())
    };
    let feed_forward = FeedForwardConfig {
        activation,
        gated: true,
        bias: variant.mlp_bias,
        names: FeedForwardNames::gated("gate_proj", "down_proj", "up_proj"),
        ..FeedForwardConfig::new(c.clone(), ff.clone())
    };
    let mixture = match variant.mixture {
        Some(_) => {
            same(keys, &[("num_experts", "num_local_experts")])?;
            let (all, chosen) =
                (keys.size("num_local_experts")?, keys.size("num_experts_per_tok")?);
            if chosen > all {
                let why = "more experts are to run than there are";
                let (first, second) = ("num_experts_per_tok", "num_local_experts");
                return Err(keys.contradiction(first, second, why).into());
            }
            Some(MixtureConfig {
                d_model: c.clone(),
                dim_feedforward: ff.clone(),
                num_experts: r.size("x", all),
                experts_per_token: r.size("k", chosen),
                activation,
                frozen: false,
            })
        }
        None => None,
    };
    let norms = ["input_layernorm", "post_attention_layernorm"];
    let names = LayerNames::encoder("self_attn", variant.mixture.unwrap_or("mlp"), norms);
    let axes = [Axis::new(if kv == h { "h" } else { "g" }, kv), Axis::new("e", e)];
    let config = LayerConfig {
        attention,
        feed_forward,
        mixture,
        norm,
        residual: Residual::PreNorm,
        names,
        ..LayerConfig::new(c, h, 1)
    };
    Ok((config, axes))
}
