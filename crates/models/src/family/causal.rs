//! What causal decoders have in common: who sees whom, the cache, what stands on them.

use opledger_dims::Poly;
use opledger_ir::ops::{IndexMap, Rearrange};
use opledger_ir::{Axis, Cached, Graph, GraphError, IndexExpr, Mask, Reach, Scope, SizeRole, Var};
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

/// What an attention keeps of each token, with the axes behind items and tokens.
#[derive(Clone, Debug)]
pub(super) struct Kept(pub(super) [(Cached, Vec<Axis>); 2]);

impl Kept {
    /// Keys and values of heads of a width.
    pub(super) fn heads(heads: Axis, width: Axis) -> Kept {
        let axes = vec![heads, width];
        Kept([(Cached::Keys, axes.clone()), (Cached::Values, axes)])
    }
}

/// A layer of a causal model: `body` maps what the attention in scope `attention` keeps of earlier tokens,
/// keys and values as a rule, to what the layer gives. The same of all tokens are results `present_key` and
/// `present_value`.
pub(super) fn cached(
    g: &mut Graph,
    request: &Request,
    (layer, attention, kept): (&Scope, &str, &Kept),
    body: impl FnOnce(&mut Graph, Option<(Var, Var)>) -> Result<Attended, NnError>,
) -> Result<Var, Problem> {
    let past = past(g, attention, request, kept)?;
    let attended = body(g, past)?;
    present(g, (layer, attention, kept), [past, attended.present]);
    Ok(attended.output)
}

/// Gives back what an attention keeps for the next run, after everything that reads it was recorded.
pub(super) fn present(
    g: &mut Graph,
    (layer, attention, kept): (&Scope, &str, &Kept),
    [past, present]: [Option<(Var, Var)>; 2],
) {
    let (Some(past), Some(present)) = (past, present) else { return };
    let both = [(past.0, present.0), (past.1, present.1)];
    for ((of, _), (_, present)) in kept.0.iter().zip(both) {
        g.output(&format!("{}.{attention}.present_{}", layer.path(), of.name()), present);
    }
    for ((of, _), (past, present)) in kept.0.iter().zip(both) {
        g.cache(*of, past, present);
    }
}

/// What a layer keeps that is a state, with the axes behind items.
pub(super) type States = [(Cached, Vec<Axis>)];

/// The same of a layer with states: of the last inputs of a convolution, and of a recurrence, where it has
/// one, in this order.
pub(super) fn carried(
    g: &mut Graph,
    request: &Request,
    (layer, mixer, states): (&Scope, &str, &States),
    body: impl FnOnce(&mut Graph, [Option<Var>; 2]) -> Result<Attended, NnError>,
) -> Result<Var, Problem> {
    let mut past = [None; 2];
    if request.past {
        let g = &mut *g.scope(mixer);
        for (past, (of, state)) in past.iter_mut().zip(states) {
            let axes = std::iter::once(Axis::from("b")).chain(state.iter().cloned());
            *past = Some(g.input(&format!("past_{}", of.name()), axes)?);
        }
    }
    let attended = body(g, past)?;
    let present = [attended.state, attended.memory];
    let all = states.iter().zip(past).zip(present);
    let all = all.filter_map(|(((of, _), past), present)| Some((*of, past?, present?)));
    for (of, past, present) in all {
        g.output(&format!("{}.{mixer}.present_{}", layer.path(), of.name()), present);
        g.cache(of, past, present);
    }
    Ok(attended.output)
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
    /// Where the answer to a question begins and ends.
    Answer,
}

impl CausalHead {
    /// Every head.
    pub(super) const ALL: &'static [CausalHead] =
        &[Self::Words, Self::None, Self::TextClasses, Self::TokenClasses, Self::Answer];
    /// All but that of answers.
    pub(super) const NO_ANSWER: &'static [CausalHead] =
        &[Self::Words, Self::None, Self::TextClasses, Self::TokenClasses];
}

/// The classes of a family of the `transformers` library with their heads, of which that of words,
/// `words`, is the first.
pub(super) fn causal_heads(
    family: &str,
    words: &str,
    heads: &[CausalHead],
) -> Vec<(String, CausalHead)> {
    let class = |head: &CausalHead| match head {
        CausalHead::Words => words,
        CausalHead::None => "Model",
        CausalHead::TextClasses => "ForSequenceClassification",
        CausalHead::TokenClasses => "ForTokenClassification",
        CausalHead::Answer => "ForQuestionAnswering",
    };
    heads.iter().map(|head| (format!("{family}{}", class(head)), *head)).collect()
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

/// Every token sees itself and those before it, as far back as each reach says; all see all where
/// `is_causal` is false, by which the library makes an encoder of any decoder.
pub(super) fn causal_masks(
    keys: &Keys<'_>,
    g: &mut Graph,
    request: &Request,
    reaches: &[Option<Reach<u64>>],
) -> Result<Vec<Mask>, Problem> {
    let offset = first_position(request);
    let tokens = Axis::new("n", &offset + &Poly::from("n"));
    let keep = match request.attention_mask {
        true => Some(g.input_mask("attention_mask", [Axis::from("b"), tokens])?),
        false => None,
    };
    let causal = keys.is_causal()?;
    if !causal && request.past {
        let problem =
            "with `is_causal` = false a token sees those after it, so the keys and values \
                       of earlier tokens cannot be kept"
                .to_owned();
        return Err(ConfigError::Request { origin: keys.origin(), problem }.into());
    }
    let mut mask = |reach: &Option<Reach<u64>>| match (causal, reach) {
        (true, reach) => {
            if let (Some(Reach::Chunk(chunk)), Some(visible)) = (reach, keep) {
                let keep = Some(padded_chunks(g, visible, &offset, *chunk)?);
                return Ok(Mask { offset: Some(offset.clone()), reach: None, keep });
            }
            let reach = reach.map(|reach| reach.map(|size| Poly::from(*size)));
            Ok(Mask { offset: Some(offset.clone()), reach, keep })
        }
        (false, None) => Ok(Mask { keep, ..Mask::none() }),
        (false, Some(Reach::Window(_))) => {
            let why = "a window to both sides is not supported";
            Err(keys.contradiction("is_causal", "sliding_window", why).into())
        }
        (false, Some(Reach::Chunk(_))) => {
            let why = "chunks in which tokens see those after them are not supported";
            Err(keys.contradiction("is_causal", "attention_chunk_size", why).into())
        }
    };
    reaches.iter().map(&mut mask).collect()
}

/// Which pairs `[b, n, m]` lie in one chunk and have a visible key, where `visible [b, n]` says of each
/// token whether it is no padding: the chunks of an item begin with its first token that is none.
fn padded_chunks(g: &mut Graph, visible: Var, first: &Poly, chunk: u64) -> Result<Var, GraphError> {
    let begin = g.arg_max(visible, "n")?;
    let [item, query, key] = [0, 1, 2].map(IndexExpr::Position);
    let looked_up = |operand, at: &[&IndexExpr]| IndexExpr::Lookup {
        operand,
        at: at.iter().map(|at| (*at).clone()).collect(),
    };
    let begin_of_item = looked_up(1, &[&item]);
    let chunk_of = |at: &IndexExpr| at.minus(&begin_of_item).floor_div(&IndexExpr::size(chunk));
    let query = query.plus(&IndexExpr::size(first.clone()));
    let together = chunk_of(&query).minus(&chunk_of(&key)).is_zero();
    let value = looked_up(0, &[&item, &key]).and(&together);
    let tokens = Poly::from("n");
    let axes = vec!["b".into(), "n".into(), Axis::new("m", first + &tokens)];
    g.record("chunks", IndexMap { axes, value, truth: true }, &[visible, begin])
}

/// What is kept of earlier tokens, as inputs of an attention.
pub(super) fn past(
    g: &mut Graph,
    scope: &str,
    request: &Request,
    kept: &Kept,
) -> Result<Option<(Var, Var)>, Problem> {
    if !request.past {
        return Ok(None);
    }
    let g = &mut *g.scope(scope);
    let mut input = |(of, axes): &(Cached, Vec<Axis>)| {
        let outer = [Axis::from("b"), Axis::new("n", "p")];
        g.input(&format!("past_{}", of.name()), outer.into_iter().chain(axes.iter().cloned()))
    };
    let [first, second] = &kept.0;
    Ok(Some((input(first)?, input(second)?)))
}
