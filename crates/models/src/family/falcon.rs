//! Falcon (Almazrouei et al. 2023): attention and feed-forward side by side, rotation, and one head of keys
//! and values or, in its later form, some, with a norm for each of the two. Named as in the `transformers`
//! library.

use opledger_ir::ops::Activation;
use opledger_ir::{Axis, Definition};
use opledger_nn::{
    AttentionConfig, AttentionNames, FeedForwardConfig, FeedForwardNames, LayerConfig, LayerNames,
    NormConfig, Origin, Residual,
};

use super::causal::{CausalHead, Kept, causal_heads, first_position};
use super::checks::{either_size, head, head_width, multiple};
use super::pattern::LayerOrder;
use super::recorder::{Problem, Recorder};
use super::request::Request;
use super::rope::{BASE, made_for, rope, whole_heads};
use super::stack::{CausalStack, Entering, Head, Kind};
use crate::config::{ConfigError, Keys};
use crate::names::{Names, fused_heads};

pub(super) fn build(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    let of = head(keys, &causal_heads("Falcon", "ForCausalLM", CausalHead::ALL))?;
    // Of the biases of the first models the library's two ways of computing attention differ.
    keys.only("alibi", false)?;
    keys.pass_over(&["apply_residual_connection_post_layernorm", "pad_token_id"]);
    let width = either_size(keys, ["hidden_size", "n_embed"])?;
    let heads = keys.size("num_attention_heads")?;
    multiple(keys, ("hidden_size", width), ("num_attention_heads", heads))?;
    head_width(keys, width, heads)?;
    let later = keys.flag_or("new_decoder_architecture", false)?;
    let kv_heads = kv_heads(keys, later, heads)?;
    let (residual, norms) = norms(keys, later)?;
    let hidden = keys.size_or("ffn_hidden_size", 4 * width)?;
    let (vocabulary, layers) = (keys.size("vocab_size")?, keys.times("num_hidden_layers")?);
    let activation = keys.activation("activation", Activation::GeluErf)?;
    let eps = keys.epsilon_or("layer_norm_epsilon", 1e-5)?;
    let bias = keys.flag_or("bias", false)?;
    let tied = keys.flag_or("tie_word_embeddings", true)?;
    whole_heads(keys)?;
    let rope = rope(keys, BASE, first_position(request))?;
    r.positions = made_for(keys, &rope)?;

    let (c, h) = (r.size("c", width), r.size("h", heads));
    let (vocabulary, ff) = (r.size("v", vocabulary), r.size("ff", hidden));
    let kv = if kv_heads == heads { h.clone() } else { r.size("kv", kv_heads) };
    let e = r.size("e", width / heads);
    r.graph.define(Definition::Product { whole: "c".into(), factors: ["h".into(), "e".into()] });
    let shared = Axis::new(if kv == h { "h" } else { "g" }, kv.clone());
    let kept = Kept::heads(shared, Axis::new("e", e.clone()));
    let layer = LayerConfig {
        attention: AttentionConfig {
            kv_heads: Some(kv),
            head_dim: Some(e),
            bias,
            out_bias: bias,
            rope: Some(rope),
            origin: Origin::Library,
            names: AttentionNames::fused("query_key_value", "dense"),
            ..AttentionConfig::new(c.clone(), h.clone())
        },
        feed_forward: FeedForwardConfig {
            activation,
            bias,
            names: FeedForwardNames::new("dense_h_to_4h", "dense_4h_to_h"),
            ..FeedForwardConfig::new(c.clone(), ff)
        },
        norm: NormConfig { eps, ..NormConfig::layer() },
        residual,
        names: LayerNames::encoder("self_attention", "mlp", norms),
        ..LayerConfig::new(c, h, 1)
    };
    r.names = fused_heads(
        Names::default().prefix("transformer."),
        "transformer.h.*.self_attention.query_key_value",
    )
    .ignore("transformer.h.*.self_attention.rotary_emb.inv_freq");
    let stack = CausalStack {
        scopes: ["transformer", "word_embeddings", "h", "ln_f"],
        vocabulary,
        kinds: vec![Kind { layer, reach: None }],
        pattern: LayerOrder::Uniform(layers),
        kept,
        entering: Entering::default(),
        linear_biases: false,
        head: Head::new(of, tied),
    };
    stack.record(keys, request, r)
}

/// Heads of keys and values: some in the later form, else one or as many as of queries.
fn kv_heads(keys: &Keys<'_>, later: bool, heads: u64) -> Result<u64, ConfigError> {
    let one = keys.flag_or("multi_query", true)?;
    let key = "num_kv_heads";
    let given = keys.size_or(key, heads)?;
    match (later, one) {
        (true, _) => {
            multiple(keys, ("num_attention_heads", heads), (key, given))?;
            Ok(given)
        }
        (false, true) => Ok(1),
        (false, false) if given == heads => Ok(heads),
        (false, false) => Err(keys.unsupported(key, heads.to_string())),
    }
}

/// Where norms and residuals stand, and what the norms are called.
fn norms(keys: &Keys<'_>, later: bool) -> Result<(Residual, [&'static str; 2]), ConfigError> {
    let (parallel, norms) = ("parallel_attn", "num_ln_in_parallel_attn");
    let side_by_side = keys.flag_or(parallel, true)?;
    let one = ["input_layernorm", "post_attention_layernorm"];
    match (later, side_by_side, keys.optional(norms)?) {
        (true, true, None | Some(2)) => Ok((Residual::Parallel, ["ln_attn", "ln_mlp"])),
        (_, true, Some(1)) | (false, true, None) => Ok((Residual::ParallelOneNorm, one)),
        (false, false, _) => Ok((Residual::PreNorm, one)),
        (true, false, _) => Err(keys.unsupported(parallel, "true")),
        (_, true, Some(_)) => Err(keys.unsupported(norms, if later { "1 or 2" } else { "1" })),
    }
}
