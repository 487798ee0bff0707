//! Whisper (Radford et al. 2022): an encoder of sound, given as the strengths of frequencies in so many
//! frames, which two convolutions join in pairs, and a decoder of texts. Named as in the `transformers`
//! library.

use opledger_dims::Poly;
use opledger_ir::ops::{Activation, Rearrange, Reduce};
use opledger_ir::{Axis, Graph, Mask, Role, SizeRole, Var};
use opledger_nn::{
    Attend, AttentionConfig, Convolution, ConvolutionConfig, DecoderLayer, Embedding, EncoderLayer,
    LayerConfig, LearnedPositions, Linear, LinearConfig, LmHead, Norm, NormConfig, Residual,
};

use super::causal::{Kept, cached, causal_masks, causal_sizes, first_position, logits};
use super::checks::{classes, head, multiple, no_past, same};
use super::heads::classifier;
use super::pairs::{CROSS, decode, decoder_layer, encoder_layer, source_heads};
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
    /// The encoder and the classes of what it is given.
    SoundClasses,
}

/// What a graph is recorded with.
struct Sizes {
    /// The width.
    c: Poly,
    /// Tokens of the encoder, each of two frames.
    m: Poly,
    /// Strengths of a frame.
    strengths: u64,
    /// Positions of the decoder.
    positions: u64,
    encoder: Stack,
    decoder: Stack,
}

/// Heads, hidden width and layers of a stack.
struct Stack {
    h: Poly,
    ff: Poly,
    l: Poly,
}

impl Sizes {
    fn read(keys: &Keys<'_>, class: Class, r: &mut Recorder) -> Result<Sizes, ConfigError> {
        let width = keys.size_or("d_model", 384)?;
        let mut heads = Vec::new();
        for key in ["encoder_attention_heads", "decoder_attention_heads"] {
            let number = keys.size_or(key, 6)?;
            multiple(keys, ("d_model", width), (key, number))?;
            heads.push(number);
        }
        let own = if heads[0] == heads[1] { "h" } else { "hd" };
        let mut stack = |at: usize, name: &str, [h, ff, l]: [&str; 3]| {
            let hidden = keys.size_or(&format!("{name}_ffn_dim"), 1536)?;
            let layers = keys.whole_or(&format!("{name}_layers"), 4)?;
            let absent = match class {
                Class::Stacks | Class::Scores => false,
                Class::Causal => at == 0,
                Class::SoundClasses => at == 1,
            };
            let mut size = |symbol, size| match absent {
                true => Poly::from(size),
                false => r.size(symbol, size),
            };
            let (h, ff, l) = (size(h, heads[at]), size(ff, hidden), size(l, layers));
            Ok::<_, ConfigError>(Stack { h, ff, l })
        };
        let encoder = stack(0, "encoder", ["h", "ff", "l"])?;
        let own = if class == Class::Causal { ["h", "ff", "l"] } else { [own, "ffd", "ld"] };
        let decoder = stack(1, "decoder", own)?;
        let source = keys.size_or("max_source_positions", 1500)?;
        Ok(Sizes {
            c: r.size("c", width),
            m: if class == Class::Causal { source.into() } else { r.size("m", source) },
            strengths: keys.size_or("num_mel_bins", 80)?,
            positions: keys.size_or("max_target_positions", 448)?,
            encoder,
            decoder,
        })
    }
}

pub(super) fn build(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    let heads = [
        ("WhisperModel", Class::Stacks),
        ("WhisperForConditionalGeneration", Class::Scores),
        ("WhisperForCausalLM", Class::Causal),
        ("WhisperForAudioClassification", Class::SoundClasses),
    ];
    let class = head(keys, &heads)?;
    read_rest(keys, request, class)?;
    let sizes = Sizes::read(keys, class, r)?;
    let activation = keys.activation("activation_function", Activation::GeluErf)?;
    let tied = keys.flag_or("tie_word_embeddings", true)?;
    let projected = keys.size_or("classifier_proj_size", 256)?;
    let vocabulary = keys.size_or("vocab_size", 51865)?;
    let Sizes { c, .. } = &sizes;
    let layer = |stack: &Stack| {
        let layer = encoder_layer(c, [&stack.h, &stack.ff], activation, Residual::PreNorm);
        let attention =
            AttentionConfig { key_bias: false, scaled_queries: true, ..layer.attention };
        LayerConfig { attention, ..layer }
    };

    if class == Class::SoundClasses {
        no_past(keys, request)?;
        keys.only("use_weighted_layer_sum", false)?;
        let k = r.size("k", classes(keys)?);
        let d = r.size("d", projected);
        r.names = Names::default();
        let g = &mut r.graph;
        let sound = input(g, &sizes)?;
        let x = encode(&mut g.scope("encoder"), sound, &sizes, &layer(&sizes.encoder))?;
        let config = LinearConfig::default();
        let map = Linear::new(&mut g.scope("projector"), ("c", c), ("d", d), config)?;
        let x = map.forward(g, x)?;
        let mean = g.reduce(x, Reduce::Mean("m".into()))?;
        let scores = classifier(g, "classifier", mean, &k)?;
        g.output("logits", scores);
        return Ok(());
    }

    let positions = sizes.positions;
    let key = "max_target_positions";
    r.positions = Some(PositionLimit { key, positions, tokens: positions, computed: false });
    let v = r.size("v", vocabulary);
    r.names = names(tied);
    let g = &mut r.graph;
    if class != Class::Causal {
        g.size_role(SizeRole::Memory, "m");
    }
    let memory = match request.past || class == Class::Causal {
        true => None,
        false => {
            let sound = input(g, &sizes)?;
            let mut scope = g.scope("model.encoder");
            Some(encode(&mut scope, sound, &sizes, &layer(&sizes.encoder))?)
        }
    };
    g.size_role(SizeRole::Batch, "b");
    if let Some(memory) = memory {
        g.output("encoder_last_hidden_state", memory);
    }
    let Stack { h, l, .. } = &sizes.decoder;
    let of_decoder = decoder_layer(layer(&sizes.decoder), request);
    if let (true, Some(memory)) = (request.source, memory) {
        let mut scope = g.scope("model.decoder");
        let layers = scope.repeated("layers", l.clone());
        let maps = of_decoder.keys_and_values(&mut scope.enter(&layers))?;
        return source_heads(&mut scope, (&layers, CROSS), &maps, memory);
    }
    let name = if class == Class::Causal { "input_ids" } else { "decoder_input_ids" };
    let ids = token_ids(g, name, ["b", "n"], v.clone())?;
    causal_sizes(g, request);
    let mask = match class {
        Class::Causal => causal_masks(keys, g, request, &[None])?.pop().unwrap_or_default(),
        Class::Stacks | Class::Scores | Class::SoundClasses => Mask::none(),
    };
    let mut scope = g.scope("model.decoder");
    let d = &mut *scope;
    let words = Embedding::new(&mut d.scope("embed_tokens"), v.clone(), c.clone())?;
    let table = LearnedPositions::new(&mut d.scope("embed_positions"), positions, c.clone())?;
    let table = table.starting_at(first_position(request));
    let layers = d.repeated("layers", l.clone());
    let memory_heads = of_decoder.memory_heads && class != Class::Causal;
    let of_decoder = LayerConfig { memory_heads, ..of_decoder };
    let layer = DecoderLayer::new(&mut d.enter(&layers), &of_decoder)?;
    let norm = Norm::new(&mut d.scope("layer_norm"), ("c", c), NormConfig::layer())?;
    let x = words.forward(d, ids)?;
    let x = table.forward(d, x)?;
    let kept = Kept::heads(Axis::new("h", h), "e".into());
    let x = match class {
        Class::Causal => d.repeat(&layers, x, |g, x| {
            cached(g, request, (&layers, "self_attn", &kept), |g, past| {
                layer.forward_alone(g, x, Attend { mask, past, ..Attend::default() })
            })
        })?,
        Class::Stacks | Class::Scores | Class::SoundClasses => {
            decode(d, request, (&layers, &layer, &kept), (x, memory), &Mask::none())?
        }
    };
    let x = norm.forward(d, x)?;
    drop(scope);
    if class == Class::Stacks {
        g.output("last_hidden_state", x);
        return Ok(());
    }
    let mut scope = g.scope("proj_out");
    let head = match tied {
        true => LmHead::tied(&mut scope, &words),
        false => LmHead::new(&mut scope, c, v, false)?,
    };
    drop(scope);
    logits(g, request, x, |g, x| head.forward(g, x))
}

/// Two frames for each token of the encoder.
fn input(g: &mut Graph, sizes: &Sizes) -> Result<Var, Problem> {
    let frames = Axis::new("t", &sizes.m * &Poly::from(2));
    let axes = [Axis::from("b"), Axis::new("s", sizes.strengths), frames];
    let sound = g.input("input_features", axes)?;
    g.size_role(SizeRole::Batch, "b");
    Ok(g.mark(sound, Role::Sound))
}

/// The encoder: `[b, s, 2·m]` to `[b, m, c]`.
fn encode(g: &mut Graph, sound: Var, sizes: &Sizes, layer: &LayerConfig) -> Result<Var, Problem> {
    let Sizes { c, m, strengths, .. } = sizes;
    let window = ConvolutionConfig { padding: vec![1], ..ConvolutionConfig::along_one(3) };
    let halved = ConvolutionConfig { strides: vec![2], ..window.clone() };
    let (from, to) = (("s", *strengths), ("c", c));
    let first = Convolution::new(&mut g.scope("conv1"), from, to, window)?;
    let second = Convolution::new(&mut g.scope("conv2"), to, to, halved)?;
    let table = LearnedPositions::frozen(&mut g.scope("embed_positions"), m.clone(), c.clone())?;
    let layers = g.repeated("layers", sizes.encoder.l.clone());
    let layer = EncoderLayer::new(&mut g.enter(&layers), layer)?;
    let norm = Norm::new(&mut g.scope("layer_norm"), ("c", c), NormConfig::layer())?;
    let x = first.forward(g, sound, vec![Axis::new("t", m * &Poly::from(2))])?;
    let x = g.activation(x, Activation::GeluErf)?;
    let x = second.forward(g, x, vec![Axis::new("m", m)])?;
    let x = g.activation(x, Activation::GeluErf)?;
    let x = g.rearrange(x, Rearrange::Permute { order: ["b", "m", "c"].map(Into::into).into() })?;
    let x = table.forward(g, x)?;
    let x = g.repeat(&layers, x, |g, x| layer.forward(g, x, Mask::none()))?;
    Ok(norm.forward(g, x)?)
}

/// Keys that change nothing here, and those that have one value.
fn read_rest(keys: &Keys<'_>, request: &Request, class: Class) -> Result<(), ConfigError> {
    if request.attention_mask && class != Class::Causal {
        let problem = "this model takes sound, of which an attention_mask hides nothing: what is shorter \
                       is filled with silence";
        return Err(ConfigError::Request { origin: keys.origin(), problem: problem.to_owned() });
    }
    keys.only("is_decoder", false)?;
    if !keys.is_causal()? {
        return Err(keys.unsupported("is_causal", "true"));
    }
    let (heads, layers) = ("encoder_attention_heads", "encoder_layers");
    same(keys, &[("hidden_size", "d_model"), ("num_hidden_layers", layers)])?;
    same(keys, &[("num_attention_heads", heads), ("num_key_value_heads", heads)])?;
    // How to train and to generate, what the classifier of another class has, and what the library reads
    // and does not use.
    keys.pass_over(&[
        "activation_dropout",
        "apply_spec_augment",
        "classifier_proj_size",
        "decoder_layerdrop",
        "encoder_layerdrop",
        "forced_decoder_ids",
        "init_std",
        "is_encoder_decoder",
        "mask_feature_length",
        "mask_feature_min_masks",
        "mask_feature_prob",
        "mask_time_length",
        "mask_time_min_masks",
        "mask_time_prob",
        "median_filter_width",
        "n_positions",
        "pad_token_id",
        "scale_embedding",
        "use_weighted_layer_sum",
    ]);
    Ok(())
}

fn names(tied: bool) -> Names {
    let names = Names::default().prefix("model.");
    match tied {
        true => names.tie("proj_out.weight", "model.decoder.embed_tokens.weight"),
        false => names,
    }
}
