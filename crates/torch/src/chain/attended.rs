//! Where weights meet values: what each letter is to attention.

use opledger_dims::Poly;
use opledger_ir::{IndexExpr, Op};

use super::letters::Letters;
use super::product::LetteredProduct;
use super::{Chain, Chains, Stage, base, first, summed_dims};
use crate::call::Call;
use crate::followed::FollowedAttention;
use crate::importer::{Importer, Lowered};
use crate::lower::attention::{Given, WrittenAttention, record};
use crate::tensor::{Dim, DimPart, Placed};
use crate::whole::Whole;

/// Weights and values that meet, their dimensions by letters.
struct Meeting {
    chain: Chain,
    weights: Vec<char>,
    values: Placed,
    of_values: Vec<char>,
    out: Vec<char>,
}

/// Attention, where a call gives its weights to values; none of other calls.
pub(crate) fn attended(
    chains: &Chains,
    own: &mut Importer<'_>,
    call: &Call<'_>,
) -> Lowered<Option<Placed>> {
    let Some(meeting) = met(chains, own, call)? else { return Ok(None) };
    let chain = &meeting.chain;
    let counts = chain.seen.is_some() || chain.soft_cap.is_some() || chain.sinks.is_some();
    if !counts {
        return Ok(None);
    }
    let nodes = chain.nodes.clone();
    let (steps, scaled) = (chain.steps.clone(), chain.scale.is_some());
    let before = own.graph.nodes().len();
    match meeting.recorded(own) {
        Ok(Some(result)) => {
            let mut recorded = own.graph.vars().skip(before);
            let attention =
                recorded.find(|var| matches!(own.graph.node(*var).op, Op::Attention(_)));
            own.followed.extend(attention.map(|node| FollowedAttention { node, steps, scaled }));
            for nodes in nodes {
                let recorded = own.graph.vars().skip(nodes.start).take(nodes.len());
                own.spare.extend(recorded);
            }
            Ok(Some(result))
        }
        // Of another form than attention's: the program's own steps stand.
        Ok(None) | Err(_) => {
            own.spare.extend(own.graph.vars().skip(before));
            Ok(None)
        }
    }
}

fn met(chains: &Chains, own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Option<Meeting>> {
    let Some(base) = base(call) else { return Ok(None) };
    if base == "sum" {
        let Some(chain) = chains.of(call, first(call)).cloned() else { return Ok(None) };
        let Stage::Weighted(values) = chain.stage.clone() else { return Ok(None) };
        let rank = chain.letters.dims.len();
        let Some(over) = summed_dims(call, rank)? else { return Ok(None) };
        let all: Vec<char> = ('a'..).take(rank).collect();
        let keeps = call.flag("keepdim", false);
        let kept = |(dim, letter): (usize, &char)| match over.contains(&dim) {
            // One element where it was summed.
            true => keeps.then(|| letter.to_ascii_uppercase()),
            false => Some(*letter),
        };
        let out = all.iter().enumerate().filter_map(kept).collect();
        return Ok(Some(Meeting { chain, weights: all.clone(), values, of_values: all, out }));
    }
    let ("matmul" | "bmm" | "mm" | "einsum") = base else { return Ok(None) };
    let Some(product) = LetteredProduct::of(own, call) else { return Ok(None) };
    let weights = |at: usize| {
        let chain = chains.named(&product.operands[at], 1)?;
        let fits = chain.letters.dims.len() == product.letters[at].len();
        (fits && matches!(chain.stage, Stage::Weights)).then(|| chain.clone())
    };
    let (chain, at) = match (weights(0), weights(1)) {
        (Some(chain), None) => (chain, 0),
        (None, Some(chain)) => (chain, 1),
        _ => return Ok(None),
    };
    let Some(values) = product.operand(own, 1 - at) else { return Ok(None) };
    let LetteredProduct { letters, out, .. } = product;
    let [a, b] = letters;
    let (weights, of_values) = if at == 0 { (a, b) } else { (b, a) };
    Ok(Some(Meeting { chain, weights, values, of_values, out }))
}

/// What each letter is to attention.
struct Roles {
    /// What both, or keys and values alone, have a dimension of.
    outer: Vec<usize>,
    /// What is merged to one axis of heads.
    heads: Vec<usize>,
    /// Whether keys and values have heads of their own.
    own_heads: bool,
    query: Option<usize>,
    keys: Vec<usize>,
}

/// The dimensions of some letters as one; none where only some of them are there.
fn merged(dims: &[Dim], letters: &[usize]) -> Option<Dim> {
    let there = letters.iter().filter(|letter| !dims[**letter].is_empty()).count();
    (there == 0 || there == letters.len())
        .then(|| letters.iter().flat_map(|letter| dims[*letter].iter().cloned()).collect())
}

impl Meeting {
    /// The letters of a dimension of the weights.
    fn letters(&self, letter: char) -> &[usize] {
        let at = self.weights.iter().position(|own| *own == letter);
        at.map_or(&[], |at| &self.chain.letters.dims[at])
    }

    /// The values over the letters of the scores, and what they have alone, by the letters of the result.
    fn values(&self, own: &mut Importer<'_>) -> Option<(Placed, Vec<(char, Dim)>)> {
        let sizes = &self.chain.letters.sizes;
        let mut parts: Vec<Poly> = Vec::new();
        for (letter, dim) in self.of_values.iter().zip(&self.values.dims) {
            match (self.letters(*letter), dim.is_empty()) {
                (_, true) => {}
                ([], false) => parts.push(crate::tensor::size(dim)),
                (letters, false) => parts.extend(letters.iter().map(|own| sizes[*own].clone())),
            }
        }
        let cut = own.movement().reshape(&self.values, &parts).ok()?;
        let mut rest = cut.dims.into_iter();
        let mut dims = vec![Dim::new(); sizes.len()];
        let mut alone = Vec::new();
        for (letter, dim) in self.of_values.iter().zip(&self.values.dims) {
            match (self.letters(*letter), dim.is_empty()) {
                (_, true) => {}
                ([], false) => alone.push((*letter, rest.next()?)),
                (letters, false) => {
                    for own in letters {
                        dims[*own] = rest.next()?;
                    }
                }
            }
        }
        // As the result has them.
        let place = |letter: &char| self.out.iter().position(|own| own == letter);
        if alone.iter().any(|(letter, _)| place(letter).is_none()) {
            return None;
        }
        alone.sort_by_key(|(letter, _)| place(letter));
        Some((Placed { var: cut.var, dims }, alone))
    }

    /// What each letter is, and which operand is the queries.
    fn roles(&self, values: &Placed) -> Option<(usize, Roles)> {
        let Chain { letters: Letters { sizes, .. }, operands, keys, seen, .. } = &self.chain;
        let has = |at: usize, letter: usize| !operands[at].dims[letter + 1].is_empty();
        let is_keys = |at: usize| keys.iter().all(|key| has(at, *key) && !has(1 - at, *key));
        let q = match (keys.is_empty(), is_keys(0), is_keys(1)) {
            (false, true, false) => 1,
            (false, false, true) => 0,
            _ => return None,
        };
        // All keys are summed, and nothing else is.
        let summed = self.weights.iter().filter(|letter| !self.out.contains(letter));
        let mut summed: Vec<usize> = summed.flat_map(|c| self.letters(*c)).copied().collect();
        let mut keys = keys.clone();
        summed.sort_unstable();
        keys.sort_unstable();
        if summed != keys || keys.iter().any(|key| values.dims[*key].is_empty()) {
            return None;
        }
        let rest = (0..sizes.len())
            .filter(|letter| !keys.contains(letter) && (has(0, *letter) || has(1, *letter)));
        let shared = |letter: &usize| has(1 - q, *letter) || !values.dims[*letter].is_empty();
        let (mut outer, mut free): (Vec<usize>, Vec<usize>) = rest.partition(shared);
        // Queries are what a mask tells apart.
        let masked = |letter: &&usize| seen.as_ref().is_some_and(|seen| seen.expr.uses(**letter));
        let query = free.iter().rev().find(masked).or(free.last()).copied();
        free.retain(|letter| Some(*letter) != query);
        let own_heads = free.is_empty();
        let heads = if own_heads { outer.pop().into_iter().collect() } else { free };
        let keys = self.chain.keys.clone();
        Some((q, Roles { outer, heads, own_heads, query, keys }))
    }

    /// Records attention; none where the meeting has another form.
    fn recorded(self, own: &mut Importer<'_>) -> Lowered<Option<Placed>> {
        let Some((values, alone)) = self.values(own) else { return Ok(None) };
        let Some((at, roles)) = self.roles(&values) else { return Ok(None) };
        let Chain { letters: Letters { sizes, .. }, operands, .. } = &self.chain;
        let Roles { outer, heads, own_heads, query, keys } = &roles;
        let of_letters = |at: usize| operands[at].dims[1..].to_vec();
        let (of_q, of_k, of_v) = (of_letters(at), of_letters(1 - at), values.dims);
        let size = |letters: &[usize]| letters.iter().map(|letter| &sizes[*letter]).product();
        let repeated = |dims: &[Dim], letter: usize| match dims[letter].is_empty() {
            true => vec![DimPart::Repeat(sizes[letter].clone())],
            false => dims[letter].clone(),
        };
        let batch = |dims: &[Dim]| outer.iter().map(|l| repeated(dims, *l)).collect::<Vec<Dim>>();
        let single = |dims: &[Dim], other: &[Dim]| match (heads[..].first(), *own_heads) {
            // One head of keys for all queries, unless values have several, or the other way about.
            (Some(head), true) if !other[*head].is_empty() => repeated(dims, *head),
            (Some(head), true) => dims[*head].clone(),
            _ => Dim::new(),
        };
        let q_heads = match own_heads {
            true => heads.iter().flat_map(|head| repeated(&of_q, *head)).collect(),
            false => heads.iter().flat_map(|head| of_q[*head].clone()).collect(),
        };
        let (k_heads, v_heads) = (single(&of_k, &of_v), single(&of_v, &of_k));
        let (Some(of_keys), Some(of_values)) = (merged(&of_k, keys), merged(&of_v, keys)) else {
            return Ok(None);
        };
        let tokens = query.map_or_else(Dim::new, |query| of_q[query].clone());
        let widths: Vec<Poly> = alone.iter().map(|(_, dim)| crate::tensor::size(dim)).collect();
        let width = alone.iter().flat_map(|(_, dim)| dim.clone()).collect();
        let placed = |var, dims: &[Dim], heads, tokens, width| {
            let dims = [batch(dims), vec![heads, tokens, width]].concat();
            Placed { var, dims }
        };
        let [summed_q, summed_k] = [at, 1 - at].map(|at| operands[at].dims[0].clone());
        let q = placed(operands[at].var, &of_q, q_heads, tokens, summed_q);
        let k = placed(operands[1 - at].var, &of_k, k_heads, of_keys, summed_k);
        let v = placed(values.var, &of_v, v_heads, of_values, width);
        // Masks, biases and sinks over batch, heads, queries and keys.
        let groups: Vec<Vec<usize>> = outer
            .iter()
            .map(|letter| vec![*letter])
            .chain([heads.clone(), query.iter().copied().collect(), keys.clone()])
            .collect();
        let seen = self.chain.seen.as_ref().map(|seen| over(seen, &groups, sizes));
        let merged_all = |tensor: &Placed| -> Option<Placed> {
            let dims = groups.iter().map(|letters| merged(&tensor.dims, letters));
            Some(Placed { var: tensor.var, dims: dims.collect::<Option<_>>()? })
        };
        let bias = match &self.chain.bias {
            Some(bias) => match merged_all(bias) {
                Some(bias) => Some(bias),
                None => return Ok(None),
            },
            None => None,
        };
        let sinks = match self.chain.sinks.as_ref().map(merged_all) {
            Some(Some(Placed { var, dims })) => {
                let of_head = dims[outer.len()].clone();
                if of_head.is_empty() || dims.iter().filter(|dim| !dim.is_empty()).count() != 1 {
                    return Ok(None);
                }
                Some(Placed { var, dims: vec![of_head] })
            }
            Some(None) => return Ok(None),
            None => None,
        };
        let (scale, soft_cap) = (self.chain.scale.clone(), self.chain.soft_cap);
        let given = Given { seen, bias };
        let result = record(own, WrittenAttention { q, k, v, scale, soft_cap, given, sinks })?;
        // Back to the letters, and to what values have alone.
        let mut parts: Vec<Poly> = outer.iter().map(|letter| sizes[*letter].clone()).collect();
        parts.extend(heads.iter().map(|head| sizes[*head].clone()));
        parts.push(size(query.as_slice()));
        parts.extend(widths);
        let cut = own.movement().reshape(&result, &parts)?;
        let mut rest = cut.dims.into_iter();
        let mut dims = vec![Dim::new(); sizes.len()];
        for letter in outer.iter().chain(heads) {
            dims[*letter] = rest.next().unwrap_or_default();
        }
        let tokens = rest.next().unwrap_or_default();
        if let Some(query) = query {
            dims[*query] = tokens;
        }
        let alone: Vec<(char, Dim)> = alone.iter().map(|(letter, _)| *letter).zip(rest).collect();
        let of = |letter: &char| match self.letters(*letter) {
            [] => dim_of_pair(&alone, *letter),
            letters => letters.iter().flat_map(|own| dims[*own].clone()).collect(),
        };
        Ok(Some(Placed { var: cut.var, dims: self.out.iter().map(of).collect() }))
    }
}

/// The dimension of a letter among these.
fn dim_of_pair(dims: &[(char, Dim)], letter: char) -> Dim {
    let found = dims.iter().find(|(own, _)| *own == letter);
    found.map_or_else(Dim::new, |(_, dim)| dim.clone())
}

/// Truth values over the letters as such over groups of them that run as one.
fn over(seen: &Whole, groups: &[Vec<usize>], sizes: &[Poly]) -> Whole {
    let expr = seen.expr.at(&|letter| {
        for (dim, letters) in groups.iter().enumerate() {
            let Some(at) = letters.iter().position(|own| *own == letter) else { continue };
            if letters.len() == 1 {
                return IndexExpr::Position(dim);
            }
            let inner: Poly = letters[at + 1..].iter().map(|letter| &sizes[*letter]).product();
            let above = IndexExpr::Position(dim).floor_div(&IndexExpr::size(inner));
            return match at {
                0 => above,
                _ => above.modulo(&IndexExpr::size(sizes[letter].clone())),
            };
        }
        IndexExpr::from(0)
    });
    let sizes = groups.iter().map(|own| own.iter().map(|letter| &sizes[*letter]).product());
    Whole { sizes: sizes.collect(), expr, kind: seen.kind }
}
