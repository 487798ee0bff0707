//! GPT-J (Wang, Komatsuzaki 2021): attention and feed-forward side by side behind one LayerNorm, the first
//! elements of each head turn, neighbours together. Named as in the `transformers` library.

use opledger_ir::ops::{Activation, RopePairs};
use opledger_nn::{
    AttentionConfig, AttentionNames, FeedForwardConfig, FeedForwardNames, LayerConfig, LayerNames,
    NormConfig, Origin, Residual, RotaryEmbedding,
};

use super::causal::{CausalHead, Kept, causal_heads, first_position};
use super::checks::{classes, head, multiple, same};
use super::pattern::LayerOrder;
use super::recorder::{Problem, Recorder};
use super::request::Request;
use super::rope::BASE;
use super::stack::{CausalStack, Entering, Head, Kind};
use crate::config::Keys;
use crate::model::PositionLimit;
use crate::names::Names;

pub(super) fn build(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    let heads = [CausalHead::Words, CausalHead::None, CausalHead::TextClasses, CausalHead::Answer];
    let of = head(keys, &causal_heads("GPTJ", "ForCausalLM", &heads))?;
    // The map of answers has a place for each class.
    if of == CausalHead::Answer && classes(keys)? != 2 {
        return Err(keys.unsupported("num_labels", "2, where an answer begins and ends").into());
    }
    keys.only("rotary", true)?;
    keys.only("scale_attn_weights", true)?;
    keys.only("tie_word_embeddings", false)?;
    keys.pass_over(&[
        "n_ctx",
        "summary_activation",
        "summary_first_dropout",
        "summary_proj_to_labels",
        "summary_type",
        "summary_use_proj",
        "pad_token_id",
    ]);
    same(
        keys,
        &[
            ("hidden_size", "n_embd"),
            ("max_position_embeddings", "n_positions"),
            ("num_attention_heads", "n_head"),
            ("num_hidden_layers", "n_layer"),
        ],
    )?;
    let (width, heads) = (keys.size("n_embd")?, keys.size("n_head")?);
    multiple(keys, ("n_embd", width), ("n_head", heads))?;
    let (hidden, turned) = (keys.size_or("n_inner", 4 * width)?, keys.size_or("rotary_dim", 64)?);
    if turned % 2 == 1 || turned > width / heads {
        let supported = format!("an even number of the {} elements of a head", width / heads);
        return Err(keys.unsupported_or("rotary_dim", 64.0, supported).into());
    }
    let (vocabulary, layers) = (keys.size("vocab_size")?, keys.times("n_layer")?);
    let positions = keys.size("n_positions")?;
    r.positions =
        Some(PositionLimit { key: "n_positions", positions, tokens: positions, computed: false });
    let activation = keys.activation("activation_function", Activation::GeluTanh)?;
    let eps = keys.epsilon_or("layer_norm_epsilon", 1e-5)?;

    let (c, h) = (r.size("c", width), r.size("h", heads));
    let (vocabulary, ff) = (r.size("v", vocabulary), r.size("ff", hidden));
    let rope = RotaryEmbedding {
        pairs: RopePairs::Neighbours,
        offset: first_position(request),
        rotated: (turned < width / heads).then(|| r.size("rot", turned)),
        ..RotaryEmbedding::new(BASE)
    };
    let layer = LayerConfig {
        attention: AttentionConfig {
            bias: false,
            out_bias: false,
            rope: Some(rope),
            origin: Origin::Library,
            names: AttentionNames::new("q_proj", "k_proj", "v_proj", "out_proj"),
            ..AttentionConfig::new(c.clone(), h.clone())
        },
        feed_forward: FeedForwardConfig {
            activation,
            names: FeedForwardNames::new("fc_in", "fc_out"),
            ..FeedForwardConfig::new(c.clone(), ff)
        },
        norm: NormConfig { eps, ..NormConfig::layer() },
        residual: Residual::ParallelOneNorm,
        names: LayerNames::encoder("attn", "mlp", ["ln_1", ""]),
        ..LayerConfig::new(c, h, 1)
    };
    // The first files have the causal masks as tensors.
    r.names = Names::default()
        .prefix("transformer.")
        .ignore("transformer.h.*.attn.bias")
        .ignore("transformer.h.*.attn.masked_bias");
    let stack = CausalStack {
        scopes: ["transformer", "wte", "h", "ln_f"],
        vocabulary,
        kinds: vec![Kind { layer, reach: None }],
        pattern: LayerOrder::Uniform(layers),
        kept: Kept::heads("h".into(), "e".into()),
        entering: Entering::default(),
        linear_biases: false,
        head: Head { bias: true, ..Head::new(of, false) },
    };
    stack.record(keys, request, r)
}
