//! GPT-2 (Radford et al. 2019): learned positions, norms before the sublayers, one map for queries,
//! keys and values. Named as in the `transformers` library.

use opledger_ir::ops::Activation;
use opledger_nn::{
    AttentionConfig, AttentionNames, FeedForwardConfig, FeedForwardNames, LayerConfig, LayerNames,
    NormConfig, Origin, Residual,
};

use super::causal::{CausalHead, Kept, causal_heads};
use super::checks::{head, multiple, same};
use super::pattern::LayerOrder;
use super::recorder::{Problem, Recorder};
use super::request::Request;
use super::stack::{CausalStack, Entering, Head, Kind, Positions};
use crate::config::Keys;
use crate::model::PositionLimit;
use crate::names::Names;

pub(super) fn build(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    let head = head(keys, &causal_heads("GPT2", "LMHeadModel", CausalHead::ALL))?;
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

    let (c, h) = (r.size("c", width), r.size("h", heads));
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

    r.names = names();
    let stack = CausalStack {
        scopes: ["transformer", "wte", "h", "ln_f"],
        vocabulary: v,
        kinds: vec![Kind { layer: config, reach: None }],
        pattern: LayerOrder::Uniform(layers),
        kept: Kept::heads("h".into(), "e".into()),
        entering: Entering {
            positions: Some(Positions { scope: "wpe", positions, before: 0 }),
            ..Entering::default()
        },
        linear_biases: false,
        head: Head::new(head, true),
    };
    stack.record(keys, request, r)
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
        .ignore("transformer.h.*.attn.masked_bias");
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
