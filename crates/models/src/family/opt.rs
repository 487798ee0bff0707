//! OPT (Zhang et al. 2022): learned positions from the third row of their table on, norms before the
//! sublayers. Named as in the `transformers` library.

use opledger_dims::Poly;
use opledger_ir::Axis;
use opledger_ir::ops::Activation;
use opledger_nn::{
    Attend, AttentionConfig, AttentionNames, Embedding, EncoderLayer, FeedForwardConfig,
    FeedForwardNames, LayerConfig, LayerNames, LearnedPositions, LmHead, Norm, NormConfig, Origin,
    Residual,
};

use super::causal::{
    CausalHead, causal_heads, causal_layers, causal_mask, causal_sizes, first_position, logits,
    text_classes,
};
use super::checks::{head, multiple};
use super::recorder::{Problem, Recorder};
use super::request::Request;
use super::tokens::token_ids;
use crate::config::{ConfigError, Keys};
use crate::model::PositionLimit;
use crate::names::Names;

/// Rows of the table of positions that stand before the first position.
const BEFORE: u64 = 2;

pub(super) fn build(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    let heads = causal_heads("OPT", "ForCausalLM");
    let known = heads.into_iter().filter(|(_, head)| *head != CausalHead::TokenClasses);
    let head = head(keys, &known.collect::<Vec<_>>())?;
    keys.only("do_layer_norm_before", true)?;
    keys.only("_remove_final_layer_norm", false)?;
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
    if keys.size_or("word_embed_proj_dim", width)? != width {
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

    let (c, h, l) = (r.size("c", width), r.size("h", heads), r.size("l", layers));
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
        residual: Residual::PreNorm,
        names: LayerNames::encoder("self_attn", "", ["self_attn_layer_norm", "final_layer_norm"]),
        ..LayerConfig::new(c.clone(), h, 1)
    };

    let g = &mut r.graph;
    let ids = token_ids(g, "input_ids", ["b", "n"], v.clone())?;
    causal_sizes(g, request);
    let mask = causal_mask(keys, g, request, None)?;
    let mut scope = g.scope("model.decoder");
    let m = &mut *scope;
    let words = Embedding::new(&mut m.scope("embed_tokens"), v.clone(), c.clone())?;
    let rows = positions + BEFORE;
    let table = LearnedPositions::new(&mut m.scope("embed_positions"), rows, c.clone())?;
    let table = table.starting_at(&first_position(request) + &Poly::from(BEFORE as i64));
    let layers = m.repeated("layers", l);
    let layer = EncoderLayer::new(&mut m.enter(&layers), &config)?;
    let norm = Norm::new(&mut m.scope("final_layer_norm"), ("c", &c), norm)?;
    let x = words.forward(m, ids)?;
    let x = table.forward(m, x)?;
    let axes = [Axis::from("h"), Axis::new("e", Poly::from("e"))];
    let x = causal_layers(m, request, (&layers, "self_attn", &axes), x, |g, x, past| {
        layer.forward_with(g, x, Attend { mask, past, ..Attend::default() })
    })?;
    let x = norm.forward(m, x)?;
    drop(scope);
    // The first files leave the outermost scope out.
    r.names = Names::default().prefix("model.");
    if tied {
        let words = "model.decoder.embed_tokens.weight";
        r.names = std::mem::take(&mut r.names).tie("lm_head.weight", words);
    }
    match head {
        CausalHead::None | CausalHead::TokenClasses => g.output("last_hidden_state", x),
        CausalHead::TextClasses => text_classes(keys, request, r, x)?,
        CausalHead::Words => {
            let head = match tied {
                true => LmHead::tied(&mut g.scope("lm_head"), &words),
                false => LmHead::new(&mut g.scope("lm_head"), c, v, false)?,
            };
            logits(g, request, x, |g, x| head.forward(g, x))?;
        }
    }
    Ok(())
}
