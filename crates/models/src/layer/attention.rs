//! Graphs of the attentions.

use opledger_dims::Integer;
use opledger_ir::{Axis, Graph, Mask};
use opledger_nn::{
    Attend, Attended, AttentionConfig, LatentAttention, LatentConfig, LatentForm,
    MultiheadAttention, NormConfig, RotaryEmbedding, SelfAttention, SelfAttentionConfig,
    VitAttention, VitAttentionConfig, Weights, WindowAttention, WindowAttentionConfig,
};

use super::build::{Sequence, input, x};
use super::error::LayerError;
use super::settings::Settings;

/// Multi-head attention as the keys say, for the layers built on it too.
pub(super) fn config(s: &Settings) -> Result<AttentionConfig, LayerError> {
    s.divides("kv", "h")?;
    let rotated = s.given("rot");
    let rope = RotaryEmbedding { rotated, ..RotaryEmbedding::new(s.number("theta")) };
    let soft_cap = Some(s.number("soft_cap")).filter(|cap| *cap > 0.0);
    let all = AttentionConfig::new(s.size("c"), s.size("h"));
    Ok(AttentionConfig {
        kv_heads: s.given("kv"),
        head_dim: s.given("e"),
        bias: s.flag("qkv_bias"),
        out_bias: s.flag("bias"),
        rope: s.flag("rope").then_some(rope),
        soft_cap,
        sinks: s.flag("sinks"),
        dropout: s.dropout(),
        ..all
    })
}

/// The mask that `mask` and `window` ask for, by positions only.
pub(super) fn band(s: &Settings) -> Mask {
    match s.choice("mask") {
        "causal" => Mask::causal(),
        "window" => Mask::sliding(s.size("window")),
        "chunks" => Mask::chunked(s.size("window")),
        _ => Mask::none(),
    }
}

/// A mask that also hides the keys an input says, when `padding` is set, or the pairs, when `pairs` is.
pub(super) fn padded(
    s: &Settings,
    g: &mut Graph,
    mask: Mask,
    name: &str,
    keys: &'static str,
) -> Result<Mask, LayerError> {
    let axes = match (s.flag("padding"), s.flag("pairs")) {
        (false, false) => return Ok(mask),
        (true, false) => vec![s.axis("b", "b"), s.axis(keys, keys)],
        (false, true) => vec![s.axis("b", "b"), s.axis("n", "n"), s.axis("m", keys)],
        (true, true) => {
            let problem = "padding=true and pairs=true are two inputs where a mask has one; that of pairs \
                           hides keys as well";
            return Err(LayerError::Conflict(problem.to_owned()));
        }
    };
    let keep = g.input_mask(name, axes)?;
    Ok(mask.keeping(keep))
}

/// How one attention is called: mask, padding, weights.
fn call(s: &Settings, g: &mut Graph, keys: &'static str) -> Result<Attend, LayerError> {
    let weights = match s.choice("weights") {
        "mean" => Weights::Mean,
        "heads" => Weights::Heads,
        _ => Weights::None,
    };
    let mask = padded(s, g, band(s), "attention_mask", keys)?;
    Ok(Attend { mask, weights, ..Attend::default() })
}

fn outputs(g: &mut Graph, attended: Attended) {
    g.output("y", attended.output);
    if let Some(weights) = attended.weights {
        g.output("weights", weights);
    }
}

pub(super) fn self_attention(s: &Settings, g: &mut Graph) -> Result<(), LayerError> {
    let x = x(s, g)?;
    let config = SelfAttentionConfig {
        key_dim: s.given("c2"),
        value_dim: s.given("c1"),
        bias: s.flag("bias"),
        out_proj: s.flag("out_proj"),
        ..SelfAttentionConfig::new(s.size("c"))
    };
    let attention = SelfAttention::new(g, &config)?;
    let call = call(s, g, "n")?;
    let attended = attention.forward_with(g, x, call)?;
    outputs(g, attended);
    Ok(())
}

pub(super) fn multihead(s: &Settings, g: &mut Graph) -> Result<(), LayerError> {
    let widths = [s.given("kdim"), s.given("vdim")];
    let [kdim, vdim] = widths.clone();
    let cross = s.given("m").is_some() || kdim.is_some() || vdim.is_some();
    let config = AttentionConfig { kdim, vdim, out_proj: s.flag("out_proj"), ..config(s)? };
    let x = x(s, g)?;
    let keys = if cross { "m" } else { "n" };
    let [kdim, vdim] = widths.map(|w| w.unwrap_or_else(|| s.size("c")));
    let (key, value) = match (cross, kdim == vdim) {
        (false, _) => (x, x),
        (true, true) => {
            let memory = input(s, g, "memory", Sequence::Memory, ("c", kdim))?;
            (memory, memory)
        }
        (true, false) => (
            input(s, g, "key", Sequence::Memory, ("c", kdim))?,
            input(s, g, "value", Sequence::Memory, ("c", vdim))?,
        ),
    };
    let attention = MultiheadAttention::new(g, &config)?;
    let call = call(s, g, keys)?;
    let attended = attention.forward_with(g, x, key, value, call)?;
    outputs(g, attended);
    Ok(())
}

pub(super) fn latent(s: &Settings, g: &mut Graph) -> Result<(), LayerError> {
    let rope = RotaryEmbedding {
        rotated: Some(s.size("rot")),
        pairs: opledger_nn::RopePairs::Neighbours,
        ..RotaryEmbedding::new(s.number("theta"))
    };
    let config = AttentionConfig {
        bias: s.flag("bias"),
        out_bias: s.flag("bias"),
        rope: s.flag("rope").then_some(rope),
        ..AttentionConfig::new(s.size("c"), s.size("h"))
    };
    let latent = LatentConfig {
        query_rank: s.given("q"),
        rank: s.size("d"),
        head_dim: s.size("e"),
        rotated: s.size("rot"),
        value_head_dim: s.size("f"),
        norm: NormConfig { eps: s.number("eps"), ..NormConfig::rms() },
        form: match s.choice("form") {
            "absorbed" => LatentForm::Absorbed,
            _ => LatentForm::Expanded,
        },
    };
    let x = x(s, g)?;
    let mask = padded(s, g, band(s), "attention_mask", "n")?;
    let attention = LatentAttention::new(g, &config, &latent)?;
    let attended = attention.forward_with(g, x, Attend::from(mask))?;
    outputs(g, attended);
    Ok(())
}

fn vit_config(s: &Settings) -> VitAttentionConfig {
    VitAttentionConfig {
        head_dim: s.given("e"),
        qkv_bias: s.flag("qkv_bias"),
        out_proj: s.flag("out_proj"),
        out_bias: s.flag("bias"),
        dropout: s.dropout(),
        ..VitAttentionConfig::new(s.size("c"), s.size("h"))
    }
}

pub(super) fn vit(s: &Settings, g: &mut Graph) -> Result<(), LayerError> {
    let x = x(s, g)?;
    let attention = VitAttention::new(g, &vit_config(s))?;
    let call = call(s, g, "n")?;
    let attended = attention.forward_with(g, x, call)?;
    outputs(g, attended);
    Ok(())
}

pub(super) fn window(s: &Settings, g: &mut Graph) -> Result<(), LayerError> {
    if let (Some(shift), Some(side)) = (s.number_of("shift"), s.number_of("side")) {
        if shift >= side {
            let problem = format!("shift = {shift} is not below side = {side}");
            return Err(LayerError::Conflict(problem));
        }
        let one_window = |image| s.number_of(image).is_some_and(|size: Integer| size <= side);
        if shift > Integer::from(0) && (one_window("height") || one_window("width")) {
            let problem =
                format!("shift = {shift}, but one window of side = {side} covers the image");
            return Err(LayerError::Conflict(problem));
        }
    }
    let image = [
        s.axis("b", "b"),
        Axis::new("y", s.size("height")),
        Axis::new("x", s.size("width")),
        s.axis("c", "c"),
    ];
    let x = g.input("x", image)?;
    let config = WindowAttentionConfig {
        attention: vit_config(s),
        shift: s.size("shift"),
        position_bias: s.flag("position_bias"),
        ..WindowAttentionConfig::new(s.size("c"), s.size("h"), s.size("side"))
    };
    let y = WindowAttention::new(g, &config)?.forward(g, x)?;
    g.output("y", y);
    Ok(())
}
