//! Heads for tasks on texts: classes of a text or of each token, the places of an answer. Named as in
//! the `transformers` library.

use opledger_dims::Poly;
use opledger_ir::ops::{Activation, Rearrange};
use opledger_ir::{Graph, Var};
use opledger_nn::{Dropout, DropoutConfig, Linear, LinearConfig, NnError};

use super::checks::classes;
use super::recorder::Problem;
use super::tokens::token;
use crate::config::{ConfigError, Keys};

/// Dropout before a head, which does nothing here; its probability is that of training.
pub(super) fn dropped(g: &mut Graph, x: Var) -> Result<Var, NnError> {
    let dropout = Dropout::new(&mut g.scope("dropout"), DropoutConfig::inference(0.1))?;
    dropout.forward(g, x)
}

/// A score for each of `k` classes, from what is `c` wide.
pub(super) fn classifier(g: &mut Graph, scope: &str, x: Var, k: &Poly) -> Result<Var, NnError> {
    let from = g.last_axis(x).map_err(|error| NnError::Config(error.to_string()))?;
    let config = LinearConfig::default();
    let map = Linear::new(&mut g.scope(scope), from, ("k", k), config)?;
    map.forward(g, x)
}

/// The first token through a map of its own width and a function.
pub(super) fn first_token(
    g: &mut Graph,
    scope: &str,
    x: Var,
    function: Activation,
) -> Result<Var, NnError> {
    let width = g.last_axis(x).map_err(|error| NnError::Config(error.to_string()))?;
    let dense = Linear::new(&mut g.scope(scope), width.clone(), width, LinearConfig::default())?;
    let first = token(g, x, 0)?;
    let x = dense.forward(g, first)?;
    Ok(g.activation(x, function)?)
}

/// The two classes of [`answer`], of which a configuration may not have others.
pub(super) fn answer_classes(keys: &Keys<'_>) -> Result<Poly, ConfigError> {
    match classes(keys)? {
        2 => Ok(Poly::from(2)),
        _ => {
            Err(keys
                .unsupported("id2label", "two labels: where an answer begins and where it ends"))
        }
    }
}

/// For each token a score that the answer to a question begins there, and one that it ends there.
pub(super) fn answer(g: &mut Graph, x: Var) -> Result<(), Problem> {
    answer_in(g, "qa_outputs", x)
}

/// The same by the map in a scope.
pub(super) fn answer_in(g: &mut Graph, scope: &str, x: Var) -> Result<(), Problem> {
    let scores = classifier(g, scope, x, &Poly::from(2))?;
    for (at, name) in ["start_logits", "end_logits"].into_iter().enumerate() {
        let (start, len) = (Poly::from(at as i64), Poly::one());
        let one = g.rearrange(scores, Rearrange::Slice { axis: "k".into(), start, len })?;
        let axes = vec!["n".into(), "k".into()];
        let one = g.rearrange(one, Rearrange::Merge { axes, into: "n".into() })?;
        g.output(name, one);
    }
    Ok(())
}
