//! What can be wrong with running a model.

use opledger_account::AccountError;
use opledger_interp::RunError;
use opledger_weights::WeightsError;

/// Why a model does not run.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// A name or a size.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The files of its weights.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The archive of a program.
    #[error(transparent)]
    Program(#[from] opledger_torch::ImportError),
    /// The run itself.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A step without a loss, or that changes no parameter.
    #[error(
        "nothing is trained without a loss and an optimiser; give --loss mean-square or cross-entropy, and \
         --optimizer"
    )]
    NothingTrained,
    /// Inputs of another number of batches than a step has.
    #[error("a step adds the gradients of {expected} batches, and inputs of {found} are given")]
    Batches {
        /// How many it has.
        expected: usize,
        /// How many were given.
        found: usize,
    },
    /// A size of a training step.
    #[error("a training step has no such sizes: {0}")]
    TrainedSizes(#[source] opledger_ir::OpError),
    /// A step that takes more memory than there is.
    #[error(
        "the step needs {} bytes of memory, {available} are available: weights {}, gradients {}, state of the \
         optimiser {}, kept of the forward pass {}; {}",
        bytes.needed, bytes.weights, bytes.gradients, bytes.state, bytes.kept,
        fits(fitting)
    )]
    Room {
        /// Bytes that there are.
        available: opledger_dims::Integer,
        /// Bytes that it takes.
        bytes: Box<opledger_account::StepBytes>,
        /// What could be computed again, for it to fit.
        fitting: Vec<String>,
    },
    /// A parameter or a state that becomes infinite or no number.
    #[error(
        "step {step} makes `{name}` infinite or no number{}: parameters and state are left as they were; try a \
         smaller rate, or --clip", arose(first.as_ref())
    )]
    NonFinite {
        /// The step, from 1.
        step: i32,
        /// What it makes.
        name: String,
        /// Where a number first was, of numbers that were finite.
        first: Option<FirstNonFinite>,
    },
    /// A loss that leads nowhere.
    #[error(
        "the loss of step {step} is {loss}{}: parameters and state are left as they were; try a smaller rate, \
         or --clip", arose(first.as_ref())
    )]
    Loss {
        /// The step, from 1.
        step: i32,
        /// The loss.
        loss: f32,
        /// Where a number first was infinite or none, of numbers that were finite.
        first: Option<FirstNonFinite>,
    },
    /// More tokens than the model has positions for.
    #[error(
        "{prompt} + {new} tokens, `{}` = {} in the configuration: {}",
        limit.key, limit.positions, advice(*room)
    )]
    Positions {
        /// Tokens of the prompt.
        prompt: usize,
        /// Tokens that were to be added.
        new: usize,
        /// How many can be.
        room: u64,
        /// The positions of the model.
        limit: opledger_models::PositionLimit,
    },
    /// Tokens beyond those up to which heads turn alike.
    #[error(
        "{prompt} + {new} tokens: beyond {alike} heads turn otherwise (longrope), and keys that are in the \
         cache do not; ask for at most {room} new tokens, or give a longer prompt"
    )]
    OtherTurns {
        /// Tokens of the prompt.
        prompt: usize,
        /// Tokens that were to be added.
        new: usize,
        /// Up to how many heads turn alike.
        alike: usize,
        /// How many can be added.
        room: usize,
    },
    /// Weights of a GGUF file of an architecture that is counted and not executed.
    #[error(
        "`{}` is counted, not run: the weights of its architecture are not read; run the model from its \
         config.json and safetensors files",
        opledger_dims::escaped(&path.to_string_lossy())
    )]
    Gguf {
        /// The file.
        path: std::path::PathBuf,
    },
    /// Weights in blocks that are counted and not executed.
    #[error(
        "`{}` is kept in {kind}, which is counted, not run; {} are, beside F32, F16 and BF16",
        opledger_dims::escaped(path),
        opledger_interp::BlockType::ALL.map(opledger_interp::BlockType::name).join(", ")
    )]
    Blocks {
        /// The parameter.
        path: String,
        /// The blocks.
        kind: &'static str,
    },
    /// A decoder that was given nothing to attend to.
    #[error("`{model}` is an encoder and a decoder: give the encoder its text or its sound first")]
    NoSource {
        /// The model, as it was written.
        model: String,
    },
    /// A text for the encoder of a model that has none.
    #[error("`{model}` has no encoder that reads a text; give its decoder the tokens")]
    NoEncoder {
        /// The model, as it was written.
        model: String,
    },
    /// A sound for a model whose encoder reads none.
    #[error("`{model}` has no encoder that reads a sound")]
    NoSounds {
        /// The model, as it was written.
        model: String,
    },
    /// A decoder that nothing says the first token of.
    #[error(
        "`{model}` does not say what its decoder begins with: decoder_start_token_id in \
         generation_config.json or config.json does"
    )]
    NoStart {
        /// The model, as it was written.
        model: String,
    },
    /// Nothing to choose tokens by.
    #[error("`{model}` gives no scores of words; generating takes a causal language model")]
    NoScores {
        /// The model, as it was written.
        model: String,
    },
}

/// The node whose result is infinite or no number, though it worked on numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstNonFinite {
    /// Its path, in the iteration.
    pub path: String,
    /// Its operation.
    pub operation: &'static str,
    /// The part of the step that it stands in.
    pub phase: opledger_ir::Phase,
}

fn arose(first: Option<&FirstNonFinite>) -> String {
    match first {
        Some(FirstNonFinite { path, operation, phase }) => {
            format!(", first in `{path}` ({operation}, {phase})")
        }
        None => String::new(),
    }
}

fn fits(policies: &[String]) -> String {
    match policies {
        [] => "nothing that is computed again makes it fit: take smaller sizes".to_owned(),
        policies => format!("it fits with --recompute {}", policies.join(" or ")),
    }
}

/// How to ask for what fits.
fn advice(room: u64) -> String {
    match room {
        0 => "give a shorter prompt".to_owned(),
        room => format!("ask for at most {room} new tokens"),
    }
}
