//! A mixture of experts (Shazeer et al. 2017) as Mixtral has it (Jiang et al. 2024, §2.1): a router
//! scores the experts, softmax over all of them, and the `k` best run for a token, each a gated
//! feed-forward layer, weighted by their scores over the sum of these, or (Qwen2-MoE) by the scores.

use opledger_dims::Poly;
use opledger_ir::ops::{Activation, Reduce, Source};
use opledger_ir::{Axis, Graph, ModuleClass, Role, Scope, Var};

use crate::linear::param;
use crate::sizes::positive;
use crate::{Linear, LinearConfig, NnError};

/// Options of a [`MixtureOfExperts`].
#[derive(Clone, Debug, PartialEq)]
pub struct MixtureConfig {
    /// The width of input and output.
    pub d_model: Poly,
    /// The hidden width of an expert.
    pub dim_feedforward: Poly,
    /// Experts.
    pub num_experts: Poly,
    /// How many of them run for a token.
    pub experts_per_token: Poly,
    /// The function between an expert's maps.
    pub activation: Activation,
    /// Whether the scores of the chosen experts are divided by their sum.
    pub normalised: bool,
    /// Whether training leaves the parameters alone.
    pub frozen: bool,
}

/// A mixture of experts. Parameters `gate.weight [x, c]`, `experts.w1.weight [x, f, c]`,
/// `experts.w2.weight [x, c, f]`, `experts.w3.weight [x, f, c]`.
///
/// ```
/// # mod opledger { pub use {opledger_ir::{self as ir, *}, opledger_nn as nn}; }
/// use opledger::{Graph, ir::ops::Activation, nn::{MixtureConfig, MixtureOfExperts}};
///
/// let mut g = Graph::new();
/// let x = g.input("x", ["b", "n", "c"])?;
/// let config = MixtureConfig {
///     d_model: "c".into(),
///     dim_feedforward: "f".into(),
///     num_experts: 8.into(),
///     experts_per_token: 2.into(),
///     activation: Activation::Silu,
///     normalised: true,
///     frozen: false,
/// };
/// MixtureOfExperts::new(&mut g, &config)?.forward(&mut g, x)?;
/// assert_eq!(g.parameters().0.to_string(), "24·f·c + 8·c");
/// // Two experts of three maps for each token, and the router.
/// assert_eq!(g.cost().macs().to_string(), "6·b·n·f·c + 8·b·n·c");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct MixtureOfExperts {
    router: Scope,
    scope: Scope,
    gate: Linear,
    /// The first map, the second, and the gated one.
    maps: [Var; 3],
    chosen: Poly,
    activation: Activation,
    normalised: bool,
}

impl MixtureOfExperts {
    /// A mixture in the present scope.
    ///
    /// # Errors
    /// When a size is below one, or more experts are to run than there are.
    pub fn new(g: &mut Graph, config: &MixtureConfig) -> Result<Self, NnError> {
        let MixtureConfig {
            num_experts: all, experts_per_token: chosen, activation, frozen, ..
        } = config;
        positive("experts_per_token", chosen)?;
        if let (Some(all), Some(chosen)) = (all.as_integer(), chosen.as_integer())
            && chosen > all
        {
            let problem = format!("experts_per_token = {chosen} is more than num_experts = {all}");
            return Err(NnError::Config(problem));
        }
        let experts = Axis::new("x", all);
        let (c, f) = (Axis::new("c", &config.d_model), Axis::new("f", &config.dim_feedforward));
        for (name, axis) in [("num_experts", &experts), ("dim_feedforward", &f)] {
            positive(name, &axis.size)?;
        }
        let linear = LinearConfig { frozen: *frozen, ..LinearConfig::bias(false) };
        let router = g.module(ModuleClass::Router);
        let gate = {
            let mut g = g.enter(&router);
            Linear::new(&mut g.scope("gate"), c.clone(), experts.clone(), linear)?
        };
        let scope = g.module(ModuleClass::Experts);
        let g = &mut *g.enter(&scope);
        let mut map = |name: &str, to: &Axis, from: &Axis| {
            let axes = vec![experts.clone(), to.clone(), from.clone()];
            let source = Source::weight(from.size.clone());
            param(&mut g.scope("experts").scope(name), "weight", source, axes, *frozen)
        };
        let maps = [map("w1", &f, &c)?, map("w2", &c, &f)?, map("w3", &f, &c)?];
        let (chosen, activation) = (chosen.clone(), *activation);
        let normalised = config.normalised;
        Ok(MixtureOfExperts { router, scope, gate, maps, chosen, activation, normalised })
    }

    /// `[…, c]` to `[…, c]`.
    ///
    /// # Errors
    /// When the last axis of `x` is not `c` of the right size.
    pub fn forward(&self, g: &mut Graph, x: Var) -> Result<Var, NnError> {
        let (ids, weights) = self.route(&mut g.enter(&self.router), x)?;
        let g = &mut *g.enter(&self.scope);
        let [first, second, gated] = self.maps;
        let hidden = g.experts("w1", x, ids, first)?;
        let hidden = g.activation(hidden, self.activation)?;
        let other = g.experts("w3", x, ids, gated)?;
        let hidden = g.mul("gate_experts", hidden, other)?;
        g.mark(hidden, Role::Gate);
        let results = g.experts("w2", hidden, ids, second)?;
        let weighted = g.mul("combine", results, weights)?;
        g.mark(weighted, Role::Combine);
        let sum = g.reduce(weighted, Reduce::Sum("k".into()))?;
        Ok(g.mark(sum, Role::Combine))
    }

    /// The chosen experts and their weights, `[…, k]` each.
    fn route(&self, g: &mut Graph, x: Var) -> Result<(Var, Var), NnError> {
        let scores = self.gate.forward(g, x)?;
        let scores = g.softmax(scores, None)?;
        let ids = g.top_k(scores, Axis::new("k", &self.chosen))?;
        let chosen = g.gather(scores, ids)?;
        for var in [scores, ids, chosen] {
            g.mark(var, Role::Routing);
        }
        if !self.normalised {
            return Ok((ids, chosen));
        }
        let sum = g.reduce(chosen, Reduce::Sum("k".into()))?;
        let weights = g.div("normalise", chosen, sum)?;
        for var in [sum, weights] {
            g.mark(var, Role::Routing);
        }
        Ok((ids, weights))
    }
}
