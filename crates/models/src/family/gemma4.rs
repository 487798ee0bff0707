//! Gemma 4 (Google DeepMind 2026), its model of texts: layers that see all tokens before them have heads of
//! another width, of which some pairs turn, and make values by the map of keys or by one of their own; norms
//! of queries, keys and values; the last layers take keys and values of the last layer of their type that
//! makes such; each layer has inputs of its own from a second table; experts may stand beside the
//! feed-forward layer. Named as in the `transformers` library.

use opledger_dims::Poly;
use opledger_ir::ops::{Activation, RopeScaling};
use opledger_ir::{Axis, Definition, Reach};
use opledger_nn::{
    AttentionConfig, AttentionNames, ExpertWeights, FeedForwardConfig, FeedForwardNames,
    MixtureConfig, NormConfig, Origin, RotaryEmbedding, Routing, ScaledRouter,
};

use super::causal::{CausalHead, Kept, causal_heads, first_position};
use super::checks::{head, multiple};
use super::gemma4_layer::LayerParts;
use super::gemma4_stack::{Gemma4Stack, Kind, OwnInputs};
use super::layer_types::{FULL, TYPES, WINDOW, kinds_by_type, kinds_of_layers};
use super::recorder::{Problem, Recorder};
use super::request::Request;
use super::stack::{Head, WordScores};
use crate::config::{ConfigError, Keys};
use crate::model::PositionLimit;
use crate::names::Names;

/// The kinds of layers: that see all, or a window.
const KINDS: [&str; 2] = [FULL, WINDOW];

const ROTATIONS: &str = "rope_parameters";
const OWN: &str = "per_layer_config";
const SHARED: &str = "num_kv_shared_layers";

/// What the library's code knows of models with images and sounds, and what it works out of other keys.
const BESIDE_TEXTS: &[&str] = &[
    "attention_chunk_size",
    "attention_context_left",
    "attention_context_right",
    "attention_invalid_logits_value",
    "attention_logit_cap",
    "audio_config",
    "audio_token_id",
    "conv_kernel_size",
    "gradient_clipping",
    "hidden_act",
    "image_token_id",
    "kv_sharing_modes",
    "output_proj_dims",
    "patch_size",
    "pooling_kernel_size",
    "position_embedding_size",
    "residual_weight",
    "standardize",
    "subsampling_conv_channels",
    "text_config",
    "use_clipped_linears",
    "video_token_id",
    "vision_config",
];

pub(super) fn text(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    let mut classes = causal_heads("Gemma4", "ForCausalLM", &[CausalHead::Words]);
    classes.push(("Gemma4TextModel".to_owned(), CausalHead::None));
    let of = head(keys, &classes)?;
    both_ways(keys)?;
    keys.pass_over(BESIDE_TEXTS);
    keys.pass_over(&["pad_token_id"]);
    let layers = layers(keys)?;
    let kinds = kinds(keys, request, r, &layers)?;
    let v = keys.size("vocab_size")?;
    let vocabulary = r.size("v", v);
    let own_inputs = own_inputs(keys, r, v)?;
    let shared = shared(keys, &layers)?;
    let tied = keys.flag_or("tie_word_embeddings", true)?;
    r.names = names();
    let soft_cap = keys.positive_unless_null("final_logit_softcapping", None)?;
    let scores = WordScores { scale: None, soft_cap };
    let head = Head { scores, ..Head::new(of, tied) };
    Gemma4Stack { vocabulary, kinds, layers, shared, own_inputs, head }.record(keys, request, r)
}

/// Refuses tokens that see those after them.
fn both_ways(keys: &Keys<'_>) -> Result<(), ConfigError> {
    let key = "use_bidirectional_attention";
    match keys.get(key) {
        // Of tokens of images alone.
        None => Ok(()),
        Some(value) if value == "vision" => Ok(()),
        Some(_) => Err(keys.unsupported(key, "vision or null: texts see what is before them")),
    }
}

/// The kind of each layer: as `layer_types` says, or every sixth sees all. The last one does, whatever is
/// said of it.
fn layers(keys: &Keys<'_>) -> Result<Vec<usize>, ConfigError> {
    let mut layers = match keys.get(TYPES) {
        None => kinds_of_layers(keys, |layer| usize::from(!(layer + 1).is_multiple_of(6)))?,
        Some(_) => kinds_by_type(keys, KINDS)?,
    };
    if let Some(last) = layers.last_mut() {
        *last = 0;
    }
    Ok(layers)
}

/// How many layers at the end take keys and values of others.
fn shared(keys: &Keys<'_>, layers: &[usize]) -> Result<usize, ConfigError> {
    let shared = keys.whole_or(SHARED, 0)?;
    let all =
        || keys.contradiction(SHARED, "num_hidden_layers", "fewer layers share than there are");
    if shared == 0 {
        return Ok(0);
    }
    let own = (layers.len() as u64).checked_sub(shared).filter(|own| *own > 0).ok_or_else(all)?;
    let own = own as usize;
    match layers[own..].iter().all(|kind| layers[..own].contains(kind))
        && layers[..own].iter().all(|kind| layers.contains(kind))
    {
        true => Ok(layers.len() - own),
        false => {
            let why = "of each type of layer one makes the keys and values that others share";
            Err(keys.contradiction(SHARED, TYPES, why))
        }
    }
}

/// Where files have what layers hold in other forms.
fn names() -> Names {
    let at = "model.layers.*";
    let both = ["w1", "w3"].map(|map| format!("{at}.experts.{map}.weight"));
    let second = format!("{at}.experts.w2.weight");
    let names = Names::default()
        .prefix("model.")
        .rename(&format!("{at}.gate.weight"), &format!("{at}.router.proj.weight"))
        .join(&both.each_ref().map(String::as_str), &format!("{at}.experts.gate_up_proj"))
        .rename(&second, &format!("{at}.experts.down_proj"));
    both.iter().chain([&second]).fold(names, |names, map| names.within_each(map))
}

/// The table of inputs of each layer, where there is one, for a vocabulary of so many words.
fn own_inputs(keys: &Keys<'_>, r: &mut Recorder, v: u64) -> Result<Option<OwnInputs>, ConfigError> {
    let rows = keys.size_or("vocab_size_per_layer_input", 262_144)?;
    let width = match keys.get("hidden_size_per_layer_input") {
        None => 256,
        Some(_) => keys.whole_or("hidden_size_per_layer_input", 256)?,
    };
    if width == 0 {
        return Ok(None);
    }
    let rows = if rows == v { Poly::from("v") } else { r.size("vp", rows) };
    Ok(Some(OwnInputs { rows, width: r.size("pl", width) }))
}

/// The heads of layers of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Heads {
    kv_heads: u64,
    head_dim: u64,
}

/// The heads of the kinds of layers: in an object for each layer that has others than most, or in keys of
/// layers that see all.
fn heads(keys: &Keys<'_>, layers: &[usize]) -> Result<[Heads; 2], ConfigError> {
    let usual = Heads {
        kv_heads: keys.size_or("num_key_value_heads", 4)?,
        head_dim: keys.size_or("head_dim", 256)?,
    };
    let (width, number) = ("global_head_dim", "num_global_key_value_heads");
    let Some(own) = keys.inner(OWN)? else {
        let apart = keys.flag_or("attention_k_eq_v", false)?;
        let kv_heads = keys.optional(number)?.filter(|_| apart).unwrap_or(usual.kv_heads);
        return Ok([Heads { kv_heads, head_dim: keys.size_or(width, 512)? }, usual]);
    };
    keys.pass_over(&[width, number]);
    let mut found = [None; 2];
    for (layer, kind) in layers.iter().enumerate() {
        // Numbers have as many digits as the last layer's.
        let digits = layers.len().saturating_sub(1).to_string().len();
        let names = [layer.to_string(), format!("{layer:0digits$}")];
        let name = names.iter().find(|name| own.get(name).is_some());
        let of_layer = match name.map(|name| own.inner(name)).transpose()?.flatten() {
            Some(own) => Heads {
                kv_heads: own.size_or("num_key_value_heads", usual.kv_heads)?,
                head_dim: own.size_or("head_dim", usual.head_dim)?,
            },
            None => usual,
        };
        if *found[*kind].get_or_insert(of_layer) != of_layer {
            return Err(keys.unsupported(OWN, "the same heads in all layers of a type"));
        }
    }
    Ok(found.map(|own| own.unwrap_or(usual)))
}

/// How the heads of a kind of layers turn.
fn rotation(
    keys: &Keys<'_>,
    request: &Request,
    (kind, width): (usize, u64),
) -> Result<RotaryEmbedding, ConfigError> {
    let offset = first_position(request);
    let pairs = |share: f64| (share * width as f64 / 2.0).floor() as usize;
    let proportional = |pairs, factor| RopeScaling::Proportional { pairs, factor };
    let made = |theta, scaling| RotaryEmbedding { offset, scaling, ..RotaryEmbedding::new(theta) };
    let Some(all) = keys.inner(ROTATIONS)? else {
        return Ok(match kind {
            0 => made(1e6, proportional(pairs(0.25), 1.0)),
            _ => made(1e4, RopeScaling::None),
        });
    };
    let Some(own) = all.inner(KINDS[kind])? else {
        return Err(keys.unsupported(ROTATIONS, format!("an object for `{}`", KINDS[kind])));
    };
    let (theta, share) = (own.positive("rope_theta")?, "partial_rotary_factor");
    match own.text("rope_type")? {
        None | Some("default") => {
            own.pass_over(&[share, "factor"]);
            Ok(made(theta, RopeScaling::None))
        }
        Some("proportional") => {
            let turned = own.number_or(share, 1.0)?;
            if turned > 1.0 {
                return Err(own.unsupported(share, "a share of each head"));
            }
            let factor = own.positive_or("factor", 1.0)?;
            Ok(made(theta, proportional(pairs(turned), factor)))
        }
        Some(_) => Err(own.unsupported("rope_type", "default, proportional")),
    }
}

/// What the kinds of layers are made of.
fn kinds(
    keys: &Keys<'_>,
    request: &Request,
    r: &mut Recorder,
    layers: &[usize],
) -> Result<[Kind; 2], Problem> {
    let (width, all) = (keys.size("hidden_size")?, keys.size("num_attention_heads")?);
    let (c, h) = (r.size("c", width), r.size("h", all));
    let [full, window] = heads(keys, layers)?;
    // Where no layer sees a window there are no heads of such.
    let window = if layers.contains(&1) { window } else { full };
    let of_values = keys.flag_or("attention_k_eq_v", false)?;
    let bias = keys.flag_or("attention_bias", false)?;
    let norm = NormConfig { eps: keys.epsilon_or("rms_norm_eps", 1e-6)?, ..NormConfig::rms() };
    let reach = keys.size_or("sliding_window", 512)?;
    let activation = keys.activation("hidden_activation", Activation::GeluTanh)?;
    let wide = keys.flag_or("use_double_wide_mlp", false)?;
    let hidden = keys.size("intermediate_size")?;
    let hidden = r.size("ff", hidden);
    let feed_forward = FeedForwardConfig {
        activation,
        gated: true,
        bias: false,
        names: FeedForwardNames::gated("gate_proj", "down_proj", "up_proj"),
        ..FeedForwardConfig::new(c.clone(), hidden.clone())
    };
    let sharing = FeedForwardConfig {
        dim_feedforward: if wide { &hidden * &Poly::from(2) } else { hidden },
        ..feed_forward.clone()
    };
    let mixture = mixture(keys, r, (&c, activation, norm.eps))?;
    if let Some(positions) = keys.optional("max_position_embeddings")? {
        let key = "max_position_embeddings";
        r.positions = Some(PositionLimit { key, positions, tokens: positions, computed: true });
    }
    // With c = h·e formulas are written with c.
    if window.head_dim * all == width {
        let factors = ["h".into(), "e".into()];
        r.graph.define(Definition::Product { whole: "c".into(), factors });
    }
    let mut kind = |kind: usize| -> Result<Kind, Problem> {
        let own = [full, window][kind];
        let key = ["num_global_key_value_heads", "num_key_value_heads"][kind];
        multiple(keys, ("num_attention_heads", all), (key, own.kv_heads))?;
        if own.head_dim % 2 == 1 {
            let key = ["global_head_dim", "head_dim"][kind];
            let pairs = "an even head width, since the rotation turns pairs";
            return Err(keys.unsupported(key, pairs).into());
        }
        let kv = match own.kv_heads {
            same if same == all => h.clone(),
            other if kind == 0 && other != window.kv_heads => r.size("gkv", other),
            other => r.size("kv", other),
        };
        let e = match own.head_dim {
            other if kind == 0 && other != window.head_dim => r.size("ge", other),
            other => r.size("e", other),
        };
        let shared = Axis::new(if kv == h { "h" } else { "g" }, kv.clone());
        let rope = rotation(keys, request, (kind, own.head_dim))?;
        let attention = AttentionConfig {
            kv_heads: Some(kv),
            head_dim: Some(e.clone()),
            bias,
            out_bias: bias,
            qk_norm: Some(norm),
            value_norm: Some(NormConfig { weight: false, ..norm }),
            keys_as_values: of_values && kind == 0,
            rope: Some(rope),
            scaled: false,
            origin: Origin::Library,
            names: AttentionNames::new("q_proj", "k_proj", "v_proj", "o_proj"),
            ..AttentionConfig::new(&c, &h)
        };
        let parts = LayerParts {
            attention,
            feed_forward: feed_forward.clone(),
            mixture: mixture.clone(),
            norm,
            own_input: None,
        };
        let sharing = LayerParts {
            attention: AttentionConfig { given_heads: true, ..parts.attention.clone() },
            feed_forward: sharing.clone(),
            ..parts.clone()
        };
        let reach = (kind == 1).then_some(Reach::Window(reach));
        Ok(Kind { parts, sharing, kept: Kept::heads(shared, Axis::new("e", e)), reach })
    };
    Ok([kind(0)?, kind(1)?])
}

/// The experts, where there are any.
fn mixture(
    keys: &Keys<'_>,
    r: &mut Recorder,
    (c, activation, eps): (&Poly, Activation, f64),
) -> Result<Option<MixtureConfig>, ConfigError> {
    let (number, chosen, hidden) = ("num_experts", "top_k_experts", "moe_intermediate_size");
    if !keys.flag_or("enable_moe_block", false)? {
        keys.pass_over(&[number, chosen, hidden]);
        return Ok(None);
    }
    let (all, of_token, width) = (keys.size(number)?, keys.size(chosen)?, keys.size(hidden)?);
    if of_token > all {
        let why = "more experts are to run than there are";
        return Err(keys.contradiction(chosen, number, why));
    }
    let scaled = Some(ScaledRouter { scope: "router".to_owned(), eps });
    Ok(Some(MixtureConfig {
        d_model: c.clone(),
        dim_feedforward: r.size("fx", width),
        num_experts: r.size("x", all),
        experts_per_token: r.size("k", of_token),
        activation,
        routing: Routing { scaled, ..Routing::new(ExpertWeights::ShareOfChosen) },
        bias: false,
        gated: true,
        clamped: None,
        latent: None,
        shared: None,
        frozen: false,
    }))
}
