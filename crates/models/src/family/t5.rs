//! T5 (Raffel et al. 2020; version 1.1: Shazeer 2020, table 1): an encoder and a decoder with RMSNorm
//! before the sublayers, a learned bias by relative position, and scores that are not scaled. Named as
//! in the `transformers` library. mT5 (Xue et al. 2021) is T5 of version 1.1 by other keys.

use opledger_dims::Poly;
use opledger_ir::ops::{Activation, Factor};
use opledger_ir::{Axis, Graph, Mask, SizeRole, Var};
use opledger_nn::{
    Attend, AttentionConfig, AttentionNames, DecoderLayer, Embedding, EncoderLayer,
    FeedForwardConfig, FeedForwardNames, LayerConfig, LayerNames, LmHead, Norm, NormConfig, Origin,
    Residual,
};

use super::causal::{Kept, cached, causal_sizes, first_position, logits};
use super::checks::{classes, head, no_past, same};
use super::heads::{answer, answer_classes, classifier, dropped};
use super::pairs::{First, attended, moved_on, source_heads, text_classes, unpadded};
use super::recorder::{Problem, Recorder};
use super::relative::Buckets;
use super::request::Request;
use super::tokens::token_ids;
use crate::config::{ConfigError, Keys};
use crate::names::Names;

/// Which parts a class has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// Both stacks and a score for each word.
    Scores,
    /// Both stacks.
    Stacks,
    /// The encoder.
    Encoder,
    /// Both stacks, given the same text, and its classes.
    TextClasses,
    /// The encoder, and classes of each token.
    TokenClasses,
    /// Both stacks, given the same text, and where the answer to a question begins and ends in it.
    Answer,
}

/// What the families differ in.
struct Variant {
    /// The classes; the first is that of a configuration that names none.
    classes: &'static [(&'static str, Class)],
    /// The function between the maps of a feed-forward layer, where no key says.
    feed_forward: &'static str,
    /// Whether a head that is the table of words takes smaller values, unless a key says otherwise.
    scales: bool,
}

const T5: Variant = Variant {
    classes: &[
        ("T5ForConditionalGeneration", Class::Scores),
        ("T5Model", Class::Stacks),
        ("T5EncoderModel", Class::Encoder),
        ("T5ForSequenceClassification", Class::TextClasses),
        ("T5ForTokenClassification", Class::TokenClasses),
        ("T5ForQuestionAnswering", Class::Answer),
        // What the first was called when the first checkpoints were published.
        ("T5WithLMHeadModel", Class::Scores),
    ],
    feed_forward: "relu",
    scales: true,
};

const MT5: Variant = Variant {
    classes: &[
        ("MT5ForConditionalGeneration", Class::Scores),
        ("MT5Model", Class::Stacks),
        ("MT5EncoderModel", Class::Encoder),
        ("MT5ForSequenceClassification", Class::TextClasses),
        ("MT5ForTokenClassification", Class::TokenClasses),
        ("MT5ForQuestionAnswering", Class::Answer),
    ],
    feed_forward: "gated-gelu",
    scales: false,
};

/// A decoder layer's attention to the encoder's result.
const CROSS: &str = "layer.1.EncDecAttention";

/// The table of relative positions, which the first layer of a stack has for all.
const TABLE: &str = "block.0.layer.0.SelfAttention.relative_attention_bias";

pub(super) fn t5(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    build(keys, request, r, &T5)
}

pub(super) fn mt5(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    build(keys, request, r, &MT5)
}

fn build(
    keys: &Keys<'_>,
    request: &Request,
    r: &mut Recorder,
    variant: &Variant,
) -> Result<(), Problem> {
    let class = head(keys, variant.classes)?;
    match class {
        Class::Scores | Class::Stacks => {}
        Class::Encoder | Class::TextClasses | Class::TokenClasses | Class::Answer => {
            no_past(keys, request)?;
        }
    }
    // What `feed_forward_proj` says in other words, and what says how to train or generate.
    keys.pass_over(&["dense_act_fn", "is_gated_act", "n_positions", "pad_token_id", "output_past"]);
    keys.only("is_decoder", false)?;
    if !keys.is_causal()? {
        return Err(keys.unsupported("is_causal", "true").into());
    }
    keys.pass_over(&["is_encoder_decoder", "use_decoder_only_language_modeling"]);
    same(
        keys,
        &[
            ("hidden_size", "d_model"),
            ("num_attention_heads", "num_heads"),
            ("num_hidden_layers", "num_layers"),
            ("head_dim", "d_kv"),
        ],
    )?;
    // With the table of words as its map, the head of version 1 takes smaller values.
    let first = keys.flag_or("tie_word_embeddings", true)?;
    let scaled = variant.scales && keys.flag_or("scale_decoder_outputs", first)?;
    let tied = !keys.head_apart;
    let (activation, gated) = feed_forward(keys, variant.feed_forward)?;
    let eps = keys.epsilon_or("layer_norm_epsilon", 1e-6)?;
    let (width, heads) = (keys.size("d_model")?, keys.size("num_heads")?);
    let (head_dim, hidden) = (keys.size("d_kv")?, keys.size("d_ff")?);
    let layers = keys.times("num_layers")?;
    let decoder_layers = keys.whole_or("num_decoder_layers", layers)?;
    let vocabulary = keys.size("vocab_size")?;
    let (c, h, e) = (r.size("c", width), r.size("h", heads), r.size("e", head_dim));
    if head_dim * heads == width {
        let factors = ["h".into(), "e".into()];
        r.graph.define(opledger_ir::Definition::Product { whole: "c".into(), factors });
    }
    let (v, ff, l) = (r.size("v", vocabulary), r.size("ff", hidden), r.size("l", layers));
    let buckets = Buckets::read(keys, h.clone())?;
    let k = match class {
        Class::TextClasses => {
            unpadded(keys, request, "the class of a text is read off the token that ends it")?;
            r.size("k", classes(keys)?)
        }
        Class::TokenClasses => r.size("k", classes(keys)?),
        Class::Answer => answer_classes(keys)?,
        Class::Scores | Class::Stacks | Class::Encoder => Poly::one(),
    };
    let start = keys.whole_or("decoder_start_token_id", 0)?;
    let norm = NormConfig { eps, ..NormConfig::rms() };
    let config = |names| LayerConfig {
        attention: AttentionConfig {
            head_dim: Some(e.clone()),
            bias: false,
            out_bias: false,
            scaled: false,
            origin: Origin::Library,
            names: AttentionNames::new("q", "k", "v", "o"),
            ..AttentionConfig::new(c.clone(), h.clone())
        },
        feed_forward: FeedForwardConfig {
            activation,
            gated,
            bias: false,
            names: match gated {
                true => FeedForwardNames::gated("wi_0", "wo", "wi_1"),
                false => FeedForwardNames::new("wi", "wo"),
            },
            ..FeedForwardConfig::new(c.clone(), ff.clone())
        },
        norm,
        residual: Residual::PreNorm,
        memory_heads: request.past,
        names,
        ..LayerConfig::new(c.clone(), h.clone(), 1)
    };

    r.names = names();
    let g = &mut r.graph;
    // One text alone has its tokens in `n`, whichever stacks it is given to.
    let (source, role) = match class {
        Class::Encoder | Class::TextClasses | Class::TokenClasses | Class::Answer => {
            ("n", SizeRole::Tokens)
        }
        Class::Scores | Class::Stacks => ("m", SizeRole::Memory),
    };
    let ids = match request.past {
        true => None,
        false => Some(token_ids(g, "input_ids", ["b", source], v.clone())?),
    };
    g.size_role(SizeRole::Batch, "b");
    g.size_role(role, source);
    let keep = match request.attention_mask {
        true => Some(g.input_mask("attention_mask", ["b", source])?),
        false => None,
    };
    let padding = || keep.map_or_else(Mask::none, |keep| Mask::none().keeping(keep));
    let shared = Embedding::new(&mut g.scope("shared"), v.clone(), c.clone())?;
    let encode = |g: &mut Graph, ids: Var| -> Result<Var, Problem> {
        let mut scope = g.scope("encoder");
        let stack = scope.repeated("block", l.clone());
        let layer = EncoderLayer::new(
            &mut scope.enter(&stack),
            &config(LayerNames::encoder(
                "layer.0.SelfAttention",
                "layer.1.DenseReluDense",
                ["layer.0.layer_norm", "layer.1.layer_norm"],
            )),
        )?;
        let last = Norm::new(&mut scope.scope("final_layer_norm"), ("c", &c), norm)?;
        let x = shared.forward(&mut scope, ids)?;
        let bias = buckets.bias(&mut scope.scope(TABLE), true, source, &Poly::zero())?;
        let memory = scope.repeat(&stack, x, |g, x| -> Result<Var, Problem> {
            let call = Attend { mask: padding(), bias: Some(bias), ..Attend::default() };
            Ok(layer.forward_with(g, x, call)?.output)
        })?;
        Ok(last.forward(&mut scope, memory)?)
    };
    let memory = ids.map(|ids| encode(g, ids)).transpose()?;
    match (class, memory) {
        (Class::Encoder, Some(memory)) => {
            g.output("last_hidden_state", memory);
            return Ok(());
        }
        (Class::TokenClasses, Some(memory)) => {
            let x = dropped(g, memory)?;
            let scores = classifier(g, "classifier", x, &k)?;
            g.output("logits", scores);
            return Ok(());
        }
        (Class::Scores | Class::Stacks | Class::TextClasses | Class::Answer, Some(memory)) => {
            g.output("encoder_last_hidden_state", memory);
        }
        (_, None) => {}
    }

    let config = config(LayerNames::decoder(
        "layer.0.SelfAttention",
        CROSS,
        "layer.2.DenseReluDense",
        ["layer.0.layer_norm", "layer.1.layer_norm", "layer.2.layer_norm"],
    ));
    if let (true, Some(memory)) = (request.source, memory) {
        let mut scope = g.scope("decoder");
        let stack = scope.repeated("block", decoder_layers);
        let maps = config.keys_and_values(&mut scope.enter(&stack))?;
        return source_heads(&mut scope, (&stack, CROSS), &maps, memory);
    }
    let targets = match (source, ids) {
        ("n", Some(ids)) => moved_on(g, ids, First::Token(start))?,
        _ => token_ids(g, "decoder_input_ids", ["b", "n"], v.clone())?,
    };
    causal_sizes(g, request);
    let past = first_position(request);
    let mut scope = g.scope("decoder");
    let stack = scope.repeated("block", decoder_layers);
    let layer = DecoderLayer::new(&mut scope.enter(&stack), &config)?;
    let last = Norm::new(&mut scope.scope("final_layer_norm"), ("c", &c), norm)?;
    let x = shared.forward(&mut scope, targets)?;
    let bias = buckets.bias(&mut scope.scope(TABLE), false, "n", &past)?;
    let kept = Kept::heads(Axis::new("h", &h), Axis::new("e", &e));
    let x = scope.repeat(&stack, x, |g, x| {
        let memory = attended(g, memory, (CROSS, &kept))?;
        cached(g, request, (&stack, "layer.0.SelfAttention", &kept), |g, earlier| {
            let mask = Mask { offset: Some(past), ..Mask::none() };
            let call = Attend { mask, bias: Some(bias), past: earlier, ..Attend::default() };
            let cross = Attend { mask: padding(), ..Attend::default() };
            layer.forward_with(g, x, memory, call, cross)
        })
    })?;
    let x = last.forward(&mut scope, x)?;
    drop(scope);
    match class {
        Class::Stacks => {
            g.output("last_hidden_state", x);
            return Ok(());
        }
        Class::TextClasses => return text_classes(g, x, &k),
        Class::Answer => return answer(g, x),
        Class::Scores | Class::Encoder | Class::TokenClasses => {}
    }
    let g = &mut *g.scope("lm_head");
    logits(g, request, x, |g, x| {
        let x = if scaled { g.scale(x, Factor::InverseSqrt(c.clone()))? } else { x };
        let head = match tied {
            true => LmHead::tied(g, &shared),
            false => LmHead::new(g, c, v, false)?,
        };
        head.forward(g, x)
    })?;
    if tied {
        r.names = std::mem::take(&mut r.names).tie("lm_head.weight", "shared.weight");
    }
    Ok(())
}

/// The function between the maps, and whether it gates a third one.
fn feed_forward(keys: &Keys<'_>, default: &str) -> Result<(Activation, bool), ConfigError> {
    let key = "feed_forward_proj";
    let text = keys.text(key)?.unwrap_or(default);
    // In this family the gate's GELU is the approximation.
    if text == "gated-gelu" {
        return Ok((Activation::GeluTanh, true));
    }
    let gated = text.strip_prefix("gated-");
    let activation = Activation::named(gated.unwrap_or(text));
    let known = || format!("{}, and each after `gated-`", Activation::NAMES.join(", "));
    Ok((activation.ok_or_else(|| keys.unsupported(key, known()))?, gated.is_some()))
}

fn names() -> Names {
    // Behind some heads the stacks stand a scope further in.
    let mut names = Names::default().prefix("transformer.");
    for stack in ["encoder", "decoder"] {
        names = names.tie(&format!("{stack}.embed_tokens.weight"), "shared.weight");
    }
    // A first release has a table that nothing reads.
    names.ignore("decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight")
}
