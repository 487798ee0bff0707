//! `opledger complete` and `opledger man`: the command line for shells and for `man`, from its own definitions.

use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, Parser};
use clap_mangen::Man;

use crate::args::{Cli, CompleteArgs, ManArgs};
use crate::complete::{Candidate, candidates};
use crate::failure::Failure;
use crate::output;

const NAME: &str = "opledger";

/// Says what may stand in the place of the last word: a word a line, and what it means behind a tab.
pub(crate) fn complete(args: CompleteArgs) -> Result<(), Failure> {
    let mut words = args.words;
    words.extend(args.next.then(String::new));
    let line = |Candidate { word, meaning }| match meaning.is_empty() {
        true => format!("{word}\n"),
        false => format!("{word}\t{meaning}\n"),
    };
    output::print(&candidates(&words).into_iter().map(line).collect::<String>())
}

/// Writes a page for `man`.
pub(crate) fn man(args: &ManArgs) -> Result<(), Failure> {
    let mut all = Cli::command();
    all.build();
    let page = match &args.of {
        None => all,
        Some(name) => {
            let of = all.get_subcommands().find(|command| command.get_name() == name);
            of.cloned()
                .ok_or_else(|| Failure::NoCommand { name: name.clone(), nearest: near(name) })?
        }
    };
    let mut text = Vec::new();
    let title = args.of.as_ref().map_or(NAME.to_owned(), |name| format!("{NAME}-{name}"));
    Man::new(page).title(title).render(&mut text).map_err(Failure::Stdout)?;
    output::print(&String::from_utf8_lossy(&text))
}

/// The command that is called much the same, as clap finds it.
pub(crate) fn near(name: &str) -> Option<String> {
    let refused = Cli::try_parse_from([NAME, name]).err()?;
    match refused.get(ContextKind::SuggestedSubcommand)? {
        // The most similar one is the last.
        ContextValue::Strings(near) => near.last().cloned(),
        ContextValue::String(near) => Some(near.clone()),
        _ => None,
    }
}
