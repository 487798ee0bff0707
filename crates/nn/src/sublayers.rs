//! One layer of the encoder and of the decoder (Vaswani et al. 2017, §3.1), with the names of
//! PyTorch's `nn.TransformerEncoderLayer` and `nn.TransformerDecoderLayer`.
//!
//! Where norms and residuals stand is one of [`Residual`].

use opledger_dims::Poly;
use opledger_ir::{Graph, Mask, ModuleClass, Role, Scope, Var};

use crate::{
    Attend, Attended, AttentionConfig, DropoutConfig, FeedForward, FeedForwardConfig, LayerNames,
    MixtureConfig, MixtureOfExperts, MultiheadAttention, NnError, Norm, NormConfig, Origin,
};

/// Options of an [`EncoderLayer`] or a [`DecoderLayer`].
#[derive(Clone, Debug, PartialEq)]
pub struct LayerConfig {
    /// The attentions; whose code they are, the layer is.
    pub attention: AttentionConfig,
    /// The feed-forward layer.
    pub feed_forward: FeedForwardConfig,
    /// A mixture of experts in its place.
    pub mixture: Option<MixtureConfig>,
    /// The norms.
    pub norm: NormConfig,
    /// Where norms and residuals stand.
    pub residual: Residual,
    /// Dropout of each sublayer's result.
    pub dropout: DropoutConfig,
    /// Where the parts stand.
    pub names: LayerNames,
}

/// Where the norms and the residuals of a layer stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Residual {
    /// One sublayer after the other: `x ← norm(x + sublayer(x))` (Vaswani et al. 2017, §3.1).
    #[default]
    PostNorm,
    /// One after the other: `x ← x + sublayer(norm(x))` (Xiong et al. 2020).
    PreNorm,
    /// Side by side, each with its norm: `x + attention(norm1(x)) + feed_forward(norm2(x))` (Black
    /// et al. 2022, §2.1.2).
    Parallel,
    /// Side by side behind one norm: `x + attention(norm1(x)) + feed_forward(norm1(x))` (Wang and
    /// Komatsuzaki 2021, GPT-J).
    ParallelOneNorm,
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
            residual: Residual::PostNorm,
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
        let g = &mut *g.scope(&config.names.feed_forward);
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
        let norm_first = config.residual != Residual::PostNorm;
        Wrap { norm_first, dropout: config.dropout }
    }

    /// What goes past a sublayer plus, after dropout, what it gives.
    fn add(&self, g: &mut Graph, past: Var, change: Var) -> Result<Var, NnError> {
        let change = self.dropout.apply(g, "dropout", change)?;
        let sum = g.add("residual", past, change)?;
        Ok(g.mark(sum, Role::Residual))
    }

    /// A sublayer of `x`, with its norm, added to what goes `past` it.
    fn apply(
        &self,
        g: &mut Graph,
        norm: &Norm,
        [x, past]: [Var; 2],
        sublayer: impl FnOnce(&mut Graph, Var) -> Result<Var, NnError>,
    ) -> Result<Var, NnError> {
        let inner = if self.norm_first { norm.forward(g, x)? } else { x };
        let change = sublayer(g, inner)?;
        let sum = self.add(g, past, change)?;
        if self.norm_first { Ok(sum) } else { norm.forward(g, sum) }
    }
}

/// Self-attention and feed-forward. Parameters `self_attn.…`, `linear1.…`, `linear2.…`, `norm1.…`,
/// `norm2.…`.
///
/// ```
/// # mod opledger { pub use {opledger_ir::*, opledger_nn as nn}; }
/// use opledger::{Graph, Mask, nn::{EncoderLayer, LayerConfig}};
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
    norm1: Norm,
    /// None where one norm is before both sublayers.
    norm2: Option<Norm>,
    parallel: bool,
    wrap: Wrap,
}

impl EncoderLayer {
    /// A layer in the present scope.
    ///
    /// # Errors
    /// When a size is below one, or the heads do not divide the width.
    pub fn new(g: &mut Graph, config: &LayerConfig) -> Result<Self, NnError> {
        let scope = match config.attention.origin {
            Origin::Torch => g.module(ModuleClass::EncoderLayer),
            Origin::Library => g.here(),
        };
        let g = &mut *g.enter(&scope);
        let LayerNames { self_attn, norms: [first, second, _], .. } = &config.names;
        let self_attn = MultiheadAttention::new(&mut g.scope(self_attn), &config.attention)?;
        let feed_forward = Tokenwise::new(g, config)?;
        let (parallel, one_norm) = match config.residual {
            Residual::PostNorm | Residual::PreNorm => (false, false),
            Residual::Parallel => (true, false),
            Residual::ParallelOneNorm => (true, true),
        };
        let norm1 = config.norm(g, first)?;
        let norm2 = if one_norm { None } else { Some(config.norm(g, second)?) };
        let (scope, wrap) = (g.here(), Wrap::of(config));
        Ok(EncoderLayer { scope, self_attn, feed_forward, norm1, norm2, parallel, wrap })
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
        let mut inner = x;
        let mut attended = None;
        let y = self.wrap.apply(g, &self.norm1, [x, x], |g, x| {
            inner = x;
            Ok(attended.insert(self.self_attn.forward_with(g, x, x, x, call)?).output)
        })?;
        let output = match &self.norm2 {
            Some(norm) => {
                let from = if self.parallel { x } else { y };
                self.wrap.apply(g, norm, [from, y], |g, x| self.feed_forward.forward(g, x))?
            }
            None => {
                let change = self.feed_forward.forward(g, inner)?;
                self.wrap.add(g, y, change)?
            }
        };
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
/// # mod opledger { pub use {opledger_ir::*, opledger_nn as nn}; }
/// use opledger::{Graph, Mask, nn::{DecoderLayer, LayerConfig}};
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
    /// When a size is below one, the heads do not divide the width, or the sublayers are to stand
    /// side by side.
    pub fn new(g: &mut Graph, config: &LayerConfig) -> Result<Self, NnError> {
        if let Residual::Parallel | Residual::ParallelOneNorm = config.residual {
            let problem = "the sublayers of a decoder layer follow one another";
            return Err(NnError::Config(problem.to_owned()));
        }
        let scope = match config.attention.origin {
            Origin::Torch => g.module(ModuleClass::DecoderLayer),
            Origin::Library => g.here(),
        };
        let g = &mut *g.enter(&scope);
        let LayerNames { self_attn, multihead_attn, norms, .. } = &config.names;
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
        let x = self.wrap.apply(g, norm1, [x, x], |g, x| {
            Ok(self.self_attn.forward_with(g, x, x, x, call)?.output)
        })?;
        let x = self.wrap.apply(g, norm2, [x, x], |g, x| {
            let attention = &self.multihead_attn;
            Ok(attention.forward_with(g, x, memory, memory, cross)?.output)
        })?;
        self.wrap.apply(g, norm3, [x, x], |g, x| self.feed_forward.forward(g, x))
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

    /// What a layer costs, and what its parameters are.
    fn layer(residual: Residual) -> (opledger_dims::Counts<Poly>, Poly) {
        let mut g = Graph::new();
        let x = g.input("x", ["b", "n", "c"]).unwrap();
        let config = LayerConfig { residual, ..LayerConfig::new("c", "h", "f") };
        let layer = EncoderLayer::new(&mut g, &config).unwrap();
        layer.forward(&mut g, x, Mask::causal()).unwrap();
        (g.cost().total(), g.parameters().0)
    }

    #[test]
    fn where_norms_and_residuals_stand_costs_nothing() {
        let published = layer(Residual::PostNorm);
        assert_eq!(layer(Residual::PreNorm), published);
        assert_eq!(layer(Residual::Parallel), published);
    }

    #[test]
    fn one_norm_before_both_sublayers_saves_the_other() {
        let ((two, parameters), (one, fewer)) =
            (layer(Residual::Parallel), layer(Residual::ParallelOneNorm));
        assert_eq!(parameters - fewer, Poly::from("c") * 2);
        let mut g = Graph::new();
        let x = g.input("x", ["b", "n", "c"]).unwrap();
        let norm = Norm::new(&mut g, ("c", "c"), NormConfig::layer()).unwrap();
        norm.forward(&mut g, x).unwrap();
        assert_eq!(two, one + g.cost().total());
    }

    #[test]
    fn sublayers_of_a_decoder_layer_follow_one_another() {
        let config = LayerConfig { residual: Residual::Parallel, ..LayerConfig::new(8, 2, 16) };
        let error = DecoderLayer::new(&mut Graph::new(), &config).unwrap_err().to_string();
        assert!(error.contains("follow one another"), "{error}");
    }
}
