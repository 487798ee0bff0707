//! What a configuration says of generating.

use serde_json::{Value, json};

use super::{Config, ConfigError};

/// What a configuration says of generating.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GenerationSettings {
    /// The ids after which a text has ended.
    pub end_tokens: Vec<i64>,
    /// What a decoder beside an encoder begins with: `decoder_start_token_id`, else `bos_token_id`.
    pub start: Option<i64>,
    /// The token that comes behind the first one, whatever its score (`forced_bos_token_id`).
    pub forced_second: Option<i64>,
    /// Tokens that never come (`suppress_tokens`).
    pub suppressed: Vec<i64>,
    /// Tokens that are not the first to come (`begin_suppress_tokens`).
    pub suppressed_first: Vec<i64>,
    /// Whether tokens are to be drawn; else the one with the highest score is taken.
    pub sampled: bool,
    /// By what scores of tokens that stand in the text already are divided.
    pub repetition_penalty: Option<f64>,
    /// What scores are divided by where tokens are drawn.
    pub temperature: Option<f64>,
    /// How many tokens are drawn from; 0 for all.
    pub top_k: Option<usize>,
    /// What probability the tokens have together that are drawn from.
    pub top_p: Option<f64>,
    /// The keys by which the library would choose other tokens, and that are not read.
    pub not_applied: Vec<String>,
}

impl GenerationSettings {
    /// The scores of tokens, −∞ of those that may not come, or not as the first.
    pub fn allowed(&self, scores: &[f32], first: bool) -> Vec<f32> {
        let mut scores = scores.to_vec();
        let of_first = self.suppressed_first.iter().filter(|_| first);
        for id in self.suppressed.iter().chain(of_first) {
            if let Some(score) = usize::try_from(*id).ok().and_then(|id| scores.get_mut(id)) {
                *score = f32::NEG_INFINITY;
            }
        }
        scores
    }
}

/// Keys that change which tokens are chosen, with the value by which they do not.
fn choosing() -> [(&'static str, Value); 17] {
    [
        ("bad_words_ids", Value::Null),
        ("constraints", Value::Null),
        ("epsilon_cutoff", json!(0.0)),
        ("eta_cutoff", json!(0.0)),
        ("exponential_decay_length_penalty", Value::Null),
        ("force_words_ids", Value::Null),
        ("forced_decoder_ids", Value::Null),
        ("forced_eos_token_id", Value::Null),
        ("guidance_scale", json!(1.0)),
        ("min_length", json!(0)),
        ("min_new_tokens", json!(0)),
        ("no_repeat_ngram_size", json!(0)),
        ("min_p", Value::Null),
        ("num_beams", json!(1)),
        ("sequence_bias", Value::Null),
        ("stop_strings", Value::Null),
        ("typical_p", json!(1.0)),
    ]
}

impl Config {
    /// What it says of generating: `eos_token_id`, one or several, how tokens are chosen, and what of it
    /// is not read.
    ///
    /// # Errors
    /// When `eos_token_id` is neither an id nor a list of ids, or a number that chooses is out of range.
    pub fn generation(&self) -> Result<GenerationSettings, ConfigError> {
        let id = |value: &Value| value.as_u64().and_then(|id| i64::try_from(id).ok());
        let ids = |key: &str| {
            let Some(value) = self.map.get(key).filter(|value| !value.is_null()) else {
                return Ok(Vec::new());
            };
            let ids = match value {
                Value::Array(ids) => ids.iter().map(id).collect(),
                one => id(one).map(|id| vec![id]),
            };
            ids.ok_or_else(|| ConfigError::Value {
                origin: self.origin.clone(),
                key: key.to_owned(),
                found: super::keys::shown(value),
                expected: "an id or a list of ids".to_owned(),
            })
        };
        let one_id = |key: &str| match self.map.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => id(value).map(Some).ok_or_else(|| ConfigError::Value {
                origin: self.origin.clone(),
                key: key.to_owned(),
                found: super::keys::shown(value),
                expected: "an id".to_owned(),
            }),
        };
        let number = |key: &str, fits: fn(f64) -> bool, expected: &str| {
            let Some(value) = self.map.get(key).filter(|value| !value.is_null()) else {
                return Ok(None);
            };
            match value.as_f64().filter(|x| fits(*x)) {
                Some(x) => Ok(Some(x)),
                None => Err(ConfigError::Value {
                    origin: self.origin.clone(),
                    key: key.to_owned(),
                    found: super::keys::shown(value),
                    expected: expected.to_owned(),
                }),
            }
        };
        let above = |key| number(key, |x| x > 0.0 && x.is_finite(), "a number above 0");
        let whole = |x: f64| x >= 0.0 && x.fract() == 0.0 && x < 1e9;
        let top_k = number("top_k", whole, "a whole number")?.map(|k| k as usize);
        let top_p = number("top_p", |p| p > 0.0 && p <= 1.0, "above 0 and at most 1")?;
        let neutral = |value: &Value, other: &Value| {
            value == other || value.as_f64().is_some_and(|value| Some(value) == other.as_f64())
        };
        let applies = |(key, usual): &(&str, Value)| {
            self.map.get(*key).is_some_and(|value| !value.is_null() && !neutral(value, usual))
        };
        let keys = choosing().into_iter().filter(applies).map(|(key, _)| key.to_owned());
        Ok(GenerationSettings {
            end_tokens: ids("eos_token_id")?,
            start: match one_id("decoder_start_token_id")? {
                Some(id) => Some(id),
                None => one_id("bos_token_id")?,
            },
            forced_second: one_id("forced_bos_token_id")?,
            suppressed: ids("suppress_tokens")?,
            suppressed_first: ids("begin_suppress_tokens")?,
            sampled: self.map.get("do_sample") == Some(&Value::Bool(true)),
            repetition_penalty: above("repetition_penalty")?,
            temperature: above("temperature")?,
            top_k,
            top_p,
            not_applied: keys.collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(config: &Value) -> Result<GenerationSettings, String> {
        let config = Config::parse("config", config.to_string().as_bytes()).unwrap();
        config.generation().map_err(|e| e.to_string())
    }

    #[test]
    fn end_tokens_are_one_several_or_none() {
        let ends = |config| settings(&config).unwrap().end_tokens;
        assert_eq!(ends(json!({"eos_token_id": 7})), [7]);
        assert_eq!(ends(json!({"eos_token_id": [48, 88]})), [48, 88]);
        assert!(ends(json!({"eos_token_id": null})).is_empty() && ends(json!({})).is_empty());
        let error = settings(&json!({"eos_token_id": "</s>"})).unwrap_err();
        assert_eq!(
            error,
            "config: `eos_token_id` is \"</s>\", but an id or a list of ids is needed"
        );
    }

    #[test]
    fn what_chooses_other_tokens_is_named_where_it_does() {
        let left = |config| settings(&config).unwrap().not_applied;
        let usual =
            json!({"repetition_penalty": 1, "do_sample": false, "num_beams": 1, "top_k": 50});
        assert_eq!(left(usual), Vec::<String>::new());
        let other = json!({"min_p": 0.1, "num_beams": 4, "min_length": null});
        assert_eq!(left(other), ["min_p", "num_beams"]);
    }

    #[test]
    fn how_tokens_are_chosen_is_read() {
        let of = |config| settings(&config);
        let read = of(json!({"do_sample": true, "temperature": 0.6, "top_k": 20, "top_p": 0.95,
                             "repetition_penalty": 1.05}));
        let read = read.unwrap();
        assert_eq!((read.sampled, read.temperature, read.top_k), (true, Some(0.6), Some(20)));
        assert_eq!((read.top_p, read.repetition_penalty), (Some(0.95), Some(1.05)));
        for wrong in [
            json!({"temperature": 0.0}),
            json!({"top_p": 1.5}),
            json!({"top_k": 2.5}),
            json!({"top_k": -1}),
            json!({"repetition_penalty": "much"}),
        ] {
            assert!(of(wrong.clone()).unwrap_err().contains("is needed"), "{wrong}");
        }
    }
}
