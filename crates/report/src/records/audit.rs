//! Published tables, and what becomes of them when they are recomputed.

use opledger_dims::Integer;
use serde::{Deserialize, Serialize, Serializer};

use crate::{Amount, Block, Cell, Column, Document, Record, Row, Table, Tone, latex, thousands};

/// Tables that were recomputed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Audit {
    /// Each of them.
    pub tables: Vec<AuditedTable>,
    /// Whether people see every cell, and not a line for each table.
    #[serde(skip)]
    pub details: bool,
}

/// A published table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AuditedTable {
    /// Its name.
    pub id: String,
    /// What it is about.
    pub title: String,
    /// Paper and table, or address.
    pub source: String,
    /// Where its cells were read; of several that speak of a cell the last counts.
    pub read: Vec<AuditedRead>,
    /// What is assumed where the source leaves it open.
    pub assumes: Vec<String>,
    /// Numbers and formulas.
    pub cells: Vec<AuditedCell>,
    /// For each column, the one reading that most of its cells agree under.
    pub columns: Vec<AuditedColumn>,
    /// Sizes of unknowns that fit.
    pub searches: Vec<AuditedSearch>,
    /// Approximate rules.
    pub rules: Vec<AuditedRule>,
}

/// How it is known what a source prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Provenance {
    /// The source was read in full text.
    FullText,
    /// Code prints it, of the authors or of those who published the model.
    Code,
    /// The source was not read; transcriptions by others agree.
    Transcriptions,
    /// It could not be read; such cells are in no tally.
    Unread,
}

impl Provenance {
    fn words(self) -> &'static str {
        match self {
            Provenance::FullText => "in full text",
            Provenance::Code => "from code",
            Provenance::Transcriptions => "in transcriptions that agree",
            Provenance::Unread => "not read",
        }
    }
}

/// Where cells were read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditedRead {
    /// How what is printed is known.
    pub how: Provenance,
    /// The address: an arXiv number, a DOI, a file of a repository at a commit.
    pub at: String,
    /// The row it is about; every row where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<String>,
    /// The column it is about; every column where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
}

impl AuditedRead {
    /// Whether it speaks of a cell.
    pub fn is_about(&self, row: &str, column: &str) -> bool {
        let fits = |own: &Option<String>, name| own.as_deref().is_none_or(|own| own == name);
        fits(&self.row, row) && fits(&self.column, column)
    }

    fn line(&self) -> String {
        let names = [&self.row, &self.column].into_iter().flatten();
        let about: Vec<&str> = names.map(String::as_str).collect();
        let about =
            if about.is_empty() { String::new() } else { format!(" ({})", about.join(", ")) };
        format!("Read{about}: {}, {}.", self.how.words(), self.at.trim_end_matches('.'))
    }
}

/// What becomes of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It agrees under the one reading of its column.
    Agrees,
    /// It agrees under another reading than most of its column.
    AgreesOtherwise,
    /// It agrees only where a free size was chosen so that it does.
    Fitted,
    /// It agrees under no reading.
    Differs,
    /// Nobody read what is printed.
    Unread,
}

impl Outcome {
    const ALL: [Outcome; 5] = [
        Outcome::Agrees,
        Outcome::AgreesOtherwise,
        Outcome::Fitted,
        Outcome::Differs,
        Outcome::Unread,
    ];

    fn name(self) -> &'static str {
        match self {
            Outcome::Agrees => "agrees",
            Outcome::AgreesOtherwise => "agrees-otherwise",
            Outcome::Fitted => "fitted",
            Outcome::Differs => "differs",
            Outcome::Unread => "unread",
        }
    }
}

/// The one reading of a column under which most of its cells agree, the first of several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditedColumn {
    /// The column; a formula is a column of its own.
    pub column: String,
    /// The reading.
    pub reading: String,
    /// How many cells agree under it.
    pub agree: usize,
    /// How many cells there are that were read.
    pub cells: usize,
    /// How many agree under some reading that is not fitted.
    pub any: usize,
    /// How many readings were tried that are not fitted.
    pub readings: usize,
}

/// A printed number or formula.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditedCell {
    /// Its row.
    pub row: String,
    /// Its column.
    pub column: String,
    /// As printed.
    pub printed: String,
    /// How that is known, where the table says.
    pub read: Option<AuditedRead>,
    /// What becomes of it.
    pub outcome: Outcome,
    /// What it is under each reading, the source's own words first.
    pub readings: Vec<AuditedReading>,
}

impl AuditedCell {
    /// Whether it agrees under some reading that is not fitted.
    pub fn agrees(&self) -> bool {
        self.readings.iter().any(|reading| reading.agrees && !reading.fitted)
    }
}

/// A cell under a reading.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditedReading {
    /// How the cell is understood.
    pub name: String,
    /// Its value with two more digits than are printed, or its closed form.
    pub computed: String,
    /// The value as numerator and denominator; none of a formula.
    #[serde(serialize_with = "pair")]
    pub exact: Option<(Integer, Integer)>,
    /// Whether the value rounds to the printed digits, or the closed forms are equal.
    pub agrees: bool,
    /// How far the computed is above the printed: percent of the printed, or a closed form.
    pub difference: Option<String>,
    /// Whether a free size was chosen so that cells agree, which is then no evidence that they do.
    pub fitted: bool,
    /// Whether it follows from graphs; else it is the source's own arithmetic.
    pub derived: bool,
}

/// Sizes of an unknown for which cells agree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditedSearch {
    /// The unknown.
    pub unknown: String,
    /// How cells are understood.
    pub reading: String,
    /// First and last of the sizes that fit most rows together.
    #[serde(serialize_with = "pair")]
    pub shared: Option<(Integer, Integer)>,
    /// The rows.
    pub rows: Vec<SearchedRow>,
}

/// Sizes of an unknown for which a row's cell agrees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SearchedRow {
    /// The row.
    pub row: String,
    /// First and last; none where no size fits.
    #[serde(serialize_with = "pair")]
    pub found: Option<(Integer, Integer)>,
    /// Whether the sizes that fit most rows fit this one.
    pub shares: bool,
}

/// An approximate rule against what is exact.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AuditedRule {
    /// The rule.
    pub name: String,
    /// What it approximates.
    pub states: String,
    /// The symbol along which it is followed.
    pub symbol: String,
    /// A line for each model.
    pub series: Vec<AuditedSeries>,
}

/// The error of a rule for one model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AuditedSeries {
    /// The model.
    pub name: String,
    /// Sizes, and how far the rule is above what is exact, in percent.
    pub points: Vec<(u64, f64)>,
}

fn pair<S: Serializer>(pair: &Option<(Integer, Integer)>, out: S) -> Result<S::Ok, S::Error> {
    pair.as_ref().map(|(first, second)| [first.json(), second.json()]).serialize(out)
}

fn shown(found: &Option<(Integer, Integer)>) -> String {
    match found {
        Some((from, to)) => format!("{} … {}", thousands(from), thousands(to)),
        None => "none".to_owned(),
    }
}

/// A number with commas, as people read it; anything else as it is.
fn grouped(computed: &str) -> String {
    let (sign, computed) = computed.strip_prefix('-').map_or(("", computed), |rest| ("-", rest));
    let (whole, rest) = computed.find('.').map_or((computed, ""), |at| computed.split_at(at));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match whole.parse() {
        Ok(whole) if rest.is_empty() || digits(&rest[1..]) => {
            sign.to_owned() + &thousands(&whole) + rest
        }
        _ => sign.to_owned() + computed,
    }
}

/// How many cells there are of each outcome, in their order.
fn tally<'a>(cells: impl Iterator<Item = &'a AuditedCell>) -> [usize; 5] {
    let outcomes: Vec<Outcome> = cells.map(|cell| cell.outcome).collect();
    Outcome::ALL.map(|outcome| outcomes.iter().filter(|own| **own == outcome).count())
}

impl AuditedTable {
    fn blocks(&self) -> Vec<Block> {
        let mut lines = vec![format!("Source: {}.", self.source.trim_end_matches('.'))];
        lines.extend(self.read.iter().map(AuditedRead::line));
        lines.extend(self.assumes.iter().map(|text| format!("Assumed: {text}")));
        let mut blocks = vec![Block::Title(format!("{}: {}", self.id, self.title))];
        blocks.extend(lines.into_iter().map(Block::Text));
        if !self.cells.is_empty() {
            blocks.push(Block::Table(self.cells()));
        }
        let several = self.columns.iter().filter(|column| column.readings > 1 && column.cells > 1);
        blocks
            .extend(several.map(|AuditedColumn { column, reading, agree, cells, any, .. }| {
            Block::Text(format!(
                "One reading for the whole column \"{column}\": \"{reading}\" agrees in {agree} of \
                 {cells} cells; any reading in {any}."
            ))
        }));
        blocks.extend(self.searches.iter().flat_map(AuditedSearch::blocks));
        blocks.extend(self.rules.iter().flat_map(AuditedRule::blocks));
        blocks
    }

    fn cells(&self) -> Table {
        let columns = vec![
            Column::text("row"),
            Column::text("column").dispensable(2),
            Column { narrowest: Some(12), ..Column::text("printed") },
            Column { narrowest: Some(20), ..Column::text("computed") },
            Column { narrowest: Some(16), ..Column::text("outcome") },
            Column { narrowest: Some(16), ..Column::text("reading") },
        ];
        let mut rows = Vec::new();
        for cell in &self.cells {
            let first = cell.readings.iter().position(|reading| reading.agrees && !reading.fitted);
            let shown = first.map_or(cell.readings.len(), |at| at + 1);
            for (at, reading) in cell.readings.iter().take(shown).enumerate() {
                let once = |text: &str| Cell::from(if at == 0 { text } else { "" });
                let (outcome, tone) = match (cell.outcome, reading.agrees, &reading.difference) {
                    (Outcome::Unread, ..) => ("not read".to_owned(), Tone::Careful),
                    (_, true, _) if reading.fitted => ("fitted".to_owned(), Tone::Careful),
                    (Outcome::AgreesOtherwise, true, _) => {
                        ("agrees otherwise".to_owned(), Tone::Careful)
                    }
                    (_, true, _) => ("agrees".to_owned(), Tone::Good),
                    (_, false, Some(by)) => (format!("differs by {by}"), Tone::Careful),
                    (_, false, None) => ("differs".to_owned(), Tone::Careful),
                };
                let source = if reading.derived { "" } else { " (arithmetic of the source)" };
                rows.push(Row::new([
                    once(&cell.row),
                    once(&cell.column),
                    once(&cell.printed),
                    grouped(&reading.computed).into(),
                    Cell::Toned(outcome, tone),
                    format!("{}{source}", reading.name).into(),
                ]));
            }
        }
        Table { columns, rows }
    }
}

impl AuditedSearch {
    fn blocks(&self) -> [Block; 2] {
        let columns =
            vec![Column::text("row"), Column::number(self.unknown.clone()), Column::word("shared")];
        let row = |row: &SearchedRow| {
            let shares = if row.shares { "yes" } else { "no" };
            Row::new([row.row.as_str().into(), shown(&row.found).into(), shares.into()])
        };
        let rows = self.rows.iter().map(row).collect();
        let (all, fit) = (self.rows.len(), self.rows.iter().filter(|row| row.shares).count());
        let told = match fit == all {
            true => format!("{} = {} fits all {all} rows", self.unknown, shown(&self.shared)),
            false => format!(
                "no {} fits all {all} rows; {} fits {fit} of them",
                self.unknown,
                shown(&self.shared)
            ),
        };
        let told = format!("Search, {}: {told}.", self.reading);
        [Block::Text(told), Block::Table(Table { columns, rows })]
    }
}

impl AuditedRule {
    fn blocks(&self) -> [Block; 2] {
        let told = format!("Rule {}: {}. Percent above what is exact:", self.name, self.states);
        let sizes = self.series.first().map(|s| s.points.as_slice()).unwrap_or_default();
        let series = self.series.iter().map(|s| Column::number(s.name.clone()));
        let columns = std::iter::once(Column::number(self.symbol.clone())).chain(series).collect();
        let row = |(at, (size, _)): (usize, &(u64, f64))| {
            let errors = self.series.iter().map(|s| Cell::real(s.points.get(at).map(|p| p.1), 2));
            Row::new(std::iter::once(Cell::Number((*size).into())).chain(errors))
        };
        let rows = sizes.iter().enumerate().map(row).collect();
        [Block::Text(told), Block::Table(Table { columns, rows })]
    }
}

impl Audit {
    fn summary(&self) -> String {
        let cells = || self.tables.iter().flat_map(|table| &table.cells);
        let [agree, otherwise, fitted, differ, unread] = tally(cells());
        format!(
            "cells: {}; agree under one reading a column: {agree}; otherwise: {otherwise}; fitted: {fitted}; \
             differ: {differ}; not read: {unread}",
            cells().count() - unread,
        )
    }

    fn list(&self) -> Table {
        let columns = vec![
            Column::word("table"),
            Column::text("about"),
            Column::number("cells"),
            Column::number("agree"),
            Column::number("otherwise"),
            Column::number("fitted"),
            Column::number("differ"),
        ];
        let row = |table: &AuditedTable| {
            let [agree, otherwise, fitted, differ, unread] = tally(table.cells.iter());
            let read = table.cells.len() - unread;
            let numbers = [read, agree, otherwise, fitted, differ].map(|n| Cell::Number(n.into()));
            let names = [table.id.as_str().into(), table.title.as_str().into()];
            Row::new(names.into_iter().chain(numbers))
        };
        Table { columns, rows: self.tables.iter().map(row).collect() }
    }
}

impl Record for Audit {
    fn document(&self) -> Document {
        let mut blocks = match self.details {
            true => self.tables.iter().flat_map(AuditedTable::blocks).collect(),
            false => vec![Block::Table(self.list())],
        };
        blocks.push(Block::Lines(vec![self.summary()]));
        Document { blocks }
    }

    fn rows(&self) -> Table {
        let titles = [
            "table",
            "row",
            "column",
            "printed",
            "read",
            "at",
            "outcome",
            "reading",
            "derived",
            "fitted",
            "computed",
            "agrees",
            "difference",
        ];
        let mut rows = Vec::new();
        for table in &self.tables {
            for cell in &table.cells {
                let read = cell.read.as_ref();
                for reading in &cell.readings {
                    rows.push(Row::new([
                        table.id.as_str().into(),
                        cell.row.as_str().into(),
                        cell.column.as_str().into(),
                        cell.printed.as_str().into(),
                        read.map_or("", |read| read.how.words()).into(),
                        read.map_or("", |read| read.at.as_str()).into(),
                        cell.outcome.name().into(),
                        reading.name.as_str().into(),
                        reading.derived.to_string().into(),
                        reading.fitted.to_string().into(),
                        reading.computed.as_str().into(),
                        reading.agrees.to_string().into(),
                        reading.difference.as_deref().unwrap_or_default().into(),
                    ]));
                }
            }
        }
        Table { columns: titles.map(Column::word).to_vec(), rows }
    }

    fn latex(&self) -> Option<String> {
        let mut document = self.document().without_bars();
        document.blocks.insert(0, Block::Title("Published tables, recomputed".to_owned()));
        Some(latex::document(&document.steady()))
    }
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn whole_parts_are_grouped() {
        let texts = [
            "11451.92",
            "-0.5",
            "--1",
            "175000000000",
            "-1234.5",
            "12.345678",
            "4·n",
            "1234.n",
            "1.5e10",
        ];
        let expected = [
            "11,451.92",
            "-0.5",
            "--1",
            "175,000,000,000",
            "-1,234.5",
            "12.345678",
            "4·n",
            "1234.n",
            "1.5e10",
        ];
        assert_eq!(texts.map(grouped), expected);
    }
}
