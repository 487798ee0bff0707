//! Graphs of encoder and decoder layers and of what is stacked from them.

use opledger_ir::{Graph, Mask};
use opledger_nn::{
    AttentionMlpStack, AttentionMlpStackConfig, Decoder, DecoderLayer, Encoder, EncoderLayer,
    LayerConfig, LayerNames, NormConfig, Residual, Sublayers, Transformer, TransformerConfig,
    TransformerMasks,
};

use super::attention::{band, config, padded};
use super::build::{Sequence, feed_forward, ids, input, x};
use super::error::LayerError;
use super::settings::Settings;

fn layer(s: &Settings) -> Result<LayerConfig, LayerError> {
    let norm = match s.flag("rms") {
        true => NormConfig::rms(),
        false => NormConfig { bias: s.flag("bias"), ..NormConfig::layer() },
    };
    Ok(LayerConfig {
        attention: config(s)?,
        feed_forward: feed_forward(s)?,
        latent: None,
        convolution: None,
        delta: None,
        state_space: None,
        sublayers: Sublayers::default(),
        mixture: None,
        norm: NormConfig { eps: s.number("eps"), ..norm },
        residual: residual(s)?,
        residual_scale: None,
        layer_scale: false,
        dropout: s.dropout(),
        memory_heads: false,
        names: LayerNames::default(),
    })
}

fn residual(s: &Settings) -> Result<Residual, LayerError> {
    Ok(match s.choice("norm") {
        "post" => Residual::PostNorm,
        "pre" => Residual::PreNorm,
        "parallel" => Residual::Parallel,
        "parallel-one-norm" => Residual::ParallelOneNorm,
        other => {
            let problem = format!("norm={other} is no place of norms and residuals");
            return Err(LayerError::Conflict(problem));
        }
    })
}

pub(super) fn encoder_layer(s: &Settings, g: &mut Graph) -> Result<(), LayerError> {
    let x = x(s, g)?;
    let layer = EncoderLayer::new(g, &layer(s)?)?;
    let mask = padded(s, g, band(s), "attention_mask", "n")?;
    let y = layer.forward(g, x, mask)?;
    g.output("y", y);
    Ok(())
}

pub(super) fn encoder(s: &Settings, g: &mut Graph) -> Result<(), LayerError> {
    let x = x(s, g)?;
    let encoder = Encoder::new(g, s.size("l"), &layer(s)?, s.flag("final_norm"))?;
    let mask = padded(s, g, band(s), "attention_mask", "n")?;
    let y = encoder.forward(g, x, mask)?;
    g.output("y", y);
    Ok(())
}

/// The name of the input that hides source tokens from a decoder.
const SOURCE_MASK: &str = "encoder_attention_mask";

pub(super) fn decoder_layer(s: &Settings, g: &mut Graph) -> Result<(), LayerError> {
    let x = x(s, g)?;
    let memory = input(s, g, "memory", Sequence::Memory, s.axis("c", "c"))?;
    let layer = DecoderLayer::new(g, &layer(s)?)?;
    let memory_mask = padded(s, g, Mask::none(), SOURCE_MASK, "m")?;
    let y = layer.forward(g, x, memory, band(s), memory_mask)?;
    g.output("y", y);
    Ok(())
}

pub(super) fn decoder(s: &Settings, g: &mut Graph) -> Result<(), LayerError> {
    let x = x(s, g)?;
    let memory = input(s, g, "memory", Sequence::Memory, s.axis("c", "c"))?;
    let decoder = Decoder::new(g, s.size("l"), &layer(s)?, s.flag("final_norm"))?;
    let memory_mask = padded(s, g, Mask::none(), SOURCE_MASK, "m")?;
    let y = decoder.forward(g, x, memory, band(s), memory_mask)?;
    g.output("y", y);
    Ok(())
}

pub(super) fn transformer(s: &Settings, g: &mut Graph) -> Result<(), LayerError> {
    let embed = s.flag("embed");
    let (src, tgt) = if embed {
        (ids(s, g, "src", Sequence::Memory, "v")?, ids(s, g, "tgt", Sequence::Own, "v")?)
    } else {
        let width = || s.axis("c", "c");
        (
            input(s, g, "src", Sequence::Memory, width())?,
            input(s, g, "tgt", Sequence::Own, width())?,
        )
    };
    let config = TransformerConfig {
        num_decoder_layers: s.size("ld"),
        final_norm: s.flag("final_norm"),
        vocab_size: embed.then(|| s.size("v")),
        tied: s.flag("tied"),
        ..TransformerConfig::new(s.size("l"), layer(s)?)
    };
    let model = Transformer::new(g, &config)?;
    let source = padded(s, g, Mask::none(), SOURCE_MASK, "m")?;
    let masks = TransformerMasks { src: source.clone(), tgt: band(s), memory: source };
    let y = model.forward(g, src, tgt, masks)?;
    g.output("y", y);
    Ok(())
}

pub(super) fn attention_mlp_stack(s: &Settings, g: &mut Graph) -> Result<(), LayerError> {
    let x = x(s, g)?;
    let config = AttentionMlpStackConfig {
        num_layers: s.size("l"),
        embed_dim: s.size("c"),
        num_heads: s.size("h"),
        dim_feedforward: s.size("ff"),
        dropout: s.dropout(),
    };
    let y = AttentionMlpStack::new(g, &config)?.forward(g, x)?;
    g.output("y", y);
    Ok(())
}
