//! `opledger explain`: why two tools print different numbers.

use std::process::ExitCode;

use opledger_account::TrainingOptions;
use opledger_conventions::convention;
use opledger_conventions::framework::{FormulaWork, framework, framework_names};
use opledger_models::Request;

use crate::args::ExplainArgs;
use crate::failure::Failure;
use crate::notes;
use crate::output;

pub(crate) fn execute(args: &ExplainArgs) -> Result<ExitCode, Failure> {
    let (model, sizes) = args.model.open(Request::default())?;
    let sized = model.seen_at(&sizes)?;
    let second = match &args.second {
        Some(second) => second.clone(),
        None => own_count(&args.first, args.step)?.to_owned(),
    };
    let (written, without) = (args.tools.written.as_deref(), &args.tools.without);
    let explained = if args.step {
        let recompute = args.recompute.clone();
        let step = model.training(&TrainingOptions { recompute, ..TrainingOptions::default() })?;
        step.tools(&sizes, written, args.attention)?.explain(&args.first, &second)?
    } else {
        sized.explained_by(&args.first, &second, written, without)?
    };
    output::show_noted(&explained, &notes::about(&model, sized.sizes()), args.format)?;
    let complete = explained.unaccounted == 0.into()
        && explained.lines.iter().all(|line| line.reason.is_some());
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is counted here that one name alone is held against: in its unit, and of a framework's formula the products
/// that are computed.
fn own_count(name: &str, step: bool) -> Result<&'static str, Failure> {
    let plain = name.split_once('@').map_or(name, |(plain, _)| plain);
    let own = if framework_names().any(|known| known == plain) {
        match framework(name)?.work {
            FormulaWork::Forward => "forward-products",
            FormulaWork::Step => "step-products",
        }
    } else if step || convention(name, &[])?.twice {
        "matmul-flops"
    } else {
        "macs"
    };
    match ["macs", "matmul-flops", "forward-products", "step-products"].contains(&plain) {
        true => Err(Failure::OwnCount { name: name.to_owned() }),
        false => Ok(own),
    }
}
