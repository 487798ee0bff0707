//! Training steps that are executed, one after the other.

use std::collections::BTreeMap;
use std::time::Duration;

use opledger_account::Training;
use opledger_dims::Binding;
use opledger_grad::{Optimizer, Updated};
use opledger_interp::{Fast, Feeds, Prepared, Quiet, Theorem, compare};
use opledger_ir::Op;
use opledger_ir::Value;
use opledger_ir::ops::Source;
use opledger_tensor::Tensor;

use crate::ExecuteError;

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
    sizes: Binding,
    /// For each result that is a parameter or a state after a step, the path of that.
    names: BTreeMap<String, String>,
    feeds: Feeds,
    /// Parameters and state, as the last step left them.
    held: BTreeMap<String, Value<f32>>,
    done: i32,
    fast: Fast,
}

/// What a step did.
#[derive(Clone, Debug)]
pub struct TrainedStep {
    /// The loss of the parameters that it began with.
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
        let lost = step.graph().outputs().iter().any(|(name, _)| name == "loss");
        let Some(update) = step.update().filter(|_| lost) else {
            return Err(ExecuteError::NothingTrained);
        };
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
        Ok(Trainer { step, optimizer, sizes, names, feeds, held, done: 0, fast: Fast::new()? })
    }

    /// Executes a step at a learning rate.
    ///
    /// # Errors
    /// Those of a run; a loss that is infinite or no number, after which nothing has changed.
    pub fn step(&mut self, rate: f64) -> Result<TrainedStep, ExecuteError> {
        let scalar = |x: f64| Tensor::from(x as f32);
        let mut feeds = self.feeds.clone().with("optimizer.rate", scalar(rate));
        if let Optimizer::AdamW { betas, .. } = self.optimizer {
            let [first, second] = betas.map(|beta| scalar(1.0 - beta.powi(self.done + 1)));
            feeds = feeds.with("optimizer.first", first).with("optimizer.second", second);
        }
        for (path, value) in &self.held {
            feeds = feeds.with(path, value.clone());
        }
        let prepared = Prepared::new(self.step.graph(), &self.sizes, &feeds)?;
        let run = prepared.run(&mut self.fast, &mut Quiet)?;
        let theorem = compare(self.step.graph(), &run.binding, &run.ledger, "the kernels")?;
        let loss = run.output("loss")?.iter().next().copied().unwrap_or(f32::NAN);
        if !loss.is_finite() {
            return Err(ExecuteError::Loss { step: self.done + 1, loss });
        }
        for (name, value) in run.outputs {
            if let Some(path) = self.names.get(&name) {
                self.held.insert(path.clone(), value);
            }
        }
        self.done += 1;
        Ok(TrainedStep { loss, wall: run.wall, theorem })
    }
}
