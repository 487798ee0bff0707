//! Quantities: folds of a model's graph as polynomials.

use std::collections::BTreeMap;

use opledger_dims::{Binding, Poly, Symbol};
use opledger_ir::ops::Source;
use opledger_ir::{Cost, Graph, Node, Op, Part};
use opledger_models::{Model, Request, layer, preset, preset_names};
use serde::Deserialize;

/// A fold of a model's graph.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Quantity {
    /// A layer or a preset; `{column}` stands for the row's cell.
    model: String,
    /// What is folded.
    of: Fold,
    /// Only this part of operations, such as `scores`.
    part: Option<String>,
    /// Sizes of the graph's symbols, as polynomials over what the table names.
    #[serde(default)]
    with: BTreeMap<String, String>,
    /// The preset's sizes stay symbols.
    #[serde(default)]
    symbolic: bool,
}

/// What is folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Fold {
    /// Parameters, tied ones once.
    Params,
    /// The same, of experts only those of the ones that run.
    ActiveParams,
    /// Multiplications inside contractions.
    Macs,
    /// Twice those.
    MatmulFlops,
    /// All scalar operations.
    Flops,
    /// Elements of cached keys and values, of `b` items and `p` tokens.
    Cache,
}

/// A row: what its columns say, as text and as sizes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    pub(crate) texts: Vec<(String, String)>,
    pub(crate) sizes: Binding,
}

impl Row {
    /// A column's cell, where it is not empty.
    pub(crate) fn text(&self, column: &str) -> Option<&str> {
        self.texts.iter().find(|(name, _)| name == column).map(|(_, text)| text.as_str())
    }

    /// A text with cells in place of `{column}`.
    fn fill(&self, text: &str) -> Result<String, String> {
        let mut filled = text.to_owned();
        for (column, cell) in &self.texts {
            filled = filled.replace(&format!("{{{column}}}"), cell);
        }
        match filled.split_once('{') {
            Some((_, rest)) => Err(format!("`{{{rest}` in `{text}` is no column with a cell here")),
            None => Ok(filled),
        }
    }

    /// A formula at this row's sizes.
    pub(crate) fn poly(&self, text: &str) -> Result<Poly, String> {
        let poly: Poly = text.parse().map_err(|e: opledger_dims::ParseError| e.to_string())?;
        Ok(poly.bind(&self.sizes))
    }
}

impl Quantity {
    /// The columns whose cells stand in the model's text.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &str> {
        self.model.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0))
    }

    /// The fold at a row's sizes.
    pub(crate) fn poly(&self, row: &Row) -> Result<Poly, String> {
        let name = row.fill(&self.model)?;
        let model = model(&name, self.of == Fold::Cache)?;
        let mut binding = if self.symbolic { Binding::new() } else { model.binding };
        let fold = self.fold(&model.graph)?;
        let known = |symbol: &Symbol| {
            fold.symbols().contains(symbol) || model.graph.symbols().contains(symbol)
        };
        let mut renamed = Vec::new();
        for (symbol, text) in &self.with {
            let symbol = Symbol::new(symbol);
            if binding.get(&symbol).is_some() || !known(&symbol) {
                return Err(format!("`{name}` leaves no size `{symbol}` open"));
            }
            let size = row.poly(text)?;
            match size.as_integer() {
                Some(size) => drop(binding.set(symbol, size)),
                None => renamed.push((symbol, size)),
            }
        }
        let binding = model.graph.complete(&binding).map_err(|e| format!("`{name}`: {e}"))?;
        Ok(substitute(&fold.bind(&binding), &renamed))
    }

    fn fold(&self, graph: &Graph) -> Result<Poly, String> {
        let cost = self.cost(graph)?;
        Ok(match self.of {
            Fold::Params => graph.parameters().0,
            Fold::ActiveParams => graph.active_parameters(),
            Fold::Macs => cost.macs(),
            Fold::MatmulFlops => cost.macs() * 2,
            Fold::Flops => cost.total().total(),
            Fold::Cache => {
                let cached = graph.nodes().iter().filter(|node| is_cache(node));
                let elements = cached.map(|node| node.shape.elements() * graph.multiplicity(node));
                graph.fold(&elements.sum())
            }
        })
    }

    /// The cost of the part that is asked for.
    fn cost(&self, graph: &Graph) -> Result<Cost, String> {
        let mut cost = graph.cost();
        if let Some(name) = &self.part {
            cost.0.retain(|(part, _): &(Part, _)| part.name() == name);
            if cost.0.is_empty() {
                return Err(format!("no operation of this model has a part `{name}`"));
            }
        }
        Ok(cost)
    }
}

fn model(name: &str, past: bool) -> Result<Model, String> {
    if preset_names().any(|known| known == name) {
        let request = Request { past, ..Request::default() };
        let built = preset(name).and_then(|preset| preset.config().model(name, &request));
        return built.map_err(|e| e.to_string());
    }
    layer::parse(name).map_err(|e| format!("`{name}`: {e}"))
}

fn is_cache(node: &Node) -> bool {
    let past = node.path.ends_with(".past_key") || node.path.ends_with(".past_value");
    past && matches!(node.op, Op::Source(Source::Input { .. }))
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
