//! Swin Transformer (Liu et al. 2021) and its second version (Liu et al. 2022): attention within windows, every
//! second time shifted, in stages between which four neighbouring tokens become one. Named as in the
//! `transformers` library.

use opledger_ir::ops::{Activation, Rearrange, Reduce};
use opledger_ir::{Graph, ModuleClass, Role, Var};
use opledger_nn::{
    CosineWindowAttention, CosineWindowConfig, FeedForward, FeedForwardConfig, FeedForwardNames,
    Linear, LinearConfig, NnError, Norm, NormConfig, VitAttentionConfig, WindowAttention,
    WindowAttentionConfig,
};

use super::checks::{classes, head, same};
use super::image::{Patches, cut, no_text, tokens};
use super::recorder::{Problem, Recorder};
use super::request::Request;
use crate::config::{ConfigError, Keys};
use crate::names::Names;

/// Every block is recorded by itself, so there is a bound to how many are.
const MAX_BLOCKS: u64 = 1 << 10;
/// The width doubles from stage to stage.
const MAX_STAGES: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    /// Norms before the sublayers, products of queries and keys, a bias for each displacement.
    One,
    /// Norms behind the sublayers, their cosines, biases that a network makes of displacements.
    Two,
}

/// What all blocks have in common.
struct Blocks {
    version: Version,
    window: u64,
    /// Of each stage, the windows that biases were learned in, where they were others.
    pretrained: Vec<Option<u64>>,
    mlp_ratio: f64,
    qkv_bias: bool,
    activation: Activation,
    norm: NormConfig,
}

/// The tokens of a stage: rows and columns, those of the images that the weights are of, width, heads.
#[derive(Clone, Copy)]
struct Stage {
    at: usize,
    grid: [u64; 2],
    made: [u64; 2],
    /// Whole patches of those images.
    first: [u64; 2],
    width: u64,
    heads: u64,
}

pub(super) fn swin(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    build(keys, request, r, (Version::One, "swin", "Swin"))
}

pub(super) fn swinv2(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    build(keys, request, r, (Version::Two, "swinv2", "Swinv2"))
}

fn build(
    keys: &Keys<'_>,
    request: &Request,
    r: &mut Recorder,
    (version, scope, class): (Version, &str, &str),
) -> Result<(), Problem> {
    let heads = [("ForImageClassification", true), ("Model", false)];
    let with_head = head(keys, &heads.map(|(end, scores)| (format!("{class}{end}"), scores)))?;
    no_text(keys, request)?;
    keys.only("use_absolute_embeddings", false)?;
    keys.pass_over(&[
        "encoder_stride",
        "hidden_size",
        "num_layers",
        "out_features",
        "out_indices",
        "path_norm",
        "stage_names",
    ]);
    same(keys, &[("num_attention_heads", "num_heads"), ("num_hidden_layers", "num_layers")])?;
    let own = Patches::read(keys)?;
    let patches = own.of(request);
    let (depths, heads) = stages(keys)?;
    let width = keys.size("embed_dim")?;
    let pretrained = match version {
        Version::One => vec![None; depths.len()],
        Version::Two => pretrained(keys, depths.len())?,
    };
    let blocks = Blocks {
        version,
        pretrained,
        window: keys.size("window_size")?,
        mlp_ratio: keys.positive_or("mlp_ratio", 4.0)?,
        qkv_bias: keys.flag_or("qkv_bias", true)?,
        activation: keys.activation("hidden_act", Activation::GeluErf)?,
        norm: NormConfig { eps: keys.epsilon_or("layer_norm_eps", 1e-5)?, ..NormConfig::layer() },
    };
    let classes = classes(keys)?;

    let g = &mut r.graph;
    let pixels = patches.input(g)?;
    let mut model = g.scope(scope);
    let m = &mut *model;
    let (grid, made, first) = (patches.all(), own.all(), own.whole());
    let mut stage = Stage { at: 0, grid, made, first, width, heads: 0 };
    let mut embeddings = m.scope("embeddings");
    let x = patches.embed(&mut embeddings, pixels, stage.grid, &width.into())?;
    let norm = Norm::layer(&mut embeddings.scope("norm"), ("c", width))?;
    let mut x = norm.forward(&mut embeddings, x)?;
    drop(embeddings);
    let last = depths.len() - 1;
    for (at, (depth, heads)) in depths.into_iter().zip(heads).enumerate() {
        (stage.at, stage.heads) = (at, heads);
        let windows = blocks.windows(keys, stage)?;
        let m = &mut *m.scope(&format!("encoder.layers.{at}"));
        for block in 0..depth {
            let shifted = block % 2 == 1;
            let m = &mut *m.scope(&format!("blocks.{block}"));
            x = blocks.record(m, x, stage, if shifted { windows } else { [windows[0], 0] })?;
        }
        if at < last {
            (x, stage) = merge(&mut m.scope("downsample"), x, stage, version)?;
        }
    }
    let norm = Norm::new(&mut m.scope("layernorm"), ("c", stage.width), blocks.norm)?;
    let x = tokens(m, x)?;
    let x = norm.forward(m, x)?;
    let pooler = m.module(ModuleClass::Pooler);
    let pooled = m.enter(&pooler).reduce(x, Reduce::Mean("n".into()))?;
    drop(model);
    r.names = match version {
        Version::One => names(),
        Version::Two => ["relative_coords_table", "relative_position_index"].iter().fold(
            Names::default().prefix("swinv2."),
            |names, own| {
                names.ignore(&format!("swinv2.encoder.layers.*.blocks.*.attention.self.{own}"))
            },
        ),
    };
    if with_head {
        let (from, to) = (("c", stage.width), ("k", classes));
        let classifier =
            Linear::new(&mut g.scope("classifier"), from, to, LinearConfig::default())?;
        let scores = classifier.forward(g, pooled)?;
        g.output("logits", scores);
    } else {
        g.output("last_hidden_state", x);
        g.output("pooler_output", pooled);
    }
    Ok(())
}

/// Blocks and heads of each stage.
fn stages(keys: &Keys<'_>) -> Result<(Vec<u64>, Vec<u64>), ConfigError> {
    let (depths, heads) = (keys.sizes("depths")?, keys.sizes("num_heads")?);
    if depths.len() != heads.len() {
        return Err(keys.contradiction("depths", "num_heads", "they name different stages"));
    }
    let blocks = depths.iter().try_fold(0_u64, |sum, depth| sum.checked_add(*depth));
    let supported = blocks.is_some_and(|blocks| (1..=MAX_BLOCKS).contains(&blocks));
    if !supported || depths.len() > MAX_STAGES {
        let bounds = format!("1 to {MAX_STAGES} stages, together of at most {MAX_BLOCKS} blocks");
        return Err(keys.unsupported("depths", bounds));
    }
    Ok((depths, heads))
}

impl Blocks {
    /// Tokens along a window, and by how many the shifted ones are: no larger than the image, as in the authors'
    /// code; this then has one window along a side. Tables of biases are those of such windows, and of no others.
    fn windows(&self, keys: &Keys<'_>, stage: Stage) -> Result<[u64; 2], ConfigError> {
        if self.version == Version::Two {
            // By the rows of the images that it was made for, halved without a rest, as in the library.
            let rows = stage.first[0] >> stage.at;
            let shift = if rows > self.window { self.window / 2 } else { 0 };
            return Ok([self.window.min(rows), shift]);
        }
        let side = |[rows, columns]: [u64; 2]| self.window.min(rows).min(columns);
        let (own, [rows, columns]) = (side(stage.made), stage.grid);
        if side(stage.grid) == own {
            return Ok([own, own / 2]);
        }
        let (at, found) = (stage.at + 1, side(stage.grid));
        Err(ConfigError::Request {
            origin: keys.origin(),
            problem: format!(
                "of such an image stage {at} has {rows} × {columns} tokens, so windows of {found} along a \
                 side, and the weights are those of windows of {own}"
            ),
        })
    }

    /// `[b, y, x, c]` to the same shape.
    fn record(
        &self,
        g: &mut Graph,
        x: Var,
        stage: Stage,
        [side, shift]: [u64; 2],
    ) -> Result<Var, Problem> {
        let Stage { at, width, heads, .. } = stage;
        let hidden = (width as f64 * self.mlp_ratio) as u64;
        let feed_forward = FeedForwardConfig {
            activation: self.activation,
            names: FeedForwardNames::new("intermediate.dense", "output.dense"),
            ..FeedForwardConfig::new(width, hidden)
        };
        let norm = |g: &mut Graph, name| Norm::new(&mut g.scope(name), ("c", width), self.norm);
        let before = norm(g, "layernorm_before")?;
        let attention = match self.version {
            Version::One => {
                let config = WindowAttentionConfig {
                    attention: VitAttentionConfig {
                        qkv_bias: self.qkv_bias,
                        ..VitAttentionConfig::new(width, heads)
                    },
                    shift: shift.into(),
                    ..WindowAttentionConfig::new(width, heads, side)
                };
                let g = &mut *g.scope("attention.self");
                Attention::Products(Box::new(WindowAttention::new(g, &config)?))
            }
            Version::Two => {
                let config = CosineWindowConfig {
                    embed_dim: width.into(),
                    num_heads: heads.into(),
                    side: side.into(),
                    shift: shift.into(),
                    pretrained: self.pretrained.get(at).copied().flatten(),
                    bias: self.qkv_bias,
                };
                let g = &mut *g.scope("attention");
                Attention::Cosines(Box::new(CosineWindowAttention::new(g, &config)?))
            }
        };
        let after = norm(g, "layernorm_after")?;
        let feed_forward = FeedForward::new(g, &feed_forward)?;

        let change = self.normed(g, x, &before, |g, x| attention.forward(g, x))?;
        let x = g.add("residual", x, change)?;
        g.mark(x, Role::Residual);
        let change = self.normed(g, x, &after, |g, x| feed_forward.forward(g, x))?;
        let x = g.add("residual", x, change)?;
        Ok(g.mark(x, Role::Residual))
    }

    /// A sublayer with its norm.
    fn normed(
        &self,
        g: &mut Graph,
        x: Var,
        norm: &Norm,
        sublayer: impl FnOnce(&mut Graph, Var) -> Result<Var, NnError>,
    ) -> Result<Var, NnError> {
        match self.version {
            Version::One => {
                let x = norm.forward(g, x)?;
                sublayer(g, x)
            }
            Version::Two => {
                let x = sublayer(g, x)?;
                norm.forward(g, x)
            }
        }
    }
}

enum Attention {
    Products(Box<WindowAttention>),
    Cosines(Box<CosineWindowAttention>),
}

impl Attention {
    fn forward(&self, g: &mut Graph, x: Var) -> Result<Var, NnError> {
        match self {
            Attention::Products(attention) => attention.forward(g, x),
            Attention::Cosines(attention) => attention.forward(g, x),
        }
    }
}

/// Of each stage, the windows that biases were learned in, where they were others.
fn pretrained(keys: &Keys<'_>, stages: usize) -> Result<Vec<Option<u64>>, ConfigError> {
    let key = "pretrained_window_sizes";
    let given = match keys.get(key) {
        None => vec![0; 4],
        Some(_) => keys.wholes(key)?,
    };
    if given.len() < stages {
        return Err(keys.contradiction(key, "depths", "they name different stages"));
    }
    if given.contains(&1) {
        return Err(keys.unsupported(key, "0, or a window of at least 2 tokens along a side"));
    }
    Ok(given.into_iter().take(stages).map(|side| (side > 0).then_some(side)).collect())
}

/// Four neighbouring tokens become one of twice the width; an odd side is filled up with zeros.
fn merge(g: &mut Graph, x: Var, stage: Stage, version: Version) -> Result<(Var, Stage), Problem> {
    let width = stage.width;
    let normed = match version {
        Version::One => 4 * width,
        Version::Two => 2 * width,
    };
    let norm = Norm::layer(&mut g.scope("norm"), ("c", normed))?;
    let (from, to) = (("c", 4 * width), ("c", 2 * width));
    let reduction = Linear::new(&mut g.scope("reduction"), from, to, LinearConfig::bias(false))?;
    let [grid, made] = [stage.grid, stage.made].map(|grid| grid.map(|size| size.div_ceil(2)));
    let x = cut(g, x, stage.grid, grid, [2, 2])?;
    let order = ["b", "y", "x", "j", "i", "c"].map(Into::into).into();
    let x = g.rearrange(x, Rearrange::Permute { order })?;
    let axes = ["j", "i", "c"].map(Into::into).into();
    let x = g.rearrange(x, Rearrange::Merge { axes, into: "c".into() })?;
    let x = match version {
        Version::One => {
            let x = norm.forward(g, x)?;
            reduction.forward(g, x)?
        }
        Version::Two => {
            let x = reduction.forward(g, x)?;
            norm.forward(g, x)?
        }
    };
    Ok((x, Stage { grid, made, width: 2 * width, ..stage }))
}

/// Files hold the maps of queries, keys and values apart.
fn names() -> Names {
    let attention = "swin.encoder.layers.*.blocks.*.attention";
    let mut names = Names::default()
        .prefix("swin.")
        .ignore(&format!("{attention}.self.relative_position_index"));
    for kind in ["weight", "bias"] {
        let parts = ["query", "key", "value"].map(|part| format!("{attention}.self.{part}.{kind}"));
        names = names
            .pack(&format!("{attention}.self.qkv.{kind}"), &parts.each_ref().map(String::as_str))
            .rename(
                &format!("{attention}.self.proj.{kind}"),
                &format!("{attention}.output.dense.{kind}"),
            );
    }
    names
}
