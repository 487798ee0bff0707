//! Models that run: the weights beside a configuration, prepared runs, generation.
//!
//! A model of `account` is a graph with a name; here it is given tensors and executed.

mod choice;
mod error;
mod generator;
mod loading;
mod non_finite;
mod room;
mod settings;
mod source;
mod trainer;

use opledger_account::{Model, SizedModel};
use opledger_dims::Binding;
use opledger_interp::{Feeds, Prepared};
use opledger_weights::Checkpoint;

pub use choice::{Choice, Chooser, Sampling};
pub use error::{ExecuteError, FirstNonFinite};
pub use generator::{Generated, Generator};
pub use trainer::{TrainedStep, Trainer};

/// The tensors of a model.
#[derive(Clone, Debug)]
pub struct ModelWeights {
    /// What to feed: every parameter where there are files, the seed for all that is drawn.
    pub feeds: Feeds,
    /// Whether the parameters come from files; else they are drawn.
    pub read: bool,
    /// The parameters with elements that are infinite or no numbers, and how many these are.
    pub non_finite: Vec<(String, usize)>,
    /// Tensors of the files that are of parts the model does not have.
    pub aside: Vec<String>,
}

/// Adds to `feeds` every parameter of a model from the files beside its configuration, if there are
/// any; `sizes` are complete. What rows are multiplied by or looked up in goes, as it is read, into the
/// layout of kernels, and stays in the 16 bits of its file, or in its blocks; all else becomes `f32`.
///
/// # Errors
/// When the files cannot be read, do not hold the model's parameters, or hold weights under names that
/// are not read.
pub fn weights(model: &Model, sizes: &Binding, feeds: Feeds) -> Result<ModelWeights, ExecuteError> {
    if let Some(path) = model.reference().program() {
        let tensors = opledger_torch::weights(path, model.graph())?;
        let read = !tensors.is_empty();
        let feeds = loading::packed(model, sizes, tensors, feeds)?;
        return Ok(ModelWeights { feeds, read, non_finite: Vec::new(), aside: Vec::new() });
    }
    if let Some(header) = model.reference().gguf() {
        return loading::gguf(model, sizes, header, feeds);
    }
    let checkpoint = model.directory().map(Checkpoint::beside).transpose()?.flatten();
    let Some(checkpoint) = checkpoint else {
        return Ok(ModelWeights { feeds, read: false, non_finite: Vec::new(), aside: Vec::new() });
    };
    loading::load(model, sizes, (&checkpoint, &model.recorded().names), feeds)
}

/// Running a model at sizes.
pub trait Execute {
    /// The model with its tensors, to be run again and again: weights from the files beside its
    /// configuration where there are any, all else as `feeds` says.
    ///
    /// ```
    /// # mod opledger { pub use {opledger_account::*, opledger_execute::*, opledger_interp::*}; }
    /// use opledger::{Execute, Fast, Feeds, Model, Quiet};
    ///
    /// let model = Model::open("mha:c=64,h=4")?;
    /// let sized = model.at([("b", 2), ("n", 16)])?;
    /// let prepared = sized.prepare(Feeds::seeded(1))?;
    /// let mut fast = Fast::new()?; // keeps the buffers it has used
    /// for _ in 0..3 {
    ///     assert_eq!(prepared.run(&mut fast, &mut Quiet)?.ledger.macs(), sized.macs()?);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When files do not hold the model's parameters, a tensor does not fit, or the run would not fit
    /// in memory.
    fn prepare(&self, feeds: Feeds) -> Result<Prepared, ExecuteError>;
}

impl Execute for SizedModel<'_> {
    fn prepare(&self, feeds: Feeds) -> Result<Prepared, ExecuteError> {
        let weights = weights(self.model(), self.sizes(), feeds)?;
        Ok(Prepared::new(self.graph(), self.sizes(), &weights.feeds)?)
    }
}
