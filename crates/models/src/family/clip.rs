//! CLIP (Radford et al. 2021) and SigLIP (Zhai et al. 2023): an encoder of texts and an encoder of images,
//! each a model of its own, or both and how near each text is to each image. Named as in the `transformers`
//! library.

use opledger_dims::{Pointwise, Poly};
use opledger_ir::ops::{Activation, Rearrange, Reduce, Source};
use opledger_ir::{Axis, Graph, Mask, Role, SizeRole, Var};

use super::checks::{classes, head, no_past};
use super::heads::classifier;
use super::image::{Patches, mean, no_text};
use super::recorder::{Problem, Recorder};
use super::request::Request;
use super::tokens::token_ids;
use super::towers::{
    Chosen, FIRST, ImageManner, ImageTower, SECOND, TextTower, Tower, TowerDefaults, TowerSymbols,
    projected,
};
use crate::config::{ConfigError, Keys};
use crate::names::Names;

/// What the families differ in.
struct ClipVariant {
    /// What their classes begin with.
    classes: &'static str,
    text: TowerDefaults,
    /// Words and positions.
    words: [u64; 2],
    image: TowerDefaults,
    /// Channels, sides of an image and of a patch.
    pixels: [u64; 3],
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Clip,
    Siglip,
}

const CLIP: ClipVariant = ClipVariant {
    classes: "CLIP",
    text: TowerDefaults {
        sizes: [512, 2048, 12, 8],
        activation: Activation::QuickGelu,
        epsilon: 1e-5,
    },
    words: [49408, 77],
    image: TowerDefaults {
        sizes: [768, 3072, 12, 12],
        activation: Activation::QuickGelu,
        epsilon: 1e-5,
    },
    pixels: [3, 224, 32],
    kind: Kind::Clip,
};

const SIGLIP: ClipVariant = ClipVariant {
    classes: "Siglip",
    text: TowerDefaults {
        sizes: [768, 3072, 12, 12],
        activation: Activation::GeluTanh,
        epsilon: 1e-6,
    },
    words: [32000, 64],
    image: TowerDefaults {
        sizes: [768, 3072, 12, 12],
        activation: Activation::GeluTanh,
        epsilon: 1e-6,
    },
    pixels: [3, 224, 16],
    kind: Kind::Siglip,
};

/// Where the towers stand.
const TEXT: &str = "text_model";
const IMAGE: &str = "vision_model";

pub(super) fn clip(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    both(keys, request, r, &CLIP)
}

pub(super) fn siglip(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    both(keys, request, r, &SIGLIP)
}

pub(super) fn clip_text(
    keys: &Keys<'_>,
    request: &Request,
    r: &mut Recorder,
) -> Result<(), Problem> {
    text(keys, request, r, &CLIP)
}

pub(super) fn siglip_text(
    keys: &Keys<'_>,
    request: &Request,
    r: &mut Recorder,
) -> Result<(), Problem> {
    text(keys, request, r, &SIGLIP)
}

pub(super) fn clip_image(
    keys: &Keys<'_>,
    request: &Request,
    r: &mut Recorder,
) -> Result<(), Problem> {
    image(keys, request, r, &CLIP)
}

pub(super) fn siglip_image(
    keys: &Keys<'_>,
    request: &Request,
    r: &mut Recorder,
) -> Result<(), Problem> {
    image(keys, request, r, &SIGLIP)
}

impl ClipVariant {
    /// The classes of a tower, the first without an embedding.
    fn classes(&self, tower: &str) -> Vec<(String, bool)> {
        let plain = format!("{}{tower}Model", self.classes);
        match self.kind {
            Kind::Clip => vec![(plain.clone(), false), (format!("{plain}WithProjection"), true)],
            Kind::Siglip => vec![(plain, false)],
        }
    }

    fn text(&self, keys: &Keys<'_>, r: &mut Recorder) -> Result<TextTower, Problem> {
        let chosen = match self.kind {
            Kind::Siglip => Chosen::Last,
            // The library knows by this id configurations of before it read the one that ends a text.
            Kind::Clip => match keys.size_or("eos_token_id", 49407)? {
                2 => Chosen::Greatest,
                id => Chosen::Id(id),
            },
        };
        let tower = Tower::read(keys, r, self.text, FIRST)?;
        Ok(TextTower::read(keys, r, tower, (self.words, chosen))?)
    }

    fn image(
        &self,
        keys: &Keys<'_>,
        r: &mut Recorder,
        symbols: TowerSymbols,
    ) -> Result<ImageTower, Problem> {
        let manner = match self.kind {
            Kind::Clip => ImageManner::OwnRow,
            Kind::Siglip => ImageManner::Normed { pooled: keys.flag_or("vision_use_head", true)? },
        };
        let patches = Patches::read_or(keys, self.pixels)?;
        let grid = patches.square(keys)?;
        let layers = Tower::read(keys, r, self.image, symbols)?;
        Ok(ImageTower { layers, patches, grid, manner })
    }

    /// The mask of texts `[b, n]`.
    fn mask(&self, g: &mut Graph, request: &Request) -> Result<Mask, Problem> {
        let mask = match self.kind {
            Kind::Clip => Mask::causal(),
            Kind::Siglip => Mask::none(),
        };
        Ok(match request.attention_mask {
            true => mask.keeping(g.input_mask("attention_mask", ["b", "n"])?),
            false => mask,
        })
    }
}

/// The encoder of images of a family, within another model; none of a family that is none of these.
pub(super) fn image_tower(
    family: &str,
    keys: &Keys<'_>,
    r: &mut Recorder,
) -> Result<Option<(&'static str, ImageTower)>, Problem> {
    let (family, variant) = match family {
        "clip_vision_model" => ("clip_vision_model", &CLIP),
        "siglip_vision_model" => ("siglip_vision_model", &SIGLIP),
        _ => return Ok(None),
    };
    // What only other classes of the family read.
    keys.pass_over(&["architectures", "projection_dim"]);
    pass_over_others(keys);
    Ok(Some((family, variant.image(keys, r, SECOND)?)))
}

/// A model of texts.
fn text(
    keys: &Keys<'_>,
    request: &Request,
    r: &mut Recorder,
    variant: &ClipVariant,
) -> Result<(), Problem> {
    let embeds = head(keys, &variant.classes("Text"))?;
    no_past(keys, request)?;
    pass_over_others(keys);
    let width = keys.size_or("projection_dim", 512)?;
    let own = keys.optional("projection_size")?;
    let tower = variant.text(keys, r)?;
    let d = match (variant.kind, own) {
        (Kind::Clip, _) if embeds => r.size("d", width),
        (Kind::Siglip, Some(own)) if own != tower.layers.width => r.size("d", own),
        (Kind::Clip | Kind::Siglip, _) => tower.layers.c.clone(),
    };
    r.names = names(TEXT);
    let g = &mut r.graph;
    let ids = texts(g, &tower)?;
    let mask = variant.mask(g, request)?;
    let (x, row) = tower.forward(&mut g.scope(TEXT), ids, &mask)?;
    g.output("last_hidden_state", x);
    match (variant.kind, embeds) {
        (Kind::Siglip, _) => {
            let pooled = projected(&mut g.scope(TEXT), ("head", true), row, &d)?;
            g.output("pooler_output", pooled);
        }
        (Kind::Clip, false) => g.output("pooler_output", row),
        (Kind::Clip, true) => {
            let embeds = projected(g, ("text_projection", false), row, &d)?;
            g.output("text_embeds", embeds);
        }
    }
    Ok(())
}

/// A model of images.
fn image(
    keys: &Keys<'_>,
    request: &Request,
    r: &mut Recorder,
    variant: &ClipVariant,
) -> Result<(), Problem> {
    let embeds = head(keys, &variant.classes("Vision"))?;
    no_text(keys, request)?;
    pass_over_others(keys);
    let width = keys.size_or("projection_dim", 512)?;
    let tower = variant.image(keys, r, FIRST)?;
    r.names = names(IMAGE);
    let d = if embeds { r.size("d", width) } else { Poly::zero() };
    let g = &mut r.graph;
    let pixels = tower.patches.input(g)?;
    let (x, row) = tower.forward(&mut g.scope(IMAGE), pixels, "b")?;
    g.output("last_hidden_state", x);
    match (row, embeds) {
        (Some(row), true) => {
            let embeds = projected(g, ("visual_projection", false), row, &d)?;
            g.output("image_embeds", embeds);
        }
        (Some(row), false) => g.output("pooler_output", row),
        (None, _) => {}
    }
    Ok(())
}

/// Both, and how near each text is to each image.
fn both(
    keys: &Keys<'_>,
    request: &Request,
    r: &mut Recorder,
    variant: &ClipVariant,
) -> Result<(), Problem> {
    let names = ["Model", "ForImageClassification"].map(|end| variant.classes.to_owned() + end);
    let [both, classified] = names;
    if head(keys, &[(both, false), (classified, true)])? {
        return image_classes(keys, request, r, variant);
    }
    no_past(keys, request)?;
    keys.pass_over(&["is_causal", "tie_word_embeddings"]);
    pass_over_others(keys);
    let (of_text, of_image) = (inner(keys, "text_config")?, inner(keys, "vision_config")?);
    let tower = variant.text(&of_text, r)?;
    let other = variant.image(&of_image, r, SECOND)?;
    // The model has one width of embeddings for both.
    of_text.pass_over(&["projection_dim"]);
    of_image.pass_over(&["projection_dim"]);
    let d = match variant.kind {
        Kind::Clip => r.size("d", keys.size_or("projection_dim", 512)?),
        Kind::Siglip => {
            let own = of_text.optional("projection_size")?;
            if own.unwrap_or(tower.layers.width) != other.layers.width {
                let same = format!("{}, the width of images", other.layers.width);
                return Err(of_text.unsupported("projection_size", same).into());
            }
            if other.manner == (ImageManner::Normed { pooled: false }) {
                return Err(of_image.unsupported("vision_use_head", "true").into());
            }
            other.layers.c.clone()
        }
    };
    r.names = both_names();
    let g = &mut r.graph;
    let ids = texts(g, &tower)?;
    g.size_role(SizeRole::Images, "bi");
    let pixels = other.patches.input_of(g, "bi")?;
    let mask = variant.mask(g, request)?;
    let (_, text) = tower.forward(&mut g.scope(TEXT), ids, &mask)?;
    let (_, image) = other.forward(&mut g.scope(IMAGE), pixels, "bi")?;
    let Some(image) = image else { return Ok(()) };
    let (text, image) = match variant.kind {
        Kind::Clip => (
            projected(g, ("text_projection", false), text, &d)?,
            projected(g, ("visual_projection", false), image, &d)?,
        ),
        Kind::Siglip => {
            let text = projected(&mut g.scope(TEXT), ("head", true), text, &d)?;
            (text, g.rename(image, "c", "d")?)
        }
    };
    let (text, image) = (unit(g, text)?, unit(g, image)?);
    let logits = similarity(g, (text, image), variant.kind)?;
    g.output("text_embeds", text);
    g.output("image_embeds", image);
    g.output("logits_per_text", logits);
    let order = ["bi", "b"].map(Into::into).into();
    let turned = g.rearrange(logits, Rearrange::Permute { order })?;
    g.output("logits_per_image", turned);
    Ok(())
}

/// The classes of an image, by the mean of its patches; nothing of texts is read.
fn image_classes(
    keys: &Keys<'_>,
    request: &Request,
    r: &mut Recorder,
    variant: &ClipVariant,
) -> Result<(), Problem> {
    no_text(keys, request)?;
    keys.pass_over(&["is_causal", "tie_word_embeddings"]);
    pass_over_others(keys);
    let of_image = inner(keys, "vision_config")?;
    of_image.pass_over(&["projection_dim"]);
    let tower = variant.image(&of_image, r, FIRST)?;
    let k = r.size("k", classes(keys)?);
    r.names = names(IMAGE);
    let g = &mut r.graph;
    let pixels = tower.patches.input(g)?;
    let (x, _) = tower.forward(&mut g.scope(IMAGE), pixels, "b")?;
    let mean = match variant.kind {
        Kind::Clip => mean(g, x, (1, tower.grid[0] * tower.grid[1]))?,
        Kind::Siglip => g.reduce(x, Reduce::Mean("n".into()))?,
    };
    let scores = classifier(g, "classifier", mean, &k)?;
    g.output("logits", scores);
    Ok(())
}

/// Rows of length one.
fn unit(g: &mut Graph, x: Var) -> Result<Var, Problem> {
    let squares = g.pointwise(x, Pointwise::Power(2.0))?;
    let sum = g.reduce(squares, Reduce::Sum("d".into()))?;
    let length = g.pointwise(sum, Pointwise::Power(0.5))?;
    Ok(g.div("normed", x, length)?)
}

/// The products of texts `[b, d]` with images `[bi, d]`, times a learned factor, and of SigLIP a learned
/// number more.
fn similarity(g: &mut Graph, (text, image): (Var, Var), kind: Kind) -> Result<Var, Problem> {
    let one = || [Axis::new("u", 1)];
    let scale = g.param("logit_scale", Source::shift(), one())?;
    let bias = match kind {
        Kind::Clip => None,
        Kind::Siglip => Some(g.param("logit_bias", Source::shift(), one())?),
    };
    let logits = g.contract("similarity", text, image, &["d".into()])?;
    let logits = g.mark(logits, Role::Similarity);
    let factor = g.pointwise(scale, Pointwise::Exp)?;
    let into = vec!["bi".into(), Axis::new("u", 1)];
    let logits = g.rearrange(logits, Rearrange::Split { axis: "bi".into(), into })?;
    let mut logits = g.mul("scaled", logits, factor)?;
    if let Some(bias) = bias {
        logits = g.add("shifted", logits, bias)?;
        logits = g.mark(logits, Role::Bias);
    }
    let axes = vec!["bi".into(), "u".into()];
    Ok(g.rearrange(logits, Rearrange::Merge { axes, into: "bi".into() })?)
}

/// The input of texts.
fn texts(g: &mut Graph, tower: &TextTower) -> Result<Var, Problem> {
    let ids = token_ids(g, "input_ids", ["b", "n"], tower.v.clone())?;
    g.size_role(SizeRole::Batch, "b");
    g.size_role(SizeRole::Tokens, "n");
    Ok(ids)
}

/// Keys that the library knows of both towers and of their model: each class reads its own.
fn pass_over_others(keys: &Keys<'_>) {
    keys.pass_over(&[
        "hidden_act",
        "hidden_size",
        "image_size",
        "initializer_factor",
        "intermediate_size",
        "layer_norm_eps",
        "logit_scale_init_value",
        "max_position_embeddings",
        "num_attention_heads",
        "num_channels",
        "num_hidden_layers",
        "patch_size",
        "projection_dim",
        "projection_size",
        "text_config",
        "vision_config",
        "vision_use_head",
        "vocab_size",
    ]);
}

/// The configuration of a tower. What the first releases had beside it has the last word, as in the library.
fn inner<'k>(keys: &Keys<'k>, key: &str) -> Result<Keys<'k>, ConfigError> {
    let given = keys.inner(key)?;
    let first = keys.inner(&format!("{key}_dict"))?;
    first.or(given).ok_or_else(|| keys.unsupported(key, "the keys of its part"))
}

fn names(tower: &str) -> Names {
    of_tower(Names::default().prefix(&format!("{tower}.")), tower)
}

fn both_names() -> Names {
    [TEXT, IMAGE].into_iter().fold(Names::default(), of_tower)
}

/// Positions stand in files of the first releases, and queries, keys and values of what pools as one map.
pub(super) fn of_tower(names: Names, tower: &str) -> Names {
    let mut names = names.ignore(&format!("{tower}.embeddings.position_ids"));
    let attention = format!("{tower}.head.attention");
    for kind in ["weight", "bias"] {
        let maps = ["q_proj", "k_proj", "v_proj"].map(|map| format!("{attention}.{map}.{kind}"));
        let maps = maps.each_ref().map(String::as_str);
        names = names.join(&maps, &format!("{attention}.in_proj_{kind}"));
    }
    names
}
