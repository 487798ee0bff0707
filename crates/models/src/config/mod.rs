//! Configurations as the `transformers` library writes them: the text of `config.json`, read whole
//! before anything is built, and every key accounted for.

mod compressed;
mod error;
mod floats;
mod generation;
mod keys;
mod quantisation;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::BTreeSet;

use opledger_ir::{Elem, Graph, Module, ModuleClass};
use serde_json::{Map, Value};

pub use compressed::Compressed;
pub use error::ConfigError;
pub(crate) use floats::is_infinite;
use floats::tagged;
pub use generation::GenerationSettings;
pub(crate) use keys::{HARMLESS, Keys};
pub use quantisation::{OfExperts, Quantisation, QuantisationMethod};

/// Whether the head is the table of words.
const TIED: &str = "tie_word_embeddings";

/// What the first parameter of a pooler is called in files.
pub const POOLERS: [&str; 2] = ["pooler.dense.weight", "pooler.weight"];

/// Whether a model has a pooler with parameters.
fn has_pooler(graph: &Graph) -> bool {
    let pooler = |(_, module): (_, &Module)| module.class == ModuleClass::Pooler;
    let parameters = graph.nodes().iter().filter(|node| node.op.is_source());
    parameters.into_iter().any(|node| graph.modules_around(node).any(pooler))
}

/// A configuration.
#[derive(Clone, Debug)]
pub struct Config {
    origin: String,
    map: Map<String, Value>,
    /// Whether the files of its weights have a head of their own.
    head_apart: bool,
    /// Whether the files of its weights lack the pooler.
    no_pooler: bool,
    /// Whether the files of its weights have another head than the table of words, against its keys.
    untied: bool,
}

impl Config {
    /// Reads a text; `origin` says in errors where it comes from.
    ///
    /// # Errors
    /// When it is no JSON object with distinct keys.
    pub fn parse(origin: &str, text: &[u8]) -> Result<Config, ConfigError> {
        let malformed =
            |problem: String| ConfigError::Malformed { origin: origin.to_owned(), problem };
        match opledger_json::parse(&tagged(text)).map_err(|e| malformed(e.to_string()))? {
            Value::Object(map) => Ok(Config::of(origin.to_owned(), map)),
            _ => Err(malformed("it is no JSON object".to_owned())),
        }
    }

    /// A configuration that stands inside another text.
    pub(crate) fn of(origin: String, map: Map<String, Value>) -> Config {
        Config { origin, map, head_apart: false, no_pooler: false, untied: false }
    }

    /// What it says of the type that its weights are stored in: `dtype`, in older files `torch_dtype`.
    fn said_type(&self) -> Option<&Value> {
        let said = ["dtype", "torch_dtype"].into_iter().find_map(|key| self.map.get(key));
        said.filter(|value| !value.is_null() && *value != "auto")
    }

    /// The type that its weights are stored in as it says it, where that is one that is not known.
    pub fn unknown_type(&self) -> Option<String> {
        self.said_type().filter(|_| self.stored().is_none()).map(keys::shown)
    }

    /// The type that its weights are stored in, where it says one.
    pub fn stored(&self) -> Option<Elem> {
        match self.said_type()?.as_str()?.trim_start_matches("torch.") {
            "float64" => Some(Elem::F64),
            "float32" => Some(Elem::F32),
            "bfloat16" => Some(Elem::Bf16),
            "float16" | "half" => Some(Elem::F16),
            _ => None,
        }
    }

    /// Whether the files of its weights decide if the head is the table of words. Of T5 of version 1.1
    /// the library makes one table for both, whatever `tie_word_embeddings` says, until it meets a file
    /// with a head (`transformers` 5.23; version 4.57 makes two where the key is false). As it saves such
    /// a model, the key is true and `scale_decoder_outputs` is false. Of mT5 it makes one table unless a file
    /// has a head, whatever keys say.
    pub fn leaves_head_open(&self) -> bool {
        let says_no = |key: &str| self.map.get(key) == Some(&Value::Bool(false));
        match self.map.get("model_type").and_then(Value::as_str) {
            Some("t5") => says_no("tie_word_embeddings") || says_no("scale_decoder_outputs"),
            Some("mt5") => true,
            _ => false,
        }
    }

    /// The same beside weights without a pooler, as encoders are published that were trained without
    /// one: the model has no such result.
    #[must_use]
    pub fn without_pooler(self) -> Config {
        Config { no_pooler: true, ..self }
    }

    /// Takes the pooler off a model, where it has one with a map and the files have none; says so.
    pub(crate) fn fit_pooler(&self, graph: &mut Graph) -> Vec<String> {
        if !self.no_pooler || !has_pooler(graph) {
            return Vec::new();
        }
        graph.drop_output("pooler_output");
        match has_pooler(graph) {
            true => Vec::new(),
            false => {
                let names = POOLERS.map(|name| format!("`{name}`")).join(" or ");
                let told = "the model is read without its `pooler_output`";
                vec![format!("the files have no {names}: {told}")]
            }
        }
    }

    /// The same beside weights that have a head of their own, which counts where this is
    /// [left open](Config::leaves_head_open).
    #[must_use]
    pub fn with_head_apart(self) -> Config {
        Config { head_apart: self.leaves_head_open(), ..self }
    }

    /// The same beside weights whose head has other elements than the table of words: the head is a
    /// matrix of its own, as the library has it, which a note says where the keys say otherwise.
    #[must_use]
    pub fn with_another_head(mut self) -> Config {
        let apart = self.map.insert(TIED.to_owned(), Value::Bool(false));
        self.untied = apart != Some(Value::Bool(false));
        self
    }

    /// What the files have against the keys.
    pub(crate) fn against_keys(&self) -> Option<String> {
        let told = "the files have a head of other elements: it is read beside the table of words";
        self.untied.then(|| format!("`{TIED}` is not false, but {told}"))
    }

    /// The same with another value of a key.
    pub(crate) fn with(&self, key: &str, value: Value) -> Config {
        let mut other = self.clone();
        other.map.insert(key.to_owned(), value);
        other
    }

    /// Its keys, but for those inside others.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.map.keys().map(String::as_str)
    }

    /// Where it comes from, and its keys.
    pub(crate) fn content(&self) -> (&str, &Map<String, Value>) {
        (&self.origin, &self.map)
    }

    /// Lets `read` take what it knows; returns its result and the keys that it did not know.
    pub(crate) fn with_keys<T>(
        &self,
        read: impl FnOnce(&Keys<'_>) -> Result<T, ConfigError>,
    ) -> Result<(T, Vec<String>), ConfigError> {
        let asked = RefCell::new(BTreeSet::new());
        let keys = Keys::new(&self.map, &self.origin, &asked).with_head_apart(self.head_apart);
        let result = read(&keys)?;
        Ok((result, keys.not_understood()))
    }
}
