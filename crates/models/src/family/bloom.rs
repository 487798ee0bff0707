//! BLOOM (Le Scao et al. 2022): linear biases of scores by position, a norm of the words, one map for
//! queries, keys and values, head by head. Named as in the `transformers` library.

use opledger_ir::ops::Activation;
use opledger_nn::{
    AttentionConfig, AttentionNames, FeedForwardConfig, FeedForwardNames, LayerConfig, LayerNames,
    NormConfig, Origin, Residual,
};

use super::causal::{CausalHead, Kept, causal_heads};
use super::checks::{either_size, head, multiple};
use super::pattern::LayerOrder;
use super::recorder::{Problem, Recorder};
use super::request::Request;
use super::stack::{CausalStack, Entering, Head, Kind};
use crate::config::{ConfigError, Keys};
use crate::names::{Names, fused_heads};

pub(super) fn build(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    let of = head(keys, &causal_heads("Bloom", "ForCausalLM", CausalHead::ALL))?;
    keys.only("apply_residual_connection_post_layernorm", false)?;
    // Sums in another order, and what the first code was told.
    keys.pass_over(&[
        "slow_but_exact",
        "attention_softmax_in_fp32",
        "bias_dropout_fusion",
        "masked_softmax_fusion",
        "n_inner",
        "offset_alibi",
        "seq_length",
        "skip_bias_add",
        "skip_bias_add_qkv",
        "unk_token_id",
        "pad_token_id",
    ]);
    if request.attention_mask {
        let problem =
            "the biases follow from the mask in this family, which is not supported: give \
                       texts one by one"
                .to_owned();
        return Err(ConfigError::Request { origin: keys.origin(), problem }.into());
    }
    let width = either_size(keys, ["hidden_size", "n_embed"])?;
    let heads = either_size(keys, ["n_head", "num_attention_heads"])?;
    if width % heads != 0 {
        multiple(keys, ("hidden_size", width), ("n_head", heads))?;
    }
    let layers = either_size(keys, ["n_layer", "num_hidden_layers"])?;
    let vocabulary = keys.size("vocab_size")?;
    let eps = keys.epsilon_or("layer_norm_epsilon", 1e-5)?;
    let tied = keys.flag_or("tie_word_embeddings", true)?;

    let (c, h) = (r.size("c", width), r.size("h", heads));
    let (vocabulary, ff) = (r.size("v", vocabulary), r.size("ff", 4 * width));
    let layer = LayerConfig {
        attention: AttentionConfig {
            origin: Origin::Library,
            names: AttentionNames::fused("query_key_value", "dense"),
            ..AttentionConfig::new(c.clone(), h.clone())
        },
        feed_forward: FeedForwardConfig {
            activation: Activation::GeluTanh,
            names: FeedForwardNames::new("dense_h_to_4h", "dense_4h_to_h"),
            ..FeedForwardConfig::new(c.clone(), ff)
        },
        norm: NormConfig { eps, ..NormConfig::layer() },
        residual: Residual::PreNorm,
        names: LayerNames::encoder(
            "self_attention",
            "mlp",
            ["input_layernorm", "post_attention_layernorm"],
        ),
        ..LayerConfig::new(c, h, 1)
    };
    r.names = fused_heads(
        Names::default().prefix("transformer."),
        "transformer.h.*.self_attention.query_key_value",
    );
    let stack = CausalStack {
        scopes: ["transformer", "word_embeddings", "h", "ln_f"],
        vocabulary,
        kinds: vec![Kind { layer, reach: None }],
        pattern: LayerOrder::Uniform(layers),
        kept: Kept::heads("h".into(), "e".into()),
        entering: Entering { norm: Some("word_embeddings_layernorm"), ..Entering::default() },
        linear_biases: true,
        head: Head::new(of, tied),
    };
    stack.record(keys, request, r)
}
