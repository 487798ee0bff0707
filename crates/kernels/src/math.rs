//! `exp`, `tanh` and `erf` for single precision, without branches, so that loops over them
//! vectorise.
//!
//! Every step is an IEEE operation or a fused multiply-add, so all instruction sets give the same
//! bits. The polynomials are fits of the functions named beside them, found in higher precision.

/// Bound on the error of [`exp`], in units in the last place of the result.
pub const EXP_MAX_ULP: f64 = 1.0;
/// Bound on the error of [`tanh`], in units in the last place of the result.
pub const TANH_MAX_ULP: f64 = 2.0;
/// Bound on the absolute error of [`erf`].
pub const ERF_MAX_ABS: f64 = 2e-7;

const LOG2_E: f32 = std::f32::consts::LOG2_E;
/// `ln 2` cut to few bits, so that its product with an exponent is exact, and what was cut off.
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;
/// `1.5·2²³`: adding it leaves the nearest integer in the low bits of the mantissa.
const ROUND: f32 = 12_582_912.0;
/// Below it `exp` is zero, above it infinite; `NaN` compares with neither and stays.
const EXP_LOW: f32 = -104.0;
const EXP_HIGH: f32 = 89.0;

/// `eʳ` for `|r| <= ln 2 / 2`.
const EXPONENTIAL: [f32; 7] =
    [0.001_381_459_9, 0.008_368_717, 0.041_668_39, 0.166_665_21, 0.499_999_94, 1.0, 1.0];
/// `2ʳ` for `|r| <= 1/2`.
#[expect(clippy::approx_constant, reason = "a coefficient of the fit, not ln 2")]
const POWER_OF_TWO: [f32; 6] =
    [0.001_326_473, 0.009_671_513, 0.055_507_336, 0.240_222_42, 0.693_147, 1.0];

/// `erf x / x` in `x² - ERF_MIDDLE` for `|x| <= 3.72`, the largest error of `erf` being least; beyond,
/// `1 - erf x` is below 1.5e-7.
const ERF: [f32; 15] = [
    1.221_184_8e-15,
    -2.380_145_1e-14,
    1.729_814_9e-13,
    -1.798_391_2e-12,
    3.396_014_4e-11,
    -4.454_286_4e-10,
    4.754_295_6e-9,
    -4.957_727e-8,
    4.951_376_7e-7,
    -4.605_728e-6,
    4.054_594_7e-5,
    -0.000_346_280_72,
    0.002_973_571_2,
    -0.027_646_53,
    0.381_305_4,
];
const ERF_MIDDLE: f32 = 6.875;
const ERF_FAR: f32 = 3.72 * 3.72 - ERF_MIDDLE;

/// `Σ coefficients[i]·x^(len-1-i)`.
#[inline(always)]
fn polynomial<const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    let mut sum = coefficients[0];
    for coefficient in &coefficients[1..] {
        sum = sum.mul_add(x, *coefficient);
    }
    sum
}

/// `2^n` for `-126 <= n <= 127`.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

/// `eʳ` and the bits of a number whose low ones hold `n + bias`, where `x` is `n·ln 2 + r`.
#[inline(always)]
fn reduced(x: f32, bias: f32) -> (f32, u32) {
    let shifted = x.mul_add(LOG2_E, ROUND + bias);
    let n = shifted - (ROUND + bias);
    let r = (-n).mul_add(LN2_LOW, (-n).mul_add(LN2_HIGH, x));
    (polynomial(r, EXPONENTIAL), shifted.to_bits())
}

/// `eˣ` within [`EXP_MAX_ULP`], subnormal results and `±∞` included; `NaN` stays `NaN`.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let x = if x < EXP_LOW { EXP_LOW } else { x };
    let x = if x > EXP_HIGH { EXP_HIGH } else { x };
    // Two factors: the result may be subnormal or infinite where 2ⁿ is out of range.
    let (p, n) = reduced(x, 254.0);
    let half = n >> 1;
    p * f32::from_bits(half << 23) * f32::from_bits(n.wrapping_sub(half) << 23)
}

/// `2^x` for `x <= 0` within 2.5 units in the last place, zero wherever the result would be
/// subnormal; whole powers are exact, `NaN` stays `NaN`. Any other `x` is out of its domain.
#[inline(always)]
pub(crate) fn exp2_flushed(x: f32) -> f32 {
    let clipped = if x < -126.0 { -126.0 } else { x };
    let shifted = clipped + ROUND;
    let r = clipped - (shifted - ROUND);
    let p = polynomial(r, POWER_OF_TWO);
    let n = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    let value = p * power_of_two(n);
    if x < -126.0 { 0.0 } else { value }
}

/// `tanh x` within [`TANH_MAX_ULP`]; `±1` at `±∞`, `NaN` stays `NaN`.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let s = x * x;
    // (tanh x / x - 1) / x² for x² <= 0.4.
    let p =
        polynomial(s, [-0.006_045_165, 0.020_961_31, -0.053_843_264, 0.133_327_19, -0.333_333_28]);
    let near = (p * s).mul_add(x, x);
    let t = 2.0 * x.abs();
    // At 20 and beyond the result rounds to 1.
    let t = if t > 20.0 { 20.0 } else { t };
    let (q, n) = reduced(t, 127.0);
    let far = (1.0 - 2.0 / q.mul_add(f32::from_bits(n << 23), 1.0)).copysign(x);
    if x.abs() < 0.625 { near } else { far }
}

/// The error function within [`ERF_MAX_ABS`]; `±1` at `±∞`, `NaN` stays `NaN`.
#[inline(always)]
pub fn erf(x: f32) -> f32 {
    // About the middle of the range the terms alternate in sign: all are positive at zero, so their
    // sizes never add up to more than erf x / x there, and little cancels.
    let s = x.mul_add(x, -ERF_MIDDLE);
    let s = if s > ERF_FAR { ERF_FAR } else { s };
    let y = x * polynomial(s, ERF);
    // Beyond the range the product grows with x.
    let y = if y > 1.0 { 1.0 } else { y };
    if y < -1.0 { -1.0 } else { y }
}

/// ln(1 + t) for t in 0..=1, within 2e-7: 2·artanh(s) with s = t / (2 + t) ≤ 1/3, whose series is cut
/// after s¹³.
#[inline(always)]
pub(crate) fn ln_1p(t: f32) -> f32 {
    let s = t / (2.0 + t);
    let square = s * s;
    let series = [1.0 / 13.0, 1.0 / 11.0, 1.0 / 9.0, 1.0 / 7.0, 1.0 / 5.0, 1.0 / 3.0, 1.0];
    2.0 * s * series.into_iter().fold(0.0, |sum, term| sum * square + term)
}

#[cfg(test)]
mod tests;
