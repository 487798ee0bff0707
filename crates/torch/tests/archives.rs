//! Archives that PyTorch wrote (`archives/export.py`), as graphs.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};

use opledger_torch::{ImportOptions, Imported, open};

fn archive(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/archives").join(format!("{name}.pt2"))
}

fn imported(name: &str) -> Imported {
    open(&archive(name), &ImportOptions::default())
        .unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn an_encoder_layer_costs_what_its_formula_says() {
    let graph = imported("encoder_layer").graph;
    // Width 32, 4 heads, hidden width 64: 4·c² + 2·c·f for each token, 2·c for each pair.
    assert_eq!(graph.cost().macs().to_string(), "64·b·n² + 8192·b·n");
    assert_eq!(graph.parameters().0.to_string(), "8544");
}
