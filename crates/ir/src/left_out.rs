//! What an operation leaves out of its sum: the pairs that a mask hides, and what falls on padding.

use opledger_dims::{Counts, Poly};

use crate::graph::{Graph, Node};
use crate::operation::Operation;
use crate::{Cost, Op, Shape, Support};

/// Why an operation computes less than the sizes of its operands say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LeftOut {
    /// A mask hides pairs.
    Hidden,
    /// Taps of a window fall on padding.
    Padding,
    /// Products would stand where padding cuts the result off.
    Cut,
}

/// All pairs of a window and its taps.
fn all_taps(results: &Poly, taps: &Poly) -> Support {
    Support { pairs: results * taps, rows: results.clone() }
}

impl Op {
    /// The same operation that leaves nothing out, and why this one does.
    fn in_full(&self, inputs: &[&Shape], output: &Shape) -> Option<(LeftOut, Op)> {
        match self {
            Op::Attention(op) if !op.mask.is_none() => {
                let rows = output.axes.split_last()?.1.iter().map(|axis| &axis.size).product();
                let keys = inputs.get(1)?.axes.iter().rev().nth(2)?;
                let support = Support { pairs: &rows * &keys.size, rows };
                Some((
                    LeftOut::Hidden,
                    Op::Attention(crate::ops::Attention { support, ..op.clone() }),
                ))
            }
            Op::Einsum(op) if op.masked.is_some() => {
                let op = crate::ops::Einsum { masked: None, ..op.clone() };
                Some((LeftOut::Hidden, Op::Einsum(op)))
            }
            Op::Arithmetic(op) if op.masked.is_some() => {
                let op = crate::ops::Arithmetic { masked: None, ..op.clone() };
                Some((LeftOut::Hidden, Op::Arithmetic(op)))
            }
            Op::Scale(op) if op.masked.is_some() => {
                let op = crate::ops::Scale { masked: None, ..op.clone() };
                Some((LeftOut::Hidden, Op::Scale(op)))
            }
            Op::Softmax(op) if op.masked.is_some() => {
                let op = crate::ops::Softmax { masked: None, ..op.clone() };
                Some((LeftOut::Hidden, Op::Softmax(op)))
            }
            Op::Convolution(op) => {
                let along = op.axes.get(2..)?.iter().zip(inputs.get(1)?.axes.get(2..)?);
                let taps = along.map(|(result, taps)| all_taps(&result.size, &taps.size));
                let op = crate::ops::Convolution { taps: taps.collect(), ..op.clone() };
                Some((LeftOut::Padding, Op::Convolution(op)))
            }
            Op::Pool(op) => {
                let first = op.axes.len().checked_sub(op.window.len())?;
                let along = op.axes[first..].iter().zip(&op.window);
                let taps = along.map(|(result, taps)| all_taps(&result.size, &(*taps).into()));
                let op = crate::ops::Pool { taps: taps.collect(), ..op.clone() };
                Some((LeftOut::Padding, Op::Pool(op)))
            }
            Op::ConvolutionTransposed(op) => {
                let [x, weight] = inputs else { return None };
                let along = x.axes.get(2..)?.iter().zip(weight.axes.get(2..)?);
                let taps = along.map(|(input, taps)| &input.size * &taps.size);
                let op = crate::ops::ConvolutionTransposed { taps: taps.collect(), ..op.clone() };
                Some((LeftOut::Cut, Op::ConvolutionTransposed(op)))
            }
            // A step's own operation, which no tool has a rule for.
            Op::AttentionGradient(_) => None,
            Op::Attention(_)
            | Op::Einsum(_)
            | Op::Arithmetic(_)
            | Op::Scale(_)
            | Op::Softmax(_)
            | Op::Source(_)
            | Op::Table(_)
            | Op::TokenPositions(_)
            | Op::IndexMap(_)
            | Op::Norm(_)
            | Op::Activation(_)
            | Op::Pointwise(_)
            | Op::Compare(_)
            | Op::Select(_)
            | Op::ToReal(_)
            | Op::ToWhole(_)
            | Op::Sort(_)
            | Op::Fill(_)
            | Op::Embedding(_)
            | Op::Rearrange(_)
            | Op::AdaptivePool(_)
            | Op::Concat(_)
            | Op::RotaryAngles(_)
            | Op::Rope(_)
            | Op::Sinusoid(_)
            | Op::Reduce(_)
            | Op::Cumulative(_)
            | Op::ArgMax(_)
            | Op::Dropout(_)
            | Op::TopK(_)
            | Op::Gather(_)
            | Op::GatherNd(_)
            | Op::Scatter(_)
            | Op::Experts(_)
            | Op::ExpertsOuter(_)
            | Op::Carry(_)
            | Op::Exit(_) => None,
        }
    }
}

impl Graph {
    /// What a node would cost more if it left nothing out, part by part, all its runs together, and why it
    /// does; none of what leaves nothing out.
    pub fn left_out(&self, node: &Node) -> Option<(LeftOut, Cost)> {
        let shapes = self.operand_shapes(node);
        let (why, full) = node.op.in_full(&shapes, &node.shape)?;
        let (times, own) = (self.multiplicity(node), node.op.cost(&shapes, &node.shape));
        let mut more = Cost::free();
        for (part, full) in full.cost(&shapes, &node.shape).iter() {
            let own = own.part(part);
            let rest: Counts<Poly> =
                Counts::from_fn(|class| self.fold(&((&full[class] - &own[class]) * &times)));
            if !rest.is_zero() {
                more.add(part, &rest);
            }
        }
        let is_any = more.parts().next().is_some();
        is_any.then_some((why, more))
    }
}
