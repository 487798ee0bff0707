//! GPT-NeoX (Black et al. 2022) and Pythia (Biderman et al. 2023): attention and feed-forward side by
//! side, rotation of a part of each head, one map for queries, keys and values, head by head. Named as
//! in the `transformers` library.

use opledger_dims::Poly;
use opledger_ir::Axis;
use opledger_ir::ops::Activation;
use opledger_nn::{
    Attend, AttentionConfig, AttentionNames, Embedding, EncoderLayer, FeedForwardConfig,
    FeedForwardNames, LayerConfig, LayerNames, LmHead, Norm, NormConfig, Origin, Residual,
};

use super::causal::{
    CausalHead, causal_heads, causal_layers, causal_mask, causal_sizes, first_position, logits,
    text_classes, token_classes,
};
use super::checks::{head, head_width, multiple};
use super::recorder::{Problem, Recorder};
use super::request::Request;
use super::rope::{angles, made_for, rope_of, rotated};
use super::tokens::token_ids;
use crate::config::Keys;
use crate::names::Names;

pub(super) fn build(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    let head = head(keys, &causal_heads("GPTNeoX", "ForCausalLM"))?;
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
    let mut rope = rope_of(keys, "rotary_emb_base", first_position(request))?;
    r.positions = made_for(keys, &rope)?;
    rope.rotated = (turned < width / heads).then(|| r.size("rot", turned));

    let (c, h, l) = (r.size("c", width), r.size("h", heads), r.size("l", layers));
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

    let g = &mut r.graph;
    let ids = token_ids(g, "input_ids", ["b", "n"], v.clone())?;
    causal_sizes(g, request);
    let mask = causal_mask(keys, g, request, None)?;
    let mut scope = g.scope("gpt_neox");
    let m = &mut *scope;
    let words = Embedding::new(&mut m.scope("embed_in"), v.clone(), c.clone())?;
    let layers = m.repeated("layers", l);
    let layer = EncoderLayer::new(&mut m.enter(&layers), &config)?;
    let norm = Norm::new(&mut m.scope("final_layer_norm"), ("c", &c), norm)?;
    let x = words.forward(m, ids)?;
    let angles = angles(m, &config)?;
    let axes = [Axis::from("h"), Axis::new("e", Poly::from("e"))];
    let x = causal_layers(m, request, (&layers, "attention", &axes), x, |g, x, past| {
        layer.forward_with(g, x, Attend { mask, past, angles, ..Attend::default() })
    })?;
    let x = norm.forward(m, x)?;
    drop(scope);
    r.names = names(tied);
    match head {
        CausalHead::None => g.output("last_hidden_state", x),
        CausalHead::TextClasses => text_classes(keys, request, r, x)?,
        CausalHead::TokenClasses => token_classes(keys, "classifier", r, x)?,
        CausalHead::Words => {
            let head = match tied {
                true => LmHead::tied(&mut g.scope("lm_head"), &words),
                false => LmHead::new(&mut g.scope("lm_head"), c, v, false)?,
            };
            logits(g, request, x, |g, x| head.forward(g, x))?;
        }
    }
    Ok(())
}

/// A head of queries, of keys and of values follow one another; the head is `embed_out` in files.
fn names(tied: bool) -> Names {
    let attention = "gpt_neox.layers.*.attention";
    let mut names = Names::default().prefix("gpt_neox.");
    for kind in ["weight", "bias"] {
        let parts =
            ["q", "k", "v"].map(|part| format!("{attention}.query_key_value.{part}.{kind}"));
        let whole = format!("{attention}.query_key_value.{kind}");
        names = names.interleave(&parts.each_ref().map(String::as_str), &whole);
    }
    for buffer in ["bias", "masked_bias", "rotary_emb.inv_freq"] {
        names = names.ignore(&format!("{attention}.{buffer}"));
    }
    let words = "gpt_neox.embed_in.weight";
    match tied {
        true => names.tie("embed_out.weight", words).tie("lm_head.weight", words),
        false => names.rename("lm_head.weight", "embed_out.weight"),
    }
}
