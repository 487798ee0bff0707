//! Attention whose keys and values are made from a latent, as decoders have it: `d` is the width of the
//! latent, `q` that of the one that queries are made from, `e` what a head makes of it, `rot` the part of
//! queries and keys that turns, `f` a value.

use opledger_ir::{Axis, Cached};
use opledger_nn::{
    AttentionConfig, AttentionNames, LatentConfig, LatentForm, NormConfig, Origin, RotaryEmbedding,
};

use super::causal::Kept;
use super::recorder::{Problem, Recorder};
use super::request::Request;
use super::rope::score_scale;
use super::rotation::rotation;
use super::variant::{Latent, Variant};
use crate::config::Keys;
use crate::names::Names;

/// The attention of every kind of layers, but for how heads turn where a kind says it; the latent that it
/// makes keys and values from, if it does; and what it keeps.
pub(super) type Attention = (AttentionConfig, Option<LatentConfig>, Kept);

/// ε of the norms of latents, whatever keys say.
const EPSILON: f64 = 1e-6;

/// The attention of every layer.
pub(super) fn attention(
    keys: &Keys<'_>,
    request: &Request,
    r: &mut Recorder,
    (variant, widths): (&Variant, &Latent),
) -> Result<Attention, Problem> {
    let (width, heads) = (keys.size("hidden_size")?, keys.size("num_attention_heads")?);
    let kv_heads = "num_key_value_heads";
    if keys.optional(kv_heads)?.is_some_and(|given| given != heads) {
        let all =
            format!("{heads}, as many as query heads, since each makes its own from the latent");
        return Err(keys.unsupported(kv_heads, all).into());
    }
    // What the library has for both is the width of the part that turns.
    keys.pass_over(&["head_dim", "qk_head_dim"]);
    if widths.rotated % 2 == 1 {
        let pairs = "an even width, since the rotation turns pairs";
        return Err(keys.unsupported("qk_rope_head_dim", pairs).into());
    }
    let rope = rotation(keys, request, r, (variant, widths.rotated))?;
    let (c, h) = (r.size("c", width), r.size("h", heads));
    let (d, e, f) = (
        r.size("d", widths.rank),
        r.size("e", widths.head_dim),
        r.size("f", widths.value_head_dim),
    );
    let rot = r.size("rot", widths.rotated);
    let head = Axis::new("h", &h);
    let kept = match request.latent {
        LatentForm::ExpandedOnce => Kept([
            (Cached::Keys, vec![head.clone(), Axis::new("e", &e + &rot)]),
            (Cached::Values, vec![head, Axis::new("f", &f)]),
        ]),
        LatentForm::Expanded | LatentForm::Absorbed => Kept([
            (Cached::Latents, vec![Axis::new("d", &d)]),
            (Cached::TurnedKeys, vec![Axis::new("e", &rot)]),
        ]),
    };
    let latent = LatentConfig {
        query_rank: widths.query_rank.map(|rank| r.size("q", rank)),
        rank: d,
        head_dim: e,
        rotated: rot.clone(),
        value_head_dim: f,
        norm: NormConfig { eps: EPSILON, ..NormConfig::rms() },
        form: request.latent,
    };
    let attention = AttentionConfig {
        bias: variant.qkv_bias,
        out_bias: variant.out_bias,
        rope: rope.map(|rope| RotaryEmbedding { rotated: Some(rot), ..rope }),
        scale: score_scale(keys, widths.head_dim + widths.rotated)?,
        origin: Origin::Library,
        names: AttentionNames::new("", "", "", "o_proj"),
        ..AttentionConfig::new(c, h)
    };
    Ok((attention, Some(latent), kept))
}

/// Where files have one tensor for the parts of a map, in an attention at a path.
pub(super) fn names(names: Names, at: &str) -> Names {
    let parts = |whole: &str, parts: [&str; 2], kind: &str| {
        parts.map(|part| format!("{at}.{whole}.{part}.{kind}"))
    };
    let file = |whole: &str, kind: &str| format!("{at}.{whole}.{kind}");
    let by_heads = [("q_proj", ["nope", "rope"]), ("q_b_proj", ["nope", "rope"])];
    let by_heads = by_heads.into_iter().chain([("kv_b_proj", ["k", "v"])]);
    let names = by_heads.fold(names, |names, (whole, both)| {
        let parts = parts(whole, both, "weight");
        names.interleave(&parts.each_ref().map(String::as_str), &file(whole, "weight"))
    });
    let whole = "kv_a_proj_with_mqa";
    ["weight", "bias"].into_iter().fold(names, |names, kind| {
        let parts = parts(whole, ["latent", "rope"], kind);
        names.join(&parts.each_ref().map(String::as_str), &file(whole, kind))
    })
}
