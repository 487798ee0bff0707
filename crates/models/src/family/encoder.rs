//! Encoders of texts with norms after the residuals: what BERT and its descendants have in common. A
//! [`EncoderVariant`] is what they differ in.

use opledger_dims::Poly;
use opledger_ir::ops::{Activation, Rearrange, Source};
use opledger_ir::{Axis, Graph, LinearFacts, Mask, ModuleClass, Role, SizeRole, Var};
use opledger_nn::{
    Attend, AttentionConfig, AttentionNames, BertEmbedding, BertEmbeddingConfig, EncoderLayer,
    FeedForwardConfig, FeedForwardNames, LayerConfig, LayerNames, Linear, LinearConfig, Norm,
    NormConfig, Origin,
};

use super::checks::{classes, head, multiple, no_past};
use super::heads::{answer, answer_classes, classifier, dropped, first_token};
use super::recorder::{Problem, Recorder};
use super::relative::Buckets;
use super::request::Request;
use super::tokens::{pooled, token_ids};
use crate::config::Keys;
use crate::model::PositionLimit;
use crate::names::Names;

/// What stands on the encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EncoderHead {
    /// Nothing.
    None,
    /// The first token through a map and tanh.
    Pooler,
    /// A score for each word.
    Words,
    /// Scores for the words, and whether the second text follows the first.
    Pretraining,
    /// Scores for the words, and whether the two texts stand in their order.
    Ordered,
    /// Whether the second text follows the first.
    Following,
    /// Whether each token was replaced.
    Replaced,
    /// Classes of the text.
    TextClasses,
    /// Classes of each token.
    TokenClasses,
    /// Where the answer to a question begins and ends.
    Answer,
}

/// What the families differ in.
pub(super) struct EncoderVariant {
    /// The scope of the encoder.
    pub(super) scope: &'static str,
    pub(super) layers: LayerParameters,
    /// The names of the sizes in a configuration.
    pub(super) keys: SizeKeys,
    /// The function of feed-forward layers where no key says.
    pub(super) activation: Activation,
    pub(super) attention: [&'static str; 4],
    pub(super) feed_forward: [&'static str; 2],
    pub(super) norms: [&'static str; 2],
    /// The map, the norm and the bias of the head of words.
    pub(super) words: [&'static str; 3],
    /// The function in that head, where no configuration changes it.
    pub(super) words_activation: Option<Activation>,
    /// The file's copy of the word table and of the bias.
    pub(super) copies: [&'static str; 2],
    /// The map of the pooler, in the scope of the encoder.
    pub(super) pooler: &'static str,
    /// What the first token goes through before its classes, a map and a function; the pooler when
    /// `None`.
    pub(super) first_token: Option<(&'static str, Activation)>,
    /// The map to the classes of a text.
    pub(super) text_classes: &'static str,
    /// Where tables have a width of their own.
    pub(super) narrow: Option<Narrow>,
    /// Whether tokens have types.
    pub(super) types: bool,
    /// The table of biases by relative position, in the scope of the encoder.
    pub(super) relative: Option<&'static str>,
}

/// Where the parameters of layers stand, in the scope of the encoder.
#[derive(Clone, Copy)]
pub(super) enum LayerParameters {
    /// Each layer has its own, in this scope.
    Own(&'static str),
    /// All layers share those of this scope.
    Shared(&'static str),
}

/// Width, heads, layers, hidden width, activation.
pub(super) type SizeKeys = [&'static str; 5];

/// Tables of a width of their own.
#[derive(Clone, Copy)]
pub(super) struct Narrow {
    /// The key of their width.
    pub(super) key: &'static str,
    /// The map from it to the model's, in the scope of the encoder.
    pub(super) map: &'static str,
    /// Whether there is a map also where the two are the same.
    pub(super) always: bool,
}

pub(super) fn build(
    keys: &Keys<'_>,
    request: &Request,
    r: &mut Recorder,
    variant: &EncoderVariant,
    heads: &[(impl AsRef<str>, EncoderHead)],
    padding: Option<u32>,
) -> Result<(), Problem> {
    let head = head(keys, heads)?;
    no_past(keys, request)?;
    keys.only("position_embedding_type", "absolute")?;
    keys.only("is_decoder", false)?;
    keys.only("add_cross_attention", false)?;
    keys.only("tie_word_embeddings", true)?;
    keys.only("pruned_heads", serde_json::Map::new())?;
    // A decoder's mask alone asks whether it is causal.
    keys.pass_over(&["is_causal", "pad_token_id"]);
    let [width_key, heads_key, layers_key, hidden_key, activation_key] = variant.keys;
    let (width, heads) = (keys.size(width_key)?, keys.size(heads_key)?);
    multiple(keys, (width_key, width), (heads_key, heads))?;
    let activation = keys.activation(activation_key, variant.activation)?;
    let eps = keys.epsilon_or("layer_norm_eps", 1e-12)?;
    let types = if variant.types { Some(keys.size("type_vocab_size")?) } else { None };
    let positions = keys.size("max_position_embeddings")?;
    let unused = padding.map_or(0, |padding| u64::from(padding) + 1);
    let tokens = positions.saturating_sub(unused);
    let key = "max_position_embeddings";
    r.positions = Some(PositionLimit { key, positions, tokens, computed: false });
    let (c, h) = (r.size("c", width), r.size("h", heads));
    let (v, l) = (keys.size("vocab_size")?, keys.times(layers_key)?);
    let (v, l) = (r.size("v", v), r.size("l", l));
    let ff = r.size("ff", keys.size(hidden_key)?);
    let buckets = variant.relative.map(|_| Buckets::read(keys, h.clone())).transpose()?;
    let k = match head {
        EncoderHead::TextClasses | EncoderHead::TokenClasses | EncoderHead::Ordered => {
            r.size("k", classes(keys)?)
        }
        EncoderHead::Answer => answer_classes(keys)?,
        EncoderHead::None
        | EncoderHead::Pooler
        | EncoderHead::Words
        | EncoderHead::Pretraining
        | EncoderHead::Replaced
        | EncoderHead::Following => Poly::from(2),
    };
    let narrow = match variant.narrow {
        Some(narrow) => {
            let own = keys.size_or(narrow.key, 128)?;
            (narrow.always || own != width).then(|| (narrow, r.size("d", own)))
        }
        None => None,
    };

    let norm = NormConfig { eps, ..NormConfig::layer() };
    let [first, second] = variant.feed_forward;
    let [query, key, value, out] = variant.attention;
    let config = LayerConfig {
        attention: AttentionConfig {
            origin: Origin::Library,
            names: AttentionNames::new(query, key, value, out),
            ..AttentionConfig::new(c.clone(), h.clone())
        },
        feed_forward: FeedForwardConfig {
            activation,
            names: FeedForwardNames::new(first, second),
            ..FeedForwardConfig::new(c.clone(), ff)
        },
        norm,
        names: LayerNames::encoder("", "", variant.norms),
        ..LayerConfig::new(c.clone(), h, 1)
    };
    let table_width = narrow.as_ref().map_or(&c, |(_, width)| width);
    let embedding = BertEmbeddingConfig {
        max_position_embeddings: positions.into(),
        padding,
        type_vocab_size: types.map(Poly::from),
        layer_norm_eps: eps,
        ..BertEmbeddingConfig::new(v.clone(), table_width)
    };

    let g = &mut r.graph;
    let ids = token_ids(g, "input_ids", ["b", "n"], v)?;
    g.size_role(SizeRole::Batch, "b");
    g.size_role(SizeRole::Tokens, "n");
    let types = match types {
        Some(types) => {
            let types = g.input_ids("token_type_ids", ["b", "n"], types)?;
            g.mark(types, Role::Segments);
            Some(types)
        }
        None => None,
    };
    let mask = match request.attention_mask {
        true => Mask::none().keeping(g.input_mask("attention_mask", ["b", "n"])?),
        false => Mask::none(),
    };
    let mut scope = g.scope(variant.scope);
    let m = &mut *scope;
    let embeddings = BertEmbedding::new(&mut m.scope("embeddings"), &embedding)?;
    let (layers, parameters) = match variant.layers {
        LayerParameters::Own(name) => {
            let layers = m.repeated(name, l);
            (layers.clone(), layers)
        }
        LayerParameters::Shared(name) => {
            let parameters = m.scope(name).here();
            (m.repeated("encoder.layers", l), parameters)
        }
    };
    let layer = EncoderLayer::new(&mut m.enter(&parameters), &config)?;
    let mut x = embeddings.forward(m, ids, types)?;
    if let Some((narrow, width)) = narrow {
        let from = Axis::new("c", width);
        let config = LinearConfig::default();
        let map = Linear::new(&mut m.scope(narrow.map), from, ("c", &c), config)?;
        x = map.forward(m, x)?;
    }
    let bias = match (variant.relative, buckets) {
        (Some(table), Some(buckets)) => {
            Some(buckets.bias(&mut m.scope(table), true, "n", &Poly::zero())?)
        }
        _ => None,
    };
    let x = m.repeat(&layers, x, |g, x| -> Result<Var, Problem> {
        Ok(layer.forward_with(g, x, Attend { mask, bias, ..Attend::default() })?.output)
    })?;
    drop(scope);
    g.output("last_hidden_state", x);
    r.names = names(variant);
    let table = embeddings.words();
    let words = |g: &mut Graph| {
        let activation = variant.words_activation.unwrap_or(activation);
        words(g, variant.words, x, table, (activation, norm))
    };
    let pooled = |g: &mut Graph| {
        let g = &mut *g.scope(variant.scope);
        pooled(g, variant.pooler, x, c.clone(), Activation::Tanh)
    };
    let following = |g: &mut Graph, pooled| classifier(g, "cls.seq_relationship", pooled, &k);
    match head {
        EncoderHead::None => {}
        EncoderHead::Pooler => {
            let pooled = pooled(g)?;
            g.output("pooler_output", pooled);
        }
        EncoderHead::Words => {
            let scores = words(g)?;
            g.output("logits", scores);
        }
        EncoderHead::Pretraining => {
            let pooled = pooled(g)?;
            let (scores, following) = (words(g)?, following(g, pooled)?);
            g.output("prediction_logits", scores);
            g.output("seq_relationship_logits", following);
        }
        EncoderHead::Ordered => {
            let pooled = pooled(g)?;
            let scores = words(g)?;
            let pooled = dropped(g, pooled)?;
            let ordered = classifier(g, "sop_classifier.classifier", pooled, &k)?;
            g.output("prediction_logits", scores);
            g.output("sop_logits", ordered);
        }
        EncoderHead::Following => {
            let pooled = pooled(g)?;
            let following = following(g, pooled)?;
            g.output("logits", following);
        }
        EncoderHead::Replaced => {
            let scope = "discriminator_predictions";
            let (from, to) = (("c", &c), ("c", &c));
            let dense = format!("{scope}.dense");
            let dense = Linear::new(&mut g.scope(&dense), from, to, LinearConfig::default())?;
            let x = dense.forward(g, x)?;
            let x = g.activation(x, activation)?;
            let one = Poly::one();
            let scores = classifier(g, &format!("{scope}.dense_prediction"), x, &one)?;
            let axes = vec!["n".into(), "k".into()];
            let scores = g.rearrange(scores, Rearrange::Merge { axes, into: "n".into() })?;
            g.output("logits", scores);
        }
        EncoderHead::TextClasses => {
            let first = match variant.first_token {
                None => pooled(g)?,
                Some((scope, function)) => first_token(g, scope, x, function)?,
            };
            let first = dropped(g, first)?;
            let scores = classifier(g, variant.text_classes, first, &k)?;
            g.output("logits", scores);
        }
        EncoderHead::TokenClasses => {
            let x = dropped(g, x)?;
            let scores = classifier(g, "classifier", x, &k)?;
            g.output("logits", scores);
        }
        EncoderHead::Answer => {
            let x = if variant.scope == "distilbert" { dropped(g, x)? } else { x };
            answer(g, x)?;
        }
    }
    Ok(())
}

/// A score for each word, by the word table. The map, the norm and the bias before it have names.
pub(super) fn words(
    g: &mut Graph,
    [dense, norm_scope, bias]: [&str; 3],
    x: Var,
    table: Var,
    (activation, norm): (Activation, NormConfig),
) -> Result<Var, Problem> {
    let last = |g: &Graph, var| {
        g.last_axis(var).map_err(|e| Problem::Layer(opledger_nn::NnError::Config(e.to_string())))
    };
    let (from, to) = (last(g, x)?, last(g, table)?);
    let dense = Linear::new(&mut g.scope(dense), from, to.clone(), LinearConfig::default())?;
    let norm = Norm::new(&mut g.scope(norm_scope), to, norm)?;
    let bias = g.param(bias, Source::shift(), ["v"])?;
    let x = dense.forward(g, x)?;
    let x = g.activation(x, activation)?;
    let x = norm.forward(g, x)?;
    let decoder = g.module(ModuleClass::Linear(LinearFacts::default()));
    let g = &mut *g.enter(&decoder);
    let scores = g.contract("decoder", x, table, &["c".into()])?;
    let scores = g.add("decoder_bias", scores, bias)?;
    Ok(g.mark(scores, Role::Bias))
}

fn names(variant: &EncoderVariant) -> Names {
    let EncoderVariant { scope, layers, norms, words: [_, words_norm, bias], copies, .. } = variant;
    let mut names = Names::default()
        .prefix(&format!("{scope}."))
        .ignore(&format!("{scope}.embeddings.position_ids"))
        .tie(copies[0], &format!("{scope}.embeddings.word_embeddings.weight"));
    if !copies[1].is_empty() {
        names = names.tie(copies[1], bias);
    }
    // The first releases call gain and shift so.
    let layer = |norm: &&str| match layers {
        LayerParameters::Own(layers) => format!("{scope}.{layers}.*.{norm}"),
        LayerParameters::Shared(layer) => format!("{scope}.{layer}.{norm}"),
    };
    let norms = norms.iter().map(layer);
    for norm in norms.chain([format!("{scope}.embeddings.LayerNorm"), (*words_norm).to_owned()]) {
        for (new, old) in [("weight", "gamma"), ("bias", "beta")] {
            names = names.rename(&format!("{norm}.{new}"), &format!("{norm}.{old}"));
        }
    }
    names
}
