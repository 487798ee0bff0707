//! What can be wrong with the text of a layer.

use opledger_ir::{BindingError, GraphError};
use opledger_nn::NnError;

/// Why a text is no layer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayerError {
    /// A text that no layer needs.
    #[error("a layer of {length} characters; {limit} are read")]
    TooLong {
        /// How long it is.
        length: usize,
        /// How long it may be.
        limit: usize,
    },
    /// No kind of that name.
    #[error("`{kind}` is no kind of layer{}", did_you_mean(.nearest))]
    UnknownKind {
        /// The name given.
        kind: String,
        /// The most similar kind.
        nearest: Option<&'static str>,
    },
    /// No key of that name in this kind.
    #[error("`{kind}` has no key `{key}`{}; its keys are {known}", did_you_mean(.nearest))]
    UnknownKey {
        /// The kind.
        kind: &'static str,
        /// The key given.
        key: String,
        /// The most similar key.
        nearest: Option<&'static str>,
        /// All keys of the kind.
        known: String,
    },
    /// A piece that is no `key=value`.
    #[error("`{0}` is not of the form key=value")]
    Malformed(String),
    /// A key given twice.
    #[error("`{0}` is given twice")]
    Duplicate(&'static str),
    /// A value of the wrong form.
    #[error("{key}={value}: expected {expected}")]
    Value {
        /// The key.
        key: &'static str,
        /// What it takes.
        expected: String,
        /// What it was given.
        value: String,
    },
    /// Two keys whose values do not fit together.
    #[error("{0}")]
    Conflict(String),
    /// A size that nothing depends on with the other settings as they are.
    #[error("`{key}` has no effect on this `{kind}`")]
    Unused {
        /// The key.
        key: String,
        /// The kind.
        kind: &'static str,
    },
    /// The layer could not be made.
    #[error(transparent)]
    Layer(#[from] NnError),
    /// Sizes that do not fit together.
    #[error(transparent)]
    Binding(Box<BindingError>),
}

impl From<GraphError> for LayerError {
    fn from(error: GraphError) -> Self {
        LayerError::Layer(error.into())
    }
}

impl From<BindingError> for LayerError {
    fn from(error: BindingError) -> Self {
        LayerError::Binding(Box::new(error))
    }
}

fn did_you_mean(nearest: &Option<&'static str>) -> String {
    nearest.map_or_else(String::new, |name| format!(" (did you mean `{name}`?)"))
}
