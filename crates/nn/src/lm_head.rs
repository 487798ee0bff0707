//! The language-model head: hidden states to one score per word of the vocabulary.

use opledger_dims::Poly;
use opledger_ir::{Axis, Graph, LinearFacts, ModuleClass, Scope, Var};

use crate::{Embedding, Linear, LinearConfig, NnError};

/// A head with its own weight `[v, c]`, or tied to an embedding table (Press, Wolf 2017).
///
/// ```
/// # mod opledger { pub use {opledger_ir::*, opledger_nn as nn}; }
/// use opledger::{Graph, nn::LmHead};
///
/// let mut g = Graph::new();
/// let x = g.input("x", ["b", "n", "c"])?;
/// let head = LmHead::new(&mut g.scope("lm_head"), "c", "v", false)?;
/// let scores = head.forward(&mut g, x)?;
/// assert_eq!(g.shape(scores).to_string(), "[b, n, v]");
/// assert_eq!(g.parameters().0.to_string(), "c·v");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct LmHead(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Own(Linear),
    Tied { scope: Scope, weight: Var },
}

impl LmHead {
    /// A head of its own. Parameters `weight [v, c]` and, if wanted, `bias [v]`.
    ///
    /// # Errors
    /// When a size is below one.
    pub fn new(
        g: &mut Graph,
        hidden_size: impl Into<Poly>,
        vocab_size: impl Into<Poly>,
        bias: bool,
    ) -> Result<Self, NnError> {
        let (c, v) = (Axis::new("c", hidden_size), Axis::new("v", vocab_size));
        Ok(LmHead(Kind::Own(Linear::new(g, c, v, LinearConfig::bias(bias))?)))
    }

    /// A head that uses an embedding's table and has no parameters.
    pub fn tied(g: &mut Graph, embedding: &Embedding) -> Self {
        let scope = g.module(ModuleClass::Linear(LinearFacts::default()));
        LmHead(Kind::Tied { scope, weight: embedding.weight() })
    }

    /// `[…, c]` to `[…, v]`.
    ///
    /// # Errors
    /// When the last axis of `x` is not `c` of the right size.
    pub fn forward(&self, g: &mut Graph, x: Var) -> Result<Var, NnError> {
        match &self.0 {
            Kind::Own(linear) => linear.forward(g, x),
            Kind::Tied { scope, weight } => {
                Ok(g.enter(scope).contract("matmul", x, *weight, &["c".into()])?)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tied_head_adds_no_parameters() {
        let mut g = Graph::new();
        let ids = g.input_ids("ids", ["b", "n"], "v").unwrap();
        let embedding = Embedding::new(&mut g.scope("embed"), "v", "c").unwrap();
        let x = embedding.forward(&mut g, ids).unwrap();
        let head = LmHead::tied(&mut g.scope("lm_head"), &embedding);
        let y = head.forward(&mut g, x).unwrap();
        assert_eq!(g.shape(y).to_string(), "[b, n, v]");
        assert_eq!(g.parameters().0.to_string(), "c·v");
        assert_eq!(g.cost().macs().to_string(), "b·n·c·v");
        assert_eq!(g.node(y).path, "lm_head.matmul");
    }
}
