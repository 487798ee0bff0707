//! Window attention (Liu et al. 2021, §3.2; the authors' code): an image is cut into windows of
//! `side × side` tokens, each token attends within its window, and a bias depends on the displacement
//! between tokens. Shifted, the image is first rolled by `shift`, and tokens that the roll brought
//! together do not see each other.
//!
//! An image whose sides are no multiples of `side` is padded with zeros at the end; padding attends
//! and is attended to, as in the authors' code, and is cut off the result.

use opledger_dims::Poly;
use opledger_ir::ops::{Rearrange, Source, Table};
use opledger_ir::{Axis, Graph, ModuleClass, Scope, Var};

use crate::linear::param;
use crate::sizes::{ceil_div, positive};
use crate::{Attend, Embedding, NnError, VitAttention, VitAttentionConfig};

/// Options of a [`WindowAttention`].
#[derive(Clone, Debug, PartialEq)]
pub struct WindowAttentionConfig {
    /// Widths, heads and biases of the attention inside a window.
    pub attention: VitAttentionConfig,
    /// Tokens along a side of a window.
    pub side: Poly,
    /// By how many tokens the image is rolled, below `side`; zero for none.
    pub shift: Poly,
    /// Whether a learned bias depends on the displacement.
    pub position_bias: bool,
}

impl WindowAttentionConfig {
    /// Swin's: biases everywhere, no shift.
    pub fn new(dim: impl Into<Poly>, num_heads: impl Into<Poly>, side: impl Into<Poly>) -> Self {
        WindowAttentionConfig {
            attention: VitAttentionConfig {
                qkv_bias: true,
                ..VitAttentionConfig::new(dim, num_heads)
            },
            side: side.into(),
            shift: Poly::zero(),
            position_bias: true,
        }
    }
}

/// Attention within windows of an image. Parameters `qkv.weight [s=3, h, e, c]`, `proj.weight
/// [c, h, e]`, their biases, and `relative_position_bias_table [(2·side − 1)², h]`.
///
/// ```
/// # mod opledger { pub use {opledger_ir::{self as ir, *}, opledger_nn as nn}; }
/// use opledger::{Graph, ir::Axis, nn::{WindowAttention, WindowAttentionConfig}};
///
/// let mut g = Graph::new();
/// let image = ["b".into(), Axis::new("y", 14), Axis::new("x", 14), "c".into()];
/// let x = g.input("x", image)?;
/// WindowAttention::new(&mut g, &WindowAttentionConfig::new("c", "h", 7))?.forward(&mut g, x)?;
/// // 4·hw·C² + 2·M²·hw·C with hw = 196 and M = 7.
/// assert_eq!(g.cost().macs().to_string(), "784·b·c² + 19208·b·c");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct WindowAttention {
    scope: Scope,
    attention: VitAttention,
    table: Option<Embedding>,
    side: Poly,
    shift: Poly,
}

impl WindowAttention {
    /// Attention in the present scope.
    ///
    /// # Errors
    /// When a size is below one, the shift is not below the side, or the heads do not divide the
    /// width.
    pub fn new(g: &mut Graph, config: &WindowAttentionConfig) -> Result<Self, NnError> {
        let (side, shift) = (config.side.clone(), config.shift.clone());
        positive("side", &side)?;
        if let (Some(side), Some(shift)) = (side.as_integer(), shift.as_integer())
            && (shift < 0.into() || shift >= side)
        {
            return Err(NnError::Config(format!(
                "shift = {shift} is not from 0 to below side = {side}"
            )));
        }
        let scope = g.module(ModuleClass::WindowAttention);
        let g = &mut *g.enter(&scope);
        let attention = VitAttention::here(g, &config.attention)?;
        let table = match config.position_bias {
            true => {
                let reach = &side * 2 - Poly::one();
                let axes = vec![
                    Axis::new("t", &reach * &reach),
                    Axis::new("h", &config.attention.num_heads),
                ];
                let (name, frozen) = ("relative_position_bias_table", config.attention.frozen);
                let weight = param(g, name, Source::shift(), axes, frozen)?;
                Some(Embedding::of(g.here(), weight))
            }
            false => None,
        };
        Ok(WindowAttention { scope: g.here(), attention, table, side, shift })
    }

    /// An image `[b, y, x, c]` to the same shape.
    ///
    /// An image of one window is not shifted, as in the authors' code, provided its sides are numbers.
    ///
    /// # Errors
    /// When `x` does not fit the configuration.
    pub fn forward(&self, g: &mut Graph, x: Var) -> Result<Var, NnError> {
        let g = &mut *g.enter(&self.scope);
        let windows = Windows::of(g, x, &self.side)?;
        let one = windows.counts.contains(&Poly::one());
        let shift = if one { Poly::zero() } else { self.shift.clone() };
        windows.attend(g, x, &shift, |g, cut, mask| {
            let mut biases = Vec::new();
            if let Some(table) = &self.table {
                let ids = displacements(g, &self.side)?;
                let bias = table.forward(g, ids)?;
                biases.push(heads_first(g, bias)?);
            }
            biases.extend(mask);
            Ok(self.attention.attend(g, cut, &Attend::default(), &biases)?.output)
        })
    }
}

/// Ids `[n, m]`: the row of a table for the displacement of each pair in a window.
pub(crate) fn displacements(g: &mut Graph, side: &Poly) -> Result<Var, NnError> {
    let tokens = side * side;
    let (query, key) = (Axis::new("n", &tokens), Axis::new("m", &tokens));
    Ok(g.table("", Table::WindowDisplacement { side: side.clone(), query, key })?)
}

/// `[n, m, h]` to `[h, n, m]`.
pub(crate) fn heads_first(g: &mut Graph, bias: Var) -> Result<Var, NnError> {
    let order = ["h", "n", "m"].map(Into::into).into();
    Ok(g.rearrange(bias, Rearrange::Permute { order })?)
}

/// An image and its windows.
pub(crate) struct Windows<'a> {
    /// The axes before the image's.
    outer: Vec<opledger_dims::Symbol>,
    /// Rows and columns of tokens.
    image: [Axis; 2],
    /// The name of the last axis.
    width: opledger_dims::Symbol,
    /// Rows and columns of windows.
    counts: [Poly; 2],
    side: &'a Poly,
}

/// The axes of windows down and across, and of tokens down and across a window.
const CUT: [[&str; 2]; 2] = [["wy", "i"], ["wx", "j"]];

impl<'a> Windows<'a> {
    /// Those of `x [b, y, x, c]`.
    pub(crate) fn of(g: &mut Graph, x: Var, side: &'a Poly) -> Result<Self, NnError> {
        let [batch @ .., y_axis, x_axis, width] = &g.shape(x).axes[..] else {
            let (expected, found) = ("[b, y, x, c]", g.shape(x).to_string());
            return Err(NnError::Rank { layer: "WindowAttention", expected, found });
        };
        let outer = batch.iter().map(|a| a.name.clone()).collect();
        let (image, width) = ([y_axis.clone(), x_axis.clone()], width.name.clone());
        let rows = ceil_div(g, "wy", &image[0].size, side);
        let columns = ceil_div(g, "wx", &image[1].size, side);
        Ok(Windows { outer, image, width, counts: [rows, columns], side })
    }

    /// What `attention` makes of the windows `[b, w, n, c]` of the image, rolled by `shift`, and of the mask of a
    /// roll; rolled back, without what was padded.
    pub(crate) fn attend(
        &self,
        g: &mut Graph,
        x: Var,
        shift: &Poly,
        attention: impl FnOnce(&mut Graph, Var, Option<Var>) -> Result<Var, NnError>,
    ) -> Result<Var, NnError> {
        let padded = self.pad(g, x)?;
        let rolled = self.roll(g, padded, shift)?;
        let cut = self.partition(g, rolled)?;
        let mask = if shift.is_zero() { None } else { Some(self.shift_mask(g, shift)?) };
        let attended = attention(g, cut, mask)?;
        let merged = self.merge(g, attended)?;
        let back = self.roll(g, merged, &-shift)?;
        self.crop(g, back)
    }

    fn padded(&self, direction: usize) -> Poly {
        &self.counts[direction] * self.side
    }

    fn pad(&self, g: &mut Graph, x: Var) -> Result<Var, NnError> {
        let mut x = x;
        for (direction, axis) in self.image.iter().enumerate() {
            let to = self.padded(direction);
            if to != axis.size {
                x = g.rearrange(x, Rearrange::Pad { axis: axis.name.clone(), to })?;
            }
        }
        Ok(x)
    }

    fn crop(&self, g: &mut Graph, x: Var) -> Result<Var, NnError> {
        let mut x = x;
        for (direction, Axis { name, size }) in self.image.iter().enumerate() {
            if self.padded(direction) != *size {
                let (axis, start, len) = (name.clone(), Poly::zero(), size.clone());
                x = g.rearrange(x, Rearrange::Slice { axis, start, len })?;
            }
        }
        Ok(x)
    }

    fn roll(&self, g: &mut Graph, x: Var, by: &Poly) -> Result<Var, NnError> {
        let mut x = x;
        if !by.is_zero() {
            for axis in &self.image {
                x = g.rearrange(x, Rearrange::Roll { axis: axis.name.clone(), by: by.clone() })?;
            }
        }
        Ok(x)
    }

    /// `[b, y, x, c]` to `[b, w, n, c]`.
    fn partition(&self, g: &mut Graph, x: Var) -> Result<Var, NnError> {
        let mut x = x;
        for ((axis, [window, token]), count) in self.image.iter().zip(CUT).zip(&self.counts) {
            let into = vec![Axis::new(window, count), Axis::new(token, self.side)];
            x = g.rearrange(x, Rearrange::Split { axis: axis.name.clone(), into })?;
        }
        let x = self.permute(g, x, ["wy", "wx", "i", "j"])?;
        let x = merge(g, x, ["wy", "wx"], "w")?;
        merge(g, x, ["i", "j"], "n")
    }

    /// `[b, w, n, c]` to `[b, y, x, c]`.
    fn merge(&self, g: &mut Graph, x: Var) -> Result<Var, NnError> {
        let [rows, columns] = &self.counts;
        let into = vec![Axis::new("wy", rows), Axis::new("wx", columns)];
        let x = g.rearrange(x, Rearrange::Split { axis: "w".into(), into })?;
        let into = vec![Axis::new("i", self.side), Axis::new("j", self.side)];
        let x = g.rearrange(x, Rearrange::Split { axis: "n".into(), into })?;
        let mut x = self.permute(g, x, ["wy", "i", "wx", "j"])?;
        for (axis, cut) in self.image.iter().zip(CUT) {
            x = merge(g, x, cut, axis.name.as_str())?;
        }
        Ok(x)
    }

    fn permute(&self, g: &mut Graph, x: Var, inner: [&str; 4]) -> Result<Var, NnError> {
        let inner = inner.map(Into::into);
        let order = [&self.outer[..], &inner, std::slice::from_ref(&self.width)].concat();
        Ok(g.rearrange(x, Rearrange::Permute { order })?)
    }

    /// `[w, n, m]`: what hides tokens that the roll brought together.
    fn shift_mask(&self, g: &mut Graph, shift: &Poly) -> Result<Var, NnError> {
        let ([rows, columns], tokens) = (&self.counts, self.side * self.side);
        let table = Table::ShiftMask {
            rows: rows.clone(),
            columns: columns.clone(),
            side: self.side.clone(),
            shift: shift.clone(),
            window: Axis::new("w", rows * columns),
            query: Axis::new("n", &tokens),
            key: Axis::new("m", tokens),
        };
        Ok(g.table("", table)?)
    }
}

fn merge(g: &mut Graph, x: Var, axes: [&str; 2], into: &str) -> Result<Var, NnError> {
    let axes = axes.map(Into::into).into();
    Ok(g.rearrange(x, Rearrange::Merge { axes, into: into.into() })?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use opledger_dims::Binding;

    fn image(g: &mut Graph, height: impl Into<Poly>, width: impl Into<Poly>) -> Var {
        let axes = ["b".into(), Axis::new("y", height), Axis::new("x", width), "c".into()];
        g.input("image", axes).unwrap()
    }

    #[test]
    fn padded_and_shifted_keeps_the_shape() {
        let mut g = Graph::new();
        let x = image(&mut g, 9, 5);
        let config =
            WindowAttentionConfig { shift: 2.into(), ..WindowAttentionConfig::new("c", "h", 4) };
        let y = WindowAttention::new(&mut g, &config).unwrap().forward(&mut g, x).unwrap();
        assert_eq!(g.shape(y), g.shape(x));
        // 3 × 2 windows of 16 tokens.
        assert_eq!(g.cost().macs().to_string(), "384·b·c² + 3072·b·c");
        assert_eq!(g.parameters().0.to_string(), "4·c² + 4·c + 49·h");
    }

    #[test]
    fn symbolic_sides_give_the_published_formula() {
        let mut g = Graph::new();
        let x = image(&mut g, "height", "width");
        let config = WindowAttentionConfig {
            shift: "s".into(),
            ..WindowAttentionConfig::new("c", "h", "side")
        };
        let y = WindowAttention::new(&mut g, &config).unwrap().forward(&mut g, x).unwrap();
        assert_eq!(g.shape(y), g.shape(x));
        let macs = g.cost().macs();
        let derived: Poly = "4·b·wy·wx·side²·c² + 2·b·wy·wx·side⁴·c".parse().unwrap();
        assert_eq!(macs, derived);
        let sizes =
            [("b", 1), ("height", 56), ("width", 56), ("side", 7), ("s", 3), ("c", 96), ("h", 3)];
        let binding = g.complete(&Binding::from_iter(sizes)).unwrap();
        g.check(&binding).unwrap();
        let published = 4 * 3136 * 96 * 96 + 2 * 49 * 3136 * 96;
        assert_eq!(macs.at(&binding), Ok(published.into()));
    }

    #[test]
    fn an_image_of_one_window_is_not_shifted() {
        let mut g = Graph::new();
        let x = image(&mut g, 4, 4);
        let config =
            WindowAttentionConfig { shift: 2.into(), ..WindowAttentionConfig::new("c", "h", 4) };
        WindowAttention::new(&mut g, &config).unwrap().forward(&mut g, x).unwrap();
        assert!(!g.to_string().contains("roll"), "{g}");
        let config = WindowAttentionConfig { shift: 4.into(), ..config };
        let error = WindowAttention::new(&mut g, &config).unwrap_err().to_string();
        assert_eq!(error, "shift = 4 is not from 0 to below side = 4");
    }
}
