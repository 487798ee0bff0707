//! Table files: what a source printed, and how it is computed.

use std::collections::BTreeMap;

use opledger_dims::{escaped, nearest};
use opledger_report::{AuditedRead, AuditedTable};
use serde::Deserialize;
use serde_json::Value;

use crate::quantity::Cells;
use crate::reading::Reading;
use crate::{AuditError, TableProblem};

/// A published table, or formulas and rules of one source.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedTable {
    /// Its name here.
    pub id: String,
    /// What it is about.
    pub title: String,
    /// Paper and table, or address.
    pub source: String,
    /// Where its cells were read; of several that speak of a cell the last counts.
    #[serde(default)]
    pub read: Vec<AuditedRead>,
    /// What is assumed where the source leaves it open.
    pub assumes: Vec<String>,
    /// Titles of the columns; the first names the rows.
    #[serde(default)]
    pub(crate) columns: Vec<String>,
    /// A cell for each column as printed; null where nothing is.
    #[serde(default)]
    pub(crate) rows: Vec<Vec<Value>>,
    /// How columns are computed, the source's own words first.
    #[serde(default)]
    pub(crate) readings: Vec<Reading>,
    #[serde(default)]
    pub(crate) formulas: Vec<PrintedFormula>,
    #[serde(default)]
    pub(crate) rules: Vec<ApproximateRule>,
    /// What errors call the file.
    #[serde(skip)]
    file: String,
}

/// A printed formula.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PrintedFormula {
    /// What it gives.
    pub(crate) name: String,
    /// As the source writes it, where that is no polynomial text.
    pub(crate) text: Option<String>,
    /// As a polynomial.
    pub(crate) printed: String,
    /// What the source's sizes are in others.
    #[serde(default)]
    pub(crate) sizes: BTreeMap<String, String>,
    /// What it is compared with.
    pub(crate) readings: Vec<Reading>,
}

/// An approximate rule, held against what is exact for each row, at sizes of a symbol.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApproximateRule {
    /// The rule.
    pub(crate) name: String,
    /// What it approximates.
    pub(crate) states: String,
    /// The symbol.
    pub(crate) symbol: String,
    /// Its sizes.
    pub(crate) sizes: Vec<u64>,
    /// The rule over what is exact.
    pub(crate) reading: Reading,
}

impl PublishedTable {
    /// Reads a table; `file` is what errors call it.
    ///
    /// # Errors
    /// [`AuditError::Malformed`] with the key or the line, [`AuditError::Place`] for what contradicts
    /// the columns.
    pub fn read(file: &str, text: &str) -> Result<PublishedTable, AuditError> {
        let mut table: PublishedTable = serde_json::from_str(text).map_err(|problem| {
            AuditError::Malformed { file: file.to_owned(), problem: problem.to_string() }
        })?;
        table.file = file.to_owned();
        for (index, row) in table.rows.iter().enumerate() {
            let (found, wanted) = (row.len(), table.columns.len());
            if found != wanted {
                let problem = TableProblem::Cells { found, wanted };
                return Err(table.place(format!("row {}", index + 1), problem));
            }
        }
        let rules = table.rules.iter().map(|rule| &rule.reading);
        for reading in table.readings.iter().chain(rules) {
            let mut named = reading.quantities.values().flat_map(|quantity| quantity.columns());
            if let Some(name) = named.find(|name| !table.columns.iter().any(|c| c == name)) {
                let name = format!("`{{{name}}}`");
                let problem = TableProblem::NoColumn { name, columns: table.columns.join(", ") };
                return Err(table.place(format!("reading `{}`", reading.name), problem));
            }
        }
        let unread = table.formulas.iter().find(|formula| formula.readings.is_empty());
        if let Some(formula) = unread {
            let place = format!("formula `{}`", escaped(&formula.name));
            return Err(table.place(place, TableProblem::NoReading));
        }
        let rows_alone = table.formulas.is_empty() && table.rules.is_empty();
        if table.readings.is_empty()
            && (rows_alone || !table.rows.is_empty() && table.rules.is_empty())
        {
            return Err(table.place("the table".to_owned(), TableProblem::NoReading));
        }
        for read in &table.read {
            table.check_read(read)?;
        }
        for reading in &table.readings {
            let known = reading.column.as_ref().is_some_and(|c| table.columns.contains(c));
            if !known {
                let name = match &reading.column {
                    Some(column) => format!("`{}`", escaped(column)),
                    None => "`column`, which is missing,".to_owned(),
                };
                let problem = TableProblem::NoColumn { name, columns: table.columns.join(", ") };
                return Err(table.place(format!("reading `{}`", reading.name), problem));
            }
        }
        Ok(table)
    }

    /// Whether it has an approximate rule.
    pub fn has_rules(&self) -> bool {
        !self.rules.is_empty()
    }

    /// That the row and the column stand in the table.
    fn check_read(&self, read: &AuditedRead) -> Result<(), AuditError> {
        let formulas = self.formulas.iter().map(|formula| formula.name.as_str());
        let rows = self.rows.iter().filter_map(|row| row.first()?.as_str()).chain(formulas);
        let columns = self.columns.iter().map(String::as_str).chain([FORMULA]);
        let named = [("row", &read.row, rows.collect::<Vec<_>>())];
        let named = named.into_iter().chain([("column", &read.column, columns.collect())]);
        for (what, name, known) in named {
            if let Some(name) = name.as_deref().filter(|name| !known.contains(name)) {
                let problem = TableProblem::NotThere { what, name: name.to_owned() };
                return Err(self.place("`read`".to_owned(), problem));
            }
        }
        Ok(())
    }

    pub(crate) fn place(&self, place: String, problem: TableProblem) -> AuditError {
        AuditError::Place { file: self.file.clone(), place, problem }
    }

    /// The columns that are computed, in their order.
    pub(crate) fn computed(&self) -> impl Iterator<Item = &str> {
        let is_computed = |column: &&String| {
            self.readings.iter().any(|reading| reading.column.as_ref() == Some(*column))
        };
        self.columns.iter().filter(is_computed).map(String::as_str)
    }

    /// The rows by name.
    pub(crate) fn rows(&self) -> Result<Vec<(String, Cells)>, AuditError> {
        let row = |cells: &Vec<Value>| {
            let mut row = Cells::default();
            for (column, cell) in self.columns.iter().zip(cells) {
                let text = match cell {
                    Value::Null => continue,
                    Value::String(text) => text.clone(),
                    Value::Number(number) => number.to_string(),
                    other => {
                        let problem = TableProblem::NoCellValue { found: other.to_string() };
                        return Err(self.place(format!("column `{column}`"), problem));
                    }
                };
                if let Ok(size) = text.parse::<opledger_dims::Integer>() {
                    row.sizes.set(column.as_str(), size);
                }
                row.texts.push((column.clone(), text));
            }
            let name = row.texts.first().map(|(_, text)| text.clone()).unwrap_or_default();
            Ok((name, row))
        };
        self.rows.iter().map(row).collect()
    }
}

/// The column under which formulas stand.
pub(crate) const FORMULA: &str = "formula";

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        const FILES: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../tables/", $name, ".json")))),*];
    };
}

files! {
    "bert",
    "chinchilla-appendix-f",
    "chinchilla-table-a4",
    "chinchilla-table-a9",
    "gpt-2",
    "gpt-3-table-2.1",
    "inference-arithmetic",
    "korthikanti",
    "llama",
    "maxtext-1988",
    "megatron-table-1",
    "palm-mfu",
    "rules",
    "scaling-book",
    "swin-table-1",
    "training-rules",
    "vaswani-table-3",
    "vit-table-1",
}

/// The names of all tables.
pub fn table_names() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|(name, _)| *name)
}

/// The table of a name.
///
/// # Errors
/// [`AuditError::Unknown`] when there is none.
pub fn table(name: &str) -> Result<PublishedTable, AuditError> {
    match FILES.iter().find(|(known, _)| *known == name) {
        Some((name, text)) => PublishedTable::read(&format!("{name}.json"), text),
        None => Err(AuditError::Unknown {
            name: escaped(name),
            nearest: nearest(name, table_names()),
            known: table_names().collect::<Vec<_>>().join(", "),
        }),
    }
}

/// Settles the table of a name.
///
/// # Errors
/// As [`table`] and [`PublishedTable::settle`].
pub fn audit(name: &str) -> Result<AuditedTable, AuditError> {
    table(name)?.settle()
}
