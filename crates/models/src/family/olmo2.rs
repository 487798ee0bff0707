//! OLMo 2 (Walsh et al. 2024): norms of what sublayers give, and of all heads' queries and keys together.

use opledger_nn::Residual;

use super::causal::CausalHead;
use super::decoder;
use super::recorder::{Problem, Recorder};
use super::request::Request;
use super::variant::{QkNorm, Variant};
use crate::config::Keys;

pub(super) fn build(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    let bias = keys.flag_or("attention_bias", false)?;
    let variant = Variant {
        family: "Olmo2",
        heads: &[CausalHead::Words, CausalHead::None, CausalHead::TextClasses],
        qkv_bias: bias,
        out_bias: bias,
        epsilon: ("rms_norm_eps", 1e-5),
        residual: Residual::ReorderedNorm,
        norms: ["post_attention_layernorm", "post_feedforward_layernorm", "", ""],
        qk_norm: Some(QkNorm::Heads),
        ..Variant::default()
    };
    decoder::build(keys, request, r, &variant)
}
