//! Arguments of `verify` and of `audit`.

use std::path::PathBuf;

use clap::Args;
use opledger_report::Format;

use super::{FORMAT_HELP, formats};

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The claims to settle, such as B2; all when none is named
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<String>,
    /// List the claims and settle none
    #[arg(long)]
    pub(crate) list: bool,
    /// Leave out the largest executions
    #[arg(long)]
    pub(crate) quick: bool,
    /// Show the evidence line by line
    #[arg(long)]
    pub(crate) details: bool,
    #[arg(long, default_value = "table", value_parser = formats(&[]), help = FORMAT_HELP)]
    pub(crate) format: Format,
}

/// Arguments of `audit`.
#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// The tables to show cell by cell, such as vaswani-table-3 or a file mine.json of the same form; all,
    /// in a line each, when none is named
    #[arg(value_name = "TABLE")]
    pub(crate) tables: Vec<String>,
    /// Draw the error of the table's approximate rule
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    #[arg(long, default_value = "table", value_parser = formats(&[]), help = FORMAT_HELP)]
    pub(crate) format: Format,
}
