//! Bytes that eager PyTorch saves of a forward pass, against its own hooks.

use opledger_account::Model;
use opledger_conventions::{SavedBy, SavedOptions, dialect, saved};
use opledger_dims::{Binding, Integer, Poly};
use opledger_ir::Elem;
use serde_json::Value;

/// A case of `golden/saved.json`: a model at sizes.
struct Case {
    value: Value,
    model: Model,
    sizes: Binding,
    elem: Elem,
}

fn cases() -> Vec<Case> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/saved.json");
    let cases: Vec<Value> = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let opened = |value: Value| {
        let size = |name: &str| value["sizes"][name].as_u64().unwrap();
        let text = match &value["config"] {
            Value::Null => format!(
                "encoder-layer:c={},h={},ff={},norm={},act={}",
                size("h") * size("e"),
                size("h"),
                size("ff"),
                value["sizes"]["norm"].as_str().unwrap(),
                value["sizes"]["act"].as_str().unwrap(),
            ),
            config => {
                let path = folder.path().join("config.json");
                std::fs::write(&path, config.to_string()).unwrap();
                path.to_str().unwrap().to_owned()
            }
        };
        let model = Model::open(&text).unwrap();
        let mut sizes = Binding::new().with("b", size("b"));
        if value["kind"] != "vit" {
            sizes = sizes.with("n", size("n"));
        }
        let elem = if value["dtype"] == "float32" { Elem::F32 } else { Elem::Bf16 };
        Case { value, model, sizes, elem }
    };
    cases.into_iter().map(opened).collect()
}

/// What is saved of a case in one of its ways, as formulas with their paths.
fn formulas(case: &Case, way: &Value) -> Result<Vec<(String, Poly)>, String> {
    let by: SavedBy = way["policy"].as_str().unwrap().parse().unwrap();
    let options = SavedOptions { by, dropout: way["dropout"] == "usual", elem: case.elem };
    let dialect = dialect(way["written"].as_str().unwrap()).unwrap();
    let sized = case.model.counted_at(&case.sizes).unwrap();
    let all = saved(case.model.graph(), sized.sizes(), &dialect, options);
    let all = all.map_err(|error| error.to_string())?;
    let graph = case.model.graph();
    let path = |at| graph.node(at).path.clone();
    Ok(all.into_iter().map(|of| (path(of.at), of.bytes * of.times)).collect())
}

fn number(way: &Value, key: &str) -> Integer {
    way[key].as_u64().unwrap().into()
}

#[test]
fn bytes_saved_are_those_of_the_hooks() {
    let (mut compared, mut wrong) = (0, Vec::new());
    for case in cases() {
        let sized = case.model.counted_at(&case.sizes).unwrap();
        for way in case.value["bytes"].as_array().unwrap() {
            let all = match formulas(&case, way) {
                Ok(all) => all,
                Err(error) => {
                    wrong.push(format!("{} {way}: {error}", case.value["kind"]));
                    continue;
                }
            };
            let at = |of: &dyn Fn(&str) -> bool| -> Integer {
                let own = all.iter().filter(|(path, _)| of(path));
                own.map(|(_, bytes)| bytes.at(sized.sizes()).unwrap()).sum()
            };
            let (whole, layers) = match case.value["config"] {
                Value::Null => (number(way, "layer"), at(&|_| true)),
                _ => (number(way, "model"), at(&|path| path.split('.').any(|word| word == "*"))),
            };
            let own_layers = match case.value["config"] {
                Value::Null => number(way, "layer"),
                _ => {
                    number(way, "layer") * case.value["sizes"]["l"].as_u64().unwrap()
                        + number(way, "tables")
                }
            };
            if at(&|_| true) != whole || layers != own_layers {
                let own = at(&|_| true);
                wrong.push(format!(
                    "{} {} {} {way}: {own} for {whole}, layers {layers} for {own_layers}",
                    case.value["kind"], case.value["dtype"], case.value["sizes"]
                ));
            }
            compared += 2;
        }
    }
    assert!(wrong.is_empty(), "{} of {compared}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(compared > 400, "{compared}");
}

/// A formula found at some sizes says what the hooks say at others, where tensors lie alike.
#[test]
fn formulas_of_one_size_hold_at_others() {
    let all = cases();
    // Items and heads of which there is one lie differently, and an image has its sizes as numbers.
    let many = |case: &&Case| {
        let more = |name: &str| case.value["sizes"][name].as_u64().unwrap() > 1;
        case.value["kind"] != "vit" && more("b") && more("h")
    };
    let alike = |case: &Case| {
        let of = |name: &str| case.value["sizes"][name].clone();
        let shared = of("kv").is_u64() && of("kv") != of("h");
        (case.value["kind"].clone(), case.value["dtype"].clone(), of("norm"), of("act"), shared)
    };
    let mut compared = 0;
    for (at, one) in all.iter().enumerate().filter(|(_, case)| many(case)) {
        for (other, own) in all.iter().enumerate().filter(|(_, case)| many(case)) {
            if at == other || alike(one) != alike(own) {
                continue;
            }
            let sized = own.model.counted_at(&own.sizes).unwrap();
            let ways = one.value["bytes"].as_array().unwrap();
            for (way, wanted) in ways.iter().zip(own.value["bytes"].as_array().unwrap()) {
                let formula: Poly = formulas(one, way).unwrap().into_iter().map(|of| of.1).sum();
                let whole = if own.value["config"].is_null() { "layer" } else { "model" };
                assert_eq!(formula.at(sized.sizes()).unwrap(), number(wanted, whole), "{way}");
                compared += 1;
            }
        }
    }
    assert!(compared > 200, "{compared}");
}

#[test]
fn what_was_never_observed_is_refused_by_name() {
    let refused = |model: &str, written: Option<&str>, by: SavedBy, dropout: bool| {
        let options = SavedOptions { by, dropout, elem: Elem::F32 };
        let sizes = Binding::from_iter([("b", 2), ("n", 4)]);
        let error = Model::open(model).unwrap().saved(&sizes, written, options, 2).unwrap_err();
        error.to_string()
    };
    let error = refused("falcon-7b", None, SavedBy::Autograd, false);
    assert!(error.contains("transformer.h.") && error.contains("`falcon` saves"), "{error}");
    let error = refused("gpt2", None, SavedBy::Flash, true);
    assert!(error.contains("--no-dropout"), "{error}");
    let error = refused("encoder-layer:c=8,h=2,ff=8,mask=causal", None, SavedBy::Autograd, false);
    assert!(error.contains("attention"), "{error}");
    let error = refused("encoder-layer:c=8,h=2,ff=8,rms=true", None, SavedBy::Autograd, false);
    assert!(error.contains("rms_norm"), "{error}");
    assert!("math".parse::<SavedBy>().unwrap_err().to_string().contains("autograd, flash"));
}
