//! Attention that a program writes out: scores by a product, a scale, a cap, a mask that hides, a softmax,
//! a product with values. Step by step it is followed until weights meet values; then, where something
//! hides pairs or joins the softmax, all of it is recorded as attention, which counts the pairs that are
//! seen. What the steps recorded is left out, as far as nothing else reads it.
//!
//! A maximum that is subtracted before the softmax, which subtracts its own, is no step of attention.

mod attended;
mod letters;
mod product;

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use opledger_dims::Poly;
use opledger_ir::IndexExpr;
use opledger_ir::ops::{Factor, Scaling};

use crate::call::{Call, operation, place};
use crate::hidden::{Finite, hides};
use crate::importer::{Importer, Lowered, Meaning};
use crate::lower::hidden::hiding;
use crate::lower::movement;
use crate::schema::{Argument, ExportedProgram, OutputSpec};
use crate::tensor::{Dim, DimPart, Placed};
use crate::whole::{Whole, WholeKind};

pub(crate) use attended::attended;
use letters::Letters;
use product::{LetteredProduct, dim_of};

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
    if let "cat" | "concat" = base {
        return joined(chains, own, call);
    }
    if let ("sub", Some(x)) = (base, call.name_of("self")) {
        return Ok(shifted(chains, call, x));
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
        ("add", Stage::Scores | Stage::Changed | Stage::Divided(_)) => {
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

/// What moves scores or gives their dimensions another form.
const MOVING: &[&str] = &[
    "view",
    "reshape",
    "_unsafe_view",
    "unflatten",
    "flatten",
    "squeeze",
    "unsqueeze",
    "transpose",
    "swapaxes",
    "swapdims",
    "permute",
    "movedim",
    "mT",
];

/// A chain that is moved so; none where it is cut in a way that its operands are not.
fn moved(
    own: &mut Importer<'_>,
    call: &Call<'_>,
    base: &str,
    chain: Chain,
) -> Lowered<Option<Chain>> {
    if !matches!(chain.stage, Stage::Scores | Stage::Changed | Stage::Divided(_) | Stage::Weights) {
        return Ok(None);
    }
    let mut chain = chain;
    if let "transpose" | "swapaxes" | "swapdims" | "permute" | "movedim" | "mT" = base {
        let order = movement::order(call, base, chain.letters.dims.len())?;
        let dims = order.iter().map(|dim| chain.letters.dims[*dim].clone()).collect();
        chain.letters.dims = dims;
        return Ok(Some(chain));
    }
    let sizes = call.sizes(own, 0)?;
    let Some(reshaped) = chain.letters.reshaped(&sizes) else { return Ok(None) };
    for (letter, into) in reshaped.cuts {
        if chain.cut(own, letter, into).is_none() {
            return Ok(None);
        }
    }
    chain.letters.dims = reshaped.dims;
    Ok(Some(chain))
}

impl Chain {
    /// Cuts a letter in two, the second of which is new.
    fn cut(&mut self, own: &mut Importer<'_>, letter: usize, into: [Poly; 2]) -> Option<()> {
        let new = self.letters.sizes.len();
        for operand in &mut self.operands {
            *operand = letters::cut(own, operand, letter + 1, &into)?;
        }
        for over in [&mut self.bias, &mut self.sinks].into_iter().flatten() {
            *over = letters::cut(own, over, letter, &into)?;
        }
        let [outer, inner] = into;
        self.letters.sizes[letter] = outer;
        self.letters.sizes.push(inner);
        if let Some(seen) = &mut self.seen {
            let sizes = self.letters.sizes.clone();
            let position = opledger_ir::IndexExpr::Position;
            seen.expr = seen.expr.at(&|own| match own == letter {
                true => letters::place(&[letter, new], &sizes, position),
                false => position(own),
            });
            seen.sizes = sizes;
        }
        if self.keys.contains(&letter) {
            self.keys.push(new);
        }
        Some(())
    }
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

/// Scores of queries with keys.
fn begun(own: &Importer<'_>, call: &Call<'_>) -> Option<Chain> {
    let product = LetteredProduct::of(own, call)?;
    let tensors = [product.operand(own, 0)?, product.operand(own, 1)?];
    let all: BTreeSet<char> = product.letters.iter().flatten().copied().collect();
    let summed: Vec<char> = all.into_iter().filter(|c| !product.out.contains(c)).collect();
    let dim = |at: usize, letter: &char| dim_of(&tensors[at], &product.letters[at], *letter);
    if summed.is_empty() || summed.iter().any(|c| dim(0, c).is_empty() != dim(1, c).is_empty()) {
        return None;
    }
    let operands = [0, 1].map(|at| {
        let width: Dim = summed.iter().flat_map(|letter| dim(at, letter)).collect();
        let of_letters = product.out.iter().map(|letter| dim(at, letter));
        Placed { var: tensors[at].var, dims: [width].into_iter().chain(of_letters).collect() }
    });
    Chain::of(operands, Stage::Scores)
}

/// Products place by place, which a sum makes scores; or weights times values.
fn multiplied(chains: &Chains, own: &Importer<'_>, call: &Call<'_>) -> Lowered<Option<Chain>> {
    let (Some(a), Some(b)) = (call.name_of("self"), call.name_of("other")) else { return Ok(None) };
    let weights = |name: &str| {
        let chain = chains.named(name, 1)?;
        matches!(chain.stage, Stage::Weights).then(|| chain.clone())
    };
    let (Meaning::Tensor(x), Meaning::Tensor(y)) = (own.value(a)?, own.value(b)?) else {
        return Ok(None);
    };
    let rank = x.dims.len().max(y.dims.len());
    let ranked = |tensor: Placed| -> Placed {
        let missing = vec![Dim::new(); rank - tensor.dims.len()];
        Placed { var: tensor.var, dims: [missing, tensor.dims].concat() }
    };
    let (chain, values) = match (weights(a), weights(b)) {
        (Some(chain), None) => (chain, y),
        (None, Some(chain)) => (chain, x),
        _ if rank > 2 => {
            let operands = [x, y].map(|tensor| {
                let Placed { var, dims } = ranked(tensor);
                Placed { var, dims: [vec![Dim::new()], dims].concat() }
            });
            return Ok(Chain::of(operands, Stage::Products));
        }
        _ => return Ok(None),
    };
    let missing = rank - chain.letters.dims.len();
    let mut letters = chain.letters.clone();
    letters.dims.splice(0..0, vec![Vec::new(); missing]);
    Ok(Some(Chain { letters, stage: Stage::Weighted(ranked(values)), ..chain }))
}

/// Products that are summed along some dimensions.
fn summed(own: &mut Importer<'_>, call: &Call<'_>, mut chain: Chain) -> Lowered<Option<Chain>> {
    let Some(over) = summed_dims(call, chain.letters.dims.len())? else { return Ok(None) };
    for dim in &over {
        for letter in std::mem::take(&mut chain.letters.dims[*dim]) {
            for operand in &mut chain.operands {
                let summed = std::mem::take(&mut operand.dims[letter + 1]);
                if summed.is_empty() {
                    return Ok(None);
                }
                operand.dims[0].extend(summed);
            }
            chain.letters.sizes[letter] = Poly::one();
        }
    }
    if call.sizes(own, 0)?.len() != chain.letters.dims.len() {
        let kept = |(dim, letters)| (!over.contains(&dim)).then_some(letters);
        let dims = std::mem::take(&mut chain.letters.dims);
        chain.letters.dims = dims.into_iter().enumerate().filter_map(kept).collect();
    }
    Ok(Some(Chain { stage: Stage::Scores, ..chain }))
}

/// The dimensions that a sum runs along, where they are told.
fn summed_dims(call: &Call<'_>, rank: usize) -> Lowered<Option<Vec<usize>>> {
    let Some(dims) = call.ints("dim") else { return Ok(None) };
    dims.into_iter().map(|dim| place(dim, rank)).collect::<Lowered<Vec<_>>>().map(Some)
}

impl Chain {
    /// Scores of two operands: what is summed, then what runs along the scores.
    fn of(operands: [Placed; 2], stage: Stage) -> Option<Chain> {
        let one = Poly::one();
        let [a, b] = [&operands[0], &operands[1]].map(Placed::sizes);
        let sizes: Vec<Poly> =
            a.into_iter().zip(b).skip(1).map(|(a, b)| if a == one { b } else { a }).collect();
        let dims = sizes.iter().enumerate();
        let dims = dims.map(|(letter, size)| if *size == one { vec![] } else { vec![letter] });
        let letters = Letters { dims: dims.collect(), sizes };
        let (scale, soft_cap, seen, bias, sinks) = (None, None, None, None, None);
        let (keys, nodes) = (Vec::new(), Vec::new());
        let filled = false;
        Some(Chain {
            letters,
            operands,
            scale,
            soft_cap,
            seen,
            filled,
            bias,
            sinks,
            keys,
            stage,
            nodes,
        })
    }
}

/// Scores where a condition holds, hidden elsewhere; or the other way about.
fn chosen(chains: &Chains, own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Option<Chain>> {
    let chain = |name| chains.of(call, name).cloned().map(Chain::scaled);
    let (chain, other, holds) = match (chain("self"), chain("other")) {
        (Some(chain), None) => (chain, "other", true),
        (None, Some(chain)) => (chain, "self", false),
        _ => return Ok(None),
    };
    let (Meaning::Whole(mask), true) =
        (call.value(own, "condition")?, matches!(chain.stage, Stage::Scores | Stage::Changed))
    else {
        return Ok(None);
    };
    let number = match call.value(own, other)? {
        Meaning::Number(number) => Some(number),
        Meaning::Choice { when, then, otherwise } => {
            when.expr.as_number().map(|held| if held != 0 { then } else { otherwise })
        }
        _ => None,
    };
    let Some(number) = number.filter(|number| hides(*number)) else { return Ok(None) };
    let chain = Chain { filled: chain.filled || number.is_finite(), ..chain };
    let zero = opledger_ir::IndexExpr::is_zero;
    let seen = if holds { mask } else { mask.each(WholeKind::Truth, zero) };
    Ok(masked(own, chain, Some(seen), None))
}

/// Scores and what is added to them: a mask that hides, a bias, or both.
fn added(
    chains: &Chains,
    own: &mut Importer<'_>,
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
        (Some((seen, Finite::Number(0.0))), _) => masked(own, chain, Some(seen), None),
        (Some((seen, Finite::Tensor(bias))), _) => masked(own, chain, Some(seen), Some(bias)),
        (None, Meaning::Tensor(bias)) => masked(own, chain, None, Some(bias)),
        // Numbers that follow from places: distances, for one.
        (None, value @ (Meaning::Whole(_) | Meaning::Choice { .. }))
            if movement::sizes_of(&value).is_ok_and(|sizes| !sizes.is_empty()) =>
        {
            let bias = own.spared(|own| own.real(value))?;
            masked(own, chain, None, Some(bias))
        }
        _ => None,
    })
}

/// A chain with more that hides, and with one bias at most.
fn masked(
    own: &mut Importer<'_>,
    chain: Chain,
    seen: Option<Whole>,
    bias: Option<Placed>,
) -> Option<Chain> {
    let seen = match seen {
        Some(seen) => Some(chain.letters.of_whole(&seen)?),
        None => None,
    };
    let seen = match (chain.seen.clone(), seen) {
        (Some(a), Some(b)) => Some(a.zip(&b, WholeKind::Truth, |a, b| a.and(b)).ok()?),
        (a, b) => a.or(b),
    };
    let bias = match (chain.bias.clone(), bias) {
        (Some(_), Some(_)) => return None,
        (None, Some(bias)) => Some(chain.letters.of_tensor(own, &bias)?),
        (bias, None) => bias,
    };
    Some(Chain { seen, bias, stage: Stage::Changed, ..chain })
}

/// Whether a condition of those that must all hold for a pair asks for nothing of its key.
fn hides_rows(seen: &IndexExpr, keys: &[usize]) -> bool {
    let asks_nothing = || seen.as_size().is_none() && keys.iter().all(|key| !seen.uses(*key));
    match seen {
        IndexExpr::And(both) | IndexExpr::Product(both) => {
            both.iter().any(|one| hides_rows(one, keys))
        }
        IndexExpr::Sum { constant, terms } if constant.is_zero() && terms.len() == 1 => {
            hides_rows(&terms[0].0, keys)
        }
        IndexExpr::IsZero(inner) => match &**inner {
            IndexExpr::IsZero(twice) => hides_rows(twice, keys),
            IndexExpr::Or(both) => both.iter().any(|one| hides_rows(&one.is_zero(), keys)),
            IndexExpr::Sum { .. }
            | IndexExpr::Position(_)
            | IndexExpr::Lookup { .. }
            | IndexExpr::Product(_)
            | IndexExpr::FloorDiv(_)
            | IndexExpr::Mod(_)
            | IndexExpr::IsPositive(_)
            | IndexExpr::And(_)
            | IndexExpr::Choose(_) => asks_nothing(),
        },
        IndexExpr::Sum { .. }
        | IndexExpr::Position(_)
        | IndexExpr::Lookup { .. }
        | IndexExpr::FloorDiv(_)
        | IndexExpr::Mod(_)
        | IndexExpr::IsPositive(_)
        | IndexExpr::Or(_)
        | IndexExpr::Choose(_) => asks_nothing(),
    }
}

/// Scores and, behind them, a number for each head.
fn joined(chains: &Chains, own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Option<Chain>> {
    let Some([scores, sinks]) = call.names_of("tensors") else { return Ok(None) };
    let chain = chains.named(&scores, 1).cloned().map(Chain::scaled);
    let Some(chain) = chain else { return Ok(None) };
    let (true, Meaning::Tensor(mut sinks)) = (last(own, call, "dim"), own.value(&sinks)?) else {
        return Ok(None);
    };
    let is_behind = sinks.sizes().last().is_some_and(|size| *size == Poly::one());
    let scores = matches!(chain.stage, Stage::Scores | Stage::Changed);
    if !is_behind || !scores || sinks.dims.len() != chain.letters.dims.len() {
        return Ok(None);
    }
    let Some(last) = sinks.dims.last_mut() else { return Ok(None) };
    last.clear();
    let Some(mut sinks) = chain.letters.of_tensor(own, &sinks) else { return Ok(None) };
    for dim in &mut sinks.dims {
        dim.retain(|part| matches!(part, DimPart::Axis(_)));
    }
    Ok(Some(Chain { sinks: Some(sinks), stage: Stage::Joined, ..chain }))
}

/// A chain from which its greatest is subtracted.
fn shifted(chains: &Chains, call: &Call<'_>, name: &str) -> Option<Chain> {
    let greatest = chains.of(call, "other")?;
    let mut chain = chains.named(name, 2)?.clone();
    let same = matches!(&greatest.stage, Stage::Greatest(of) if of == name);
    chain.nodes.extend(greatest.nodes.last().cloned());
    (same && matches!(chain.stage, Stage::Joined)).then_some(chain)
}
