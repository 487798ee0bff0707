//! BERT (Devlin et al. 2018) and what descends from it: RoBERTa (Liu et al. 2019), DistilBERT (Sanh
//! et al. 2019). Encoders with norms after the residuals. Named as in the `transformers` library.

use opledger_dims::Poly;
use opledger_ir::ops::{Activation, Rearrange, Source};
use opledger_ir::{Axis, Graph, LinearFacts, Mask, ModuleClass, Role, SizeRole, Var};
use opledger_nn::{
    Attend, AttentionConfig, AttentionNames, BertEmbedding, BertEmbeddingConfig, EncoderLayer,
    FeedForwardConfig, FeedForwardNames, LayerConfig, LayerNames, Linear, LinearConfig, Norm,
    NormConfig, Origin,
};

use super::checks::{classes, head, multiple, no_past, same};
use super::heads::{answer, classifier, dropped, first_token};
use super::recorder::{Problem, Recorder};
use super::relative::Buckets;
use super::request::Request;
use super::tokens::{pooled, token_ids};
use crate::config::Keys;
use crate::model::PositionLimit;
use crate::names::Names;

/// What stands on the encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Head {
    /// Nothing.
    None,
    /// The first token through a map and tanh.
    Pooler,
    /// A score for each word.
    Words,
    /// Scores for the words, and whether the second text follows the first.
    Pretraining,
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
struct BertVariant {
    /// The scope of the encoder.
    scope: &'static str,
    /// The scope of its layers.
    layers: &'static str,
    /// The names of the sizes in a configuration.
    keys: SizeKeys,
    attention: [&'static str; 4],
    feed_forward: [&'static str; 2],
    norms: [&'static str; 2],
    /// The map, the norm and the bias of the head of words.
    words: [&'static str; 3],
    /// The function in that head, where no configuration changes it.
    words_activation: Option<Activation>,
    /// The file's copy of the word table and of the bias.
    copies: [&'static str; 2],
    /// What the first token goes through before its classes: a map of its own, or the pooler's, and a
    /// function.
    first_token: (&'static str, Activation),
    /// The map to the classes of a text.
    text_classes: &'static str,
    /// The key of the width of the tables, where a map leads from it to the model's.
    table_width: Option<&'static str>,
    /// Whether tokens have types.
    types: bool,
    /// The table of biases by relative position, in the scope of the encoder.
    relative: Option<&'static str>,
}

/// Width, heads, layers, hidden width, activation.
type SizeKeys = [&'static str; 5];

const LONG: SizeKeys =
    ["hidden_size", "num_attention_heads", "num_hidden_layers", "intermediate_size", "hidden_act"];

const BERT: BertVariant = BertVariant {
    scope: "bert",
    layers: "encoder.layer",
    keys: LONG,
    attention: [
        "attention.self.query",
        "attention.self.key",
        "attention.self.value",
        "attention.output.dense",
    ],
    feed_forward: ["intermediate.dense", "output.dense"],
    norms: ["attention.output.LayerNorm", "output.LayerNorm"],
    words: [
        "cls.predictions.transform.dense",
        "cls.predictions.transform.LayerNorm",
        "cls.predictions.bias",
    ],
    words_activation: None,
    copies: ["cls.predictions.decoder.weight", "cls.predictions.decoder.bias"],
    first_token: (POOLER, Activation::Tanh),
    text_classes: "classifier",
    table_width: None,
    types: true,
    relative: None,
};

/// The map of the pooler, in the scope of the encoder.
const POOLER: &str = "pooler.dense";

const ROBERTA: BertVariant = BertVariant {
    scope: "roberta",
    words: ["lm_head.dense", "lm_head.layer_norm", "lm_head.bias"],
    words_activation: Some(Activation::GeluErf),
    copies: ["lm_head.decoder.weight", "lm_head.decoder.bias"],
    first_token: ("classifier.dense", Activation::Tanh),
    text_classes: "classifier.out_proj",
    ..BERT
};

const DISTILBERT: BertVariant = BertVariant {
    scope: "distilbert",
    layers: "transformer.layer",
    keys: ["dim", "n_heads", "n_layers", "hidden_dim", "activation"],
    attention: ["attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin"],
    feed_forward: ["ffn.lin1", "ffn.lin2"],
    norms: ["sa_layer_norm", "output_layer_norm"],
    words: ["vocab_transform", "vocab_layer_norm", "vocab_projector.bias"],
    words_activation: None,
    copies: ["vocab_projector.weight", ""],
    first_token: ("pre_classifier", Activation::Relu),
    text_classes: "classifier",
    table_width: None,
    types: false,
    relative: None,
};

const MPNET: BertVariant = BertVariant {
    scope: "mpnet",
    attention: ["attention.attn.q", "attention.attn.k", "attention.attn.v", "attention.attn.o"],
    norms: ["attention.LayerNorm", "output.LayerNorm"],
    types: false,
    relative: Some("encoder.relative_attention_bias"),
    ..ROBERTA
};

const ELECTRA: BertVariant = BertVariant {
    scope: "electra",
    words: [
        "generator_predictions.dense",
        "generator_predictions.LayerNorm",
        "generator_lm_head.bias",
    ],
    words_activation: Some(Activation::GeluErf),
    copies: ["generator_lm_head.weight", ""],
    first_token: ("classifier.dense", Activation::GeluErf),
    text_classes: "classifier.out_proj",
    table_width: Some("embedding_size"),
    ..BERT
};

pub(super) fn bert(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    let heads = [
        ("BertModel", Head::Pooler),
        ("BertForMaskedLM", Head::Words),
        ("BertLMHeadModel", Head::Words),
        ("BertForPreTraining", Head::Pretraining),
        ("BertForNextSentencePrediction", Head::Following),
        ("BertForSequenceClassification", Head::TextClasses),
        ("BertForTokenClassification", Head::TokenClasses),
        ("BertForQuestionAnswering", Head::Answer),
    ];
    build(keys, request, r, &BERT, &heads, None)
}

pub(super) fn roberta(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    roberta_called(keys, request, r, "Roberta")
}

/// XLM-RoBERTa (Conneau et al. 2020): RoBERTa of other words.
pub(super) fn xlm_roberta(
    keys: &Keys<'_>,
    request: &Request,
    r: &mut Recorder,
) -> Result<(), Problem> {
    roberta_called(keys, request, r, "XLMRoberta")
}

/// CamemBERT (Martin et al. 2020): RoBERTa of French words.
pub(super) fn camembert(
    keys: &Keys<'_>,
    request: &Request,
    r: &mut Recorder,
) -> Result<(), Problem> {
    roberta_called(keys, request, r, "Camembert")
}

/// RoBERTa, whose classes are called after the family.
fn roberta_called(
    keys: &Keys<'_>,
    request: &Request,
    r: &mut Recorder,
    family: &str,
) -> Result<(), Problem> {
    let heads = [
        ("Model", Head::Pooler),
        ("ForMaskedLM", Head::Words),
        ("ForCausalLM", Head::Words),
        ("ForSequenceClassification", Head::TextClasses),
        ("ForTokenClassification", Head::TokenClasses),
        ("ForQuestionAnswering", Head::Answer),
    ];
    let heads = heads.map(|(class, head)| (format!("{family}{class}"), head));
    let padding = keys.whole_or("pad_token_id", 1)?;
    let padding = u32::try_from(padding).map_err(|_| keys.unsupported("pad_token_id", "an id"))?;
    build(keys, request, r, &ROBERTA, &heads, Some(padding))
}

pub(super) fn distilbert(
    keys: &Keys<'_>,
    request: &Request,
    r: &mut Recorder,
) -> Result<(), Problem> {
    let heads = [
        ("DistilBertModel", Head::None),
        ("DistilBertForMaskedLM", Head::Words),
        ("DistilBertForSequenceClassification", Head::TextClasses),
        ("DistilBertForTokenClassification", Head::TokenClasses),
        ("DistilBertForQuestionAnswering", Head::Answer),
    ];
    keys.pass_over(&["sinusoidal_pos_embds", "tie_weights_"]);
    same(
        keys,
        &[
            ("hidden_size", "dim"),
            ("num_attention_heads", "n_heads"),
            ("num_hidden_layers", "n_layers"),
        ],
    )?;
    build(keys, request, r, &DISTILBERT, &heads, None)
}

/// MPNet (Song et al. 2020): RoBERTa with a bias by relative position.
pub(super) fn mpnet(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    let heads = [
        ("MPNetModel", Head::Pooler),
        ("MPNetForMaskedLM", Head::Words),
        ("MPNetForSequenceClassification", Head::TextClasses),
        ("MPNetForTokenClassification", Head::TokenClasses),
        ("MPNetForQuestionAnswering", Head::Answer),
    ];
    // The library makes 32 buckets, and positions behind the row of the token 1, whatever keys say.
    keys.only("relative_attention_num_buckets", 32)?;
    build(keys, request, r, &MPNET, &heads, Some(1))
}

/// ELECTRA (Clark et al. 2020): a BERT with narrower tables, and a head that tells replaced tokens.
pub(super) fn electra(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    let heads = [
        ("ElectraModel", Head::None),
        ("ElectraForPreTraining", Head::Replaced),
        ("ElectraForMaskedLM", Head::Words),
        ("ElectraForSequenceClassification", Head::TextClasses),
        ("ElectraForTokenClassification", Head::TokenClasses),
        ("ElectraForQuestionAnswering", Head::Answer),
    ];
    // How a summary is made, which none of these heads makes.
    keys.pass_over(&[
        "summary_activation",
        "summary_first_dropout",
        "summary_last_dropout",
        "summary_proj_to_labels",
        "summary_type",
        "summary_use_proj",
    ]);
    build(keys, request, r, &ELECTRA, &heads, None)
}

fn build(
    keys: &Keys<'_>,
    request: &Request,
    r: &mut Recorder,
    variant: &BertVariant,
    heads: &[(impl AsRef<str>, Head)],
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
    let activation = keys.activation(activation_key, Activation::GeluErf)?;
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
        Head::TextClasses | Head::TokenClasses => r.size("k", classes(keys)?),
        Head::Answer if classes(keys)? != 2 => {
            let supported = "two labels: where an answer begins and where it ends";
            return Err(keys.unsupported("id2label", supported).into());
        }
        Head::Answer
        | Head::None
        | Head::Pooler
        | Head::Words
        | Head::Pretraining
        | Head::Replaced
        | Head::Following => Poly::from(2),
    };
    let table_width = match variant.table_width {
        Some(key) => keys.size_or(key, 128)?,
        None => width,
    };
    let narrow = (table_width != width).then(|| r.size("d", table_width));

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
    let embedding = BertEmbeddingConfig {
        max_position_embeddings: positions.into(),
        padding,
        type_vocab_size: types.map(Poly::from),
        layer_norm_eps: eps,
        ..BertEmbeddingConfig::new(v.clone(), narrow.clone().unwrap_or(c.clone()))
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
    let layers = m.repeated(variant.layers, l);
    let layer = EncoderLayer::new(&mut m.enter(&layers), &config)?;
    let mut x = embeddings.forward(m, ids, types)?;
    if let Some(narrow) = narrow {
        let from = Axis::new("c", narrow);
        let config = LinearConfig::default();
        let map = Linear::new(&mut m.scope("embeddings_project"), from, ("c", &c), config)?;
        x = map.forward(m, x)?;
    }
    let bias = match (variant.relative, buckets) {
        (Some(table), Some(buckets)) => Some(buckets.bias(&mut m.scope(table), true, "n")?),
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
        words(g, variant, x, table, (activation, norm))
    };
    let pooled =
        |g: &mut Graph| pooled(&mut g.scope(variant.scope), x, c.clone(), Activation::Tanh);
    let following = |g: &mut Graph, pooled| classifier(g, "cls.seq_relationship", pooled, &k);
    match head {
        Head::None => {}
        Head::Pooler => {
            let pooled = pooled(g)?;
            g.output("pooler_output", pooled);
        }
        Head::Words => {
            let scores = words(g)?;
            g.output("logits", scores);
        }
        Head::Pretraining => {
            let pooled = pooled(g)?;
            let (scores, following) = (words(g)?, following(g, pooled)?);
            g.output("prediction_logits", scores);
            g.output("seq_relationship_logits", following);
        }
        Head::Following => {
            let pooled = pooled(g)?;
            let following = following(g, pooled)?;
            g.output("logits", following);
        }
        Head::Replaced => {
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
        Head::TextClasses => {
            let first = match variant.first_token {
                (POOLER, _) => pooled(g)?,
                (scope, function) => first_token(g, scope, x, function)?,
            };
            let first = dropped(g, first)?;
            let scores = classifier(g, variant.text_classes, first, &k)?;
            g.output("logits", scores);
        }
        Head::TokenClasses => {
            let x = dropped(g, x)?;
            let scores = classifier(g, "classifier", x, &k)?;
            g.output("logits", scores);
        }
        Head::Answer => {
            let x = if variant.scope == DISTILBERT.scope { dropped(g, x)? } else { x };
            answer(g, x)?;
        }
    }
    Ok(())
}

/// A score for each word, by the word table.
fn words(
    g: &mut Graph,
    variant: &BertVariant,
    x: Var,
    table: Var,
    (activation, norm): (Activation, NormConfig),
) -> Result<Var, Problem> {
    let last = |g: &Graph, var| {
        g.last_axis(var).map_err(|e| Problem::Layer(opledger_nn::NnError::Config(e.to_string())))
    };
    let (from, to) = (last(g, x)?, last(g, table)?);
    let [dense, norm_scope, bias] = variant.words;
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

fn names(variant: &BertVariant) -> Names {
    let BertVariant { scope, layers, norms, words: [_, words_norm, bias], copies, .. } = variant;
    let mut names = Names::default()
        .prefix(&format!("{scope}."))
        .ignore(&format!("{scope}.embeddings.position_ids"))
        .tie(copies[0], &format!("{scope}.embeddings.word_embeddings.weight"));
    if !copies[1].is_empty() {
        names = names.tie(copies[1], bias);
    }
    // The first releases call gain and shift so.
    let layer = |norm: &&str| format!("{scope}.{layers}.*.{norm}");
    let norms = norms.iter().map(layer);
    for norm in norms.chain([format!("{scope}.embeddings.LayerNorm"), (*words_norm).to_owned()]) {
        for (new, old) in [("weight", "gamma"), ("bias", "beta")] {
            names = names.rename(&format!("{norm}.{new}"), &format!("{norm}.{old}"));
        }
    }
    names
}
