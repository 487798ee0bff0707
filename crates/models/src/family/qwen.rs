//! Qwen 2 (Yang et al. 2024), with biases of queries, keys and values, and Qwen 3 (Yang et al. 2025),
//! with norms of each head's queries and keys.

use super::decoder::{self, Mixture, Variant};
use super::recorder::{Problem, Recorder};
use super::request::Request;
use crate::config::{ConfigError, Keys};

pub(super) fn qwen2(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    every_layer_sees_all(keys)?;
    let variant = Variant { family: "Qwen2", qkv_bias: true, ..Variant::default() };
    decoder::build(keys, request, r, &variant)
}

pub(super) fn qwen3(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    every_layer_sees_all(keys)?;
    let bias = keys.flag_or("attention_bias", false)?;
    let variant = Variant {
        family: "Qwen3",
        qkv_bias: bias,
        out_bias: bias,
        qk_norm: true,
        ..Variant::default()
    };
    decoder::build(keys, request, r, &variant)
}

/// Qwen 3 with experts in place of every feed-forward layer.
pub(super) fn qwen3_moe(
    keys: &Keys<'_>,
    request: &Request,
    r: &mut Recorder,
) -> Result<(), Problem> {
    every_layer_sees_all(keys)?;
    // Layers that have no experts are in no released model.
    keys.only("decoder_sparse_step", 1)?;
    keys.only("mlp_only_layers", serde_json::Value::Array(Vec::new()))?;
    keys.pass_over(&["intermediate_size"]);
    let bias = keys.flag_or("attention_bias", false)?;
    let variant = Variant {
        family: "Qwen3Moe",
        qkv_bias: bias,
        out_bias: bias,
        qk_norm: true,
        mixture: Some(Mixture {
            scope: "mlp",
            maps: ["gate_proj", "down_proj", "up_proj"],
            hidden: "moe_intermediate_size",
            normalised: keys.flag_or("norm_topk_prob", false)?,
        }),
        ..Variant::default()
    };
    decoder::build(keys, request, r, &variant)
}

/// No released model uses the window that these configurations can describe.
fn every_layer_sees_all(keys: &Keys<'_>) -> Result<(), ConfigError> {
    keys.only("use_sliding_window", false)?;
    if let Some(kinds) = keys.get("layer_types") {
        let full = |kind: &serde_json::Value| kind == "full_attention";
        if !kinds.as_array().is_some_and(|kinds| kinds.iter().all(full)) {
            return Err(keys.unsupported("layer_types", "full_attention for every layer"));
        }
    }
    keys.pass_over(&["sliding_window", "max_window_layers"]);
    Ok(())
}
