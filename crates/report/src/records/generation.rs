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
    /// The run of the encoder over the prompt, where the model has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceRun>,
    /// The steps, the first of which takes the prompt; of a model with an encoder, the first token.
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

/// The run of an encoder.
#[derive(Clone, Debug, Serialize)]
pub struct SourceRun {
    /// Tokens that it took.
    pub tokens: usize,
    /// Wall-clock time.
    pub ms: f64,
    /// Multiplications inside contractions, as the ledger has them.
    #[serde(serialize_with = "json::quantity")]
    pub macs: Integer,
    /// All scalar operations, as the ledger has them.
    #[serde(serialize_with = "json::quantity")]
    pub flops: Integer,
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
    /// Steps, tokens, time, macs and flops of what is done one after the other.
    fn phases(&self) -> Vec<(&'static str, Phase)> {
        let encoder = self.source.iter().map(|run| ("encoder", Phase::of_source(run)));
        let (first, rest) = self.steps.split_at(self.steps.len().min(1));
        let name = if self.source.is_some() { "first token" } else { "prompt" };
        let steps = [(name, first), ("new tokens", rest)].into_iter();
        let steps = steps.filter(|(_, steps)| !steps.is_empty());
        encoder.chain(steps.map(|(name, steps)| (name, Phase::of_steps(steps)))).collect()
    }
}

/// What one phase took.
#[derive(Clone, Default)]
struct Phase {
    runs: usize,
    tokens: usize,
    ms: f64,
    macs: Integer,
    flops: Integer,
}

impl Phase {
    fn of_source(run: &SourceRun) -> Phase {
        let SourceRun { tokens, ms, macs, flops } = run.clone();
        Phase { runs: 1, tokens, ms, macs, flops }
    }

    fn of_steps(steps: &[Step]) -> Phase {
        Phase {
            runs: steps.len(),
            tokens: steps.iter().map(|step| step.tokens).sum(),
            ms: steps.iter().map(|step| step.ms).sum(),
            macs: steps.iter().map(|step| &step.macs).sum(),
            flops: steps.iter().map(|step| &step.flops).sum(),
        }
    }

    fn and(self, other: &Phase) -> Phase {
        Phase {
            runs: self.runs + other.runs,
            tokens: self.tokens + other.tokens,
            ms: self.ms + other.ms,
            macs: self.macs + &other.macs,
            flops: self.flops + &other.flops,
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
        let row = |name: &'static str, phase: &Phase| {
            let Phase { runs, tokens, ms, macs, flops } = phase;
            Row::new([
                name.into(),
                Integer::from(*runs).cell(),
                Integer::from(*tokens).cell(),
                format!("{ms:.1}").into(),
                format!("{:.1}", *tokens as f64 / ms * 1e3).into(),
                macs.cell(),
                flops.cell(),
            ])
        };
        let phases = self.phases();
        let mut rows: Vec<Row> = phases.iter().map(|(name, phase)| row(name, phase)).collect();
        let all = phases.iter().fold(Phase::default(), |all, (_, phase)| all.and(phase));
        rows.push(row("all", &all).ruled());
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
