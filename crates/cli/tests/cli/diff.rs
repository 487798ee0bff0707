//! Two models side by side.

use serde_json::Value;

use crate::{opledger, stdout};

const SIZES: [&str; 4] = ["--set", "b=1", "--set", "n=16"];

fn diff(first: &str, second: &str, more: &[&str]) -> Vec<String> {
    let all = [&["diff", first, second][..], &SIZES, more].concat();
    all.into_iter().map(str::to_owned).collect()
}

fn shown(arguments: &[String]) -> String {
    stdout(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&stdout(&[arguments, &["--format", "json"]].concat())).unwrap()
}

/// Both numbers are those of `count`, and the rows make up the difference of the wholes.
#[test]
fn sides_are_what_count_says_and_rows_make_up_the_difference() {
    let models = ["encoder-layer:c=64,h=4,ff=128", "encoder-layer:c=64,h=4,ff=192"];
    for by in ["flops", "macs", "params"] {
        let arguments = diff(models[0], models[1], &["--by", by, "--format", "json"]);
        let told: Value = serde_json::from_str(&shown(&arguments)).unwrap();
        let total = told["totals"].as_array().unwrap().iter().find(|t| t["name"] == by).unwrap();
        for (side, model) in ["first", "second"].into_iter().zip(models) {
            let count = json(&[&["count", model][..], &SIZES].concat());
            let own = if by == "params" { &count["params"]["total"] } else { &count[by] };
            assert_eq!(&total[side], own, "{by} of {model}");
        }
        let rows = told["rows"].as_array().unwrap();
        let sum: i64 = rows.iter().map(|row| row["difference"].as_i64().unwrap()).sum();
        assert_eq!(sum, total["difference"].as_i64().unwrap(), "{by}");
        assert!(sum > 0 && !rows.is_empty(), "{by}");
    }
}

/// The formula of the difference, at the sizes, is the difference.
#[test]
fn formulas_are_subtracted_where_symbols_are_the_same() {
    let arguments = diff("linear:in=4,out=5", "linear:in=4,out=7", &["--format", "json"]);
    let told: Value = serde_json::from_str(&shown(&arguments)).unwrap();
    let of = |name: &str| {
        let all = told["formulas"].as_array().unwrap();
        all.iter().find(|own| own["name"] == name).unwrap()["difference"].clone()
    };
    assert_eq!((of("macs"), of("params")), ("8·b·n".into(), "10".into()));
    let total = told["totals"].as_array().unwrap().iter().find(|t| t["name"] == "macs").unwrap();
    assert_eq!(total["difference"], 8 * 16);
    let all = diff("linear:in=4,out=5", "linear:out=5", &["--set", "in=4"]);
    let ended = opledger(&all.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(
        ended.stdout.contains("no difference as a formula"),
        "{}{}",
        ended.stdout,
        ended.stderr
    );
}

#[test]
fn equal_models_have_no_rows_and_another_depth_is_a_longer_table() {
    let same = shown(&diff("mha:c=8,h=2", "mha:c=8,h=2", &[]));
    assert!(same.contains("the same in both)") && !same.contains('+'), "{same}");
    let markdown = shown(&diff("mha:c=8,h=2", "mha:c=16,h=2", &["--format", "markdown"]));
    assert!(markdown.contains("| total |") && markdown.contains("| ---: |"), "{markdown}");
}

#[test]
fn changes_are_asserted() {
    let code = |assertion: &str| {
        let all = diff("linear:in=4,out=10", "linear:in=4,out=11", &["--assert", assertion]);
        let ended = opledger(&all.iter().map(String::as_str).collect::<Vec<_>>());
        (ended.code, ended.stderr)
    };
    assert_eq!(code("macs <= +10%"), (Some(0), String::new()));
    let (failed, told) = code("macs <= +9.9%");
    assert_eq!(failed, Some(1));
    assert_eq!(
        told,
        "note: assertion failed: macs <= +9.9%; `linear:in=4,out=10` has 640 and `linear:in=4,out=11` 704\n"
    );
    assert_eq!(code("params == +5").0, Some(0));
    let (refused, told) = code("mac <= +1%");
    assert_eq!(refused, Some(2));
    assert!(told.contains("did you mean macs"), "{told}");
}

#[test]
fn errors_name_both_sides() {
    let refused = |arguments: &[&str]| {
        let ended = opledger(arguments);
        assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{arguments:?}");
        ended.stderr
    };
    for arguments in [
        &["diff", "gpt2", "nothing-like-it", "--set", "n=4"][..],
        &["diff", "gpt2", "llama-3.1-8b"],
        &["diff", "mha:c=8,h=2", "gpt2", "--set", "b=1", "--set", "n=4", "--set", "z=4"],
    ] {
        let told = refused(arguments);
        for side in &arguments[1..3] {
            assert!(told.contains(side), "{arguments:?}: {told}");
        }
    }
}

/// A count that was saved is a side as the model that it is of.
#[test]
fn saved_counts_are_compared() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let model = |ff: u32| format!("encoder-layer:c=64,h=4,ff={ff}");
    let save = |name: &str, ff: u32| {
        let model = model(ff);
        let count = [&["count", model.as_str()][..], &SIZES, &["--format", "json"]].concat();
        file(name, &stdout(&count))
    };
    let (before, after) = (save("before.json", 128), save("after.json", 192));
    let rows = |first: &str, second: &str, sizes: &[&str]| {
        let told = json(&[&["diff", first, second][..], sizes].concat());
        (told["totals"].clone(), told["rows"].clone())
    };
    let plain = rows(&model(128), &model(192), &SIZES);
    assert_eq!(rows(&before, &after, &[]), plain);
    // Of a model the sizes are those of the saved count.
    assert_eq!(rows(&before, &model(192), &[]), plain);
    assert_eq!(rows(&model(128), &after, &[]), plain);
    let asserted = |more: &[&str]| opledger(&[&["diff", &before, &after][..], more].concat());
    assert_eq!(asserted(&["--assert", "flops <= +200%"]).code, Some(0));
    assert_eq!(asserted(&["--assert", "params == 0"]).code, Some(1));
    assert!(asserted(&["--assert", "fvcore == 0"]).stderr.contains("no `fvcore`"));
    for option in [&["--set", "n=4"][..], &["--past"]] {
        let ended = opledger(&[&["diff", &before, &after][..], option].concat());
        assert!(ended.code == Some(2) && ended.stderr.contains(option[0]), "{}", ended.stderr);
    }
    // What other commands write is told by their names.
    for (command, by) in [
        ("derive gpt2", "derive"),
        ("train gpt2 --set n=4", "train"),
        ("fit gpt2 --memory 1GB", "fit"),
        ("explain thop gpt2 --set n=4", "explain"),
        ("diff gpt2 gpt2-medium --set n=4", "diff"),
        ("parallel gpt2 --tp 2", "parallel"),
        ("count gpt2 --set n=4 --convention thop", "count --convention"),
        ("count gpt2 --set n=4,5", "count at several sizes"),
        ("count gpt2 gpt2 --set n=4", "count of several models"),
        ("count gpt2 --set n=4 --dtype bf16 --device h200", "count --device"),
        ("audit gpt-2", "audit"),
        ("run mha:c=8,h=2 --set b=1 --set n=4", "run"),
    ] {
        let words = command.split(' ').collect::<Vec<_>>();
        let written = file("other.json", &stdout(&[&words[..], &["--format", "json"]].concat()));
        let told = opledger(&["diff", &before, &written]).stderr;
        assert!(told.contains(&format!("written by `opledger {by}`")), "{command}: {told}");
    }
    for (name, text, told) in [
        (
            "no.json",
            "{\"model\": \"x\", \"binding\": {}, \"counts\": 1, \"nodes\": []}",
            "`params` is no object",
        ),
        (
            "cut.json",
            &std::fs::read_to_string(&before).unwrap().replacen("\"flops\": ", "\"flops\": 1", 1),
            "flops together",
        ),
    ] {
        let wrong = file(name, text);
        let ended = opledger(&["diff", &before, &wrong]);
        assert!(ended.code == Some(2) && ended.stderr.contains(told), "{name}: {}", ended.stderr);
        assert!(ended.stderr.contains(name) && ended.stdout.is_empty(), "{}", ended.stderr);
    }
}

#[test]
fn several_models_have_a_column_each() {
    let models = ["gpt2", "llama-3.1-8b", "mistral-7b"];
    let told = json(&["count", models[0], models[1], models[2], "--set", "n=64"]);
    for (of, model) in told["models"].as_array().unwrap().iter().zip(models) {
        let alone = json(&["count", model, "--set", "n=64"]);
        for key in ["params", "flops", "bytes", "kinds"] {
            assert_eq!(of[key], alone[key], "{model}");
        }
    }
    let both = stdout(&["count", "gpt2", "gpt2", "--set", "n=64"]);
    assert!(both.contains("gpt2 (1)") && both.contains("124,439,808"), "{both}");
    let csv = stdout(&["count", "gpt2", "mistral-7b", "--set", "n=64", "--format", "csv"]);
    assert!(csv.contains("params,124439808,7241732096"), "{csv}");
    let refused = |arguments: &[&str]| {
        let ended = opledger(arguments);
        assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{arguments:?}");
        ended.stderr
    };
    assert!(
        refused(&["count", "gpt2", "mha:c=8,h=2", "--set", "n=4"]).contains("of `mha:c=8,h=2`")
    );
    let options: [&[&str]; 3] = [&["--top", "1"], &["--convention", "all"], &["--device", "h200"]];
    for option in options {
        let arguments = [&["count", "gpt2", "gpt2-medium", "--set", "n=4"], option].concat();
        assert!(refused(&arguments).contains(option[0]), "{option:?}");
    }
}
