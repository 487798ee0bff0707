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
use super::patch_grid::PatchGrid;
use super::pattern::LayerOrder;
use super::qwen_vl_tower::{EPSILON, PatchTower, TowerLayers};
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
    let turns = |text: &Keys<'_>, pairs| Sections::in_a_row(text, [16, 24, 24], pairs);
    whole(keys, request, r, (tower, &own, out), (turns, 0))
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
    let turns = |text: &Keys<'_>, pairs| Sections::in_a_row(text, [16, 24, 24], pairs);
    whole(keys, request, r, (tower, &own, out), (turns, 0))
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
    whole(keys, request, r, parts, (turns, many))
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
fn alike(r: &mut Recorder, number: u64, (deeper, window): (Vec<u64>, Option<u64>)) -> TowerLayers {
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

/// The whole: the model of texts in whose texts the rows of an encoder stand, and, behind so many of its first
/// layers, are added.
fn whole(
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ModelGraph;
    use crate::config::Config;
    use serde_json::{Value, json};

    /// A small one of a family with some keys of the whole and of its encoder changed.
    fn changed(
        family: &str,
        [of_whole, of_images]: [Value; 2],
        request: &Request,
    ) -> Result<ModelGraph, ConfigError> {
        let mut config = json!({
            "model_type": family,
            "text_config": {
                "vocab_size": 50, "hidden_size": 24, "num_attention_heads": 3, "num_key_value_heads": 1,
                "num_hidden_layers": 2, "intermediate_size": 16, "head_dim": 8,
                "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2]},
            },
            "vision_config": {
                "depth": 3, "num_heads": 2, "embed_dim": 16, "hidden_size": 16, "out_hidden_size": 24,
                "intermediate_size": 10, "patch_size": 4, "deepstack_visual_indexes": [0, 2],
                "fullatt_block_indexes": [1],
            },
        });
        if family == "qwen2_vl" {
            config["vision_config"]["hidden_size"] = 24.into();
        }
        let mut extend = |place: &str, more: Value| {
            let own = config.pointer_mut(place).unwrap().as_object_mut().unwrap();
            own.extend(more.as_object().unwrap().clone());
        };
        extend("", of_whole);
        extend("/vision_config", of_images);
        Config::parse("it", config.to_string().as_bytes())?.model("it", request)
    }

    #[test]
    fn what_is_no_qwen_vl_is_refused() {
        let (none, plain) = (json!({}), Request::default());
        let text = |more: Value| {
            let mut text = json!({
                "vocab_size": 50, "hidden_size": 24, "num_attention_heads": 3, "num_hidden_layers": 2,
                "intermediate_size": 16, "num_key_value_heads": 1,
            });
            text.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({"text_config": text})
        };
        let sections = |own: Value| text(json!({"rope_parameters": {"mrope_section": own}}));
        let odd = Request { image: Some([32, 20]), ..plain };
        for (family, keys, request, expected) in [
            (
                "qwen2_vl",
                [none.clone(), json!({"hidden_size": 16})],
                plain,
                "24, the width of the text",
            ),
            ("qwen2_vl", [none.clone(), json!({"embed_dim": 12})], plain, "a multiple of 4 wide"),
            ("qwen2_vl", [none.clone(), json!({"embed_dim": 15})], plain, "no multiple"),
            (
                "qwen2_vl",
                [none.clone(), json!({"rope_parameters": {"rope_type": "yarn"}})],
                plain,
                "axial",
            ),
            ("qwen2_vl", [none.clone(), none.clone()], odd, "not cut into squares of 8"),
            (
                "qwen2_vl",
                [sections(json!([1, 1, 1])), none.clone()],
                plain,
                "sections of 4 pairs in all",
            ),
            (
                "qwen2_vl",
                [
                    text(
                        json!({"max_position_embeddings": 64, "rope_parameters": {"rope_type": "dynamic",
              "factor": 2.0, "mrope_section": [1, 1, 2]}}),
                    ),
                    none.clone(),
                ],
                plain,
                "`dynamic`",
            ),
            ("qwen2_5_vl", [none.clone(), json!({"window_size": 7})], plain, "window_size"),
            ("qwen3_vl", [sections(json!([1, 1])), none.clone()], plain, "three sections"),
            (
                "qwen3_vl",
                [none.clone(), json!({"deepstack_visual_indexes": [2, 0]})],
                plain,
                "in their order",
            ),
            (
                "qwen3_vl",
                [none.clone(), json!({"deepstack_visual_indexes": [3]})],
                plain,
                "layers of 3",
            ),
            (
                "qwen3_vl",
                [none.clone(), json!({"deepstack_visual_indexes": [0, 1, 2]})],
                plain,
                "3 layers or more",
            ),
            ("qwen3_vl", [none.clone(), json!({"spatial_merge_size": 1})], plain, "2 or more"),
        ] {
            let error = changed(family, keys, &request).unwrap_err().to_string();
            assert!(error.starts_with("it") && error.contains(expected), "{expected}: {error}");
        }
    }

    /// Images of a size bind the rows that they take; with a cache it is the model of texts.
    #[test]
    fn images_are_of_any_size() {
        let none = || [json!({}), json!({})];
        for family in ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"] {
            let open = changed(family, none(), &Request::default()).unwrap();
            assert!(["iy", "ix"].iter().all(|side| open.binding.get(&(*side).into()).is_none()));
            assert!(open.notes.iter().any(|note| note.contains("iy rows and ix columns")));
            let image = Request { image: Some([32, 24]), ..Request::default() };
            let bound = changed(family, none(), &image).unwrap();
            let sizes = bound.graph.complete(&bound.binding).unwrap();
            assert_eq!(sizes.get(&"ni".into()), Some(&12.into()));
            let past = Request { past: true, ..Request::default() };
            let text = changed(family, none(), &past).unwrap();
            assert!(text.graph.size_of(SizeRole::Images).is_none());
        }
    }
}
