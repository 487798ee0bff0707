//! Linear attention by a gated delta rule, as decoders have it: `hk` heads of queries and keys of width `dk`,
//! `r` heads of values of width `dv` for each, together `hv`.

use opledger_ir::Definition;
use opledger_nn::{DeltaMaps, GatedDeltaConfig, NormConfig};

use super::checks::multiple;
use super::recorder::Recorder;
use super::variant::DeltaRule;
use crate::config::{ConfigError, Keys};

const KEY_HEADS: &str = "linear_num_key_heads";
const VALUE_HEADS: &str = "linear_num_value_heads";

/// What the keys say of it.
pub(super) fn read(keys: &Keys<'_>, maps: DeltaMaps) -> Result<DeltaRule, ConfigError> {
    let (key_heads, value_heads) = (keys.size_or(KEY_HEADS, 16)?, keys.size_or(VALUE_HEADS, 32)?);
    multiple(keys, (VALUE_HEADS, value_heads), (KEY_HEADS, key_heads))?;
    let taps = "linear_conv_kernel_dim";
    let window = usize::try_from(keys.size_or(taps, 4)?);
    Ok(DeltaRule {
        key_heads,
        value_heads,
        key_dim: keys.size_or("linear_key_head_dim", 128)?,
        value_dim: keys.size_or("linear_value_head_dim", 128)?,
        taps: window.map_err(|_| keys.unsupported(taps, "a window"))?,
        maps,
    })
}

/// The layer, with symbols for its sizes.
pub(super) fn config(
    keys: &Keys<'_>,
    r: &mut Recorder,
    rule: &DeltaRule,
    (key, norm): ((Option<&str>, opledger_nn::Activation), NormConfig),
) -> Result<GatedDeltaConfig, ConfigError> {
    let key_heads = r.size("hk", rule.key_heads);
    let values_per_key = r.size("r", rule.value_heads / rule.key_heads);
    r.size("hv", rule.value_heads);
    let factors = ["hk".into(), "r".into()];
    r.graph.define(Definition::Product { whole: "hv".into(), factors });
    let activation = match key {
        (Some(key), default) => keys.activation(key, default)?,
        (None, function) => function,
    };
    Ok(GatedDeltaConfig {
        d_model: "c".into(),
        key_heads,
        values_per_key,
        key_dim: r.size("dk", rule.key_dim),
        value_dim: r.size("dv", rule.value_dim),
        taps: rule.taps,
        activation,
        norm: NormConfig { one_plus: false, ..norm },
        maps: rule.maps,
        frozen: false,
    })
}
