//! ModernBERT (Warner et al. 2024): an encoder of texts with norms before the sublayers, rotation by
//! position and gated feed-forward layers, most of whose layers attend to tokens nearby alone. Named as in
//! the `transformers` library.

use opledger_dims::Poly;
use opledger_ir::ops::{Activation, Reduce, Source};
use opledger_ir::{Definition, Graph, LinearFacts, Mask, ModuleClass, Reach, Role, SizeRole, Var};
use opledger_nn::{
    Attend, AttentionConfig, AttentionNames, Embedding, EncoderLayer, FeedForwardConfig,
    FeedForwardNames, LayerConfig, LayerNames, Linear, LinearConfig, NnError, Norm, NormConfig,
    Origin, Residual, RotaryEmbedding,
};
use serde_json::Value;

use super::checks::{classes, head, multiple, no_past};
use super::heads::{answer_classes, answer_in, classifier, dropped};
use super::layer_types::kinds_of_layers;
use super::pairs::unpadded;
use super::pattern::LayerOrder;
use super::recorder::{Problem, Recorder};
use super::request::Request;
use super::rope::made_for;
use super::tokens::{token, token_ids};
use crate::config::{ConfigError, Keys};
use crate::names::Names;

/// What stands on the encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Head {
    /// Nothing.
    None,
    /// A score for each word.
    Words,
    /// Classes of the text.
    TextClasses,
    /// Classes of each token.
    TokenClasses,
    /// Where the answer to a question begins and ends.
    Answer,
}

const HEADS: &[(&str, Head)] = &[
    ("ModernBertModel", Head::None),
    ("ModernBertForMaskedLM", Head::Words),
    ("ModernBertForSequenceClassification", Head::TextClasses),
    ("ModernBertForTokenClassification", Head::TokenClasses),
    ("ModernBertForQuestionAnswering", Head::Answer),
];

/// The kind of each layer: `FULL` for the first and every so many after it, else `WINDOW`.
fn kinds(keys: &Keys<'_>) -> Result<Vec<usize>, ConfigError> {
    let every = keys.size_or("global_attn_every_n_layers", 3)?;
    let key = "layer_types";
    let kinds = match keys.get(key) {
        None => {
            kinds_of_layers(keys, |layer| if layer.is_multiple_of(every) { FULL } else { WINDOW })?
        }
        Some(types) => {
            let known = ["full_attention", "sliding_attention"];
            let kind = |of: &Value| known.into_iter().position(|known| of == known);
            let kinds = types.as_array().and_then(|types| types.iter().map(kind).collect());
            let kinds: Option<Vec<usize>> = kinds;
            kinds.ok_or_else(|| keys.unsupported(key, known.join(" and ")))?
        }
    };
    if kinds.len() as u64 != keys.size("num_hidden_layers")? {
        return Err(keys.contradiction(key, "num_hidden_layers", "each layer is of one type"));
    }
    Ok(kinds)
}

/// The rotation of layers of a kind.
fn rope(
    keys: &Keys<'_>,
    kind: &str,
    old: &str,
    default: f64,
) -> Result<RotaryEmbedding, ConfigError> {
    let said = keys.get(old).map(|_| keys.positive(old)).transpose()?;
    let inner = match keys.inner("rope_parameters")? {
        Some(all) => all.inner(kind)?,
        None => None,
    };
    let theta = match inner {
        Some(inner) => {
            inner.only("rope_type", "default")?;
            inner.only("type", "default")?;
            inner.only("partial_rotary_factor", 1.0)?;
            inner.positive_or("rope_theta", said.unwrap_or(default))?
        }
        None => said.unwrap_or(default),
    };
    Ok(RotaryEmbedding::new(theta))
}

pub(super) fn build(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    let head = head(keys, HEADS)?;
    no_past(keys, request)?;
    read_rest(keys)?;
    let (width, heads) = (keys.size("hidden_size")?, keys.size("num_attention_heads")?);
    multiple(keys, ("hidden_size", width), ("num_attention_heads", heads))?;
    if (width / heads) % 2 == 1 {
        let pairs = "heads of an even width, since the rotation turns pairs";
        return Err(keys.unsupported("num_attention_heads", pairs).into());
    }
    let kinds = kinds(keys)?;
    let nearby = keys.size_or("local_attention", 128)? / 2;
    if keys.optional("sliding_window")?.is_some_and(|given| given != nearby) {
        let why = "the one is half of the other";
        return Err(keys.contradiction("sliding_window", "local_attention", why).into());
    }
    let norm = NormConfig {
        eps: keys.epsilon_or("norm_eps", 1e-5)?,
        bias: keys.flag_or("norm_bias", false)?,
        ..NormConfig::layer()
    };
    let ropes = [
        rope(keys, "full_attention", "global_rope_theta", 160_000.0)?,
        rope(keys, "sliding_attention", "local_rope_theta", 10_000.0)?,
    ];
    r.positions = made_for(keys, &ropes[0])?;
    let (attention_bias, mlp_bias) =
        (keys.flag_or("attention_bias", false)?, keys.flag_or("mlp_bias", false)?);
    let activation = keys.activation("hidden_activation", Activation::GeluErf)?;
    let own = OwnHead {
        bias: keys.flag_or("classifier_bias", false)?,
        activation: keys.activation("classifier_activation", Activation::GeluErf)?,
        norm,
    };
    let decoder_bias = keys.flag_or("decoder_bias", true)?;
    let of_token = match keys.text("classifier_pooling")? {
        None | Some("cls") => true,
        Some("mean") => false,
        Some(_) => return Err(keys.unsupported("classifier_pooling", "cls, mean").into()),
    };
    let k = match head {
        Head::TextClasses => {
            if !of_token {
                unpadded(keys, request, "the class of a text is read off the mean of its tokens")?;
            }
            r.size("k", classes(keys)?)
        }
        Head::TokenClasses => r.size("k", classes(keys)?),
        Head::Answer => answer_classes(keys)?,
        Head::None | Head::Words => Poly::one(),
    };
    let (c, h) = (r.size("c", width), r.size("h", heads));
    let e = r.size("e", width / heads);
    let factors = ["h".into(), "e".into()];
    r.graph.define(Definition::Product { whole: "c".into(), factors });
    let (v, ff) =
        (r.size("v", keys.size("vocab_size")?), r.size("ff", keys.size("intermediate_size")?));
    let Some((&of_first, later)) = kinds.split_first() else {
        return Err(keys.unsupported("num_hidden_layers", "at least one layer").into());
    };
    let has = |kind: usize| kinds.contains(&kind);
    let wanted = [has(FULL), has(WINDOW)];
    let plan = match later.is_empty() {
        true => None,
        false => Some(LayerOrder::kinds(SYMBOLS, later.to_vec()).plan(r).after(1)),
    };
    let layer = |kind: usize, residual: Residual| LayerConfig {
        attention: AttentionConfig {
            head_dim: Some(e.clone()),
            bias: attention_bias,
            out_bias: attention_bias,
            rope: Some(ropes[kind].clone()),
            origin: Origin::Library,
            names: AttentionNames::fused("Wqkv", "Wo"),
            ..AttentionConfig::new(c.clone(), h.clone())
        },
        feed_forward: FeedForwardConfig {
            activation,
            gated: true,
            bias: mlp_bias,
            names: FeedForwardNames::gated("Wi.input", "Wo", "Wi.gate"),
            ..FeedForwardConfig::new(c.clone(), ff.clone())
        },
        norm,
        residual,
        names: LayerNames::encoder("attn", "mlp", ["attn_norm", "mlp_norm"]),
        ..LayerConfig::new(c.clone(), h.clone(), 1)
    };
    r.names = names();

    let g = &mut r.graph;
    let ids = token_ids(g, "input_ids", ["b", "n"], v.clone())?;
    g.size_role(SizeRole::Batch, "b");
    g.size_role(SizeRole::Tokens, "n");
    let keep = match request.attention_mask {
        true => Some(g.input_mask("attention_mask", ["b", "n"])?),
        false => None,
    };
    let mask = |kind: usize| {
        let (offset, reach) = match kind {
            FULL => (None, None),
            // So many tokens to either side, and the token itself.
            _ => (Some(Poly::from(nearby)), Some(Reach::Window(Poly::from(2 * nearby + 1)))),
        };
        Mask { offset, reach, keep }
    };
    let mut scope = g.scope("model");
    let m = &mut *scope;
    let words = Embedding::new(&mut m.scope("embeddings.tok_embeddings"), v.clone(), c.clone())?;
    let first = Norm::new(&mut m.scope("embeddings.norm"), ("c", &c), norm)?;
    let mut angles = Vec::new();
    for (rope, wanted) in ropes.iter().zip(wanted) {
        let table = |g: &mut Graph| rope.angles(g, "n".into(), &e);
        angles.push(if wanted { Some(m.within("rotary_emb", table)?) } else { None });
    }
    let apply =
        |g: &mut Graph, layer: &EncoderLayer, kind: usize, x: Var| -> Result<Var, NnError> {
            let call = Attend { mask: mask(kind), angles: angles[kind], ..Attend::default() };
            Ok(layer.forward_with(g, x, call)?.output)
        };
    let x = words.forward(m, ids)?;
    let x = first.forward(m, x)?;
    // The embeddings are normed already.
    let start = layer(of_first, Residual::SecondPreNorm);
    let start = EncoderLayer::new(&mut m.scope("layers.0"), &start)?;
    let mut x = apply(m, &start, of_first, x)?;
    if let Some(plan) = plan {
        let make =
            |g: &mut Graph, kind: usize| EncoderLayer::new(g, &layer(kind, Residual::PreNorm));
        let layers = plan.declare(m, "layers", make)?;
        x = layers.forward(m, x, |g, run, x| apply(g, &run.layer, run.kind, x))?;
    }
    let last = Norm::new(&mut m.scope("final_norm"), ("c", &c), norm)?;
    let x = last.forward(m, x)?;
    drop(scope);
    match head {
        Head::None => g.output("last_hidden_state", x),
        Head::Words => {
            let x = own.forward(g, x)?;
            let bias = match decoder_bias {
                true => Some(g.param("decoder.bias", Source::shift(), [("v", &v)])?),
                false => None,
            };
            let decoder = g.module(ModuleClass::Linear(LinearFacts::default()));
            let scores = {
                let g = &mut *g.enter(&decoder);
                let scores = g.contract("decoder", x, words.weight(), &["c".into()])?;
                match bias {
                    Some(bias) => {
                        let scores = g.add("decoder_bias", scores, bias)?;
                        g.mark(scores, Role::Bias)
                    }
                    None => scores,
                }
            };
            g.output("logits", scores);
        }
        Head::TextClasses => {
            let x = match of_token {
                true => token(g, x, 0)?,
                false => g.reduce(x, Reduce::Mean("n".into()))?,
            };
            let x = own.forward(g, x)?;
            let x = dropped(g, x)?;
            let scores = classifier(g, "classifier", x, &k)?;
            g.output("logits", scores);
        }
        Head::TokenClasses => {
            let x = own.forward(g, x)?;
            let x = dropped(g, x)?;
            let scores = classifier(g, "classifier", x, &k)?;
            g.output("logits", scores);
        }
        Head::Answer => {
            let x = own.forward(g, x)?;
            let x = dropped(g, x)?;
            answer_in(g, "classifier", x)?;
        }
    }
    Ok(())
}

/// How many layers behind the first attend to everything, and how many to tokens nearby.
const SYMBOLS: &[&str] = &["l_full", "l_window"];

/// Layers that attend to everything.
const FULL: usize = 0;
/// Layers that attend to tokens nearby.
const WINDOW: usize = 1;

/// The map, the function and the norm before every head.
struct OwnHead {
    bias: bool,
    activation: Activation,
    norm: NormConfig,
}

impl OwnHead {
    fn forward(&self, g: &mut Graph, x: Var) -> Result<Var, NnError> {
        let width = g.last_axis(x).map_err(|e| NnError::Config(e.to_string()))?;
        let config = LinearConfig::bias(self.bias);
        let dense = Linear::new(&mut g.scope("head.dense"), width.clone(), width.clone(), config)?;
        let norm = Norm::new(&mut g.scope("head.norm"), width, self.norm)?;
        let x = dense.forward(g, x)?;
        let x = g.activation(x, self.activation)?;
        norm.forward(g, x)
    }
}

/// Keys that change nothing here, and those that have one value.
fn read_rest(keys: &Keys<'_>) -> Result<(), ConfigError> {
    keys.only("tie_word_embeddings", true)?;
    keys.only("rope_scaling", Value::Null)?;
    keys.pass_over(&[
        "cls_token_id",
        "deterministic_flash_attn",
        "embedding_dropout",
        "head_dim",
        "initializer_cutoff_factor",
        "is_causal",
        "layer_norm_eps",
        "mlp_dropout",
        "pad_token_id",
        "position_embedding_type",
        "reference_compile",
        "repad_logits_with_grad",
        "sparse_pred_ignore_index",
        "sparse_prediction",
    ]);
    Ok(())
}

fn names() -> Names {
    let mut names = Names::default()
        .prefix("model.")
        .tie("decoder.weight", "model.embeddings.tok_embeddings.weight");
    for (whole, parts) in [("attn.Wqkv", &["q", "k", "v"][..]), ("mlp.Wi", &["input", "gate"])] {
        let whole = format!("model.layers.*.{whole}");
        for kind in ["weight", "bias"] {
            let parts: Vec<String> =
                parts.iter().map(|part| format!("{whole}.{part}.{kind}")).collect();
            let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            names = names.join(&parts, &format!("{whole}.{kind}"));
        }
    }
    names
}
