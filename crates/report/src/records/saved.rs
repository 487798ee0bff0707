//! What PyTorch saves of a forward pass.

use opledger_dims::Integer;
use serde::Serialize;

use crate::{Amount, Block, Cell, Column, Row, Table, json};

/// The bytes that eager PyTorch keeps of a forward pass for its backward.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SavedCost {
    /// How attention runs: `autograd` or `flash`.
    pub policy: String,
    /// The type of parameters and values.
    pub dtype: &'static str,
    /// How the model is written.
    pub written: String,
    /// Whether modules drop out.
    pub dropout: bool,
    /// All of them.
    #[serde(serialize_with = "json::quantity")]
    pub bytes: Integer,
    /// Their formula, at sizes at which tensors lie as they do at these.
    pub formula: String,
    /// The same by the module whose call first saves them.
    pub modules: Vec<SavedModule>,
}

/// What a module saves, all its runs together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SavedModule {
    /// Its path.
    pub path: String,
    /// Bytes.
    #[serde(serialize_with = "json::quantity")]
    pub bytes: Integer,
    /// Their formula.
    pub formula: String,
}

impl SavedCost {
    pub(crate) fn blocks(&self) -> [Block; 2] {
        let columns = vec![
            Column::name(format!("saved by PyTorch, {}", self.policy)),
            Column::number("bytes"),
            Column::text("formula").dispensable(1),
        ];
        let row = |path: &str, bytes: &Integer, formula: &str| {
            let path = if path.is_empty() { "(itself)" } else { path };
            Row::new([Cell::from(path), bytes.cell(), Cell::from(formula)])
        };
        let own = self.modules.iter();
        let mut rows: Vec<Row> = own.map(|own| row(&own.path, &own.bytes, &own.formula)).collect();
        rows.push(row("all", &self.bytes, &self.formula).ruled());
        let dropout = if self.dropout { "its usual dropout" } else { "no dropout" };
        let told = format!(
            "Saved: what eager PyTorch 2.15 keeps for the backward on a CPU, each storage once, without parameters \
             and buffers; {}, {}, {dropout}.",
            self.written, self.dtype,
        );
        [Block::Table(Table { columns, rows }), Block::Text(told)]
    }
}
