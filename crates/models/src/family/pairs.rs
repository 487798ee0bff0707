//! What pairs of an encoder and a decoder have in common: the text moved on for the decoder, how the
//! decoder is given the encoder's result, its layers, and heads that read its own. Named as in the
//! `transformers` library.

use opledger_dims::Poly;
use opledger_ir::ops::{Activation, IndexMap, Rearrange};
use opledger_ir::{Axis, Cached, Graph, GraphError, IndexExpr, Mask, Scope, Var};
use opledger_nn::{
    Attend, AttentionConfig, DecoderLayer, FeedForwardConfig, FeedForwardNames, KeysAndValues,
    LayerConfig, LayerNames, Linear, LinearConfig, Origin, Residual,
};

use super::causal::{Kept, cached, first_position};
use super::heads::{classifier, dropped};
use super::recorder::Problem;
use super::request::Request;
use crate::config::{ConfigError, Keys};

/// A decoder layer's attention to the encoder's result.
pub(super) const CROSS: &str = "encoder_attn";

/// Layers of an encoder, of width `c`, with so many heads and a hidden width, as BART has them.
pub(super) fn encoder_layer(
    c: &Poly,
    [h, ff]: [&Poly; 2],
    activation: Activation,
    residual: Residual,
) -> LayerConfig {
    let names = LayerNames::encoder("self_attn", "", ["self_attn_layer_norm", "final_layer_norm"]);
    LayerConfig {
        attention: AttentionConfig { origin: Origin::Library, ..AttentionConfig::new(c, h) },
        feed_forward: FeedForwardConfig {
            activation,
            names: FeedForwardNames::new("fc1", "fc2"),
            ..FeedForwardConfig::new(c, ff)
        },
        residual,
        names,
        ..LayerConfig::new(c, h, 1)
    }
}

/// The same of a decoder.
pub(super) fn decoder_layer(layer: LayerConfig, request: &Request) -> LayerConfig {
    let norms = ["self_attn_layer_norm", "encoder_attn_layer_norm", "final_layer_norm"];
    let names = LayerNames::decoder("self_attn", CROSS, "", norms);
    LayerConfig { memory_heads: request.past, names, ..layer }
}

/// The layers of a decoder, each of which attends to the encoder's result, or is given the keys and values
/// of it that it keeps; of the source, `padding` hides tokens.
pub(super) fn decode(
    g: &mut Graph,
    request: &Request,
    (layers, layer, kept): (&Scope, &DecoderLayer, &Kept),
    (x, memory): (Var, Option<Var>),
    padding: &Mask,
) -> Result<Var, Problem> {
    g.repeat(layers, x, |g, x| {
        let memory = attended(g, memory, (CROSS, kept))?;
        cached(g, request, (layers, "self_attn", kept), |g, past| {
            let mask = Mask { offset: Some(first_position(request)), ..Mask::none() };
            let call = Attend { mask, past, ..Attend::default() };
            layer.forward_with(g, x, memory, call, padding.clone().into())
        })
    })
}

/// What a decoder begins with that is given the encoder's own text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    /// A token.
    Token(u64),
    /// The last token of the text.
    Last,
}

/// Ids `[b, n]`, each moved on by one place, behind a first one.
pub(super) fn moved_on(g: &mut Graph, ids: Var, first: First) -> Result<Var, GraphError> {
    let [item, token] = [0, 1].map(IndexExpr::Position);
    let before = token.minus(&1.into());
    let looked_up = |at| IndexExpr::Lookup { operand: 0, at: vec![item.clone(), at] };
    let value = match first {
        // A place before the first is one from the end.
        First::Last => looked_up(before),
        First::Token(id) => token.choose(&looked_up(before), &IndexExpr::size(Poly::from(id))),
    };
    let axes = ["b", "n"].map(Axis::from).to_vec();
    g.record("moved_on", IndexMap { axes, value, truth: false }, &[ids])
}

/// Keys and values of the source that the layers of a decoder attend to, made by maps of their own, as
/// results `cross_key` and `cross_value` of each layer.
pub(super) fn source_heads(
    g: &mut Graph,
    (layers, attention): (&Scope, &str),
    maps: &KeysAndValues,
    memory: Var,
) -> Result<(), Problem> {
    g.repeat(layers, memory, |g, memory| -> Result<Var, Problem> {
        let (keys, values) = maps.forward(g, memory)?;
        for (name, var) in ["cross_key", "cross_value"].into_iter().zip([keys, values]) {
            g.output(&format!("{}.{attention}.{name}", layers.path()), var);
        }
        Ok(memory)
    })?;
    Ok(())
}

/// What a layer of a decoder attends to beside the text: the encoder's result, or keys and values of it
/// as inputs `cross_key` and `cross_value` of the attention in a scope.
pub(super) fn attended(
    g: &mut Graph,
    memory: Option<Var>,
    (attention, kept): (&str, &Kept),
) -> Result<(Var, Var), Problem> {
    if let Some(memory) = memory {
        return Ok((memory, memory));
    }
    let g = &mut *g.scope(attention);
    let mut input = |(of, axes): &(Cached, Vec<Axis>)| {
        let outer = [Axis::from("b"), Axis::from("m")];
        let name = format!("cross_{}", of.name());
        let var = g.input(&name, outer.into_iter().chain(axes.iter().cloned()))?;
        g.cache(*of, var, var);
        Ok::<_, GraphError>(var)
    };
    let [keys, values] = &kept.0;
    let (keys, values) = (input(keys)?, input(values)?);
    Ok((keys, values))
}

/// Refuses padding where the last token of a text is asked for.
pub(super) fn unpadded(keys: &Keys<'_>, request: &Request, what: &str) -> Result<(), ConfigError> {
    match request.attention_mask {
        false => Ok(()),
        true => Err(ConfigError::Request {
            origin: keys.origin(),
            problem: format!("{what}, which padding hides: give texts one by one"),
        }),
    }
}

/// Classes of the text, by the last token of `x [b, n, c]`, which is the one that ends it.
pub(super) fn text_classes(g: &mut Graph, x: Var, k: &Poly) -> Result<(), Problem> {
    let (axis, len) = ("n".into(), Poly::one());
    let start = Poly::from("n") - Poly::one();
    let last = g.rearrange(x, Rearrange::Slice { axis, start, len })?;
    let axes = vec!["b".into(), "n".into()];
    let x = g.rearrange(last, Rearrange::Merge { axes, into: "b".into() })?;
    let x = dropped(g, x)?;
    let width = g.last_axis(x).map_err(|e| opledger_nn::NnError::Config(e.to_string()))?;
    let scope = "classification_head";
    let config = LinearConfig::default();
    let dense = Linear::new(&mut g.scope(&format!("{scope}.dense")), width.clone(), width, config)?;
    let x = dense.forward(g, x)?;
    let x = g.activation(x, Activation::Tanh)?;
    let x = dropped(g, x)?;
    let scores = classifier(g, &format!("{scope}.out_proj"), x, k)?;
    g.output("logits", scores);
    Ok(())
}
