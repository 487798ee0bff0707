//! Dropout (Srivastava et al. 2014): the identity in inference, seeded in training.

use opledger_ir::{Graph, Scope, Var, ops};

use crate::NnError;

/// Options of dropout.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DropoutConfig {
    /// The probability of dropping an element.
    pub p: f64,
    /// Whether elements are dropped at all.
    pub training: bool,
    /// The seed; places with different paths drop different elements under one seed.
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
        let place = format!("{}.{label}.{}", g.here().path(), g.nodes().len());
        let op = ops::Dropout { p: self.p, seed: mix(self.seed, &place), training: self.training };
        Ok(g.dropout(label, x, op)?)
    }
}

/// The FNV-1a hash of a seed and a place.
fn mix(seed: u64, place: &str) -> u64 {
    let bytes = seed.to_le_bytes().into_iter().chain(place.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Dropout as a layer.
///
/// ```
/// use opledger_ir::Graph;
/// use opledger_nn::{Dropout, DropoutConfig};
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
