//! The gated short convolution of LFM2 (Liquid AI 2025): `out(C ⊙ convolution(B ⊙ x))`, where one map gives
//! B, C and x of each token, and the convolution is depthwise and sees a few tokens before its own.

use opledger_dims::Poly;
use opledger_ir::ops::Rearrange;
use opledger_ir::{Axis, Graph, Role, Scope, Var};

use crate::causal_convolution::{CausalConvolution, without_padding};
use crate::{Attend, Attended, Linear, LinearConfig, NnError};

/// Options of a [`ShortConvolution`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShortConvolutionConfig {
    /// The width of input and output.
    pub d_model: Poly,
    /// How many tokens a result is made of: its own and those right before it.
    pub taps: usize,
    /// Whether the maps and the convolution have biases.
    pub bias: bool,
    /// Whether training leaves the parameters alone.
    pub frozen: bool,
}

impl ShortConvolutionConfig {
    /// No biases.
    pub fn new(d_model: impl Into<Poly>, taps: usize) -> Self {
        ShortConvolutionConfig { d_model: d_model.into(), taps, bias: false, frozen: false }
    }

    /// How many inputs of the convolution a token needs of those before it.
    pub fn reach(&self) -> usize {
        self.taps.saturating_sub(1)
    }
}

/// A gated short convolution. Parameters `conv.weight [c, 1, taps]`, `in_proj.weight [3·c, c]`,
/// `out_proj.weight [c, c]`, and their biases.
///
/// ```
/// # mod opledger { pub use {opledger_ir::*, opledger_nn as nn}; }
/// use opledger::{Graph, Mask, nn::{ShortConvolution, ShortConvolutionConfig}};
///
/// let mut g = Graph::new();
/// let x = g.input("x", ["b", "n", "c"])?;
/// let layer = ShortConvolution::new(&mut g, &ShortConvolutionConfig::new("c", 3))?;
/// let y = layer.forward(&mut g, x, Mask::none().into())?.output;
/// assert_eq!(g.shape(y).to_string(), "[b, n, c]");
/// assert_eq!(g.parameters().0.to_string(), "4·c² + 3·c");
/// // `taps` are the pairs of a token and one that it sees, 3·n − 3 of two tokens or more.
/// assert_eq!(g.cost().macs().to_string(), "4·b·n·c² + b·c·taps");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ShortConvolution {
    scope: Scope,
    convolution: CausalConvolution,
    input: Linear,
    output: Linear,
    config: ShortConvolutionConfig,
}

impl ShortConvolution {
    /// A convolution in the present scope.
    ///
    /// # Errors
    /// When a size is below one.
    pub fn new(g: &mut Graph, config: &ShortConvolutionConfig) -> Result<Self, NnError> {
        let c = Axis::new("c", &config.d_model);
        let options = (config.bias, config.frozen);
        let convolution =
            CausalConvolution::new(&mut g.scope("conv"), c.clone(), config.taps, options)?;
        let linear =
            LinearConfig { bias: config.bias, frozen: config.frozen, ..LinearConfig::default() };
        let all = Axis::new(JOINED, &config.d_model * &Poly::from(3));
        let input = Linear::new(&mut g.scope("in_proj"), c.clone(), all, linear)?;
        let output = Linear::new(&mut g.scope("out_proj"), c.clone(), c, linear)?;
        let (scope, config) = (g.here(), config.clone());
        Ok(ShortConvolution { scope, convolution, input, output, config })
    }

    /// `[b, n, c]` to the same shape. Of the call, `state` is what the convolution was given of the tokens
    /// before, `[b, taps − 1, c]`, the token axis under the name it has in `x`; the new one is given back.
    /// Without one, nothing was before. What the mask keeps says which tokens are none but padding, which
    /// count as zeros; what else it says is of attention.
    ///
    /// # Errors
    /// When an operand does not fit the configuration.
    pub fn forward(&self, g: &mut Graph, x: Var, call: Attend) -> Result<Attended, NnError> {
        let g = &mut *g.enter(&self.scope);
        if g.shape(x).axes.len() != 3 {
            let (layer, expected, found) =
                ("ShortConvolution", "[b, n, c]", g.shape(x).to_string());
            return Err(NnError::Rank { layer, expected, found });
        }
        let x = without_padding(g, x, call.mask.keep)?;
        let all = self.input.forward(g, x)?;
        let mut third = |at: i64| -> Result<Var, NnError> {
            let (start, len) =
                (&self.config.d_model * &Poly::from(at), self.config.d_model.clone());
            let part = g.rearrange(all, Rearrange::Slice { axis: JOINED.into(), start, len })?;
            Ok(g.rename(part, JOINED, "c")?)
        };
        let [before, after, x] = [third(0)?, third(1)?, third(2)?];
        let x = gate(g, "input_gate", before, x)?;
        let (y, state) = self.convolution.forward(g, x, call.state)?;
        let y = gate(g, "output_gate", after, y)?;
        let output = self.output.forward(g, y)?;
        Ok(Attended { output, weights: None, present: None, state, memory: None })
    }
}

/// The axis of the map to B, C and x.
const JOINED: &str = "bcx";

fn gate(g: &mut Graph, label: &str, by: Var, x: Var) -> Result<Var, NnError> {
    let gated = g.mul(label, by, x)?;
    Ok(g.mark(gated, Role::Gate))
}

#[cfg(test)]
mod tests {
    use opledger_ir::Mask;

    use super::*;

    fn layer(state: bool, mask: bool) -> Graph {
        let mut g = Graph::new();
        let x = g.input("x", ["b", "n", "c"]).unwrap();
        let config = ShortConvolutionConfig { bias: true, ..ShortConvolutionConfig::new("c", 4) };
        let layer = ShortConvolution::new(&mut g.scope("conv"), &config).unwrap();
        let before = [Axis::from("b"), Axis::new("n", 3), "c".into()];
        let state = state.then(|| g.input("past", before).unwrap());
        let all = Axis::new("n", &Poly::from("p") + &Poly::from("n"));
        let keep = mask.then(|| g.input_mask("visible", [Axis::from("b"), all]).unwrap());
        let call = Attend { state, mask: Mask { keep, ..Mask::none() }, ..Attend::default() };
        let found = layer.forward(&mut g, x, call).unwrap();
        assert_eq!(g.shape(found.output).to_string(), "[b, n, c]");
        let shape = found.state.map(|state| g.shape(state).to_string());
        assert_eq!(shape.as_deref(), state.map(|_| "[b, n=3, c]"));
        g
    }

    #[test]
    fn a_state_is_met_by_each_tap() {
        let macs = |state, mask| layer(state, mask).cost().macs().to_string();
        assert_eq!(macs(true, false), "4·b·n·c² + 4·b·n·c");
        assert_eq!(macs(false, true), "4·b·n·c² + b·c·taps");
        assert_eq!(layer(true, true).parameters().0.to_string(), "4·c² + 9·c");
    }

    #[test]
    fn what_is_no_sequence_is_refused() {
        let mut g = Graph::new();
        let x = g.input("x", ["n", "c"]).unwrap();
        let config = ShortConvolutionConfig::new("c", 3);
        let layer = ShortConvolution::new(&mut g, &config).unwrap();
        let error = layer.forward(&mut g, x, Attend::default()).unwrap_err();
        assert!(error.to_string().contains("[b, n, c]"), "{error}");
        let none = ShortConvolutionConfig { taps: 0, ..config };
        let error = ShortConvolution::new(&mut g.scope("none"), &none).unwrap_err();
        assert!(error.to_string().starts_with("taps = 0"), "{error}");
    }
}
