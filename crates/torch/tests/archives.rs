//! Archives that PyTorch wrote (`archives/export.py`), as graphs.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use opledger_conventions::{
    ConventionError, Share, Tally, Units, convention, conventions, explain, explain_tallies,
};
use opledger_dims::{Binding, Counts, Integer};
use opledger_ir::Graph;
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

/// Two maps of one shape, and a table that is the head as well.
#[test]
fn parameters_are_one_by_their_elements() {
    let [own, on_meta] = ["tied_on_cpu", "tied_on_meta"].map(imported);
    let maps = 2 * (8 * 8 + 8);
    assert_eq!(own.graph.parameters().0.to_string(), (maps + 80).to_string());
    // Without elements nothing says that the head is the table, which then nothing reads.
    assert_eq!(on_meta.graph.parameters().0.to_string(), (maps + 2 * 80).to_string());
    assert_eq!([own.unread, on_meta.unread], [vec![], vec!["table.weight".to_owned()]]);
}

fn complete(graph: &Graph, sizes: &BTreeMap<String, u64>) -> Binding {
    graph.complete(&sizes.iter().map(|(symbol, size)| (symbol.as_str(), *size)).collect()).unwrap()
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
    sizes: BTreeMap<String, u64>,
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
        for At { sizes, total } in counted.at {
            let sizes = complete(&graph, &sizes);
            let units = Units::observed(&graph, &sizes, &observations).unwrap();
            let own = Tally::new(&convention, &units).unwrap().total();
            assert_eq!(own, total.into(), "{name} at {sizes}");
            // Units hold every operation of the ledger.
            let mut sum: Counts<Integer> = Counts::zero();
            for counts in units.units.iter().flat_map(|unit| unit.counts.values()) {
                sum += counts.as_ref().unwrap();
            }
            assert_eq!(sum, graph.cost().total().at(&sizes).unwrap(), "{name}");
        }
    }
}

#[test]
fn every_difference_between_tools_is_explained() {
    for (name, counted) in counted() {
        let Imported { graph, observations, .. } = imported(&name);
        let sizes = complete(&graph, &counted.at[0].sizes);
        let units = Units::observed(&graph, &sizes, &observations).unwrap();
        let all = conventions().unwrap();
        let tallies: Vec<Tally> =
            all.iter().filter_map(|one| Tally::new(one, &units).ok()).collect();
        assert!(tallies.len() > 8, "{name}");
        for (at, first) in tallies.iter().enumerate() {
            for second in &tallies[at + 1..] {
                let explanation = explain_tallies([first, second], &units);
                assert!(explanation.is_complete(), "{name}: {explanation:?}");
            }
        }
    }
}

#[derive(serde::Deserialize)]
struct Printed {
    sizes: BTreeMap<String, u64>,
    tools: BTreeMap<String, serde_json::Value>,
}

#[test]
fn tools_print_what_their_conventions_count() {
    let printed: BTreeMap<String, Printed> =
        serde_json::from_str(include_str!("archives/printed.json")).unwrap();
    let mut refused = Vec::new();
    for (name, Printed { sizes, tools }) in printed {
        let Imported { graph, observations, .. } = imported(&name);
        let sizes = complete(&graph, &sizes);
        let units = Units::observed(&graph, &sizes, &observations).unwrap();
        for (tool, number) in tools {
            // A tool that failed has a text.
            let Some(number) = number.as_u64() else { continue };
            match Tally::new(&convention(&tool, &[]).unwrap(), &units) {
                Ok(tally) => assert_eq!(tally.total(), number.into(), "{tool} of {name}"),
                Err(ConventionError::NoRule { op, .. }) => {
                    refused.push(format!("{tool} of {name}: {op}"));
                }
                Err(ConventionError::NoSize { op, size, .. }) => {
                    refused.push(format!("{tool} of {name}: {size} of {op}"));
                }
                Err(ConventionError::Names { path, other, .. }) => {
                    refused.push(format!("{tool} of {name}: {path} is {other}"));
                }
                Err(error) => panic!("{tool} of {name}: {error}"),
            }
        }
    }
    let expected = [
        "torchinfo of einsums: module with parameters",
        "torchinfo of equations: module with parameters",
        "calflops of named: all.0 is own",
        "calflops-macs of named: all.0 is own",
        "ptflops of named: all.0 is own",
        "calflops of resized: upsample_nearest2d",
        "calflops-macs of resized: prelu",
        "deepspeed of resized: upsample_nearest2d",
        "deepspeed-macs of resized: prelu",
        "fvcore of resized: instance_norm",
        "calflops-macs of stepped: gru_cell",
        "deepspeed-macs of stepped: gru_cell",
        "ptflops-aten of stepped: biases of rnn_tanh",
        "torchinfo of stepped: GRUCell",
        "calflops of transposed: conv_transpose1d",
        "calflops-macs of transposed: conv_transpose1d",
        "deepspeed of transposed: conv_transpose1d",
        "deepspeed-macs of transposed: conv_transpose1d",
        "ptflops-aten of transposed: conv_transpose1d",
        "ultralytics-thop of windows: AvgPool2d",
    ];
    assert_eq!(refused, expected);
}

#[test]
fn products_of_the_ledger_are_for_what_their_calls_are_for() {
    for name in ["encoder_layer", "vit"] {
        let Imported { graph, observations, .. } = imported(name);
        let sizes = complete(&graph, &counted()[name].at[0].sizes);
        let units = Units::observed(&graph, &sizes, &observations).unwrap();
        let [macs, fvcore] = ["macs", "fvcore"].map(|name| convention(name, &[]).unwrap());
        // Both count every product but those of the fused function, which fvcore does not see.
        let explanation = explain(&macs, &fvcore, &units).unwrap();
        let products = explanation.lines.iter().map(|line| line.share);
        let products: Vec<Share> = products.filter(|share| share.is_contraction()).collect();
        assert_eq!(products, [Share::AttentionProducts], "{name}");
    }
}
