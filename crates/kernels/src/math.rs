//! `exp`, `tanh` and `erf` for single precision, without branches, so that loops over them
//! vectorise.
//!
//! Every step is an IEEE operation or a fused multiply-add, so all instruction sets give the same
//! bits. The polynomials are Chebyshev fits in double precision of the functions named beside them.

/// Bound on the error of [`exp`], in units in the last place of the result.
pub const EXP_MAX_ULP: f64 = 2.0;
/// Bound on the error of [`tanh`], in units in the last place of the result.
pub const TANH_MAX_ULP: f64 = 4.0;
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

/// `eˣ` within [`EXP_MAX_ULP`], subnormal results and `±∞` included; `NaN` stays `NaN`.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let x = if x < EXP_LOW { EXP_LOW } else { x };
    let x = if x > EXP_HIGH { EXP_HIGH } else { x };
    let shifted = x.mul_add(LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = (-n).mul_add(LN2_LOW, (-n).mul_add(LN2_HIGH, x));
    // (eʳ - 1 - r) / r² for |r| <= ln 2 / 2.
    let p = polynomial(r, [0.001_392_622_5, 0.008_363_212, 0.041_666_554, 0.166_665_77, 0.5]);
    let p = p.mul_add(r * r, r) + 1.0;
    // Two factors: the result may be subnormal or infinite where 2ⁿ is out of range.
    let n = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    let half = n >> 1;
    p * power_of_two(half) * power_of_two(n.wrapping_sub(half))
}

/// `eˣ` as [`exp`], but zero wherever the result would be subnormal.
#[inline(always)]
pub(crate) fn exp_flushed(x: f32) -> f32 {
    // The smallest argument whose exponential is a normal number.
    const LOW: f32 = -87.336_54;
    let clipped = if x < LOW { LOW } else { x };
    let shifted = clipped.mul_add(LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = (-n).mul_add(LN2_LOW, (-n).mul_add(LN2_HIGH, clipped));
    let p = polynomial(r, [0.001_392_622_5, 0.008_363_212, 0.041_666_554, 0.166_665_77, 0.5]);
    let p = p.mul_add(r * r, r) + 1.0;
    let n = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    let value = p * power_of_two(n);
    if x < LOW { 0.0 } else { value }
}

/// `2^x` for `x <= 0`, zero wherever the result would be subnormal; `NaN` stays `NaN`.
#[inline(always)]
pub(crate) fn exp2_flushed(x: f32) -> f32 {
    let clipped = if x < -126.0 { -126.0 } else { x };
    let shifted = clipped + ROUND;
    let r = clipped - (shifted - ROUND);
    let p = polynomial(
        r,
        [1.339_887_4e-3, 9.618_437e-3, 5.550_333e-2, 0.240_226_48, std::f32::consts::LN_2, 1.0],
    );
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
    let far = (1.0 - 2.0 / (exp(2.0 * x.abs()) + 1.0)).copysign(x);
    if x.abs() < 0.625 { near } else { far }
}

/// The error function within [`ERF_MAX_ABS`]; `±1` at `±∞`, `NaN` stays `NaN`.
#[inline(always)]
pub fn erf(x: f32) -> f32 {
    let s = x * x;
    // erf x / x - 1 for |x| <= 1.
    let p = polynomial(
        s,
        [-5.648_06e-4, 0.004_921_762, -0.026_715_054, 0.112_803_17, -0.376_123_44, 0.128_379_13],
    );
    let near = p.mul_add(x, x);
    // ln(1 - erf t) for 1 <= t <= 4; at 4 the result rounds to 1.
    let t = x.abs();
    let t = if t > 4.0 { 4.0 } else { t };
    let q = polynomial(
        t,
        [
            -1.327_236_2e-5,
            3.169_370_2e-4,
            -0.003_432_351_4,
            0.022_604_772,
            -0.103_281_12,
            -0.639_141_26,
            -1.125_893_7,
            -7.658_978e-4,
        ],
    );
    let far = (1.0 - exp(q)).copysign(x);
    if x.abs() < 1.0 { near } else { far }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;
    use crate::isa::vectorised;

    vectorised! {
        fn map_exp(x: &mut [f32]) { x.iter_mut().for_each(|v| *v = exp(*v)); }
        fn map_flushed(x: &mut [f32]) { x.iter_mut().for_each(|v| *v = exp_flushed(*v)); }
        fn map_tanh(x: &mut [f32]) { x.iter_mut().for_each(|v| *v = tanh(*v)); }
        fn map_erf(x: &mut [f32]) { x.iter_mut().for_each(|v| *v = erf(*v)); }
    }

    /// All terms positive: erf x = 2/√π · e^(-x²) · Σ 2ⁱ x^(2i+1) / (2i+1)!!
    fn erf_f64(x: f64) -> f64 {
        let (mut term, mut sum, mut i) = (x, x, 1.0);
        while (term / sum).abs() > 1e-18 {
            term *= 2.0 * x * x / (2.0 * i + 1.0);
            sum += term;
            i += 1.0;
        }
        std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum
    }

    fn ulp(reference: f64) -> f64 {
        let exponent = reference.abs().log2().floor().max(-126.0);
        (exponent - 23.0).exp2()
    }

    fn samples(step: usize) -> Vec<f32> {
        (0..=u32::MAX).step_by(step).map(f32::from_bits).collect()
    }

    fn check_exp(x: &[f32]) {
        for isa in Isa::available() {
            let mut y = x.to_vec();
            map_exp(isa, &mut y);
            for (&x, &y) in x.iter().zip(&y) {
                let reference = f64::from(x).exp();
                if x.is_nan() {
                    assert!(y.is_nan());
                } else if reference > f64::from(f32::MAX) * (1.0 + 2f64.powi(-25)) {
                    assert_eq!(y, f32::INFINITY, "exp({x})");
                } else {
                    let error = (f64::from(y) - reference).abs() / ulp(reference);
                    assert!(error <= EXP_MAX_ULP, "exp({x}) = {y}, {error} ULP, {isa}");
                }
            }
        }
    }

    #[test]
    fn exp_is_accurate() {
        check_exp(&samples(4099));
        check_exp(&[0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 88.72283, 88.72284]);
        check_exp(&[-87.33654, -87.4, -103.0, -103.97208, -103.98, -1e30, 1e30, f32::MIN_POSITIVE]);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(0.0), 1.0);
    }

    #[test]
    #[ignore = "every single-precision number: many minutes"]
    fn exp_is_accurate_everywhere() {
        for part in 0..256u32 {
            check_exp(&(0..1 << 24).map(|i| f32::from_bits(part << 24 | i)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn flushed_exp_differs_only_in_subnormals() {
        let mut x = samples(4099);
        x.retain(|x| x.is_nan() || *x <= 0.0);
        x.extend([-87.33654, -87.336555, f32::NEG_INFINITY, 0.0]);
        for isa in Isa::available() {
            let mut y = x.clone();
            map_flushed(isa, &mut y);
            for (&x, &y) in x.iter().zip(&y) {
                let e = exp(x);
                if e.is_nan() {
                    assert!(y.is_nan());
                } else if e >= f32::MIN_POSITIVE {
                    assert_eq!(y, e, "{x}");
                } else {
                    assert_eq!(y, 0.0, "{x}");
                }
            }
        }
    }

    #[test]
    fn tanh_is_accurate() {
        let mut x = samples(4099);
        x.extend((0..100_000).map(|i| i as f32 * 1e-4));
        x.extend([f32::INFINITY, f32::NEG_INFINITY, 0.625, 0.62499994]);
        for isa in Isa::available() {
            let mut y = x.clone();
            map_tanh(isa, &mut y);
            for (&x, &y) in x.iter().zip(&y) {
                if x.is_nan() {
                    assert!(y.is_nan());
                    continue;
                }
                let reference = f64::from(x).tanh();
                let error = (f64::from(y) - reference).abs() / ulp(reference);
                assert!(error <= TANH_MAX_ULP, "tanh({x}) = {y}, {error} ULP, {isa}");
            }
        }
    }

    #[test]
    fn erf_is_accurate() {
        let mut x: Vec<f32> = (-60_000..60_000).map(|i| i as f32 * 1e-4).collect();
        x.extend([f32::MAX, f32::MIN_POSITIVE, 1e-40, 1.0, 0.99999994, 4.0]);
        for isa in Isa::available() {
            let mut y = x.clone();
            map_erf(isa, &mut y);
            for (&x, &y) in x.iter().zip(&y) {
                let reference =
                    if x.abs() > 7.0 { 1f64.copysign(x.into()) } else { erf_f64(x.into()) };
                let error = (f64::from(y) - reference).abs();
                assert!(error <= ERF_MAX_ABS, "erf({x}) = {y}, off by {error}, {isa}");
            }
        }
        assert_eq!(erf(f32::INFINITY), 1.0);
        assert_eq!(erf(f32::NEG_INFINITY), -1.0);
        assert!(erf(f32::NAN).is_nan());
        assert!(erf(0.0) == 0.0);
    }
}
