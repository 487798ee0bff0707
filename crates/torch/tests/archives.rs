//! Archives that PyTorch wrote (`archives/export.py`), as graphs.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use opledger_conventions::{ConventionError, Tally, Units, convention, explain};
use opledger_dims::{Binding, Counts, Integer};
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

/// What FlopCounterMode counts (`archives/families.py`): the formula, and numbers at sizes.
fn counted() -> BTreeMap<String, Counted> {
    serde_json::from_str(include_str!("archives/counted.json")).unwrap()
}

#[derive(serde::Deserialize)]
struct Counted {
    formula: String,
    at: Vec<At>,
}

#[derive(serde::Deserialize)]
struct At {
    b: u64,
    n: u64,
    total: u64,
}

#[test]
fn the_formula_of_the_flop_counter_is_what_it_counts_in_symbols() {
    let convention = convention("torch-flop-counter", &[]).unwrap();
    for (name, counted) in counted() {
        let own = convention.formula(&imported(&name).observations).unwrap();
        assert_eq!(own, counted.formula.parse().unwrap(), "{name}");
    }
}

#[test]
fn the_flop_counter_counts_what_it_does_at_any_size() {
    let convention = convention("torch-flop-counter", &[]).unwrap();
    for (name, counted) in counted() {
        let Imported { graph, observations, .. } = imported(&name);
        for At { b, n, total } in counted.at {
            let sizes = graph.complete(&Binding::from_iter([("b", b), ("n", n)])).unwrap();
            let units = Units::observed(&graph, &sizes, &observations).unwrap();
            let own = Tally::new(&convention, &units).unwrap().total();
            assert_eq!(own, total.into(), "{name} at b={b}, n={n}");
            // Units hold every operation of the ledger.
            let mut sum: Counts<Integer> = Counts::zero();
            for counts in units.units.iter().flat_map(|unit| unit.counts.values()) {
                sum += counts;
            }
            assert_eq!(sum, graph.cost().total().at(&sizes).unwrap(), "{name}");
        }
    }
}

#[test]
fn every_difference_between_tools_is_explained() {
    let Imported { graph, observations, .. } = imported("encoder_layer");
    let sizes = graph.complete(&Binding::from_iter([("b", 2), ("n", 16)])).unwrap();
    let units = Units::observed(&graph, &sizes, &observations).unwrap();
    let [thop, fvcore] = ["thop", "fvcore"].map(|name| convention(name, &[]).unwrap());
    let explanation = explain(&thop, &fvcore, &units).unwrap();
    assert!(explanation.is_complete(), "{explanation:?}");
}

#[derive(serde::Deserialize)]
struct Printed {
    b: u64,
    n: u64,
    tools: BTreeMap<String, serde_json::Value>,
}

#[test]
fn tools_print_what_their_conventions_count() {
    let printed: BTreeMap<String, Printed> =
        serde_json::from_str(include_str!("archives/printed.json")).unwrap();
    let mut refused = Vec::new();
    for (name, Printed { b, n, tools }) in printed {
        let Imported { graph, observations, .. } = imported(&name);
        let sizes = graph.complete(&Binding::from_iter([("b", b), ("n", n)])).unwrap();
        let units = Units::observed(&graph, &sizes, &observations).unwrap();
        for (tool, number) in tools {
            // A tool that failed has a text.
            let Some(number) = number.as_u64() else { continue };
            match Tally::new(&convention(&tool, &[]).unwrap(), &units) {
                Ok(tally) => assert_eq!(tally.total(), number.into(), "{tool} of {name}"),
                Err(ConventionError::NoRule { op, .. }) => {
                    refused.push(format!("{tool} of {name}: {op}"));
                }
                Err(error) => panic!("{tool} of {name}: {error}"),
            }
        }
    }
    let expected = [
        "calflops of equations: einsum",
        "calflops-macs of equations: einsum",
        "deepspeed of equations: einsum",
        "deepspeed-macs of equations: einsum",
        "ptflops of equations: matmul_vector",
        "torchinfo of equations: module with parameters",
    ];
    assert_eq!(refused, expected);
}
