//! What a training step costs.

use num_traits::ToPrimitive;
use opledger_dims::{Binding, Counts, Integer};
use serde::Serialize;

use super::account::title;
use crate::number::percent;
use crate::{
    Amount, Block, Cell, Column, Document, Record, Row, SavedCost, StoredKind, Table, json,
};

/// What stands for the type of values of which each has that of a parameter.
pub const AS_PARAMETERS: &str = "as parameters";

/// A training step at sizes.
#[derive(Clone, Debug, Serialize)]
pub struct TrainingCost {
    /// The model.
    pub model: String,
    /// Its sizes.
    #[serde(serialize_with = "json::binding")]
    pub binding: Binding,
    /// The result whose loss it is.
    pub result: String,
    /// What is made smaller.
    pub loss: &'static str,
    /// What is computed again for the gradients.
    pub recomputed: String,
    /// Over how many batches gradients are added.
    pub batches: u32,
    /// What is done with the gradients.
    pub optimizer: Option<String>,
    /// How many parameters there are.
    #[serde(serialize_with = "json::quantity")]
    pub parameters: Integer,
    /// How many of them have a gradient.
    #[serde(serialize_with = "json::quantity")]
    pub trained: Integer,
    /// How many tokens a step is of, of models that have tokens.
    #[serde(serialize_with = "json::optional")]
    pub tokens: Option<Integer>,
    /// Twice the multiplications in contractions, what is computed again left out.
    #[serde(serialize_with = "json::quantity")]
    pub model_flops: Integer,
    /// The same with what is computed again.
    #[serde(serialize_with = "json::quantity")]
    pub hardware_flops: Integer,
    /// All scalar operations of the step, each worth one.
    #[serde(serialize_with = "json::quantity")]
    pub flops: Integer,
    /// The parts of the step.
    pub phases: Vec<TrainingPhase>,
    /// The same by module.
    pub modules: Vec<TrainingModule>,
    /// The step with attention over all pairs of a mask, half of them, and those that it leaves; none where no
    /// mask follows from positions.
    pub masks: Vec<TrainingMask>,
    /// From 6·N·T to `model_flops` and what is computed again; none of models without tokens.
    pub terms: Vec<TrainingTerm>,
    /// What it takes.
    pub memory: TrainingMemory,
    /// What PyTorch keeps of the forward pass, where it is asked for.
    pub saved: Option<SavedCost>,
    /// How much of a machine a step makes use of, where time and peak are given.
    pub utilisation: Option<Utilisation>,
}

/// How much of a machine's peak a step makes use of.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Utilisation {
    /// Seconds that a step takes.
    pub seconds: f64,
    /// Operations a second that the machine could do.
    pub peak: f64,
    /// `model_flops` of what the peak would do in that time: MFU.
    pub model: f64,
    /// `hardware_flops` of it: HFU.
    pub hardware: f64,
}

impl TrainingCost {
    /// The same with the share of a peak, in operations a second, that it reaches in so many seconds.
    #[must_use]
    pub fn timed(self, seconds: f64, peak: f64) -> Self {
        let share = |flops: &Integer| flops.to_f64().unwrap_or(f64::MAX) / (seconds * peak);
        let (model, hardware) = (share(&self.model_flops), share(&self.hardware_flops));
        TrainingCost { utilisation: Some(Utilisation { seconds, peak, model, hardware }), ..self }
    }
}

/// A part of a step.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TrainingPhase {
    /// Its name.
    pub phase: String,
    /// Scalar operations by class.
    #[serde(serialize_with = "json::counts")]
    pub counts: Counts<Integer>,
    /// Twice the multiplications in contractions.
    #[serde(serialize_with = "json::quantity")]
    pub matmul_flops: Integer,
    /// All scalar operations.
    #[serde(serialize_with = "json::quantity")]
    pub flops: Integer,
}

/// What a module costs in a step: twice the multiplications in contractions by part, and all operations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TrainingModule {
    /// Its path.
    pub path: String,
    /// In the forward pass and the loss.
    #[serde(serialize_with = "json::quantity")]
    pub forward: Integer,
    /// For the gradients and the update.
    #[serde(serialize_with = "json::quantity")]
    pub backward: Integer,
    /// Computed again.
    #[serde(serialize_with = "json::quantity")]
    pub recomputation: Integer,
    /// All scalar operations of all parts.
    #[serde(serialize_with = "json::quantity")]
    pub flops: Integer,
}

/// The step as it costs when so many pairs of masked attention are counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrainingMask {
    /// Which pairs.
    pub pairs: &'static str,
    /// Twice the multiplications in products of masked attention, what is computed again left out.
    #[serde(serialize_with = "json::quantity")]
    pub attention: Integer,
    /// `model_flops` with these.
    #[serde(serialize_with = "json::quantity")]
    pub model_flops: Integer,
    /// `hardware_flops` with these.
    #[serde(serialize_with = "json::quantity")]
    pub hardware_flops: Integer,
}

/// A difference from 6·N·T with its reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrainingTerm {
    /// Why.
    pub reason: &'static str,
    /// How much, twice the multiplications in contractions; negative where the rule has too many.
    #[serde(serialize_with = "json::quantity")]
    pub flops: Integer,
}

/// Bytes of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrainingMemory {
    /// The type of weights, gradients and what is kept.
    pub dtype: &'static str,
    /// That of the optimiser's state.
    pub state_dtype: &'static str,
    /// That of a copy of the parameters which the optimiser changes.
    pub master_dtype: Option<&'static str>,
    /// Parameters.
    #[serde(serialize_with = "json::quantity")]
    pub weights: Integer,
    /// Parameters by the types that the module has them in, where these are several: gradients and state are in
    /// that of their parameter.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<StoredKind>,
    /// Their gradients, all at once.
    #[serde(serialize_with = "json::quantity")]
    pub gradients: Integer,
    /// The state of the optimiser, where there is one.
    #[serde(serialize_with = "json::optional")]
    pub state: Option<Integer>,
    /// A copy of the parameters which the optimiser changes.
    #[serde(serialize_with = "json::optional")]
    pub masters: Option<Integer>,
    /// What the forward pass made and gradients read.
    #[serde(serialize_with = "json::quantity")]
    pub kept: Integer,
    /// All of these together.
    #[serde(serialize_with = "json::quantity")]
    pub total: Integer,
    /// All computed values that are alive at the worst moment of a step here, as `f32`.
    #[serde(serialize_with = "json::quantity")]
    pub computed: Integer,
}

/// Training steps that were executed.
#[derive(Clone, Debug, Serialize)]
pub struct TrainedSteps {
    /// The model.
    pub model: String,
    /// Its sizes.
    #[serde(serialize_with = "json::binding")]
    pub binding: Binding,
    /// The learning rate.
    pub rate: f64,
    /// All scalar operations of a step.
    #[serde(serialize_with = "json::quantity")]
    pub flops: Integer,
    /// Multiplications inside contractions of a step.
    #[serde(serialize_with = "json::quantity")]
    pub macs: Integer,
    /// How many tokens a step is of, of models that have tokens.
    #[serde(serialize_with = "json::optional")]
    pub tokens: Option<Integer>,
    /// Nodes of a step, whose counts were held against their formulas at every step.
    pub nodes: usize,
    /// How many counts differed.
    pub mismatches: usize,
    /// Each step.
    pub steps: Vec<TrainedLoss>,
}

/// A step that was executed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct TrainedLoss {
    /// Its number, from 1.
    pub step: u32,
    /// The loss that it began with.
    pub loss: f32,
    /// How long it took.
    pub wall_ms: f64,
}

impl Record for TrainedSteps {
    fn document(&self) -> Document {
        let told = format!(
            "{} scalar operations a step, as derived and as counted: {} nodes at {} steps, {} mismatches; \
             rate {}",
            crate::thousands(&self.flops),
            self.nodes,
            self.steps.len(),
            self.mismatches,
            self.rate,
        );
        let title = title(&self.model, &self.binding);
        let mut blocks =
            vec![Block::Title(title), Block::Table(self.rows()), Block::Text(self.rates())];
        blocks.push(Block::Text(told));
        Document { blocks }
    }

    fn rows(&self) -> Table {
        let columns = vec![Column::number("step"), Column::number("loss"), Column::number("ms")];
        let row = |step: &TrainedLoss| {
            Row::new([
                Cell::from(step.step.to_string()),
                Cell::from(format!("{:.6}", step.loss)),
                Cell::from(format!("{:.3}", step.wall_ms)),
            ])
        };
        Table { columns, rows: self.steps.iter().map(row).collect() }
    }
}

impl TrainedSteps {
    /// What the fastest step did in a second.
    fn rates(&self) -> String {
        let least = self.steps.iter().map(|step| step.wall_ms).fold(f64::INFINITY, f64::min);
        let rate = |of: &Integer| of.to_f64().unwrap_or(f64::MAX) / (least / 1e3);
        let tokens = self.tokens.as_ref().map(|of| format!("{:.0} tokens/s, ", rate(of)));
        format!(
            "fastest step: {least:.3} ms, {}{:.2} GMAC/s",
            tokens.unwrap_or_default(),
            rate(&self.macs) / 1e9
        )
    }
}

impl TrainingCost {
    fn phases(&self) -> Table {
        let columns = vec![
            Column::word("part"),
            Column::number("2·macs"),
            Column::number("of all"),
            Column::number("all operations"),
        ];
        let row = |phase: &TrainingPhase| {
            Row::new([
                phase.phase.as_str().into(),
                phase.matmul_flops.cell(),
                share(&phase.matmul_flops, &self.hardware_flops),
                phase.flops.cell(),
            ])
        };
        let all =
            Row::new(["step".into(), self.hardware_flops.cell(), Cell::Empty, self.flops.cell()]);
        let rows = self.phases.iter().map(row).chain([all.ruled()]).collect();
        Table { columns, rows }
    }

    fn masks(&self) -> Table {
        let mut columns = vec![
            Column::text("pairs of attention"),
            Column::number("of attention").dispensable(1),
            Column::number("model 2·macs"),
            Column::number("hardware 2·macs"),
        ];
        let timed = self.utilisation.map(|of| of.seconds * of.peak);
        if timed.is_some() {
            columns.extend([Column::number("MFU"), Column::number("HFU")]);
        }
        let row = |mask: &TrainingMask| {
            let mut cells = vec![
                mask.pairs.into(),
                mask.attention.cell(),
                mask.model_flops.cell(),
                mask.hardware_flops.cell(),
            ];
            let of = |flops: &Integer, all: f64| flops.to_f64().unwrap_or(f64::MAX) / all;
            if let Some(all) = timed {
                let shares = [&mask.model_flops, &mask.hardware_flops];
                cells.extend(
                    shares.map(|flops| Cell::from(format!("{:.2} %", 100.0 * of(flops, all)))),
                );
            }
            Row::new(cells)
        };
        Table { columns, rows: self.masks.iter().map(row).collect() }
    }

    fn terms(&self) -> Table {
        let columns = vec![
            Column { narrowest: Some(24), ..Column::text("from 6·N·T to the step") },
            Column::number("2·macs"),
            Column::number("of 6·N·T"),
        ];
        let said = self.terms.first().map(|term| term.flops.clone()).unwrap_or_default();
        let row = |term: &TrainingTerm| {
            Row::new([term.reason.into(), term.flops.cell(), share(&term.flops, &said)])
        };
        let all = Row::new([
            "step".into(),
            self.hardware_flops.cell(),
            share(&self.hardware_flops, &said),
        ]);
        Table { columns, rows: self.terms.iter().map(row).chain([all.ruled()]).collect() }
    }

    fn memory(&self) -> Table {
        let columns = vec![
            Column::text("memory"),
            Column::word("as"),
            Column::number("bytes"),
            Column::number("of all"),
        ];
        let TrainingMemory { dtype, weights, gradients, kept, total, computed, .. } = &self.memory;
        let TrainingMemory { state_dtype, master_dtype, state, masters, .. } = &self.memory;
        let row = |name: &'static str, dtype: &str, bytes: &Integer| {
            Row::new([name.into(), dtype.to_owned().into(), bytes.cell(), share(bytes, total)])
        };
        let several = !self.memory.types.is_empty();
        let names: Vec<&str> = self.memory.types.iter().map(|kind| kind.name).collect();
        let own = if several { names.join(" and ") } else { (*dtype).to_owned() };
        let gradient = if several { AS_PARAMETERS } else { *dtype };
        let mut rows = vec![row("weights", &own, weights), row("gradients", gradient, gradients)];
        rows.extend(state.as_ref().map(|bytes| row("state of the optimiser", state_dtype, bytes)));
        let masters = masters.as_ref().zip(*master_dtype);
        rows.extend(masters.map(|(bytes, dtype)| row("parameters that it changes", dtype, bytes)));
        rows.push(row("kept of the forward pass for gradients", dtype, kept));
        rows.push(row("all of these", "", total).ruled());
        let here = "all computed values at the worst moment, executed here";
        rows.push(Row::new([here.into(), "f32".into(), computed.cell(), Cell::Empty]).ruled());
        Table { columns, rows }
    }
}

impl Record for TrainingCost {
    fn document(&self) -> Document {
        let batches = match self.batches {
            1 => String::new(),
            batches => format!(", gradients of {batches} batches added"),
        };
        let told = format!(
            "One training step: result {}, loss {}, computed again: {}, optimiser: {}{batches}. 2·macs, also by module: twice the multiplications in \
             contractions, of attention over the pairs that its mask allows.",
            self.result,
            self.loss,
            self.recomputed,
            self.optimizer.as_deref().unwrap_or("none"),
        );
        let model = format!(
            "model 2·macs {}, hardware 2·macs {}; {} parameters, {} of them with a gradient",
            crate::thousands(&self.model_flops),
            crate::thousands(&self.hardware_flops),
            crate::thousands(&self.parameters),
            crate::thousands(&self.trained),
        );
        let mut blocks = vec![
            Block::Title(title(&self.model, &self.binding)),
            Block::Table(self.phases()),
            Block::Text(model),
            Block::Table(self.rows()),
        ];
        if !self.masks.is_empty() {
            blocks.push(Block::Table(self.masks()));
        }
        if !self.terms.is_empty() {
            blocks.push(Block::Table(self.terms()));
        }
        blocks.push(Block::Table(self.memory()));
        if let Some(saved) = &self.saved {
            blocks.extend(saved.blocks());
        }
        if let Some(Utilisation { seconds, peak, model, hardware }) = self.utilisation {
            blocks.push(Block::Text(format!(
                "in {seconds} s of {peak:e} operations a second: MFU {:.2} % (model 2·macs), HFU {:.2} % \
                 (hardware 2·macs)",
                100.0 * model,
                100.0 * hardware,
            )));
        }
        blocks.push(Block::Text(told));
        Document { blocks }
    }

    fn rows(&self) -> Table {
        let columns = vec![
            Column::name("module"),
            Column::number("forward"),
            Column::number("backward"),
            Column::number("again").dispensable(1),
            Column::number("of all"),
        ];
        let row = |module: &TrainingModule| {
            let all = &module.forward + &module.backward + &module.recomputation;
            let path = if module.path.is_empty() { "(itself)" } else { module.path.as_str() };
            Row::new([
                path.into(),
                module.forward.cell(),
                module.backward.cell(),
                module.recomputation.cell(),
                share(&all, &self.hardware_flops),
            ])
        };
        Table { columns, rows: self.modules.iter().map(row).collect() }
    }
}

/// A share in percent.
fn share(part: &Integer, whole: &Integer) -> Cell {
    let zero = Integer::default();
    let (sign, size) = if *part < zero { ("-", -part) } else { ("", part.clone()) };
    percent(&size, whole).map_or_else(|| "–".into(), |shown| format!("{sign}{shown} %").into())
}
