//! The kinds of layers a model can be written with.

use serde::Serialize;

use crate::{Block, Column, Document, Record, Row, Table};

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
        let mut blocks = Vec::new();
        for kind in &self.kinds {
            let columns = vec![
                Column { narrowest: Some(10), ..Column::word("key") },
                Column { narrowest: Some(10), ..Column::text("values") },
                Column { narrowest: Some(10), ..Column::text("default") },
                Column::text("meaning"),
            ];
            let row = |key: &KindKey| {
                Row::new(
                    [&key.name, &key.values, &key.default, &key.meaning].map(|t| t.as_str().into()),
                )
            };
            blocks.push(Block::Title(format!("{}: {}", kind.name, kind.summary)));
            blocks.push(Block::Table(Table { columns, rows: kind.keys.iter().map(row).collect() }));
        }
        let symbols = "A key whose default is a symbol stays one unless --set gives it a size.";
        blocks.push(Block::Text(symbols.to_owned()));
        Document { blocks }
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
