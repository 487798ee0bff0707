//! Whether a step fits in memory, and what would.

use opledger_account::Training;
use opledger_dims::{Binding, Integer};
use opledger_grad::Recompute;

use crate::ExecuteError;

/// Refuses a step that takes more bytes than there are.
pub(crate) fn fits(
    step: &Training<'_>,
    sizes: &Binding,
    available: &Integer,
) -> Result<(), ExecuteError> {
    let bytes = step.bytes(sizes)?;
    if bytes.needed <= *available {
        return Ok(());
    }
    let mut fitting = Vec::new();
    for policy in [Recompute::Nothing, Recompute::Selective, Recompute::Layers] {
        if policy == *step.recompute() {
            continue;
        }
        let other = step.recomputing(policy.clone())?;
        if other.bytes(sizes)?.needed <= *available {
            fitting.push(policy.to_string());
        }
    }
    Err(ExecuteError::Room { bytes: Box::new(bytes), available: available.clone(), fitting })
}
