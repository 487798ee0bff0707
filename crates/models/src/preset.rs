//! Published models: a small file each, with its configuration and its source.

use opledger_dims::nearest_by_words;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::config::{Config, ConfigError};

/// A published model.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// What it is called here.
    pub name: String,
    /// Who published it.
    pub source: String,
    /// Its parameters, tied ones once.
    pub parameters: u64,
    /// Those of them that a token meets, where a router leaves some out.
    #[serde(default)]
    pub active_parameters: Option<u64>,
    /// Under which name its checkpoint is published on the Hugging Face hub.
    #[serde(default)]
    pub hub: Option<String>,
    /// Its configuration.
    config: Map<String, Value>,
}

impl Preset {
    /// Its configuration.
    pub fn config(&self) -> Config {
        // Where a configuration leaves it open, the published checkpoint has a head.
        Config::of(format!("preset `{}`", self.name), self.config.clone()).with_head_apart()
    }

    /// The value of `model_type`.
    pub fn family(&self) -> &str {
        self.config.get("model_type").and_then(Value::as_str).unwrap_or_default()
    }

    fn read(name: &str, text: &str) -> Result<Preset, ConfigError> {
        let malformed = |problem: serde_json::Error| ConfigError::Malformed {
            origin: format!("preset `{name}`"),
            problem: problem.to_string(),
        };
        let value = opledger_json::parse(text.as_bytes()).map_err(malformed)?;
        serde_json::from_value(value).map_err(malformed)
    }
}

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        const FILES: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../presets/", $name, ".json")))),*];
    };
}

files! {
    "albert-base-v2",
    "albert-large-v2",
    "albert-xlarge-v2",
    "albert-xxlarge-v2",
    "all-minilm-l6-v2",
    "bart-base",
    "bart-large",
    "bart-large-cnn",
    "beit-b16",
    "beit-b16-384",
    "beit-b16-pt22k",
    "beit-l16",
    "bert-base",
    "bert-large",
    "bloom-176b",
    "bloom-1b7",
    "bloom-560m",
    "bloom-7b1",
    "clip-vit-b16",
    "clip-vit-b32",
    "clip-vit-l14",
    "clip-vit-l14-336",
    "command-r",
    "command-r7b",
    "convnext-b",
    "convnext-l",
    "convnext-s",
    "convnext-t",
    "convnext-xl-22k",
    "deberta-v3-base",
    "deberta-v3-large",
    "deberta-v3-small",
    "deberta-v3-xsmall",
    "deepseek-r1",
    "deepseek-v2",
    "deepseek-v2-lite",
    "deepseek-v3",
    "deit-b16-distilled",
    "deit-s16-distilled",
    "deit-ti16-distilled",
    "dinov2-base",
    "dinov2-giant",
    "dinov2-large",
    "dinov2-registers-base",
    "dinov2-registers-large",
    "dinov2-registers-small",
    "dinov2-small",
    "dinov3-b16",
    "dinov3-l16",
    "dinov3-s16",
    "distilbert-base",
    "distilbert-sst2",
    "ernie-4.5-21b-a3b",
    "falcon-180b",
    "falcon-40b",
    "falcon-7b",
    "flan-t5-base",
    "flan-t5-large",
    "flan-t5-small",
    "flan-t5-xl",
    "flan-t5-xxl",
    "gemma-2-27b",
    "gemma-2-2b",
    "gemma-2-9b",
    "gemma-2b",
    "gemma-3-1b",
    "gemma-3-270m",
    "gemma-4-26b-a4b",
    "gemma-4-31b",
    "gemma-4-e2b",
    "gemma-4-e4b",
    "gemma-7b",
    "glm-4-9b",
    "glm-4-9b-0414",
    "glm-4.5",
    "glm-4.5-air",
    "glm-4.6",
    "gpt-j-6b",
    "gpt-neo-1.3b",
    "gpt-neo-125m",
    "gpt-neo-2.7b",
    "gpt-neox-20b",
    "gpt-oss-120b",
    "gpt-oss-20b",
    "gpt2",
    "gpt2-large",
    "gpt2-medium",
    "gpt2-xl",
    "granite-3.3-8b",
    "granite-4.0-h-1b",
    "granite-4.0-h-350m",
    "granite-4.0-h-tiny",
    "hubert-base",
    "hubert-large",
    "hubert-xlarge",
    "kimi-linear-48b-a3b",
    "lfm2-1.2b",
    "lfm2-350m",
    "lfm2-8b-a1b",
    "lfm2.5-2.6b",
    "lfm2.5-230m",
    "llama-13b",
    "llama-2-13b",
    "llama-2-70b",
    "llama-2-7b",
    "llama-3-70b",
    "llama-3-8b",
    "llama-3.1-405b",
    "llama-3.1-70b",
    "llama-3.1-8b",
    "llama-3.2-1b",
    "llama-3.2-3b",
    "llama-33b",
    "llama-4-maverick-17b-128e",
    "llama-4-scout-17b-16e",
    "llama-65b",
    "llama-7b",
    "llava-1.5-13b",
    "llava-1.5-7b",
    "mamba-codestral-7b",
    "mamba2-1.3b",
    "mamba2-130m",
    "mamba2-2.7b",
    "mamba2-370m",
    "mamba2-780m",
    "mbart-large-cc25",
    "minimax-m2",
    "mistral-7b",
    "mixtral-8x22b",
    "mixtral-8x7b",
    "modernbert-base",
    "modernbert-large",
    "moonlight-16b-a3b",
    "mpnet-base",
    "ms-marco-minilm-l6",
    "mt5-base",
    "mt5-large",
    "mt5-small",
    "mt5-xl",
    "mt5-xxl",
    "nemotron-3-nano-30b-a3b",
    "nemotron-3-super-120b-a12b",
    "nemotron-h-8b",
    "nemotron-nano-9b-v2",
    "olmo-2-13b",
    "olmo-2-1b",
    "olmo-2-7b",
    "opt-125m",
    "opt-350m",
    "opus-mt-en-de",
    "pegasus-large",
    "phi-2",
    "phi-3-mini",
    "pythia-1.4b",
    "pythia-12b",
    "pythia-160m",
    "pythia-1b",
    "pythia-2.8b",
    "pythia-410m",
    "pythia-6.9b",
    "pythia-70m",
    "qwen1.5-moe-a2.7b",
    "qwen2-0.5b",
    "qwen2-1.5b",
    "qwen2-57b-a14b",
    "qwen2-7b",
    "qwen2-vl-2b",
    "qwen2.5-0.5b",
    "qwen2.5-1.5b",
    "qwen2.5-14b",
    "qwen2.5-32b",
    "qwen2.5-3b",
    "qwen2.5-72b",
    "qwen2.5-7b",
    "qwen2.5-vl-7b",
    "qwen3-0.6b",
    "qwen3-1.7b",
    "qwen3-14b",
    "qwen3-30b-a3b",
    "qwen3-32b",
    "qwen3-4b",
    "qwen3-8b",
    "qwen3-next-80b-a3b",
    "qwen3-vl-4b",
    "qwen3-vl-embedding-2b",
    "qwen3.5-27b",
    "qwen3.5-35b-a3b",
    "qwen3.5-9b",
    "roberta-base",
    "roberta-large",
    "siglip-b16",
    "siglip-l16-384",
    "siglip-so400m-14-384",
    "smollm3-3b",
    "starcoder2-3b",
    "swin-b",
    "swin-b-384",
    "swin-l",
    "swin-l-384",
    "swin-s",
    "swin-t",
    "swinv2-b",
    "swinv2-b-384",
    "swinv2-l-384",
    "swinv2-s",
    "swinv2-t",
    "t5-11b",
    "t5-3b",
    "t5-base",
    "t5-large",
    "t5-small",
    "t5-v1.1-base",
    "t5-v1.1-large",
    "t5-v1.1-small",
    "t5-v1.1-xl",
    "t5-v1.1-xxl",
    "tinyllama-1.1b",
    "vit-b16",
    "vit-b32",
    "vit-h14",
    "vit-l16",
    "vit-l32",
    "vit-mae-b16",
    "vit-mae-h14",
    "vit-mae-l16",
    "vit-s16",
    "vit-ti16",
    "wav2vec2-base",
    "wav2vec2-large",
    "wav2vec2-large-lv60",
    "whisper-base",
    "whisper-large-v2",
    "whisper-large-v3",
    "whisper-large-v3-turbo",
    "whisper-medium",
    "whisper-small",
    "whisper-tiny",
    "xlm-roberta-base",
}

/// The names of all presets.
pub fn preset_names() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|(name, _)| *name)
}

/// All presets.
///
/// # Errors
/// When a file is not of the form of a preset.
pub fn presets() -> Result<Vec<Preset>, ConfigError> {
    FILES.iter().map(|(name, text)| Preset::read(name, text)).collect()
}

/// The preset of a name, in small letters or capitals, or of the name its checkpoint is published
/// under, with or without who published it: `bert-base`, `bert-base-uncased` and
/// `google-bert/bert-base-uncased` are one.
///
/// # Errors
/// [`ConfigError::Unknown`] when there is none.
pub fn preset(name: &str) -> Result<Preset, ConfigError> {
    if let Some((name, text)) = FILES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
        return Preset::read(name, text);
    }
    let published = |preset: &Preset| {
        let Some(hub) = preset.hub.as_deref() else { return false };
        let last = hub.rsplit('/').next().unwrap_or_default();
        [hub, last].iter().any(|known| known.eq_ignore_ascii_case(name))
    };
    match presets()?.into_iter().find(published) {
        Some(preset) => Ok(preset),
        None => {
            let known: Vec<&str> = preset_names().collect();
            let own = name.rsplit('/').next().unwrap_or(name);
            let nearest = nearest_by_words(own, &known);
            Err(ConfigError::Unknown { name: name.to_owned(), nearest })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preset_is_found_by_its_name_and_by_that_of_its_checkpoint() {
        for name in ["llama-3.1-8b", "Llama-3.1-8B", "meta-llama/Llama-3.1-8B"] {
            assert_eq!(preset(name).unwrap().name, "llama-3.1-8b");
        }
        for name in ["bert-base", "bert-base-uncased", "google-bert/bert-base-uncased"] {
            assert_eq!(preset(name).unwrap().name, "bert-base");
        }
        let last = |hub: String| hub.rsplit('/').next().unwrap_or_default().to_lowercase();
        let hubs = presets().unwrap().into_iter().filter_map(|preset| preset.hub);
        let mut names: Vec<String> = hubs.map(last).collect();
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all, "two presets of one checkpoint, or of one last name");
        for none in ["meta-llama/Llama-9-8B", "", "/", "meta-llama/"] {
            assert!(preset(none).is_err(), "{none}");
        }
    }
}
