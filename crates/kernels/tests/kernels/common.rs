//! What the tests share: seeded data, arithmetic that counts itself, and runs under several pools.

use std::sync::OnceLock;

use opledger_dims::{Class, Counts};
use opledger_kernels::{AtomicMeter, BinaryOp, Tally};
use rayon::{ThreadPool, ThreadPoolBuilder};

/// Pseudo-random numbers in -1..1.
pub(crate) fn data(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

/// So many meters at zero.
pub(crate) fn meters(count: usize) -> Vec<AtomicMeter> {
    (0..count).map(|_| AtomicMeter::new()).collect()
}

/// Double-precision arithmetic that counts each scalar operation.
#[derive(Default)]
pub(crate) struct Ops {
    pub(crate) counts: Counts<u64>,
}

impl Ops {
    fn one(&mut self, class: Class, value: f64) -> f64 {
        self.counts[class] += 1;
        value
    }
    pub(crate) fn add(&mut self, a: f64, b: f64) -> f64 {
        self.one(Class::Add, a + b)
    }
    pub(crate) fn sub(&mut self, a: f64, b: f64) -> f64 {
        self.one(Class::Add, a - b)
    }
    pub(crate) fn mul(&mut self, a: f64, b: f64) -> f64 {
        self.one(Class::Mul, a * b)
    }
    pub(crate) fn div(&mut self, a: f64, b: f64) -> f64 {
        self.one(Class::Div, a / b)
    }
    pub(crate) fn max(&mut self, a: f64, b: f64) -> f64 {
        self.one(Class::Max, a.max(b))
    }
    pub(crate) fn exp(&mut self, a: f64) -> f64 {
        self.one(Class::Exp, a.exp())
    }
    pub(crate) fn sqrt(&mut self, a: f64) -> f64 {
        self.one(Class::Sqrt, a.sqrt())
    }
    pub(crate) fn sin(&mut self, a: f64) -> f64 {
        self.one(Class::Sin, a.sin())
    }
    pub(crate) fn cos(&mut self, a: f64) -> f64 {
        self.one(Class::Cos, a.cos())
    }

    pub(crate) fn binary(&mut self, op: BinaryOp, a: f64, b: f64) -> f64 {
        match op {
            BinaryOp::Add => self.add(a, b),
            BinaryOp::Mul => self.mul(a, b),
            BinaryOp::Div => self.div(a, b),
            BinaryOp::Sub => self.sub(a, b),
            BinaryOp::Max => self.max(a, b),
            BinaryOp::Min => self.one(Class::Max, a.min(b)),
            BinaryOp::Pow => {
                self.counts[Class::Log] += 1;
                self.counts[Class::Mul] += 1;
                self.one(Class::Exp, a.powf(b))
            }
        }
    }

    /// The sum of at least one term.
    pub(crate) fn sum(&mut self, terms: &[f64]) -> f64 {
        let mut sum = terms[0];
        for term in &terms[1..] {
            sum = self.add(sum, *term);
        }
        sum
    }

    pub(crate) fn dot(&mut self, a: &[f64], b: &[f64]) -> f64 {
        let products: Vec<f64> = a.iter().zip(b).map(|(a, b)| self.mul(*a, *b)).collect();
        self.sum(&products)
    }

    /// `cap·tanh(x / cap)`.
    pub(crate) fn cap(&mut self, x: f64, cap: f64) -> f64 {
        let x = self.div(x, cap);
        let x = self.one(Class::Tanh, x.tanh());
        self.mul(x, cap)
    }

    pub(crate) fn softmax(&mut self, x: &[f64]) -> Vec<f64> {
        self.softmax_beside(x, None)
    }

    /// Softmax with one more number beside those of the row, whose weight is dropped.
    pub(crate) fn softmax_beside(&mut self, x: &[f64], sink: Option<f64>) -> Vec<f64> {
        let Some((&first, rest)) = x.split_first() else { return Vec::new() };
        let mut greatest = first;
        for x in rest.iter().chain(&sink) {
            greatest = self.max(greatest, *x);
        }
        let e: Vec<f64> = x
            .iter()
            .map(|x| {
                let shifted = self.sub(*x, greatest);
                self.exp(shifted)
            })
            .collect();
        let mut sum = self.sum(&e);
        if let Some(sink) = sink {
            let shifted = self.sub(sink, greatest);
            let e = self.exp(shifted);
            sum = self.add(sum, e);
        }
        e.iter().map(|e| self.div(*e, sum)).collect()
    }
}

pub(crate) fn pools() -> &'static [ThreadPool] {
    static POOLS: OnceLock<Vec<ThreadPool>> = OnceLock::new();
    POOLS.get_or_init(|| {
        [1, 2, 3, 7]
            .map(|n| ThreadPoolBuilder::new().num_threads(n).build().unwrap())
            .into_iter()
            .collect()
    })
}

/// Runs a kernel under every pool; the outputs and counts must be the same.
pub(crate) fn run<const N: usize>(
    len: usize,
    kernel: impl Fn(&mut [f32], &[AtomicMeter; N]) + Sync,
) -> (Vec<f32>, [Tally; N]) {
    let mut runs = pools().iter().map(|pool| {
        let meters = std::array::from_fn(|_| AtomicMeter::new());
        let mut out = vec![f32::NAN; len];
        pool.install(|| kernel(&mut out, &meters));
        (out, meters.map(|meter| meter.read()))
    });
    let first = runs.next().unwrap();
    for other in runs {
        assert_eq!(first.1, other.1, "counts depend on the threads");
        for (a, b) in first.0.iter().zip(&other.0) {
            assert_eq!(a.to_bits(), b.to_bits(), "bits depend on the threads");
        }
    }
    for tally in &first.1 {
        for class in Class::ALL {
            let (useful, substituted) = (tally.useful[class], tally.substituted_counts()[class]);
            assert!(substituted <= useful, "{class}: {tally:?}");
            assert!(tally.executed[class] + substituted >= useful, "{class}: {tally:?}");
        }
    }
    first
}

/// Runs a kernel with one meter, whose useful counts are those expected.
pub(crate) fn run_one(
    len: usize,
    expected: &Ops,
    kernel: impl Fn(&mut [f32], &AtomicMeter) + Sync,
) -> Vec<f32> {
    let (out, [tally]) = run(len, |out, [meter]: &[AtomicMeter; 1]| kernel(out, meter));
    assert_eq!(tally.useful, expected.counts);
    out
}

/// Every operation on two numbers.
pub(crate) const BINARY: [BinaryOp; 7] = [
    BinaryOp::Add,
    BinaryOp::Mul,
    BinaryOp::Div,
    BinaryOp::Sub,
    BinaryOp::Max,
    BinaryOp::Min,
    BinaryOp::Pow,
];

/// Asserts `|found - expected| <= bound·(1 + |expected|)`, or that both are no number.
pub(crate) fn assert_close(found: &[f32], expected: &[f64], bound: f64) {
    assert_eq!(found.len(), expected.len());
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(*f) - e).abs();
        let nan = f.is_nan() && e.is_nan();
        assert!(nan || error <= bound * (1.0 + e.abs()), "element {i}: {f} for {e}");
    }
}

/// Rounding bound of a sum of `terms` products of numbers below one.
pub(crate) fn bound(terms: usize) -> f64 {
    (terms as f64 + 4.0) * f64::from(f32::EPSILON)
}

pub(crate) fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|x| f64::from(*x)).collect()
}
