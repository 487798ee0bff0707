//! Arguments of `explain` and of `conventions`.

use clap::Args;
use opledger_account::Attending;
use opledger_grad::Recompute;
use opledger_report::Format;

use super::{FORMAT_HELP, ModelArgs, ToolArgs, formats};

/// Arguments of `explain`.
#[derive(Debug, Args)]
#[command(allow_missing_positional = true)]
pub(crate) struct ExplainArgs {
    /// A convention (see `opledger conventions`)
    #[arg(value_name = "A")]
    pub(crate) first: String,
    /// Another; without one, what is counted here in the unit of A: macs or matmul-flops, of a framework's
    /// step step-products
    #[arg(value_name = "B")]
    pub(crate) second: Option<String>,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) tools: ToolArgs,
    /// Of a training step, forward and backward, not of a forward pass
    #[arg(long, conflicts_with = "without")]
    pub(crate) step: bool,
    /// What of a step is computed again, as of `train`
    #[arg(long, value_name = "WHAT", default_value = "none", requires = "step")]
    pub(crate) recompute: Recompute,
    /// How PyTorch's function of attention runs in what the tool sees of a step: usual, as PyTorch chooses for
    /// the model as its library builds it; fused, nothing dropped out; or math, by products
    #[arg(long, value_name = "HOW", default_value = "usual", requires = "step")]
    pub(crate) attention: Attending,
    #[arg(long, default_value = "table", value_parser = formats(&[]), help = FORMAT_HELP)]
    pub(crate) format: Format,
}

/// Arguments of `conventions`.
#[derive(Debug, Args)]
pub(crate) struct ConventionsArgs {
    #[arg(long, default_value = "table", value_parser = formats(&[]), help = FORMAT_HELP)]
    pub(crate) format: Format,
}
