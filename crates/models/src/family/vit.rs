//! Vision Transformer (Dosovitskiy et al. 2020) and DeiT (Touvron et al. 2020), which has a second
//! token and head for distillation. Encoders with norms before the sublayers. Named as in the
//! `transformers` library.

use opledger_dims::Poly;
use opledger_ir::ops::{Activation, Factor};
use opledger_ir::{Graph, Mask, Role, Var};
use opledger_nn::{
    AttentionConfig, EncoderLayer, FeedForwardConfig, FeedForwardNames, LayerConfig, LayerNames,
    Norm, NormConfig, Residual,
};

use super::checks::{classes, head, width_and_heads};
use super::heads::classifier;
use super::image::{Patches, attention, behind, no_text, row, tokens};
use super::recorder::{Problem, Recorder};
use super::request::Request;
use super::tokens::{pooler, token};
use crate::config::Keys;
use crate::names::Names;

/// What stands on the encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Head {
    /// The first token through a map and a function.
    Pooler,
    /// A score for each class, from the first token.
    Classes,
    /// The mean of such scores from the first token and from the token of distillation.
    Teacher,
}

/// What the families differ in.
struct VitVariant {
    scope: &'static str,
    /// The tokens before those of patches.
    tokens: &'static [&'static str],
    heads: &'static [(&'static str, Head)],
}

const VIT: VitVariant = VitVariant {
    scope: "vit",
    tokens: &["cls_token"],
    heads: &[("ViTForImageClassification", Head::Classes), ("ViTModel", Head::Pooler)],
};

const DEIT: VitVariant = VitVariant {
    scope: "deit",
    tokens: &["cls_token", "distillation_token"],
    heads: &[("DeiTForImageClassificationWithTeacher", Head::Teacher), ("DeiTModel", Head::Pooler)],
};

pub(super) fn vit(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    build(keys, request, r, &VIT)
}

pub(super) fn deit(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    build(keys, request, r, &DEIT)
}

fn build(
    keys: &Keys<'_>,
    request: &Request,
    r: &mut Recorder,
    variant: &VitVariant,
) -> Result<(), Problem> {
    let head = head(keys, variant.heads)?;
    no_text(keys, request)?;
    keys.pass_over(&["encoder_stride"]);
    let patches = Patches::read(keys)?;
    let grid = patches.grid(keys)?;
    let [width, heads] = width_and_heads(keys)?;
    let (hidden, layers) = (keys.size("intermediate_size")?, keys.times("num_hidden_layers")?);
    let activation = keys.activation("hidden_act", Activation::GeluErf)?;
    let eps = keys.epsilon_or("layer_norm_eps", 1e-12)?;
    let pooled = keys.size_or("pooler_output_size", width)?;
    let pooler_act = keys.activation("pooler_act", Activation::Tanh)?;
    let classes = classes(keys)?;

    let (c, h, l) = (r.size("c", width), r.size("h", heads), r.size("l", layers));
    let ff = r.size("ff", hidden);
    let norm = NormConfig { eps, ..NormConfig::layer() };
    let config = layer([&c, &h, &ff], activation, norm, keys.flag_or("qkv_bias", true)?);

    let g = &mut r.graph;
    let pixels = patches.input(g)?;
    let mut scope = g.scope(variant.scope);
    let m = &mut *scope;
    let mut embeddings = m.scope("embeddings");
    let x = patches.embed(&mut embeddings, pixels, grid, &c)?;
    let x = tokens(&mut embeddings, x)?;
    let x = positioned(&mut embeddings, x, variant.tokens, grid, &c)?;
    drop(embeddings);
    let layers = m.repeated("encoder.layer", l);
    let layer = EncoderLayer::new(&mut m.enter(&layers), &config)?;
    let norm = Norm::new(&mut m.scope("layernorm"), ("c", &c), norm)?;
    let x = m.repeat(&layers, x, |g, x| layer.forward(g, x, Mask::none()))?;
    let x = norm.forward(m, x)?;
    drop(scope);
    r.names = Names::default().prefix(&format!("{}.", variant.scope));
    let scores = |g: &mut Graph, name: &str, at: u64| -> Result<Var, Problem> {
        let token = token(g, x, at)?;
        Ok(classifier(g, name, token, &classes.into())?)
    };
    match head {
        Head::Pooler => {
            g.output("last_hidden_state", x);
            let pooled = if pooled == width { c } else { pooled.into() };
            pooler(&mut g.scope(variant.scope), x, pooled, pooler_act)?;
        }
        Head::Classes => {
            let scores = scores(g, "classifier", 0)?;
            g.output("logits", scores);
        }
        Head::Teacher => {
            let first = scores(g, "cls_classifier", 0)?;
            let second = scores(g, "distillation_classifier", 1)?;
            let both = g.add("both", first, second)?;
            let mean = g.scale(both, Factor::Number(0.5))?;
            g.output("logits", mean);
            g.output("cls_logits", first);
            g.output("distillation_logits", second);
        }
    }
    Ok(())
}

/// A layer of a width, heads and a hidden width.
pub(super) fn layer(
    [c, h, ff]: [&Poly; 3],
    activation: Activation,
    norm: NormConfig,
    bias: bool,
) -> LayerConfig {
    LayerConfig {
        attention: AttentionConfig { bias, ..attention(c, h) },
        feed_forward: FeedForwardConfig {
            activation,
            names: FeedForwardNames::new("intermediate.dense", "output.dense"),
            ..FeedForwardConfig::new(c, ff)
        },
        norm,
        residual: Residual::PreNorm,
        names: LayerNames::encoder("", "", ["layernorm_before", "layernorm_after"]),
        ..LayerConfig::new(c, h, 1)
    }
}

/// `[b, n, c]` with the tokens of the family before it, and positions added.
fn positioned(
    g: &mut Graph,
    x: Var,
    tokens: &[&str],
    grid: [u64; 2],
    c: &Poly,
) -> Result<Var, Problem> {
    let mut x = x;
    for name in tokens.iter().rev() {
        x = behind(g, name, Poly::one(), c, x)?;
    }
    let count = Poly::from(grid[0]) * Poly::from(grid[1]) + Poly::from(tokens.len() as u64);
    let positions = row(g, "position_embeddings", count, c)?;
    let sum = g.add("add_positions", x, positions)?;
    Ok(g.mark(sum, Role::PositionSum))
}
