//! Command R (Cohere 2024): attention and feed-forward side by side behind a LayerNorm without shift,
//! heads turn neighbours together, scores of words are scaled; and Command R7B, whose layers see a window
//! or do not turn their heads.

use opledger_ir::ops::RopePairs;
use opledger_nn::{NormConfig, Residual};

use super::causal::CausalHead;
use super::checks::head_width;
use super::decoder;
use super::layer_types::full_and_window;
use super::recorder::{Problem, Recorder};
use super::request::Request;
use super::stack::WordScores;
use super::variant::{KindOf, Rotation, Variant};
use crate::config::{ConfigError, Keys};

fn variant(keys: &Keys<'_>, family: &'static str, base: f64) -> Result<Variant, ConfigError> {
    let bias = keys.flag_or("attention_bias", false)?;
    Ok(Variant {
        family,
        heads: &[CausalHead::Words, CausalHead::None],
        qkv_bias: bias,
        out_bias: bias,
        norm: NormConfig { bias: false, ..NormConfig::layer() },
        epsilon: ("layer_norm_eps", 1e-5),
        residual: Residual::ParallelOneNorm,
        base,
        pairs: RopePairs::Neighbours,
        scores: WordScores {
            scale: Some(keys.positive_or("logit_scale", 0.0625)?),
            soft_cap: None,
        },
        tied: true,
        ..Variant::default()
    })
}

pub(super) fn cohere(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    keys.only("use_qk_norm", false)?;
    decoder::build(keys, request, r, &variant(keys, "Cohere", 5e5)?)
}

pub(super) fn cohere2(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    let every = keys.size_or("sliding_window_pattern", 4)?;
    let window = Some(keys.size_or("sliding_window", 4096)?);
    let (width, heads) = (keys.size("hidden_size")?, keys.size("num_attention_heads")?);
    head_width(keys, width, heads)?;
    let full = KindOf { rotation: Rotation::None, ..KindOf::default() };
    let (kinds, pattern) = full_and_window(keys, every, [full, KindOf::seeing(window)])?;
    let own = variant(keys, "Cohere2", super::rope::BASE)?;
    let variant = Variant { kinds, pattern: Some(pattern), ..own };
    decoder::build(keys, request, r, &variant)
}
