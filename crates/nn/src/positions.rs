//! Positions added to embeddings: fixed sines and cosines (Vaswani et al. 2017, §3.5), or learned.

use opledger_dims::Poly;
use opledger_ir::ops::{Rearrange, Source};
use opledger_ir::{Axis, Graph, ModuleClass, Role, Scope, Var};

use crate::NnError;
use crate::linear::param;
use crate::sizes::positive;

/// The token axis and the width of `[…, n, c]`.
fn tokens_and_width(g: &Graph, layer: &'static str, x: Var) -> Result<(Axis, Axis), NnError> {
    match &g.shape(x).axes[..] {
        [.., tokens, width] => Ok((tokens.clone(), width.clone())),
        _ => {
            let found = g.shape(x).to_string();
            Err(NnError::Rank { layer, expected: "[…, n, c]", found })
        }
    }
}

/// Fixed sines and cosines. No parameters.
///
/// ```
/// # mod opledger { pub use {opledger_dims::*, opledger_ir::*, opledger_nn as nn}; }
/// use opledger::{Class, Graph, nn::SinusoidalPositions};
///
/// let mut g = Graph::new();
/// let x = g.input("x", ["b", "n", "c"])?;
/// let positions = SinusoidalPositions::new(&mut g.scope("positions"));
/// positions.forward(&mut g, x)?;
/// assert_eq!(g.cost().total()[Class::Add].to_string(), "b·n·c");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SinusoidalPositions {
    scope: Scope,
}

impl SinusoidalPositions {
    /// Positions in the present scope.
    pub fn new(g: &mut Graph) -> Self {
        SinusoidalPositions { scope: g.here() }
    }

    /// `[…, n, c]` plus the table of its `n` positions.
    ///
    /// # Errors
    /// When `x` has fewer than two axes or an odd width.
    pub fn forward(&self, g: &mut Graph, x: Var) -> Result<Var, NnError> {
        let g = &mut *g.enter(&self.scope);
        let (tokens, width) = tokens_and_width(g, "SinusoidalPositions", x)?;
        let table = g.sinusoid(tokens, width)?;
        let sum = g.add("add_positions", x, table)?;
        Ok(g.mark(sum, Role::PositionSum))
    }
}

/// A learned row for each position. Parameter `weight [p, c]`.
#[derive(Clone, Debug)]
pub struct LearnedPositions {
    scope: Scope,
    table: Var,
    first: Poly,
}

impl LearnedPositions {
    /// A table of `max_positions` rows of `embedding_dim` elements.
    ///
    /// # Errors
    /// When a size is below one.
    pub fn new(
        g: &mut Graph,
        max_positions: impl Into<Poly>,
        embedding_dim: impl Into<Poly>,
    ) -> Result<Self, NnError> {
        LearnedPositions::table(g, (max_positions.into(), embedding_dim.into()), false)
    }

    /// The same table, not changed by training.
    ///
    /// # Errors
    /// When a size is below one.
    pub fn frozen(
        g: &mut Graph,
        max_positions: impl Into<Poly>,
        embedding_dim: impl Into<Poly>,
    ) -> Result<Self, NnError> {
        LearnedPositions::table(g, (max_positions.into(), embedding_dim.into()), true)
    }

    /// The same, changed by training unless `frozen`.
    ///
    /// # Errors
    /// When a size is below one.
    pub(crate) fn table(
        g: &mut Graph,
        (rows, columns): (Poly, Poly),
        frozen: bool,
    ) -> Result<Self, NnError> {
        positive("max_positions", &rows)?;
        positive("embedding_dim", &columns)?;
        let scope = g.module(ModuleClass::Positions);
        let axes = vec![Axis::new("p", rows), Axis::new("c", columns)];
        let table = param(&mut g.enter(&scope), "weight", Source::embedding(), axes, frozen)?;
        Ok(LearnedPositions { scope, table, first: Poly::zero() })
    }

    /// The same table for tokens of which the first stands at a position, such as after `p` tokens
    /// that came before.
    #[must_use]
    pub fn starting_at(self, first: impl Into<Poly>) -> Self {
        LearnedPositions { first: first.into(), ..self }
    }

    /// `[…, n, c]` plus `n` rows of the table.
    ///
    /// # Errors
    /// When `x` has fewer than two axes, another width, or more tokens than the table rows.
    pub fn forward(&self, g: &mut Graph, x: Var) -> Result<Var, NnError> {
        let g = &mut *g.enter(&self.scope);
        let (tokens, _) = tokens_and_width(g, "LearnedPositions", x)?;
        let (axis, start) = ("p".into(), self.first.clone());
        let slice = Rearrange::Slice { axis, start, len: tokens.size };
        let rows = g.rearrange(self.table, slice)?;
        let rows = g.rename(rows, "p", tokens.name)?;
        let sum = g.add("add_positions", x, rows)?;
        Ok(g.mark(sum, Role::PositionSum))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn learned_positions_cost_one_addition_an_element() {
        let mut g = Graph::new();
        let x = g.input("x", ["b", "n", "c"]).unwrap();
        let positions = LearnedPositions::new(&mut g.scope("positions"), 512, "c").unwrap();
        positions.forward(&mut g, x).unwrap();
        assert_eq!(g.cost().total().to_string(), "add = b·n·c");
        assert_eq!(g.parameters().0.to_string(), "512·c");
        let long = g.input("long", [("n", 513.into()), ("c", Poly::from("c"))]).unwrap();
        let error = positions.forward(&mut g, long).unwrap_err().to_string();
        assert!(error.contains("axis `p` has 512 positions, 513 are used"), "{error}");
        let row = g.input("row", ["c"]).unwrap();
        let error = positions.forward(&mut g, row).unwrap_err().to_string();
        assert_eq!(error, "LearnedPositions needs a value of […, n, c], not [c]");
    }
}
