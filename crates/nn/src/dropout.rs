//! Dropout (Srivastava et al. 2014): the identity in inference, seeded in training.

use opledger_ir::{Graph, ModuleClass, Scope, Var, ops};

use crate::NnError;

/// Options of dropout.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DropoutConfig {
    /// The probability of dropping an element.
    pub p: f64,
    /// Whether elements are dropped at all.
    pub training: bool,
    /// The seed; each place and each iteration of a repeated layer drops elements of its own.
    pub seed: u64,
}

impl DropoutConfig {
    /// Dropout in inference: recorded, but the identity.
    pub fn inference(p: f64) -> Self {
        DropoutConfig { p, ..DropoutConfig::default() }
    }

    /// Whether anything is ever dropped.
    pub(crate) fn is_active(&self) -> bool {
        self.training && self.p > 0.0
    }

    /// Records dropout here; nothing when the probability is zero.
    pub(crate) fn apply(&self, g: &mut Graph, label: &str, x: Var) -> Result<Var, NnError> {
        if self.p == 0.0 {
            return Ok(x);
        }
        let DropoutConfig { p, training, seed } = *self;
        let module = g.module(ModuleClass::Dropout);
        Ok(g.enter(&module).dropout(label, x, ops::Dropout { p, seed, training })?)
    }
}

/// Dropout as a layer.
///
/// ```
/// # mod opledger { pub use {opledger_ir::*, opledger_nn as nn}; }
/// use opledger::{Graph, nn::{Dropout, DropoutConfig}};
///
/// let mut g = Graph::new();
/// let x = g.input("x", ["b", "n"])?;
/// let dropout = Dropout::new(&mut g, DropoutConfig::inference(0.1))?;
/// dropout.forward(&mut g, x)?;
/// assert_eq!(g.cost().total().to_string(), "none");
/// let training = DropoutConfig { training: true, ..DropoutConfig::inference(0.1) };
/// Dropout::new(&mut g, training)?.forward(&mut g, x)?;
/// assert_eq!(g.cost().total().to_string(), "mul = b·n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Dropout {
    scope: Scope,
    config: DropoutConfig,
}

impl Dropout {
    /// Dropout in the present scope.
    ///
    /// # Errors
    /// When the probability is not in `[0, 1)`.
    pub fn new(g: &mut Graph, config: DropoutConfig) -> Result<Self, NnError> {
        if !(0.0..1.0).contains(&config.p) {
            return Err(NnError::Config(format!(
                "dropout probability {} is not in [0, 1)",
                config.p
            )));
        }
        Ok(Dropout { scope: g.here(), config })
    }

    /// The same shape.
    ///
    /// # Errors
    /// When `x` holds whole numbers.
    pub fn forward(&self, g: &mut Graph, x: Var) -> Result<Var, NnError> {
        self.config.apply(&mut g.enter(&self.scope), "", x)
    }
}
