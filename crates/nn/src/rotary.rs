//! Rotary position embedding (Su et al. 2021): a table of cosines and sines, by which queries and keys
//! turn.

use opledger_dims::Poly;
use opledger_ir::ops::{Rearrange, Rope, RopePairs, RopeScaling, RotaryAngles};
use opledger_ir::{Axis, Graph, Var};

use crate::NnError;

/// How heads turn by position.
#[derive(Clone, Debug, PartialEq)]
pub struct RotaryEmbedding {
    /// Which elements form a pair.
    pub pairs: RopePairs,
    /// The base of the frequencies, usually 10,000.
    pub theta: f64,
    /// The position of the first token.
    pub offset: Poly,
    /// How the frequencies are scaled.
    pub scaling: RopeScaling,
    /// How many elements of a head turn, its first; all when `None`.
    pub rotated: Option<Poly>,
    /// How many tokens a grid has down and across, where they stand in one and not in a row (DINOv3).
    pub grid: Option<[usize; 2]>,
    /// How many tokens stand before those that turn, and do not.
    pub still: u64,
}

impl RotaryEmbedding {
    /// The whole head turned, in halves, from position 0, the frequencies not scaled.
    pub fn new(theta: f64) -> Self {
        let (offset, scaling) = (Poly::zero(), RopeScaling::None);
        let (pairs, rotated, grid, still) = (RopePairs::Halves, None, None, 0);
        RotaryEmbedding { pairs, theta, offset, scaling, rotated, grid, still }
    }

    /// Heads `[…, n, h, e]` turned by a table, all but those of the first tokens that do not turn.
    pub(crate) fn turn(&self, g: &mut Graph, x: Var, angles: Var) -> Result<Var, NnError> {
        let op = Rope { pairs: self.pairs };
        let tokens = g.shape(x).axes.iter().rev().nth(2).cloned();
        let Some(Axis { name, size }) = tokens.filter(|_| self.still > 0) else {
            return Ok(g.record("rope", op, &[x, angles])?);
        };
        let still = Poly::from(self.still);
        let part = |start: Poly, len: Poly| Rearrange::Slice { axis: name.clone(), start, len };
        let first = g.rearrange(x, part(Poly::zero(), still.clone()))?;
        let rest = g.rearrange(x, part(still.clone(), size - still))?;
        let rest = g.record("rope", op, &[rest, angles])?;
        Ok(g.concat(first, rest, name)?)
    }

    /// The table of an axis of tokens for heads of a width, `[n, cos_sin=2, e]`. A model records it once,
    /// outside its layers, and gives it to each call as [`Attend::angles`](crate::Attend::angles).
    ///
    /// # Errors
    /// When an odd number of elements is to turn.
    pub fn angles(&self, g: &mut Graph, tokens: Axis, head_dim: &Poly) -> Result<Var, NnError> {
        let width = Axis::new("e", self.rotated.as_ref().unwrap_or(head_dim));
        let (offset, theta, scaling) = (self.offset.clone(), self.theta, self.scaling.clone());
        let grid = self.grid;
        Ok(g.record("", RotaryAngles { tokens, width, offset, theta, scaling, grid }, &[])?)
    }
}
