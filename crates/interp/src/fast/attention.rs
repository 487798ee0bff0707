//! Attention, fused and by its parts.

use std::slice;

use opledger_dims::Symbol;
use opledger_ir::ops::{Attention, AttentionSizes, Einsum, Masked, Softmax};
use opledger_ir::{Call, MaskRule, OpError, Part};
use opledger_kernels::{self as kernels, AttentionMeters, AttentionShape, Bias, Heads, Meter};

use super::metering::{Metering, refused};
use crate::Row;

/// A mask in numbers; the mask tensor, when there is one, is operand `keep`.
fn mask<'a>(
    mask: &MaskRule,
    keep: Option<usize>,
    call: &'a Call<'_, f32>,
) -> Result<kernels::Mask<'a>, OpError> {
    let band = mask.band(call)?;
    Ok(kernels::Mask {
        causal_offset: band.offset,
        window: band.window.map(|w| usize::try_from(w).unwrap_or(0)),
        keep: keep.map(|at| call.index(at)).transpose()?.map(|t| t.data()),
    })
}

pub(super) fn apply<M: Metering>(
    op: &Attention,
    call: &Call<'_, f32>,
    out: &mut [f32],
    row: &Row,
) -> Result<(), OpError> {
    let s: AttentionSizes = Attention::sizes(call)?;
    let shape = AttentionShape {
        batch: s.batch,
        queries: s.queries,
        keys: s.keys,
        heads: s.heads,
        kv_heads: s.kv_heads,
        key_width: s.head_dim,
        value_width: s.value_dim,
    };
    let starts = if op.bias { op.bias_starts(call)? } else { Vec::new() };
    let bias = match op.bias {
        true => Some(Bias { data: call.real(3)?.data(), starts: &starts, query_stride: s.keys }),
        false => None,
    };
    let problem = kernels::Attention {
        shape,
        q: Heads::contiguous(call.real(0)?.data(), s.queries, s.heads, s.head_dim),
        k: Heads::contiguous(call.real(1)?.data(), s.keys, s.kv_heads, s.head_dim),
        v: Heads::contiguous(call.real(2)?.data(), s.keys, s.kv_heads, s.value_dim),
        mask: mask(&op.mask, op.keep_operand(), call)?,
        bias,
        scale: op.scale.as_ref().map(|f| f.value(call)).transpose()?.map(|f| f as f32),
    };
    let meters = AttentionMeters {
        scores: M::of(row, Part::Scores),
        scale: M::of(row, Part::Scale),
        bias: M::of(row, Part::Bias),
        softmax: M::of(row, Part::Softmax),
        context: M::of(row, Part::Context),
    };
    kernels::attention(&problem, out, &meters).map_err(refused)
}

/// The rows of a result that is masked or not; the mask tensor, when there is one, is the last operand.
pub(super) fn rows<'a>(
    masked: Option<&Masked>,
    call: &'a Call<'_, f32>,
) -> Result<kernels::ScoreRows<'a>, OpError> {
    let [outer @ .., queries, keys] = call.output else {
        let (keys, mask) = (call.output.first().copied().unwrap_or(1), kernels::Mask::default());
        return Ok(kernels::ScoreRows { batch: 1, heads: 1, queries: 1, keys, mask });
    };
    let rule = masked.map(|m| &m.rule);
    let keep = rule.is_some_and(|m| m.keep).then(|| call.inputs.len() - 1);
    // The axes of batch are those of the mask tensor; without one they need not be told from heads.
    let batch_axes = keep.map_or(0, |at| call.inputs[at].shape().len() - 1);
    Ok(kernels::ScoreRows {
        batch: outer[..batch_axes].iter().product(),
        heads: outer[batch_axes..].iter().product(),
        queries: *queries,
        keys: *keys,
        mask: rule.map(|m| mask(m, keep, call)).transpose()?.unwrap_or_default(),
    })
}

pub(super) fn softmax(
    op: &Softmax,
    call: &Call<'_, f32>,
    out: &mut [f32],
    meter: &impl Meter,
) -> Result<(), OpError> {
    let (rows, x) = (rows(op.masked.as_ref(), call)?, call.real(0)?.data());
    kernels::softmax(&rows, x, out, meter).map_err(refused)
}

/// A contraction over the pairs of a mask: scores `batch… n heads… e, batch… m kv… e -> batch… heads…
/// n m`, or context `batch… heads… n m, batch… m kv… f -> batch… n heads… f`.
pub(super) fn masked(
    op: &Einsum,
    masked: &Masked,
    call: &Call<'_, f32>,
    out: &mut [f32],
    meter: &impl Meter,
) -> Result<(), OpError> {
    let layout =
        || OpError::Kernel(format!("a masked contraction of the form `{op}` has no kernel"));
    let (a, b) = (call.real(0)?, call.real(1)?);
    let Masked { rule, query, key, .. } = masked;
    let outer = op.rhs.iter().position(|n| n == key).ok_or_else(layout)?;
    let (batch_names, value_name) = (&op.rhs[..outer], op.rhs.last().ok_or_else(layout)?);
    let query_at = op.lhs.iter().position(|n| n == query).ok_or_else(layout)?;
    let is_context = op.lhs.contains(key);
    let head_names =
        if is_context { &op.lhs[outer..query_at] } else { &op.lhs[query_at + 1..op.lhs.len() - 1] };
    let heads = if is_context {
        &a.shape()[outer..query_at]
    } else {
        &a.shape()[query_at + 1..a.shape().len() - 1]
    };
    let made: Vec<Symbol> = match is_context {
        true => {
            [batch_names, slice::from_ref(query), head_names, slice::from_ref(value_name)].concat()
        }
        false => [batch_names, head_names, slice::from_ref(query), slice::from_ref(key)].concat(),
    };
    if op.out != made {
        return Err(layout());
    }
    let width = b.shape()[b.shape().len() - 1];
    let shape = AttentionShape {
        batch: b.shape()[..outer].iter().product(),
        queries: a.shape()[query_at],
        keys: b.shape()[outer],
        heads: heads.iter().product(),
        kv_heads: b.shape()[outer + 1..b.shape().len() - 1].iter().product(),
        key_width: width,
        value_width: width,
    };
    let mask = mask(rule, rule.keep.then_some(2), call)?;
    let right = Heads::contiguous(b.data(), shape.keys, shape.kv_heads, width);
    if is_context {
        let problem = kernels::Context { shape, weights: a.data(), v: right, mask };
        return kernels::masked_context(&problem, out, meter).map_err(refused);
    }
    let left = Heads::contiguous(a.data(), shape.queries, shape.heads, width);
    let problem = kernels::Scores { shape, q: left, k: right, mask, bias: None, scale: None };
    let meters = AttentionMeters {
        scores: meter,
        scale: meter,
        bias: meter,
        softmax: meter,
        context: meter,
    };
    kernels::masked_scores(&problem, out, &meters).map_err(refused)
}
