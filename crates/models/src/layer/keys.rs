//! What a key of a kind is, and the keys that kinds share.

use super::error::LayerError;
use opledger_dims::{escaped, nearest};

/// A key of a kind.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The name before the equals sign.
    pub name: &'static str,
    /// What holds when the key is not given: a value, or another key whose value it shares. A size
    /// whose default is its own name stays a free symbol.
    pub default: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// What it takes.
    pub values: Domain,
    /// What its size must be to fit the others.
    pub fit: Fit,
}

/// What a size must be to fit another size of its kind, where the kind has that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// Any size fits.
    Free,
    /// An even number: rotation turns pairs.
    Even,
    /// An even number, no more than the size of this name.
    EvenUpTo(&'static str),
    /// A multiple of the size of this name.
    MultipleOf(&'static str),
    /// Less than the size of this name.
    Below(&'static str),
    /// No less than the size of this name.
    AtLeast(&'static str),
}

impl Key {
    pub(super) const fn fitting(self, fit: Fit) -> Key {
        Key { fit, ..self }
    }
}

/// What a key takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Domain {
    /// A whole number, or a formula of sizes.
    Size {
        /// The least number.
        least: i64,
    },
    /// The same, and there is no size when the key is not given.
    Optional {
        /// The least number.
        least: i64,
    },
    /// `true` or `false`.
    Flag,
    /// A number in a half-open range.
    Number {
        /// The least number.
        from: f64,
        /// What it is below.
        below: f64,
    },
    /// The name of a function of one number.
    Activation,
    /// One of some words.
    Choice(&'static [&'static str]),
}

/// The key of a name, of those of a kind.
pub(super) fn find(
    kind: &'static str,
    keys: &'static [Key],
    name: &str,
) -> Result<&'static Key, LayerError> {
    let names = || keys.iter().map(|key| key.name);
    keys.iter().find(|key| key.name == name).ok_or_else(|| LayerError::UnknownKey {
        kind,
        key: escaped(name),
        nearest: nearest(name, names()),
        known: names().collect::<Vec<_>>().join(", "),
    })
}

pub(super) const fn key_of(
    name: &'static str,
    values: Domain,
    default: &'static str,
    meaning: &'static str,
) -> Key {
    Key { name, default, meaning, values, fit: Fit::Free }
}

/// A size that stays a free symbol unless given.
pub(super) const fn free(name: &'static str, meaning: &'static str) -> Key {
    size(name, name, meaning)
}

/// The same, and it may be zero: an empty batch, no layers.
const fn possibly_none(name: &'static str, meaning: &'static str) -> Key {
    key_of(name, Domain::Size { least: 0 }, name, meaning)
}

pub(super) const fn size(name: &'static str, default: &'static str, meaning: &'static str) -> Key {
    key_of(name, Domain::Size { least: 1 }, default, meaning)
}

pub(super) const fn optional(
    name: &'static str,
    default: &'static str,
    meaning: &'static str,
) -> Key {
    key_of(name, Domain::Optional { least: 1 }, default, meaning)
}

pub(super) const fn flag(name: &'static str, default: &'static str, meaning: &'static str) -> Key {
    key_of(name, Domain::Flag, default, meaning)
}

pub(super) const fn eps(default: &'static str) -> Key {
    key_of("eps", Domain::Number { from: 0.0, below: 1.0 }, default, "ε under the root of a norm")
}

pub(super) const B: Key = possibly_none("b", "sequences in a batch");
pub(super) const N: Key = free("n", "tokens of a sequence; queries");
pub(super) const M: Key = free("m", "tokens of the source; keys");
pub(super) const L: Key = possibly_none("l", "layers");
pub(super) const C: Key = free("c", "model width").fitting(Fit::MultipleOf("h"));
pub(super) const H: Key = free("h", "heads").fitting(Fit::MultipleOf("kv"));
pub(super) const KV: Key = size("kv", "h", "key and value heads, a divisor of h");
pub(super) const E: Key =
    optional("e", "c/h", "width of a head, when it is not c/h").fitting(Fit::Even);
pub(super) const FF: Key = free("ff", "hidden width of the feed-forward layer");
pub(super) const V: Key = free("v", "words of the vocabulary");
pub(super) const BIAS: Key = flag("bias", "true", "biases of the linear maps");
pub(super) const QKV_BIAS: Key =
    flag("qkv_bias", "bias", "biases of the query, key and value projections");
pub(super) const OUT_PROJ: Key = flag("out_proj", "true", "projection of the joined heads");
pub(super) const MASK: Key = mask("none");
pub(super) const WINDOW: Key =
    size("window", "window", "keys that mask=window leaves a query, or of a chunk");
pub(super) const PADDING: Key =
    flag("padding", "false", "an input that hides keys: 1 visible, 0 hidden");
pub(super) const PAIRS: Key =
    flag("pairs", "false", "an input that hides pairs of query and key: 1 visible, 0 hidden");
pub(super) const WEIGHTS: Key = key_of(
    "weights",
    Domain::Choice(&["none", "mean", "heads"]),
    "none",
    "attention weights as a second output",
);
pub(super) const ROPE: Key = flag("rope", "false", "rotation of queries and keys by position");
pub(super) const THETA: Key = key_of(
    "theta",
    Domain::Number { from: 1.0, below: 1e30 },
    "10000.0",
    "base of the rotation's angles",
);
pub(super) const ROT: Key = optional("rot", "e", "elements of a head that rope turns, its first")
    .fitting(Fit::EvenUpTo("e"));
pub(super) const SOFT_CAP: Key = key_of(
    "soft_cap",
    Domain::Number { from: 0.0, below: 1e30 },
    "0.0",
    "what scaled scores are kept below, above its negative; 0 for no cap",
);
pub(super) const SINKS: Key =
    flag("sinks", "false", "a number of each head that joins the softmax of its rows");
pub(super) const FORM: Key = key_of(
    "form",
    Domain::Choice(&["expanded", "absorbed"]),
    "expanded",
    "whether keys and values are made of latents, or heads attend to these",
);
pub(super) const ACT: Key =
    key_of("act", Domain::Activation, "relu", "activation of the feed-forward layer");
pub(super) const GATED: Key = flag("gated", "false", "a third map that the activation gates");
pub(super) const NORM: Key =
    key_of("norm", Domain::Choice(&["post", "pre"]), "post", "norm after the residual or before");
/// The same, where the sublayers may also stand side by side.
pub(super) const RESIDUAL: Key = key_of(
    "norm",
    Domain::Choice(&["post", "pre", "parallel", "parallel-one-norm"]),
    "post",
    "norm after the residual or before; sublayers side by side",
);
pub(super) const RMS: Key = flag("rms", "false", "RMSNorm in place of LayerNorm");
pub(super) const EPS: Key = eps("1e-5");
pub(super) const FINAL_NORM: Key = flag("final_norm", "false", "a norm after the last layer");
pub(super) const DROPOUT: Key = dropout("0.0");
pub(super) const TRAINING: Key = flag("training", "false", "dropout at work");

pub(super) const fn mask(default: &'static str) -> Key {
    let masks = Domain::Choice(&["none", "causal", "window", "chunks"]);
    key_of("mask", masks, default, "which keys a query sees")
}

pub(super) const fn dropout(default: &'static str) -> Key {
    let probability = Domain::Number { from: 0.0, below: 1.0 };
    key_of("dropout", probability, default, "probability that training drops an element")
}
