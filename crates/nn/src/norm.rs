//! LayerNorm (Ba, Kiros, Hinton 2016) and RMSNorm (Zhang, Sennrich 2019) over the last axis.

use opledger_ir::ops::{self, NormKind, Pointwise, Source};
use opledger_ir::{Axis, Graph, ModuleClass, Scope, Var};

use crate::NnError;
use crate::linear::param;
use crate::sizes::positive;

/// Options of a [`Norm`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormConfig {
    /// Which norm.
    pub kind: NormKind,
    /// ε under the square root.
    pub eps: f64,
    /// Whether the result is multiplied by a gain.
    pub weight: bool,
    /// Whether a shift is added.
    pub bias: bool,
    /// Whether the gain is one more than the parameter (Gemma).
    pub one_plus: bool,
    /// Whether training leaves the parameters alone.
    pub frozen: bool,
}

impl NormConfig {
    /// LayerNorm with gain and shift and PyTorch's ε of 1e-5.
    pub fn layer() -> Self {
        NormConfig {
            kind: NormKind::Layer,
            eps: 1e-5,
            weight: true,
            bias: true,
            one_plus: false,
            frozen: false,
        }
    }

    /// RMSNorm with gain, and ε of 1e-5 as Llama 2 and 3 have it.
    pub fn rms() -> Self {
        NormConfig { kind: NormKind::Rms, bias: false, ..NormConfig::layer() }
    }
}

/// A norm over the last axis. Parameters `weight` and `bias`, each `[c]`.
///
/// ```
/// # mod opledger { pub use {opledger_ir::*, opledger_nn as nn}; }
/// use opledger::{Graph, nn::Norm};
///
/// let mut g = Graph::new();
/// let x = g.input("x", ["b", "n", "c"])?;
/// let norm = Norm::layer(&mut g.scope("norm"), "c")?;
/// norm.forward(&mut g, x)?;
/// assert_eq!(g.parameters().0.to_string(), "2·c");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "LayerNorm")]
#[doc(alias = "RmsNorm")]
#[derive(Clone, Debug)]
pub struct Norm {
    scope: Scope,
    op: ops::Norm,
    weight: Option<Var>,
    one_plus: bool,
    bias: Option<Var>,
}

impl Norm {
    /// A norm over `axis`.
    ///
    /// # Errors
    /// When the size is below one or ε is negative or not a number.
    pub fn new(g: &mut Graph, axis: impl Into<Axis>, config: NormConfig) -> Result<Self, NnError> {
        Norm::over(g, vec![axis.into()], config)
    }

    /// A norm over several axes together, the last of what is normalised; parameters have them all.
    ///
    /// # Errors
    /// As [`Norm::new`].
    pub fn over(g: &mut Graph, axes: Vec<Axis>, config: NormConfig) -> Result<Self, NnError> {
        axes.iter().try_for_each(|axis| positive("normalized_shape", &axis.size))?;
        if !(config.eps >= 0.0 && config.eps.is_finite()) {
            return Err(NnError::Config(format!("eps = {} is no number from 0 on", config.eps)));
        }
        let (op, class) = match config.kind {
            NormKind::Layer => (ops::Norm::layer(config.eps), ModuleClass::LayerNorm),
            NormKind::Rms => (ops::Norm::rms(config.eps), ModuleClass::RmsNorm),
        };
        let op = op.over(axes.len());
        let scope = g.module(class);
        let g = &mut *g.enter(&scope);
        let mut affine = |wanted: bool, name: &str, source| match wanted {
            true => param(g, name, source, axes.clone(), config.frozen).map(Some),
            false => Ok(None),
        };
        let gain = if config.one_plus { Source::shift() } else { Source::gain() };
        let weight = affine(config.weight, "weight", gain)?;
        let bias = affine(config.bias, "bias", Source::shift())?;
        Ok(Norm { scope, op, weight, one_plus: config.one_plus, bias })
    }

    /// LayerNorm with PyTorch's options.
    ///
    /// # Errors
    /// When the size is below one.
    pub fn layer(g: &mut Graph, axis: impl Into<Axis>) -> Result<Self, NnError> {
        Norm::new(g, axis, NormConfig::layer())
    }

    /// RMSNorm with a gain.
    ///
    /// # Errors
    /// When the size is below one.
    pub fn rms(g: &mut Graph, axis: impl Into<Axis>) -> Result<Self, NnError> {
        Norm::new(g, axis, NormConfig::rms())
    }

    /// The same shape, normalised along the last axis.
    ///
    /// # Errors
    /// When the last axis of `x` is not the norm's.
    pub fn forward(&self, g: &mut Graph, x: Var) -> Result<Var, NnError> {
        let g = &mut *g.enter(&self.scope);
        let gain = match (self.weight, self.one_plus) {
            (Some(weight), true) => Some(g.pointwise(weight, Pointwise::Shift(1.0))?),
            (weight, _) => weight,
        };
        Ok(g.norm(x, self.op.clone(), gain, self.bias)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opledger_dims::Class;

    #[test]
    fn a_gain_that_is_one_more_costs_an_addition_for_each_of_its_elements() {
        let counts = |one_plus| {
            let mut g = Graph::new();
            let x = g.input("x", ["b", "n", "c"]).unwrap();
            let config = NormConfig { one_plus, ..NormConfig::rms() };
            Norm::new(&mut g, "c", config).unwrap().forward(&mut g, x).unwrap();
            (g.cost().total(), g.parameters().0)
        };
        let ((more, weights), (plain, same)) = (counts(true), counts(false));
        assert_eq!(&more[Class::Add] - &plain[Class::Add], "c".into());
        assert_eq!((more[Class::Mul].clone(), weights), (plain[Class::Mul].clone(), same));
    }

    #[test]
    fn a_norm_over_all_heads_has_one_root_for_each_token() {
        let mut g = Graph::new();
        let x = g.input("x", ["b", "n", "h", "e"]).unwrap();
        let axes = vec!["h".into(), "e".into()];
        Norm::over(&mut g, axes, NormConfig::rms()).unwrap().forward(&mut g, x).unwrap();
        assert_eq!(g.cost().total()[Class::Sqrt].to_string(), "b·n");
        assert_eq!(g.parameters().0.to_string(), "h·e");
    }
}
