//! Programs that PyTorch exported, as they are counted, explained, fitted and written as code.

#![cfg(feature = "files")]
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use opledger_account::{AccountError, DeviceRoof, Language, MemoryBudget, Model};
use opledger_dims::{Binding, Integer, Quantity};
use opledger_ir::{Elem, Op, ops::Source};
use opledger_report::{FittedBy, Intake};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn program(name: &str) -> Model {
    Model::open(root().join(format!("{name}.pt2")).to_str().unwrap()).unwrap()
}

/// All archives, with the sizes of their examples.
fn fixtures() -> Vec<(String, Model, Binding)> {
    let mut all = Vec::new();
    for folder in ["tests/programs", "crates/torch/tests/archives"] {
        let mut names: Vec<String> = std::fs::read_dir(root().join(folder))
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
            .filter_map(|name| name.strip_suffix(".pt2").map(str::to_owned))
            .collect();
        names.sort();
        for name in names {
            let model = program(&format!("{folder}/{name}"));
            let inputs = root().join(format!("{folder}/{name}.safetensors"));
            let sizes = example(&model, &inputs, &name);
            all.push((name, model, sizes));
        }
    }
    assert!(all.len() > 80);
    all
}

/// The sizes that the inputs of a program's example have.
fn example(model: &Model, inputs: &Path, name: &str) -> Binding {
    let mut sizes = Binding::new();
    if !inputs.exists() {
        let told = include_str!("../../torch/tests/archives/printed.json");
        let told: BTreeMap<String, serde_json::Value> = serde_json::from_str(told).unwrap();
        let own = told.get(name).map_or_else(|| serde_json::json!({}), |own| own["sizes"].clone());
        for symbol in model.graph().symbols() {
            let size = own.get(symbol.as_str()).and_then(serde_json::Value::as_u64).unwrap_or(3);
            let defined = |of: &opledger_ir::Definition| of.defines().contains(&&symbol);
            if !model.graph().definitions().iter().any(defined) {
                sizes.set(symbol, size);
            }
        }
        return sizes;
    }
    let tensors = opledger_weights::Checkpoint::open_file(inputs).unwrap();
    for tensor in tensors.names() {
        let Some(input) = tensor.strip_prefix("input.") else { continue };
        let Some(node) = model.graph().nodes().iter().find(|node| node.path == input) else {
            continue;
        };
        let value = tensors.read(tensor).unwrap();
        for (axis, size) in node.shape.axes.iter().zip(value.shape()) {
            if let Some(symbol) = axis.size.as_symbol() {
                sizes.set(symbol.clone(), *size);
            }
        }
    }
    sizes
}

/// Whether only the contents of a mask say what is missing.
fn by_contents(error: &AccountError) -> bool {
    matches!(error, AccountError::Unbound { by_mask: true, .. })
}

#[test]
fn the_sizes_of_every_example_are_accepted() {
    for (name, model, sizes) in fixtures() {
        match model.counted_at(&sizes) {
            Ok(sized) => drop(sized.flops().unwrap()),
            Err(error) => assert!(by_contents(&error), "{name} at {sizes}: {error}"),
        }
        model.seen_at(&sizes).unwrap_or_else(|error| panic!("{name} at {sizes}: {error}"));
    }
}

/// A buffer is read as a weight is, whatever its elements are, in its own type; one that hides, chooses or says
/// places is a rule.
#[test]
fn buffers_are_read_once_in_their_own_types() {
    let model = program("tests/programs/stored");
    let sources: Vec<(&str, bool)> = model
        .graph()
        .nodes()
        .iter()
        .filter(|node| node.path != "x" && node.path != "table.weight")
        .filter_map(|node| match &node.op {
            Op::Source(source) => Some((&*node.path, matches!(source, Source::Buffer { .. }))),
            _ => None,
        })
        .collect();
    let expected = [
        ("zeros", true),
        ("ones", true),
        ("unit", true),
        ("steps", false),
        ("none", false),
        ("halves", true),
        ("weights", false),
    ];
    assert_eq!(sources, expected);
    let filled = model.graph().nodes().iter().filter(|node| matches!(node.op, Op::Fill(_)));
    assert_eq!(filled.count(), 0);
    // Reads of buffers at any number of items and tokens: 16·16 and 8·8 reals, the ones twice, 8·16 bytes twice,
    // 8 places.
    let once = 16 * 16 * 4 * 2 + 16 * 4 * 2 + 8 * 8 * 2 + 2 * 8 * 16 + 8 * 8;
    // And of what is made of them alone: two maps as reals, one of them times a number, and places.
    let once = once + 3 * 8 * 16 * 4 + 8 * 4;
    let read = |b: u64, n: u64| {
        let sized = model.at([("b", b), ("n", n)]).unwrap();
        sized.memory_as_stored().unwrap().moved.values_read
    };
    // What does not grow with items is read of buffers, or of positions that tokens have.
    let constant = |n: u64| Integer::from(2) * read(1, n) - read(2, n);
    let positions = |n: u64| constant(n) - Integer::from(once);
    assert_eq!(positions(4) * 2u32, positions(8));
}

#[test]
fn bytes_of_a_bound_are_those_of_the_types_of_a_program() {
    for name in
        ["crates/torch/tests/archives/types", "tests/programs/quantised", "tests/programs/stored"]
    {
        let model = program(name);
        let symbols = model.graph().symbols();
        let sizes: Vec<(&str, u64)> = [("b", 2), ("n", 5)]
            .into_iter()
            .filter(|(s, _)| symbols.contains(&(*s).into()))
            .collect();
        let sized = model.at(sizes).unwrap();
        let roof = DeviceRoof::of("h100-sxm", Elem::F32).unwrap();
        let own = sized.lower_bound_as_stored(&roof, None).unwrap();
        let one = sized.lower_bound(&roof, None).unwrap();
        let moved = sized.memory_as_stored().unwrap().moved;
        let all = moved.weights_read + moved.values_read + moved.values_written;
        assert_eq!(own.total.bytes, all, "{name}");
        assert_ne!(own.total.bytes, one.total.bytes, "{name}");
    }
    // A map of 16 to 8 in f16, a norm of 8 in f32, a map of 8 to 3 in f64, of two items: each result once.
    let model = program("crates/torch/tests/archives/types");
    let moved = model.at([("b", 2)]).unwrap().memory_as_stored().unwrap().moved;
    assert_eq!(moved.values_written, (2 * (8 * 2 + 8 * 2 + 8 * 4 + 3 * 8)).into());
}

/// Between any two tools each difference has a reason that is true of it, and all add up.
#[test]
fn every_difference_has_its_own_reason() {
    let (mut explained, mut hidden, mut padded) = (0, 0, 0);
    for (name, model, sizes) in fixtures() {
        let sized = model.seen_at(&sizes).unwrap();
        let counter = sized.convention_counter(None, &[]).unwrap();
        let names: Vec<&str> = opledger_conventions::convention_names()
            .filter(|tool| counter.total(tool).is_ok())
            .collect();
        for (at, first) in names.iter().enumerate() {
            for second in &names[at + 1..] {
                let told = counter.explain(first, second).unwrap();
                let place = format!("{first} and {second} of {name}: {told:?}");
                let sum: Integer = told.lines.iter().map(|line| &line.difference).sum();
                assert_eq!(sum, told.difference, "{place}");
                let [of_first, of_second] = [0, 1].map(|at| &told.conventions[at].total);
                let all: Integer = told.lines.iter().map(|line| &line.first).sum();
                assert_eq!(&(all + &told.agreed), of_first, "{place}");
                let all: Integer = told.lines.iter().map(|line| &line.second).sum();
                assert_eq!(&(all + &told.agreed), of_second, "{place}");
                let mut reasons = std::collections::BTreeSet::new();
                for line in &told.lines {
                    let reason = line.reason.as_ref().unwrap_or_else(|| panic!("{place}"));
                    assert_ne!(line.what, "other", "{place}");
                    assert!(reasons.insert((&line.what, reason)), "{place}");
                    hidden += usize::from(reason.starts_with("pairs that a mask hides"));
                    padded += usize::from(reason.starts_with("taps of the window"));
                }
                explained += 1;
            }
        }
    }
    assert!(explained > 2_000 && hidden > 50 && padded > 20, "{explained} {hidden} {padded}");
}

/// Of products the ledger lacks exactly what masks hide and what falls on padding.
#[test]
fn masks_and_padding_are_told_apart_from_rules() {
    let lines = |name: &str, sizes: &[(&str, u64)]| {
        let model = program(name);
        let sized = model.seen_at(&sizes.iter().copied().collect()).unwrap();
        let told = sized.explain("torch-flop-counter", "matmul-flops").unwrap();
        let line = |line: &opledger_report::ExplainedLine| {
            (line.what.clone(), line.difference.clone(), line.reason.clone().unwrap())
        };
        told.lines.iter().map(line).collect::<Vec<_>>()
    };
    // Two heads of width 8 see 28 of 49 pairs of seven tokens.
    let gpt2 = lines("crates/torch/tests/archives/gpt2", &[("b", 3), ("n", 7)]);
    let hides = "pairs that a mask hides, which torch-flop-counter counts".to_owned();
    let pairs = 3 * 2 * 8 * (49 - 28) * 2 * 2;
    assert_eq!(gpt2, [("attention products".to_owned(), pairs.into(), hides)]);
    let windows = lines("crates/torch/tests/archives/windows", &[("b", 2)]);
    let [(what, difference, reason)] = &windows[..] else { panic!("{windows:?}") };
    assert_eq!((what.as_str(), reason.starts_with("taps")), ("convolution products", true));
    // Windows of three, two apart, on 16 positions with one of padding: 15 rows of taps are of 16 results.
    let on_padding = 2 * 2 * 8 * 3 * (24 * 24 - 23 * 23);
    assert_eq!(*difference, on_padding.into());
}

/// Functions that are written for a program give, by themselves, what its counts are.
#[test]
fn emitted_functions_of_every_program_stand_by_themselves() {
    let python = Command::new("python3").arg("--version").output();
    if !python.is_ok_and(|out| out.status.success()) {
        return;
    }
    let (mut code, mut functions) = (String::new(), 0);
    for (name, model, example) in fixtures() {
        let text = match model.partly_at(&Binding::new()).unwrap().emit(Language::Python) {
            Ok(text) => text,
            // What a mask tensor leaves is looked at, pair by pair.
            Err(AccountError::NoFunction { definition, .. }) => {
                assert!(definition.contains("mask tensor"), "{name}: {definition}");
                continue;
            }
            Err(error) => panic!("{name}: {error}"),
        };
        functions += 1;
        code += &format!("own = {{'__name__': 'own'}}\nexec({text:?}, own)\nown['check']()\n");
        let head = text.split("def macs(").nth(1).unwrap().split(')').next().unwrap();
        let symbols: Vec<&str> = head.split(", ").filter(|symbol| !symbol.is_empty()).collect();
        for factor in [1_u64, 2, 3, 5, 8, 13] {
            let grown = |symbol: &&str| {
                let known = example.get(&(*symbol).into()).cloned().unwrap_or_else(|| 3.into());
                ((*symbol).to_owned(), known * factor - Integer::from(factor / 3))
            };
            let sizes: Binding = symbols.iter().map(grown).collect();
            let Ok(sized) = model.counted_at(&sizes) else { continue };
            let given: Vec<String> =
                symbols.iter().map(|s| sizes.get(&(*s).into()).unwrap().to_string()).collect();
            for quantity in [Quantity::Macs, Quantity::Flops, Quantity::BytesRead] {
                let (function, given) = (quantity.name().replace('-', "_"), given.join(", "));
                let value = sized.quantity(quantity).unwrap();
                code +=
                    &format!("assert own['{function}']({given}) == {value}, '{name} {given}'\n");
            }
        }
    }
    assert!(functions > 60, "{functions}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("all.py");
    std::fs::write(&path, code).unwrap();
    let out = Command::new("python3").arg(path).output().unwrap();
    let told = String::from_utf8_lossy(&out.stderr);
    assert!(
        out.status.success(),
        "{}",
        told.chars().rev().take(2000).collect::<String>().chars().rev().collect::<String>()
    );
}

/// What fits is never more than what the program accepts, and what limits it is said.
#[test]
fn what_fits_is_what_a_program_accepts() {
    let budget = |bytes: u64| MemoryBudget {
        bytes: bytes.into(),
        weights: None,
        elem: Elem::F32,
        cache: Elem::F32,
    };
    let fitted = |name: &str, bytes: u64| {
        let model = program(name);
        let most = model.fitting(&budget(bytes), &2.into(), Intake::AtOnce, &Binding::new());
        let most = most.unwrap();
        if most.tokens > 0.into() {
            let sizes = Binding::new().with("b", 2).with("n", most.tokens.clone());
            let told = model.seen_at(&sizes);
            assert!(told.is_ok(), "{name}: {told:?}");
        }
        (most.tokens, most.by)
    };
    let by = |condition: &str| FittedBy::Condition(condition.to_owned());
    let bert = "tests/programs/bert";
    assert_eq!(fitted(bert, 1 << 40), (30.into(), by("n ≤ 30")));
    let (tokens, limit) = fitted(bert, 30_000);
    assert!(tokens < 30.into() && limit == FittedBy::Memory, "{tokens} {limit:?}");
    assert_eq!(fitted("tests/programs/stored", 1 << 40), (11.into(), by("n ≤ 11")));
}
