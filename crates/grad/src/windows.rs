//! What slides along axes: convolutions, whose gradients are convolutions, and pooling.

use opledger_dims::{Poly, Symbol};
use opledger_ir::ops::{
    Convolution, ConvolutionTransposed, IndexMap, Pool, PoolKind, Rearrange, ScatterKind,
};
use opledger_ir::{Axis, IndexExpr, Slide, Var};

use crate::GradError;
use crate::back::{Applied, Back};
use crate::pieces::number;
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

/// A mean gives each of its elements its share. A maximum gives its first largest element, found again,
/// the whole; the gradients of windows that share an element are added.
pub(crate) fn pool(back: &mut Back, at: Applied<'_>, op: &Pool, dy: Var) -> Result<(), GradError> {
    let x = at.operand(0)?;
    let own = back.shape_of(x).axes;
    let first = op.axes.len() - op.window.len();
    let (results, inputs) = (op.axes[first..].to_vec(), own[first..].to_vec());
    let names: Vec<Symbol> = own.iter().chain(&op.axes).map(|axis| axis.name.clone()).collect();
    let taps: Vec<Axis> = op
        .window
        .iter()
        .enumerate()
        .map(|(at, taps)| {
            Axis::new(apart(&Symbol::from(format!("tap{at}")), &names), Poly::from(*taps))
        })
        .collect();
    let windows = [&op.axes[..], &taps].concat();
    let slides = op.slides();
    match op.kind {
        PoolKind::Max => {
            let mut along = Vec::new();
            for (at, slide) in slides.iter().enumerate() {
                let axes = vec![results[at].clone(), taps[at].clone()];
                let value = nearest(slide, &inputs[at].size);
                let places = back.graph.record("", IndexMap { axes, value, truth: false }, &[])?;
                along.push((inputs[at].name.clone(), places));
            }
            let value = back.value(x)?;
            let seen = back.graph.gather_nd(value, windows, &along)?;
            let (seen, name) = merged(back, seen, &taps, &names)?;
            let largest = back.graph.arg_max(seen, name)?;
            // The tap along each axis, and where it stands.
            let (mut chosen, mut step) = (Vec::new(), Poly::one());
            let here = (0..op.axes.len()).map(IndexExpr::Position).collect();
            let number = IndexExpr::Lookup { operand: 0, at: here };
            for (at, taps) in taps.iter().enumerate().rev() {
                let tap = number.floor_div(&IndexExpr::size(step.clone()));
                let tap = tap.modulo(&IndexExpr::size(taps.size.clone()));
                step = &step * &taps.size;
                let place = |of: usize| match of {
                    0 => IndexExpr::Position(first + at),
                    _ => tap.clone(),
                };
                let value = nearest(&slides[at], &inputs[at].size).at(&place);
                let map = IndexMap { axes: op.axes.clone(), value, truth: false };
                let places = back.graph.record("", map, &[largest])?;
                chosen.push((inputs[at].name.clone(), places));
            }
            chosen.reverse();
            let none = back.zeros(&back.shape_of(x))?;
            let dx = back.graph.scatter(ScatterKind::Add, none, dy, &chosen)?;
            back.contribute(x, dx)
        }
        PoolKind::Mean | PoolKind::MeanWithPadding => {
            let padded = op.kind == PoolKind::MeanWithPadding;
            let counts = counted(back, op, &results, &inputs, padded)?;
            let share = back.graph.div("", dy, counts)?;
            let mut each = share;
            for axis in &taps {
                each = back.graph.rearrange(each, Rearrange::Expand { axis: axis.clone() })?;
            }
            // What falls beside the input is written to one position more, which is cut off.
            let (mut along, mut wide) = (Vec::new(), own.clone());
            for (at, slide) in slides.iter().enumerate() {
                let axes = vec![results[at].clone(), taps[at].clone()];
                let (place, inside) = placed(slide, &inputs[at].size);
                let value = inside.choose(&place, &IndexExpr::size(inputs[at].size.clone()));
                let places = back.graph.record("", IndexMap { axes, value, truth: false }, &[])?;
                along.push((inputs[at].name.clone(), places));
                wide[first + at].size = &inputs[at].size + &Poly::one();
            }
            let none = back.graph.fill(wide, 0.0)?;
            let mut dx = back.graph.scatter(ScatterKind::Add, none, each, &along)?;
            for axis in inputs {
                let (name, len) = (axis.name, axis.size);
                let how = Rearrange::Slice { axis: name, start: Poly::zero(), len };
                dx = back.graph.rearrange(dx, how)?;
            }
            back.contribute(x, dx)
        }
    }
}

/// Where a tap stands on the input, and whether it does: positions 0 and 1 are those of result and tap.
fn placed(slide: &Slide, input: &Poly) -> (IndexExpr, IndexExpr) {
    let [result, tap] = [0, 1].map(IndexExpr::Position);
    let steps = |of: IndexExpr, step: usize| of.scaled(&Poly::from(step));
    let place = steps(result, slide.stride)
        .plus(&steps(tap, slide.dilation))
        .minus(&IndexExpr::size(Poly::from(slide.padding.0)));
    let from_zero = place.plus(&IndexExpr::from(1)).is_positive();
    let inside = from_zero.and(&place.below(&IndexExpr::size(input.clone())));
    (place, inside)
}

/// Where a tap stands, or the nearest of its window that stands on the input.
fn nearest(slide: &Slide, input: &Poly) -> IndexExpr {
    let (place, inside) = placed(slide, input);
    let step = IndexExpr::size(Poly::from(slide.dilation));
    let last = IndexExpr::size(input - &Poly::one());
    let from_last = last.minus(&place).modulo(&step);
    let after = last.minus(&from_last);
    let before = place.modulo(&step);
    let is_before = place.below(&IndexExpr::from(0));
    inside.choose(&place, &is_before.choose(&before, &after))
}

/// The axes of taps as one.
fn merged(
    back: &mut Back,
    seen: Var,
    taps: &[Axis],
    names: &[Symbol],
) -> Result<(Var, Symbol), GradError> {
    let [one] = taps else {
        let into = apart(&Symbol::new("taps"), names);
        let axes = taps.iter().map(|axis| axis.name.clone()).collect();
        let how = Rearrange::Merge { axes, into: into.clone() };
        return Ok((back.graph.rearrange(seen, how)?, into));
    };
    Ok((seen, one.name.clone()))
}

/// By how many elements a sum was divided, for each result: a product along the axes of what is known
/// before the run.
fn counted(back: &mut Back, op: &Pool, results: &[Axis], inputs: &[Axis], padded: bool) -> Made {
    let mut all = IndexExpr::from(1);
    for (at, slide) in op.slides().iter().enumerate() {
        let result = IndexExpr::Position(at);
        let zero = IndexExpr::from(0);
        let least = |a: IndexExpr, b: IndexExpr| a.below(&b).choose(&a, &b);
        let most = |a: IndexExpr, b: IndexExpr| a.below(&b).choose(&b, &a);
        let step = IndexExpr::size(Poly::from(slide.dilation));
        let start = result
            .scaled(&Poly::from(slide.stride))
            .minus(&IndexExpr::size(Poly::from(slide.padding.0)));
        // Taps before the first position that counts, and before the first after the last.
        let up_to = |bound: IndexExpr| {
            let steps = bound.minus(&start).plus(&step).minus(&IndexExpr::from(1)).floor_div(&step);
            let taps = IndexExpr::size(Poly::from(op.window[at]));
            least(most(steps, zero.clone()), taps)
        };
        let (mut low, mut high) = (Poly::zero(), inputs[at].size.clone());
        if padded {
            low = low - Poly::from(slide.padding.0);
            high = high + Poly::from(slide.padding.1);
        }
        let taps = up_to(IndexExpr::size(high)).minus(&up_to(IndexExpr::size(low)));
        all = all.times(&taps);
    }
    if let Some(number) = all.as_number() {
        return self::number(back, number as f64);
    }
    let map = IndexMap { axes: results.to_vec(), value: all, truth: false };
    let whole = back.graph.record("", map, &[])?;
    Ok(back.graph.to_real(whole)?)
}
