//! Images sampled at places that are computed (`grid_sample`, Jaderberg et al. 2015): each result from the
//! pixels around its place (`aten/src/ATen/native/GridSamplerUtils.h`).

use opledger_dims::Poly;
use opledger_ir::IndexExpr;
use opledger_ir::ops::{ArithmeticKind, Pointwise};

use super::elementwise::combined;
use super::movement::{cut, reshape};
use super::places::{At, picked, within};
use crate::call::Call;
use crate::importer::{Importer, Lowered, Meaning, Obstacle};
use crate::tensor::Placed;
use crate::whole::{Whole, WholeKind};

pub(super) fn lower(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Vec<Meaning>> {
    match base {
        "grid_sampler" | "grid_sampler_2d" | "grid_sampler_3d" => {
            sampled(own, call).map(|tensor| vec![Meaning::Tensor(tensor)])
        }
        "affine_grid_generator" => affine(own, call).map(|tensor| vec![Meaning::Tensor(tensor)]),
        _ => Err(Obstacle::Unknown),
    }
}

/// Which pixels a result follows from along each axis.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Nearest,
    /// The two beside its place.
    Linear,
    /// The two on either side.
    Cubic,
}

/// A coordinate of every result along one axis of the image.
struct Coordinate {
    /// The pixel at or before it, or the nearest.
    pixel: Whole,
    /// The shares of the pixels that a result follows from, in their order; none of the nearest.
    shares: Vec<Placed>,
    /// How many pixels there are.
    size: Poly,
}

/// Of `[items, channels, pixels…]` at `[items, results…, axes]`, the last axis of the image first.
fn sampled(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Placed> {
    let (x, grid) = (call.tensor(own, "input")?, call.tensor(own, "grid")?);
    let (image, results) = (x.sizes(), call.sizes(own, 0)?);
    let axes = image.len().checked_sub(2).filter(|axes| *axes > 0).ok_or(Obstacle::Unknown)?;
    let mode = match call.int("interpolation_mode", 0) {
        0 => Mode::Linear,
        1 => Mode::Nearest,
        2 if axes == 2 => Mode::Cubic,
        _ => return Err(Obstacle::Unknown),
    };
    let beyond = match call.int("padding_mode", 0) {
        0 => Beyond::Nothing,
        1 => Beyond::Border,
        2 => Beyond::Mirrored,
        _ => return Err(Obstacle::Unknown),
    };
    if grid.dims.len() != image.len() || results.len() != image.len() {
        return Err(Obstacle::Unknown);
    }
    // One place for all channels.
    let mut places = results.clone();
    places[1] = Poly::one();
    let aligned = call.flag("align_corners", false);
    // Of cubic convolution pixels are brought back, not places.
    let of_places = if mode == Mode::Cubic { Beyond::Nothing } else { beyond };
    let mut coordinates = Vec::new();
    for (axis, size) in image[2..].iter().enumerate() {
        let at = Poly::from((axes - 1 - axis) as u64);
        let column = cut(own, Meaning::Tensor(grid.clone()), axes + 1, &at, &Poly::one())?;
        let column = reshape(own, column, &places)?;
        let position = position(own, column, size, aligned, of_places)?;
        coordinates.push(coordinate(own, position, size, mode)?);
    }
    match (mode, &coordinates[..]) {
        (Mode::Nearest, _) => corner(own, &x, &results, &places, &coordinates, 0),
        (Mode::Linear, _) => {
            let mut corners = Vec::new();
            for far in 0..1 << axes {
                corners.push(corner(own, &x, &results, &places, &coordinates, far)?);
            }
            summed(own, corners)
        }
        // Row by row, then of the rows.
        (Mode::Cubic, [of_rows, of_columns]) => {
            let mut rows = Vec::new();
            for (row, share_of_row) in (-1..).zip(&of_rows.shares) {
                let mut columns = Vec::new();
                for (column, share) in (-1..).zip(&of_columns.shares) {
                    let along: Vec<(IndexExpr, &Poly)> = [(of_rows, row), (of_columns, column)]
                        .into_iter()
                        .map(|(Coordinate { pixel, size, .. }, next)| {
                            let pixel = pixel.expr.plus(&IndexExpr::from(next));
                            (brought_back(&pixel, size, aligned, beyond), size)
                        })
                        .collect();
                    let inside = beyond != Beyond::Nothing;
                    let value = pixels(own, &x, &results, &places, &along, inside)?;
                    columns.push(times(own, value, share.clone())?);
                }
                let row = summed(own, columns)?;
                rows.push(times(own, row, share_of_row.clone())?);
            }
            summed(own, rows)
        }
        (Mode::Cubic, _) => Err(Obstacle::Unknown),
    }
}

fn times(own: &mut Importer<'_>, a: Placed, b: Placed) -> Lowered<Placed> {
    combined(own, ArithmeticKind::Mul, Meaning::Tensor(a), Meaning::Tensor(b))
}

fn summed(own: &mut Importer<'_>, terms: Vec<Placed>) -> Lowered<Placed> {
    let mut terms = terms.into_iter();
    let first = terms.next().ok_or(Obstacle::Unknown)?;
    terms.try_fold(first, |sum, term| {
        combined(own, ArithmeticKind::Add, Meaning::Tensor(sum), Meaning::Tensor(term))
    })
}

/// What stands beyond an image.
#[derive(Clone, Copy, PartialEq)]
enum Beyond {
    Nothing,
    /// The pixels at its border.
    Border,
    /// The image again, as in a mirror.
    Mirrored,
}

/// A number from −1 to 1 as a place among pixels: ±1 are the middles of the outermost ones, or the ends of
/// the image; what lies beyond is brought back.
fn position(
    own: &mut Importer<'_>,
    column: Meaning,
    size: &Poly,
    aligned: bool,
    beyond: Beyond,
) -> Lowered<Placed> {
    let last = size - &Poly::one();
    let step =
        |own: &mut Importer<'_>, kind, x: Placed, by| combined(own, kind, Meaning::Tensor(x), by);
    let half = Meaning::Number(0.5);
    let mut x = combined(own, ArithmeticKind::Add, column, Meaning::Number(1.0))?;
    if aligned {
        x = step(own, ArithmeticKind::Mul, x, half)?;
        x = step(own, ArithmeticKind::Mul, x, Meaning::Size(last.clone()))?;
    } else {
        x = step(own, ArithmeticKind::Mul, x, Meaning::Size(size.clone()))?;
        x = step(own, ArithmeticKind::Sub, x, Meaning::Number(1.0))?;
        x = step(own, ArithmeticKind::Mul, x, half)?;
    }
    if beyond == Beyond::Mirrored {
        // Between mirrors that are `span` apart, from `first` on: span − |d mod 2·span − span| of the
        // distance d to the first.
        let (first, span) = if aligned { (0.0, &last) } else { (-0.5, size) };
        if span.is_zero() {
            return step(own, ArithmeticKind::Mul, x, Meaning::Number(0.0));
        }
        let both = Meaning::Size(span * 2);
        x = step(own, ArithmeticKind::Sub, x, Meaning::Number(first))?;
        x.var = own.graph.pointwise(x.var, Pointwise::Abs)?;
        let mut times = step(own, ArithmeticKind::Div, x.clone(), both.clone())?;
        times.var = own.graph.pointwise(times.var, Pointwise::Floor)?;
        let whole = step(own, ArithmeticKind::Mul, times, both)?;
        x = step(own, ArithmeticKind::Sub, x, Meaning::Tensor(whole))?;
        x = step(own, ArithmeticKind::Sub, x, Meaning::Size(span.clone()))?;
        x.var = own.graph.pointwise(x.var, Pointwise::Abs)?;
        x.var = own.graph.pointwise(x.var, Pointwise::Neg)?;
        x = step(own, ArithmeticKind::Add, x, Meaning::Size(span.clone()))?;
        x = step(own, ArithmeticKind::Add, x, Meaning::Number(first))?;
    }
    if beyond != Beyond::Nothing {
        x = step(own, ArithmeticKind::Max, x, Meaning::Number(0.0))?;
        x = step(own, ArithmeticKind::Min, x, Meaning::Size(last))?;
    }
    Ok(x)
}

/// The places that a map of coordinates gives: `[x, y, …, 1]` of every result, from −1 to 1, times the
/// matrix of its item (`aten/src/ATen/native/AffineGridGenerator.cpp`).
fn affine(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Placed> {
    let (theta, sizes) = (call.tensor(own, "theta")?, call.sizes(own, 0)?);
    let [_, results @ .., _] = &sizes[..] else { return Err(Obstacle::Unknown) };
    let aligned = call.flag("align_corners", false);
    let count: Poly = results.iter().product();
    let column = [results, &[Poly::one()]].concat();
    let ones = super::create::numbers(column.clone(), 1.0, WholeKind::Real);
    let mut columns = Vec::new();
    for (dim, size) in results.iter().enumerate().rev() {
        // (2·i + 1 − size) / size, or (2·i + 1 − size) / (size − 1).
        let twice = IndexExpr::Position(dim).scaled(&2.into());
        let expr = twice.plus(&IndexExpr::size(&Poly::one() - size));
        let whole = Whole { sizes: column.clone(), expr, kind: WholeKind::Real };
        let by = if aligned { size - &Poly::one() } else { size.clone() };
        let one = *size == Poly::one();
        columns.push(match one {
            true => super::create::numbers(column.clone(), 0.0, WholeKind::Real),
            false => {
                let (x, by) = (Meaning::Whole(whole), Meaning::Size(by));
                Meaning::Tensor(combined(own, ArithmeticKind::Div, x, by)?)
            }
        });
    }
    columns.push(ones);
    let mut base: Option<Placed> = None;
    for column in columns {
        let column = own.real(column)?;
        base = Some(match base {
            None => column,
            Some(base) => super::beside::side_by_side(own, &base, &column, results.len())?,
        });
    }
    let base = Meaning::Tensor(base.ok_or(Obstacle::Unknown)?);
    let width = Poly::from((results.len() + 1) as u64);
    let base = reshape(own, base, &[count, width])?;
    let base = own.real(base)?;
    let turned = super::movement::permute(Meaning::Tensor(theta), &[0, 2, 1])?;
    let turned = own.real(turned)?;
    let product = super::product::matmul(own, &base, &turned)?;
    let placed = reshape(own, Meaning::Tensor(product), &sizes)?;
    own.real(placed)
}

fn coordinate(
    own: &mut Importer<'_>,
    position: Placed,
    size: &Poly,
    mode: Mode,
) -> Lowered<Coordinate> {
    let kind = if mode == Mode::Nearest { Pointwise::Round } else { Pointwise::Floor };
    let var = own.graph.pointwise(position.var, kind)?;
    let whole = Placed { var, ..position.clone() };
    let id = own.graph.to_whole(var)?;
    let pixel = own.computed(id, position.dims.clone(), WholeKind::Whole)?.whole()?;
    let mut shares = Vec::new();
    if mode != Mode::Nearest {
        let (a, b) = (Meaning::Tensor(position), Meaning::Tensor(whole));
        let after = combined(own, ArithmeticKind::Sub, a, b)?;
        let (one, of_after) = (Meaning::Number(1.0), Meaning::Tensor(after.clone()));
        shares = vec![combined(own, ArithmeticKind::Sub, one, of_after)?, after];
    }
    if let (Mode::Cubic, [before, after]) = (mode, &shares[..]) {
        // How far a place is from the pixel before it is the share of the next, and the other way about.
        let (from_first, from_next) = (after.clone(), before.clone());
        shares = vec![
            far(own, &from_first)?,
            near(own, &from_first)?,
            near(own, &from_next)?,
            far(own, &from_next)?,
        ];
    }
    Ok(Coordinate { pixel, shares, size: size.clone() })
}

/// The constant of cubic convolution (Keys 1981) that PyTorch has (`aten/src/ATen/native/UpSample.h`).
const CUBIC: f64 = -0.75;

/// `((x·a + b)·x + c)·x + d` of a tensor, in this order.
fn polynomial(own: &mut Importer<'_>, x: &Placed, [a, b, c, d]: [f64; 4]) -> Lowered<Placed> {
    use ArithmeticKind::{Add, Mul};
    let of = || Meaning::Tensor(x.clone());
    let mut sum = combined(own, Mul, of(), Meaning::Number(a))?;
    sum = combined(own, Add, Meaning::Tensor(sum), Meaning::Number(b))?;
    sum = combined(own, Mul, Meaning::Tensor(sum), of())?;
    if c != 0.0 {
        sum = combined(own, Add, Meaning::Tensor(sum), Meaning::Number(c))?;
    }
    sum = combined(own, Mul, Meaning::Tensor(sum), of())?;
    combined(own, Add, Meaning::Tensor(sum), Meaning::Number(d))
}

/// The share of a pixel that is less than one away.
fn near(own: &mut Importer<'_>, away: &Placed) -> Lowered<Placed> {
    polynomial(own, away, [CUBIC + 2.0, -CUBIC - 3.0, 0.0, 1.0])
}

/// The share of the pixel behind one that is less than one away.
fn far(own: &mut Importer<'_>, away: &Placed) -> Lowered<Placed> {
    let one = Meaning::Number(1.0);
    let away = combined(own, ArithmeticKind::Add, Meaning::Tensor(away.clone()), one)?;
    polynomial(own, &away, [CUBIC, -5.0 * CUBIC, 8.0 * CUBIC, -4.0 * CUBIC])
}

/// A whole coordinate, brought back into the image.
fn brought_back(pixel: &IndexExpr, size: &Poly, aligned: bool, beyond: Beyond) -> IndexExpr {
    match beyond {
        Beyond::Nothing => pixel.clone(),
        Beyond::Border => within(pixel, size),
        Beyond::Mirrored => {
            // Mirrors in the middle of the outermost pixels leave these single, at their ends double.
            let double = i64::from(!aligned);
            let period = &(&(size * 2) - &2.into()) + &(2 * double).into();
            if period.is_zero() {
                return 0.into();
            }
            let mirrored = IndexExpr::from(-double).minus(pixel);
            let away = pixel.plus(&1.into()).is_positive().choose(pixel, &mirrored);
            let along = away.modulo(&IndexExpr::size(period.clone()));
            let back = IndexExpr::size(&period - &double.into()).minus(&along);
            along.below(&IndexExpr::size(size.clone())).choose(&along, &back)
        }
    }
}

/// The pixels at whole coordinates, one for each axis; 0 outside the image, unless all are `inside`.
fn pixels(
    own: &mut Importer<'_>,
    x: &Placed,
    results: &[Poly],
    places: &[Poly],
    along: &[(IndexExpr, &Poly)],
    inside: bool,
) -> Lowered<Placed> {
    let mut at = vec![At::Along(0), At::Along(1)];
    let mut within_image = IndexExpr::from(1);
    for (pixel, size) in along {
        let from_start = IndexExpr::from(0).below(&pixel.plus(&1.into()));
        let to_end = pixel.below(&IndexExpr::size((*size).clone()));
        within_image = within_image.and(&from_start.and(&to_end));
        at.push(At::Place(within(pixel, size)));
    }
    let value = picked(own, x, results, &at)?;
    if inside {
        return Ok(value);
    }
    let when = Whole { sizes: places.to_vec(), expr: within_image, kind: WholeKind::Truth };
    super::truth::chosen(own, when, value, 0.0)
}

/// The pixel that is the next along the axes whose bits are set, the last axis first, times its share; 0
/// outside the image.
fn corner(
    own: &mut Importer<'_>,
    x: &Placed,
    results: &[Poly],
    places: &[Poly],
    coordinates: &[Coordinate],
    far: usize,
) -> Lowered<Placed> {
    let mut along = Vec::new();
    let mut share: Option<Placed> = None;
    for (axis, Coordinate { pixel, shares, size }) in coordinates.iter().enumerate() {
        let next = far >> (coordinates.len() - 1 - axis) & 1;
        along.push((pixel.expr.plus(&(next as i64).into()), size));
        if let Some(own_share) = shares.get(next).cloned() {
            share = Some(match share {
                None => own_share,
                Some(share) => times(own, share, own_share)?,
            });
        }
    }
    let value = pixels(own, x, results, places, &along, false)?;
    match share {
        None => Ok(value),
        Some(share) => times(own, value, share),
    }
}
