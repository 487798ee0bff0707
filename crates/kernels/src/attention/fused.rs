//! Attention without the matrix of weights: many queries of a key head in blocks, few by decoding.

use super::decode::{MAX_ROWS, over_chunks};
use super::flash::over_query_blocks;
use super::{Attention, AttentionMeters, VisibleKeys};
use crate::error::{KernelError, exactly};
use crate::isa::isa;
use crate::meter::Meter;
use crate::number::Number;
use crate::tasks::Shared;

/// Computes `softmax(cap·tanh(scale·q·kᵀ / cap) + bias)·v` into `out`, contiguous
/// `[batch, queries, heads, value_width]`, without storing the weights.
///
/// A query that sees no key, or only scores of `-∞`, gives zeros. Counts per part as
/// [`AttentionMeters`] says. Executed are whole tiles, in lanes that hold a query or none: the scale
/// multiplied into the queries (with log₂e, since exponentials are powers of two; without a scale this
/// belongs to the softmax), three comparisons, a multiplication and an addition per term of bias,
/// comparisons for rows without a score, the rescaling where a maximum moved, the merging of chunks of
/// keys, and, in place of divisions, one reciprocal per row, by which the context is multiplied; with
/// sinks each joins its row at the end.
///
/// # Errors
/// A shape, length or reach error; [`KernelError::EmptyReduction`] if `key_width` is zero.
pub fn attention<T: Number, M: Meter>(
    problem: &Attention<'_, T>,
    out: &mut [T],
    meters: &AttentionMeters<'_, M>,
) -> Result<(), KernelError> {
    let isa = isa()?;
    let shape = &problem.shape;
    exactly("output", out.len(), &[shape.batch, shape.queries, shape.heads, shape.value_width])?;
    if shape.no_rows() {
        return Ok(());
    }
    shape.check()?;
    if shape.key_width == 0 {
        return Err(KernelError::EmptyReduction { what: "key_width" });
    }
    let kv = |width| [shape.batch, shape.keys, shape.kv_heads, width];
    problem.q.check("q", [shape.batch, shape.queries, shape.heads, shape.key_width])?;
    problem.k.check("k", kv(shape.key_width))?;
    problem.v.check("v", kv(shape.value_width))?;
    problem.mask.check(shape)?;
    if let Some(bias) = &problem.bias {
        bias.check(shape)?;
    }
    if let Some(sinks) = problem.sinks {
        exactly("sinks", sinks.len(), &[shape.heads])?;
    }

    let keys: Vec<_> = (0..shape.batch).map(|item| problem.mask.keys(item, shape)).collect();
    let few = shape.queries * shape.group() <= MAX_ROWS;
    if few && !keys.iter().any(VisibleKeys::by_pairs) {
        over_chunks(isa, problem, &keys, out, meters);
    } else {
        over_query_blocks(isa, problem, &keys, &Shared::new(out), meters);
    }
    Ok(())
}
