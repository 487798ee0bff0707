//! Arguments of `verify` and of `audit`.

use std::path::PathBuf;

use clap::Args;
use opledger_report::Format;

use super::{FORMAT_HELP, formats};
use crate::sizes::{Assignment, assignment};

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The claims to settle, such as B2, or what they are about, such as permutation; all when none is named
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<String>,
    /// List the claims and settle none
    #[arg(long)]
    pub(crate) list: bool,
    /// Leave out the largest executions
    #[arg(long)]
    pub(crate) quick: bool,
    /// Show what is claimed, what is derived, and the evidence line by line
    #[arg(long)]
    pub(crate) details: bool,
    /// Make the experiments with orders of tokens (B5, B6) on n tokens of width c with h heads
    #[arg(long = "set", value_name = "SYMBOL=SIZE", value_parser = assignment, conflicts_with = "list")]
    pub(crate) sizes: Vec<Assignment>,
    /// The seed of their tokens and weights
    #[arg(long, value_name = "S", conflicts_with = "list")]
    pub(crate) seed: Option<u64>,
    /// Draw how far outputs moved in them
    #[arg(long, value_name = "FILE", conflicts_with = "list")]
    pub(crate) svg: Option<PathBuf>,
    #[arg(long, default_value = "table", value_parser = formats(&[Format::Latex]), help = FORMAT_HELP)]
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
    #[arg(long, default_value = "table", value_parser = formats(&[Format::Latex]), help = FORMAT_HELP)]
    pub(crate) format: Format,
}
