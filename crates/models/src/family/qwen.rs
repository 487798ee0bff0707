//! Qwen 2 (Yang et al. 2024), with biases of queries, keys and values, and Qwen 3 (Yang et al. 2025),
//! with norms of each head's queries and keys.

use opledger_nn::{ExpertWeights, Routing};
use serde_json::Value;

use super::decoder;
use super::layer_types::{FULL, full_and_windows, kinds_of_layers, sparse_and_dense};
use super::pattern::LayerOrder;
use super::recorder::{Problem, Recorder};
use super::request::Request;
use super::variant::{
    CHOSEN, CommonExpert, EXPERTS, ExpertFiles, KindOf, Mixture, QkNorm, Variant,
};
use crate::config::{ConfigError, Keys};

pub(super) fn qwen2(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    let (kinds, pattern) = windows(keys)?;
    let variant = Variant {
        family: "Qwen2",
        kv_heads: Some(32),
        kinds,
        pattern,
        answer_scope: "transformer",
        qkv_bias: true,
        ..Variant::default()
    };
    decoder::build(keys, request, r, &variant)
}

pub(super) fn qwen3(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    let (kinds, pattern) = windows(keys)?;
    let bias = keys.flag_or("attention_bias", false)?;
    let variant = Variant {
        family: "Qwen3",
        kv_heads: Some(32),
        head_dim: Some(128),
        kinds,
        pattern,
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
        kv_heads: Some(16),
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
        kv_heads: Some(4),
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

pub(super) fn mixture(
    keys: &Keys<'_>,
    shared: Option<CommonExpert>,
) -> Result<Mixture, ConfigError> {
    Ok(Mixture {
        scope: "mlp",
        files: ExpertFiles::Apart(["gate_proj", "down_proj", "up_proj"]),
        hidden: "moe_intermediate_size",
        experts: EXPERTS,
        chosen: CHOSEN,
        routing: Routing::new(match keys.flag_or("norm_topk_prob", false)? {
            true => ExpertWeights::ShareOfChosen,
            false => ExpertWeights::Share,
        }),
        bias: false,
        clamped: None,
        latent: None,
        shared,
    })
}

/// Layers with experts and those without: every so many has them, but for some by number.
fn dense_and_sparse(keys: &Keys<'_>) -> Result<(Vec<KindOf>, LayerOrder), ConfigError> {
    let dense = without_experts(keys)?;
    if !dense.contains(&true) {
        return Ok((vec![KindOf::default()], LayerOrder::Uniform(dense.len() as u64)));
    }
    Ok(sparse_and_dense(dense.into_iter().map(usize::from).collect()))
}

/// Whether each layer has a feed-forward layer in place of experts: all but every so many, and some by
/// number.
pub(super) fn without_experts(keys: &Keys<'_>) -> Result<Vec<bool>, ConfigError> {
    keys.pass_over(&["intermediate_size"]);
    let step = keys.size_or("decoder_sparse_step", 1)?;
    let without = match keys.get("mlp_only_layers") {
        None => Vec::new(),
        Some(Value::Array(layers)) if layers.iter().all(Value::is_u64) => {
            layers.iter().filter_map(Value::as_u64).collect()
        }
        Some(_) => return Err(keys.unsupported("mlp_only_layers", "numbers of layers")),
    };
    let dense = |layer: u64| !(layer + 1).is_multiple_of(step) || without.contains(&layer);
    let layers = kinds_of_layers(keys, |layer| usize::from(dense(layer)))?;
    Ok(layers.into_iter().map(|kind| kind == 1).collect())
}

/// Layers that see all and, where windows are switched on, those from the key's number on that see one.
fn windows(keys: &Keys<'_>) -> Result<(Vec<KindOf>, Option<LayerOrder>), ConfigError> {
    let all = || (vec![KindOf::default()], None);
    if !keys.flag_or("use_sliding_window", false)? {
        every_layer_sees_all(keys)?;
        return Ok(all());
    }
    let Some(window) = keys.size_unless_null("sliding_window", Some(4096))? else {
        keys.pass_over(&["max_window_layers"]);
        return Ok(all());
    };
    let first = keys.whole_or("max_window_layers", 28)?;
    let kinds = [KindOf::default(), KindOf::seeing(Some(window))];
    let (kinds, order) = full_and_windows(keys, |layer| usize::from(layer >= first), kinds)?;
    Ok((kinds, Some(order)))
}

/// Of models with experts every layer sees all; no released one has the window that they can describe.
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
