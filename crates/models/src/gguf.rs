//! The header of a GGUF file as a configuration of the `transformers` library.
//!
//! The keys are those that `llama.cpp` writes (`gguf-py/gguf/constants.py` of `ggml-org/llama.cpp` at
//! 0024aa7, class `Keys`). What a header does not say is read off the tensors: the vocabulary, biases,
//! whether there is a head.

use std::collections::BTreeMap;

use opledger_dims::{escaped, nearest};
use serde_json::{Map, Value, json};

use crate::config::{Config, ConfigError};

/// What a GGUF file says before its elements.
#[derive(Clone, Copy, Debug)]
pub struct GgufHeader<'a> {
    /// The file, as errors show it.
    pub origin: &'a str,
    /// Its keys and their values.
    pub metadata: &'a Map<String, Value>,
    /// Its tensors: sizes by name, outermost first.
    pub tensors: &'a BTreeMap<String, Vec<u64>>,
}

/// Tensors that are constants of the rotation, and no parameters.
pub const GGUF_CONSTANTS: [&str; 3] =
    ["rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"];

/// An architecture that is read.
struct Architecture {
    /// What `general.architecture` says.
    name: &'static str,
    /// The family, and the class with a head of words.
    family: &'static str,
    class: &'static str,
    /// Keys of files, below the architecture's name, and what the family calls them.
    keys: &'static [(&'static str, &'static str)],
    /// The key of the family that says the share of each head that turns.
    turned: Option<&'static str>,
    /// What else the family needs to be told.
    fixed: fn(&GgufHeader<'_>) -> Vec<(&'static str, Value)>,
}

/// The keys of most.
const COMMON: &[(&str, &str)] = &[
    ("block_count", "num_hidden_layers"),
    ("embedding_length", "hidden_size"),
    ("feed_forward_length", "intermediate_size"),
    ("attention.head_count", "num_attention_heads"),
    ("attention.head_count_kv", "num_key_value_heads"),
    ("attention.key_length", "head_dim"),
    ("context_length", "max_position_embeddings"),
    ("rope.freq_base", "rope_theta"),
    ("attention.layer_norm_rms_epsilon", "rms_norm_eps"),
];

const LAYER_NORM: (&str, &str) = ("attention.layer_norm_epsilon", "layer_norm_eps");
const WINDOW: (&str, &str) = ("attention.sliding_window", "sliding_window");

fn nothing(_: &GgufHeader<'_>) -> Vec<(&'static str, Value)> {
    Vec::new()
}

fn biases(header: &GgufHeader<'_>) -> Vec<(&'static str, Value)> {
    vec![("attention_bias", header.has("blk.0.attn_q.bias").into())]
}

const ARCHITECTURES: &[Architecture] = &[
    Architecture {
        name: "llama",
        family: "llama",
        class: "LlamaForCausalLM",
        keys: &[],
        turned: None,
        fixed: biases,
    },
    Architecture {
        name: "qwen2",
        family: "qwen2",
        class: "Qwen2ForCausalLM",
        keys: &[],
        turned: None,
        fixed: nothing,
    },
    Architecture {
        name: "qwen3",
        family: "qwen3",
        class: "Qwen3ForCausalLM",
        keys: &[],
        turned: None,
        fixed: biases,
    },
    Architecture {
        name: "qwen3moe",
        family: "qwen3_moe",
        class: "Qwen3MoeForCausalLM",
        keys: &[
            ("expert_count", "num_experts"),
            ("expert_used_count", "num_experts_per_tok"),
            ("expert_feed_forward_length", "moe_intermediate_size"),
        ],
        turned: None,
        // llama.cpp divides the weights of the chosen experts by their sum.
        fixed: |_| vec![("norm_topk_prob", true.into())],
    },
    Architecture {
        name: "phi2",
        family: "phi",
        class: "PhiForCausalLM",
        keys: &[LAYER_NORM],
        turned: Some("partial_rotary_factor"),
        fixed: nothing,
    },
    Architecture {
        name: "phi3",
        family: "phi3",
        class: "Phi3ForCausalLM",
        keys: &[WINDOW],
        turned: Some("partial_rotary_factor"),
        fixed: nothing,
    },
    Architecture {
        name: "starcoder2",
        family: "starcoder2",
        class: "Starcoder2ForCausalLM",
        keys: &[("attention.layer_norm_epsilon", "norm_epsilon")],
        turned: None,
        fixed: |header| vec![("use_bias", header.has("blk.0.attn_q.bias").into())],
    },
    Architecture {
        name: "gptneox",
        family: "gpt_neox",
        class: "GPTNeoXForCausalLM",
        keys: &[LAYER_NORM, ("use_parallel_residual", "use_parallel_residual")],
        turned: Some("rotary_pct"),
        fixed: nothing,
    },
];

/// What a Llama with experts is called.
const MIXTRAL: Architecture = Architecture {
    name: "llama",
    family: "mixtral",
    class: "MixtralForCausalLM",
    keys: &[("expert_count", "num_local_experts"), ("expert_used_count", "num_experts_per_tok")],
    turned: None,
    fixed: nothing,
};

impl GgufHeader<'_> {
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
        let name = self.metadata.get("general.architecture").and_then(Value::as_str);
        let name = name.ok_or_else(|| missing("general.architecture"))?;
        let architecture = self.architecture(name)?;
        let mut map = Map::new();
        let mut say = |key: &str, value: Value| drop(map.insert(key.to_owned(), value));
        say("model_type", architecture.family.into());
        say("architectures", json!([architecture.class]));
        for (own, key) in COMMON.iter().chain(architecture.keys) {
            let own = format!("{name}.{own}");
            if let Some(value) = self.metadata.get(&own) {
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
        Ok(Config::of(self.origin.to_owned(), map))
    }

    fn architecture(&self, name: &str) -> Result<&'static Architecture, ConfigError> {
        let experts = self.metadata.get(&format!("{name}.expert_count")).and_then(Value::as_u64);
        if name == MIXTRAL.name && experts.unwrap_or(0) > 0 {
            return Ok(&MIXTRAL);
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
        let kind = of("type").and_then(Value::as_str).filter(|kind| *kind != "none")?;
        let mut scaling = Map::new();
        scaling.insert("rope_type".to_owned(), kind.into());
        for (own, key) in
            [("factor", "factor"), ("original_context_length", "original_max_position_embeddings")]
        {
            if let Some(value) = of(own) {
                scaling.insert(key.to_owned(), value.clone());
            }
        }
        Some(Value::Object(scaling))
    }
}
