//! What programs read: JSON with exact integers.

use serde_json::Value;

use crate::{opledger, stdout};

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&stdout(&[arguments, &["--format", "json"]].concat())).unwrap()
}

/// The digits of a JSON integer.
fn integer(value: &Value) -> String {
    let digits = value.to_string();
    assert!(value.is_number() && digits.bytes().all(|b| b.is_ascii_digit()), "{digits}");
    digits
}

#[test]
fn counts_above_64_bits_are_exact_integers() {
    let count = json(&["count", "mha:c=512,h=8,bias=false", "--set", "b=1", "--set", "n=10^12"]);
    assert_eq!(count["model"], "mha:c=512,h=8,bias=false");
    assert_eq!(integer(&count["binding"]["n"]), "1000000000000");
    // 4·n·c² + 2·n²·c
    assert_eq!(integer(&count["macs"]), "1024000001048576000000000000");
    assert_eq!(integer(&count["params"]["total"]), "1048576");
    assert_eq!(integer(&count["params"]["trainable"]), "1048576");
    let classes = count["counts"].as_object().unwrap();
    let sum: u128 = classes.values().map(|n| integer(n).parse::<u128>().unwrap()).sum();
    assert_eq!(integer(&count["flops"]), sum.to_string());
    for key in ["read", "written"] {
        integer(&count["bytes"][key]);
    }
    let nodes = count["nodes"].as_array().unwrap();
    let of = |path: &str| nodes.iter().find(|n| n["path"] == path).unwrap();
    let scores = of("attention");
    assert_eq!(scores["op"], "attention");
    assert_eq!(scores["axes"][1], "n");
    assert_eq!(integer(&scores["shape"][1]), "1000000000000");
    assert!(scores["formula"].as_str().unwrap().contains("mul = 2·b·n²·c + b·n²·h"), "{scores}");
    let total: u128 =
        nodes.iter().map(|n| integer(&n["counts"]["mul"]).parse::<u128>().unwrap()).sum();
    assert_eq!(integer(&count["counts"]["mul"]), total.to_string());
}

#[test]
fn groups_add_up_to_the_whole() {
    let arguments = ["count", "encoder-layer:c=64,h=4,ff=128", "--set", "b=2", "--set", "n=5"];
    let (all, grouped) = (json(&arguments), json(&[&arguments[..], &["--depth", "0"]].concat()));
    assert_eq!(grouped["nodes"].as_array().unwrap().len(), 1);
    assert_eq!(grouped["nodes"][0]["counts"], all["counts"]);
    assert_eq!(grouped["nodes"][0]["flops"], all["flops"]);
    assert_eq!(grouped["nodes"][0]["params"], all["params"]["total"]);
    assert_eq!(grouped["counts"], all["counts"]);
}

#[test]
fn formulas_are_strings() {
    let derived = json(&["derive", "mha:bias=false"]);
    assert_eq!(derived["macs"], "4·b·n·c² + 2·b·n²·c");
    assert_eq!(derived["params"]["total"], "4·c²");
    assert_eq!(derived["definitions"][0], "c = h·e");
    let bound = json(&["derive", "mha:bias=false,c=512", "--set", "b=1"]);
    assert_eq!(bound["macs"], "1024·n² + 1048576·n");
}

#[test]
fn a_run_agrees_with_the_count() {
    let model = ["mha:c=32,h=4", "--set", "b=2", "--set", "n=7"];
    let count = json(&[&["count"], &model[..]].concat());
    for interpreter in ["fast", "oracle"] {
        let options = ["--interpreter", interpreter, "--repeat", "3", "--seed", "5"];
        let run = json(&[&["run"], &model[..], &options].concat());
        assert_eq!(run["useful"]["counts"], count["counts"]);
        assert_eq!(run["useful"]["macs"], count["macs"]);
        assert_eq!(run["theorem"]["mismatches"], 0);
        assert_eq!(run["theorem"]["nodes"], 9);
        assert_eq!(run["theorem"]["points"], 9);
        let wall = |key: &str| run["wall_ms"][key].as_f64().unwrap();
        assert!(wall("min") <= wall("median") && wall("median") <= wall("max"));
        // Queries, keys and values of 2·7 tokens, 32 wide, and what attention makes of them.
        let peak = &run["peak_bytes"];
        let number = |value: &Value| integer(value).parse::<u64>().unwrap();
        match interpreter {
            "fast" => {
                assert_eq!((&peak["foreseen"], &peak["reached"]), (&7168.into(), &7168.into()))
            }
            _ => assert!(peak.is_null()),
        }
        for way in ["read", "written"] {
            let nodes = run["nodes"].as_array().unwrap().iter();
            let sum: u64 = nodes.map(|node| number(&node["bytes"][way])).sum();
            assert!(sum > 0 && number(&run["bytes"][way]) == sum, "{way}");
        }
        for node in run["nodes"].as_array().unwrap() {
            assert!(node["ms"].as_f64().is_some());
            for (class, useful) in node["useful"]["counts"].as_object().unwrap() {
                let substituted = node["substituted"].as_array().unwrap().iter();
                let of_class = substituted.filter(|form| form["class"] == **class);
                let substituted: u64 = of_class.map(|form| number(&form["number"])).sum();
                let executed = number(&node["executed"]["counts"][class]);
                assert!(executed + substituted >= number(useful), "{class} of {node}");
                assert!(interpreter == "fast" || (executed, substituted) == (number(useful), 0));
            }
        }
    }
}

#[test]
fn a_claim_is_settled() {
    let ended = opledger(&["verify", "e7", "--quick", "--format", "json"]);
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    let claim = &report["claims"][0];
    assert_eq!((&claim["id"], &claim["verdict"]), (&"E7".into(), &"holds".into()));
    for key in ["source", "statement", "claimed", "basis", "derived", "evidence", "note"] {
        assert!(claim[key].is_string(), "{key}");
    }
    assert!(claim.get("convention").is_some() && claim.get("details").is_none());
    assert_eq!(report["theorem"]["mismatches"], 0);
}

#[test]
fn every_kind_has_a_closed_form() {
    let kinds = json(&["layers"]);
    for kind in kinds["kinds"].as_array().unwrap() {
        let name = kind["name"].as_str().unwrap();
        assert!(json(&["derive", name])["macs"].is_string(), "{name}");
        assert!(kind["keys"].as_array().unwrap().iter().all(|key| key["default"].is_string()));
    }
}
