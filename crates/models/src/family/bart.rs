//! BART (Lewis et al. 2019) and what is built like it: mBART (Liu et al. 2020), Marian (Junczys-Dowmunt
//! et al. 2018), PEGASUS (Zhang et al. 2019). An encoder and a decoder with LayerNorm and positions in a
//! table. Named as in the `transformers` library.

use opledger_dims::Poly;
use opledger_ir::ops::{Activation, Factor, Rearrange, Source};
use opledger_ir::{Axis, Graph, Mask, SizeRole, Var};
use opledger_nn::{
    Attend, DecoderLayer, Embedding, EncoderLayer, LayerConfig, LearnedPositions, LmHead, NnError,
    Norm, NormConfig, Residual,
};

use super::causal::{Kept, cached, causal_masks, causal_sizes, first_position, logits};
use super::checks::{classes, head, multiple, no_past, same};
use super::heads::answer;
use super::pairs::{
    CROSS, First, decode, decoder_layer, encoder_layer, moved_on, source_heads, text_classes,
    unpadded,
};
use super::recorder::{Problem, Recorder};
use super::request::Request;
use super::tokens::token_ids;
use crate::config::{ConfigError, Keys};
use crate::model::PositionLimit;
use crate::names::Names;

/// Which parts a class has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// Both stacks.
    Stacks,
    /// Both stacks and a score for each word.
    Scores,
    /// The decoder alone, which attends to itself, and a score for each word.
    Causal,
    /// Both stacks, given the same text, and its classes.
    TextClasses,
    /// Both stacks, given the same text, and where the answer to a question begins and ends in it.
    Answer,
}

/// What the families differ in.
struct Variant {
    /// The classes; the first is that of a configuration that names none.
    classes: &'static [(&'static str, Class)],
    /// Where norms stand; before the sublayers, there is one behind each stack as well.
    residual: Residual,
    /// Whether embeddings are normed.
    embedding_norm: bool,
    positions: Positions,
    /// Whether a decoder that is given the encoder's text begins with its last token.
    begins_with_last: bool,
    /// How many classes there are where no key says.
    classes_by_default: u64,
}

/// The table of positions of a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Positions {
    /// Learned, two rows before the first position.
    Learned,
    /// Sines and cosines, which training leaves alone.
    Sinusoids,
}

/// Rows of a learned table that stand before the first position.
const BEFORE: u64 = 2;

const BART: Variant = Variant {
    classes: &[
        ("BartModel", Class::Stacks),
        ("BartForConditionalGeneration", Class::Scores),
        ("BartForCausalLM", Class::Causal),
        ("BartForSequenceClassification", Class::TextClasses),
        ("BartForQuestionAnswering", Class::Answer),
    ],
    residual: Residual::PostNorm,
    embedding_norm: true,
    positions: Positions::Learned,
    begins_with_last: false,
    classes_by_default: 3,
};

const MBART: Variant = Variant {
    classes: &[
        ("MBartModel", Class::Stacks),
        ("MBartForConditionalGeneration", Class::Scores),
        ("MBartForCausalLM", Class::Causal),
        ("MBartForSequenceClassification", Class::TextClasses),
        ("MBartForQuestionAnswering", Class::Answer),
    ],
    residual: Residual::PreNorm,
    begins_with_last: true,
    classes_by_default: 2,
    ..BART
};

const MARIAN: Variant = Variant {
    classes: &[
        ("MarianModel", Class::Stacks),
        ("MarianMTModel", Class::Scores),
        ("MarianForCausalLM", Class::Causal),
    ],
    embedding_norm: false,
    positions: Positions::Sinusoids,
    ..BART
};

const PEGASUS: Variant = Variant {
    classes: &[
        ("PegasusModel", Class::Stacks),
        ("PegasusForConditionalGeneration", Class::Scores),
        ("PegasusForCausalLM", Class::Causal),
    ],
    residual: Residual::PreNorm,
    ..MARIAN
};

pub(super) fn bart(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    build(keys, request, r, &BART)
}

pub(super) fn mbart(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    build(keys, request, r, &MBART)
}

pub(super) fn marian(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    keys.only("share_encoder_decoder_embeddings", true)?;
    let vocabulary = keys.size("vocab_size")?;
    if keys.size_or("decoder_vocab_size", vocabulary)? != vocabulary {
        let supported = format!("{vocabulary}, the words of the encoder");
        return Err(keys.unsupported("decoder_vocab_size", supported).into());
    }
    build(keys, request, r, &MARIAN)
}

pub(super) fn pegasus(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    build(keys, request, r, &PEGASUS)
}

/// What a stack is made of beside its layers.
struct Stack {
    words: Embedding,
    positions: LearnedPositions,
    /// The square root of what embeddings are multiplied by, if they are.
    scale: Option<Poly>,
    embedding_norm: Option<Norm>,
    last_norm: Option<Norm>,
}

impl Stack {
    /// Ids to what the first layer is given.
    fn embed(&self, g: &mut Graph, ids: Var) -> Result<Var, NnError> {
        let x = self.words.forward(g, ids)?;
        let x = match &self.scale {
            Some(width) => g.scale(x, Factor::Sqrt(width.clone()))?,
            None => x,
        };
        let x = self.positions.forward(g, x)?;
        self.embedding_norm.as_ref().map_or(Ok(x), |norm| norm.forward(g, x))
    }

    /// What the last layer gives to the result.
    fn end(&self, g: &mut Graph, x: Var) -> Result<Var, NnError> {
        self.last_norm.as_ref().map_or(Ok(x), |norm| norm.forward(g, x))
    }
}

/// The sizes of a model.
struct Sizes {
    c: Poly,
    v: Poly,
    positions: u64,
    /// Heads, hidden width and layers of the encoder and of the decoder.
    stacks: [[Poly; 3]; 2],
}

impl Sizes {
    /// Of a decoder alone, as of any other, `h` are the heads, `ff` is the hidden width and `l` the layers.
    fn read(keys: &Keys<'_>, class: Class, r: &mut Recorder) -> Result<Sizes, ConfigError> {
        let width = keys.size("d_model")?;
        let mut heads = Vec::new();
        for key in ["encoder_attention_heads", "decoder_attention_heads"] {
            let number = keys.size_or(key, 16)?;
            multiple(keys, ("d_model", width), (key, number))?;
            heads.push(number);
        }
        let positions = keys.size_or("max_position_embeddings", 1024)?;
        let key = "max_position_embeddings";
        r.positions = Some(PositionLimit { key, positions, tokens: positions, computed: false });
        let mut stack = |at: usize, name: &str, [h, ff, l]: [&str; 3]| {
            let ff_key = format!("{name}_ffn_dim");
            let (hidden, layers) =
                (keys.size_or(&ff_key, 4096)?, keys.whole_or(&format!("{name}_layers"), 12)?);
            Ok::<_, ConfigError>([r.size(h, heads[at]), r.size(ff, hidden), r.size(l, layers)])
        };
        let stacks = match class {
            Class::Causal => {
                keys.pass_over(&["encoder_ffn_dim", "encoder_layers"]);
                let decoder = stack(1, "decoder", ["h", "ff", "l"])?;
                [decoder.clone(), decoder]
            }
            Class::Stacks | Class::Scores | Class::TextClasses | Class::Answer => {
                let own = if heads[0] == heads[1] { "h" } else { "hd" };
                let encoder = stack(0, "encoder", ["h", "ff", "l"])?;
                [encoder, stack(1, "decoder", [own, "ffd", "ld"])?]
            }
        };
        let (c, v) = (r.size("c", width), r.size("v", keys.size("vocab_size")?));
        Ok(Sizes { c, v, positions, stacks })
    }
}

fn build(
    keys: &Keys<'_>,
    request: &Request,
    r: &mut Recorder,
    variant: &Variant,
) -> Result<(), Problem> {
    let class = head(keys, variant.classes)?;
    read_rest(keys, class)?;
    let sizes = Sizes::read(keys, class, r)?;
    let activation = keys.activation("activation_function", Activation::GeluErf)?;
    let scaled = keys.flag_or("scale_embedding", false)?;
    match class {
        Class::Stacks | Class::Scores | Class::Causal => {}
        Class::TextClasses | Class::Answer => no_past(keys, request)?,
    }
    let k = match class {
        Class::TextClasses => {
            unpadded(keys, request, "the class of a text is read off the token that ends it")?;
            let named = keys.get("id2label").is_some() || keys.get("num_labels").is_some();
            let number = if named { classes(keys)? } else { variant.classes_by_default };
            r.size("k", number)
        }
        Class::Answer => {
            if variant.begins_with_last {
                unpadded(keys, request, "the decoder begins with the last token of the text")?;
            }
            // The library makes two, whatever keys say.
            keys.pass_over(&["id2label", "label2id", "num_labels"]);
            Poly::from(2)
        }
        Class::Stacks | Class::Scores | Class::Causal => Poly::one(),
    };
    let first = match variant.begins_with_last {
        true => First::Last,
        false => First::Token(keys.whole_or("decoder_start_token_id", 2)?),
    };
    r.names = names(class, variant.positions);

    let Sizes { c, v, .. } = &sizes;
    let layer = |stack: usize| {
        let [h, ff, _] = &sizes.stacks[stack];
        encoder_layer(c, [h, ff], activation, variant.residual)
    };
    let stack = |g: &mut Graph, words: &Embedding, first: Poly| -> Result<Stack, NnError> {
        let table = |g: &mut Graph| match variant.positions {
            Positions::Learned => {
                let table = LearnedPositions::new(g, sizes.positions + BEFORE, c.clone())?;
                Ok::<_, NnError>(table.starting_at(first + Poly::from(BEFORE)))
            }
            Positions::Sinusoids => {
                let table = LearnedPositions::frozen(g, sizes.positions, c.clone())?;
                Ok(table.starting_at(first))
            }
        };
        let positions = g.within("embed_positions", table)?;
        let mut norm = |name: &str, wanted: bool| match wanted {
            true => Norm::new(&mut g.scope(name), ("c", c), NormConfig::layer()).map(Some),
            false => Ok(None),
        };
        Ok(Stack {
            words: words.clone(),
            positions,
            scale: scaled.then(|| c.clone()),
            embedding_norm: norm("layernorm_embedding", variant.embedding_norm)?,
            last_norm: norm("layer_norm", variant.residual == Residual::PreNorm)?,
        })
    };
    let of_decoder = decoder_layer(layer(1), request);

    let g = &mut r.graph;
    if class == Class::Causal {
        let ids = token_ids(g, "input_ids", ["b", "n"], v.clone())?;
        causal_sizes(g, request);
        let mask = causal_masks(keys, g, request, &[None])?.pop().unwrap_or_default();
        let mut scope = g.scope("model.decoder");
        let m = &mut *scope;
        let words = Embedding::new(&mut m.scope("embed_tokens"), v.clone(), c.clone())?;
        let stack = stack(m, &words, first_position(request))?;
        let [h, _, l] = &sizes.stacks[1];
        let layers = m.repeated("layers", l.clone());
        let config = LayerConfig { memory_heads: false, ..of_decoder };
        let layer = DecoderLayer::new(&mut m.enter(&layers), &config)?;
        let x = stack.embed(m, ids)?;
        let kept = Kept::heads(Axis::new("h", h), "e".into());
        let x = m.repeat(&layers, x, |g, x| {
            cached(g, request, (&layers, "self_attn", &kept), |g, past| {
                layer.forward_alone(g, x, Attend { mask, past, ..Attend::default() })
            })
        })?;
        let x = stack.end(m, x)?;
        drop(scope);
        let head = LmHead::tied(&mut g.scope("lm_head"), &words);
        return logits(g, request, x, |g, x| head.forward(g, x));
    }

    // One text alone has its tokens in `n`, whichever stacks it is given to.
    let (source, role) = match class {
        Class::TextClasses | Class::Answer => ("n", SizeRole::Tokens),
        Class::Stacks | Class::Scores | Class::Causal => ("m", SizeRole::Memory),
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
    let padding = Mask { keep, ..Mask::none() };
    let words = Embedding::new(&mut g.scope("model.shared"), v.clone(), c.clone())?;
    let encode = |g: &mut Graph, ids: Var| -> Result<Var, Problem> {
        let mut scope = g.scope("model.encoder");
        let m = &mut *scope;
        let encoder = stack(m, &words, Poly::zero())?;
        let layers = m.repeated("layers", sizes.stacks[0][2].clone());
        let layer = EncoderLayer::new(&mut m.enter(&layers), &layer(0))?;
        let x = encoder.embed(m, ids)?;
        let x = m.repeat(&layers, x, |g, x| layer.forward(g, x, padding.clone()))?;
        Ok(encoder.end(m, x)?)
    };
    let memory = ids.map(|ids| encode(g, ids)).transpose()?;
    if let Some(memory) = memory {
        g.output("encoder_last_hidden_state", memory);
    }
    let [h, _, depth] = &sizes.stacks[1];
    if let (true, Some(memory)) = (request.source, memory) {
        let mut scope = g.scope("model.decoder");
        let layers = scope.repeated("layers", depth.clone());
        let maps = of_decoder.keys_and_values(&mut scope.enter(&layers))?;
        return source_heads(&mut scope, (&layers, CROSS), &maps, memory);
    }
    let targets = match (source, ids) {
        ("n", Some(ids)) => moved_on(g, ids, first)?,
        _ => token_ids(g, "decoder_input_ids", ["b", "n"], v.clone())?,
    };
    causal_sizes(g, request);
    let mut scope = g.scope("model.decoder");
    let m = &mut *scope;
    let decoder = stack(m, &words, first_position(request))?;
    let layers = m.repeated("layers", depth.clone());
    let layer = DecoderLayer::new(&mut m.enter(&layers), &of_decoder)?;
    let x = decoder.embed(m, targets)?;
    let kept = Kept::heads(Axis::new("h", h), "e".into());
    let x = decode(m, request, (&layers, &layer, &kept), (x, memory), &padding)?;
    let x = decoder.end(m, x)?;
    drop(scope);
    match class {
        Class::Stacks | Class::Causal => g.output("last_hidden_state", x),
        Class::TextClasses => text_classes(g, x, &k)?,
        Class::Answer => answer(g, x)?,
        Class::Scores => {
            let head = LmHead::tied(&mut g.scope("lm_head"), &words);
            let bias = final_bias(g, v)?;
            logits(g, request, x, |g, x| {
                let scores = head.forward(g, x)?;
                Ok(g.add("add_final_bias", scores, bias)?)
            })?;
        }
    }
    Ok(())
}

/// Keys that change nothing here, and those that have one value.
fn read_rest(keys: &Keys<'_>, class: Class) -> Result<(), ConfigError> {
    keys.only("tie_word_embeddings", true)?;
    if class == Class::Causal {
        keys.pass_over(&["is_decoder"]);
    } else {
        keys.only("is_decoder", false)?;
        if !keys.is_causal()? {
            return Err(keys.unsupported("is_causal", "true"));
        }
    }
    same(
        keys,
        &[
            ("hidden_size", "d_model"),
            ("num_attention_heads", "encoder_attention_heads"),
            ("num_hidden_layers", "encoder_layers"),
        ],
    )?;
    // How to train and to generate; and what the first releases asked, whose answers a family has in its
    // code since.
    keys.pass_over(&[
        "activation_dropout",
        "add_bias_logits",
        "add_final_layer_norm",
        "classif_dropout",
        "decoder_layerdrop",
        "decoder_start_token_id",
        "encoder_layerdrop",
        "extra_pos_embeddings",
        "force_bos_token_to_be_generated",
        "init_std",
        "is_encoder_decoder",
        "normalize_before",
        "normalize_embedding",
        "pad_token_id",
        "prefix",
        "static_position_embeddings",
    ]);
    Ok(())
}

/// What is added to the scores: no parameter, since training leaves it alone and nobody counts it.
fn final_bias(g: &mut Graph, v: &Poly) -> Result<Var, Problem> {
    let axes = vec![Axis::new("one", 1), Axis::new("v", v)];
    let bias = g.record("final_logits_bias", Source::Buffer { axes }, &[])?;
    let axes = vec!["one".into(), "v".into()];
    Ok(g.rearrange(bias, Rearrange::Merge { axes, into: "v".into() })?)
}

fn names(class: Class, positions: Positions) -> Names {
    let words = match class {
        Class::Causal => "model.decoder.embed_tokens.weight",
        Class::Stacks | Class::Scores | Class::TextClasses | Class::Answer => "model.shared.weight",
    };
    let mut names = Names::default().prefix("model.").tie("lm_head.weight", words);
    if class != Class::Scores {
        names = names.ignore("final_logits_bias");
    }
    for stack in ["model.encoder", "model.decoder"] {
        names = names.ignore(&format!("{stack}.version"));
        if class != Class::Causal {
            names = names.tie(&format!("{stack}.embed_tokens.weight"), words);
        }
        if positions == Positions::Sinusoids {
            names = names.sinusoids(&format!("{stack}.embed_positions.weight"));
        }
    }
    names
}
