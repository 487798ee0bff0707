//! What a model costs in all, and for a whole generation.

use opledger_dims::{Binding, Counts, Integer};
use serde::Serialize;

use super::account::title;
use super::convention_line;
use crate::{Amount, Block, Cell, Column, Document, Record, Row, Table, json};

/// What was counted for the whole model.
#[derive(Clone, Debug, Serialize)]
pub struct RunTotals {
    /// Scalar operations by class.
    #[serde(serialize_with = "json::counts")]
    pub counts: Counts<Integer>,
    /// Multiplications inside contractions.
    #[serde(serialize_with = "json::quantity")]
    pub macs: Integer,
    /// All scalar operations, each worth one.
    #[serde(serialize_with = "json::quantity")]
    pub flops: Integer,
    /// Bytes of operands, each read once.
    #[serde(serialize_with = "json::quantity")]
    pub bytes_read: Integer,
    /// Bytes of results, each written once.
    #[serde(serialize_with = "json::quantity")]
    pub bytes_written: Integer,
}

pub(super) const COLUMNS: [&str; 4] = ["macs", "flops", "bytes read", "bytes written"];

impl RunTotals {
    pub(super) fn cells(&self) -> [Cell; 4] {
        [&self.macs, &self.flops, &self.bytes_read, &self.bytes_written].map(Amount::cell)
    }
}

/// What generating tokens costs, step by step summed.
#[derive(Clone, Debug, Serialize)]
pub struct GenerationCount {
    /// The model.
    pub model: String,
    /// The sizes, those of the prompt included.
    #[serde(serialize_with = "json::binding")]
    pub binding: Binding,
    /// Its parameters.
    #[serde(serialize_with = "json::quantity")]
    pub params: Integer,
    /// Tokens added, the first by the run over the prompt.
    pub new_tokens: u64,
    /// The run over the prompt.
    pub prompt: RunTotals,
    /// All later steps, one token each.
    pub steps: RunTotals,
    /// Both.
    pub all: RunTotals,
    /// What the numbers mean.
    #[serde(serialize_with = "json::pairs")]
    pub conventions: Vec<(&'static str, &'static str)>,
}

impl Record for GenerationCount {
    fn document(&self) -> Document {
        let told = "The run over the prompt gives the first new token, and scores of its last token \
                    only are computed; each later step takes one token and reads the others from the \
                    cache.";
        Document {
            blocks: vec![
                Block::Title(title(&self.model, &self.binding)),
                Block::Table(self.rows()),
                Block::Text(told.to_owned()),
                Block::Text(convention_line(&["macs", "flops", "bytes"])),
            ],
        }
    }

    fn rows(&self) -> Table {
        let names = [Column::name("phase"), Column::number("runs")];
        let columns = names.into_iter().chain(COLUMNS.map(Column::number)).collect();
        let steps = self.new_tokens.saturating_sub(1);
        let row = |name: &str, runs: u64, total: &RunTotals| {
            let first = [name.into(), Integer::from(runs).cell()];
            Row::new(first.into_iter().chain(total.cells()).collect::<Vec<_>>())
        };
        let rows = vec![
            row("prompt", 1, &self.prompt),
            row("new tokens", steps, &self.steps),
            row("all", steps + 1, &self.all).ruled(),
        ];
        Table { columns, rows }
    }
}
