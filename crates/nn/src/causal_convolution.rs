//! A depthwise convolution over tokens whose window ends at its result.

use opledger_dims::Poly;
use opledger_ir::ops::{self, Rearrange, Source};
use opledger_ir::{Axis, Graph, ModuleClass, Role, Scope, Var};

use crate::NnError;
use crate::linear::param;
use crate::sizes::positive;

/// A depthwise convolution over tokens. Parameters `weight [c, 1, taps]` and `bias [c]`.
#[derive(Clone, Debug)]
pub(crate) struct CausalConvolution {
    scope: Scope,
    weight: Var,
    bias: Option<Var>,
    channels: Axis,
    taps: usize,
}

impl CausalConvolution {
    /// A convolution in the present scope.
    pub(crate) fn new(
        g: &mut Graph,
        channels: Axis,
        taps: usize,
        (bias, frozen): (bool, bool),
    ) -> Result<Self, NnError> {
        let length = Poly::from(taps as u64);
        positive("taps", &length)?;
        let scope = g.module(ModuleClass::CausalConvolution);
        let g = &mut *g.enter(&scope);
        let axes = vec![channels.clone(), Axis::new("i", 1), Axis::new("k", &length)];
        let weight = param(g, "weight", Source::weight(length), axes, frozen)?;
        let bias = match bias {
            true => Some(param(g, "bias", Source::shift(), vec![channels.clone()], frozen)?),
            false => None,
        };
        Ok(CausalConvolution { scope, weight, bias, channels, taps })
    }

    /// `[b, n, c]` to the same shape, and what the next tokens are given of these, `[b, taps − 1, c]`,
    /// where these were given that of earlier ones; without it, nothing was before.
    pub(crate) fn forward(
        &self,
        g: &mut Graph,
        x: Var,
        past: Option<Var>,
    ) -> Result<(Var, Option<Var>), NnError> {
        let [items, tokens, _] = &g.shape(x).axes[..] else {
            let (layer, expected, found) =
                ("CausalConvolution", "[b, n, c]", g.shape(x).to_string());
            return Err(NnError::Rank { layer, expected, found });
        };
        let (items, tokens) = (items.clone(), tokens.clone());
        let reach = self.taps.saturating_sub(1);
        let (x, padding, state) = match past {
            None => (x, reach, None),
            Some(past) => {
                let x = g.concat(past, x, tokens.name.clone())?;
                let (start, len) = (tokens.size.clone(), Poly::from(reach as u64));
                let last = Rearrange::Slice { axis: tokens.name.clone(), start, len };
                (x, 0, Some(g.rearrange(x, last)?))
            }
        };
        let g = &mut *g.enter(&self.scope);
        let [b, n, c] = [&items, &tokens, &self.channels].map(|axis| axis.name.clone());
        let order = vec![b.clone(), c.clone(), n.clone()];
        let x = g.rearrange(x, Rearrange::Permute { order })?;
        let axes = [items, self.channels.clone(), tokens];
        let op = ops::Convolution::new(axes, &[1], &[(padding, 0)], &[1], &self.channels.size);
        let mut y = g.convolution("convolution", x, self.weight, op)?;
        if let Some(bias) = self.bias {
            y = g.add("add_bias", y, bias)?;
            g.mark(y, Role::Bias);
        }
        Ok((g.rearrange(y, Rearrange::Permute { order: vec![b, n, c] })?, state))
    }
}

/// Zeros in the place of padding: `visible [b, m]` is of all tokens, of which those of `x [b, n, c]` are the
/// last.
pub(crate) fn without_padding(g: &mut Graph, x: Var, visible: Option<Var>) -> Result<Var, NnError> {
    let (Some(visible), Some(tokens)) = (visible, g.shape(x).axes.get(1).cloned()) else {
        return Ok(x);
    };
    let all = g.shape(visible).axes.last().map(|axis| axis.size.clone()).unwrap_or_default();
    let visible = match all == tokens.size {
        true => visible,
        false => {
            let (axis, len) = (tokens.name, tokens.size);
            g.rearrange(visible, Rearrange::Slice { axis, start: all - &len, len })?
        }
    };
    let visible = g.to_real(visible)?;
    Ok(g.mul("visible", x, visible)?)
}
