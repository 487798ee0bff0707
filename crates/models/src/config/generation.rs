//! What a configuration says of generating.

use serde_json::{Value, json};

use super::{Config, ConfigError};

/// What a configuration says of generating.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GenerationSettings {
    /// The ids after which a text has ended.
    pub end_tokens: Vec<i64>,
    /// The keys by which the library would choose other tokens than those with the highest scores.
    pub not_applied: Vec<String>,
}

/// Keys that change which tokens are chosen, with the value by which they do not.
fn choosing() -> [(&'static str, Value); 17] {
    [
        ("bad_words_ids", Value::Null),
        ("begin_suppress_tokens", Value::Null),
        ("constraints", Value::Null),
        ("do_sample", json!(false)),
        ("exponential_decay_length_penalty", Value::Null),
        ("force_words_ids", Value::Null),
        ("forced_bos_token_id", Value::Null),
        ("forced_eos_token_id", Value::Null),
        ("guidance_scale", json!(1.0)),
        ("min_length", json!(0)),
        ("min_new_tokens", json!(0)),
        ("no_repeat_ngram_size", json!(0)),
        ("num_beams", json!(1)),
        ("repetition_penalty", json!(1.0)),
        ("sequence_bias", Value::Null),
        ("stop_strings", Value::Null),
        ("suppress_tokens", Value::Null),
    ]
}

impl Config {
    /// What it says of generating: `eos_token_id`, one or several, and what choosing the token with the
    /// highest score leaves aside.
    ///
    /// # Errors
    /// When `eos_token_id` is neither an id nor a list of ids.
    pub fn generation(&self) -> Result<GenerationSettings, ConfigError> {
        let id = |value: &Value| value.as_u64().and_then(|id| i64::try_from(id).ok());
        let end_tokens = match self.map.get("eos_token_id") {
            None | Some(Value::Null) => Some(Vec::new()),
            Some(Value::Array(ids)) => ids.iter().map(id).collect(),
            Some(one) => id(one).map(|id| vec![id]),
        };
        let end_tokens = end_tokens.ok_or_else(|| ConfigError::Value {
            origin: self.origin.clone(),
            key: "eos_token_id".to_owned(),
            found: super::keys::shown(&self.map["eos_token_id"]),
            expected: "an id or a list of ids".to_owned(),
        })?;
        let neutral = |value: &Value, other: &Value| {
            value == other || value.as_f64().is_some_and(|value| Some(value) == other.as_f64())
        };
        let applies = |(key, usual): &(&str, Value)| {
            self.map.get(*key).is_some_and(|value| !value.is_null() && !neutral(value, usual))
        };
        let keys = choosing().into_iter().filter(applies).map(|(key, _)| key.to_owned());
        Ok(GenerationSettings { end_tokens, not_applied: keys.collect() })
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
        let other = json!({"repetition_penalty": 1.5, "do_sample": true, "min_length": null});
        assert_eq!(left(other), ["do_sample", "repetition_penalty"]);
    }
}
