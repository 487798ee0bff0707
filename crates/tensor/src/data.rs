//! Seeded data: the same seed and name give the same tensor on every machine.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::Tensor;

/// How the elements of a random tensor are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Distribution {
    /// Uniform reals in `[centre - radius, centre + radius)`.
    Uniform {
        /// The middle of the interval.
        centre: f64,
        /// Half its width.
        radius: f64,
    },
    /// Multiples of 1/8 in `[-1, 1]`: sums and products of few of them are exact in `f32`.
    Dyadic,
    /// Zeros.
    Zero,
}

/// A seed for one named tensor of a run: FNV-1a over the run's seed and the name.
pub fn seed_of(seed: u64, name: &str) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let bytes = seed.to_le_bytes().into_iter().chain(name.bytes());
    bytes.fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

impl Tensor<f32> {
    /// A tensor of random reals.
    pub fn random(shape: &[usize], seed: u64, fill: Distribution) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let draw = move || match fill {
            Distribution::Uniform { centre, radius } => {
                (centre + radius * rng.random_range(-1.0..1.0)) as f32
            }
            Distribution::Dyadic => rng.random_range(-8..=8) as f32 / 8.0,
            Distribution::Zero => 0.0,
        };
        if fill == Distribution::Zero {
            return Tensor::from(ndarray::ArrayD::zeros(shape));
        }
        Tensor::from(ndarray::ArrayD::from_shape_simple_fn(shape, draw))
    }
}

impl Tensor<i64> {
    /// A tensor of random integers in `0..below`, all zero when `below` is at most 1.
    pub fn random_index(shape: &[usize], seed: u64, below: i64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        Tensor::from(ndarray::ArrayD::from_shape_simple_fn(shape, || {
            rng.random_range(0..below.max(1))
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_and_names_decide_the_data() {
        let fill = Distribution::Uniform { centre: 0.0, radius: 1.0 };
        let x = Tensor::random(&[4, 5], seed_of(1, "x"), fill);
        assert_eq!(x, Tensor::random(&[4, 5], seed_of(1, "x"), fill));
        assert_ne!(x, Tensor::random(&[4, 5], seed_of(2, "x"), fill));
        assert_ne!(x, Tensor::random(&[4, 5], seed_of(1, "y"), fill));
        assert!(x.data().iter().all(|v| (-1.0..1.0).contains(v)));
        assert!(
            Tensor::random(&[99], 7, Distribution::Dyadic)
                .data()
                .iter()
                .all(|v| (v * 8.0).fract() == 0.0)
        );
        assert!(Tensor::random_index(&[99], 7, 3).data().iter().all(|v| (0..3).contains(v)));
        assert_eq!(Tensor::random_index(&[2], 7, 0).data(), [0, 0]);
    }
}
