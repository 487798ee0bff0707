//! What is computed, as the driver describes it in JSON.

use serde::Deserialize;

/// A problem, and the way it is to be computed.
#[derive(Clone, Debug, Deserialize)]
pub struct Spec {
    /// A way of the worker to compute it.
    pub variant: String,
    /// What to compute.
    #[serde(flatten)]
    pub problem: Problem,
}

/// What to compute.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Problem {
    /// `softmax(q·kᵀ/√width)·v`.
    Attention(Attention),
    /// A layer with its parameters.
    Layer(Layer),
    /// Forward and backward pass of a layer, to the gradients of all its parameters.
    Step(Layer),
    /// `C = A·Wᵀ` with `W` stored `[n, k]`.
    Gemm(Gemm),
    /// One operation over the rows of a matrix.
    Rows(Rows),
    /// An encoder of sentences from its folder.
    Encoder(Encoder),
}

/// What other Rust engines are compared on. It stands here, where it is compiled with our own worker, since
/// theirs takes long to build.
#[derive(Clone, Copy, Debug)]
pub enum Shared {
    /// As [`Problem::Attention`].
    Attention(Attention),
    /// As [`Problem::Gemm`].
    Gemm(Gemm),
}

impl Problem {
    /// The problem for other Rust engines, where they have it.
    pub fn shared(&self) -> Option<Shared> {
        match self {
            Problem::Attention(attention) => Some(Shared::Attention(*attention)),
            Problem::Gemm(gemm) => Some(Shared::Gemm(*gemm)),
            Problem::Layer(_) | Problem::Step(_) | Problem::Rows(_) | Problem::Encoder(_) => None,
        }
    }
}

/// Sizes of attention: `q [batch, queries, heads, width]`, `k` and `v`
/// `[batch, keys, kv_heads, width]`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct Attention {
    pub batch: usize,
    pub queries: usize,
    pub keys: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub width: usize,
    pub causal: bool,
}

impl Attention {
    /// The queries, keys and values.
    pub fn data(&self) -> [Vec<f32>; 3] {
        let keys = self.batch * self.keys * self.kv_heads * self.width;
        let queries = self.batch * self.queries * self.heads * self.width;
        let draw = crate::data::uniform;
        [draw("q", queries, 0.0, 4.0), draw("k", keys, 0.0, 1.0), draw("v", keys, 0.0, 1.0)]
    }

    /// The factor of the scores.
    pub fn scale(&self) -> f32 {
        1.0 / (self.width as f32).sqrt()
    }
}

/// A layer of the grammar over `x [batch, tokens, width]`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct Layer {
    pub layer: LayerKind,
    pub batch: usize,
    pub tokens: usize,
    pub width: usize,
    pub heads: usize,
    /// Width of the feed-forward layer, zero for attention alone.
    pub hidden: usize,
}

/// Which layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LayerKind {
    /// Self-attention with projections and biases.
    Mha,
    /// Encoder layer, norms after the residuals, GELU.
    EncoderLayer,
    /// Block of GPT-2: causal, norms before the sublayers, GELU by tanh.
    Gpt2Block,
}

/// Sizes of a matrix product.
#[derive(Clone, Copy, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct Gemm {
    pub m: usize,
    pub k: usize,
    pub n: usize,
}

impl Gemm {
    /// `A [m, k]` and `W [n, k]`.
    pub fn data(&self) -> [Vec<f32>; 2] {
        let draw = |name, rows: usize| crate::data::uniform(name, rows * self.k, 0.0, 1.0);
        [draw("a", self.m), draw("w", self.n)]
    }
}

/// A BERT-like checkpoint, and how many sentences of how many tokens it meets.
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct Encoder {
    pub folder: std::path::PathBuf,
    pub batch: usize,
    pub tokens: usize,
    pub vocabulary: usize,
}

impl Encoder {
    /// The token ids `[batch, tokens]`, as `data.ids` in Python.
    pub fn ids(&self) -> Vec<i64> {
        let id = |at: usize| ((at * 7919 + 1000) % self.vocabulary) as i64;
        (0..self.batch * self.tokens).map(id).collect()
    }
}

/// An operation over a matrix `[rows, width]`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct Rows {
    pub op: RowOp,
    pub rows: usize,
    pub width: usize,
}

/// Which operation over rows.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RowOp {
    /// LayerNorm with gain and bias, ε = 1e-5.
    LayerNorm,
    /// Softmax of each row.
    Softmax,
    /// GELU by the error function.
    Gelu,
}
