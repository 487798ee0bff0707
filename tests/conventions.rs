//! Conventions against what the tools themselves printed, and explanations of every pair.

mod roles;

use std::collections::BTreeMap;

use opledger_conventions::{
    Convention, ConventionError, Dialect, Tally, Units, convention, convention_names, conventions,
    dialect, dialect_names, explain,
};
use opledger_dims::{Binding, Counts, Integer};
use opledger_ir::Graph;
use opledger_models::layer::{kinds, parse};
use opledger_models::{Config, ModelGraph, Request, preset, preset_names, presets};
use serde_json::Value;

/// A graph at small sizes.
fn sized(graph: &Graph, known: &Binding) -> Binding {
    let mut sizes = known.clone();
    for (symbol, size) in [("b", 2), ("n", 6), ("m", 5), ("l", 3), ("h", 2), ("c", 8)] {
        if sizes.get(&symbol.into()).is_none() && graph.symbols().contains(&symbol.into()) {
            sizes.set(symbol, size);
        }
    }
    let mut sizes = graph.complete(&sizes).unwrap();
    for symbol in graph.symbols() {
        if sizes.get(&symbol).is_none() {
            sizes = graph.complete(&sizes.with(symbol, 4)).unwrap();
        }
    }
    sizes
}

/// Every kind of layer, and a published model of each family.
fn models() -> Vec<(String, Graph, Binding)> {
    let layers = kinds().iter().map(|kind| (kind.name.to_owned(), parse(kind.name).unwrap()));
    let presets = presets().unwrap().into_iter().map(|preset| (preset.family().to_owned(), preset));
    let families: BTreeMap<_, _> = presets.collect();
    let published = families.into_values().map(|preset| {
        let model = preset.config().model(&preset.name, &Request::default()).unwrap();
        (preset.name, model)
    });
    let all = layers.chain(published);
    all.map(|(name, model)| {
        let sizes = sized(&model.graph, &model.binding);
        (name, model.graph, sizes)
    })
    .collect()
}

fn ways() -> Vec<Dialect> {
    dialect_names().map(|name| dialect(name).unwrap()).collect()
}

#[test]
fn units_hold_every_operation_of_the_ledger() {
    for (name, graph, sizes) in models() {
        let total = graph.cost().total().at(&sizes).unwrap();
        for way in ways() {
            let units = Units::new(&graph, &sizes, &way).unwrap();
            let mut sum: Counts<Integer> = Counts::zero();
            for counts in units.units.iter().flat_map(|unit| unit.counts.values()) {
                sum += counts;
            }
            assert_eq!(sum, total, "{name}, {}", way.name);
        }
    }
}

#[test]
fn every_difference_is_explained_to_the_last_unit() {
    for (name, graph, sizes) in models() {
        for way in ways() {
            let units = Units::new(&graph, &sizes, &way).unwrap();
            assert_eq!(unexplained(&units), [""; 0], "{name}, {}", way.name);
        }
    }
}

#[test]
fn only_xla_refuses_and_only_what_it_was_never_seen_to_count() {
    for (name, graph, sizes) in models() {
        for way in ways() {
            let (_, refused) = answering(&Units::new(&graph, &sizes, &way).unwrap());
            let expected: &[&str] = match &name[..] {
                "mixtral-8x7b" => &["xla@jax-0.10.2: topk"],
                "group-norm" => &["xla@jax-0.10.2: group_norm"],
                _ => &[],
            };
            assert_eq!(refused, expected, "{name}, {}", way.name);
        }
    }
}

#[test]
fn own_conventions_are_views_of_the_ledger() {
    for (name, graph, sizes) in models() {
        let units = Units::new(&graph, &sizes, &dialect("plain").unwrap()).unwrap();
        let cost = graph.cost();
        let total =
            |name: &str| Tally::new(&convention(name, &[]).unwrap(), &units).unwrap().total();
        assert_eq!(total("macs"), cost.macs().at(&sizes).unwrap(), "{name}");
        assert_eq!(total("flops"), cost.total().total().at(&sizes).unwrap(), "{name}");
        assert_eq!(total("matmul-flops"), total("macs") * 2, "{name}");
    }
}

#[test]
fn names_come_with_versions_and_bugs_can_be_mended() {
    let name = |text: &str| convention(text, &[]).map(|c| c.name).map_err(|e| e.to_string());
    for plain in convention_names() {
        let full = name(plain).unwrap();
        assert_eq!(name(&full).unwrap(), full);
    }
    let wrong = name("fvcor").unwrap_err();
    assert!(wrong.contains("`fvcor` is not known; there are: macs, "), "{wrong}");
    assert!(name("fvcore@7").unwrap_err().contains("`fvcore@7` is not known"));
    let unknown = convention("fvcore", &["padding".to_owned()]).unwrap_err().to_string();
    assert!(unknown.contains("no bug `padding`; it has: none"), "{unknown}");
}

#[test]
fn a_mended_bug_changes_what_it_says() {
    let model = parse("encoder-layer:c=768,h=12,ff=3072,act=gelu").unwrap();
    let sizes = model.graph.complete(&model.binding.clone().with("b", 1).with("n", 128)).unwrap();
    let units = Units::new(&model.graph, &sizes, &dialect("torch.nn").unwrap()).unwrap();
    let total = |name: &str, bugs: &[&str]| {
        let bugs: Vec<String> = bugs.iter().map(ToString::to_string).collect();
        Tally::new(&convention(name, &bugs).unwrap(), &units).unwrap().total()
    };
    // Later versions of torchinfo count every row of the two linear maps, biases included.
    let rows = 128 * (2 * 768 * 3072 + 768 + 3072);
    assert_eq!(total("torchinfo", &["tokens-left-out"]), (rows + 2 * 2 * 768).into());
    let norms = total("ptflops", &["elementwise-affine"]) - total("ptflops", &[]);
    assert_eq!(norms, (2 * 128 * 768).into());
    for convention in conventions().unwrap() {
        for bug in &convention.bugs {
            assert!(!bug.text.is_empty());
            total(&convention.name, &[&bug.name]);
        }
    }
}

/// Which figure of which tool a convention stands for: convention, tool, figure.
const FIGURES: &[(&str, &str, &str)] = &[
    ("torch-flop-counter", "torch-flop-counter", "total"),
    ("torch-flop-counter-training", "torch-flop-counter-training", "total"),
    ("torch-flop-counter-backward", "torch-flop-counter-backward", "total"),
    ("fvcore", "fvcore", "total"),
    ("thop", "thop", "macs"),
    ("ultralytics-thop", "ultralytics-thop", "macs"),
    ("ptflops", "ptflops", "macs"),
    ("ptflops-aten", "ptflops-aten", "macs"),
    ("calflops", "calflops", "flops"),
    ("calflops-macs", "calflops", "macs"),
    ("deepspeed", "deepspeed", "flops"),
    ("deepspeed-macs", "deepspeed", "macs"),
    ("torchinfo", "torchinfo", "mult_adds"),
    ("torchlens", "torchlens", "flops"),
    ("onnx-tool", "onnx-tool", "macs"),
    ("tract", "tract", "fma"),
    ("xla", "xla", "flops"),
    // Printed in units of 10⁹, rounded.
    ("macs", "macs", "giga"),
    ("fvcore", "fvcore", "giga"),
];

/// Numbers that are not given, since the graph does not have what was counted. torchlens counts
/// dropout modules of `timm` and what `transformers` does to build masks, positions and rotary tables;
/// the exporter that onnx-tool reads adds masks of `transformers` that hide nothing, and drops attention
/// weights that nobody uses, and folds what is constant.
const NOT_GIVEN: &[(&str, &str)] = &[
    ("gpt2_small_eager", "torchlens"),
    ("gpt2_small_sdpa", "torchlens"),
    ("gpt2_eager_b1_n128", "torchlens"),
    ("gpt2_sdpa_b1_n128", "torchlens"),
    ("llama_small_eager", "torchlens"),
    ("llama_small_sdpa", "torchlens"),
    ("t5_small_eager", "torchlens"),
    ("t5_small_sdpa", "torchlens"),
    ("t5-small_eager_b1_n64_m96", "torchlens"),
    ("t5-small_sdpa_b1_n64_m96", "torchlens"),
    ("timm_vit_tiny_patch16_224", "torchlens"),
    ("timm_vit_tiny_patch16_224_eager", "torchlens"),
    ("timm_vit_base_patch16_224", "torchlens"),
    ("timm_vit_base_patch16_224_eager", "torchlens"),
    ("timm_swin_tiny_patch4_window7_224_eager", "torchlens"),
    ("seed002_thop_model", "onnx-tool"),
    ("bert_small_eager", "onnx-tool"),
    ("bert-base_eager_b1_n128", "onnx-tool"),
    ("gpt2_eager_b1_n128", "onnx-tool"),
    ("t5_small_eager", "onnx-tool"),
    ("t5-small_eager_b1_n64_m96", "onnx-tool"),
    ("vit_small_eager", "onnx-tool"),
    ("vit-b16_eager_b1", "onnx-tool"),
    ("timm_swin_tiny_patch4_window7_224_eager", "onnx-tool"),
];

/// The conventions that have a rule for every call, and what each other has none for.
fn answering(units: &Units) -> (Vec<Convention>, Vec<String>) {
    let (mut answer, mut refused) = (Vec::new(), Vec::new());
    for convention in conventions().unwrap() {
        match Tally::new(&convention, units) {
            Ok(_) => answer.push(convention),
            Err(ConventionError::NoRule { convention, op, .. }) => {
                refused.push(format!("{convention}: {op}"));
            }
            Err(error) => panic!("{error}"),
        }
    }
    (answer, refused)
}

/// Pairs of conventions whose difference is not explained to the last unit.
fn unexplained(units: &Units) -> Vec<String> {
    let (all, _) = answering(units);
    let pairs =
        all.iter().enumerate().flat_map(|(at, a)| all[at + 1..].iter().map(move |b| (a, b)));
    let incomplete = pairs.filter(|(a, b)| !explain(a, b, units).unwrap().is_complete());
    incomplete.map(|(a, b)| format!("{} against {}", a.name, b.name)).collect()
}

/// Every number that tools printed and this does not give, and how many it gives.
fn compare(file: &str) -> (Vec<String>, usize) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("conventions").join(file);
    let observed: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let (mut wrong, mut right) = (Vec::new(), 0);
    for case in observed["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let Some(model) = model(case) else { continue };
        let mut sizes = model.binding.clone();
        for (symbol, size) in case["sizes"].as_object().unwrap() {
            sizes.set(symbol.as_str(), size.as_u64().unwrap());
        }
        let sizes = model.graph.complete(&sizes).unwrap();
        if let Some(params) = case["params"].as_u64() {
            assert_eq!(model.graph.parameters().0.at(&sizes).unwrap(), params.into(), "{name}");
        }
        let way = dialect(case["written"].as_str().unwrap()).unwrap();
        let units = Units::new(&model.graph, &sizes, &way).unwrap();
        wrong.extend(unexplained(&units).into_iter().map(|pair| format!("{name}: {pair}")));
        for (own, tool, figure) in FIGURES {
            let printed = match &case["tools"][tool][figure] {
                Value::Null => continue,
                Value::String(giga) => giga.clone(),
                number => number.to_string(),
            };
            let total = Tally::new(&convention(own, &[]).unwrap(), &units).unwrap().total();
            let shown = match printed.split_once('.') {
                Some((_, decimals)) => {
                    let giga = total.to_string().parse::<f64>().unwrap() / 1e9;
                    format!("{giga:.*}", decimals.len())
                }
                None => total.to_string(),
            };
            let is_given = !NOT_GIVEN.contains(&(name, own));
            if (shown == printed) == is_given {
                right += 1;
            } else {
                wrong.push(format!("{name}: {own} gives {shown}, printed {printed}"));
            }
        }
    }
    (wrong, right)
}

/// The model of a case: a layer, a preset, or a configuration; none of what Opledger has no word for.
fn model(case: &Value) -> Option<ModelGraph> {
    let name = case["model"].as_str()?;
    let request = Request::default();
    let config = match case.get("config") {
        Some(config) if config.is_object() => {
            Some(Config::parse(name, config.to_string().as_bytes()).unwrap())
        }
        _ if preset_names().any(|known| known == name) => Some(preset(name).unwrap().config()),
        _ => None,
    };
    Some(match config {
        Some(config) => config.model(name, &request).unwrap(),
        None => parse(name).unwrap(),
    })
}

#[test]
fn conventions_print_what_tools_print() {
    let (wrong, right) = compare("observed.json");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(right > 900, "{right}");
}

#[test]
fn tract_says_what_its_costs_add_up_to() {
    let (wrong, right) = compare("observed_tract.json");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(right, 12);
}

#[test]
fn xla_prints_what_its_cost_analysis_says() {
    let (wrong, right) = compare("observed_xla.json");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(right, 10);
}

#[test]
fn conventions_give_numbers_that_others_published() {
    let (wrong, right) = compare("published.json");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(right, 34);
}
