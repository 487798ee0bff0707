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
        "_upsample_bilinear2d_aa" => (How::Antialiased(Interpolation::Linear), 2),
        "_upsample_bicubic2d_aa" => (How::Antialiased(Interpolation::Cubic), 2),
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
    /// The same, spread over all positions that a result stands for where there are more.
    Antialiased(Interpolation),
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
    let mut rules = Vec::new();
    for axis in 0..axes {
        let sizes = [&before[first + axis], &after[first + axis]];
        rules.push(Rule::new(own, how, aligned, sizes, factors[axis])?);
    }
    if matches!(how, How::Nearest | How::NearestExact) {
        let at: Vec<At> = (0..before.len())
            .map(|dim| match dim.checked_sub(first) {
                None => At::Along(dim),
                Some(axis) => At::Place(within(&rules[axis].first(dim), &before[dim])),
            })
            .collect();
        return taken(own, value, &after, &at);
    }
    let mut x = own.real(value)?;
    let over: Vec<(usize, &Rule)> = (first..).zip(&rules).collect();
    match how {
        // Axis by axis, the last first.
        How::Antialiased(_) => {
            for axis in over.into_iter().rev() {
                x = weighted(own, &x, &[axis], &after)?;
            }
        }
        How::Between(_) | How::Nearest | How::NearestExact => {
            x = weighted(own, &x, &over, &after)?;
        }
    }
    Ok(Meaning::Tensor(x))
}

/// Results along some dimensions at once, by their rules: positions times their weights, summed.
fn weighted(
    own: &mut Importer<'_>,
    x: &Placed,
    over: &[(usize, &Rule)],
    after: &[Poly],
) -> Lowered<Placed> {
    // Where a dimension of results stands, one of its positions follows.
    let (mut sizes, mut at, mut taps) = (Vec::new(), Vec::new(), Vec::new());
    for (dim, size) in x.sizes().into_iter().enumerate() {
        let here = sizes.len();
        match over.iter().find(|(own, _)| *own == dim) {
            None => {
                sizes.push(size);
                at.push(At::Along(here));
            }
            Some((_, rule)) => {
                sizes.extend([after[dim].clone(), rule.taps.clone()]);
                let tap = rule.first(here).plus(&IndexExpr::Position(here + 1));
                at.push(At::Place(within(&tap, &size)));
                taps.push((here + 1, &after[dim], rule));
            }
        }
    }
    let mut result = picked(own, x, &sizes, &at)?;
    // The last axis first, as PyTorch has it.
    for (tap, results, rule) in taps.into_iter().rev() {
        let mut weights = rule.weights(own, results)?;
        weights.dims.extend(vec![Dim::new(); result.dims.len() - tap - 1]);
        let (a, b) = (Meaning::Tensor(result), Meaning::Tensor(weights));
        result = combined(own, ArithmeticKind::Mul, a, b)?;
        along(own, &mut result, &[tap], false, Reduce::Sum)?;
    }
    Ok(result)
}

/// The positions that each result along one axis is made of.
struct Rule {
    how: How,
    /// The place of a result r among positions: (a·r + b) / c; or where its first position stands.
    place: [Poly; 3],
    /// How many there are.
    taps: Poly,
    /// Positions for so many results, and how many there are in all.
    scale: [Poly; 2],
    input: Poly,
}

impl Rule {
    fn new(
        own: &mut Importer<'_>,
        how: How,
        aligned: bool,
        [input, results]: [&Poly; 2],
        factor: Option<f64>,
    ) -> Lowered<Rule> {
        let scale = scale(aligned, [input, results], factor)?;
        let input = input.clone();
        let (place, taps) = match how {
            How::Antialiased(kind) => {
                let [from, to] = &scale;
                // As many positions to each side as one result stands for, or as lie between two.
                let smaller = own.graph.minimum("smaller", [from.clone(), to.clone()]);
                let wider = &(from + to) - &smaller;
                let reach = &wider * (kind.taps() as i64 / 2);
                let start = &(from - &(&reach * 2)) + to;
                let each = own.graph.ceil_div("reach", &reach, to);
                ([from * 2, start, to * 2], &(&each * 2) + &Poly::one())
            }
            How::Between(kind) => (place(how, aligned, &scale), kind.taps().into()),
            How::Nearest | How::NearestExact => (place(how, aligned, &scale), Poly::one()),
        };
        Ok(Rule { how, place, taps, scale, input })
    }

    /// The first position of the results along a dimension; those outside are brought back one by one.
    fn first(&self, dim: usize) -> IndexExpr {
        let [a, b, c] = &self.place;
        let above = IndexExpr::Position(dim).scaled(a).plus(&IndexExpr::size(b.clone()));
        let place = above.floor_div(&IndexExpr::size(c.clone()));
        match self.how {
            How::Nearest | How::NearestExact => place,
            How::Between(Interpolation::Cubic) => place.minus(&1.into()),
            How::Between(Interpolation::Linear) | How::Antialiased(_) => {
                place.is_positive().choose(&place, &0.into())
            }
        }
    }

    /// The weights of the positions of each result.
    fn weights(&self, own: &mut Importer<'_>, results: &Poly) -> Lowered<Placed> {
        let axes = own.movement().axes(&[results.clone(), self.taps.clone()]);
        let [result, tap] = <[_; 2]>::try_from(axes).map_err(|_| Obstacle::Unknown)?;
        let table = match self.how {
            How::Between(kind) => {
                Table::Interpolation { kind, source: self.place.clone(), result, tap }
            }
            How::Antialiased(kind) => {
                let (scale, input) = (self.scale.clone(), self.input.clone());
                Table::Antialiased { kind, scale, input, result, tap }
            }
            How::Nearest | How::NearestExact => return Err(Obstacle::Unknown),
        };
        let var = own.graph.table("", table)?;
        Ok(own.movement().tensor(var)?)
    }
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

/// So many positions for so many results, from the sizes or from a factor that is given
/// (`area_pixel_compute_scale` of PyTorch).
fn scale(aligned: bool, [input, results]: [&Poly; 2], factor: Option<f64>) -> Lowered<[Poly; 2]> {
    let one = Poly::one();
    Ok(match factor {
        _ if aligned && *results == one => [Poly::zero(), one],
        _ if aligned => [input - &one, results - &one],
        None => [input.clone(), results.clone()],
        Some(factor) => {
            let (numerator, denominator) = fraction(factor).ok_or(Obstacle::Unknown)?;
            [denominator.into(), numerator.into()]
        }
    })
}

/// The source of a result: (a·r + b) / c (`area_pixel_compute_source_index` of PyTorch).
fn place(how: How, aligned: bool, [from, to]: &[Poly; 2]) -> [Poly; 3] {
    match how {
        _ if aligned => [from.clone(), Poly::zero(), to.clone()],
        How::Nearest => [from.clone(), Poly::zero(), to.clone()],
        How::NearestExact => [from * 2, from.clone(), to * 2],
        How::Between(_) | How::Antialiased(_) => [from * 2, from - to, to * 2],
    }
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
