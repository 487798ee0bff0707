//! wav2vec 2.0 (Baevski et al. 2020) and HuBERT (Hsu et al. 2021): an encoder of sound, given as its samples, which
//! convolutions make frames of; where a frame stands is told by a convolution over its neighbours. Named as in the
//! `transformers` library.

use opledger_dims::{Pointwise, Poly};
use opledger_ir::ops::{self, Activation, Rearrange, Reduce, Source};
use opledger_ir::{Axis, Graph, Mask, ModuleClass, Role, SizeRole, Var};
use opledger_nn::{
    AttentionConfig, Convolution, ConvolutionConfig, EncoderLayer, FeedForwardConfig,
    FeedForwardNames, GroupNorm, LayerConfig, LayerNames, Linear, LinearConfig, Norm, NormConfig,
    Origin, Residual, ceil_div,
};

use super::checks::{classes, head, no_past, width_and_heads};
use super::heads::classifier;
use super::recorder::{Problem, Recorder};
use super::request::Request;
use crate::config::{ConfigError, Keys};
use crate::names::Names;

/// What stands on the encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Head {
    /// Nothing.
    None,
    /// A score for each letter, of each frame.
    Letters,
    /// The classes of a sound, by the mean of its frames.
    Classes,
}

/// What is normed in the convolutions that make frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Normed {
    /// Each channel over time, behind the first.
    First,
    /// The channels of each frame, behind every one.
    Every,
}

/// Keys of training, of other classes, and of what the first releases asked.
const WITHOUT_INFLUENCE: &[&str] = &[
    "activation_dropout",
    "apply_spec_augment",
    "codevector_dim",
    "contrastive_logits_temperature",
    "ctc_loss_reduction",
    "ctc_zero_infinity",
    "diversity_loss_weight",
    "feat_extract_dropout",
    "feat_proj_dropout",
    "feat_quantizer_dropout",
    "final_dropout",
    "gradient_checkpointing",
    "hidden_dropout",
    "hidden_dropout_prob",
    "layerdrop",
    "mask_channel_length",
    "mask_channel_min_space",
    "mask_channel_other",
    "mask_channel_prob",
    "mask_channel_selection",
    "mask_feature_length",
    "mask_feature_min_masks",
    "mask_time_length",
    "mask_time_min_masks",
    "mask_time_min_space",
    "mask_time_other",
    "mask_time_selection",
    "num_codevector_groups",
    "num_codevectors_per_group",
    "num_negatives",
    "pad_token_id",
    "proj_codevector_dim",
    "tdnn_dilation",
    "tdnn_dim",
    "tdnn_kernel",
    "xvector_output_dim",
];

pub(super) fn wav2vec2(
    keys: &Keys<'_>,
    request: &Request,
    r: &mut Recorder,
) -> Result<(), Problem> {
    // Of an adapter, which there is none of.
    keys.pass_over(&["adapter_kernel_size", "adapter_stride", "num_adapter_layers"]);
    build(keys, request, r, ("wav2vec2", "Wav2Vec2", true))
}

pub(super) fn hubert(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    keys.only("conv_pos_batch_norm", false)?;
    let normed = keys.flag_or("feat_proj_layer_norm", true)?;
    build(keys, request, r, ("hubert", "Hubert", normed))
}

fn build(
    keys: &Keys<'_>,
    request: &Request,
    r: &mut Recorder,
    (scope, class, projection_normed): (&str, &str, bool),
) -> Result<(), Problem> {
    let heads = [("ForCTC", Head::Letters), ("Model", Head::None)];
    let heads = heads.into_iter().chain([("ForSequenceClassification", Head::Classes)]);
    let heads: Vec<_> = heads.map(|(end, head)| (format!("{class}{end}"), head)).collect();
    let head = head(keys, &heads)?;
    no_past(keys, request)?;
    if request.attention_mask {
        let problem =
            "of sounds of several lengths an attention_mask is not supported: give them one by one";
        return Err(ConfigError::Request { origin: keys.origin(), problem: problem.into() }.into());
    }
    keys.pass_over(WITHOUT_INFLUENCE);
    keys.only("add_adapter", false)?;
    keys.only("adapter_attn_dim", serde_json::Value::Null)?;
    keys.pass_over(&["output_hidden_size"]);
    let extractor = Extractor::read(keys)?;
    let [width, heads] = width_and_heads(keys)?;
    let (hidden, layers) =
        (keys.size_or("intermediate_size", 3072)?, keys.times("num_hidden_layers")?);
    let norm = NormConfig { eps: keys.epsilon_or("layer_norm_eps", 1e-5)?, ..NormConfig::layer() };
    let before = keys.flag_or("do_stable_layer_norm", false)?;
    // The width is shared out among groups of the convolution that tells positions, so it is a number.
    let (c, h, l) = (Poly::from(width), Poly::from(heads), r.size("l", layers));
    let config = LayerConfig {
        attention: AttentionConfig { origin: Origin::Library, ..AttentionConfig::new(&c, &h) },
        feed_forward: FeedForwardConfig {
            activation: keys.activation("hidden_act", Activation::GeluErf)?,
            names: FeedForwardNames::new("intermediate_dense", "output_dense"),
            ..FeedForwardConfig::new(&c, r.size("ff", hidden))
        },
        norm,
        residual: if before { Residual::PreNorm } else { Residual::PostNorm },
        names: LayerNames::encoder("attention", "feed_forward", ["layer_norm", "final_layer_norm"]),
        ..LayerConfig::new(&c, &h, 1)
    };
    let positions = Positions::read(keys, width)?;
    // Stands for frames that training hides, and none is.
    let hides = |key, usual| keys.number_or(key, usual).map(|share| share > 0.0);
    let hides = hides("mask_time_prob", 0.05)? | hides("mask_feature_prob", 0.0)?;
    let (letters, projected) =
        (keys.size_or("vocab_size", 32)?, keys.size_or("classifier_proj_size", 256)?);
    if head == Head::Classes {
        keys.only("use_weighted_layer_sum", false)?;
    } else {
        keys.pass_over(&["use_weighted_layer_sum"]);
    }
    let classes = classes(keys)?;

    let g = &mut r.graph;
    let sound = g.input("input_values", [Axis::from("b"), Axis::from("t")])?;
    let sound = g.mark(sound, Role::Sound);
    g.size_role(SizeRole::Batch, "b");
    let mut model = g.scope(scope);
    let m = &mut *model;
    let frames = extractor.forward(&mut m.scope("feature_extractor"), sound)?;
    let x = {
        let p = &mut *m.scope("feature_projection");
        let wide = extractor.last();
        let norm = match projection_normed {
            true => Some(Norm::new(&mut p.scope("layer_norm"), ("c", wide), norm)?),
            false => None,
        };
        let config = LinearConfig::default();
        let map = Linear::new(&mut p.scope("projection"), ("c", wide), ("c", &c), config)?;
        let x = norm.map_or(Ok(frames), |norm| norm.forward(p, frames))?;
        map.forward(p, x)?
    };
    if hides {
        m.param("masked_spec_embed", Source::shift(), [Axis::new("c", &c)])?;
    }
    let x = {
        let e = &mut *m.scope("encoder");
        let x = positions.forward(&mut e.scope("pos_conv_embed"), x, &extractor)?;
        let layers = e.repeated("layers", l);
        let layer = EncoderLayer::new(&mut e.enter(&layers), &config)?;
        let norm = Norm::new(&mut e.scope("layer_norm"), ("c", &c), norm)?;
        let x = if before { x } else { norm.forward(e, x)? };
        let x = e.repeat(&layers, x, |g, x| layer.forward(g, x, Mask::none()))?;
        if before { norm.forward(e, x)? } else { x }
    };
    drop(model);
    r.names = names(scope);
    match head {
        Head::None => g.output("last_hidden_state", x),
        Head::Letters => {
            let (from, to) = (("c", &c), ("v", &Poly::from(letters)));
            let map = Linear::new(&mut g.scope("lm_head"), from, to, LinearConfig::default())?;
            let scores = map.forward(g, x)?;
            g.output("logits", scores);
        }
        Head::Classes => {
            let (from, to) = (("c", &c), ("d", &Poly::from(projected)));
            let map = Linear::new(&mut g.scope("projector"), from, to, LinearConfig::default())?;
            let x = map.forward(g, x)?;
            let mean = g.reduce(x, Reduce::Mean("n".into()))?;
            let scores = classifier(g, "classifier", mean, &classes.into())?;
            g.output("logits", scores);
        }
    }
    Ok(())
}

/// The convolutions that make frames of samples.
struct Extractor {
    /// Channels, taps and strides of each.
    layers: Vec<[u64; 3]>,
    bias: bool,
    normed: Normed,
    activation: Activation,
}

impl Extractor {
    fn read(keys: &Keys<'_>) -> Result<Self, ConfigError> {
        let list = |key: &str, usual: [u64; 7]| match keys.get(key) {
            None => Ok(usual.to_vec()),
            Some(_) => keys.sizes(key),
        };
        let channels = list("conv_dim", [512; 7])?;
        let taps = list("conv_kernel", [10, 3, 3, 3, 3, 2, 2])?;
        let strides = list("conv_stride", [5, 2, 2, 2, 2, 2, 2])?;
        for (key, found) in [("conv_kernel", taps.len()), ("conv_stride", strides.len())] {
            if found != channels.len() {
                return Err(keys.contradiction("conv_dim", key, "they name different layers"));
            }
        }
        if channels.is_empty() || channels.len() > 64 {
            return Err(keys.unsupported("conv_dim", "from 1 to 64 layers"));
        }
        match keys.optional("num_feat_extract_layers")? {
            Some(number) if number != channels.len() as u64 => {
                let (first, second) = ("num_feat_extract_layers", "conv_dim");
                return Err(keys.contradiction(first, second, "they name different layers"));
            }
            _ => {}
        }
        let normed = match keys.text("feat_extract_norm")? {
            None | Some("group") => Normed::First,
            Some("layer") => Normed::Every,
            Some(_) => return Err(keys.unsupported("feat_extract_norm", "group, layer")),
        };
        let layers = channels.into_iter().zip(taps).zip(strides);
        Ok(Extractor {
            layers: layers.map(|((channels, taps), stride)| [channels, taps, stride]).collect(),
            bias: keys.flag_or("conv_bias", false)?,
            normed,
            activation: keys.activation("feat_extract_activation", Activation::GeluErf)?,
        })
    }

    /// Channels of a frame.
    fn last(&self) -> u64 {
        self.layers.last().map_or(1, |[channels, ..]| *channels)
    }

    /// Samples `[b, t]` to frames `[b, n, c]`.
    fn forward(&self, g: &mut Graph, sound: Var) -> Result<Var, Problem> {
        let into = vec![Axis::new("s", 1), Axis::from("t")];
        let mut x = g.rearrange(sound, Rearrange::Split { axis: "t".into(), into })?;
        let (mut inputs, mut length) = (1, Poly::from("t"));
        for (at, [channels, taps, stride]) in self.layers.iter().copied().enumerate() {
            let last = at + 1 == self.layers.len();
            let stem = if last { "n".to_owned() } else { format!("t{}", at + 1) };
            // As often as the window lies on what is given as a whole.
            let begins = &length - &Poly::from(taps - 1);
            length = ceil_div(g, &stem, &begins, &stride.into());
            let g = &mut *g.scope(&format!("conv_layers.{at}"));
            let usize = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
            let window = ConvolutionConfig {
                strides: vec![usize(stride)],
                bias: self.bias,
                ..ConvolutionConfig::along_one(usize(taps))
            };
            let (from, to) = (("s", inputs), ("c", channels));
            let map = Convolution::new(&mut g.scope("conv"), from, to, window)?;
            let axis = if last { "n" } else { "t" };
            x = map.forward(g, x, vec![Axis::new(axis, &length)])?;
            x = self.normed(g, x, (at, channels, axis))?;
            x = g.activation(x, self.activation)?;
            inputs = channels;
        }
        turned(g, x, ["b", "n", "c"])
    }

    /// What is normed behind a convolution: `[b, c, t]` to the same shape.
    fn normed(
        &self,
        g: &mut Graph,
        x: Var,
        (at, channels, axis): (usize, u64, &str),
    ) -> Result<Var, Problem> {
        let scope = "layer_norm";
        match self.normed {
            Normed::First if at == 0 => {
                let norm = GroupNorm::new(&mut g.scope(scope), channels, channels, 1e-5)?;
                Ok(norm.forward(g, x)?)
            }
            Normed::First => Ok(x),
            Normed::Every => {
                let norm = Norm::layer(&mut g.scope(scope), ("c", channels))?;
                let x = turned(g, x, ["b", axis, "c"])?;
                let x = norm.forward(g, x)?;
                turned(g, x, ["b", "c", axis])
            }
        }
    }
}

/// A convolution over neighbouring frames, whose weight is of a learned length at each tap.
struct Positions {
    c: u64,
    taps: u64,
    groups: u64,
}

impl Positions {
    fn read(keys: &Keys<'_>, width: u64) -> Result<Self, ConfigError> {
        let groups_key = "num_conv_pos_embedding_groups";
        let taps = keys.size_or("num_conv_pos_embeddings", 128)?;
        let groups = keys.size_or(groups_key, 16)?;
        super::checks::multiple(keys, ("hidden_size", width), (groups_key, groups))?;
        Ok(Positions { c: width, taps, groups })
    }

    /// `x [b, n, c]` and what the convolution tells of where each stands.
    fn forward(&self, g: &mut Graph, x: Var, extractor: &Extractor) -> Result<Var, Problem> {
        let Positions { c, taps, groups } = *self;
        let frames = g.shape(x).axes[1].size.clone();
        let module = g.scope("conv").module(ModuleClass::Convolution);
        let told = {
            let g = &mut *g.enter(&module);
            let inner = Axis::new("i", c / groups);
            let axes = [Axis::new("o", c), inner.clone(), Axis::new("k0", taps)];
            let of_length = [Axis::new("u", 1), Axis::new("u'", 1), Axis::new("k0", taps)];
            let bias = g.param("bias", Source::shift(), [Axis::new("c", c)])?;
            let lengths = g.param("weight_g", Source::gain(), of_length)?;
            let weight = g.param("weight_v", Source::weight(c / groups * taps), axes)?;
            let order = vec!["u".into(), "u'".into(), "k0".into()];
            let lengths =
                g.rearrange(lengths, Rearrange::Merge { axes: order, into: "k0".into() })?;
            let squares = g.pointwise(weight, Pointwise::Power(2.0))?;
            let all = vec!["o".into(), "i".into()];
            let squares = g.rearrange(squares, Rearrange::Merge { axes: all, into: "o".into() })?;
            let sums = g.reduce(squares, Reduce::Sum("o".into()))?;
            let own = g.pointwise(sums, Pointwise::Power(0.5))?;
            let factors = g.div("lengths", lengths, own)?;
            let weight = g.mul("weight", weight, factors)?;
            g.mark(weight, Role::NormedWeight);
            let turned = turned(g, x, ["b", "c", "n"])?;
            let results = &frames + &Poly::from(1 - taps % 2);
            let axes = [Axis::from("b"), Axis::new("c", c), Axis::new("n", results)];
            let half = usize::try_from(taps / 2).unwrap_or(usize::MAX);
            let op = ops::Convolution::new(axes, &[1], &[(half, half)], &[1], groups);
            let y = g.convolution("convolution", turned, weight, op)?;
            let y = g.add("add_bias", y, bias)?;
            g.mark(y, Role::Bias)
        };
        let (axis, start) = ("n".into(), Poly::zero());
        let told = match taps % 2 {
            0 => g.rearrange(told, Rearrange::Slice { axis, start, len: frames })?,
            _ => told,
        };
        let told = g.activation(told, extractor.activation)?;
        let told = turned(g, told, ["b", "n", "c"])?;
        let sum = g.add("add_positions", x, told)?;
        Ok(g.mark(sum, Role::PositionSum))
    }
}

/// The same value with its axes in another order.
fn turned(g: &mut Graph, x: Var, order: [&str; 3]) -> Result<Var, Problem> {
    Ok(g.rearrange(x, Rearrange::Permute { order: order.map(Into::into).into() })?)
}

/// Files have the parts of the normed weight under the names that PyTorch 2 gives them, or under those before.
fn names(scope: &str) -> Names {
    let conv = format!("{scope}.encoder.pos_conv_embed.conv");
    let names = Names::default().prefix(&format!("{scope}."));
    ["weight_g", "weight_v"].iter().enumerate().fold(names, |names, (at, own)| {
        names.rename(
            &format!("{conv}.{own}"),
            &format!("{conv}.parametrizations.weight.original{at}"),
        )
    })
}
