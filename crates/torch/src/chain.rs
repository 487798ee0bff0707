//! Attention that a program writes out: scores by a product, a scale, a cap, a mask that hides, a softmax,
//! a product with values. Step by step it is followed until weights meet values; then, where something
//! hides pairs or joins the softmax, all of it is recorded as attention, which counts the pairs that are
//! seen. What the steps recorded is left out, as far as nothing else reads it.
//!
//! A maximum that is subtracted before the softmax, which subtracts its own, is no step of attention.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use opledger_dims::Poly;
use opledger_ir::ops::Factor;

use crate::call::{Call, operation};
use crate::hidden::{Finite, hides};
use crate::importer::{Importer, Lowered, Meaning};
use crate::lower::attention::{Given, WrittenAttention, record};
use crate::lower::hidden::hiding;
use crate::lower::movement;
use crate::schema::{Argument, ExportedProgram, OutputSpec};
use crate::tensor::{DimPart, Placed};
use crate::whole::{Whole, WholeKind};

/// Scores on their way to weights.
#[derive(Clone, Debug)]
struct Chain {
    q: Placed,
    k: Placed,
    scale: Option<f64>,
    soft_cap: Option<f64>,
    seen: Option<Whole>,
    bias: Option<Placed>,
    sinks: Option<Placed>,
    stage: Stage,
    /// The nodes of its steps.
    nodes: Vec<Range<usize>>,
}

/// What was done last.
#[derive(Clone, Debug, PartialEq)]
enum Stage {
    Scores,
    /// Divided by what is a cap, where the tangent follows, and else a scale.
    Divided(f64),
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
                let scale = Some(self.scale.unwrap_or(1.0) / by);
                Chain { scale, stage: Stage::Scores, ..self }
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

/// A product of two tensors, whose dimensions have letters.
struct Product {
    operands: [String; 2],
    letters: [Vec<char>; 2],
    out: Vec<char>,
}

impl Product {
    /// A call as a product; none of another call, or of vectors.
    fn of(own: &Importer<'_>, call: &Call<'_>) -> Option<Product> {
        if base(call)? == "einsum" {
            let equation = call.text("equation")?.replace(' ', "");
            let (letters, out) = equation.split_once("->")?;
            let (a, b) = letters.split_once(',')?;
            let [a, b, out] = [a, b, out].map(|letters| letters.chars().collect::<Vec<_>>());
            let operands = call.names_of("tensors")?;
            return Some(Product { operands, letters: [a, b], out });
        }
        let other = if call.has("other") { "other" } else { "mat2" };
        let names = [call.name_of(first(call))?, call.name_of(other)?];
        let rank = |name| movement::sizes_of(&own.value(name).ok()?).ok().map(|sizes| sizes.len());
        let [a, b] = names.map(rank);
        let rank = a.filter(|rank| *rank > 2 && a == b)?;
        let outer = ('a'..).take(rank - 2);
        let letters = |last: [char; 2]| -> Vec<char> { outer.clone().chain(last).collect() };
        let operands = names.map(str::to_owned);
        let letters_of = [letters(['Q', 'S']), letters(['S', 'K'])];
        Some(Product { operands, letters: letters_of, out: letters(['Q', 'K']) })
    }

    /// The only letter of a kind, by whether it is in each operand and in the result.
    fn only(&self, places: [bool; 3]) -> Option<char> {
        let [a, b] = &self.letters;
        let all: BTreeSet<char> = a.iter().chain(b).chain(&self.out).copied().collect();
        let is =
            |letter: &char| [a, b, &self.out].map(|letters| letters.contains(letter)) == places;
        let mut found = all.into_iter().filter(is);
        found.next().filter(|_| found.next().is_none())
    }

    /// An operand with its dimensions in an order.
    fn operand(&self, own: &Importer<'_>, at: usize, order: &[char]) -> Option<Placed> {
        let Ok(Meaning::Tensor(tensor)) = own.value(&self.operands[at]) else { return None };
        let letters = &self.letters[at];
        if tensor.dims.len() != letters.len() || order.len() != letters.len() {
            return None;
        }
        let dim = |letter: &char| {
            letters.iter().position(|own| own == letter).map(|at| tensor.dims[at].clone())
        };
        let dims = order.iter().map(dim).collect::<Option<Vec<_>>>()?;
        Some(Placed { var: tensor.var, dims })
    }
}

/// Attention, where a call gives its weights to values; none of other calls.
pub(crate) fn attended(
    chains: &Chains,
    own: &mut Importer<'_>,
    call: &Call<'_>,
) -> Lowered<Option<Placed>> {
    let Some("matmul" | "bmm" | "einsum") = base(call) else { return Ok(None) };
    let Some(product) = Product::of(own, call) else { return Ok(None) };
    let Some(chain) = chains.named(&product.operands[0], 1).cloned() else { return Ok(None) };
    let counts = chain.seen.is_some() || chain.soft_cap.is_some() || chain.sinks.is_some();
    let ([outer @ .., query, key], true) = (&product.letters[0][..], counts) else {
        return Ok(None);
    };
    let summed = product.only([true, true, false]) == Some(*key);
    let (true, Some(width)) = (summed, product.only([false, true, true])) else { return Ok(None) };
    let order = |last: [char; 2]| [outer, &last].concat();
    // Where each dimension of the result is in attention's.
    let made = order([*query, width]);
    let place = |letter: &char| made.iter().position(|own| own == letter);
    let places = product.out.iter().map(place).collect::<Option<Vec<usize>>>();
    let places = places.filter(|places| places.len() == made.len());
    let (Stage::Weights, Some(places), Some(v)) =
        (&chain.stage, places, product.operand(own, 1, &order([*key, width])))
    else {
        return Ok(None);
    };
    let Chain { q, k, scale, soft_cap, seen, bias, sinks, nodes, .. } = chain;
    let scale = scale.map(Factor::Number);
    let given = Given { seen, bias };
    let before = own.graph.nodes().len();
    match record(own, WrittenAttention { q, k, v, scale, soft_cap, given, sinks }) {
        Ok(result) => {
            for nodes in nodes {
                let recorded = own.graph.vars().skip(nodes.start).take(nodes.len());
                own.spare.extend(recorded);
            }
            let dims = places.iter().map(|at| result.dims[*at].clone()).collect();
            Ok(Some(Placed { dims, ..result }))
        }
        // Of another form than attention's: the program's own steps stand.
        Err(_) => {
            own.spare.extend(own.graph.vars().skip(before));
            Ok(None)
        }
    }
}

/// Follows a call that recorded some nodes.
pub(crate) fn follow(
    chains: &mut Chains,
    own: &mut Importer<'_>,
    call: &Call<'_>,
    nodes: Range<usize>,
) -> Lowered<()> {
    let Some(base) = base(call) else { return Ok(()) };
    let Some(mut chain) = step(chains, own, call, base)? else { return Ok(()) };
    chain.nodes.push(nodes);
    if let Ok(name) = call.result(0).map(str::to_owned) {
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
    if let "matmul" | "bmm" | "einsum" = base {
        return Ok(begun(own, call));
    }
    if let "cat" | "concat" = base {
        return joined(chains, own, call);
    }
    let greatest = matches!(base, "max" | "amax");
    if let ("sub", Some(x)) = (base, call.name_of("self")) {
        return Ok(shifted(chains, call, x));
    }
    let chain = match call.name_of(first(call)) {
        Some(name) if greatest => chains.named(name, 2),
        _ => chains.of(call, first(call)),
    };
    let Some(chain) = chain.cloned() else { return added(chains, own, call, base) };
    let chain = match base {
        "masked_fill" | "softmax" | "_softmax" => chain.scaled(),
        _ => chain,
    };
    let number = || match call.value(own, "other") {
        Ok(Meaning::Number(number)) => Some(number),
        Ok(Meaning::Size(size)) => {
            size.as_integer().and_then(|size| i64::try_from(&size).ok()).map(|size| size as f64)
        }
        _ => None,
    };
    let stage = match (base, &chain.stage) {
        (
            "to" | "type_as" | "_to_copy" | "contiguous" | "clone" | "detach" | "dropout" | "alias",
            _,
        ) => chain.stage.clone(),
        ("mul", Stage::Scores) if chain.scale.is_none() => {
            let Some(scale) = number() else { return Ok(None) };
            return Ok(Some(Chain { scale: Some(scale), ..chain }));
        }
        // A number above zero leaves what is hidden hidden.
        ("mul" | "div", Stage::Changed)
            if chain.scale.is_none() && chain.soft_cap.is_none() && chain.bias.is_none() =>
        {
            let Some(factor) = number().filter(|factor| *factor > 0.0) else { return Ok(None) };
            let scale = if base == "mul" { factor } else { 1.0 / factor };
            return Ok(Some(Chain { scale: Some(scale), ..chain }));
        }
        ("div", Stage::Scores) => {
            let Some(cap) = number() else { return Ok(None) };
            Stage::Divided(cap)
        }
        ("tanh", Stage::Divided(cap)) => Stage::Tangent(*cap),
        ("mul", Stage::Tangent(cap)) if number() == Some(*cap) => {
            let soft_cap = Some(*cap);
            return Ok(Some(Chain { soft_cap, stage: Stage::Changed, ..chain }));
        }
        ("add", Stage::Scores | Stage::Changed | Stage::Divided(_)) => {
            return added(chains, own, call, base);
        }
        ("masked_fill", Stage::Scores | Stage::Changed) => {
            let hides = match call.value(own, "value")? {
                Meaning::Number(number) => hides(number),
                _ => false,
            };
            let (true, Meaning::Whole(mask)) = (hides, call.value(own, "mask")?) else {
                return Ok(None);
            };
            let seen = mask.each(WholeKind::Truth, opledger_ir::IndexExpr::is_zero);
            return Ok(masked(chain, Some(seen), None));
        }
        ("max" | "amax", Stage::Joined)
            if last(own, call, "dim") && call.flag("keepdim", false) =>
        {
            let Some(name) = call.name_of(first(call)) else { return Ok(None) };
            Stage::Greatest(name.to_owned())
        }
        ("softmax" | "_softmax", Stage::Joined) if last(own, call, "dim") => Stage::JoinedWeights,
        ("softmax" | "_softmax", Stage::Scores | Stage::Changed) if last(own, call, "dim") => {
            Stage::Weights
        }
        ("slice", Stage::JoinedWeights)
            if last(own, call, "dim")
                && place(own, call, "start").is_none_or(|start| start.is_zero())
                && place(own, call, "end") == Some(Poly::from(-1))
                && call.int("step", 1) == 1 =>
        {
            Stage::Weights
        }
        _ => return Ok(None),
    };
    Ok(Some(Chain { stage, ..chain }))
}

/// A place that is given.
fn place(own: &Importer<'_>, call: &Call<'_>, name: &str) -> Option<Poly> {
    call.size(own, name).ok().flatten()
}

/// Whether an argument is the last dimension of the result's.
fn last(own: &mut Importer<'_>, call: &Call<'_>, name: &str) -> bool {
    let rank = call.sizes(own, 0).map_or(0, |sizes| sizes.len());
    rank > 0 && call.dim(name, 0, rank).is_ok_and(|dim| dim == rank - 1)
}

/// Scores of queries with keys.
fn begun(own: &Importer<'_>, call: &Call<'_>) -> Option<Chain> {
    let product = Product::of(own, call)?;
    let [outer @ .., query, key] = &product.out[..] else { return None };
    let width = product.only([true, true, false])?;
    let of_pairs = product.only([true, false, true]) == Some(*query)
        && product.only([false, true, true]) == Some(*key);
    let tensor = |at, token| product.operand(own, at, &[outer, &[token, width]].concat());
    let (true, q, k) = (of_pairs && !outer.is_empty(), tensor(0, *query)?, tensor(1, *key)?) else {
        return None;
    };
    let (scale, soft_cap, seen, bias, sinks) = (None, None, None, None, None);
    let (stage, nodes) = (Stage::Scores, Vec::new());
    Some(Chain { q, k, scale, soft_cap, seen, bias, sinks, stage, nodes })
}

/// Scores and what is added to them: a mask that hides, a bias, or both.
fn added(
    chains: &Chains,
    own: &Importer<'_>,
    call: &Call<'_>,
    base: &str,
) -> Lowered<Option<Chain>> {
    if base != "add" || call.has("alpha") {
        return Ok(None);
    }
    let chain = |name| chains.of(call, name).cloned().map(Chain::scaled);
    let (chain, other) = match (chain("self"), chain("other")) {
        (Some(chain), None) => (chain, "other"),
        (None, Some(chain)) => (chain, "self"),
        _ => return Ok(None),
    };
    if !matches!(chain.stage, Stage::Scores | Stage::Changed) {
        return Ok(None);
    }
    let value = call.value(own, other)?;
    Ok(match (hiding(&value), value) {
        (Some((seen, Finite::Number(0.0))), _) => masked(chain, Some(seen), None),
        (Some((seen, Finite::Tensor(bias))), _) => masked(chain, Some(seen), Some(bias)),
        (None, Meaning::Tensor(bias)) => masked(chain, None, Some(bias)),
        _ => None,
    })
}

/// A chain with more that hides, and with one bias at most.
fn masked(chain: Chain, seen: Option<Whole>, bias: Option<Placed>) -> Option<Chain> {
    let seen = match (chain.seen.clone(), seen) {
        (Some(a), Some(b)) => Some(a.zip(&b, WholeKind::Truth, |a, b| a.and(b)).ok()?),
        (a, b) => a.or(b),
    };
    let bias = match (chain.bias.clone(), bias) {
        (Some(_), Some(_)) => return None,
        (a, b) => a.or(b),
    };
    Some(Chain { seen, bias, stage: Stage::Changed, ..chain })
}

/// Scores and, behind them, a number for each head.
fn joined(chains: &Chains, own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Option<Chain>> {
    let Some([scores, sinks]) = call.names_of("tensors") else { return Ok(None) };
    let chain = chains.named(&scores, 1).cloned().map(Chain::scaled);
    let Some(chain) = chain else { return Ok(None) };
    let (true, Meaning::Tensor(sinks)) = (last(own, call, "dim"), own.value(&sinks)?) else {
        return Ok(None);
    };
    let rank = sinks.dims.len();
    let fits = |dim: usize| match (&sinks.dims[dim][..], dim + 3 == rank) {
        ([DimPart::Axis(_)], true) => true,
        (parts, false) => parts.iter().all(|part| matches!(part, DimPart::Repeat(_))),
        _ => false,
    };
    let scores = matches!(chain.stage, Stage::Scores | Stage::Changed);
    if rank < 3 || rank != chain.q.dims.len() || !scores || !(0..rank).all(fits) {
        return Ok(None);
    }
    let sinks = Placed { var: sinks.var, dims: vec![sinks.dims[rank - 3].clone()] };
    Ok(Some(Chain { sinks: Some(sinks), stage: Stage::Joined, ..chain }))
}

/// A chain from which its greatest is subtracted.
fn shifted(chains: &Chains, call: &Call<'_>, name: &str) -> Option<Chain> {
    let greatest = chains.of(call, "other")?;
    let mut chain = chains.named(name, 2)?.clone();
    let same = greatest.stage == Stage::Greatest(name.to_owned());
    chain.nodes.extend(greatest.nodes.last().cloned());
    (same && chain.stage == Stage::Joined).then_some(chain)
}
