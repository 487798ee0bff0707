//! The keys of a configuration: each is read, refused, or known by the family to change nothing; what is
//! left was not understood.

use std::cell::RefCell;
use std::collections::BTreeSet;

use opledger_dims::{Activation, escaped};
use serde_json::{Map, Value};

use super::error::ConfigError;

/// The greatest size a key may have.
const MAX_SIZE: u64 = 1 << 40;

/// Keys that every family may have and that change no result of a forward pass in inference: training,
/// generation, results that are given besides, and what files are about. Families that read one of them
/// do so all the same.
pub(crate) const HARMLESS: &[&str] = &[
    "_attn_implementation_autoset",
    "_name_or_path",
    "attention_dropout",
    "attention_dropout_prob",
    "attention_probs_dropout_prob",
    "attn_pdrop",
    "auto_map",
    "bad_words_ids",
    "begin_suppress_tokens",
    "bos_token_id",
    "chunk_size_feed_forward",
    "classifier_dropout",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "drop_path_rate",
    "dropout",
    "dropout_rate",
    "dtype",
    "early_stopping",
    "embd_pdrop",
    "encoder_no_repeat_ngram_size",
    "eos_token_id",
    "exponential_decay_length_penalty",
    "finetuning_task",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "gradient_checkpointing",
    "hidden_dropout",
    "hidden_dropout_prob",
    "id2label",
    "initializer_factor",
    "initializer_range",
    "label2id",
    "language",
    "length_penalty",
    "max_length",
    "min_length",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_labels",
    "num_return_sequences",
    "output_attentions",
    "output_hidden_states",
    "output_past",
    "output_router_logits",
    "output_scores",
    "pretraining_tp",
    "problem_type",
    "qa_dropout",
    // Read by `Config::quantisation`.
    "quantization_config",
    "remove_invalid_values",
    "repetition_penalty",
    "resid_pdrop",
    "return_dict",
    "return_dict_in_generate",
    "router_aux_loss_coef",
    "router_jitter_noise",
    "sbert_ce_default_activation_function",
    "sentence_transformers",
    "sep_token_id",
    "seq_classif_dropout",
    "suppress_tokens",
    "task_specific_params",
    "temperature",
    "tf_legacy_loss",
    "tokenizer_class",
    "top_k",
    "top_p",
    "torch_dtype",
    "torchscript",
    "transformers_version",
    "typical_p",
    "use_bfloat16",
    "use_cache",
];

/// The keys of one object of a configuration.
pub(crate) struct Keys<'a> {
    map: &'a Map<String, Value>,
    origin: &'a str,
    /// The path of the object, with a point at its end; empty for the whole configuration.
    path: String,
    read: &'a RefCell<BTreeSet<String>>,
    /// Whether the files of the weights have a head of their own.
    pub(crate) head_apart: bool,
}

impl<'a> Keys<'a> {
    pub(super) fn new(
        map: &'a Map<String, Value>,
        origin: &'a str,
        read: &'a RefCell<BTreeSet<String>>,
    ) -> Keys<'a> {
        Keys { map, origin, path: String::new(), read, head_apart: false }
    }

    pub(super) fn with_head_apart(self, head_apart: bool) -> Self {
        Keys { head_apart, ..self }
    }

    /// The file or preset.
    pub(crate) fn origin(&self) -> String {
        self.origin.to_owned()
    }

    fn name(&self, key: &str) -> String {
        format!("{}{key}", self.path)
    }

    /// The value of a key; none when it is missing or null.
    pub(crate) fn get(&self, key: &str) -> Option<&'a Value> {
        self.read.borrow_mut().insert(self.name(key));
        self.map.get(key).filter(|value| !value.is_null())
    }

    fn needed<T>(&self, key: &str, value: Option<T>) -> Result<T, ConfigError> {
        value.ok_or_else(|| ConfigError::Missing { origin: self.origin(), key: self.name(key) })
    }

    fn wrong(&self, key: &str, value: &Value, expected: impl Into<String>) -> ConfigError {
        let (origin, key, expected) = (self.origin(), self.name(key), expected.into());
        ConfigError::Value { origin, key, found: shown(value), expected }
    }

    /// A value that is not supported.
    pub(crate) fn unsupported(&self, key: &str, supported: impl Into<String>) -> ConfigError {
        let found = self.map.get(key).map(shown);
        let (origin, key, supported) = (self.origin(), self.name(key), supported.into());
        ConfigError::Unsupported { origin, key, found, supported }
    }

    /// The same of a key whose default is as little supported.
    pub(crate) fn unsupported_or(
        &self,
        key: &str,
        default: f64,
        supported: impl Into<String>,
    ) -> ConfigError {
        let default = format!("{default} (its default)");
        match self.unsupported(key, supported) {
            ConfigError::Unsupported { origin, key, found, supported } => {
                let found = Some(found.unwrap_or(default));
                ConfigError::Unsupported { origin, key, found, supported }
            }
            other => other,
        }
    }

    /// A whole number of either sign, if it is given.
    pub(crate) fn signed(&self, key: &str) -> Result<Option<i64>, ConfigError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let number = value.as_i64().map(Some);
        number.ok_or_else(|| self.wrong(key, value, "a whole number"))
    }

    /// Two keys that contradict each other.
    pub(crate) fn contradiction(&self, first: &str, second: &str, why: &str) -> ConfigError {
        let value = |key: &str| self.map.get(key).map(shown);
        ConfigError::Contradiction {
            origin: self.origin(),
            first: self.name(first),
            first_value: value(first),
            second: self.name(second),
            second_value: value(second),
            why: why.to_owned(),
        }
    }

    /// A size from `least` on, if it is given.
    fn whole(&self, key: &str, least: u64) -> Result<Option<u64>, ConfigError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let size = value.as_u64().filter(|size| (least..=MAX_SIZE).contains(size));
        let expected = || format!("a whole number from {least} to 2^40");
        size.map(Some).ok_or_else(|| self.wrong(key, value, expected()))
    }

    /// A size of at least one.
    pub(crate) fn size(&self, key: &str) -> Result<u64, ConfigError> {
        let size = self.whole(key, 1)?;
        self.needed(key, size)
    }

    /// A size of at least one, if it is given.
    pub(crate) fn optional(&self, key: &str) -> Result<Option<u64>, ConfigError> {
        self.whole(key, 1)
    }

    /// A size of at least one, or the family's default.
    pub(crate) fn size_or(&self, key: &str, default: u64) -> Result<u64, ConfigError> {
        Ok(self.whole(key, 1)?.unwrap_or(default))
    }

    /// How often something is repeated, zero included.
    pub(crate) fn times(&self, key: &str) -> Result<u64, ConfigError> {
        let times = self.whole(key, 0)?;
        self.needed(key, times)
    }

    /// A whole number, if it is given.
    pub(crate) fn times_or_none(&self, key: &str) -> Result<Option<u64>, ConfigError> {
        self.whole(key, 0)
    }

    /// A whole number, or the family's default.
    pub(crate) fn whole_or(&self, key: &str, default: u64) -> Result<u64, ConfigError> {
        Ok(self.whole(key, 0)?.unwrap_or(default))
    }

    /// Sizes of at least one.
    pub(crate) fn sizes(&self, key: &str) -> Result<Vec<u64>, ConfigError> {
        self.list(key, 1)
    }

    /// Whole numbers.
    pub(crate) fn wholes(&self, key: &str) -> Result<Vec<u64>, ConfigError> {
        self.list(key, 0)
    }

    fn list(&self, key: &str, least: u64) -> Result<Vec<u64>, ConfigError> {
        let value = self.needed(key, self.get(key))?;
        let sizes = value.as_array().and_then(|items| {
            items
                .iter()
                .map(|v| v.as_u64().filter(|size| (least..=MAX_SIZE).contains(size)))
                .collect()
        });
        let expected = || format!("a list of whole numbers from {least} to 2^40");
        sizes.ok_or_else(|| self.wrong(key, value, expected()))
    }

    /// A size, or two for height and width.
    pub(crate) fn pair(&self, key: &str) -> Result<[u64; 2], ConfigError> {
        match self.get(key) {
            Some(Value::Array(_)) => match self.sizes(key)?[..] {
                [height, width] => Ok([height, width]),
                _ => Err(self.unsupported(key, "one size, or two for height and width")),
            },
            _ => Ok([self.size(key)?; 2]),
        }
    }

    /// A number above zero, or the family's default.
    pub(crate) fn positive_or(&self, key: &str, default: f64) -> Result<f64, ConfigError> {
        self.above_zero(key, "a number above 0", default)
    }

    /// A number above zero.
    pub(crate) fn positive(&self, key: &str) -> Result<f64, ConfigError> {
        self.needed(key, self.get(key))?;
        self.positive_or(key, 1.0)
    }

    /// A list of numbers above zero.
    pub(crate) fn positives(&self, key: &str) -> Result<Vec<f64>, ConfigError> {
        let value = self.needed(key, self.get(key))?;
        let positive = |value: &Value| value.as_f64().filter(|n| *n > 0.0 && n.is_finite());
        let list = value.as_array().and_then(|list| list.iter().map(positive).collect());
        list.ok_or_else(|| self.wrong(key, value, "a list of numbers above 0"))
    }

    /// A number above zero: none where the key is null, the family's default where it is missing.
    pub(crate) fn positive_unless_null(
        &self,
        key: &str,
        default: Option<f64>,
    ) -> Result<Option<f64>, ConfigError> {
        match (self.get(key), self.map.get(key)) {
            (Some(_), _) => self.positive(key).map(Some),
            (None, Some(_)) => Ok(None),
            (None, None) => Ok(default),
        }
    }

    /// A size that may be null, for none; where the key is missing, the family's.
    pub(crate) fn size_unless_null(
        &self,
        key: &str,
        default: Option<u64>,
    ) -> Result<Option<u64>, ConfigError> {
        match (self.get(key), self.map.get(key)) {
            (Some(_), _) => self.size(key).map(Some),
            (None, Some(_)) => Ok(None),
            (None, None) => Ok(default),
        }
    }

    /// What a norm adds under its root, or the family's default: of a row of equal numbers nothing
    /// else stands there.
    pub(crate) fn epsilon_or(&self, key: &str, default: f64) -> Result<f64, ConfigError> {
        let expected = "a number above 0 and below 1";
        match self.above_zero(key, expected, default)? {
            eps if eps < 1.0 => Ok(eps),
            _ => Err(self.wrong(key, self.get(key).unwrap_or(&Value::Null), expected)),
        }
    }

    /// A number that is above zero as a single, too.
    fn above_zero(&self, key: &str, expected: &str, default: f64) -> Result<f64, ConfigError> {
        let Some(value) = self.get(key) else { return Ok(default) };
        let single = |number: f64| number as f32;
        let number = value.as_f64().filter(|n| single(*n) > 0.0 && single(*n).is_finite());
        number.ok_or_else(|| self.wrong(key, value, expected))
    }

    /// A number that is at least zero, or the family's default.
    pub(crate) fn number_or(&self, key: &str, default: f64) -> Result<f64, ConfigError> {
        let Some(value) = self.get(key) else { return Ok(default) };
        let number = value.as_f64().filter(|number| number.is_finite() && *number >= 0.0);
        number.ok_or_else(|| self.wrong(key, value, "a number from 0 on"))
    }

    /// True or false, or the family's default.
    pub(crate) fn flag_or(&self, key: &str, default: bool) -> Result<bool, ConfigError> {
        let Some(value) = self.get(key) else { return Ok(default) };
        value.as_bool().ok_or_else(|| self.wrong(key, value, "true or false"))
    }

    /// Whether tokens see those before them alone, as they do when no key says. Null, which the library
    /// takes for false, is refused: elsewhere it is as good as missing.
    pub(crate) fn is_causal(&self) -> Result<bool, ConfigError> {
        let key = "is_causal";
        match self.map.get(key) {
            Some(null @ Value::Null) => Err(self.wrong(key, null, "true or false")),
            _ => self.flag_or(key, true),
        }
    }

    /// A text, if it is given.
    pub(crate) fn text(&self, key: &str) -> Result<Option<&'a str>, ConfigError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| self.wrong(key, value, "a text"))
    }

    /// The function of one number that a key names.
    pub(crate) fn activation(
        &self,
        key: &str,
        default: Activation,
    ) -> Result<Activation, ConfigError> {
        let Some(text) = self.text(key)? else { return Ok(default) };
        Activation::named(text).ok_or_else(|| self.unsupported(key, Activation::NAMES.join(", ")))
    }

    /// Refuses any value of a key but one, which holds also when the key is missing.
    pub(crate) fn only(&self, key: &str, supported: impl Into<Value>) -> Result<(), ConfigError> {
        let supported = supported.into();
        match self.get(key) {
            Some(value) if *value != supported => Err(self.unsupported(key, shown(&supported))),
            _ => Ok(()),
        }
    }

    /// Keys that have no influence on what this family computes.
    pub(crate) fn pass_over(&self, keys: &[&str]) {
        for key in keys {
            self.get(key);
        }
    }

    /// The whole object.
    pub(crate) fn map(&self) -> &'a Map<String, Value> {
        self.map
    }

    /// The same of another object, as which keys are read.
    pub(crate) fn of<'b>(&self, map: &'b Map<String, Value>) -> Keys<'b>
    where
        'a: 'b,
    {
        Keys { map, path: self.path.clone(), ..*self }
    }

    /// An object inside.
    pub(crate) fn inner(&self, key: &str) -> Result<Option<Keys<'a>>, ConfigError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let map = value.as_object().ok_or_else(|| self.wrong(key, value, "an object"))?;
        let path = format!("{}.", self.name(key));
        Ok(Some(Keys { map, path, ..*self }))
    }

    /// An object in the place of the one inside.
    pub(crate) fn in_place_of<'b>(&self, key: &str, map: &'b Map<String, Value>) -> Keys<'b>
    where
        'a: 'b,
    {
        self.get(key);
        Keys { map, path: format!("{}.", self.name(key)), ..*self }
    }

    /// The keys of this object that nobody knows.
    pub(super) fn not_understood(&self) -> Vec<String> {
        let read = self.read.borrow();
        let mut unknown = Vec::new();
        for (key, value) in self.map {
            let name = self.name(key);
            if HARMLESS.contains(&key.as_str()) {
                continue;
            }
            match (read.contains(&name), value) {
                (false, _) => unknown.push(name),
                // An object of which some keys were read.
                (true, Value::Object(map)) => {
                    let path = format!("{name}.");
                    if read.iter().any(|key| key.starts_with(&path)) {
                        let inner = Keys { map, path, ..*self };
                        unknown.extend(inner.not_understood());
                    }
                }
                _ => {}
            }
        }
        unknown
    }
}

/// A value as an error repeats it.
pub(super) fn shown(value: &Value) -> String {
    escaped(&value.to_string())
}
