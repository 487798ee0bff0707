//! Position encodings.

use opledger_dims::Class;

use crate::error::{KernelError, exactly};
use crate::isa::{isa, vectorised};
use crate::meter::Meter;
use crate::number::Number;
use crate::tasks::over_rows;

/// Which elements of a head are rotated together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pairing {
    /// Element `i` with `i + pairs` (`rotate_half`).
    HalfSplit,
    /// Element `2i` with `2i + 1`.
    Interleaved,
}

/// Rotary encoding of `[batch, tokens, heads, width]`.
#[derive(Clone, Copy, Debug)]
pub struct Rope<'a, T> {
    /// Batch items.
    pub batch: usize,
    /// Tokens of each item.
    pub tokens: usize,
    /// Heads.
    pub heads: usize,
    /// Width of a head.
    pub width: usize,
    /// How many elements of a head turn, its first; the others are copied.
    pub turned: usize,
    /// `[tokens, 2, turned]`: cosines, then sines. Those of pair `i` stand at `i` and at `i + turned/2`.
    pub table: &'a [T],
    /// The pairs.
    pub pairing: Pairing,
}

/// Rotates each pair `(a, b)` of `x` by its angle: `(a·cos - b·sin, b·cos + a·sin)`, `a`'s from the first
/// half of the table and `b`'s from the second.
///
/// Counts 4 mul and 2 add per pair.
///
/// # Errors
/// [`KernelError::Shape`] if `turned` is odd or more than `width`; [`KernelError::Length`] if a slice has
/// not its shape.
pub fn rope<T: Number, M: Meter>(
    rope: &Rope<'_, T>,
    x: &[T],
    out: &mut [T],
    meter: &M,
) -> Result<(), KernelError> {
    let isa = isa()?;
    let &Rope { batch, tokens, heads, width, turned, table, pairing } = rope;
    exactly("input", x.len(), &[batch, tokens, heads, width])?;
    exactly("output", out.len(), &[batch, tokens, heads, width])?;
    exactly("table", table.len(), &[tokens, 2, turned])?;
    if turned > width || turned % 2 == 1 {
        return Err(KernelError::Shape { what: "turned <= width, and even" });
    }
    over_rows(out, heads * width, 2, meter, |first, out, tally| {
        for (row, out) in out.chunks_mut(heads * width).enumerate() {
            let row = first + row;
            let x = &x[row * heads * width..][..heads * width];
            let angles = &table[row % tokens * 2 * turned..][..2 * turned];
            for (out, x) in out.chunks_mut(width).zip(x.chunks(width)) {
                match pairing {
                    Pairing::HalfSplit => rotate_halves(isa, x, out, angles),
                    Pairing::Interleaved => rotate_neighbours(isa, x, out, angles),
                }
                out[turned..].copy_from_slice(&x[turned..]);
                tally.both(Class::Mul, 2 * turned);
                tally.both(Class::Add, turned);
            }
        }
    });
    Ok(())
}

/// Where the rows of a table of a rotary encoding stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotaryPositions {
    /// One after another, from one on.
    From(usize),
    /// In a grid of so many down and across: the first half of the pairs turns by how far down the centre of
    /// a cell is, the second by how far across, both from -1 to 1.
    Grid([usize; 2]),
}

impl RotaryPositions {
    /// What the first half of a row's pairs is multiplied with, and the second.
    fn of(self, row: usize) -> [f32; 2] {
        match self {
            RotaryPositions::From(offset) => [offset.saturating_add(row) as f32; 2],
            RotaryPositions::Grid([down, across]) => {
                let centre = |at: usize, of: usize| (2 * at + 1) as f32 / of as f32 - 1.0;
                let across = across.max(1);
                [centre(row / across, down), centre(row % across, across)]
            }
        }
    }
}

/// Writes the table of a rotary encoding, `[tokens, 2, 2·inv_freq.len()]`: cosines, then sines, of a row's
/// position times `inv_freq[i]` at `i` and again at `i + inv_freq.len()`, each evaluated, times `factor`.
///
/// Counts per position and pair 1 mul, 2 cos, 2 sin, and 4 mul more with a `factor`.
///
/// # Errors
/// [`KernelError::Length`] if `out` has not this shape.
pub fn rotary_angles<T: Number, M: Meter>(
    positions: RotaryPositions,
    inv_freq: &[f32],
    factor: Option<f32>,
    out: &mut [T],
    meter: &M,
) -> Result<(), KernelError> {
    let (pairs, width) = (inv_freq.len(), 4 * inv_freq.len());
    if width > 0 && !out.len().is_multiple_of(width) {
        return Err(KernelError::Shape { what: "whole rows of the table" });
    }
    over_rows(out, width, 8, meter, |first, rows, tally| {
        for (row, out) in rows.chunks_mut(width).enumerate() {
            let [first, second] = positions.of(first + row).map(T::of);
            let (cos, sin) = out.split_at_mut(2 * pairs);
            let (once, again) = sin.split_at_mut(pairs);
            for (pair, (angle, freq)) in once.iter_mut().zip(inv_freq).enumerate() {
                let position = if 2 * pair < pairs { first } else { second };
                *angle = position * T::of(*freq);
            }
            again.copy_from_slice(once);
            for (cos, sin) in cos.iter_mut().zip(sin) {
                (*sin, *cos) = sin.sin_cos();
            }
            if let Some(factor) = factor {
                out.iter_mut().for_each(|x| *x *= T::of(factor));
                tally.both(Class::Mul, width);
            }
            tally.both(Class::Mul, pairs);
            tally.both(Class::Cos, 2 * pairs);
            tally.both(Class::Sin, 2 * pairs);
        }
    });
    Ok(())
}

/// Writes the table `[tokens, width]` of sinusoids: entry `(p, 2i)` is the sine and `(p, 2i + 1)`
/// the cosine of `(offset + p)·inv_freq[i]`, with `width = 2·inv_freq.len()`.
///
/// Counts 1 mul, 1 sin and 1 cos per position and pair.
///
/// # Errors
/// [`KernelError::Length`] if `out` is not `[tokens, 2·inv_freq.len()]`.
pub fn sinusoid<T: Number, M: Meter>(
    tokens: usize,
    offset: usize,
    inv_freq: &[f32],
    out: &mut [T],
    meter: &M,
) -> Result<(), KernelError> {
    exactly("output", out.len(), &[tokens, 2, inv_freq.len()])?;
    let width = 2 * inv_freq.len();
    over_rows(out, width, 8, meter, |first, rows, tally| {
        for (row, out) in rows.chunks_mut(width).enumerate() {
            let position = T::of(offset.saturating_add(first + row) as f32);
            for (out, freq) in out.as_chunks_mut().0.iter_mut().zip(inv_freq) {
                *out = <[T; 2]>::from((position * T::of(*freq)).sin_cos());
            }
            for class in [Class::Mul, Class::Sin, Class::Cos] {
                tally.both(class, inv_freq.len());
            }
        }
    });
    Ok(())
}

vectorised! {
    fn rotate_halves[T: Number](x: &[T], out: &mut [T], angles: &[T]) {
        let pairs = angles.len() / 4;
        let (a, b) = x[..2 * pairs].split_at(pairs);
        let (out_a, out_b) = out[..2 * pairs].split_at_mut(pairs);
        let [cos_a, cos_b, sin_a, sin_b] = quarters(angles);
        for i in 0..pairs {
            out_a[i] = a[i] * cos_a[i] - b[i] * sin_a[i];
            out_b[i] = b[i] * cos_b[i] + a[i] * sin_b[i];
        }
    }

    fn rotate_neighbours[T: Number](x: &[T], out: &mut [T], angles: &[T]) {
        let (x, _) = x.as_chunks::<2>();
        let (out, _) = out.as_chunks_mut::<2>();
        let [cos_a, cos_b, sin_a, sin_b] = quarters(angles);
        for (i, (out, &[a, b])) in out.iter_mut().zip(x).enumerate().take(cos_a.len()) {
            *out = [a * cos_a[i] - b * sin_a[i], b * cos_b[i] + a * sin_b[i]];
        }
    }
}

/// The cosines and sines of the elements `a` and `b` of pairs.
#[inline(always)]
fn quarters<T>(angles: &[T]) -> [&[T]; 4] {
    let pairs = angles.len() / 4;
    [0, 1, 2, 3].map(|quarter| &angles[quarter * pairs..][..pairs])
}
