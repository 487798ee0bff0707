//! Qwen 2 (Yang et al. 2024), with biases of queries, keys and values, and Qwen 3 (Yang et al. 2025),
//! with norms of each head's queries and keys.

use opledger_nn::ExpertWeights;
use serde_json::Value;

use super::decoder;
use super::layer_types::{FULL, kinds_of_layers};
use super::pattern::LayerOrder;
use super::recorder::{Problem, Recorder};
use super::request::Request;
use super::variant::{CommonExpert, ExpertFiles, KindOf, Mixture, QkNorm, Variant};
use crate::config::{ConfigError, Keys};

pub(super) fn qwen2(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    every_layer_sees_all(keys)?;
    let variant = Variant {
        family: "Qwen2",
        answer_scope: "transformer",
        qkv_bias: true,
        ..Variant::default()
    };
    decoder::build(keys, request, r, &variant)
}

pub(super) fn qwen3(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    every_layer_sees_all(keys)?;
    let bias = keys.flag_or("attention_bias", false)?;
    let variant = Variant {
        family: "Qwen3",
        answer_scope: "transformer",
        qkv_bias: bias,
        out_bias: bias,
        qk_norm: Some(QkNorm::Head),
        ..Variant::default()
    };
    decoder::build(keys, request, r, &variant)
}

/// Qwen 2 with experts in place of feed-forward layers, and one that every token meets.
pub(super) fn qwen2_moe(
    keys: &Keys<'_>,
    request: &Request,
    r: &mut Recorder,
) -> Result<(), Problem> {
    every_layer_sees_all(keys)?;
    let (kinds, pattern) = dense_and_sparse(keys)?;
    let shared = CommonExpert {
        scope: "shared_expert",
        gate: Some("shared_expert_gate"),
        hidden: keys.size_or("shared_expert_intermediate_size", 5632)?,
    };
    let variant = Variant {
        family: "Qwen2Moe",
        qkv_bias: keys.flag_or("qkv_bias", true)?,
        kinds,
        pattern: Some(pattern),
        mixture: Some(mixture(keys, Some(shared))?),
        ..Variant::default()
    };
    decoder::build(keys, request, r, &variant)
}

/// Qwen 3 with experts in place of feed-forward layers.
pub(super) fn qwen3_moe(
    keys: &Keys<'_>,
    request: &Request,
    r: &mut Recorder,
) -> Result<(), Problem> {
    every_layer_sees_all(keys)?;
    let (kinds, pattern) = dense_and_sparse(keys)?;
    let bias = keys.flag_or("attention_bias", false)?;
    let variant = Variant {
        family: "Qwen3Moe",
        answer_scope: "transformer",
        qkv_bias: bias,
        out_bias: bias,
        qk_norm: Some(QkNorm::Head),
        kinds,
        pattern: Some(pattern),
        mixture: Some(mixture(keys, None)?),
        ..Variant::default()
    };
    decoder::build(keys, request, r, &variant)
}

fn mixture(keys: &Keys<'_>, shared: Option<CommonExpert>) -> Result<Mixture, ConfigError> {
    Ok(Mixture {
        scope: "mlp",
        files: ExpertFiles::Apart(["gate_proj", "down_proj", "up_proj"]),
        hidden: "moe_intermediate_size",
        weights: match keys.flag_or("norm_topk_prob", false)? {
            true => ExpertWeights::ShareOfChosen,
            false => ExpertWeights::Share,
        },
        bias: false,
        clamped: None,
        shared,
    })
}

/// Layers with experts and those without: every so many has them, but for some by number.
fn dense_and_sparse(keys: &Keys<'_>) -> Result<(Vec<KindOf>, LayerOrder), ConfigError> {
    keys.pass_over(&["intermediate_size"]);
    let step = keys.size_or("decoder_sparse_step", 1)?;
    let without = match keys.get("mlp_only_layers") {
        None => Vec::new(),
        Some(Value::Array(layers)) if layers.iter().all(Value::is_u64) => {
            layers.iter().filter_map(Value::as_u64).collect()
        }
        Some(_) => return Err(keys.unsupported("mlp_only_layers", "numbers of layers")),
    };
    if step == 1 && without.is_empty() {
        let layers = keys.times("num_hidden_layers")?;
        return Ok((vec![KindOf::default()], LayerOrder::Uniform(layers)));
    }
    let dense = |layer: u64| !(layer + 1).is_multiple_of(step) || without.contains(&layer);
    let layers = kinds_of_layers(keys, |layer| usize::from(dense(layer)))?;
    let kinds = vec![KindOf::default(), KindOf { dense: true, ..KindOf::default() }];
    Ok((kinds, LayerOrder::Kinds { symbols: &["l_sparse", "l_dense"], layers }))
}

/// No released model uses the window that these configurations can describe.
fn every_layer_sees_all(keys: &Keys<'_>) -> Result<(), ConfigError> {
    keys.only("use_sliding_window", false)?;
    if let Some(kinds) = keys.get("layer_types") {
        let full = |kind: &Value| kind == FULL;
        if !kinds.as_array().is_some_and(|kinds| kinds.iter().all(full)) {
            return Err(keys.unsupported("layer_types", "full_attention for every layer"));
        }
    }
    keys.pass_over(&["sliding_window", "max_window_layers"]);
    Ok(())
}
