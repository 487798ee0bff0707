//! Arguments of what describes the command line itself.

use clap::Args;
use clap_complete::Shell;

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

/// Arguments of `man`.
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// One of the commands, whose own page it is; by default the page of all
    #[arg(value_name = "COMMAND")]
    pub(crate) of: Option<String>,
}
