//! Graphs of the layers without attention.

use opledger_ir::{Axis, Graph, Role, SizeRole, Var};
use opledger_nn::{
    BertEmbedding, BertEmbeddingConfig, Embedding, FeedForward, FeedForwardConfig, GroupNorm,
    LearnedPositions, Linear, LinearConfig, LmHead, Norm, NormConfig, SinusoidalPositions,
};

use super::error::LayerError;
use super::settings::Settings;

/// The input `[b, tokens, c]`, the last two sized by keys.
pub(super) fn input(
    s: &Settings,
    g: &mut Graph,
    name: &str,
    tokens: Sequence,
    width: impl Into<Axis>,
) -> Result<Var, LayerError> {
    let axes = [batch(s, g), tokens.axis(s, g), width.into()];
    Ok(g.input(name, axes)?)
}

/// The axis of items.
fn batch(s: &Settings, g: &mut Graph) -> Axis {
    let axis = s.axis("b", "b");
    name_size(g, SizeRole::Batch, &axis);
    axis
}

/// A sequence of tokens.
#[derive(Clone, Copy)]
pub(super) enum Sequence {
    /// Those that attend.
    Own,
    /// Those they attend to.
    Memory,
}

impl Sequence {
    /// Its axis.
    fn axis(self, s: &Settings, g: &mut Graph) -> Axis {
        let (key, role) = match self {
            Sequence::Own => ("n", SizeRole::Tokens),
            Sequence::Memory => ("m", SizeRole::Memory),
        };
        let axis = s.axis(key, key);
        name_size(g, role, &axis);
        axis
    }
}

/// Says what the size of an axis counts, where the text leaves it free.
fn name_size(g: &mut Graph, role: SizeRole, axis: &Axis) {
    if let Some(symbol) = axis.size.as_symbol() {
        g.size_role(role, symbol.clone());
    }
}

/// The input `x [b, n, c]`.
pub(super) fn x(s: &Settings, g: &mut Graph) -> Result<Var, LayerError> {
    input(s, g, "x", Sequence::Own, s.axis("c", "c"))
}

/// Ids `[b, tokens]` below the size of a key.
pub(super) fn ids(
    s: &Settings,
    g: &mut Graph,
    name: &str,
    tokens: Sequence,
    below: &'static str,
) -> Result<Var, LayerError> {
    let axes = [batch(s, g), tokens.axis(s, g)];
    let ids = g.input_ids(name, axes, s.size(below))?;
    g.mark(ids, Role::Tokens);
    Ok(ids)
}

pub(super) fn feed_forward(s: &Settings) -> Result<FeedForwardConfig, LayerError> {
    Ok(FeedForwardConfig {
        activation: s.activation("act")?,
        gated: s.flag("gated"),
        bias: s.flag("bias"),
        dropout: s.dropout(),
        ..FeedForwardConfig::new(s.size("c"), s.size("ff"))
    })
}

pub(super) fn linear(s: &Settings, g: &mut Graph) -> Result<(), LayerError> {
    let (from, to) = (s.axis("in", "in"), s.axis("out", "out"));
    let x = input(s, g, "x", Sequence::Own, from.clone())?;
    let y = Linear::new(g, from, to, LinearConfig::bias(s.flag("bias")))?.forward(g, x)?;
    g.output("y", y);
    Ok(())
}

pub(super) fn ffn(s: &Settings, g: &mut Graph) -> Result<(), LayerError> {
    let x = x(s, g)?;
    let y = FeedForward::new(g, &feed_forward(s)?)?.forward(g, x)?;
    g.output("y", y);
    Ok(())
}

pub(super) fn layer_norm(s: &Settings, g: &mut Graph) -> Result<(), LayerError> {
    norm(s, g, NormConfig { bias: s.flag("bias"), ..NormConfig::layer() })
}

pub(super) fn group_norm(s: &Settings, g: &mut Graph) -> Result<(), LayerError> {
    let axes = [batch(s, g), s.axis("c", "c"), Sequence::Own.axis(s, g)];
    let x = g.input("x", axes)?;
    let y = GroupNorm::new(g, s.size("groups"), s.size("c"), s.number("eps"))?.forward(g, x)?;
    g.output("y", y);
    Ok(())
}

pub(super) fn rms_norm(s: &Settings, g: &mut Graph) -> Result<(), LayerError> {
    norm(s, g, NormConfig::rms())
}

fn norm(s: &Settings, g: &mut Graph, config: NormConfig) -> Result<(), LayerError> {
    let x = x(s, g)?;
    let config = NormConfig { eps: s.number("eps"), ..config };
    let y = Norm::new(g, s.axis("c", "c"), config)?.forward(g, x)?;
    g.output("y", y);
    Ok(())
}

pub(super) fn embedding(s: &Settings, g: &mut Graph) -> Result<(), LayerError> {
    let ids = ids(s, g, "input_ids", Sequence::Own, "v")?;
    let rows = Embedding::new(g, s.size("v"), s.size("c"))?.forward(g, ids)?;
    let y = match s.choice("positions") {
        "sinusoid" => {
            let scope = &mut g.scope("positions");
            SinusoidalPositions::new(scope).forward(scope, rows)?
        }
        "learned" => {
            let scope = &mut g.scope("positions");
            let positions = LearnedPositions::new(scope, s.size("p"), s.size("c"))?;
            positions.forward(scope, rows)?
        }
        _ => rows,
    };
    g.output("y", y);
    Ok(())
}

pub(super) fn bert_embedding(s: &Settings, g: &mut Graph) -> Result<(), LayerError> {
    let words = ids(s, g, "input_ids", Sequence::Own, "v")?;
    let types = ids(s, g, "token_type_ids", Sequence::Own, "types")?;
    g.mark(types, Role::Segments);
    let config = BertEmbeddingConfig {
        max_position_embeddings: s.size("p"),
        type_vocab_size: Some(s.size("types")),
        layer_norm_eps: s.number("eps"),
        dropout: s.dropout(),
        ..BertEmbeddingConfig::new(s.size("v"), s.size("c"))
    };
    let y = BertEmbedding::new(g, &config)?.forward(g, words, Some(types))?;
    g.output("y", y);
    Ok(())
}

pub(super) fn lm_head(s: &Settings, g: &mut Graph) -> Result<(), LayerError> {
    let (c, v) = (s.size("c"), s.size("v"));
    let (x, head) = if s.flag("tied") {
        if s.flag("bias") {
            return Err(LayerError::Conflict("a tied head has no bias".to_owned()));
        }
        let ids = ids(s, g, "input_ids", Sequence::Own, "v")?;
        let table = Embedding::new(&mut g.scope("embedding"), v, c)?;
        (table.forward(g, ids)?, LmHead::tied(&mut g.scope("lm_head"), &table))
    } else {
        (x(s, g)?, LmHead::new(g, c, v, s.flag("bias"))?)
    };
    let y = head.forward(g, x)?;
    g.output("y", y);
    Ok(())
}
