//! DeBERTa of versions 2 and 3 (He et al. 2021; He, Gao, Chen 2021): an encoder of texts whose attention
//! has scores of contents and of distances apart. Named as in the `transformers` library.

use opledger_dims::Poly;
use opledger_ir::ops::{Activation, Source, Table};
use opledger_ir::{Axis, Graph, Mask, Role, SizeRole, Var};
use opledger_nn::{
    AttentionNames, DisentangledAttention, DisentangledConfig, Embedding, FeedForward,
    FeedForwardConfig, FeedForwardNames, LearnedPositions, Norm, NormConfig,
};
use serde_json::Value;

use super::checks::{classes, head, multiple, no_past};
use super::encoder::words;
use super::heads::{answer, answer_classes, classifier, dropped};
use super::recorder::{Problem, Recorder};
use super::request::Request;
use super::tokens::{pooled, token_ids};
use crate::config::{ConfigError, Keys};
use crate::model::PositionLimit;
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
    ("DebertaV2Model", Head::None),
    ("DebertaV2ForMaskedLM", Head::Words),
    ("DebertaV2ForSequenceClassification", Head::TextClasses),
    ("DebertaV2ForTokenClassification", Head::TokenClasses),
    ("DebertaV2ForQuestionAnswering", Head::Answer),
];

/// How attention sees distances.
struct Distances {
    /// Half the rows of their table.
    span: usize,
    /// The distance that has the last row, where far ones share rows.
    max_distance: Option<usize>,
    /// Whether the table is normed.
    normed: bool,
    /// Whether queries meet them, and keys.
    met: [bool; 2],
    /// Whether they have projections of their own.
    apart: bool,
}

impl Distances {
    fn read(keys: &Keys<'_>, positions: u64) -> Result<Distances, ConfigError> {
        if !keys.flag_or("relative_attention", false)? {
            return Err(keys.unsupported("relative_attention", "true"));
        }
        // Numbers below one stand for none.
        let above_zero = |key: &str| match keys.get(key).map(Value::as_i64) {
            Some(Some(number)) if number < 1 => Ok(None),
            _ => keys.optional(key),
        };
        let farthest = above_zero("max_relative_positions")?.unwrap_or(positions);
        let buckets = above_zero("position_buckets")?;
        let size = |key: &str, value: u64| {
            usize::try_from(value).map_err(|_| keys.unsupported(key, "a number of distances"))
        };
        let (span, max_distance) = match buckets {
            None => (size("max_relative_positions", farthest)?, None),
            Some(buckets) => {
                if buckets < 2 || farthest <= buckets / 2 + 1 {
                    let why = "at least one distance is short, and the greatest is beyond them";
                    return Err(keys.contradiction(
                        "position_buckets",
                        "max_relative_positions",
                        why,
                    ));
                }
                let (span, far) = (size("position_buckets", buckets)?, farthest);
                (span, Some(size("max_relative_positions", far)?))
            }
        };
        let normed = match keys.text("norm_rel_ebd")? {
            None | Some("none") => false,
            Some("layer_norm") => true,
            Some(_) => return Err(keys.unsupported("norm_rel_ebd", "none, layer_norm")),
        };
        let kind = "pos_att_type";
        let said: Vec<String> = match keys.get(kind) {
            None => Vec::new(),
            Some(Value::String(text)) => {
                text.split('|').map(|word| word.trim().to_lowercase()).collect()
            }
            Some(Value::Array(words)) => {
                words.iter().filter_map(|word| word.as_str().map(str::to_owned)).collect()
            }
            Some(_) => return Err(keys.unsupported(kind, "c2p, p2c")),
        };
        const KINDS: [&str; 2] = ["c2p", "p2c"];
        if said.iter().any(|word| KINDS.iter().all(|kind| kind != word)) {
            return Err(keys.unsupported(kind, KINDS.join(", ")));
        }
        let met = KINDS.map(|kind| said.iter().any(|word| word == kind));
        let apart = !keys.flag_or("share_att_key", false)?;
        if !apart && met != [true; 2] {
            // The library projects distances to both all the same, in vain.
            let why = "with one of the two alone, distances have projections of their own";
            return Err(keys.contradiction("share_att_key", kind, why));
        }
        Ok(Distances { span, max_distance, normed, met, apart })
    }
}

pub(super) fn build(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    let head = head(keys, HEADS)?;
    no_past(keys, request)?;
    let (width, heads) = (keys.size("hidden_size")?, keys.size("num_attention_heads")?);
    multiple(keys, ("hidden_size", width), ("num_attention_heads", heads))?;
    read_rest(keys, (width, heads))?;
    let activation = keys.activation("hidden_act", Activation::GeluErf)?;
    let of_pooler = keys.activation("pooler_hidden_act", Activation::GeluErf)?;
    let eps = keys.epsilon_or("layer_norm_eps", 1e-7)?;
    let norm = NormConfig { eps, ..NormConfig::layer() };
    let types = keys.whole_or("type_vocab_size", 0)?;
    let positions = keys.size_or("max_position_embeddings", 512)?;
    let added = keys.flag_or("position_biased_input", true)?;
    let distances = Distances::read(keys, positions)?;
    let legacy = keys.flag_or("legacy", true)?;
    let key = "max_position_embeddings";
    r.positions = Some(PositionLimit { key, positions, tokens: positions, computed: !added });
    let (c, h) = (r.size("c", width), r.size("h", heads));
    let (v, l) = (keys.size("vocab_size")?, keys.times("num_hidden_layers")?);
    let (v, l) = (r.size("v", v), r.size("l", l));
    let ff = r.size("ff", keys.size("intermediate_size")?);
    let rows = r.size("r", 2 * distances.span as u64);
    let k = match head {
        Head::TextClasses | Head::TokenClasses => r.size("k", classes(keys)?),
        Head::Answer => answer_classes(keys)?,
        Head::None | Head::Words => Poly::one(),
    };
    let [of_words, bias] = match legacy {
        true => ["cls.predictions.transform", "cls.predictions.bias"],
        false => ["lm_predictions.lm_head", "lm_predictions.lm_head.bias"],
    };
    r.names = names(bias);

    let g = &mut r.graph;
    let ids = token_ids(g, "input_ids", ["b", "n"], v.clone())?;
    g.size_role(SizeRole::Batch, "b");
    g.size_role(SizeRole::Tokens, "n");
    let of_types = match types {
        0 => None,
        _ => {
            let ids = g.input_ids("token_type_ids", ["b", "n"], types)?;
            Some(g.mark(ids, Role::Segments))
        }
    };
    let mask = match request.attention_mask {
        true => Mask::none().keeping(g.input_mask("attention_mask", ["b", "n"])?),
        false => Mask::none(),
    };
    let mut scope = g.scope("deberta");
    let m = &mut *scope;
    let (table, mut x) = {
        let m = &mut *m.scope("embeddings");
        let words = Embedding::new(&mut m.scope("word_embeddings"), v, c.clone())?;
        let mut x = words.forward(m, ids)?;
        if added {
            let scope = &mut m.scope("position_embeddings");
            x = LearnedPositions::new(scope, positions, c.clone())?.forward(scope, x)?;
        }
        if let Some(ids) = of_types {
            let table = m.within("token_type_embeddings", |g| {
                Embedding::table(g, ("t", types), ("c", &c), false)
            })?;
            let types = table.forward(m, ids)?;
            x = m.add("add_types", x, types)?;
        }
        let norm = Norm::new(&mut m.scope("LayerNorm"), ("c", &c), norm)?;
        (words.weight(), norm.forward(m, x)?)
    };
    let (vectors, of_pairs) = {
        let m = &mut *m.scope("encoder");
        let axes = [Axis::new("r", &rows), Axis::new("c", &c)];
        let table = m.param("rel_embeddings.weight", Source::embedding(), axes)?;
        let vectors = match distances.normed {
            true => {
                let norm = Norm::new(&mut m.scope("LayerNorm"), ("c", &c), norm)?;
                norm.forward(m, table)?
            }
            false => table,
        };
        let Distances { span, max_distance, .. } = distances;
        let (query, key) = (Axis::from("n"), Axis::new("n'", "n"));
        (vectors, m.table("", Table::DistanceRows { span, max_distance, query, key })?)
    };
    let layers = m.repeated("encoder.layer", l);
    let layer = Layer::new(&mut m.enter(&layers), &distances, (&c, &h, ff), (activation, norm))?;
    x = m.repeat(&layers, x, |g, x| layer.forward(g, x, (vectors, of_pairs), &mask))?;
    drop(scope);
    match head {
        Head::None => g.output("last_hidden_state", x),
        Head::Words => {
            let [dense, normed] = ["dense", "LayerNorm"].map(|part| format!("{of_words}.{part}"));
            let scores = words(g, [&dense, &normed, bias], x, table, (activation, norm))?;
            g.output("logits", scores);
        }
        Head::TextClasses => {
            let first = pooled(g, "pooler.dense", x, c, of_pooler)?;
            let first = dropped(g, first)?;
            let scores = classifier(g, "classifier", first, &k)?;
            g.output("logits", scores);
        }
        Head::TokenClasses => {
            let x = dropped(g, x)?;
            let scores = classifier(g, "classifier", x, &k)?;
            g.output("logits", scores);
        }
        Head::Answer => answer(g, x)?,
    }
    Ok(())
}

/// Attention and feed-forward, each with its norm behind the residual.
struct Layer {
    attention: DisentangledAttention,
    feed_forward: FeedForward,
    norms: [Norm; 2],
}

impl Layer {
    fn new(
        g: &mut Graph,
        distances: &Distances,
        (c, h, ff): (&Poly, &Poly, Poly),
        (activation, norm): (Activation, NormConfig),
    ) -> Result<Layer, Problem> {
        let [content_to_position, position_to_content] = distances.met;
        let own = ["self.pos_key_proj", "self.pos_query_proj"].map(str::to_owned);
        let attention = DisentangledConfig {
            content_to_position,
            position_to_content,
            positions: distances.apart.then_some(own),
            names: AttentionNames::new(
                "self.query_proj",
                "self.key_proj",
                "self.value_proj",
                "output.dense",
            ),
            ..DisentangledConfig::new(c, h)
        };
        let attention = DisentangledAttention::new(&mut g.scope("attention"), &attention)?;
        let feed_forward = FeedForwardConfig {
            activation,
            names: FeedForwardNames::new("intermediate.dense", "output.dense"),
            ..FeedForwardConfig::new(c, ff)
        };
        let feed_forward = FeedForward::new(g, &feed_forward)?;
        let mut norm = |scope: &str| Norm::new(&mut g.scope(scope), ("c", c), norm);
        let norms = [norm("attention.output.LayerNorm")?, norm("output.LayerNorm")?];
        Ok(Layer { attention, feed_forward, norms })
    }

    fn forward(
        &self,
        g: &mut Graph,
        x: Var,
        distances: (Var, Var),
        mask: &Mask,
    ) -> Result<Var, Problem> {
        let [first, second] = &self.norms;
        let attended = self.attention.forward(g, x, distances, mask)?;
        let sum = g.add("residual", x, attended)?;
        g.mark(sum, Role::Residual);
        let x = first.forward(g, sum)?;
        let fed = self.feed_forward.forward(g, x)?;
        let sum = g.add("residual", x, fed)?;
        g.mark(sum, Role::Residual);
        Ok(second.forward(g, sum)?)
    }
}

/// Keys that change nothing here, and those that have one value.
fn read_rest(keys: &Keys<'_>, (width, heads): (u64, u64)) -> Result<(), ConfigError> {
    keys.only("tie_word_embeddings", true)?;
    keys.only("conv_kernel_size", 0)?;
    for (key, size) in [
        ("embedding_size", width),
        ("pooler_hidden_size", width),
        ("attention_head_size", width / heads),
    ] {
        if keys.size_or(key, size)? != size {
            return Err(keys.unsupported(key, size.to_string()));
        }
    }
    keys.pass_over(&[
        "cls_dropout",
        "conv_act",
        "conv_groups",
        "pad_token_id",
        "padding_idx",
        "pooler_dropout",
    ]);
    Ok(())
}

fn names(bias: &str) -> Names {
    let mut names = Names::default()
        .prefix("deberta.")
        .ignore("deberta.embeddings.position_ids")
        // Of a table that later versions do without, and of the task that they were trained by.
        .ignore("deberta.embeddings.position_embeddings.weight")
        .tie("cls.predictions.decoder.weight", "deberta.embeddings.word_embeddings.weight")
        .tie("cls.predictions.decoder.bias", bias);
    for part in ["dense", "LayerNorm", "classifier"] {
        for kind in ["weight", "bias"] {
            names = names.ignore(&format!("mask_predictions.{part}.{kind}"));
        }
    }
    names
}
