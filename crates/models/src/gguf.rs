//! The header of a GGUF file as a configuration of the `transformers` library.
//!
//! The keys are those that `llama.cpp` writes (`gguf-py/gguf/constants.py` of `ggml-org/llama.cpp` at
//! 0024aa7, class `Keys`). What a header does not say is read off the tensors: the vocabulary, biases,
//! whether there is a head.

mod architectures;
mod names;

use std::collections::BTreeMap;

use opledger_dims::{escaped, nearest};
use serde_json::{Map, Value, json};

use crate::config::{Config, ConfigError};
use architectures::{ARCHITECTURES, Architecture, BERT, DEEPSEEK_V3, MIXTRAL};
pub use names::GgufNames;

/// What a GGUF file says before its elements.
#[derive(Clone, Copy, Debug)]
pub struct GgufHeader<'a> {
    /// The file, as errors show it.
    pub origin: &'a str,
    /// Its keys and their values.
    pub metadata: &'a Map<String, Value>,
    /// Its tensors: sizes by name, outermost first.
    pub tensors: &'a BTreeMap<String, Vec<u64>>,
    /// The elements of [`GGUF_FACTORS`], where the file has it: what each frequency is divided by.
    pub factors: Option<&'a [f32]>,
}

/// The tensor of what frequencies are divided by, as Llama 3 scales them.
pub const GGUF_FACTORS: &str = "rope_freqs.weight";

/// Tensors that are constants of the rotation, and no parameters.
pub const GGUF_CONSTANTS: [&str; 3] =
    [GGUF_FACTORS, "rope_factors_long.weight", "rope_factors_short.weight"];

/// The architectures of llama.cpp that are read, each with the family that it is here.
pub fn gguf_architectures() -> impl Iterator<Item = (&'static str, &'static str)> {
    ARCHITECTURES.iter().chain([&MIXTRAL, &DEEPSEEK_V3]).map(|own| (own.name, own.family))
}

/// The first of the layers that a file has behind those of its model, which predict further tokens.
pub fn gguf_layers_behind(metadata: &Map<String, Value>) -> Option<u64> {
    let name = metadata.get("general.architecture")?.as_str()?;
    let number = |key: &str| metadata.get(&format!("{name}.{key}"))?.as_u64();
    let behind = number("nextn_predict_layers").filter(|behind| *behind > 0)?;
    number("block_count")?.checked_sub(behind)
}

impl GgufHeader<'_> {
    /// What a key below the architecture's name says.
    fn of_architecture(&self, key: &str) -> Option<&Value> {
        let name = self.metadata.get("general.architecture")?.as_str()?;
        self.metadata.get(&format!("{name}.{key}"))
    }

    /// The same of a whole number.
    fn number(&self, key: &str) -> Option<u64> {
        self.of_architecture(key)?.as_u64()
    }

    fn has(&self, tensor: &str) -> bool {
        self.tensors.contains_key(tensor)
    }

    /// The configuration that describes the same model.
    ///
    /// # Errors
    /// When the architecture is not known, a key is missing, or layers differ from each other.
    pub fn config(&self) -> Result<Config, ConfigError> {
        let missing = |key: &str| ConfigError::Missing {
            origin: self.origin.to_owned(),
            key: key.to_owned(),
        };
        if self.metadata.get("split.count").and_then(Value::as_u64).is_some_and(|count| count > 1) {
            return Err(ConfigError::Unsupported {
                origin: self.origin.to_owned(),
                key: "split.count".to_owned(),
                found: Some(self.metadata["split.count"].to_string()),
                supported: "a model in one file; `llama-gguf-split --merge` joins several"
                    .to_owned(),
            });
        }
        let name = self.metadata.get("general.architecture").and_then(Value::as_str);
        let name = name.ok_or_else(|| missing("general.architecture"))?;
        let architecture = self.architecture(name)?;
        let mut map = Map::new();
        let mut say = |key: &str, value: Value| drop(map.insert(key.to_owned(), value));
        say("model_type", architecture.family.into());
        say("architectures", json!([architecture.class]));
        for (own, key) in architecture.common.iter().chain(architecture.keys) {
            let own = format!("{name}.{own}");
            // Where layers differ in whether they attend, the architecture says what is to be told.
            let mixed = *key == "num_key_value_heads" && architecture.mixed;
            if let Some(value) = self.metadata.get(&own).filter(|_| !mixed) {
                say(key, self.of_all_layers(&own, value)?);
            }
        }
        let words = self.tensors.get("token_embd.weight").and_then(|shape| shape.first());
        say("vocab_size", (*words.ok_or_else(|| missing("token_embd.weight"))?).into());
        say("tie_word_embeddings", (!self.has("output.weight")).into());
        for (key, value) in (architecture.fixed)(self) {
            say(key, value);
        }
        if let Some(key) = architecture.turned
            && let Some(share) = self.turned(name)
        {
            say(key, share);
        }
        if let Some(scaling) = self.rope_scaling(name) {
            say("rope_scaling", scaling);
        }
        let config = Config::of(self.origin.to_owned(), map);
        // llama.cpp has no place for a pooler's map.
        Ok(if architecture.common == BERT { config.without_pooler() } else { config })
    }

    fn architecture(&self, name: &str) -> Result<&'static Architecture, ConfigError> {
        let experts = self.metadata.get(&format!("{name}.expert_count")).and_then(Value::as_u64);
        if name == MIXTRAL.name && experts.unwrap_or(0) > 0 {
            return Ok(&MIXTRAL);
        }
        // Of these the function of the router's scores decides.
        let sigmoid = self.number("expert_gating_func") == Some(2);
        if name == DEEPSEEK_V3.name && sigmoid {
            return Ok(&DEEPSEEK_V3);
        }
        let known = || ARCHITECTURES.iter().map(|own| own.name);
        let found = ARCHITECTURES.iter().find(|own| own.name == name);
        found.ok_or_else(|| ConfigError::Family {
            origin: self.origin.to_owned(),
            found: escaped(name),
            nearest: nearest(name, known()),
            known: known().collect::<Vec<_>>().join(", "),
        })
    }

    /// A value that may stand once for each layer, of which all are equal.
    fn of_all_layers(&self, key: &str, value: &Value) -> Result<Value, ConfigError> {
        let Value::Array(layers) = value else { return Ok(value.clone()) };
        match layers.first() {
            Some(first) if layers.iter().all(|layer| layer == first) => Ok(first.clone()),
            _ => Err(ConfigError::Unsupported {
                origin: self.origin.to_owned(),
                key: key.to_owned(),
                found: Some(escaped(&value.to_string())),
                supported: "one value for all layers".to_owned(),
            }),
        }
    }

    /// The share of each head that turns.
    fn turned(&self, name: &str) -> Option<Value> {
        let number = |key: &str| self.metadata.get(&format!("{name}.{key}"))?.as_f64();
        let width = number("attention.key_length")
            .or_else(|| Some(number("embedding_length")? / number("attention.head_count")?))?;
        Some((number("rope.dimension_count")? / width).into())
    }

    /// How positions beyond those of training are turned.
    fn rope_scaling(&self, name: &str) -> Option<Value> {
        let of = |key: &str| self.metadata.get(&format!("{name}.rope.scaling.{key}"));
        let kind = of("type").and_then(Value::as_str).filter(|kind| *kind != "none");
        if let (None, Some(factors)) = (kind, self.factors) {
            // One scaling whatever the number of tokens is.
            let context = self.number("context_length")?;
            return Some(json!({
                "rope_type": "longrope", "short_factor": factors, "long_factor": factors, "factor": 1.0,
                "attention_factor": 1.0, "original_max_position_embeddings": context,
            }));
        }
        let kind = kind?;
        let mut scaling = Map::new();
        scaling.insert("rope_type".to_owned(), kind.into());
        for (own, key) in
            [("factor", "factor"), ("original_context_length", "original_max_position_embeddings")]
        {
            if let Some(value) = of(own) {
                scaling.insert(key.to_owned(), value.clone());
            }
        }
        // Of DeepSeek a tenth of what multiplies scores; cosines and sines are multiplied by nothing.
        if let Some(tenth) = of("yarn_log_multiplier").and_then(Value::as_f64) {
            for key in ["mscale", "mscale_all_dim"] {
                scaling.insert(key.to_owned(), (10.0 * tenth).into());
            }
        }
        Some(Value::Object(scaling))
    }
}
