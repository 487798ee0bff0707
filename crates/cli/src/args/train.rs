//! The arguments of `train`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueEnum};
use opledger_account::Attending;
use opledger_conventions::SavedBy;
use opledger_grad::{Loss, Recompute};
use opledger_ir::Elem;
use opledger_report::Format;

use super::{DEVICE_HELP, FORMAT_HELP, ModelArgs, dtypes, formats};

const DEPTH_HELP: &str = "After how many segments of their paths modules are told together; 2 by default, with --device the modules \
     themselves";

/// Arguments of `train`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("watched").args(["conventions", "kept"]).multiple(true)))]
pub(crate) struct TrainArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// What is made smaller; by default cross-entropy where the result has a score for each id of the
    /// vocabulary, else the gradient of the result is given
    #[arg(long, value_enum)]
    pub(crate) loss: Option<LossName>,
    /// The result whose loss it is, by name; the first one by default
    #[arg(long, value_name = "NAME")]
    pub(crate) result: Option<String>,
    /// What is computed again for the gradients instead of being kept: none, selective (scores and weights
    /// of attention), full (layers, of which what enters is kept), or paths of modules with commas between
    #[arg(long, value_name = "WHAT", default_value = "none")]
    pub(crate) recompute: Recompute,
    /// Add the gradients of so many batches, each of these sizes, before parameters change
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) accumulate: u32,
    /// Tell the bytes that eager PyTorch saves of the forward pass as well: autograd (attention by its math)
    /// or flash (by its fused kernel)
    #[arg(long, value_name = "POLICY")]
    pub(crate) kept: Option<SavedBy>,
    /// Without the dropout that the model's library has by default
    #[arg(long, requires = "kept")]
    pub(crate) no_dropout: bool,
    /// What is done with the gradients; nothing by default
    #[arg(long, value_enum)]
    pub(crate) optimizer: Option<TrainedBy>,
    /// The norm of all gradients together above which they are made shorter
    #[arg(long, value_name = "NORM", requires = "optimizer")]
    pub(crate) clip: Option<f64>,
    /// The type of the optimiser's state, by default that of the weights
    #[arg(long, value_parser = dtypes(), requires = "optimizer")]
    pub(crate) state_dtype: Option<Elem>,
    /// The type of a copy of the parameters that the optimiser changes; none by default
    #[arg(long, value_parser = dtypes(), requires = "optimizer")]
    pub(crate) master_dtype: Option<Elem>,
    /// The type of weights, gradients and what is kept; by default the one that a configuration says,
    /// else f32
    #[arg(long, value_parser = dtypes())]
    pub(crate) dtype: Option<Elem>,
    #[arg(long, value_name = "D", help = DEPTH_HELP)]
    pub(crate) depth: Option<usize>,
    /// Count the step as a tool, a framework or a quantity does, module by module: torch-flop-counter,
    /// megatron-lm, maxtext, torchtitan, matmul-flops, …; all for each that counts a step; may be repeated
    #[arg(long = "convention", value_name = "NAME", conflicts_with_all = ["steps", "time"])]
    pub(crate) conventions: Vec<String>,
    /// How the model is written in the framework that --convention or --kept watches, as of `count`:
    /// torch.nn, transformers, transformers-eager, …; what is usual for the model by default
    #[arg(long, value_name = "WAY", requires = "watched")]
    pub(crate) written: Option<String>,
    /// How PyTorch's function of attention runs in what the tool sees: usual, as PyTorch chooses for the model
    /// as its library builds it; fused, nothing dropped out; or math, by products
    #[arg(long, value_name = "HOW", default_value = "usual", requires = "conventions")]
    pub(crate) attention: Attending,
    #[arg(long, value_name = "NAME", conflicts_with_all = ["conventions", "steps", "time", "kept"], help = DEVICE_HELP)]
    pub(crate) device: Option<String>,
    /// How long a step takes, in seconds, to say which share of a peak it reaches (MFU, HFU)
    #[arg(long, value_name = "SECONDS", requires = "peak", value_parser = positive)]
    pub(crate) time: Option<f64>,
    /// The operations a second that a machine can do, such as 989e12
    #[arg(long, value_name = "FLOPS", requires = "time", value_parser = positive)]
    pub(crate) peak: Option<f64>,
    /// Execute so many steps on random inputs, always the same, and show the loss
    #[arg(long, value_name = "K", requires = "optimizer", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) steps: Option<u32>,
    /// The learning rate of executed steps
    #[arg(long, default_value_t = 0.001, requires = "steps")]
    pub(crate) rate: f64,
    /// A safetensors file with inputs, parameters or state of the optimiser, under their paths in the graph;
    /// what it does not have is random, and state zero
    #[arg(long, value_name = "FILE", requires = "steps")]
    pub(crate) input: Option<PathBuf>,
    /// Write the parameters that were trained and the state of the optimiser to a safetensors file, after the
    /// last step
    #[arg(long, value_name = "FILE", requires = "steps")]
    pub(crate) save: Option<PathBuf>,
    /// After how many steps the state of --input was saved
    #[arg(long, value_name = "K", default_value_t = 0, requires = "input", value_parser = clap::value_parser!(i32).range(0..=1_000_000_000))]
    pub(crate) after: i32,
    /// The seed of random inputs, and of parameters that no file holds
    #[arg(long, default_value_t = 1, requires = "steps")]
    pub(crate) seed: u64,
    #[arg(long, default_value = "table", value_parser = formats(&[]), help = FORMAT_HELP)]
    pub(crate) format: Format,
}

/// What is done with gradients, as it is written.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum TrainedBy {
    /// The rate times the gradient is taken away
    Sgd,
    /// The same of gradients with a momentum of 0.9
    Momentum,
    /// Adam with betas 0.9 and 0.999
    Adam,
    /// The same with a decoupled decay of 0.01
    Adamw,
    /// Adafactor with a number for each row and column of a matrix
    Adafactor,
    /// Muon of the matrices of hidden layers, AdamW of all else
    Muon,
}

/// What is made smaller, as it is written.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LossName {
    /// The gradient of the result is given
    Given,
    /// The mean over tokens of the negative logarithm of the softmax at a label
    CrossEntropy,
    /// The mean of the squared differences from a target
    MeanSquare,
}

impl LossName {
    pub(crate) fn loss(self) -> Loss {
        match self {
            LossName::Given => Loss::Given,
            LossName::CrossEntropy => Loss::CrossEntropy { ignoring: false },
            LossName::MeanSquare => Loss::MeanSquare,
        }
    }
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number.is_finite() => Ok(number),
        _ => Err("a number above 0 is needed".to_owned()),
    }
}
