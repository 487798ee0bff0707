//! What an operation says of the gradients of its operands, given that of its result.

use opledger_ir::ops::{Arithmetic, ArithmeticKind, Attention, AttentionGradient, Pointwise};
use opledger_ir::{Op, Phase, Scope, Var};

use crate::back::{Applied, Back};
use crate::{GradError, functions, moving, pieces, places, pools, products, rows, windows};

/// Adds what a node says of its operands.
///
/// # Errors
/// When its operation has no rule.
pub(crate) fn pull_back(back: &mut Back, at: Applied<'_>, dy: Var) -> Result<(), GradError> {
    let scope = Scope::of(at.node).at_line(None).in_phase(Phase::Backward);
    let before = back.graph.nodes().len();
    let outer = back.graph.move_to(scope);
    let done = of(back, at, dy);
    back.graph.move_to(outer);
    back.recorded_for(at.result, before);
    done
}

fn of(back: &mut Back, at: Applied<'_>, dy: Var) -> Result<(), GradError> {
    match &at.node.op {
        // Sources lead on to nothing, and whole numbers have no gradient.
        Op::Source(_)
        | Op::Fill(_)
        | Op::Table(_)
        | Op::Sinusoid(_)
        | Op::RotaryAngles(_)
        | Op::IndexMap(_)
        | Op::TokenPositions(_)
        | Op::Compare(_)
        | Op::ArgMax(_)
        | Op::TopK(_)
        | Op::Sort(_)
        | Op::ToReal(_)
        | Op::ToWhole(_) => Ok(()),
        Op::Einsum(op) => products::einsum(back, at, op, dy),
        Op::Convolution(op) => windows::convolution(back, at, op, dy),
        Op::ConvolutionTransposed(op) => windows::transposed(back, at, op, dy),
        Op::Pool(op) => pools::pool(back, at, op, dy),
        Op::AdaptivePool(op) => pools::adaptive(back, at, op, dy),
        Op::Experts(_) => products::experts(back, at, dy),
        Op::Arithmetic(op) => arithmetic(back, at, op, dy),
        Op::Scale(op) => {
            let mask = back.masking(at.node, op.masked.as_ref(), 1)?;
            let dx = back.graph.scale_masked(dy, op.factor.clone(), mask)?;
            back.contribute(at.operand(0)?, dx)
        }
        Op::Activation(function) => functions::activation(back, at, *function, dy),
        Op::Pointwise(function) => functions::pointwise(back, at, *function, dy),
        Op::Softmax(op) => {
            let mask = back.masking(at.node, op.masked.as_ref(), 1 + usize::from(op.sinks))?;
            rows::softmax(back, at, op, mask, dy)
        }
        Op::Norm(op) => rows::norm(back, at, op, dy),
        Op::Reduce(op) => rows::reduce(back, at, op, dy),
        Op::Rearrange(op) => moving::rearrange(back, at, op, dy),
        Op::Concat(op) => moving::concat(back, at, op, dy),
        Op::Embedding(_) => moving::embedding(back, at, dy),
        Op::Rope(op) => moving::rope(back, at, op, dy),
        Op::Select(_) => moving::select(back, at, dy),
        Op::Cumulative(op) => rows::cumulative(back, at, op, dy),
        Op::Gather(_) => places::gather(back, at, dy),
        Op::GatherNd(op) => places::gather_nd(back, at, op, dy),
        Op::Scatter(op) => places::scatter(back, at, op, dy),
        Op::Dropout(op) if !op.training => back.contribute(at.operand(0)?, dy),
        Op::Attention(op) => attention(back, at, op, dy),
        Op::Dropout(_)
        | Op::Carry(_)
        | Op::Exit(_)
        | Op::ExpertsOuter(_)
        | Op::AttentionGradient(_) => Err(GradError::unknown(at.node, "")),
    }
}

/// Attention that is not [written out](crate::written_out).
fn attention(back: &mut Back, at: Applied<'_>, op: &Attention, dy: Var) -> Result<(), GradError> {
    let gradient = AttentionGradient::new(op).ok_or_else(|| GradError::unknown(at.node, ""))?;
    let mut operands = Vec::with_capacity(at.node.inputs.len() + 1);
    for place in 0..at.node.inputs.len() {
        operands.push(back.value(at.operand(place)?)?);
    }
    operands.push(dy);
    let gradients = back.graph.record_all("", gradient, &operands)?;
    for (place, gradient) in gradients.into_iter().enumerate() {
        back.contribute(at.operand(place)?, gradient)?;
    }
    Ok(())
}

fn arithmetic(back: &mut Back, at: Applied<'_>, op: &Arithmetic, dy: Var) -> Result<(), GradError> {
    let both = [at.operand(0)?, at.operand(1)?];
    let [a, b] = both;
    let mask = back.masking(at.node, op.masked.as_ref(), 2)?;
    let shapes = both.map(|operand| back.shape_of(operand));
    let wanted = both.map(|operand| back.is_wanted(operand));
    // Under a mask the gradient of what is hidden is 0, as its result is.
    match op.kind {
        ArithmeticKind::Add | ArithmeticKind::Sub => {
            if op.masked.as_ref().is_some_and(|masked| !back.is_none_where_hidden(dy, masked)) {
                return Err(GradError::unknown(at.node, " whose hidden pairs may be no zeros"));
            }
            if wanted[0] {
                let da = back.like(dy, &shapes[0])?;
                back.contribute(a, da)?;
            }
            if wanted[1] {
                let db = back.like(dy, &shapes[1])?;
                let db = match op.kind {
                    ArithmeticKind::Sub => back.of(Pointwise::Neg, db)?,
                    _ => db,
                };
                back.contribute(b, db)?;
            }
            Ok(())
        }
        ArithmeticKind::Mul => {
            for (of, other, at) in [(a, b, 0), (b, a, 1)] {
                if wanted[at] {
                    let other = back.value(other)?;
                    let product = back.graph.mul_masked("", dy, other, mask.clone())?;
                    let gradient = back.like(product, &shapes[at])?;
                    back.contribute(of, gradient)?;
                }
            }
            Ok(())
        }
        ArithmeticKind::Div => {
            let (masked, keep) = mask.map_or((None, None), |mask| (Some(mask.masked), mask.keep));
            let by = Arithmetic { kind: ArithmeticKind::Div, masked };
            let divisor = back.value(b)?;
            let share = back.graph.record_masked("", by, &[dy, divisor], keep)?;
            if wanted[0] {
                let da = back.like(share, &shapes[0])?;
                back.contribute(a, da)?;
            }
            if wanted[1] {
                // −dy·(a / b) / b.
                let quotient = back.value(at.result)?;
                let product = back.mul(share, quotient)?;
                let opposite = back.of(Pointwise::Neg, product)?;
                let db = back.like(opposite, &shapes[1])?;
                back.contribute(b, db)?;
            }
            Ok(())
        }
        ArithmeticKind::Max | ArithmeticKind::Min | ArithmeticKind::Pow if mask.is_some() => {
            Err(GradError::unknown(at.node, " under a mask"))
        }
        ArithmeticKind::Max | ArithmeticKind::Min => pieces::extreme(back, at, op.kind, dy),
        ArithmeticKind::Pow => pieces::power(back, at, [a, b], dy),
    }
}
