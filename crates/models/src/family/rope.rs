//! The rotation by position as configurations describe it: `rope_theta` and `rope_scaling`, or both
//! in `rope_parameters`.

use opledger_dims::Poly;
use opledger_ir::ops::{Rope, RopePairs};

use crate::config::{ConfigError, Keys};

/// The rotation, for a model whose first token stands at `offset`.
pub(super) fn rope(keys: &Keys<'_>, offset: Poly) -> Result<Rope, ConfigError> {
    let theta = keys.number_or("rope_theta", 10_000.0)?;
    let scaling = match keys.inner("rope_parameters")? {
        Some(inner) => Some(inner),
        None => keys.inner("rope_scaling")?,
    };
    let Some(inner) = scaling else {
        return Ok(Rope { pairs: RopePairs::Halves, theta, offset });
    };
    let theta = inner.number_or("rope_theta", theta)?;
    // Earlier files name the kind `type`.
    let kind = match (inner.text("rope_type")?, inner.text("type")?) {
        (Some(new), Some(old)) if new != old => {
            return Err(inner.contradiction("rope_type", "type", "they name two rotations"));
        }
        (new, old) => new.or(old).unwrap_or("default"),
    };
    if kind != "default" {
        return Err(inner.unsupported("rope_type", "default"));
    }
    Ok(Rope { pairs: RopePairs::Halves, theta, offset })
}
