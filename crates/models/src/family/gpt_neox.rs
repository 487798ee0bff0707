//! GPT-NeoX (Black et al. 2022) and Pythia (Biderman et al. 2023): attention and feed-forward side by
//! side, rotation of a part of each head, one map for queries, keys and values, head by head. Named as
//! in the `transformers` library.

use opledger_ir::ops::Activation;
use opledger_nn::{
    AttentionConfig, AttentionNames, FeedForwardConfig, FeedForwardNames, LayerConfig, LayerNames,
    NormConfig, Origin, Residual,
};

use super::causal::{CausalHead, Kept, causal_heads, first_position};
use super::checks::{head, head_width, multiple};
use super::pattern::LayerOrder;
use super::recorder::{Problem, Recorder};
use super::request::Request;
use super::rope::{BASE, made_for, rope_of, rotated};
use super::stack::{CausalStack, Entering, Head, Kind};
use crate::config::Keys;
use crate::names::{Names, fused_heads};

pub(super) fn build(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    let head = head(keys, &causal_heads("GPTNeoX", "ForCausalLM", CausalHead::ALL))?;
    keys.pass_over(&["hidden_dropout", "is_decoder", "pad_token_id"]);
    let (width, heads) = (keys.size("hidden_size")?, keys.size("num_attention_heads")?);
    multiple(keys, ("hidden_size", width), ("num_attention_heads", heads))?;
    head_width(keys, width, heads)?;
    let (vocabulary, layers) = (keys.size("vocab_size")?, keys.times("num_hidden_layers")?);
    let hidden = keys.size("intermediate_size")?;
    let activation = keys.activation("hidden_act", Activation::GeluErf)?;
    let eps = keys.epsilon_or("layer_norm_eps", 1e-5)?;
    let bias = keys.flag_or("attention_bias", true)?;
    let tied = keys.flag_or("tie_word_embeddings", false)?;
    let residual = match keys.flag_or("use_parallel_residual", true)? {
        true => Residual::Parallel,
        false => Residual::PreNorm,
    };
    let turned = rotated(keys, ("rotary_pct", 0.25), width / heads)?;
    let mut rope = rope_of(keys, ("rotary_emb_base", BASE), first_position(request))?;
    r.positions = made_for(keys, &rope)?;
    rope.rotated = (turned < width / heads).then(|| r.size("rot", turned));

    let (c, h) = (r.size("c", width), r.size("h", heads));
    let (v, ff) = (r.size("v", vocabulary), r.size("ff", hidden));
    let norm = NormConfig { eps, ..NormConfig::layer() };
    let config = LayerConfig {
        attention: AttentionConfig {
            bias,
            out_bias: bias,
            rope: Some(rope),
            origin: Origin::Library,
            names: AttentionNames::fused("query_key_value", "dense"),
            ..AttentionConfig::new(c.clone(), h.clone())
        },
        feed_forward: FeedForwardConfig {
            activation,
            names: FeedForwardNames::new("dense_h_to_4h", "dense_4h_to_h"),
            ..FeedForwardConfig::new(c.clone(), ff)
        },
        norm,
        residual,
        names: LayerNames::encoder(
            "attention",
            "mlp",
            ["input_layernorm", "post_attention_layernorm"],
        ),
        ..LayerConfig::new(c.clone(), h, 1)
    };

    r.names = names(tied);
    let stack = CausalStack {
        scopes: ["gpt_neox", "embed_in", "layers", "final_layer_norm"],
        vocabulary: v,
        kinds: vec![Kind { layer: config, reach: None }],
        pattern: LayerOrder::Uniform(layers),
        kept: Kept::heads("h".into(), "e".into()),
        entering: Entering::default(),
        linear_biases: false,
        head: Head::new(head, tied),
    };
    stack.record(keys, request, r)
}

/// A head of queries, of keys and of values follow one another; the head is `embed_out` in files.
fn names(tied: bool) -> Names {
    let attention = "gpt_neox.layers.*.attention";
    let names = Names::default().prefix("gpt_neox.");
    let mut names = fused_heads(names, &format!("{attention}.query_key_value"));
    for buffer in ["bias", "masked_bias", "rotary_emb.inv_freq"] {
        names = names.ignore(&format!("{attention}.{buffer}"));
    }
    match tied {
        true => names.tie("embed_out.weight", "gpt_neox.embed_in.weight"),
        false => names.rename("lm_head.weight", "embed_out.weight"),
    }
}
