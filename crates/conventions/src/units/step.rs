//! The units of a model with what a training step of it counts for each.

use std::collections::{BTreeMap, BTreeSet};

use opledger_dims::{Binding, Counts};
use opledger_ir::{Graph, Loop, Module, ModuleClass, Op, Part, Phase, Var};

use super::gradient::Iteration;
use super::lowering::Lowering;
use super::share::{add, of_operation, of_part};
use super::{Unit, Units};
use crate::{ConventionError, Dialect, Share};

/// What a node of a step is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepNode {
    /// The node of the model: attention where the step has it written out.
    pub given: Var,
    /// The node of the step's forward pass that it is, makes the gradients of or computes again.
    pub forward: Var,
}

/// The units of a model in a training step.
#[derive(Clone, Debug)]
pub struct StepUnits {
    /// The units, with what the step counts for them.
    pub units: Units,
    /// Those that gradients go through.
    pub reached: BTreeSet<usize>,
    /// Those that run once more where the layers around them keep what enters them alone
    /// (`torch.utils.checkpoint`, which ends as soon as it has what gradients read).
    pub again: BTreeSet<usize>,
    /// Those that run once more beside, since a mask of what is dropped out behind them is made again.
    pub dropped: BTreeSet<usize>,
    /// Whether training leaves some of its layers out by chance.
    pub by_chance: bool,
    /// Whether layers that are computed again run otherwise than these units say.
    pub otherwise_again: bool,
}

impl StepUnits {
    /// The units of a model at a binding that gives all sizes, with what a step of it counts for each;
    /// `nodes` says for each node of the step what it is for. What is for no node of the model, a loss or an
    /// update, is a unit of its own.
    ///
    /// # Errors
    /// As [`Units::new`].
    pub fn new(
        model: &Graph,
        (step, nodes): (&Graph, &[Option<StepNode>]),
        binding: &Binding,
        dialect: &Dialect,
    ) -> Result<StepUnits, ConventionError> {
        let mut units = Units::new(model, binding, dialect)?;
        let mut homes: BTreeMap<Var, usize> = BTreeMap::new();
        for (at, unit) in units.units.iter_mut().enumerate() {
            unit.counts.clear();
            unit.left_out.clear();
            homes.extend(unit.nodes.iter().map(|var| (*var, at)));
        }
        let (mut reached, mut again, mut dropped) =
            (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let mut beside: BTreeMap<Phase, usize> = BTreeMap::new();
        let mut computed_again: BTreeSet<Var> = BTreeSet::new();
        let lowering = Lowering::new(step, binding, dialect, Iteration::Later);
        for (node, of) in
            step.nodes().iter().zip(nodes.iter().copied().chain(std::iter::repeat(None)))
        {
            let cost = step.node_cost(node);
            let home = of.and_then(|of| homes.get(&of.given).copied());
            computed_again
                .extend(of.filter(|_| node.phase == Phase::Recomputation).map(|of| of.given));
            if let Some(home) = home.filter(|_| node.phase == Phase::Backward) {
                reached.insert(home);
            }
            for (part, cost) in cost.iter() {
                let counts = cost.at(binding);
                if counts.as_ref().is_ok_and(|counts| *counts == Counts::zero()) {
                    continue;
                }
                let contracts =
                    of_part(part).map_or(part == Part::Contraction, Share::is_contraction);
                let share = match (node.phase_of(part), of) {
                    (Phase::Recomputation, _) if contracts => Share::Again,
                    (_, None) if contracts => Share::Products,
                    (_, None) => Share::Other,
                    (_, Some(of)) => {
                        let own = lowering.share_in_step(model, of, part);
                        match (contracts, own.is_contraction()) {
                            (true, false) => Share::Products,
                            (false, true) => Share::Addition,
                            (true, true) | (false, false) => own,
                        }
                    }
                };
                let at = home.unwrap_or_else(|| {
                    *beside.entry(node.phase).or_insert_with(|| {
                        units.units.push(outside(node.phase));
                        units.units.len() - 1
                    })
                });
                if share == Share::Again {
                    again.insert(at);
                }
                let drops = |of: StepNode| lowering.drops_results(step.node(of.forward));
                if node.phase == Phase::Forward && node.repeat.is_some() && of.is_some_and(drops) {
                    dropped.insert(at);
                }
                add(&mut units.units[at].counts, share, counts);
            }
        }
        // A layer runs in its order until it has all that gradients read: what stands before that does too. Of
        // mixtures the graph says no order, that of shared experts and the others being the library's.
        let mixes = |body: &&Loop| {
            model.nodes()[body.body.clone()].iter().any(|node| matches!(node.op, Op::Experts(_)))
        };
        for body in model.loops().iter().filter(|body| !mixes(body)) {
            let inside = |var: &Var| body.body.contains(&var.index());
            let Some(last) = computed_again.iter().rfind(|var| inside(var)) else { continue };
            let before = homes.iter().filter(|(var, _)| inside(var) && *var < last);
            again.extend(before.map(|(_, at)| *at));
        }
        // A first run stands before the others, whose nodes it shares.
        for (at, unit) in units.units.iter().enumerate().filter(|(_, unit)| unit.nodes.is_empty()) {
            for found in [&mut reached, &mut again, &mut dropped] {
                if !unit.calls.is_empty() && found.contains(&(at + 1)) {
                    found.insert(at);
                }
            }
        }
        let family = |module: &Module| match module.class {
            ModuleClass::Model(family) => Some(family),
            _ => None,
        };
        let listed = |families: &[String]| {
            let mut own = model.modules().iter().filter_map(family);
            own.any(|own| families.iter().any(|family| family == own))
        };
        let by_chance = listed(&dialect.left_out_by_chance);
        let otherwise_again = listed(&dialect.otherwise_again);
        Ok(StepUnits { units, reached, again, dropped, by_chance, otherwise_again })
    }

    /// The same where the fused function of attention is kept off its kernels, as by
    /// `torch.nn.attention.sdpa_kernel(SDPBackend.MATH)`.
    #[must_use]
    pub fn by_products(mut self) -> StepUnits {
        for sizes in self.attention() {
            sizes.set("math_training", 1);
        }
        self
    }

    /// The same where nothing is dropped out, so that a fused kernel runs wherever there is one.
    #[must_use]
    pub fn fused(mut self) -> StepUnits {
        self.dropped.clear();
        for sizes in self.attention() {
            let apart = sizes.get(&"math".into()).cloned().unwrap_or_default();
            sizes.set("math_training", apart);
        }
        self
    }

    /// The sizes of the calls of the fused function.
    fn attention(&mut self) -> impl Iterator<Item = &mut Binding> {
        let calls = self.units.units.iter_mut().flat_map(|unit| &mut unit.calls);
        calls.filter(|call| call.op == "sdpa").map(|call| &mut call.sizes)
    }
}

/// What a step does for no node of the model.
fn outside(phase: Phase) -> Unit {
    Unit::of_no_module(match phase {
        Phase::Update => "(update)".to_owned(),
        Phase::Forward | Phase::Loss | Phase::Backward | Phase::Recomputation => {
            format!("({phase}, no module)")
        }
    })
}

impl Lowering<'_> {
    /// What a node of a step is for: what the node is that it is for.
    fn share_in_step(&self, model: &Graph, of: StepNode, part: Part) -> Share {
        let chained =
            matches!(model.node(of.given).op, Op::Attention(_)) && of_part(part).is_none();
        if !chained {
            return self.share(of.forward, part);
        }
        match of_operation(&self.graph.node(of.forward).op) {
            Share::Products => Share::AttentionProducts,
            Share::Addition => Share::AttentionBias,
            Share::Multiplication => Share::AttentionScale,
            // A quotient and a function.
            Share::Other | Share::Activation => Share::AttentionCap,
            own => own,
        }
    }
}
