//! Qwen 3-Next (Qwen 2025) and Qwen 3.5 (Qwen 2026): most layers have linear attention by a gated delta rule,
//! and the others attention whose result is gated, with norms of each head's queries and keys. Named as in the
//! `transformers` library.

use opledger_nn::{DeltaMaps, ExpertWeights, NormConfig, Routing};

use super::causal::CausalHead;
use super::decoder;
use super::delta;
use super::layer_types::{FULL, TYPES, kinds_by_type, kinds_of_layers, mixed};
use super::qwen::{mixture, without_experts};
use super::recorder::{Problem, Recorder};
use super::request::Request;
use super::variant::{CommonExpert, KindOf, Mixture, QkNorm, Rotation, Variant};
use crate::config::{ConfigError, Keys};

pub(super) fn qwen3_next(
    keys: &Keys<'_>,
    request: &Request,
    r: &mut Recorder,
) -> Result<(), Problem> {
    let dense = without_experts(keys)?;
    let chosen = match keys.flag_or("norm_topk_prob", true)? {
        true => ExpertWeights::ShareOfChosen,
        false => ExpertWeights::Share,
    };
    let variant = Variant {
        family: "Qwen3Next",
        heads: &[CausalHead::Words, CausalHead::None],
        kv_heads: Some(2),
        ..variant(keys, DeltaMaps::ByHeads, Some((&dense, chosen)))?
    };
    decoder::build(keys, request, r, &variant)
}

pub(super) fn qwen3_5(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    let variant = Variant {
        family: "Qwen3_5",
        also: &[("Qwen3_5TextModel", CausalHead::None)],
        kv_heads: Some(4),
        ..variant(keys, DeltaMaps::Apart, None)?
    };
    decoder::build(keys, request, r, &variant)
}

pub(super) fn qwen3_5_moe(
    keys: &Keys<'_>,
    request: &Request,
    r: &mut Recorder,
) -> Result<(), Problem> {
    // Every layer has experts, whatever published files say of those without.
    keys.pass_over(&["intermediate_size", "mlp_only_layers"]);
    let dense = kinds_of_layers(keys, |_| 0)?.iter().map(|kind| *kind == 1).collect::<Vec<_>>();
    let variant = Variant {
        family: "Qwen3_5Moe",
        also: &[("Qwen3_5MoeTextModel", CausalHead::None)],
        kv_heads: Some(2),
        ..variant(keys, DeltaMaps::Apart, Some((&dense, ExpertWeights::ShareOfChosen)))?
    };
    decoder::build(keys, request, r, &variant)
}

/// What all have in common; with experts, where layers have some, and which have none.
fn variant(
    keys: &Keys<'_>,
    maps: DeltaMaps,
    experts: Option<(&[bool], ExpertWeights)>,
) -> Result<Variant, ConfigError> {
    keys.only("attn_output_gate", true)?;
    // The type of states, of which the library makes the same choice.
    keys.only("mamba_ssm_dtype", "float32")?;
    // Of texts all three positions of a token are the same.
    for place in ["rope_parameters", "rope_scaling"] {
        if let Some(inner) = keys.inner(place)? {
            inner.pass_over(&["mrope_section", "mrope_interleaved"]);
        }
    }
    // Training, and layers that predict further tokens.
    keys.pass_over(&[
        "output_router_logits",
        "router_aux_loss_coef",
        "mtp_num_hidden_layers",
        "mtp_use_dedicated_embeddings",
    ]);
    let linear = KindOf {
        rotation: Rotation::None,
        delta: Some(delta::read(keys, maps)?),
        ..KindOf::default()
    };
    let mixers = linear_layers(keys)?;
    let dense = |layer: usize| experts.is_some_and(|(dense, _)| dense.get(layer) == Some(&true));
    let layers = mixers.iter().enumerate().map(|(layer, linear)| (*linear == 1, dense(layer)));
    let layers: Vec<(bool, bool)> = layers.collect();
    let kinds = [("l_full", KindOf::default()), ("l_linear", linear)];
    let (kinds, pattern) = mixed(&layers, &kinds);
    let bias = keys.flag_or("attention_bias", false)?;
    let mixture = match experts {
        Some((_, weights)) => {
            Some(Mixture { routing: Routing::new(weights), ..mixture(keys, Some(shared(keys)?))? })
        }
        None => None,
    };
    Ok(Variant {
        heads: &[CausalHead::Words],
        head_dim: Some(256),
        qkv_bias: bias,
        out_bias: bias,
        gated: true,
        qk_norm: Some(QkNorm::Head),
        norm: NormConfig { one_plus: true, ..NormConfig::rms() },
        turned: Some(0.25),
        kinds,
        pattern: Some(pattern),
        mixture,
        ignored: &["mtp"],
        ..Variant::default()
    })
}

/// The expert that every token meets.
fn shared(keys: &Keys<'_>) -> Result<CommonExpert, ConfigError> {
    Ok(CommonExpert {
        scope: "shared_expert",
        gate: Some("shared_expert_gate"),
        hidden: keys.size_or("shared_expert_intermediate_size", 512)?,
    })
}

/// Which layers have linear attention, kind 1: as `layer_types` says, or all but every so many.
fn linear_layers(keys: &Keys<'_>) -> Result<Vec<usize>, ConfigError> {
    let every = "full_attention_interval";
    let layers = match keys.get(TYPES) {
        Some(_) => {
            keys.pass_over(&[every]);
            kinds_by_type(keys, [FULL, "linear_attention"])?
        }
        None => {
            let every = keys.size_or(every, 4)?;
            kinds_of_layers(keys, |layer| usize::from(!(layer + 1).is_multiple_of(every)))?
        }
    };
    match !layers.is_empty() && !layers.contains(&0) {
        true => Err(keys.unsupported(TYPES, format!("{FULL} for one layer at least"))),
        false => Ok(layers),
    }
}
