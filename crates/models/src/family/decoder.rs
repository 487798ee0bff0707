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

use super::causal::{
    CausalHead, causal_heads, causal_layers, causal_mask, causal_sizes, first_position, logits,
    text_classes, token_classes,
};
use super::checks::{either_size, head, multiple};
use super::recorder::{Problem, Recorder};
use super::request::Request;
use super::rope::{SHARE, angles, made_for, rope, rotated, whole_heads};
use super::tokens::token_ids;
use crate::config::Keys;
use crate::names::Names;

/// What the families differ in; a Llama by default.
#[derive(Clone, Debug)]
pub(super) struct Variant {
    /// What its classes are called after.
    pub(super) family: &'static str,
    /// What the class with a head was called in the first files.
    pub(super) old_class: Option<&'static str>,
    /// Biases of the projections of queries, keys and values.
    pub(super) qkv_bias: bool,
    /// Bias of the output projection.
    pub(super) out_bias: bool,
    /// Biases of the feed-forward layer.
    pub(super) mlp_bias: bool,
    /// Bias of the head of words.
    pub(super) head_bias: bool,
    /// What the projections of the attention are called.
    pub(super) projections: Projections,
    /// The maps of the feed-forward layer.
    pub(super) maps: Maps,
    /// The function in it, where no key says.
    pub(super) activation: Activation,
    /// The norms, and the key of their ε with what it is when it is missing.
    pub(super) norm: NormConfig,
    /// The key of ε, and what it is when it is missing.
    pub(super) epsilon: (&'static str, f64),
    /// How a layer's parts stand to one another.
    pub(super) residual: Residual,
    /// What the norms of a layer and the last one are called.
    pub(super) norms: [&'static str; 3],
    /// Norms of each head's queries and keys.
    pub(super) qk_norm: bool,
    /// The share of each head that turns where no key says; every element when `None`, whatever keys say.
    pub(super) turned: Option<f64>,
    /// How many tokens a query sees, itself included.
    pub(super) window: Option<u64>,
    /// A mixture of experts in place of the feed-forward layer.
    pub(super) mixture: Option<Mixture>,
    /// Whether `tie_word_embeddings` is true when it is missing.
    pub(super) tied: bool,
}

impl Default for Variant {
    fn default() -> Self {
        Variant {
            family: "Llama",
            old_class: None,
            qkv_bias: false,
            out_bias: false,
            mlp_bias: false,
            head_bias: false,
            projections: Projections::Apart("o_proj"),
            maps: Maps::Gated,
            activation: Activation::Silu,
            norm: NormConfig::rms(),
            epsilon: ("rms_norm_eps", 1e-6),
            residual: Residual::PreNorm,
            norms: ["input_layernorm", "post_attention_layernorm", "norm"],
            qk_norm: false,
            turned: None,
            window: None,
            mixture: None,
            tied: false,
        }
    }
}

/// What the projections of an attention are called.
#[derive(Clone, Copy, Debug)]
pub(super) enum Projections {
    /// `q_proj`, `k_proj`, `v_proj`, and this for the joined heads.
    Apart(&'static str),
    /// `qkv_proj`, queries, keys and values one after another, and `o_proj`.
    Joined,
}

/// The maps of a feed-forward layer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Maps {
    /// `gate_proj`, `up_proj` that it gates, `down_proj`.
    Gated,
    /// `gate_up_proj`, the gate and what it gates one after another, and `down_proj`.
    GatedJoined,
    /// Two, without a gate.
    Plain([&'static str; 2]),
}

/// A mixture of experts as a family has it.
#[derive(Clone, Debug)]
pub(super) struct Mixture {
    /// Its scope.
    pub(super) scope: &'static str,
    /// What files call an expert's first map, its second, and the gated one.
    pub(super) maps: [&'static str; 3],
    /// The key of their hidden width.
    pub(super) hidden: &'static str,
    /// Whether the weights of the chosen experts are divided by their sum.
    pub(super) normalised: bool,
}

/// Records a decoder.
pub(super) fn build(
    keys: &Keys<'_>,
    request: &Request,
    r: &mut Recorder,
    variant: &Variant,
) -> Result<(), Problem> {
    let old = variant.old_class.map(|old| (old.to_owned(), CausalHead::Words));
    let classes: Vec<_> =
        causal_heads(variant.family, "ForCausalLM").into_iter().chain(old).collect();
    let head = head(keys, &classes)?;
    keys.pass_over(&["pad_token_id"]);
    let tied = keys.flag_or("tie_word_embeddings", variant.tied)?;
    let (config, kv_axis) = layer(keys, request, r, variant)?;
    let (v, l) = (keys.size("vocab_size")?, keys.times("num_hidden_layers")?);
    let (v, l) = (r.size("v", v), r.size("l", l));
    let c = Poly::from("c");

    r.names =
        Names::default().prefix("model.").ignore("model.layers.*.self_attn.rotary_emb.inv_freq");
    let mut joined = |scope: &str, parts: &[&str]| {
        for kind in ["weight", "bias"] {
            let whole = format!("model.layers.*.{scope}");
            let parts: Vec<String> =
                parts.iter().map(|part| format!("{whole}.{part}.{kind}")).collect();
            let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            r.names = std::mem::take(&mut r.names).join(&parts, &format!("{whole}.{kind}"));
        }
    };
    if let Projections::Joined = variant.projections {
        joined("self_attn.qkv_proj", &["q", "k", "v"]);
    }
    if let Maps::GatedJoined = variant.maps {
        joined("mlp.gate_up_proj", &["gate", "up"]);
    }
    if let Some(Mixture { scope, maps, .. }) = &variant.mixture {
        for (own, map) in ["w1", "w2", "w3"].into_iter().zip(maps) {
            let graph = format!("model.layers.*.{scope}.experts.{own}.weight");
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
    let norm = Norm::new(&mut m.scope(variant.norms[2]), ("c", &c), config.norm)?;
    let x = embedding.forward(m, ids)?;
    let angles = angles(m, &config)?;
    let x = causal_layers(m, request, (&layers, "self_attn", &kv_axis), x, |g, x, past| {
        layer.forward_with(g, x, Attend { mask, past, angles, ..Attend::default() })
    })?;
    let x = norm.forward(m, x)?;
    drop(scope);
    match head {
        CausalHead::None => g.output("last_hidden_state", x),
        CausalHead::TextClasses => text_classes(keys, request, r, x)?,
        CausalHead::TokenClasses => token_classes(keys, "score", r, x)?,
        CausalHead::Words => {
            let head = match tied {
                true => LmHead::tied(&mut g.scope("lm_head"), &embedding),
                false => LmHead::new(&mut g.scope("lm_head"), c, v, variant.head_bias)?,
            };
            logits(g, request, x, |g, x| head.forward(g, x))?;
        }
    }
    if tied {
        r.names = std::mem::take(&mut r.names).tie("lm_head.weight", "model.embed_tokens.weight");
    }
    Ok(())
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
    let (key, default) = variant.epsilon;
    let norm = NormConfig { eps: keys.epsilon_or(key, default)?, ..variant.norm };
    let activation = keys.activation("hidden_act", variant.activation)?;
    let hidden = match &variant.mixture {
        Some(Mixture { hidden, .. }) => keys.size(hidden)?,
        None => keys.size("intermediate_size")?,
    };
    let turned = match variant.turned {
        Some(share) => rotated(keys, (SHARE, share), head_dim)?,
        None => whole_heads(keys).map(|()| head_dim)?,
    };
    let mut rope = rope(keys, first_position(request))?;
    r.positions = made_for(keys, &rope)?;
    rope.rotated = (turned < head_dim).then(|| r.size("rot", turned));

    let (c, h) = (r.size("c", width), r.size("h", heads));
    let ff = r.size("ff", hidden);
    let kv = if kv_heads == heads { h.clone() } else { r.size("kv", kv_heads) };
    // With c = h·e formulas are written with c.
    let e = r.size("e", head_dim);
    if head_dim * heads == width {
        let factors = ["h".into(), "e".into()];
        r.graph.define(opledger_ir::Definition::Product { whole: "c".into(), factors });
    }
    let attention = AttentionConfig {
        kv_heads: Some(kv.clone()),
        head_dim: Some(e.clone()),
        bias: variant.qkv_bias,
        out_bias: variant.out_bias,
        qk_norm: variant.qk_norm.then_some(norm),
        rope: Some(rope),
        origin: Origin::Library,
        names: match variant.projections {
            Projections::Apart(out) => AttentionNames::new("q_proj", "k_proj", "v_proj", out),
            Projections::Joined => AttentionNames::fused("qkv_proj", "o_proj"),
        },
        ..AttentionConfig::new(c.clone(), h.clone())
    };
    let feed_forward = FeedForwardConfig {
        activation,
        gated: !matches!(variant.maps, Maps::Plain(_)),
        bias: variant.mlp_bias,
        names: match variant.maps {
            Maps::Gated => FeedForwardNames::gated("gate_proj", "down_proj", "up_proj"),
            Maps::GatedJoined => {
                FeedForwardNames::gated("gate_up_proj.gate", "down_proj", "gate_up_proj.up")
            }
            Maps::Plain([first, second]) => FeedForwardNames::new(first, second),
        },
        ..FeedForwardConfig::new(c.clone(), ff.clone())
    };
    let mixture = match &variant.mixture {
        Some(Mixture { normalised, .. }) => {
            let experts = ["num_local_experts", "num_experts"];
            let (all, chosen) = (either_size(keys, experts)?, keys.size("num_experts_per_tok")?);
            if chosen > all {
                let why = "more experts are to run than there are";
                let given = experts.into_iter().find(|key| keys.get(key).is_some());
                let experts = given.unwrap_or(experts[0]);
                return Err(keys.contradiction("num_experts_per_tok", experts, why).into());
            }
            Some(MixtureConfig {
                d_model: c.clone(),
                dim_feedforward: ff.clone(),
                num_experts: r.size("x", all),
                experts_per_token: r.size("k", chosen),
                activation,
                normalised: *normalised,
                frozen: false,
            })
        }
        None => None,
    };
    let [first, second, _] = variant.norms;
    let mlp = variant.mixture.as_ref().map_or("mlp", |mixture| mixture.scope);
    let names = LayerNames::encoder("self_attn", mlp, [first, second]);
    let axes = [Axis::new(if kv == h { "h" } else { "g" }, kv), Axis::new("e", e)];
    let config = LayerConfig {
        attention,
        feed_forward,
        mixture,
        norm,
        residual: variant.residual,
        names,
        ..LayerConfig::new(c, h, 1)
    };
    Ok((config, axes))
}
