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
    /// The run itself.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Nothing to choose tokens by.
    #[error("`{model}` gives no scores of words; generating takes a causal language model")]
    NoScores {
        /// The model, as it was written.
        model: String,
    },
}
