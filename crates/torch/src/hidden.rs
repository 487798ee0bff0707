//! Numbers that a truth value hides, as masks of floats do: where it does not hold they are −∞ or the
//! least number of an element type.

use crate::tensor::Placed;
use crate::whole::Whole;

/// A tensor of reals with numbers that hide. Attention takes the truth value as its mask and what is left
/// as its bias; whoever else reads such a tensor reads it as PyTorch computes it.
#[derive(Clone, Debug)]
pub(crate) struct Hidden {
    /// Where it does not hide.
    pub(crate) seen: Whole,
    /// What it is there.
    pub(crate) finite: Finite,
    /// All of it, as PyTorch has it.
    pub(crate) real: Placed,
}

/// What is left of such a tensor.
#[derive(Clone, Debug)]
pub(crate) enum Finite {
    Number(f64),
    Tensor(Placed),
}

/// Whether a number hides a score: −∞, or no more than the least number of the narrowest type.
pub(crate) fn hides(number: f64) -> bool {
    number <= f64::from(half::f16::MIN)
}
