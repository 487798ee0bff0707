//! What other tools count, beside each other, and why two of them differ.

use std::collections::BTreeMap;

use opledger_dims::{Binding, Integer};
use serde::Serialize;

use super::account::title;
use crate::{Amount, Block, Column, Document, Record, Row, Table, json, thousands};

/// The most conventions that stand side by side as columns.
const MOST_COLUMNS: usize = 4;

/// A model counted by some conventions.
#[derive(Clone, Debug, Serialize)]
pub struct ConventionCounts {
    /// The model.
    pub model: String,
    /// Its sizes.
    #[serde(serialize_with = "json::binding")]
    pub binding: Binding,
    /// How the model is written in the framework that tools watch.
    pub written: String,
    /// The conventions and their totals.
    pub conventions: Vec<ConventionTotal>,
    /// The conventions that were asked for with all others and give no number.
    pub refused: Vec<ConventionRefusal>,
    /// Modules and functions, with the number of each convention.
    pub units: Vec<UnitCounts>,
}

/// A convention's number for a whole model.
#[derive(Clone, Debug, Serialize)]
pub struct ConventionTotal {
    /// Its name and version.
    pub name: String,
    /// What one of its units is.
    pub unit: String,
    /// How many.
    #[serde(serialize_with = "json::quantity")]
    pub total: Integer,
}

/// A convention that gives no number for a model.
#[derive(Clone, Debug, Serialize)]
pub struct ConventionRefusal {
    /// Its name and version.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// A module or function, counted by each convention.
#[derive(Clone, Debug, Serialize)]
pub struct UnitCounts {
    /// Its path.
    pub path: String,
    /// The class of the module; none of a function.
    pub class: Option<String>,
    /// One number per convention.
    #[serde(serialize_with = "json::list")]
    pub counts: Vec<Integer>,
}

impl ConventionCounts {
    fn totals(&self) -> Table {
        let columns = vec![
            Column::name("convention"),
            Column::number("total"),
            Column::text("counted in").dispensable(1),
        ];
        let row = |convention: &ConventionTotal| {
            Row::new([
                convention.name.as_str().into(),
                convention.total.cell(),
                convention.unit.as_str().into(),
            ])
        };
        Table { columns, rows: self.conventions.iter().map(row).collect() }
    }

    fn refusals(&self) -> Table {
        let columns = vec![Column::name("refuses"), Column::text("why")];
        let row = |one: &ConventionRefusal| {
            Row::new([one.name.as_str().into(), one.reason.as_str().into()])
        };
        Table { columns, rows: self.refused.iter().map(row).collect() }
    }
}

impl Record for ConventionCounts {
    fn document(&self) -> Document {
        let mut blocks = vec![Block::Title(title(&self.model, &self.binding))];
        if self.conventions.len() <= MOST_COLUMNS {
            blocks.push(Block::Table(self.rows()));
        }
        blocks.push(Block::Table(self.totals()));
        if !self.refused.is_empty() {
            blocks.push(Block::Table(self.refusals()));
        }
        blocks.push(Block::Text(format!("model written as {}", self.written)));
        Document { blocks }
    }

    fn rows(&self) -> Table {
        let names = self.conventions.iter().map(|c| Column::number(c.name.clone()));
        let columns = [Column::name("module or function"), Column::word("class")];
        let columns = columns.into_iter().chain(names).collect();
        let row = |unit: &UnitCounts| {
            let class = unit.class.clone().unwrap_or_default();
            let cells = [unit.path.as_str().into(), class.into()];
            Row::new(
                cells.into_iter().chain(unit.counts.iter().map(Amount::cell)).collect::<Vec<_>>(),
            )
        };
        let mut rows: Vec<Row> = self.units.iter().map(row).collect();
        let totals = self.conventions.iter().map(|c| c.total.cell());
        let total = ["total".into(), "".into()].into_iter().chain(totals).collect::<Vec<_>>();
        rows.push(Row::new(total).ruled());
        Table { columns, rows }
    }
}

/// Why two conventions differ on a model.
#[derive(Clone, Debug, Serialize)]
pub struct Explained {
    /// The model.
    pub model: String,
    /// Its sizes.
    #[serde(serialize_with = "json::binding")]
    pub binding: Binding,
    /// How the model is written in the framework that tools watch.
    pub written: String,
    /// The two conventions.
    pub conventions: [ConventionTotal; 2],
    /// The first less the second.
    #[serde(serialize_with = "json::quantity")]
    pub difference: Integer,
    /// Its parts, the largest first.
    pub lines: Vec<ExplainedLine>,
    /// What both count alike.
    #[serde(serialize_with = "json::quantity")]
    pub agreed: Integer,
    /// What no line with a reason accounts for.
    #[serde(serialize_with = "json::quantity")]
    pub unaccounted: Integer,
    /// What a convention does with what it has no rule for.
    pub notes: Vec<String>,
}

/// A part of the difference.
#[derive(Clone, Debug, Serialize)]
pub struct ExplainedLine {
    /// What for.
    pub what: String,
    /// The first less the second.
    #[serde(serialize_with = "json::quantity")]
    pub difference: Integer,
    /// What the first counts.
    #[serde(serialize_with = "json::quantity")]
    pub first: Integer,
    /// What the second counts.
    #[serde(serialize_with = "json::quantity")]
    pub second: Integer,
    /// Why.
    pub reason: Option<String>,
}

impl Record for Explained {
    fn document(&self) -> Document {
        let [first, second] = &self.conventions;
        let totals =
            [first, second].map(|c| format!("{}: {} ({})", c.name, thousands(&c.total), c.unit));
        let accounted = match self.unaccounted == Integer::default() {
            true => "accounted for: all of it".to_owned(),
            false => format!(
                "accounted for: all but {}, which no rule explains",
                thousands(&self.unaccounted)
            ),
        };
        let difference = thousands(&self.difference);
        let agreed = thousands(&self.agreed);
        let mut notes = self.notes.clone();
        notes.push(format!("model written as {}", self.written));
        Document {
            blocks: vec![
                Block::Title(title(&self.model, &self.binding)),
                Block::Lines(totals.into()),
                Block::Table(self.rows()),
                Block::Lines(vec![
                    format!("difference: {difference}; counted alike by both: {agreed}"),
                    accounted,
                ]),
                Block::Text(notes.join("; ")),
            ],
        }
    }

    fn rows(&self) -> Table {
        let plain = |c: &ConventionTotal| match c.name.split_once('@') {
            Some((name, _)) => name.to_owned(),
            None => c.name.clone(),
        };
        let [first, second] = [&self.conventions[0], &self.conventions[1]].map(plain);
        let columns = vec![
            Column::text("what"),
            Column::number("difference"),
            Column::number(first),
            Column::number(second),
            Column::text("why"),
        ];
        let row = |line: &ExplainedLine| {
            let why = line.reason.clone().unwrap_or_else(|| "no rule explains it".to_owned());
            Row::new([
                line.what.as_str().into(),
                line.difference.cell(),
                line.first.cell(),
                line.second.cell(),
                why.into(),
            ])
        };
        Table { columns, rows: self.lines.iter().map(row).collect() }
    }
}

/// The conventions there are.
#[derive(Clone, Debug, Serialize)]
pub struct KnownConventions {
    /// Each of them.
    pub conventions: Vec<KnownConvention>,
}

/// A convention.
#[derive(Clone, Debug, Serialize)]
pub struct KnownConvention {
    /// Its name and version.
    pub name: String,
    /// What one of its units is.
    pub unit: String,
    /// Where its rules were read.
    pub source: String,
    /// Which printed numbers it was held against.
    pub checked: String,
    /// Names of the mistakes in it that can be mended.
    pub bugs: Vec<String>,
}

impl Record for KnownConventions {
    fn document(&self) -> Document {
        let mut bugs: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for known in &self.conventions {
            for bug in &known.bugs {
                bugs.entry(bug).or_default().push(&known.name);
            }
        }
        let each =
            |(bug, of): (&str, Vec<&str>)| format!("--without {bug} mends {}", of.join(", "));
        let told = bugs.into_iter().map(each).collect::<Vec<_>>().join("; ");
        let mut blocks = vec![Block::Table(self.rows())];
        if !told.is_empty() {
            blocks.push(Block::Text(told));
        }
        Document { blocks }
    }

    fn rows(&self) -> Table {
        let columns = vec![
            Column::name("convention"),
            Column::text("counted in"),
            Column::text("rules read in").dispensable(1),
        ];
        let row = |known: &KnownConvention| {
            Row::new([
                known.name.as_str().into(),
                known.unit.as_str().into(),
                known.source.as_str().into(),
            ])
        };
        Table { columns, rows: self.conventions.iter().map(row).collect() }
    }
}
