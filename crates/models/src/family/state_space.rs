//! State spaces as models have them: `hs` heads of width `es` in `gs` groups of `r`, with keys of width `ds`.

use opledger_ir::Definition;
use opledger_nn::{Activation, StateSpaceConfig};
use serde_json::Value;

use super::checks::multiple;
use super::recorder::Recorder;
use crate::config::{ConfigError, Keys, is_infinite};

/// The sizes of a state space, as keys say them.
#[derive(Clone, Copy, Debug)]
pub(super) struct SpaceSizes {
    /// Heads.
    pub(super) heads: u64,
    /// Groups of them.
    pub(super) groups: u64,
    /// The width of a head.
    pub(super) head_dim: u64,
    /// The width of a key.
    pub(super) state: u64,
    /// How many tokens a result of its convolution is made of.
    pub(super) taps: usize,
    /// The function of the convolution's results.
    pub(super) activation: Activation,
    /// Whether its maps have biases.
    pub(super) bias: bool,
    /// Whether its convolution has.
    pub(super) convolution_bias: bool,
    /// ε of its norm.
    pub(super) eps: f64,
    /// How many tokens the library takes at once.
    pub(super) chunk: u64,
    /// What Δ is kept from on, where it is.
    pub(super) least: Option<f64>,
}

/// What keys of sizes are called, each with its default.
pub(super) struct SpaceKeys {
    pub(super) heads: (&'static str, u64),
    pub(super) groups: (&'static str, u64),
    pub(super) state: (&'static str, u64),
    pub(super) taps: (&'static str, u64),
    pub(super) chunk: (&'static str, u64),
    pub(super) bias: &'static str,
    pub(super) convolution_bias: &'static str,
    pub(super) activation: &'static str,
    /// Without a default.
    pub(super) eps: (&'static str, f64),
}

impl SpaceKeys {
    /// Leaves them aside where no layer has a state space.
    pub(super) fn pass_over(&self, keys: &Keys<'_>) {
        let sizes = [self.heads, self.groups, self.state, self.taps, self.chunk];
        keys.pass_over(&sizes.map(|(key, _)| key));
        keys.pass_over(&[self.bias, self.convolution_bias, self.activation]);
    }

    /// What the keys say; `head_dim` is the width of a head.
    pub(super) fn read(
        &self,
        keys: &Keys<'_>,
        head_dim: impl FnOnce(u64) -> Result<u64, ConfigError>,
    ) -> Result<SpaceSizes, ConfigError> {
        let size = |(key, default): (&str, u64)| keys.size_or(key, default);
        let (heads, groups) = (size(self.heads)?, size(self.groups)?);
        multiple(keys, (self.heads.0, heads), (self.groups.0, groups))?;
        let taps = usize::try_from(size(self.taps)?);
        let (key, default) = self.eps;
        Ok(SpaceSizes {
            heads,
            groups,
            head_dim: head_dim(heads)?,
            state: size(self.state)?,
            taps: taps.map_err(|_| keys.unsupported(self.taps.0, "a window"))?,
            activation: keys.activation(self.activation, Activation::Silu)?,
            bias: keys.flag_or(self.bias, false)?,
            convolution_bias: keys.flag_or(self.convolution_bias, true)?,
            eps: keys.epsilon_or(key, default)?,
            chunk: size(self.chunk)?,
            least: None,
        })
    }
}

/// A bound of Δ that none is as great as; published files have 1e30 in the place of infinity.
const GREATEST: f64 = 1e20;

/// Refuses bounds of Δ, which the library keeps in runs of several tokens and not in steps of one.
pub(super) fn unlimited(keys: &Keys<'_>) -> Result<(), ConfigError> {
    let key = "time_step_limit";
    let fine = |value: &Value| match value.as_array().map(Vec::as_slice) {
        Some([least, most]) => {
            let endless = is_infinite(most) || most.as_f64().is_some_and(|most| most >= GREATEST);
            least.as_f64().is_some_and(|least| least <= 0.0) && endless
        }
        _ => false,
    };
    match keys.get(key) {
        Some(value) if !fine(value) => {
            let why = "[0.0, Infinity], since steps of one token keep no other bounds";
            Err(keys.unsupported(key, why))
        }
        _ => Ok(()),
    }
}

/// The layer, with symbols for its sizes.
pub(super) fn config(r: &mut Recorder, sizes: &SpaceSizes) -> StateSpaceConfig {
    let groups = r.size("gs", sizes.groups);
    let heads_per_group = r.size("r", sizes.heads / sizes.groups);
    r.size("hs", sizes.heads);
    let factors = ["gs".into(), "r".into()];
    r.graph.define(Definition::Product { whole: "hs".into(), factors });
    StateSpaceConfig {
        d_model: "c".into(),
        groups,
        heads_per_group,
        head_dim: r.size("es", sizes.head_dim),
        state: r.size("ds", sizes.state),
        taps: sizes.taps,
        activation: sizes.activation,
        bias: sizes.bias,
        convolution_bias: sizes.convolution_bias,
        eps: sizes.eps,
        chunk: sizes.chunk,
        least: sizes.least,
        frozen: false,
    }
}
