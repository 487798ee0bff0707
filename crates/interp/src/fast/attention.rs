//! Attention, fused and by its parts.

use std::slice;

use opledger_dims::Symbol;
use opledger_ir::ops::{
    Attention, AttentionGradient, AttentionSizes, Einsum, Masked, Scaling, Softmax,
};
use opledger_ir::{Call, KeepLayout, MaskRule, OpError, Part, Reach};
use opledger_kernels::{
    self as kernels, AttentionGradientMeters, AttentionMeters, AttentionShape, Bias, Heads, Keep,
    Meter, Pairs,
};

use super::metering::{Metering, refused};
use crate::Row;

/// A mask in numbers; the mask tensor, when there is one, is operand `keep`, read as its layout says.
fn mask<'a>(
    mask: &MaskRule,
    (keep, layout): (usize, Option<&'a KeepLayout>),
    call: &'a Call<'_, f32>,
) -> Result<kernels::Mask<'a>, OpError> {
    let band = mask.band(call)?;
    let pairs = |layout: &'a KeepLayout| {
        let (data, starts) = (call.index(keep)?.data(), &layout.starts[..]);
        Ok::<_, OpError>(Keep::Pairs(Pairs { data, starts, query_stride: layout.query_stride }))
    };
    let (window, chunk) =
        match band.reach.map(|r| r.map(|size| usize::try_from(*size).unwrap_or(0))) {
            None => (None, None),
            Some(Reach::Window(window)) => (Some(window), None),
            Some(Reach::Chunk(chunk)) => (None, Some(chunk)),
        };
    Ok(kernels::Mask {
        causal_offset: band.offset,
        window,
        chunk,
        keep: layout.map(pairs).transpose()?,
    })
}

/// The sizes of attention as kernels have them.
fn shape(call: &Call<'_, f32>) -> Result<AttentionShape, OpError> {
    let s: AttentionSizes = Attention::sizes(call)?;
    Ok(AttentionShape {
        batch: s.batch,
        queries: s.queries,
        keys: s.keys,
        heads: s.heads,
        kv_heads: s.kv_heads,
        key_width: s.head_dim,
        value_width: s.value_dim,
    })
}

/// Calls a kernel with attention as kernels have it.
fn with_problem<R>(
    op: &Attention,
    call: &Call<'_, f32>,
    kernel: impl FnOnce(kernels::Attention<'_>) -> Result<R, kernels::KernelError>,
) -> Result<R, OpError> {
    let shape = shape(call)?;
    let AttentionShape { queries, keys, heads, kv_heads, key_width, value_width, .. } = shape;
    let bias_layout = op.bias.then(|| op.bias_layout(call)).transpose()?;
    let bias = match &bias_layout {
        Some((starts, query_stride)) => {
            Some(Bias { data: call.real(3)?.data(), starts, query_stride: *query_stride })
        }
        None => None,
    };
    let layout = op.keep_layout(call)?;
    let sinks = op.sinks_operand().map(|at| call.real(at)).transpose()?;
    let scale = match &op.scale {
        Some(Scaling::Times(factor)) => Some(factor.value(call)?),
        Some(Scaling::Over(number)) => Some(1.0 / number),
        None => None,
    };
    let problem = kernels::Attention {
        shape,
        q: Heads::contiguous(call.real(0)?.data(), queries, heads, key_width),
        k: Heads::contiguous(call.real(1)?.data(), keys, kv_heads, key_width),
        v: Heads::contiguous(call.real(2)?.data(), keys, kv_heads, value_width),
        mask: mask(&op.mask, (op.keep_operand().unwrap_or(0), layout.as_ref()), call)?,
        bias,
        soft_cap: op.soft_cap.map(|cap| cap as f32),
        sinks: sinks.map(|sinks| sinks.data()),
        scale: scale.map(|scale| scale as f32),
        divides: matches!(op.scale, Some(Scaling::Over(_))),
    };
    kernel(problem).map_err(refused)
}

pub(super) fn apply<M: Metering>(
    op: &Attention,
    call: &Call<'_, f32>,
    out: &mut [f32],
    row: &Row,
) -> Result<(), OpError> {
    let meters = AttentionMeters {
        scores: M::of(row, Part::Scores),
        scale: M::of(row, Part::Scale),
        soft_cap: M::of(row, Part::SoftCap),
        bias: M::of(row, Part::Bias),
        softmax: M::of(row, Part::Softmax),
        context: M::of(row, Part::Context),
    };
    with_problem(op, call, |problem| kernels::attention(&problem, out, &meters))
}

/// The gradients of queries, keys and values; that of the result is the last operand.
pub(super) fn gradient<M: Metering>(
    op: &AttentionGradient,
    call: &Call<'_, f32>,
    outs: [&mut [f32]; 3],
    row: &Row,
) -> Result<(), OpError> {
    let dy = call.real(call.inputs.len() - 1)?.data();
    let AttentionShape { queries, heads, value_width, .. } = shape(call)?;
    let dy = Heads::contiguous(dy, queries, heads, value_width);
    let meters = AttentionGradientMeters {
        scores: M::of(row, Part::Scores),
        scale: M::of(row, Part::Scale),
        softmax: M::of(row, Part::Softmax),
        products: M::of(row, Part::Contraction),
        pointwise: M::of(row, Part::Pointwise),
    };
    with_problem(op.of(), call, |of| {
        kernels::attention_gradient(&kernels::AttentionGradient { of, dy }, outs, &meters)
    })
}

/// Batch and heads of the entries of an operation under a mask, all axes but queries and keys.
fn matrices<'a>(call: &'a Call<'_, f32>) -> Vec<(&'a Symbol, usize)> {
    let axes = call.shapes[0].axes.iter().map(|axis| &axis.name).zip(call.output.iter().copied());
    axes.take(call.output.len().saturating_sub(2)).collect()
}

/// How the mask tensor of an operation on entries is read, where there is one.
pub(super) fn layout(masked: Option<&Masked>, call: &Call<'_, f32>) -> Option<KeepLayout> {
    masked.and_then(|masked| masked.keep_layout(call, &matrices(call)))
}

/// The rows of a result that is masked or not; the mask tensor, when there is one, is the last operand.
pub(super) fn rows<'a>(
    masked: Option<&Masked>,
    layout: Option<&'a KeepLayout>,
    call: &'a Call<'_, f32>,
) -> Result<kernels::ScoreRows<'a>, OpError> {
    let [.., queries, keys] = call.output else {
        let (keys, mask) = (call.output.first().copied().unwrap_or(1), kernels::Mask::default());
        return Ok(kernels::ScoreRows { batch: 1, heads: 1, queries: 1, keys, mask });
    };
    let (last, all) = (call.inputs.len() - 1, matrices(call));
    // Heads are the last axes of which the mask tensor has none, so that what it hides is found once for
    // all of them.
    let named = |(name, _): &(&Symbol, usize)| call.shapes[last].position(name).is_some();
    let split = layout.and_then(|_| all.iter().rposition(named)).map_or(0, |at| at + 1);
    let product = |axes: &[(&Symbol, usize)]| axes.iter().map(|(_, size)| size).product::<usize>();
    let mask = masked.map(|masked| mask(&masked.rule, (last, layout), call)).transpose()?;
    Ok(kernels::ScoreRows {
        batch: product(&all[..split]),
        heads: product(&all[split..]),
        queries: *queries,
        keys: *keys,
        mask: mask.unwrap_or_default(),
    })
}

pub(super) fn softmax(
    op: &Softmax,
    call: &Call<'_, f32>,
    out: &mut [f32],
    meter: &impl Meter,
) -> Result<(), OpError> {
    let layout = layout(op.masked.as_ref(), call);
    let (rows, x) = (rows(op.masked.as_ref(), layout.as_ref(), call)?, call.real(0)?.data());
    let Some(places) = op.sink_places(call)? else {
        return kernels::softmax(&rows, x, out, meter).map_err(refused);
    };
    // One for each matrix of scores, whose rows share it.
    let sinks = call.real(1)?.data();
    let sinks: Vec<f32> =
        places.iter().step_by(rows.queries.max(1)).map(|place| sinks[*place]).collect();
    kernels::softmax_beside(&rows, x, &sinks, out, meter).map_err(refused)
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
    if !op.out.contains(query) {
        return query_sums(op, masked, call, out, meter);
    }
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
    let sizes = a.shape()[..outer].iter().chain(heads).copied();
    let matrices: Vec<_> = batch_names.iter().chain(head_names).zip(sizes).collect();
    let kept = masked.keep_layout(call, &matrices);
    let mask = mask(rule, (2, kept.as_ref()), call)?;
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
        soft_cap: meter,
        bias: meter,
        softmax: meter,
        context: meter,
    };
    kernels::masked_scores(&problem, out, &meters).map_err(refused)
}

/// A sum over the queries that see a key: `batch… heads… groups… n m` and `batch… n heads… groups… f`, in
/// either order, to `batch… m heads… f`.
fn query_sums(
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
    let [entries, x] = if op.lhs.contains(key) { [a, b] } else { [b, a] };
    let [pairs, rows] = if op.lhs.contains(key) { [&op.lhs, &op.rhs] } else { [&op.rhs, &op.lhs] };
    let outer = op.out.iter().position(|n| n == key).ok_or_else(layout)?;
    let (column, heads) = op.out[outer + 1..].split_last().ok_or_else(layout)?;
    let [all @ .., _, _] = &pairs[..] else { return Err(layout()) };
    let groups = all.get(outer + heads.len()..).ok_or_else(layout)?;
    let (batch, one) = (&op.out[..outer], slice::from_ref::<Symbol>);
    let expected = [[batch, heads, groups, one(query), one(key)].concat(), {
        [batch, one(query), heads, groups, one(column)].concat()
    }];
    if [pairs, rows] != [&expected[0], &expected[1]] {
        return Err(layout());
    }
    let sizes = entries.shape();
    let product = |range: std::ops::Range<usize>| sizes[range].iter().product::<usize>();
    let matrices: Vec<_> = all.iter().zip(sizes.iter().copied()).collect();
    let kept = masked.keep_layout(call, &matrices);
    let mask = mask(rule, (2, kept.as_ref()), call)?;
    let (last, groups) = (all.len(), product(outer + heads.len()..all.len()));
    let problem = kernels::QuerySums {
        rows: kernels::ScoreRows {
            batch: product(0..outer),
            heads: product(outer..last),
            queries: sizes[last],
            keys: sizes[last + 1],
            mask,
        },
        groups,
        entries: entries.data(),
        x: x.data(),
        width: x.shape().last().copied().unwrap_or(1),
    };
    kernels::masked_query_sums(&problem, out, meter).map_err(refused)
}
