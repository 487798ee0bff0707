//! The commands: each builds a record and shows it.

mod audit;
mod bench;
mod conventions;
mod count;
mod derive;
mod diff;
mod explain;
mod fit;
mod generate;
mod layers;
mod machine;
mod manners;
mod models;
mod page;
mod parallel;
mod run;
mod trace;
mod train;
mod verify;

pub(crate) use manners::near;

use std::process::ExitCode;

use clap::CommandFactory;

use crate::args::{Cli, Command};
use crate::complete::script;
use crate::failure::Failure;
use crate::output;

/// Does what the command line says.
pub(crate) fn execute(cli: Cli) -> Result<ExitCode, Failure> {
    output::looks(cli.color, cli.bars);
    match cli.command {
        None => output::print(&Cli::command().render_help().to_string())?,
        Some(Command::Audit(args)) => audit::execute(&args)?,
        Some(Command::Bench(args)) => bench::execute(&args)?,
        Some(Command::Complete(args)) => manners::complete(args)?,
        Some(Command::Completions(args)) => output::print(script(args.shell))?,
        Some(Command::Conventions(args)) => conventions::execute(&args)?,
        Some(Command::Count(args)) => return count::execute(&args),
        Some(Command::Derive(args)) => derive::execute(&args)?,
        Some(Command::Diff(args)) => return diff::execute(&args),
        Some(Command::Explain(args)) => return explain::execute(&args),
        Some(Command::Fit(args)) => return fit::execute(&args),
        Some(Command::Layers(args)) => layers::execute(&args)?,
        Some(Command::Man(args)) => manners::man(&args)?,
        Some(Command::Models(args)) => models::execute(&args)?,
        Some(Command::Page(args)) => page::execute(&args)?,
        Some(Command::Parallel(args)) => parallel::execute(&args)?,
        Some(Command::Generate(args)) => return generate::execute(&args),
        Some(Command::Machine(args)) => machine::execute(&args)?,
        Some(Command::Run(args)) => return run::execute(&args),
        Some(Command::Trace(args)) => return trace::execute(args),
        Some(Command::Train(args)) => train::execute(&args)?,
        Some(Command::Verify(args)) => return verify::execute(&args),
    }
    Ok(ExitCode::SUCCESS)
}
