//! The notations, and the one place where a record becomes text.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::text::Style;
use crate::{Document, Table, csv, json, markdown, steady, text};

/// How a record is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Table,
    /// For programs, with exact integers.
    Json,
    /// For spreadsheets: one row a node, without totals.
    Csv,
    /// For documents.
    Markdown,
    /// For papers: formulas only.
    Latex,
}

impl Format {
    /// Every format.
    pub const ALL: [Format; 5] =
        [Format::Table, Format::Json, Format::Csv, Format::Markdown, Format::Latex];

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Format::Table => "table",
            Format::Json => "json",
            Format::Csv => "csv",
            Format::Markdown => "markdown",
            Format::Latex => "latex",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = RenderError;

    fn from_str(name: &str) -> Result<Self, RenderError> {
        let format = Format::ALL.into_iter().find(|f| f.name() == name);
        format.ok_or_else(|| RenderError::Unknown(name.to_owned()))
    }
}

/// Why a record could not be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// No format of that name.
    #[error("there is no format `{0}`")]
    Unknown(String),
    /// A format that this record has no form in.
    #[error("this result has no form in {0}")]
    Unsupported(Format),
    /// A record that is no JSON.
    #[error("the result could not be written: {0}")]
    Json(String),
}

/// A result that can be written in every format.
pub trait Record: Serialize {
    /// As people read it.
    fn document(&self) -> Document;

    /// As spreadsheets read it: one table.
    fn rows(&self) -> Table;

    /// As LaTeX, where the record has formulas.
    fn latex(&self) -> Option<String> {
        None
    }
}

/// Writes a record, with a line break at its end.
///
/// # Errors
/// When the record has no form in the format.
pub fn render(record: &impl Record, format: Format, style: Style) -> Result<String, RenderError> {
    match format {
        Format::Table => Ok(text::document(&record.document().steady(), style)),
        Format::Markdown => Ok(markdown::document(&record.document().without_bars().steady())),
        Format::Csv => Ok(csv::table(&record.rows().without_bars().steady())),
        Format::Json => match json::pretty(record) {
            Ok(text) => Ok(steady::json(&text)),
            Err(e) => Err(RenderError::Json(e.to_string())),
        },
        Format::Latex => record.latex().ok_or(RenderError::Unsupported(format)),
    }
}
