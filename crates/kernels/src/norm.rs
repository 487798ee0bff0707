//! Normalisation of rows.

use opledger_dims::Class;

use crate::error::{KernelError, exactly};
use crate::horizontal::{self, joins};
use crate::isa::{isa, vectorised};
use crate::meter::{Meter, Substitution, Tally};
use crate::number::Number;
use crate::tasks::over_rows;

/// Which elements share a number of a gain or shift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channels {
    /// How many rows the numbers are for, before they begin again: one in a LayerNorm, the groups of a
    /// GroupNorm.
    pub groups: usize,
    /// How many neighbouring elements of a row share a number: the positions of a channel.
    pub positions: usize,
}

impl Channels {
    /// One number for each element of a row, the same for all rows.
    pub const ELEMENTS: Channels = Channels { groups: 1, positions: 1 };
}

/// LayerNorm of each row of `[rows, width]`, and GroupNorm, whose rows are groups of channels.
#[derive(Clone, Copy, Debug)]
pub struct LayerNorm<'a, T = f32> {
    /// Length of a row.
    pub width: usize,
    /// Added to the variance.
    pub eps: f32,
    /// Multiplies the normalised rows; `[width]` for a LayerNorm.
    pub gamma: Option<&'a [T]>,
    /// Added at the end; `[width]` for a LayerNorm.
    pub beta: Option<&'a [T]>,
    /// What the numbers of `gamma` and `beta` belong to.
    pub channels: Channels,
}

/// Normalises each row of `x` to mean zero and variance one, in two passes over each row in the cache, and one that writes it.
///
/// Counts per row of `c`: `3c - 1` add, `c` mul, `c + 2` div (the last `c` executed as a
/// reciprocal and `c` mul), one sqrt; `gamma` `c` mul more, `beta` `c` add more.
///
/// # Errors
/// [`KernelError::EmptyReduction`] if `width` is zero, [`KernelError::Length`] if `x` is not whole
/// rows or another slice disagrees.
pub fn layer_norm<T: Number, M: Meter>(
    norm: &LayerNorm<'_, T>,
    x: &[T],
    out: &mut [T],
    meter: &M,
) -> Result<(), KernelError> {
    let isa = isa()?;
    let c = norm.width;
    rows("layer_norm", c, x, out)?;
    for vector in [norm.gamma, norm.beta].into_iter().flatten() {
        affine(vector, norm.channels, c)?;
    }
    over_rows(out, c, 2, meter, |first, out, tally| {
        for (row, out) in out.chunks_mut(c).enumerate() {
            let x = &x[(first + row) * c..][..c];
            let [mean, factor] = moments(isa, x, T::of(norm.eps));
            let own = |vector: &'_ [T]| of_row(vector, norm.channels, c, first + row);
            match (norm.gamma, norm.beta, norm.channels.positions) {
                (Some(gamma), Some(beta), 1) => {
                    full(isa, x, mean, factor, &gamma[own(gamma)], &beta[own(beta)], out);
                }
                (Some(gamma), None, 1) => scaled(isa, x, mean, factor, &gamma[own(gamma)], out),
                (None, Some(beta), 1) => {
                    plain(isa, x, mean, factor, out);
                    add(isa, out, &beta[own(beta)]);
                }
                (gamma, beta, run) => {
                    plain(isa, x, mean, factor, out);
                    if let Some(gamma) = gamma {
                        let channels = out.chunks_mut(run).zip(&gamma[own(gamma)]);
                        channels.for_each(|(out, gamma)| times(isa, out, *gamma));
                    }
                    if let Some(beta) = beta {
                        let channels = out.chunks_mut(run).zip(&beta[own(beta)]);
                        channels.for_each(|(out, beta)| plus(isa, out, *beta));
                    }
                }
            }
            // Each entry is centred twice: for the variance and for the result.
            tally.useful(Class::Add, 3 * c - 1);
            tally.executed(Class::Add, joins(c) + c + joins(c) + 1 + c);
            normalised(c, 2, tally);
            if norm.gamma.is_some() {
                tally.both(Class::Mul, c);
            }
            if norm.beta.is_some() {
                tally.both(Class::Add, c);
            }
        }
    });
    Ok(())
}

/// RMSNorm over the last axis of `[rows, width]`.
#[derive(Clone, Copy, Debug)]
pub struct RmsNorm<'a, T = f32> {
    /// Length of a row.
    pub width: usize,
    /// Added to the mean of squares.
    pub eps: f32,
    /// `[width]`: multiplies the normalised row.
    pub weight: Option<&'a [T]>,
}

/// Divides each row of `x` by the root of its mean square.
///
/// Counts per row of `c`: `c` mul, `c` add, `c + 1` div (the last `c` executed as a reciprocal and
/// `c` mul), one sqrt; `weight` `c` mul more.
///
/// # Errors
/// As [`layer_norm`].
pub fn rms_norm<T: Number, M: Meter>(
    norm: &RmsNorm<'_, T>,
    x: &[T],
    out: &mut [T],
    meter: &M,
) -> Result<(), KernelError> {
    let isa = isa()?;
    let c = norm.width;
    rows("rms_norm", c, x, out)?;
    norm.weight.map_or(Ok(()), |weight| exactly("weight", weight.len(), &[c]))?;
    over_rows(out, c, 2, meter, |first, out, tally| {
        for (row, out) in out.chunks_mut(c).enumerate() {
            let x = &x[(first + row) * c..][..c];
            let factor = one_by_rms(isa, x, T::of(norm.eps));
            match norm.weight {
                Some(weight) => multiples_scaled(isa, x, factor, weight, out),
                None => multiples(isa, x, factor, out),
            }
            tally.useful(Class::Add, c);
            tally.executed(Class::Add, joins(c) + 1);
            normalised(c, 1, tally);
            if norm.weight.is_some() {
                tally.both(Class::Mul, c);
            }
        }
    });
    Ok(())
}

/// Counts what both norms do to a row of `c` beside their additions: its squares, so many `means`, a
/// root, and a division of each entry by it, done as a reciprocal.
fn normalised(c: usize, means: usize, tally: &mut Tally) {
    tally.both(Class::Mul, c);
    tally.both(Class::Div, means);
    tally.both(Class::Sqrt, 1);
    tally.useful(Class::Div, c);
    tally.substituted(Substitution::Reciprocal, c);
    tally.executed(Class::Div, 1);
    tally.executed(Class::Mul, c);
}

/// Checks that the numbers of a gain or shift are those of the groups of rows of `c`.
fn affine<T>(vector: &[T], channels: Channels, c: usize) -> Result<(), KernelError> {
    let Channels { groups, positions } = channels;
    if groups == 0 || positions == 0 || !c.is_multiple_of(positions) {
        return Err(KernelError::Shape { what: "a row is whole channels" });
    }
    exactly("gain or shift", vector.len(), &[groups, c / positions])
}

/// The numbers of a gain or shift that belong to a row of `c` elements.
fn of_row<T>(vector: &[T], channels: Channels, c: usize, row: usize) -> std::ops::Range<usize> {
    let each = c / channels.positions;
    let start = row % channels.groups * each;
    start..(start + each).min(vector.len())
}

fn rows<T>(what: &'static str, width: usize, x: &[T], out: &[T]) -> Result<(), KernelError> {
    exactly("output", out.len(), &[x.len()])?;
    if x.is_empty() {
        return Ok(());
    }
    if width == 0 {
        return Err(KernelError::EmptyReduction { what });
    }
    if !x.len().is_multiple_of(width) {
        return Err(KernelError::Shape { what: "the input is whole rows" });
    }
    Ok(())
}

vectorised! {
    /// The mean, and the reciprocal of the standard deviation.
    fn moments[T: Number](x: &[T], eps: T) -> [T; 2] {
        let c = T::of(x.len() as f32);
        let mean = horizontal::sum_of(x, |v| v) / c;
        let square = |v| {
            let centred = v - mean;
            centred * centred
        };
        let variance = horizontal::sum_of(x, square) / c;
        [mean, T::of(1.0) / (variance + eps).sqrt()]
    }

    fn one_by_rms[T: Number](x: &[T], eps: T) -> T {
        let mean = horizontal::sum_of(x, |v| v * v) / T::of(x.len() as f32);
        T::of(1.0) / (mean + eps).sqrt()
    }

    fn plain[T: Number](x: &[T], mean: T, factor: T, out: &mut [T]) {
        for (out, &x) in out.iter_mut().zip(x) {
            *out = (x - mean) * factor;
        }
    }

    fn multiples[T: Number](x: &[T], factor: T, out: &mut [T]) {
        for (out, &x) in out.iter_mut().zip(x) {
            *out = x * factor;
        }
    }

    fn multiples_scaled[T: Number](x: &[T], factor: T, gamma: &[T], out: &mut [T]) {
        for ((out, &x), &gamma) in out.iter_mut().zip(x).zip(gamma) {
            *out = x * factor * gamma;
        }
    }

    fn scaled[T: Number](x: &[T], mean: T, factor: T, gamma: &[T], out: &mut [T]) {
        for ((out, &x), &gamma) in out.iter_mut().zip(x).zip(gamma) {
            *out = (x - mean) * factor * gamma;
        }
    }

    fn full[T: Number](x: &[T], mean: T, factor: T, gamma: &[T], beta: &[T], out: &mut [T]) {
        for (((out, &x), &gamma), &beta) in out.iter_mut().zip(x).zip(gamma).zip(beta) {
            *out = (x - mean) * factor * gamma + beta;
        }
    }

    fn times[T: Number](x: &mut [T], y: T) {
        for x in x {
            *x *= y;
        }
    }

    fn plus[T: Number](x: &mut [T], y: T) {
        for x in x {
            *x += y;
        }
    }

    fn add[T: Number](x: &mut [T], y: &[T]) {
        for (x, &y) in x.iter_mut().zip(y) {
            *x += y;
        }
    }
}
