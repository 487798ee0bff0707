//! Claims E: parameters.

use opledger_dims::Quantity;
use opledger_ir::{Axis, Graph, Mask, Selection, Var};
use opledger_nn::{
    AttentionConfig, BertEmbedding, BertEmbeddingConfig, DecoderLayer, EncoderLayer, FeedForward,
    FeedForwardConfig, LayerConfig, LmHead, MultiheadAttention, Norm, NormConfig,
};

use crate::bench::Trials;
use crate::claim::{Finding, Verdict};
use crate::error::VerifyError;
use crate::judge::{ClaimedNumber, Question};
use crate::reading::in_words;

type Answer = Result<Finding, VerifyError>;

const PLAIN: &[Quantity] = &[Quantity::Parameters];

fn input(g: &mut Graph, width: impl Into<opledger_dims::Poly>) -> Result<Var, VerifyError> {
    Ok(g.input("x", [Axis::from("b"), Axis::from("n"), Axis::new("c", width)])?)
}

fn count(graph: &Graph, claimed: u64, readings: &[Quantity], bench: &mut Trials<'_>) -> Answer {
    let sizes: &[(&str, i64)] = &[("b", 1), ("n", 1), ("m", 1)];
    let own: Vec<(&str, i64)> = sizes
        .iter()
        .copied()
        .filter(|(s, _)| graph.symbols().iter().any(|t| t.as_str() == *s))
        .collect();
    ClaimedNumber { graph, scope: Selection::ALL, claimed, readings, own_size: &own }.judge(bench)
}

fn bert(config: &BertEmbeddingConfig) -> Result<Graph, VerifyError> {
    let mut g = Graph::new();
    let ids = g.input_ids("input_ids", ["b", "n"], config.vocab_size.clone())?;
    let types = g.input_ids(
        "token_type_ids",
        ["b", "n"],
        config.type_vocab_size.clone().unwrap_or_default(),
    )?;
    let y = BertEmbedding::new(&mut g, config)?.forward(&mut g, ids, Some(types))?;
    g.output("y", y);
    Ok(g)
}

pub(crate) fn bert_embedding(bench: &mut Trials<'_>) -> Answer {
    let graph = bert(&BertEmbeddingConfig::new(30_522, 1024))?;
    count(&graph, (30_522 + 2 + 512) * 1024 + 2 * 1024, PLAIN, bench)
}

/// Self-attention over `[b, n, c]`.
fn self_attention(config: &AttentionConfig) -> Result<Graph, VerifyError> {
    let mut g = Graph::new();
    let x = input(&mut g, config.embed_dim.clone())?;
    let y = MultiheadAttention::new(&mut g, config)?.forward(&mut g, x, x, x)?;
    g.output("y", y);
    Ok(g)
}

pub(crate) fn attention(bench: &mut Trials<'_>) -> Answer {
    let plain = AttentionConfig { bias: false, out_bias: false, ..AttentionConfig::new("c", "h") };
    let (without, with) =
        (self_attention(&plain)?, self_attention(&AttentionConfig::new("c", "h"))?);
    let at_512 = self_attention(&AttentionConfig::new(512, 8))?;
    Ok(Finding::all(vec![
        ("without bias", Question::new(&without, "c·c + 3·c·e·h", PLAIN).judge(bench)?),
        ("with bias", Question::new(&with, "4·(c² + c)", PLAIN).judge(bench)?),
        ("at 512", count(&at_512, 1_050_624, PLAIN, bench)?),
    ]))
}

pub(crate) fn grouped(bench: &mut Trials<'_>) -> Answer {
    let config = |bias| AttentionConfig {
        kv_heads: Some("g".into()),
        bias,
        out_bias: bias,
        ..AttentionConfig::new("c", "h")
    };
    let (without, with) = (self_attention(&config(false))?, self_attention(&config(true))?);
    let mut findings = Vec::new();
    for (name, segment, claimed, biased) in [
        ("q", &["q_proj"], "c·h·e", "c·h·e + h·e"),
        ("k", &["k_proj"], "c·g·e", "c·g·e + g·e"),
        ("v", &["v_proj"], "c·g·e", "c·g·e + g·e"),
        ("o", &["out_proj"], "h·e·c", "h·e·c + c"),
    ] {
        let scope = Selection::within(segment);
        // Heads are a multiple of the heads of keys.
        let ask = |graph, claimed| Question::new(graph, claimed, PLAIN).within(scope);
        let finding = ask(&without, claimed).multiples(&[("h", "g")]).judge(bench)?;
        let with = ask(&with, biased).multiples(&[("h", "g")]).judge(bench)?;
        findings.push((name, finding));
        findings.push(("with bias", with));
    }
    Ok(Finding::all(findings))
}

pub(crate) fn feed_forward(bench: &mut Trials<'_>) -> Answer {
    let graph = |config: FeedForwardConfig| -> Result<Graph, VerifyError> {
        let mut g = Graph::new();
        let x = input(&mut g, config.d_model.clone())?;
        let y = FeedForward::new(&mut g, &config)?.forward(&mut g, x)?;
        g.output("y", y);
        Ok(g)
    };
    let symbolic = graph(FeedForwardConfig::new("c", "d_ff"))?;
    Ok(Finding::all(vec![
        ("formula", Question::new(&symbolic, "2·c·d_ff + c + d_ff", PLAIN).judge(bench)?),
        ("512, 2048", count(&graph(FeedForwardConfig::new(512, 2048))?, 2_099_712, PLAIN, bench)?),
    ]))
}

pub(crate) fn layer_norm(bench: &mut Trials<'_>) -> Answer {
    let graph = |width: Axis| -> Result<Graph, VerifyError> {
        let mut g = Graph::new();
        let x = input(&mut g, width.size.clone())?;
        let y = Norm::new(&mut g, width, NormConfig::layer())?.forward(&mut g, x)?;
        g.output("y", y);
        Ok(g)
    };
    Ok(Finding::all(vec![
        ("formula", Question::new(&graph("c".into())?, "2·c", PLAIN).judge(bench)?),
        ("512", count(&graph(Axis::new("c", 512))?, 1_024, PLAIN, bench)?),
    ]))
}

pub(crate) fn layers(bench: &mut Trials<'_>) -> Answer {
    let config = LayerConfig::new(512, 8, 2048);
    let mut encoder = Graph::new();
    let x = input(&mut encoder, 512)?;
    let y = EncoderLayer::new(&mut encoder, &config)?.forward(&mut encoder, x, Mask::none())?;
    encoder.output("y", y);
    let mut decoder = Graph::new();
    let x = input(&mut decoder, 512)?;
    let memory =
        decoder.input("memory", [Axis::from("b"), Axis::from("m"), Axis::new("c", 512)])?;
    let layer = DecoderLayer::new(&mut decoder, &config)?;
    let y = layer.forward(&mut decoder, x, memory, Mask::causal(), Mask::none())?;
    decoder.output("y", y);
    Ok(Finding::all(vec![
        ("encoder layer", count(&encoder, 3_152_384, PLAIN, bench)?),
        ("decoder layer", count(&decoder, 4_204_032, PLAIN, bench)?),
    ]))
}

pub(crate) fn head(bench: &mut Trials<'_>) -> Answer {
    let mut g = Graph::new();
    let x = input(&mut g, "c")?;
    let y = LmHead::new(&mut g, "c", "v", false)?.forward(&mut g, x)?;
    g.output("y", y);
    Question::new(&g, "c·v", PLAIN).judge(bench)
}

/// A frozen BERT embedding in front of a trainable attention: both counts are offered, and differ.
pub(crate) fn trainable(bench: &mut Trials<'_>) -> Answer {
    let mut g = Graph::new();
    let ids = g.input_ids("input_ids", ["b", "n"], "v")?;
    let types = g.input_ids("token_type_ids", ["b", "n"], 2)?;
    let embedding = BertEmbeddingConfig {
        frozen: true,
        max_position_embeddings: "p".into(),
        ..BertEmbeddingConfig::new("v", "c")
    };
    let embedding = BertEmbedding::new(&mut g.scope("embeddings"), &embedding)?;
    let x = embedding.forward(&mut g, ids, Some(types))?;
    let attention =
        MultiheadAttention::new(&mut g.scope("attention"), &AttentionConfig::new("c", "h"))?;
    let y = attention.forward(&mut g, x, x, x)?;
    g.output("y", y);
    let all = Question::new(&g, "(v + 2 + p)·c + 2·c + 4·(c² + c)", PLAIN).judge(bench)?;
    let some = Question::new(&g, "4·(c² + c)", &[Quantity::TrainableParameters]).judge(bench)?;
    let holds = all.verdict == Verdict::Holds && some.verdict == Verdict::Holds;
    let mut finding = Finding::all(vec![("all", all), ("trainable", some)]);
    if holds {
        // The words hold of one of the two counts only.
        finding.verdict = Verdict::HoldsUnderConvention;
        finding.convention = Some(in_words(Quantity::TrainableParameters));
    }
    Ok(finding.noting("a frozen embedding before a trainable attention: both counts are offered"))
}
