//! Moving, looking up, and tables of sizes: loops of their own, apart from the definitions'.

use opledger_ir::ops::{
    GatherNd, Interpolation, Rearrange, Scatter, ScatterKind, Table, TokenPositions,
};
use opledger_ir::{Call, OpError, Shape, Value, strides, to_usize};
use opledger_kernels::{self as kernels, Meeting, Meter, Strided, permute};
use opledger_tensor::Tensor;
use rayon::prelude::*;

use super::metering::refused;

type Moved = Result<(), OpError>;

/// What each block of a result takes from the block of the operand at the same place.
struct Blocks {
    from: usize,
    to: usize,
    /// Where runs go, where they come from, and how long they are.
    runs: Vec<[usize; 3]>,
}

/// The operand's strides along the axes of a permuted or repeated result.
fn along(op: &Rearrange, call: &Call<'_, f32>, sizes: &[usize]) -> Option<Vec<usize>> {
    let own = strides(sizes);
    match op {
        Rearrange::Permute { order } => {
            let stride = |axis| call.shapes[0].position(axis).map(|at| own[at]);
            order.iter().map(stride).collect()
        }
        Rearrange::Expand { .. } => Some([vec![0], own].concat()),
        Rearrange::Split { .. }
        | Rearrange::Merge { .. }
        | Rearrange::Rename { .. }
        | Rearrange::Slice { .. }
        | Rearrange::Roll { .. }
        | Rearrange::Pad { .. } => None,
    }
}

/// The runs of a part, a roll or padding of an axis.
fn blocks(op: &Rearrange, call: &Call<'_, f32>, sizes: &[usize]) -> Result<Blocks, OpError> {
    let (axis, runs) = match op {
        Rearrange::Slice { axis, start, len } => {
            (axis, vec![[0, call.size(start)?, call.size(len)?]])
        }
        Rearrange::Roll { axis, by } => {
            let at = call.shapes[0].position(axis).ok_or(OpError::Operand(0))?;
            let size = opledger_dims::Integer::from(sizes[at].max(1));
            let by = by.at(call.binding)?;
            let first = to_usize(&((by % &size + &size) % &size))?;
            (axis, vec![[0, first, sizes[at] - first], [sizes[at] - first, 0, first]])
        }
        Rearrange::Pad { axis, .. } => {
            let at = call.shapes[0].position(axis).ok_or(OpError::Operand(0))?;
            (axis, vec![[0, 0, sizes[at]]])
        }
        Rearrange::Split { .. }
        | Rearrange::Merge { .. }
        | Rearrange::Rename { .. }
        | Rearrange::Permute { .. }
        | Rearrange::Expand { .. } => return Err(OpError::Operand(0)),
    };
    let at = call.shapes[0].position(axis).ok_or(OpError::Operand(0))?;
    let inner: usize = sizes[at + 1..].iter().product();
    let runs = runs.into_iter().map(|run| run.map(|positions| positions * inner)).collect();
    Ok(Blocks { from: sizes[at] * inner, to: call.output[at] * inner, runs })
}

/// Copies the runs of every block, zeros elsewhere; the elements that were read.
fn copied<E: Copy + Default + Send + Sync>(blocks: &Blocks, x: &[E], out: &mut [E]) -> usize {
    let one = |(block, out): (usize, &mut [E])| {
        let (mut filled, mut read) = (0, 0);
        for &[to, from, len] in &blocks.runs {
            let run = &x[block * blocks.from + from..][..len];
            out[to..][..len].copy_from_slice(run);
            filled = filled.max(to + len);
            read += run.len();
        }
        // Padding comes after what is copied.
        out[filled..].fill(E::default());
        read
    };
    out.par_chunks_mut(blocks.to.max(1)).enumerate().map(one).sum()
}

/// Numbers in another order.
pub(super) fn rearrange(op: &Rearrange, call: &Call<'_, f32>, out: &mut [f32]) -> Moved {
    let x = call.table(0)?;
    match along(op, call, x.shape()) {
        Some(strides) => {
            call.reads.all(0, x.len());
            let source = Strided { data: x.data(), strides: &strides };
            permute(call.output, source, out).map_err(refused)
        }
        None => {
            let read = copied(&blocks(op, call, x.shape())?, x.data(), out);
            call.reads.some(0, read);
            Ok(())
        }
    }
}

/// Whole numbers in another order.
pub(super) fn rearrange_ids(
    op: &Rearrange,
    call: &Call<'_, f32>,
    x: &Tensor<i64>,
) -> Result<Value<f32>, OpError> {
    let mut out = vec![0; call.output_len()];
    match along(op, call, x.shape()) {
        Some(strides) => {
            call.reads.all(0, x.len());
            for (at, out) in out.iter_mut().enumerate() {
                let (mut rest, mut from) = (at, 0);
                for (size, stride) in call.output.iter().zip(&strides).rev() {
                    from += rest % size * stride;
                    rest /= size;
                }
                *out = x.data()[from];
            }
        }
        None => {
            let read = copied(&blocks(op, call, x.shape())?, x.data(), &mut out);
            call.reads.some(0, read);
        }
    }
    Ok(Value::Index(Tensor::new(call.output, out)?))
}

/// The entries of each row at its ids.
pub(super) fn gather(call: &Call<'_, f32>, out: &mut [f32]) -> Moved {
    let (x, ids) = (call.table(0)?, call.index(1)?);
    let last = |shape: &[usize]| shape.last().copied().ok_or(OpError::Operand(0));
    let (entries, chosen) = (last(x.shape())?, last(ids.shape())?);
    let rows = ids.data().chunks(chosen.max(1)).zip(out.chunks_mut(chosen.max(1)));
    for (row, (ids, out)) in rows.enumerate() {
        let x = &x.data()[row * entries..][..entries];
        for (id, out) in ids.iter().zip(out) {
            let entry = usize::try_from(*id).ok().and_then(|at| x.get(at));
            *out = *entry.ok_or(OpError::Index { index: *id, rows: entries })?;
            call.reads.some(0, 1);
        }
    }
    Ok(())
}

/// How places of an operand follow from those of a value with other axes.
struct Places<'a> {
    /// The sizes of the value.
    sizes: &'a [usize],
    /// For each of its axes, elements of the operand from a position to the next.
    steps: Vec<usize>,
    /// Ids, with such steps of their own; the positions that they are below, and the elements of the
    /// operand from one to the next.
    ids: Vec<(&'a [i64], Vec<usize>, usize, usize)>,
}

/// The elements from a position of each of some axes to the next, in a value of this shape.
fn along_axes(
    axes: &Shape,
    own: &Shape,
    sizes: &[usize],
    looked_up: &[opledger_dims::Symbol],
) -> Vec<usize> {
    let all = strides(sizes);
    let mut steps = vec![0; axes.axes.len()];
    for (at, axis) in
        own.axes.iter().enumerate().filter(|(_, axis)| !looked_up.contains(&axis.name))
    {
        if let Some(place) = axes.position(&axis.name) {
            steps[place] = all[at];
        }
    }
    steps
}

impl<'a> Places<'a> {
    /// The places in operand 0, looked up along some axes by the operands from `first` on, of the
    /// elements of a value with these axes and sizes.
    fn new(
        call: &'a Call<'_, f32>,
        first: usize,
        looked_up: &[opledger_dims::Symbol],
        axes: &Shape,
        sizes: &'a [usize],
    ) -> Result<Self, OpError> {
        let x = call.inputs.first().ok_or(OpError::Operand(0))?.shape();
        let steps = along_axes(axes, call.shapes[0], x, looked_up);
        let all = strides(x);
        let mut ids = Vec::new();
        for (at, name) in looked_up.iter().enumerate() {
            let own = call.index(first + at)?;
            let axis = call.shapes[0].position(name).ok_or(OpError::Operand(0))?;
            let steps = along_axes(axes, call.shapes[first + at], own.shape(), &[]);
            ids.push((own.data(), steps, x[axis], all[axis]));
        }
        Ok(Places { sizes, steps, ids })
    }

    /// The place of the element that stands at `at` in the order of memory.
    fn of(&self, at: usize, offsets: &mut [usize]) -> Result<usize, OpError> {
        let (mut rest, mut place) = (at, 0);
        offsets.fill(0);
        for (axis, size) in self.sizes.iter().enumerate().rev() {
            let position = rest % size;
            rest /= size;
            place += position * self.steps[axis];
            for (offset, (_, steps, _, _)) in offsets.iter_mut().zip(&self.ids) {
                *offset += position * steps[axis];
            }
        }
        for (offset, (ids, _, positions, step)) in offsets.iter().zip(&self.ids) {
            let id = ids[*offset];
            if id < 0 || id >= *positions as i64 {
                return Err(OpError::Index { index: id, rows: *positions });
            }
            place += id as usize * step;
        }
        Ok(place)
    }

    /// Those of all elements, in their order.
    fn all(&self) -> Result<Vec<usize>, OpError> {
        let mut offsets = vec![0; self.ids.len()];
        (0..self.sizes.iter().product()).map(|at| self.of(at, &mut offsets)).collect()
    }
}

/// The entries at places along several axes.
pub(super) fn gather_nd(op: &GatherNd, call: &Call<'_, f32>, out: &mut [f32]) -> Moved {
    let x = call.table(0)?;
    let axes = Shape::real(op.axes.clone());
    let places = Places::new(call, 1, &op.along, &axes, call.output)?.all()?;
    for (out, place) in out.iter_mut().zip(places) {
        *out = x.data()[place];
        call.reads.some(0, 1);
    }
    Ok(())
}

/// Numbers with others written at their places, or joined with what is there.
pub(super) fn scatter(
    op: &Scatter,
    call: &Call<'_, f32>,
    out: &mut [f32],
    meter: &impl Meter,
) -> Moved {
    let (x, values) = (call.real(0)?, call.real(1)?);
    let places = Places::new(call, 2, &op.along, call.shapes[1], values.shape())?.all()?;
    out.copy_from_slice(x.data());
    let meeting = match op.kind {
        ScatterKind::Write => Meeting::Write,
        ScatterKind::Add => Meeting::Add,
        ScatterKind::Mul => Meeting::Mul,
        ScatterKind::Max => Meeting::Max,
    };
    kernels::scatter(values.data(), &places, meeting, out, meter).map_err(refused)
}

/// Whole numbers with others written at their places, or joined with what is there.
pub(super) fn scatter_ids(
    op: &Scatter,
    call: &Call<'_, f32>,
    x: &Tensor<i64>,
) -> Result<Value<f32>, OpError> {
    let values = call.index(1)?;
    call.reads.all(0, x.len());
    let places = Places::new(call, 2, &op.along, call.shapes[1], values.shape())?.all()?;
    let mut out = x.data().to_vec();
    for (value, place) in values.data().iter().zip(places) {
        out[place] = op.kind.of_whole(out[place], *value);
    }
    Ok(Value::Index(Tensor::new(call.output, out)?))
}

/// Each token's position among those of its item that are no padding, counted from the id of padding on.
pub(super) fn token_positions(
    op: &TokenPositions,
    call: &Call<'_, f32>,
) -> Result<Value<f32>, OpError> {
    let (ids, padding) = (call.index(0)?, i64::from(op.padding));
    let mut positions = ids.data().to_vec();
    for item in positions.chunks_mut(call.output.last().map_or(1, |tokens| (*tokens).max(1))) {
        let mut tokens = 0;
        for id in item.iter_mut().filter(|id| **id != padding) {
            tokens += 1;
            *id = padding + tokens;
        }
    }
    Ok(Value::Index(Tensor::new(call.output, positions)?))
}

/// A table that sizes alone decide.
pub(super) fn table(op: &Table, call: &Call<'_, f32>) -> Result<Value<f32>, OpError> {
    match op {
        Table::Interpolation { kind, source, .. } => {
            let [a, b, c] = Table::source(source, call.binding)?;
            let results = call.output.first().map_or(0, |results| *results as i128);
            let beyond = |result: i128| (a * result + b).rem_euclid(c) as f64 / c as f64;
            let weights = match kind {
                Interpolation::Linear => (0..results)
                    .flat_map(|result| {
                        let t = if a * result + b < 0 { 0.0 } else { beyond(result) };
                        [1.0 - t, t]
                    })
                    .map(|weight| weight as f32)
                    .collect(),
                // The four cubics multiplied out.
                Interpolation::Cubic => (0..results)
                    .flat_map(|result| {
                        let t = beyond(result);
                        let (square, cube) = (t * t, t * t * t);
                        [
                            -0.75 * cube + 1.5 * square - 0.75 * t,
                            1.25 * cube - 2.25 * square + 1.0,
                            -1.25 * cube + 1.5 * square + 0.75 * t,
                            0.75 * cube - 0.75 * square,
                        ]
                    })
                    .map(|weight| weight as f32)
                    .collect(),
            };
            Ok(Tensor::new(call.output, weights)?.into())
        }
        Table::Temperature { offset, every, scale, .. } => {
            let (first, every) = (call.size(offset)?, *every as f64);
            let positions = (first + 1..).take(call.output_len());
            let steps = positions.map(|tokens| (tokens as f64 / every).floor());
            let factors = steps.map(|steps| ((1.0 + steps).ln() * scale + 1.0) as f32);
            Ok(Tensor::new(call.output, factors.collect())?.into())
        }
        Table::LinearBiases { .. } => {
            let [heads, keys] = call.output[..] else { return Err(OpError::Operand(0)) };
            let power = 1 << heads.checked_ilog2().unwrap_or(0);
            let exponents = (1..=power).map(|i| 2 * i).chain((0..).map(|i| 2 * i + 1));
            let slopes = exponents.map(|i| (-4.0 * i as f64 / power as f64).exp2()).take(heads);
            let row = |slope: f64| (0..keys).map(move |key| (slope * key as f64) as f32);
            Ok(Tensor::new(call.output, slopes.flat_map(row).collect())?.into())
        }
        Table::Antialiased { kind, scale: [from, to], input, .. } => {
            let sizes = [input.clone(), from.clone(), to.clone()];
            let [input, from, to] = Table::source(&sizes, call.binding)?;
            let mut weights = vec![0.0; call.output_len()];
            let taps = call.output.last().map_or(1, |taps| (*taps).max(1));
            let wide = 2 * from.max(to);
            for (result, row) in weights.chunks_mut(taps).enumerate() {
                let away = |at: i128| (2 * at + 1) * to - from * (2 * result as i128 + 1);
                let reached = |at: &i128| away(*at).abs() < wide * kind.reach() as i128;
                let shares = (0..input).filter(reached).map(|at| {
                    let x = (away(at).abs() as f64) / wide as f64;
                    let (square, cube) = (x * x, x * x * x);
                    match kind {
                        Interpolation::Linear => 1.0 - x,
                        Interpolation::Cubic if x < 1.0 => 1.5 * cube - 2.5 * square + 1.0,
                        Interpolation::Cubic => -0.5 * cube + 2.5 * square - 4.0 * x + 2.0,
                    }
                });
                let shares: Vec<f64> = shares.collect();
                let sum: f64 = shares.iter().sum();
                for (weight, share) in row.iter_mut().zip(shares) {
                    *weight = (share / sum) as f32;
                }
            }
            Ok(Tensor::new(call.output, weights)?.into())
        }
        Table::LogDisplacement { side, reach, .. } => {
            let (side, reach) = (call.size(side)? as i64, call.size(reach)?.max(1) as f64);
            let coordinate = |d: i64| (8.0 * d.abs() as f64 / reach).ln_1p() / 8_f64.ln();
            let signed = |d: i64| coordinate(d).copysign(d as f64) as f32;
            let line: Vec<f32> = (1 - side..side).map(signed).collect();
            let pairs = line.iter().flat_map(|y| line.iter().flat_map(|x| [*y, *x]));
            Ok(Tensor::new(call.output, pairs.collect())?.into())
        }
        Table::WindowDisplacement { side, .. } => {
            let side = call.size(side)? as i64;
            let reach = 2 * side - 1;
            let tokens = || (0..side).flat_map(|y| (0..side).map(move |x| (y, x)));
            let centre = (side - 1) * reach + side - 1;
            let row = |(y, x)| tokens().map(move |(v, u)| centre + (y - v) * reach + x - u);
            Ok(Value::Index(Tensor::new(call.output, tokens().flat_map(row).collect())?))
        }
        Table::ShiftMask { rows, columns, side, shift, .. } => {
            let [rows, columns] = [call.size(rows)?, call.size(columns)?];
            let [side, shift] = [call.size(side)?, call.size(shift)?];
            // Whether the roll brought a token round an end of the image.
            let came_round = |window: usize, token: usize| {
                let y = window / columns * side + token / side;
                let x = window % columns * side + token % side;
                (y + shift >= rows * side, x + shift >= columns * side)
            };
            let [_, queries, keys] = call.output[..] else { return Err(OpError::Operand(0)) };
            let mut out = Vec::with_capacity(call.output_len());
            for window in 0..rows * columns {
                for query in 0..queries {
                    let own = came_round(window, query);
                    out.extend(
                        (0..keys).map(
                            |key| {
                                if came_round(window, key) == own { 0.0 } else { -100.0 }
                            },
                        ),
                    );
                }
            }
            Ok(Tensor::new(call.output, out)?.into())
        }
        Table::DistanceRows { span, max_distance, .. } => {
            let [queries, keys] = call.output[..] else { return Err(OpError::Operand(0)) };
            let (span, middle) = (*span as i64, (*span / 2) as i64);
            // In single precision, but for what the divisor is the logarithm of.
            let divisor =
                max_distance.map(|most| ((most - 1) as f64 / middle as f64) as f32).map(f32::ln);
            let steps = |distance: i64| match divisor {
                Some(divisor) if distance > middle => {
                    let steps = (distance as f32 / middle as f32).ln() / divisor;
                    middle + (steps * (middle - 1) as f32).ceil() as i64
                }
                _ => distance,
            };
            let near: Vec<i64> = (0..queries.max(keys) as i64).map(steps).collect();
            let mut out = Vec::with_capacity(call.output_len());
            for query in 0..queries {
                out.extend((0..keys).map(|key| match query.checked_sub(key) {
                    Some(distance) => (span + near[distance]).min(2 * span - 1),
                    None => (span - near[key - query]).max(0),
                }));
            }
            Ok(Value::Index(Tensor::new(call.output, out)?))
        }
        Table::RelativeBuckets { bidirectional, buckets, max_distance, offset, .. } => {
            let offset = call.size(offset)?;
            let [queries, keys] = call.output[..] else { return Err(OpError::Operand(0)) };
            let before = if *bidirectional { buckets / 2 } else { *buckets };
            let exact = before / 2;
            // In single precision, but for the divisor, as the authors' code.
            let divisor = (*max_distance as f64 / exact as f64).ln() as f32;
            let of_distance = |distance: usize| {
                let steps = (distance as f32 / exact as f32).ln() / divisor;
                let far = exact + (steps * (before - exact) as f32) as usize;
                if distance < exact { distance } else { far.min(before - 1) }
            };
            let near: Vec<usize> = (0..=offset + queries + keys).map(of_distance).collect();
            let mut out = Vec::with_capacity(call.output_len());
            for query in offset..offset + queries {
                out.extend((0..keys).map(|key| match (key > query, bidirectional) {
                    (false, _) => near[query - key] as i64,
                    (true, true) => (before + near[key - query]) as i64,
                    (true, false) => 0,
                }));
            }
            Ok(Value::Index(Tensor::new(call.output, out)?))
        }
    }
}
