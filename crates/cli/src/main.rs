//! The command `opledger`: counts, derives, runs and verifies Transformers.

mod args;
mod commands;
mod destination;
mod failure;
mod interrupt;
mod notes;
mod output;
mod progress;
mod sizes;
mod sweep;
mod tensors;
mod text;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;

/// Tensors then begin on a cache line, which no load of a whole register straddles.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    interrupt::install();
    match commands::execute(args::Cli::parse()) {
        Ok(code) => code,
        Err(failure) => {
            // Nobody is left to tell when stderr is closed.
            let _ = writeln!(std::io::stderr(), "error: {failure}");
            ExitCode::from(2)
        }
    }
}
