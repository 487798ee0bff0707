//! From 6·N·T, which a step is said to cost (Kaplan et al. 2020, §2.1), to what it costs.

use std::collections::{BTreeMap, BTreeSet};

use opledger_dims::{Binding, EvalError, Integer, Poly};
use opledger_grad::Gradient;
use opledger_ir::ops::{Arithmetic, ArithmeticKind, Source};
use opledger_ir::{Graph, Op, Phase, Role, Var};
use opledger_report::TrainingTerm;

use super::products;

/// What a parameter is used for.
#[derive(Clone, Debug, Default)]
struct Use {
    /// Twice the multiplications of products with it and of those that make its gradient.
    flops: Integer,
    looked_up: bool,
}

/// 6·N·T and what is to be added to it, all of which is what the step multiplies, twice.
pub(super) fn terms(
    graph: &Graph,
    gradients: &[Gradient],
    sizes: &Binding,
    tokens: &Integer,
) -> Result<Vec<TrainingTerm>, EvalError> {
    let gradients = made_by_products(graph, gradients, sizes)?;
    let mut uses: BTreeMap<Var, Use> = BTreeMap::new();
    let mut values: BTreeMap<Phase, Integer> = BTreeMap::new();
    for var in graph.vars() {
        let node = graph.node(var);
        let parameters = node.inputs.iter().filter_map(|operand| parameter(graph, *operand));
        if matches!(node.op, Op::Embedding(_)) {
            parameters.clone().for_each(|of| uses.entry(of).or_default().looked_up = true);
        }
        let mut flops = products(graph, node).at(sizes)?;
        if flops == Integer::default() {
            continue;
        }
        let again = graph.phase_cost(node, Phase::Recomputation);
        if let Some(again) = again.filter(|_| node.phase != Phase::Recomputation) {
            let again = again.at(sizes)?.matmul_flops();
            flops -= &again;
            *values.entry(Phase::Recomputation).or_default() += again;
        }
        let with = gradients.get(&var).copied().or_else(|| parameters.clone().next());
        match with.filter(|_| node.phase != Phase::Recomputation) {
            Some(of) => uses.entry(of).or_default().flops += flops,
            None => *values.entry(node.phase).or_default() += flops,
        }
    }
    let mut terms: Vec<TrainingTerm> = Vec::new();
    let mut add = |reason: &'static str, flops: Integer| {
        if flops == Integer::default() {
            return;
        }
        match terms.iter_mut().find(|term| term.reason == reason) {
            Some(term) => term.flops += flops,
            None => terms.push(TrainingTerm { reason, flops }),
        }
    };
    let all = graph.parameters().0.at(sizes)?;
    add("6·N·T, N being all parameters and T all tokens", all * tokens * 6u32);
    for var in graph.vars() {
        let node = graph.node(var);
        if !node.is_parameter() {
            continue;
        }
        let elements: Poly = node.shape.elements() * graph.multiplicity(node);
        let said = elements.at(sizes)? * tokens * 6u32;
        let own = uses.remove(&var).unwrap_or_default();
        let reason = match (own.flops == Integer::default(), own.looked_up) {
            _ if node.role == Some(Role::WholeParameter) => "whole numbers, which have no gradient",
            (true, true) => "tables that rows are looked up in and nothing is multiplied with",
            (true, false) => "gains, shifts and biases, which meet elements one by one",
            (false, _) => {
                "weights that meet another number of rows, or whose input needs no gradient"
            }
        };
        add(reason, own.flops - said);
    }
    for (phase, flops) in values {
        add(
            match phase {
                Phase::Forward => "products of values, as scores and context of attention: forward",
                Phase::Loss => "products of values in the loss",
                Phase::Backward => {
                    "products of values, as scores and context of attention: gradients"
                }
                Phase::Update => "products of the optimiser",
                Phase::Recomputation => "what is computed again",
            },
            flops,
        );
    }
    Ok(terms)
}

/// The parameter that a value is, its axes moved or not.
fn parameter(graph: &Graph, mut var: Var) -> Option<Var> {
    loop {
        let node = graph.node(var);
        if matches!(node.op, Op::Source(Source::Param { .. })) {
            return Some(var);
        }
        let Op::Rearrange(_) = node.op else { return None };
        var = *node.inputs.first()?;
    }
}

/// The products that gradients of parameters are sums of, with their parameters.
fn made_by_products(
    graph: &Graph,
    gradients: &[Gradient],
    sizes: &Binding,
) -> Result<BTreeMap<Var, Var>, EvalError> {
    let mut made = BTreeMap::new();
    for Gradient { parameter: of, value, .. } in gradients {
        let elements = graph.shape(*of).elements().at(sizes)?;
        let (mut next, mut seen) = (vec![*value], BTreeSet::new());
        while let Some(var) = next.pop() {
            let node = graph.node(var);
            if !seen.insert(var) || node.phase != Phase::Backward {
                continue;
            }
            let sum = ArithmeticKind::Add;
            let sums = matches!(&node.op, Op::Arithmetic(Arithmetic { kind, .. }) if *kind == sum);
            if sums || matches!(node.op, Op::Rearrange(_)) {
                next.extend(&node.inputs);
            } else if let Op::Exit(exit) = &node.op {
                // What an iteration adds to what those before it have.
                let carried = (var.result() < exit.carried).then_some(exit.carried + var.result());
                next.extend(carried.and_then(|at| node.inputs.get(at)));
            } else if products(graph, node) != Poly::zero()
                && graph.shape(var).elements().at(sizes)? == elements
            {
                made.insert(var, *of);
            }
        }
    }
    Ok(made)
}
