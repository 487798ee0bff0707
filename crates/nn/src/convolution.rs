//! A convolution over one to three axes, its weight stored as PyTorch's `nn.Conv1d`, `nn.Conv2d` and
//! `nn.Conv3d` store it.

use opledger_dims::Poly;
use opledger_ir::ops::{self, Source};
use opledger_ir::{Axis, Graph, ModuleClass, Role, Scope, Var};

use crate::NnError;
use crate::sizes::positive;

/// Options of a [`Convolution`]: of each axis that the window slides along, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvolutionConfig {
    /// Taps of the window.
    pub taps: Vec<usize>,
    /// Positions from a result to the next.
    pub strides: Vec<usize>,
    /// Zeros before the input, and as many behind it.
    pub padding: Vec<usize>,
    /// Whether a bias is added.
    pub bias: bool,
    /// Groups of channels, each of which is convolved by itself.
    pub groups: u64,
}

impl ConvolutionConfig {
    /// A window of so many taps along one axis, at every position of the input that it lies on as a whole;
    /// with a bias.
    pub fn along_one(taps: usize) -> Self {
        ConvolutionConfig {
            taps: vec![taps],
            strides: vec![1],
            padding: vec![0],
            bias: true,
            groups: 1,
        }
    }
}

/// A convolution. Parameters `weight [out, in / groups, taps…]` and `bias [out]`.
///
/// ```
/// # mod opledger { pub use {opledger_ir::{self as ir, *}, opledger_nn as nn}; }
/// use opledger::{Graph, ir::Axis, nn::{Convolution, ConvolutionConfig}};
///
/// let mut g = Graph::new();
/// let x = g.input("x", [Axis::from("b"), "s".into(), ("t", 10).into()])?;
/// let config = ConvolutionConfig { padding: vec![1], ..ConvolutionConfig::along_one(3) };
/// let conv = Convolution::new(&mut g.scope("conv"), "s", "c", config)?;
/// let y = conv.forward(&mut g, x, vec![("n", 10).into()])?;
/// assert_eq!(g.shape(y).to_string(), "[b, c, n=10]");
/// assert_eq!(g.parameters().0.to_string(), "3·c·s + c");
/// // 28 of the 30 taps fall on the input.
/// assert_eq!(g.cost().macs().to_string(), "28·b·c·s");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Convolution {
    scope: Scope,
    weight: Var,
    bias: Option<Var>,
    out: Axis,
    config: ConvolutionConfig,
}

impl Convolution {
    /// A convolution from channels to channels.
    ///
    /// # Errors
    /// When a size is below one.
    pub fn new(
        g: &mut Graph,
        in_channels: impl Into<Axis>,
        out_channels: impl Into<Axis>,
        config: ConvolutionConfig,
    ) -> Result<Self, NnError> {
        let (inputs, out) = (in_channels.into().size, out_channels.into());
        positive("in_channels", &inputs)?;
        positive("out_channels", &out.size)?;
        let window: Vec<Poly> = config.taps.iter().map(|taps| Poly::from(*taps as u64)).collect();
        window.iter().try_for_each(|taps| positive("taps", taps))?;
        let of_group = of_group(&inputs, config.groups)?;
        let fan_in = window.iter().fold(of_group.clone(), |all, taps| all * taps);
        let window =
            window.into_iter().enumerate().map(|(at, taps)| Axis::new(format!("k{at}"), taps));
        let axes = [Axis::new("o", &out.size), Axis::new("i", of_group)];
        let axes: Vec<Axis> = axes.into_iter().chain(window).collect();
        let scope = g.module(ModuleClass::Convolution);
        let g = &mut *g.enter(&scope);
        let weight = g.param("weight", Source::weight(fan_in), axes)?;
        let bias = match config.bias {
            true => Some(g.param("bias", Source::shift(), [out.clone()])?),
            false => None,
        };
        Ok(Convolution { scope, weight, bias, out, config })
    }

    /// `[b, in, s…]` to `[b, out, r…]`, where `results` are the axes `r…`.
    ///
    /// # Errors
    /// When `x` does not fit, or the window has other numbers of results.
    pub fn forward(&self, g: &mut Graph, x: Var, results: Vec<Axis>) -> Result<Var, NnError> {
        let g = &mut *g.enter(&self.scope);
        let Some(items) = g.shape(x).axes.first().cloned() else {
            let (layer, expected, found) = ("Convolution", "[b, in, s…]", g.shape(x).to_string());
            return Err(NnError::Rank { layer, expected, found });
        };
        let ConvolutionConfig { taps, strides, padding, .. } = &self.config;
        let padding: Vec<(usize, usize)> = padding.iter().map(|zeros| (*zeros, *zeros)).collect();
        let axes = [items, self.out.clone()].into_iter().chain(results);
        let ones = vec![1; taps.len()];
        let groups = usize::try_from(self.config.groups).unwrap_or(usize::MAX);
        let op = ops::Convolution::new(axes, strides, &padding, &ones, groups);
        let y = g.convolution("convolution", x, self.weight, op)?;
        let Some(bias) = self.bias else { return Ok(y) };
        let y = g.add("add_bias", y, bias)?;
        Ok(g.mark(y, Role::Bias))
    }
}

/// Channels of a group.
fn of_group(inputs: &Poly, groups: u64) -> Result<Poly, NnError> {
    match (groups, inputs.as_integer()) {
        (1, _) => Ok(inputs.clone()),
        (2.., Some(all)) if (&all % groups) == 0.into() => Ok((all / groups).into()),
        _ => Err(NnError::Config(format!("{groups} groups do not divide {inputs} channels"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_convolved_by_themselves() {
        let mut g = Graph::new();
        let config = ConvolutionConfig { groups: 3, ..ConvolutionConfig::along_one(2) };
        let conv = Convolution::new(&mut g, ("s", 6), ("c", 9), config.clone()).unwrap();
        let x = g.input("x", [("b", 1), ("s", 6), ("t", 5)]).unwrap();
        conv.forward(&mut g, x, vec![("n", 4).into()]).unwrap();
        // 9 · 4 results of 2 channels and 2 taps.
        assert_eq!(g.cost().macs().to_string(), "144");
        assert_eq!(g.parameters().0.to_string(), "45");
        for inputs in [Axis::new("s", 7), Axis::from("s")] {
            let error = Convolution::new(&mut g, inputs, "c", config.clone()).unwrap_err();
            assert!(error.to_string().starts_with("3 groups do not divide"), "{error}");
        }
    }

    #[test]
    fn sizes_that_do_not_fit_are_refused() {
        let mut g = Graph::new();
        let config = ConvolutionConfig::along_one(3);
        let error = Convolution::new(&mut g, ("s", 0), "c", config.clone()).unwrap_err();
        assert!(error.to_string().starts_with("in_channels = 0"), "{error}");
        let conv = Convolution::new(&mut g, ("s", 4), ("c", 5), config).unwrap();
        let x = g.input("x", [("s", 4), ("t", 6)]).unwrap();
        assert!(conv.forward(&mut g, x, vec![("n", 4).into()]).is_err());
        let x = g.input("images", [("b", 2), ("s", 4), ("t", 6)]).unwrap();
        let error = conv.forward(&mut g, x, vec![("n", 6).into()]).unwrap_err().to_string();
        assert!(error.contains("4 results"), "{error}");
        let y = conv.forward(&mut g, x, vec![("n", 4).into()]).unwrap();
        assert_eq!(g.shape(y).to_string(), "[b=2, c=5, n=4]");
    }
}
