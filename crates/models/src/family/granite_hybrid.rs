//! Granite 4 (IBM 2025): most layers have a state space, the others attention, as a rule without positions;
//! every layer has experts beside a feed-forward layer, or that alone; multipliers as Granite 3. Named as in
//! the `transformers` library.

use opledger_ir::ops::Factor;
use opledger_nn::{ExpertWeights, Routing};

use super::causal::CausalHead;
use super::decoder;
use super::layer_types::{TYPES, kinds_by_names, kinds_of_layers, used};
use super::recorder::{Problem, Recorder};
use super::request::Request;
use super::stack::WordScores;
use super::state_space::{SpaceKeys, SpaceSizes, unlimited};
use super::variant::{CHOSEN, CommonExpert, ExpertFiles, KindOf, Maps, Mixture, Rotation, Variant};
use crate::config::{ConfigError, Keys};

const KEYS: SpaceKeys = SpaceKeys {
    heads: ("mamba_n_heads", 128),
    groups: ("mamba_n_groups", 1),
    state: ("mamba_d_state", 256),
    taps: ("mamba_d_conv", 4),
    chunk: ("mamba_chunk_size", 256),
    bias: "mamba_proj_bias",
    convolution_bias: "mamba_conv_bias",
    activation: "hidden_act",
    eps: ("rms_norm_eps", 1e-6),
};

/// The key of the number of experts, of which there may be none.
const EXPERTS: &str = "num_local_experts";

/// The feed-forward layer that every layer has.
const SHARED: &str = "shared_mlp";

/// What attends and what has a state space, as the library calls them and as published files do.
const NAMES: &[&[&str]] = &[&["full_attention", "attention"], &["linear_attention", "mamba"]];

/// The second of them.
const SPACE: usize = 1;

pub(super) fn build(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    // For training, and what the library does not ask for.
    keys.pass_over(&["output_router_logits", "router_aux_loss_coef", "init_method"]);
    keys.only("normalization_function", "rmsnorm")?;
    let bias = keys.flag_or("attention_bias", false)?;
    let hidden = keys.size_or("shared_intermediate_size", 1024)?;
    let layers = layers(keys)?;
    let rotation = match keys.text("position_embedding_type")? {
        Some("rope") if layers.contains(&0) => Rotation::Read,
        None | Some("nope") => Rotation::None,
        Some("rope") => {
            let why = "a layer with attention, since positions turn its heads";
            return Err(keys.unsupported(TYPES, why).into());
        }
        Some(_) => return Err(keys.unsupported("position_embedding_type", "rope, nope").into()),
    };
    if !layers.contains(&SPACE) {
        KEYS.pass_over(keys);
        keys.pass_over(&["mamba_d_head", "mamba_expand", "time_step_limit"]);
    }
    let (kinds, pattern) = used(&layers, &["l_full", "l_space"], |own| match own {
        SPACE => Ok(KindOf {
            rotation: Rotation::None,
            state_space: Some(sizes(keys)?),
            mixer: Some("mamba"),
            ..KindOf::default()
        }),
        _ => Ok(KindOf { rotation: rotation.clone(), ..KindOf::default() }),
    })?;
    let variant = Variant {
        family: "GraniteMoeHybrid",
        heads: &[CausalHead::Words, CausalHead::None],
        qkv_bias: bias,
        out_bias: bias,
        maps: Maps::GatedBy(["input_linear.gate", "output_linear", "input_linear.up"]),
        feed_forward: [SHARED, "shared_intermediate_size"],
        hidden: Some(hidden),
        kinds,
        pattern: Some(pattern),
        mixture: mixture(keys, hidden)?,
        joined: &[
            [
                "shared_mlp.input_linear.gate",
                "shared_mlp.input_linear.up",
                "shared_mlp.input_linear",
            ],
            [
                "block_sparse_moe.shared_mlp.input_linear.gate",
                "block_sparse_moe.shared_mlp.input_linear.up",
                "shared_mlp.input_linear",
            ],
        ],
        renamed: &[[
            "block_sparse_moe.shared_mlp.output_linear.weight",
            "shared_mlp.output_linear.weight",
        ]],
        word_scale: Some(Factor::Number(keys.positive_or("embedding_multiplier", 1.0)?)),
        score_scale: Some(keys.positive_or("attention_multiplier", 1.0)?),
        residual_scale: Some(keys.positive_or("residual_multiplier", 1.0)?),
        scores: WordScores {
            scale: Some(1.0 / keys.positive_or("logits_scaling", 1.0)?),
            soft_cap: None,
        },
        ..Variant::default()
    };
    decoder::build(keys, request, r, &variant)
}

/// Which layers attend, kind 0, and which have a state space, kind 1, as all do where no key says.
fn layers(keys: &Keys<'_>) -> Result<Vec<usize>, ConfigError> {
    let given = [TYPES, "layers_block_type"].map(|key| keys.get(key).is_some().then_some(key));
    match given {
        [Some(_), Some(other)] => {
            let why = "they are two names of the types of layers";
            Err(keys.contradiction(TYPES, other, why))
        }
        [Some(key), None] | [None, Some(key)] => kinds_by_names(keys, key, NAMES),
        [None, None] => kinds_of_layers(keys, |_| SPACE),
    }
}

/// The state space; the width of a head may be what the heads have of the inner width.
fn sizes(keys: &Keys<'_>) -> Result<SpaceSizes, ConfigError> {
    unlimited(keys)?;
    let (key, whole) = ("mamba_d_head", keys.size("hidden_size")?);
    let inner = whole.checked_mul(keys.size_or("mamba_expand", 2)?);
    KEYS.read(keys, |heads| {
        let auto = keys.get(key).is_none_or(|value| value == "auto");
        let width = match (auto, inner) {
            (true, Some(inner)) => inner / heads,
            _ => keys.size(key)?,
        };
        match heads.checked_mul(width) == inner {
            true => Ok(width),
            false => {
                let why = "the width times `mamba_expand` is that of all heads";
                Err(keys.contradiction("hidden_size", KEYS.heads.0, why))
            }
        }
    })
}

/// The experts, where there are some, beside the feed-forward layer.
fn mixture(keys: &Keys<'_>, hidden: u64) -> Result<Option<Mixture>, ConfigError> {
    if keys.whole_or(EXPERTS, 8)? == 0 {
        keys.pass_over(&["intermediate_size", CHOSEN]);
        return Ok(None);
    }
    Ok(Some(Mixture {
        scope: "block_sparse_moe",
        files: ExpertFiles::Joined(["input_linear", "output_linear", "router.layer"]),
        experts: [EXPERTS; 2],
        chosen: CHOSEN,
        hidden: "intermediate_size",
        routing: Routing::new(ExpertWeights::SoftmaxOfChosen),
        bias: false,
        clamped: None,
        shared: Some(CommonExpert { scope: SHARED, gate: None, hidden }),
        latent: None,
    }))
}
