//! Training steps that are executed, one after the other.

use std::collections::BTreeMap;
use std::time::Duration;

use opledger_account::Training;
use opledger_dims::Binding;
use opledger_grad::{Optimizer, Updated};
use opledger_interp::{Fast, Feeds, Prepared, Quiet, Theorem, available_memory, compare};
use opledger_ir::ops::Source;
use opledger_ir::{Op, OpError, Value};
use opledger_tensor::Tensor;

use crate::non_finite::Looking;
use crate::{ExecuteError, FirstNonFinite, room};

/// A model that is trained: each step goes on from the parameters and the state that the one before left.
///
/// ```
/// # mod opledger {
/// #     pub use {opledger_account::*, opledger_execute::*, opledger_interp::*};
/// #     pub mod grad { pub use opledger_grad::*; }
/// # }
/// use opledger::grad::{Loss, Optimizer, Update};
/// use opledger::{Feeds, Model, Trainer, TrainingOptions};
///
/// let model = Model::open("ffn:c=8,ff=16")?;
/// let update = Some(Update { optimizer: Optimizer::ADAMW, clip: Some(1.0) });
/// let options = TrainingOptions { loss: Some(Loss::MeanSquare), update, ..Default::default() };
/// let step = model.training(&options)?;
/// let sizes = [("b", 2), ("n", 4)].into_iter().collect();
/// let mut trainer = Trainer::new(&step, &sizes, Feeds::seeded(1))?;
/// let first = trainer.step(0.01)?;
/// for _ in 0..20 {
///     trainer.step(0.01)?;
/// }
/// assert!(trainer.step(0.01)?.loss < first.loss);
/// assert_eq!(first.theorem.mismatches.len(), 0); // every node counted what its formula says
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Trainer<'t> {
    step: &'t Training<'t>,
    optimizer: Optimizer,
    /// The result that is the loss.
    lost: &'t str,
    sizes: Binding,
    /// For each result that is a parameter or a state after a step, the path of that.
    names: BTreeMap<String, String>,
    /// For each result that is a gradient, the input that the next batch adds to it.
    added: BTreeMap<String, String>,
    feeds: Feeds,
    /// Parameters and state, as the last step left them.
    held: BTreeMap<String, Value<f32>>,
    done: i32,
    fast: Fast,
}

/// What a step did.
#[derive(Clone, Debug)]
pub struct TrainedStep {
    /// The loss of the parameters that it began with, over all batches.
    pub loss: f32,
    /// How long it took.
    pub wall: Duration,
    /// What every node counted, against its formula.
    pub theorem: Theorem,
}

impl<'t> Trainer<'t> {
    /// A trainer that begins with what `feeds` says of parameters and inputs, and with a state of zeros.
    ///
    /// # Errors
    /// When the step has no loss or changes no parameter, or a size is missing.
    pub fn new(
        step: &'t Training<'t>,
        sizes: &Binding,
        feeds: Feeds,
    ) -> Result<Trainer<'t>, ExecuteError> {
        let (Some(update), Some(lost)) = (step.update(), step.loss()) else {
            return Err(ExecuteError::NothingTrained);
        };
        if let Some(available) = available_memory() {
            room::fits(step, sizes, &available)?;
        }
        let (graph, sizes) = (step.graph(), step.sized(sizes)?);
        let (mut feeds, mut names) = (feeds, BTreeMap::new());
        for Updated { source, result } in step.updated() {
            let node = graph.node(*source);
            let of = |path: &str| graph.instances_at(node, path, &sizes);
            let paths = of(&node.path).map_err(ExecuteError::TrainedSizes)?;
            if !matches!(node.op, Op::Source(Source::Param { .. })) {
                feeds = paths.iter().fold(feeds, |feeds, path| feeds.zeros_at(path));
            }
            names.extend(of(result).map_err(ExecuteError::TrainedSizes)?.into_iter().zip(paths));
        }
        let (held, optimizer) = (BTreeMap::new(), update.optimizer);
        let added = added(step, &sizes).map_err(ExecuteError::TrainedSizes)?;
        Ok(Trainer {
            step,
            lost,
            optimizer,
            sizes,
            names,
            added,
            feeds,
            held,
            done: 0,
            fast: Fast::new()?,
        })
    }

    /// The same, where parameters and state that `feeds` gives are those after so many steps.
    #[must_use]
    pub fn after(self, done: i32) -> Self {
        Trainer { done, ..self }
    }

    /// What the steps have changed, by its path: parameters, and the state of the optimiser.
    pub fn changed(&self) -> impl Iterator<Item = (&str, &Value<f32>)> {
        self.held.iter().map(|(path, value)| (path.as_str(), value))
    }

    /// Executes a step at a learning rate, on inputs as `feeds` gave or draws them: those of each batch whose
    /// gradients are added are drawn apart.
    ///
    /// # Errors
    /// Those of a run; a loss that is infinite or no number, after which nothing has changed.
    pub fn step(&mut self, rate: f64) -> Result<TrainedStep, ExecuteError> {
        self.step_of(rate, &vec![Vec::new(); self.step.batches() as usize])
    }

    /// The same on inputs of each batch, by their paths.
    ///
    /// # Errors
    /// As [`Trainer::step`], and when there are not as many batches as the step has.
    pub fn step_of(
        &mut self,
        rate: f64,
        batches: &[Vec<(String, Value<f32>)>],
    ) -> Result<TrainedStep, ExecuteError> {
        let expected = self.step.batches() as usize;
        if batches.len() != expected {
            return Err(ExecuteError::Batches { expected, found: batches.len() });
        }
        let mut feeds = self.feeds.clone();
        for (name, x) in self.optimizer.rates(self.done + 1, rate) {
            feeds = feeds.with(name, Tensor::from(x as f32));
        }
        for (path, value) in &self.held {
            feeds = feeds.with(path, value.clone());
        }
        let graphs = self.step.graphs().flat_map(|(graph, times)| (0..times).map(move |_| graph));
        let mut all = TrainedStep { loss: 0.0, wall: Duration::ZERO, theorem: Theorem::default() };
        let mut after = BTreeMap::new();
        for (at, (graph, batch)) in graphs.zip(batches).enumerate() {
            let own = batch.iter().fold(feeds.clone().batch(at as u64), |feeds, (path, value)| {
                feeds.with(path, value.clone())
            });
            // The last batch takes all that is given; those before know nothing of an update.
            let own = match at + 1 == expected {
                true => own,
                false => own.taken_by(graph, &self.sizes)?,
            };
            let prepared = Prepared::new(graph, &self.sizes, &own)?;
            let run = prepared.run(&mut self.fast, &mut Quiet)?;
            let theorem = compare(prepared.graph(), &run.binding, &run.ledger, "the kernels")?;
            all.theorem.nodes += theorem.nodes;
            all.theorem.points += theorem.points;
            all.theorem.mismatches.extend(theorem.mismatches);
            let loss = run.output(self.lost)?.iter().next().copied().unwrap_or(f32::NAN);
            let step = self.done + 1;
            if !loss.is_finite() {
                return Err(ExecuteError::Loss { step, loss, first: first(&prepared)? });
            }
            let wrong = |value: &Value<f32>| {
                value.real().is_some_and(|own| own.data().iter().any(|x| !x.is_finite()))
            };
            let changed =
                |name: &str| self.names.contains_key(name) || self.added.contains_key(name);
            if let Some((name, _)) =
                run.outputs.iter().find(|(name, value)| changed(name) && wrong(value))
            {
                let (name, first) = (name.clone(), first(&prepared)?);
                return Err(ExecuteError::NonFinite { step, name, first });
            }
            all.loss += loss / expected as f32;
            all.wall += run.wall;
            for (name, value) in run.outputs {
                if let Some(path) = self.names.get(&name) {
                    after.insert(path.clone(), value);
                } else if let Some(path) = self.added.get(&name) {
                    feeds = feeds.with(path, value);
                }
            }
        }
        self.held.extend(after);
        self.done += 1;
        Ok(all)
    }
}

/// For each result that is the gradient of a parameter in a batch, the input that the next one adds to it.
fn added(step: &Training<'_>, sizes: &Binding) -> Result<BTreeMap<String, String>, OpError> {
    let mut sources = BTreeMap::new();
    for (graph, gradients, _) in step.passes() {
        for (own, before) in gradients.iter().filter_map(|own| Some((own, own.earlier?))) {
            sources.insert(&graph.node(own.parameter).path, graph.node(before));
        }
    }
    let mut added = BTreeMap::new();
    for (graph, gradients, _) in step.passes() {
        for (own, result) in gradients.iter().filter_map(|own| Some((own, own.result.as_ref()?))) {
            let parameter = graph.node(own.parameter);
            let Some(source) = sources.get(&parameter.path) else { continue };
            let of = |path: &str| graph.instances_at(parameter, path, sizes);
            added.extend(of(result)?.into_iter().zip(of(&source.path)?));
        }
    }
    Ok(added)
}

/// Where a number of a run first is infinite or none.
fn first(prepared: &Prepared) -> Result<Option<FirstNonFinite>, ExecuteError> {
    let mut looking = Looking::new()?;
    prepared.run(&mut looking, &mut Quiet)?;
    Ok(looking.first)
}

#[cfg(test)]
mod tests {
    use opledger_account::{Model, TrainingOptions};
    use opledger_grad::{Loss, Optimizer, Update};

    use super::*;

    fn options(optimizer: Optimizer) -> TrainingOptions {
        let update = Some(Update { optimizer, clip: None });
        TrainingOptions { loss: Some(Loss::MeanSquare), update, ..Default::default() }
    }

    #[test]
    fn a_step_that_does_not_fit_is_told_with_what_would() {
        let model = Model::open("llama-2-7b").unwrap();
        let step = model.training(&TrainingOptions { loss: None, ..options(Optimizer::ADAMW) });
        let step = step.unwrap();
        let sizes: Binding = [("b", 1), ("n", 4096)].into_iter().collect();
        let available =
            |recompute| step.recomputing(recompute).unwrap().bytes(&sizes).unwrap().needed;
        let full = available(opledger_grad::Recompute::Layers);
        let told = room::fits(&step, &sizes, &full).unwrap_err().to_string();
        // The weights, the state and both as they become are more than what selective recomputation keeps.
        assert!(told.contains("it fits with --recompute selective or full"), "{told}");
        assert!(told.contains("weights 26953662464, gradients 26953662464, state"), "{told}");
        let told = room::fits(&step, &sizes, &(full - 1u32)).unwrap_err().to_string();
        assert!(told.contains("nothing that is computed again makes it fit"), "{told}");
        let all = available(opledger_grad::Recompute::Nothing);
        room::fits(&step, &sizes, &all).unwrap();
    }

    #[test]
    fn the_first_node_that_leaves_the_numbers_is_told() {
        let model = Model::open("ffn:c=8,ff=16").unwrap();
        let step = model.training(&options(Optimizer::SGD)).unwrap();
        let sizes: Binding = [("b", 2), ("n", 4)].into_iter().collect();
        let far = Tensor::new(&[2, 4, 8], vec![1e30; 64]).unwrap();
        // (x − 10³⁰)² is infinite.
        let mut trainer =
            Trainer::new(&step, &sizes, Feeds::seeded(1).with("target", far)).unwrap();
        let told = trainer.step(0.01).unwrap_err();
        let ExecuteError::Loss { step: 1, first: Some(first), .. } = told else { panic!("{told}") };
        assert_eq!((first.operation, first.phase), ("mul", opledger_ir::Phase::Loss), "{first:?}");
        // A parameter of 10³⁸ and a step of as much again are finite, their sum is not.
        let near = Tensor::new(&[2, 4, 8], vec![1e15; 64]).unwrap();
        let mut trainer =
            Trainer::new(&step, &sizes, Feeds::seeded(1).with("target", near)).unwrap();
        let told = trainer.step(1e30).unwrap_err();
        let ExecuteError::NonFinite { step: 1, first: Some(first), name } = told else {
            panic!("{told}")
        };
        assert!(name.starts_with("updated."), "{name}");
        assert_eq!(first.phase, opledger_ir::Phase::Update, "{first:?}");
        assert!(trainer.held.is_empty());
    }
}
