//! What ranks send each other, and what each holds.

use opledger_dims::{Binding, Integer, Poly};
use serde::Serialize;

use super::account::title;
use crate::{Amount, Block, Cell, Column, Document, Record, Row, Table, json};

/// A model cut among ranks.
#[derive(Clone, Debug, Serialize)]
pub struct CutCost {
    /// The model.
    pub model: String,
    /// The sizes that were given.
    #[serde(serialize_with = "json::binding")]
    pub binding: Binding,
    /// What is cut, in words.
    pub strategy: String,
    /// Among how many ranks.
    pub ranks: u64,
    /// The axes of their mesh.
    pub mesh: Vec<CutAxis>,
    /// Whether it is a training step, forward and backward.
    pub step: bool,
    /// The type of weights and computed values.
    pub dtype: &'static str,
    /// What crosses, in the order of the run.
    pub collectives: Vec<CutCollective>,
    /// Bytes that one rank sends in a run.
    pub sent: FormulaValue,
    /// Bytes of the parameters that ranks hold.
    pub weights: Vec<HeldWeights>,
    /// What else one rank holds, of a training step.
    pub held: Vec<HeldBytes>,
    /// Bytes of all parameters.
    pub whole_weights: FormulaValue,
    /// What sizes follow from others.
    pub definitions: Vec<String>,
}

/// An axis of a mesh of ranks.
#[derive(Clone, Debug, Serialize)]
pub struct CutAxis {
    /// What is cut along it.
    pub strategy: &'static str,
    /// How many ranks it has.
    pub ranks: u64,
    /// Bytes that one rank sends along it in a run.
    pub sent: FormulaValue,
}

/// Bytes that a rank holds.
#[derive(Clone, Debug, Serialize)]
pub struct HeldBytes {
    /// Of what.
    pub what: &'static str,
    /// How many.
    pub bytes: FormulaValue,
}

/// What ranks do together with one value.
#[derive(Clone, Debug, Serialize)]
pub struct CutCollective {
    /// The value: the path of what makes it.
    pub path: String,
    /// Among which ranks: those of an axis of the mesh.
    pub among: &'static str,
    /// What they do, such as `all-reduce`.
    pub collective: &'static str,
    /// How buffers go round.
    pub algorithm: &'static str,
    /// The axes of the value.
    pub shape: String,
    /// How often, in all layers.
    pub times: FormulaValue,
    /// Bytes that one rank sends each time.
    pub sent: FormulaValue,
}

/// What some ranks hold of the parameters.
#[derive(Clone, Debug, Serialize)]
pub struct HeldWeights {
    /// Which ranks.
    pub of: &'static str,
    /// Bytes that each of them holds.
    pub bytes: FormulaValue,
}

/// A formula, and its value where all sizes are given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FormulaValue {
    /// The formula.
    #[serde(serialize_with = "json::quantity")]
    pub formula: Poly,
    /// Its value.
    #[serde(serialize_with = "json::optional")]
    pub value: Option<Integer>,
}

impl FormulaValue {
    fn cell(&self) -> Cell {
        self.value.as_ref().map_or_else(|| self.formula.cell(), Amount::cell)
    }
}

impl CutCollective {
    /// Among which ranks is told where there are several ways.
    fn row(&self, several: bool) -> Row {
        let rest = [
            self.collective.into(),
            self.algorithm.into(),
            self.shape.as_str().into(),
            self.times.cell(),
            self.sent.formula.cell(),
            self.sent.value.as_ref().map_or_else(|| Cell::from("–"), Amount::cell),
        ];
        let among = several.then(|| Cell::from(self.among));
        Row::new([self.path.as_str().into()].into_iter().chain(among).chain(rest))
    }
}

impl Record for CutCost {
    fn document(&self) -> Document {
        let held =
            self.weights.iter().map(|held| (format!("parameters of {}", held.of), &held.bytes));
        let several = self.mesh.len() > 1;
        let along = self.mesh.iter().filter(|_| several);
        let along = along.map(|axis| (format!("of that {} parallel", axis.strategy), &axis.sent));
        let also = self.held.iter().map(|own| (own.what.to_owned(), &own.bytes));
        let totals = std::iter::once(("one rank sends".to_owned(), &self.sent));
        let totals = totals.chain(along).chain(held).chain(also);
        let totals = totals.chain([("parameters of the model".to_owned(), &self.whole_weights)]);
        let total = |(name, total): (String, &FormulaValue)| {
            let value = total.value.as_ref().map_or_else(|| Cell::from("–"), Amount::cell);
            Row::new([name.into(), total.formula.cell(), value])
        };
        let columns =
            vec![Column::word("bytes"), Column::text("formula"), Column::number("at these sizes")];
        let totals = Table { columns, rows: totals.map(total).collect() };
        let told = format!(
            "Values are {}. `sent` is what one rank sends each time: of n bytes around a ring of r ranks 2·n·(r − 1)/r \
             in an all-reduce, n·(r − 1)/r in an all-gather or a reduce-scatter. What is computed, how long it \
             takes and what overlaps is not in it.",
            self.dtype
        );
        let of = if self.step { "a training step" } else { "a forward pass" };
        let ranks: Vec<String> = self.mesh.iter().map(|axis| axis.ranks.to_string()).collect();
        let ranks = ranks.join(" × ");
        let mut blocks = vec![
            Block::Title(title(&self.model, &self.binding)),
            Block::Lines(vec![format!("{} parallel, {ranks} ranks, {of}", self.strategy)]),
            Block::Table(self.rows()),
            Block::Table(totals),
        ];
        if !self.definitions.is_empty() {
            blocks.push(Block::Lines(
                self.definitions.iter().map(|d| format!("where {d}")).collect(),
            ));
        }
        blocks.push(Block::Text(told));
        Document { blocks }
    }

    fn rows(&self) -> Table {
        let several = self.mesh.len() > 1;
        let rest = [
            Column::word("collective"),
            Column::word("by"),
            Column::text("of"),
            Column::number("times"),
            Column::text("sent"),
            Column::number("bytes"),
        ];
        let among = several.then(|| Column::word("among"));
        let columns = [Column::name("value")].into_iter().chain(among).chain(rest).collect();
        let rows = self.collectives.iter().map(|own| own.row(several)).collect();
        Table { columns, rows }
    }
}
