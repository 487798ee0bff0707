//! DINOv2 (Oquab et al. 2023) and DINOv2 with registers (Darcet et al. 2023): a Vision Transformer whose
//! sublayers' results are multiplied with a factor for each column. Named as in the `transformers` library.

use opledger_dims::Poly;
use opledger_ir::ops::{Activation, Rearrange};
use opledger_ir::{Mask, Role};
use opledger_nn::{
    AttentionConfig, EncoderLayer, FeedForwardConfig, FeedForwardNames, LayerConfig, LayerNames,
    Norm, NormConfig, Residual,
};

use super::checks::{classes, head, width_and_heads};
use super::heads::classifier;
use super::image::{Patches, attention, behind, mean, no_text, row, tokens};
use super::recorder::{Problem, Recorder};
use super::request::Request;
use super::tokens::token;
use crate::config::{ConfigError, Keys};
use crate::names::Names;

/// What stands on the encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Head {
    /// The first token.
    First,
    /// A score for each class, from the first token and the mean of those of patches.
    Classes,
}

/// What the families differ in.
struct DinoVariant {
    scope: &'static str,
    registers: bool,
    heads: &'static [(&'static str, Head)],
}

pub(super) fn dinov2(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    let heads = &[("Dinov2ForImageClassification", Head::Classes), ("Dinov2Model", Head::First)];
    build(keys, request, r, &DinoVariant { scope: "dinov2", registers: false, heads })
}

pub(super) fn with_registers(
    keys: &Keys<'_>,
    request: &Request,
    r: &mut Recorder,
) -> Result<(), Problem> {
    let heads = &[
        ("Dinov2WithRegistersForImageClassification", Head::Classes),
        ("Dinov2WithRegistersModel", Head::First),
    ];
    build(keys, request, r, &DinoVariant { scope: "dinov2_with_registers", registers: true, heads })
}

fn build(
    keys: &Keys<'_>,
    request: &Request,
    r: &mut Recorder,
    variant: &DinoVariant,
) -> Result<(), Problem> {
    let head = head(keys, variant.heads)?;
    no_text(keys, request)?;
    // The library computes the hidden width from `mlp_ratio`; what a backbone gives and how is no part of
    // these models.
    keys.pass_over(&["encoder_stride", "intermediate_size", "layerscale_value", "stage_names"]);
    keys.pass_over(&["out_features", "out_indices", "apply_layernorm", "reshape_hidden_states"]);
    let patches = Patches::read(keys)?;
    let grid = patches.square(keys)?;
    let [width, heads] = width_and_heads(keys)?;
    let layers = keys.times("num_hidden_layers")?;
    let eps = keys.epsilon_or("layer_norm_eps", 1e-6)?;
    let mask_token = variant.registers || keys.flag_or("use_mask_token", true)?;
    let registers = if variant.registers { keys.size_or("num_register_tokens", 4)? } else { 0 };
    let classes = classes(keys)?;

    let (c, h, l) = (r.size("c", width), r.size("h", heads), r.size("l", layers));
    let feed_forward = feed_forward(keys, width, &c, r)?;
    let norm = NormConfig { eps, ..NormConfig::layer() };
    let config = LayerConfig {
        attention: AttentionConfig { bias: keys.flag_or("qkv_bias", true)?, ..attention(&c, &h) },
        feed_forward,
        norm,
        residual: Residual::PreNorm,
        layer_scale: true,
        names: LayerNames::encoder("", "mlp", ["norm1", "norm2"]),
        ..LayerConfig::new(c.clone(), h, 1)
    };

    let g = &mut r.graph;
    let pixels = patches.input(g)?;
    let mut scope = g.scope(variant.scope);
    let m = &mut *scope;
    let mut embeddings = m.scope("embeddings");
    let e = &mut *embeddings;
    let x = patches.embed(e, pixels, grid, &c)?;
    let x = tokens(e, x)?;
    let x = behind(e, "cls_token", Poly::one(), &c, x)?;
    if mask_token {
        // Stands for patches that are hidden, and none is.
        row(e, "mask_token", Poly::one(), &c)?;
    }
    let count = Poly::from(grid[0] * grid[1]) + Poly::one();
    let positions = row(e, "position_embeddings", count.clone(), &c)?;
    let sum = e.add("add_positions", x, positions)?;
    let mut x = e.mark(sum, Role::PositionSum);
    if registers > 0 {
        let part = |start: Poly, len: Poly| Rearrange::Slice { axis: "n".into(), start, len };
        let first = e.rearrange(x, part(Poly::zero(), Poly::one()))?;
        let rest = e.rearrange(x, part(Poly::one(), count - Poly::one()))?;
        let rest = behind(e, "register_tokens", registers.into(), &c, rest)?;
        x = e.concat(first, rest, "n")?;
    }
    drop(embeddings);
    let layers = m.repeated("encoder.layer", l);
    let layer = EncoderLayer::new(&mut m.enter(&layers), &config)?;
    let norm = Norm::new(&mut m.scope("layernorm"), ("c", &c), norm)?;
    let x = m.repeat(&layers, x, |g, x| layer.forward(g, x, Mask::none()))?;
    let x = norm.forward(m, x)?;
    drop(scope);
    r.names = names(variant.scope);
    let first = token(g, x, 0)?;
    match head {
        Head::First => {
            g.output("last_hidden_state", x);
            g.output("pooler_output", first);
        }
        Head::Classes => {
            let mean = mean(g, x, (1 + registers, grid[0] * grid[1]))?;
            let both = g.concat(first, mean, "c")?;
            let scores = classifier(g, "classifier", both, &classes.into())?;
            g.output("logits", scores);
        }
    }
    Ok(())
}

/// The layer that works on each token alone.
fn feed_forward(
    keys: &Keys<'_>,
    width: u64,
    c: &Poly,
    r: &mut Recorder,
) -> Result<FeedForwardConfig, ConfigError> {
    let gated = keys.flag_or("use_swiglu_ffn", false)?;
    let activation = keys.activation("hidden_act", Activation::GeluErf)?;
    let ratio = keys.number_or("mlp_ratio", 4.0)?;
    // Truncated as the library does it.
    let hidden = (width as f64 * ratio) as u64;
    let hidden = if gated { ((hidden as f64 * 2.0 / 3.0) as u64).div_ceil(8) * 8 } else { hidden };
    if hidden == 0 {
        return Err(keys.unsupported("mlp_ratio", "a width of at least one"));
    }
    let (activation, names) = match gated {
        true => (Activation::Silu, FeedForwardNames::gated("gate_proj", "weights_out", "up_proj")),
        false => (activation, FeedForwardNames::new("fc1", "fc2")),
    };
    let config = FeedForwardConfig::new(c.clone(), r.size("ff", hidden));
    Ok(FeedForwardConfig { activation, gated, names, ..config })
}

/// Both maps before the function lie in files as one.
fn names(scope: &str) -> Names {
    let mut names = Names::default().prefix(&format!("{scope}."));
    let mlp = format!("{scope}.encoder.layer.*.mlp");
    for kind in ["weight", "bias"] {
        let maps = ["gate_proj", "up_proj"].map(|map| format!("{mlp}.{map}.{kind}"));
        names =
            names.join(&maps.each_ref().map(String::as_str), &format!("{mlp}.weights_in.{kind}"));
    }
    names
}
