//! Towers of models that compare texts with images: an encoder of texts and an encoder of images, each of
//! which gives one row for an item. Named as in the `transformers` library.

use opledger_dims::Poly;
use opledger_ir::ops::{Activation, IndexMap, Rearrange, Source};
use opledger_ir::{Axis, Graph, IndexExpr, Mask, Role, Var};
use opledger_nn::{
    AttentionConfig, Embedding, EncoderLayer, FeedForward, FeedForwardConfig, FeedForwardNames,
    LayerConfig, LayerNames, LearnedPositions, Linear, LinearConfig, MultiheadAttention, NnError,
    Norm, NormConfig, Origin, Residual,
};

use super::checks::{head_width, multiple};
use super::image::{Patches, tokens};
use super::recorder::{Problem, Recorder};
use crate::config::{ConfigError, Keys};
use crate::model::PositionLimit;

/// What a family has where a configuration says nothing.
#[derive(Clone, Copy)]
pub(super) struct TowerDefaults {
    /// Width, hidden width, layers, heads.
    pub(super) sizes: [u64; 4],
    pub(super) activation: Activation,
    pub(super) epsilon: f64,
}

/// The layers of a tower.
pub(super) struct Tower {
    pub(super) width: u64,
    pub(super) c: Poly,
    ff: Poly,
    h: Poly,
    l: Poly,
    /// How many layers there are.
    pub(super) layers: u64,
    activation: Activation,
    norm: NormConfig,
}

/// What the sizes of a tower are called: width, heads, hidden width, layers.
pub(super) type TowerSymbols = [&'static str; 4];

/// Those of a model of one tower, and of the first of two.
pub(super) const FIRST: TowerSymbols = ["c", "h", "ff", "l"];
/// Those of the second of two.
pub(super) const SECOND: TowerSymbols = ["ci", "hi", "ffi", "li"];

impl Tower {
    pub(super) fn read(
        keys: &Keys<'_>,
        r: &mut Recorder,
        usual: TowerDefaults,
        [c, h, ff, l]: TowerSymbols,
    ) -> Result<Tower, ConfigError> {
        let [width, hidden, layers, heads] = usual.sizes;
        let width = keys.size_or("hidden_size", width)?;
        let heads = keys.size_or("num_attention_heads", heads)?;
        multiple(keys, ("hidden_size", width), ("num_attention_heads", heads))?;
        head_width(keys, width, heads)?;
        let hidden = keys.size_or("intermediate_size", hidden)?;
        let layers = keys.whole_or("num_hidden_layers", layers)?;
        let activation = keys.activation("hidden_act", usual.activation)?;
        let eps = keys.epsilon_or("layer_norm_eps", usual.epsilon)?;
        if !keys.is_causal()? {
            return Err(keys.unsupported("is_causal", "true"));
        }
        // What the configuration of a tower within another has beside, and that changes nothing.
        keys.pass_over(&[
            "add_cross_attention",
            "architectures",
            "cross_attention_hidden_size",
            "initializer_factor",
            "is_decoder",
            "is_encoder_decoder",
            "model_type",
            "pad_token_id",
            "prefix",
            "pruned_heads",
            "tie_encoder_decoder",
            "tie_word_embeddings",
        ]);
        Ok(Tower {
            width,
            c: r.size(c, width),
            h: r.size(h, heads),
            ff: r.size(ff, hidden),
            l: r.size(l, layers),
            layers,
            activation,
            norm: NormConfig { eps, ..NormConfig::layer() },
        })
    }

    fn feed_forward(&self) -> FeedForwardConfig {
        FeedForwardConfig {
            activation: self.activation,
            names: FeedForwardNames::new("fc1", "fc2"),
            ..FeedForwardConfig::new(&self.c, &self.ff)
        }
    }

    fn norm(&self, g: &mut Graph, name: &str) -> Result<Norm, Problem> {
        Ok(Norm::new(&mut g.scope(name), ("c", &self.c), self.norm)?)
    }

    /// The layers in the present scope.
    fn layers(&self, g: &mut Graph, x: Var, mask: &Mask) -> Result<Var, Problem> {
        Ok(self.layers_until(g, x, mask, self.layers)?[1])
    }

    /// What leaves the first `until` layers, and what leaves all.
    fn layers_until(
        &self,
        g: &mut Graph,
        x: Var,
        mask: &Mask,
        until: u64,
    ) -> Result<[Var; 2], Problem> {
        if until == 0 {
            return Ok([x, self.run(g, x, mask, (0, self.l.clone()))?]);
        }
        let left = self.layers.saturating_sub(until);
        let inner = self.run(g, x, mask, (0, &self.l - &Poly::from(left)))?;
        let last = match left {
            0 => inner,
            _ => self.run(g, inner, mask, (until, left.into()))?,
        };
        Ok([inner, last])
    }

    /// So many layers from the one of a number on.
    fn run(
        &self,
        g: &mut Graph,
        x: Var,
        mask: &Mask,
        (from, count): (u64, Poly),
    ) -> Result<Var, Problem> {
        let (c, h) = (&self.c, &self.h);
        let names = LayerNames::encoder("self_attn", "mlp", ["layer_norm1", "layer_norm2"]);
        let config = LayerConfig {
            attention: AttentionConfig { origin: Origin::Library, ..AttentionConfig::new(c, h) },
            feed_forward: self.feed_forward(),
            norm: self.norm,
            residual: Residual::PreNorm,
            names,
            ..LayerConfig::new(c, h, 1)
        };
        let layers = g.repeated_from("encoder.layers", from, count);
        let layer = EncoderLayer::new(&mut g.enter(&layers), &config)?;
        g.repeat(&layers, x, |g, x| Ok(layer.forward(g, x, mask.clone())?))
    }
}

/// Which token of a text stands for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chosen {
    /// The first of an id, or the first of all where none has it.
    Id(u64),
    /// The one of the greatest id.
    Greatest,
    /// The last.
    Last,
}

/// An encoder of texts.
pub(super) struct TextTower {
    pub(super) layers: Tower,
    /// Words.
    pub(super) v: Poly,
    pub(super) positions: u64,
    pub(super) chosen: Chosen,
}

impl TextTower {
    /// Words and positions, by the family's where a configuration says nothing.
    pub(super) fn read(
        keys: &Keys<'_>,
        r: &mut Recorder,
        layers: Tower,
        ([words, positions], chosen): ([u64; 2], Chosen),
    ) -> Result<TextTower, ConfigError> {
        let key = "max_position_embeddings";
        let positions = keys.size_or(key, positions)?;
        r.positions = Some(PositionLimit { key, positions, tokens: positions, computed: false });
        let v = r.size("v", keys.size_or("vocab_size", words)?);
        Ok(TextTower { layers, v, positions, chosen })
    }

    /// Ids `[b, n]` to rows `[b, n, c]` and, of each text, the one that stands for it.
    pub(super) fn forward(
        &self,
        g: &mut Graph,
        ids: Var,
        mask: &Mask,
    ) -> Result<(Var, Var), Problem> {
        let Tower { c, .. } = &self.layers;
        let x = {
            let e = &mut *g.scope("embeddings");
            let words = Embedding::new(&mut e.scope("token_embedding"), self.v.clone(), c.clone())?;
            let table = positions(e, self.positions, c)?;
            let x = words.forward(e, ids)?;
            table.forward(e, x)?
        };
        let x = self.layers.layers(g, x, mask)?;
        let x = self.layers.norm(g, "final_layer_norm")?.forward(g, x)?;
        let row = match self.chosen {
            Chosen::Last => {
                let (axis, len) = ("n".into(), Poly::one());
                let start = Poly::from("n") - Poly::one();
                let last = g.rearrange(x, Rearrange::Slice { axis, start, len })?;
                let axes = vec!["b".into(), "n".into()];
                g.rearrange(last, Rearrange::Merge { axes, into: "b".into() })?
            }
            Chosen::Greatest | Chosen::Id(_) => {
                let ranks = self.ranks(g, ids)?;
                let at = g.arg_max(ranks, "n")?;
                g.gather_nd(x, [Axis::from("b"), Axis::new("c", c)], &[("n", at)])?
            }
        };
        Ok((x, row))
    }

    /// Whole numbers whose greatest stands where the token does that stands for the text.
    fn ranks(&self, g: &mut Graph, ids: Var) -> Result<Var, Problem> {
        let Chosen::Id(id) = self.chosen else { return Ok(ids) };
        let at = [0, 1].map(IndexExpr::Position).to_vec();
        let own = IndexExpr::Lookup { operand: 0, at };
        let value = own.minus(&IndexExpr::size(id)).is_zero();
        let axes = ["b", "n"].map(Axis::from).to_vec();
        Ok(g.record("ends", IndexMap { axes, value, truth: true }, &[ids])?)
    }
}

/// How an encoder of images begins and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ImageManner {
    /// A row of its own before those of patches, which the map of patches gives no bias; a norm before the
    /// layers; that row, normed, stands for the image.
    OwnRow,
    /// A norm behind the layers.
    Normed {
        /// Whether a row of its own attends to those of patches, and stands for the image.
        pooled: bool,
    },
}

/// An encoder of images.
pub(super) struct ImageTower {
    pub(super) layers: Tower,
    pub(super) patches: Patches,
    pub(super) grid: [u64; 2],
    pub(super) manner: ImageManner,
}

impl ImageTower {
    /// Pixels `[items, s, y, x]` to rows `[items, n, c]` and, of each image, the one that stands for it,
    /// where one does.
    pub(super) fn forward(
        &self,
        g: &mut Graph,
        pixels: Var,
        items: &str,
    ) -> Result<(Var, Option<Var>), Problem> {
        let (_, x, row) = self.forward_until(g, pixels, items, self.layers.layers)?;
        Ok((x, row))
    }

    /// The same behind what leaves the first `until` layers.
    pub(super) fn forward_until(
        &self,
        g: &mut Graph,
        pixels: Var,
        items: &str,
        until: u64,
    ) -> Result<(Var, Var, Option<Var>), Problem> {
        let Tower { c, .. } = &self.layers;
        let own = self.manner == ImageManner::OwnRow;
        let mut x = {
            let e = &mut *g.scope("embeddings");
            let x = self.patches.embed_by(e, ("patch_embedding", !own), pixels, self.grid, c)?;
            let mut x = tokens(e, x)?;
            if own {
                let row = e.param("class_embedding", Source::shift(), [Axis::new("c", c)])?;
                let row = e.rearrange(row, Rearrange::Expand { axis: Axis::new("n", 1) })?;
                let row = e.rearrange(row, Rearrange::Expand { axis: items.into() })?;
                x = e.concat(row, x, "n")?;
            }
            let table = positions(e, self.grid[0] * self.grid[1] + u64::from(own), c)?;
            table.forward(e, x)?
        };
        if own {
            // So the library spells it.
            x = self.layers.norm(g, "pre_layrnorm")?.forward(g, x)?;
        }
        let [inner, x] = self.layers.layers_until(g, x, &Mask::none(), until)?;
        let norm = self.layers.norm(g, "post_layernorm")?;
        match self.manner {
            ImageManner::OwnRow => {
                let first = token_of(g, x, items)?;
                let row = norm.forward(g, first)?;
                Ok((inner, x, Some(row)))
            }
            ImageManner::Normed { pooled } => {
                let x = norm.forward(g, x)?;
                let row = match pooled {
                    true => Some(self.pooled(&mut g.scope("head"), x, items)?),
                    false => None,
                };
                Ok((inner, x, row))
            }
        }
    }

    /// A row that attends to those of `x [items, n, c]`, through a feed-forward layer (Lee et al. 2018, §3.2,
    /// as Zhai et al. 2021 have it): `[items, c]`.
    fn pooled(&self, g: &mut Graph, x: Var, items: &str) -> Result<Var, Problem> {
        let Tower { c, h, .. } = &self.layers;
        let axes = [Axis::new("u'", 1), Axis::new("u", 1), Axis::new("c", c)];
        let probe = g.param("probe", Source::shift(), axes)?;
        let attention =
            MultiheadAttention::new(&mut g.scope("attention"), &AttentionConfig::new(c, h))?;
        let norm = self.layers.norm(g, "layernorm")?;
        let map = FeedForward::new(&mut g.scope("mlp"), &self.layers.feed_forward())?;
        let axes = vec!["u'".into(), "u".into()];
        let probe = g.rearrange(probe, Rearrange::Merge { axes, into: "u".into() })?;
        let probe = g.rearrange(probe, Rearrange::Expand { axis: items.into() })?;
        let row = attention.forward(g, probe, x, x)?;
        let normed = norm.forward(g, row)?;
        let more = map.forward(g, normed)?;
        let sum = g.add("residual", row, more)?;
        let sum = g.mark(sum, Role::Residual);
        let axes = vec![items.into(), "u".into()];
        Ok(g.rearrange(sum, Rearrange::Merge { axes, into: items.into() })?)
    }
}

/// A table of so many positions.
fn positions(g: &mut Graph, rows: u64, c: &Poly) -> Result<LearnedPositions, NnError> {
    LearnedPositions::new(&mut g.scope("position_embedding"), rows, c.clone())
}

/// The first token of `[items, n, c]`.
fn token_of(g: &mut Graph, x: Var, items: &str) -> Result<Var, Problem> {
    let (axis, start, len) = ("n".into(), Poly::zero(), Poly::one());
    let token = g.rearrange(x, Rearrange::Slice { axis, start, len })?;
    let axes = vec![items.into(), "n".into()];
    Ok(g.rearrange(token, Rearrange::Merge { axes, into: items.into() })?)
}

/// A map of `[items, c]` to an embedding `[items, d]`.
pub(super) fn projected(
    g: &mut Graph,
    (scope, bias): (&str, bool),
    x: Var,
    d: &Poly,
) -> Result<Var, Problem> {
    let from = g.last_axis(x).map_err(|error| NnError::Config(error.to_string()))?;
    let config = LinearConfig::bias(bias);
    let map = Linear::new(&mut g.scope(scope), from, ("d", d), config)?;
    Ok(map.forward(g, x)?)
}
