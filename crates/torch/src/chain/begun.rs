//! Scores as products of queries with keys, and weights times values place by place.

use std::collections::BTreeSet;

use opledger_dims::Poly;
use opledger_ir::ops::{Factor, Scaling};

use super::letters::Letters;
use super::masks::masked;
use super::product::{LetteredProduct, dim_of};
use super::{Chain, Chains, Stage};
use crate::call::{Call, place};
use crate::importer::{Importer, Lowered, Meaning};
use crate::tensor::{Dim, Placed};

/// Scores of queries with keys.
pub(super) fn begun(own: &Importer<'_>, call: &Call<'_>) -> Option<Chain> {
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

/// Scores that are added to a bias and scaled, as `baddbmm` does both.
pub(super) fn begun_biased(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Option<Chain>> {
    let Some(chain) = begun(own, call) else { return Ok(None) };
    let alpha = call.float("alpha").unwrap_or(1.0);
    let scale = (alpha != 1.0).then_some(Scaling::Times(Factor::Number(alpha)));
    let chain = Chain { scale, ..chain };
    match call.float("beta").unwrap_or(1.0) {
        0.0 => Ok(Some(chain)),
        1.0 => {
            let bias = call.tensor(own, "self")?;
            Ok(masked(own, chain, None, Some(bias)))
        }
        _ => Ok(None),
    }
}

/// Products place by place, which a sum makes scores; or weights times values.
pub(super) fn multiplied(
    chains: &Chains,
    own: &Importer<'_>,
    call: &Call<'_>,
) -> Lowered<Option<Chain>> {
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
pub(super) fn summed(
    own: &mut Importer<'_>,
    call: &Call<'_>,
    mut chain: Chain,
) -> Lowered<Option<Chain>> {
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
pub(super) fn summed_dims(call: &Call<'_>, rank: usize) -> Lowered<Option<Vec<usize>>> {
    let Some(dims) = call.ints("dim") else { return Ok(None) };
    dims.into_iter().map(|dim| place(dim, rank)).collect::<Lowered<Vec<_>>>().map(Some)
}

impl Chain {
    /// Scores of two operands: what is summed, then what runs along the scores.
    pub(super) fn of(operands: [Placed; 2], stage: Stage) -> Option<Chain> {
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
            steps: Vec::new(),
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
