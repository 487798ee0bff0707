//! The rotation by position as configurations describe it: `rope_theta` and `rope_scaling`, or both
//! in `rope_parameters`.

use opledger_dims::Poly;
use opledger_ir::ops::{Rope, RopePairs, RopeScaling};

use crate::config::{ConfigError, Keys};

/// The rotation, for a model whose first token stands at `offset`.
pub(super) fn rope(keys: &Keys<'_>, offset: Poly) -> Result<Rope, ConfigError> {
    let theta = keys.number_or("rope_theta", 10_000.0)?;
    let (new, old) = ("rope_parameters", "rope_scaling");
    if keys.get(new).is_some() && keys.get(old).is_some_and(|other| keys.get(new) != Some(other)) {
        return Err(keys.contradiction(new, old, "they name two rotations"));
    }
    let place = if keys.get(new).is_some() { new } else { old };
    let scaling = keys.inner(place)?;
    let Some(inner) = scaling else {
        return Ok(Rope {
            pairs: RopePairs::Halves,
            theta,
            offset,
            scaling: RopeScaling::None,
            rotated: None,
        });
    };
    let inner_theta = inner.number_or("rope_theta", theta)?;
    if keys.get("rope_theta").is_some() && inner_theta != theta {
        return Err(keys.contradiction("rope_theta", place, "they name two bases"));
    }
    let theta = inner_theta;
    // Earlier files name the kind `type`.
    let kind = match (inner.text("rope_type")?, inner.text("type")?) {
        (Some(new), Some(old)) if new != old => {
            return Err(inner.contradiction("rope_type", "type", "they name two rotations"));
        }
        (new, old) => new.or(old).unwrap_or("default"),
    };
    let scaling = match kind {
        "default" => RopeScaling::None,
        "linear" => RopeScaling::Linear { factor: inner.number("factor")? },
        "llama3" => RopeScaling::Llama3 {
            factor: inner.number("factor")?,
            low_freq_factor: inner.number("low_freq_factor")?,
            high_freq_factor: inner.number("high_freq_factor")?,
            original_max_position_embeddings: original(&inner)?,
        },
        "yarn" => {
            let factor = inner.number("factor")?;
            RopeScaling::Yarn {
                factor,
                beta_fast: inner.number_or("beta_fast", 32.0)?,
                beta_slow: inner.number_or("beta_slow", 1.0)?,
                original_max_position_embeddings: original(&inner)?,
                attention_factor: inner
                    .number_or("attention_factor", 0.1 * factor.max(1.0).ln() + 1.0)?,
            }
        }
        _ => return Err(inner.unsupported("rope_type", "default, linear, llama3, yarn")),
    };
    Ok(Rope { pairs: RopePairs::Halves, theta, offset, scaling, rotated: None })
}

fn original(keys: &Keys<'_>) -> Result<usize, ConfigError> {
    let key = "original_max_position_embeddings";
    let too_large = |_| keys.unsupported(key, "a number of tokens");
    usize::try_from(keys.size(key)?).map_err(too_large)
}
