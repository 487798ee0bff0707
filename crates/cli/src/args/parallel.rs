//! Arguments of `parallel`.

use clap::{ArgGroup, Args};
use opledger_ir::Elem;
use opledger_report::Format;

use super::{FORMAT_HELP, ModelArgs, dtypes, formats};

/// Arguments of `parallel`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("cut").required(true).multiple(true))]
pub(crate) struct ParallelArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// Cut the heads of attention and the inner width of feed-forward layers among so many ranks
    #[arg(long = "tp", value_name = "RANKS", group = "cut", value_parser = ranks())]
    pub(crate) tensor: Option<u64>,
    /// Of mixtures of experts, cut the experts among so many ranks, which all have all tokens
    #[arg(long = "ep", value_name = "RANKS", group = "cut", value_parser = ranks(), conflicts_with_all = ["tensor", "context", "data", "stages"])]
    pub(crate) experts: Option<u64>,
    /// Cut the tokens among so many ranks, which gather keys and values for attention
    #[arg(long = "cp", value_name = "RANKS", group = "cut", value_parser = ranks(), conflicts_with_all = ["tensor", "experts", "data", "stages"])]
    pub(crate) context: Option<u64>,
    /// Put as many layers on each of so many ranks, each of which hands its values to the next
    #[arg(long = "pp", value_name = "RANKS", group = "cut", value_parser = ranks(), conflicts_with_all = ["step", "data"])]
    pub(crate) stages: Option<u64>,
    /// Cut the items of a batch among so many ranks, and sum the gradients of a training step
    #[arg(long = "dp", value_name = "RANKS", group = "cut", value_parser = ranks())]
    pub(crate) data: Option<u64>,
    /// With --dp, the stage of ZeRO: 1 and 2, a rank has the sums of a part of the gradients, 3, it has a
    /// part of the parameters
    #[arg(long, value_name = "STAGE", requires = "data", value_parser = clap::value_parser!(u8).range(0..=3))]
    pub(crate) zero: Option<u8>,
    /// Count a training step, forward and backward, as --dp always does
    #[arg(long)]
    pub(crate) step: bool,
    /// With --tp, cut values between sublayers along their tokens
    #[arg(long = "sp", requires = "tensor", conflicts_with_all = ["experts", "context"])]
    pub(crate) sequence: bool,
    /// With --tp, cut the words too, in the table of embeddings and in the head
    #[arg(long, requires = "tensor", conflicts_with_all = ["experts", "context"])]
    pub(crate) vocabulary: bool,
    /// The type of weights and computed values; by default the one that a configuration says, else f32
    #[arg(long, value_parser = dtypes())]
    pub(crate) dtype: Option<Elem>,
    #[arg(long, default_value = "table", value_parser = formats(&[]), help = FORMAT_HELP)]
    pub(crate) format: Format,
}

/// Ranks are at least two: one has nobody to send to.
fn ranks() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(2..=1 << 20)
}
