//! `opledger diff`: two models side by side.

use std::process::ExitCode;

use opledger_account::{ChangeAssertion, Model, SizedModel};
use opledger_models::Request;
use opledger_report::thousands;

use crate::args::DiffArgs;
use crate::failure::Failure;
use crate::notes::{self, note};
use crate::output;
use crate::sizes::binding;

pub(crate) fn execute(args: &DiffArgs) -> Result<ExitCode, Failure> {
    let sides = |problem: Failure| Failure::Sides {
        first: args.first.clone(),
        second: args.second.clone(),
        problem: Box::new(problem),
    };
    let sizes = binding(&args.sizes)?;
    let request = || Request { past: args.past, ..Request::default() };
    let open = |text: &str| -> Result<Model, Failure> {
        Ok(Model::open_at(text, request(), &sizes, &args.program.options()?)?)
    };
    let first = open(&args.first).map_err(sides)?;
    let second = open(&args.second).map_err(sides)?;
    let at = |problem| sides(Failure::from(problem));
    let of_first = first.counted_at(&sizes).map_err(at)?;
    let of_second = second.counted_at(&sizes).map_err(at)?;
    let mut notes = notes::about(&first, &sizes);
    for own in notes::about(&second, &sizes) {
        if !notes.contains(&own) {
            notes.push(own);
        }
    }
    let failed = failed(&args.assertions, &of_first, &of_second).map_err(sides)?;
    let difference = of_first.difference(&of_second, args.by, args.depth).map_err(at)?;
    output::show_noted(&difference, &notes, args.format)?;
    failed.iter().for_each(|problem| note(problem));
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is asserted of the change and does not hold.
fn failed(
    assertions: &[ChangeAssertion],
    first: &SizedModel<'_>,
    second: &SizedModel<'_>,
) -> Result<Vec<String>, Failure> {
    let (mut of_first, mut of_second) = (first.questions(None, &[]), second.questions(None, &[]));
    let mut failed = Vec::new();
    for assertion in assertions {
        let before = of_first.answer(assertion.quantity())?;
        let after = of_second.answer(assertion.quantity())?;
        if !assertion.holds(&before, &after) {
            failed.push(format!(
                "assertion failed: {assertion}; `{}` has {} and `{}` {}",
                first.model().name(),
                thousands(&before),
                second.model().name(),
                thousands(&after)
            ));
        }
    }
    Ok(failed)
}
