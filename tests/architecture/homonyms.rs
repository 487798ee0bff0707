//! One name, one type: who searches for a word finds one place.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::crate_sources;
use super::tokens::{Token, tokens};

/// Names of the field for one thing on several floors: the operation, its layer and its kernel.
const SHARED: &[&str] = &[
    "Attention",
    "AttentionGradient",
    "Convolution",
    "Dropout",
    "Embedding",
    "Experts",
    "Mask",
    "Norm",
    "Rope",
];

/// Names that several types bear still.
const HOMONYMS: &[&str] = &["Call", "Core", "Kind", "Row", "Run", "Table", "Tally"];

/// The types that a file declares for others.
fn types(tokens: &[Token]) -> BTreeSet<String> {
    let kinds = ["struct", "enum", "trait", "type", "union"];
    let mut found = BTreeSet::new();
    for (at, _) in tokens.iter().enumerate().filter(|(_, token)| token.is("pub")) {
        let mut rest = &tokens[at + 1..];
        if rest.first().is_some_and(|token| token.is("(")) {
            let end = rest.iter().position(|token| token.is(")")).unwrap();
            rest = &rest[end + 1..];
        }
        if let [kind, name, ..] = rest
            && kinds.iter().any(|word| kind.is(word))
        {
            found.extend(name.word().map(str::to_owned));
        }
    }
    found
}

#[test]
fn a_name_is_of_one_type() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, file) in crate_sources().into_iter().filter(|(_, file)| !file.ends_with("tests.rs"))
    {
        for of_type in types(&tokens(&fs::read_to_string(&file).unwrap())) {
            let inside = file.to_string_lossy();
            let inside = inside.rsplit("/src/").next().unwrap_or_default().to_owned();
            places.entry(of_type).or_default().push(format!("{name}/{inside}"));
        }
    }
    places.retain(|_, places| places.len() > 1);
    let known = |name: &str| SHARED.contains(&name) || HOMONYMS.contains(&name);
    let new: Vec<_> = places.iter().filter(|(name, _)| !known(name)).collect();
    assert!(new.is_empty(), "names of several types: {new:#?}");
    let gone = SHARED.iter().chain(HOMONYMS);
    let gone: Vec<_> = gone.filter(|name| !places.contains_key(**name)).collect();
    assert!(gone.is_empty(), "these are of one type now, take them off the list: {gone:?}");
}
