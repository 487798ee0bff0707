//! Which layers see all tokens before them and which a window: `layer_types`, or a rule by the number of
//! the layer.

use opledger_dims::Symbol;
use serde_json::Value;

use super::pattern::LayerOrder;
use super::variant::KindOf;
use crate::config::{ConfigError, Keys};

/// What `layer_types` calls a layer that sees all.
pub(super) const FULL: &str = "full_attention";
/// The key of the type of each layer.
pub(super) const TYPES: &str = "layer_types";
/// What it calls a layer that sees a window.
pub(super) const WINDOW: &str = "sliding_attention";

/// The key of the number of layers, and how many may be told apart by a rule.
const LAYERS: &str = "num_hidden_layers";
const MOST: u64 = 1 << 16;

/// What the numbers of layers that see all and of those that see a window are called.
pub(super) const SYMBOLS: &[&str] = &["l_full", "l_window"];

/// Layers that see all, kind 0, and those that see a window, kind 1, as `layer_types` says; where it is
/// missing, every so many from the first such on see all.
pub(super) fn full_and_window(
    keys: &Keys<'_>,
    every: u64,
    kinds: [KindOf; 2],
) -> Result<(Vec<KindOf>, LayerOrder), ConfigError> {
    full_and_windows(keys, |layer| usize::from(!(layer + 1).is_multiple_of(every)), kinds)
}

/// The same, where `layer_types` is missing by a rule.
pub(super) fn full_and_windows(
    keys: &Keys<'_>,
    rule: impl Fn(u64) -> usize,
    kinds: [KindOf; 2],
) -> Result<(Vec<KindOf>, LayerOrder), ConfigError> {
    let layers = match keys.get(TYPES) {
        None => kinds_of_layers(keys, rule)?,
        Some(_) => kinds_by_type(keys, [FULL, WINDOW])?,
    };
    Ok((kinds.into(), LayerOrder::kinds(SYMBOLS, layers)))
}

/// The kind of each layer by its type in `layer_types`, which is of two.
pub(super) fn kinds_by_type(keys: &Keys<'_>, types: [&str; 2]) -> Result<Vec<usize>, ConfigError> {
    kinds_by_names(keys, TYPES, &types.each_ref().map(std::slice::from_ref))
}

/// The same by a key, of types of which each has several names.
pub(super) fn kinds_by_names(
    keys: &Keys<'_>,
    key: &str,
    types: &[&[&str]],
) -> Result<Vec<usize>, ConfigError> {
    match keys.get(key) {
        Some(Value::Array(given)) if given.len() as u64 == keys.times(LAYERS)? => {
            let kind =
                |of: &Value| types.iter().position(|names| names.iter().any(|known| of == known));
            let kinds: Option<Vec<usize>> = given.iter().map(kind).collect();
            let known = || types.iter().filter_map(|names| names.first().copied());
            kinds.ok_or_else(|| keys.unsupported(key, known().collect::<Vec<_>>().join(" and ")))
        }
        Some(Value::Array(_)) => Err(keys.contradiction(key, LAYERS, "each layer is of one type")),
        _ => Err(keys.unsupported(key, "a type for each layer")),
    }
}

/// Layers with experts, kind 0, behind so many without, kind 1: as many as a key says, or `default`.
pub(super) fn dense_first(
    keys: &Keys<'_>,
    default: u64,
) -> Result<(Vec<KindOf>, LayerOrder), ConfigError> {
    let dense = keys.whole_or("first_k_dense_replace", default)?;
    if dense == 0 {
        return Ok((vec![KindOf::default()], LayerOrder::Uniform(keys.times(LAYERS)?)));
    }
    let layers = kinds_of_layers(keys, |layer| usize::from(layer < dense))?;
    Ok(sparse_and_dense(layers))
}

/// Layers with experts, kind 0, and layers without, kind 1; where all are alike, of that kind alone.
pub(super) fn sparse_and_dense(layers: Vec<usize>) -> (Vec<KindOf>, LayerOrder) {
    let (sparse, dense) = (KindOf::default(), KindOf { dense: true, ..KindOf::default() });
    let (count, without) = (layers.len() as u64, layers.iter().filter(|kind| **kind == 1).count());
    match without as u64 {
        0 => (vec![sparse], LayerOrder::Uniform(count)),
        all if all == count => (vec![dense], LayerOrder::Uniform(count)),
        _ => (vec![sparse, dense], LayerOrder::kinds(SPARSE, layers)),
    }
}

/// The kinds that layers are of, in the order of their first, and the order of the layers.
pub(super) fn used(
    layers: &[usize],
    symbols: &[&'static str],
    mut kind: impl FnMut(usize) -> Result<KindOf, ConfigError>,
) -> Result<(Vec<KindOf>, LayerOrder), ConfigError> {
    let mut found: Vec<usize> = Vec::new();
    for own in layers {
        if !found.contains(own) {
            found.push(*own);
        }
    }
    let kinds = found.iter().map(|own| kind(*own)).collect::<Result<Vec<_>, _>>()?;
    let symbols: Vec<&str> = found.iter().filter_map(|own| symbols.get(*own).copied()).collect();
    let at = |own| found.iter().position(|kind| kind == own).unwrap_or_default();
    Ok((kinds, LayerOrder::kinds(&symbols, layers.iter().map(at).collect())))
}

/// The kinds of layers and their order, where it is said of each layer whether it is of the other of two
/// kinds, and whether it has no experts where others have some.
pub(super) fn mixed(
    layers: &[(bool, bool)],
    kinds: &[(&str, KindOf); 2],
) -> (Vec<KindOf>, LayerOrder) {
    let mut found: Vec<(bool, bool)> = Vec::new();
    for own in layers {
        if !found.contains(own) {
            found.push(*own);
        }
    }
    let both = found.iter().any(|(_, dense)| *dense) && found.iter().any(|(_, dense)| !dense);
    let of = |(other, _): &(bool, bool)| &kinds[usize::from(*other)];
    let name = |own: &(bool, bool)| match own.1 && both {
        true => Symbol::from(format!("{}_dense", of(own).0)),
        false => Symbol::from(of(own).0),
    };
    let symbols = found.iter().map(name).collect();
    let at = |own| found.iter().position(|kind| kind == own).unwrap_or_default();
    let layers = layers.iter().map(at).collect();
    let kind = |own: &(bool, bool)| KindOf { dense: own.1, ..of(own).1.clone() };
    let made: Vec<KindOf> = found.iter().map(kind).collect();
    let made = if made.is_empty() { vec![KindOf::default()] } else { made };
    (made, LayerOrder::Kinds { symbols, layers })
}

/// What the numbers of layers with experts and of those without are called.
const SPARSE: &[&str] = &["l_sparse", "l_dense"];

/// The kind of each layer by its number.
pub(super) fn kinds_of_layers(
    keys: &Keys<'_>,
    kind: impl Fn(u64) -> usize,
) -> Result<Vec<usize>, ConfigError> {
    match keys.times(LAYERS)? {
        layers if layers <= MOST => Ok((0..layers).map(kind).collect()),
        _ => Err(keys.unsupported(LAYERS, format!("at most {MOST} layers of several kinds"))),
    }
}
