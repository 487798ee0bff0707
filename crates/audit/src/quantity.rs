//! Quantities of the models that a table names, as polynomials at the sizes of a row.

use std::collections::BTreeMap;
use std::convert::Infallible;

use opledger_account::{AccountError, Model, TrainingOptions};
use opledger_dims::{Binding, Poly, Quantity, Symbol};
use opledger_ir::{Graph, Phase, Selection};
use opledger_models::Request;
use serde::{Deserialize, Deserializer};

use crate::TableProblem;

/// A quantity of a model, or of one part of its operations.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModelQuantity {
    /// A layer or a published model; `{column}` stands for the row's cell.
    model: String,
    /// What is counted.
    #[serde(deserialize_with = "by_name")]
    of: Quantity,
    /// Only this part of operations, such as `scores`.
    part: Option<String>,
    /// Of a training step that computes this again: `none`, `selective`, `full`.
    step: Option<String>,
    /// Only this part of a step, such as `backward`.
    phase: Option<String>,
    /// Sizes of the graph's symbols, as polynomials over what the table names.
    #[serde(default)]
    with: BTreeMap<String, String>,
    /// The sizes of a published model stay symbols.
    #[serde(default)]
    symbolic: bool,
}

fn by_name<'de, D: Deserializer<'de>>(from: D) -> Result<Quantity, D::Error> {
    String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
}

/// A row: what its columns say, as text and as sizes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cells {
    pub(crate) texts: Vec<(String, String)>,
    pub(crate) sizes: Binding,
}

impl Cells {
    /// A column's cell, where it is not empty.
    pub(crate) fn text(&self, column: &str) -> Option<&str> {
        self.texts.iter().find(|(name, _)| name == column).map(|(_, text)| text.as_str())
    }

    /// A text with cells in place of `{column}`.
    fn fill(&self, text: &str) -> Result<String, TableProblem> {
        let mut filled = text.to_owned();
        for (column, cell) in &self.texts {
            filled = filled.replace(&format!("{{{column}}}"), cell);
        }
        match filled.split_once('{') {
            Some((_, rest)) => {
                Err(TableProblem::NoCell { column: rest.to_owned(), text: text.to_owned() })
            }
            None => Ok(filled),
        }
    }

    /// A formula at this row's sizes.
    pub(crate) fn poly(&self, text: &str) -> Result<Poly, TableProblem> {
        Ok(text.parse::<Poly>()?.bind(&self.sizes))
    }
}

impl ModelQuantity {
    /// The columns whose cells stand in the model's text.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &str> {
        self.model.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0))
    }

    /// The quantity at a row's sizes.
    pub(crate) fn poly(&self, row: &Cells) -> Result<Poly, TableProblem> {
        let name = row.fill(&self.model)?;
        let of_model =
            |problem| TableProblem::Model { name: name.clone(), problem: Box::new(problem) };
        let request = Request { past: self.of == Quantity::Cache, ..Request::default() };
        let model = Model::open_for(&name, request).map_err(of_model)?;
        let step = self.training(&model).map_err(of_model)?;
        let graph = step.as_ref().unwrap_or(model.graph());
        let selection = Selection { phase: self.phase(graph)?, ..self.selection(graph)? };
        let formula = graph.quantity_of(self.of, &selection);
        let mut sizes = if self.symbolic { Binding::new() } else { model.sizes().clone() };
        let known = |symbol: &Symbol| {
            formula.symbols().contains(symbol) || graph.symbols().contains(symbol)
        };
        let mut renamed = Vec::new();
        for (symbol, text) in &self.with {
            let symbol = Symbol::new(symbol);
            if sizes.get(&symbol).is_some() || !known(&symbol) {
                return Err(TableProblem::NotOpen { model: name, symbol });
            }
            let size = row.poly(text)?;
            match size.as_integer() {
                Some(size) => drop(sizes.set(symbol, size)),
                None => renamed.push((symbol, size)),
            }
        }
        let sizes = graph.complete(&sizes).map_err(|problem| of_model(problem.into()))?;
        Ok(substitute(&formula.bind(&sizes), &renamed))
    }

    /// The step that is asked for, as a graph.
    fn training(&self, model: &Model) -> Result<Option<Graph>, AccountError> {
        let Some(recompute) = &self.step else { return Ok(None) };
        let recompute = recompute.parse().unwrap_or_else(|never: Infallible| match never {});
        let step = model.training(&TrainingOptions { recompute, ..TrainingOptions::default() })?;
        Ok(Some(step.graph().clone()))
    }

    /// The part of a step that is asked for, which has nodes.
    fn phase(&self, graph: &Graph) -> Result<Option<Phase>, TableProblem> {
        let Some(name) = &self.phase else { return Ok(None) };
        let known = Phase::ALL.into_iter().find(|phase| phase.to_string() == *name);
        let found = known.filter(|phase| {
            graph.nodes().iter().any(|node| graph.phase_cost(node, *phase).is_some())
        });
        found.map(Some).ok_or_else(|| TableProblem::NoPart { part: name.clone() })
    }

    /// The part that is asked for.
    fn selection(&self, graph: &Graph) -> Result<Selection<'static>, TableProblem> {
        let Some(name) = &self.part else { return Ok(Selection::ALL) };
        let part = graph.cost().parts().find(|part| part.name() == name);
        part.map(Selection::part).ok_or_else(|| TableProblem::NoPart { part: name.clone() })
    }
}

/// Replaces symbols all at once, so that what takes a symbol's place is not replaced again.
pub(crate) fn substitute(poly: &Poly, by: &[(Symbol, Poly)]) -> Poly {
    let held = |at: usize| Symbol::from(format!("#{at}"));
    let held_back = by.iter().enumerate().fold(poly.clone(), |poly, (at, (symbol, _))| {
        poly.substitute(symbol, &Poly::symbol(held(at)))
    });
    by.iter().enumerate().fold(held_back, |poly, (at, (_, by))| poly.substitute(&held(at), by))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_are_replaced_all_at_once() {
        let poly: Poly = "a - 2*b".parse().unwrap();
        let swapped = substitute(&poly, &[("a".into(), "b".into()), ("b".into(), "a".into())]);
        assert_eq!(swapped, "b - 2*a".parse().unwrap());
    }
}
