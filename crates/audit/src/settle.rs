//! Settling a table: each cell under each reading, formulas as polynomials, rules along a size.

use opledger_dims::{Poly, Symbol};
use opledger_report::{
    AuditedCell, AuditedColumn, AuditedRead, AuditedReading, AuditedRule, AuditedSearch,
    AuditedSeries, AuditedTable, Outcome, Provenance,
};

use crate::number::Printed;
use crate::quantity::{Cells, substitute};
use crate::reading::Reading;
use crate::search::search;
use crate::table::{ApproximateRule, FORMULA, PrintedFormula, PublishedTable};
use crate::{AuditError, TableProblem};

impl PublishedTable {
    /// Computes every cell, formula, search and rule.
    ///
    /// # Errors
    /// Which column, row, formula or key of the file has no meaning.
    pub fn settle(&self) -> Result<AuditedTable, AuditError> {
        let rows = self.rows()?;
        let mut cells = Vec::new();
        for (name, row) in &rows {
            for column in self.computed() {
                let Some(printed) = self.printed(row, column)? else { continue };
                let place = || format!("column `{column}`, row `{name}`");
                let readings = self.readings.iter().filter(|r| r.column.as_deref() == Some(column));
                let readings = readings
                    .filter(|reading| reading.unknown.is_none() && reading.applies(row))
                    .map(|reading| number(reading, row, &printed))
                    .collect::<Result<Vec<_>, _>>()
                    .map_err(|problem| self.place(place(), problem))?;
                let printed = row.text(column).unwrap_or_default();
                cells.push(self.cell(name, column, printed, readings));
            }
        }
        for formula in &self.formulas {
            let readings = formula.readings.iter().map(|reading| compare(formula, reading));
            let readings = readings
                .collect::<Result<Vec<_>, _>>()
                .map_err(|problem| self.place(format!("formula `{}`", formula.name), problem))?;
            let printed = formula.text.as_ref().unwrap_or(&formula.printed);
            cells.push(self.cell(&formula.name, FORMULA, printed, readings));
        }
        let columns = one_reading_each(&cells);
        for cell in &mut cells {
            cell.outcome = outcome(cell, &columns);
        }
        let rule = |rule: &ApproximateRule| {
            let place = |problem| self.place(format!("rule `{}`", rule.name), problem);
            series(rule, &rows).map_err(place)
        };
        Ok(AuditedTable {
            id: self.id.clone(),
            title: self.title.clone(),
            source: self.source.clone(),
            read: self.read.clone(),
            assumes: self.assumes.clone(),
            cells,
            columns,
            searches: self.searches(&rows)?,
            rules: self.rules.iter().map(rule).collect::<Result<_, _>>()?,
        })
    }

    /// A cell, with how what it prints is known; what becomes of it is still open.
    fn cell(
        &self,
        row: &str,
        column: &str,
        printed: &str,
        readings: Vec<AuditedReading>,
    ) -> AuditedCell {
        let read = self.read.iter().rev().find(|read| read.is_about(row, column));
        AuditedCell {
            row: row.to_owned(),
            column: column.to_owned(),
            printed: printed.to_owned(),
            read: read.map(|read| AuditedRead { row: None, column: None, ..read.clone() }),
            outcome: Outcome::Differs,
            readings,
        }
    }

    fn searches(&self, rows: &[(String, Cells)]) -> Result<Vec<AuditedSearch>, AuditError> {
        let mut searches = Vec::new();
        for reading in &self.readings {
            let (Some(unknown), Some(column)) = (&reading.unknown, &reading.column) else {
                continue;
            };
            let mut printed = Vec::new();
            for (name, row) in rows {
                if let Some(number) = self.printed(row, column)? {
                    printed.push((name.clone(), row.clone(), number));
                }
            }
            let place = |problem| self.place(format!("reading `{}`", reading.name), problem);
            searches.push(search(reading, unknown, &printed).map_err(place)?);
        }
        Ok(searches)
    }

    /// The number printed in a row's cell, where there is one.
    fn printed(&self, row: &Cells, column: &str) -> Result<Option<Printed>, AuditError> {
        let Some(text) = row.text(column) else { return Ok(None) };
        let problem = || TableProblem::NoNumber { text: text.to_owned() };
        let printed = Printed::read(text);
        printed.map(Some).ok_or_else(|| self.place(format!("column `{column}`"), problem()))
    }
}

/// Whether anybody read what a cell prints.
fn was_read(cell: &AuditedCell) -> bool {
    cell.read.as_ref().is_none_or(|read| read.how != Provenance::Unread)
}

/// The column of a cell: a formula is one of its own.
fn column_of(cell: &AuditedCell) -> String {
    match cell.column == FORMULA {
        true => format!("{FORMULA} {}", cell.row),
        false => cell.column.clone(),
    }
}

/// For each column the reading under which most of its cells agree, the first of several. Fitted
/// readings take no part.
fn one_reading_each(cells: &[AuditedCell]) -> Vec<AuditedColumn> {
    let mut columns: Vec<String> = Vec::new();
    for cell in cells.iter().map(column_of) {
        if !columns.contains(&cell) {
            columns.push(cell);
        }
    }
    let column = |name: String| {
        let own = || cells.iter().filter(|cell| column_of(cell) == name && was_read(cell));
        let mut readings: Vec<&str> = Vec::new();
        for reading in own().flat_map(|cell| &cell.readings).filter(|reading| !reading.fitted) {
            if !readings.contains(&reading.name.as_str()) {
                readings.push(&reading.name);
            }
        }
        let agree = |name: &str| own().filter(|cell| agrees_under(cell, name)).count();
        // Of equal counts the last would be taken, so they are gone through from the end.
        let best = readings.iter().rev().max_by_key(|name| agree(name))?;
        Some(AuditedColumn {
            column: name.clone(),
            reading: (*best).to_owned(),
            agree: agree(best),
            cells: own().count(),
            any: own().filter(|cell| cell.agrees()).count(),
            readings: readings.len(),
        })
    };
    columns.into_iter().filter_map(column).collect()
}

fn agrees_under(cell: &AuditedCell, name: &str) -> bool {
    cell.readings.iter().any(|reading| reading.name == name && reading.agrees && !reading.fitted)
}

/// What becomes of a cell, given the one reading of its column.
fn outcome(cell: &AuditedCell, columns: &[AuditedColumn]) -> Outcome {
    let one = columns.iter().find(|column| column.column == column_of(cell));
    let fits = |reading: &AuditedReading| reading.agrees && reading.fitted;
    match one {
        _ if !was_read(cell) => Outcome::Unread,
        Some(one) if agrees_under(cell, &one.reading) => Outcome::Agrees,
        _ if cell.agrees() => Outcome::AgreesOtherwise,
        _ if cell.readings.iter().any(fits) => Outcome::Fitted,
        _ => Outcome::Differs,
    }
}

/// A number under a reading.
fn number(
    reading: &Reading,
    row: &Cells,
    printed: &Printed,
) -> Result<AuditedReading, TableProblem> {
    let value = reading.number(row).map_err(|e| e.of(format!("reading `{}`", reading.name)))?;
    let agrees = printed.is(&value);
    let places = if value.is_whole() { 0 } else { printed.places() + 2 };
    let difference = if agrees { None } else { printed.percent_off(&value) };
    Ok(AuditedReading {
        name: reading.name.clone(),
        computed: value.decimal(places),
        exact: Some((value.numerator, value.denominator)),
        agrees,
        difference,
        fitted: reading.fitted,
        derived: reading.is_derived(),
    })
}

/// A formula against the polynomial that a reading derives.
fn compare(formula: &PrintedFormula, reading: &Reading) -> Result<AuditedReading, TableProblem> {
    let none = Cells::default();
    let mut printed = none.poly(&formula.printed)?;
    let mut sizes = Vec::new();
    for (symbol, text) in &formula.sizes {
        sizes.push((Symbol::new(symbol), none.poly(text)?));
    }
    printed = substitute(&printed, &sizes);
    let (value, over) =
        reading.ratio(&none).map_err(|e| e.of(format!("reading `{}`", reading.name)))?;
    let difference = &value - &(&printed * &over);
    let agrees = difference.is_zero();
    let over = if over == Poly::one() { String::new() } else { format!(" over {over}") };
    Ok(AuditedReading {
        name: reading.name.clone(),
        computed: format!("{value}{over}"),
        exact: None,
        agrees,
        difference: (!agrees).then(|| format!("{difference}{over}")),
        fitted: reading.fitted,
        derived: reading.is_derived(),
    })
}

/// How far a rule is above what is exact, along the sizes of a symbol.
fn series(rule: &ApproximateRule, rows: &[(String, Cells)]) -> Result<AuditedRule, TableProblem> {
    let mut series = Vec::new();
    for (name, row) in rows {
        let mut points = Vec::new();
        for size in &rule.sizes {
            let mut row = row.clone();
            row.sizes.set(Symbol::new(&rule.symbol), *size);
            let mut ratio = rule.reading.number(&row).map_err(|e| e.of(format!("row `{name}`")))?;
            ratio.numerator = (ratio.numerator - &ratio.denominator) * 100;
            points.push((*size, ratio.real()));
        }
        series.push(AuditedSeries { name: name.clone(), points });
    }
    Ok(AuditedRule {
        name: rule.name.clone(),
        states: rule.states.clone(),
        symbol: rule.symbol.clone(),
        series,
    })
}
