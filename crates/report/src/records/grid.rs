//! A model at many sizes: points that are counted while they are written, so that memory does not grow with them.

use std::cell::{Cell as Slot, RefCell};
use std::io::{self, Write};

use opledger_dims::{Binding, Integer};
use serde::ser::{Error, SerializeSeq};
use serde::{Serialize, Serializer};

use super::account::title;
use super::convention_line;
use super::totals::{COLUMNS, RunTotals};
use crate::{
    Amount, Block, Column, Document, Format, Layout, RenderError, Row, Style, csv, json, markdown,
    steady, text,
};

/// What the points of a grid share.
#[derive(Clone, Debug)]
pub struct Grid {
    /// The model.
    pub model: String,
    /// The sizes that all points share.
    pub binding: Binding,
    /// The symbols that take several sizes.
    pub symbols: Vec<String>,
    /// The type of the elements of the cache, where the model has one.
    pub cached_as: Option<&'static str>,
    /// What the numbers mean.
    pub conventions: Vec<(&'static str, &'static str)>,
}

/// A point of a [`Grid`].
#[derive(Clone, Debug, Serialize)]
pub struct GridPoint {
    /// The size of each symbol.
    #[serde(serialize_with = "json::list")]
    pub sizes: Vec<Integer>,
    /// What was counted.
    #[serde(flatten)]
    pub total: RunTotals,
    /// Bytes that the cache holds after all tokens of all items, where the model has one.
    #[serde(serialize_with = "json::optional", skip_serializing_if = "Option::is_none")]
    pub cache: Option<Integer>,
}

/// Why a grid was not written to its end.
#[derive(Debug, thiserror::Error)]
pub enum GridError<E> {
    /// A point could not be counted.
    #[error(transparent)]
    Point(E),
    /// What was written did not arrive.
    #[error(transparent)]
    Write(io::Error),
    /// A format that a grid has no form in.
    #[error(transparent)]
    Render(RenderError),
}

impl<E> From<io::Error> for GridError<E> {
    fn from(problem: io::Error) -> Self {
        GridError::Write(problem)
    }
}

impl Grid {
    /// Writes a grid, point by point. `points` counts all of them anew each time it is called; a table,
    /// whose widths follow from its cells, asks twice.
    ///
    /// # Errors
    /// When a point cannot be counted, the writer fails, or the format has no place for a grid.
    pub fn write<E, I: Iterator<Item = Result<GridPoint, E>>>(
        &self,
        points: impl Fn() -> I,
        notes: &[String],
        (format, style): (Format, Style),
        out: &mut impl Write,
    ) -> Result<(), GridError<E>> {
        let columns = self.columns();
        let rows = || points().map(|point| point.map(|point| row(&point)));
        let block = |block: Block| Document { blocks: vec![block] }.steady();
        let heading = block(Block::Title(title(&self.model, &self.binding)));
        let mut told = vec![Block::Text(convention_line(&["macs", "flops", "bytes"]))];
        if let Some(elem) = self.cached_as {
            let line = format!("cache: bytes of keys and values of all tokens, as {elem}");
            told.push(Block::Text(line));
        }
        if !notes.is_empty() {
            told.push(Block::Lines(notes.iter().map(|note| format!("note: {note}")).collect()));
        }
        let footing = Document { blocks: told }.steady();
        match format {
            Format::Csv => {
                out.write_all(csv::head(&columns).as_bytes())?;
                each(rows(), |row| out.write_all(csv::row(&row).as_bytes()))?;
            }
            Format::Markdown => {
                writeln!(out, "{}", markdown::document(&heading))?;
                out.write_all(markdown::head(&columns).as_bytes())?;
                each(rows(), |row| out.write_all(markdown::row(&row).as_bytes()))?;
                write!(out, "\n{}", markdown::document(&footing))?;
            }
            Format::Table => {
                let failed = Slot::new(None);
                let layout =
                    Layout::of(&columns, rows().map_while(|row| kept(row, &failed)), style);
                if let Some(problem) = failed.take() {
                    return Err(GridError::Point(problem));
                }
                write!(out, "{}\n{}", text::document(&heading, style), layout.head())?;
                each(rows(), |row| out.write_all(layout.row(&row).as_bytes()))?;
                write!(out, "{}\n{}", layout.foot(), text::document(&footing, style))?;
            }
            Format::Json => self.write_json(points(), notes, out)?,
            Format::Latex => return Err(GridError::Render(RenderError::Unsupported(format))),
        }
        Ok(out.flush()?)
    }

    fn columns(&self) -> Vec<Column> {
        let symbols = self.symbols.iter().map(|symbol| Column::number(symbol.clone()));
        let cache = self.cached_as.map(|_| Column::number("cache"));
        symbols.chain(COLUMNS.map(Column::number)).chain(cache).collect()
    }

    fn write_json<E>(
        &self,
        points: impl Iterator<Item = Result<GridPoint, E>>,
        notes: &[String],
        out: &mut impl Write,
    ) -> Result<(), GridError<E>> {
        let (points, failed) = (RefCell::new(points), Slot::new(None));
        let written = Written {
            model: &self.model,
            binding: &self.binding,
            symbols: &self.symbols,
            cached_as: self.cached_as,
            points: Points { points: &points, failed: &failed },
            conventions: &self.conventions,
            notes,
        };
        let result = serde_json::to_writer_pretty(steady::Json(&mut *out), &written);
        match (failed.take(), result) {
            (Some(problem), _) => Err(GridError::Point(problem)),
            (None, Err(problem)) if problem.is_io() => Err(GridError::Write(problem.into())),
            (None, Err(problem)) => Err(GridError::Render(RenderError::Json(problem.to_string()))),
            (None, Ok(())) => Ok(writeln!(out)?),
        }
    }
}

fn row(point: &GridPoint) -> Row {
    let sizes = point.sizes.iter().map(Amount::cell);
    let cache = point.cache.iter().map(Amount::cell);
    Row::new(sizes.chain(point.total.cells()).chain(cache).collect::<Vec<_>>())
}

fn each<T, E>(
    rows: impl Iterator<Item = Result<T, E>>,
    mut write: impl FnMut(T) -> io::Result<()>,
) -> Result<(), GridError<E>> {
    for row in rows {
        write(row.map_err(GridError::Point)?)?;
    }
    Ok(())
}

/// A result, or none and its problem kept.
fn kept<T, E>(result: Result<T, E>, failed: &Slot<Option<E>>) -> Option<T> {
    result.map_err(|problem| failed.set(Some(problem))).ok()
}

/// A grid as JSON.
#[derive(Serialize)]
#[serde(bound = "P: Iterator<Item = Result<GridPoint, E>>")]
struct Written<'g, P, E> {
    model: &'g str,
    #[serde(serialize_with = "json::binding")]
    binding: &'g Binding,
    symbols: &'g [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    cached_as: Option<&'static str>,
    points: Points<'g, P, E>,
    #[serde(serialize_with = "json::pairs")]
    conventions: &'g [(&'static str, &'static str)],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    notes: &'g [String],
}

struct Points<'g, P, E> {
    points: &'g RefCell<P>,
    failed: &'g Slot<Option<E>>,
}

impl<P: Iterator<Item = Result<GridPoint, E>>, E> Serialize for Points<'_, P, E> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut list = out.serialize_seq(None)?;
        for point in &mut *self.points.borrow_mut() {
            let ended = || S::Error::custom("a point could not be counted");
            list.serialize_element(&kept(point, self.failed).ok_or_else(ended)?)?;
        }
        list.end()
    }
}
