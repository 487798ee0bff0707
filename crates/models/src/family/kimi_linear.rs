//! Kimi Linear (Moonshot AI 2025, arXiv:2510.26692): most layers have linear attention by a gated delta rule
//! that forgets each element of a key by a factor of its own, the others attention by a latent without
//! positions; experts behind the first layers. Named as published files are.

use opledger_nn::DeltaMaps;
use serde_json::{Map, Value};

use super::causal::CausalHead;
use super::decoder;
use super::deepseek::{corrected, mixture};
use super::layer_types::{FULL, TYPES, kinds_by_names, kinds_by_type, kinds_of_layers, mixed};
use super::recorder::{Problem, Recorder};
use super::request::Request;
use super::variant::{DeltaRule, EXPERTS, ExpertFiles, KindOf, Latent, Mixture, Rotation, Variant};
use crate::config::{ConfigError, Keys};

/// What published files call keys, and what the library does.
const NAMES: &[(&str, &str)] = &[
    ("moe_renormalize", "norm_topk_prob"),
    ("num_expert_group", "n_group"),
    ("num_experts_per_token", "num_experts_per_tok"),
    ("num_shared_experts", "n_shared_experts"),
    ("model_max_length", "max_position_embeddings"),
];

/// Training, and what the library does not ask for.
const WITHOUT_INFLUENCE: &[&str] =
    &["output_router_logits", "pretraining_tp", "use_grouped_topk", "num_nextn_predict_layers"];

/// The object in which published files say what is of linear attention.
const LINEAR: &str = "linear_attn_config";

pub(super) fn build(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    let mut map: Map<String, Value> = keys.map().clone();
    for (published, own) in NAMES {
        if keys.get(published).is_some() {
            if keys.get(own).is_some_and(|given| Some(given) != keys.get(published)) {
                let why = "they are two names of one key";
                return Err(keys.contradiction(published, own, why).into());
            }
            map.insert((*own).to_owned(), map[*published].clone());
        }
    }
    let keys = &keys.of(&map);
    keys.pass_over(WITHOUT_INFLUENCE);
    keys.only("moe_layer_freq", 1)?;
    keys.only("moe_router_activation_func", "sigmoid")?;
    keys.only("mla_use_nope", true)?;
    // The library's class ties nothing.
    keys.only("tie_word_embeddings", false)?;
    let bias = keys.flag_or("attention_bias", false)?;
    let linear = KindOf {
        rotation: Rotation::None,
        delta: Some(rule(keys)?),
        mixer: Some("self_attn"),
        ..KindOf::default()
    };
    let full = KindOf { rotation: Rotation::None, ..KindOf::default() };
    let layers: Vec<(bool, bool)> = linear_layers(keys)?.into_iter().zip(dense(keys)?).collect();
    if !layers.iter().any(|(linear, _)| !linear) {
        return Err(keys.unsupported(TYPES, format!("{FULL} for one layer at least")).into());
    }
    let (kinds, pattern) = mixed(&layers, &[("l_full", full), ("l_linear", linear)]);
    let sparse = layers.iter().any(|(_, dense)| !dense);
    let experts = || -> Result<Mixture, ConfigError> {
        Ok(Mixture {
            scope: "block_sparse_moe",
            files: ExpertFiles::Apart(["w1", "w2", "w3"]),
            ..mixture(keys, EXPERTS, (corrected(keys, [Some(1), Some(1)], 2.446)?, 1))?
        })
    };
    if !sparse {
        return Err(keys.unsupported("mlp_layer_types", "experts in one layer at least").into());
    }
    let variant = Variant {
        family: "KimiLinear",
        heads: &[CausalHead::Words, CausalHead::None],
        qkv_bias: bias,
        out_bias: bias,
        epsilon: ("rms_norm_eps", 1e-5),
        kv_heads: Some(32),
        latent: Some(Latent {
            query_rank: keys.size_unless_null("q_lora_rank", None)?,
            rank: keys.size_or("kv_lora_rank", 512)?,
            head_dim: keys.size_or("qk_nope_head_dim", 128)?,
            rotated: keys.size_or("qk_rope_head_dim", 64)?,
            value_head_dim: keys.size_or("v_head_dim", 128)?,
        }),
        kinds,
        pattern: Some(pattern),
        mixture: Some(experts()?),
        // As the library writes what it read.
        renamed: &[
            ["mlp.gate_proj.weight", "block_sparse_moe.gate_proj.weight"],
            ["mlp.up_proj.weight", "block_sparse_moe.up_proj.weight"],
            ["mlp.down_proj.weight", "block_sparse_moe.down_proj.weight"],
        ],
        ..Variant::default()
    };
    decoder::build(keys, request, r, &variant)
}

/// The rule, whose sizes published files say in an object of their own.
fn rule(keys: &Keys<'_>) -> Result<DeltaRule, ConfigError> {
    let inner = keys.inner(LINEAR)?;
    let size = |published: &str, own: &str, default: u64| match &inner {
        Some(inner) if inner.get(published).is_some() => {
            keys.pass_over(&[own]);
            inner.size(published)
        }
        _ => keys.size_or(own, default),
    };
    let heads = size("num_heads", "linear_num_heads", 32)?;
    let width = size("head_dim", "linear_head_dim", 128)?;
    let taps = usize::try_from(size("short_conv_kernel_size", "linear_conv_kernel_dim", 4)?);
    Ok(DeltaRule {
        key_heads: heads,
        value_heads: heads,
        key_dim: width,
        value_dim: width,
        taps: taps.map_err(|_| keys.unsupported("linear_conv_kernel_dim", "a window"))?,
        maps: DeltaMaps::ByChannel,
    })
}

/// Which layers have linear attention: by their types, by numbers that begin at one, or all but every fourth
/// behind the first.
fn linear_layers(keys: &Keys<'_>) -> Result<Vec<bool>, ConfigError> {
    let inner = keys.inner(LINEAR)?;
    let numbers = |key: &str| -> Result<Option<Vec<u64>>, ConfigError> {
        let Some(inner) = &inner else { return Ok(None) };
        match inner.get(key) {
            None => Ok(None),
            Some(Value::Array(_)) => inner.sizes(key).map(Some),
            Some(_) => Err(inner.unsupported(key, "numbers of layers")),
        }
    };
    let (full, linear) = (numbers("full_attn_layers")?, numbers("kda_layers")?);
    if keys.get(TYPES).is_some() {
        let kinds = kinds_by_type(keys, [FULL, "linear_attention"])?;
        return Ok(kinds.into_iter().map(|kind| kind == 1).collect());
    }
    let (Some(full), Some(linear)) = (full, linear) else {
        let kinds = kinds_of_layers(keys, |at| usize::from(at == 0 || !at.is_multiple_of(4)))?;
        return Ok(kinds.into_iter().map(|kind| kind == 1).collect());
    };
    let kinds =
        kinds_of_layers(keys, |at| match (full.contains(&(at + 1)), linear.contains(&(at + 1))) {
            (true, false) => 0,
            (false, true) => 1,
            _ => 2,
        })?;
    match kinds.contains(&2) {
        true => Err(keys.unsupported(LINEAR, "each layer in one of its two lists")),
        false => Ok(kinds.into_iter().map(|kind| kind == 1).collect()),
    }
}

/// Which layers have a feed-forward layer in the place of experts: by their types, or so many first.
fn dense(keys: &Keys<'_>) -> Result<Vec<bool>, ConfigError> {
    let (types, first) = ("mlp_layer_types", "first_k_dense_replace");
    let kinds = match keys.get(types) {
        Some(_) => {
            keys.pass_over(&[first]);
            kinds_by_names(keys, types, &[&["sparse"], &["dense"]])?
        }
        None => {
            let dense = keys.whole_or(first, 1)?;
            kinds_of_layers(keys, |at| usize::from(at < dense))?
        }
    };
    Ok(kinds.into_iter().map(|kind| kind == 1).collect())
}
