//! What nodes, scopes and sizes are, said by the layers that record them. Paths are for people and
//! for the names of weights; nothing is decided by looking into one.

use opledger_dims::Poly;

use crate::{Elem, Var};

/// What a node is in its model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// A parameter of whole numbers, which training does not change.
    WholeParameter,
    /// An input of token ids.
    Tokens,
    /// An input that says to which of two sentences a token belongs.
    Segments,
    /// An input of positions.
    Positions,
    /// An input of pixels.
    Image,
    /// An input of the strengths of frequencies of a sound.
    Sound,
    /// An input of 0 (hidden) and 1 (visible).
    Visible,
    /// An input of what is kept of earlier tokens.
    Cache(Cached),
    /// The addition of a layer's bias.
    Bias,
    /// The addition of a sublayer's result to what went into it.
    Residual,
    /// The addition of positions to embeddings.
    PositionSum,
    /// The multiplication of attention's scores by a constant.
    ScoreScale,
    /// The addition of a bias to attention's scores.
    ScoreBias,
    /// The product of queries and keys.
    Scores,
    /// The product of attention's weights and values.
    Context,
    /// The softmax of attention's scores.
    AttentionWeights,
    /// The product of what stands for texts with what stands for images.
    Similarity,
    /// Rows of words of which some are rows of images.
    Placed,
    /// The choice of experts: scores to probabilities, the best of them, their normalisation.
    Routing,
    /// The sum of the experts' results, weighted by the router.
    Combine,
    /// The product of two branches of a feed-forward layer or a gated convolution.
    Gate,
    /// The multiplication of a weight's directions by their learned lengths.
    NormedWeight,
    /// A norm of the channels of each pixel of an image.
    PixelNorm,
    /// The multiplication of a sublayer's result by a factor for each column.
    LayerScale,
}

/// What a cache holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cached {
    /// Keys.
    Keys,
    /// Values.
    Values,
    /// What keys and values of all heads are made from.
    Latents,
    /// The part of keys that turns by position, where it is the same for all heads and kept apart.
    TurnedKeys,
    /// The last inputs of a convolution, as many as its window reaches back: a state, of one size however
    /// many tokens there were, which each run gives anew; zeros before the first token.
    Inputs,
    /// What tokens left in a recurrence: a state, of one size, zeros before the first token.
    Memory,
}

impl Cached {
    /// What one of it is called in the names of inputs and results.
    pub fn name(self) -> &'static str {
        match self {
            Cached::Keys => "key",
            Cached::Values => "value",
            Cached::Latents => "latent",
            Cached::TurnedKeys => "turned_key",
            Cached::Inputs => "input",
            Cached::Memory => "memory",
        }
    }

    /// The type of its elements where those of caches have one: states of a recurrence are kept in single
    /// precision, as `transformers` and llama.cpp keep them.
    pub fn stored(self, elem: Elem) -> Elem {
        match self {
            Cached::Memory => Elem::F32,
            Cached::Keys
            | Cached::Values
            | Cached::Latents
            | Cached::TurnedKeys
            | Cached::Inputs => elem,
        }
    }

    /// Whether it is a state, which each run replaces, and not a row for each token.
    pub fn is_state(self) -> bool {
        match self {
            Cached::Keys | Cached::Values | Cached::Latents | Cached::TurnedKeys => false,
            Cached::Inputs | Cached::Memory => true,
        }
    }
}

/// A cached input and the result that takes its place in the next run; where that is the input itself, it
/// was filled once and is only read (keys and values of another sequence).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    /// What it holds.
    pub of: Cached,
    /// The input, of the tokens so far.
    pub past: Var,
    /// The result, of those and the new ones, or the new state.
    pub present: Var,
    /// How many elements of the input are still of use, in one repetition: all, or those of the last
    /// tokens where every attention that reads them has a window.
    pub held: Poly,
}

impl Cache {
    /// Whether runs add to it or, where it is a state, replace it.
    pub fn grows(&self) -> bool {
        self.past != self.present
    }
}

/// What a size counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SizeRole {
    /// Items of a batch.
    Batch,
    /// Images beside the texts that are the items.
    Images,
    /// Tokens of an item, those that queries are made of.
    Tokens,
    /// Tokens of the other sequence, which a decoder attends to.
    Memory,
    /// Tokens in the cache.
    Past,
    /// Repetitions of a layer.
    Layers,
}

/// Which linear map of an attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Projection {
    /// To queries.
    Query,
    /// To keys.
    Key,
    /// To values.
    Value,
    /// To queries, keys and values, side by side.
    QueryKeyValue,
    /// From the heads to the result.
    Output,
}

/// What a linear map is beside its sizes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinearFacts {
    /// Which map of an attention it is, if it is one.
    pub projection: Option<Projection>,
    /// Whether its library stores it `[in, out]`, as the `Conv1D` of GPT-2.
    pub inputs_first: bool,
}

/// What a recurrence is, where others take several of its tokens at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Recurrence {
    /// A gated delta rule (Yang, Kautz, Hatamizadeh 2024).
    GatedDelta,
    /// The same, whose states forget each element of a key by a factor of its own (Moonshot AI 2025).
    DeltaByChannel,
    /// A state space (Dao and Gu 2024).
    StateSpace {
        /// How many tokens others take at once.
        chunk: u64,
    },
}

/// What a framework builds as one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ModuleClass {
    /// A model of a published family, by the family's name.
    Model(&'static str),
    /// A linear map.
    Linear(LinearFacts),
    /// One linear map that holds those declared within it, side by side.
    FusedLinear(LinearFacts),
    /// A convolution.
    Convolution,
    /// A depthwise convolution whose window ends at its result. The `transformers` library pads on both
    /// sides, calls the function of it, and leaves aside the results behind the last.
    CausalConvolution,
    /// What goes from token to token, a state that each of them changes.
    Recurrence(Recurrence),
    /// A table whose rows are looked up by id.
    Embedding,
    /// A table whose rows are looked up by position.
    Positions,
    /// A table of biases of scores, whose rows are taken by how far two tokens lie apart.
    Distances,
    /// LayerNorm.
    LayerNorm,
    /// RMSNorm.
    RmsNorm,
    /// GroupNorm.
    GroupNorm,
    /// Dropout.
    Dropout,
    /// PyTorch's `nn.MultiheadAttention`, which keeps its projections to itself.
    MultiheadAttention,
    /// The attention of another library, whose projections are modules of their own.
    Attention,
    /// Attention within windows, which lie side by side with the items.
    WindowAttention,
    /// Attention recorded node by node, of which nothing but the result is asked for.
    AttentionCore,
    /// PyTorch's `nn.TransformerEncoderLayer`.
    EncoderLayer,
    /// PyTorch's `nn.TransformerDecoderLayer`.
    DecoderLayer,
    /// The choice of experts.
    Router,
    /// Experts, and the sum of their results.
    Experts,
    /// An expert that every token meets.
    SharedExpert,
    /// What makes one value of a sequence.
    Pooler,
}

/// A module that a layer declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// The path of its scope.
    pub path: String,
    /// What it is.
    pub class: ModuleClass,
    /// The module around it.
    pub parent: Option<ModuleId>,
}

/// A module of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModuleId(pub(crate) usize);
