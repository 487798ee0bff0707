//! The rotation by position as configurations describe it: `rope_theta`, `rope_scaling` and
//! `partial_rotary_factor`, or all in `rope_parameters`. Some families have other names for the first
//! and the last.

use opledger_dims::Poly;
use opledger_ir::{Graph, Var};
use opledger_nn::{LayerConfig, RopeScaling, RotaryEmbedding};

use crate::config::{ConfigError, Keys};
use crate::model::PositionLimit;

/// The present name of the base, and of the share of a head that is turned.
const THETA: &str = "rope_theta";
pub(super) const SHARE: &str = "partial_rotary_factor";

/// How many positions there are.
const LENGTH: &str = "max_position_embeddings";

/// The base of the frequencies in most families.
pub(super) const BASE: f64 = 10_000.0;

/// The rotation, for a model whose first token stands at `offset`, by a base that is `default` where no
/// key says.
pub(super) fn rope(
    keys: &Keys<'_>,
    default: f64,
    offset: Poly,
) -> Result<RotaryEmbedding, ConfigError> {
    rope_of(keys, (THETA, default), offset)
}

/// How many of a head's `width` elements are turned. `key` is what the family calls the share, which is
/// `default` where no key says.
pub(super) fn rotated(
    keys: &Keys<'_>,
    (key, default): (&str, f64),
    width: u64,
) -> Result<u64, ConfigError> {
    let share = agreed(keys, [key, SHARE], "they name two shares")?.unwrap_or(default);
    let rotated = (width as f64 * share) as u64;
    if rotated == 0 || rotated % 2 == 1 || rotated > width {
        let supported = format!("a share by which an even number of {width} elements turns");
        return Err(keys.unsupported_or(key, default, supported));
    }
    Ok(rotated)
}

/// Refuses to turn a part of each head only.
pub(super) fn whole_heads(keys: &Keys<'_>) -> Result<(), ConfigError> {
    match agreed(keys, [SHARE, SHARE], "they name two shares")? {
        Some(share) if share != 1.0 => Err(keys.unsupported(SHARE, "1, every element turns")),
        _ => Ok(()),
    }
}

/// Where scaling is described.
fn place(keys: &Keys<'_>) -> Result<&'static str, ConfigError> {
    let (new, old) = ("rope_parameters", "rope_scaling");
    if keys.get(new).is_some() && keys.get(old).is_some_and(|other| keys.get(new) != Some(other)) {
        return Err(keys.contradiction(new, old, "they name two rotations"));
    }
    Ok(if keys.get(new).is_some() { new } else { old })
}

/// What a key says under the family's own name, under the present one, or under that in the object of
/// the rotation; all that are there agree.
fn agreed(
    keys: &Keys<'_>,
    [own, present]: [&str; 2],
    why: &str,
) -> Result<Option<f64>, ConfigError> {
    let number = |keys: &Keys<'_>, key| keys.get(key).map(|_| keys.positive(key)).transpose();
    let place = place(keys)?;
    let nested = keys.inner(place)?.map(|inner| number(&inner, present)).transpose()?.flatten();
    let said = [(own, number(keys, own)?), (present, number(keys, present)?), (place, nested)];
    let mut said = said.into_iter().filter_map(|(key, value)| Some((key, value?)));
    let Some((first, value)) = said.next() else { return Ok(None) };
    match said.find(|(_, other)| *other != value) {
        Some((other, _)) => Err(keys.contradiction(first, other, why)),
        None => Ok(Some(value)),
    }
}

/// The rotation; `key` is what the family calls the base.
pub(super) fn rope_of(
    keys: &Keys<'_>,
    (key, default): (&str, f64),
    offset: Poly,
) -> Result<RotaryEmbedding, ConfigError> {
    let theta = agreed(keys, [key, THETA], "they name two bases")?.unwrap_or(default);
    scaled(keys, keys.inner(place(keys)?)?, theta, offset)
}

/// The rotations of layers that see all and of those that see a window, which have two bases (Gemma 3):
/// an object for each in that of the rotation, or keys of their own, of which those for the scaling are
/// of the layers that see all.
pub(super) fn rope_by_kind(
    keys: &Keys<'_>,
    offset: &Poly,
) -> Result<[RotaryEmbedding; 2], ConfigError> {
    let (new, local, scaling) = ("rope_parameters", "rope_local_base_freq", "rope_scaling");
    let given = [THETA, local, scaling].into_iter().find(|key| keys.get(key).is_some());
    let parts = match (keys.inner(new)?, given) {
        (Some(_), Some(other)) => {
            return Err(keys.contradiction(new, other, "they name two rotations"));
        }
        (Some(inner), None) => {
            let part = |name, base| {
                let inner = inner.inner(name)?;
                let theta = inner.as_ref().map_or(Ok(base), |own| own.positive_or(THETA, base))?;
                Ok((theta, inner))
            };
            [part("full_attention", 1e6)?, part("sliding_attention", BASE)?]
        }
        (None, _) => [
            (keys.positive_or(THETA, 1e6)?, keys.inner(scaling)?),
            (keys.positive_or(local, BASE)?, None),
        ],
    };
    let [(theta, inner), (local, of_window)] = parts;
    Ok([
        scaled(keys, inner, theta, offset.clone())?,
        scaled(keys, of_window, local, offset.clone())?,
    ])
}

/// A rotation by a base, scaled as an object says, if there is one.
fn scaled(
    keys: &Keys<'_>,
    inner: Option<Keys<'_>>,
    theta: f64,
    offset: Poly,
) -> Result<RotaryEmbedding, ConfigError> {
    let Some(inner) = inner else {
        return Ok(RotaryEmbedding { offset, ..RotaryEmbedding::new(theta) });
    };
    // Earlier files name the kind `type`.
    let (new, old) = (inner.text("rope_type")?, inner.text("type")?);
    let (key, kind) = match (new, old) {
        (Some(new), Some(old)) if new != old => {
            return Err(inner.contradiction("rope_type", "type", "they name two rotations"));
        }
        (None, Some(old)) => ("type", old),
        (new, _) => ("rope_type", new.unwrap_or("default")),
    };
    let scaling = match kind {
        "default" => RopeScaling::None,
        "linear" => RopeScaling::Linear { factor: inner.positive("factor")? },
        "llama3" => llama3(keys, &inner)?,
        // As the first files of Phi 3 call it.
        "su" => longrope(keys, &inner)?,
        "yarn" if inner.get("short_factor").is_some() => longrope(keys, &inner)?,
        "yarn" if theta <= 1.0 => {
            return Err(keys.unsupported_or(THETA, theta, "with YaRN, a number above 1"));
        }
        "yarn" => yarn(keys, &inner)?,
        "dynamic" => dynamic(keys, &inner)?,
        "longrope" => longrope(keys, &inner)?,
        _ => {
            let kinds = "default, linear, llama3, yarn, dynamic, longrope";
            return Err(inner.unsupported(key, kinds));
        }
    };
    Ok(RotaryEmbedding { offset, scaling, ..RotaryEmbedding::new(theta) })
}

fn llama3(keys: &Keys<'_>, inner: &Keys<'_>) -> Result<RopeScaling, ConfigError> {
    let (low, high) = ("low_freq_factor", "high_freq_factor");
    let turns = [inner.positive(low)?, inner.positive(high)?];
    if turns[0] > turns[1] {
        return Err(inner.contradiction(low, high, "the first cannot be the greater"));
    }
    Ok(RopeScaling::Llama3 {
        factor: inner.positive("factor")?,
        low_freq_factor: turns[0],
        high_freq_factor: turns[1],
        original_max_position_embeddings: original(keys, inner)?,
    })
}

/// A base that grows with the tokens, from all positions on, as the library counts them.
fn dynamic(keys: &Keys<'_>, inner: &Keys<'_>) -> Result<RopeScaling, ConfigError> {
    inner.pass_over(&["original_max_position_embeddings"]);
    let factor = inner.positive("factor")?;
    if factor < 1.0 {
        return Err(inner.unsupported("factor", "with a dynamic scaling, a number from 1 on"));
    }
    let positions = keys.size(LENGTH)?;
    let positions = usize::try_from(positions);
    Ok(RopeScaling::Dynamic {
        factor,
        original_max_position_embeddings: positions
            .map_err(|_| keys.unsupported(LENGTH, "a number of tokens"))?,
    })
}

/// LongRoPE as the library reads it: without a factor, the context is as many times longer as positions
/// are more than those of the original one.
fn longrope(keys: &Keys<'_>, inner: &Keys<'_>) -> Result<RopeScaling, ConfigError> {
    let original = original(keys, inner)?;
    let factor = match inner.get("factor") {
        Some(_) => inner.positive("factor")?,
        None => keys.size(LENGTH)? as f64 / original as f64,
    };
    let usual = match factor > 1.0 {
        true => (1.0 + factor.ln() / (original as f64).ln()).sqrt(),
        false => 1.0,
    };
    let attention_factor = inner.positive_or("attention_factor", usual)?;
    if !attention_factor.is_finite() {
        return Err(inner.unsupported("original_max_position_embeddings", "2 tokens or more"));
    }
    Ok(RopeScaling::LongRope {
        short_factor: inner.positives("short_factor")?.into(),
        long_factor: inner.positives("long_factor")?.into(),
        original_max_position_embeddings: original,
        attention_factor,
    })
}

/// How many positions a model was made for, where its configuration says.
pub(super) fn made_for(
    keys: &Keys<'_>,
    rope: &RotaryEmbedding,
) -> Result<Option<PositionLimit>, ConfigError> {
    let Some(positions) = keys.optional(LENGTH)? else { return Ok(None) };
    // Llama 3 says the scaled length; files of the two others say the one or the other.
    let scaled = match rope.scaling {
        RopeScaling::None
        | RopeScaling::Llama3 { .. }
        | RopeScaling::LongRope { .. }
        | RopeScaling::Proportional { .. } => positions as f64,
        RopeScaling::Linear { factor } | RopeScaling::Dynamic { factor, .. } => {
            positions as f64 * factor
        }
        RopeScaling::Yarn { factor, original_max_position_embeddings: original, .. } => {
            original as f64 * factor
        }
    };
    let tokens = positions.max(scaled as u64);
    Ok(Some(PositionLimit { key: LENGTH, positions, tokens, computed: true }))
}

/// YaRN as the library reads it: what is missing, null or, of the two turns, 0 has its default.
fn yarn(keys: &Keys<'_>, inner: &Keys<'_>) -> Result<RopeScaling, ConfigError> {
    let original = original(keys, inner)?;
    let factor = match inner.get("factor") {
        Some(_) => inner.positive("factor")?,
        None => keys.size(LENGTH)? as f64 / original as f64,
    };
    let scale = |mscale: f64| if factor <= 1.0 { 1.0 } else { 0.1 * mscale * factor.ln() + 1.0 };
    let (mscale, of_all) =
        (inner.number_or("mscale", 0.0)?, inner.number_or("mscale_all_dim", 0.0)?);
    let usual = match mscale > 0.0 && of_all > 0.0 {
        true => scale(mscale) / scale(of_all),
        false => scale(1.0),
    };
    let turns = |key, default| match inner.number_or(key, default)? {
        0.0 => Ok(default),
        turns => Ok::<_, ConfigError>(turns),
    };
    let (beta_fast, beta_slow) = (turns("beta_fast", 32.0)?, turns("beta_slow", 1.0)?);
    if beta_slow > beta_fast {
        let why = "the first cannot be the smaller; missing they are 32 and 1";
        return Err(inner.contradiction("beta_fast", "beta_slow", why));
    }
    Ok(RopeScaling::Yarn {
        factor,
        beta_fast,
        beta_slow,
        original_max_position_embeddings: original,
        attention_factor: inner.positive_or("attention_factor", usual)?,
        truncate: inner.flag_or("truncate", true)?,
    })
}

/// What scores of queries and keys of a width are multiplied with, where the rotation's object makes it other
/// than the inverse square root of the width (DeepSeek-V2): `mscale_all_dim` says by how much.
pub(super) fn score_scale(keys: &Keys<'_>, width: u64) -> Result<Option<f64>, ConfigError> {
    let Some(inner) = keys.inner(place(keys)?)? else { return Ok(None) };
    let kind = inner.text("rope_type")?.or(inner.text("type")?).unwrap_or("default");
    let of_all = inner.number_or("mscale_all_dim", 0.0)?;
    if kind == "default" || of_all == 0.0 {
        return Ok(None);
    }
    let factor = inner.positive("factor")?;
    let scale = if factor <= 1.0 { 1.0 } else { 0.1 * of_all * factor.ln() + 1.0 };
    Ok(Some(scale * scale / (width as f64).sqrt()))
}

/// Tokens of the original context: beside the rotation's object, else in it, else all positions.
fn original(keys: &Keys<'_>, inner: &Keys<'_>) -> Result<usize, ConfigError> {
    let key = "original_max_position_embeddings";
    let within = inner.optional(key)?;
    let size = match keys.optional(key)?.or(within) {
        Some(size) => size,
        None => keys.size(LENGTH)?,
    };
    usize::try_from(size).map_err(|_| inner.unsupported(key, "a number of tokens"))
}

/// The tables by which the heads of layers turn, `e` wide: each made once, as in the library, and shared
/// by layers that turn alike.
pub(super) fn angles<'a, E>(
    g: &mut Graph,
    layers: impl Iterator<Item = &'a LayerConfig>,
    mut make: impl FnMut(&mut Graph, &RotaryEmbedding) -> Result<Var, E>,
) -> Result<Vec<Option<Var>>, E> {
    let g = &mut *g.scope("rotary_emb");
    let mut made: Vec<(&RotaryEmbedding, Var)> = Vec::new();
    let table = |layer: &'a LayerConfig| {
        let Some(rope) = &layer.attention.rope else { return Ok(None) };
        if let Some((_, table)) = made.iter().find(|(other, _)| *other == rope) {
            return Ok(Some(*table));
        }
        let table = make(g, rope)?;
        made.push((rope, table));
        Ok(Some(table))
    };
    layers.map(table).collect()
}
