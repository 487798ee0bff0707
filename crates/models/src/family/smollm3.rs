//! SmolLM3 (Bakouch et al. 2025): a Llama in which every fourth layer does not turn its heads.

use serde_json::Value;

use super::decoder;
use super::layer_types::{FULL, kinds_of_layers};
use super::pattern::LayerOrder;
use super::recorder::{Problem, Recorder};
use super::request::Request;
use super::variant::{KindOf, Rotation, Variant};
use crate::config::{ConfigError, Keys};

pub(super) fn build(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    // No released model has the window that the layers without rotation may have.
    keys.only("use_sliding_window", false)?;
    keys.pass_over(&["sliding_window"]);
    if let Some(Value::Array(kinds)) = keys.get("layer_types")
        && kinds.iter().any(|kind| kind != FULL)
    {
        return Err(keys.unsupported("layer_types", "full_attention for every layer").into());
    }
    let bias = keys.flag_or("attention_bias", false)?;
    let variant = Variant {
        family: "SmolLM3",
        answer_scope: "transformer",
        qkv_bias: bias,
        out_bias: bias,
        mlp_bias: keys.flag_or("mlp_bias", false)?,
        kv_heads: Some(4),
        base: 2e6,
        kinds: vec![KindOf::default(), KindOf { rotation: Rotation::None, ..KindOf::default() }],
        pattern: Some(LayerOrder::kinds(&["l_rope", "l_nope"], layers(keys)?)),
        tied: true,
        ..Variant::default()
    };
    decoder::build(keys, request, r, &variant)
}

/// Which layers turn their heads, kind 0, and which do not: a 1 or a 0 for each, or every so many does not.
fn layers(keys: &Keys<'_>) -> Result<Vec<usize>, ConfigError> {
    let (each, interval) = ("no_rope_layers", "no_rope_layer_interval");
    let every = keys.size_or(interval, 4)?;
    let given = match keys.get(each) {
        None => {
            return kinds_of_layers(keys, |layer| usize::from((layer + 1).is_multiple_of(every)));
        }
        Some(Value::Array(given)) => given,
        Some(_) => return Err(keys.unsupported(each, "1 or 0 for each layer")),
    };
    if given.len() as u64 != keys.times("num_hidden_layers")? {
        let why = "there is a number for each layer";
        return Err(keys.contradiction(each, "num_hidden_layers", why));
    }
    let kind = |turns: &Value| match turns.as_u64() {
        Some(1) => Ok(0),
        Some(0) => Ok(1),
        _ => Err(keys.unsupported(each, "1 or 0 for each layer")),
    };
    given.iter().map(kind).collect()
}
