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
    /// Keys of files, below the architecture's name, and what the family calls them: those of most, and
    /// its own.
    common: &'static [(&'static str, &'static str)],
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

/// Those of GPT-2.
const GPT2: &[(&str, &str)] = &[
    ("block_count", "n_layer"),
    ("embedding_length", "n_embd"),
    ("feed_forward_length", "n_inner"),
    ("attention.head_count", "n_head"),
    ("context_length", "n_positions"),
    ("attention.layer_norm_epsilon", "layer_norm_epsilon"),
];

const EXPERTS: &[(&str, &str)] = &[
    ("expert_count", "num_experts"),
    ("expert_used_count", "num_experts_per_tok"),
    ("expert_feed_forward_length", "moe_intermediate_size"),
];
const EXPERTS_AND_SHARED: &[(&str, &str)] = &[
    ("expert_count", "num_experts"),
    ("expert_used_count", "num_experts_per_tok"),
    ("expert_feed_forward_length", "moe_intermediate_size"),
    ("expert_shared_feed_forward_length", "shared_expert_intermediate_size"),
];
const GRANITE: &[(&str, &str)] = &[
    ("embedding_scale", "embedding_multiplier"),
    ("residual_scale", "residual_multiplier"),
    ("attention.scale", "attention_multiplier"),
    ("logit_scale", "logits_scaling"),
];

const PARALLEL: (&str, &str) = ("use_parallel_residual", "use_parallel_residual");
const STARCODER_NORM: (&str, &str) = ("attention.layer_norm_epsilon", "norm_epsilon");
const SCORES_CAP: (&str, &str) = ("attn_logit_softcapping", "attn_logit_softcapping");
const LOGITS_CAP: (&str, &str) = ("final_logit_softcapping", "final_logit_softcapping");
const LOCAL_BASE: (&str, &str) = ("rope.freq_base_swa", "rope_local_base_freq");
const LAYER_NORM: (&str, &str) = ("attention.layer_norm_epsilon", "layer_norm_eps");
const WINDOW: (&str, &str) = ("attention.sliding_window", "sliding_window");

fn nothing(_: &GgufHeader<'_>) -> Vec<(&'static str, Value)> {
    Vec::new()
}

fn biases(header: &GgufHeader<'_>) -> Vec<(&'static str, Value)> {
    vec![("attention_bias", header.has("blk.0.attn_q.bias").into())]
}

/// An architecture of these keys and no others.
const fn plain(
    name: &'static str,
    family: &'static str,
    class: &'static str,
    keys: &'static [(&'static str, &'static str)],
) -> Architecture {
    Architecture { name, family, class, common: COMMON, keys, turned: None, fixed: nothing }
}

const ARCHITECTURES: &[Architecture] = &[
    Architecture { fixed: biases, ..plain("llama", "llama", "LlamaForCausalLM", &[]) },
    plain("qwen2", "qwen2", "Qwen2ForCausalLM", &[]),
    Architecture { fixed: biases, ..plain("qwen3", "qwen3", "Qwen3ForCausalLM", &[]) },
    Architecture {
        // llama.cpp divides the weights of the chosen experts by their sum.
        fixed: |_| vec![("norm_topk_prob", true.into())],
        ..plain("qwen3moe", "qwen3_moe", "Qwen3MoeForCausalLM", EXPERTS)
    },
    plain("qwen2moe", "qwen2_moe", "Qwen2MoeForCausalLM", EXPERTS_AND_SHARED),
    Architecture {
        turned: Some("partial_rotary_factor"),
        ..plain("phi2", "phi", "PhiForCausalLM", &[LAYER_NORM])
    },
    Architecture {
        turned: Some("partial_rotary_factor"),
        ..plain("phi3", "phi3", "Phi3ForCausalLM", &[WINDOW])
    },
    Architecture {
        fixed: |header| vec![("use_bias", header.has("blk.0.attn_q.bias").into())],
        ..plain("starcoder2", "starcoder2", "Starcoder2ForCausalLM", &[STARCODER_NORM])
    },
    Architecture {
        turned: Some("rotary_pct"),
        ..plain("gptneox", "gpt_neox", "GPTNeoXForCausalLM", &[LAYER_NORM, PARALLEL])
    },
    Architecture { common: GPT2, ..plain("gpt2", "gpt2", "GPT2LMHeadModel", &[]) },
    plain("gemma", "gemma", "GemmaForCausalLM", &[]),
    plain("gemma2", "gemma2", "Gemma2ForCausalLM", &[WINDOW, SCORES_CAP, LOGITS_CAP]),
    plain("gemma3", "gemma3_text", "Gemma3ForCausalLM", &[WINDOW, LOCAL_BASE]),
    plain("olmo2", "olmo2", "Olmo2ForCausalLM", &[]),
    Architecture { fixed: biases, ..plain("granite", "granite", "GraniteForCausalLM", GRANITE) },
    Architecture { fixed: biases, ..plain("smollm3", "smollm3", "SmolLM3ForCausalLM", &[]) },
    plain(
        "command-r",
        "cohere",
        "CohereForCausalLM",
        &[LAYER_NORM, ("logit_scale", "logit_scale")],
    ),
];

/// What a Llama with experts is called.
const MIXTRAL: Architecture = plain(
    "llama",
    "mixtral",
    "MixtralForCausalLM",
    &[("expert_count", "num_local_experts"), ("expert_used_count", "num_experts_per_tok")],
);

/// The architectures of llama.cpp that are read, each with the family that it is here.
pub fn gguf_architectures() -> impl Iterator<Item = (&'static str, &'static str)> {
    ARCHITECTURES.iter().chain([&MIXTRAL]).map(|own| (own.name, own.family))
}

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
