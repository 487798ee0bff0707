//! Vision Transformer (Dosovitskiy et al. 2020) and DeiT (Touvron et al. 2020), which has a second
//! token and head for distillation. Encoders with norms before the sublayers. Named as in the
//! `transformers` library.

use opledger_dims::Poly;
use opledger_ir::ops::{Activation, Factor, Rearrange, Source};
use opledger_ir::{Axis, Graph, Mask, Role, Var};
use opledger_nn::{
    AttentionConfig, AttentionNames, EncoderLayer, FeedForwardConfig, FeedForwardNames,
    LayerConfig, LayerNames, Linear, LinearConfig, Norm, NormConfig, Origin, Residual,
};

use super::checks::{classes, head, head_width, multiple};
use super::image::{Patches, no_text, tokens};
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
    let grid = patches.whole();
    if grid.contains(&0) {
        let why = "the image is smaller than a patch";
        return Err(keys.contradiction("image_size", "patch_size", why).into());
    }
    let (width, heads) = (keys.size("hidden_size")?, keys.size("num_attention_heads")?);
    multiple(keys, ("hidden_size", width), ("num_attention_heads", heads))?;
    head_width(keys, width, heads)?;
    let (hidden, layers) = (keys.size("intermediate_size")?, keys.times("num_hidden_layers")?);
    let activation = keys.activation("hidden_act", Activation::GeluErf)?;
    let eps = keys.epsilon_or("layer_norm_eps", 1e-12)?;
    let pooled = keys.size_or("pooler_output_size", width)?;
    let pooler_act = keys.activation("pooler_act", Activation::Tanh)?;
    let classes = classes(keys)?;

    let (c, h, l) = (r.size("c", width), r.size("h", heads), r.size("l", layers));
    let ff = r.size("ff", hidden);
    let norm = NormConfig { eps, ..NormConfig::layer() };
    let config = LayerConfig {
        attention: AttentionConfig {
            bias: keys.flag_or("qkv_bias", true)?,
            origin: Origin::Library,
            names: AttentionNames::new(
                "attention.attention.query",
                "attention.attention.key",
                "attention.attention.value",
                "attention.output.dense",
            ),
            ..AttentionConfig::new(c.clone(), h.clone())
        },
        feed_forward: FeedForwardConfig {
            activation,
            names: FeedForwardNames::new("intermediate.dense", "output.dense"),
            ..FeedForwardConfig::new(c.clone(), ff)
        },
        norm,
        residual: Residual::PreNorm,
        names: LayerNames::encoder("", "", ["layernorm_before", "layernorm_after"]),
        ..LayerConfig::new(c.clone(), h, 1)
    };

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
        let (from, to) = (("c", &c), ("k", &Poly::from(classes)));
        let classifier = Linear::new(&mut g.scope(name), from, to, LinearConfig::default())?;
        let token = token(g, x, at)?;
        Ok(classifier.forward(g, token)?)
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

/// `x` behind `n` rows of a parameter, the same for every item.
pub(super) fn behind(g: &mut Graph, name: &str, n: Poly, c: &Poly, x: Var) -> Result<Var, Problem> {
    let rows = row(g, name, n, c)?;
    let rows = g.rearrange(rows, Rearrange::Expand { axis: "b".into() })?;
    Ok(g.concat(rows, x, "n")?)
}

/// A parameter `[1, n, c]` as `[n, c]`.
pub(super) fn row(g: &mut Graph, name: &str, n: Poly, c: &Poly) -> Result<Var, Problem> {
    let axes = [Axis::new("u", 1), Axis::new("n", n), Axis::new("c", c)];
    let row = g.param(name, Source::shift(), axes)?;
    let axes = vec!["u".into(), "n".into()];
    Ok(g.rearrange(row, Rearrange::Merge { axes, into: "n".into() })?)
}
