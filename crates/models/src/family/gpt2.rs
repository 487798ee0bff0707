//! GPT-2 (Radford et al. 2019): learned positions, norms before the sublayers, one map for queries,
//! keys and values. Named as in the `transformers` library.

use opledger_dims::Poly;
use opledger_ir::Axis;
use opledger_ir::ops::Activation;
use opledger_nn::{
    Attend, AttentionConfig, AttentionNames, Embedding, EncoderLayer, FeedForwardConfig,
    FeedForwardNames, LayerConfig, LayerNames, LearnedPositions, LmHead, Norm, NormConfig, Origin,
    Residual,
};

use super::causal::{
    CausalHead, causal_heads, causal_layers, causal_mask, causal_sizes, first_position, logits,
    text_classes, token_classes,
};
use super::checks::{head, multiple, same};
use super::recorder::{Problem, Recorder};
use super::request::Request;
use super::tokens::token_ids;
use crate::config::Keys;
use crate::model::PositionLimit;
use crate::names::Names;

pub(super) fn build(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    let head = head(keys, &causal_heads("GPT2", "LMHeadModel"))?;
    keys.only("scale_attn_weights", true)?;
    keys.only("scale_attn_by_inverse_layer_idx", false)?;
    keys.only("add_cross_attention", false)?;
    keys.only("tie_word_embeddings", true)?;
    keys.pass_over(&[
        "n_ctx",
        "reorder_and_upcast_attn",
        "summary_activation",
        "summary_first_dropout",
        "summary_last_dropout",
        "summary_proj_to_labels",
        "summary_type",
        "summary_use_proj",
        "pad_token_id",
    ]);
    same(
        keys,
        &[
            ("hidden_size", "n_embd"),
            ("max_position_embeddings", "n_positions"),
            ("num_attention_heads", "n_head"),
            ("num_hidden_layers", "n_layer"),
        ],
    )?;
    let (width, heads) = (keys.size("n_embd")?, keys.size("n_head")?);
    multiple(keys, ("n_embd", width), ("n_head", heads))?;
    let hidden = keys.size_or("n_inner", 4 * width)?;
    let (vocabulary, layers) = (keys.size("vocab_size")?, keys.times("n_layer")?);
    let positions = keys.size("n_positions")?;
    r.positions =
        Some(PositionLimit { key: "n_positions", positions, tokens: positions, computed: false });
    let activation = keys.activation("activation_function", Activation::GeluTanh)?;
    let eps = keys.epsilon_or("layer_norm_epsilon", 1e-5)?;

    let (c, h, l) = (r.size("c", width), r.size("h", heads), r.size("l", layers));
    let (v, ff) = (r.size("v", vocabulary), r.size("ff", hidden));
    let norm = NormConfig { eps, ..NormConfig::layer() };
    let config = LayerConfig {
        attention: AttentionConfig {
            origin: Origin::Library,
            inputs_first: true,
            names: AttentionNames::fused("c_attn", "c_proj"),
            ..AttentionConfig::new(c.clone(), h.clone())
        },
        feed_forward: FeedForwardConfig {
            activation,
            inputs_first: true,
            names: FeedForwardNames::new("c_fc", "c_proj"),
            ..FeedForwardConfig::new(c.clone(), ff)
        },
        norm,
        residual: Residual::PreNorm,
        names: LayerNames::encoder("attn", "mlp", ["ln_1", "ln_2"]),
        ..LayerConfig::new(c.clone(), h, 1)
    };

    let g = &mut r.graph;
    let ids = token_ids(g, "input_ids", ["b", "n"], v.clone())?;
    causal_sizes(g, request);
    let mask = causal_mask(keys, g, request, None)?;
    let mut scope = g.scope("transformer");
    let m = &mut *scope;
    let words = Embedding::new(&mut m.scope("wte"), v, c.clone())?;
    let table = LearnedPositions::new(&mut m.scope("wpe"), positions, c.clone())?;
    let table = table.starting_at(first_position(request));
    let layers = m.repeated("h", l);
    let layer = EncoderLayer::new(&mut m.enter(&layers), &config)?;
    let norm = Norm::new(&mut m.scope("ln_f"), ("c", &c), norm)?;
    let x = words.forward(m, ids)?;
    let x = table.forward(m, x)?;
    let axes = [Axis::from("h"), Axis::new("e", Poly::from("e"))];
    let x = causal_layers(m, request, (&layers, "attn", &axes), x, |g, x, past| {
        layer.forward_with(g, x, Attend { mask, past, ..Attend::default() })
    })?;
    let x = norm.forward(m, x)?;
    drop(scope);
    r.names = names();
    match head {
        CausalHead::None => g.output("last_hidden_state", x),
        CausalHead::TextClasses => text_classes(keys, request, r, x)?,
        CausalHead::TokenClasses => token_classes(keys, "classifier", r, x)?,
        CausalHead::Words => {
            let head = LmHead::tied(&mut g.scope("lm_head"), &words);
            logits(g, request, x, |g, x| head.forward(g, x))?;
        }
    }
    Ok(())
}

/// Its matrices are stored `[in, out]`, and those of queries, keys and values side by side.
fn names() -> Names {
    let parts = ["weight", "bias"].map(|kind| {
        let part = |p: &str| format!("transformer.h.*.attn.c_attn.{p}.{kind}");
        (["q", "k", "v"].map(part), format!("transformer.h.*.attn.c_attn.{kind}"))
    });
    let mut names = Names::default()
        .prefix("transformer.")
        .ignore("transformer.h.*.attn.bias")
        .ignore("transformer.h.*.attn.masked_bias")
        .tie("lm_head.weight", "transformer.wte.weight");
    for (parts, whole) in &parts {
        names = names.join(&parts.each_ref().map(String::as_str), whole);
    }
    for map in
        ["attn.c_attn.q", "attn.c_attn.k", "attn.c_attn.v", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"]
    {
        names = names.transpose(&format!("transformer.h.*.{map}.weight"));
    }
    names
}
