//! How the heads of a variant turn by position.

use opledger_nn::RotaryEmbedding;

use super::causal::first_position;
use super::recorder::{Problem, Recorder};
use super::request::Request;
use super::rope::{SHARE, made_for, rope, rotated, whole_heads};
use super::variant::{Rotation, Variant};
use crate::config::Keys;

/// How heads turn as the keys say, where any do; with the positions that the model was made for.
pub(super) fn rotation(
    keys: &Keys<'_>,
    request: &Request,
    r: &mut Recorder,
    (variant, head_dim): (&Variant, u64),
) -> Result<Option<RotaryEmbedding>, Problem> {
    let mut kinds = variant.kinds.iter();
    let given = kinds.find_map(|kind| match &kind.rotation {
        Rotation::Given(rope) => Some(rope.clone()),
        Rotation::Read | Rotation::None => None,
    });
    let turned = match variant.turned {
        Some(share) => rotated(keys, (SHARE, share), head_dim)?,
        None => whole_heads(keys).map(|()| head_dim)?,
    };
    let mut rope = match given {
        Some(given) => given,
        None => rope(keys, variant.base, first_position(request))?,
    };
    r.positions = made_for(keys, &rope)?;
    rope.pairs = variant.pairs;
    rope.rotated = (turned < head_dim).then(|| r.size("rot", turned));
    Ok(Some(rope))
}
