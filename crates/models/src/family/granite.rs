//! Granite 3 (IBM 2024): a Llama with multipliers of the words, the scores of attention, what sublayers
//! give, and the scores of words.

use opledger_ir::ops::Factor;

use super::causal::CausalHead;
use super::decoder;
use super::recorder::{Problem, Recorder};
use super::request::Request;
use super::stack::WordScores;
use super::variant::Variant;
use crate::config::Keys;

pub(super) fn build(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    let bias = keys.flag_or("attention_bias", false)?;
    let variant = Variant {
        family: "Granite",
        heads: &[CausalHead::Words, CausalHead::None],
        qkv_bias: bias,
        out_bias: bias,
        mlp_bias: keys.flag_or("mlp_bias", false)?,
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
