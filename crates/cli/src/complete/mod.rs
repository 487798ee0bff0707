//! What a shell may put in the place of a word: the scripts of all shells ask the command itself, so that they know
//! what it knows.

use clap::{Arg, Command, CommandFactory};
use opledger_account::devices;
use opledger_conventions::framework::framework_names;
use opledger_conventions::{convention_names, conventions, dialect_names};
use opledger_models::layer::{Domain, Kind, kinds};
use opledger_models::presets;

use crate::args::{Cli, Shell};

/// What a shell reads to complete words by.
pub(crate) fn script(shell: Shell) -> &'static str {
    match shell {
        Shell::Bash => include_str!("bash.sh"),
        Shell::Elvish => include_str!("elvish.elv"),
        Shell::Fish => include_str!("fish.fish"),
        Shell::Pwsh => include_str!("powershell.ps1"),
        Shell::Zsh => include_str!("zsh.zsh"),
    }
}

/// What may stand in the place of a word, and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) word: String,
    pub(crate) meaning: String,
}

impl Candidate {
    fn new(word: impl Into<String>, meaning: impl Into<String>) -> Self {
        Candidate { word: word.into(), meaning: meaning.into() }
    }
}

/// What may stand in the place of the last of the words behind the name of the command; none where it is anything,
/// such as the name of a file.
pub(crate) fn candidates(words: &[String]) -> Vec<Candidate> {
    let mut all = Cli::command();
    all.build();
    let Some((current, before)) = words.split_last() else { return Vec::new() };
    let place = Place::of(&all, before);
    let mut found = match (&place.option, current.split_once('=')) {
        (Some(option), _) => values(place.command, option, current),
        (None, Some((name, value))) if name.starts_with("--") => {
            let Some(option) = named(place.command, name) else { return Vec::new() };
            let mut found = values(place.command, option, value);
            found.retain(|one| one.word.starts_with(value));
            found.iter_mut().for_each(|one| one.word.insert_str(0, &format!("{name}=")));
            found
        }
        (None, _) if current.starts_with('-') => options(place.command),
        (None, _) if place.command.has_subcommands() => commands(place.command),
        (None, _) => {
            let arguments: Vec<&Arg> = place.command.get_positionals().collect();
            // The last one may be repeated.
            let at = arguments.get(place.arguments).or(arguments.last()).copied();
            at.map(|of| values(place.command, of, current)).unwrap_or_default()
        }
    };
    found.retain(|one| one.word.starts_with(&**current));
    found
}

/// Where a word stands.
struct Place<'c> {
    command: &'c Command,
    /// The option whose value it is.
    option: Option<&'c Arg>,
    /// How many arguments without a name stand before it.
    arguments: usize,
}

impl<'c> Place<'c> {
    fn of(all: &'c Command, before: &[String]) -> Self {
        let mut place = Place { command: all, option: None, arguments: 0 };
        for word in before {
            if place.option.take().is_some() {
                continue;
            }
            if word.starts_with('-') {
                let valued = named(place.command, word).filter(|of| of.get_action().takes_values());
                place.option = valued.filter(|_| !word.contains('='));
            } else if let Some(inner) = place.command.find_subcommand(word) {
                place.command = inner;
            } else {
                place.arguments += 1;
            }
        }
        place
    }
}

/// The option that a word names.
fn named<'c>(command: &'c Command, word: &str) -> Option<&'c Arg> {
    let name = word.split('=').next().unwrap_or(word);
    command.get_arguments().find(|of| {
        let long = of.get_long().is_some_and(|long| name.strip_prefix("--") == Some(long));
        let short = of.get_short().is_some_and(|short| *name == format!("-{short}"));
        long || short
    })
}

fn options(command: &Command) -> Vec<Candidate> {
    let seen = command.get_arguments().filter(|of| !of.is_hide_set());
    let option = |of: &Arg| {
        let help = of.get_help().map(ToString::to_string).unwrap_or_default();
        Some(Candidate::new(format!("--{}", of.get_long()?), line(&help)))
    };
    seen.filter_map(option).collect()
}

fn commands(command: &Command) -> Vec<Candidate> {
    let seen = command.get_subcommands().filter(|of| !of.is_hide_set());
    let about = |of: &Command| of.get_about().map(ToString::to_string).unwrap_or_default();
    seen.map(|of| Candidate::new(of.get_name(), line(&about(of)))).collect()
}

/// A text on one line.
fn line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What an argument takes, by what it is called where that is no list of its own.
fn values(command: &Command, of: &Arg, current: &str) -> Vec<Candidate> {
    let own = of.get_possible_values();
    if !own.is_empty() && of.get_action().takes_values() {
        let seen = own.iter().filter(|value| !value.is_hide_set());
        let help = |value: &clap::builder::PossibleValue| {
            value.get_help().map(ToString::to_string).unwrap_or_default()
        };
        return seen.map(|value| Candidate::new(value.get_name(), line(&help(value)))).collect();
    }
    let plain = |names: &[&str]| names.iter().map(|name| Candidate::new(*name, "")).collect();
    match (command.get_name(), of.get_id().as_str()) {
        ("explain", "first") => tools(),
        // The model, where one tool is explained.
        ("explain", "second") => [tools(), models(current)].concat(),
        (_, "model" | "models" | "first" | "second") => models(current),
        (_, "device") => {
            let known = devices().iter().map(|device| Candidate::new(device.name, ""));
            known.chain([Candidate::new("this", "this machine, measured")]).collect()
        }
        (_, "conventions") => {
            [tools(), vec![Candidate::new("all", "each that counts such a model")]].concat()
        }
        (_, "written") => dialect_names().map(|name| Candidate::new(name, "")).collect(),
        (_, "without") => {
            let known = conventions().unwrap_or_default();
            let bugs = known.iter().flat_map(|one| &one.bugs);
            let mut bugs: Vec<_> = bugs.map(|bug| Candidate::new(&bug.name, "")).collect();
            bugs.sort_by(|a, b| a.word.cmp(&b.word));
            bugs.dedup();
            bugs
        }
        (_, "recompute") => plain(&["none", "selective", "full"]),
        (_, "attention") => plain(&["usual", "fused", "math"]),
        (_, "kept") => plain(&["autograd", "flash"]),
        ("verify", "ids") => {
            let known = opledger_verify::claims().iter();
            known.map(|claim| Candidate::new(claim.id, claim.statement)).collect()
        }
        ("audit", "tables") => {
            opledger_audit::table_names().map(|name| Candidate::new(name, "")).collect()
        }
        ("man", "of") => commands(&Cli::command()),
        _ => Vec::new(),
    }
}

fn tools() -> Vec<Candidate> {
    let known = convention_names().chain(framework_names());
    known.map(|name| Candidate::new(name, "")).collect()
}

/// The published models, and layers: their kinds, and behind a colon what each takes.
fn models(current: &str) -> Vec<Candidate> {
    if let Some((name, keys)) = current.split_once(':') {
        let kind = kinds().iter().find(|kind| kind.name == name);
        return kind.map(|kind| layer(kind, keys)).unwrap_or_default();
    }
    let known = presets().unwrap_or_default();
    let published = known.iter().map(|own| Candidate::new(&own.name, own.family()));
    let layers = kinds().iter().flat_map(|kind| {
        let open = (!kind.keys.is_empty()).then(|| format!("{}:", kind.name));
        [Some(kind.name.to_owned()), open]
            .into_iter()
            .flatten()
            .map(|word| Candidate::new(word, kind.summary))
    });
    published.chain(layers).collect()
}

/// What may go on the text of a layer behind its colon.
fn layer(kind: &Kind, keys: &str) -> Vec<Candidate> {
    let (before, current) = keys.rsplit_once(',').map_or(("", keys), |(all, last)| (all, last));
    let comma = if before.is_empty() { "" } else { "," };
    let start = format!("{}:{before}{comma}", kind.name);
    let Some((key, _)) = current.split_once('=') else {
        let given = |name: &str| before.split(',').any(|one| one.split('=').next() == Some(name));
        let free = kind.keys.iter().filter(|key| !given(key.name));
        return free
            .map(|key| Candidate::new(format!("{start}{}=", key.name), key.meaning))
            .collect();
    };
    let key = kind.keys.iter().find(|own| own.name == key);
    let words: Vec<&str> = match key.map(|key| key.values) {
        Some(Domain::Flag) => vec!["true", "false"],
        Some(Domain::Choice(words)) => words.to_vec(),
        Some(Domain::Activation) => opledger_dims::Activation::NAMES.to_vec(),
        Some(Domain::Size { .. } | Domain::Optional { .. } | Domain::Number { .. }) | None => {
            Vec::new()
        }
    };
    let name = key.map_or("", |key| key.name);
    words.into_iter().map(|word| Candidate::new(format!("{start}{name}={word}"), "")).collect()
}
