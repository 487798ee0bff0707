//! Llama (Touvron et al. 2023; Grattafiori et al. 2024) and decoders that differ from it by little:
//! Mistral 7B (Jiang et al. 2023), which adds a sliding window, Mixtral (Jiang et al. 2024), which adds
//! experts, Phi, StarCoder 2.

use opledger_ir::ops::Activation;
use opledger_nn::{ExpertWeights, NormConfig, Residual, Routing};

use super::causal::CausalHead;
use super::decoder;
use super::recorder::{Problem, Recorder};
use super::request::Request;
use super::variant::{CHOSEN, EXPERTS, ExpertFiles, KindOf, Maps, Mixture, Projections, Variant};
use crate::config::{ConfigError, Keys};

/// Layers whose queries see as many tokens as `sliding_window` says; where it is missing, the family's.
fn windows(keys: &Keys<'_>, missing: Option<u64>) -> Result<Vec<KindOf>, ConfigError> {
    Ok(vec![KindOf::seeing(keys.size_unless_null("sliding_window", missing)?)])
}

pub(super) fn llama(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    let bias = keys.flag_or("attention_bias", false)?;
    let variant = Variant {
        family: "Llama",
        // What the class was called in the first files.
        also: &[("LLaMAForCausalLM", CausalHead::Words)],
        answer_scope: "transformer",
        qkv_bias: bias,
        out_bias: bias,
        mlp_bias: keys.flag_or("mlp_bias", false)?,
        ..Variant::default()
    };
    decoder::build(keys, request, r, &variant)
}

pub(super) fn mistral(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    let variant = Variant {
        family: "Mistral",
        kv_heads: Some(8),
        kinds: windows(keys, Some(4096))?,
        ..Variant::default()
    };
    decoder::build(keys, request, r, &variant)
}

pub(super) fn mixtral(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    let variant = Variant {
        family: "Mixtral",
        kv_heads: Some(8),
        kinds: windows(keys, None)?,
        mixture: Some(Mixture {
            scope: "block_sparse_moe",
            files: ExpertFiles::Apart(["w1", "w2", "w3"]),
            hidden: "intermediate_size",
            experts: EXPERTS,
            chosen: CHOSEN,
            routing: Routing::new(ExpertWeights::ShareOfChosen),
            bias: false,
            clamped: None,
            shared: None,
            latent: None,
        }),
        ..Variant::default()
    };
    decoder::build(keys, request, r, &variant)
}

/// Phi 3 and Phi 4 mini (Abdin et al. 2024): a Llama whose maps of one operand are stored as one.
pub(super) fn phi3(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    let variant = Variant {
        family: "Phi3",
        heads: CausalHead::NO_ANSWER,
        kinds: windows(keys, None)?,
        projections: Projections::Joined,
        maps: Maps::GatedJoined,
        turned: Some(1.0),
        ..Variant::default()
    };
    // Read where the rotation is scaled, which only its long form does.
    keys.pass_over(&["original_max_position_embeddings"]);
    decoder::build(keys, request, r, &variant)
}

/// StarCoder 2 (Lozhkov et al. 2024): LayerNorms, biases, and no gate.
pub(super) fn starcoder2(
    keys: &Keys<'_>,
    request: &Request,
    r: &mut Recorder,
) -> Result<(), Problem> {
    let bias = keys.flag_or("use_bias", true)?;
    let variant = Variant {
        family: "Starcoder2",
        kv_heads: Some(2),
        heads: CausalHead::NO_ANSWER,
        qkv_bias: bias,
        out_bias: bias,
        mlp_bias: bias,
        kinds: windows(keys, None)?,
        tied: true,
        maps: Maps::Plain(["c_fc", "c_proj"]),
        activation: (Some("hidden_act"), Activation::GeluTanh),
        norm: NormConfig::layer(),
        epsilon: ("norm_epsilon", 1e-5),
        ..Variant::default()
    };
    keys.pass_over(&["residual_dropout", "embedding_dropout"]);
    decoder::build(keys, request, r, &variant)
}

/// Phi 1, 1.5 and 2 (Gunasekar et al. 2023; Li et al. 2023): attention and feed-forward side by side
/// after one LayerNorm, rotation of a part of each head, biases everywhere.
pub(super) fn phi(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    keys.only("qk_layernorm", false)?;
    let variant = Variant {
        family: "Phi",
        heads: CausalHead::NO_ANSWER,
        qkv_bias: true,
        out_bias: true,
        mlp_bias: true,
        head_bias: true,
        projections: Projections::Apart("dense"),
        maps: Maps::Plain(["fc1", "fc2"]),
        activation: (Some("hidden_act"), Activation::GeluTanh),
        norm: NormConfig::layer(),
        epsilon: ("layer_norm_eps", 1e-5),
        residual: Residual::ParallelOneNorm,
        norms: ["input_layernorm", "", "", ""],
        last_norm: "final_layernorm",
        turned: Some(0.5),
        ..Variant::default()
    };
    decoder::build(keys, request, r, &variant)
}
