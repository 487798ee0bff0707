//! Numbers of heads that stand beside scores.

use opledger_dims::Poly;

use super::{Chain, Chains, Stage, last};
use crate::call::Call;
use crate::importer::{Importer, Lowered, Meaning};
use crate::tensor::DimPart;

/// Scores and, behind them, a number for each head.
pub(super) fn joined(
    chains: &Chains,
    own: &mut Importer<'_>,
    call: &Call<'_>,
) -> Lowered<Option<Chain>> {
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
pub(super) fn shifted(chains: &Chains, call: &Call<'_>, name: &str) -> Option<Chain> {
    let greatest = chains.of(call, "other")?;
    let mut chain = chains.named(name, 2)?.clone();
    let same = matches!(&greatest.stage, Stage::Greatest(of) if of == name);
    chain.nodes.extend(greatest.nodes.last().cloned());
    (same && matches!(chain.stage, Stage::Joined)).then_some(chain)
}
