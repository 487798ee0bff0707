//! Qwen-VL (Wang et al. 2024; Bai et al. 2025): an encoder of images of any size, and a decoder in whose text
//! their rows stand, which turns by three positions of each token. Named as in the `transformers` library.

use opledger_dims::Poly;
use opledger_ir::ops::Activation;
use opledger_ir::{Definition, SizeRole};
use opledger_nn::{
    AttentionConfig, AttentionNames, FeedForwardConfig, FeedForwardNames, LayerConfig, LayerNames,
    NormConfig, Origin, Residual, RotaryEmbedding,
};
use serde_json::{Map, Value};

use super::checks::multiple;
use super::pattern::LayerOrder;
use super::qwen_vl_tower::{EPSILON, PatchGrid, PatchTower, TowerLayers};
use super::recorder::{Images, Problem, Recorder};
use super::request::Request;
use super::text_part::{WholeText, whole_text};
use super::three_positions::{Sections, ThreePositions};
use crate::config::{ConfigError, Keys};

pub(super) fn qwen2_vl(
    keys: &Keys<'_>,
    request: &Request,
    r: &mut Recorder,
) -> Result<(), Problem> {
    let none = Map::new();
    let own = vision(keys, &none)?;
    let width = own.size_or("embed_dim", 1280)?;
    let hidden = width.saturating_mul(own.size_or("mlp_ratio", 4)?);
    let layers = layers(&own, 32)?;
    let common = Common::read(&own, request, r, (("embed_dim", width), hidden, 14))?;
    let feed_forward = FeedForwardConfig {
        activation: own.activation("hidden_act", Activation::QuickGelu)?,
        names: FeedForwardNames::new("fc1", "fc2"),
        ..FeedForwardConfig::new(&common.c, &common.ff)
    };
    let layers = alike(r, layers, (Vec::new(), None));
    let tower = PatchTower {
        family: "qwen2_vl_vision",
        patch_bias: false,
        merger: ["ln_q", "mlp.0", "mlp.2"],
        ..common.tower((feed_forward, NormConfig::layer()), layers)
    };
    let out = ("hidden_size", own.size_or("hidden_size", 3584)?);
    whole(keys, request, r, (tower, &own, out), |text, pairs| {
        Sections::in_a_row(text, [16, 24, 24], pairs)
    })
}

/// The encoder has RMSNorm and gated layers, most of which see a window.
pub(super) fn qwen2_5_vl(
    keys: &Keys<'_>,
    request: &Request,
    r: &mut Recorder,
) -> Result<(), Problem> {
    let none = Map::new();
    let own = vision(keys, &none)?;
    own.pass_over(&["tokens_per_second"]);
    let width = own.size_or("hidden_size", 3584)?;
    let hidden = own.size_or("intermediate_size", 3420)?;
    let layers = layers(&own, 32)?;
    let common = Common::read(&own, request, r, (("hidden_size", width), hidden, 14))?;
    let feed_forward = FeedForwardConfig {
        activation: own.activation("hidden_act", Activation::Silu)?,
        gated: true,
        names: FeedForwardNames::gated("gate_proj", "down_proj", "up_proj"),
        ..FeedForwardConfig::new(&common.c, &common.ff)
    };
    let window = own.size_or("window_size", 112)? / common.grid.side / common.patch[2];
    let full = match own.get("fullatt_block_indexes") {
        None => vec![7, 15, 23, 31],
        Some(_) => own.wholes("fullatt_block_indexes")?,
    };
    let kinds: Vec<usize> = (0..layers).map(|at| usize::from(!full.contains(&at))).collect();
    if window == 0 && kinds.contains(&1) {
        let row = "as many pixels as a row of the text stands for, or more";
        return Err(own.unsupported("window_size", row).into());
    }
    let layers = match (kinds.contains(&0), kinds.contains(&1)) {
        (true, true) => {
            let plan = LayerOrder::kinds(&["li_full", "li_window"], kinds).plan(r);
            TowerLayers::Mixed { plan, window }
        }
        (_, windows) => alike(r, layers, (Vec::new(), windows.then_some(window))),
    };
    let tower = PatchTower {
        family: "qwen2_5_vl_vision",
        patch_bias: false,
        merger: ["ln_q", "mlp.0", "mlp.2"],
        ..common.tower((feed_forward, NormConfig::rms()), layers)
    };
    let out = ("out_hidden_size", own.size_or("out_hidden_size", 3584)?);
    whole(keys, request, r, (tower, &own, out), |text, pairs| {
        Sections::in_a_row(text, [16, 24, 24], pairs)
    })
}

/// The encoder has learned positions, and rows for the first layers of the text.
pub(super) fn qwen3_vl(
    keys: &Keys<'_>,
    request: &Request,
    r: &mut Recorder,
) -> Result<(), Problem> {
    let none = Map::new();
    let own = vision(keys, &none)?;
    let width = own.size_or("hidden_size", 1152)?;
    let hidden = own.size_or("intermediate_size", 4304)?;
    let number = layers(&own, 27)?;
    let common = Common::read(&own, request, r, (("hidden_size", width), hidden, 16))?;
    let feed_forward = FeedForwardConfig {
        activation: own.activation("hidden_act", Activation::GeluTanh)?,
        names: FeedForwardNames::new("linear_fc1", "linear_fc2"),
        ..FeedForwardConfig::new(&common.c, &common.ff)
    };
    let key = "deepstack_visual_indexes";
    let deeper = match own.get(key) {
        None => vec![8, 16, 24],
        Some(_) => own.wholes(key)?,
    };
    let ascending = deeper.is_sorted_by(|a, b| a < b);
    if !ascending || deeper.last().is_some_and(|last| *last >= number) {
        let layers = format!("layers of {number} in their order, each once");
        return Err(own.unsupported(key, layers).into());
    }
    let rows = own.size_or("num_position_embeddings", 2304)?;
    if common.grid.side == 1 {
        return Err(own.unsupported("spatial_merge_size", "2 or more").into());
    }
    let many = deeper.len();
    let layers = alike(r, number, (deeper, None));
    let tower = PatchTower {
        family: "qwen3_vl_vision",
        patch_bias: true,
        positions: Some([rows, rows.isqrt()]),
        merger: ["norm", "linear_fc1", "linear_fc2"],
        ..common.tower((feed_forward, NormConfig::layer()), layers)
    };
    let out = ("out_hidden_size", own.size_or("out_hidden_size", 3584)?);
    let parts = (tower, &own, out);
    let turns = |text: &Keys<'_>, _| Sections::taking_turns(text, [24, 20, 20]);
    whole_with(keys, request, r, parts, (turns, many))
}

/// The configuration of the encoder of images.
fn vision<'k>(keys: &Keys<'k>, none: &'k Map<String, Value>) -> Result<Keys<'k>, ConfigError> {
    let own = keys.inner("vision_config")?;
    let own = own.unwrap_or_else(|| keys.in_place_of("vision_config", none));
    // Names of the authors' own code, of which the library reads none.
    own.pass_over(&["in_chans", "spatial_patch_size"]);
    own.pass_over(&["model_type", "architectures"]);
    Ok(own)
}

/// Layers, by the family's name or by that of the library.
fn layers(own: &Keys<'_>, usual: u64) -> Result<u64, ConfigError> {
    let other = own.times_or_none("num_hidden_layers")?.unwrap_or(usual);
    Ok(own.times_or_none("depth")?.unwrap_or(other))
}

/// So many layers that are alike, cut behind some, with a window.
fn alike(
    r: &mut Recorder,
    number: u64,
    (deeper, window): (Vec<u64>, Option<u64>),
) -> TowerLayers {
    TowerLayers::Alike { symbol: r.size("li", number), number, deeper, window }
}

/// What encoders of images have in common.
struct Common {
    c: Poly,
    h: Poly,
    e: Poly,
    ff: Poly,
    /// Channels, moments, rows and columns of pixels of a patch.
    patch: [u64; 4],
    grid: PatchGrid,
    base: f64,
}

impl Common {
    /// By the width and the key that it is under, the hidden width, and the usual side of a patch.
    fn read(
        own: &Keys<'_>,
        request: &Request,
        r: &mut Recorder,
        ((key, width), hidden, patch): ((&str, u64), u64, u64),
    ) -> Result<Common, ConfigError> {
        let other = own.size_or("num_attention_heads", 16)?;
        let heads = own.size_or("num_heads", other)?;
        multiple(own, (key, width), ("num_heads", heads))?;
        let head = width / heads;
        if !head.is_multiple_of(4) {
            let quarters = format!("heads a multiple of 4 wide, not {head}, since quarters turn");
            return Err(own.unsupported(key, quarters));
        }
        let patch = own.size_or("patch_size", patch)?;
        let moments = own.size_or("temporal_patch_size", 2)?;
        let side = own.size_or("spatial_merge_size", 2)?;
        let rope = own.inner("rope_parameters")?;
        if let Some(rope) = &rope
            && rope.text("rope_type")?.is_some_and(|kind| kind != "axial")
        {
            return Err(rope.unsupported("rope_type", "axial"));
        }
        let base = rope.as_ref().unwrap_or(own).positive_or("rope_theta", 1e4)?;
        if let Some(image) = request.image {
            let pixels = patch.saturating_mul(side);
            for (symbol, of_image) in ["iy", "ix"].into_iter().zip(image) {
                if of_image == 0 || !of_image.is_multiple_of(pixels) {
                    let [height, width] = image;
                    let problem = format!(
                        "an image of {height} × {width} pixels is not cut into squares of {pixels}, as the \
                         model's processor makes images"
                    );
                    return Err(ConfigError::Request { origin: own.origin(), problem });
                }
                r.size(symbol, of_image / pixels);
            }
        }
        let mut product = |whole: &str, factors: [&str; 2]| {
            let factors = factors.map(Into::into);
            r.graph.define(Definition::Product { whole: whole.into(), factors });
        };
        product("ni", ["iy", "ix"]);
        product("ci", ["hi", "ei"]);
        Ok(Common {
            c: r.size("ci", width),
            h: r.size("hi", heads),
            e: r.size("ei", head),
            ff: r.size("ffi", hidden),
            patch: [own.size_or("in_channels", 3)?, moments, patch, patch],
            grid: PatchGrid { side, rows: ["iy", "ix"].map(Poly::from), all: "ni".into() },
            base,
        })
    }

    /// The encoder, with a feed-forward layer and norms; what families differ in is left to them.
    fn tower(
        self,
        (feed_forward, norm): (FeedForwardConfig, NormConfig),
        layers: TowerLayers,
    ) -> PatchTower {
        let attention = AttentionConfig {
            head_dim: Some(self.e.clone()),
            rope: Some(RotaryEmbedding::new(self.base)),
            origin: Origin::Library,
            names: AttentionNames::fused("qkv", "proj"),
            ..AttentionConfig::new(&self.c, &self.h)
        };
        PatchTower {
            family: "",
            sizes: [self.c.clone(), self.e],
            patch: self.patch,
            patch_bias: false,
            grid: self.grid,
            positions: None,
            layer: LayerConfig {
                attention,
                feed_forward,
                norm: NormConfig { eps: EPSILON, ..norm },
                residual: Residual::PreNorm,
                names: LayerNames::encoder("attn", "mlp", ["norm1", "norm2"]),
                ..LayerConfig::new(self.c, self.h, 1)
            },
            layers,
            base: self.base,
            merger: [""; 3],
        }
    }
}

/// An encoder with its keys, and the width of its rows with the key of that.
type Parts<'a, 'k> = (PatchTower, &'a Keys<'k>, (&'a str, u64));

/// The whole: the model of texts in whose texts the rows of an encoder stand.
fn whole(
    keys: &Keys<'_>,
    request: &Request,
    r: &mut Recorder,
    parts: Parts<'_, '_>,
    sections: impl FnOnce(&Keys<'_>, u64) -> Result<Sections, ConfigError>,
) -> Result<(), Problem> {
    whole_with(keys, request, r, parts, (sections, 0))
}

/// The same where rows are added behind so many of its first layers.
fn whole_with(
    keys: &Keys<'_>,
    request: &Request,
    r: &mut Recorder,
    (tower, own, (key, out)): Parts<'_, '_>,
    (sections, deeper): (impl FnOnce(&Keys<'_>, u64) -> Result<Sections, ConfigError>, usize),
) -> Result<(), Problem> {
    let token = keys.whole_or("image_token_id", 151_655)?;
    keys.pass_over(&["video_token_id", "vision_token_id"]);
    keys.pass_over(&["vision_end_token_id", "vision_start_token_id"]);
    r.graph.size_role(SizeRole::Images, "bi");
    let side = tower.grid.side;
    r.notes.push(format!(
        "the bi images of all texts are of one size; of the n tokens of its text each takes ni = iy·ix, of {side} × \
         {side} patches each, in iy rows and ix columns; their id is {token}"
    ));
    let text = WholeText::read(keys)?;
    let part = text.keys(keys);
    let (width, heads) = (part.size("hidden_size")?, part.size("num_attention_heads")?);
    if out != width {
        let width = format!("{width}, the width of the text");
        return Err(own.unsupported(key, width).into());
    }
    let head = part.optional("head_dim")?.unwrap_or(width / heads);
    // As the file has them: the model of texts alone does not know of sections.
    let said = keys.inner("text_config")?;
    let sections = sections(said.as_ref().unwrap_or(keys), head / 2)?;
    let turning = Some(ThreePositions { grid: tower.grid.rows.clone(), sections });
    r.images = Some(Images { token, encoder: Box::new(tower), turning, deeper });
    whole_text(keys, &text, request, r)?;
    let mut names = std::mem::take(&mut r.names).scope("model.visual", "visual");
    let qkv = "model.visual.blocks.*.attn.qkv";
    for kind in ["weight", "bias"] {
        let maps = ["q", "k", "v"].map(|map| format!("{qkv}.{map}.{kind}"));
        let maps = maps.each_ref().map(String::as_str);
        names = names.join(&maps, &format!("{qkv}.{kind}"));
    }
    r.names = names;
    Ok(())
}
