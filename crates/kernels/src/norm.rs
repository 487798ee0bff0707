//! Normalisation of rows.

use opledger_dims::Class;

use crate::error::{KernelError, exactly};
use crate::horizontal;
use crate::isa::{isa, vectorised};
use crate::meter::Meter;
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
pub struct LayerNorm<'a> {
    /// Length of a row.
    pub width: usize,
    /// Added to the variance.
    pub eps: f32,
    /// Multiplies the normalised rows; `[width]` for a LayerNorm.
    pub gamma: Option<&'a [f32]>,
    /// Added at the end; `[width]` for a LayerNorm.
    pub beta: Option<&'a [f32]>,
    /// What the numbers of `gamma` and `beta` belong to.
    pub channels: Channels,
}

/// Normalises each row of `x` to mean zero and variance one, in two passes over each row in the cache, and one that writes it.
///
/// Counts per row of `c`: `3c - 1` add, `c` mul, `c + 2` div (the last `c` done as one reciprocal),
/// one sqrt; `gamma` `c` mul more, `beta` `c` add more.
///
/// # Errors
/// [`KernelError::EmptyReduction`] if `width` is zero, [`KernelError::Length`] if `x` is not whole
/// rows or another slice disagrees.
pub fn layer_norm<M: Meter>(
    norm: &LayerNorm<'_>,
    x: &[f32],
    out: &mut [f32],
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
            let [mean, factor] = moments(isa, x, norm.eps);
            let own = |vector: &'_ [f32]| of_row(vector, norm.channels, c, first + row);
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
            tally.both(Class::Add, 3 * c - 1);
            tally.both(Class::Mul, c);
            tally.both(Class::Div, c + 2);
            tally.both(Class::Sqrt, 1);
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
pub struct RmsNorm<'a> {
    /// Length of a row.
    pub width: usize,
    /// Added to the mean of squares.
    pub eps: f32,
    /// `[width]`: multiplies the normalised row.
    pub weight: Option<&'a [f32]>,
}

/// Divides each row of `x` by the root of its mean square.
///
/// Counts per row of `c`: `c` mul, `c` add, `c + 1` div (the last `c` done as one reciprocal), one
/// sqrt; `weight` `c` mul more.
///
/// # Errors
/// As [`layer_norm`].
pub fn rms_norm<M: Meter>(
    norm: &RmsNorm<'_>,
    x: &[f32],
    out: &mut [f32],
    meter: &M,
) -> Result<(), KernelError> {
    let isa = isa()?;
    let c = norm.width;
    rows("rms_norm", c, x, out)?;
    norm.weight.map_or(Ok(()), |weight| exactly("weight", weight.len(), &[c]))?;
    over_rows(out, c, 2, meter, |first, out, tally| {
        for (row, out) in out.chunks_mut(c).enumerate() {
            let x = &x[(first + row) * c..][..c];
            let factor = one_by_rms(isa, x, norm.eps);
            match norm.weight {
                Some(weight) => scaled(isa, x, 0.0, factor, weight, out),
                None => plain(isa, x, 0.0, factor, out),
            }
            tally.both(Class::Mul, c);
            tally.both(Class::Add, c);
            tally.both(Class::Div, c + 1);
            tally.both(Class::Sqrt, 1);
            if norm.weight.is_some() {
                tally.both(Class::Mul, c);
            }
        }
    });
    Ok(())
}

/// Checks that the numbers of a gain or shift are those of the groups of rows of `c`.
fn affine(vector: &[f32], channels: Channels, c: usize) -> Result<(), KernelError> {
    let Channels { groups, positions } = channels;
    if groups == 0 || positions == 0 || !c.is_multiple_of(positions) {
        return Err(KernelError::Shape { what: "a row is whole channels" });
    }
    exactly("gain or shift", vector.len(), &[groups, c / positions])
}

/// The numbers of a gain or shift that belong to a row of `c` elements.
fn of_row(vector: &[f32], channels: Channels, c: usize, row: usize) -> std::ops::Range<usize> {
    let each = c / channels.positions;
    let start = row % channels.groups * each;
    start..(start + each).min(vector.len())
}

fn rows(what: &'static str, width: usize, x: &[f32], out: &[f32]) -> Result<(), KernelError> {
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
    fn moments(x: &[f32], eps: f32) -> [f32; 2] {
        let c = x.len() as f32;
        let mean = horizontal::sum_of(x, |v| v) / c;
        let variance = horizontal::sum_of(x, |v| (v - mean) * (v - mean)) / c;
        [mean, 1.0 / (variance + eps).sqrt()]
    }

    fn one_by_rms(x: &[f32], eps: f32) -> f32 {
        let mean = horizontal::sum_of(x, |v| v * v) / x.len() as f32;
        1.0 / (mean + eps).sqrt()
    }

    fn plain(x: &[f32], mean: f32, factor: f32, out: &mut [f32]) {
        for (out, x) in out.iter_mut().zip(x) {
            *out = (x - mean) * factor;
        }
    }

    fn scaled(x: &[f32], mean: f32, factor: f32, gamma: &[f32], out: &mut [f32]) {
        for ((out, x), gamma) in out.iter_mut().zip(x).zip(gamma) {
            *out = (x - mean) * factor * gamma;
        }
    }

    fn full(x: &[f32], mean: f32, factor: f32, gamma: &[f32], beta: &[f32], out: &mut [f32]) {
        for (((out, x), gamma), beta) in out.iter_mut().zip(x).zip(gamma).zip(beta) {
            *out = (x - mean) * factor * gamma + beta;
        }
    }

    fn times(x: &mut [f32], y: f32) {
        for x in x {
            *x *= y;
        }
    }

    fn plus(x: &mut [f32], y: f32) {
        for x in x {
            *x += y;
        }
    }

    fn add(x: &mut [f32], y: &[f32]) {
        for (x, y) in x.iter_mut().zip(y) {
            *x += y;
        }
    }
}
