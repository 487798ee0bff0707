//! Claim B7: the parameter column of Table 3 of Vaswani et al. 2017.

use opledger_dims::{Integer, Poly, Quantity, Symbol};
use opledger_ir::{Axis, Graph, Selection};
use opledger_nn::{
    AttentionConfig, FeedForwardConfig, LayerConfig, Transformer, TransformerConfig,
    TransformerMasks,
};

use crate::bench::{Trials, binding};
use crate::claim::{Basis, Finding, Verdict};
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

/// The sizes of a row, in the order of the table's columns.
const SIZES: [&str; 6] = ["N", "d", "ff", "h", "k", "w"];

/// The model: embedding and output tied, no position parameters, norms as PyTorch's layers have them.
/// The paper's formulas give the feed-forward network its biases, and attention none (§3.2.2); PyTorch's
/// layers give both theirs.
fn model(attention_bias: bool) -> Result<Graph, VerifyError> {
    let [layers, d, ff, heads, key, value] = SIZES;
    let mut g = Graph::new();
    let ids = |g: &mut Graph, name: &str, token: &str| {
        g.input_ids(name, [Axis::from("b"), Axis::from(token)], "v")
    };
    let (src, tgt) = (ids(&mut g, "src", "m")?, ids(&mut g, "tgt", "n")?);
    let attention = AttentionConfig {
        head_dim: Some(key.into()),
        value_head_dim: Some(value.into()),
        bias: attention_bias,
        out_bias: attention_bias,
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

/// The column under one reading.
struct Column {
    /// How many rows agree at the stated vocabulary.
    agreeing: usize,
    /// How many rows one vocabulary fits.
    fitting: usize,
    note: String,
    details: Vec<String>,
}

pub(crate) fn parameter_column(bench: &mut Trials<'_>) -> Answer {
    let of = Quantity::Parameters;
    let (mut columns, mut agrees, mut executed) = (Vec::new(), true, String::new());
    for (reading, bias) in
        [("attention without biases (§3.2.2)", false), ("every linear map with its bias", true)]
    {
        let graph = model(bias)?;
        let parameters = bench.derived(&graph, of, &Selection::ALL);
        // Sines and cosines of positions come in pairs.
        let grid = bench.parameter_grid(&graph, &[("d", "2")])?;
        agrees &= grid.agrees(&graph, Selection::ALL, of, &parameters);
        executed = format!("parameters read in {}", grid.describe());
        columns.push(column(reading, &parameters)?);
    }
    let best = |of: fn(&Column) -> usize| columns.iter().map(of).max().unwrap_or_default();
    let agreeing = best(|column| column.agreeing);
    let (verdict, convention) = match (agreeing == ROWS.len(), best(|c| c.fitting) == ROWS.len()) {
        (true, _) => (Verdict::Holds, None),
        (false, true) => {
            (Verdict::HoldsUnderConvention, Some("another vocabulary than the one stated".into()))
        }
        (false, false) => (Verdict::Refuted, None),
    };
    let printed: Vec<String> = ROWS.iter().map(|row| row.7.to_string()).collect();
    let notes: Vec<&str> = columns.iter().map(|column| column.note.as_str()).collect();
    Ok(Finding {
        verdict,
        basis: Basis::Executed,
        convention,
        claimed: format!("{} million", printed.join(", ")),
        derived: "N·(encoder + decoder layer) + V·d_model, embedding and output shared".into(),
        evidence: format!(
            "{executed}; {agreeing} of {} rows agree at V = {}",
            ROWS.len(),
            grouped(&VOCABULARY.into())
        ),
        note: format!(
            "{}; both assume shared embeddings, no position parameters, post-norm layers",
            notes.join("; ")
        ),
        details: columns.into_iter().flat_map(|column| column.details).collect(),
        agrees,
    })
}

/// What vocabularies fit the column, by the formula of one reading.
fn column(reading: &str, parameters: &Poly) -> Result<Column, VerifyError> {
    let v = Symbol::new("v");
    let (mut details, mut agreeing) = (vec![format!("{reading}:")], 0);
    let mut fitting: Vec<(&str, Integer, Integer)> = Vec::new();
    for &(name, layers, d, ff, heads, key, value, printed) in ROWS {
        let row = [layers, d, ff, heads, key, value];
        let sizes: Vec<_> = SIZES.into_iter().zip(row).collect();
        let formula = parameters.bind(&binding(&sizes));
        let evaluated = formula.at(&binding(&[("v", VOCABULARY)]))?;
        let (low, high) = vocabularies(&formula, &v, printed)?;
        let millions = (&evaluated + 500_000u32) / 1_000_000u32;
        agreeing += usize::from(millions == printed.into());
        details.push(format!(
            "  {name}: {} at V={}, printed {printed} M; rounds to it for V from {} to {}",
            grouped(&evaluated),
            grouped(&VOCABULARY.into()),
            grouped(&low),
            grouped(&high)
        ));
        fitting.push((name, low, high));
    }
    let (count, low, high) = most_common(&fitting);
    let outside = fitting.iter().filter(|(_, a, b)| *a > low || *b < high);
    let outside: String = outside
        .map(|(name, a, b)| format!(", {name} needs {} to {}", grouped(a), grouped(b)))
        .collect();
    let note = format!(
        "{reading}: V from {} to {} fits {count} of {} rows{outside}",
        grouped(&low),
        grouped(&high),
        ROWS.len(),
    );
    Ok(Column { agreeing, fitting: count, note, details })
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
