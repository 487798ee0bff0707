//! What heads of an attention are, and the maps that make keys and values of them.

use opledger_ir::{Axis, Graph, ModuleClass, Projection, Scope, Var};

use super::{AttentionConfig, Origin};
use crate::sizes::{Named, positive, quotient};
use crate::{Linear, NnError};

/// The axes of heads and of their elements.
pub(super) struct HeadAxes {
    pub(super) queries: [Axis; 2],
    pub(super) keys: [Axis; 2],
    pub(super) values: [Axis; 2],
}

impl HeadAxes {
    pub(super) fn new(g: &mut Graph, config: &AttentionConfig) -> Result<Self, NnError> {
        let (c, h) = (&config.embed_dim, &config.num_heads);
        let kv_heads = config.kv_heads.as_ref().unwrap_or(h);
        let head_dim = match &config.head_dim {
            Some(given) => given.clone(),
            None => quotient(g, "e", Named("embed_dim", c), Named("num_heads", h), "head_dim")?,
        };
        let value_dim = config.value_head_dim.as_ref().unwrap_or(&head_dim);
        positive("kv_heads", kv_heads)?;
        if let (Some(value), Some(by)) = (h.as_integer(), kv_heads.as_integer())
            && &value % &by != 0.into()
        {
            return Err(NnError::Indivisible {
                whole: "num_heads",
                value,
                divisor: "kv_heads",
                by,
            });
        }
        let shared = Axis::new(if kv_heads == h { "h" } else { "g" }, kv_heads);
        let e = Axis::new("e", &head_dim);
        let f = Axis::new(if *value_dim == head_dim { "e" } else { "f" }, value_dim);
        Ok(HeadAxes {
            queries: [Axis::new("h", h), e.clone()],
            keys: [shared.clone(), e],
            values: [shared, f],
        })
    }
}

/// Where the maps of queries, keys and values stand.
pub(super) fn maps(g: &mut Graph, config: &AttentionConfig) -> Scope {
    match &config.names.fused {
        Some(name) => {
            let which = Projection::QueryKeyValue;
            g.scope(name).module(ModuleClass::FusedLinear(config.linear(false, which).facts))
        }
        None => g.here(),
    }
}

/// The maps that make keys and values of an attention, which may stand apart from it: a decoder that
/// generates makes those of the other sequence once. Parameters `k_proj.weight [g, e, c]`,
/// `v_proj.weight [g, f, c]`, and their biases.
///
/// ```
/// # mod opledger { pub use {opledger_ir::*, opledger_nn as nn}; }
/// use opledger::{Graph, nn::{Attend, AttentionConfig, KeysAndValues, MultiheadAttention}};
///
/// let config = AttentionConfig { head_dim: Some("e".into()), ..AttentionConfig::new("c", "h") };
/// let mut whole = Graph::new();
/// MultiheadAttention::new(&mut whole, &config)?;
///
/// let mut once = Graph::new();
/// let memory = once.input("memory", ["b", "m", "c"])?;
/// let (keys, _) = KeysAndValues::new(&mut once, &config)?.forward(&mut once, memory)?;
/// assert_eq!(once.shape(keys).to_string(), "[b, m, h, e]");
///
/// let mut step = Graph::new();
/// let x = step.input("x", ["b", "n", "c"])?;
/// let [keys, values] = [step.input("k", ["b", "m", "h", "e"])?, step.input("v", ["b", "m", "h", "e"])?];
/// let config = AttentionConfig { given_heads: true, ..config };
/// let attention = MultiheadAttention::new(&mut step, &config)?;
/// attention.forward_with(&mut step, x, keys, values, Attend::default())?;
/// let both = once.parameters().0 + step.parameters().0;
/// assert_eq!(both, whole.parameters().0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct KeysAndValues {
    scope: Scope,
    key: Linear,
    /// Absent where the map of keys makes values, too.
    value: Option<Linear>,
}

impl KeysAndValues {
    /// The maps of an attention in the present scope.
    ///
    /// # Errors
    /// When a size is below one, or the heads do not divide the width.
    pub fn new(g: &mut Graph, config: &AttentionConfig) -> Result<Self, NnError> {
        let scope = g.module(match config.origin {
            Origin::Torch => ModuleClass::MultiheadAttention,
            Origin::Library => ModuleClass::Attention,
        });
        let g = &mut *g.enter(&scope);
        let heads = HeadAxes::new(g, config)?;
        let maps = maps(g, config);
        KeysAndValues::within(&mut g.enter(&maps), config, &heads)
    }

    /// The maps in the present scope.
    pub(super) fn within(
        g: &mut Graph,
        config: &AttentionConfig,
        heads: &HeadAxes,
    ) -> Result<Self, NnError> {
        let mut map = |name: &str, which, width: &Option<_>, to: &[Axis; 2]| {
            let from = vec![Axis::new("c", width.as_ref().unwrap_or(&config.embed_dim))];
            let bias = config.bias && (config.key_bias || which != Projection::Key);
            let linear = config.linear(bias, which);
            Linear::between(&mut g.scope(name), from, to.to_vec(), linear)
        };
        let names = &config.names;
        let key = map(&names.key, Projection::Key, &config.kdim, &heads.keys)?;
        let value = match config.keys_as_values {
            true => None,
            false => Some(map(&names.value, Projection::Value, &config.vdim, &heads.values)?),
        };
        Ok(KeysAndValues { scope: g.here(), key, value })
    }

    /// The keys `[b, m, g, e]` and values `[b, m, g, f]` of `[b, m, c]`.
    ///
    /// # Errors
    /// When the operand does not fit the configuration.
    pub fn forward(&self, g: &mut Graph, x: Var) -> Result<(Var, Var), NnError> {
        self.project(&mut g.enter(&self.scope), x, x)
    }

    pub(super) fn project(
        &self,
        g: &mut Graph,
        key: Var,
        value: Var,
    ) -> Result<(Var, Var), NnError> {
        let keys = self.key.forward(g, key)?;
        let values = self.value.as_ref().map_or(Ok(keys), |map| map.forward(g, value))?;
        Ok((keys, values))
    }
}
