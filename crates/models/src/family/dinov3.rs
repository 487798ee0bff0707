//! DINOv3 (Siméoni et al. 2025): a Vision Transformer without a table of positions, whose patches turn by
//! where they stand in the image, and tokens for the whole that do not. Named as in the `transformers` library.

use opledger_dims::Poly;
use opledger_ir::Mask;
use opledger_ir::ops::Activation;
use opledger_nn::{
    Attend, AttentionConfig, AttentionNames, EncoderLayer, FeedForwardConfig, FeedForwardNames,
    LayerConfig, LayerNames, Norm, NormConfig, Origin, Residual, RotaryEmbedding,
};

use super::checks::{head, multiple};
use super::image::{Patches, behind, no_text, row, tokens};
use super::recorder::{Problem, Recorder};
use super::request::Request;
use super::tokens::token;
use crate::config::{ConfigError, Keys};
use crate::names::Names;

/// What a backbone gives and how, and how positions change in training.
const WITHOUT_INFLUENCE: &[&str] = &[
    "apply_layernorm",
    "drop_path_rate",
    "layerscale_value",
    "out_features",
    "out_indices",
    "pos_embed_jitter",
    "pos_embed_rescale",
    "pos_embed_shift",
    "reshape_hidden_states",
    "return_class_token",
    "stage_names",
];

pub(super) fn build(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    head(keys, &[("DINOv3ViTModel", ())])?;
    no_text(keys, request)?;
    keys.pass_over(WITHOUT_INFLUENCE);
    let patches = Patches::read_or(keys, [3, 224, 16])?.of(request);
    let grid = patches.grid(keys)?;
    let (width, heads) = (keys.size("hidden_size")?, keys.size("num_attention_heads")?);
    multiple(keys, ("hidden_size", width), ("num_attention_heads", heads))?;
    if !(width / heads).is_multiple_of(4) {
        let four = "a multiple of four elements a head, whose pairs turn by two directions";
        return Err(keys.unsupported("hidden_size", four).into());
    }
    let registers = keys.whole_or("num_register_tokens", 0)?;
    let layers = keys.times("num_hidden_layers")?;
    let theta = keys.positive_or("rope_theta", 100.0)?;
    let norm = NormConfig { eps: keys.epsilon_or("layer_norm_eps", 1e-5)?, ..NormConfig::layer() };
    let (c, h, l) = (r.size("c", width), r.size("h", heads), r.size("l", layers));
    let [bias, key_bias] = biases(keys)?;
    let sides = grid.map(|side| usize::try_from(side).unwrap_or(usize::MAX));
    let rope =
        RotaryEmbedding { grid: Some(sides), still: 1 + registers, ..RotaryEmbedding::new(theta) };
    let attention = AttentionConfig {
        bias,
        key_bias,
        out_bias: keys.flag_or("proj_bias", true)?,
        rope: Some(rope.clone()),
        origin: Origin::Library,
        names: AttentionNames::new("q_proj", "k_proj", "v_proj", "o_proj"),
        ..AttentionConfig::new(c.clone(), h.clone())
    };
    let hidden = keys.size("intermediate_size")?;
    let gated = keys.flag_or("use_gated_mlp", false)?;
    let feed_forward = FeedForwardConfig {
        activation: keys.activation("hidden_act", Activation::GeluErf)?,
        gated,
        bias: keys.flag_or("mlp_bias", true)?,
        names: match gated {
            true => FeedForwardNames::gated("gate_proj", "down_proj", "up_proj"),
            false => FeedForwardNames::new("up_proj", "down_proj"),
        },
        ..FeedForwardConfig::new(c.clone(), r.size("ff", hidden))
    };
    let config = LayerConfig {
        attention,
        feed_forward,
        norm,
        residual: Residual::PreNorm,
        layer_scale: true,
        names: LayerNames::encoder("attention", "mlp", ["norm1", "norm2"]),
        ..LayerConfig::new(c.clone(), h, 1)
    };

    let g = &mut r.graph;
    let pixels = patches.input(g)?;
    let mut embeddings = g.scope("embeddings");
    let e = &mut *embeddings;
    let x = patches.embed_by(e, ("patch_embeddings", true), pixels, grid, &c)?;
    let mut x = tokens(e, x)?;
    if registers > 0 {
        x = behind(e, "register_tokens", registers.into(), &c, x)?;
    }
    let x = behind(e, "cls_token", Poly::one(), &c, x)?;
    // Stands for patches that are hidden, and none is.
    row(e, "mask_token", Poly::one(), &c)?;
    drop(embeddings);
    let layers = g.repeated("model.layer", l);
    let layer = EncoderLayer::new(&mut g.enter(&layers), &config)?;
    let norm = Norm::new(&mut g.scope("norm"), ("c", &c), norm)?;
    let cells = opledger_ir::Axis::new("n", grid[0] * grid[1]);
    let angles = rope.angles(&mut g.scope("rope_embeddings"), cells, &(width / heads).into())?;
    let x = g.repeat(&layers, x, |g, x| {
        let call = Attend { mask: Mask::none(), angles: Some(angles), ..Attend::default() };
        Ok::<_, Problem>(layer.forward_with(g, x, call)?.output)
    })?;
    let x = norm.forward(g, x)?;
    let first = token(g, x, 0)?;
    g.output("last_hidden_state", x);
    g.output("pooler_output", first);
    // Of no register tokens files have a tensor without elements.
    let names = Names::default().scope("model.layer", "layer");
    r.names = if registers == 0 { names.ignore("embeddings.register_tokens") } else { names };
    Ok(())
}

/// Whether the maps of queries and values have biases, and whether that of keys has.
fn biases(keys: &Keys<'_>) -> Result<[bool; 2], ConfigError> {
    let (query, key, value) = ("query_bias", "key_bias", "value_bias");
    let [of_queries, of_keys, of_values] =
        [keys.flag_or(query, true)?, keys.flag_or(key, false)?, keys.flag_or(value, true)?];
    if of_queries != of_values {
        let why = "biases of queries and not of values, or the other way round, are not supported";
        return Err(keys.contradiction(query, value, why));
    }
    if of_keys && !of_queries {
        let why = "biases of keys alone are not supported";
        return Err(keys.contradiction(query, key, why));
    }
    Ok([of_queries, of_keys])
}
