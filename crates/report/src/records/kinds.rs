//! The kinds of layers a model can be written with.

use serde::Serialize;

use crate::{Block, Cell, Column, Document, Record, Row, Table};

/// The kinds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kinds {
    /// Each kind.
    pub kinds: Vec<Kind>,
}

/// A kind of layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kind {
    /// Its name.
    pub name: String,
    /// What it is.
    pub summary: String,
    /// Its keys.
    pub keys: Vec<KindKey>,
}

/// A key of a kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KindKey {
    /// Its name.
    pub name: String,
    /// What it takes.
    pub values: String,
    /// Its value when it is not given.
    pub default: String,
    /// What it means.
    pub meaning: String,
}

impl Record for Kinds {
    fn document(&self) -> Document {
        let mut table = Table {
            columns: vec![
                Column::word("kind"),
                Column::word("key"),
                Column { narrowest: Some(10), ..Column::text("values") },
                Column { narrowest: Some(10), ..Column::text("default") },
                Column::text("meaning"),
            ],
            rows: Vec::new(),
        };
        for (i, kind) in self.kinds.iter().enumerate() {
            let head = Row::new([
                kind.name.as_str().into(),
                Cell::Empty,
                Cell::Empty,
                Cell::Empty,
                kind.summary.as_str().into(),
            ]);
            table.rows.push(Row { ruled: i > 0, ..head });
            for key in &kind.keys {
                table.rows.push(Row::new([
                    Cell::Empty,
                    key.name.as_str().into(),
                    key.values.as_str().into(),
                    key.default.as_str().into(),
                    key.meaning.as_str().into(),
                ]));
            }
        }
        let symbols =
            "symbols: b batch, n tokens, m source tokens, l depth; --set gives them sizes";
        Document { blocks: vec![Block::Table(table), Block::Text(symbols.to_owned())] }
    }

    fn rows(&self) -> Table {
        let columns = ["kind", "key", "values", "default", "meaning"].map(Column::word).to_vec();
        let mut rows = Vec::new();
        for kind in &self.kinds {
            for key in &kind.keys {
                rows.push(Row::new([
                    kind.name.as_str().into(),
                    key.name.as_str().into(),
                    key.values.as_str().into(),
                    key.default.as_str().into(),
                    key.meaning.as_str().into(),
                ]));
            }
        }
        Table { columns, rows }
    }
}
