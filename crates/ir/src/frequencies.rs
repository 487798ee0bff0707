//! The frequencies of rotary position embedding, and how they are changed for contexts longer than
//! those of training. They depend on constants only, so finding them counts nothing.

use std::f64::consts::TAU;

/// How the frequencies of a rotation are scaled. Names and formulas are those of the configurations
/// of published models (`rope_scaling` of the library transformers).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum RopeScaling {
    /// As they are.
    #[default]
    None,
    /// All frequencies divided by `factor` (Chen et al. 2023).
    Linear {
        /// How many times longer the context is.
        factor: f64,
    },
    /// Llama 3.1: a frequency that turns at most `low_freq_factor` times in the original context is
    /// divided by `factor`, one that turns at least `high_freq_factor` times stays, and between the
    /// two both are mixed, linearly in the number of turns.
    Llama3 {
        /// How many times longer the context is.
        factor: f64,
        /// Turns up to which a frequency is divided.
        low_freq_factor: f64,
        /// Turns from which a frequency stays.
        high_freq_factor: f64,
        /// Tokens of the original context.
        original_max_position_embeddings: usize,
    },
    /// YaRN (Peng et al. 2023): pairs that turn at least `beta_fast` times in the original context
    /// stay, those that turn at most `beta_slow` times are divided by `factor`, and between the two
    /// both are mixed, linearly in the pair.
    Yarn {
        /// How many times longer the context is.
        factor: f64,
        /// Turns from which a frequency stays, usually 32.
        beta_fast: f64,
        /// Turns up to which a frequency is divided, usually 1.
        beta_slow: f64,
        /// Tokens of the original context.
        original_max_position_embeddings: usize,
        /// What sines and cosines are multiplied by, usually 0.1·ln(`factor`) + 1.
        attention_factor: f64,
        /// Whether the pairs between which both are mixed are rounded to whole ones.
        truncate: bool,
    },
    /// The first pairs alone turn, by frequencies of the whole head (Gemma 4); those of the others are 0,
    /// and their sines and cosines are evaluated all the same.
    Proportional {
        /// How many pairs turn.
        pairs: usize,
        /// What their frequencies are divided by.
        factor: f64,
    },
}

/// The angle per position of pair `pair` among `width` elements: θ^(−2·pair/width).
pub fn inverse_frequency(theta: f64, pair: usize, width: usize) -> f64 {
    theta.powf(-2.0 * pair as f64 / width as f64)
}

impl RopeScaling {
    /// The angle per position of every pair among `width` elements.
    pub fn frequencies(&self, theta: f64, width: usize) -> Vec<f64> {
        (0..width / 2)
            .map(|pair| self.scaled(inverse_frequency(theta, pair, width), pair, theta, width))
            .collect()
    }

    /// What sines and cosines are multiplied by; `None` when they are not.
    pub fn attention_factor(&self) -> Option<f64> {
        match self {
            RopeScaling::Yarn { attention_factor, .. } if *attention_factor != 1.0 => {
                Some(*attention_factor)
            }
            _ => None,
        }
    }

    fn scaled(&self, frequency: f64, pair: usize, theta: f64, width: usize) -> f64 {
        let mixed = |factor: f64, kept: f64| frequency / factor * (1.0 - kept) + frequency * kept;
        match *self {
            RopeScaling::None => frequency,
            RopeScaling::Linear { factor } => frequency / factor,
            RopeScaling::Proportional { pairs, .. } if pair >= pairs => 0.0,
            RopeScaling::Proportional { factor, .. } => frequency / factor,
            RopeScaling::Llama3 {
                factor,
                low_freq_factor: low,
                high_freq_factor: high,
                original_max_position_embeddings: context,
            } => {
                let turns = context as f64 * frequency / TAU;
                // Where the two are one number, nothing is between them (Llama 4 Scout).
                mixed(
                    factor,
                    match turns {
                        turns if turns >= high => 1.0,
                        turns if turns <= low => 0.0,
                        turns => (turns - low) / (high - low),
                    },
                )
            }
            RopeScaling::Yarn {
                factor,
                beta_fast,
                beta_slow,
                original_max_position_embeddings: context,
                truncate,
                ..
            } => {
                // The pair that turns so many times in the original context.
                let pair_of = |turns: f64| {
                    width as f64 * (context as f64 / (turns * TAU)).ln() / (2.0 * theta.ln())
                };
                let (first, last) = (pair_of(beta_fast), pair_of(beta_slow));
                let (first, last) =
                    if truncate { (first.floor(), last.ceil()) } else { (first, last) };
                let (first, last) = (first.max(0.0), last.min(width as f64 - 1.0));
                // The published code keeps the two apart by this.
                let last = if first == last { last + 0.001 } else { last };
                mixed(factor, 1.0 - ((pair as f64 - first) / (last - first)).clamp(0.0, 1.0))
            }
        }
    }

    /// What the numbers lack, if anything.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        let positive = |numbers: &[f64]| numbers.iter().all(|x| *x > 0.0 && x.is_finite());
        match *self {
            RopeScaling::Linear { factor }
            | RopeScaling::Llama3 { factor, .. }
            | RopeScaling::Proportional { factor, .. }
                if !positive(&[factor]) =>
            {
                Some("the factor of a rope scaling must be a positive number")
            }
            RopeScaling::Llama3 { low_freq_factor: low, high_freq_factor: high, .. }
                if !positive(&[low, high]) || low > high =>
            {
                Some("llama3 needs 0 < low_freq_factor <= high_freq_factor")
            }
            RopeScaling::Yarn { factor, beta_fast, beta_slow, attention_factor, .. }
                if !positive(&[factor, beta_fast, beta_slow, attention_factor])
                    || beta_slow > beta_fast =>
            {
                Some(
                    "yarn needs positive factor and attention_factor, and 0 < beta_slow <= beta_fast",
                )
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    fn check(scaling: RopeScaling, theta: f64, expected: &[(usize, f64)]) {
        let frequencies = scaling.frequencies(theta, 128);
        assert_eq!(frequencies.len(), 64);
        for (pair, expected) in expected {
            assert_relative_eq!(frequencies[*pair], expected, max_relative = 1e-13);
        }
    }

    #[test]
    fn linear_divides_all() {
        let plain = RopeScaling::None.frequencies(1e4, 8);
        for (plain, expected) in plain.iter().zip([1.0, 0.1, 0.01, 0.001]) {
            assert_relative_eq!(*plain, expected, max_relative = 1e-14);
        }
        let linear = RopeScaling::Linear { factor: 4.0 }.frequencies(1e4, 8);
        assert_eq!(linear, plain.iter().map(|f| f / 4.0).collect::<Vec<_>>());
    }

    #[test]
    fn proportional_turns_the_first_pairs() {
        let scaling = RopeScaling::Proportional { pairs: 2, factor: 2.0 };
        let found = scaling.frequencies(1e4, 8);
        for (found, expected) in found.iter().zip([0.5, 0.05, 0.0, 0.0]) {
            assert_relative_eq!(*found, expected, max_relative = 1e-14);
        }
    }

    /// The published code's formulas in double precision, for the numbers of Llama 3.1: pairs up to 28
    /// stay, from 35 on they are divided by 8.
    #[test]
    fn llama3_keeps_mixes_and_divides() {
        let scaling = RopeScaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position_embeddings: 8192,
        };
        let expected = [
            (0, 1.0),
            (1, 0.8146172338565447),
            (28, 0.003211445994752591),
            (29, 0.002166570763503359),
            (30, 0.0013718935677611381),
            (32, 0.0005248461609929547),
            (34, 0.0001785078127679964),
            (35, 9.556212353964683e-5),
            (63, 3.068925988914511e-7),
        ];
        check(scaling, 5e5, &expected);
    }

    /// Nothing is mixed where the two are one number.
    #[test]
    fn llama3_without_a_middle_keeps_or_divides() {
        let scaling = RopeScaling::Llama3 {
            factor: 16.0,
            low_freq_factor: 1.0,
            high_freq_factor: 1.0,
            original_max_position_embeddings: 8192,
        };
        for pair in 0..64 {
            let plain = 5e5_f64.powf(-(2.0 * pair as f64) / 128.0);
            let expected = if 8192.0 * plain >= TAU { plain } else { plain / 16.0 };
            check(scaling, 5e5, &[(pair, expected)]);
        }
    }

    /// As above, for the numbers of Qwen 2.5: pairs up to 23 stay, from 40 on they are divided by 4.
    #[test]
    fn yarn_keeps_mixes_and_divides() {
        let scaling = RopeScaling::Yarn {
            factor: 4.0,
            beta_fast: 32.0,
            beta_slow: 1.0,
            original_max_position_embeddings: 32768,
            attention_factor: 1.138629436111989,
            truncate: true,
        };
        let expected = [
            (0, 1.0),
            (1, 0.8058421877614819),
            (23, 0.006978305848598663),
            (24, 0.005375321490790102),
            (31, 0.0008029597275452302),
            (39, 6.490394320837028e-5),
            (40, 4.445698525097307e-5),
            (63, 3.102344401879299e-7),
        ];
        check(scaling, 1e6, &expected);
        assert_eq!(scaling.attention_factor(), Some(0.1 * 4.0_f64.ln() + 1.0));
        assert_eq!(RopeScaling::None.attention_factor(), None);
    }
}
