//! Formulas of frameworks against what their functions gave for configurations drawn at random
//! (`tests/frameworks/observe.py`): `observed.json` was there when they were written, `scored.json` was not.

// Helpers of tests fail loudly, as tests do.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use opledger_conventions::ConventionError;
use opledger_conventions::framework::{
    CountedParts, DescribedDecoder, DescribedSizes, Framework, framework, framework_names,
    frameworks,
};
use opledger_dims::{Binding, Integer};
use serde_json::Value;

const FILES: [(&str, &str); 2] = [
    ("observed", include_str!("../../../tests/frameworks/observed.json")),
    ("scored", include_str!("../../../tests/frameworks/scored.json")),
];

fn sizes(sizes: &Value, traits: &Value) -> DescribedSizes {
    let sizes = sizes.as_object().unwrap().iter();
    DescribedSizes {
        sizes: Binding::from_iter(
            sizes.map(|(name, size)| (name.as_str(), size.as_u64().unwrap())),
        ),
        traits: traits.as_array().unwrap().iter().map(|t| t.as_str().unwrap().to_owned()).collect(),
    }
}

fn decoder(case: &Value, framework: &str) -> (DescribedDecoder, Binding) {
    let family = case["family"].as_str().unwrap();
    // Arguments of Megatron and llm-foundry say no family.
    let family = if family == "any" { format!("of {framework}") } else { family.to_owned() };
    let layers = case["layers"].as_array().unwrap().iter();
    let layer = |one: &Value| (one[0].as_u64().unwrap().into(), sizes(&one[1], &one[2]));
    let whole = sizes(&case["whole"]["sizes"], &case["whole"]["traits"]);
    let work = sizes(&case["work"], &Value::Array(Vec::new())).sizes;
    (DescribedDecoder { family, whole, layers: layers.map(layer).collect() }, work)
}

fn total(counts: &CountedParts) -> Integer {
    counts.values().map(|part| &part.count).sum()
}

/// The nearest float.
fn float(exact: &Integer) -> f64 {
    exact.to_string().parse().unwrap()
}

/// How far a float of the function is from the exact number, in units of its last place.
fn places(said: f64, exact: &Integer) -> u64 {
    float(exact).to_bits().abs_diff(said.to_bits())
}

/// What of a case a framework gets wrong.
fn miss(name: &str, case: &Value) -> Option<String> {
    let (decoder, work) = decoder(case, name);
    let counts = framework(name).unwrap().count(&decoder, &work).unwrap();
    let mut own = total(&counts);
    let wrong = |own: &dyn std::fmt::Display| Some(format!("{own} for {case}"));
    if case.get("per_token").is_some() {
        let tokens: Integer =
            work.iter().filter(|(s, _)| s.to_string() != "p").map(|(_, n)| n).product();
        own /= tokens;
    }
    if let Some(tera) = case.get("tera") {
        let tera: f64 = tera.as_str().unwrap().parse().unwrap();
        let ours = float(&own) / 1e12;
        let attention = counts.get("attention products").map_or(0.0, |part| float(&part.count));
        let parts = [attention / 1e12, ours - attention / 1e12];
        let printed = [&case["printed"]["attention"], &case["printed"]["learnable"]];
        let alike = parts
            .iter()
            .zip(printed)
            .all(|(own, said)| format!("{own:.2}") == said.as_str().unwrap());
        let near = ours.to_bits().abs_diff(tera.to_bits()) <= 8;
        let total = format!("{ours:.2}") == case["number"].as_str().unwrap();
        return if alike && near && total { None } else { wrong(&ours) };
    }
    match (&case["number"], case.get("share_of")) {
        (Value::Number(said), _) => {
            let said: Integer = said.to_string().parse().unwrap();
            if said == own { None } else { wrong(&own) }
        }
        (Value::String(said), Some(peak)) => {
            let ours = float(&own) / peak.as_f64().unwrap();
            if format!("{ours:?}").parse::<f64>() == said.parse::<f64>() {
                None
            } else {
                wrong(&ours)
            }
        }
        (Value::String(said), None) => {
            let said: f64 = said.parse().unwrap();
            // Floats round: beyond 2^53, and where the function divides by a width or a length.
            let most = if said.abs() < 2_f64.powi(53) { 2 } else { 8 };
            if places(said, &own) <= most { None } else { wrong(&own) }
        }
        (other, _) => wrong(other),
    }
}

fn cases() -> impl Iterator<Item = (&'static str, String, Value)> {
    FILES.into_iter().flat_map(|(file, text)| {
        let all: BTreeMap<String, Vec<Value>> = serde_json::from_str(text).unwrap();
        all.into_iter().flat_map(move |(name, cases)| {
            cases.into_iter().map(move |case| (file, name.clone(), case))
        })
    })
}

#[test]
fn every_number_of_the_functions_is_given() {
    let mut missed = Vec::new();
    let mut met: BTreeMap<(String, &str), usize> = BTreeMap::new();
    for (file, name, case) in cases().filter(|(_, name, _)| name != "hf-trainer") {
        *met.entry((name.clone(), file)).or_default() += 1;
        missed.extend(miss(&name, &case).map(|miss| format!("{file} {name}: {miss}")));
    }
    assert!(
        missed.is_empty(),
        "{} of the numbers are others\n{}",
        missed.len(),
        missed[..missed.len().min(5)].join("\n")
    );
    let own = ["step-products", "forward-products", "palm", "hf-trainer"];
    for name in framework_names().filter(|name| !own.contains(name)) {
        for (file, _) in FILES {
            assert_eq!(met.get(&(name.to_owned(), file)), Some(&60), "{name} in {file}");
        }
    }
}

#[test]
fn a_size_that_is_off_by_one_is_noticed() {
    // Of each size that a formula has, in some case.
    let mut noticed: BTreeSet<(String, String)> = BTreeSet::new();
    for (_, name, case) in
        cases().filter(|(file, name, _)| *file == "observed" && name != "hf-trainer")
    {
        for size in ["b", "n"] {
            let mut other = case.clone();
            other["work"][size] = (case["work"][size].as_u64().unwrap() + 1).into();
            if miss(&name, &other).is_some() {
                noticed.insert((name.clone(), size.to_owned()));
            }
        }
        let count = case["layers"].as_array().unwrap().len();
        for at in 0..count {
            for size in case["layers"][at][1].as_object().unwrap().keys() {
                let mut other = case.clone();
                other["layers"][at][1][size] =
                    (case["layers"][at][1][size].as_u64().unwrap() + 1).into();
                if miss(&name, &other).is_some() {
                    noticed.insert((name.clone(), size.clone()));
                }
            }
        }
    }
    for (name, sizes) in [
        ("megatron-lm", "h g e f q d rot nope ff m k fs u n"),
        ("megatron-bridge", "h g e f q d rot nope ff m k fs u w n"),
        ("maxtext", "h g e f q d rot nope ff m k x fs w n b"),
        ("torchtitan", "h g e f q d rot nope ff m k x fs ab ob xb rb fb n"),
        ("llm-foundry", "h g e f ff m ab ob fb n b"),
        ("olmo-core", "h g e f ff m ab ob fb qn w n"),
        ("nanogpt", "h g e f ff m ab ob fb n b"),
        ("vllm-prefill", "h g e f q d rot nope ff k fs w n b"),
    ] {
        for size in sizes.split(' ') {
            assert!(noticed.contains(&(name.to_owned(), size.to_owned())), "{size} of {name}");
        }
    }
}

#[test]
fn what_a_framework_is_not_for_is_refused_by_name() {
    let (_, _, case) = cases().find(|(_, name, _)| name == "megatron-lm").unwrap();
    let (mut decoder, work) = decoder(&case, "megatron-lm");
    let refusal = |name: &str, decoder: &DescribedDecoder| {
        let error = framework(name).unwrap().count(decoder, &work).unwrap_err();
        assert!(error.is_refusal(), "{error}");
        error.to_string()
    };
    let said = refusal("nanogpt", &decoder);
    assert!(
        said.starts_with("nanogpt@3adf61e says nothing of this model")
            && said.ends_with("it is for gpt2"),
        "{said}"
    );
    decoder.layers[0].1.traits.insert("state space".to_owned());
    let said = refusal("megatron-lm", &decoder);
    assert!(said.ends_with("it has no term for `state space`"), "{said}");
    decoder.layers[0].1.traits.remove("state space");
    decoder.layers[0].1.sizes = Binding::new();
    let error = framework("megatron-lm").unwrap().count(&decoder, &work).unwrap_err();
    assert!(error.is_unbound(), "{error}");
    assert!(matches!(framework("megatron"), Err(ConventionError::Unknown { .. })));
    assert!(matches!(framework("maxtext@0"), Err(ConventionError::Unknown { .. })));
    assert!(framework("maxtext@e591f30").is_ok());
}

#[test]
fn layers_in_another_order_than_a_framework_takes_are_refused() {
    let gemma = |case: &Value| case["family"] == "gemma3_text";
    let (_, _, case) = cases().find(|(_, name, case)| name == "maxtext" && gemma(case)).unwrap();
    let (mut decoder, work) = decoder(&case, "maxtext");
    decoder.layers[0].0 += 1;
    let said = framework("maxtext").unwrap().count(&decoder, &work).unwrap_err().to_string();
    assert!(said.ends_with("it takes one layer of 6 to see all tokens"), "{said}");
}

#[test]
fn files_say_where_their_function_stands() {
    for own in frameworks().unwrap() {
        assert!(own.source.len() > 40 && !own.checked.is_empty(), "{}", own.name);
    }
    let odd = r#"{"name": "a", "version": "1", "unit": "", "repository": "", "commit": "", "function": "",
        "checked": "", "covers": [], "terms": [{"part": "heads", "of": "layers", "counts": "b"}]}"#;
    let said = Framework::read("odd", odd).unwrap_err().to_string();
    assert_eq!(said, "odd: `heads` is no part of a model");
}

#[test]
fn palm_is_used_as_much_as_its_paper_says() {
    // Of 540 billion parameters, 118 layers of 48 heads of 256, texts of 2,048 tokens.
    let layer = DescribedSizes {
        sizes: Binding::from_iter([
            ("h", 48),
            ("e", 256),
            ("f", 256),
            ("g", 0),
            ("ff", 0),
            ("m", 0),
        ])
        .with("ab", 0)
        .with("ob", 0)
        .with("fb", 0),
        traits: ["heads", "full", "dense"].map(str::to_owned).into(),
    };
    let whole = DescribedSizes {
        sizes: Binding::from_iter([("c", 0), ("v", 0), ("pos", 0), ("rest", 540_350_000_000_u64)]),
        traits: ["tied".to_owned()].into(),
    };
    let decoder =
        DescribedDecoder { family: "palm".to_owned(), whole, layers: vec![(118.into(), layer)] };
    let work = Binding::from_iter([("b", 1), ("n", 2048)]);
    let counts = framework("palm").unwrap().count(&decoder, &work).unwrap();
    let used = |count: &Integer| float(count) / 2048.0 * 238_300.0 / (6144.0 * 275e12) * 100.0;
    assert_eq!(format!("{:.1}", used(&total(&counts))), "46.2");
    assert_eq!(format!("{:.1}", used(&counts["norms and the rest"].count)), "45.7");
}
