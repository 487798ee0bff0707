//! One layer of the encoder and of the decoder (Vaswani et al. 2017, §3.1), with the names of
//! PyTorch's `nn.TransformerEncoderLayer` and `nn.TransformerDecoderLayer`.
//!
//! Where norms and residuals stand is one of [`Residual`].

use opledger_dims::Poly;
use opledger_ir::ops::{Factor, Source};
use opledger_ir::{Axis, Graph, Mask, ModuleClass, Role, Scope, Var};

use crate::{
    Attend, Attended, AttentionConfig, DropoutConfig, FeedForward, FeedForwardConfig, GatedDelta,
    GatedDeltaConfig, KeysAndValues, LatentAttention, LatentConfig, LayerNames, MixtureConfig,
    MixtureOfExperts, MultiheadAttention, NnError, Norm, NormConfig, Origin, ShortConvolution,
    ShortConvolutionConfig, StateSpace, StateSpaceConfig,
};

/// Options of an [`EncoderLayer`] or a [`DecoderLayer`].
#[derive(Clone, Debug, PartialEq)]
pub struct LayerConfig {
    /// The attentions; whose code they are, the layer is.
    pub attention: AttentionConfig,
    /// What the attention of an encoder layer makes keys and values from, where that is a latent.
    pub latent: Option<LatentConfig>,
    /// A convolution in the place of the attention of an encoder layer, which then has none.
    pub convolution: Option<ShortConvolutionConfig>,
    /// Linear attention by a gated delta rule in its place.
    pub delta: Option<GatedDeltaConfig>,
    /// A state space in its place.
    pub state_space: Option<StateSpaceConfig>,
    /// Which of the two sublayers an encoder layer has.
    pub sublayers: Sublayers,
    /// The feed-forward layer.
    pub feed_forward: FeedForwardConfig,
    /// A mixture of experts in its place.
    pub mixture: Option<MixtureConfig>,
    /// The norms.
    pub norm: NormConfig,
    /// Where norms and residuals stand.
    pub residual: Residual,
    /// What a sublayer's result is multiplied with before it is added (Granite).
    pub residual_scale: Option<f64>,
    /// Whether each column of a sublayer's result is multiplied with a learned factor before it is added
    /// (Touvron et al. 2021, "Going deeper with Image Transformers", LayerScale); of encoder layers.
    pub layer_scale: bool,
    /// Dropout of each sublayer's result.
    pub dropout: DropoutConfig,
    /// Whether a decoder layer is given the other sequence as heads of keys and values
    /// ([`KeysAndValues`]).
    pub memory_heads: bool,
    /// Where the parts stand.
    pub names: LayerNames,
}

/// Which sublayers an [`EncoderLayer`] has. One alone has the first norm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sublayers {
    /// One in which tokens meet, and one of each token alone.
    #[default]
    Both,
    /// One in which tokens meet (Mamba-2, Dao and Gu 2024).
    Mixing,
    /// One of each token alone (some layers of Nemotron-H, NVIDIA 2025).
    Tokenwise,
}

/// Where the norms and the residuals of a layer stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Residual {
    /// One sublayer after the other: `x ← norm(x + sublayer(x))` (Vaswani et al. 2017, §3.1).
    #[default]
    PostNorm,
    /// One after the other: `x ← x + sublayer(norm(x))` (Xiong et al. 2020).
    PreNorm,
    /// The same, the first without a norm of its own, for what goes in is normed (ModernBERT's first
    /// layer, Warner et al. 2024): `x ← x + sublayer(x)`, then `x ← x + sublayer(norm(x))`.
    SecondPreNorm,
    /// Side by side, each with its norm: `x + attention(norm1(x)) + feed_forward(norm2(x))` (Black
    /// et al. 2022, §2.1.2).
    Parallel,
    /// Side by side behind one norm: `x + attention(norm1(x)) + feed_forward(norm1(x))` (Wang and
    /// Komatsuzaki 2021, GPT-J).
    ParallelOneNorm,
    /// One after the other: `x ← x + norm(sublayer(x))` (OLMo 2, Walsh et al. 2024, §3.3).
    ReorderedNorm,
    /// One after the other, with two norms each: `x ← x + norm(sublayer(norm(x)))` (Ding et al. 2021,
    /// §2.4; Gemma 2).
    Sandwich,
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
            latent: None,
            convolution: None,
            delta: None,
            state_space: None,
            sublayers: Sublayers::default(),
            feed_forward: FeedForwardConfig::new(d_model, dim_feedforward),
            mixture: None,
            norm: NormConfig::layer(),
            residual: Residual::PostNorm,
            residual_scale: None,
            layer_scale: false,
            dropout: DropoutConfig::default(),
            memory_heads: false,
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
        if let Some(latent) = &mut self.latent {
            latent.norm.frozen = true;
        }
        if let Some(convolution) = &mut self.convolution {
            convolution.frozen = true;
        }
        if let Some(delta) = &mut self.delta {
            delta.frozen = true;
        }
        if let Some(state_space) = &mut self.state_space {
            state_space.frozen = true;
        }
        self.feed_forward.frozen = true;
        self.mixture = self.mixture.map(|mixture| MixtureConfig { frozen: true, ..mixture });
        self.norm.frozen = true;
        self
    }

    /// The attention of a decoder layer to the encoder's result.
    fn cross(&self) -> AttentionConfig {
        AttentionConfig { rope: None, given_heads: self.memory_heads, ..self.attention.clone() }
    }

    /// What makes keys and values of the encoder's result for the decoder layer in the present scope.
    ///
    /// # Errors
    /// When a size is below one, or the heads do not divide the width.
    pub fn keys_and_values(&self, g: &mut Graph) -> Result<KeysAndValues, NnError> {
        KeysAndValues::new(&mut g.scope(&self.names.multihead_attn), &self.cross())
    }

    /// A norm over the layer's width.
    pub(crate) fn norm(&self, g: &mut Graph, name: &str) -> Result<Norm, NnError> {
        Norm::new(&mut g.scope(name), ("c", &self.attention.embed_dim), self.norm)
    }
}

/// The sublayer in which tokens meet one another.
#[derive(Clone, Debug)]
enum SelfAttention {
    Heads(Box<MultiheadAttention>),
    Latent(Box<LatentAttention>),
    Convolution(Box<ShortConvolution>),
    Delta(Box<GatedDelta>),
    StateSpace(Box<StateSpace>),
}

impl SelfAttention {
    fn new(g: &mut Graph, config: &LayerConfig) -> Result<Self, NnError> {
        let attention = &config.attention;
        if let Some(convolution) = &config.convolution {
            let convolution = ShortConvolution::new(g, convolution)?;
            return Ok(SelfAttention::Convolution(Box::new(convolution)));
        }
        if let Some(delta) = &config.delta {
            return Ok(SelfAttention::Delta(Box::new(GatedDelta::new(g, delta)?)));
        }
        if let Some(state_space) = &config.state_space {
            return Ok(SelfAttention::StateSpace(Box::new(StateSpace::new(g, state_space)?)));
        }
        Ok(match &config.latent {
            Some(latent) => {
                SelfAttention::Latent(Box::new(LatentAttention::new(g, attention, latent)?))
            }
            None => SelfAttention::Heads(Box::new(MultiheadAttention::new(g, attention)?)),
        })
    }

    fn forward(&self, g: &mut Graph, x: Var, call: Attend) -> Result<Attended, NnError> {
        match self {
            SelfAttention::Heads(attention) => attention.forward_with(g, x, x, x, call),
            SelfAttention::Latent(attention) => attention.forward_with(g, x, call),
            SelfAttention::Convolution(convolution) => convolution.forward(g, x, call),
            SelfAttention::Delta(delta) => delta.forward(g, x, call),
            SelfAttention::StateSpace(space) => space.forward(g, x, call),
        }
    }
}

/// The sublayer that works on each token alone.
#[derive(Clone, Debug)]
enum Tokenwise {
    FeedForward(Box<FeedForward>),
    Mixture(Box<MixtureOfExperts>),
}

impl Tokenwise {
    fn new(g: &mut Graph, config: &LayerConfig) -> Result<Self, NnError> {
        let g = &mut *g.scope(&config.names.feed_forward);
        Ok(match &config.mixture {
            Some(mixture) => Tokenwise::Mixture(Box::new(MixtureOfExperts::new(g, mixture)?)),
            None => Tokenwise::FeedForward(Box::new(FeedForward::new(g, &config.feed_forward)?)),
        })
    }

    fn forward(&self, g: &mut Graph, x: Var) -> Result<Var, NnError> {
        match self {
            Tokenwise::FeedForward(layer) => layer.forward(g, x),
            Tokenwise::Mixture(layer) => layer.forward(g, x),
        }
    }
}

/// How a sublayer's result is added: scaled, with dropout.
#[derive(Clone, Debug)]
struct Wrap {
    scale: Option<f64>,
    dropout: DropoutConfig,
}

/// The norms of a sublayer, each where the layer has it, and what else is done to its result.
#[derive(Clone, Debug, Default)]
struct Norms {
    /// Of what goes into it.
    before: Option<Norm>,
    /// Of its result.
    after: Option<Norm>,
    /// The factors of the columns of its result.
    layer_scale: Option<Var>,
    /// Of the sum of its result and what goes past it.
    of_sum: Option<Norm>,
}

impl Norms {
    /// The norm of a sublayer that has one, by where norms and residuals stand.
    fn one(residual: Residual, norm: Norm) -> Self {
        let (none, norm) = (Norms::default(), Some(norm));
        match residual {
            Residual::PostNorm => Norms { of_sum: norm, ..none },
            Residual::ReorderedNorm => Norms { after: norm, ..none },
            Residual::PreNorm
            | Residual::SecondPreNorm
            | Residual::Parallel
            | Residual::ParallelOneNorm
            | Residual::Sandwich => Norms { before: norm, ..none },
        }
    }
}

/// The value itself where there is no norm.
fn normed(g: &mut Graph, norm: Option<&Norm>, x: Var) -> Result<Var, NnError> {
    norm.map_or(Ok(x), |norm| norm.forward(g, x))
}

impl Wrap {
    fn of(config: &LayerConfig) -> Self {
        Wrap { scale: config.residual_scale, dropout: config.dropout }
    }

    /// What goes past a sublayer plus, scaled and after dropout, what it gives.
    fn add(&self, g: &mut Graph, past: Var, change: Var) -> Result<Var, NnError> {
        let change = match self.scale {
            Some(scale) => g.scale(change, Factor::Number(scale))?,
            None => change,
        };
        let change = self.dropout.apply(g, "dropout", change)?;
        let sum = g.add("residual", past, change)?;
        Ok(g.mark(sum, Role::Residual))
    }

    /// A sublayer of `x`, with its norms, added to what goes `past` it.
    fn apply(
        &self,
        g: &mut Graph,
        norms: &Norms,
        [x, past]: [Var; 2],
        sublayer: impl FnOnce(&mut Graph, Var) -> Result<Var, NnError>,
    ) -> Result<Var, NnError> {
        let inner = normed(g, norms.before.as_ref(), x)?;
        let change = sublayer(g, inner)?;
        let change = normed(g, norms.after.as_ref(), change)?;
        let change = match norms.layer_scale {
            Some(factors) => {
                let scaled = g.mul("layer_scale", change, factors)?;
                g.mark(scaled, Role::LayerScale)
            }
            None => change,
        };
        let sum = self.add(g, past, change)?;
        normed(g, norms.of_sum.as_ref(), sum)
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
    self_attn: Option<SelfAttention>,
    feed_forward: Option<Tokenwise>,
    /// Of the attention and of what works on each token alone.
    norms: [Norms; 2],
    residual: Residual,
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
        let LayerNames { self_attn, norms: [first, second, third, fourth], .. } = &config.names;
        let (mixes, tokenwise) = match config.sublayers {
            Sublayers::Both => (true, true),
            Sublayers::Mixing => (true, false),
            Sublayers::Tokenwise => (false, true),
        };
        let self_attn = match mixes {
            true => Some(SelfAttention::new(&mut g.scope(self_attn), config)?),
            false => None,
        };
        let feed_forward = if tokenwise { Some(Tokenwise::new(g, config)?) } else { None };
        let residual = config.residual;
        let mut norms = match residual {
            _ if !(mixes && tokenwise) => {
                let [own, none] = [Norms::one(residual, config.norm(g, first)?), Norms::default()];
                if mixes { [own, none] } else { [none, own] }
            }
            Residual::PostNorm
            | Residual::PreNorm
            | Residual::ReorderedNorm
            | Residual::Parallel => {
                let norms = [config.norm(g, first)?, config.norm(g, second)?];
                norms.map(|norm| Norms::one(residual, norm))
            }
            Residual::ParallelOneNorm => {
                [Norms::one(residual, config.norm(g, first)?), Norms::default()]
            }
            Residual::SecondPreNorm => {
                [Norms::default(), Norms::one(residual, config.norm(g, second)?)]
            }
            Residual::Sandwich => {
                let mut norm = |name: &str| config.norm(g, name).map(Some);
                let before = [norm(first)?, norm(third)?];
                let [of_attention, of_feed_forward] = [norm(second)?, norm(fourth)?];
                let [first, second] = before;
                [
                    Norms { before: first, after: of_attention, ..Norms::default() },
                    Norms { before: second, after: of_feed_forward, ..Norms::default() },
                ]
            }
        };
        if config.layer_scale {
            for (norms, name) in norms.iter_mut().zip(&config.names.layer_scales) {
                let width = Axis::new("c", &config.attention.embed_dim);
                norms.layer_scale = Some(g.param(name, Source::gain(), [width])?);
            }
        }
        let (scope, wrap) = (g.here(), Wrap::of(config));
        Ok(EncoderLayer { scope, self_attn, feed_forward, norms, residual, wrap })
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
        let [of_attention, of_feed_forward] = &self.norms;
        let mut inner = x;
        let mut attended = None;
        let y = match &self.self_attn {
            None => x,
            Some(self_attn) => self.wrap.apply(g, of_attention, [x, x], |g, x| {
                inner = x;
                Ok(attended.insert(self_attn.forward(g, x, call)?).output)
            })?,
        };
        // What the second sublayer is given.
        let from = match self.residual {
            Residual::PostNorm
            | Residual::PreNorm
            | Residual::SecondPreNorm
            | Residual::ReorderedNorm
            | Residual::Sandwich => y,
            Residual::Parallel => x,
            Residual::ParallelOneNorm => inner,
        };
        let output = match &self.feed_forward {
            None => y,
            Some(layer) => {
                self.wrap.apply(g, of_feed_forward, [from, y], |g, x| layer.forward(g, x))?
            }
        };
        Ok(match attended {
            Some(attended) => Attended { output, ..attended },
            None => Attended { output, weights: None, present: None, state: None, memory: None },
        })
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
    norms: [Norms; 3],
    wrap: Wrap,
}

impl DecoderLayer {
    /// A layer in the present scope.
    ///
    /// # Errors
    /// When a size is below one, the heads do not divide the width, or the sublayers are to stand
    /// side by side, between two norms, to attend by a latent, to convolve, or to have factors of
    /// columns.
    pub fn new(g: &mut Graph, config: &LayerConfig) -> Result<Self, NnError> {
        let problem = match config.residual {
            Residual::PostNorm | Residual::PreNorm | Residual::ReorderedNorm => None,
            Residual::Parallel | Residual::ParallelOneNorm => Some("follow one another"),
            Residual::SecondPreNorm | Residual::Sandwich => Some("have one norm each"),
        };
        let problem = config.latent.as_ref().map_or(problem, |_| Some("attend without a latent"));
        let problem = config.convolution.as_ref().map_or(problem, |_| Some("are attentions"));
        let problem = if config.layer_scale { Some("have no factors") } else { problem };
        if let Some(problem) = problem {
            return Err(NnError::Config(format!("the sublayers of a decoder layer {problem}")));
        }
        let scope = match config.attention.origin {
            Origin::Torch => g.module(ModuleClass::DecoderLayer),
            Origin::Library => g.here(),
        };
        let g = &mut *g.enter(&scope);
        let LayerNames { self_attn, multihead_attn, norms, .. } = &config.names;
        let self_attn = MultiheadAttention::new(&mut g.scope(self_attn), &config.attention)?;
        let cross = config.cross();
        let multihead_attn = MultiheadAttention::new(&mut g.scope(multihead_attn), &cross)?;
        let feed_forward = Tokenwise::new(g, config)?;
        let [first, second, third, _] = norms;
        let norms = [config.norm(g, first)?, config.norm(g, second)?, config.norm(g, third)?];
        let norms = norms.map(|norm| Norms::one(config.residual, norm));
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
        let memory = (memory, memory);
        Ok(self.forward_with(g, x, memory, mask.into(), memory_mask.into())?.output)
    }

    /// The same with options of the two attentions, and the keys and values of the first where earlier
    /// ones were given; a layer with [`LayerConfig::memory_heads`] takes keys `[b, m, h, e]` and values
    /// `[b, m, h, e]`, any other takes the encoder's result for both.
    ///
    /// # Errors
    /// When the operands do not fit the configuration.
    pub fn forward_with(
        &self,
        g: &mut Graph,
        x: Var,
        (keys, values): (Var, Var),
        call: Attend,
        cross: Attend,
    ) -> Result<Attended, NnError> {
        let g = &mut *g.enter(&self.scope);
        let [norm1, norm2, norm3] = &self.norms;
        let mut present = None;
        let x = self.wrap.apply(g, norm1, [x, x], |g, x| {
            let attended = self.self_attn.forward_with(g, x, x, x, call)?;
            present = attended.present;
            Ok(attended.output)
        })?;
        let x = self.wrap.apply(g, norm2, [x, x], |g, x| {
            let attention = &self.multihead_attn;
            Ok(attention.forward_with(g, x, keys, values, cross)?.output)
        })?;
        let output = self.wrap.apply(g, norm3, [x, x], |g, x| self.feed_forward.forward(g, x))?;
        Ok(Attended { output, weights: None, present, state: None, memory: None })
    }

    /// `[b, n, c]` to the same shape without an encoder's result: the second attention and its norm,
    /// whose parameters stay, are passed by.
    ///
    /// # Errors
    /// When an operand does not fit the configuration.
    pub fn forward_alone(&self, g: &mut Graph, x: Var, call: Attend) -> Result<Attended, NnError> {
        let g = &mut *g.enter(&self.scope);
        let [norm1, _, norm3] = &self.norms;
        let mut attended = None;
        let x = self.wrap.apply(g, norm1, [x, x], |g, x| {
            Ok(attended.insert(self.self_attn.forward_with(g, x, x, x, call)?).output)
        })?;
        let output = self.wrap.apply(g, norm3, [x, x], |g, x| self.feed_forward.forward(g, x))?;
        let (weights, present) = attended.map_or((None, None), |a| (a.weights, a.present));
        Ok(Attended { output, weights, present, state: None, memory: None })
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
        assert_eq!(layer(Residual::ReorderedNorm), published);
        // A norm less is saved once.
        assert_eq!(layer(Residual::SecondPreNorm), layer(Residual::ParallelOneNorm));
    }

    #[test]
    fn a_norm_on_either_side_of_a_sublayer_costs_that_norm_more() {
        let ((one, parameters), (two, more)) =
            (layer(Residual::PreNorm), layer(Residual::Sandwich));
        assert_eq!(more - parameters, Poly::from("c") * 4);
        let mut g = Graph::new();
        let x = g.input("x", ["b", "n", "c"]).unwrap();
        let norm = Norm::new(&mut g, ("c", "c"), NormConfig::layer()).unwrap();
        norm.forward(&mut g, x).unwrap();
        assert_eq!(two, one + g.cost().total() + g.cost().total());
    }

    #[test]
    fn a_scaled_residual_costs_a_multiplication_for_each_element() {
        let layer = |residual_scale| {
            let mut g = Graph::new();
            let x = g.input("x", ["b", "n", "c"]).unwrap();
            let config = LayerConfig { residual_scale, ..LayerConfig::new("c", "h", "f") };
            let layer = EncoderLayer::new(&mut g, &config).unwrap();
            layer.forward(&mut g, x, Mask::causal()).unwrap();
            g.cost().total()[opledger_dims::Class::Mul].clone()
        };
        assert_eq!((layer(Some(0.5)) - layer(None)).to_string(), "2·b·n·c");
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
    fn a_decoder_layer_alone_costs_what_an_encoder_layer_does() {
        let cost = |alone: bool| {
            let mut g = Graph::new();
            let x = g.input("x", ["b", "n", "c"]).unwrap();
            let config = LayerConfig::new("c", "h", "f");
            if alone {
                let layer = DecoderLayer::new(&mut g, &config).unwrap();
                layer.forward_alone(&mut g, x, Mask::causal().into()).unwrap();
            } else {
                let layer = EncoderLayer::new(&mut g, &config).unwrap();
                layer.forward(&mut g, x, Mask::causal()).unwrap();
            }
            (g.cost().total(), g.parameters().0.to_string())
        };
        let ((alone, parameters), (encoder, _)) = (cost(true), cost(false));
        assert_eq!(alone, encoder);
        assert_eq!(parameters, "8·c² + 2·f·c + 15·c + f");
    }

    #[test]
    fn sublayers_of_a_decoder_layer_follow_one_another() {
        for (residual, expected) in
            [(Residual::Parallel, "follow one another"), (Residual::Sandwich, "one norm each")]
        {
            let config = LayerConfig { residual, ..LayerConfig::new(8, 2, 16) };
            let error = DecoderLayer::new(&mut Graph::new(), &config).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
