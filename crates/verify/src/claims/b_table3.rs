//! Claim B7: the parameter column of Table 3 of Vaswani et al. 2017.

use opledger_dims::{Integer, Poly, Quantity, Symbol};
use opledger_ir::{Axis, Graph, Selection};
use opledger_nn::{
    AttentionConfig, FeedForwardConfig, LayerConfig, Transformer, TransformerConfig,
    TransformerMasks,
};

use crate::bench::{Trials, binding};
use crate::claim::{Finding, Verdict};
use crate::error::VerifyError;
use crate::judge::grouped;

type Answer = Result<Finding, VerifyError>;

/// Rows of the table: name, N, d_model, d_ff, h, d_k, d_v, printed millions of parameters.
type Row = (&'static str, i64, i64, i64, i64, i64, i64, i64);

const ROWS: &[Row] = &[
    ("base", 6, 512, 2048, 8, 64, 64, 65),
    ("(B) d_k=16", 6, 512, 2048, 8, 16, 64, 58),
    ("(B) d_k=32", 6, 512, 2048, 8, 32, 64, 60),
    ("(C) N=2", 2, 512, 2048, 8, 64, 64, 36),
    ("(C) N=4", 4, 512, 2048, 8, 64, 64, 50),
    ("(C) N=8", 8, 512, 2048, 8, 64, 64, 80),
    ("(C) d_model=256", 6, 256, 2048, 8, 32, 32, 28),
    ("(C) d_model=1024", 6, 1024, 2048, 8, 128, 128, 168),
    ("(C) d_ff=1024", 6, 512, 1024, 8, 64, 64, 53),
    ("(C) d_ff=4096", 6, 512, 4096, 8, 64, 64, 90),
    ("big", 6, 1024, 4096, 16, 64, 64, 213),
];

/// The vocabulary the paper states for English to German (§5.1), shared by both languages.
const VOCABULARY: i64 = 37_000;

/// The model of one row: embedding and output tied, no position parameters, biases and norms as
/// PyTorch's layers have them.
fn model(
    layers: i64,
    d: i64,
    ff: i64,
    heads: i64,
    key: i64,
    value: i64,
) -> Result<Graph, VerifyError> {
    let mut g = Graph::new();
    let ids = |g: &mut Graph, name: &str, token: &str| {
        g.input_ids(name, [Axis::from("b"), Axis::from(token)], "v")
    };
    let (src, tgt) = (ids(&mut g, "src", "m")?, ids(&mut g, "tgt", "n")?);
    let attention = AttentionConfig {
        head_dim: Some(key.into()),
        value_head_dim: Some(value.into()),
        ..AttentionConfig::new(d, heads)
    };
    let layer = LayerConfig {
        attention,
        feed_forward: FeedForwardConfig::new(d, ff),
        ..LayerConfig::new(d, heads, ff)
    };
    let config = TransformerConfig {
        vocab_size: Some("v".into()),
        tied: true,
        final_norm: false,
        ..TransformerConfig::new(layers, layer)
    };
    let y = Transformer::new(&mut g, &config)?.forward(
        &mut g,
        src,
        tgt,
        TransformerMasks::default(),
    )?;
    g.output("y", y);
    Ok(g)
}

pub(crate) fn parameter_column(bench: &mut Trials<'_>) -> Answer {
    let (mut details, mut settled, mut agreeing) = (Vec::new(), true, 0);
    let mut fitting: Vec<(&str, Integer, Integer)> = Vec::new();
    for &(name, layers, d, ff, heads, key, value, printed) in ROWS {
        let graph = model(layers, d, ff, heads, key, value)?;
        let formula = graph.quantity(Quantity::Parameters);
        let v = Symbol::new("v");
        let at = |vocabulary: i64| formula.at(&binding(&[("v", vocabulary)]));
        let evaluated = at(VOCABULARY)?;
        // Two sizes of vocabulary in memory identify a formula of degree one.
        settled &= formula.degree_in(&v) == 1;
        for vocabulary in [1, 2] {
            let sizes = [("b", 1), ("n", 1), ("m", 1), ("v", vocabulary)];
            let stored = bench.stored(&graph, &sizes, Selection::ALL, Quantity::Parameters)?;
            settled &= at(vocabulary).is_ok_and(|expected| expected == stored);
        }
        let (low, high) = vocabularies(&formula, &v, printed)?;
        let millions = (&evaluated + 500_000u32) / 1_000_000u32;
        agreeing += usize::from(millions == printed.into());
        details.push(format!(
            "{name}: {} at V={}, printed {printed} M; rounds to it for V from {} to {}",
            grouped(&evaluated),
            grouped(&VOCABULARY.into()),
            grouped(&low),
            grouped(&high)
        ));
        fitting.push((name, low, high));
    }
    let (count, low, high) = most_common(&fitting);
    let outside: Vec<String> = fitting
        .iter()
        .filter(|(_, a, b)| *a > low || *b < high)
        .map(|(name, a, b)| format!("{name} needs {} to {}", grouped(a), grouped(b)))
        .collect();
    let note = format!(
        "V from {} to {} fits {count} of {} rows{}{}; assumes shared embeddings, no position parameters, \
         post-norm layers with all biases",
        grouped(&low),
        grouped(&high),
        ROWS.len(),
        if outside.is_empty() { "" } else { ", " },
        outside.join(", ")
    );
    let (verdict, convention) = match (agreeing == ROWS.len(), count == ROWS.len()) {
        (true, _) => (Verdict::Holds, None),
        (false, true) => {
            (Verdict::HoldsUnderConvention, Some("another vocabulary than the one stated".into()))
        }
        (false, false) => (Verdict::Refuted, None),
    };
    let printed: Vec<String> = ROWS.iter().map(|row| row.7.to_string()).collect();
    Ok(Finding {
        verdict,
        convention,
        claimed: format!("{} million", printed.join(", ")),
        derived: "N·(encoder + decoder layer) + V·d_model, embedding and output shared".into(),
        measured: format!(
            "{agreeing} of {} rows agree at V = {}",
            ROWS.len(),
            grouped(&VOCABULARY.into())
        ),
        note,
        details,
        settled,
    })
}

/// The range of vocabularies that lies within the most rows' ranges, and how many those are.
fn most_common(ranges: &[(&str, Integer, Integer)]) -> (usize, Integer, Integer) {
    let covering =
        |v: &Integer| ranges.iter().filter(|(_, a, b)| a <= v && v <= b).collect::<Vec<_>>();
    let best = ranges.iter().map(|(_, low, _)| low).max_by_key(|low| covering(low).len());
    let rows = best.map(covering).unwrap_or_default();
    let low = rows.iter().map(|(_, a, _)| a.clone()).max().unwrap_or_default();
    let high = rows.iter().map(|(_, _, b)| b.clone()).min().unwrap_or_default();
    (rows.len(), low, high)
}

/// The smallest and largest vocabulary for which a formula linear in it rounds to so many millions.
fn vocabularies(
    formula: &Poly,
    v: &Symbol,
    millions: i64,
) -> Result<(Integer, Integer), VerifyError> {
    let at = |vocabulary: i64| {
        let value = formula.at(&opledger_dims::Binding::new().with(v, vocabulary));
        Ok::<_, VerifyError>(value?)
    };
    let (rest, slope) = (at(0)?, at(1)? - at(0)?);
    let (low, high) = (
        Integer::from(millions) * 1_000_000 - 500_000 - &rest,
        Integer::from(millions) * 1_000_000 + 499_999 - rest,
    );
    Ok(((low + &slope - 1u32) / &slope, high / slope))
}
