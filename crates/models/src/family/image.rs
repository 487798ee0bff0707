//! What models of images have in common: patches, classes, what cannot be asked of them.

use std::cmp::Ordering;

use opledger_dims::{Poly, Symbol};
use opledger_ir::ops::{Rearrange, Reduce, Source};
use opledger_ir::{Axis, Graph, GraphError, ModuleClass, Role, SizeRole, Var};
use opledger_nn::{AttentionConfig, AttentionNames, Linear, LinearConfig, Origin};

use super::checks::no_past;
use super::recorder::Problem;
use super::request::Request;
use crate::config::{ConfigError, Keys};

/// How an image is cut into patches; sizes are height and width in pixels.
pub(super) struct Patches {
    channels: u64,
    image: [u64; 2],
    side: [u64; 2],
}

impl Patches {
    /// What a configuration says, or where it says nothing, channels and the sides of an image and of a patch
    /// that the family has.
    pub(super) fn read_or(
        keys: &Keys<'_>,
        [channels, image, side]: [u64; 3],
    ) -> Result<Self, ConfigError> {
        let pair = |key: &str, usual: u64| match keys.get(key) {
            None => Ok([usual; 2]),
            Some(_) => keys.pair(key),
        };
        Ok(Patches {
            channels: keys.size_or("num_channels", channels)?,
            image: pair("image_size", image)?,
            side: pair("patch_size", side)?,
        })
    }

    /// What a configuration says.
    pub(super) fn read(keys: &Keys<'_>) -> Result<Self, ConfigError> {
        Ok(Patches {
            channels: keys.size("num_channels")?,
            image: keys.pair("image_size")?,
            side: keys.pair("patch_size")?,
        })
    }

    /// The same of the images that are asked for.
    pub(super) fn of(&self, request: &Request) -> Patches {
        Patches { image: request.image.unwrap_or(self.image), ..*self }
    }

    /// Patches that are whole, down and across.
    pub(super) fn whole(&self) -> [u64; 2] {
        [0, 1].map(|at| self.image[at] / self.side[at])
    }

    /// The same, of which there is one at least.
    pub(super) fn grid(&self, keys: &Keys<'_>) -> Result<[u64; 2], ConfigError> {
        let grid = self.whole();
        match grid.contains(&0) {
            false => Ok(grid),
            true => {
                let why = "the image is smaller than a patch";
                Err(keys.contradiction("image_size", "patch_size", why))
            }
        }
    }

    /// Pixels of a patch, times channels.
    pub(super) fn pixels(&self) -> u64 {
        self.side.iter().fold(self.channels, |all, side| all.saturating_mul(*side))
    }

    /// Patches down and across, as many as the table of positions has: of an image that is not square the
    /// library interpolates the table.
    pub(super) fn square(&self, keys: &Keys<'_>) -> Result<[u64; 2], ConfigError> {
        let grid = self.grid(keys)?;
        match self.image[0] == self.image[1] {
            true => Ok(grid),
            false => {
                let square = "a square, whose positions are not interpolated";
                Err(keys.unsupported("image_size", square))
            }
        }
    }

    /// Patches that hold every pixel, down and across.
    pub(super) fn all(&self) -> [u64; 2] {
        [0, 1].map(|at| self.image[at].div_ceil(self.side[at]))
    }

    /// The input `pixel_values [b, s, y, x]`, `s` channels.
    pub(super) fn input(&self, g: &mut Graph) -> Result<Var, Problem> {
        g.size_role(SizeRole::Batch, "b");
        self.input_of(g, "b")
    }

    /// The same of so many images.
    pub(super) fn input_of(&self, g: &mut Graph, items: &str) -> Result<Var, Problem> {
        let [height, width] = self.image;
        let sizes = [("s", self.channels), ("y", height), ("x", width)];
        let axes = sizes.map(|(name, size)| Axis::new(name, size));
        let pixels = g.input("pixel_values", std::iter::once(items.into()).chain(axes))?;
        Ok(g.mark(pixels, Role::Image))
    }

    /// `[b, s, y, x]` to `[b, y, x, c]`, a token for each of `grid` patches: a convolution whose stride
    /// is its width, so a map of each patch's pixels. Pixels beyond the patches are dropped, those that
    /// are missing are zeros.
    pub(super) fn embed(
        &self,
        g: &mut Graph,
        pixels: Var,
        grid: [u64; 2],
        c: &Poly,
    ) -> Result<Var, Problem> {
        self.embed_by(g, ("patch_embeddings.projection", true), pixels, grid, c)
    }

    /// The same by the map in a scope, which has a bias or none.
    pub(super) fn embed_by(
        &self,
        g: &mut Graph,
        (scope, bias): (&str, bool),
        pixels: Var,
        grid: [u64; 2],
        c: &Poly,
    ) -> Result<Var, Problem> {
        let [rows, columns] = self.side;
        let inputs = [("s", self.channels), ("i", rows), ("j", columns)];
        let inputs = inputs.map(|(name, size)| Axis::new(name, size)).into();
        let outputs = vec![Axis::new("c", c)];
        let config = LinearConfig::bias(bias);
        let map = {
            let module = g.scope(scope).module(ModuleClass::Convolution);
            Linear::between(&mut g.enter(&module), inputs, outputs, config)?
        };
        let x = cut(g, pixels, self.image, grid, self.side)?;
        Ok(map.forward(g, x)?)
    }
}

/// Cuts rows `y` and columns `x`, `from` many, into `grid` cells of `side` positions: axes `i` and `j`
/// within a cell follow their own. Positions beyond the cells are dropped, missing ones are zeros.
pub(super) fn cut(
    g: &mut Graph,
    x: Var,
    from: [u64; 2],
    grid: [u64; 2],
    side: [u64; 2],
) -> Result<Var, GraphError> {
    let mut x = x;
    for (at, [name, within]) in [["y", "i"], ["x", "j"]].into_iter().enumerate() {
        let (axis, to) = (Symbol::from(name), grid[at] * side[at]);
        let (start, len) = (Poly::zero(), to.into());
        match from[at].cmp(&to) {
            Ordering::Less => x = g.rearrange(x, Rearrange::Pad { axis: axis.clone(), to: len })?,
            Ordering::Equal => {}
            Ordering::Greater => {
                x = g.rearrange(x, Rearrange::Slice { axis: axis.clone(), start, len })?;
            }
        }
        let into = vec![Axis::new(name, grid[at]), Axis::new(within, side[at])];
        x = g.rearrange(x, Rearrange::Split { axis, into })?;
    }
    Ok(x)
}

/// `[b, y, x, c]` to `[b, n, c]`.
pub(super) fn tokens(g: &mut Graph, x: Var) -> Result<Var, Problem> {
    let axes = vec!["y".into(), "x".into()];
    Ok(g.rearrange(x, Rearrange::Merge { axes, into: "n".into() })?)
}

/// Attention under the names of the library's first models of images.
pub(super) fn attention(c: &Poly, h: &Poly) -> AttentionConfig {
    AttentionConfig {
        origin: Origin::Library,
        names: AttentionNames::new(
            "attention.attention.query",
            "attention.attention.key",
            "attention.attention.value",
            "attention.output.dense",
        ),
        ..AttentionConfig::new(c, h)
    }
}

/// So many tokens of `[b, n, c]` behind others.
pub(super) fn part(g: &mut Graph, x: Var, (before, len): (u64, u64)) -> Result<Var, GraphError> {
    let (axis, start, len) = ("n".into(), before.into(), len.into());
    g.rearrange(x, Rearrange::Slice { axis, start, len })
}

/// The mean of so many tokens of `[b, n, c]` behind others: `[b, c]`.
pub(super) fn mean(g: &mut Graph, x: Var, tokens: (u64, u64)) -> Result<Var, GraphError> {
    let rows = part(g, x, tokens)?;
    g.reduce(rows, Reduce::Mean("n".into()))
}

/// `x` behind `n` rows of a parameter, the same for every item.
pub(super) fn behind(g: &mut Graph, name: &str, n: Poly, c: &Poly, x: Var) -> Result<Var, Problem> {
    let rows = row(g, name, n, c)?;
    let rows = g.rearrange(rows, Rearrange::Expand { axis: "b".into() })?;
    Ok(g.concat(rows, x, "n")?)
}

/// A parameter `[1, n, c]` as `[n, c]`.
pub(super) fn row(g: &mut Graph, name: &str, n: Poly, c: &Poly) -> Result<Var, Problem> {
    row_of(g, name, Source::shift(), n, c)
}

/// The same of a source.
pub(super) fn row_of(
    g: &mut Graph,
    name: &str,
    source: Source,
    n: impl Into<Poly>,
    c: &Poly,
) -> Result<Var, Problem> {
    let axes = [Axis::new("u", 1), Axis::new("n", n), Axis::new("c", c)];
    let row = g.param(name, source, axes)?;
    let axes = vec!["u".into(), "n".into()];
    Ok(g.rearrange(row, Rearrange::Merge { axes, into: "n".into() })?)
}

/// Refuses what only models of text have.
pub(super) fn no_text(keys: &Keys<'_>, request: &Request) -> Result<(), ConfigError> {
    no_past(keys, request)?;
    match request.attention_mask {
        false => Ok(()),
        true => Err(ConfigError::Request {
            origin: keys.origin(),
            problem: "this model takes images, in which no token is padding that an \
                      attention_mask could hide"
                .to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::ModelGraph;
    use crate::config::Config;
    use serde_json::json;

    /// A small model of a family with some keys changed.
    fn changed(family: &str, changes: Value, request: &Request) -> Result<ModelGraph, ConfigError> {
        let mut config = match family {
            "vit" => json!({
                "hidden_size": 12, "num_attention_heads": 3, "num_hidden_layers": 2,
                "intermediate_size": 24, "patch_size": 4,
            }),
            _ => json!({
                "embed_dim": 12, "depths": [2, 2], "num_heads": [3, 6], "window_size": 7,
                "patch_size": 4,
            }),
        };
        for more in [json!({"model_type": family, "image_size": 32, "num_channels": 3}), changes] {
            config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        }
        Config::parse("it", config.to_string().as_bytes())?.model(family, request)
    }

    #[test]
    fn what_is_no_image_model_is_refused() {
        let plain = Request::default();
        let cases = [
            ("vit", json!({"image_size": 3}), plain, "the image is smaller than a patch"),
            ("vit", json!({"image_size": [224, 224, 3]}), plain, "two for height and width"),
            (
                "vit",
                json!({"num_labels": 2, "id2label": {"0": "cat"}}),
                plain,
                "each class has one name",
            ),
            ("vit", json!({"id2label": []}), plain, "a name for each class"),
            ("vit", json!({"architectures": ["ViTMAEModel"]}), plain, "ViTModel"),
            ("vit", json!({}), Request { past: true, ..plain }, "no causal decoder"),
            ("swin", json!({}), Request { attention_mask: true, ..plain }, "takes images"),
            ("swin", json!({"depths": [2, 2, 6]}), plain, "different stages"),
            ("swin", json!({"depths": [2, 1_u64 << 40]}), plain, "at most 1024 blocks"),
            ("swin", json!({"num_heads": [5, 6]}), plain, "not a multiple of num_heads = 5"),
            ("swin", json!({"use_absolute_embeddings": true}), plain, "supported: false"),
        ];
        for (name, keys, request, expected) in cases {
            let error = changed(name, keys, &request).unwrap_err().to_string();
            assert!(error.starts_with("it: ") && error.contains(expected), "{error}");
        }
    }

    /// Images of another size than the configuration's: where the weights are those of any, and while windows
    /// stay those that the weights are of.
    #[test]
    fn images_of_another_size_are_taken_or_refused() {
        let asked = |image| Request { image: Some(image), ..Request::default() };
        let shape = |sizes: Value, image| {
            let model = changed("swin", sizes, &asked(image))?;
            let given = model.graph.inputs_of(Role::Image).next().unwrap();
            Ok::<_, ConfigError>(model.graph.shape(given).to_string())
        };
        assert_eq!(shape(json!({"image_size": 64}), [72, 57]).unwrap(), "[b, s=3, y=72, x=57]");
        let error = shape(json!({"image_size": 64}), [48, 52]).unwrap_err().to_string();
        assert!(error.contains("stage 2 has 6 × 7 tokens"), "{error}");
        assert!(error.contains("windows of 6"), "{error}");
        assert_eq!(shape(json!({"image_size": 24}), [24, 28]).unwrap(), "[b, s=3, y=24, x=28]");
        let error = changed("vit", json!({}), &asked([40, 40])).unwrap_err().to_string();
        assert!(error.contains("40 × 40 pixels") && error.contains("those of one size"), "{error}");
    }

    #[test]
    fn classes_are_counted_or_named() {
        let logits = |keys: Value| {
            let model = changed("vit", keys, &Request::default()).unwrap();
            let (_, logits) = model.graph.outputs().last().unwrap();
            model.graph.shape(*logits).to_string()
        };
        assert_eq!(logits(json!({})), "[b, k=2]");
        assert_eq!(logits(json!({"num_labels": 5})), "[b, k=5]");
        let named = json!({"id2label": {"0": "cat", "1": "dog", "2": "cow"}});
        assert_eq!(logits(named), "[b, k=3]");
    }

    #[test]
    fn a_window_is_no_larger_than_the_image() {
        // 36 × 36 pixels are 9 × 9 tokens, and 5 × 5 after a merger.
        let model = changed("swin", json!({"image_size": 36}), &Request::default()).unwrap();
        let table = |at: &str| {
            let path =
                format!("swin.encoder.layers.{at}.attention.self.relative_position_bias_table");
            let node = model.graph.nodes().iter().find(|node| node.path == path).unwrap();
            node.shape.to_string()
        };
        assert_eq!(table("0.blocks.1"), "[t=169, h=3]");
        assert_eq!(table("1.blocks.1"), "[t=81, h=6]");
    }
}
