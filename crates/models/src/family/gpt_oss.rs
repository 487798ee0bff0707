//! gpt-oss (OpenAI 2025): a sink for each head, a window in every other layer, experts with biases whose
//! branches are kept within bounds. Named as in the `transformers` library.

use opledger_nn::{ClampedGate, ExpertWeights, RopeScaling, RotaryEmbedding, Routing};

use super::causal::{CausalHead, first_position};
use super::decoder;
use super::layer_types::full_and_window;
use super::recorder::{Problem, Recorder};
use super::request::Request;
use super::variant::{CHOSEN, EXPERTS, ExpertFiles, KindOf, Mixture, Rotation, Variant};
use crate::config::Keys;

/// The base of the frequencies, and their scaling where no key says it.
const BASE: f64 = 150_000.0;
const FACTOR: f64 = 32.0;
const CONTEXT: usize = 4096;

pub(super) fn build(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    keys.only("hidden_act", "silu")?;
    // Other names of what is read.
    keys.pass_over(&["experts_per_token", "initial_context_length"]);
    let bias = keys.flag_or("attention_bias", true)?;
    let said = ["rope_parameters", "rope_scaling"].into_iter().any(|key| keys.get(key).is_some());
    let rotation = if said { Rotation::Read } else { Rotation::Given(yarn(keys, request)?) };
    let window = Some(keys.size_or("sliding_window", 128)?);
    let full = KindOf { rotation: rotation.clone(), ..KindOf::default() };
    let local = KindOf { rotation, ..KindOf::seeing(window) };
    let (kinds, pattern) = full_and_window(keys, 2, [full, local])?;
    let variant = Variant {
        family: "GptOss",
        heads: CausalHead::NO_ANSWER,
        qkv_bias: bias,
        out_bias: bias,
        activation: (None, opledger_ir::ops::Activation::Silu),
        epsilon: ("rms_norm_eps", 1e-5),
        kv_heads: Some(8),
        head_dim: Some(64),
        base: BASE,
        sinks: true,
        kinds,
        pattern: Some(pattern),
        mixture: Some(Mixture {
            scope: "mlp",
            files: ExpertFiles::TakingTurns,
            hidden: "intermediate_size",
            experts: EXPERTS,
            chosen: CHOSEN,
            routing: Routing::new(ExpertWeights::SoftmaxOfChosen),
            bias: true,
            clamped: Some(ClampedGate {
                alpha: keys.positive_or("swiglu_alpha", 1.702)?,
                limit: keys.positive_or("swiglu_limit", 7.0)?,
            }),
            shared: None,
            latent: None,
        }),
        ..Variant::default()
    };
    decoder::build(keys, request, r, &variant)
}

/// The rotation where no key says how it is scaled.
fn yarn(keys: &Keys<'_>, request: &Request) -> Result<RotaryEmbedding, crate::config::ConfigError> {
    let scaling = RopeScaling::Yarn {
        factor: FACTOR,
        beta_fast: 32.0,
        beta_slow: 1.0,
        original_max_position_embeddings: CONTEXT,
        attention_factor: 0.1 * FACTOR.ln() + 1.0,
        truncate: false,
    };
    let theta = keys.positive_or("rope_theta", BASE)?;
    let offset = first_position(request);
    Ok(RotaryEmbedding { scaling, offset, ..RotaryEmbedding::new(theta) })
}
