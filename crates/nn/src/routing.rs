//! How a router chooses experts for a token, and what it weights their results by: softmax over all of
//! them (Shazeer et al. 2017, §2.1), or the logistic function of each (DeepSeek-V3, DeepSeek-AI 2024,
//! §2.1.2); the best of all, or of the best groups (DeepSeek-V2, DeepSeek-AI 2024, §2.2.2), by scores that
//! a number for each expert corrects.

use opledger_dims::Poly;
use opledger_ir::ops::{Activation, Factor, Pointwise, Rearrange, Reduce, ScatterKind, Source};
use opledger_ir::{Axis, Graph, ModuleClass, Role, Scope, Var};

use crate::linear::param;
use crate::sizes::{Named, positive, quotient};
use crate::{Linear, LinearConfig, NnError, Norm, NormConfig};

/// How a router chooses experts, and what it weights their results by.
#[derive(Clone, Debug, PartialEq)]
pub struct Routing {
    /// What it makes of its map's results.
    pub scores: RouterScores,
    /// What is added to scores where experts are chosen, not where they are weighted.
    pub correction: Option<ScoreCorrection>,
    /// Of which groups experts are chosen; of all when `None`.
    pub groups: Option<ExpertGroups>,
    /// What the results of the chosen experts are weighted by.
    pub weights: ExpertWeights,
    /// What scores are divided by, where the weights are their shares.
    pub divisor: Divisor,
    /// What weights are multiplied with.
    pub scale: Option<f64>,
    /// Whether weights multiply what enters the experts and not their results (Llama 4).
    pub on_inputs: bool,
    /// What is done to rows before the map, and to weights after all else.
    pub scaled: Option<ScaledRouter>,
}

/// A router whose rows are normed without a gain, multiplied by a factor for each column and by the inverse
/// square root of their width; the weight of an expert is multiplied by a factor of its own (Gemma 4).
#[derive(Clone, Debug, PartialEq)]
pub struct ScaledRouter {
    /// The scope of `scale [c]` and `per_expert_scale [x]`.
    pub scope: String,
    /// ε of the norm.
    pub eps: f64,
}

impl Routing {
    /// The best of all experts by the softmax of all scores, or where that is of the chosen, by the scores.
    pub fn new(weights: ExpertWeights) -> Self {
        let scores = match weights {
            ExpertWeights::Share | ExpertWeights::ShareOfChosen => RouterScores::Softmax,
            ExpertWeights::SoftmaxOfChosen | ExpertWeights::SigmoidOfChosen => RouterScores::Linear,
        };
        let divisor = Divisor::Sum;
        let (correction, groups, scale) = (None, None, None);
        let (on_inputs, scaled) = (false, None);
        Routing { scores, correction, groups, weights, divisor, scale, on_inputs, scaled }
    }
}

/// What a router makes of its map's results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouterScores {
    /// Their softmax.
    Softmax,
    /// The logistic function of each.
    Sigmoid,
    /// Nothing.
    Linear,
}

/// A number for each expert that is added to its score where experts are chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScoreCorrection {
    /// Its scope within the mixture.
    pub scope: String,
    /// Whether it is a parameter, which training leaves alone, or what the model keeps beside them.
    pub parameter: bool,
}

/// Groups of neighbouring experts, of which some are chosen first.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpertGroups {
    /// How many there are.
    pub all: Poly,
    /// How many are chosen.
    pub chosen: Poly,
    /// By what.
    pub score: GroupScore,
}

/// What a group is chosen by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupScore {
    /// The highest score of an expert (DeepSeek-V2).
    Highest,
    /// The sum of the two highest (DeepSeek-V3).
    HighestTwo,
}

/// What the results of the chosen experts are weighted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpertWeights {
    /// Their scores: of a softmax, their share in it.
    Share,
    /// The same, divided by the sum of those of the chosen.
    ShareOfChosen,
    /// The softmax of the scores of the chosen, which are the highest (gpt-oss).
    SoftmaxOfChosen,
    /// The logistic function of each of them (Llama 4).
    SigmoidOfChosen,
}

/// What the scores of the chosen are divided by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Divisor {
    /// Their sum.
    Sum,
    /// Their sum and this.
    SumPlus(f64),
    /// Their sum, or this where it is less.
    AtLeast(f64),
}

/// A router: parameter `gate.weight [x, c]`, and what its [`Routing`] names.
#[derive(Clone, Debug)]
pub(crate) struct Router {
    scope: Scope,
    gate: Linear,
    /// The norm of rows, the factors of their columns and those of experts.
    scaled: Option<(Norm, [Var; 2])>,
    correction: Option<Var>,
    /// Groups, and experts in each.
    groups: Option<(ExpertGroups, Poly)>,
    experts: Axis,
    chosen: Axis,
    routing: Routing,
}

impl Router {
    /// A router of rows of `c` to `chosen` of `experts`.
    pub(crate) fn new(
        g: &mut Graph,
        c: &Axis,
        [experts, chosen]: [&Axis; 2],
        (routing, linear): (&Routing, LinearConfig),
    ) -> Result<Self, NnError> {
        let scope = g.module(ModuleClass::Router);
        let g = &mut *g.enter(&scope);
        let scaled = match &routing.scaled {
            Some(ScaledRouter { scope, eps }) => {
                let g = &mut *g.scope(scope);
                let norm = NormConfig { eps: *eps, weight: false, ..NormConfig::rms() };
                let norm = Norm::new(&mut g.scope("norm"), c.clone(), norm)?;
                let mut factors = |name, axis: &Axis| {
                    param(g, name, Source::gain(), vec![axis.clone()], linear.frozen)
                };
                Some((norm, [factors("scale", c)?, factors("per_expert_scale", experts)?]))
            }
            None => None,
        };
        let gate = Linear::new(&mut g.scope("gate"), c.clone(), experts.clone(), linear)?;
        let correction = match &routing.correction {
            Some(ScoreCorrection { scope, parameter }) => {
                let (name, axes) = ("e_score_correction_bias", vec![experts.clone()]);
                let g = &mut *g.scope(scope);
                Some(match parameter {
                    // One group of experts, as ERNIE has it.
                    true => {
                        let axes = [vec![Axis::new("one", 1)], axes].concat();
                        param(g, name, Source::shift(), axes, true)?
                    }
                    false => g.record(name, Source::Buffer { axes }, &[])?,
                })
            }
            None => None,
        };
        let groups = match &routing.groups {
            Some(groups) => {
                positive("expert_groups", &groups.all)?;
                positive("chosen_groups", &groups.chosen)?;
                let (all, by) = (Named("num_experts", &experts.size), Named("groups", &groups.all));
                let each = quotient(g, "each", all, by, "experts_per_group")?;
                Some((groups.clone(), each))
            }
            None => None,
        };
        let (experts, chosen, routing) = (experts.clone(), chosen.clone(), routing.clone());
        Ok(Router { scope, gate, scaled, correction, groups, experts, chosen, routing })
    }

    /// Whether weights multiply what enters the experts.
    pub(crate) fn is_on_inputs(&self) -> bool {
        self.routing.on_inputs
    }

    /// The chosen experts of rows `[…, c]` and their weights, `[…, k]` each.
    pub(crate) fn route(&self, g: &mut Graph, x: Var) -> Result<(Var, Var), NnError> {
        let g = &mut *g.enter(&self.scope);
        let x = match &self.scaled {
            Some((norm, [factors, _])) => {
                let width = g.last_axis(x).map_err(|e| NnError::Config(e.to_string()))?.size;
                let x = norm.forward(g, x)?;
                let x = routing(g, |g| g.mul("scale_columns", x, *factors))?;
                routing(g, |g| g.scale(x, Factor::InverseSqrt(width)))?
            }
            None => x,
        };
        let scores = self.gate.forward(g, x)?;
        let scores = match self.routing.scores {
            RouterScores::Softmax => routing(g, |g| g.softmax(scores, None))?,
            RouterScores::Sigmoid => routing(g, |g| g.activation(scores, Activation::Sigmoid))?,
            RouterScores::Linear => scores,
        };
        let by = match self.correction {
            Some(correction) => {
                let correction = self.row(g, correction)?;
                routing(g, |g| g.add("correct", scores, correction))?
            }
            None => scores,
        };
        let by = match &self.groups {
            Some((groups, each)) => self.of_groups(g, by, groups, each)?,
            None => by,
        };
        let ids = routing(g, |g| g.top_k(by, self.chosen.clone()))?;
        let chosen = routing(g, |g| g.gather(scores, ids))?;
        let weights = match self.routing.weights {
            ExpertWeights::Share => chosen,
            ExpertWeights::ShareOfChosen => {
                let sum = Reduce::Sum(self.chosen.name.clone());
                let sum = routing(g, |g| g.reduce(chosen, sum))?;
                let keep = match self.routing.divisor {
                    Divisor::Sum => None,
                    Divisor::SumPlus(more) => Some(Pointwise::Shift(more)),
                    Divisor::AtLeast(least) => {
                        Some(Pointwise::Clamp { min: Some(least), max: None })
                    }
                };
                let sum = match keep {
                    Some(keep) => routing(g, |g| g.pointwise(sum, keep))?,
                    None => sum,
                };
                routing(g, |g| g.div("normalise", chosen, sum))?
            }
            ExpertWeights::SoftmaxOfChosen => routing(g, |g| g.softmax(chosen, None))?,
            ExpertWeights::SigmoidOfChosen => {
                routing(g, |g| g.activation(chosen, Activation::Sigmoid))?
            }
        };
        let weights = match self.routing.scale {
            Some(scale) => routing(g, |g| g.scale(weights, Factor::Number(scale)))?,
            None => weights,
        };
        let weights = match &self.scaled {
            Some((_, [_, factors])) => {
                let (axes, at) = (g.shape(ids).axes.clone(), self.experts.name.clone());
                let own = routing(g, |g| g.gather_nd(*factors, axes, &[(at, ids)]))?;
                routing(g, |g| g.mul("scale_experts", weights, own))?
            }
            None => weights,
        };
        Ok((ids, weights))
    }

    /// A correction `[x]`, or `[1, x]`, as `[x]`.
    fn row(&self, g: &mut Graph, correction: Var) -> Result<Var, NnError> {
        match &g.shape(correction).axes[..] {
            [one, own] => {
                let axes = vec![one.name.clone(), own.name.clone()];
                let into = self.experts.name.clone();
                Ok(g.rearrange(correction, Rearrange::Merge { axes, into })?)
            }
            _ => Ok(correction),
        }
    }

    /// Scores `[…, x]` as they are in the groups chosen, elsewhere −∞.
    fn of_groups(
        &self,
        g: &mut Graph,
        scores: Var,
        groups: &ExpertGroups,
        each: &Poly,
    ) -> Result<Var, NnError> {
        let (group, own) = (Axis::new("group", &groups.all), Axis::new("own", each));
        let into = vec![group.clone(), own.clone()];
        let axis = self.experts.name.clone();
        let apart = g.rearrange(scores, Rearrange::Split { axis: axis.clone(), into })?;
        let by = match groups.score {
            GroupScore::Highest => routing(g, |g| g.reduce(apart, Reduce::Max(own.name.clone())))?,
            GroupScore::HighestTwo => {
                let two = Axis::new("two", Poly::from(2));
                let ids = routing(g, |g| g.top_k(apart, two.clone()))?;
                let best = routing(g, |g| g.gather(apart, ids))?;
                routing(g, |g| g.reduce(best, Reduce::Sum(two.name.clone())))?
            }
        };
        let chosen = Axis::new("chosen", &groups.chosen);
        let ids = routing(g, |g| g.top_k(by, chosen))?;
        let (all, of_ids) = (g.shape(by).axes.clone(), g.shape(ids).axes.clone());
        let zeros = routing(g, |g| g.fill(all, 0.0))?;
        let ones = routing(g, |g| g.fill(of_ids, 1.0))?;
        let kept =
            routing(g, |g| g.scatter(ScatterKind::Write, zeros, ones, &[(group.name, ids)]))?;
        let kept = routing(g, |g| g.to_whole(kept))?;
        let lowest = routing(g, |g| g.fill(Vec::<Axis>::new(), f64::NEG_INFINITY))?;
        let axes = g.shape(apart).axes.clone();
        let left = routing(g, |g| g.select(axes, kept, apart, lowest))?;
        let axes = g.shape(left).axes.iter().rev().take(2).rev().map(|a| a.name.clone()).collect();
        Ok(g.rearrange(left, Rearrange::Merge { axes, into: axis })?)
    }
}

/// Records a node of the choice of experts.
fn routing(
    g: &mut Graph,
    record: impl FnOnce(&mut Graph) -> Result<Var, opledger_ir::GraphError>,
) -> Result<Var, NnError> {
    let var = record(g)?;
    Ok(g.mark(var, Role::Routing))
}

#[cfg(test)]
mod tests {
    use super::*;
    use opledger_dims::Class;

    fn routed(routing: &Routing) -> Graph {
        let mut g = Graph::new();
        let x = g.input("x", ["b", "c"]).unwrap();
        let axes = ["c", "x", "k"].map(Axis::from);
        let [c, all, chosen] = &axes;
        let router = Router::new(&mut g, c, [all, chosen], (routing, LinearConfig::bias(false)));
        router.unwrap().route(&mut g, x).unwrap();
        g
    }

    fn groups(score: GroupScore) -> Option<ExpertGroups> {
        Some(ExpertGroups { all: "s".into(), chosen: "t".into(), score })
    }

    /// Groups cost what choosing them costs, and a correction is no parameter unless it is said to be.
    #[test]
    fn what_a_router_does_beside_is_counted() {
        let plain = Routing::new(ExpertWeights::Share);
        let total = |routing: &Routing| routed(routing).cost().total();
        let more = |routing: Routing, class| {
            (total(&routing)[class].clone() - total(&plain)[class].clone()).to_string()
        };
        let one = Routing { groups: groups(GroupScore::Highest), ..plain.clone() };
        let two = Routing { groups: groups(GroupScore::HighestTwo), ..plain.clone() };
        assert_eq!(more(one, Class::Max), "-1/2·b·t² + b·s·t + b·x - 1/2·b·t - b·s");
        assert_eq!(more(two.clone(), Class::Max), "-1/2·b·t² + b·s·t + 2·b·x - 1/2·b·t - 3·b·s");
        assert_eq!(more(two, Class::Add), "b·s");
        let scale = Some(2.5);
        assert_eq!(more(Routing { scale, ..plain.clone() }, Class::Mul), "b·k");
        for (parameter, expected) in [(false, "c·x"), (true, "c·x + x")] {
            let correction = Some(ScoreCorrection { scope: "gate".to_owned(), parameter });
            let routing = Routing { correction, ..plain.clone() };
            assert_eq!(routed(&routing).parameters().0.to_string(), expected);
            assert_eq!(more(routing, Class::Add), "b·x");
        }
        let scaled = Some(ScaledRouter { scope: String::new(), eps: 1e-6 });
        let routing = Routing { scaled, ..plain.clone() };
        assert_eq!(routed(&routing).parameters().0.to_string(), "c·x + x + c");
        // The squares of the norm, the factors of columns and the constant; those of the chosen experts.
        assert_eq!(more(routing, Class::Mul), "b·k + 3·b·c");
        let weights = ExpertWeights::ShareOfChosen;
        let sum = Routing { weights, ..plain.clone() };
        let adds = |divisor, class| {
            let own = total(&Routing { divisor, ..sum.clone() })[class].clone();
            (own - total(&sum)[class].clone()).to_string()
        };
        assert_eq!(adds(Divisor::SumPlus(1e-20), Class::Add), "b");
        assert_eq!(adds(Divisor::AtLeast(1e-12), Class::Max), "b");
    }
}
