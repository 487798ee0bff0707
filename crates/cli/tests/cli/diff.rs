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
