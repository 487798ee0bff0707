//! A layer of Gemma 4: attention and a feed-forward layer between norms, beside which experts may stand,
//! then what the table of inputs of each layer adds, and a factor of all. Named as in the `transformers`
//! library.

use opledger_dims::Poly;
use opledger_ir::ops::{Activation, Rearrange, Source};
use opledger_ir::{Axis, Graph, Role, Scope, Var};
use opledger_nn::{
    Attend, Attended, AttentionConfig, FeedForward, FeedForwardConfig, Linear, LinearConfig,
    MixtureConfig, MixtureOfExperts, MultiheadAttention, NnError, Norm, NormConfig,
};

/// What a layer is made of.
#[derive(Clone, Debug)]
pub(super) struct LayerParts {
    pub(super) attention: AttentionConfig,
    pub(super) feed_forward: FeedForwardConfig,
    /// Experts beside the feed-forward layer.
    pub(super) mixture: Option<MixtureConfig>,
    pub(super) norm: NormConfig,
    /// The width of a layer's inputs, where layers have such.
    pub(super) own_input: Option<Poly>,
}

/// A layer.
pub(super) struct Layer {
    scope: Scope,
    attention: MultiheadAttention,
    feed_forward: FeedForward,
    /// Before and after the attention, before and after what follows it.
    norms: [Norm; 4],
    experts: Option<Experts>,
    own_input: Option<OwnInput>,
    /// One number that the model keeps.
    factor: Var,
}

/// Experts, with the norms of the feed-forward layer's result, of what they are given and of their result.
struct Experts {
    mixture: MixtureOfExperts,
    norms: [Norm; 3],
}

/// What a layer adds of its own inputs: a gate of them, a map, a norm.
struct OwnInput {
    gate: Linear,
    map: Linear,
    norm: Norm,
    activation: Activation,
}

impl Layer {
    /// A layer in the present scope.
    pub(super) fn new(g: &mut Graph, parts: &LayerParts) -> Result<Layer, NnError> {
        let c = Axis::new("c", &parts.attention.embed_dim);
        let norm = |g: &mut Graph, name: &str| Norm::new(&mut g.scope(name), c.clone(), parts.norm);
        let attention = MultiheadAttention::new(&mut g.scope("self_attn"), &parts.attention)?;
        let feed_forward = FeedForward::new(&mut g.scope("mlp"), &parts.feed_forward)?;
        let norms = [
            norm(g, "input_layernorm")?,
            norm(g, "post_attention_layernorm")?,
            norm(g, "pre_feedforward_layernorm")?,
            norm(g, "post_feedforward_layernorm")?,
        ];
        let own_input = match &parts.own_input {
            Some(width) => {
                let (own, plain) = (Axis::new("pl", width), LinearConfig::bias(false));
                let mut linear = |name: &str, from: &Axis, to: &Axis| {
                    Linear::new(&mut g.scope(name), from.clone(), to.clone(), plain)
                };
                let gate = linear("per_layer_input_gate", &c, &own)?;
                let map = linear("per_layer_projection", &own, &c)?;
                let norm = norm(g, "post_per_layer_input_norm")?;
                Some(OwnInput { gate, map, norm, activation: parts.feed_forward.activation })
            }
            None => None,
        };
        let experts = match &parts.mixture {
            Some(mixture) => Some(Experts {
                mixture: MixtureOfExperts::new(g, mixture)?,
                norms: [
                    norm(g, "post_feedforward_layernorm_1")?,
                    norm(g, "pre_feedforward_layernorm_2")?,
                    norm(g, "post_feedforward_layernorm_2")?,
                ],
            }),
            None => None,
        };
        let factor = g.record("layer_scalar", Source::Buffer { axes: vec![one()] }, &[])?;
        let scope = g.here();
        Ok(Layer { scope, attention, feed_forward, norms, experts, own_input, factor })
    }

    /// `[b, n, c]` to the same shape. The keys and values of a layer that makes none are `heads`; its own
    /// inputs are `[b, n, pl]`.
    pub(super) fn forward(
        &self,
        g: &mut Graph,
        x: Var,
        (call, heads): (Attend, Option<(Var, Var)>),
        own: Option<Var>,
    ) -> Result<Attended, NnError> {
        let g = &mut *g.enter(&self.scope);
        let [before, after, before_second, after_second] = &self.norms;
        let inner = before.forward(g, x)?;
        let (keys, values) = heads.unwrap_or((inner, inner));
        let attended = self.attention.forward_with(g, inner, keys, values, call)?;
        let change = after.forward(g, attended.output)?;
        let x = added(g, x, change)?;
        let inner = before_second.forward(g, x)?;
        let mut change = self.feed_forward.forward(g, inner)?;
        if let Some(Experts { mixture, norms: [of_dense, given, of_experts] }) = &self.experts {
            let dense = of_dense.forward(g, change)?;
            let rows = given.forward(g, x)?;
            let routed = mixture.forward_by(g, rows, x)?;
            let routed = of_experts.forward(g, routed)?;
            let sum = g.add("both", dense, routed)?;
            change = g.mark(sum, Role::Combine);
        }
        let change = after_second.forward(g, change)?;
        let mut x = added(g, x, change)?;
        if let (Some(OwnInput { gate, map, norm, activation }), Some(own)) = (&self.own_input, own)
        {
            let share = gate.forward(g, x)?;
            let share = g.activation(share, *activation)?;
            let gated = g.mul("gate", share, own)?;
            g.mark(gated, Role::Gate);
            let change = map.forward(g, gated)?;
            let change = norm.forward(g, change)?;
            x = added(g, x, change)?;
        }
        let output = self.scaled(g, x)?;
        Ok(Attended { output, ..attended })
    }

    /// `[b, n, c]` times the number that the model keeps.
    fn scaled(&self, g: &mut Graph, x: Var) -> Result<Var, NnError> {
        let last = g.last_axis(x).map_err(|error| NnError::Config(error.to_string()))?;
        let (axis, into) = (last.name.clone(), vec![one(), last.clone()]);
        let apart = g.rearrange(x, Rearrange::Split { axis, into })?;
        let scaled = g.mul("layer_scalar_of", apart, self.factor)?;
        let axes = vec![one().name, last.name.clone()];
        Ok(g.rearrange(scaled, Rearrange::Merge { axes, into: last.name })?)
    }
}

/// The axis of a single number.
fn one() -> Axis {
    Axis::new("one", 1)
}

/// What goes past a sublayer plus what it gives.
fn added(g: &mut Graph, past: Var, change: Var) -> Result<Var, NnError> {
    let sum = g.add("residual", past, change)?;
    Ok(g.mark(sum, Role::Residual))
}
