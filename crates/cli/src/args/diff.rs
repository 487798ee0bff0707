//! Arguments of `diff`.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use opledger_account::{AssertionError, ChangeAssertion};
use opledger_report::{Format, RowOrder};

use super::{FORMAT_HELP, ProgramArgs, formats};
use crate::sizes::{Assignment, assignment};

/// Arguments of `diff`.
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// The model that is compared with: a layer, a published model, a config.json, a directory that holds
    /// one, an exported program, or a file that `opledger count --format json` wrote
    #[arg(value_name = "A")]
    pub(crate) first: String,
    /// The model that is compared
    #[arg(value_name = "B")]
    pub(crate) second: String,
    /// Give a symbol of both a size, such as b=32, n=1_024 or n=128Ki; may be repeated
    #[arg(long = "set", value_name = "SYMBOL=SIZE", value_parser = assignment)]
    pub(crate) sizes: Vec<Assignment>,
    /// Let causal models read p earlier tokens from a cache of keys and values; --set p=… implies it
    #[arg(long)]
    pub(crate) past: bool,
    #[command(flatten)]
    pub(crate) program: ProgramArgs,
    /// Group nodes by the first D segments of their paths
    #[arg(long, value_name = "D", default_value_t = 4)]
    pub(crate) depth: usize,
    /// What modules are compared in
    #[arg(long, value_name = "COLUMN", default_value = "flops", value_parser = numbers())]
    pub(crate) by: RowOrder,
    /// Exit with 1 unless the change from A to B is so, such as 'flops <= +5%', 'params == 0' or
    /// 'macs < -1e9'; may be repeated
    #[arg(long = "assert", value_name = "ASSERTION", value_parser = asserted)]
    pub(crate) assertions: Vec<ChangeAssertion>,
    #[arg(long, default_value = "table", value_parser = formats(&[]), help = FORMAT_HELP)]
    pub(crate) format: Format,
}

/// The columns that are numbers.
fn numbers() -> impl TypedValueParser<Value = RowOrder> {
    let all = RowOrder::ALL.into_iter().filter(|order| *order != RowOrder::Node);
    let names: Vec<&str> = all.map(RowOrder::name).collect();
    PossibleValuesParser::new(names).try_map(|name| name.parse::<RowOrder>())
}

fn asserted(text: &str) -> Result<ChangeAssertion, String> {
    text.parse().map_err(|problem: AssertionError| problem.to_string())
}
