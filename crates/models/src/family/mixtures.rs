//! Decoders of whose layers the first have a feed-forward layer and the others experts, chosen by corrected
//! scores: GLM-4.5 (GLM-4.5 Team 2025, arXiv:2508.06471), ERNIE 4.5 (Baidu 2025) and MiniMax-M2 (MiniMax
//! 2025). Named as in the `transformers` library.

use opledger_nn::{Divisor, ExpertWeights, RopePairs, RouterScores, Routing, ScoreCorrection};
use serde_json::Value;

use super::causal::CausalHead;
use super::checks::same;
use super::decoder;
use super::deepseek::{ROUTED, behind_dense, corrected, mixture, predicting};
use super::layer_types::{dense_first, kinds_of_layers, sparse_and_dense};
use super::recorder::{Problem, Recorder};
use super::request::Request;
use super::variant::{CHOSEN, CommonExpert, EXPERTS, ExpertFiles, Mixture, QkNorm, Variant};
use crate::config::Keys;

/// What stands on them.
const HEADS: &[CausalHead] = &[CausalHead::Words, CausalHead::None];

pub(super) fn glm4_moe(
    keys: &Keys<'_>,
    request: &Request,
    r: &mut Recorder,
) -> Result<(), Problem> {
    let (kinds, pattern) = dense_first(keys, 1)?;
    keys.pass_over(&["intermediate_size"]);
    let experts = behind_dense(keys, &kinds, || {
        mixture(keys, ROUTED, (corrected(keys, [Some(1), Some(1)], 1.0)?, 1))
    })?;
    let variant = Variant {
        family: "Glm4Moe",
        heads: HEADS,
        qkv_bias: keys.flag_or("attention_bias", false)?,
        qk_norm: keys.flag_or("use_qk_norm", false)?.then_some(QkNorm::Head),
        epsilon: ("rms_norm_eps", 1e-5),
        kv_heads: Some(8),
        turned: Some(0.5),
        kinds,
        pattern: Some(pattern),
        mixture: experts,
        layers_behind: predicting(keys)?,
        ..Variant::default()
    };
    decoder::build(keys, request, r, &variant)
}

pub(super) fn ernie4_5_moe(
    keys: &Keys<'_>,
    request: &Request,
    r: &mut Recorder,
) -> Result<(), Problem> {
    same(keys, &[("num_experts", "moe_num_experts"), ("num_experts_per_tok", "moe_k")])?;
    keys.pass_over(&["intermediate_size"]);
    let every = keys.size_or("moe_layer_interval", 1)?;
    let first = keys.whole_or("moe_layer_start_index", 1)?;
    let last = match keys.get("moe_layer_end_index") {
        Some(value) if value == -1 => None,
        _ => keys.times_or_none("moe_layer_end_index")?,
    };
    let sparse = |layer: u64| {
        (layer + 1).is_multiple_of(every) && layer >= first && last.is_none_or(|last| layer <= last)
    };
    let layers = kinds_of_layers(keys, |layer| usize::from(!sparse(layer)))?;
    let (kinds, pattern) = sparse_and_dense(layers);
    let hidden = "moe_intermediate_size";
    let shared = match keys.whole_or("moe_num_shared_experts", 2)? {
        0 => None,
        shared => {
            let many = || keys.unsupported("moe_num_shared_experts", "fewer");
            let width = keys.size(hidden)?.checked_mul(shared).ok_or_else(many)?;
            Some(CommonExpert { scope: "shared_experts", gate: None, hidden: width })
        }
    };
    let routing = Routing {
        correction: Some(ScoreCorrection { scope: "moe_statics".to_owned(), parameter: true }),
        divisor: Divisor::AtLeast(keys.positive_or("moe_norm_min", 1e-12)?),
        ..Routing::new(ExpertWeights::ShareOfChosen)
    };
    let bias = keys.flag_or("use_bias", false)?;
    let variant = Variant {
        family: "Ernie4_5_Moe",
        heads: HEADS,
        qkv_bias: bias,
        out_bias: bias,
        mlp_bias: bias,
        head_bias: bias,
        epsilon: ("rms_norm_eps", 1e-5),
        kv_heads: Some(4),
        base: 5e5,
        pairs: RopePairs::Neighbours,
        kinds,
        pattern: Some(pattern),
        mixture: Some(Mixture {
            scope: "mlp",
            files: ExpertFiles::Apart(["gate_proj", "down_proj", "up_proj"]),
            experts: ["moe_num_experts", "num_experts"],
            chosen: "moe_k",
            hidden,
            routing,
            bias: false,
            clamped: None,
            latent: None,
            shared,
        }),
        tied: true,
        ..Variant::default()
    };
    decoder::build(keys, request, r, &variant)
}

pub(super) fn minimax_m2(
    keys: &Keys<'_>,
    request: &Request,
    r: &mut Recorder,
) -> Result<(), Problem> {
    keys.only("scoring_func", "sigmoid")?;
    keys.only("use_routing_bias", true)?;
    keys.only("use_qk_norm", true)?;
    keys.only("qk_norm_type", "per_layer")?;
    keys.only("shared_intermediate_size", 0)?;
    let kinds = "attn_type_list";
    let full = |kinds: &Vec<Value>| kinds.iter().all(|kind| *kind == 1);
    if keys.get(kinds).is_some_and(|given| !given.as_array().is_some_and(full)) {
        return Err(keys.unsupported(kinds, "1 for every layer, full attention").into());
    }
    // Layers that predict further tokens, and training.
    keys.pass_over(&["use_mtp", "num_mtp_modules", "mtp_transformer_layers"]);
    let variant = Variant {
        family: "MiniMaxM2",
        heads: HEADS,
        qk_norm: Some(QkNorm::Heads),
        kv_heads: Some(8),
        head_dim: Some(128),
        base: 5e6,
        turned: Some(turned(keys)?),
        mixture: Some(Mixture {
            scope: "block_sparse_moe",
            files: ExpertFiles::Apart(["w1", "w2", "w3"]),
            experts: EXPERTS,
            chosen: CHOSEN,
            hidden: "intermediate_size",
            routing: Routing {
                scores: RouterScores::Sigmoid,
                correction: Some(ScoreCorrection { scope: String::new(), parameter: false }),
                ..Routing::new(ExpertWeights::ShareOfChosen)
            },
            bias: false,
            clamped: None,
            shared: None,
            latent: None,
        }),
        ..Variant::default()
    };
    decoder::build(keys, request, r, &variant)
}

/// The share of each head that turns where no key says the share: how many elements, in published files.
fn turned(keys: &Keys<'_>) -> Result<f64, crate::config::ConfigError> {
    match keys.optional("rotary_dim")? {
        Some(turned) => Ok(turned as f64 / keys.size_or("head_dim", 128)? as f64),
        None => Ok(1.0),
    }
}
