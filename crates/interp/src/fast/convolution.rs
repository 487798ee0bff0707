//! Windows that slide along axes.

use opledger_ir::ops::{AdaptivePool, Convolution, ConvolutionTransposed, Pool, PoolKind};
use opledger_ir::{Call, OpError, Slide, to_usize};
use opledger_kernels::{self as kernels, Meter, Pooling, SlidingAxis};

use super::metering::refused;

/// An axis of a window in numbers.
fn axis(slide: &Slide, [input, taps, results]: [usize; 3]) -> SlidingAxis {
    let Slide { stride, padding: (before, _), dilation } = *slide;
    SlidingAxis { input, taps, results, stride, before, dilation }
}

pub(super) fn apply(
    op: &Convolution,
    call: &Call<'_, f32>,
    out: &mut [f32],
    meter: &impl Meter,
) -> Result<(), OpError> {
    let (x, weight) = (call.real(0)?, call.real(1)?);
    let [_, outputs, results @ ..] = call.output else { return Err(OpError::Operand(0)) };
    let ([batch, _, input @ ..], [_, inputs, taps @ ..]) = (x.shape(), weight.shape()) else {
        return Err(OpError::Operand(0));
    };
    let groups = to_usize(&op.groups.at(call.binding)?)?;
    let sizes = input.iter().zip(taps).zip(results).map(|((s, k), r)| [*s, *k, *r]);
    let axes: Vec<_> = op.slides().iter().zip(sizes).map(|(slide, of)| axis(slide, of)).collect();
    let problem = kernels::Convolution {
        batch: *batch,
        groups,
        inputs: *inputs,
        outputs: outputs.checked_div(groups).unwrap_or(0),
        axes: &axes,
        x: x.data(),
        weight: weight.data(),
    };
    kernels::convolution(&problem, out, meter).map_err(refused)
}

pub(super) fn transposed(
    op: &ConvolutionTransposed,
    call: &Call<'_, f32>,
    out: &mut [f32],
    meter: &impl Meter,
) -> Result<(), OpError> {
    let (x, weight) = (call.real(0)?, call.real(1)?);
    let [batch, _, results @ ..] = call.output else { return Err(OpError::Operand(0)) };
    let ([_, inputs, input @ ..], [_, outputs, taps @ ..]) = (x.shape(), weight.shape()) else {
        return Err(OpError::Operand(0));
    };
    // The window slides over the result, an element of the input for each of its places.
    let sizes = results.iter().zip(taps).zip(input).map(|((r, k), s)| [*r, *k, *s]);
    let axes: Vec<_> = op.slides().iter().zip(sizes).map(|(slide, of)| axis(slide, of)).collect();
    let groups = to_usize(&op.groups.at(call.binding)?)?;
    let problem = kernels::Convolution {
        batch: *batch,
        groups,
        inputs: inputs.checked_div(groups).unwrap_or(0),
        outputs: *outputs,
        axes: &axes,
        x: x.data(),
        weight: weight.data(),
    };
    kernels::convolution_transposed(&problem, out, meter).map_err(refused)
}

pub(super) fn adaptive_pool(
    op: &AdaptivePool,
    call: &Call<'_, f32>,
    out: &mut [f32],
    meter: &impl Meter,
) -> Result<(), OpError> {
    let x = call.real(0)?;
    let items = call.output.len() - op.taps.len();
    let sizes = x.shape()[items..].iter().zip(&call.output[items..]);
    let axes: Vec<_> = sizes.map(|(input, results)| [*input, *results]).collect();
    let mean = op.kind != PoolKind::Max;
    let items = call.output[..items].iter().product();
    kernels::adaptive_pool(mean, items, &axes, x.data(), out, meter).map_err(refused)
}

pub(super) fn pool(
    op: &Pool,
    call: &Call<'_, f32>,
    out: &mut [f32],
    meter: &impl Meter,
) -> Result<(), OpError> {
    let x = call.real(0)?;
    let items = call.output.len() - op.window.len();
    let sizes = x.shape()[items..].iter().zip(&op.window).zip(&call.output[items..]);
    let sizes = sizes.map(|((s, k), r)| [*s, *k, *r]);
    let axes: Vec<_> = op.slides().iter().zip(sizes).map(|(slide, of)| axis(slide, of)).collect();
    let after: Vec<usize> = op.padding.iter().map(|(_, after)| *after).collect();
    let pooling = match op.kind {
        PoolKind::Max => Pooling::Max,
        PoolKind::Mean => Pooling::Mean,
        PoolKind::MeanWithPadding => Pooling::MeanWithPadding(&after),
    };
    let items = call.output[..items].iter().product();
    kernels::pool(pooling, items, &axes, x.data(), out, meter).map_err(refused)
}
