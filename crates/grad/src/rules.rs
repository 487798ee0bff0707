//! What an operation says of the gradients of its operands, given that of its result.

use opledger_ir::ops::{Arithmetic, ArithmeticKind, Pointwise};
use opledger_ir::{Node, Op, Var};

use crate::back::Back;
use crate::{GradError, functions, moving, products, rows};

/// Adds what a node says of its operands.
///
/// # Errors
/// When its operation has no rule.
pub(crate) fn pull_back(
    back: &mut Back,
    result: Var,
    node: &Node,
    gradient: Var,
) -> Result<(), GradError> {
    let outer = back.graph.move_to(opledger_ir::Scope::of(node).at_line(None));
    let done = of(back, result, node, gradient);
    back.graph.move_to(outer);
    done
}

fn of(back: &mut Back, result: Var, node: &Node, dy: Var) -> Result<(), GradError> {
    match &node.op {
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
        Op::Einsum(op) => products::einsum(back, node, op, dy),
        Op::Arithmetic(op) => arithmetic(back, node, op, dy),
        Op::Scale(op) => {
            let mask = back.masking(node, op.masked.as_ref(), 1);
            let dx = back.graph.scale_masked(dy, op.factor.clone(), mask)?;
            back.contribute(node.inputs[0], dx)
        }
        Op::Activation(function) => functions::activation(back, node, *function, result, dy),
        Op::Pointwise(function) => functions::pointwise(back, node, *function, result, dy),
        Op::Softmax(op) => {
            let mask = back.masking(node, op.masked.as_ref(), 1);
            rows::softmax(back, node, mask, result, dy)
        }
        Op::Norm(op) => rows::norm(back, node, op, dy),
        Op::Reduce(op) => rows::reduce(back, node, op, dy),
        Op::Rearrange(op) => moving::rearrange(back, node, op, dy),
        Op::Concat(_) => moving::concat(back, node, dy),
        Op::Embedding(_) => moving::embedding(back, node, dy),
        Op::Rope(op) => moving::rope(back, node, op, dy),
        Op::Select(_) => moving::select(back, node, dy),
        Op::Dropout(op) if !op.training => back.contribute(node.inputs[0], dy),
        Op::Dropout(_)
        | Op::Attention(_)
        | Op::AdaptivePool(_)
        | Op::Carry(_)
        | Op::Convolution(_)
        | Op::ConvolutionTransposed(_)
        | Op::Cumulative(_)
        | Op::Exit(_)
        | Op::Experts(_)
        | Op::Gather(_)
        | Op::GatherNd(_)
        | Op::Pool(_)
        | Op::Scatter(_) => Err(GradError::unknown(node, "")),
    }
}

fn arithmetic(back: &mut Back, node: &Node, op: &Arithmetic, dy: Var) -> Result<(), GradError> {
    let (a, b) = (node.inputs[0], node.inputs[1]);
    let mask = back.masking(node, op.masked.as_ref(), 2);
    let shapes = [a, b].map(|var| back.shape(var));
    let wanted = [a, b].map(|var| back.is_wanted(var));
    // Under a mask the gradient of what is hidden is 0, as its result is.
    match op.kind {
        ArithmeticKind::Add | ArithmeticKind::Sub => {
            if op.masked.as_ref().is_some_and(|masked| !back.is_none_where_hidden(dy, masked)) {
                return Err(GradError::unknown(node, " whose hidden pairs may be no zeros"));
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
            let share = back.graph.record_masked("", by.clone(), &[dy, b], keep)?;
            if wanted[0] {
                let da = back.like(share, &shapes[0])?;
                back.contribute(a, da)?;
            }
            if wanted[1] {
                // −dy·(a / b) / b.
                let quotient = back.graph.record_masked("", by, &[a, b], keep)?;
                let product = back.mul(share, quotient)?;
                let opposite = back.of(Pointwise::Neg, product)?;
                let db = back.like(opposite, &shapes[1])?;
                back.contribute(b, db)?;
            }
            Ok(())
        }
        ArithmeticKind::Max | ArithmeticKind::Min | ArithmeticKind::Pow => {
            Err(GradError::unknown(node, ""))
        }
    }
}
