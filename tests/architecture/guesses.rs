//! What a thing is, the graph says: nobody guesses it from names.
//!
//! Outside `ir`, which gives paths their form, and `report`, which prints them, no path is taken
//! apart, and neither a path nor the name of a symbol or an axis is compared with a text.

use std::collections::BTreeMap;
use std::fs;

use super::crate_sources;
use super::tokens::{Token, tokens};

/// Crates that make paths or print them.
const FREE: &[&str] = &["ir", "report"];

/// Files that rightly look, and how often: they know the sizes that a command itself names,
/// find the file of a tensor by the end of its path, and the parent of a module of PyTorch in its path.
const READINGS: &[(&str, usize)] =
    &[("cli/commands/bench.rs", 2), ("cli/tensors.rs", 1), ("torch/aliases.rs", 1)];

/// Files that guess still, and how often.
const GUESSES: &[(&str, usize)] = &[];

/// Methods that look into a text.
const LOOKS: &[&str] = &[
    "contains",
    "ends_with",
    "find",
    "matches",
    "rfind",
    "rsplit",
    "rsplit_once",
    "rsplitn",
    "split",
    "split_once",
    "splitn",
    "starts_with",
    "strip_prefix",
    "strip_suffix",
    "trim_end_matches",
    "trim_start_matches",
];

fn ends(tokens: &[Token], words: &[&str]) -> bool {
    let last = tokens.len().checked_sub(words.len()).map(|from| &tokens[from..]);
    last.is_some_and(|last| last.iter().zip(words).all(|(token, word)| token.is(word)))
}

fn begins(tokens: &[Token], words: &[&str]) -> bool {
    tokens.len() >= words.len() && tokens.iter().zip(words).all(|(token, word)| token.is(word))
}

/// Whether the words end with a path, or with a name as a text.
fn is_name(tokens: &[Token]) -> bool {
    ends(tokens, &["path"]) || ends(tokens, &[".", "as_str", "(", ")"])
}

/// How many places of a file guess.
fn guesses(tokens: &[Token]) -> usize {
    let is_text = |at: usize| matches!(tokens.get(at), Some(Token::Text(_)));
    let guesses = |at: usize| {
        let (before, rest) = (&tokens[..at], &tokens[at..]);
        // path.starts_with(…)
        let looks = LOOKS.iter().any(|look| begins(rest, &[".", look, "("]));
        let taken_apart = looks && ends(before, &["path"]);
        // ["b", "n"].contains(&symbol.as_str())
        let listed = begins(rest, &["]", ".", "contains", "("]) && ends_with_text(before) && {
            let argument =
                &rest[4..rest.iter().position(|token| token.is(";")).unwrap_or(rest.len())];
            argument.windows(2).take(12).any(|two| two[0].is(".") && two[1].is("as_str"))
        };
        // path == "…", symbol.as_str() != "…", axis == "n"
        let compares = begins(rest, &["=", "="]) || begins(rest, &["!", "="]);
        let letter = |at: usize| match tokens.get(at) {
            Some(Token::Text(text)) => text.len() == 1 && text.chars().all(char::is_lowercase),
            _ => false,
        };
        let compared = compares && (is_text(at + 2) && is_name(before) || letter(at + 2));
        // match path { "…" => … }
        let matched = begins(rest, &["{"]) && is_text(at + 1) && is_name(before);
        taken_apart || listed || compared || matched
    };
    (0..tokens.len()).filter(|at| guesses(*at)).count()
}

fn ends_with_text(tokens: &[Token]) -> bool {
    matches!(tokens.last(), Some(Token::Text(_)))
}

#[test]
fn roles_are_not_guessed() {
    let mut found = BTreeMap::new();
    for (name, file) in crate_sources().into_iter().filter(|(name, _)| !FREE.contains(&&**name)) {
        let count = guesses(&tokens(&fs::read_to_string(&file).unwrap()));
        if count > 0 && !file.ends_with("tests.rs") {
            let inside = file.to_string_lossy();
            let inside = inside.rsplit("/src/").next().unwrap_or_default().to_owned();
            found.insert(format!("{name}/{inside}"), count);
        }
    }
    let known: BTreeMap<String, usize> =
        READINGS.iter().chain(GUESSES).map(|(file, count)| ((*file).to_owned(), *count)).collect();
    let more =
        found.iter().filter(|(file, count)| **count > known.get(*file).copied().unwrap_or(0));
    let more: Vec<_> = more.collect();
    assert!(more.is_empty(), "guess what the graph should say: {more:#?}");
    let gone: Vec<_> = known.keys().filter(|file| !found.contains_key(*file)).collect();
    assert!(gone.is_empty(), "these guess no more, take them off the list: {gone:?}");
}

#[test]
fn a_guess_is_seen() {
    let seen = [
        r#"node.path.ends_with(".past_key")"#,
        r#"path.split('.')"#,
        r#"size.symbol.as_str() == "p""#,
        r#"["b", "n"].contains(&symbol.as_str())"#,
        r#"tokens == "m""#,
        r#"match axis.name.as_str() { "n" => 1, _ => 2 }"#,
    ];
    for text in seen {
        assert_eq!(guesses(&tokens(text)), 1, "{text}");
    }
    for text in [r#"path.exists()"#, r#"node.path == path"#, r#"text.split('=')"#] {
        assert_eq!(guesses(&tokens(text)), 0, "{text}");
    }
}
