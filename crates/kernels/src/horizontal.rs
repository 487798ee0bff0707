//! Horizontal reductions: over a slice in a fixed number of lanes, so that every instruction set adds the
//! same terms in the same order. To be called inside [`vectorised!`](crate::isa::vectorised).

use crate::number::Number;

const LANES: usize = 32;

/// The additions (or maxima) that bring `terms` together: each is joined to a lane, then the lanes to
/// one number.
pub(crate) const fn joins(terms: usize) -> usize {
    terms + LANES - 1
}

/// Adds (or otherwise merges) the lanes by halves.
#[inline(always)]
fn merge<T: Number>(mut lanes: [T; LANES], join: impl Fn(T, T) -> T) -> T {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] = join(lanes[i], lanes[i + width]);
        }
        width /= 2;
    }
    lanes[0]
}

/// `Σ f(x)`.
#[inline(always)]
pub(crate) fn sum_of<T: Number>(x: &[T], f: impl Fn(T) -> T) -> T {
    let mut lanes = [T::of(0.0); LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, &v) in lanes.iter_mut().zip(chunk) {
            *lane += f(v);
        }
    }
    for (lane, &v) in lanes.iter_mut().zip(rest) {
        *lane += f(v);
    }
    merge(lanes, |a, b| a + b)
}

/// `Σ xᵢ·yᵢ` over the shorter of the two.
#[inline(always)]
pub(crate) fn dot<T: Number>(x: &[T], y: &[T]) -> T {
    let mut lanes = [T::of(0.0); LANES];
    let (xs, x_rest) = x.as_chunks::<LANES>();
    let (ys, y_rest) = y.as_chunks::<LANES>();
    for (x, y) in xs.iter().zip(ys) {
        for ((lane, &x), &y) in lanes.iter_mut().zip(x).zip(y) {
            *lane = x.mul_add(y, *lane);
        }
    }
    for ((lane, &x), &y) in lanes.iter_mut().zip(x_rest).zip(y_rest) {
        *lane = x.mul_add(y, *lane);
    }
    merge(lanes, |a, b| a + b)
}

/// `Σ xᵢ·yᵢ` and `Σ xᵢ·zᵢ`, each with the bits of [`dot`]; all are equally long.
#[inline(always)]
pub(crate) fn two_dots<T: Number>(x: &[T], y: &[T], z: &[T]) -> (T, T) {
    let (mut y_lanes, mut z_lanes) = ([T::of(0.0); LANES], [T::of(0.0); LANES]);
    let (xs, x_rest) = x.as_chunks::<LANES>();
    let (ys, y_rest) = y.as_chunks::<LANES>();
    let (zs, z_rest) = z.as_chunks::<LANES>();
    for ((x, y), z) in xs.iter().zip(ys).zip(zs) {
        for ((lane, &x), &y) in y_lanes.iter_mut().zip(x).zip(y) {
            *lane = x.mul_add(y, *lane);
        }
        for ((lane, &x), &z) in z_lanes.iter_mut().zip(x).zip(z) {
            *lane = x.mul_add(z, *lane);
        }
    }
    for ((lane, &x), &y) in y_lanes.iter_mut().zip(x_rest).zip(y_rest) {
        *lane = x.mul_add(y, *lane);
    }
    for ((lane, &x), &z) in z_lanes.iter_mut().zip(x_rest).zip(z_rest) {
        *lane = x.mul_add(z, *lane);
    }
    (merge(y_lanes, |a, b| a + b), merge(z_lanes, |a, b| a + b))
}

/// The greatest number; `-∞` for none. `NaN` is passed over.
#[inline(always)]
pub(crate) fn max<T: Number>(x: &[T]) -> T {
    let greater = |a: T, b: T| if b > a { b } else { a };
    let mut lanes = [T::of(f32::NEG_INFINITY); LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, &v) in lanes.iter_mut().zip(chunk) {
            *lane = greater(*lane, v);
        }
    }
    for (lane, &v) in lanes.iter_mut().zip(rest) {
        *lane = greater(*lane, v);
    }
    merge(lanes, greater)
}

/// Replaces each `x` by `f(x)` and returns the sum of the new values.
#[inline(always)]
pub(crate) fn map_sum<T: Number>(x: &mut [T], f: impl Fn(T) -> T) -> T {
    let mut lanes = [T::of(0.0); LANES];
    let (chunks, rest) = x.as_chunks_mut::<LANES>();
    for chunk in chunks {
        for (lane, v) in lanes.iter_mut().zip(chunk) {
            *v = f(*v);
            *lane += *v;
        }
    }
    for (lane, v) in lanes.iter_mut().zip(rest) {
        *v = f(*v);
        *lane += *v;
    }
    merge(lanes, |a, b| a + b)
}

/// Writes `f(x)` for each `x` and returns the sum of the values.
#[inline(always)]
pub(crate) fn write_sum<T: Number>(x: &[T], out: &mut [T], f: impl Fn(T) -> T) -> T {
    let mut lanes = [T::of(0.0); LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    let (out_chunks, out_rest) = out.as_chunks_mut::<LANES>();
    for (chunk, out) in chunks.iter().zip(out_chunks) {
        for ((lane, &x), out) in lanes.iter_mut().zip(chunk).zip(out) {
            *out = f(x);
            *lane += *out;
        }
    }
    for ((lane, &x), out) in lanes.iter_mut().zip(rest).zip(out_rest) {
        *out = f(x);
        *lane += *out;
    }
    merge(lanes, |a, b| a + b)
}
