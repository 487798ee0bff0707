//! The encoder of images of Qwen-VL models (Wang et al. 2024, Qwen2-VL, §2.1): patches that turn by where they
//! stand down and across, and mergers that make a row of each square of them. In Qwen2.5-VL (Bai et al. 2025)
//! most layers see windows; Qwen3-VL has learned positions as well, and rows for the first layers of the text
//! (Meng et al. 2024, DeepStack). Named as in the `transformers` library.

use opledger_dims::Poly;
use opledger_ir::ops::{Activation, IndexMap, Rearrange};
use opledger_ir::{Axis, Graph, GraphError, IndexExpr, Mask, ModuleClass, Role, Var};
use opledger_nn::{
    Attend, EncoderLayer, LayerConfig, Linear, LinearConfig, NnError, Norm, NormConfig,
    RotaryEmbedding,
};

use super::images::in_line;
use super::patch_grid::PatchGrid;
use super::patch_positions::PatchPositions;
use super::pattern::LayerPlan;
use super::recorder::{ImageEncoder, ImageRows, Problem};

/// An encoder of images, all of one grid.
pub(super) struct PatchTower {
    /// The family of the encoder.
    pub(super) family: &'static str,
    /// Width, and width of a head.
    pub(super) sizes: [Poly; 2],
    /// Channels, moments, rows and columns of pixels of a patch.
    pub(super) patch: [u64; 4],
    /// Whether the map of patches has a bias.
    pub(super) patch_bias: bool,
    pub(super) grid: PatchGrid,
    /// The table of positions that is resampled to the grid: its rows, and how many of them a side has.
    pub(super) positions: Option<[u64; 2]>,
    /// The layers, and how they follow one another.
    pub(super) layer: LayerConfig,
    pub(super) layers: TowerLayers,
    /// The base of the rotation.
    pub(super) base: f64,
    /// What the norm and the two maps of a merger are called.
    pub(super) merger: [&'static str; 3],
}

/// The layers of an encoder.
pub(super) enum TowerLayers {
    /// So many, by symbol and number, cut behind those from which there are rows for the layers of the text, all of
    /// which see all or a window.
    Alike { symbol: Poly, number: u64, deeper: Vec<u64>, window: Option<u64> },
    /// Those that see all, and those that see a window of so many rows down and across.
    Mixed { plan: LayerPlan, window: u64 },
}

impl PatchTower {
    /// Pixels `[patches, pixels]` to rows `[bi, n, c]`: a convolution of three dimensions whose stride is its
    /// width, so a map of each patch.
    fn embed(&self, g: &mut Graph, pixels: Var) -> Result<Var, Problem> {
        let names = ["s", "t", "i", "j"].into_iter().zip(self.patch);
        let inputs: Vec<Axis> = names.map(|(name, size)| Axis::new(name, size)).collect();
        let split = Rearrange::Split { axis: "pixels".into(), into: inputs.clone() };
        let x = g.rearrange(pixels, split)?;
        let [c, _] = &self.sizes;
        let map = {
            let module = g.scope("patch_embed.proj").module(ModuleClass::Convolution);
            let (to, config) = (vec![Axis::new("c", c)], LinearConfig::bias(self.patch_bias));
            Linear::between(&mut g.enter(&module), inputs, to, config)?
        };
        let x = map.forward(g, x)?;
        let into = vec!["bi".into(), self.grid.patches()];
        Ok(g.rearrange(x, Rearrange::Split { axis: "patches".into(), into })?)
    }

    /// The table `[n, cos_sin=2, e]` by which heads turn: a quarter of their elements, and again a quarter, by how
    /// far down a patch stands, the others by how far across. Patches of a row of the text are neighbours.
    fn angles(&self, g: &mut Graph) -> Result<Var, NnError> {
        let [_, width] = &self.sizes;
        let g = &mut *g.scope("rotary_pos_emb");
        // A row for each place down or across.
        let [down, across] = &self.grid.rows;
        let places = (down + across) * &Poly::from(self.grid.side);
        let half = width.clone().ratio(1, 2);
        let rope = RotaryEmbedding::new(self.base);
        let table = rope.angles(g, Axis::new("place", places), &half)?;
        let table = g.rename(table, "e", "half")?;
        let [patch, element] = [0, 1].map(IndexExpr::Position);
        let [quarter, half] = [4, 2].map(|parts| IndexExpr::size(width.clone().ratio(1, parts)));
        let [down, across] = self.grid.places(&patch);
        let value = element.modulo(&half).below(&quarter).choose(&down, &across);
        let axes = vec![self.grid.patches(), Axis::new("e", width)];
        let places = g.record("places", IndexMap { axes, value, truth: false }, &[])?;
        let value = IndexExpr::Position(0).modulo(&quarter);
        let axes = vec![Axis::new("e", width)];
        let columns = g.record("columns", IndexMap { axes, value, truth: false }, &[])?;
        let all = [self.grid.patches(), Axis::new("cos_sin", 2), Axis::new("e", width)];
        Ok(g.gather_nd(table, all, &[("place", places), ("half", columns)])?)
    }

    /// The layers, and what those leave from which there are rows for layers of the text.
    fn blocks(&self, g: &mut Graph, x: Var, layers: TowerLayers) -> Result<Leaving, Problem> {
        let angles = Some(self.angles(g)?);
        let call = |mask| Attend { mask, angles, ..Attend::default() };
        match layers {
            TowerLayers::Mixed { plan, window } => {
                let masks = [Mask::none(), self.grid.windows(g, window)?];
                let layers = plan.declare(g, "blocks", |g, _| EncoderLayer::new(g, &self.layer))?;
                let last = layers.forward(g, x, |g, run, x| {
                    let attended = run.layer.forward_with(g, x, call(masks[run.kind].clone()))?;
                    Ok::<_, Problem>(attended.output)
                })?;
                Ok(Leaving { last, deeper: Vec::new() })
            }
            TowerLayers::Alike { symbol, number, deeper, window } => {
                let mask = match window {
                    Some(window) => self.grid.windows(g, window)?,
                    None => Mask::none(),
                };
                let (mut last, mut first, mut inner) = (x, 0, Vec::new());
                let ends = deeper.iter().map(|layer| layer + 1);
                let run = |g: &mut Graph, x: Var, first: u64, count: Poly| {
                    let layers = g.repeated_from("blocks", first, count);
                    let layer = EncoderLayer::new(&mut g.enter(&layers), &self.layer)?;
                    g.repeat(&layers, x, |g, x| {
                        let attended = layer.forward_with(g, x, call(mask.clone()))?;
                        Ok::<_, Problem>(attended.output)
                    })
                };
                for end in ends {
                    let count = match end == number {
                        true => &symbol - &Poly::from(first),
                        false => (end - first).into(),
                    };
                    last = run(g, last, first, count)?;
                    inner.push(last);
                    first = end;
                }
                if first < number || number == 0 {
                    last = run(g, last, first, &symbol - &Poly::from(first))?;
                }
                Ok(Leaving { last, deeper: inner })
            }
        }
    }

    /// Rows `[bi, n, c]` of patches to rows `[rows, c]` of texts, by the merger in a scope: the norm is of each
    /// patch, or of all of a row.
    fn merged(&self, g: &mut Graph, (scope, of_row): (&str, bool), x: Var) -> Result<Var, Problem> {
        let g = &mut *g.scope(scope);
        let [norm, first, second] = self.merger;
        let [c, _] = &self.sizes;
        let wide = c * &Poly::from(self.grid.side * self.grid.side);
        let config = NormConfig { eps: EPSILON, ..self.layer.norm };
        let of = if of_row { &wide } else { c };
        let norm = Norm::new(&mut g.scope(norm), ("c", of), config)?;
        let x = if of_row { x } else { norm.forward(g, x)? };
        let x = self.in_rows(g, x)?;
        let x = if of_row { norm.forward(g, x)? } else { x };
        let (config, to) = (LinearConfig::bias(true), Poly::from("c"));
        let first = Linear::new(&mut g.scope(first), ("c", &wide), ("c", &wide), config)?;
        let second = Linear::new(&mut g.scope(second), ("c", &wide), ("c", &to), config)?;
        let x = first.forward(g, x)?;
        let x = g.activation(x, Activation::GeluErf)?;
        let x = second.forward(g, x)?;
        Ok(in_line(g, x, "bi")?)
    }

    /// What patches of a row have, side by side.
    fn in_rows(&self, g: &mut Graph, x: Var) -> Result<Var, GraphError> {
        let square = Axis::new("square", self.grid.side * self.grid.side);
        let into = vec![Axis::new("n", &self.grid.all), square];
        let x = g.rearrange(x, Rearrange::Split { axis: "n".into(), into })?;
        let axes = vec!["square".into(), "c".into()];
        g.rearrange(x, Rearrange::Merge { axes, into: "c".into() })
    }
}

/// What leaves the layers of an encoder: all of them, and some.
struct Leaving {
    last: Var,
    deeper: Vec<Var>,
}

/// What norms add to the variance.
pub(super) const EPSILON: f64 = 1e-6;

impl ImageEncoder for PatchTower {
    /// `pixel_values [patches, pixels]`, those of all images one after another, as the library's processor cuts
    /// them.
    fn input(&self, g: &mut Graph) -> Result<Var, Problem> {
        let all = &self.grid.patches().size * &Poly::from("bi");
        let pixels: u64 = self.patch.iter().fold(1, |all, side| all.saturating_mul(*side));
        let axes = [Axis::new("patches", all), Axis::new("pixels", pixels)];
        let pixels = g.input("pixel_values", axes)?;
        Ok(g.mark(pixels, Role::Image))
    }

    fn rows(mut self: Box<Self>, g: &mut Graph, pixels: Var) -> Result<ImageRows, Problem> {
        let module = g.scope("visual").module(ModuleClass::Model(self.family));
        let g = &mut *g.enter(&module);
        let mut x = self.embed(g, pixels)?;
        if let Some([rows, side]) = self.positions {
            let [c, _] = &self.sizes;
            let positions = PatchPositions { grid: &self.grid, rows, side };
            x = positions.added(g, x, c)?;
        }
        let none =
            TowerLayers::Alike { symbol: Poly::zero(), number: 0, deeper: vec![], window: None };
        let layers = std::mem::replace(&mut self.layers, none);
        let leaving = self.blocks(g, x, layers)?;
        let entering = self.merged(g, ("merger", false), leaving.last)?;
        let mut deeper = None;
        for (at, x) in leaving.deeper.into_iter().enumerate() {
            let scope = format!("deepstack_merger_list.{at}");
            let rows = self.merged(g, (&scope, true), x)?;
            let own = g.rearrange(rows, Rearrange::Expand { axis: Axis::new("l", 1) })?;
            deeper = Some(match deeper {
                Some(before) => g.concat(before, own, "l")?,
                None => own,
            });
        }
        Ok(ImageRows { entering, deeper })
    }
}
