//! Arguments of `derive`.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use opledger_account::Language;
use opledger_report::Format;

use super::{FORMAT_HELP, ModelArgs, formats};

/// Arguments of `derive`.
#[derive(Debug, Args)]
pub(crate) struct DeriveArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// Group nodes by the first D segments of their paths
    #[arg(long, value_name = "D", conflicts_with = "emit")]
    pub(crate) depth: Option<usize>,
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
