//! The input layer of BERT (Devlin et al. 2018, figure 2): word, token-type and position embeddings,
//! added, then LayerNorm and dropout. Names and order as in the `transformers` library.

use opledger_dims::Poly;
use opledger_ir::{Axis, Graph, Scope, Var};

use crate::{DropoutConfig, Embedding, LearnedPositions, NnError, Norm, NormConfig};

/// Options of a [`BertEmbedding`].
#[derive(Clone, Debug, PartialEq)]
pub struct BertEmbeddingConfig {
    /// Rows of the word table.
    pub vocab_size: Poly,
    /// The width.
    pub hidden_size: Poly,
    /// Rows of the position table.
    pub max_position_embeddings: Poly,
    /// Rows of the token-type table.
    pub type_vocab_size: Poly,
    /// ε of the norm.
    pub layer_norm_eps: f64,
    /// Dropout at the end.
    pub dropout: DropoutConfig,
    /// Whether training leaves the parameters alone.
    pub frozen: bool,
}

impl BertEmbeddingConfig {
    /// 512 positions and 2 token types, as every released BERT has.
    pub fn new(vocab_size: impl Into<Poly>, hidden_size: impl Into<Poly>) -> Self {
        BertEmbeddingConfig {
            vocab_size: vocab_size.into(),
            hidden_size: hidden_size.into(),
            max_position_embeddings: 512.into(),
            type_vocab_size: 2.into(),
            layer_norm_eps: 1e-12,
            dropout: DropoutConfig::default(),
            frozen: false,
        }
    }
}

/// BERT's input layer. Parameters `word_embeddings.weight [v, c]`, `token_type_embeddings.weight
/// [t, c]`, `position_embeddings.weight [p, c]`, `LayerNorm.weight [c]`, `LayerNorm.bias [c]`.
///
/// ```
/// use opledger_ir::Graph;
/// use opledger_nn::{BertEmbedding, BertEmbeddingConfig};
///
/// let mut g = Graph::new();
/// BertEmbedding::new(&mut g.scope("embeddings"), &BertEmbeddingConfig::new(30_522, 1024))?;
/// assert_eq!(g.parameters().0, ((30_522 + 2 + 512) * 1024 + 2 * 1024).into());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct BertEmbedding {
    scope: Scope,
    words: Embedding,
    types: Embedding,
    positions: LearnedPositions,
    norm: Norm,
    dropout: DropoutConfig,
}

impl BertEmbedding {
    /// The layer in the present scope.
    ///
    /// # Errors
    /// When a size is below one.
    pub fn new(g: &mut Graph, config: &BertEmbeddingConfig) -> Result<Self, NnError> {
        let (c, frozen) = (&config.hidden_size, config.frozen);
        let mut table = |name: &str, axis: &str, rows: &Poly| {
            Embedding::table(&mut g.scope(name), Axis::new(axis, rows), c.clone(), frozen)
        };
        let words = table("word_embeddings", "v", &config.vocab_size)?;
        let positions = table("position_embeddings", "p", &config.max_position_embeddings)?;
        let types = table("token_type_embeddings", "t", &config.type_vocab_size)?;
        let norm = NormConfig { eps: config.layer_norm_eps, frozen, ..NormConfig::layer() };
        let norm = Norm::new(&mut g.scope("LayerNorm"), ("c", c), norm)?;
        let positions = LearnedPositions::of(positions);
        let dropout = config.dropout;
        Ok(BertEmbedding { scope: g.here(), words, types, positions, norm, dropout })
    }

    /// Word ids `[…, n]` and token-type ids `[…, n]` to `[…, n, c]`.
    ///
    /// # Errors
    /// When the two shapes differ or hold reals.
    pub fn forward(
        &self,
        g: &mut Graph,
        input_ids: Var,
        token_type_ids: Var,
    ) -> Result<Var, NnError> {
        let g = &mut *g.enter(&self.scope);
        let words = self.words.forward(g, input_ids)?;
        let types = self.types.forward(g, token_type_ids)?;
        let sum = g.add("add_types", words, types)?;
        let sum = self.positions.forward(g, sum)?;
        let normed = self.norm.forward(g, sum)?;
        self.dropout.apply(g, "dropout", normed)
    }
}
