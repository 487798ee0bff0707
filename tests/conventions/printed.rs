//! What tools printed, beside what their conventions give.

use std::collections::BTreeSet;

use opledger_conventions::{ConventionError, Tally, Units, convention, dialect};
use opledger_dims::Integer;
use opledger_models::layer::parse;
use opledger_models::{Config, ModelGraph, Request, preset, preset_names};
use serde_json::Value;

use super::unexplained;

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

/// A number that a tool printed.
pub(super) struct Printed {
    /// For which case.
    pub(super) case: String,
    /// Which convention stands for it.
    pub(super) convention: &'static str,
    /// The number.
    pub(super) printed: String,
    /// What the convention gives, in the same form, or why it refuses.
    pub(super) given: Result<String, String>,
}

/// How many numbers of a file are given exactly, how many are refused, and how many are missed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Score {
    pub(super) exact: usize,
    pub(super) refused: usize,
    pub(super) missed: usize,
}

impl std::fmt::Display for Printed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Printed { case, convention, printed, given } = self;
        match given {
            Ok(given) => write!(f, "{case}: {convention} gives {given}, printed {printed}"),
            Err(refused) => write!(f, "{case}: {refused}; printed {printed}"),
        }
    }
}

/// A file beside this one.
pub(super) fn read(file: &str) -> Value {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("conventions").join(file);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// What a file says of a model.
pub(super) struct Case {
    /// Its name.
    pub(super) name: String,
    /// What tools see of the model; why not, if the way of writing has no words for it.
    pub(super) units: Result<Units, String>,
    /// The convention that stands for each number, and the number.
    pub(super) printed: Vec<(&'static str, String)>,
}

/// The cases of a file whose models Opledger has.
pub(super) fn cases(file: &str) -> Vec<Case> {
    let file = read(file);
    file["cases"].as_array().unwrap().iter().filter_map(case).collect()
}

fn case(case: &Value) -> Option<Case> {
    let name = case["name"].as_str().unwrap().to_owned();
    let model = model(case)?;
    let mut sizes = model.binding.clone();
    for (symbol, size) in case["sizes"].as_object().unwrap() {
        sizes.set(symbol.as_str(), size.as_u64().unwrap());
    }
    let sizes = model.graph.complete(&sizes).unwrap();
    if let Some(params) = case["params"].as_u64() {
        assert_eq!(model.graph.parameters().0.at(&sizes).unwrap(), params.into(), "{name}");
    }
    let way = dialect(case["written"].as_str().unwrap()).unwrap();
    let units = match Units::new(&model.graph, &sizes, &way) {
        Ok(units) => Ok(units),
        Err(error @ ConventionError::Unwritten { .. }) => Err(error.to_string()),
        Err(error) => panic!("{name}: {error}"),
    };
    let figure = |(own, tool, figure): &(&'static str, &str, &str)| {
        let printed = match &case["tools"][tool][figure] {
            Value::Null => return None,
            Value::String(giga) => giga.clone(),
            number => number.to_string(),
        };
        Some((*own, printed))
    };
    let printed = FIGURES.iter().filter_map(figure).collect();
    Some(Case { name, units, printed })
}

/// Every number of a file.
fn numbers(file: &str) -> Vec<Printed> {
    let of_case = |Case { name, units, printed }: Case| {
        let number = |(convention, printed): (&'static str, String)| {
            let seen = units.as_ref().map_err(Clone::clone);
            let given = seen.and_then(|units| given(convention, units, &printed));
            Printed { case: name.clone(), convention, printed, given }
        };
        printed.into_iter().map(number).collect::<Vec<_>>()
    };
    cases(file).into_iter().flat_map(of_case).collect()
}

/// What a convention gives, in the form of a printed number.
fn given(own: &str, units: &Units, printed: &str) -> Result<String, String> {
    let total: Integer = match Tally::new(&convention(own, &[]).unwrap(), units) {
        Ok(tally) => tally.total(),
        Err(error) if error.is_refusal() => return Err(error.to_string()),
        Err(error) => panic!("{error}"),
    };
    Ok(match printed.split_once('.') {
        Some((_, decimals)) => {
            let giga = total.to_string().parse::<f64>().unwrap() / 1e9;
            format!("{giga:.*}", decimals.len())
        }
        None => total.to_string(),
    })
}

/// The model of a case: a layer, a preset, or a configuration; none of what Opledger has no word for.
fn model(case: &Value) -> Option<ModelGraph> {
    let name = case["model"].as_str()?;
    let attention_mask = case["attention_mask"] == true;
    let request = Request { attention_mask, ..Request::default() };
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

/// The numbers of a file that are missed, by case and convention, as they are listed with reasons.
fn listed(file: &str) -> BTreeSet<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let of_group = |group: &Value| {
        assert!(!text(&group["why"]).is_empty());
        let (of, cases) = (text(&group["of"]), group["cases"].as_array().unwrap().clone());
        cases.into_iter().map(move |case| (text(&case), of.clone()))
    };
    read("misses.json")[file].as_array().into_iter().flatten().flat_map(of_group).collect()
}

/// How a file scores; every number that is missed must be listed, and none else.
pub(super) fn score(file: &str) -> Score {
    let mut score = Score { exact: 0, refused: 0, missed: 0 };
    let (mut listed, mut wrong) = (listed(file), Vec::new());
    for number in &numbers(file) {
        let is_listed = listed.remove(&(number.case.clone(), number.convention.to_owned()));
        match &number.given {
            Ok(given) if *given == number.printed => score.exact += 1,
            Ok(_) => score.missed += 1,
            Err(_) => score.refused += 1,
        }
        let is_missed = number.given.as_ref().is_ok_and(|given| *given != number.printed);
        match (is_missed, is_listed) {
            (true, false) => wrong.push(number.to_string()),
            (false, true) => wrong.push(format!("{number}; it is listed as missed")),
            (true, true) | (false, false) => {}
        }
    }
    wrong.extend(
        listed.iter().map(|key| format!("{key:?} is listed as missed, and nobody printed it")),
    );
    assert!(wrong.is_empty(), "{file}: {}\n{}", wrong.len(), wrong.join("\n"));
    score
}

/// The pairs of conventions whose difference is not explained for a case of a file.
pub(super) fn unexplained_of(file: &str) -> Vec<String> {
    let of_case = |Case { name, units, .. }: Case| {
        let pairs = units.map(|units| unexplained(&units)).unwrap_or_default();
        pairs.into_iter().map(move |pair| format!("{name}: {pair}"))
    };
    cases(file).into_iter().flat_map(of_case).collect()
}
