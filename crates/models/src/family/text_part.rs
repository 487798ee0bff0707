//! Models that take images beside texts, of which the model of texts is one that is known: it is read, from
//! the part of the configuration that is its own, and what is left out is said.

use opledger_dims::escaped;
use serde_json::{Map, Value, json};

use crate::config::{Config, ConfigError};

/// A model that has a model of texts as a part, with the language head of that.
struct WithText {
    /// What `model_type` says.
    name: &'static str,
    /// Of which family the part is where it does not say.
    text: &'static str,
    /// The class whose head is that of words.
    class: &'static str,
    /// Whether the head is the table of words where the whole model decides it and no key says; where it is
    /// none, the part decides.
    tied: Option<bool>,
}

const WITH_TEXT: &[WithText] = &[
    WithText {
        name: "gemma3",
        text: "gemma3_text",
        class: "Gemma3ForConditionalGeneration",
        tied: Some(true),
    },
    WithText {
        name: "gemma4",
        text: "gemma4_text",
        class: "Gemma4ForConditionalGeneration",
        tied: Some(true),
    },
    WithText {
        name: "llama4",
        text: "llama4_text",
        class: "Llama4ForConditionalGeneration",
        tied: None,
    },
    WithText {
        name: "llava",
        text: "llama",
        class: "LlavaForConditionalGeneration",
        tied: Some(false),
    },
    WithText {
        name: "mistral3",
        text: "mistral",
        class: "Mistral3ForConditionalGeneration",
        tied: Some(true),
    },
    WithText {
        name: "qwen3_5",
        text: "qwen3_5_text",
        class: "Qwen3_5ForConditionalGeneration",
        tied: Some(false),
    },
    WithText {
        name: "qwen3_5_moe",
        text: "qwen3_5_moe_text",
        class: "Qwen3_5MoeForConditionalGeneration",
        tied: Some(false),
    },
];

/// The keys that published parts leave out, with the values of the library.
fn usual(family: &str) -> Value {
    match family {
        "gemma3_text" => json!({
            "vocab_size": 262208, "hidden_size": 2304, "intermediate_size": 9216,
            "num_hidden_layers": 26, "num_attention_heads": 8, "max_position_embeddings": 131072,
        }),
        "gemma4_text" => json!({
            "vocab_size": 262144, "hidden_size": 2304, "intermediate_size": 9216,
            "num_hidden_layers": 30, "num_attention_heads": 8, "max_position_embeddings": 131072,
        }),
        "llama4_text" => json!({
            "vocab_size": 202048, "hidden_size": 5120, "intermediate_size": 8192,
            "intermediate_size_mlp": 16384, "num_hidden_layers": 48, "num_attention_heads": 40,
            "num_local_experts": 16, "num_experts_per_tok": 1, "max_position_embeddings": 131072,
        }),
        "llama" => json!({
            "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008,
            "num_hidden_layers": 32, "num_attention_heads": 32, "max_position_embeddings": 2048,
        }),
        "mistral" => json!({
            "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 14336,
            "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
            "max_position_embeddings": 131072,
        }),
        "qwen3_5_text" => json!({
            "vocab_size": 248320, "hidden_size": 4096, "intermediate_size": 12288,
            "num_hidden_layers": 32, "num_attention_heads": 16, "max_position_embeddings": 32768,
        }),
        "qwen3_5_moe_text" => json!({
            "vocab_size": 248320, "hidden_size": 2048, "num_hidden_layers": 40,
            "num_attention_heads": 16, "num_experts": 256, "num_experts_per_tok": 8,
            "moe_intermediate_size": 512, "max_position_embeddings": 32768,
        }),
        _ => Value::Null,
    }
}

/// The values of `model_type` whose model of texts is read.
pub fn families_with_text() -> impl Iterator<Item = &'static str> {
    WITH_TEXT.iter().map(|own| own.name)
}

/// The configuration of the model of texts, where a configuration is of a model that has one, and what of it
/// is left out.
pub(super) fn text_part(config: &Config) -> Result<Option<(Config, String)>, ConfigError> {
    let (origin, map) = config.content();
    let family = map.get("model_type").and_then(Value::as_str);
    let Some(own) = WITH_TEXT.iter().find(|own| Some(own.name) == family) else { return Ok(None) };
    let wrong = |key: &str, found: &Value, expected: &str| ConfigError::Value {
        origin: origin.to_owned(),
        key: key.to_owned(),
        found: escaped(&found.to_string()),
        expected: expected.to_owned(),
    };
    if let Some(classes) = map.get("architectures").filter(|classes| !classes.is_null())
        && classes.get(0).and_then(Value::as_str) != Some(own.class)
    {
        return Err(wrong("architectures", classes, own.class));
    }
    let mut text = match map.get("text_config") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(text)) => text.clone(),
        Some(other) => return Err(wrong("text_config", other, "the keys of the model of texts")),
    };
    let kind = text.entry("model_type").or_insert(own.text.into()).clone();
    if let Value::Object(usual) = usual(kind.as_str().unwrap_or_default()) {
        for (key, value) in usual {
            let given = text.entry(key).or_insert(Value::Null);
            if given.is_null() {
                *given = value;
            }
        }
    }
    if let Some(tied) = own.tied {
        let said = map.get("tie_word_embeddings").filter(|said| !said.is_null());
        text.insert("tie_word_embeddings".to_owned(), said.cloned().unwrap_or(tied.into()));
    }
    let left: Vec<String> = map
        .iter()
        .filter(|(key, value)| *key != "text_config" && value.is_object())
        .filter(|(key, _)| key.ends_with("_config") && *key != "quantization_config")
        .map(|(key, _)| format!("`{}`", escaped(key)))
        .collect();
    let left = if left.is_empty() { "the encoder of images".to_owned() } else { left.join(", ") };
    let note = format!(
        "of `{}` this is the model of texts, its `text_config`; {left} and what joins them to it \
         are left out",
        own.name,
    );
    Ok(Some((Config::of(format!("{origin}, text_config"), text), note)))
}
