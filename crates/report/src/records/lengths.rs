//! A batch of texts of unequal lengths.

use opledger_dims::{Binding, Integer};
use serde::Serialize;

use super::account::title;
use super::convention_line;
use crate::{Amount, Block, Cell, Column, Document, Record, Row, Table, json};

/// What a batch of texts costs, packed one behind the other and padded to the longest.
#[derive(Clone, Debug, Serialize)]
pub struct LengthCounts {
    /// The model.
    pub model: String,
    /// The sizes that were given.
    #[serde(serialize_with = "json::binding")]
    pub binding: Binding,
    /// How many texts there are.
    #[serde(serialize_with = "json::quantity")]
    pub texts: Integer,
    /// The sum of their lengths.
    #[serde(serialize_with = "json::quantity")]
    pub tokens: Integer,
    /// The sum of the squares of their lengths.
    #[serde(serialize_with = "json::quantity")]
    pub squares: Integer,
    /// The length of the longest.
    #[serde(serialize_with = "json::quantity")]
    pub longest: Integer,
    /// What is counted.
    pub counts: Vec<LengthCount>,
}

/// A number of a batch of texts.
#[derive(Clone, Debug, Serialize)]
pub struct LengthCount {
    /// Which.
    pub quantity: &'static str,
    /// Where each text attends to itself alone, and none has a token more.
    #[serde(serialize_with = "json::quantity")]
    pub packed: Integer,
    /// Where all are as long as the longest.
    #[serde(serialize_with = "json::quantity")]
    pub padded: Integer,
    /// The first as a formula in the sums of powers of lengths, where it is one.
    pub formula: Option<String>,
}

impl LengthCount {
    /// Which share of the padded work is of tokens that there are, in percent.
    fn share(&self) -> String {
        let zero = Integer::default();
        if self.padded == zero {
            return "–".to_owned();
        }
        let thousandth: Integer = (&self.packed * 1000 + &self.padded / 2) / &self.padded;
        format!("{}.{} %", &thousandth / 10, &thousandth % 10)
    }
}

impl Record for LengthCounts {
    fn document(&self) -> Document {
        let told = format!(
            "{} texts, {} tokens, {} at most in one; Σn² = {}",
            crate::thousands(&self.texts),
            crate::thousands(&self.tokens),
            crate::thousands(&self.longest),
            crate::thousands(&self.squares),
        );
        let formulas = self.counts.iter().filter_map(|own| {
            own.formula.as_ref().map(|formula| format!("{} = {formula}", own.quantity))
        });
        let mut blocks = vec![
            Block::Title(title(&self.model, &self.binding)),
            Block::Lines(vec![told]),
            Block::Table(self.rows()),
        ];
        let formulas: Vec<String> = formulas.collect();
        if !formulas.is_empty() {
            blocks.push(Block::Lines(formulas));
        }
        let names: Vec<&str> = self.counts.iter().map(|own| own.quantity).collect();
        blocks.push(Block::Text(format!(
            "packed = each text by itself, no token more; padded = all as long as the longest; {}",
            convention_line(&names)
        )));
        Document { blocks }
    }

    fn rows(&self) -> Table {
        let columns = vec![
            Column::word("what"),
            Column::number("packed"),
            Column::number("padded"),
            Column::number("packed / padded"),
        ];
        let row = |own: &LengthCount| {
            Row::new([
                Cell::from(own.quantity),
                own.packed.cell(),
                own.padded.cell(),
                own.share().into(),
            ])
        };
        Table { columns, rows: self.counts.iter().map(row).collect() }
    }
}
