//! Arguments of the commands that say what is known.

use std::path::PathBuf;

use clap::Args;
use opledger_report::Format;

use super::{FORMAT_HELP, formats};

/// Arguments of `layers`.
#[derive(Debug, Args)]
pub(crate) struct LayersArgs {
    /// Only those with this text in its name or summary, in any case
    #[arg(value_name = "TEXT")]
    pub(crate) text: Option<String>,
    #[arg(long, default_value = "table", value_parser = formats(&[]), help = FORMAT_HELP)]
    pub(crate) format: Format,
}

/// Arguments of `models`.
#[derive(Debug, Args)]
pub(crate) struct ModelsArgs {
    /// Only those with this text in its name, family or source, in any case
    #[arg(value_name = "TEXT")]
    pub(crate) text: Option<String>,
    #[arg(long, default_value = "table", value_parser = formats(&[]), help = FORMAT_HELP)]
    pub(crate) format: Format,
}

/// Arguments of `page`.
#[derive(Debug, Args)]
pub(crate) struct PageArgs {
    /// The file it is written to
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
}

/// Arguments of `machine`.
#[derive(Debug, Args)]
pub(crate) struct MachineArgs {
    #[arg(long, default_value = "table", value_parser = formats(&[]), help = FORMAT_HELP)]
    pub(crate) format: Format,
}
