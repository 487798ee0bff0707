//! What two models cost side by side, and by how much they differ.

use std::collections::HashMap;

use opledger_dims::{Binding, Integer, Quantity};
use serde::Serialize;

use super::account::{Account, AccountNode};
use super::{RowOrder, convention_line};
use crate::number::change;
use crate::{Amount, Block, Cell, Column, Document, Record, Row, Table, json};

/// What two models cost at the same sizes.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    /// The model that is compared with.
    pub first: String,
    /// The model that is compared.
    pub second: String,
    /// The sizes of the first.
    #[serde(serialize_with = "json::binding")]
    pub first_binding: Binding,
    /// The sizes of the second.
    #[serde(serialize_with = "json::binding")]
    pub second_binding: Binding,
    /// The whole models, by quantity.
    pub totals: Vec<Changed>,
    /// What the rows are in.
    pub by: &'static str,
    /// The modules that differ in it.
    pub rows: Vec<Changed>,
    /// How many modules do not.
    pub same: usize,
    /// What those have together, in both.
    #[serde(serialize_with = "json::quantity")]
    pub same_sum: Integer,
    /// The second less the first as formulas, where both are formulas in the same symbols.
    pub formulas: Vec<ChangedFormula>,
    /// Why there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_formulas: Option<String>,
    /// What the numbers mean.
    #[serde(serialize_with = "json::pairs")]
    pub conventions: Vec<(&'static str, &'static str)>,
}

/// A number of two models; none where a model has no such module.
#[derive(Clone, Debug, Serialize)]
pub struct Changed {
    /// Of what.
    pub name: String,
    /// In the first.
    #[serde(serialize_with = "json::optional")]
    pub first: Option<Integer>,
    /// In the second.
    #[serde(serialize_with = "json::optional")]
    pub second: Option<Integer>,
    /// The second less the first.
    #[serde(serialize_with = "json::quantity")]
    pub difference: Integer,
}

/// A formula of the second model less that of the first.
#[derive(Clone, Debug, Serialize)]
pub struct ChangedFormula {
    /// Of which quantity.
    pub name: &'static str,
    /// The difference.
    pub difference: String,
}

impl Changed {
    /// A number of two models.
    pub fn new(name: String, first: Option<Integer>, second: Option<Integer>) -> Self {
        let of = |side: &Option<Integer>| side.clone().unwrap_or_default();
        let difference = of(&second) - of(&first);
        Changed { name, first, second, difference }
    }

    fn row(&self) -> Row {
        let zero = Integer::default();
        let side = |side: &Option<Integer>| side.as_ref().map_or(Cell::Empty, Amount::cell);
        let signed = match self.difference > zero {
            true => format!("+{}", crate::thousands(&self.difference)),
            false => crate::thousands(&self.difference),
        };
        let change = match (&self.first, &self.second) {
            (None, _) => "only second".to_owned(),
            (_, None) => "only first".to_owned(),
            (Some(first), Some(_)) => change(first, &self.difference).unwrap_or_default(),
        };
        let (first, second) = (side(&self.first), side(&self.second));
        Row::new([self.name.as_str().into(), first, second, signed.into(), change.into()])
    }
}

impl Difference {
    /// What two accounts of the same depth differ in, row by row in one of their columns.
    pub fn of(first: &Account<Integer>, second: &Account<Integer>, by: RowOrder) -> Self {
        let total = |name: Quantity, first: &Integer, second: &Integer| {
            Changed::new(name.name().to_owned(), Some(first.clone()), Some(second.clone()))
        };
        let totals = vec![
            total(Quantity::Parameters, &first.params.total, &second.params.total),
            total(Quantity::Macs, &first.macs, &second.macs),
            total(Quantity::Flops, &first.flops, &second.flops),
            total(Quantity::BytesRead, &first.bytes.read, &second.bytes.read),
            total(Quantity::BytesWritten, &first.bytes.written, &second.bytes.written),
        ];
        let number = |node: &AccountNode<Integer>| by.number(node).cloned();
        let of_second: HashMap<&str, &AccountNode<Integer>> =
            second.nodes.iter().map(|node| (node.path.as_str(), node)).collect();
        let of_first: HashMap<&str, &AccountNode<Integer>> =
            first.nodes.iter().map(|node| (node.path.as_str(), node)).collect();
        let left = first.nodes.iter().map(|node| {
            let other = of_second.get(node.path.as_str()).and_then(|node| number(node));
            Changed::new(node.path.clone(), number(node), other)
        });
        let new = second.nodes.iter().filter(|node| !of_first.contains_key(node.path.as_str()));
        let new = new.map(|node| Changed::new(node.path.clone(), None, number(node)));
        let zero = Integer::default();
        let (rows, same): (Vec<Changed>, Vec<Changed>) =
            left.chain(new).partition(|row| row.difference != zero);
        let same = same.into_iter().filter_map(|row| row.first.filter(|n| *n != zero));
        let same: Vec<Integer> = same.collect();
        Difference {
            first: first.model.clone(),
            second: second.model.clone(),
            first_binding: first.binding.clone(),
            second_binding: second.binding.clone(),
            totals,
            by: by.name(),
            rows,
            same: same.len(),
            same_sum: same.iter().sum(),
            formulas: Vec::new(),
            no_formulas: None,
            conventions: first.conventions.clone(),
        }
    }

    fn columns(&self, title: String) -> Vec<Column> {
        let (first, second) = match self.first == self.second {
            true => ("first".to_owned(), "second".to_owned()),
            false => (self.first.clone(), self.second.clone()),
        };
        vec![
            Column::name(title),
            Column::number(first),
            Column::number(second),
            Column::number("difference"),
            Column::number("change %"),
        ]
    }
}

impl Record for Difference {
    fn document(&self) -> Document {
        let title = format!("{} → {}", self.first, self.second);
        let sizes = match self.first_binding == self.second_binding {
            true => format!("both at {}", self.first_binding),
            false => format!("first at {}; second at {}", self.first_binding, self.second_binding),
        };
        let rows = self.totals.iter().map(Changed::row).collect();
        let totals = Table { columns: self.columns("whole model".to_owned()), rows };
        let mut blocks = vec![Block::Title(title), Block::Text(sizes), Block::Table(totals)];
        let mut modules = self.rows();
        if self.same > 0 {
            let name = format!("({} the same in both)", self.same);
            let sum = Some(self.same_sum.clone());
            modules.rows.push(Changed::new(name, sum.clone(), sum).row());
        }
        let whole = self.totals.iter().find(|total| total.name == self.by);
        modules.rows.extend(
            whole.map(|total| Changed { name: "total".to_owned(), ..total.clone() }.row().ruled()),
        );
        blocks.push(Block::Table(modules));
        if !self.formulas.is_empty() {
            let line = |own: &ChangedFormula| format!("{}: {}", own.name, own.difference);
            let mut lines = vec!["second less first, as formulas:".to_owned()];
            lines.extend(self.formulas.iter().map(line));
            blocks.push(Block::Lines(lines));
        }
        blocks.extend(self.no_formulas.iter().map(|why| Block::Text(why.clone())));
        blocks.push(Block::Text(convention_line(&["macs", "flops"])));
        Document { blocks }
    }

    fn rows(&self) -> Table {
        let columns = self.columns(format!("{} by module", self.by));
        Table { columns, rows: self.rows.iter().map(Changed::row).collect() }
    }
}
