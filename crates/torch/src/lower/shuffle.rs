//! Elements in another order or more than once: padding, flipping, windows laid out, channels and
//! positions exchanged.

use opledger_dims::Poly;
use opledger_ir::ops::{Rearrange, ScatterKind};
use opledger_ir::{Axis, IndexExpr};

use super::movement::{cut, permute, reshape, sizes_of};
use super::places::{At, absolute, put, taken, within};
use crate::call::{Call, place};
use crate::importer::{Importer, Lowered, Meaning, Obstacle};
use crate::tensor::{DimPart, Placed};
use crate::whole::{Whole, WholeKind};

pub(super) fn lower(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Vec<Meaning>> {
    let one = |value: Lowered<Meaning>| value.map(|value| vec![value]);
    match base {
        "pad" | "constant_pad_nd" | "reflection_pad1d" | "reflection_pad2d"
        | "reflection_pad3d" | "replication_pad1d" | "replication_pad2d" | "replication_pad3d" => {
            let mode = match base.split('_').next() {
                Some("reflection") => Some("reflect"),
                Some("replication") => Some("replicate"),
                Some(_) | None => call.text("mode"),
            };
            one(padded(own, call, mode))
        }
        "flip" | "fliplr" | "flipud" => one(flipped(own, call, base)),
        "unfold" => one(unfolded(own, call)),
        "im2col" => one(columns(own, call)),
        "col2im" => one(folded(own, call)),
        "pixel_shuffle" | "pixel_unshuffle" | "channel_shuffle" => one(shuffled(own, call, base)),
        "diagonal" => one(diagonal(own, call)),
        _ => Err(Obstacle::Unknown),
    }
}

/// The numbers of an argument, each a size.
fn list(own: &Importer<'_>, call: &Call<'_>, name: &str) -> Lowered<Vec<Poly>> {
    let values = call.value(own, name)?.list()?;
    values.into_iter().map(Meaning::size).collect()
}

/// Positions before and after dimensions, the last dimension first.
fn padded(own: &mut Importer<'_>, call: &Call<'_>, mode: Option<&str>) -> Lowered<Meaning> {
    let mut value = call.value(own, "self")?;
    let pads = list(own, call, if call.has("pad") { "pad" } else { "padding" })?;
    let rank = sizes_of(&value)?.len();
    let filling = call.float("value").unwrap_or(0.0);
    for (pair, dim) in pads.chunks(2).zip((0..rank).rev()) {
        let [before, after] = pair else { return Err(Obstacle::Unknown) };
        value = match mode {
            None | Some("constant") => filled_up(own, value, dim, [before, after], filling)?,
            Some("reflect" | "replicate" | "circular") => {
                around(own, value, dim, [before, after], mode)?
            }
            Some(_) => return Err(Obstacle::Unknown),
        };
    }
    Ok(value)
}

/// A dimension with a number before and after it; what is below 0 is cut off.
fn filled_up(
    own: &mut Importer<'_>,
    mut value: Meaning,
    dim: usize,
    pads: [&Poly; 2],
    number: f64,
) -> Lowered<Meaning> {
    let negative = |pad: &Poly| pad.as_integer().is_some_and(|pad| pad < 0.into());
    let [before, after] = pads.map(|pad| if negative(pad) { Poly::zero() } else { pad.clone() });
    let [cut_before, cut_after] =
        pads.map(|pad| if negative(pad) { -pad.clone() } else { Poly::zero() });
    if !(cut_before.is_zero() && cut_after.is_zero()) {
        let size = sizes_of(&value)?[dim].clone();
        let length = &(&size - &cut_before) - &cut_after;
        value = cut(own, value, dim, &cut_before, &length)?;
    }
    let sizes = sizes_of(&value)?;
    let mut to = sizes.clone();
    to[dim] = &(&sizes[dim] + &before) + &after;
    if to == sizes {
        return Ok(value);
    }
    let first = IndexExpr::size(before.clone());
    let place = IndexExpr::Position(dim);
    let inside = first
        .below(&place.plus(&1.into()))
        .and(&place.below(&first.plus(&IndexExpr::size(sizes[dim].clone()))));
    let moved = |own: usize| match own == dim {
        true => place.minus(&first),
        false => IndexExpr::Position(own),
    };
    match value {
        Meaning::Whole(whole) if number.fract() == 0.0 => {
            let kind = whole.kind;
            let values = whole.moved(to.clone(), moved);
            let expr = inside.choose(&values.expr, &IndexExpr::from(number as i64));
            Ok(Meaning::Whole(Whole { sizes: to, expr, kind }))
        }
        Meaning::Choice { when, then, otherwise } if otherwise == number => {
            let when = when.moved(to, moved).each(WholeKind::Truth, |expr| inside.and(expr));
            Ok(Meaning::Choice { when, then, otherwise })
        }
        value => {
            let tensor = own.real(value)?;
            let zeros = with_zeros(own, tensor, dim, &to[dim], &before)?;
            if number == 0.0 {
                return Ok(Meaning::Tensor(zeros));
            }
            let when = Whole { sizes: to, expr: inside, kind: WholeKind::Truth };
            super::truth::chosen(own, when, zeros, number).map(Meaning::Tensor)
        }
    }
}

/// A dimension of another length, its elements after some zeros and before the others.
fn with_zeros(
    own: &mut Importer<'_>,
    mut tensor: Placed,
    dim: usize,
    to: &Poly,
    before: &Poly,
) -> Lowered<Placed> {
    let mut movement = own.movement();
    let axis = movement.axis(&mut tensor, dim)?;
    let how = Rearrange::Pad { axis: axis.name.clone(), to: to.clone() };
    tensor.var = movement.graph.rearrange(tensor.var, how)?;
    if !before.is_zero() {
        // What is padded behind comes round to the front.
        let how = Rearrange::Roll { axis: axis.name.clone(), by: -before.clone() };
        tensor.var = movement.graph.rearrange(tensor.var, how)?;
    }
    tensor.dims[dim] = vec![DimPart::Axis(Axis { size: to.clone(), ..axis })];
    Ok(tensor)
}

/// A dimension with its own elements before and after it: mirrored, the outermost again, or from the
/// other end.
fn around(
    own: &mut Importer<'_>,
    value: Meaning,
    dim: usize,
    [before, after]: [&Poly; 2],
    mode: Option<&str>,
) -> Lowered<Meaning> {
    let mut sizes = sizes_of(&value)?;
    let length = sizes[dim].clone();
    sizes[dim] = &(&length + before) + after;
    if sizes[dim] == length {
        return Ok(value);
    }
    let from = IndexExpr::Position(dim).minus(&IndexExpr::size(before.clone()));
    let last = IndexExpr::size(&length - &Poly::one());
    let place = match mode {
        Some("reflect") => last.minus(&absolute(&last.minus(&absolute(&from)))),
        Some("replicate") => within(&from, &length),
        _ => from.modulo(&IndexExpr::size(length)),
    };
    let at: Vec<At> = (0..sizes.len())
        .map(|own| if own == dim { At::Place(place.clone()) } else { At::Along(own) })
        .collect();
    taken(own, value, &sizes, &at)
}

/// Dimensions backwards.
fn flipped(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Meaning> {
    let value = call.value(own, "self")?;
    let sizes = sizes_of(&value)?;
    let dims = match base {
        "fliplr" => vec![1],
        "flipud" => vec![0],
        _ => call.ints("dims").ok_or(Obstacle::Unknown)?,
    };
    let dims: Vec<usize> =
        dims.into_iter().map(|dim| place(dim, sizes.len())).collect::<Lowered<_>>()?;
    let at: Vec<At> = (0..sizes.len())
        .map(|dim| match dims.contains(&dim) {
            true => {
                let last = IndexExpr::size(&sizes[dim] - &Poly::one());
                At::Place(last.minus(&IndexExpr::Position(dim)))
            }
            false => At::Along(dim),
        })
        .collect();
    taken(own, value, &sizes, &at)
}

/// `unfold(dim, size, step)`: windows along a dimension, whose elements are a last dimension.
fn unfolded(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Meaning> {
    let value = call.value(own, "self")?;
    let sizes = call.sizes(own, 0)?;
    let rank = sizes_of(&value)?.len();
    let dim = call.dim("dimension", 0, rank)?;
    if sizes.len() != rank + 1 {
        return Err(Obstacle::Unknown);
    }
    let step = Poly::from(call.int("step", 1));
    let start = IndexExpr::Position(dim).scaled(&step);
    let at: Vec<At> = (0..rank)
        .map(|own| match own == dim {
            true => At::Place(start.plus(&IndexExpr::Position(rank))),
            false => At::Along(own),
        })
        .collect();
    taken(own, value, &sizes, &at)
}

/// Two whole numbers of an argument, or one for both.
fn two(call: &Call<'_>, name: &str, default: i64) -> Lowered<[i64; 2]> {
    match call.ints(name).as_deref() {
        None | Some([]) => Ok([default; 2]),
        Some([both]) => Ok([*both; 2]),
        Some([a, b]) => Ok([*a, *b]),
        Some(_) => Err(Obstacle::Unknown),
    }
}

/// How windows lie on a padded plane: their rows and columns of elements, and how many there are.
struct Windows {
    kernel: [i64; 2],
    dilation: [i64; 2],
    stride: [i64; 2],
    padding: [i64; 2],
    /// The plane with its padding.
    padded: [Poly; 2],
    counts: [Poly; 2],
}

impl Windows {
    fn new(own: &mut Importer<'_>, call: &Call<'_>, plane: [&Poly; 2]) -> Lowered<Windows> {
        let [kernel, dilation, stride, padding] = [
            two(call, "kernel_size", 1)?,
            two(call, "dilation", 1)?,
            two(call, "stride", 1)?,
            two(call, "padding", 0)?,
        ];
        let bad = [kernel, dilation, stride].into_iter().flatten().any(|number| number < 1);
        if bad || padding.into_iter().any(|number| number < 0) {
            return Err(Obstacle::Bad("windows of nothing, or that stand still".to_owned()));
        }
        let padded = [0, 1].map(|axis| plane[axis] + &Poly::from(2 * padding[axis]));
        let counts = [0, 1].map(|axis| {
            let reach = Poly::from(dilation[axis] * (kernel[axis] - 1) + 1);
            let steps = own.floor_div(&(&padded[axis] - &reach), &Poly::from(stride[axis]));
            steps + Poly::one()
        });
        Ok(Windows { kernel, dilation, stride, padding, padded, counts })
    }

    /// Items and channels, then elements of a window, then windows.
    fn sizes(&self, first: &[Poly]) -> Vec<Poly> {
        [first.to_vec(), self.kernel.map(Poly::from).to_vec(), self.counts.to_vec()].concat()
    }

    /// Where these stand on the padded plane, after so many dimensions.
    fn at(&self, first: usize) -> Vec<At> {
        let along = |axis: usize| {
            let start = IndexExpr::Position(first + 2 + axis).scaled(&self.stride[axis].into());
            let tap = IndexExpr::Position(first + axis).scaled(&self.dilation[axis].into());
            At::Place(start.plus(&tap))
        };
        (0..first).map(At::Along).chain([along(0), along(1)]).collect()
    }
}

/// `nn.Unfold`: the elements of each window as a column.
fn columns(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Meaning> {
    let mut value = call.value(own, "self")?;
    let sizes = sizes_of(&value)?;
    let [first @ .., height, width] = &sizes[..] else { return Err(Obstacle::Unknown) };
    let windows = Windows::new(own, call, [height, width])?;
    for (axis, padding) in windows.padding.into_iter().enumerate() {
        let padding = Poly::from(padding);
        value = filled_up(own, value, first.len() + axis, [&padding, &padding], 0.0)?;
    }
    let laid = taken(own, value, &windows.sizes(first), &windows.at(first.len()))?;
    let result = call.sizes(own, 0)?;
    reshape(own, laid, &result)
}

/// `nn.Fold`: the elements of each column added to their places.
fn folded(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Meaning> {
    let x = call.value(own, "self")?;
    let result = call.sizes(own, 0)?;
    let [first @ .., height, width] = &result[..] else { return Err(Obstacle::Unknown) };
    let windows = Windows::new(own, call, [height, width])?;
    let values = reshape(own, x, &windows.sizes(first))?;
    let values = own.real(values)?;
    let plane = [first.to_vec(), windows.padded.to_vec()].concat();
    let zeros = own.real(super::create::numbers(plane, 0.0, WholeKind::Real))?;
    let sum = put(own, ScatterKind::Add, &zeros, &values, &windows.at(first.len()))?;
    let mut sum = Meaning::Tensor(sum);
    for (axis, (padding, length)) in windows.padding.into_iter().zip([height, width]).enumerate() {
        sum = cut(own, sum, first.len() + axis, &padding.into(), length)?;
    }
    Ok(sum)
}

/// Channels as positions, positions as channels, or channels of groups by turns.
fn shuffled(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Meaning> {
    let value = call.value(own, "self")?;
    let (before, after) = (sizes_of(&value)?, call.sizes(own, 0)?);
    let [first @ .., channels, height, width] = &before[..] else { return Err(Obstacle::Unknown) };
    let [.., after_channels, after_height, after_width] = &after[..] else {
        return Err(Obstacle::Unknown);
    };
    let (parts, order): (Vec<Poly>, Vec<usize>) = match base {
        "pixel_shuffle" => {
            let by = Poly::from(call.int("upscale_factor", 1));
            let parts = [after_channels, &by, &by, height, width].map(Poly::clone).to_vec();
            (parts, vec![0, 3, 1, 4, 2])
        }
        "pixel_unshuffle" => {
            let by = Poly::from(call.int("downscale_factor", 1));
            let parts = [channels, after_height, &by, after_width, &by].map(Poly::clone).to_vec();
            (parts, vec![0, 2, 4, 1, 3])
        }
        _ => {
            let groups = Poly::from(call.int("groups", 1));
            let each = channels.divided_by(&groups).ok_or(Obstacle::Unknown)?;
            (vec![groups, each, height.clone(), width.clone()], vec![1, 0, 2, 3])
        }
    };
    let apart = reshape(own, value, &[first.to_vec(), parts].concat())?;
    let order: Vec<usize> =
        (0..first.len()).chain(order.into_iter().map(|dim| dim + first.len())).collect();
    let turned = permute(apart, &order)?;
    reshape(own, turned, &after)
}

/// The elements whose places along two dimensions are a number apart, as a last dimension.
fn diagonal(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Meaning> {
    let value = call.value(own, "self")?;
    let sizes = call.sizes(own, 0)?;
    let rank = sizes_of(&value)?.len();
    let (a, b) = (call.dim("dim1", 0, rank)?, call.dim("dim2", 1, rank)?);
    let offset = call.int("offset", 0);
    if a == b || sizes.len() + 1 != rank {
        return Err(Obstacle::Unknown);
    }
    let along = |by: i64| At::Place(IndexExpr::Position(rank - 2).plus(&by.max(0).into()));
    let mut others = 0;
    let at: Vec<At> = (0..rank)
        .map(|dim| {
            if dim == a {
                along(-offset)
            } else if dim == b {
                along(offset)
            } else {
                others += 1;
                At::Along(others - 1)
            }
        })
        .collect();
    taken(own, value, &sizes, &at)
}
