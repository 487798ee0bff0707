//! What a record looks like to a reader, before any notation.

use std::borrow::Cow;

use num_traits::ToPrimitive;
use opledger_dims::Integer;

use crate::number::{decimals, thousands};

/// Lines and tables, top to bottom.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Document {
    /// The blocks.
    pub blocks: Vec<Block>,
}

impl Document {
    /// The same without bars.
    pub(crate) fn without_bars(mut self) -> Self {
        for block in &mut self.blocks {
            if let Block::Table(table) = block {
                *table = table.without_bars();
            }
        }
        self
    }
}

/// One block of a document.
#[derive(Clone, Debug, PartialEq)]
pub enum Block {
    /// What the document is about.
    Title(String),
    /// A paragraph.
    Text(String),
    /// Lines kept as they are.
    Lines(Vec<String>),
    /// A table.
    Table(Table),
}

/// Rows under named columns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// The columns.
    pub columns: Vec<Column>,
    /// The rows, each with a cell per column.
    pub rows: Vec<Row>,
}

/// A column.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Its name.
    pub title: Cow<'static, str>,
    /// Whether cells stand at its right edge, as numbers do.
    pub right: bool,
    /// The width down to which its cells may be wrapped; `None` when they are never.
    pub narrowest: Option<usize>,
    /// Whether it may be left out where the table is too wide otherwise: never for 0, the highest
    /// number first.
    pub dispensable: u8,
    /// Whether its cells are cut where there is no room, not wrapped.
    pub cut: bool,
    /// Whether its cells are bars, drawn where they are asked for and there is room.
    pub bar: bool,
}

impl Column {
    /// A column of bars, which say nothing that another column does not.
    pub fn bar() -> Self {
        Column { bar: true, ..Column::word("") }
    }

    /// A column of short names, wrapped only where a table would not fit otherwise.
    pub fn name(title: impl Into<Cow<'static, str>>) -> Self {
        let title = title.into();
        Column { narrowest: Some(36), ..Column::word(title) }
    }

    /// A column of words that are never wrapped.
    pub fn word(title: impl Into<Cow<'static, str>>) -> Self {
        let title = title.into();
        Column { title, right: false, narrowest: None, dispensable: 0, cut: false, bar: false }
    }

    /// A column of text or formulas, wrapped to what room there is.
    pub fn text(title: impl Into<Cow<'static, str>>) -> Self {
        let title = title.into();
        Column { narrowest: Some(14), ..Column::word(title) }
    }

    /// A column of numbers.
    pub fn number(title: impl Into<Cow<'static, str>>) -> Self {
        let title = title.into();
        Column { right: true, ..Column::word(title) }
    }

    /// The same column, which may be left out where there is no room.
    #[must_use]
    pub fn dispensable(self, rank: u8) -> Self {
        Column { dispensable: rank, ..self }
    }
}

impl Table {
    /// The same without bars.
    pub(crate) fn without_bars(&self) -> Table {
        let kept = || self.columns.iter().enumerate().filter(|(_, column)| !column.bar);
        let rows = self.rows.iter().map(|row| Row {
            cells: kept().filter_map(|(at, _)| row.cells.get(at).cloned()).collect(),
            ruled: row.ruled,
        });
        Table { columns: kept().map(|(_, column)| column.clone()).collect(), rows: rows.collect() }
    }
}

/// A row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// Its cells.
    pub cells: Vec<Cell>,
    /// Whether a line sets it off from the rows above.
    pub ruled: bool,
}

impl Row {
    /// A row of cells.
    pub fn new(cells: impl IntoIterator<Item = Cell>) -> Self {
        Row { cells: cells.into_iter().collect(), ruled: false }
    }

    /// The same row, set off from the rows above.
    #[must_use]
    pub fn ruled(self) -> Self {
        Row { ruled: true, ..self }
    }
}

/// A cell.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Cell {
    /// Nothing.
    #[default]
    Empty,
    /// Text.
    Text(String),
    /// Text with a tone, coloured where colours are on.
    Toned(String, Tone),
    /// A whole number of any size.
    Number(Integer),
    /// A measured number and how many decimals of it are shown to people.
    Real(f64, usize),
    /// A share of a whole, from 0 to 1, as a bar.
    Share(f64),
}

impl Cell {
    /// A measured number, or nothing.
    pub fn real(value: Option<f64>, decimals: usize) -> Self {
        value.map_or(Cell::Empty, |value| Cell::Real(value, decimals))
    }

    /// A part of a whole, as a bar.
    pub fn share(part: &Integer, whole: &Integer) -> Self {
        let (part, whole) = (part.to_f64(), whole.to_f64());
        let share = part.zip(whole).map(|(part, whole)| part / whole);
        share.filter(|share| (0.0..=1.0).contains(share)).map_or(Cell::Empty, Cell::Share)
    }

    /// As people read it.
    pub(crate) fn shown(&self) -> String {
        match self {
            Cell::Empty | Cell::Share(_) => String::new(),
            Cell::Text(text) | Cell::Toned(text, _) => text.clone(),
            Cell::Number(number) => thousands(number),
            Cell::Real(number, places) => decimals(*number, *places),
        }
    }

    /// As programs read it.
    pub(crate) fn raw(&self) -> String {
        match self {
            Cell::Number(number) => number.to_string(),
            Cell::Real(number, _) => number.to_string(),
            other => other.shown(),
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Cell::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Cell::Text(text)
    }
}

impl From<&Integer> for Cell {
    fn from(number: &Integer) -> Self {
        Cell::Number(number.clone())
    }
}

/// What a word means to the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// To be read with care.
    Careful,
    /// Not as it should be.
    Bad,
}
