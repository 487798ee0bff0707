//! The invariants of ARCHITECTURE.md, read off `cargo metadata` and the sources.

mod circles;
mod guesses;
mod homonyms;
mod pages;
mod supply;
mod tokens;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Every edge from a crate of the workspace to another that normal dependencies may have.
const EDGES: &[(&str, &[&str])] = &[
    ("dims", &[]),
    ("json", &[]),
    ("tensor", &["dims"]),
    ("kernels", &["dims"]),
    ("report", &["dims"]),
    ("ir", &["dims", "tensor"]),
    ("interp", &["dims", "ir", "kernels", "tensor"]),
    ("nn", &["dims", "ir"]),
    ("models", &["dims", "ir", "json", "nn"]),
    ("weights", &["dims", "ir", "json", "models", "tensor"]),
    ("conventions", &["dims", "ir"]),
    ("charts", &[]),
    ("measure", &["charts", "dims", "interp", "ir", "kernels", "report"]),
    ("torch", &["conventions", "dims", "ir", "tensor"]),
    (
        "account",
        &["conventions", "dims", "grad", "ir", "models", "parallel", "report", "torch", "weights"],
    ),
    (
        "execute",
        &["account", "dims", "grad", "interp", "ir", "models", "tensor", "torch", "weights"],
    ),
    ("audit", &["account", "dims", "ir", "models", "report"]),
    ("grad", &["dims", "ir"]),
    ("parallel", &["dims", "ir", "tensor"]),
    ("verify", &["dims", "interp", "ir", "nn", "tensor"]),
    (
        "opledger",
        &[
            "account",
            "audit",
            "conventions",
            "dims",
            "execute",
            "grad",
            "interp",
            "ir",
            "measure",
            "models",
            "nn",
            "parallel",
            "report",
            "tensor",
            "verify",
            "weights",
        ],
    ),
];

/// Crates that may turn records into text formats, or read them back.
const SERIALISE: &[&str] =
    &["json", "report", "measure", "models", "torch", "weights", "conventions", "audit", "cli"];

/// The most direct third-party dependencies of the core crates together.
const MAX_THIRD_PARTY: usize = 16;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// For each crate of the workspace, its normal dependencies by name.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages
        .map(|package| {
            let normal =
                package["dependencies"].as_array().unwrap().iter().filter(|d| d["kind"].is_null());
            let names = normal.map(|d| d["name"].as_str().unwrap().to_owned()).collect();
            (package["name"].as_str().unwrap().to_owned(), names)
        })
        .collect()
}

fn full(name: &str) -> String {
    if name == "opledger" { name.to_owned() } else { format!("opledger-{name}") }
}

/// All Rust files below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The code of a file without comments.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

fn crate_sources() -> Vec<(String, PathBuf)> {
    let crates = fs::read_dir(root().join("crates")).unwrap().map(|e| e.unwrap().path());
    let named = crates.map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), path));
    named
        .flat_map(|(name, path)| {
            sources(&path.join("src")).into_iter().map(move |f| (name.clone(), f))
        })
        .collect()
}

#[test]
fn dependencies_point_downward_only() {
    let dependencies = dependencies();
    for (name, allowed) in EDGES {
        let own = dependencies[&full(name)].iter().filter(|d| d.starts_with("opledger"));
        let allowed: Vec<String> = allowed.iter().map(|a| full(a)).collect();
        for edge in own {
            assert!(allowed.contains(edge), "{name} may not depend on {edge}");
        }
    }
}

#[test]
fn third_party_dependencies_are_few() {
    let dependencies = dependencies();
    let core = EDGES.iter().flat_map(|(name, _)| &dependencies[&full(name)]);
    let third: BTreeSet<&String> = core.filter(|d| !d.starts_with("opledger")).collect();
    assert!(third.len() <= MAX_THIRD_PARTY, "{} third-party dependencies: {third:?}", third.len());
}

/// A package and all it needs, as names with versions; `features` are those without which, or with
/// which, it is built.
fn tree(package: &str, features: &[&str]) -> BTreeSet<String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args(["tree", "-p", package, "-e", "normal", "--prefix", "none", "--format", "{p}"])
        .arg("--offline")
        .args(features)
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.split(" (").next().unwrap_or(line).to_owned()).collect()
}

/// Packages of others in the command's tree.
fn packages(features: &[&str]) -> usize {
    tree("opledger-cli", features).iter().filter(|name| !name.starts_with("opledger")).count()
}

#[test]
fn the_command_line_tree_is_small() {
    let (without, with) = (packages(&["--no-default-features"]), packages(&[]));
    assert!(without < 80, "{without} packages without tokenizers");
    assert!(with <= 125, "{with} packages");
}

/// A page without files and threads answers what a model costs.
#[test]
fn what_a_model_costs_is_answered_without_files_threads_or_kernels() {
    let tree = tree("opledger-account", &["--no-default-features"]);
    for name in ["opledger-interp", "opledger-kernels", "opledger-weights", "rayon", "safetensors"]
    {
        let there = tree.iter().any(|package| package.split(' ').next() == Some(name));
        assert!(!there, "account depends on {name}");
    }
}

/// Readers of the façade's pages can copy their examples.
#[test]
fn examples_of_the_facade_name_the_facade_alone() {
    for (name, file) in crate_sources() {
        let text = fs::read_to_string(&file).unwrap();
        let mut examples = text.lines().filter_map(|line| line.trim_start().strip_prefix("//"));
        let own = examples.any(|line| line.contains("opledger_"));
        assert!(!["opledger", "account"].contains(&&*name) || !own, "{}", file.display());
    }
}

#[test]
fn only_kernels_has_unsafe_code() {
    for (name, file) in crate_sources() {
        let has = code(&file)
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .any(|word| word == "unsafe");
        assert!(name == "kernels" || !has, "{} has unsafe code", file.display());
    }
}

#[test]
fn layers_and_models_name_no_tensor_type_and_neither_they_nor_the_graph_do_io() {
    const TENSORS: &[&str] = &["opledger_tensor", "ndarray", "Tensor"];
    const IO: &[&str] = &["std::fs", "std::io", "std::net", "std::env", "println!", "eprintln!"];
    let forbidden: &[(&str, &[&str])] = &[
        ("nn", TENSORS),
        ("nn", IO),
        ("models", TENSORS),
        ("models", IO),
        ("models", &["safetensors", "half::"]),
        ("ir", IO),
        ("kernels", &["opledger_ir", "opledger_tensor", "ndarray"]),
    ];
    for (name, file) in crate_sources() {
        for word in forbidden.iter().filter(|(n, _)| *n == name).flat_map(|(_, words)| *words) {
            assert!(!code(&file).contains(word), "{} names {word}", file.display());
        }
    }
}

#[test]
fn only_the_edges_serialise() {
    for (name, file) in crate_sources() {
        let serialises =
            ["serde", "serde_json"].iter().any(|word| code(&file).contains(&format!("{word}::")));
        assert!(SERIALISE.contains(&name.as_str()) || !serialises, "{} serialises", file.display());
    }
}

#[test]
fn every_file_says_what_it_is() {
    for (_, file) in crate_sources() {
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("//!"), "{} has no description", file.display());
        assert!(text.lines().count() <= 700, "{} has over 700 lines", file.display());
    }
}

#[test]
fn every_operation_proves_itself() {
    // A source is fed and never computed; the ends of a repetition are the driver's.
    let exempt = ["mod.rs", "proof.rs", "scan.rs", "source.rs"];
    for file in sources(&root().join("crates/ir/src/ops")) {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let proves = fs::read_to_string(&file).unwrap().contains("prove(");
        assert!(exempt.contains(&name.as_str()) || proves, "{name} has no proof of its cost");
    }
}

/// The loops that do the work are compiled once, whether anything is counted or not.
#[test]
fn inner_loops_know_no_meter() {
    let kernels = root().join("crates/kernels/src");
    let loops = ["gemm/microkernel", "gemm/packing", "horizontal", "math", "number/simd"];
    // These count beside their loops, from the loops' bounds, for whoever called.
    let bounds = ["gemm/unpacked", "gemv"];
    for name in loops.into_iter().chain(bounds) {
        let text = fs::read_to_string(kernels.join(format!("{name}.rs"))).unwrap();
        let words = ["Meter", "Tallies", "Tally"];
        let words = if bounds.contains(&name) { &words[..2] } else { &words[..] };
        assert!(!words.iter().any(|word| text.contains(word)), "{name}.rs counts");
    }
}

/// Every public function that is given a meter is called where numbers count themselves.
#[test]
fn every_kernel_is_run_on_numbers_that_count() {
    let (mut kernels, mut called) = (BTreeSet::new(), BTreeSet::new());
    for file in sources(&root().join("crates/kernels/src")) {
        let counting = file.parent().is_some_and(|dir| dir.ends_with("counting"));
        let tokens = tokens::tokens(&fs::read_to_string(&file).unwrap());
        for (at, three) in tokens.windows(3).enumerate() {
            let [before, name, after] = three else { continue };
            if counting && !before.is("fn") && after.is("(") {
                called.extend(name.word().map(str::to_owned));
            }
            let mut head = tokens[at..].iter().take_while(|token| !token.is("{"));
            if !counting && before.is("pub") && name.is("fn") && head.any(|token| token.is("Meter"))
            {
                kernels.extend(after.word().map(str::to_owned));
            }
        }
    }
    assert!(kernels.len() > 10, "{kernels:?}");
    let missing: Vec<&String> = kernels.difference(&called).collect();
    assert!(missing.is_empty(), "not in counting: {missing:?}");
}
