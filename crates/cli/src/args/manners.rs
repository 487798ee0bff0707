//! Arguments of what describes the command line itself.

use clap::{Args, ValueEnum};

/// The shells that words are completed in.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Shell {
    /// Bash
    Bash,
    /// Elvish
    Elvish,
    /// fish
    Fish,
    /// PowerShell
    #[value(name = "powershell")]
    Pwsh,
    /// Zsh
    Zsh,
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

/// Arguments of `complete`, which the scripts of shells ask.
#[derive(Debug, Args)]
pub(crate) struct CompleteArgs {
    /// Whether a word that is still empty follows
    #[arg(long)]
    pub(crate) next: bool,
    /// The words behind the name of the command, the last one as far as it is written
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) words: Vec<String>,
}

/// Arguments of `man`.
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// One of the commands, whose own page it is; by default the page of all
    #[arg(value_name = "COMMAND")]
    pub(crate) of: Option<String>,
}
