//! Who reads about the façade sees the façade only.

use std::collections::BTreeSet;
use std::fs;

use super::{EDGES, root, sources};

/// The inner crates that a text names, such as `ir` by `opledger_ir`.
fn inner_crates(text: &str) -> BTreeSet<&str> {
    let named = text.split("opledger_").skip(1);
    named.filter_map(|rest| rest.split(|c: char| !c.is_alphanumeric()).next()).collect()
}

/// The lines of a file that rustdoc shows or runs.
fn doc_lines(text: &str) -> String {
    let lines = text.lines().filter(|line| {
        let line = line.trim_start();
        line.starts_with("///") || line.starts_with("//!")
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_facade_and_the_pages_for_users_name_no_inner_crate() {
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let pages = docs.chain([root().join("README.md")]).map(|file| {
        let text = fs::read_to_string(&file).unwrap();
        (file, text)
    });
    let facade = root().join("crates/opledger");
    let examples = sources(&facade.join("examples")).into_iter().map(|file| {
        let text = fs::read_to_string(&file).unwrap();
        (file, text)
    });
    let own = sources(&facade.join("src")).into_iter().map(|file| {
        let text = doc_lines(&fs::read_to_string(&file).unwrap());
        (file, text)
    });
    for (file, text) in pages.chain(examples).chain(own) {
        assert_eq!(inner_crates(&text), BTreeSet::new(), "{}", file.display());
    }
}

/// An example of a crate names the crates that its reader holds: that one and those below it.
#[test]
fn examples_name_crates_below_only() {
    for (name, below) in EDGES.iter().filter(|(name, _)| *name != "opledger") {
        for file in sources(&root().join("crates").join(name).join("src")) {
            let text = doc_lines(&fs::read_to_string(&file).unwrap());
            for named in inner_crates(&text) {
                let known = named == *name || below.contains(&named);
                assert!(known, "{} names opledger_{named}", file.display());
            }
        }
    }
}

#[test]
fn names_of_crates_are_found() {
    let text = "//! use opledger_ir::Graph;\nuse opledger_nn::Norm;\n    /// `opledger_dims`";
    assert_eq!(inner_crates(&doc_lines(text)), BTreeSet::from(["dims", "ir"]));
    assert_eq!(inner_crates("use opledger::Graph;"), BTreeSet::new());
}
