//! What several families read and refuse alike.

use serde_json::Value;

use super::request::Request;
use crate::config::{ConfigError, Keys};

/// The head that the class in `architectures` has; the first of `heads` when there is no such key.
pub(crate) fn head<T: Copy>(
    keys: &Keys<'_>,
    heads: &[(impl AsRef<str>, T)],
) -> Result<T, ConfigError> {
    let names = || heads.iter().map(|(name, _)| name.as_ref()).collect::<Vec<_>>().join(", ");
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
    let found = heads.iter().find(|(name, _)| Some(name.as_ref()) == class);
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

/// Refuses the library's other names of keys where they say something else than the keys.
pub(crate) fn same(keys: &Keys<'_>, names: &[(&str, &str)]) -> Result<(), ConfigError> {
    for (other, own) in names {
        if keys.get(other).is_some() && keys.get(other) != keys.get(own) {
            return Err(keys.contradiction(other, own, "they are two names of one size"));
        }
    }
    Ok(())
}

/// A size that has two names; both say the same where both are there.
pub(crate) fn either_size(keys: &Keys<'_>, [own, other]: [&str; 2]) -> Result<u64, ConfigError> {
    match (keys.optional(own)?, keys.optional(other)?) {
        (Some(a), Some(b)) if a != b => {
            Err(keys.contradiction(own, other, "they are two names of one size"))
        }
        (Some(size), _) | (None, Some(size)) => Ok(size),
        (None, None) => keys.size(own),
    }
}

/// The width of a model and its heads, among which it is shared out.
pub(crate) fn width_and_heads(keys: &Keys<'_>) -> Result<[u64; 2], ConfigError> {
    let (width, heads) = (keys.size("hidden_size")?, keys.size("num_attention_heads")?);
    multiple(keys, ("hidden_size", width), ("num_attention_heads", heads))?;
    head_width(keys, width, heads)?;
    Ok([width, heads])
}

/// Refuses heads of another width than the model's shared out among them.
pub(crate) fn head_width(keys: &Keys<'_>, width: u64, heads: u64) -> Result<(), ConfigError> {
    match keys.optional("head_dim")? {
        Some(given) if given != width / heads => {
            Err(keys.unsupported("head_dim", (width / heads).to_string()))
        }
        _ => Ok(()),
    }
}

/// How many classes there are; two when no key says.
pub(crate) fn classes(keys: &Keys<'_>) -> Result<u64, ConfigError> {
    keys.pass_over(&["label2id"]);
    let given = keys.optional("num_labels")?;
    let named = match keys.get("id2label") {
        None => return Ok(given.unwrap_or(2)),
        Some(Value::Object(names)) if !names.is_empty() => names.len() as u64,
        Some(_) => return Err(keys.unsupported("id2label", "a name for each class")),
    };
    match given {
        Some(given) if given != named => {
            Err(keys.contradiction("num_labels", "id2label", "each class has one name"))
        }
        _ => Ok(named),
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
