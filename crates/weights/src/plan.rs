//! Which tensors of a checkpoint become which parameters of a graph, settled before any is read.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use opledger_dims::{Binding, Integer, escaped};
use opledger_ir::ops::Source;
use opledger_ir::{Graph, Op, OpError, to_usize};
use opledger_models::{Names, Place};
use safetensors::Dtype;

use crate::checkpoint::{Checkpoint, Located};
use crate::error::{Differences, WeightsError};
use crate::limits::MAX_TENSORS;
use crate::read::conversion;

/// A parameter in one iteration of the repetitions around it.
pub(crate) struct Parameter {
    pub(crate) path: String,
    pub(crate) sizes: Vec<usize>,
    /// The position of its node.
    pub(crate) node: usize,
}

/// A share of a tensor: every so many of the rows `part` of a matrix of `outs` rows and `ins` columns,
/// which the file holds from an element on, row by row or, transposed, column by column.
#[derive(Clone)]
pub(crate) struct Piece<'c> {
    pub(crate) tensor: (&'c str, &'c Located),
    pub(crate) begin: usize,
    pub(crate) part: Range<usize>,
    pub(crate) step: usize,
    pub(crate) outs: usize,
    pub(crate) ins: usize,
}

impl Piece<'_> {
    /// How many rows it is.
    pub(crate) fn rows(&self) -> usize {
        self.part.len().div_ceil(self.step)
    }
}

/// What is to be read.
#[derive(Default)]
pub(crate) struct Plan<'c> {
    /// For each parameter, the pieces that follow one another in it, and whether they are transposed.
    pub(crate) pieces: Vec<(Vec<Piece<'c>>, bool)>,
    /// Tensors to be compared with a parameter.
    pub(crate) copies: Vec<(&'c str, &'c Located, usize)>,
    /// Tensors that are passed over.
    pub(crate) ignored: Vec<&'c str>,
    /// Tensors of parts that the model does not have, which are left aside.
    pub(crate) aside: Vec<&'c str>,
}

/// The parameters and buffers of a graph, refused when their elements take more bytes than are `available`
/// in the narrowest type of the files.
pub(crate) fn parameters(
    checkpoint: &Checkpoint,
    graph: &Graph,
    binding: &Binding,
    available: Option<&Integer>,
) -> Result<Vec<Parameter>, WeightsError> {
    let nodes = || {
        let nodes = graph.nodes().iter().enumerate();
        let kept = |op: &Op| matches!(op, Op::Source(Source::Param { .. } | Source::Buffer { .. }));
        nodes.filter(move |(_, node)| kept(&node.op))
    };
    let narrow = |located: &Located| matches!(located.info.dtype, Dtype::BF16 | Dtype::F16);
    let blocks = checkpoint.tensors.values().any(|located| located.info.blocks.is_some());
    let width = match checkpoint.tensors.values().any(narrow) {
        // Whatever they are in blocks is asked for when it is read.
        _ if blocks => 0,
        true => 2,
        false => size_of::<f32>(),
    };
    let (mut count, mut needed) = (Integer::default(), Integer::default());
    for (_, node) in nodes() {
        let fail = |problem: OpError| WeightsError::Size { path: node.path.clone(), problem };
        let times = graph.multiplicity(node).at(binding).map_err(|e| fail(e.into()))?;
        let elements = node.shape.elements().at(binding).map_err(|e| fail(e.into()))?;
        needed += elements * &times * width;
        count += times;
        if count > Integer::from(MAX_TENSORS) {
            return Err(fail(OpError::TooLarge(format!("of {count} parameters"))));
        }
    }
    if available.is_some_and(|available| needed > *available) {
        let (path, available) = (checkpoint.path.clone(), available.cloned());
        return Err(WeightsError::Memory { path, needed, available });
    }
    let mut parameters = Vec::new();
    for (at, node) in nodes() {
        let fail = |problem: OpError| WeightsError::Size { path: node.path.clone(), problem };
        let size = |axis: &opledger_ir::Axis| to_usize(&axis.size.at(binding)?);
        let sizes: Vec<usize> =
            node.shape.axes.iter().map(size).collect::<Result<_, OpError>>().map_err(fail)?;
        for path in graph.instances(node, binding).map_err(fail)? {
            parameters.push(Parameter { path, sizes: sizes.clone(), node: at });
        }
    }
    Ok(parameters)
}

/// Finds every parameter in a checkpoint.
///
/// # Errors
/// All that is missing, too many, or different.
pub(crate) fn plan<'c>(
    checkpoint: &'c Checkpoint,
    parameters: &[Parameter],
    names: &Names,
) -> Result<Plan<'c>, Differences> {
    let positions: BTreeMap<&str, usize> =
        parameters.iter().enumerate().map(|(at, parameter)| (&*parameter.path, at)).collect();
    let mut planner =
        Planner { checkpoint, names, users: BTreeMap::new(), differences: Differences::default() };
    let mut plan = Plan::default();
    for parameter in parameters {
        let sizes = |path: &String| Some(&*parameters[*positions.get(&**path)?].sizes);
        plan.pieces.push(planner.find(parameter, sizes));
    }
    let Planner { users, mut differences, .. } = planner;
    // A part of its own begins with a word that no tensor of the model begins with: a classifier, a
    // pooler, a tower for images. What stands within the model's own parts changes what it computes.
    let part = |name: &'c str| names.bare(name).split('.').next().unwrap_or_default();
    let own: BTreeSet<&str> = users.keys().map(|name| part(name)).collect();
    // Where something is missing, what is too many may be that, under another name.
    let missing = !differences.missing.is_empty();
    let unused = checkpoint.tensors.iter().filter(|(name, _)| !users.contains_key(&***name));
    for (name, located) in unused {
        let original = names.original(name).and_then(|path| positions.get(path));
        if let Some(at) = original {
            let Parameter { path, sizes, .. } = &parameters[*at];
            let problem = mismatch(located, sizes, fits(sizes, &located.info.shape));
            let line = |problem| format!("`{}` {problem} (a copy of `{path}`)", escaped(name));
            differences.mismatched.extend(problem.map(line));
            plan.copies.push((name, located, *at));
        } else if names.is_ignored(name) {
            plan.ignored.push(name);
        } else if !missing && (names.is_of_a_head(name) || !own.contains(part(name))) {
            plan.aside.push(name);
        } else {
            differences.extra.push(format!("`{}`, {}", escaped(name), located.info));
        }
    }
    if differences.is_empty() { Ok(plan) } else { Err(differences) }
}

struct Planner<'c, 'n> {
    checkpoint: &'c Checkpoint,
    names: &'n Names,
    /// Who reads each tensor.
    users: BTreeMap<&'c str, String>,
    differences: Differences,
}

impl<'c> Planner<'c, '_> {
    /// A tensor under one of the spellings of its name.
    fn tensor(&self, name: &str) -> Option<(&'c str, &'c Located)> {
        let spellings = self.names.spellings(name);
        let found = spellings.iter().find_map(|name| self.checkpoint.tensors.get_key_value(name));
        found.map(|(name, located)| (&**name, located))
    }

    /// The pieces of a parameter; what keeps it from being read is noted.
    fn find<'p>(
        &mut self,
        parameter: &'p Parameter,
        sizes_of: impl Fn(&String) -> Option<&'p [usize]>,
    ) -> (Vec<Piece<'c>>, bool) {
        let Parameter { path, sizes, .. } = parameter;
        let transposed = self.names.is_transposed(path);
        // More entries than there are tensors are not there, however many they are.
        let outermost = sizes.first().map_or(1, |n| (*n).min(self.checkpoint.tensors.len() + 1));
        let mut places = self.names.places(path, outermost);
        let there = |place: &Place| place.files.iter().any(|file| self.tensor(file).is_some());
        let found = places.iter().position(there);
        if found.is_none() && self.names.is_sinusoids(path) {
            return (Vec::new(), false);
        }
        let place = places.swap_remove(found.unwrap_or(0));
        let own = if place.stacked { sizes.get(1..).unwrap_or_default() } else { sizes };
        let (siblings, at, user) = match place.parts.iter().position(|part| part == path) {
            None => (vec![own], 0, path.clone()),
            Some(at) => {
                // Without all of them nobody knows where each begins: none fits.
                let parts: Option<Vec<_>> = place.parts.iter().map(sizes_of).collect();
                (parts.unwrap_or_default(), at, place.parts.join(", "))
            }
        };
        let mut pieces = Vec::new();
        for file in &place.files {
            let Some(tensor) = self.tensor(file) else {
                let name = if file == path { String::new() } else { format!(" (for `{path}`)") };
                self.differences.missing.push(format!("`{file}`{name}"));
                continue;
            };
            let (name, located) = tensor;
            let layout = (transposed, place.interleaved);
            let share = match self.names.is_within_each(path) {
                true => share_of_each(tensor, layout, &siblings, at),
                false => share(tensor, &tensor.1.info.shape, layout, &siblings, at),
            };
            let problem = mismatch(located, own, share.is_some()).map(|problem| {
                let layout = if transposed { ", stored as [in, out]" } else { "" };
                let part = if place.parts.is_empty() { "" } else { ", as one of several parts" };
                format!("`{}` {problem}{layout}{part} (for `{path}`)", escaped(name))
            });
            let first = self.users.entry(name).or_insert_with(|| user.clone());
            if *first != user {
                let problem = format!("`{}` is both `{first}` and `{user}`", escaped(name));
                self.differences.mismatched.push(problem);
            }
            self.differences.mismatched.extend(problem);
            let share = share.unwrap_or_default();
            match self.names.is_in_pairs(path) {
                true => pieces.extend(share.iter().flat_map(|piece| halves_of_heads(piece, sizes))),
                false => pieces.extend(share),
            }
        }
        (pieces, transposed)
    }
}

/// What is wrong with a tensor's kind, or with its sizes.
fn mismatch(located: &Located, sizes: &[usize], fits: bool) -> Option<String> {
    let info = &located.info;
    if info.blocks.is_none() && conversion(info.dtype).is_none() {
        return Some(format!("is {}; F32, F16 and BF16 are read", info.dtype));
    }
    (!fits).then(|| format!("is {info} where {sizes:?} is needed"))
}

/// The same where every entry of the outermost axis has a share of its own.
fn share_of_each<'c, 's>(
    tensor: (&'c str, &'c Located),
    layout: (bool, bool),
    siblings: &[&'s [usize]],
    at: usize,
) -> Option<Vec<Piece<'c>>> {
    let (entries, shape) = tensor.1.info.shape.split_first()?;
    let within = |sizes: &&'s [usize]| -> Option<&'s [usize]> {
        let (own, rest) = sizes.split_first()?;
        (own == entries).then_some(rest)
    };
    let inner: Vec<&[usize]> = siblings.iter().map(within).collect::<Option<_>>()?;
    let pieces = share(tensor, shape, layout, &inner, at)?;
    let all: usize = shape.iter().product();
    let of = |entry: usize| {
        pieces.iter().map(move |piece| Piece { begin: entry * all + piece.begin, ..piece.clone() })
    };
    Some((0..*entries).flat_map(of).collect())
}

/// The share of a tensor of a shape that is parameter `at` of those that follow one another in it, or take
/// turns there.
fn share<'c>(
    tensor: (&'c str, &'c Located),
    shape: &[usize],
    (transposed, interleaved): (bool, bool),
    siblings: &[&[usize]],
    at: usize,
) -> Option<Vec<Piece<'c>>> {
    let mut shape = shape.to_vec();
    let whole = Piece { tensor, begin: 0, part: 0..1, step: 1, outs: 1, ins: 0 };
    if let [sizes] = siblings
        && !transposed
    {
        let ins = shape.iter().product();
        return fits(sizes, &shape).then(|| vec![Piece { ins, ..whole }]);
    }
    if transposed {
        let [ins, outs] = shape[..] else { return None };
        shape = vec![outs, ins];
    }
    let product = |sizes: &[usize]| sizes.iter().try_fold(1_usize, |p, size| p.checked_mul(*size));
    let (outs, inner) = shape.split_first()?;
    let ins = product(inner)?;
    let turns = match interleaved {
        true => siblings.iter().map(|sizes| sizes.first().copied().unwrap_or(1).max(1)).min()?,
        false => 1,
    };
    // Where the part of a turn begins and ends, and the whole turn.
    let (mut end, mut part) = (0_usize, 0..0);
    for (i, sizes) in siblings.iter().enumerate() {
        let rows = product(sizes)?.checked_div(ins)?;
        let whole = turns == 1 || sizes.first().is_some_and(|entries| entries % turns == 0);
        let own = rows.checked_div(turns)?;
        if i == at {
            part = end..end.checked_add(own)?;
            if !whole || !fits(sizes, &[&[rows], inner].concat()) {
                return None;
            }
        }
        end = end.checked_add(own)?;
    }
    if end.checked_mul(turns)? != *outs {
        return None;
    }
    let whole = Piece { outs: *outs, ins, ..whole };
    match (part.len(), turns) {
        // What has no rows has no pieces, however many turns there are.
        (0, _) | (_, 0) => Some(Vec::new()),
        // A row of every turn.
        (1, turns) => {
            let part = part.start..(turns - 1) * end + part.end;
            Some(vec![Piece { part, step: end, ..whole }])
        }
        _ => {
            let part = |turn: usize| turn * end + part.start..turn * end + part.end;
            let piece = |turn| Piece { part: part(turn), ..whole.clone() };
            Some((0..turns).map(piece).collect())
        }
    }
}

/// The rows of a piece that holds each head's by turns, those of one half and those of the other, head by head:
/// `sizes` begin with the heads and their rows.
fn halves_of_heads<'c>(piece: &Piece<'c>, sizes: &[usize]) -> Vec<Piece<'c>> {
    let [heads, rows, ..] = *sizes else { return vec![piece.clone()] };
    let outs = heads * rows;
    let whole = Piece {
        outs,
        ins: (piece.rows() * piece.ins).checked_div(outs).unwrap_or(0),
        ..piece.clone()
    };
    let half = |head: usize, first: usize| {
        let part = head * rows + first..(head + 1) * rows;
        Piece { part, step: 2, ..whole.clone() }
    };
    (0..heads).flat_map(|head| [half(head, 0), half(head, 1)]).collect()
}

/// Whether a shape in a file is that of a parameter: the same sizes, or the same with neighbouring
/// axes merged, as other tools store the heads of a projection: `[h·e, c]`.
pub fn fits(sizes: &[usize], found: &[usize]) -> bool {
    if sizes == found {
        return true;
    }
    let mut rest = sizes.iter();
    let merged = found.iter().all(|size| {
        let mut product = 1_usize;
        loop {
            match rest.next().and_then(|next| product.checked_mul(*next)) {
                Some(next) => product = next,
                None => return false,
            }
            if product >= *size {
                return product == *size;
            }
        }
    });
    merged && rest.all(|size| *size == 1)
}
