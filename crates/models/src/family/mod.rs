//! Model families: a configuration becomes a graph with the names of its checkpoint.
//!
//! One file per family. A family reads its keys, gives sizes to the symbols that the layers use (`c`
//! width, `h` heads, `kv` key and value heads, `e` head width, `ff` hidden width, `v` vocabulary, `l`
//! layers), and records the graph; `b` items, `n` tokens and `p` cached tokens stay free. The size of
//! an image is a number, as are all widths where they change from stage to stage.

mod bert;
mod decoder;
mod gpt2;
mod image;
mod llama;
mod qwen;
mod rope;
mod swin;
mod t5;
mod vit;

use opledger_dims::{Binding, Poly};
use opledger_ir::ops::{Activation, Rearrange};
use opledger_ir::{Graph, GraphError, Var};
use opledger_nn::{Linear, LinearConfig, NnError};
use serde_json::Value;

use crate::Model;
use crate::config::{Config, ConfigError, Keys};
use crate::layer::error::nearest;
use crate::weights::Names;

/// What is asked of a model beside its configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Earlier tokens come as keys and values: inputs `past_key` and `past_value` of each layer, `p`
    /// tokens long, and results `present_key` and `present_value`.
    pub past: bool,
    /// An input `attention_mask` says which tokens are padding.
    pub attention_mask: bool,
    /// Of which tokens a language model gives scores.
    pub logits: Logits,
}

/// Of which tokens a language model gives scores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Logits {
    /// Of each, as the `forward` of the `transformers` library.
    #[default]
    All,
    /// Of the last, which is all that generating takes.
    Last,
}

/// A family of models.
pub(crate) struct Family {
    /// What `model_type` says.
    name: &'static str,
    build: fn(&Keys<'_>, &Request, &mut Recorder) -> Result<(), Problem>,
}

const FAMILIES: &[Family] = &[
    Family { name: "bert", build: bert::bert },
    Family { name: "roberta", build: bert::roberta },
    Family { name: "distilbert", build: bert::distilbert },
    Family { name: "gpt2", build: gpt2::build },
    Family { name: "llama", build: llama::llama },
    Family { name: "mistral", build: llama::mistral },
    Family { name: "mixtral", build: llama::mixtral },
    Family { name: "qwen2", build: qwen::qwen2 },
    Family { name: "qwen3", build: qwen::qwen3 },
    Family { name: "t5", build: t5::build },
    Family { name: "vit", build: vit::vit },
    Family { name: "deit", build: vit::deit },
    Family { name: "swin", build: swin::build },
];

/// The values of `model_type` that are supported.
pub fn families() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().map(|family| family.name)
}

/// A model as it is recorded.
#[derive(Default)]
pub(crate) struct Recorder {
    pub(crate) graph: Graph,
    pub(crate) sizes: Binding,
    pub(crate) names: Names,
}

impl Recorder {
    /// A symbol of a size.
    pub(crate) fn size(&mut self, symbol: &str, value: u64) -> Poly {
        let symbol = opledger_dims::Symbol::from(symbol);
        self.sizes.set(&symbol, value);
        symbol.into()
    }
}

/// What keeps a family from building a model.
pub(crate) enum Problem {
    Config(ConfigError),
    Layer(NnError),
}

impl From<ConfigError> for Problem {
    fn from(error: ConfigError) -> Self {
        Problem::Config(error)
    }
}

impl From<NnError> for Problem {
    fn from(error: NnError) -> Self {
        Problem::Layer(error)
    }
}

impl From<GraphError> for Problem {
    fn from(error: GraphError) -> Self {
        Problem::Layer(error.into())
    }
}

impl Config {
    /// Builds the model that the configuration describes. `name` is what it is called.
    ///
    /// # Errors
    /// Which key is missing, contradicts another, or asks for what is not supported.
    pub fn model(&self, name: &str, request: &Request) -> Result<Model, ConfigError> {
        let build = |keys: &Keys<'_>| {
            let found = keys.text("model_type")?.ok_or_else(|| ConfigError::Missing {
                origin: keys.origin(),
                key: "model_type".to_owned(),
            })?;
            let family = FAMILIES.iter().find(|family| family.name == found);
            let family = family.ok_or_else(|| ConfigError::Family {
                origin: keys.origin(),
                found: found.escape_debug().to_string(),
                nearest: nearest(found, families()),
                known: families().collect::<Vec<_>>().join(", "),
            })?;
            let mut recorder = Recorder::default();
            (family.build)(keys, request, &mut recorder).map_err(|problem| match problem {
                Problem::Config(error) => error,
                Problem::Layer(problem) => ConfigError::Layer { origin: keys.origin(), problem },
            })?;
            Ok(recorder)
        };
        let (Recorder { graph, sizes, names }, unread_keys) = self.with_keys(build)?;
        Ok(Model { names, unread_keys, ..Model::new(name, graph, sizes) })
    }
}

/// The head that the class in `architectures` has; the first of `heads` when there is no such key.
pub(crate) fn head<T: Copy>(keys: &Keys<'_>, heads: &[(&str, T)]) -> Result<T, ConfigError> {
    let names = || heads.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let class = match keys.get("architectures") {
        None => {
            return heads
                .first()
                .map(|(_, head)| *head)
                .ok_or_else(|| keys.unsupported("architectures", names()));
        }
        Some(Value::Array(classes)) => classes.first().and_then(Value::as_str),
        Some(_) => None,
    };
    let found = heads.iter().find(|(name, _)| Some(*name) == class);
    found.map(|(_, head)| *head).ok_or_else(|| keys.unsupported("architectures", names()))
}

/// Checks that one key's size is a multiple of another's.
pub(crate) fn multiple(
    keys: &Keys<'_>,
    (whole, value): (&str, u64),
    (part, by): (&str, u64),
) -> Result<(), ConfigError> {
    match value % by {
        0 => Ok(()),
        _ => Err(keys.contradiction(whole, part, "the one is no multiple of the other")),
    }
}

/// Refuses a cache where the model has none.
pub(crate) fn no_past(keys: &Keys<'_>, request: &Request) -> Result<(), ConfigError> {
    match request.past {
        false => Ok(()),
        true => Err(ConfigError::Request {
            origin: keys.origin(),
            problem:
                "this model is no causal decoder and keeps no keys and values of earlier tokens"
                    .to_owned(),
        }),
    }
}

/// One token of `[b, n, c]`, as `[b, c]`.
pub(crate) fn token(g: &mut Graph, x: Var, at: u64) -> Result<Var, GraphError> {
    let (axis, start, len) = ("n".into(), Poly::from(at), Poly::one());
    let token = g.rearrange(x, Rearrange::Slice { axis, start, len })?;
    let axes = vec!["b".into(), "n".into()];
    g.rearrange(token, Rearrange::Merge { axes, into: "b".into() })
}

/// `act(W·x₀ + b)` of the first token's `x₀`, `c` wide; a result.
pub(crate) fn pooler(g: &mut Graph, x: Var, c: Poly, act: Activation) -> Result<(), Problem> {
    let from = g.last_axis(x).map_err(|e| Problem::Layer(NnError::Config(e.to_string())))?;
    let config = LinearConfig::default();
    let dense = Linear::new(&mut g.scope("pooler.dense"), from, ("c", c), config)?;
    let first = token(g, x, 0)?;
    let pooled = dense.forward(g, first)?;
    let pooled = g.activation(pooled, act)?;
    g.output("pooler_output", pooled);
    Ok(())
}
