//! Arguments of `derive`.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use opledger_account::Language;
use opledger_report::{Format, RowOrder};

use super::{FORMAT_HELP, ModelArgs, formats, orders};

/// Arguments of `derive`.
#[derive(Debug, Args)]
pub(crate) struct DeriveArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// Group nodes by the first D segments of their paths
    #[arg(long, value_name = "D", conflicts_with = "emit")]
    pub(crate) depth: Option<usize>,
    /// Sort the rows by a column, the greatest first as all sizes without a number grow alike
    #[arg(long, value_name = "COLUMN", value_parser = orders(), conflicts_with = "emit")]
    pub(crate) sort: Option<RowOrder>,
    /// Show the first K rows, sorted by --sort or else by flops, and the others summed as (rest)
    #[arg(long, value_name = "K", conflicts_with = "emit")]
    pub(crate) top: Option<usize>,
    #[arg(long, default_value = "table", value_parser = formats(&[Format::Latex]), help = FORMAT_HELP)]
    pub(crate) format: Format,
    /// Write the formulas as functions without dependencies, which give the exact numbers, with a table to
    /// check them by; sizes that --set gives are put in
    #[arg(long, value_name = "LANGUAGE", value_parser = languages(), conflicts_with = "format")]
    pub(crate) emit: Option<Language>,
}

/// The languages of formulas.
fn languages() -> impl TypedValueParser<Value = Language> {
    let names = Language::ALL.map(Language::name);
    PossibleValuesParser::new(names).try_map(|name| name.parse::<Language>())
}
