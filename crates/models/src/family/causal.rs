//! What causal decoders have in common: who sees whom, the cache, the scores.

use opledger_dims::Poly;
use opledger_ir::ops::Rearrange;
use opledger_ir::{Axis, Cached, Graph, Mask, Scope, SizeRole, Var};
use opledger_nn::{Attended, Linear, LinearConfig, NnError};

use super::checks::classes;
use super::recorder::{Problem, Recorder};
use super::request::{Logits, Request};
use crate::config::{ConfigError, Keys};

/// What the sizes of a causal model count.
pub(super) fn causal_sizes(g: &mut Graph, request: &Request) {
    g.size_role(SizeRole::Batch, "b");
    g.size_role(SizeRole::Tokens, "n");
    if request.past {
        g.size_role(SizeRole::Past, "p");
    }
}

/// The repeated layers of a causal model: `body` maps what enters a layer, with the earlier keys and
/// values of the attention in scope `attention`, to what leaves it. Keys and values of all tokens
/// are results `present_key` and `present_value`.
pub(super) fn causal_layers(
    g: &mut Graph,
    request: &Request,
    (layers, attention, heads): (&Scope, &str, &[Axis; 2]),
    x: Var,
    body: impl FnOnce(&mut Graph, Var, Option<(Var, Var)>) -> Result<Attended, NnError>,
) -> Result<Var, Problem> {
    g.repeat(layers, x, |g, x| {
        let past = past(g, attention, request, heads)?;
        let attended = body(g, x, past)?;
        if let (Some(past), Some(present)) = (past, attended.present) {
            let path = |kind: &str| format!("{}.{attention}.present_{kind}", layers.path());
            g.output(&path("key"), present.0);
            g.output(&path("value"), present.1);
            g.cache(Cached::Keys, past.0, present.0);
            g.cache(Cached::Values, past.1, present.1);
        }
        Ok(attended.output)
    })
}

/// The scores of the tokens asked for.
pub(super) fn logits(
    g: &mut Graph,
    request: &Request,
    x: Var,
    head: impl FnOnce(&mut Graph, Var) -> Result<Var, NnError>,
) -> Result<(), Problem> {
    let x = match request.logits {
        Logits::All => x,
        Logits::Last => {
            let (start, len) = (Poly::from("n") - Poly::one(), Poly::one());
            g.rearrange(x, Rearrange::Slice { axis: "n".into(), start, len })?
        }
    };
    let scores = head(g, x)?;
    g.output("logits", scores);
    Ok(())
}

/// What stands on a causal model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CausalHead {
    /// Nothing.
    None,
    /// A score for each word.
    Words,
    /// Classes of the text, by its last token.
    TextClasses,
    /// Classes of each token.
    TokenClasses,
}

/// The classes of a family of the `transformers` library with their heads, that of words, `words`,
/// first.
pub(super) fn causal_heads(family: &str, words: &str) -> [(String, CausalHead); 4] {
    [
        (words, CausalHead::Words),
        ("Model", CausalHead::None),
        ("ForSequenceClassification", CausalHead::TextClasses),
        ("ForTokenClassification", CausalHead::TokenClasses),
    ]
    .map(|(class, head)| (format!("{family}{class}"), head))
}

/// Classes of the text: scores of every token, of which those of the last are the result.
pub(super) fn text_classes(
    keys: &Keys<'_>,
    request: &Request,
    r: &mut Recorder,
    x: Var,
) -> Result<(), Problem> {
    if request.attention_mask {
        let problem = "the class of a text is read off its last token, which padding hides: give \
                       texts one by one"
            .to_owned();
        return Err(ConfigError::Request { origin: keys.origin(), problem }.into());
    }
    let k = r.size("k", classes(keys)?);
    let g = &mut r.graph;
    let scores = scores(g, "score", x, (&k, false))?;
    let last = Poly::from("n") - Poly::one();
    let slice = Rearrange::Slice { axis: "n".into(), start: last, len: Poly::one() };
    let last = g.rearrange(scores, slice)?;
    let axes = vec!["b".into(), "n".into()];
    let last = g.rearrange(last, Rearrange::Merge { axes, into: "b".into() })?;
    g.output("logits", last);
    Ok(())
}

/// Classes of each token, by the map in a scope.
pub(super) fn token_classes(
    keys: &Keys<'_>,
    scope: &str,
    r: &mut Recorder,
    x: Var,
) -> Result<(), Problem> {
    let k = r.size("k", classes(keys)?);
    let scores = scores(&mut r.graph, scope, x, (&k, true))?;
    r.graph.output("logits", scores);
    Ok(())
}

fn scores(g: &mut Graph, scope: &str, x: Var, (k, bias): (&Poly, bool)) -> Result<Var, NnError> {
    let config = LinearConfig { bias, ..LinearConfig::default() };
    let map = Linear::new(&mut g.scope(scope), ("c", &Poly::from("c")), ("k", k), config)?;
    map.forward(g, x)
}

/// Where the first of the new tokens stands.
pub(super) fn first_position(request: &Request) -> Poly {
    if request.past { "p".into() } else { Poly::zero() }
}

/// Every token sees itself and those before it, as far back as a window says; all see all where
/// `is_causal` is false, by which the library makes an encoder of any decoder.
pub(super) fn causal_mask(
    keys: &Keys<'_>,
    g: &mut Graph,
    request: &Request,
    window: Option<u64>,
) -> Result<Mask, Problem> {
    let offset = first_position(request);
    let tokens = Axis::new("n", &offset + &Poly::from("n"));
    let mask = match (keys.is_causal()?, request.past) {
        (true, _) => Mask { offset: Some(offset), window: window.map(Poly::from), keep: None },
        (false, true) => {
            let problem =
                "with `is_causal` = false a token sees those after it, so the keys and values \
                           of earlier tokens cannot be kept"
                    .to_owned();
            return Err(ConfigError::Request { origin: keys.origin(), problem }.into());
        }
        (false, false) if window.is_some() => {
            let why = "a window to both sides is not supported";
            return Err(keys.contradiction("is_causal", "sliding_window", why).into());
        }
        (false, false) => Mask::none(),
    };
    Ok(match request.attention_mask {
        true => mask.keeping(g.input_mask("attention_mask", [Axis::from("b"), tokens])?),
        false => mask,
    })
}

/// Keys and values of earlier tokens, as inputs of an attention.
fn past(
    g: &mut Graph,
    scope: &str,
    request: &Request,
    heads: &[Axis; 2],
) -> Result<Option<(Var, Var)>, Problem> {
    if !request.past {
        return Ok(None);
    }
    let [kv, e] = heads;
    let g = &mut *g.scope(scope);
    let axes = || [Axis::from("b"), Axis::new("n", "p"), kv.clone(), e.clone()];
    Ok(Some((g.input("past_key", axes())?, g.input("past_value", axes())?)))
}
