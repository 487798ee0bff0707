//! A generation: what each step did, counted and executed.

use opledger_dims::Integer;
use serde::Serialize;

use super::{TheoremRecord, convention_line};
use crate::{Amount, Block, Column, Document, Record, Row, Table, json};

/// What generating tokens took.
#[derive(Clone, Debug, Serialize)]
pub struct Generation {
    /// The model.
    pub model: String,
    /// The ids given.
    pub prompt: Vec<i64>,
    /// The ids added.
    pub generated: Vec<i64>,
    /// The token that ended the text, where one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<i64>,
    /// The text added, where the model has a tokenizer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Threads that executed.
    pub threads: usize,
    /// The steps, the prompt's first.
    pub steps: Vec<Step>,
    /// Bytes of keys and values at the end.
    #[serde(serialize_with = "json::quantity")]
    pub cache_bytes: Integer,
    /// Ledger against closed form.
    pub theorem: TheoremRecord,
    /// What the numbers mean.
    #[serde(serialize_with = "json::pairs")]
    pub conventions: Vec<(&'static str, &'static str)>,
}

/// One run of the model.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// Tokens in the cache before it.
    pub past: usize,
    /// Tokens that it took.
    pub tokens: usize,
    /// The id it added.
    pub id: i64,
    /// Wall-clock time.
    pub ms: f64,
    /// Multiplications inside contractions, as the ledger has them.
    #[serde(serialize_with = "json::quantity")]
    pub macs: Integer,
    /// All scalar operations, as the ledger has them.
    #[serde(serialize_with = "json::quantity")]
    pub flops: Integer,
}

impl Generation {
    fn phases(&self) -> Vec<(&'static str, &[Step])> {
        match self.steps.split_first() {
            Some((_, [])) => vec![("prompt", &self.steps[..])],
            Some((_, rest)) => vec![("prompt", &self.steps[..1]), ("new tokens", rest)],
            None => Vec::new(),
        }
    }
}

impl Record for Generation {
    fn document(&self) -> Document {
        let columns = vec![
            Column::name("phase"),
            Column::number("steps"),
            Column::number("tokens"),
            Column::number("ms"),
            Column::number("tokens/s"),
            Column::number("macs"),
            Column::number("flops"),
        ];
        let row = |name: &'static str, steps: &[Step]| {
            let tokens: usize = steps.iter().map(|step| step.tokens).sum();
            let ms: f64 = steps.iter().map(|step| step.ms).sum();
            let (macs, flops): (Integer, Integer) =
                (steps.iter().map(|s| &s.macs).sum(), steps.iter().map(|s| &s.flops).sum());
            Row::new([
                name.into(),
                Integer::from(steps.len()).cell(),
                Integer::from(tokens).cell(),
                format!("{ms:.1}").into(),
                format!("{:.1}", tokens as f64 / ms * 1e3).into(),
                macs.cell(),
                flops.cell(),
            ])
        };
        let mut rows: Vec<Row> =
            self.phases().into_iter().map(|(name, steps)| row(name, steps)).collect();
        rows.push(row("all", &self.steps).ruled());
        let ids: Vec<String> = self.generated.iter().map(i64::to_string).collect();
        let mut lines = vec![format!("ids: {}", ids.join(", "))];
        lines.extend(self.text.iter().map(|text| format!("text: {text}")));
        let cache = format!("cache of keys and values: {} bytes, f32", self.cache_bytes);
        let told = std::iter::once(cache).chain(self.theorem.lines()).collect();
        Document {
            blocks: vec![
                Block::Title(format!("{}, {} threads", self.model, self.threads)),
                Block::Lines(lines),
                Block::Table(Table { columns, rows }),
                Block::Lines(told),
                Block::Text(convention_line(&["macs", "flops"])),
            ],
        }
    }

    fn rows(&self) -> Table {
        let columns = ["past", "tokens", "id", "ms", "macs", "flops"].map(Column::word).to_vec();
        let row = |step: &Step| {
            Row::new([
                Integer::from(step.past).cell(),
                Integer::from(step.tokens).cell(),
                Integer::from(step.id).cell(),
                format!("{}", step.ms).into(),
                step.macs.cell(),
                step.flops.cell(),
            ])
        };
        Table { columns, rows: self.steps.iter().map(row).collect() }
    }
}
