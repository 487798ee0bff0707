//! The frequencies of rotary position embedding, and how they are changed for contexts longer than
//! those of training. They depend on constants only, so finding them counts nothing.

use std::f64::consts::TAU;
use std::sync::Arc;

/// How the frequencies of a rotation are scaled. Names and formulas are those of the configurations
/// of published models (`rope_scaling` of the library transformers).
#[derive(Clone, Debug, Default, PartialEq)]
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
    /// As they are while all tokens so far, n of them, fit the original context o; beyond, of the base
    /// θ·(`factor`·n/o − `factor` + 1)^(r/(r − 2)) for r elements that turn.
    Dynamic {
        /// How many times longer the context is.
        factor: f64,
        /// Tokens of the original context.
        original_max_position_embeddings: usize,
    },
    /// LongRoPE (Ding et al. 2024): each frequency divided by a number of its own, another one where all
    /// tokens so far are more than the original context.
    LongRope {
        /// What frequencies are divided by in the original context.
        short_factor: Arc<[f64]>,
        /// What they are divided by beyond.
        long_factor: Arc<[f64]>,
        /// Tokens of the original context.
        original_max_position_embeddings: usize,
        /// What sines and cosines are multiplied by.
        attention_factor: f64,
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
    /// The angle per position of every pair among `width` elements, where there are `tokens` so far, those
    /// before this run included.
    pub fn frequencies(&self, theta: f64, width: usize, tokens: usize) -> Vec<f64> {
        let theta = match self {
            RopeScaling::Dynamic { factor, original_max_position_embeddings: context }
                if tokens > *context =>
            {
                let longer = factor * tokens as f64 / *context as f64 - (factor - 1.0);
                theta * longer.powf(width as f64 / (width as f64 - 2.0))
            }
            RopeScaling::Dynamic { .. }
            | RopeScaling::None
            | RopeScaling::Linear { .. }
            | RopeScaling::Llama3 { .. }
            | RopeScaling::Yarn { .. }
            | RopeScaling::Proportional { .. }
            | RopeScaling::LongRope { .. } => theta,
        };
        let each =
            |pair| self.scaled(inverse_frequency(theta, pair, width), pair, theta, [width, tokens]);
        (0..width / 2).map(each).collect()
    }

    /// What sines and cosines are multiplied by; `None` when they are not.
    pub fn attention_factor(&self) -> Option<f64> {
        match self {
            RopeScaling::Yarn { attention_factor, .. }
            | RopeScaling::LongRope { attention_factor, .. } => {
                Some(*attention_factor).filter(|factor| *factor != 1.0)
            }
            RopeScaling::None
            | RopeScaling::Linear { .. }
            | RopeScaling::Llama3 { .. }
            | RopeScaling::Proportional { .. }
            | RopeScaling::Dynamic { .. } => None,
        }
    }

    fn scaled(&self, frequency: f64, pair: usize, theta: f64, [width, tokens]: [usize; 2]) -> f64 {
        let mixed = |factor: f64, kept: f64| frequency / factor * (1.0 - kept) + frequency * kept;
        match *self {
            RopeScaling::None | RopeScaling::Dynamic { .. } => frequency,
            RopeScaling::Linear { factor } => frequency / factor,
            RopeScaling::LongRope {
                ref short_factor,
                ref long_factor,
                original_max_position_embeddings: context,
                ..
            } => {
                let factors = if tokens > context { long_factor } else { short_factor };
                frequency / factors.get(pair).copied().unwrap_or(1.0)
            }
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
            | RopeScaling::Dynamic { factor, .. }
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
            RopeScaling::Dynamic { factor, original_max_position_embeddings: context }
                if factor < 1.0 || context == 0 =>
            {
                Some("a dynamic scaling needs a factor of at least 1 and an original context")
            }
            RopeScaling::LongRope {
                ref short_factor, ref long_factor, attention_factor, ..
            } if !positive(short_factor)
                || !positive(long_factor)
                || !positive(&[attention_factor]) =>
            {
                Some("longrope needs positive factors")
            }
            RopeScaling::None
            | RopeScaling::Linear { .. }
            | RopeScaling::Llama3 { .. }
            | RopeScaling::Yarn { .. }
            | RopeScaling::Dynamic { .. }
            | RopeScaling::Proportional { .. }
            | RopeScaling::LongRope { .. } => None,
        }
    }

    /// What does not fit a rotation of `width` elements, if anything.
    pub(crate) fn misfit(&self, width: usize) -> Option<String> {
        match self {
            RopeScaling::LongRope { short_factor, long_factor, .. } => {
                let lengths = [short_factor.len(), long_factor.len()];
                let wrong = lengths.into_iter().find(|length| *length != width / 2)?;
                Some(format!("longrope has {wrong} factors for the {} pairs that turn", width / 2))
            }
            RopeScaling::Dynamic { .. } if width == 2 => {
                Some("a dynamic scaling needs more than one pair that turns".to_owned())
            }
            RopeScaling::None
            | RopeScaling::Linear { .. }
            | RopeScaling::Llama3 { .. }
            | RopeScaling::Yarn { .. }
            | RopeScaling::Proportional { .. }
            | RopeScaling::Dynamic { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    fn check(scaling: RopeScaling, theta: f64, expected: &[(usize, f64)]) {
        let frequencies = scaling.frequencies(theta, 128, 1);
        assert_eq!(frequencies.len(), 64);
        for (pair, expected) in expected {
            assert_relative_eq!(frequencies[*pair], expected, max_relative = 1e-13);
        }
    }

    #[test]
    fn linear_divides_all() {
        let plain = RopeScaling::None.frequencies(1e4, 8, 1);
        for (plain, expected) in plain.iter().zip([1.0, 0.1, 0.01, 0.001]) {
            assert_relative_eq!(*plain, expected, max_relative = 1e-14);
        }
        let linear = RopeScaling::Linear { factor: 4.0 }.frequencies(1e4, 8, 1);
        assert_eq!(linear, plain.iter().map(|f| f / 4.0).collect::<Vec<_>>());
    }

    #[test]
    fn proportional_turns_the_first_pairs() {
        let scaling = RopeScaling::Proportional { pairs: 2, factor: 2.0 };
        let found = scaling.frequencies(1e4, 8, 1);
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

    /// With one bound for both, pair 20 is the last that stays as it is: 4·2π·10000^(40/128) turns.
    #[test]
    fn yarn_with_one_bound_keeps_or_divides() {
        let scaling = |truncate| RopeScaling::Yarn {
            factor: 8.0,
            beta_fast: 4.0,
            beta_slow: 4.0,
            attention_factor: 1.0,
            original_max_position_embeddings: 450,
            truncate,
        };
        let plain = RopeScaling::None.frequencies(1e4, 128, 1);
        let found = scaling(false).frequencies(1e4, 128, 1);
        for (pair, (found, plain)) in found.iter().zip(&plain).enumerate() {
            let expected = if pair <= 20 { *plain } else { plain / 8.0 };
            assert_relative_eq!(*found, expected, max_relative = 1e-14);
        }
    }

    #[test]
    fn what_yarn_lacks_is_said() {
        let yarn = |factor, beta_fast, beta_slow| {
            let scaling = RopeScaling::Yarn {
                factor,
                beta_fast,
                beta_slow,
                original_max_position_embeddings: 4096,
                truncate: true,
                attention_factor: 1.0,
            };
            scaling.problem().is_some()
        };
        assert!(!yarn(4.0, 32.0, 1.0));
        assert!(!yarn(4.0, 2.0, 2.0));
        assert!(yarn(4.0, 1.0, 32.0));
        assert!(yarn(0.0, 32.0, 1.0));
        assert!(yarn(4.0, f64::INFINITY, 1.0));
    }

    /// By hand: a base of 10⁴ for 4 elements, 8 tokens of 4: 10⁴·(2·2 − 1)² = 9·10⁴.
    #[test]
    fn a_base_grows_with_the_tokens() {
        let scaling = RopeScaling::Dynamic { factor: 2.0, original_max_position_embeddings: 4 };
        for tokens in 0..=4 {
            assert_eq!(scaling.frequencies(1e4, 4, tokens), [1.0, 0.01]);
        }
        let frequencies = scaling.frequencies(1e4, 4, 8);
        assert_relative_eq!(frequencies[1], 1.0 / 300.0, max_relative = 1e-13);
        assert!(scaling.misfit(4).is_none() && scaling.misfit(2).is_some());
        let shrinks = RopeScaling::Dynamic { factor: 0.5, original_max_position_embeddings: 4 };
        assert!(scaling.problem().is_none() && shrinks.problem().is_some());
    }

    #[test]
    fn each_frequency_has_two_divisors() {
        let longrope = |short: &[f64]| RopeScaling::LongRope {
            short_factor: short.into(),
            long_factor: [4.0, 5.0].into(),
            original_max_position_embeddings: 4,
            attention_factor: 1.5,
        };
        let scaling = longrope(&[1.0, 2.0]);
        assert_eq!(scaling.frequencies(1e4, 4, 4), [1.0, 0.01 / 2.0]);
        assert_eq!(scaling.frequencies(1e4, 4, 5), [1.0 / 4.0, 0.01 / 5.0]);
        assert_eq!(scaling.attention_factor(), Some(1.5));
        assert!(scaling.misfit(4).is_none() && scaling.problem().is_none());
        assert!(longrope(&[1.0]).misfit(4).is_some());
        assert!(longrope(&[1.0, 0.0]).problem().is_some());
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
            check(scaling.clone(), 5e5, &[(pair, expected)]);
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
        check(scaling.clone(), 1e6, &expected);
        assert_eq!(scaling.attention_factor(), Some(0.1 * 4.0_f64.ln() + 1.0));
        assert_eq!(RopeScaling::None.attention_factor(), None);
    }
}
