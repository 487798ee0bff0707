//! Rotary position embedding (Su et al. 2021): a table of cosines and sines, by which queries and keys
//! turn.

use opledger_dims::Poly;
use opledger_ir::ops::{RopePairs, RopeScaling, RotaryAngles};
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
}

impl RotaryEmbedding {
    /// The whole head turned, in halves, from position 0, the frequencies not scaled.
    pub fn new(theta: f64) -> Self {
        let (offset, scaling) = (Poly::zero(), RopeScaling::None);
        RotaryEmbedding { pairs: RopePairs::Halves, theta, offset, scaling, rotated: None }
    }

    /// The table of an axis of tokens for heads of a width, `[n, cos_sin=2, e]`. A model records it once,
    /// outside its layers, and gives it to each call as [`Attend::angles`](crate::Attend::angles).
    ///
    /// # Errors
    /// When an odd number of elements is to turn.
    pub fn angles(&self, g: &mut Graph, tokens: Axis, head_dim: &Poly) -> Result<Var, NnError> {
        let width = Axis::new("e", self.rotated.as_ref().unwrap_or(head_dim));
        let (offset, theta, scaling) = (self.offset.clone(), self.theta, self.scaling.clone());
        Ok(g.record("", RotaryAngles { tokens, width, offset, theta, scaling }, &[])?)
    }
}
