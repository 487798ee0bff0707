//! `opledger diff`: two models side by side.

use std::path::Path;
use std::process::ExitCode;

use opledger_account::{ChangeAssertion, Model, SizedModel};
use opledger_dims::{Binding, Integer, Quantity, Symbol, escaped};
use opledger_models::Request;
use opledger_report::{Account, Difference, thousands, written_by};

use crate::args::DiffArgs;
use crate::failure::Failure;
use crate::input::read_text;
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
    let saved = [saved(&args.first), saved(&args.second)];
    if saved.iter().any(Option::is_some) {
        return of_saved(args, saved).map_err(sides);
    }
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

/// What a file says that `count --format json` wrote; none of what is no such file.
fn saved(name: &str) -> Option<Result<Account<Integer>, Failure>> {
    let path = Path::new(name);
    if !path.is_file() || path.extension().is_none_or(|end| end != "json") {
        return None;
    }
    let text = read_text(path).ok()?;
    if let Some(by) = written_by(&text) {
        return Some(Err(Failure::OtherRecord { name: name.to_owned(), by }));
    }
    let read = Account::saved(&text)?;
    let named = |account: Account<Integer>| Account { model: name.to_owned(), ..account };
    Some(read.map(named).map_err(|problem| Failure::SavedCount {
        name: name.to_owned(),
        problem: escaped(&problem),
    }))
}

/// Two counts, of which one at least was saved.
fn of_saved(
    args: &DiffArgs,
    saved: [Option<Result<Account<Integer>, Failure>>; 2],
) -> Result<ExitCode, Failure> {
    let [first, second] = saved;
    let (first, second) = (first.transpose()?, second.transpose()?);
    let mut notes = Vec::new();
    let (mut first, mut second) = match (first, second) {
        (Some(first), Some(second)) => {
            let options = [("set", !args.sizes.is_empty()), ("past", args.past)];
            if let Some((option, _)) = options.into_iter().find(|(_, given)| *given) {
                return Err(Failure::SavedSides { option });
            }
            (first, second)
        }
        (Some(first), None) => {
            let second = counted(args, &args.second, &first.binding, &mut notes)?;
            (first, second)
        }
        (None, Some(second)) => (counted(args, &args.first, &second.binding, &mut notes)?, second),
        (None, None) => return Ok(ExitCode::SUCCESS),
    };
    let mut failed = Vec::new();
    for assertion in &args.assertions {
        let of = |account: &Account<Integer>| {
            let quantity = assertion.quantity().parse::<Quantity>().ok();
            let answer = quantity.and_then(|quantity| account.quantity(quantity));
            answer.ok_or_else(|| Failure::NotSaved { quantity: escaped(assertion.quantity()) })
        };
        let (before, after) = (of(&first)?, of(&second)?);
        if !assertion.holds(&before, &after) {
            failed.push(told(assertion, [&first.model, &second.model], [&before, &after]));
        }
    }
    first.group(args.depth);
    second.group(args.depth);
    let mut difference = Difference::of(&first, &second, args.by);
    difference.no_formulas =
        Some("no difference as a formula: a count that was saved has no formulas".to_owned());
    output::show_noted(&difference, &notes, args.format)?;
    failed.iter().for_each(|problem| note(problem));
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A model at the sizes given, and at those of a saved count that are no model's own.
fn counted(
    args: &DiffArgs,
    name: &str,
    of_saved: &Binding,
    notes: &mut Vec<String>,
) -> Result<Account<Integer>, Failure> {
    let mut sizes = binding(&args.sizes)?;
    let given = sizes.clone();
    let request = Request { past: args.past, ..Request::default() };
    let past = Symbol::from("p");
    // Whether there is a cache follows from the sizes.
    let mut asked = given.clone();
    if let Some(size) = of_saved.get(&past).filter(|_| given.get(&past).is_none()) {
        asked.set(past, size.clone());
    }
    let model = Model::open_at(name, request, &asked, &args.program.options()?)?;
    for symbol in model.graph().sizes_by_role().values() {
        let own = model.sizes().get(symbol).is_some() || given.get(symbol).is_some();
        if let Some(size) = of_saved.get(symbol).filter(|_| !own) {
            sizes.set(symbol.clone(), size.clone());
        }
    }
    let sized = model.counted_at(&sizes)?;
    notes.extend(notes::about(&model, sized.sizes()));
    Ok(sized.account(None)?)
}

fn told(assertion: &ChangeAssertion, names: [&str; 2], [before, after]: [&Integer; 2]) -> String {
    format!(
        "assertion failed: {assertion}; `{}` has {} and `{}` {}",
        names[0],
        thousands(before),
        names[1],
        thousands(after)
    )
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
            let names = [first.model().name(), second.model().name()];
            failed.push(told(assertion, names, [&before, &after]));
        }
    }
    Ok(failed)
}
