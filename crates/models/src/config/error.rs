//! Why a configuration could not be used.

use opledger_dims::escaped_within;
use opledger_nn::NnError;

/// A configuration that names no model that can be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The text is no JSON object.
    #[error("{origin} is no configuration: {}", escaped_within(problem, 300))]
    Malformed {
        /// The file or preset.
        origin: String,
        /// What is wrong, and where.
        problem: String,
    },
    /// A family that is not known.
    #[error("{origin}: model_type `{found}` is not supported{}; supported: {known}", did_you_mean(.nearest))]
    Family {
        /// The file or preset.
        origin: String,
        /// What the file says.
        found: String,
        /// A known one with a similar name.
        nearest: Option<&'static str>,
        /// All that are known.
        known: String,
    },
    /// A family that is not known, of whose model a part is.
    #[error(
        "{origin}: model_type `{found}` is not supported; its text_config is of `{text}`, which is: write that \
         object into a file of its own to count the model of texts"
    )]
    Whole {
        /// The file or preset.
        origin: String,
        /// What the file says.
        found: String,
        /// What its part says.
        text: &'static str,
    },
    /// A key that is needed and missing.
    #[error("{origin}: the key `{key}` is missing")]
    Missing {
        /// The file or preset.
        origin: String,
        /// The key.
        key: String,
    },
    /// A value of another kind or out of range.
    #[error("{origin}: `{key}` is {found}, but {expected} is needed")]
    Value {
        /// The file or preset.
        origin: String,
        /// The key.
        key: String,
        /// What stands there.
        found: String,
        /// What is needed.
        expected: String,
    },
    /// A value that changes the computation and is not supported.
    #[error("{origin}: {} is not supported; supported: {supported}", said(key, found))]
    Unsupported {
        /// The file or preset.
        origin: String,
        /// The key.
        key: String,
        /// What stands there; nothing when the key is missing.
        found: Option<String>,
        /// What is supported.
        supported: String,
    },
    /// Two keys that contradict each other.
    #[error(
        "{origin}: {} and {} contradict each other: {why}",
        said(first, first_value),
        said(second, second_value)
    )]
    Contradiction {
        /// The file or preset.
        origin: String,
        /// One key.
        first: String,
        /// Its value; none when it is missing.
        first_value: Option<String>,
        /// The other key.
        second: String,
        /// Its value; none when it is missing.
        second_value: Option<String>,
        /// What does not fit.
        why: String,
    },
    /// What was asked of the model does not exist for it.
    #[error("{origin}: {problem}")]
    Request {
        /// The file or preset.
        origin: String,
        /// What does not exist.
        problem: String,
    },
    /// A name that is neither a preset nor a file.
    #[error("there is no model `{name}`{}; `opledger models` lists the presets, `opledger layers` the layers", did_you_mean(.nearest))]
    Unknown {
        /// The name.
        name: String,
        /// A known one with a similar name.
        nearest: Option<&'static str>,
    },
    /// The layers do not fit together.
    #[error("{origin}: {problem}")]
    Layer {
        /// The file or preset.
        origin: String,
        /// Which relation fails.
        problem: NnError,
    },
}

/// What a key says.
fn said(key: &str, value: &Option<String>) -> String {
    match value {
        Some(value) => format!("`{key}` = {value}"),
        None => format!("a missing `{key}`"),
    }
}

fn did_you_mean(name: &Option<&'static str>) -> String {
    name.map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default()
}
