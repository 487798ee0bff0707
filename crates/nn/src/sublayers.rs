//! One layer of the encoder and of the decoder (Vaswani et al. 2017, §3.1), with the names of
//! PyTorch's `nn.TransformerEncoderLayer` and `nn.TransformerDecoderLayer`.
//!
//! Post-norm, as published: `x ← norm(x + sublayer(x))`. Pre-norm (Xiong et al. 2020):
//! `x ← x + sublayer(norm(x))`.

use opledger_dims::Poly;
use opledger_ir::{Graph, Mask, ModuleClass, Scope, Var};

use crate::{
    Attend, Attended, AttentionConfig, DropoutConfig, FeedForward, FeedForwardConfig,
    MixtureConfig, MixtureOfExperts, MultiheadAttention, NnError, Norm, NormConfig,
};

/// Options of an [`EncoderLayer`] or a [`DecoderLayer`].
#[derive(Clone, Debug, PartialEq)]
pub struct LayerConfig {
    /// The attentions.
    pub attention: AttentionConfig,
    /// The feed-forward layer.
    pub feed_forward: FeedForwardConfig,
    /// A mixture of experts in its place.
    pub mixture: Option<MixtureConfig>,
    /// The norms.
    pub norm: NormConfig,
    /// Pre-norm instead of post-norm.
    pub norm_first: bool,
    /// Dropout of each sublayer's result.
    pub dropout: DropoutConfig,
    /// Where the parts stand.
    pub names: LayerNames,
}

/// The scopes of the parts of a layer; an empty one is the layer's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerNames {
    /// The first attention.
    pub self_attn: &'static str,
    /// The attention of a decoder layer to the encoder's result.
    pub multihead_attn: &'static str,
    /// The feed-forward layer.
    pub feed_forward: &'static str,
    /// The norms, in the order of the sublayers.
    pub norms: [&'static str; 3],
}

impl Default for LayerNames {
    /// PyTorch's.
    fn default() -> Self {
        LayerNames {
            self_attn: "self_attn",
            multihead_attn: "multihead_attn",
            feed_forward: "",
            norms: ["norm1", "norm2", "norm3"],
        }
    }
}

impl LayerConfig {
    /// PyTorch's layer: post-norm, ReLU, biases; without dropout.
    pub fn new(
        d_model: impl Into<Poly>,
        num_heads: impl Into<Poly>,
        dim_feedforward: impl Into<Poly>,
    ) -> Self {
        let d_model = d_model.into();
        LayerConfig {
            attention: AttentionConfig::new(&d_model, num_heads),
            feed_forward: FeedForwardConfig::new(d_model, dim_feedforward),
            mixture: None,
            norm: NormConfig::layer(),
            norm_first: false,
            dropout: DropoutConfig::default(),
            names: LayerNames::default(),
        }
    }

    /// The same dropout after every sublayer, inside the feed-forward layer, and on the attention
    /// weights, as PyTorch's `dropout` argument has it.
    #[must_use]
    pub fn with_dropout(mut self, dropout: DropoutConfig) -> Self {
        self.attention.dropout = dropout;
        self.feed_forward.dropout = dropout;
        self.dropout = dropout;
        self
    }

    /// The same layer, not changed by training.
    #[must_use]
    pub fn frozen(mut self) -> Self {
        self.attention.frozen = true;
        self.feed_forward.frozen = true;
        self.mixture = self.mixture.map(|mixture| MixtureConfig { frozen: true, ..mixture });
        self.norm.frozen = true;
        self
    }

    /// A norm over the layer's width.
    pub(crate) fn norm(&self, g: &mut Graph, name: &str) -> Result<Norm, NnError> {
        Norm::new(&mut g.scope(name), ("c", &self.attention.embed_dim), self.norm)
    }
}

/// The sublayer that works on each token alone.
#[derive(Clone, Debug)]
enum Tokenwise {
    FeedForward(FeedForward),
    Mixture(MixtureOfExperts),
}

impl Tokenwise {
    fn new(g: &mut Graph, config: &LayerConfig) -> Result<Self, NnError> {
        let g = &mut *g.scope(config.names.feed_forward);
        Ok(match &config.mixture {
            Some(mixture) => Tokenwise::Mixture(MixtureOfExperts::new(g, mixture)?),
            None => Tokenwise::FeedForward(FeedForward::new(g, &config.feed_forward)?),
        })
    }

    fn forward(&self, g: &mut Graph, x: Var) -> Result<Var, NnError> {
        match self {
            Tokenwise::FeedForward(layer) => layer.forward(g, x),
            Tokenwise::Mixture(layer) => layer.forward(g, x),
        }
    }
}

/// How a sublayer is wrapped: residual, norm, dropout.
#[derive(Clone, Debug)]
struct Wrap {
    norm_first: bool,
    dropout: DropoutConfig,
}

impl Wrap {
    fn of(config: &LayerConfig) -> Self {
        Wrap { norm_first: config.norm_first, dropout: config.dropout }
    }

    fn apply(
        &self,
        g: &mut Graph,
        norm: &Norm,
        x: Var,
        sublayer: impl FnOnce(&mut Graph, Var) -> Result<Var, NnError>,
    ) -> Result<Var, NnError> {
        let inner = if self.norm_first { norm.forward(g, x)? } else { x };
        let change = sublayer(g, inner)?;
        let change = self.dropout.apply(g, "dropout", change)?;
        let sum = g.add("residual", x, change)?;
        if self.norm_first { Ok(sum) } else { norm.forward(g, sum) }
    }
}

/// Self-attention and feed-forward. Parameters `self_attn.…`, `linear1.…`, `linear2.…`, `norm1.…`,
/// `norm2.…`.
///
/// ```
/// use opledger_ir::{Graph, Mask};
/// use opledger_nn::{EncoderLayer, LayerConfig};
///
/// let mut g = Graph::new();
/// let x = g.input("x", ["b", "n", "c"])?;
/// let layer = EncoderLayer::new(&mut g, &LayerConfig::new("c", "h", "f"))?;
/// layer.forward(&mut g, x, Mask::none())?;
/// assert_eq!(g.parameters().0.to_string(), "4·c² + 2·f·c + 9·c + f");
/// assert_eq!(g.cost().macs().to_string(), "4·b·n·c² + 2·b·n·f·c + 2·b·n²·c");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct EncoderLayer {
    scope: Scope,
    self_attn: MultiheadAttention,
    feed_forward: Tokenwise,
    norms: [Norm; 2],
    wrap: Wrap,
}

impl EncoderLayer {
    /// A layer in the present scope.
    ///
    /// # Errors
    /// When a size is below one, or the heads do not divide the width.
    pub fn new(g: &mut Graph, config: &LayerConfig) -> Result<Self, NnError> {
        let scope = match config.names == LayerNames::default() {
            true => g.module(ModuleClass::EncoderLayer),
            false => g.here(),
        };
        let g = &mut *g.enter(&scope);
        let LayerNames { self_attn, norms: [first, second, _], .. } = config.names;
        let self_attn = MultiheadAttention::new(&mut g.scope(self_attn), &config.attention)?;
        let feed_forward = Tokenwise::new(g, config)?;
        let norms = [config.norm(g, first)?, config.norm(g, second)?];
        Ok(EncoderLayer { scope: g.here(), self_attn, feed_forward, norms, wrap: Wrap::of(config) })
    }

    /// `[b, n, c]` to the same shape.
    ///
    /// # Errors
    /// When `x` does not fit the configuration.
    pub fn forward(&self, g: &mut Graph, x: Var, mask: Mask) -> Result<Var, NnError> {
        Ok(self.forward_with(g, x, mask.into())?.output)
    }

    /// The same with a bias, earlier tokens, or the weights of the attention given back.
    ///
    /// # Errors
    /// When an operand does not fit the configuration.
    pub fn forward_with(&self, g: &mut Graph, x: Var, call: Attend) -> Result<Attended, NnError> {
        let g = &mut *g.enter(&self.scope);
        let [norm1, norm2] = &self.norms;
        let mut attended = None;
        let x = self.wrap.apply(g, norm1, x, |g, x| {
            Ok(attended.insert(self.self_attn.forward_with(g, x, x, x, call)?).output)
        })?;
        let output = self.wrap.apply(g, norm2, x, |g, x| self.feed_forward.forward(g, x))?;
        let (weights, present) = attended.map_or((None, None), |a| (a.weights, a.present));
        Ok(Attended { output, weights, present })
    }
}

/// Self-attention, attention to the encoder's result, feed-forward. Parameters `self_attn.…`,
/// `multihead_attn.…`, `linear1.…`, `linear2.…`, `norm1.…`, `norm2.…`, `norm3.…`.
///
/// The second attention is configured as the first but for the rotation by position, which it has
/// not.
///
/// ```
/// use opledger_ir::{Graph, Mask};
/// use opledger_nn::{DecoderLayer, LayerConfig};
///
/// let mut g = Graph::new();
/// let x = g.input("tgt", ["b", "n", "c"])?;
/// let memory = g.input("memory", ["b", "m", "c"])?;
/// let layer = DecoderLayer::new(&mut g, &LayerConfig::new("c", "h", "f"))?;
/// layer.forward(&mut g, x, memory, Mask::causal(), Mask::none())?;
/// assert_eq!(g.parameters().0.to_string(), "8·c² + 2·f·c + 15·c + f");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct DecoderLayer {
    scope: Scope,
    self_attn: MultiheadAttention,
    multihead_attn: MultiheadAttention,
    feed_forward: Tokenwise,
    norms: [Norm; 3],
    wrap: Wrap,
}

impl DecoderLayer {
    /// A layer in the present scope.
    ///
    /// # Errors
    /// When a size is below one, or the heads do not divide the width.
    pub fn new(g: &mut Graph, config: &LayerConfig) -> Result<Self, NnError> {
        let scope = match config.names == LayerNames::default() {
            true => g.module(ModuleClass::DecoderLayer),
            false => g.here(),
        };
        let g = &mut *g.enter(&scope);
        let LayerNames { self_attn, multihead_attn, norms, .. } = config.names;
        let self_attn = MultiheadAttention::new(&mut g.scope(self_attn), &config.attention)?;
        let cross = AttentionConfig { rope: None, ..config.attention.clone() };
        let multihead_attn = MultiheadAttention::new(&mut g.scope(multihead_attn), &cross)?;
        let feed_forward = Tokenwise::new(g, config)?;
        let [first, second, third] = norms;
        let norms = [config.norm(g, first)?, config.norm(g, second)?, config.norm(g, third)?];
        let (scope, wrap) = (g.here(), Wrap::of(config));
        Ok(DecoderLayer { scope, self_attn, multihead_attn, feed_forward, norms, wrap })
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
        self.forward_with(g, x, memory, mask.into(), memory_mask.into())
    }

    /// The same with options of the two attentions; weights and keys they give back are dropped.
    ///
    /// # Errors
    /// When the operands do not fit the configuration.
    pub fn forward_with(
        &self,
        g: &mut Graph,
        x: Var,
        memory: Var,
        call: Attend,
        cross: Attend,
    ) -> Result<Var, NnError> {
        let g = &mut *g.enter(&self.scope);
        let [norm1, norm2, norm3] = &self.norms;
        let x = self
            .wrap
            .apply(g, norm1, x, |g, x| Ok(self.self_attn.forward_with(g, x, x, x, call)?.output))?;
        let x = self.wrap.apply(g, norm2, x, |g, x| {
            let attention = &self.multihead_attn;
            Ok(attention.forward_with(g, x, memory, memory, cross)?.output)
        })?;
        self.wrap.apply(g, norm3, x, |g, x| self.feed_forward.forward(g, x))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_parameter_counts() {
        let config = LayerConfig::new(512, 8, 2048);
        let mut g = Graph::new();
        EncoderLayer::new(&mut g.scope("encoder"), &config).unwrap();
        assert_eq!(g.parameters().0, 3_152_384.into());
        let mut g = Graph::new();
        DecoderLayer::new(&mut g.scope("decoder"), &config.frozen()).unwrap();
        assert_eq!(g.parameters(), (4_204_032.into(), 0.into()));
    }

    #[test]
    fn pre_and_post_norm_cost_the_same() {
        let cost = |norm_first| {
            let mut g = Graph::new();
            let x = g.input("x", ["b", "n", "c"]).unwrap();
            let config = LayerConfig { norm_first, ..LayerConfig::new("c", "h", "f") };
            let layer = EncoderLayer::new(&mut g, &config).unwrap();
            layer.forward(&mut g, x, Mask::causal()).unwrap();
            g.cost().total()
        };
        assert_eq!(cost(false), cost(true));
    }
}
