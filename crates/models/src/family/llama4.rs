//! Llama 4 (Meta 2025): of four layers three turn their heads and see chunks of keys, and one sees all and
//! turns nothing; experts whose inputs are weighted, in every layer or in every other. Named as in the
//! `transformers` library.

use opledger_dims::Symbol;
use opledger_ir::Reach;
use opledger_nn::{ExpertWeights, NormConfig, RopePairs, Routing, Temperature};
use serde_json::Value;

use super::causal::{CausalHead, first_position};
use super::decoder;
use super::layer_types::{FULL, kinds_of_layers};
use super::pattern::LayerOrder;
use super::recorder::{Problem, Recorder};
use super::request::Request;
use super::variant::{
    CHOSEN, CommonExpert, ExpertFiles, KindOf, Mixture, QkNorm, Rotation, Variant,
};
use crate::config::{ConfigError, Keys};

/// What `layer_types` calls a layer that sees chunks.
const CHUNKED: &str = "chunked_attention";

/// The keys of the hidden widths of experts, and of the feed-forward layers of layers without.
const EXPERT_WIDTH: &str = "intermediate_size";
const WIDTH: &str = "intermediate_size_mlp";

pub(super) fn text(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    // What published files have of generation and of their making.
    keys.pass_over(&["cache_implementation", "for_llm_compressor"]);
    // What the library knows of models with images.
    keys.pass_over(&[
        "image_size",
        "image_token_id",
        "num_channels",
        "patch_size",
        "pixel_shuffle_ratio",
        "projector_dropout",
        "projector_input_dim",
        "projector_output_dim",
        "text_config",
        "vision_config",
    ]);
    let bias = keys.flag_or("attention_bias", false)?;
    let (kinds, pattern) = layers(keys, request)?;
    if kinds.iter().all(|kind| !kind.dense) {
        keys.pass_over(&[WIDTH]);
    }
    let shared =
        CommonExpert { scope: "shared_expert", gate: None, hidden: keys.size(EXPERT_WIDTH)? };
    let routing = Routing { on_inputs: true, ..Routing::new(ExpertWeights::SigmoidOfChosen) };
    let variant = Variant {
        family: "Llama4",
        heads: &[CausalHead::Words],
        also: &[("Llama4TextModel", CausalHead::None)],
        qkv_bias: bias,
        out_bias: bias,
        feed_forward: ["feed_forward", WIDTH],
        norm: NormConfig::rms(),
        epsilon: ("rms_norm_eps", 1e-5),
        qk_norm: keys.flag_or("use_qk_norm", true)?.then_some(QkNorm::Turned),
        kv_heads: Some(8),
        head_dim: Some(128),
        base: 5e5,
        pairs: RopePairs::Neighbours,
        kinds,
        pattern: Some(pattern),
        mixture: Some(Mixture {
            scope: "feed_forward",
            files: ExpertFiles::Together,
            experts: ["num_local_experts"; 2],
            chosen: CHOSEN,
            hidden: EXPERT_WIDTH,
            routing,
            bias: false,
            clamped: None,
            shared: Some(shared),
            latent: None,
        }),
        ..Variant::default()
    };
    decoder::build(keys, request, r, &variant)
}

/// Whether a layer sees all, does not turn its heads, and has no experts.
type Traits = [bool; 3];

/// The kinds of layers and their order.
fn layers(keys: &Keys<'_>, request: &Request) -> Result<(Vec<KindOf>, LayerOrder), ConfigError> {
    let (chunk, temperature) = (chunk(keys)?, temperature(keys, request)?);
    let still = still(keys)?;
    let full = full(keys, &still)?;
    let dense = dense(keys)?;
    let traits =
        still.iter().zip(full).zip(dense).map(|((still, full), dense)| [full, *still, dense]);
    let traits: Vec<Traits> = traits.collect();
    let mut of_kinds: Vec<Traits> = Vec::new();
    let kind = |own: &Traits| match of_kinds.iter().position(|other| other == own) {
        Some(kind) => kind,
        None => {
            of_kinds.push(*own);
            of_kinds.len() - 1
        }
    };
    let layers: Vec<usize> = traits.iter().map(kind).collect();
    let both = |at: usize| of_kinds.iter().any(|kind| kind[at] != of_kinds[0][at]);
    let of_experts = both(2);
    let turns_otherwise = of_kinds.iter().any(|[full, still, _]| full != still);
    let symbols = of_kinds.iter().map(|kind| symbol(*kind, of_experts, turns_otherwise)).collect();
    let kinds = of_kinds.iter().map(|[full, still, dense]| KindOf {
        reach: (!full).then_some(Reach::Chunk(chunk)),
        rotation: if *still { Rotation::None } else { Rotation::Read },
        dense: *dense,
        temperature: temperature.clone().filter(|_| *still),
        convolution: None,
        delta: None,
        state_space: None,
        sublayers: opledger_nn::Sublayers::default(),
        mixer: None,
    });
    let kinds: Vec<KindOf> = kinds.collect();
    Ok(match &kinds[..] {
        [] => (vec![KindOf::default()], LayerOrder::Uniform(0)),
        [_] => (kinds, LayerOrder::Uniform(layers.len() as u64)),
        _ => (kinds, LayerOrder::Kinds { symbols, layers }),
    })
}

/// What the number of layers of a kind is called: by what they see, by their experts where some have none,
/// and by whether their heads turn where that does not follow from what they see.
fn symbol([full, still, dense]: Traits, of_experts: bool, turns: bool) -> Symbol {
    let part = |shown: bool, of: bool, [yes, no]: [&'static str; 2]| match (shown, of) {
        (false, _) => "",
        (true, true) => yes,
        (true, false) => no,
    };
    let parts = [
        part(true, full, ["l_full", "l_chunk"]),
        part(turns, still, ["_nope", "_rope"]),
        part(of_experts, dense, ["_dense", "_sparse"]),
    ];
    parts.concat().into()
}

/// Tokens of a chunk.
fn chunk(keys: &Keys<'_>) -> Result<u64, ConfigError> {
    let key = "attention_chunk_size";
    let size = keys.size_unless_null(key, Some(8192))?;
    size.ok_or_else(|| keys.unsupported(key, "a number of tokens, as in the library"))
}

/// The factor of queries in layers whose heads do not turn; published files have a number where the library
/// has true or false.
fn temperature(keys: &Keys<'_>, request: &Request) -> Result<Option<Temperature>, ConfigError> {
    let key = "attn_temperature_tuning";
    let every = keys.size_or("floor_scale", 8192)?;
    let scale = keys.number_or("attn_scale", 0.1)?;
    let wanted = match keys.get(key) {
        Some(Value::Number(number)) => number.as_f64() != Some(0.0),
        _ => keys.flag_or(key, true)?,
    };
    Ok(wanted.then(|| Temperature { offset: first_position(request), every, scale }))
}

/// Whether each layer leaves its heads as they are: a 0 for it, or every so many where there is no list.
fn still(keys: &Keys<'_>) -> Result<Vec<bool>, ConfigError> {
    let (list, layers) = ("no_rope_layers", "num_hidden_layers");
    let every = keys.size_or("no_rope_layer_interval", 4)?;
    let kinds = kinds_of_layers(keys, |layer| usize::from((layer + 1).is_multiple_of(every)))?;
    let given = match keys.get(list) {
        None => return Ok(kinds.into_iter().map(|kind| kind == 1).collect()),
        Some(Value::Array(given)) if given.is_empty() => {
            return Ok(kinds.into_iter().map(|kind| kind == 1).collect());
        }
        Some(Value::Array(given)) => given,
        Some(_) => return Err(keys.unsupported(list, "1 or 0 for each layer")),
    };
    if given.len() < kinds.len() {
        return Err(keys.contradiction(list, layers, "there is a number for each layer"));
    }
    let still = given.iter().take(kinds.len()).map(|turns| match turns.as_u64() {
        Some(1) => Ok(false),
        Some(0) => Ok(true),
        _ => Err(keys.unsupported(list, "1 or 0 for each layer")),
    });
    still.collect()
}

/// Whether each layer sees all: as `layer_types` says, or those whose heads do not turn.
fn full(keys: &Keys<'_>, still: &[bool]) -> Result<Vec<bool>, ConfigError> {
    let key = "layer_types";
    let types = match keys.get(key) {
        None => return Ok(still.to_vec()),
        Some(Value::Array(types)) => types,
        Some(_) => return Err(keys.unsupported(key, "a type for each layer")),
    };
    if types.len() != still.len() {
        return Err(keys.contradiction(key, "num_hidden_layers", "each layer is of one type"));
    }
    let full = |of: &Value| match of.as_str() {
        Some(FULL) => Ok(true),
        Some(CHUNKED) => Ok(false),
        _ => Err(keys.unsupported(key, format!("{FULL} and {CHUNKED}"))),
    };
    types.iter().map(full).collect()
}

/// Whether each layer has a feed-forward layer in place of experts: where `moe_layers` has not its number,
/// or all but every so many.
fn dense(keys: &Keys<'_>) -> Result<Vec<bool>, ConfigError> {
    let list = "moe_layers";
    let step = keys.size_or("interleave_moe_layer_step", 1)?;
    let sparse: Box<dyn Fn(u64) -> bool> = match keys.get(list) {
        None => Box::new(|layer| (layer + 1).is_multiple_of(step)),
        Some(Value::Array(given)) if given.iter().all(Value::is_u64) => {
            Box::new(|layer| given.iter().any(|own| own.as_u64() == Some(layer)))
        }
        Some(_) => return Err(keys.unsupported(list, "numbers of layers")),
    };
    let layers = kinds_of_layers(keys, |layer| usize::from(!sparse(layer)))?;
    Ok(layers.into_iter().map(|kind| kind == 1).collect())
}
