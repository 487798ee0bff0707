//! Mamba-2 (Dao and Gu 2024): layers of a norm and a state space. Named as in the `transformers` library.

use opledger_nn::{
    AttentionConfig, LayerConfig, LayerNames, NormConfig, Origin, Residual, Sublayers,
};

use super::causal::{CausalHead, Kept};
use super::checks::head;
use super::pattern::LayerOrder;
use super::recorder::{Problem, Recorder};
use super::request::Request;
use super::stack::{CausalStack, Entering, Head, Kind};
use super::state_space::{self, SpaceKeys, unlimited};
use crate::config::Keys;
use crate::names::Names;

/// What all layers are, how parameters begin, and the precision in which residuals are added.
const WITHOUT_INFLUENCE: &[&str] = &[
    "layer_types",
    "pad_token_id",
    "residual_in_fp32",
    "rescale_prenorm_residual",
    "time_step_floor",
    "time_step_max",
    "time_step_min",
    "time_step_rank",
];

const KEYS: SpaceKeys = SpaceKeys {
    heads: ("num_heads", 128),
    groups: ("n_groups", 8),
    state: ("state_size", 128),
    taps: ("conv_kernel", 4),
    chunk: ("chunk_size", 256),
    bias: "use_bias",
    convolution_bias: "use_conv_bias",
    activation: "hidden_act",
    eps: ("layer_norm_epsilon", 1e-5),
};

pub(super) fn build(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    keys.pass_over(WITHOUT_INFLUENCE);
    // Of earlier versions, which had no other values either.
    keys.only("rms_norm", true)?;
    keys.only("norm_before_gate", false)?;
    let heads = [("Mamba2ForCausalLM", CausalHead::Words), ("Mamba2Model", CausalHead::None)];
    let head = head(keys, &heads)?;
    let width = keys.size("hidden_size")?;
    unlimited(keys)?;
    let sizes = KEYS.read(keys, |_| keys.size_or("head_dim", 64))?;
    if width * keys.size_or("expand", 2)? != sizes.heads * sizes.head_dim {
        let why = "the width times `expand` is that of all heads";
        return Err(keys.contradiction("hidden_size", "num_heads", why).into());
    }
    let (v, layers) = (keys.size("vocab_size")?, keys.times("num_hidden_layers")?);
    let tied = keys.flag_or("tie_word_embeddings", false)?;
    let (c, vocabulary) = (r.size("c", width), r.size("v", v));
    let layer = LayerConfig {
        attention: AttentionConfig { origin: Origin::Library, ..AttentionConfig::new(&c, 1) },
        state_space: Some(state_space::config(r, &sizes)),
        sublayers: Sublayers::Mixing,
        norm: NormConfig { eps: sizes.eps, ..NormConfig::rms() },
        residual: Residual::PreNorm,
        names: LayerNames::encoder("mixer", "", ["norm", ""]),
        ..LayerConfig::new(&c, 1, 1)
    };
    r.names = Names::default().prefix("backbone.");
    let stack = CausalStack {
        scopes: ["backbone", "embeddings", "layers", "norm_f"],
        vocabulary,
        kinds: vec![Kind { layer, reach: None }],
        pattern: LayerOrder::Uniform(layers),
        kept: Kept::heads("h".into(), "e".into()),
        entering: Entering::default(),
        linear_biases: false,
        head: Head::new(head, tied),
    };
    stack.record(keys, request, r)
}
