//! Counting as other tools do, explaining them, and assertions about counts.

use insta::assert_snapshot;

use crate::{opledger, stdout};

const LAYER: [&str; 5] = ["encoder-layer:c=64,h=4,ff=128", "--set", "b=2", "--set", "n=16"];

fn asked(before: &[&str], after: &[&str]) -> String {
    stdout(&[before, &LAYER[..], after].concat())
}

#[test]
fn conventions_side_by_side() {
    assert_snapshot!(asked(&["count"], &["--convention", "thop", "--convention", "fvcore@0.1.5"]));
    assert_snapshot!("conventions_all", asked(&["count"], &["--convention", "all"]));
}

#[test]
fn a_difference_is_explained() {
    assert_snapshot!(asked(&["explain", "thop", "flops"], &[]));
}

/// A name alone is held against what is counted here, in its unit.
#[test]
fn one_tool_is_explained_beside_the_count() {
    for (tool, own) in [
        ("thop", "macs"),
        ("fvcore@0.1.5", "macs"),
        ("torch-flop-counter", "matmul-flops"),
        ("flops", "matmul-flops"),
    ] {
        assert_eq!(asked(&["explain", tool], &[]), asked(&["explain", tool, own], &[]), "{tool}");
    }
    let decoder = ["llama-3.1-8b", "--set", "b=1", "--set", "n=64"];
    for (framework, own) in [("megatron-lm", "step-products"), ("vllm-prefill", "forward-products")]
    {
        let alone = stdout(&[&["explain", framework], &decoder[..]].concat());
        assert_eq!(alone, stdout(&[&["explain", framework, own], &decoder[..]].concat()));
    }
    let step = ["gpt2", "--set", "n=8", "--step"];
    let alone = stdout(&[&["explain", "torch-flop-counter"], &step[..]].concat());
    let beside = ["explain", "torch-flop-counter", "matmul-flops"];
    assert_eq!(alone, stdout(&[&beside[..], &step].concat()));
    let own = opledger(&[&["explain", "macs"], &LAYER[..]].concat());
    assert!(own.code == Some(2) && own.stderr.contains("beside a tool"), "{}", own.stderr);
}

#[test]
fn conventions_are_listed() {
    let listed = stdout(&["conventions", "--format", "csv"]);
    for name in ["macs,", "fvcore@0.1.5,", "torch-flop-counter-backward@2.15,", "xla@"] {
        assert!(listed.contains(&format!("\n{name}")), "{name}: {listed}");
    }
}

#[test]
fn what_is_no_convention_is_refused() {
    for (arguments, expected) in [
        (&["count", "--convention", "fvcor"][..], "(did you mean fvcore?)"),
        (&["count", "--convention", "fvcore@9"], "`fvcore@9` is not known"),
        (&["count", "--convention", "fvcore", "--written", "torch"], "did you mean torch.nn?"),
        (&["count", "--convention", "fvcore", "--without", "x"], "no bug `x`; it has: none"),
        (&["count", "--convention", "thop", "--set", "c=1,2"], "--convention counts one size"),
        (&["explain", "thop", "all"], "takes two conventions"),
    ] {
        let ended = opledger(&[arguments, &LAYER[..]].concat());
        assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{arguments:?}");
        assert!(ended.stderr.contains(expected), "{arguments:?}: {}", ended.stderr);
    }
}

#[test]
fn assertions_decide_the_exit_code() {
    let run = |assertion: &str| {
        opledger(&[&["count"], &LAYER[..], &["--assert", assertion, "--format", "csv"]].concat())
    };
    for holds in ["params == 33472", "macs < 1.2e6", "thop <= 10^6", "exp >= 2048", "flops != 0"] {
        assert_eq!((run(holds).code, &*run(holds).stderr), (Some(0), ""), "{holds}");
    }
    let ended = run("fvcore <= 1");
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.starts_with("note: assertion failed: fvcore <= 1; counted "));
    assert!(!ended.stdout.is_empty());
    let ended = run("flops =< 5");
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("at character 7\n  flops =< 5\n        ^\n"), "{}", ended.stderr);
    assert!(run("flopz <= 5").stderr.contains("(did you mean flops?)"));
}

#[test]
fn the_bars_of_all_conventions_are_those_of_the_readme() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("answers.svg");
    let layer = "encoder-layer:c=768,h=12,ff=3072,act=gelu";
    let sizes = ["--set", "b=1", "--set", "n=128", "--convention", "all"];
    stdout(&[&["count", layer, "--svg", path.to_str().unwrap()], &sizes[..]].concat());
    let drawn = std::fs::read_to_string(path).unwrap();
    let kept = include_str!("../../../conventions/answers.svg");
    assert!(drawn == kept, "write crates/conventions/answers.svg anew");
}

/// A tool that counts whatever runs meets what the library computes beside the model.
#[test]
fn conventions_that_refuse_are_named_with_their_reason() {
    let counted = stdout(&["count", "xlm-roberta-base", "--set", "n=8", "--convention", "all"]);
    let (given, refused) = counted.split_once("refuses ").unwrap();
    assert!(given.contains("fvcore@") && !given.contains("torchlens@"), "{counted}");
    assert!(refused.contains("torchlens@") && refused.contains("positions from ids"), "{counted}");
    assert!(!refused.contains("fvcore@"), "{counted}");
    let json = ["--convention", "all", "--format", "json"];
    let json = stdout(&[&["count", "xlm-roberta-base", "--set", "n=8"], &json[..]].concat());
    let record: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(record["refused"].as_array().unwrap().len(), 1, "{record}");
}
