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

/// A coordinate of every result along one axis of the image.
struct Coordinate {
    /// The pixel at or before it, or the nearest.
    pixel: Whole,
    /// The shares of that pixel and of the next; none where the nearest is taken.
    shares: Option<[Placed; 2]>,
    /// How many pixels there are.
    size: Poly,
}

/// Of `[items, channels, pixels…]` at `[items, results…, axes]`, the last axis of the image first.
fn sampled(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Placed> {
    let (x, grid) = (call.tensor(own, "input")?, call.tensor(own, "grid")?);
    let (image, results) = (x.sizes(), call.sizes(own, 0)?);
    let axes = image.len().checked_sub(2).filter(|axes| *axes > 0).ok_or(Obstacle::Unknown)?;
    let nearest = match call.int("interpolation_mode", 0) {
        0 => false,
        1 => true,
        _ => return Err(Obstacle::Bad("`mode=\"bicubic\"` of grid_sample is not read".to_owned())),
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
    let mut coordinates = Vec::new();
    for (axis, size) in image[2..].iter().enumerate() {
        let at = Poly::from((axes - 1 - axis) as u64);
        let column = cut(own, Meaning::Tensor(grid.clone()), axes + 1, &at, &Poly::one())?;
        let column = reshape(own, column, &places)?;
        let aligned = call.flag("align_corners", false);
        let position = position(own, column, size, aligned, beyond)?;
        coordinates.push(coordinate(own, position, size, nearest)?);
    }
    if nearest {
        return corner(own, &x, &results, &places, &coordinates, 0);
    }
    let mut sum: Option<Placed> = None;
    for far in 0..1 << axes {
        let value = corner(own, &x, &results, &places, &coordinates, far)?;
        sum = Some(match sum {
            None => value,
            Some(sum) => {
                let (sum, value) = (Meaning::Tensor(sum), Meaning::Tensor(value));
                combined(own, ArithmeticKind::Add, sum, value)?
            }
        });
    }
    sum.ok_or(Obstacle::Unknown)
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
            Some(base) => super::movement::side_by_side(own, &base, &column, results.len())?,
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
    nearest: bool,
) -> Lowered<Coordinate> {
    let kind = if nearest { Pointwise::Round } else { Pointwise::Floor };
    let var = own.graph.pointwise(position.var, kind)?;
    let whole = Placed { var, ..position.clone() };
    let id = own.graph.to_whole(var)?;
    let pixel = own.computed(id, position.dims.clone(), WholeKind::Whole)?.whole()?;
    let shares = match nearest {
        true => None,
        false => {
            let (a, b) = (Meaning::Tensor(position), Meaning::Tensor(whole));
            let next = combined(own, ArithmeticKind::Sub, a, b)?;
            let (one, of_next) = (Meaning::Number(1.0), Meaning::Tensor(next.clone()));
            Some([combined(own, ArithmeticKind::Sub, one, of_next)?, next])
        }
    };
    Ok(Coordinate { pixel, shares, size: size.clone() })
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
    let mut at = vec![At::Along(0), At::Along(1)];
    let mut inside = IndexExpr::from(1);
    let mut share: Option<Placed> = None;
    for (axis, Coordinate { pixel, shares, size }) in coordinates.iter().enumerate() {
        let next = far >> (coordinates.len() - 1 - axis) & 1;
        let pixel = pixel.expr.plus(&(next as i64).into());
        let none = IndexExpr::from(0);
        let within_image = none.below(&pixel.plus(&1.into()));
        let within_image = within_image.and(&pixel.below(&IndexExpr::size(size.clone())));
        inside = inside.and(&within_image);
        at.push(At::Place(within(&pixel, size)));
        if let Some(shares) = shares {
            let own_share = shares[next].clone();
            share = Some(match share {
                None => own_share,
                Some(share) => {
                    let (a, b) = (Meaning::Tensor(share), Meaning::Tensor(own_share));
                    combined(own, ArithmeticKind::Mul, a, b)?
                }
            });
        }
    }
    let value = picked(own, x, results, &at)?;
    let when = Whole { sizes: places.to_vec(), expr: inside, kind: WholeKind::Truth };
    let value = super::truth::chosen(own, when, value, 0.0)?;
    match share {
        None => Ok(value),
        Some(share) => {
            let (a, b) = (Meaning::Tensor(value), Meaning::Tensor(share));
            combined(own, ArithmeticKind::Mul, a, b)
        }
    }
}
