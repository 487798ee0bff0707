//! GPT-Neo (Black et al. 2021): learned positions, scores that are not scaled, and a window in every other
//! layer. Named as in the `transformers` library.

use opledger_ir::Reach;
use opledger_ir::ops::Activation;
use opledger_nn::{
    AttentionConfig, AttentionNames, FeedForwardConfig, FeedForwardNames, LayerConfig, LayerNames,
    NormConfig, Origin, Residual,
};
use serde_json::Value;

use super::causal::{CausalHead, Kept, causal_heads};
use super::checks::{head, multiple, same};
use super::layer_types::SYMBOLS;
use super::pattern::LayerOrder;
use super::recorder::{Problem, Recorder};
use super::request::Request;
use super::stack::{CausalStack, Entering, Head, Kind, Positions};
use crate::config::{ConfigError, Keys};
use crate::model::PositionLimit;
use crate::names::Names;

pub(super) fn build(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    let of = head(keys, &causal_heads("GPTNeo", "ForCausalLM", CausalHead::ALL))?;
    keys.pass_over(&[
        "resid_dropout",
        "embed_dropout",
        "summary_activation",
        "summary_first_dropout",
        "summary_proj_to_labels",
        "summary_type",
        "summary_use_proj",
        "pad_token_id",
    ]);
    same(keys, &[("num_attention_heads", "num_heads"), ("num_hidden_layers", "num_layers")])?;
    let (width, heads) = (keys.size("hidden_size")?, keys.size("num_heads")?);
    multiple(keys, ("hidden_size", width), ("num_heads", heads))?;
    let hidden = keys.size_or("intermediate_size", 4 * width)?;
    let (vocabulary, layers) = (keys.size("vocab_size")?, attention_layers(keys)?);
    let key = "max_position_embeddings";
    let positions = keys.size(key)?;
    r.positions = Some(PositionLimit { key, positions, tokens: positions, computed: false });
    let window = keys.size_or("window_size", 256)?;
    let activation = keys.activation("activation_function", Activation::GeluTanh)?;
    let eps = keys.epsilon_or("layer_norm_epsilon", 1e-5)?;
    let tied = keys.flag_or("tie_word_embeddings", true)?;

    let (c, h) = (r.size("c", width), r.size("h", heads));
    let (vocabulary, ff) = (r.size("v", vocabulary), r.size("ff", hidden));
    let layer = LayerConfig {
        attention: AttentionConfig {
            bias: false,
            scaled: false,
            origin: Origin::Library,
            names: AttentionNames::new("q_proj", "k_proj", "v_proj", "out_proj"),
            ..AttentionConfig::new(c.clone(), h.clone())
        },
        feed_forward: FeedForwardConfig {
            activation,
            names: FeedForwardNames::new("c_fc", "c_proj"),
            ..FeedForwardConfig::new(c.clone(), ff)
        },
        norm: NormConfig { eps, ..NormConfig::layer() },
        residual: Residual::PreNorm,
        names: LayerNames::encoder("attn.attention", "mlp", ["ln_1", "ln_2"]),
        ..LayerConfig::new(c, h, 1)
    };
    // The first files have the masks as tensors.
    r.names = Names::default()
        .prefix("transformer.")
        .ignore("transformer.h.*.attn.attention.bias")
        .ignore("transformer.h.*.attn.attention.masked_bias");
    let kind =
        |window: Option<u64>| Kind { layer: layer.clone(), reach: window.map(Reach::Window) };
    let stack = CausalStack {
        scopes: ["transformer", "wte", "h", "ln_f"],
        vocabulary,
        kinds: vec![kind(None), kind(Some(window))],
        pattern: LayerOrder::kinds(SYMBOLS, layers),
        kept: Kept::heads("h".into(), "e".into()),
        entering: Entering {
            positions: Some(Positions { scope: "wpe", positions, before: 0 }),
            ..Entering::default()
        },
        linear_biases: false,
        head: Head::new(of, tied),
    };
    stack.record(keys, request, r)
}

/// Which layers see all, kind 0, and which a window, kind 1: kinds in their order, and how often they come.
fn attention_layers(keys: &Keys<'_>) -> Result<Vec<usize>, ConfigError> {
    let (types, listed) = ("attention_types", "attention_layers");
    let layers = keys.times("num_layers")?;
    let wrong =
        || keys.unsupported(types, "lists of `global` and `local`, and how often each comes");
    let kind = |kind: &Value| ["global", "local"].into_iter().position(|known| kind == known);
    let mut kinds: Vec<usize> = Vec::new();
    let mut extend = |names: &[usize], times: u64| {
        let more = times.saturating_mul(names.len() as u64);
        if more > layers.saturating_sub(kinds.len() as u64) {
            return Err(keys.contradiction(types, "num_layers", "each layer is of one type"));
        }
        (0..times).for_each(|_| kinds.extend(names));
        Ok(())
    };
    match keys.get(types) {
        None => extend(&[0, 1], 12)?,
        Some(Value::Array(items)) => {
            for item in items {
                let (names, times) = match item.as_array().map(Vec::as_slice) {
                    Some([Value::Array(names), times]) => (names, times.as_u64()),
                    _ => return Err(wrong()),
                };
                let names: Option<Vec<usize>> = names.iter().map(kind).collect();
                extend(&names.ok_or_else(wrong)?, times.ok_or_else(wrong)?)?;
            }
        }
        Some(_) => return Err(wrong()),
    }
    if kinds.len() as u64 != layers {
        return Err(keys.contradiction(types, "num_layers", "each layer is of one type"));
    }
    // The same written out.
    if let Some(list) = keys.get(listed) {
        let list: Option<Vec<usize>> =
            list.as_array().and_then(|list| list.iter().map(kind).collect());
        if list.as_ref() != Some(&kinds) {
            return Err(keys.contradiction(listed, types, "they name two orders of layers"));
        }
    }
    Ok(kinds)
}
