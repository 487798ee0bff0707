//! Position encodings.

use opledger_dims::Class;

use crate::error::{KernelError, exactly, volume};
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
pub struct Rope<'a> {
    /// Batch items.
    pub batch: usize,
    /// Tokens of each item.
    pub tokens: usize,
    /// Heads.
    pub heads: usize,
    /// Width of a head.
    pub width: usize,
    /// Position of the first token.
    pub offset: usize,
    /// `[pairs]`: the angle of a pair per position; elements from `2·pairs` on are copied.
    pub inv_freq: &'a [f32],
    /// What sines and cosines are multiplied by, if they are.
    pub factor: Option<f32>,
    /// The pairs.
    pub pairing: Pairing,
}

/// Rotates each pair `(a, b)` of `x` by its angle: `(a·cos - b·sin, b·cos + a·sin)`.
///
/// Counts 1 mul, 1 sin and 1 cos per position and pair, whatever the batch, 2 mul more with a
/// `factor`; 4 mul and 2 add per rotated pair.
///
/// # Errors
/// [`KernelError::Shape`] if there are more pairs than `width` holds; [`KernelError::Length`] if a
/// slice is not `[batch, tokens, heads, width]`.
pub fn rope<T: Number, M: Meter>(
    rope: &Rope<'_>,
    x: &[T],
    out: &mut [T],
    meter: &M,
) -> Result<(), KernelError> {
    let isa = isa()?;
    let &Rope { batch, tokens, heads, width, offset, inv_freq, factor, pairing } = rope;
    exactly("input", x.len(), &[batch, tokens, heads, width])?;
    exactly("output", out.len(), &[batch, tokens, heads, width])?;
    let pairs = inv_freq.len();
    if pairs > width / 2 {
        return Err(KernelError::Shape { what: "2·pairs <= width" });
    }
    let mut table = vec![T::of(0.0); volume("angles", &[tokens, 2, pairs])?];
    angles(offset, inv_freq, factor, &mut table, meter, |row, i| [i, row + i]);
    over_rows(out, heads * width, 2, meter, |first, out, tally| {
        for (row, out) in out.chunks_mut(heads * width).enumerate() {
            let row = first + row;
            let x = &x[row * heads * width..][..heads * width];
            let (sin, cos) = table[row % tokens * 2 * pairs..][..2 * pairs].split_at(pairs);
            for (out, x) in out.chunks_mut(width).zip(x.chunks(width)) {
                match pairing {
                    Pairing::HalfSplit => rotate_halves(isa, x, out, sin, cos),
                    Pairing::Interleaved => rotate_neighbours(isa, x, out, sin, cos),
                }
                out[2 * pairs..].copy_from_slice(&x[2 * pairs..]);
                tally.both(Class::Mul, 4 * pairs);
                tally.both(Class::Add, 2 * pairs);
            }
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
    angles(offset, inv_freq, None, out, meter, |_, i| [2 * i, 2 * i + 1]);
    Ok(())
}

/// Writes sine and cosine of each angle, times `factor`, at the places `at(pairs, pair)` of the
/// position's row.
fn angles<T: Number, M: Meter>(
    offset: usize,
    inv_freq: &[f32],
    factor: Option<f32>,
    table: &mut [T],
    meter: &M,
    at: impl Fn(usize, usize) -> [usize; 2] + Sync,
) {
    let pairs = inv_freq.len();
    over_rows(table, 2 * pairs, 8, meter, |first, rows, tally| {
        for (row, out) in rows.chunks_mut(2 * pairs).enumerate() {
            let position = T::of(offset.saturating_add(first + row) as f32);
            for (i, freq) in inv_freq.iter().enumerate() {
                let (sin, cos) = (position * T::of(*freq)).sin_cos();
                let [at_sin, at_cos] = at(pairs, i);
                out[at_sin] = sin;
                out[at_cos] = cos;
            }
            if let Some(factor) = factor {
                out.iter_mut().for_each(|x| *x *= T::of(factor));
                tally.both(Class::Mul, out.len());
            }
            tally.both(Class::Mul, pairs);
            tally.both(Class::Sin, pairs);
            tally.both(Class::Cos, pairs);
        }
    });
}

vectorised! {
    fn rotate_halves[T: Number](x: &[T], out: &mut [T], sin: &[T], cos: &[T]) {
        let pairs = sin.len();
        let (a, b) = x[..2 * pairs].split_at(pairs);
        let (out_a, out_b) = out[..2 * pairs].split_at_mut(pairs);
        let cos = &cos[..pairs];
        for i in 0..pairs {
            out_a[i] = a[i] * cos[i] - b[i] * sin[i];
            out_b[i] = b[i] * cos[i] + a[i] * sin[i];
        }
    }

    fn rotate_neighbours[T: Number](x: &[T], out: &mut [T], sin: &[T], cos: &[T]) {
        let (x, _) = x.as_chunks::<2>();
        let (out, _) = out.as_chunks_mut::<2>();
        for (((out, &[a, b]), &sin), &cos) in out.iter_mut().zip(x).zip(sin).zip(cos) {
            *out = [a * cos - b * sin, b * cos + a * sin];
        }
    }
}
