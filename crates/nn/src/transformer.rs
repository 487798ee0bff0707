//! The encoder-decoder (Vaswani et al. 2017, figure 1), named as PyTorch's `nn.Transformer`; with a
//! vocabulary also its ends: embeddings times √c plus positions, and scores over the vocabulary.

use opledger_dims::Poly;
use opledger_ir::ops::Factor;
use opledger_ir::{Graph, Mask, Var};

use crate::{Decoder, Embedding, Encoder, LayerConfig, LmHead, NnError, SinusoidalPositions};

/// Options of a [`Transformer`].
#[derive(Clone, Debug, PartialEq)]
pub struct TransformerConfig {
    /// Layers of the encoder.
    pub num_encoder_layers: Poly,
    /// Layers of the decoder.
    pub num_decoder_layers: Poly,
    /// Every layer of either.
    pub layer: LayerConfig,
    /// Whether encoder and decoder end in a norm, as PyTorch's do.
    pub final_norm: bool,
    /// With a vocabulary of this size the model maps ids to scores.
    pub vocab_size: Option<Poly>,
    /// Whether source, target and head share one table, as published.
    pub tied: bool,
}

impl TransformerConfig {
    /// As many layers in the encoder as in the decoder, final norms, no embeddings.
    pub fn new(num_layers: impl Into<Poly>, layer: LayerConfig) -> Self {
        let num_layers = num_layers.into();
        TransformerConfig {
            num_encoder_layers: num_layers.clone(),
            num_decoder_layers: num_layers,
            layer,
            final_norm: true,
            vocab_size: None,
            tied: true,
        }
    }
}

/// The masks of a call.
#[derive(Clone, Debug, Default)]
pub struct TransformerMasks {
    /// The encoder's self-attention.
    pub src: Mask,
    /// The decoder's self-attention.
    pub tgt: Mask,
    /// The decoder's attention to the encoder's result.
    pub memory: Mask,
}

impl TransformerMasks {
    /// A causal decoder.
    pub fn causal() -> Self {
        TransformerMasks { tgt: Mask::causal(), ..TransformerMasks::default() }
    }
}

/// Encoder and decoder. Parameters `encoder.layers.*.…`, `encoder.norm.…`, `decoder.layers.*.…`,
/// `decoder.norm.…`; with a vocabulary `embedding.weight [v, c]`, or untied `src_embedding.weight`,
/// `tgt_embedding.weight` and `generator.weight`.
///
/// ```
/// # mod opledger { pub use {opledger_ir::*, opledger_nn as nn}; }
/// use opledger::{Graph, nn::{LayerConfig, Transformer, TransformerConfig, TransformerMasks}};
///
/// let mut g = Graph::new();
/// let src = g.input("src", ["b", "m", "c"])?;
/// let tgt = g.input("tgt", ["b", "n", "c"])?;
/// let config = TransformerConfig::new("l", LayerConfig::new("c", "h", "f"));
/// let model = Transformer::new(&mut g, &config)?;
/// let y = model.forward(&mut g, src, tgt, TransformerMasks::causal())?;
/// assert_eq!(g.shape(y).to_string(), "[b, n, c]");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Transformer {
    encoder: Encoder,
    decoder: Decoder,
    ends: Option<Ends>,
}

/// What maps ids to the width and the width to scores.
#[derive(Clone, Debug)]
struct Ends {
    src: Embedding,
    tgt: Embedding,
    positions: SinusoidalPositions,
    head: LmHead,
    width: Poly,
}

impl Ends {
    fn new(g: &mut Graph, v: &Poly, c: &Poly, tied: bool) -> Result<Self, NnError> {
        let (src, tgt, head) = if tied {
            let shared = Embedding::new(&mut g.scope("embedding"), v, c)?;
            let head = LmHead::tied(&mut g.scope("generator"), &shared);
            (shared.clone(), shared, head)
        } else {
            let src = Embedding::new(&mut g.scope("src_embedding"), v, c)?;
            let tgt = Embedding::new(&mut g.scope("tgt_embedding"), v, c)?;
            (src, tgt, LmHead::new(&mut g.scope("generator"), c, v, false)?)
        };
        let positions = SinusoidalPositions::new(&mut g.scope("positions"));
        Ok(Ends { src, tgt, positions, head, width: c.clone() })
    }

    fn embed(&self, g: &mut Graph, table: &Embedding, ids: Var) -> Result<Var, NnError> {
        let x = table.forward(g, ids)?;
        let x = g.scale(x, Factor::Sqrt(self.width.clone()))?;
        self.positions.forward(g, x)
    }
}

impl Transformer {
    /// The model in the present scope.
    ///
    /// # Errors
    /// When a size is below one, or the heads do not divide the width.
    pub fn new(g: &mut Graph, config: &TransformerConfig) -> Result<Self, NnError> {
        let (layer, norm) = (&config.layer, config.final_norm);
        let ends = match &config.vocab_size {
            Some(v) => Some(Ends::new(g, v, &layer.attention.embed_dim, config.tied)?),
            None => None,
        };
        let depth = &config.num_encoder_layers;
        let encoder = Encoder::new(&mut g.scope("encoder"), depth, layer, norm)?;
        let depth = &config.num_decoder_layers;
        let decoder = Decoder::new(&mut g.scope("decoder"), depth, layer, norm)?;
        Ok(Transformer { encoder, decoder, ends })
    }

    /// Source `[b, m, c]` and target `[b, n, c]` to `[b, n, c]`; with a vocabulary, ids `[b, m]` and
    /// `[b, n]` to scores `[b, n, v]`.
    ///
    /// # Errors
    /// When the operands do not fit the configuration.
    pub fn forward(
        &self,
        g: &mut Graph,
        src: Var,
        tgt: Var,
        masks: TransformerMasks,
    ) -> Result<Var, NnError> {
        let (src, tgt) = match &self.ends {
            Some(ends) => (ends.embed(g, &ends.src, src)?, ends.embed(g, &ends.tgt, tgt)?),
            None => (src, tgt),
        };
        let memory = self.encoder.forward(g, src, masks.src)?;
        let y = self.decoder.forward(g, tgt, memory, masks.tgt, masks.memory)?;
        match &self.ends {
            Some(ends) => ends.head.forward(g, y),
            None => Ok(y),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_base_model() {
        // Table 3, row "base": 65·10⁶ with a shared vocabulary of about 37,000.
        let config = TransformerConfig {
            final_norm: false,
            vocab_size: Some(37_000.into()),
            ..TransformerConfig::new(6, LayerConfig::new(512, 8, 2048))
        };
        let mut g = Graph::new();
        let src = g.input_ids("src", ["b", "m"], 37_000).unwrap();
        let tgt = g.input_ids("tgt", ["b", "n"], 37_000).unwrap();
        let model = Transformer::new(&mut g, &config).unwrap();
        let y = model.forward(&mut g, src, tgt, TransformerMasks::causal()).unwrap();
        assert_eq!(g.shape(y).to_string(), "[b, n, v=37000]");
        assert_eq!(g.parameters().0, (6 * (3_152_384 + 4_204_032) + 37_000 * 512).into());
        let mut g = Graph::new();
        let config = TransformerConfig { tied: false, ..config };
        Transformer::new(&mut g, &config).unwrap();
        assert_eq!(g.parameters().0, (6 * (3_152_384 + 4_204_032) + 3 * 37_000 * 512).into());
    }
}
