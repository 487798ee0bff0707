//! `opledger explain`: why two tools print different numbers.

use std::process::ExitCode;

use opledger_account::TrainingOptions;
use opledger_models::Request;

use crate::args::ExplainArgs;
use crate::failure::Failure;
use crate::notes;
use crate::output;

pub(crate) fn execute(args: &ExplainArgs) -> Result<ExitCode, Failure> {
    let (model, sizes) = args.model.open(Request::default())?;
    let sized = model.seen_at(&sizes)?;
    let (written, without) = (args.tools.written.as_deref(), &args.tools.without);
    let explained = if args.step {
        let recompute = args.recompute.clone();
        let step = model.training(&TrainingOptions { recompute, ..TrainingOptions::default() })?;
        step.tools(&sizes, written, args.attention)?.explain(&args.first, &args.second)?
    } else {
        sized.explained_by(&args.first, &args.second, written, without)?
    };
    output::show_noted(&explained, &notes::about(&model, sized.sizes()), args.format)?;
    let complete = explained.unaccounted == 0.into()
        && explained.lines.iter().all(|line| line.reason.is_some());
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
