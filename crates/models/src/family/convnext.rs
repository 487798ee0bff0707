//! ConvNeXt (Liu et al. 2022): stages of blocks that convolve each channel with a window of its own and pass every
//! pixel through two maps, between which four neighbouring pixels become one. Named as in the `transformers`
//! library.

use opledger_dims::Poly;
use opledger_ir::ops::{Activation, Rearrange, Reduce, Source};
use opledger_ir::{Axis, Graph, ModuleClass, Role, Var};
use opledger_nn::{
    Convolution, ConvolutionConfig, FeedForward, FeedForwardConfig, FeedForwardNames, Linear,
    LinearConfig, Norm, NormConfig,
};

use super::checks::{classes, head, same};
use super::heads::classifier;
use super::image::{Patches, cut, no_text, tokens};
use super::recorder::{Problem, Recorder};
use super::request::Request;
use crate::config::{ConfigError, Keys};
use crate::names::Names;

/// Every block is recorded by itself, so there is a bound to how many are.
const MAX_BLOCKS: u64 = 1 << 10;
/// Taps of a window of a block along a side, and how many fall on padding before the image.
const TAPS: usize = 7;
/// What the norms within the stages have.
const EPSILON: f64 = 1e-6;

/// The blocks of a stage and its width.
#[derive(Clone, Copy)]
struct Stage {
    depth: u64,
    width: u64,
}

pub(super) fn build(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    let with_head =
        head(keys, &[("ConvNextForImageClassification", true), ("ConvNextModel", false)])?;
    no_text(keys, request)?;
    keys.pass_over(&["drop_path_rate", "out_features", "out_indices", "stage_names"]);
    same(keys, &[("num_hidden_layers", "num_stages")])?;
    let patches = Patches::read_or(keys, [3, 224, 4])?.of(request);
    let stages = stages(keys)?;
    let activation = keys.activation("hidden_act", Activation::GeluErf)?;
    let scaled = keys.number_or("layer_scale_init_value", 1e-6)? > 0.0;
    let last = NormConfig { eps: keys.epsilon_or("layer_norm_eps", 1e-12)?, ..NormConfig::layer() };
    let classes = classes(keys)?;
    let mut grid = patches.grid(keys)?;

    let g = &mut r.graph;
    let pixels = patches.input(g)?;
    let mut scope = g.scope("convnext");
    let m = &mut *scope;
    let mut width = stages[0].width;
    let mut x = {
        let e = &mut *m.scope("embeddings");
        let x = patches.embed_by(e, ("patch_embeddings", true), pixels, grid, &width.into())?;
        let norm = norm(e, "layernorm", width)?;
        normed(e, &norm, x)?
    };
    for (at, stage) in stages.iter().enumerate() {
        let m = &mut *m.scope(&format!("encoder.stages.{at}"));
        if at > 0 {
            let to = grid.map(|side| side / 2);
            if to.contains(&0) {
                let why = "a stage has fewer pixels along a side than two, which become one";
                return Err(keys.contradiction("image_size", "num_stages", why).into());
            }
            let m = &mut *m.scope("downsampling_layer");
            let before = norm(m, "0", width)?;
            x = normed(m, &before, x)?;
            x = halved(&mut m.scope("1"), x, (grid, to), [width, stage.width])?;
            (grid, width) = (to, stage.width);
        }
        for block in 0..stage.depth {
            let m = &mut *m.scope(&format!("layers.{block}"));
            x = block_of(m, x, (grid, width), (activation, scaled))?;
        }
    }
    let of_all = Norm::new(&mut m.scope("layernorm"), ("c", width), last)?;
    let rows = tokens(m, x)?;
    let mean = m.reduce(rows, Reduce::Mean("n".into()))?;
    let pooled = of_all.forward(m, mean)?;
    drop(scope);
    r.names = Names::default().prefix("convnext.");
    if with_head {
        let scores = classifier(g, "classifier", pooled, &classes.into())?;
        g.output("logits", scores);
    } else {
        let image = turned(g, x, ["b", "c", "y", "x"])?;
        g.output("last_hidden_state", image);
        g.output("pooler_output", pooled);
    }
    Ok(())
}

/// Blocks and width of each stage.
fn stages(keys: &Keys<'_>) -> Result<Vec<Stage>, ConfigError> {
    let list = |key: &str, usual: [u64; 4]| match keys.get(key) {
        None => Ok(usual.to_vec()),
        Some(_) => keys.sizes(key),
    };
    let widths = list("hidden_sizes", [96, 192, 384, 768])?;
    let depths = match keys.get("depths") {
        None => vec![3, 3, 9, 3],
        Some(_) => keys.wholes("depths")?,
    };
    let stages = keys.size_or("num_stages", 4)?;
    for (key, found) in [("hidden_sizes", widths.len()), ("depths", depths.len())] {
        if found as u64 != stages {
            return Err(keys.contradiction(key, "num_stages", "they name different stages"));
        }
    }
    if depths
        .iter()
        .try_fold(stages, |sum, depth| sum.checked_add(*depth))
        .is_none_or(|n| n > MAX_BLOCKS)
    {
        return Err(keys.unsupported("depths", format!("at most {MAX_BLOCKS} blocks and stages")));
    }
    Ok(depths.into_iter().zip(widths).map(|(depth, width)| Stage { depth, width }).collect())
}

fn norm(g: &mut Graph, name: &str, width: u64) -> Result<Norm, Problem> {
    let config = NormConfig { eps: EPSILON, ..NormConfig::layer() };
    Ok(Norm::new(&mut g.scope(name), ("c", width), config)?)
}

/// Every pixel, normed by a norm of its channels.
fn normed(g: &mut Graph, norm: &Norm, x: Var) -> Result<Var, Problem> {
    let x = norm.forward(g, x)?;
    Ok(g.mark(x, Role::PixelNorm))
}

/// The same value with its axes in another order.
fn turned(g: &mut Graph, x: Var, order: [&str; 4]) -> Result<Var, Problem> {
    Ok(g.rearrange(x, Rearrange::Permute { order: order.map(Into::into).into() })?)
}

/// Four neighbouring pixels of `[b, y, x, c]` become one, by a convolution whose stride is its width; an odd row
/// or column at the end is dropped.
fn halved(
    g: &mut Graph,
    x: Var,
    (from, to): ([u64; 2], [u64; 2]),
    [width, wider]: [u64; 2],
) -> Result<Var, Problem> {
    let inputs = [("c", width), ("i", 2), ("j", 2)].map(|(name, size)| Axis::new(name, size));
    let module = g.module(ModuleClass::Convolution);
    let g = &mut *g.enter(&module);
    let outputs = vec![Axis::new("c", wider)];
    let map = Linear::between(g, inputs.into(), outputs, LinearConfig::default())?;
    let x = cut(g, x, from, to, [2, 2])?;
    Ok(map.forward(g, x)?)
}

/// A block: `[b, y, x, c]` to the same shape.
fn block_of(
    g: &mut Graph,
    x: Var,
    ([rows, columns], width): ([u64; 2], u64),
    (activation, scaled): (Activation, bool),
) -> Result<Var, Problem> {
    let window = ConvolutionConfig {
        taps: vec![TAPS; 2],
        strides: vec![1; 2],
        padding: vec![TAPS / 2; 2],
        bias: true,
        groups: width,
    };
    let channels = ("c", width);
    let convolution = Convolution::new(&mut g.scope("dwconv"), channels, channels, window)?;
    let norm = norm(g, "layernorm", width)?;
    let maps = FeedForwardConfig {
        activation,
        names: FeedForwardNames::new("pwconv1", "pwconv2"),
        ..FeedForwardConfig::new(width, 4 * width)
    };
    let maps = FeedForward::new(g, &maps)?;
    let change = turned(g, x, ["b", "c", "y", "x"])?;
    let results = vec![Axis::new("y", rows), Axis::new("x", columns)];
    let change = convolution.forward(g, change, results)?;
    let change = turned(g, change, ["b", "y", "x", "c"])?;
    let change = normed(g, &norm, change)?;
    let mut change = maps.forward(g, change)?;
    if scaled {
        let axes = [Axis::new("c", Poly::from(width))];
        let factors = g.param("layer_scale_parameter", Source::gain(), axes)?;
        change = g.mul("layer_scale", change, factors)?;
        g.mark(change, Role::LayerScale);
    }
    let x = g.add("residual", x, change)?;
    Ok(g.mark(x, Role::Residual))
}
