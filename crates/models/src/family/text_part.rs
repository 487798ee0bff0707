//! Models that take images beside texts, of which the model of texts is one that is known: it is read, from
//! the part of the configuration that is its own, and what is left out is said.

use opledger_dims::escaped;
use serde_json::{Map, Value, json};

use super::FAMILIES;
use super::recorder::{Problem, Recorder};
use super::request::Request;
use crate::config::{Config, ConfigError, Keys};
use crate::names::Names;

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
    /// With which encoders of images the whole is a model here, the first where it does not say.
    encoders: &'static [&'static str],
    /// With which families of texts it is.
    texts: &'static [&'static str],
}

const WITH_TEXT: &[WithText] = &[
    WithText {
        name: "gemma3",
        text: "gemma3_text",
        class: "Gemma3ForConditionalGeneration",
        tied: Some(true),
        encoders: &[],
        texts: &[],
    },
    WithText {
        name: "gemma4",
        text: "gemma4_text",
        class: "Gemma4ForConditionalGeneration",
        tied: Some(true),
        encoders: &[],
        texts: &[],
    },
    WithText {
        name: "llama4",
        text: "llama4_text",
        class: "Llama4ForConditionalGeneration",
        tied: None,
        encoders: &[],
        texts: &[],
    },
    WithText {
        name: "llava",
        text: "llama",
        class: "LlavaForConditionalGeneration",
        tied: Some(false),
        encoders: &["clip_vision_model", "siglip_vision_model"],
        texts: &["llama", "mistral", "mixtral", "phi3", "qwen2", "qwen3"],
    },
    WithText {
        name: "mistral3",
        text: "mistral",
        class: "Mistral3ForConditionalGeneration",
        tied: Some(true),
        encoders: &[],
        texts: &[],
    },
    WithText {
        name: "qwen2_vl",
        text: "qwen2_vl_text",
        class: "Qwen2VLForConditionalGeneration",
        tied: Some(false),
        // The first files call the part as the whole.
        encoders: &["qwen2_vl_vision", "qwen2_vl"],
        texts: &["qwen2_vl_text"],
    },
    WithText {
        name: "qwen2_5_vl",
        text: "qwen2_5_vl_text",
        class: "Qwen2_5_VLForConditionalGeneration",
        tied: Some(false),
        encoders: &["qwen2_5_vl_vision", "qwen2_5_vl"],
        texts: &["qwen2_5_vl_text"],
    },
    WithText {
        name: "qwen3_vl",
        text: "qwen3_vl_text",
        class: "Qwen3VLForConditionalGeneration",
        tied: Some(false),
        encoders: &["qwen3_vl_vision", "qwen3_vl"],
        texts: &["qwen3_vl_text"],
    },
    WithText {
        name: "qwen3_5",
        text: "qwen3_5_text",
        class: "Qwen3_5ForConditionalGeneration",
        tied: Some(false),
        encoders: &[],
        texts: &[],
    },
    WithText {
        name: "qwen3_5_moe",
        text: "qwen3_5_moe_text",
        class: "Qwen3_5MoeForConditionalGeneration",
        tied: Some(false),
        encoders: &[],
        texts: &[],
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
        "qwen2_vl_text" | "qwen2_5_vl_text" => json!({
            "vocab_size": 152064, "hidden_size": 8192, "intermediate_size": 29568,
            "num_hidden_layers": 80, "num_attention_heads": 64, "num_key_value_heads": 8,
            "max_position_embeddings": 32768, "max_window_layers": 80, "rms_norm_eps": 1e-5,
        }),
        "qwen3_vl_text" => json!({
            "vocab_size": 151936, "hidden_size": 4096, "intermediate_size": 22016,
            "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32,
            "max_position_embeddings": 128000,
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

/// The family of texts that a part is, and the base of its rotation where no key says, of those that turn by
/// three positions of each token: of texts these are the same.
fn of_three_positions(part: &str) -> Option<(&'static str, f64)> {
    match part {
        "qwen2_vl_text" | "qwen2_5_vl_text" => Some(("qwen2", 1e6)),
        "qwen3_vl_text" => Some(("qwen3", 5e5)),
        _ => None,
    }
}

/// What only the whole has, in files whose keys of texts stand beside it.
const OF_THE_WHOLE: &[&str] = &[
    "architectures",
    "image_token_id",
    "model_type",
    "video_token_id",
    "vision_config",
    "vision_end_token_id",
    "vision_start_token_id",
    "vision_token_id",
];

/// The keys of a rotation by three positions as those of one.
fn by_one_position(text: &mut Map<String, Value>, base: f64) {
    let mut says_base = text.get("rope_theta").is_some_and(|own| !own.is_null());
    for place in ["rope_parameters", "rope_scaling"] {
        let Some(Value::Object(own)) = text.get_mut(place) else { continue };
        own.remove("mrope_section");
        own.remove("mrope_interleaved");
        for kind in ["type", "rope_type"] {
            if own.get(kind).and_then(Value::as_str) == Some("mrope") {
                own.insert(kind.to_owned(), "default".into());
            }
        }
        says_base |= own.get("rope_theta").is_some_and(|own| !own.is_null());
    }
    if !says_base {
        text.insert("rope_theta".to_owned(), base.into());
    }
}

/// The values of `model_type` whose model of texts is read.
pub fn families_with_text() -> impl Iterator<Item = &'static str> {
    WITH_TEXT.iter().map(|own| own.name)
}

impl WithText {
    /// The one that is called so.
    fn of(family: Option<&str>) -> Option<&'static WithText> {
        WITH_TEXT.iter().find(|own| Some(own.name) == family)
    }

    /// What the keys of a part say of its family.
    fn said<'m>(map: &'m Map<String, Value>, part: &str) -> Option<&'m str> {
        map.get(part)?.get("model_type")?.as_str()
    }

    /// Whether the whole is a model here, and not its text alone.
    fn is_whole(&self, map: &Map<String, Value>) -> bool {
        let text = WithText::said(map, "text_config").unwrap_or(self.text);
        let encoder = WithText::said(map, "vision_config").or(self.encoders.first().copied());
        self.texts.contains(&text) && encoder.is_some_and(|own| self.encoders.contains(&own))
    }

    /// The keys of the model of texts, with those that it leaves out.
    fn text(
        &self,
        map: &Map<String, Value>,
        wrong: impl Fn(&str, &Value, &str) -> ConfigError,
    ) -> Result<Map<String, Value>, ConfigError> {
        if let Some(classes) = map.get("architectures").filter(|classes| !classes.is_null())
            && classes.get(0).and_then(Value::as_str) != Some(self.class)
        {
            return Err(wrong("architectures", classes, self.class));
        }
        let three = of_three_positions(self.text);
        let mut text = match map.get("text_config") {
            // The first files have the keys of texts beside the others.
            None | Some(Value::Null) if three.is_some() => {
                let own = map.iter().filter(|(key, _)| !OF_THE_WHOLE.contains(&key.as_str()));
                own.map(|(key, value)| (key.clone(), value.clone())).collect()
            }
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(text)) => text.clone(),
            Some(other) => {
                return Err(wrong("text_config", other, "the keys of the model of texts"));
            }
        };
        let kind = text.entry("model_type").or_insert(self.text.into()).clone();
        if let Value::Object(usual) = usual(kind.as_str().unwrap_or_default()) {
            for (key, value) in usual {
                let given = text.entry(key).or_insert(Value::Null);
                if given.is_null() {
                    *given = value;
                }
            }
        }
        if let Some(tied) = self.tied {
            let said = map.get("tie_word_embeddings").filter(|said| !said.is_null());
            let mut said = said.cloned().unwrap_or(tied.into());
            // These take the part's word where their own is no.
            let asks = matches!(self.name, "llava" | "qwen2_vl" | "qwen2_5_vl");
            let own = text.get("tie_word_embeddings").filter(|own| **own == Value::Bool(true));
            if let (Value::Bool(false), true, Some(own)) = (&said, asks, own) {
                said = own.clone();
            }
            text.insert("tie_word_embeddings".to_owned(), said);
        }
        if let Some((family, base)) = of_three_positions(kind.as_str().unwrap_or_default()) {
            text.insert("model_type".to_owned(), family.into());
            by_one_position(&mut text, base);
            // The class is that of the part alone, which has no head.
            text.remove("architectures");
        }
        Ok(text)
    }
}

/// The configuration of the model of texts, where a configuration is of a model that has one, and what of it
/// is left out: where the whole is none that is known, or where it is read with a cache.
pub(super) fn text_part(
    config: &Config,
    request: &Request,
) -> Result<Option<(Config, String)>, ConfigError> {
    let (origin, map) = config.content();
    let Some(own) = WithText::of(map.get("model_type").and_then(Value::as_str)) else {
        return Ok(None);
    };
    let whole = own.is_whole(map);
    if whole && !request.past {
        return Ok(None);
    }
    let wrong = |key: &str, found: &Value, expected: &str| ConfigError::Value {
        origin: origin.to_owned(),
        key: key.to_owned(),
        found: escaped(&found.to_string()),
        expected: expected.to_owned(),
    };
    let text = own.text(map, wrong)?;
    let left: Vec<String> = map
        .iter()
        .filter(|(key, value)| *key != "text_config" && value.is_object())
        .filter(|(key, _)| key.ends_with("_config") && *key != "quantization_config")
        .map(|(key, _)| format!("`{}`", escaped(key)))
        .collect();
    let left = if left.is_empty() { "the encoder of images".to_owned() } else { left.join(", ") };
    let when = if whole { " with a cache" } else { "" };
    let note = format!(
        "of `{}` this is the model of texts{when}, its `text_config`; {left} and what joins them to it \
         are left out",
        own.name,
    );
    Ok(Some((Config::of(format!("{origin}, text_config"), text), note)))
}

/// The keys of the model of texts of a whole.
pub(super) struct WholeText {
    map: Map<String, Value>,
    /// Whether they stand beside the others, and not in a part.
    beside: bool,
    /// Its family where the keys do not say.
    usual: &'static str,
}

impl WholeText {
    pub(super) fn read(keys: &Keys<'_>) -> Result<WholeText, ConfigError> {
        let Some(own) = WithText::of(keys.text("model_type")?) else {
            return Err(keys.unsupported("model_type", "a model with one of texts"));
        };
        let map = own.text(keys.map(), |key, _, expected| {
            keys.get(key);
            keys.unsupported(key, expected)
        })?;
        keys.pass_over(&["architectures", "tie_word_embeddings", "vision_config"]);
        let part = keys.map().get("text_config").filter(|part| !part.is_null());
        let beside = part.is_none() && of_three_positions(own.text).is_some();
        let mut text = WholeText { map, beside, usual: own.text };
        // What the part alone would have on it.
        text.map.remove("architectures");
        Ok(text)
    }

    /// The keys as they are read.
    pub(super) fn keys<'b>(&'b self, keys: &Keys<'b>) -> Keys<'b> {
        if self.beside {
            return keys.of(&self.map);
        }
        keys.in_place_of("text_config", &self.map)
    }
}

/// Records the model of texts of a whole, in whose text there are images.
pub(super) fn whole_text(
    keys: &Keys<'_>,
    text: &WholeText,
    request: &Request,
    r: &mut Recorder,
) -> Result<(), Problem> {
    let part = text.keys(keys);
    part.pass_over(&["architectures"]);
    let family = part.text("model_type")?.unwrap_or(text.usual);
    let family = FAMILIES.iter().find(|known| known.name == family);
    let Some(family) = family else {
        return Err(part.unsupported("model_type", text.usual).into());
    };
    (family.build)(&part, request, r)?;
    r.names = file_names(std::mem::take(&mut r.names));
    Ok(())
}

/// Where files of a whole have its model of texts: the first have `language_model.`, later ones
/// `model.language_model.`.
pub(super) fn file_names(names: Names) -> Names {
    let names = names.prefix("language_model.").prefix("model.language_model.");
    names.scope("model", "model.language_model")
}
