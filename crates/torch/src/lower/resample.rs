//! Interpolation: each result from the positions beside its source.

use opledger_dims::Poly;
use opledger_ir::IndexExpr;
use opledger_ir::ops::{ArithmeticKind, Interpolation, Reduce, Table};

use super::elementwise::combined;
use super::places::{At, picked, taken, within};
use super::reduction::along;
use crate::call::Call;
use crate::importer::{Importer, Lowered, Meaning, Obstacle};
use crate::tensor::{Dim, Placed};

pub(super) fn lower(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Vec<Meaning>> {
    let (how, axes) = match base {
        "upsample_nearest1d" => (How::Nearest, 1),
        "upsample_nearest2d" => (How::Nearest, 2),
        "upsample_nearest3d" => (How::Nearest, 3),
        "_upsample_nearest_exact1d" => (How::NearestExact, 1),
        "_upsample_nearest_exact2d" => (How::NearestExact, 2),
        "_upsample_nearest_exact3d" => (How::NearestExact, 3),
        "upsample_linear1d" => (How::Between(Interpolation::Linear), 1),
        "upsample_bilinear2d" => (How::Between(Interpolation::Linear), 2),
        "upsample_trilinear3d" => (How::Between(Interpolation::Linear), 3),
        "upsample_bicubic2d" => (How::Between(Interpolation::Cubic), 2),
        _ => return Err(Obstacle::Unknown),
    };
    resampled(own, call, how, axes).map(|value| vec![value])
}

/// What a result is made of.
#[derive(Clone, Copy, PartialEq)]
enum How {
    /// The position at or before its source.
    Nearest,
    /// The position whose middle is nearest.
    NearestExact,
    /// Several, weighted.
    Between(Interpolation),
}

fn resampled(own: &mut Importer<'_>, call: &Call<'_>, how: How, axes: usize) -> Lowered<Meaning> {
    let name = if call.has("self") { "self" } else { "input" };
    let value = call.value(own, name)?;
    let before = super::movement::sizes_of(&value)?;
    let after = call.sizes(own, 0)?;
    let first = before.len().checked_sub(axes).ok_or(Obstacle::Unknown)?;
    if after.len() != before.len() {
        return Err(Obstacle::Unknown);
    }
    let aligned = call.flag("align_corners", false);
    let factors = factors(own, call, axes)?;
    let sources: Vec<[Poly; 3]> = (0..axes)
        .map(|axis| {
            source(how, aligned, &before[first + axis], &after[first + axis], factors[axis])
        })
        .collect::<Lowered<_>>()?;
    let place = |axis: usize, dim: usize| {
        let [a, b, c] = &sources[axis];
        let above = IndexExpr::Position(dim).scaled(a).plus(&IndexExpr::size(b.clone()));
        above.floor_div(&IndexExpr::size(c.clone()))
    };
    let kind = match how {
        How::Between(kind) => kind,
        How::Nearest | How::NearestExact => {
            let at: Vec<At> = (0..before.len())
                .map(|dim| match dim.checked_sub(first) {
                    None => At::Along(dim),
                    Some(axis) => At::Place(within(&place(axis, dim), &before[dim])),
                })
                .collect();
            return taken(own, value, &after, &at);
        }
    };
    let x = own.real(value)?;
    // [items…, (result, tap)…]: the positions of every result along each axis.
    let taps = Poly::from(kind.taps());
    let mut sizes = after[..first].to_vec();
    let mut at: Vec<At> = (0..first).map(At::Along).collect();
    for axis in 0..axes {
        let dim = sizes.len();
        sizes.extend([after[first + axis].clone(), taps.clone()]);
        let base = place(axis, dim);
        let start = match kind {
            Interpolation::Linear => base.is_positive().choose(&base, &0.into()),
            Interpolation::Cubic => base.minus(&1.into()),
        };
        let tap = start.plus(&IndexExpr::Position(dim + 1));
        at.push(At::Place(within(&tap, &before[first + axis])));
    }
    let mut result = picked(own, &x, &sizes, &at)?;
    // The last axis first, as PyTorch has it.
    for axis in (0..axes).rev() {
        let weights = weights(own, kind, &sources[axis], &after[first + axis])?;
        let mut dims = weights.dims;
        dims.extend(vec![Dim::new(); axes - 1 - axis]);
        let weights = Placed { var: weights.var, dims };
        let operands = (Meaning::Tensor(result), Meaning::Tensor(weights));
        result = combined(own, ArithmeticKind::Mul, operands.0, operands.1)?;
        along(own, &mut result, &[first + 2 * axis + 1], false, Reduce::Sum)?;
    }
    Ok(Meaning::Tensor(result))
}

/// The weights of the positions of each result.
fn weights(
    own: &mut Importer<'_>,
    kind: Interpolation,
    source: &[Poly; 3],
    results: &Poly,
) -> Lowered<Placed> {
    let axes = own.movement().axes(&[results.clone(), kind.taps().into()]);
    let [result, tap] = <[_; 2]>::try_from(axes).map_err(|_| Obstacle::Unknown)?;
    let table = Table::Interpolation { kind, source: source.clone(), result, tap };
    let var = own.graph.table("", table)?;
    Ok(own.movement().tensor(var)?)
}

/// Factors that are given for each axis.
fn factors(own: &Importer<'_>, call: &Call<'_>, axes: usize) -> Lowered<Vec<Option<f64>>> {
    if let Meaning::List(all) = call.value(own, "scale_factors")? {
        let number =
            |value: &Meaning| super::elementwise::number(value).map(Some).ok_or(Obstacle::Unknown);
        let all = all.iter().map(number).collect::<Lowered<Vec<_>>>()?;
        return if all.len() == axes { Ok(all) } else { Err(Obstacle::Unknown) };
    }
    let names = ["scales_d", "scales_h", "scales_w"];
    let of_axis = |axis: usize| {
        let own = names[3 - axes + axis];
        call.float(own).or_else(|| call.float("scales"))
    };
    Ok((0..axes).map(of_axis).collect())
}

/// The source of a result: (a·r + b) / c, from the sizes or from a factor that is given
/// (`area_pixel_compute_source_index` of PyTorch).
fn source(
    how: How,
    aligned: bool,
    input: &Poly,
    results: &Poly,
    factor: Option<f64>,
) -> Lowered<[Poly; 3]> {
    let one = Poly::one();
    if aligned {
        return Ok(match *results == one {
            true => [Poly::zero(), Poly::zero(), one],
            false => [input - &one, Poly::zero(), results - &one],
        });
    }
    // Positions of the input for so many results.
    let (input, results) = match factor {
        None => (input.clone(), results.clone()),
        Some(factor) => {
            let (numerator, denominator) = fraction(factor).ok_or(Obstacle::Unknown)?;
            (Poly::from(denominator), Poly::from(numerator))
        }
    };
    Ok(match how {
        How::Nearest => [input, Poly::zero(), results],
        How::NearestExact => [&input * 2, input, &results * 2],
        How::Between(_) => [&input * 2, &input - &results, &results * 2],
    })
}

/// A factor as a quotient of whole numbers, if it is one of small ones.
fn fraction(factor: f64) -> Option<(i64, i64)> {
    let whole = |denominator: &i64| {
        let numerator = factor * *denominator as f64;
        (numerator - numerator.round()).abs() < 1e-9 * *denominator as f64 && numerator >= 1.0
    };
    let denominator = (1..=1024).find(whole)?;
    Some(((factor * denominator as f64).round() as i64, denominator))
}
