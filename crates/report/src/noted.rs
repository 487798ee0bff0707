//! What is told beside a result, in the result's own notation.

use serde::Serialize;

use crate::{Block, Document, Format, Record, Table};

/// A result with notes: last in a table for people, and `notes` in JSON.
#[derive(Clone, Debug, Serialize)]
pub struct Noted<'r, R> {
    #[serde(flatten)]
    record: &'r R,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    notes: &'r [String],
}

impl<'r, R> Noted<'r, R> {
    /// A result with notes.
    pub fn new(record: &'r R, notes: &'r [String]) -> Self {
        Noted { record, notes }
    }
}

impl Format {
    /// Whether notes have a place in the format; in others they stand beside it.
    pub fn has_notes(self) -> bool {
        match self {
            Format::Table | Format::Markdown | Format::Json => true,
            Format::Csv | Format::Latex => false,
        }
    }
}

impl<R: Record> Record for Noted<'_, R> {
    fn document(&self) -> Document {
        let mut document = self.record.document();
        if !self.notes.is_empty() {
            let lines = self.notes.iter().map(|note| format!("note: {note}")).collect();
            document.blocks.push(Block::Lines(lines));
        }
        document
    }

    fn rows(&self) -> Table {
        self.record.rows()
    }

    fn latex(&self) -> Option<String> {
        self.record.latex()
    }
}
