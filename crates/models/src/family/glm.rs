//! GLM-4 (Zeng et al. 2024): half of each head turns, neighbours together; and GLM-4-0414, with norms
//! before and after each sublayer.

use opledger_ir::ops::RopePairs;
use opledger_nn::Residual;

use super::causal::CausalHead;
use super::decoder;
use super::recorder::{Problem, Recorder};
use super::request::Request;
use super::variant::{Maps, Variant};
use crate::config::{ConfigError, Keys};

fn variant(keys: &Keys<'_>, family: &'static str) -> Result<Variant, ConfigError> {
    Ok(Variant {
        family,
        heads: CausalHead::NO_ANSWER,
        qkv_bias: keys.flag_or("attention_bias", true)?,
        maps: Maps::GatedJoined,
        epsilon: ("rms_norm_eps", 1.5625e-7),
        kv_heads: Some(2),
        head_dim: Some(128),
        turned: Some(0.5),
        pairs: RopePairs::Neighbours,
        ..Variant::default()
    })
}

pub(super) fn glm(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    decoder::build(keys, request, r, &variant(keys, "Glm")?)
}

pub(super) fn glm4(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    let variant = Variant {
        residual: Residual::Sandwich,
        norms: [
            "input_layernorm",
            "post_self_attn_layernorm",
            "post_attention_layernorm",
            "post_mlp_layernorm",
        ],
        ..variant(keys, "Glm4")?
    };
    decoder::build(keys, request, r, &variant)
}
