//! BERT (Devlin et al. 2018) and what descends from it: RoBERTa (Liu et al. 2019), DistilBERT (Sanh
//! et al. 2019), MPNet, ELECTRA, ALBERT. Named as in the `transformers` library.

use opledger_ir::ops::Activation;

use super::checks::same;
use super::encoder::{EncoderHead, EncoderVariant, LayerParameters, Narrow, SizeKeys, build};
use super::recorder::{Problem, Recorder};
use super::request::Request;
use crate::config::Keys;

const LONG: SizeKeys =
    ["hidden_size", "num_attention_heads", "num_hidden_layers", "intermediate_size", "hidden_act"];

const BERT: EncoderVariant = EncoderVariant {
    scope: "bert",
    layers: LayerParameters::Own("encoder.layer"),
    keys: LONG,
    activation: Activation::GeluErf,
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
    pooler: "pooler.dense",
    first_token: None,
    text_classes: "classifier",
    narrow: None,
    types: true,
    relative: None,
};

const ROBERTA: EncoderVariant = EncoderVariant {
    scope: "roberta",
    words: ["lm_head.dense", "lm_head.layer_norm", "lm_head.bias"],
    words_activation: Some(Activation::GeluErf),
    copies: ["lm_head.decoder.weight", "lm_head.decoder.bias"],
    first_token: Some(("classifier.dense", Activation::Tanh)),
    text_classes: "classifier.out_proj",
    ..BERT
};

const DISTILBERT: EncoderVariant = EncoderVariant {
    scope: "distilbert",
    layers: LayerParameters::Own("transformer.layer"),
    keys: ["dim", "n_heads", "n_layers", "hidden_dim", "activation"],
    activation: Activation::GeluErf,
    attention: ["attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin"],
    feed_forward: ["ffn.lin1", "ffn.lin2"],
    norms: ["sa_layer_norm", "output_layer_norm"],
    words: ["vocab_transform", "vocab_layer_norm", "vocab_projector.bias"],
    words_activation: None,
    copies: ["vocab_projector.weight", ""],
    pooler: "",
    first_token: Some(("pre_classifier", Activation::Relu)),
    text_classes: "classifier",
    narrow: None,
    types: false,
    relative: None,
};

const MPNET: EncoderVariant = EncoderVariant {
    scope: "mpnet",
    attention: ["attention.attn.q", "attention.attn.k", "attention.attn.v", "attention.attn.o"],
    norms: ["attention.LayerNorm", "output.LayerNorm"],
    types: false,
    relative: Some("encoder.relative_attention_bias"),
    ..ROBERTA
};

const ELECTRA: EncoderVariant = EncoderVariant {
    scope: "electra",
    words: [
        "generator_predictions.dense",
        "generator_predictions.LayerNorm",
        "generator_lm_head.bias",
    ],
    words_activation: Some(Activation::GeluErf),
    copies: ["generator_lm_head.weight", ""],
    first_token: Some(("classifier.dense", Activation::GeluErf)),
    text_classes: "classifier.out_proj",
    narrow: Some(Narrow { key: "embedding_size", map: "embeddings_project", always: false }),
    ..BERT
};

const ALBERT: EncoderVariant = EncoderVariant {
    scope: "albert",
    layers: LayerParameters::Shared("encoder.albert_layer_groups.0.albert_layers.0"),
    activation: Activation::GeluTanh,
    attention: ["attention.query", "attention.key", "attention.value", "attention.dense"],
    feed_forward: ["ffn", "ffn_output"],
    norms: ["attention.LayerNorm", "full_layer_layer_norm"],
    words: ["predictions.dense", "predictions.LayerNorm", "predictions.bias"],
    copies: ["predictions.decoder.weight", "predictions.decoder.bias"],
    pooler: "pooler",
    narrow: Some(Narrow {
        key: "embedding_size",
        map: "encoder.embedding_hidden_mapping_in",
        always: true,
    }),
    ..BERT
};

pub(super) fn bert(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    let heads = [
        ("BertModel", EncoderHead::Pooler),
        ("BertForMaskedLM", EncoderHead::Words),
        ("BertLMHeadModel", EncoderHead::Words),
        ("BertForPreTraining", EncoderHead::Pretraining),
        ("BertForNextSentencePrediction", EncoderHead::Following),
        ("BertForSequenceClassification", EncoderHead::TextClasses),
        ("BertForTokenClassification", EncoderHead::TokenClasses),
        ("BertForQuestionAnswering", EncoderHead::Answer),
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
        ("Model", EncoderHead::Pooler),
        ("ForMaskedLM", EncoderHead::Words),
        ("ForCausalLM", EncoderHead::Words),
        ("ForSequenceClassification", EncoderHead::TextClasses),
        ("ForTokenClassification", EncoderHead::TokenClasses),
        ("ForQuestionAnswering", EncoderHead::Answer),
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
        ("DistilBertModel", EncoderHead::None),
        ("DistilBertForMaskedLM", EncoderHead::Words),
        ("DistilBertForSequenceClassification", EncoderHead::TextClasses),
        ("DistilBertForTokenClassification", EncoderHead::TokenClasses),
        ("DistilBertForQuestionAnswering", EncoderHead::Answer),
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
        ("MPNetModel", EncoderHead::Pooler),
        ("MPNetForMaskedLM", EncoderHead::Words),
        ("MPNetForSequenceClassification", EncoderHead::TextClasses),
        ("MPNetForTokenClassification", EncoderHead::TokenClasses),
        ("MPNetForQuestionAnswering", EncoderHead::Answer),
    ];
    // The library makes 32 buckets, and positions behind the row of the token 1, whatever keys say.
    keys.only("relative_attention_num_buckets", 32)?;
    build(keys, request, r, &MPNET, &heads, Some(1))
}

/// ELECTRA (Clark et al. 2020): a BERT with narrower tables, and a head that tells replaced tokens.
pub(super) fn electra(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    let heads = [
        ("ElectraModel", EncoderHead::None),
        ("ElectraForPreTraining", EncoderHead::Replaced),
        ("ElectraForMaskedLM", EncoderHead::Words),
        ("ElectraForSequenceClassification", EncoderHead::TextClasses),
        ("ElectraForTokenClassification", EncoderHead::TokenClasses),
        ("ElectraForQuestionAnswering", EncoderHead::Answer),
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

/// ALBERT (Lan et al. 2020): a BERT with narrower tables, whose layers share one set of parameters.
pub(super) fn albert(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    let heads = [
        ("AlbertModel", EncoderHead::Pooler),
        ("AlbertForMaskedLM", EncoderHead::Words),
        ("AlbertForPreTraining", EncoderHead::Ordered),
        ("AlbertForSequenceClassification", EncoderHead::TextClasses),
        ("AlbertForTokenClassification", EncoderHead::TokenClasses),
        ("AlbertForQuestionAnswering", EncoderHead::Answer),
    ];
    keys.only("num_hidden_groups", 1)?;
    keys.only("inner_group_num", 1)?;
    // Of the first releases, whose code is no longer read.
    keys.pass_over(&[
        "down_scale_factor",
        "gap_size",
        "layers_to_keep",
        "net_structure_type",
        "num_memory_blocks",
    ]);
    keys.pass_over(&["classifier_dropout_prob"]);
    build(keys, request, r, &ALBERT, &heads, None)
}
