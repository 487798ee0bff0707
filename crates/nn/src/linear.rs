//! A linear map: `y = x·Wᵀ + b`, the weight stored as PyTorch's `nn.Linear` stores it.

use opledger_dims::{Poly, Symbol};
use opledger_ir::ops::Source;
use opledger_ir::{Axis, Graph, LinearFacts, ModuleClass, Projection, Role, Scope, Var};

use crate::NnError;
use crate::sizes::positive;

/// Options of a [`Linear`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinearConfig {
    /// Whether a bias is added.
    pub bias: bool,
    /// Whether training leaves the parameters alone.
    pub frozen: bool,
    /// What the map is for, and how its library stores it.
    pub facts: LinearFacts,
}

impl Default for LinearConfig {
    /// With bias, trainable.
    fn default() -> Self {
        LinearConfig { bias: true, frozen: false, facts: LinearFacts::default() }
    }
}

impl LinearConfig {
    /// Trainable, with or without bias.
    pub fn bias(bias: bool) -> Self {
        LinearConfig { bias, ..LinearConfig::default() }
    }

    /// The same as a map of an attention.
    pub(crate) fn projection(self, which: Projection) -> Self {
        let facts = LinearFacts { projection: Some(which), ..self.facts };
        LinearConfig { facts, ..self }
    }
}

/// A linear map from the last axes of a value to other axes. Parameters `weight` and `bias`.
///
/// ```
/// # mod opledger { pub use {opledger_ir::*, opledger_nn as nn}; }
/// use opledger::{Graph, nn::{Linear, LinearConfig}};
///
/// let mut g = Graph::new();
/// let x = g.input("x", ["b", "n", "c"])?;
/// let linear = Linear::new(&mut g.scope("fc"), "c", "f", LinearConfig::default())?;
/// let y = linear.forward(&mut g, x)?;
/// assert_eq!(g.shape(y).to_string(), "[b, n, f]");
/// assert_eq!(g.parameters().0.to_string(), "f·c + f");
/// assert_eq!(g.cost().total().to_string(), "add = b·n·f·c, mul = b·n·f·c");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Linear {
    scope: Scope,
    weight: Var,
    bias: Option<Var>,
    over: Vec<Symbol>,
}

impl Linear {
    /// A map from one axis to another.
    ///
    /// # Errors
    /// When a size is below one.
    pub fn new(
        g: &mut Graph,
        in_features: impl Into<Axis>,
        out_features: impl Into<Axis>,
        config: LinearConfig,
    ) -> Result<Self, NnError> {
        Linear::between(g, vec![in_features.into()], vec![out_features.into()], config)
    }

    /// A map from several axes to several: `[c]` to `[h, e]` projects to heads.
    ///
    /// The weight has shape `[out…, in…]`, the bias `[out…]`.
    ///
    /// # Errors
    /// When a size is below one or an axis stands twice on one side.
    pub fn between(
        g: &mut Graph,
        inputs: Vec<Axis>,
        outputs: Vec<Axis>,
        config: LinearConfig,
    ) -> Result<Self, NnError> {
        inputs.iter().try_for_each(|a| positive("in_features", &a.size))?;
        outputs.iter().try_for_each(|a| positive("out_features", &a.size))?;
        let over: Vec<Symbol> = inputs.iter().map(|a| a.name.clone()).collect();
        let fan_in: Poly = inputs.iter().map(|a| &a.size).product();
        let primed = |axis: &Axis| match over.contains(&axis.name) {
            true => Axis::new(format!("{}'", axis.name), &axis.size),
            false => axis.clone(),
        };
        let axes: Vec<Axis> = outputs.iter().map(primed).chain(inputs.iter().cloned()).collect();
        let scope = g.module(ModuleClass::Linear(config.facts));
        let g = &mut *g.enter(&scope);
        let weight = param(g, "weight", Source::weight(fan_in), axes, config.frozen)?;
        let bias = match config.bias {
            true => Some(param(g, "bias", Source::shift(), outputs, config.frozen)?),
            false => None,
        };
        Ok(Linear { scope, weight, bias, over })
    }

    /// `[…, in…]` to `[…, out…]`.
    ///
    /// # Errors
    /// When `x` lacks an input axis or has it in another size.
    pub fn forward(&self, g: &mut Graph, x: Var) -> Result<Var, NnError> {
        let g = &mut *g.enter(&self.scope);
        let y = g.contract("matmul", x, self.weight, &self.over)?;
        let Some(bias) = self.bias else { return Ok(y) };
        let y = g.add("add_bias", y, bias)?;
        Ok(g.mark(y, Role::Bias))
    }

    /// The weight, `[out…, in…]`.
    pub fn weight(&self) -> Var {
        self.weight
    }
}

/// Records a parameter, trainable or not.
pub(crate) fn param(
    g: &mut Graph,
    name: &str,
    source: Source,
    axes: Vec<Axis>,
    frozen: bool,
) -> Result<Var, NnError> {
    let source = if frozen { source.frozen() } else { source };
    Ok(g.param(name, source, axes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_of_a_square_map() {
        let mut g = Graph::new();
        let x = g.input("x", ["b", "n", "c"]).unwrap();
        let linear = Linear::new(&mut g.scope("fc"), "c", "c", LinearConfig::default()).unwrap();
        let y = linear.forward(&mut g, x).unwrap();
        g.output("y", y);
        let expected = "\
%0 x: [b, n, c] = input()
%1 fc.weight: [c'=c, c] = param()
%2 fc.bias: [c] = param()
%3 fc.matmul: [b, n, c] = einsum(%0, %1) {b n c, c' c -> b n c'}
     contraction: add = b·n·c² - b·n·c, mul = b·n·c²
%4 fc.add_bias: [b, n, c] = add(%3, %2)
     pointwise: add = b·n·c
return y = %4
";
        assert_eq!(g.to_string(), expected);
    }

    #[test]
    fn frozen_parameters_are_counted_apart() {
        let mut g = Graph::new();
        let config = LinearConfig { frozen: true, ..LinearConfig::default() };
        Linear::new(&mut g.scope("a"), ("c", 3), ("f", 5), config).unwrap();
        Linear::new(&mut g.scope("b"), ("c", 3), ("f", 5), LinearConfig::bias(false)).unwrap();
        assert_eq!(g.parameters(), (35.into(), 15.into()));
        let error = Linear::new(&mut g, ("c", 0), "f", config).unwrap_err().to_string();
        assert_eq!(error, "in_features = 0, but a size is at least 1");
    }
}
