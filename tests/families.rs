//! The table of families in the documentation, from what holds them: checkpoints of `transformers`,
//! parameters of published models, GGUF files.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;

use serde_json::Value;

const BEGIN: &str = "| `model_type` |";
const END: &str = "\n\n";

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// What is under a folder, by the family that its configurations name.
fn by_family(entries: impl Iterator<Item = (String, Value)>) -> BTreeMap<String, BTreeSet<String>> {
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, config) in entries {
        let family = config["model_type"].as_str().unwrap().to_owned();
        all.entry(family).or_default().insert(name);
    }
    all
}

/// How many numbers tools printed for configurations that were drawn after every rule was written, and are
/// scored alone, by family.
fn printed(here: &Path) -> BTreeMap<String, usize> {
    let mut all = BTreeMap::new();
    for file in fs::read_dir(here.join("conventions")).unwrap().map(|file| file.unwrap().path()) {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        if !name.starts_with("scored") {
            continue;
        }
        for case in json(&file)["cases"].as_array().unwrap() {
            let Some(family) = case["config"]["model_type"].as_str() else { continue };
            let Some(tools) = case["tools"].as_object() else { continue };
            let figures = tools.values().flat_map(|said| said.as_object().unwrap().values());
            let figures = figures.filter(|said| said.is_number()).count();
            *all.entry(family.to_owned()).or_default() += figures;
        }
    }
    all
}

/// How many presets PyTorch counted whole, by family.
fn counted(here: &Path) -> BTreeMap<String, usize> {
    let flops = json(&here.join("golden/flops.json"));
    let mut all = BTreeMap::new();
    for name in flops["flops"].as_object().unwrap().keys() {
        let family = opledger_models::preset(name).unwrap().family().to_owned();
        *all.entry(family).or_default() += 1;
    }
    all
}

fn table() -> String {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (printed, counted) = (printed(here), counted(here));
    let folders = fs::read_dir(here.join("golden/models")).unwrap().map(Result::unwrap);
    let checkpoints: Vec<Value> =
        folders.map(|folder| json(&folder.path().join("config.json"))).collect();
    let classes = by_family(checkpoints.iter().map(|config| {
        let class = config["architectures"][0].as_str().unwrap();
        (class.to_owned(), config.clone())
    }));
    let mut number: BTreeMap<&str, usize> = BTreeMap::new();
    for config in &checkpoints {
        *number.entry(config["model_type"].as_str().unwrap()).or_default() += 1;
    }
    let mut presets: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for preset in opledger_models::presets().unwrap() {
        presets.entry(preset.family().to_owned()).or_default().insert(preset.parameters);
    }
    let mut gguf: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for (architecture, family) in opledger_models::gguf_architectures() {
        gguf.entry(family.to_owned()).or_default().insert(architecture);
    }
    let mut table = format!(
        "{BEGIN} checkpoints | of these classes | published models | of them counted by PyTorch | \
         printed by tools | GGUF |\n"
    );
    table.push_str("|---|--:|---|---|--:|--:|---|\n");
    for family in opledger_models::families() {
        let list = |all: Option<&BTreeSet<String>>| {
            all.map_or_else(String::new, |all| all.iter().cloned().collect::<Vec<_>>().join(", "))
        };
        let published = presets.get(family).map_or_else(String::new, |all| {
            let [first, last] = [all.first(), all.last()].map(|n| millions(*n.unwrap()));
            match all.len() {
                1 => format!("1, {first}"),
                many => format!("{many}, {first} to {last}"),
            }
        });
        let files = gguf.get(family).map_or_else(String::new, |all| {
            all.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
        });
        let (checkpoints, classes) = (number.get(family).unwrap_or(&0), list(classes.get(family)));
        let number = |all: &BTreeMap<String, usize>| {
            all.get(family).map_or_else(String::new, ToString::to_string)
        };
        let (counted, printed) = (number(&counted), number(&printed));
        writeln!(
            table,
            "| {family} | {checkpoints} | {classes} | {published} | {counted} | {printed} | {files} |"
        )
        .unwrap();
    }
    table
}

fn millions(parameters: u64) -> String {
    match parameters {
        0..1_000_000_000 => format!("{} M", parameters / 1_000_000),
        _ => format!("{:.1} B", parameters as f64 / 1e9),
    }
}

/// Set `UPDATE=1` to write it anew.
#[test]
fn the_documented_families_are_those_that_are_held() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/models.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let after = rest.split_once(END).map_or("", |(_, after)| after);
    let expected = format!("{before}{}\n{after}", table());
    if std::env::var_os("UPDATE").is_some() {
        return fs::write(&path, &expected).unwrap();
    }
    assert!(text == expected, "docs/models.md is of another state; UPDATE=1 writes it");
}

#[test]
fn every_family_has_checkpoints() {
    let table = table();
    for line in table.lines().skip(2) {
        assert!(!line.contains("| 0 |"), "{line}");
    }
}

/// A key that is missing has the value that it has in the library, or is asked for.
#[test]
fn missing_keys_have_the_values_of_the_library() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let all: BTreeMap<String, BTreeMap<String, Option<u64>>> =
        serde_json::from_value(json(&here.join("defaults.json"))).unwrap();
    assert!(all.len() > 40, "{}", all.len());
    let (mut wrong, mut asked, mut same) = (Vec::new(), 0, 0);
    for (case, keys) in all {
        let config = json(&here.join("models").join(&case).join("config.json"));
        // The library's own padding token stands beyond these vocabularies.
        for (key, expected) in keys.into_iter().filter(|(key, _)| key != "pad_token_id") {
            let mut without = config.clone();
            without.as_object_mut().unwrap().remove(&key);
            let read = opledger_models::Config::parse(&case, without.to_string().as_bytes());
            let request = opledger_models::Request::default();
            match read.unwrap().model(&case, &request) {
                Err(_) => asked += 1,
                Ok(model) => {
                    let sizes = model.graph.complete(&model.binding).unwrap();
                    let parameters = model.graph.quantity(opledger_dims::Quantity::Parameters);
                    let found = parameters.at(&sizes).unwrap().to_string();
                    match expected.is_some_and(|expected| expected.to_string() == found) {
                        true => same += 1,
                        false => wrong.push(format!("{case} without {key}: {found}, {expected:?}")),
                    }
                }
            }
        }
    }
    assert!(same > 500 && asked > 100, "{same} {asked}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Of a model that takes images as well the model of texts is read, and it is said that it is a part.
#[test]
fn models_of_texts_within_others_are_read_and_told() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/text_parts.json");
    let all = json(&file);
    let mut read: BTreeSet<String> = BTreeSet::new();
    for case in all["models"].as_array().unwrap() {
        let text = case["config"].to_string();
        let config = opledger_models::Config::parse("it", text.as_bytes()).unwrap();
        // With a cache the part alone is read where the whole is a model, too.
        let request = opledger_models::Request { past: true, ..Default::default() };
        let model = config.model("it", &request).unwrap();
        let sizes = model.graph.complete(&model.binding).unwrap();
        let parameters = model.graph.quantity(opledger_dims::Quantity::Parameters);
        let found = parameters.at(&sizes).unwrap().to_string();
        assert_eq!(found, case["parameters"].to_string(), "{text}");
        let told = model.notes.last().unwrap();
        assert!(told.contains("are left out") && model.not_understood.is_empty(), "{told}");
        read.insert(case["config"]["model_type"].as_str().unwrap().to_owned());
    }
    assert_eq!(read.len(), opledger_models::families_with_text().count());
    for (config, expected) in [
        (r#"{"model_type": "gemma3", "architectures": ["Gemma3Model"]}"#, "architectures"),
        (r#"{"model_type": "llava", "text_config": 3}"#, "text_config"),
        (r#"{"model_type": "llava", "text_config": {"model_type": "opera"}}"#, "`opera`"),
        (
            r#"{"model_type": "paligemma", "text_config": {"model_type": "gemma"}}"#,
            "its text_config is of `gemma`",
        ),
    ] {
        let config = opledger_models::Config::parse("it", config.as_bytes()).unwrap();
        let error = config.model("it", &opledger_models::Request::default()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}
