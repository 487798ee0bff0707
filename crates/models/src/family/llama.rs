//! Llama (Touvron et al. 2023; Grattafiori et al. 2024), and Mistral 7B (Jiang et al. 2023), which
//! adds a sliding window, and Mixtral (Jiang et al. 2024), which adds experts.

use super::decoder::{self, Variant};
use super::recorder::{Problem, Recorder};
use super::request::Request;
use crate::config::Keys;

pub(super) fn llama(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    let bias = keys.flag_or("attention_bias", false)?;
    let variant = Variant {
        classes: ["LlamaForCausalLM", "LlamaModel"],
        old_class: Some("LLaMAForCausalLM"),
        qkv_bias: bias,
        out_bias: bias,
        mlp_bias: keys.flag_or("mlp_bias", false)?,
        ..Variant::default()
    };
    decoder::build(keys, request, r, &variant)
}

pub(super) fn mistral(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    let variant = Variant {
        classes: ["MistralForCausalLM", "MistralModel"],
        window: keys.optional("sliding_window")?,
        ..Variant::default()
    };
    decoder::build(keys, request, r, &variant)
}

pub(super) fn mixtral(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    let variant = Variant {
        classes: ["MixtralForCausalLM", "MixtralModel"],
        window: keys.optional("sliding_window")?,
        mixture: Some("block_sparse_moe"),
        ..Variant::default()
    };
    decoder::build(keys, request, r, &variant)
}
