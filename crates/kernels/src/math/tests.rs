//! The vector functions against double precision, on every instruction set of the machine: samples
//! of all numbers in the ordinary run, every single number in the ignored tests.

use rayon::prelude::*;

use super::*;
use crate::Isa;
use crate::isa::vectorised;

/// Bound on the error of [`exp2_flushed`], in units in the last place of the result.
const EXP2_MAX_ULP: f64 = 2.5;

vectorised! {
    fn map_exp(x: &mut [f32]) { x.iter_mut().for_each(|v| *v = exp(*v)); }
    fn map_exp2_flushed(x: &mut [f32]) { x.iter_mut().for_each(|v| *v = exp2_flushed(*v)); }
    fn map_tanh(x: &mut [f32]) { x.iter_mut().for_each(|v| *v = tanh(*v)); }
    fn map_erf(x: &mut [f32]) { x.iter_mut().for_each(|v| *v = erf(*v)); }
}

/// A vector function, what it approximates and how its error is measured.
struct Function {
    name: &'static str,
    run: fn(Isa, &mut [f32]),
    reference: fn(f64) -> f64,
    error: fn(f64, f32) -> f64,
    bound: f64,
    domain: fn(f32) -> bool,
}

const EXP: Function = Function {
    name: "exp",
    run: map_exp,
    reference: f64::exp,
    error: ulps,
    bound: EXP_MAX_ULP,
    domain: |_| true,
};

const EXP2_FLUSHED: Function = Function {
    name: "exp2_flushed",
    run: map_exp2_flushed,
    reference: |x| flushed(x.exp2()),
    bound: EXP2_MAX_ULP,
    domain: |x| x.is_nan() || x <= 0.0,
    ..EXP
};

const TANH: Function =
    Function { name: "tanh", run: map_tanh, reference: f64::tanh, bound: TANH_MAX_ULP, ..EXP };

const ERF: Function = Function {
    name: "erf",
    run: map_erf,
    reference: libm::erf,
    error: absolute,
    bound: ERF_MAX_ABS,
    ..EXP
};

/// Where the function and its reference are furthest apart.
#[derive(Clone, Copy, Debug)]
struct Worst {
    error: f64,
    x: f32,
    y: f32,
}

impl Worst {
    const NONE: Worst = Worst { error: 0.0, x: 0.0, y: 0.0 };

    fn or(self, other: Worst) -> Worst {
        if other.error > self.error { other } else { self }
    }
}

/// Zero for what is smaller than any normal number.
fn flushed(x: f64) -> f64 {
    if x < f64::from(f32::MIN_POSITIVE) { 0.0 } else { x }
}

/// The error of `y` in units in the last place of the exact result, subnormal ones included.
/// Infinite unless `y` is `NaN` or infinite exactly where the rounded result is.
fn ulps(exact: f64, y: f32) -> f64 {
    let rounded = exact as f32;
    if rounded.is_nan() || y.is_nan() {
        return if rounded.is_nan() && y.is_nan() { 0.0 } else { f64::INFINITY };
    }
    if rounded.is_infinite() || y.is_infinite() {
        return if rounded == y { 0.0 } else { f64::INFINITY };
    }
    // 2^⌊log2 exact⌋ is the number without its mantissa.
    let binade = f64::from_bits(exact.abs().to_bits() & (0x7ff << 52));
    let unit = binade.max(f64::from(f32::MIN_POSITIVE)) * f64::from(f32::EPSILON);
    (f64::from(y) - exact).abs() / unit
}

/// The absolute error of `y`; infinite unless `y` is `NaN` exactly where the exact result is.
fn absolute(exact: f64, y: f32) -> f64 {
    match (exact.is_nan(), y.is_nan()) {
        (true, true) => 0.0,
        (false, false) => (f64::from(y) - exact).abs(),
        _ => f64::INFINITY,
    }
}

impl Function {
    /// The worst of some numbers on each instruction set, in the order of [`Isa::available`].
    fn worst(&self, x: &[f32]) -> Vec<Worst> {
        let x: Vec<f32> = x.iter().copied().filter(|x| (self.domain)(*x)).collect();
        let exact: Vec<f64> = x.iter().map(|&x| (self.reference)(x.into())).collect();
        let worst = |isa| {
            let mut y = x.clone();
            (self.run)(isa, &mut y);
            let all = x.iter().zip(&y).zip(&exact);
            all.map(|((&x, &y), &exact)| Worst { error: (self.error)(exact, y), x, y })
                .fold(Worst::NONE, Worst::or)
        };
        Isa::available().map(worst).collect()
    }

    fn assert_within(&self, worst: &[Worst]) {
        for (isa, Worst { error, x, y }) in Isa::available().zip(worst) {
            let Function { name, bound, .. } = self;
            assert!(error <= bound, "{name}({x:e}) = {y:e} is off by {error} on {isa}");
        }
    }

    /// A sample of all numbers, and some of special interest.
    fn check_sample(&self, special: &[f32]) {
        let mut x: Vec<f32> = (0..=u32::MAX).step_by(4099).map(f32::from_bits).collect();
        x.extend((-110_000..110_000).map(|i| i as f32 * 1e-3));
        x.extend([0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MAX, f32::MIN]);
        for x in special {
            let around = -64..=64i32;
            let near = around.map(|i| f32::from_bits(x.to_bits().wrapping_add_signed(i)));
            self.assert_within(&self.worst(&near.collect::<Vec<_>>()));
        }
        self.assert_within(&self.worst(&x));
    }

    fn check_all(&self) {
        const PART: u32 = 1 << 16;
        let part = |part: u32| {
            let x: Vec<f32> = (0..PART).map(|i| f32::from_bits(part * PART + i)).collect();
            self.worst(&x)
        };
        let none = || vec![Worst::NONE; Isa::available().count()];
        let join = |a: Vec<Worst>, b: Vec<Worst>| {
            a.into_iter().zip(b).map(|(a, b)| a.or(b)).collect::<Vec<_>>()
        };
        let worst = (0..PART).into_par_iter().map(part).reduce(none, join);
        for (isa, Worst { error, x, .. }) in Isa::available().zip(&worst) {
            println!("{} on {isa}: at most {error:.7e}, at {x:e}", self.name);
        }
        self.assert_within(&worst);
    }
}

#[test]
fn exp_is_accurate() {
    // Around the ends of the subnormal, the normal and the finite results.
    EXP.check_sample(&[-104.0, -103.972_08, -103.278_93, -87.336_54, 88.722_84, 89.0, 1e-40]);
    assert_eq!(exp(f32::NEG_INFINITY), 0.0);
    assert_eq!(exp(f32::INFINITY), f32::INFINITY);
    assert_eq!((exp(0.0), exp(-0.0)), (1.0, 1.0));
    assert!(exp(f32::NAN).is_nan());
}

#[test]
fn flushed_exponential_is_accurate() {
    EXP2_FLUSHED.check_sample(&[-126.0, -127.0, -149.0, -150.0, -1e-40, -0.5, -1.5]);
    let ends = [0.0, -0.0, f32::NEG_INFINITY].map(exp2_flushed);
    assert_eq!(ends, [1.0, 1.0, 0.0]);
    assert!(exp2_flushed(f32::NAN).is_nan());
    // Powers of two are exact, the smallest normal number included.
    for n in 0..=126u8 {
        assert_eq!(exp2_flushed(-f32::from(n)), 0.5f32.powi(n.into()));
    }
}

#[test]
fn tanh_is_accurate() {
    TANH.check_sample(&[0.625, -0.625, 9.010_913, 1e-40, f32::MIN_POSITIVE]);
    assert_eq!((tanh(f32::INFINITY), tanh(f32::NEG_INFINITY)), (1.0, -1.0));
    assert!(tanh(f32::NAN).is_nan());
}

#[test]
fn erf_is_accurate() {
    ERF.check_sample(&[1.0, -1.0, 3.72, -3.72, 4.0, 1e-40, f32::MIN_POSITIVE]);
    assert_eq!((erf(f32::INFINITY), erf(f32::NEG_INFINITY)), (1.0, -1.0));
    assert!(erf(f32::NAN).is_nan());
    assert!(erf(0.0) == 0.0);
    for x in (0..5000).map(|i| i as f32 * 1e-3) {
        assert!(erf(x) <= 1.0 && erf(-x) == -erf(x), "{x}");
    }
}

#[test]
fn instruction_sets_give_the_same_bits() {
    let x: Vec<f32> = (0..=u32::MAX).step_by(4099).map(f32::from_bits).collect();
    for Function { name, run, domain, .. } in [EXP, EXP2_FLUSHED, TANH, ERF] {
        let x: Vec<f32> = x.iter().copied().filter(|x| domain(*x) && !x.is_nan()).collect();
        let bits = |isa| {
            let mut y = x.clone();
            run(isa, &mut y);
            y.into_iter().map(f32::to_bits).collect::<Vec<_>>()
        };
        let scalar = bits(Isa::SCALAR);
        for isa in Isa::available() {
            assert!(bits(isa) == scalar, "{name} on {isa}");
        }
    }
}

#[test]
#[ignore = "every single-precision number: minutes"]
fn exp_is_accurate_everywhere() {
    EXP.check_all();
}

#[test]
#[ignore = "every single-precision number: minutes"]
fn flushed_exponential_is_accurate_everywhere() {
    EXP2_FLUSHED.check_all();
}

#[test]
#[ignore = "every single-precision number: minutes"]
fn tanh_is_accurate_everywhere() {
    TANH.check_all();
}

#[test]
#[ignore = "every single-precision number: minutes"]
fn erf_is_accurate_everywhere() {
    ERF.check_all();
}

#[test]
fn logarithms_are_within_their_bound() {
    let worst = (0..=1_000_000_u32)
        .map(|i| i as f32 / 1e6)
        .map(|t| (f64::from(super::ln_1p(t)) - f64::from(t).ln_1p()).abs());
    let worst = worst.fold(0.0, f64::max);
    assert!(worst <= 2e-7, "{worst:e}");
}
