//! OPT (Zhang et al. 2022): learned positions from the third row of their table on, norms before the
//! sublayers, or of one model behind them, and rows of words narrower than layers. Named as in the `transformers` library.

use opledger_ir::ops::Activation;
use opledger_nn::{
    AttentionConfig, AttentionNames, FeedForwardConfig, FeedForwardNames, LayerConfig, LayerNames,
    NormConfig, Origin, Residual,
};

use super::causal::{CausalHead, Kept, causal_heads};
use super::checks::{head, multiple};
use super::pattern::LayerOrder;
use super::recorder::{Problem, Recorder};
use super::request::Request;
use super::stack::{CausalStack, Entering, Head, Kind, Positions};
use crate::config::{ConfigError, Keys};
use crate::model::PositionLimit;
use crate::names::Names;

/// Rows of the table of positions that stand before the first position.
const BEFORE: u64 = 2;

pub(super) fn build(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    let heads = [CausalHead::Words, CausalHead::None, CausalHead::TextClasses, CausalHead::Answer];
    let head = head(keys, &causal_heads("OPT", "ForCausalLM", &heads))?;
    let before = keys.flag_or("do_layer_norm_before", true)?;
    let removed = keys.flag_or("_remove_final_layer_norm", false)?;
    keys.only("layer_norm_elementwise_affine", true)?;
    keys.pass_over(&["pad_token_id", "layerdrop", "init_std"]);
    if request.attention_mask {
        let problem =
            "positions follow from the mask in this family, which is not supported: give \
                       texts one by one"
                .to_owned();
        return Err(ConfigError::Request { origin: keys.origin(), problem }.into());
    }
    let (width, heads) = (keys.size("hidden_size")?, keys.size("num_attention_heads")?);
    multiple(keys, ("hidden_size", width), ("num_attention_heads", heads))?;
    let words = keys.size_or("word_embed_proj_dim", width)?;
    if words != width && !matches!(head, CausalHead::Words | CausalHead::None) {
        // The library's map to classes is as wide as the words, that of answers too.
        let supported = format!("{width}, the width of the model");
        return Err(keys.unsupported("word_embed_proj_dim", supported).into());
    }
    let hidden = keys.size("ffn_dim")?;
    let (vocabulary, layers) = (keys.size("vocab_size")?, keys.times("num_hidden_layers")?);
    let positions = keys.size("max_position_embeddings")?;
    let key = "max_position_embeddings";
    r.positions = Some(PositionLimit { key, positions, tokens: positions, computed: false });
    let activation = keys.activation("activation_function", Activation::Relu)?;
    let bias = keys.flag_or("enable_bias", true)?;
    let tied = keys.flag_or("tie_word_embeddings", true)?;

    let (c, h) = (r.size("c", width), r.size("h", heads));
    let maps = ["project_in", "project_out"];
    let mapped = (words != width).then(|| (r.size("d", words), maps));
    let (v, ff) = (r.size("v", vocabulary), r.size("ff", hidden));
    let norm = NormConfig { eps: 1e-5, ..NormConfig::layer() };
    let config = LayerConfig {
        attention: AttentionConfig {
            bias,
            out_bias: bias,
            origin: Origin::Library,
            names: AttentionNames::new("q_proj", "k_proj", "v_proj", "out_proj"),
            ..AttentionConfig::new(c.clone(), h.clone())
        },
        feed_forward: FeedForwardConfig {
            activation,
            bias,
            names: FeedForwardNames::new("fc1", "fc2"),
            ..FeedForwardConfig::new(c.clone(), ff)
        },
        norm,
        residual: if before { Residual::PreNorm } else { Residual::PostNorm },
        names: LayerNames::encoder("self_attn", "", ["self_attn_layer_norm", "final_layer_norm"]),
        ..LayerConfig::new(c.clone(), h, 1)
    };

    // The first files leave the outermost scope out.
    r.names = Names::default().prefix("model.");
    let stack = CausalStack {
        scopes: [
            "model.decoder",
            "embed_tokens",
            "layers",
            if before && !removed { "final_layer_norm" } else { "" },
        ],
        vocabulary: v,
        kinds: vec![Kind { layer: config, reach: None }],
        pattern: LayerOrder::Uniform(layers),
        kept: Kept::heads("h".into(), "e".into()),
        entering: Entering {
            mapped,
            positions: Some(Positions { scope: "embed_positions", positions, before: BEFORE }),
            ..Entering::default()
        },
        linear_biases: false,
        head: Head::new(head, tied),
    };
    stack.record(keys, request, r)
}
