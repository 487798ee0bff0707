//! Swin Transformer (Liu et al. 2021): attention within windows, every second time shifted, in stages
//! between which four neighbouring tokens become one. Named as in the `transformers` library.

use opledger_ir::ops::{Activation, Rearrange, Reduce};
use opledger_ir::{Graph, ModuleClass, Role, Var};
use opledger_nn::{
    FeedForward, FeedForwardConfig, FeedForwardNames, Linear, LinearConfig, Norm, NormConfig,
    VitAttentionConfig, WindowAttention, WindowAttentionConfig,
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

/// What all blocks have in common.
struct Blocks {
    window: u64,
    mlp_ratio: f64,
    qkv_bias: bool,
    activation: Activation,
    norm: NormConfig,
}

/// The tokens of a stage: rows and columns, width, heads.
#[derive(Clone, Copy)]
struct Stage {
    grid: [u64; 2],
    width: u64,
    heads: u64,
}

pub(super) fn build(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    let with_head = head(keys, &[("SwinForImageClassification", true), ("SwinModel", false)])?;
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
    let patches = Patches::read(keys)?;
    let (depths, heads) = stages(keys)?;
    let width = keys.size("embed_dim")?;
    let blocks = Blocks {
        window: keys.size("window_size")?,
        mlp_ratio: keys.positive_or("mlp_ratio", 4.0)?,
        qkv_bias: keys.flag_or("qkv_bias", true)?,
        activation: keys.activation("hidden_act", Activation::GeluErf)?,
        norm: NormConfig { eps: keys.epsilon_or("layer_norm_eps", 1e-5)?, ..NormConfig::layer() },
    };
    let classes = classes(keys)?;

    let g = &mut r.graph;
    let pixels = patches.input(g)?;
    let mut scope = g.scope("swin");
    let m = &mut *scope;
    let mut stage = Stage { grid: patches.all(), width, heads: 0 };
    let mut embeddings = m.scope("embeddings");
    let x = patches.embed(&mut embeddings, pixels, stage.grid, &width.into())?;
    let norm = Norm::layer(&mut embeddings.scope("norm"), ("c", width))?;
    let mut x = norm.forward(&mut embeddings, x)?;
    drop(embeddings);
    let last = depths.len() - 1;
    for (at, (depth, heads)) in depths.into_iter().zip(heads).enumerate() {
        stage.heads = heads;
        let m = &mut *m.scope(&format!("encoder.layers.{at}"));
        for block in 0..depth {
            let shifted = block % 2 == 1;
            x = blocks.record(&mut m.scope(&format!("blocks.{block}")), x, stage, shifted)?;
        }
        if at < last {
            (x, stage) = merge(&mut m.scope("downsample"), x, stage)?;
        }
    }
    let norm = Norm::new(&mut m.scope("layernorm"), ("c", stage.width), blocks.norm)?;
    let x = tokens(m, x)?;
    let x = norm.forward(m, x)?;
    let pooler = m.module(ModuleClass::Pooler);
    let pooled = m.enter(&pooler).reduce(x, Reduce::Mean("n".into()))?;
    drop(scope);
    r.names = names();
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
    /// `[b, y, x, c]` to the same shape.
    fn record(&self, g: &mut Graph, x: Var, stage: Stage, shifted: bool) -> Result<Var, Problem> {
        let Stage { grid: [rows, columns], width, heads } = stage;
        // No larger than the image, as in the authors' code; this then has one window along a side.
        let side = self.window.min(rows).min(columns);
        let shift = if shifted { side / 2 } else { 0 };
        let attention = WindowAttentionConfig {
            attention: VitAttentionConfig {
                qkv_bias: self.qkv_bias,
                ..VitAttentionConfig::new(width, heads)
            },
            shift: shift.into(),
            ..WindowAttentionConfig::new(width, heads, side)
        };
        let hidden = (width as f64 * self.mlp_ratio) as u64;
        let feed_forward = FeedForwardConfig {
            activation: self.activation,
            names: FeedForwardNames::new("intermediate.dense", "output.dense"),
            ..FeedForwardConfig::new(width, hidden)
        };
        let norm = |g: &mut Graph, name| Norm::new(&mut g.scope(name), ("c", width), self.norm);
        let before = norm(g, "layernorm_before")?;
        let attention = WindowAttention::new(&mut g.scope("attention.self"), &attention)?;
        let after = norm(g, "layernorm_after")?;
        let feed_forward = FeedForward::new(g, &feed_forward)?;

        let change = before.forward(g, x)?;
        let change = attention.forward(g, change)?;
        let x = g.add("residual", x, change)?;
        g.mark(x, Role::Residual);
        let change = after.forward(g, x)?;
        let change = feed_forward.forward(g, change)?;
        let x = g.add("residual", x, change)?;
        Ok(g.mark(x, Role::Residual))
    }
}

/// Four neighbouring tokens become one of twice the width; an odd side is filled up with zeros.
fn merge(g: &mut Graph, x: Var, stage: Stage) -> Result<(Var, Stage), Problem> {
    let width = stage.width;
    let norm = Norm::layer(&mut g.scope("norm"), ("c", 4 * width))?;
    let (from, to) = (("c", 4 * width), ("c", 2 * width));
    let reduction = Linear::new(&mut g.scope("reduction"), from, to, LinearConfig::bias(false))?;
    let grid = stage.grid.map(|size| size.div_ceil(2));
    let x = cut(g, x, stage.grid, grid, [2, 2])?;
    let order = ["b", "y", "x", "j", "i", "c"].map(Into::into).into();
    let x = g.rearrange(x, Rearrange::Permute { order })?;
    let axes = ["j", "i", "c"].map(Into::into).into();
    let x = g.rearrange(x, Rearrange::Merge { axes, into: "c".into() })?;
    let x = norm.forward(g, x)?;
    let x = reduction.forward(g, x)?;
    Ok((x, Stage { grid, width: 2 * width, ..stage }))
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
