//! The input layer of BERT (Devlin et al. 2018, figure 2): word, token-type and position embeddings,
//! added, then LayerNorm and dropout. Names and order as in the `transformers` library.

use opledger_dims::Poly;
use opledger_ir::ops::TokenPositions;
use opledger_ir::{Graph, Role, Scope, Var};

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
    /// Which token is padding, where positions number the others of each item, from its id + 1 on
    /// (RoBERTa); positions number all columns when `None`.
    pub padding: Option<u32>,
    /// Rows of the token-type table; none when tokens have no type.
    pub type_vocab_size: Option<Poly>,
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
            padding: None,
            type_vocab_size: Some(2.into()),
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
/// # mod opledger { pub use {opledger_ir::*, opledger_nn as nn}; }
/// use opledger::{Graph, nn::{BertEmbedding, BertEmbeddingConfig}};
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
    types: Option<Embedding>,
    positions: Positions,
    norm: Norm,
    dropout: DropoutConfig,
}

/// How positions are numbered.
#[derive(Clone, Debug)]
enum Positions {
    /// All columns.
    Columns(LearnedPositions),
    /// The tokens of each item that are no padding.
    Tokens { table: Embedding, op: TokenPositions },
}

impl BertEmbedding {
    /// The layer in the present scope.
    ///
    /// # Errors
    /// When a size is below one.
    pub fn new(g: &mut Graph, config: &BertEmbeddingConfig) -> Result<Self, NnError> {
        let (c, frozen) = (&config.hidden_size, config.frozen);
        let table = |g: &mut Graph, name: &str, axis: &str, rows: &Poly| {
            Embedding::table(&mut g.scope(name), (axis, rows), ("c", c), frozen)
        };
        let words = table(g, "word_embeddings", "v", &config.vocab_size)?;
        let rows = &config.max_position_embeddings;
        let positions = match config.padding {
            Some(padding) => Positions::Tokens {
                table: table(g, "position_embeddings", "p", rows)?,
                op: TokenPositions { padding, rows: rows.clone() },
            },
            None => {
                let g = &mut *g.scope("position_embeddings");
                let sizes = (rows.clone(), c.clone());
                Positions::Columns(LearnedPositions::table(g, sizes, frozen)?)
            }
        };
        let types = match &config.type_vocab_size {
            Some(types) => Some(table(g, "token_type_embeddings", "t", types)?),
            None => None,
        };
        let norm = NormConfig { eps: config.layer_norm_eps, frozen, ..NormConfig::layer() };
        let norm = Norm::new(&mut g.scope("LayerNorm"), ("c", c), norm)?;
        let dropout = config.dropout;
        Ok(BertEmbedding { scope: g.here(), words, types, positions, norm, dropout })
    }

    /// The word table, `[v, c]`, for a head tied to it.
    pub fn words(&self) -> Var {
        self.words.weight()
    }

    /// Word ids `[…, n]` and, where tokens have types, token-type ids `[…, n]` to `[…, n, c]`.
    ///
    /// # Errors
    /// When the two shapes differ or hold reals, or the types are missing.
    pub fn forward(
        &self,
        g: &mut Graph,
        input_ids: Var,
        token_type_ids: Option<Var>,
    ) -> Result<Var, NnError> {
        let g = &mut *g.enter(&self.scope);
        let mut sum = self.words.forward(g, input_ids)?;
        match (&self.types, token_type_ids) {
            (Some(types), Some(ids)) => {
                let types = types.forward(g, ids)?;
                sum = g.add("add_types", sum, types)?;
            }
            (None, None) => {}
            (types, _) => {
                let needs = if types.is_some() { "needs" } else { "has no" };
                return Err(NnError::Config(format!("BertEmbedding {needs} token types")));
            }
        }
        let sum = match &self.positions {
            Positions::Columns(positions) => positions.forward(g, sum)?,
            Positions::Tokens { table, op } => {
                let positions = g.record("position_ids", op.clone(), &[input_ids])?;
                let rows = table.forward(g, positions)?;
                let sum = g.add("add_positions", sum, rows)?;
                g.mark(sum, Role::PositionSum)
            }
        };
        let normed = self.norm.forward(g, sum)?;
        self.dropout.apply(g, "dropout", normed)
    }
}
