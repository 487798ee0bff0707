//! The position-wise feed-forward layer: `act(x·W₁ + b₁)·W₂ + b₂` (Vaswani et al. 2017, equation 2),
//! and its gated form `(act(x·W₁) ⊙ x·W₃)·W₂` (Shazeer 2020).

use opledger_dims::Poly;
use opledger_ir::ops::Activation;
use opledger_ir::{Axis, Graph, LinearFacts, Role, Scope, Var};

use crate::{DropoutConfig, FeedForwardNames, Linear, LinearConfig, NnError};

/// Options of a [`FeedForward`].
#[derive(Clone, Debug, PartialEq)]
pub struct FeedForwardConfig {
    /// The width of input and output.
    pub d_model: Poly,
    /// The hidden width.
    pub dim_feedforward: Poly,
    /// The function between the two maps.
    pub activation: Activation,
    /// Whether the activation gates a third map.
    pub gated: bool,
    /// Whether the maps have biases.
    pub bias: bool,
    /// Dropout after the activation.
    pub dropout: DropoutConfig,
    /// Whether training leaves the parameters alone.
    pub frozen: bool,
    /// Whether the library stores the maps `[in, out]`.
    pub inputs_first: bool,
    /// Where the maps stand.
    pub names: FeedForwardNames,
}

impl FeedForwardConfig {
    /// ReLU, biases, no gate, PyTorch's names.
    pub fn new(d_model: impl Into<Poly>, dim_feedforward: impl Into<Poly>) -> Self {
        FeedForwardConfig {
            d_model: d_model.into(),
            dim_feedforward: dim_feedforward.into(),
            activation: Activation::Relu,
            gated: false,
            bias: true,
            dropout: DropoutConfig::default(),
            frozen: false,
            inputs_first: false,
            names: FeedForwardNames::default(),
        }
    }
}

/// A feed-forward layer. Parameters `linear1.weight [f, c]`, `linear2.weight [c, f]`, gated
/// `linear3.weight [f, c]`, and their biases.
///
/// ```
/// # mod opledger { pub use {opledger_ir::*, opledger_nn as nn}; }
/// use opledger::{Graph, nn::{FeedForward, FeedForwardConfig}};
///
/// let mut g = Graph::new();
/// let x = g.input("x", ["b", "n", "c"])?;
/// let layer = FeedForward::new(&mut g, &FeedForwardConfig::new("c", "f"))?;
/// layer.forward(&mut g, x)?;
/// assert_eq!(g.parameters().0.to_string(), "2·f·c + c + f");
/// assert_eq!(g.cost().macs().to_string(), "2·b·n·f·c");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct FeedForward {
    scope: Scope,
    linear1: Linear,
    linear2: Linear,
    gated: Option<Linear>,
    activation: Activation,
    dropout: DropoutConfig,
}

impl FeedForward {
    /// A feed-forward layer in the present scope.
    ///
    /// # Errors
    /// When a size is below one.
    pub fn new(g: &mut Graph, config: &FeedForwardConfig) -> Result<Self, NnError> {
        let c = Axis::new("c", &config.d_model);
        let f = Axis::new("f", &config.dim_feedforward);
        let linear = LinearConfig {
            bias: config.bias,
            frozen: config.frozen,
            facts: LinearFacts { projection: None, inputs_first: config.inputs_first },
        };
        let names = &config.names;
        let linear1 = Linear::new(&mut g.scope(&names.input), c.clone(), f.clone(), linear)?;
        let linear2 = Linear::new(&mut g.scope(&names.output), f.clone(), c.clone(), linear)?;
        let gated = match config.gated {
            true => Some(Linear::new(&mut g.scope(&names.gated), c, f, linear)?),
            false => None,
        };
        let (activation, dropout) = (config.activation, config.dropout);
        Ok(FeedForward { scope: g.here(), linear1, linear2, gated, activation, dropout })
    }

    /// `[…, c]` to `[…, c]`.
    ///
    /// # Errors
    /// When the last axis of `x` is not `c` of the right size.
    pub fn forward(&self, g: &mut Graph, x: Var) -> Result<Var, NnError> {
        let g = &mut *g.enter(&self.scope);
        let hidden = self.linear1.forward(g, x)?;
        let mut hidden = g.activation(hidden, self.activation)?;
        if let Some(linear3) = &self.gated {
            let other = linear3.forward(g, x)?;
            hidden = g.mul("gate", hidden, other)?;
            g.mark(hidden, Role::Gate);
        }
        let hidden = self.dropout.apply(g, "dropout", hidden)?;
        self.linear2.forward(g, hidden)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gated_formula() {
        let mut g = Graph::new();
        let x = g.input("x", ["b", "n", "c"]).unwrap();
        let config = FeedForwardConfig {
            gated: true,
            bias: false,
            activation: Activation::Silu,
            ..FeedForwardConfig::new("c", "f")
        };
        FeedForward::new(&mut g, &config).unwrap().forward(&mut g, x).unwrap();
        assert_eq!(g.parameters().0.to_string(), "3·f·c");
        assert_eq!(g.cost().macs().to_string(), "3·b·n·f·c");
        let total = g.cost().total();
        assert_eq!(total[opledger_dims::Class::Mul].to_string(), "3·b·n·f·c + b·n·f");
        assert_eq!(total[opledger_dims::Class::Exp].to_string(), "b·n·f");
    }
}
