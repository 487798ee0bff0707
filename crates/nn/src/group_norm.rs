//! GroupNorm (Wu, He 2018): the channels of a group are normalised together, over all positions.

use opledger_dims::Poly;
use opledger_ir::ops::{self, Rearrange, Source};
use opledger_ir::{Axis, Graph, ModuleClass, Scope, Var};

use crate::NnError;
use crate::linear::param;
use crate::sizes::{Named, positive, quotient};

/// GroupNorm with PyTorch's options. Parameters `weight` and `bias`, each `[c]`.
///
/// ```
/// # mod opledger { pub use {opledger_ir::*, opledger_nn as nn}; }
/// use opledger::{Graph, nn::GroupNorm};
///
/// let mut g = Graph::new();
/// let x = g.input("x", ["b", "c", "n"])?;
/// let norm = GroupNorm::new(&mut g.scope("norm"), "g", "c", 1e-5)?;
/// let y = norm.forward(&mut g, x)?;
/// assert_eq!(g.shape(y).to_string(), "[b, c, n]");
/// assert_eq!(g.parameters().0.to_string(), "2·c");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct GroupNorm {
    scope: Scope,
    eps: f64,
    /// The axes that channels are split into: groups, and the channels of one.
    channels: [Axis; 2],
    affine: [Var; 2],
}

impl GroupNorm {
    /// A norm of `channels` channels in `groups` groups.
    ///
    /// # Errors
    /// When a size is below one, or the groups do not divide the channels.
    pub fn new(
        g: &mut Graph,
        groups: impl Into<Poly>,
        channels: impl Into<Poly>,
        eps: f64,
    ) -> Result<Self, NnError> {
        let (groups, channels) = (groups.into(), channels.into());
        positive("num_groups", &groups)?;
        let (all, by) = (Named("num_channels", &channels), Named("num_groups", &groups));
        let each = quotient(g, "w", all, by, "channels of a group")?;
        let split = [Axis::new("group", &groups), Axis::new("channel", each)];
        let scope = g.module(ModuleClass::GroupNorm);
        let g = &mut *g.enter(&scope);
        let mut affine = |name, source| {
            let vector = param(g, name, source, vec![Axis::new("c", &channels)], false)?;
            let into = split.to_vec();
            Ok::<_, NnError>(g.rearrange(vector, Rearrange::Split { axis: "c".into(), into })?)
        };
        let affine = [affine("weight", Source::gain())?, affine("bias", Source::shift())?];
        Ok(GroupNorm { scope, eps, channels: split, affine })
    }

    /// `[b, c, …]` to the same shape.
    ///
    /// # Errors
    /// When the second axis of `x` is not as wide as the channels.
    pub fn forward(&self, g: &mut Graph, x: Var) -> Result<Var, NnError> {
        let g = &mut *g.enter(&self.scope);
        let shape = g.shape(x).clone();
        let [_, channels, positions @ ..] = &shape.axes[..] else {
            let (layer, expected, found) = ("GroupNorm", "[b, c, …]", shape.to_string());
            return Err(NnError::Rank { layer, expected, found });
        };
        let axis = channels.name.clone();
        let into = self.channels.to_vec();
        let split = g.rearrange(x, Rearrange::Split { axis: axis.clone(), into })?;
        let norm = ops::Norm::layer(self.eps).over(1 + positions.len());
        let [weight, bias] = self.affine;
        let y = g.norm(split, norm, Some(weight), Some(bias))?;
        let axes = self.channels.iter().map(|axis| axis.name.clone()).collect();
        Ok(g.rearrange(y, Rearrange::Merge { axes, into: axis })?)
    }
}
