//! Operations that go over their operand row by row.

use opledger_ir::ops::{
    Activation, ArgMax, Arithmetic, ArithmeticKind, Compare, CompareKind, Cumulative,
    CumulativeKind, Dropout, Fill, Norm, NormKind, Pointwise, Reduce, Rope, RopePairs,
    RotaryAngles, Scale, Select, Sinusoid, TopK,
};
use opledger_ir::{Call, OpError, Value, strides};
use opledger_kernels::{
    self as kernels, BinaryOp, Channels, CompareOp, LayerNorm, Meter, Pairing, Reduction, RmsNorm,
    RotaryPositions, Running, Strided,
};
use opledger_tensor::Tensor;

use super::attention::{layout, rows};
use super::metering::refused;
use crate::Weight;

type Applied = Result<(), OpError>;

/// An operation on two numbers as kernels call it.
pub(super) fn binary_op(kind: ArithmeticKind) -> BinaryOp {
    match kind {
        ArithmeticKind::Add => BinaryOp::Add,
        ArithmeticKind::Mul => BinaryOp::Mul,
        ArithmeticKind::Div => BinaryOp::Div,
        ArithmeticKind::Sub => BinaryOp::Sub,
        ArithmeticKind::Max => BinaryOp::Max,
        ArithmeticKind::Min => BinaryOp::Min,
        ArithmeticKind::Pow => BinaryOp::Pow,
    }
}

pub(super) fn arithmetic(
    op: &Arithmetic,
    call: &Call<'_, f32>,
    out: &mut [f32],
    meter: &impl Meter,
) -> Applied {
    let (a, b) = (call.real(0)?, call.real(1)?);
    let own = strides(b.shape());
    let along = Arithmetic::broadcast(call.shapes[0], call.shapes[1]);
    let b_strides: Vec<usize> = along.iter().map(|at| at.map_or(0, |at| own[at])).collect();
    let a_strides = strides(a.shape());
    let kind = binary_op(op.kind);
    let a = Strided { data: a.data(), strides: &a_strides };
    let b = Strided { data: b.data(), strides: &b_strides };
    if let Some(masked) = &op.masked {
        let layout = layout(Some(masked), call);
        let (rows, sizes) = (rows(Some(masked), layout.as_ref(), call)?, call.output);
        return kernels::masked_binary(kind, &rows, sizes, [a, b], out, meter).map_err(refused);
    }
    kernels::binary(kind, call.output, a, b, out, meter).map_err(refused)
}

pub(super) fn scale(
    op: &Scale,
    call: &Call<'_, f32>,
    out: &mut [f32],
    meter: &impl Meter,
) -> Applied {
    let factor = op.factor.value(call)? as f32;
    let x = call.real(0)?.data();
    if let Some(masked) = &op.masked {
        let layout = layout(Some(masked), call);
        let (rows, sizes) = (rows(Some(masked), layout.as_ref(), call)?, call.output);
        let (own, same) = (strides(sizes), vec![0; sizes.len()]);
        let sides =
            [Strided { data: x, strides: &own }, Strided { data: &[factor], strides: &same }];
        return { kernels::masked_binary(BinaryOp::Mul, &rows, sizes, sides, out, meter) }
            .map_err(refused);
    }
    kernels::scale(factor, x, out, meter).map_err(refused)
}

pub(super) fn norm(
    op: &Norm,
    call: &Call<'_, f32>,
    out: &mut [f32],
    meter: &impl Meter,
) -> Applied {
    let x = call.real(0)?.data();
    let gain = if op.gain { Some(call.real(1)?.data()) } else { None };
    let shift = if op.shift { Some(call.real(1 + usize::from(op.gain))?.data()) } else { None };
    let width = op.width(call.output);
    let positions = op.positions(call)?;
    let numbers = gain.or(shift).map_or(width, |affine| affine.len() * positions);
    let channels = Channels { groups: numbers.checked_div(width).unwrap_or(1).max(1), positions };
    let eps = op.eps as f32;
    match (op.kind, shift) {
        (NormKind::Layer, _) => {
            let norm = LayerNorm { width, eps, gamma: gain, beta: shift, channels };
            kernels::layer_norm(&norm, x, out, meter).map_err(refused)
        }
        (NormKind::Rms, None) => {
            let norm = RmsNorm { width, eps, weight: gain };
            kernels::rms_norm(&norm, x, out, meter).map_err(refused)
        }
        (NormKind::Rms, Some(shift)) => {
            let mut normed = vec![0.0; out.len()];
            let norm = RmsNorm { width, eps, weight: gain };
            kernels::rms_norm(&norm, x, &mut normed, meter).map_err(refused)?;
            let rows = [out.len() / width.max(1), width];
            let normed = Strided { data: &normed, strides: &[width, 1] };
            let shift = Strided { data: shift, strides: &[0, 1] };
            kernels::binary(BinaryOp::Add, &rows, normed, shift, out, meter).map_err(refused)
        }
    }
}

pub(super) fn activation(
    op: Activation,
    call: &Call<'_, f32>,
    out: &mut [f32],
    meter: &impl Meter,
) -> Applied {
    let x = call.real(0)?.data();
    kernels::activation(op, x, out, meter).map_err(refused)
}

pub(super) fn with_constants(
    op: Pointwise,
    call: &Call<'_, f32>,
    out: &mut [f32],
    meter: &impl Meter,
) -> Applied {
    kernels::pointwise(op, call.real(0)?.data(), out, meter).map_err(refused)
}

pub(super) fn select(op: &Select, call: &Call<'_, f32>, out: &mut [f32]) -> Applied {
    let (condition, a, b) = (call.index(0)?, call.real(1)?, call.real(2)?);
    let along = |operand: usize, sizes| op.strides(call.shapes[operand], sizes);
    let condition = Strided { data: condition.data(), strides: &along(0, condition.shape()) };
    let a = Strided { data: a.data(), strides: &along(1, a.shape()) };
    let b = Strided { data: b.data(), strides: &along(2, b.shape()) };
    kernels::select(call.output, condition, [a, b], out).map_err(refused)
}

pub(super) fn to_real(call: &Call<'_, f32>, out: &mut [f32]) -> Applied {
    out.iter_mut().zip(call.index(0)?.data()).for_each(|(out, x)| *out = *x as f32);
    Ok(())
}

pub(super) fn fill(op: &Fill, out: &mut [f32]) -> Applied {
    out.fill(op.value as f32);
    Ok(())
}

/// Rows of a table, which is the second operand if it is not given as a weight.
pub(super) fn embedding(
    call: &Call<'_, f32>,
    weight: Option<&Weight>,
    out: &mut [f32],
    meter: &impl Meter,
) -> Applied {
    let ids = call.index(0)?.data();
    let read = match weight {
        Some(weight) => weight.look_up(ids, out, meter),
        None => {
            let table = call.table(1)?;
            let width = table.shape().last().copied().unwrap_or(0);
            kernels::gather(table.data(), width, ids, out)
        }
    };
    let read = read.map_err(refused)?;
    call.reads.some(1, read);
    Ok(())
}

pub(super) fn rotary_angles(
    op: &RotaryAngles,
    call: &Call<'_, f32>,
    out: &mut [f32],
    meter: &impl Meter,
) -> Applied {
    let [tokens, _, width] = call.output else { return Err(OpError::Operand(0)) };
    let offset = call.size(&op.offset)?;
    let frequencies = op.frequencies(*width, offset + tokens);
    let frequencies: Vec<f32> = frequencies.iter().map(|f| *f as f32).collect();
    let factor = op.scaling.attention_factor().map(|factor| factor as f32);
    let positions = match op.grid {
        Some(grid) => RotaryPositions::Grid(grid),
        None => RotaryPositions::From(offset),
    };
    kernels::rotary_angles(positions, &frequencies, factor, out, meter).map_err(refused)
}

pub(super) fn rope(
    op: &Rope,
    call: &Call<'_, f32>,
    out: &mut [f32],
    meter: &impl Meter,
) -> Applied {
    let [batch @ .., tokens, heads, width] = call.output else { return Err(OpError::Operand(0)) };
    let table = call.real(1)?;
    let items: usize = batch.iter().product();
    // A table of each item has a row for every token of all of them.
    let (batch, tokens) = match table.shape().len() > 3 {
        true => (1, items * tokens),
        false => (items, *tokens),
    };
    let rope = kernels::Rope {
        batch,
        tokens,
        heads: *heads,
        width: *width,
        turned: table.shape().last().copied().unwrap_or(0),
        table: table.data(),
        pairing: match op.pairs {
            RopePairs::Halves => Pairing::HalfSplit,
            RopePairs::Neighbours => Pairing::Interleaved,
        },
    };
    let x = call.real(0)?.data();
    kernels::rope(&rope, x, out, meter).map_err(refused)
}

pub(super) fn sinusoid(call: &Call<'_, f32>, out: &mut [f32], meter: &impl Meter) -> Applied {
    let [positions, width] = call.output else { return Err(OpError::Operand(0)) };
    let frequencies: Vec<f32> = Sinusoid::frequencies(*width).iter().map(|f| *f as f32).collect();
    kernels::sinusoid(*positions, 0, &frequencies, out, meter).map_err(refused)
}

pub(super) fn reduce(
    op: &Reduce,
    call: &Call<'_, f32>,
    out: &mut [f32],
    meter: &impl Meter,
) -> Applied {
    let x = call.real(0)?;
    let at = call.shapes[0].position(op.axis()).ok_or(OpError::Operand(0))?;
    let width = x.shape()[at];
    let kind = match op {
        Reduce::Sum(_) => Reduction::Sum,
        Reduce::Mean(_) => Reduction::Mean,
        Reduce::Max(_) => Reduction::Max,
    };
    if at + 1 == x.shape().len() {
        return kernels::reduce(kind, width, x.data(), out, meter).map_err(refused);
    }
    let inner = x.shape()[at + 1..].iter().product();
    kernels::reduce_columns(kind, width, inner, x.data(), out, meter).map_err(refused)
}

pub(super) fn cumulative(
    op: &Cumulative,
    call: &Call<'_, f32>,
    out: &mut [f32],
    meter: &impl Meter,
) -> Applied {
    let [terms, inner] = op.runs(call)?;
    let running = match op.kind {
        CumulativeKind::Sum => Running::Sum,
        CumulativeKind::Product => Running::Product,
    };
    kernels::cumulative(running, terms, inner, call.real(0)?.data(), out, meter).map_err(refused)
}

pub(super) fn cumulative_ids(
    op: &Cumulative,
    call: &Call<'_, f32>,
    x: &Tensor<i64>,
) -> Result<Value<f32>, OpError> {
    let [terms, inner] = op.runs(call)?;
    call.reads.all(0, x.len());
    let mut all = x.data().to_vec();
    for block in all.chunks_exact_mut((terms * inner).max(1)) {
        for at in inner..block.len() {
            block[at] = op.kind.of_whole(block[at - inner], block[at]);
        }
    }
    Ok(Value::Index(Tensor::new(call.output, all)?))
}

pub(super) fn arg_max_ids(
    op: &ArgMax,
    call: &Call<'_, f32>,
    x: &Tensor<i64>,
) -> Result<Value<f32>, OpError> {
    let [terms, inner] = op.runs(call)?;
    call.reads.all(0, x.len());
    let mut places = vec![0; call.output_len()];
    for (block, places) in places.chunks_mut(inner.max(1)).enumerate() {
        let x = &x.data()[block * terms * inner..][..terms * inner];
        for (at, row) in x.chunks_exact(inner.max(1)).enumerate().skip(1) {
            for (column, (value, place)) in row.iter().zip(&mut *places).enumerate() {
                if *value > x[*place as usize * inner + column] {
                    *place = at as i64;
                }
            }
        }
    }
    Ok(Value::Index(Tensor::new(call.output, places)?))
}

pub(super) fn compare(
    op: &Compare,
    call: &Call<'_, f32>,
    meter: &impl Meter,
) -> Result<Value<f32>, OpError> {
    let (a, b) = (call.real(0)?, call.real(1)?);
    let [of_a, of_b] = [(0, a), (1, b)].map(|(at, x)| op.strides(call.shapes[at], x.shape()));
    let operands = [(a, &of_a), (b, &of_b)].map(|(x, strides)| Strided { data: x.data(), strides });
    let comparison = match op.kind {
        CompareKind::Less => CompareOp::Less,
        CompareKind::AtMost => CompareOp::AtMost,
        CompareKind::Equal => CompareOp::Equal,
    };
    let mut truths = vec![0; call.output_len()];
    kernels::compare(comparison, call.output, operands, &mut truths, meter).map_err(refused)?;
    Ok(Value::Index(Tensor::new(call.output, truths)?))
}

pub(super) fn arg_max(
    op: &ArgMax,
    call: &Call<'_, f32>,
    meter: &impl Meter,
) -> Result<Value<f32>, OpError> {
    let (x, [terms, inner]) = (call.real(0)?, op.runs(call)?);
    let mut places = vec![0; call.output_len()];
    kernels::arg_max(terms, inner, x.data(), &mut places, meter).map_err(refused)?;
    Ok(Value::Index(Tensor::new(call.output, places)?))
}

pub(super) fn top_k(
    op: &TopK,
    call: &Call<'_, f32>,
    meter: &impl Meter,
) -> Result<Value<f32>, OpError> {
    let x = call.real(0)?;
    let size = |shape: &[usize]| shape.last().copied().ok_or(OpError::Operand(0));
    let mut ids = vec![0; call.output_len()];
    let (width, k) = (size(x.shape())?, size(call.output)?);
    kernels::top_k(width, k, op.order, x.data(), &mut ids, meter).map_err(refused)?;
    Ok(Value::Index(Tensor::new(call.output, ids)?))
}

pub(super) fn dropout(
    op: &Dropout,
    call: &Call<'_, f32>,
    out: &mut [f32],
    meter: &impl Meter,
) -> Applied {
    let x = call.real(0)?.data();
    let draw = op.multiplier(call.path);
    let multiplier = |flat| draw(flat) as f32;
    kernels::dropout(multiplier, x, out, meter).map_err(refused)
}
