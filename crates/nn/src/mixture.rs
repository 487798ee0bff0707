//! A mixture of experts (Shazeer et al. 2017) as Mixtral has it (Jiang et al. 2024, §2.1): a router
//! scores the experts, softmax over all of them, and the `k` best run for a token, each a gated
//! feed-forward layer, weighted by their scores over the sum of these, or (Qwen2-MoE) by the scores.
//! [`Routing`] says what else routers do.

use opledger_dims::Poly;
use opledger_ir::ops::{Activation, Factor, Pointwise, Rearrange, Reduce, Source};
use opledger_ir::{Axis, Graph, ModuleClass, Role, Scope, ShapeError, Var};

use crate::linear::param;
use crate::routing::{Router, Routing};
use crate::sizes::positive;
use crate::{FeedForward, FeedForwardConfig, Linear, LinearConfig, NnError};

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
    /// How they are chosen, and what their results are weighted by.
    pub routing: Routing,
    /// Whether the router and the experts' maps have biases (gpt-oss).
    pub bias: bool,
    /// Whether a third map of an expert is gated by the function of the first.
    pub gated: bool,
    /// What keeps the two branches of an expert within bounds, in place of the function.
    pub clamped: Option<ClampedGate>,
    /// A narrower width in which experts work.
    pub latent: Option<LatentExperts>,
    /// What runs for every token beside them.
    pub shared: Option<SharedExpert>,
    /// Whether training leaves the parameters alone.
    pub frozen: bool,
}

/// The gate of gpt-oss (OpenAI 2025): `min(g, limit)·σ(alpha·min(g, limit))` gates what the other map gives,
/// kept between `-limit` and `limit`, plus one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClampedGate {
    /// What the gate is multiplied with before the logistic function.
    pub alpha: f64,
    /// The greatest magnitude.
    pub limit: f64,
}

/// Two maps between which experts work (Nemotron 3 Super, NVIDIA 2026).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LatentExperts {
    /// The width between them.
    pub width: Poly,
    /// The scopes of the one before and the one behind.
    pub maps: [String; 2],
    /// Whether they have biases.
    pub bias: bool,
}

/// A feed-forward layer that runs for every token beside the experts chosen (Dai et al. 2024, §3.2).
#[derive(Clone, Debug, PartialEq)]
pub struct SharedExpert {
    /// The layer.
    pub feed_forward: FeedForwardConfig,
    /// Its scope.
    pub scope: String,
    /// The scope of a map to one number, whose sigmoid its result is multiplied with (Qwen2-MoE), if there
    /// is one.
    pub gate: Option<String>,
}

/// A mixture of experts. Parameters `gate.weight [x, c]`, `experts.w1.weight [x, f, c]`,
/// `experts.w2.weight [x, c, f]`, `experts.w3.weight [x, f, c]`.
///
/// ```
/// # mod opledger { pub use {opledger_ir::{self as ir, *}, opledger_nn as nn}; }
/// use opledger::{Graph, ir::ops::Activation};
/// use opledger::nn::{ExpertWeights, MixtureConfig, MixtureOfExperts, Routing};
///
/// let mut g = Graph::new();
/// let x = g.input("x", ["b", "n", "c"])?;
/// let config = MixtureConfig {
///     d_model: "c".into(),
///     dim_feedforward: "f".into(),
///     num_experts: 8.into(),
///     experts_per_token: 2.into(),
///     activation: Activation::Silu,
///     routing: Routing::new(ExpertWeights::ShareOfChosen),
///     bias: false,
///     gated: true,
///     clamped: None,
///     latent: None,
///     shared: None,
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
    router: Router,
    scope: Scope,
    /// The first map, and the second, each with its bias.
    maps: [(Var, Option<Var>); 2],
    /// The gated one, where there is one.
    gated: Option<(Var, Option<Var>)>,
    activation: Activation,
    clamped: Option<ClampedGate>,
    /// The maps before and behind them.
    latent: Option<Box<[Linear; 2]>>,
    shared: Option<Box<(FeedForward, Option<Linear>)>>,
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
        let router = {
            let linear = LinearConfig { bias: config.bias, ..linear };
            let chosen = Axis::new("k", chosen);
            Router::new(g, &c, [&experts, &chosen], (&config.routing, linear))?
        };
        let shared = match &config.shared {
            Some(shared) => {
                let scope = g.module(ModuleClass::SharedExpert);
                let g = &mut *g.enter(&scope);
                let layer = FeedForward::new(&mut g.scope(&shared.scope), &shared.feed_forward)?;
                let gate = shared
                    .gate
                    .as_ref()
                    .map(|gate| Linear::new(&mut g.scope(gate), c.clone(), ("one", 1), linear));
                Some(Box::new((layer, gate.transpose()?)))
            }
            None => None,
        };
        let (own, latent) = match &config.latent {
            None => (c, None),
            Some(LatentExperts { width, maps: [before, behind], bias }) => {
                let (u, linear) = (Axis::new("u", width), LinearConfig { bias: *bias, ..linear });
                let before = Linear::new(&mut g.scope(before), c.clone(), u.clone(), linear)?;
                let behind = Linear::new(&mut g.scope(behind), u.clone(), c, linear)?;
                (u, Some(Box::new([before, behind])))
            }
        };
        let scope = g.module(ModuleClass::Experts);
        let g = &mut *g.enter(&scope);
        let mut map = |name: &str, to: &Axis, from: &Axis| {
            let mut g = g.scope("experts");
            let g = &mut *g.scope(name);
            let axes = vec![experts.clone(), to.clone(), from.clone()];
            let weight = param(g, "weight", Source::weight(from.size.clone()), axes, *frozen)?;
            let bias = match config.bias {
                true => {
                    let axes = vec![experts.clone(), to.clone()];
                    Some(param(g, "bias", Source::shift(), axes, *frozen)?)
                }
                false => None,
            };
            Ok::<_, NnError>((weight, bias))
        };
        let maps = [map("w1", &f, &own)?, map("w2", &own, &f)?];
        let gated = if config.gated { Some(map("w3", &f, &own)?) } else { None };
        let (activation, clamped) = (*activation, config.clamped);
        Ok(MixtureOfExperts { router, scope, maps, gated, activation, clamped, latent, shared })
    }

    /// `[…, c]` to `[…, c]`.
    ///
    /// # Errors
    /// When the last axis of `x` is not `c` of the right size.
    pub fn forward(&self, g: &mut Graph, x: Var) -> Result<Var, NnError> {
        self.forward_by(g, x, x)
    }

    /// The same where experts are chosen by other rows than they are given.
    ///
    /// # Errors
    /// When the last axis of either is not `c` of the right size.
    pub fn forward_by(&self, g: &mut Graph, x: Var, by: Var) -> Result<Var, NnError> {
        let Some((layer, gate)) = self.shared.as_deref() else {
            return self.between(g, x, by);
        };
        let mut beside = layer.forward(g, x)?;
        if let Some(gate) = gate {
            let share = gate.forward(g, x)?;
            let share = g.activation(share, Activation::Sigmoid)?;
            let share = without_last(g, share)?;
            beside = g.mul("gate_shared", beside, share)?;
            g.mark(beside, Role::Gate);
        }
        let routed = self.between(g, x, by)?;
        let sum = g.add("shared", routed, beside)?;
        Ok(g.mark(sum, Role::Combine))
    }

    /// What experts make of rows, with the maps before and behind them where there are some.
    fn between(&self, g: &mut Graph, x: Var, by: Var) -> Result<Var, NnError> {
        let Some([before, behind]) = self.latent.as_deref() else { return self.routed(g, x, by) };
        let inner = before.forward(g, x)?;
        let routed = self.routed(g, inner, by)?;
        behind.forward(g, routed)
    }

    /// The sum of the results of the experts chosen.
    fn routed(&self, g: &mut Graph, x: Var, by: Var) -> Result<Var, NnError> {
        let (ids, weights) = self.router.route(g, by)?;
        let g = &mut *g.enter(&self.scope);
        let [first, second] = self.maps;
        let x = match self.router.is_on_inputs() {
            true => weighted_inputs(g, x, weights)?,
            false => x,
        };
        let hidden = mapped(g, "w1", (x, ids), first)?;
        let hidden = match self.gated {
            None => g.activation(hidden, self.activation)?,
            Some(gated) => {
                let (hidden, other) = self.branches(g, hidden, ((x, ids), gated))?;
                let hidden = g.mul("gate_experts", hidden, other)?;
                g.mark(hidden, Role::Gate)
            }
        };
        let results = mapped(g, "w2", (hidden, ids), second)?;
        let weighted = match self.router.is_on_inputs() {
            true => results,
            false => {
                let weighted = g.mul("combine", results, weights)?;
                g.mark(weighted, Role::Combine)
            }
        };
        let sum = g.reduce(weighted, Reduce::Sum("k".into()))?;
        Ok(g.mark(sum, Role::Combine))
    }

    /// The gate, of what the first map gives, and what it gates.
    fn branches(
        &self,
        g: &mut Graph,
        hidden: Var,
        (rows, gated): ((Var, Var), (Var, Option<Var>)),
    ) -> Result<(Var, Var), NnError> {
        let Some(ClampedGate { alpha, limit }) = self.clamped else {
            let hidden = g.activation(hidden, self.activation)?;
            return Ok((hidden, mapped(g, "w3", rows, gated)?));
        };
        let clamp = |min, max| Pointwise::Clamp { min, max };
        let hidden = g.pointwise(hidden, clamp(None, Some(limit)))?;
        let scaled = g.scale(hidden, Factor::Number(alpha))?;
        let share = g.activation(scaled, Activation::Sigmoid)?;
        let hidden = g.mul("glu", hidden, share)?;
        let other = mapped(g, "w3", rows, gated)?;
        let other = g.pointwise(other, clamp(Some(-limit), Some(limit)))?;
        Ok((hidden, g.pointwise(other, Pointwise::Shift(1.0))?))
    }
}

/// Rows `[…, c]` times each of their weights `[…, k]`, `[…, k, c]`.
fn weighted_inputs(g: &mut Graph, x: Var, weights: Var) -> Result<Var, NnError> {
    let chosen = g.last_axis(weights).map_err(|error| NnError::Config(error.to_string()))?;
    let mut order: Vec<_> = g.shape(x).axes.iter().map(|axis| axis.name.clone()).collect();
    order.insert(order.len().saturating_sub(1), chosen.name.clone());
    let repeated = g.rearrange(x, Rearrange::Expand { axis: chosen })?;
    let repeated = g.rearrange(repeated, Rearrange::Permute { order })?;
    let weighted = g.mul("weigh", repeated, weights)?;
    Ok(g.mark(weighted, Role::Combine))
}

/// The map of each row by the experts chosen for it, with their biases.
fn mapped(
    g: &mut Graph,
    label: &str,
    (x, ids): (Var, Var),
    (weight, bias): (Var, Option<Var>),
) -> Result<Var, NnError> {
    let y = g.experts(label, x, ids, weight)?;
    let Some(bias) = bias else { return Ok(y) };
    let rows = g.gather_nd(bias, g.shape(y).axes.clone(), &[("x", ids)])?;
    let sum = g.add("add_bias", y, rows)?;
    Ok(g.mark(sum, Role::Bias))
}

/// A value whose last axis has one place, without that axis.
fn without_last(g: &mut Graph, x: Var) -> Result<Var, NnError> {
    let [.., before, last] = &g.shape(x).axes[..] else {
        let problem = ShapeError::Rank { operand: 0, expected: 2, found: g.shape(x).axes.len() };
        return Err(NnError::Config(problem.to_string()));
    };
    let into = before.name.clone();
    let axes = vec![into.clone(), last.name.clone()];
    Ok(g.rearrange(x, Rearrange::Merge { axes, into })?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ExpertWeights;

    fn config(gate: Option<&str>) -> MixtureConfig {
        let feed_forward =
            FeedForwardConfig { gated: true, bias: false, ..FeedForwardConfig::new("c", "s") };
        MixtureConfig {
            d_model: "c".into(),
            dim_feedforward: "f".into(),
            num_experts: "x".into(),
            experts_per_token: "k".into(),
            activation: Activation::Silu,
            routing: Routing::new(ExpertWeights::Share),
            bias: false,
            gated: true,
            clamped: None,
            latent: None,
            shared: Some(SharedExpert {
                feed_forward,
                scope: "shared_expert".to_owned(),
                gate: gate.map(str::to_owned),
            }),
            frozen: false,
        }
    }

    #[test]
    fn every_token_meets_the_shared_expert() {
        let count = |gate| {
            let mut g = Graph::new();
            let x = g.input("x", ["b", "n", "c"]).unwrap();
            MixtureOfExperts::new(&mut g, &config(gate)).unwrap().forward(&mut g, x).unwrap();
            (g.cost().macs().to_string(), g.parameters().0.to_string())
        };
        let (macs, parameters) = count(None);
        assert_eq!(macs, "3·b·n·f·c·k + b·n·c·x + 3·b·n·c·s");
        assert_eq!(parameters, "3·f·c·x + c·x + 3·c·s");
        let (macs, parameters) = count(Some("shared_expert_gate"));
        assert_eq!(macs, "3·b·n·f·c·k + b·n·c·x + 3·b·n·c·s + b·n·c");
        assert_eq!(parameters, "3·f·c·x + c·x + 3·c·s + c");
    }

    #[test]
    fn a_clamped_gate_is_counted_operation_by_operation() {
        let count = |clamped| {
            let config = MixtureConfig { shared: None, clamped, ..config(None) };
            let mut g = Graph::new();
            let x = g.input("x", ["b", "n", "c"]).unwrap();
            MixtureOfExperts::new(&mut g, &config).unwrap().forward(&mut g, x).unwrap();
            g.cost().total()
        };
        let (clamped, plain) = (count(Some(ClampedGate { alpha: 1.702, limit: 7.0 })), count(None));
        let more = |class| (&clamped[class] - &plain[class]).to_string();
        use opledger_dims::Class;
        // Three bounds; times alpha and the logistic function; and one. SiLU is a logistic function, too.
        assert_eq!(more(Class::Max), "3·b·n·f·k");
        assert_eq!(more(Class::Mul), "2·b·n·f·k");
        assert_eq!(more(Class::Add), "b·n·f·k");
        assert_eq!(more(Class::Exp), "0");
    }

    #[test]
    fn weights_of_inputs_multiply_as_often_as_they_are_wide() {
        let count = |weights, on_inputs| {
            let routing = Routing { on_inputs, ..Routing::new(weights) };
            let config = MixtureConfig { shared: None, routing, ..config(None) };
            let mut g = Graph::new();
            let x = g.input("x", ["b", "n", "c"]).unwrap();
            MixtureOfExperts::new(&mut g, &config).unwrap().forward(&mut g, x).unwrap();
            g.cost().total()
        };
        use opledger_dims::Class;
        let (inputs, results) = (
            count(ExpertWeights::SigmoidOfChosen, true),
            count(ExpertWeights::SigmoidOfChosen, false),
        );
        assert_eq!(inputs[Class::Mul], results[Class::Mul]);
        // A logistic function of each chosen, and of each of their hidden numbers.
        assert_eq!(inputs[Class::Exp].to_string(), "b·n·f·k + b·n·k");
    }

    #[test]
    fn biases_are_those_of_the_experts_chosen() {
        let config = MixtureConfig { shared: None, bias: true, ..config(None) };
        let mut g = Graph::new();
        let x = g.input("x", ["b", "n", "c"]).unwrap();
        MixtureOfExperts::new(&mut g, &config).unwrap().forward(&mut g, x).unwrap();
        assert_eq!(g.parameters().0.to_string(), "3·f·c·x + 2·c·x + 2·f·x + x");
    }
}
