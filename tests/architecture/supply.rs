//! What `deny.toml` asks of the crates of others, held without its tool: their licences, where they come
//! from, and that none is among those that are refused.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::Value;

use super::root;

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// The texts of a list in a section of `deny.toml`.
fn listed(section: &str, name: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(root().join("deny.toml")).unwrap();
    let (_, rest) = text.split_once(&format!("\n[{section}]\n")).unwrap();
    let rest = rest.split("\n[").next().unwrap();
    let (_, rest) = rest
        .split_once(&format!("\n{name} = ["))
        .or_else(|| rest.strip_prefix(&format!("{name} = [")).map(|rest| ("", rest)))
        .unwrap();
    let (list, _) = rest.split_once(']').unwrap();
    list.split(',').map(|item| item.trim().trim_matches('"').to_owned()).collect()
}

/// All packages that a build on this machine may take, with every feature.
fn packages() -> Vec<Value> {
    let told = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).current_dir(root()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let rustc = told("rustc", &["-vV"]);
    let host = rustc.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let metadata = told(
        &cargo,
        &[
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--offline",
            "--all-features",
            "--filter-platform",
            host,
        ],
    );
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

/// Whether an SPDX expression holds with some licences alone, which are added to those used; `/`
/// is the old way to write `OR`.
fn allows(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let (holds, rest) = either(&words, allowed);
    assert!(rest.is_empty(), "{expression}");
    holds
}

fn either<'w>(words: &'w [&'w str], allowed: &BTreeSet<String>) -> (bool, &'w [&'w str]) {
    let (mut holds, mut rest) = both(words, allowed);
    while let ["OR", next @ ..] = rest {
        let (other, after) = both(next, allowed);
        (holds, rest) = (holds || other, after);
    }
    (holds, rest)
}

fn both<'w>(words: &'w [&'w str], allowed: &BTreeSet<String>) -> (bool, &'w [&'w str]) {
    let (mut holds, mut rest) = one(words, allowed);
    while let ["AND", next @ ..] = rest {
        let (other, after) = one(next, allowed);
        (holds, rest) = (holds && other, after);
    }
    (holds, rest)
}

fn one<'w>(words: &'w [&'w str], allowed: &BTreeSet<String>) -> (bool, &'w [&'w str]) {
    match words {
        ["(", inside @ ..] => {
            let (holds, rest) = either(inside, allowed);
            assert_eq!(rest.first(), Some(&")"));
            (holds, &rest[1..])
        }
        [licence, "WITH", exception, rest @ ..] => {
            (allowed.contains(&format!("{licence} WITH {exception}")), rest)
        }
        [licence, rest @ ..] => (allowed.contains(*licence), rest),
        [] => (false, words),
    }
}

#[test]
fn expressions_of_licences_are_read() {
    let allowed: BTreeSet<String> = ["MIT", "Zlib"].map(str::to_owned).into();
    for good in
        ["MIT", "GPL-3.0 OR MIT", "MIT/Apache-2.0", "(MIT OR X) AND Zlib", "X OR MIT AND Zlib"]
    {
        assert!(allows(good, &allowed), "{good}");
    }
    for bad in ["GPL-3.0", "MIT AND X", "(MIT OR Zlib) AND X", "MIT WITH LLVM-exception", ""] {
        assert!(!allows(bad, &allowed), "{bad}");
    }
}

#[test]
fn licences_are_among_those_allowed() {
    let (allowed, packages) = (listed("licenses", "allow"), packages());
    assert!(packages.len() > 100, "{}", packages.len());
    let licence = |package: &Value| package["license"].as_str().unwrap_or_default().to_owned();
    for package in &packages {
        let licence = licence(package);
        assert!(allows(&licence, &allowed), "{}: {licence}", package["name"]);
    }
    // What is allowed is needed: without it some package would be refused.
    for one in &allowed {
        let others: BTreeSet<String> =
            allowed.iter().filter(|other| *other != one).cloned().collect();
        let needed = packages.iter().any(|package| !allows(&licence(package), &others));
        assert!(needed, "no package needs {one}");
    }
}

#[test]
fn packages_of_others_come_from_the_registry_and_none_is_refused() {
    let refused = listed("bans", "deny");
    for workspace in ["", "fuzz", "benches/peers"] {
        let lock = fs::read_to_string(root().join(workspace).join("Cargo.lock")).unwrap();
        let mut others = 0;
        for package in lock.split("[[package]]").skip(1) {
            let field = |name: &str| {
                let line =
                    package.lines().find_map(|line| line.strip_prefix(&format!("{name} = ")));
                line.map(|value| value.trim_matches('"').to_owned())
            };
            let name = field("name").unwrap();
            assert!(
                !refused.contains(&name) || workspace == "benches/peers",
                "{workspace}: {name}"
            );
            match field("source") {
                None => {
                    assert!(name.starts_with("opledger") || name == "xtask", "{workspace}: {name}")
                }
                Some(source) => {
                    assert_eq!(source, REGISTRY, "{workspace}: {name}");
                    assert!(field("checksum").is_some(), "{workspace}: {name}");
                    others += 1;
                }
            }
        }
        assert!(others > 10, "{workspace}: {others}");
    }
}

#[test]
fn no_version_is_left_open() {
    for package in packages().iter().filter(|package| package["source"].is_null()) {
        for dependency in package["dependencies"].as_array().unwrap() {
            let open = dependency["req"] == "*" && dependency["path"].is_null();
            assert!(!open, "{}: {}", package["name"], dependency["name"]);
        }
    }
}
