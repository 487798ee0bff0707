//! Gemma (Mesnard et al. 2024): norms whose gain is one more than their parameter, words times √c; Gemma 2
//! (Riviere et al. 2024), with soft caps, a norm on either side of each sublayer and a window in every
//! other layer; Gemma 3 (Kamath et al. 2025), with norms of queries and keys, one layer of six that sees
//! all, and a base of the rotation for each kind.

use opledger_ir::ops::{Activation, Factor};
use opledger_nn::{NormConfig, Residual};

use super::causal::{CausalHead, first_position};
use super::decoder;
use super::layer_types::full_and_window;
use super::recorder::{Problem, Recorder};
use super::request::Request;
use super::rope::rope_by_kind;
use super::stack::WordScores;
use super::variant::{KindOf, QkNorm, Rotation, Variant};
use crate::config::{ConfigError, Keys};

/// What the three have in common.
fn variant(keys: &Keys<'_>, family: &'static str) -> Result<Variant, ConfigError> {
    keys.only("use_bidirectional_attention", false)?;
    let bias = keys.flag_or("attention_bias", false)?;
    Ok(Variant {
        family,
        heads: CausalHead::NO_ANSWER,
        qkv_bias: bias,
        out_bias: bias,
        activation: (Some("hidden_activation"), Activation::GeluTanh),
        norm: NormConfig { one_plus: true, ..NormConfig::rms() },
        head_dim: Some(256),
        word_scale: Some(Factor::Sqrt("c".into())),
        tied: true,
        ..Variant::default()
    })
}

/// The same with what Gemma 2 and 3 have in common; the caps of attention's scores and of words' where no
/// key says.
fn second(
    keys: &Keys<'_>,
    family: &'static str,
    [attention, words]: [Option<f64>; 2],
) -> Result<Variant, ConfigError> {
    // The function stands under the other key.
    keys.pass_over(&["hidden_act"]);
    Ok(Variant {
        residual: Residual::Sandwich,
        norms: [
            "input_layernorm",
            "post_attention_layernorm",
            "pre_feedforward_layernorm",
            "post_feedforward_layernorm",
        ],
        kv_heads: Some(4),
        score_scale: Some(keys.positive_or("query_pre_attn_scalar", 256.0)?.powf(-0.5)),
        score_cap: keys.positive_unless_null("attn_logit_softcapping", attention)?,
        scores: WordScores {
            scale: None,
            soft_cap: keys.positive_unless_null("final_logit_softcapping", words)?,
        },
        ..variant(keys, family)?
    })
}

pub(super) fn gemma(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    // The library takes the exact function of the first files for the approximation, and leaves the other
    // key aside.
    keys.pass_over(&["hidden_activation"]);
    let is_exact = keys.text("hidden_act")? == Some("gelu");
    let key = (!is_exact).then_some("hidden_act");
    let own = variant(keys, "Gemma")?;
    let variant = Variant { kv_heads: Some(16), activation: (key, Activation::GeluTanh), ..own };
    decoder::build(keys, request, r, &variant)
}

pub(super) fn gemma2(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    let window = Some(keys.size_or("sliding_window", 4096)?);
    let (kinds, pattern) = full_and_window(keys, 2, [KindOf::default(), KindOf::seeing(window)])?;
    let own = second(keys, "Gemma2", [Some(50.0), Some(30.0)])?;
    decoder::build(keys, request, r, &Variant { kinds, pattern: Some(pattern), ..own })
}

pub(super) fn gemma3(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    let window = Some(keys.size_or("sliding_window", 4096)?);
    let every = keys.size_or("sliding_window_pattern", 6)?;
    let [full, local] = rope_by_kind(keys, &first_position(request))?.map(Rotation::Given);
    let full = KindOf { rotation: full, ..KindOf::default() };
    let local = KindOf { rotation: local, ..KindOf::seeing(window) };
    let (kinds, pattern) = full_and_window(keys, every, [full, local])?;
    let own = second(keys, "Gemma3", [None, None])?;
    // The library has no cap on the scores of attention here, whatever the key says, writes the pattern
    // out beside the layers' types, and knows the keys of models with images.
    keys.pass_over(&[
        "_sliding_window_pattern",
        "image_token_id",
        "mm_tokens_per_image",
        "text_config",
        "vision_config",
    ]);
    let variant = Variant {
        heads: &[CausalHead::Words],
        also: &[
            ("Gemma3TextModel", CausalHead::None),
            ("Gemma3TextForSequenceClassification", CausalHead::TextClasses),
        ],
        qk_norm: Some(QkNorm::Head),
        score_cap: None,
        kinds,
        pattern: Some(pattern),
        ..own
    };
    decoder::build(keys, request, r, &variant)
}
