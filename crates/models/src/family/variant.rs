//! What families of decoders that read their configurations alike differ in.

use opledger_ir::Reach;
use opledger_ir::ops::{Activation, Factor, RopePairs};
use opledger_nn::{
    ClampedGate, DeltaMaps, NormConfig, Residual, RotaryEmbedding, Routing, Sublayers, Temperature,
};

use super::causal::CausalHead;
use super::pattern::LayerOrder;
use super::rope::BASE;
use super::stack::WordScores;
use super::state_space::SpaceSizes;

/// What the families differ in; a Llama by default.
#[derive(Clone, Debug)]
pub(super) struct Variant {
    /// What its classes are called after.
    pub(super) family: &'static str,
    /// What can stand on it.
    pub(super) heads: &'static [CausalHead],
    /// Classes of other names.
    pub(super) also: &'static [(&'static str, CausalHead)],
    /// The scope of all but the head where the head is that of answers.
    pub(super) answer_scope: &'static str,
    /// Biases of the projections of queries, keys and values.
    pub(super) qkv_bias: bool,
    /// Bias of the output projection.
    pub(super) out_bias: bool,
    /// Biases of the feed-forward layer.
    pub(super) mlp_bias: bool,
    /// Bias of the head of words.
    pub(super) head_bias: bool,
    /// What the projections of the attention are called.
    pub(super) projections: Projections,
    /// The maps of the feed-forward layer.
    pub(super) maps: Maps,
    /// Its scope, and the key of its hidden width.
    pub(super) feed_forward: [&'static str; 2],
    /// That width, where the family works it out of several keys.
    pub(super) hidden: Option<u64>,
    /// The key of the function in it, if any key decides, and the function where none does.
    pub(super) activation: (Option<&'static str>, Activation),
    /// The norms.
    pub(super) norm: NormConfig,
    /// The key of ε, and what it is when it is missing.
    pub(super) epsilon: (&'static str, f64),
    /// How a layer's parts stand to one another.
    pub(super) residual: Residual,
    /// What a sublayer's result is multiplied with before it is added.
    pub(super) residual_scale: Option<f64>,
    /// What the norms of a layer are called, in the order in which they are applied.
    pub(super) norms: [&'static str; 4],
    /// What the table of words is called.
    pub(super) words: &'static str,
    /// What the last norm is called.
    pub(super) last_norm: &'static str,
    /// Norms of queries and keys.
    pub(super) qk_norm: Option<QkNorm>,
    /// Whether the map of queries makes a gate of what the heads give.
    pub(super) gated: bool,
    /// What scopes may be called in files: the name in the graph and that of files.
    pub(super) scopes: &'static [[&'static str; 2]],
    /// Scopes of files that no parameter is read from.
    pub(super) ignored: &'static [&'static str],
    /// What files call parameters of a layer: the name in the graph and that of files.
    pub(super) renamed: &'static [[&'static str; 2]],
    /// What files have of a layer's maps in one tensor, one after the other: their two scopes in the graph and
    /// that of files.
    pub(super) joined: &'static [[&'static str; 3]],
    /// A latent that keys and values are made from.
    pub(super) latent: Option<Latent>,
    /// Key and value heads where no key says: as many as query heads when `None`.
    pub(super) kv_heads: Option<u64>,
    /// The width of a head where no key says: that of the model shared out when `None`.
    pub(super) head_dim: Option<u64>,
    /// The share of each head that turns where no key says; every element when `None`, whatever keys say.
    pub(super) turned: Option<f64>,
    /// The base of the frequencies where no key says.
    pub(super) base: f64,
    /// Which elements of a head turn together.
    pub(super) pairs: RopePairs,
    /// What scores are multiplied with in place of the inverse square root of a head's width.
    pub(super) score_scale: Option<f64>,
    /// What scores are kept below.
    pub(super) score_cap: Option<f64>,
    /// Whether heads have sinks.
    pub(super) sinks: bool,
    /// The kinds of layers, of which there is at least one.
    pub(super) kinds: Vec<KindOf>,
    /// In which order they stand; all are of the first kind when `None`.
    pub(super) pattern: Option<LayerOrder>,
    /// A mixture of experts in place of the feed-forward layer.
    pub(super) mixture: Option<Mixture>,
    /// How many layers files may have behind the others, which predict further tokens in training.
    pub(super) layers_behind: u64,
    /// What the rows of the table of words are multiplied with.
    pub(super) word_scale: Option<Factor>,
    /// What the scores of words become.
    pub(super) scores: WordScores,
    /// Whether `tie_word_embeddings` is true when it is missing.
    pub(super) tied: bool,
}

impl Default for Variant {
    fn default() -> Self {
        Variant {
            family: "Llama",
            heads: CausalHead::ALL,
            also: &[],
            answer_scope: "model",
            qkv_bias: false,
            out_bias: false,
            mlp_bias: false,
            head_bias: false,
            projections: Projections::Apart("o_proj"),
            maps: Maps::Gated,
            feed_forward: ["mlp", "intermediate_size"],
            hidden: None,
            activation: (Some("hidden_act"), Activation::Silu),
            norm: NormConfig::rms(),
            epsilon: ("rms_norm_eps", 1e-6),
            residual: Residual::PreNorm,
            residual_scale: None,
            norms: ["input_layernorm", "post_attention_layernorm", "", ""],
            words: "embed_tokens",
            last_norm: "norm",
            qk_norm: None,
            gated: false,
            scopes: &[],
            ignored: &[],
            renamed: &[],
            joined: &[],
            latent: None,
            kv_heads: None,
            head_dim: None,
            turned: None,
            base: BASE,
            pairs: RopePairs::Halves,
            score_scale: None,
            score_cap: None,
            sinks: false,
            kinds: vec![KindOf::default()],
            pattern: None,
            mixture: None,
            layers_behind: 0,
            word_scale: None,
            scores: WordScores::default(),
            tied: false,
        }
    }
}

/// What layers of a kind differ in.
#[derive(Clone, Debug, Default)]
pub(super) struct KindOf {
    /// How far back a query sees; all before it when `None`.
    pub(super) reach: Option<Reach<u64>>,
    /// How heads turn.
    pub(super) rotation: Rotation,
    /// Whether they have a feed-forward layer where others have a mixture.
    pub(super) dense: bool,
    /// By what queries are multiplied where they stand far from the first token.
    pub(super) temperature: Option<Temperature>,
    /// Which sublayers they have.
    pub(super) sublayers: Sublayers,
    /// A gated short convolution in the place of attention.
    pub(super) convolution: Option<Convolved>,
    /// Linear attention in the place of attention.
    pub(super) delta: Option<DeltaRule>,
    /// A state space in the place of attention.
    pub(super) state_space: Option<SpaceSizes>,
    /// The scope of what stands in the place of attention, where it is another than that of all.
    pub(super) mixer: Option<&'static str>,
}

/// Linear attention by a gated delta rule.
#[derive(Clone, Copy, Debug)]
pub(super) struct DeltaRule {
    /// Heads of queries and keys.
    pub(super) key_heads: u64,
    /// Heads of values.
    pub(super) value_heads: u64,
    /// The width of a query and key head.
    pub(super) key_dim: u64,
    /// The width of a value head.
    pub(super) value_dim: u64,
    /// How many tokens a result of its convolution is made of.
    pub(super) taps: usize,
    /// How its maps stand together.
    pub(super) maps: DeltaMaps,
}

/// A gated short convolution.
#[derive(Clone, Copy, Debug)]
pub(super) struct Convolved {
    /// How many tokens a result is made of.
    pub(super) taps: usize,
    /// Whether maps and convolution have biases.
    pub(super) bias: bool,
}

impl KindOf {
    /// Whether they have attention.
    pub(super) fn attends(&self) -> bool {
        let other = self.convolution.is_some() || self.delta.is_some();
        !other && self.state_space.is_none() && self.sublayers != Sublayers::Tokenwise
    }

    /// Layers whose queries see so many tokens.
    pub(super) fn seeing(window: Option<u64>) -> Self {
        KindOf { reach: window.map(Reach::Window), ..KindOf::default() }
    }
}

/// How the heads of a layer turn by position.
#[derive(Clone, Debug, Default)]
pub(super) enum Rotation {
    /// As the keys of the configuration say.
    #[default]
    Read,
    /// As the family read it.
    Given(RotaryEmbedding),
    /// Not at all.
    None,
}

/// Over what the norms of queries and keys are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QkNorm {
    /// Over each head.
    Head,
    /// Over all heads of a token together.
    Heads,
    /// Over each head that was turned, without a gain; of heads that do not turn there is none.
    Turned,
}

/// The widths of an attention whose keys and values are made from a latent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Latent {
    /// Of the latent that queries are made from, where they are.
    pub(super) query_rank: Option<u64>,
    /// Of the latent that keys and values are made from.
    pub(super) rank: u64,
    /// Of what a head makes of it for a query and a key.
    pub(super) head_dim: u64,
    /// Of the part of queries and keys that turns.
    pub(super) rotated: u64,
    /// Of a value.
    pub(super) value_head_dim: u64,
}

/// What the projections of an attention are called.
#[derive(Clone, Copy, Debug)]
pub(super) enum Projections {
    /// `q_proj`, `k_proj`, `v_proj`, and this for the joined heads.
    Apart(&'static str),
    /// `qkv_proj`, queries, keys and values one after another, and `o_proj`.
    Joined,
}

/// The maps of a feed-forward layer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Maps {
    /// `gate_proj`, `up_proj` that it gates, `down_proj`.
    Gated,
    /// The gate, the map to the result, and what is gated, by these names.
    GatedBy([&'static str; 3]),
    /// `gate_up_proj`, the gate and what it gates one after another, and `down_proj`.
    GatedJoined,
    /// Two, without a gate.
    Plain([&'static str; 2]),
}

/// A mixture of experts as a family has it.
#[derive(Clone, Debug)]
pub(super) struct Mixture {
    /// Its scope.
    pub(super) scope: &'static str,
    /// How files hold the experts.
    pub(super) files: ExpertFiles,
    /// The keys of how many there are, of which one is given.
    pub(super) experts: [&'static str; 2],
    /// The key of how many run for a token.
    pub(super) chosen: &'static str,
    /// The key of their hidden width.
    pub(super) hidden: &'static str,
    /// How they are chosen, and what their results are weighted by.
    pub(super) routing: Routing,
    /// Whether router and experts have biases.
    pub(super) bias: bool,
    /// What keeps an expert's branches within bounds.
    pub(super) clamped: Option<ClampedGate>,
    /// An expert that every token meets.
    pub(super) shared: Option<CommonExpert>,
    /// The width between two maps in which the others work, with what these are called.
    pub(super) latent: Option<(u64, [&'static str; 2])>,
}

/// The usual names of the number of experts.
pub(super) const EXPERTS: [&str; 2] = ["num_local_experts", "num_experts"];

/// The usual name of how many of them run for a token.
pub(super) const CHOSEN: &str = "num_experts_per_tok";

/// How files hold experts.
#[derive(Clone, Copy, Debug)]
pub(super) enum ExpertFiles {
    /// A tensor for each map of each expert: the first, the second, and the gated one.
    Apart([&'static str; 3]),
    /// `gate_up_proj`, the columns of the gate and then those of what it gates, and `down_proj`, of all
    /// experts and `[in, out]` each; the router is called `router`.
    Together,
    /// The same, in which the columns of the two take turns.
    TakingTurns,
    /// The gate's rows and then those of what it gates, and the second map, of all experts and `[out, in]` each,
    /// by these names; the last is the router's.
    Joined([&'static str; 3]),
}

/// An expert that every token meets.
#[derive(Clone, Copy, Debug)]
pub(super) struct CommonExpert {
    /// Its scope.
    pub(super) scope: &'static str,
    /// The scope of the map whose sigmoid its result is multiplied with.
    pub(super) gate: Option<&'static str>,
    /// Its hidden width.
    pub(super) hidden: u64,
}
