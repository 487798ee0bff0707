//! The published models that are known by name.

use opledger_dims::Integer;
use serde::Serialize;

use crate::{Amount, Block, Column, Document, Record, Row, Table, json};

/// The models.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KnownModels {
    /// Each of them.
    pub models: Vec<KnownModel>,
}

/// A published model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KnownModel {
    /// Its name here.
    pub name: String,
    /// Its family.
    pub family: String,
    /// Its parameters, tied ones once.
    #[serde(serialize_with = "json::quantity")]
    pub parameters: Integer,
    /// Who published it.
    pub source: String,
}

impl Record for KnownModels {
    fn document(&self) -> Document {
        let told = "Parameters that two places share count once. Any other model of these families is \
                    given by its config.json, or the directory that holds it.";
        Document { blocks: vec![Block::Table(self.rows()), Block::Text(told.to_owned())] }
    }

    fn rows(&self) -> Table {
        let columns = vec![
            Column::name("model"),
            Column::word("family").dispensable(1),
            Column::number("params"),
            Column::text("source").dispensable(2),
        ];
        let row = |model: &KnownModel| {
            Row::new([
                model.name.as_str().into(),
                model.family.as_str().into(),
                model.parameters.cell(),
                model.source.as_str().into(),
            ])
        };
        Table { columns, rows: self.models.iter().map(row).collect() }
    }
}
