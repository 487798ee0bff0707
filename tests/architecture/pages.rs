//! Who reads about the façade sees the façade only.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use super::{root, sources};

/// Crates that are not under the façade's own names.
const INSIDE: &[&str] = &["charts", "cli", "json", "kernels"];

fn read(files: Vec<PathBuf>) -> impl Iterator<Item = (PathBuf, String)> {
    files.into_iter().map(|file| {
        let text = fs::read_to_string(&file).unwrap();
        (file, text)
    })
}

/// Whether a text names a crate behind the façade, such as `opledger_ir`.
fn names_an_inner_crate(text: &str) -> bool {
    text.contains("opledger_")
}

/// The lines of a file that rustdoc shows; links, and the lines of an example that `#` hides, are for
/// the compiler.
fn shown_lines(text: &str) -> Vec<&str> {
    let lines = text.lines().filter_map(|line| {
        let line = line.trim_start();
        line.strip_prefix("///").or_else(|| line.strip_prefix("//!")).map(str::trim_start)
    });
    lines.filter(|line| !line.starts_with("# ") && !line.contains("](opledger_")).collect()
}

/// What a line such as `use opledger::{Graph, ir::Axis};` takes from the root of the façade.
fn taken_from_the_root(line: &str) -> Vec<&str> {
    let Some(tree) = line.strip_prefix("use opledger::").and_then(|l| l.strip_suffix(';')) else {
        return Vec::new();
    };
    let list = tree.strip_prefix('{').and_then(|list| list.strip_suffix('}')).unwrap_or(tree);
    let mut depth = 0;
    let items = list.split(|c: char| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    items.filter_map(|item| item.trim().split("::").next()).collect()
}

#[test]
fn pages_and_examples_for_users_name_no_inner_crate() {
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let pages: Vec<PathBuf> = docs.chain([root().join("README.md")]).collect();
    let examples = sources(&root().join("crates/opledger/examples"));
    for (file, text) in read(pages).chain(read(examples)) {
        assert!(!names_an_inner_crate(&text), "{}", file.display());
    }
}

/// What rustdoc shows of every crate under the façade can be copied into a crate that has the façade
/// only: the façade shows items of inner crates with their own documentation.
#[test]
fn documentation_imports_the_facade() {
    let facade = fs::read_to_string(root().join("crates/opledger/src/lib.rs")).unwrap();
    let code = facade.lines().filter(|line| !line.trim_start().starts_with("//"));
    let words: Vec<&str> = code.flat_map(|l| l.split(|c: char| !c.is_alphanumeric())).collect();
    let mut imports = BTreeSet::new();
    for (name, file) in super::crate_sources() {
        if INSIDE.contains(&name.as_str()) {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        for line in shown_lines(&text) {
            assert!(!names_an_inner_crate(line), "{}: {line}", file.display());
            for taken in taken_from_the_root(line) {
                assert!(words.contains(&taken), "{}: no opledger::{taken}", file.display());
                imports.insert(taken.to_owned());
            }
        }
    }
    assert!(imports.len() > 20, "{imports:?}");
}

#[test]
fn what_an_example_shows_is_found() {
    let text = "//! use opledger_ir::Graph;\nuse opledger_nn::Norm;\n    /// # use opledger_dims;";
    let shown = shown_lines(text);
    assert_eq!(shown, ["use opledger_ir::Graph;"]);
    assert!(names_an_inner_crate(shown[0]));
    let root = taken_from_the_root("use opledger::{Graph, nn::{Linear, Norm}, ir::ops::Source};");
    assert_eq!(root, ["Graph", "nn", "ir"]);
    assert_eq!(taken_from_the_root("use opledger::nn::Norm;"), ["nn"]);
}
