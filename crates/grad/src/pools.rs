//! Pooling: windows as places that are read.

use opledger_dims::{Poly, Symbol};
use opledger_ir::ops::{AdaptivePool, IndexMap, Pool, PoolKind, Rearrange, ScatterKind};
use opledger_ir::{Axis, IndexExpr, Slide, Var};

use crate::GradError;
use crate::back::{Applied, Back};
use crate::written_out::apart;

/// The windows along an axis, by the positions 0 and 1 of a result and a tap.
struct Windows {
    /// As many taps as a window has at most.
    taps: Poly,
    /// Where a tap stands.
    place: IndexExpr,
    /// Whether it stands on the input.
    inside: IndexExpr,
    /// Where it stands, or a tap of the same window that stands on the input.
    nearest: IndexExpr,
    /// How many elements a mean over the window is divided by.
    counted: IndexExpr,
}

fn least(a: &IndexExpr, b: &IndexExpr) -> IndexExpr {
    a.below(b).choose(a, b)
}

fn most(a: &IndexExpr, b: &IndexExpr) -> IndexExpr {
    a.below(b).choose(b, a)
}

impl Windows {
    fn sliding(slide: &Slide, taps: usize, input: &Poly, kind: PoolKind) -> Windows {
        let size = |size: usize| IndexExpr::size(Poly::from(size));
        let [result, tap] = [0, 1].map(IndexExpr::Position);
        let start = result.scaled(&Poly::from(slide.stride)).minus(&size(slide.padding.0));
        let place = start.plus(&tap.scaled(&Poly::from(slide.dilation)));
        let from_zero = place.plus(&IndexExpr::from(1)).is_positive();
        let inside = from_zero.and(&place.below(&IndexExpr::size(input.clone())));
        let step = size(slide.dilation);
        let last = IndexExpr::size(input - &Poly::one());
        let after = last.minus(&last.minus(&place).modulo(&step));
        let before = place.modulo(&step);
        let beside = place.below(&IndexExpr::from(0)).choose(&before, &after);
        // Taps before a bound.
        let up_to = |bound: Poly| {
            let left = IndexExpr::size(bound).minus(&start).plus(&step).minus(&IndexExpr::from(1));
            least(&most(&left.floor_div(&step), &IndexExpr::from(0)), &size(taps))
        };
        let (mut low, mut high) = (Poly::zero(), input.clone());
        if kind == PoolKind::MeanWithPadding {
            low = low - Poly::from(slide.padding.0);
            high += Poly::from(slide.padding.1);
        }
        let counted = up_to(high).minus(&up_to(low));
        let nearest = inside.choose(&place, &beside);
        Windows { taps: taps.into(), place, inside, nearest, counted }
    }

    /// From ⌊i·s/r⌋ to ⌈(i + 1)·s/r⌉, which is at most ⌈s/r⌉ + 1 positions.
    fn adaptive(back: &mut Back, results: &Poly, input: &Poly) -> Windows {
        let whole = input.divided_by(results);
        let taps = match &whole {
            Some(taps) => taps.clone(),
            None => back.graph.ceil_div("reach", input, results) + Poly::one(),
        };
        let [result, tap] = [0, 1].map(IndexExpr::Position);
        let by = IndexExpr::size(results.clone());
        let start = result.scaled(input).floor_div(&by);
        let end = result.plus(&IndexExpr::from(1)).scaled(input);
        let end = end.plus(&IndexExpr::size(results - &Poly::one())).floor_div(&by);
        let (start, end) = match whole {
            Some(taps) => (result.scaled(&taps), result.plus(&IndexExpr::from(1)).scaled(&taps)),
            None => (start, end),
        };
        let place = start.plus(&tap);
        let inside = place.below(&end);
        let nearest = least(&place, &end.minus(&IndexExpr::from(1)));
        Windows { taps, inside, nearest, counted: end.minus(&start), place }
    }
}

pub(crate) fn pool(back: &mut Back, at: Applied<'_>, op: &Pool, dy: Var) -> Result<(), GradError> {
    let inputs = back.shape_of(at.operand(0)?).axes;
    let inputs = &inputs[inputs.len() - op.window.len()..];
    let each = op.slides().into_iter().zip(&op.window).zip(inputs);
    let windows = each
        .map(|((slide, taps), input)| Windows::sliding(&slide, *taps, &input.size, op.kind))
        .collect();
    pooled(back, at, op.kind, windows, dy)
}

pub(crate) fn adaptive(
    back: &mut Back,
    at: Applied<'_>,
    op: &AdaptivePool,
    dy: Var,
) -> Result<(), GradError> {
    let inputs = back.shape_of(at.operand(0)?).axes;
    let first = op.axes.len() - op.taps.len();
    let each = op.axes[first..].iter().zip(&inputs[first..]);
    let windows = each.map(|(r, s)| Windows::adaptive(back, &r.size, &s.size)).collect();
    pooled(back, at, op.kind, windows, dy)
}

/// A mean gives each of its elements its share. A maximum gives its first largest element, found again,
/// the whole. The gradients of windows that share an element are added.
fn pooled(
    back: &mut Back,
    at: Applied<'_>,
    kind: PoolKind,
    windows: Vec<Windows>,
    dy: Var,
) -> Result<(), GradError> {
    let x = at.operand(0)?;
    let (own, results) = (back.shape_of(x).axes, back.shape(dy).axes);
    let first = own.len() - windows.len();
    let inputs = &own[first..];
    let names: Vec<Symbol> = own.iter().chain(&results).map(|axis| axis.name.clone()).collect();
    let tap = |(at, windows): (usize, &Windows)| {
        Axis::new(apart(&Symbol::from(format!("tap{at}")), &names), windows.taps.clone())
    };
    let taps: Vec<Axis> = windows.iter().enumerate().map(tap).collect();
    let places = |back: &mut Back, of: &dyn Fn(usize) -> IndexExpr| {
        let each = inputs.iter().enumerate().map(|(at, input)| {
            let axes = vec![results[first + at].clone(), taps[at].clone()];
            let map = IndexMap { axes, value: of(at), truth: false };
            Ok((input.name.clone(), back.graph.record("", map, &[])?))
        });
        each.collect::<Result<Vec<_>, GradError>>()
    };
    let dx = if kind == PoolKind::Max {
        let along = places(back, &|at| windows[at].nearest.clone())?;
        let value = back.value(x)?;
        let seen = back.graph.gather_nd(value, [&results[..], &taps].concat(), &along)?;
        let name = apart(&Symbol::new("taps"), &names);
        let merge: Vec<Symbol> = taps.iter().map(|axis| axis.name.clone()).collect();
        let seen =
            back.graph.rearrange(seen, Rearrange::Merge { axes: merge, into: name.clone() })?;
        let largest = back.graph.arg_max(seen, name)?;
        // The tap along each axis, and where it stands.
        let here = (0..results.len()).map(IndexExpr::Position).collect();
        let number = IndexExpr::Lookup { operand: 0, at: here };
        let (mut along, mut step) = (Vec::new(), Poly::one());
        for at in (0..taps.len()).rev() {
            let size = &taps[at].size;
            let tap = number.floor_div(&IndexExpr::size(step.clone()));
            let tap = tap.modulo(&IndexExpr::size(size.clone()));
            step = &step * size;
            let value = windows[at].nearest.at(&|position| match position {
                0 => IndexExpr::Position(first + at),
                _ => tap.clone(),
            });
            let map = IndexMap { axes: results.clone(), value, truth: false };
            along.push((inputs[at].name.clone(), back.graph.record("", map, &[largest])?));
        }
        let none = back.zeros(&back.shape_of(x))?;
        back.graph.scatter(ScatterKind::Add, none, dy, &along)?
    } else {
        let counted = counted(back, &windows, &results[first..])?;
        let mut each = back.graph.div("", dy, counted)?;
        for axis in &taps {
            each = back.graph.rearrange(each, Rearrange::Expand { axis: axis.clone() })?;
        }
        // What falls beside the input is written to one position more, which is cut off.
        let along = places(back, &|at| {
            let beside = IndexExpr::size(inputs[at].size.clone());
            windows[at].inside.choose(&windows[at].place, &beside)
        })?;
        let mut wide = own.clone();
        for axis in &mut wide[first..] {
            axis.size = &axis.size + &Poly::one();
        }
        let none = back.graph.fill(wide, 0.0)?;
        let mut dx = back.graph.scatter(ScatterKind::Add, none, each, &along)?;
        for input in inputs {
            let (axis, len) = (input.name.clone(), input.size.clone());
            let how = Rearrange::Slice { axis, start: Poly::zero(), len };
            dx = back.graph.rearrange(dx, how)?;
        }
        dx
    };
    back.contribute(x, dx)
}

/// By how many elements each sum was divided: a product along the axes, known before the run.
fn counted(back: &mut Back, windows: &[Windows], results: &[Axis]) -> Result<Var, GradError> {
    let along = |(at, windows): (usize, &Windows)| windows.counted.at(&|_| IndexExpr::Position(at));
    let each = windows.iter().enumerate().map(along);
    let value = each.fold(IndexExpr::from(1), |all, own| all.times(&own));
    let map = IndexMap { axes: results.to_vec(), value, truth: false };
    let whole = back.graph.record("", map, &[])?;
    Ok(back.graph.to_real(whole)?)
}
