//! Which token comes next, of the scores of all.
//!
//! The steps and their order are those of `transformers` 5.23 (`generation/logits_process.py`,
//! `GenerationMixin._get_logits_processor`): repetition penalty, temperature, top-k, top-p.

use opledger_models::GenerationSettings;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// The tokens that are drawn from where a text does not say how many.
const USUAL_TOP_K: usize = 50;

/// How the next token is chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// By what scores of tokens that stand in the text already are divided, multiplied where they are
    /// below zero.
    pub repetition_penalty: f64,
    /// How tokens are drawn; the one with the highest score is taken without.
    pub sampling: Option<Sampling>,
}

/// How tokens are drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// What scores are divided by.
    pub temperature: f64,
    /// Only so many tokens with the highest scores are drawn from, and those with as high a one as the
    /// last of these.
    pub top_k: usize,
    /// Only the most probable tokens are drawn from, until together they have this probability.
    pub top_p: f64,
    /// The seed of the draws.
    pub seed: u64,
}

impl Choice {
    /// The token with the highest score, of scores that the repetition penalty of a file has changed.
    pub fn greedy(settings: &GenerationSettings) -> Choice {
        Choice { repetition_penalty: settings.repetition_penalty.unwrap_or(1.0), sampling: None }
    }

    /// Tokens drawn as a file says.
    pub fn sampled(settings: &GenerationSettings, seed: u64) -> Choice {
        let sampling = Sampling {
            temperature: settings.temperature.unwrap_or(1.0),
            top_k: settings.top_k.unwrap_or(USUAL_TOP_K),
            top_p: settings.top_p.unwrap_or(1.0),
            seed,
        };
        Choice { sampling: Some(sampling), ..Choice::greedy(settings) }
    }

    /// The scores after the steps that change them, −∞ where a token cannot come, and how probable each
    /// is then; `context` is the text so far.
    pub fn probabilities(&self, scores: &[f32], context: &[i64]) -> Vec<f64> {
        let mut scores = self.penalised(scores, context);
        if let Some(sampling) = &self.sampling {
            sampling.narrow(&mut scores);
        }
        softmax(&scores)
    }

    fn penalised(&self, scores: &[f32], context: &[i64]) -> Vec<f64> {
        let mut all: Vec<f64> = scores.iter().map(|score| f64::from(*score)).collect();
        if self.repetition_penalty != 1.0 {
            let mut seen: Vec<usize> =
                context.iter().filter_map(|id| usize::try_from(*id).ok()).collect();
            seen.sort_unstable();
            seen.dedup();
            let penalty = self.repetition_penalty;
            for id in seen {
                if let Some(score) = all.get_mut(id) {
                    *score = if *score < 0.0 { *score * penalty } else { *score / penalty };
                }
            }
        }
        all
    }
}

impl Sampling {
    /// Leaves the tokens that are drawn from.
    fn narrow(&self, scores: &mut [f64]) {
        scores.iter_mut().for_each(|score| *score /= self.temperature);
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        if let Some(last) = self.top_k.checked_sub(1).and_then(|last| order.get(last)) {
            let least = scores[*last];
            scores.iter_mut().filter(|score| **score < least).for_each(|s| *s = f64::NEG_INFINITY);
        }
        if self.top_p < 1.0 {
            let probabilities = softmax(scores);
            // From the least probable on, as long as all before it have no more than what is left out.
            let (mut before, most) = (0.0, 1.0 - self.top_p);
            for at in order.iter().skip(1).rev() {
                before += probabilities[*at];
                if before > most {
                    break;
                }
                scores[*at] = f64::NEG_INFINITY;
            }
        }
    }
}

fn softmax(scores: &[f64]) -> Vec<f64> {
    let greatest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = scores.iter().map(|score| (score - greatest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

/// Chooses token after token.
#[derive(Debug)]
pub struct Chooser {
    choice: Choice,
    random: Option<StdRng>,
}

impl Chooser {
    /// One that chooses so.
    pub fn new(choice: Choice) -> Chooser {
        let random = choice.sampling.as_ref().map(|own| StdRng::seed_from_u64(own.seed));
        Chooser { choice, random }
    }

    /// How it chooses.
    pub fn choice(&self) -> &Choice {
        &self.choice
    }

    /// The next token after a text; the first of equals where the highest is taken.
    pub fn choose(&mut self, scores: &[f32], context: &[i64]) -> Option<i64> {
        let at = match &mut self.random {
            None => highest(&self.choice.penalised(scores, context)),
            Some(random) => {
                let probabilities = self.choice.probabilities(scores, context);
                let point = random.random::<f64>() * probabilities.iter().sum::<f64>();
                let mut sum = 0.0;
                let drawn = probabilities.iter().position(|probability| {
                    sum += probability;
                    sum > point
                });
                drawn.or_else(|| probabilities.iter().rposition(|probability| *probability > 0.0))
            }
        };
        at.and_then(|at| i64::try_from(at).ok())
    }
}

fn highest(scores: &[f64]) -> Option<usize> {
    let better = |best: Option<usize>, at: usize| match best {
        Some(other) if scores[at].total_cmp(&scores[other]).is_le() => Some(other),
        _ => Some(at),
    };
    (0..scores.len()).fold(None, better)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_drawn_as_often_as_they_are_probable() {
        let sampling = Sampling { temperature: 1.8, top_k: 7, top_p: 0.9, seed: 1 };
        let choice = Choice { repetition_penalty: 1.2, sampling: Some(sampling) };
        let scores: Vec<f32> = (0..17).map(|i| (i * 7 % 17) as f32 / 4.0 - 1.0).collect();
        let context = [3, 5, 3];
        let probabilities = choice.probabilities(&scores, &context);
        let mut chooser = Chooser::new(choice.clone());
        let mut often = vec![0_u32; scores.len()];
        let drawn: Vec<i64> =
            (0..20_000).map(|_| chooser.choose(&scores, &context).unwrap()).collect();
        drawn.iter().for_each(|id| often[*id as usize] += 1);
        for (often, probability) in often.iter().zip(&probabilities) {
            // Five standard deviations of a binomial distribution.
            let (mean, deviation) =
                (20_000.0 * probability, (20_000.0 * probability * (1.0 - probability)).sqrt());
            assert!((f64::from(*often) - mean).abs() <= 5.0 * deviation, "{often} of {mean}");
        }
        let mut again = Chooser::new(choice);
        assert!(drawn.iter().take(50).all(|id| again.choose(&scores, &context) == Some(*id)));
    }

    #[test]
    fn the_highest_is_the_first_of_equals() {
        let mut greedy = Chooser::new(Choice::greedy(&GenerationSettings::default()));
        assert_eq!(greedy.choose(&[1.0, 3.0, 3.0], &[1]), Some(1));
        let settings =
            GenerationSettings { repetition_penalty: Some(2.0), ..GenerationSettings::default() };
        let mut other = Chooser::new(Choice::greedy(&settings));
        assert_eq!(other.choose(&[1.0, 3.0, 3.0], &[1, 1]), Some(2));
        assert_eq!(other.choose(&[-1.0, -1.5], &[0]), Some(1));
        assert_eq!(other.choose(&[], &[]), None);
    }
}
