//! The command `opledger`: counts, derives, runs and verifies Transformers.

mod args;
mod commands;
mod complete;
mod destination;
mod failure;
mod input;
mod interrupt;
mod notes;
mod output;
mod progress;
mod roof;
mod sizes;
mod sweep;
mod tensors;
mod text;
mod threads;
#[cfg(feature = "text")]
mod tokenizer;

use std::process::ExitCode;

use clap::Parser;
use clap::error::{ContextKind, ContextValue};
use mimalloc::MiMalloc;

/// Tensors then begin on a cache line, which no load of a whole register straddles.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    interrupt::install();
    let result = match args::Cli::try_parse() {
        Ok(cli) => commands::execute(cli),
        Err(refused) if refused.use_stderr() => return refuse(&refused),
        // Help, and the version.
        Err(asked) => output::written(asked.print()).map(|()| ExitCode::SUCCESS),
    };
    result.unwrap_or_else(|failure| {
        notes::tell("error: ", &failure.to_string());
        ExitCode::from(2)
    })
}

/// Says what is wrong with the arguments, in colours where nothing of it has to be cut.
fn refuse(refused: &clap::Error) -> ExitCode {
    let text = refused.render().to_string();
    if notes::shown(&text) == text {
        let _ = refused.print();
    } else {
        notes::tell("", text.trim_end());
    }
    // Behind `help`, clap knows no near name.
    let told = refused.get(ContextKind::SuggestedSubcommand).is_some();
    if let (false, Some(ContextValue::String(name))) =
        (told, refused.get(ContextKind::InvalidSubcommand))
        && let Some(near) = commands::near(name)
    {
        notes::tell("tip: ", &format!("a similar command exists: {near}"));
    }
    ExitCode::from(2)
}
