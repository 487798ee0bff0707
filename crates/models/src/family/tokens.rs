//! Tokens: their ids, single ones, a map of the first.

use opledger_dims::Poly;
use opledger_ir::ops::{Activation, Rearrange};
use opledger_ir::{Graph, GraphError, ModuleClass, Role, Var};
use opledger_nn::{Linear, LinearConfig, NnError};

use super::recorder::Problem;

/// An input of token ids.
pub(super) fn token_ids(
    g: &mut Graph,
    name: &str,
    axes: [&str; 2],
    below: Poly,
) -> Result<Var, GraphError> {
    let ids = g.input_ids(name, axes, below)?;
    g.mark(ids, Role::Tokens);
    Ok(ids)
}

/// One token of `[b, n, c]`, as `[b, c]`.
pub(crate) fn token(g: &mut Graph, x: Var, at: u64) -> Result<Var, GraphError> {
    let (axis, start, len) = ("n".into(), Poly::from(at), Poly::one());
    let token = g.rearrange(x, Rearrange::Slice { axis, start, len })?;
    let axes = vec!["b".into(), "n".into()];
    g.rearrange(token, Rearrange::Merge { axes, into: "b".into() })
}

/// `act(W·x₀ + b)` of the first token's `x₀`, `c` wide; a result.
pub(crate) fn pooler(g: &mut Graph, x: Var, c: Poly, act: Activation) -> Result<(), Problem> {
    let pooled = pooled(g, "pooler.dense", x, c, act)?;
    g.output("pooler_output", pooled);
    Ok(())
}

/// `act(W·x₀ + b)` of the first token's `x₀`, `c` wide; the map stands in a scope.
pub(crate) fn pooled(
    g: &mut Graph,
    scope: &str,
    x: Var,
    c: Poly,
    act: Activation,
) -> Result<Var, Problem> {
    let from = g.last_axis(x).map_err(|e| Problem::Layer(NnError::Config(e.to_string())))?;
    let module = g.module(ModuleClass::Pooler);
    let g = &mut *g.enter(&module);
    let config = LinearConfig::default();
    let dense = Linear::new(&mut g.scope(scope), from, ("c", c), config)?;
    let first = token(g, x, 0)?;
    let pooled = dense.forward(g, first)?;
    Ok(g.activation(pooled, act)?)
}
