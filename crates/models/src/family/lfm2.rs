//! LFM2 (Liquid AI 2025): some layers attend, with norms of each head's queries and keys; the others have a
//! gated short convolution in its place; of the mixture, layers behind the first have experts in place of a
//! feed-forward layer. Named as in the `transformers` library.

use opledger_ir::ops::Activation;
use opledger_nn::{Divisor, ExpertWeights, RouterScores, Routing, ScoreCorrection};
use serde_json::Value;

use super::causal::CausalHead;
use super::decoder;
use super::layer_types::{FULL, TYPES, kinds_by_type, kinds_of_layers, mixed};
use super::pattern::LayerOrder;
use super::recorder::{Problem, Recorder};
use super::request::Request;
use super::variant::{
    CHOSEN, Convolved, ExpertFiles, KindOf, Maps, Mixture, Projections, QkNorm, Rotation, Variant,
};
use crate::config::{ConfigError, Keys};

/// What published configurations have beside what the library reads of them.
const WITHOUT_INFLUENCE: &[&str] = &[
    "block_dim",
    "block_mlp_init_scale",
    "block_norm_eps",
    "block_out_init_scale",
    "block_use_swiglu",
    "block_use_xavier_init",
    "conv_dim",
    "conv_dim_out",
    "conv_use_xavier_init",
    "num_heads",
    "use_pos_enc",
];

pub(super) fn lfm2(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    keys.pass_over(WITHOUT_INFLUENCE);
    let variant = Variant {
        family: "Lfm2",
        hidden: Some(hidden_width(keys)?),
        kinds: vec![KindOf::default(), convolution(keys)?],
        pattern: Some(LayerOrder::kinds(&["l_full", "l_conv"], layers(keys, kinds(keys)?)?)),
        ..variant(keys)?
    };
    decoder::build(keys, request, r, &variant)
}

pub(super) fn lfm2_moe(
    keys: &Keys<'_>,
    request: &Request,
    r: &mut Recorder,
) -> Result<(), Problem> {
    // For training, and what layers with experts alone have not.
    keys.pass_over(&["output_router_logits", "intermediate_size"]);
    let dense = keys.whole_or("num_dense_layers", 2)?;
    let convolves = layers(keys, kinds_by_type(keys, [FULL, "conv"])?)?;
    let traits = convolves.iter().zip(0..).map(|(conv, layer)| (*conv == 1, layer < dense));
    let (kinds, pattern) = mixed(
        &traits.collect::<Vec<_>>(),
        &[("l_full", KindOf::default()), ("l_conv", convolution(keys)?)],
    );
    let correction = match keys.flag_or("use_expert_bias", true)? {
        true => Some(ScoreCorrection { scope: String::new(), parameter: false }),
        false => None,
    };
    let weights = match keys.flag_or("norm_topk_prob", true)? {
        true => ExpertWeights::ShareOfChosen,
        false => ExpertWeights::Share,
    };
    let routing = Routing {
        scores: RouterScores::Sigmoid,
        correction,
        divisor: Divisor::SumPlus(1e-6),
        scale: Some(keys.positive_or("routed_scaling_factor", 1.0)?),
        ..Routing::new(weights)
    };
    let variant = Variant {
        family: "Lfm2Moe",
        kinds,
        pattern: Some(pattern),
        mixture: Some(Mixture {
            scope: "feed_forward",
            files: ExpertFiles::Apart(["w1", "w2", "w3"]),
            experts: ["num_experts"; 2],
            chosen: CHOSEN,
            hidden: "moe_intermediate_size",
            routing,
            bias: false,
            clamped: None,
            shared: None,
            latent: None,
        }),
        ..variant(keys)?
    };
    decoder::build(keys, request, r, &variant)
}

/// What both have in common.
fn variant(keys: &Keys<'_>) -> Result<Variant, ConfigError> {
    Ok(Variant {
        heads: &[CausalHead::Words, CausalHead::None],
        projections: Projections::Apart("out_proj"),
        maps: Maps::GatedBy(["w1", "w2", "w3"]),
        feed_forward: ["feed_forward", "intermediate_size"],
        activation: (None, Activation::Silu),
        epsilon: ("norm_eps", 1e-5),
        norms: ["operator_norm", "ffn_norm", "", ""],
        last_norm: "embedding_norm",
        qk_norm: Some(QkNorm::Head),
        renamed: &[
            ["self_attn.q_norm.weight", "self_attn.q_layernorm.weight"],
            ["self_attn.k_norm.weight", "self_attn.k_layernorm.weight"],
            ["feed_forward.e_score_correction_bias", "feed_forward.expert_bias"],
        ],
        kv_heads: Some(8),
        base: 1e6,
        tied: tied(keys)?,
        ..Variant::default()
    })
}

/// Layers with a gated short convolution in the place of attention.
fn convolution(keys: &Keys<'_>) -> Result<KindOf, ConfigError> {
    let taps = keys.size_or("conv_L_cache", 3)?;
    let taps = usize::try_from(taps).map_err(|_| keys.unsupported("conv_L_cache", "a window"))?;
    let convolved = Convolved { taps, bias: keys.flag_or("conv_bias", false)? };
    Ok(KindOf { rotation: Rotation::None, convolution: Some(convolved), ..KindOf::default() })
}

/// Whether the head is the table of words where `tie_word_embeddings` does not say; files of the first
/// models have another name for it.
fn tied(keys: &Keys<'_>) -> Result<bool, ConfigError> {
    let (other, own) = ("tie_embedding", "tie_word_embeddings");
    let tied = keys.flag_or(other, true)?;
    match keys.get(other).is_some() && keys.flag_or(own, tied)? != tied {
        true => Err(keys.contradiction(other, own, "they are two names of one flag")),
        false => Ok(tied),
    }
}

/// The width of the feed-forward layer: two thirds of what the key says, times a factor, up to a multiple;
/// or, where it is not to be adjusted, as the key says.
fn hidden_width(keys: &Keys<'_>) -> Result<u64, ConfigError> {
    let (own, factor, multiple) = ("block_ff_dim", "block_ffn_dim_multiplier", "block_multiple_of");
    let width = match keys.optional(own)? {
        // The one that counts where both are given.
        Some(width) => {
            keys.pass_over(&["intermediate_size"]);
            width
        }
        None => keys.size("intermediate_size")?,
    };
    if !keys.flag_or("block_auto_adjust_ff_dim", true)? {
        keys.pass_over(&[factor, multiple]);
        return Ok(width);
    }
    let width = 2 * width / 3;
    let width = match keys.positive_unless_null(factor, Some(1.0))? {
        Some(factor) => {
            ((factor * width as f64) as u64).next_multiple_of(keys.size_or(multiple, 256)?)
        }
        None => {
            keys.pass_over(&[multiple]);
            width
        }
    };
    match width {
        0 => Err(keys.unsupported(own, "a width of which something is left when it is adjusted")),
        width => Ok(width),
    }
}

/// Which layers attend, kind 0, and which convolve, kind 1. A model without attention still makes the table
/// of angles, for nothing; no published one is such.
fn layers(keys: &Keys<'_>, layers: Vec<usize>) -> Result<Vec<usize>, ConfigError> {
    match !layers.is_empty() && !layers.contains(&0) {
        true => Err(keys.unsupported(TYPES, format!("{FULL} for one layer at least"))),
        false => Ok(layers),
    }
}

/// A type for each layer, or the numbers of those that attend, which all do where no key says.
fn kinds(keys: &Keys<'_>) -> Result<Vec<usize>, ConfigError> {
    let key = "full_attn_idxs";
    if keys.get(TYPES).is_some() {
        keys.pass_over(&[key]);
        return kinds_by_type(keys, [FULL, "conv"]);
    }
    let attending = match keys.get(key) {
        None => return kinds_of_layers(keys, |_| 0),
        Some(Value::Array(numbers)) if numbers.iter().all(Value::is_u64) => numbers,
        Some(_) => return Err(keys.unsupported(key, "numbers of layers")),
    };
    kinds_of_layers(keys, |layer| usize::from(!attending.contains(&layer.into())))
}
