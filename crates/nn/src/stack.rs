//! Stacks of layers: `layers.*` repeated a number of times, which may be a symbol, and an optional
//! norm at the end. Named as PyTorch's `nn.TransformerEncoder` and `nn.TransformerDecoder`.

use opledger_dims::Poly;
use opledger_ir::{Graph, Mask, Scope, Var};

use crate::sizes::not_negative;
use crate::{DecoderLayer, EncoderLayer, LayerConfig, NnError, Norm};

/// The parts that both stacks share.
#[derive(Clone, Debug)]
struct Stack<L> {
    scope: Scope,
    layers: Scope,
    layer: L,
    norm: Option<Norm>,
}

impl<L> Stack<L> {
    fn new(
        g: &mut Graph,
        num_layers: Poly,
        config: &LayerConfig,
        norm: bool,
        make: impl FnOnce(&mut Graph, &LayerConfig) -> Result<L, NnError>,
    ) -> Result<Self, NnError> {
        not_negative("num_layers", &num_layers)?;
        let layers = g.repeated("layers", num_layers);
        let layer = make(&mut g.enter(&layers), config)?;
        let norm = if norm { Some(config.norm(g, "norm")?) } else { None };
        Ok(Stack { scope: g.here(), layers, layer, norm })
    }

    fn forward(
        &self,
        g: &mut Graph,
        x: Var,
        body: impl FnOnce(&L, &mut Graph, Var) -> Result<Var, NnError>,
    ) -> Result<Var, NnError> {
        let g = &mut *g.enter(&self.scope);
        let x = g.repeat(&self.layers, x, |g, x| body(&self.layer, g, x))?;
        match &self.norm {
            Some(norm) => norm.forward(g, x),
            None => Ok(x),
        }
    }
}

/// A stack of [`EncoderLayer`]s. Parameters `layers.*.…` and, if wanted, `norm.…`.
///
/// ```
/// # mod opledger { pub use {opledger_ir::*, opledger_nn as nn}; }
/// use opledger::{Graph, Mask, nn::{Encoder, LayerConfig}};
///
/// let mut g = Graph::new();
/// let x = g.input("x", ["b", "n", "c"])?;
/// let encoder = Encoder::new(&mut g.scope("encoder"), "l", &LayerConfig::new("c", "h", "f"), false)?;
/// encoder.forward(&mut g, x, Mask::none())?;
/// assert_eq!(g.cost().macs().to_string(), "4·b·l·n·c² + 2·b·l·n·f·c + 2·b·l·n²·c");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Encoder(Stack<EncoderLayer>);

impl Encoder {
    /// `num_layers` layers, then a norm if `norm` is set.
    ///
    /// # Errors
    /// When a size is below one, or the heads do not divide the width.
    pub fn new(
        g: &mut Graph,
        num_layers: impl Into<Poly>,
        config: &LayerConfig,
        norm: bool,
    ) -> Result<Self, NnError> {
        Ok(Encoder(Stack::new(g, num_layers.into(), config, norm, EncoderLayer::new)?))
    }

    /// `[b, n, c]` to the same shape.
    ///
    /// # Errors
    /// When `x` does not fit the configuration.
    pub fn forward(&self, g: &mut Graph, x: Var, mask: Mask) -> Result<Var, NnError> {
        self.0.forward(g, x, |layer, g, x| layer.forward(g, x, mask))
    }
}

/// A stack of [`DecoderLayer`]s. Parameters `layers.*.…` and, if wanted, `norm.…`.
#[derive(Clone, Debug)]
pub struct Decoder(Stack<DecoderLayer>);

impl Decoder {
    /// `num_layers` layers, then a norm if `norm` is set.
    ///
    /// # Errors
    /// When a size is below one, or the heads do not divide the width.
    pub fn new(
        g: &mut Graph,
        num_layers: impl Into<Poly>,
        config: &LayerConfig,
        norm: bool,
    ) -> Result<Self, NnError> {
        Ok(Decoder(Stack::new(g, num_layers.into(), config, norm, DecoderLayer::new)?))
    }

    /// `[b, n, c]` and the encoder's result `[b, m, c]` to `[b, n, c]`.
    ///
    /// # Errors
    /// When the operands do not fit the configuration.
    pub fn forward(
        &self,
        g: &mut Graph,
        x: Var,
        memory: Var,
        mask: Mask,
        memory_mask: Mask,
    ) -> Result<Var, NnError> {
        self.0.forward(g, x, |layer, g, x| layer.forward(g, x, memory, mask, memory_mask))
    }
}
