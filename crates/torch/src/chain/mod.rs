//! Attention that a program writes out: scores by a product, a scale, a cap, a mask that hides, a softmax,
//! a product with values. Step by step it is followed until weights meet values; then, where something
//! hides pairs or joins the softmax, all of it is recorded as attention, which counts the pairs that are
//! seen. What the steps recorded is left out, as far as nothing else reads it.
//!
//! A maximum that is subtracted before the softmax, which subtracts its own, is no step of attention.

mod attended;
mod begun;
mod letters;
mod masks;
mod moved;
mod product;
mod sinks;
mod steps;

use std::collections::HashMap;
use std::ops::Range;

use opledger_dims::Poly;
use opledger_ir::ops::{Factor, Scaling};

use crate::call::{Call, operation};
use crate::followed::FollowedStep;
use crate::hidden::hides;
use crate::importer::{Importer, Lowered, Meaning};
use crate::schema::{Argument, ExportedProgram, OutputSpec};
use crate::tensor::Placed;
use crate::whole::{Whole, WholeKind};

pub(crate) use attended::attended;
use begun::{begun, begun_biased, multiplied, summed, summed_dims};
use letters::Letters;
use masks::{added, chosen, hides_rows, masked};
use moved::{MOVING, moved};
use sinks::{joined, shifted};
use steps::steps_of;

/// Scores on their way to weights.
#[derive(Clone, Debug)]
struct Chain {
    letters: Letters,
    /// The operands of their product: a dimension of what is summed, then one for each letter.
    operands: [Placed; 2],
    scale: Option<Scaling>,
    soft_cap: Option<f64>,
    /// Over the letters, as the two below.
    seen: Option<Whole>,
    /// Whether a finite number is put where pairs are hidden: of a row without any pair every key then has
    /// the same weight.
    filled: bool,
    bias: Option<Placed>,
    sinks: Option<Placed>,
    /// The letters along which weights add up to one.
    keys: Vec<usize>,
    stage: Stage,
    /// The nodes of its steps.
    nodes: Vec<Range<usize>>,
    /// What of attention its steps are.
    steps: Vec<FollowedStep>,
}

/// What was done last.
#[derive(Clone, Debug)]
enum Stage {
    /// Products that are not yet summed.
    Products,
    Scores,
    /// Divided by what is a cap, where the tangent follows, and else a scale.
    Divided(f64),
    /// Divided by a cap, behind a scale.
    Capping(f64),
    /// The tangent of that, to be multiplied by the cap.
    Tangent(f64),
    /// Capped, masked or biased: no scale follows.
    Changed,
    /// Sinks stand beside the scores.
    Joined,
    /// The greatest of those, and what it is the greatest of.
    Greatest(String),
    /// Weights, those of sinks beside them.
    JoinedWeights,
    Weights,
    /// Products of weights and values, which have these dimensions, that are not yet summed.
    Weighted(Placed),
}

/// What of a program is being followed.
#[derive(Debug, Default)]
pub(crate) struct Chains {
    /// How often each tensor is read.
    reads: HashMap<String, usize>,
    known: HashMap<String, Chain>,
}

fn tensors(argument: &Argument) -> Vec<&str> {
    match argument {
        Argument::Tensor(name) => vec![name],
        Argument::Tensors(names) => names.iter().map(String::as_str).collect(),
        Argument::OptionalTensors(names) => names.iter().flatten().map(String::as_str).collect(),
        _ => Vec::new(),
    }
}

impl Chain {
    /// The same, what it was divided by being a scale and no cap.
    fn scaled(self) -> Self {
        match self.stage {
            Stage::Divided(by) => {
                Chain { scale: Some(Scaling::Over(by)), stage: Stage::Scores, ..self }
            }
            _ => self,
        }
    }
}

impl Chains {
    pub(crate) fn new(program: &ExportedProgram) -> Self {
        let graph = &program.graph_module;
        let mut reads: HashMap<String, usize> = HashMap::new();
        // What asks for a size or asserts something reads no element.
        let reads_none = |target: &str| {
            let name = operation(target);
            name.starts_with("aten._assert") || name.starts_with("aten.sym_size")
        };
        let computes = graph.graph.nodes.iter().filter(|node| !reads_none(&node.target));
        let read = computes.flat_map(|node| &node.inputs);
        let given = graph.signature.output_specs.iter().filter_map(|spec| match spec {
            OutputSpec::UserOutput(output) => Some(&output.arg),
            _ => None,
        });
        for name in read.map(|input| &input.arg).chain(given).flat_map(tensors) {
            *reads.entry(name.to_owned()).or_default() += 1;
        }
        Chains { reads, known: HashMap::new() }
    }

    /// The chain of an argument, that nothing else reads.
    fn of(&self, call: &Call<'_>, argument: &str) -> Option<&Chain> {
        self.named(call.name_of(argument)?, 1)
    }

    fn named(&self, name: &str, reads: usize) -> Option<&Chain> {
        (self.reads.get(name) == Some(&reads)).then(|| self.known.get(name)).flatten()
    }
}

/// What a call is named without its overload.
fn base<'c>(call: &Call<'c>) -> Option<&'c str> {
    let base = call.operation.strip_prefix("aten.")?.split('.').next()?;
    Some(base.strip_suffix('_').unwrap_or(base))
}

/// The name of a call's first tensor.
fn first(call: &Call<'_>) -> &'static str {
    if call.has("self") { "self" } else { "input" }
}

/// Follows a call that recorded some nodes.
pub(crate) fn follow(
    chains: &mut Chains,
    own: &mut Importer<'_>,
    call: &Call<'_>,
    nodes: Range<usize>,
) -> Lowered<()> {
    let Some(base) = base(call) else { return Ok(()) };
    let Some(mut chain) = own.spared(|own| step(chains, own, call, base))? else { return Ok(()) };
    chain.nodes.push(nodes);
    if let Ok(name) = call.result(0).map(str::to_owned) {
        let steps = steps_of(base, &chain, &name);
        chain.steps.extend(steps);
        chains.known.insert(name, chain);
    }
    Ok(())
}

/// What a call makes of a chain, or begins; none where it ends.
fn step(
    chains: &Chains,
    own: &mut Importer<'_>,
    call: &Call<'_>,
    base: &str,
) -> Lowered<Option<Chain>> {
    if let "matmul" | "bmm" | "mm" | "einsum" = base {
        return Ok(begun(own, call));
    }
    if base == "baddbmm" {
        return begun_biased(own, call);
    }
    if let "cat" | "concat" = base {
        return joined(chains, own, call);
    }
    if let ("sub", Some(x)) = (base, call.name_of("self"))
        && let Some(chain) = shifted(chains, call, x)
    {
        return Ok(Some(chain));
    }
    if base == "where" {
        return chosen(chains, own, call);
    }
    let greatest = matches!(base, "max" | "amax");
    let chain = match call.name_of(first(call)) {
        Some(name) if greatest => chains.named(name, 2),
        _ => chains.of(call, first(call)),
    };
    let Some(chain) = chain.cloned() else {
        return match base {
            "mul" | "multiply" => multiplied(chains, own, call),
            _ => added(chains, own, call, base),
        };
    };
    if MOVING.contains(&base) {
        return moved(own, call, base, chain);
    }
    let chain = match base {
        "masked_fill" | "softmax" | "_softmax" => chain.scaled(),
        _ => chain,
    };
    let number = || match call.value(own, "other") {
        Ok(Meaning::Number(number)) => Some(number),
        Ok(Meaning::Size(size)) => {
            size.as_integer().and_then(|size| i64::try_from(&size).ok()).map(|size| size as f64)
        }
        Ok(Meaning::Whole(whole)) if whole.sizes.is_empty() => {
            whole.expr.as_number().map(|number| number as f64)
        }
        Ok(Meaning::Choice { when, then, otherwise }) if when.sizes.is_empty() => {
            when.expr.as_number().map(|held| if held != 0 { then } else { otherwise })
        }
        _ => None,
    };
    let scaling = |factor: f64| match base {
        "mul" => Scaling::Times(Factor::Number(factor)),
        _ => Scaling::Over(factor),
    };
    let stage = match (base, &chain.stage) {
        (
            "to" | "type_as" | "_to_copy" | "contiguous" | "clone" | "detach" | "dropout" | "alias",
            _,
        ) => chain.stage.clone(),
        ("mul", Stage::Scores) if chain.scale.is_none() => {
            let Some(scale) = number() else { return Ok(None) };
            return Ok(Some(Chain { scale: Some(scaling(scale)), ..chain }));
        }
        // A number above zero leaves what is hidden hidden.
        ("mul" | "div", Stage::Changed)
            if chain.scale.is_none() && chain.soft_cap.is_none() && chain.bias.is_none() =>
        {
            let Some(factor) = number().filter(|factor| *factor > 0.0) else { return Ok(None) };
            return Ok(Some(Chain { scale: Some(scaling(factor)), ..chain }));
        }
        ("mul", Stage::Weights) => return multiplied(chains, own, call),
        ("div", Stage::Scores) if chain.scale.is_none() => {
            let Some(cap) = number() else { return Ok(None) };
            Stage::Divided(cap)
        }
        // Of two divisions the first is a scale.
        ("div", Stage::Divided(by)) => {
            let Some(cap) = number() else { return Ok(None) };
            let scale = Some(Scaling::Over(*by));
            return Ok(Some(Chain { scale, stage: Stage::Capping(cap), ..chain }));
        }
        // A scale, then a cap.
        ("div", Stage::Scores) => {
            let Some(cap) = number() else { return Ok(None) };
            Stage::Capping(cap)
        }
        ("tanh", Stage::Divided(cap) | Stage::Capping(cap)) => Stage::Tangent(*cap),
        ("mul", Stage::Tangent(cap)) if number() == Some(*cap) => {
            let soft_cap = Some(*cap);
            return Ok(Some(Chain { soft_cap, stage: Stage::Changed, ..chain }));
        }
        ("add" | "sub", Stage::Scores | Stage::Changed | Stage::Divided(_)) => {
            return added(chains, own, call, base);
        }
        ("masked_fill", Stage::Scores | Stage::Changed) => {
            let Meaning::Number(number) = call.value(own, "value")? else { return Ok(None) };
            let (true, Meaning::Whole(mask)) = (hides(number), call.value(own, "mask")?) else {
                return Ok(None);
            };
            let seen = mask.each(WholeKind::Truth, opledger_ir::IndexExpr::is_zero);
            let chain = Chain { filled: chain.filled || number.is_finite(), ..chain };
            return Ok(masked(own, chain, Some(seen), None));
        }
        ("max" | "amax", Stage::Joined)
            if last(own, call, "dim") && call.flag("keepdim", false) =>
        {
            let Some(name) = call.name_of(first(call)) else { return Ok(None) };
            Stage::Greatest(name.to_owned())
        }
        ("softmax" | "_softmax", Stage::Joined) if last(own, call, "dim") => Stage::JoinedWeights,
        ("softmax" | "_softmax", Stage::Scores | Stage::Changed) => {
            let dim = call.dim("dim", -1, chain.letters.dims.len())?;
            let keys = chain.letters.dims.get(dim).cloned().unwrap_or_default();
            // A row that is hidden as a whole by a finite number is no row without weights.
            if chain.filled && chain.seen.as_ref().is_some_and(|seen| hides_rows(&seen.expr, &keys))
            {
                return Ok(None);
            }
            return Ok(Some(Chain { keys, stage: Stage::Weights, ..chain }));
        }
        ("slice", Stage::JoinedWeights)
            if last(own, call, "dim")
                && size_of(own, call, "start").is_none_or(|start| start.is_zero())
                && size_of(own, call, "end") == Some(Poly::from(-1))
                && call.int("step", 1) == 1 =>
        {
            let keys = chain.letters.dims.last().cloned().unwrap_or_default();
            return Ok(Some(Chain { keys, stage: Stage::Weights, ..chain }));
        }
        ("sum", Stage::Products) => return summed(own, call, chain),
        _ => return Ok(None),
    };
    Ok(Some(Chain { stage, ..chain }))
}

/// A size that is given.
fn size_of(own: &Importer<'_>, call: &Call<'_>, name: &str) -> Option<Poly> {
    call.size(own, name).ok().flatten()
}

/// Whether an argument is the last dimension of the result's.
fn last(own: &mut Importer<'_>, call: &Call<'_>, name: &str) -> bool {
    let rank = call.sizes(own, 0).map_or(0, |sizes| sizes.len());
    rank > 0 && call.dim(name, 0, rank).is_ok_and(|dim| dim == rank - 1)
}
