//! Programs that PyTorch exported (`programs/export.py`): values are those that PyTorch computed, and
//! every node counts what its formula says, at the sizes of the export and at others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use opledger_account::AccountError;
use opledger_conventions::{Tally, Units, convention};
use opledger_dims::{Binding, Class, Integer};
use opledger_interp::{Fast, Feeds, Oracle, Prepared, Quiet, prove};
use opledger_ir::{Graph, Node, Op, Operation, Value, ops::Source};
use opledger_torch::{ImportOptions, Imported, open, weights};
use opledger_weights::Checkpoint;

const PROGRAMS: &[&str] = &[
    "angles",
    "bert",
    "biases",
    "bitwise",
    "blocks",
    "branching",
    "capped",
    "cells",
    "chains",
    "chunked",
    "complex",
    "defined",
    "divided",
    "encoder_layer",
    "filled",
    "forms",
    "functions",
    "further",
    "gemma2",
    "gemma3",
    "gpt_oss",
    "groups",
    "guarded",
    "hiding",
    "in_place",
    "joined",
    "kept",
    "labelled",
    "least",
    "llama",
    "losses",
    "margins",
    "merged",
    "mixtral",
    "modes",
    "modulated",
    "narrow",
    "nested",
    "nothing",
    "odd_letters",
    "ordered",
    "packed",
    "pairs",
    "places",
    "products",
    "put",
    "quantised",
    "quotients",
    "ranked",
    "recurrent",
    "relative",
    "resampled",
    "rounded",
    "sampled",
    "shifted",
    "sized",
    "skipped",
    "slopes",
    "stored",
    "subtracted",
    "t5_encoder",
    "thumbnail",
    "unknown",
    "unordered",
    "upscaled",
    "vit",
    "windows",
    "written",
];

pub(crate) fn file(name: &str, extension: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("programs").join(format!("{name}.{extension}"))
}

pub(crate) fn imported(name: &str) -> Imported {
    open(&file(name, "pt2"), &ImportOptions::default())
        .unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The inputs of a program as they are fed, its sizes and the results that PyTorch gave.
pub(crate) fn given(name: &str, graph: &Graph) -> (Feeds, Binding, Vec<(String, Value<f32>)>) {
    let mut feeds = Feeds::seeded(1);
    for (path, value) in weights(&file(name, "pt2"), graph).unwrap() {
        feeds = feeds.with(&path, value);
    }
    let (mut sizes, mut results) = (Binding::new(), Vec::new());
    let tensors = Checkpoint::open_file(&file(name, "safetensors")).unwrap();
    for tensor in tensors.names() {
        let value = tensors.read(tensor).unwrap();
        if let Some(result) = tensor.strip_prefix("output.") {
            results.push((result.to_owned(), value));
            continue;
        }
        let input = tensor.strip_prefix("input.").unwrap();
        let node = graph.nodes().iter().find(|node| node.path == input).unwrap();
        for (axis, size) in node.shape.axes.iter().zip(value.shape()) {
            if let Some(symbol) = axis.size.as_symbol() {
                sizes.set(symbol, *size);
            }
        }
        feeds = feeds.with(input, value);
    }
    assert!(!results.is_empty(), "{name}");
    (feeds, sizes, results)
}

fn reals<T: opledger_dims::Scalar>(value: &Value<T>) -> Vec<f64> {
    match value {
        Value::Real(tensor) => tensor.data().iter().map(|x| x.to_f64()).collect(),
        Value::Index(tensor) => tensor.data().iter().map(|x| *x as f64).collect(),
    }
}

/// The largest difference, of what the largest element is.
fn difference<T: opledger_dims::Scalar>(own: &Value<T>, torch: &Value<f32>) -> f64 {
    assert_eq!(own.shape(), torch.shape());
    let (own, torch) = (reals(own), reals(torch));
    let finite = torch.iter().filter(|x| x.is_finite());
    let scale = finite.fold(1.0_f64, |most, x| most.max(x.abs()));
    let apart = |(a, b): (&f64, f64)| if *a == b { 0.0 } else { (a - b).abs() / scale };
    // Unlike `f64::max`, keeps NaN.
    let larger = |a: f64, b: f64| if b > a || b.is_nan() { b } else { a };
    own.iter().zip(torch).map(apart).fold(0.0, larger)
}

#[test]
fn a_table_of_positions_bounds_the_tokens() {
    let imported = imported("bert");
    let [(symbol, most)] = &imported.positions[..] else { panic!("{:?}", imported.positions) };
    assert_eq!((imported.graph.symbols().contains(symbol), *most), (true, 32));
}

#[test]
fn values_are_those_of_pytorch() {
    for name in PROGRAMS {
        let graph = imported(name).graph;
        let (feeds, sizes, results) = given(name, &graph);
        let prepared = Prepared::new(&graph, &sizes, &feeds).unwrap();
        let fast = prepared.run(&mut Fast::new().unwrap(), &mut Quiet).unwrap();
        let exact = prepared.run(&mut Oracle::<f64>::new(), &mut Quiet).unwrap();
        for (result, torch) in results {
            let own = |outputs: &[(String, _)]| outputs.iter().position(|(n, _)| *n == result);
            let at = own(&fast.outputs).unwrap_or_else(|| panic!("{name} has no {result}"));
            let by_kernels = difference(&fast.outputs[at].1, &torch);
            let by_oracle = difference(&exact.outputs[at].1, &torch);
            assert!(by_kernels < 1e-5 && by_oracle < 1e-5, "{name}: {by_kernels} {by_oracle}");
        }
    }
}

/// What `torch.utils.flop_counter` counted of each program, at the sizes of its export and at others.
#[test]
fn the_flop_counter_counts_of_every_program_what_it_printed() {
    let printed: BTreeMap<String, u64> =
        serde_json::from_str(include_str!("programs/flops.json")).unwrap();
    let names: BTreeSet<&str> = printed.keys().filter_map(|key| key.split(' ').next()).collect();
    assert!(names.into_iter().eq(PROGRAMS.iter().copied()));
    let convention = convention("torch-flop-counter", &[]).unwrap();
    let mut wrong = Vec::new();
    for (key, printed) in printed {
        let (name, tokens) = key.split_once(" n=").unwrap_or((&key, ""));
        let Imported { graph, observations, .. } = imported(name);
        let (_, mut sizes, _) = given(name, &graph);
        if let Ok(tokens) = tokens.parse::<u64>() {
            sizes.set("n", tokens);
        }
        let sizes = graph.complete(&sizes).unwrap();
        let units = Units::observed(&graph, &sizes, &observations).unwrap();
        match Tally::new(&convention, &units) {
            Ok(tally) if tally.total() == printed.into() => {}
            Ok(tally) => wrong.push(format!("{key}: {} for {printed}", tally.total())),
            Err(error) => wrong.push(format!("{key}: {error}")),
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn every_node_counts_what_its_formula_says() {
    for name in PROGRAMS {
        let graph = imported(name).graph;
        let (feeds, sizes, _) = given(name, &graph);
        let theorem = prove(&graph, &sizes, &feeds).unwrap();
        assert!(theorem.theorem.mismatches.is_empty(), "{name}: {:?}", theorem.theorem.mismatches);
        // Other sizes, of inputs that are drawn.
        for (items, tokens) in [(1, 4), (3, 8)] {
            let mut other = Binding::new();
            for (symbol, _) in sizes.iter() {
                let size = match symbol.as_str() {
                    "n" => tokens,
                    // A condition of the program: it halves its images twice.
                    "height" if *name == "skipped" => 12,
                    // Conditions of programs: windows before and after a merger, parts of eight, all but three.
                    "height" | "width" if *name == "merged" => 16 * items,
                    "s46" if *name == "nested" => 8 * items,
                    "s9" if *name == "nested" => 4 + items,
                    "height" => 7,
                    "width" => 3 * tokens,
                    _ => items,
                };
                other.set(symbol, size);
            }
            let theorem = prove(&graph, &other, &Feeds::seeded(items)).unwrap();
            assert!(
                theorem.theorem.mismatches.is_empty(),
                "{name}: {:?}",
                theorem.theorem.mismatches
            );
        }
    }
}

/// What is written by hand here is worked out from the modules in `export.py`.
#[test]
fn masks_are_read_from_what_made_them() {
    let macs = |name: &str| imported(name).graph.cost().macs().to_string();
    // Hand-made −∞ above the diagonal, in letters of its own: the triangle.
    assert_eq!(macs("odd_letters"), "16·b·n² + 784·b·n");
    // Causal in a Llama of one layer, width 16, one key head of 8, hidden width 24, 41 words:
    // 2·16 for each of (n² + n)/2 pairs, and 16·(16 + 8 + 8 + 16 + 3·24 + 41) for each token.
    assert_eq!(macs("llama"), "16·b·n² + 2592·b·n");
    // Sums of choices, choices of sums and filled biases are masks, and what is left of them a bias: the
    // triangle of three of five, of which one has keys hidden as well, as has another.
    let details = |name: &str| -> Vec<String> {
        let graph = imported(name).graph;
        let attention = graph.nodes().iter().filter(|node| matches!(node.op, Op::Attention(_)));
        attention.map(|node| node.op.detail()).collect()
    };
    let [rule, bias, keys] = ["causal from 0", "bias", "mask"];
    let expected = [
        format!("{rule}, {bias}"),
        format!("{rule}, {bias}"),
        format!("{rule}, {keys}"),
        format!("{rule}, {keys}, {bias}"),
        bias.to_owned(),
    ];
    assert_eq!(details("biases"), expected);
    // Pairs of an input and of documents; places without a rule; a band on both sides, a band without
    // an end before the keys, lengths.
    let expected = [keys, "causal from 0, mask", keys, "causal from 2, window 5"];
    let open = ["causal from n, window n + 2", keys];
    assert_eq!(details("pairs"), [&expected[..], &open].concat());
    // What hides by places alone is known from the sizes: of 64 pairs of eight places 21 are hidden.
    let graph = imported("pairs").graph;
    let free: Vec<String> = graph.symbols().iter().map(ToString::to_string).collect();
    let known: Vec<&str> = ["pairs", "rows", "pairs_2", "pairs_6"].to_vec();
    assert!(known.iter().all(|name| free.iter().any(|own| own == name)), "{free:?}");
    let sizes = Binding::from_iter([("b", 2), ("n", 8)]);
    assert_eq!(graph.complete(&sizes).unwrap().get(&"pairs_3".into()), Some(&(64 - 21).into()));
    // Large numbers and a tensor of one number hide; numbers by places are a bias.
    let [by_numbers @ .., far] = &details("hiding")[..] else { panic!("no attention") };
    assert_eq!(by_numbers, vec![rule; 4]);
    assert_eq!(*far, format!("{rule}, {bias}"));
    // One mask for both layers, which are recorded once.
    let packed = imported("packed").graph;
    assert_eq!((packed.loops().len(), packed.definitions().len()), (1, 1), "{packed}");
    // Attention that is written out, with a cap, with sinks, is the operation, and nothing of what is
    // written stays beside it.
    for (name, detail) in [
        ("capped", "causal from 0, soft cap 2, sinks"),
        ("gemma2", "causal from 0, window 4, soft cap 2"),
        ("gpt_oss", "causal from 0, window 4, sinks"),
    ] {
        assert_eq!(details(name), [detail], "{name}");
        let graph = imported(name).graph;
        let pairs = |node: &&Node| {
            let queries = node.shape.axes.iter().filter(|axis| axis.size == "n".into());
            queries.count() > 1
        };
        assert_eq!(graph.nodes().iter().filter(pairs).count(), 0, "{name}: {graph}");
    }
    // A scale may be a division, which is counted as one, and stand behind the mask: of two heads as
    // many as the softmax has.
    assert_eq!(details("divided"), ["causal from 0"; 2]);
    let total = imported("divided").graph.cost().total();
    assert_eq!(total[Class::Div].to_string(), "4·b·n² + 4·b·n");
    // A bias that is subtracted is one of the other sign, and costs what one that is added does; what is
    // divided twice has a scale and a cap.
    let capped = ["causal from 0, soft cap 2", "causal from 0, soft cap 4, bias, sinks"];
    let biased = "causal from 0, bias";
    let all = [&[biased; 4][..], &capped[..1], &[rule], &capped[1..], &[biased]].concat();
    assert_eq!(details("subtracted"), all);
    let graph = imported("subtracted").graph;
    let attention = graph.nodes().iter().filter(|node| matches!(node.op, Op::Attention(_)));
    let costs: Vec<_> = attention.map(|node| graph.node_cost(node).total()).collect();
    assert_eq!(costs[0], costs[1]);
    // Of two heads the scores of a triangle, each divided by a scale and by a cap, and their softmax, as
    // above: n² + n each.
    assert_eq!(costs[4][Class::Div].to_string(), "3·b·n² + 3·b·n");
    // Heads that are grouped, by letters, by matrices or place by place.
    assert_eq!(details("groups"), ["causal from 0"; 7]);
    // Each of 4·(4 + 4) for each of (n² + n)/2 pairs, and 2·16·16 for each token.
    assert_eq!(macs("groups"), "112·b·n² + 624·b·n");
    // Ones and zeros that arithmetic makes a mask of.
    assert_eq!(details("least"), ["causal from 0"; 5]);
    // What a module keeps: a triangle is one, whatever its elements are; of what has no rule the pairs
    // are counted, of its own size and of what is cut from it.
    let triangle = "causal from 0";
    let known = [triangle, triangle, triangle, keys, keys, "causal from 0, bias"];
    assert_eq!(details("kept"), known);
    let graph = imported("kept").graph;
    let odd = |n: usize| {
        let sees = |at: &usize| at / n % 3 >= at % n % 5 || at.is_multiple_of(n);
        (0..n * n).filter(sees).count()
    };
    let sizes = graph.complete(&Binding::from_iter([("b", 1), ("n", 8)])).unwrap();
    assert_eq!(sizes.get(&"pairs".into()), Some(&odd(8).into()));
    assert_eq!(sizes.get(&"pairs_2".into()), Some(&odd(12).into()));
    // Two heads; a triangle of pairs, and a sink in each row.
    let exponentials = imported("capped").graph.cost().total()[Class::Exp].to_string();
    assert_eq!(exponentials, "b·n² + 3·b·n");
    let imported = imported("bert");
    let pairs = imported.graph.definitions().iter().any(|d| d.to_string().contains("mask tensor"));
    assert!(pairs, "{:?}", imported.graph.definitions());
    assert!(imported.conditions.iter().any(|condition| condition.to_string() == "n ≤ 30"));
}

#[test]
fn conditions_are_told_of_the_sizes_of_inputs_once_each() {
    let told = |name: &str| -> Vec<String> {
        let imported = imported(name);
        assert_eq!(imported.guards, [""; 0], "{name}");
        imported.conditions.iter().map(ToString::to_string).collect()
    };
    // Multiples of a symbol that is no size of an input.
    assert_eq!(
        told("merged"),
        ["height mod 16 = 0", "height ≥ 32", "width mod 16 = 0", "width ≥ 32"]
    );
    let merged = imported("merged");
    let symbols: Vec<String> = merged.graph.symbols().iter().map(ToString::to_string).collect();
    assert_eq!(symbols, ["b", "height", "width"]);
    // A patch of 2·2·3 for 4 maps, 4·4 and 16·6 and 6·6 for each of the merged.
    let macs = merged.graph.cost().macs().at(&Binding::from_iter([
        ("b", 1),
        ("height", 32),
        ("width", 16),
    ]));
    assert_eq!(macs.unwrap(), (16 * 8 * (12 * 4 + 4 * 4) + 8 * 4 * (16 * 6 + 6 * 6)).into());
    // What says of a product or of what is left that it is not 1 may be a branch, unless bounds imply it.
    let nested = [
        "n ≠ 7",
        "n ≤ 39",
        "n ≥ 5",
        "s15 > n",
        "s15 ≤ 39",
        "s15 ≥ 5",
        "s46 mod 8 = 0",
        "s46 ≥ 16",
        "s80·s9 - 3·s80 ≥ 2",
        "s9 ≠ 4",
        "s9 ≥ 3",
    ];
    assert_eq!(told("nested"), nested);
}

/// A program is counted at no size at which its module takes another way: where a condition is read, it is
/// asked, whatever the signs of what it divides; where it is not, the sizes of the example are all there are.
#[test]
fn sizes_at_which_a_module_branches_are_refused() {
    let counted = |name: &str| -> Vec<u64> {
        let path = file(name, "pt2");
        let model = opledger_account::Model::open(path.to_str().unwrap()).unwrap();
        let holds = |n: &u64| match model.at([("b", 2), ("n", *n)]) {
            Ok(sized) => {
                assert_eq!(sized.macs().unwrap(), (2 * n * 16 * 16).into());
                true
            }
            Err(AccountError::Exported { .. } | AccountError::Guarded { .. }) => false,
            Err(other) => panic!("{name} at {n}: {other}"),
        };
        (2..14).filter(holds).collect()
    };
    assert_eq!(counted("branching"), [2, 8, 10, 11, 13]);
    assert_eq!(counted("guarded"), [8]);
}

/// Under a mask whose scores meet values in a form that is not known all pairs are counted, and told.
#[test]
fn what_is_counted_though_a_mask_hides_it_is_told() {
    let told = imported("unknown").in_full;
    assert!(told.len() == 1 && told[0].contains("the mask in the model itself"), "{told:?}");
    for name in PROGRAMS.iter().filter(|name| **name != "unknown") {
        // A row that is hidden as a whole by a number has weights.
        let rows = if *name == "filled" { 2 } else { 0 };
        assert_eq!(imported(name).in_full.len(), rows, "{name}");
    }
}

#[test]
fn names_of_axes_and_symbols_change_no_count() {
    // The last are what definitions are called where nobody else is.
    let ours = ["floor", "taps", "pairs", "rows"];
    let own = ["items", "tokens", "more", "others"];
    let programs = ["encoder_layer", "llama", "mixtral", "upscaled", "unordered"];
    for (name, names) in programs.iter().flat_map(|name| [(*name, own), (*name, ours)]) {
        let plain = imported(name);
        let mut options = ImportOptions::default();
        for ((own, _), name) in plain.symbols.iter().zip(names) {
            options.names.insert(own.clone(), name.into());
        }
        let renamed = open(&file(name, "pt2"), &options).unwrap();
        let at = |imported: &Imported| -> Integer {
            let sizes = imported.symbols.iter().enumerate();
            let sizes: Binding = sizes.map(|(at, (_, name))| (name.clone(), 8 + 4 * at)).collect();
            let all = imported.graph.complete(&sizes).unwrap();
            imported.graph.cost().flops().at(&all).unwrap()
        };
        assert_eq!(at(&plain), at(&renamed), "{name}");
        let parameters = |graph: &Graph| {
            let own = |node: &&Node| matches!(node.op, Op::Source(Source::Param { .. }));
            graph.nodes().iter().filter(own).count()
        };
        assert_eq!(parameters(&plain.graph), parameters(&renamed.graph));
    }
}

/// The first layer reads what stands behind a class token, where images lie in another order than results
/// of attention do.
#[test]
fn layers_behind_a_class_token_are_recorded_once() {
    let graph = imported("vit").graph;
    assert_eq!(graph.loops().len(), 1, "{graph}");
    let attention = graph.nodes().iter().filter(|node| matches!(node.op, Op::Attention(_)));
    assert_eq!(attention.count(), 1);
}

/// What a program asks of sizes stands in its first layer alone, parameters with dimensions of one element
/// are arranged by the layer that reads them, and results of one width have one name.
#[test]
fn layers_are_equal_whatever_their_parameters_lie_in() {
    let graph = imported("blocks").graph;
    assert_eq!(graph.loops().len(), 3, "{graph}");
}

/// Nine regions, each written through a slice of a slice: what it was before stands once in what it is
/// afterwards, not once for each slice.
#[test]
fn a_mask_grows_by_what_is_written_into_it() {
    let graph = imported("shifted").graph;
    let parts = graph.nodes().iter().filter_map(|node| match &node.op {
        Op::IndexMap(map) => {
            let mut parts = 0;
            map.value.visit(&mut |_| parts += 1);
            Some(parts)
        }
        _ => None,
    });
    // Two places are compared, of which each knows nine regions by both bounds of rows and columns.
    assert!(parts.max().is_some_and(|most| most < 2 * 9 * 100));
}

/// Windows of chunks of four: sizes that a guard says are multiples are quotients, and others are refused.
#[test]
fn a_size_that_is_divided_is_a_multiple() {
    let imported = imported("quotients");
    assert!(imported.conditions.iter().any(|condition| condition.to_string() == "n mod 4 = 0"));
    // Width 16: 48·16 for each token, 2·16 for each of the 4 keys that it sees.
    assert_eq!(imported.graph.cost().macs().to_string(), "896·b·n");
    let sizes = Binding::from_iter([("b", 1), ("n", 6)]);
    let error = imported.graph.check(&sizes).unwrap_err().to_string();
    assert!(error.contains("not a whole number"), "{error}");
}

/// Each gate of a direction: the input and the state times their weights; one result of each layer.
#[test]
fn recurrent_layers_cost_what_their_formulas_say() {
    let graph = imported("recurrent").graph;
    // For each of 7 steps and each item: two directions of 20·(6 + 5) and of 20·(10 + 5), then 12·(6 + 4),
    // two directions of 3·(6 + 3), and 20·(6 + 2) with a projection of 5 to 2.
    let of_step = 2 * (20 * 11 + 20 * 15) + 12 * 10 + 2 * 27 + 20 * 8 + 10;
    assert_eq!(graph.cost().macs().to_string(), format!("{}·b", 7 * of_step));
}
