//! Nemotron-H and Nemotron 3 (NVIDIA 2025): every layer is one sublayer with its norm: a state space, an
//! attention without positions, a feed-forward layer, or experts; neither has gates. Named as in the
//! `transformers` library.

use opledger_nn::{Activation, Sublayers};
use serde_json::Value;

use super::causal::CausalHead;
use super::checks::same;
use super::decoder;
use super::deepseek::{ROUTED, corrected};
use super::layer_types::used;
use super::recorder::{Problem, Recorder};
use super::request::Request;
use super::state_space::{SpaceKeys, SpaceSizes};
use super::variant::{CHOSEN, CommonExpert, ExpertFiles, KindOf, Maps, Mixture, Rotation, Variant};
use crate::config::{ConfigError, Keys};

const KEYS: SpaceKeys = SpaceKeys {
    heads: ("mamba_num_heads", 128),
    groups: ("n_groups", 8),
    state: ("ssm_state_size", 128),
    taps: ("conv_kernel", 4),
    chunk: ("chunk_size", 128),
    bias: "use_bias",
    convolution_bias: "use_conv_bias",
    activation: "mamba_hidden_act",
    eps: EPSILON,
};

const EPSILON: (&str, f64) = ("layer_norm_epsilon", 1e-5);

/// Other names of keys, which the library reads in their place.
const OTHERS: &[(&str, &str)] = &[
    ("mamba_n_groups", "n_groups"),
    ("mamba_d_conv", "conv_kernel"),
    ("mamba_dt_min", "time_step_min"),
    ("mamba_conv_bias", "use_conv_bias"),
    ("mamba_chunk_size", "chunk_size"),
    ("norm_eps", "layer_norm_epsilon"),
];

/// How parameters begin, training, layers that predict further tokens, and what the library does not ask for.
const WITHOUT_INFLUENCE: &[&str] = &[
    "expand",
    "hidden_dropout",
    "mamba_dt_init_floor",
    "mamba_dt_limit",
    "mamba_dt_max",
    "mamba_expand",
    "mamba_proj_bias",
    "mamba_ssm_cache_dtype",
    "moe_shared_expert_overlap",
    "mtp_hybrid_override_pattern",
    "mtp_layers_block_type",
    "n_shared_experts",
    "num_hidden_layers",
    "num_logits_to_keep",
    "num_nextn_predict_layers",
    "output_router_logits",
    "partial_rotary_factor",
    "rescale_prenorm_residual",
    "residual_in_fp32",
    "time_step_floor",
    "time_step_limit",
    "time_step_max",
    "use_mamba_kernels",
];

/// A type of layers: its character in a pattern, and its names in a list.
struct Type {
    character: char,
    names: [&'static str; 2],
    symbol: &'static str,
}

const TYPES: [Type; 4] = [
    Type { character: '*', names: ["full_attention", "attention"], symbol: "l_full" },
    Type { character: 'M', names: ["linear_attention", "mamba"], symbol: "l_space" },
    Type { character: '-', names: ["mlp", "mlp"], symbol: "l_dense" },
    Type { character: 'E', names: ["moe", "moe"], symbol: "l_sparse" },
];
const SPACE: usize = 1;
const DENSE: usize = 2;
const SPARSE: usize = 3;

pub(super) fn build(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    keys.pass_over(WITHOUT_INFLUENCE);
    same(keys, OTHERS)?;
    keys.only("attention_bias", false)?;
    // The library's class ties nothing.
    keys.only("tie_word_embeddings", false)?;
    keys.only("sliding_window", Value::Null)?;
    let layers = layers(keys)?;
    let symbols = TYPES.each_ref().map(|own| own.symbol);
    let (kinds, pattern) = used(&layers, &symbols, |own| kind(keys, own))?;
    let bias = keys.flag_or("mlp_bias", false)?;
    let mixture = match layers.contains(&SPARSE) {
        true => Some(mixture(keys)?),
        false => {
            keys.pass_over(&ROUTED);
            keys.pass_over(&["moe_intermediate_size", "moe_shared_expert_intermediate_size"]);
            keys.pass_over(&[CHOSEN, "n_group", "topk_group", "norm_topk_prob"]);
            keys.pass_over(&["routed_scaling_factor", "moe_latent_size"]);
            None
        }
    };
    if !layers.contains(&DENSE) {
        keys.pass_over(&["intermediate_size"]);
    }
    if !layers.contains(&SPACE) {
        KEYS.pass_over(keys);
        keys.pass_over(&["mamba_head_dim", "time_step_min"]);
    }
    let variant = Variant {
        family: "NemotronH",
        heads: &[CausalHead::Words, CausalHead::None],
        words: "embeddings",
        last_norm: "norm_f",
        norms: ["norm", "", "", ""],
        epsilon: EPSILON,
        mlp_bias: bias,
        maps: Maps::Plain(["up_proj", "down_proj"]),
        feed_forward: ["mixer", "intermediate_size"],
        activation: (Some("mlp_hidden_act"), Activation::ReluSquared),
        kv_heads: Some(8),
        head_dim: Some(128),
        kinds,
        pattern: Some(pattern),
        mixture,
        ignored: &["mtp"],
        scopes: &[["model", "backbone"]],
        ..Variant::default()
    };
    decoder::build(keys, request, r, &variant)
}

/// Layers of a type.
fn kind(keys: &Keys<'_>, of: usize) -> Result<KindOf, ConfigError> {
    let tokenwise = of == DENSE || of == SPARSE;
    Ok(KindOf {
        rotation: Rotation::None,
        dense: of == DENSE,
        sublayers: if tokenwise { Sublayers::Tokenwise } else { Sublayers::Mixing },
        state_space: if of == SPACE { Some(sizes(keys)?) } else { None },
        mixer: Some("mixer"),
        ..KindOf::default()
    })
}

/// The state space. Δ is kept from `time_step_min` on, whatever `time_step_limit` says, in runs of several
/// tokens; in steps of one token the library keeps no bound (`modeling_nemotron_h.py`, 5.23.0).
fn sizes(keys: &Keys<'_>) -> Result<SpaceSizes, ConfigError> {
    let least = keys.number_or("time_step_min", 0.001)?;
    let sizes = KEYS.read(keys, |_| keys.size_or("mamba_head_dim", 64))?;
    Ok(SpaceSizes { least: (least > 0.0).then_some(least), ..sizes })
}

/// The experts, and the one that every token meets.
fn mixture(keys: &Keys<'_>) -> Result<Mixture, ConfigError> {
    let latent = keys.optional("moe_latent_size")?;
    let hidden = keys.size_or("moe_shared_expert_intermediate_size", 7688)?;
    Ok(Mixture {
        scope: "mixer",
        files: ExpertFiles::Apart(["up_proj", "down_proj", "gate_proj"]),
        experts: ROUTED,
        chosen: CHOSEN,
        hidden: "moe_intermediate_size",
        routing: corrected(keys, [Some(1), Some(1)], 1.0)?,
        bias: false,
        clamped: None,
        shared: Some(CommonExpert { scope: "shared_experts", gate: None, hidden }),
        latent: latent.map(|width| (width, ["fc1_latent_proj", "fc2_latent_proj"])),
    })
}

/// The type of each layer: of a list, or of a text with a character for each.
fn layers(keys: &Keys<'_>) -> Result<Vec<usize>, ConfigError> {
    let (list, other, text) = ("layers_block_type", "layer_types", "hybrid_override_pattern");
    let types = || TYPES.each_ref().map(|own| own.names[0]).join(", ");
    let key = if keys.get(list).is_some() { list } else { other };
    if keys.get(list).is_some() && keys.get(other).is_some_and(|own| Some(own) != keys.get(list)) {
        let why = "they are two names of the types of layers";
        return Err(keys.contradiction(list, other, why));
    }
    let found: Option<Vec<usize>> = match keys.get(key) {
        Some(Value::Array(given)) => {
            keys.pass_over(&[text]);
            let of =
                |own: &Value| TYPES.iter().position(|of| of.names.iter().any(|name| own == name));
            given.iter().map(of).collect()
        }
        Some(_) => None,
        None => match keys.text(text)? {
            Some(pattern) => {
                let of = |own: char| TYPES.iter().position(|of| of.character == own);
                let found: Option<Vec<usize>> = pattern.chars().map(of).collect();
                let known = "a pattern of M, *, - and E";
                return found.ok_or_else(|| keys.unsupported(text, known));
            }
            None => Some(vec![SPACE, SPARSE, 0, DENSE]),
        },
    };
    match found {
        Some(layers) if !layers.is_empty() => Ok(layers),
        _ => Err(keys.unsupported(key, format!("layers of the types {}", types()))),
    }
}
