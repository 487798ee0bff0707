//! `opledger explain`: why two tools print different numbers.

use std::process::ExitCode;

use crate::args::ExplainArgs;
use crate::counted_by::Watched;
use crate::failure::Failure;
use crate::found::find;
use crate::output;
use crate::subject::{Needs, Subject};

pub(crate) fn execute(args: &ExplainArgs) -> Result<ExitCode, Failure> {
    let found = find(&args.model.model)?;
    let subject = Subject::new(&args.model, Needs::Count)?;
    let watched = Watched::new(&found, &subject, &args.watched)?;
    let explained = watched.explain(&args.first, &args.second)?;
    output::show(&explained, args.format)?;
    let complete = explained.unaccounted == 0.into()
        && explained.lines.iter().all(|line| line.reason.is_some());
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
