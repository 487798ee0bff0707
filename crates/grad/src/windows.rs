//! Convolutions, whose gradients are convolutions.

use opledger_dims::{Poly, Symbol};
use opledger_ir::ops::{Convolution, ConvolutionTransposed, Rearrange};
use opledger_ir::{Axis, Var};

use crate::GradError;
use crate::back::{Applied, Back};
use crate::written_out::apart;

type Made = Result<Var, GradError>;

/// How windows of a convolution slide, and in how many groups.
struct Sliding<'a> {
    strides: &'a [usize],
    padding: &'a [(usize, usize)],
    dilations: &'a [usize],
    groups: &'a Poly,
}

/// `dx[b, i, s·r + d·k − p] += dy[b, o, r]·w[o, i, k]`: the transposed convolution, and
/// `dw[o, i, k] = Σ_{b, r} dy[b, o, r]·x[b, i, s·r + d·k − p]`: a convolution whose window is `dy`, over the
/// same pairs of a result and a tap that fall on the input.
pub(crate) fn convolution(
    back: &mut Back,
    at: Applied<'_>,
    op: &Convolution,
    dy: Var,
) -> Result<(), GradError> {
    let (x, weight) = (at.operand(0)?, at.operand(1)?);
    let groups = back.graph.fold(&op.groups);
    let sliding = Sliding {
        strides: &op.strides,
        padding: &op.padding,
        dilations: &op.dilations,
        groups: &groups,
    };
    if back.is_wanted(x) {
        let axes = back.shape_of(x).axes;
        let own = back.value(weight)?;
        let op = ConvolutionTransposed::new(
            axes,
            &op.strides,
            &op.padding,
            &op.dilations,
            groups.clone(),
        );
        let dx = back.graph.convolution_transposed("", dy, own, op)?;
        back.contribute(x, dx)?;
    }
    if back.is_wanted(weight) {
        let long = back.value(x)?;
        let shape = back.shape_of(weight);
        let dw = correlated(back, [long, dy], &sliding, &shape.axes)?;
        back.contribute(weight, dw)?;
    }
    Ok(())
}

/// `dx[b, i, s] = Σ_{o, k} dy[b, o, stride·s + d·k − p]·w[i, o, k]`, a convolution, and `dw` one whose window
/// is `x`.
pub(crate) fn transposed(
    back: &mut Back,
    at: Applied<'_>,
    op: &ConvolutionTransposed,
    dy: Var,
) -> Result<(), GradError> {
    let (x, weight) = (at.operand(0)?, at.operand(1)?);
    let groups = back.graph.fold(&op.groups);
    let sliding = Sliding {
        strides: &op.strides,
        padding: &op.padding,
        dilations: &op.dilations,
        groups: &groups,
    };
    let (own, taps) = (back.shape_of(x).axes, back.shape_of(weight).axes);
    if back.is_wanted(x) {
        let weight = back.value(weight)?;
        let reached = reached(back, dy, &sliding, [&own[2..], &taps[2..]])?;
        let op =
            Convolution::new(own, &op.strides, &reached.padding, &op.dilations, groups.clone());
        let dx = back.graph.convolution("", reached.long, weight, op)?;
        back.contribute(x, dx)?;
    }
    if back.is_wanted(weight) {
        let short = back.value(x)?;
        let dw = correlated(back, [dy, short], &sliding, &taps)?;
        back.contribute(weight, dw)?;
    }
    Ok(())
}

/// An input without the positions that no window reaches.
struct Reached {
    long: Var,
    padding: Vec<(usize, usize)>,
}

/// Cuts off what lies behind the last tap of the last window: of the padding first, then of the input.
fn reached(
    back: &mut Back,
    mut long: Var,
    sliding: &Sliding<'_>,
    [results, taps]: [&[Axis]; 2],
) -> Result<Reached, GradError> {
    let mut padding = sliding.padding.to_vec();
    for (at, padding) in padding.iter_mut().enumerate() {
        let Some(input) = back.shape(long).axes.get(at + 2).cloned() else { continue };
        let steps = |axis: &Axis, step: usize| (&axis.size - &Poly::one()) * step as i64;
        let last =
            steps(&results[at], sliding.strides[at]) + steps(&taps[at], sliding.dilations[at]);
        let window = last + Poly::one();
        let left = &input.size + &Poly::from(padding.0 + padding.1) - &window;
        let spare = left.as_integer().and_then(|left| usize::try_from(left).ok());
        let of_padding = spare.map_or(0, |spare| spare.min(padding.1));
        padding.1 -= of_padding;
        let len = window - Poly::from(padding.0 + padding.1);
        if len != input.size {
            let how = Rearrange::Slice { axis: input.name, start: Poly::zero(), len };
            long = back.graph.rearrange(long, how)?;
        }
    }
    Ok(Reached { long, padding })
}

/// For `long [b, (g, j), s…]` and `short [b, (g, i), r…]`: `[(g, i), j, k…]`, the sums over items and
/// positions r of `short[b, i, r]·long[b, j, stride·r + dilation·k − padding]`, group by group. It is a
/// convolution of the channels in place of items, whose channels are the items and whose window is
/// `short`; steps between results and between taps change places.
fn correlated(
    back: &mut Back,
    [long, short]: [Var; 2],
    sliding: &Sliding<'_>,
    weight: &[Axis],
) -> Made {
    let [outputs, inner, taps @ ..] = weight else { return Ok(long) };
    let results = back.shape(short).axes;
    let Reached { long, padding } = reached(back, long, sliding, [&results[2..], taps])?;
    let axes = back.shape(long).axes;
    let [items, channels, positions @ ..] = &axes[..] else { return Ok(long) };
    // Names of no axis here.
    let mut taken: Vec<Symbol> =
        axes.iter().chain(&results).chain(weight).map(|axis| axis.name.clone()).collect();
    let mut named = |name: &str, size: &Poly| {
        let own = apart(&Symbol::new(name), &taken);
        taken.push(own.clone());
        Axis::new(own, size.clone())
    };
    let (group, each) = (named("group", sliding.groups), named("inner", &inner.size));
    let (all, output) = (named("items", &items.size), named("outer", &outputs.size));
    let into = vec![group.clone(), each.clone()];
    let split = Rearrange::Split { axis: channels.name.clone(), into };
    let apart = back.graph.rearrange(long, split)?;
    let order = [&[each.clone(), group.clone(), items.clone()], positions].concat();
    let ordered = back.ordered(apart, &order)?;
    let both = vec![group.name, items.name.clone()];
    let merged = back.graph.rearrange(ordered, Rearrange::Merge { axes: both, into: all.name })?;
    let order = [&[results[1].clone(), results[0].clone()], &results[2..]].concat();
    let window = back.ordered(short, &order)?;
    let made = [&[each, output], taps].concat();
    let op = Convolution::new(
        made.clone(),
        sliding.dilations,
        &padding,
        sliding.strides,
        sliding.groups.clone(),
    );
    let sums = back.graph.convolution("", merged, window, op)?;
    let order = [&[made[1].clone(), made[0].clone()], taps].concat();
    let sums = back.ordered(sums, &order)?;
    let names: Vec<Symbol> = weight.iter().map(|axis| axis.name.clone()).collect();
    back.renamed(sums, &names)
}
