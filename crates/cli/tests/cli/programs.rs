//! Programs that PyTorch exported.

use std::fs;
use std::path::Path;

use safetensors::{SafeTensors, serialize};
use serde_json::Value;

use super::{opledger, stdout};

const ARCHIVE: &str = "../torch/tests/archives/encoder_layer.pt2";

fn refused(arguments: &[&str]) -> String {
    let ended = opledger(arguments);
    assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{arguments:?}: {}", ended.stderr);
    ended.stderr
}

/// The symbols of the export, that of the batch first.
fn own_symbols() -> [String; 2] {
    let message = refused(&["count", ARCHIVE, "--name", "s0=b", "--set", "b=1"]);
    let (_, known) = message.split_once("it has ").unwrap();
    let known: Vec<&str> = known.trim().split(", ").collect();
    let [one, other] = known[..] else { panic!("{message}") };
    let derived = stdout(&["derive", ARCHIVE, "--name", &format!("{one}=x"), "--format", "json"]);
    let derived: Value = serde_json::from_str(&derived).unwrap();
    // Of tokens there are pairs.
    match derived["macs"].as_str().unwrap().contains("x²") {
        true => [other.to_owned(), one.to_owned()],
        false => [one.to_owned(), other.to_owned()],
    }
}

/// Names given to symbols go through every command, crossed ones as well.
#[test]
fn sizes_that_an_export_does_not_hold_for_are_refused() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/programs/bert.pt2");
    let set = ["count", path, "--set", "b=2", "--set", "pairs=9", "--set", "rows=6", "--set"];
    let at = |n: &str| opledger(&[&set[..], &[n]].concat());
    let refused = at("n=31");
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    let told = "bert.pt2` holds where n ≤ 30, and not at n=31; export it again";
    assert!(refused.stderr.contains(told), "{}", refused.stderr);
    assert_eq!(at("n=30").code, Some(0));
}

/// What masks hide follows from inputs that are given, without a run.
#[test]
fn masks_are_counted_by_the_inputs_they_follow_from() {
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/programs");
    let bytes = fs::read(programs.join("bert.safetensors")).unwrap();
    let all = SafeTensors::deserialize(&bytes).unwrap();
    let own = all.tensors();
    let given = own.iter().filter_map(|(name, t)| Some((name.strip_prefix("input.")?, t)));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("inputs.safetensors");
    fs::write(&file, serialize(given, None).unwrap()).unwrap();
    let (program, file) = (programs.join("bert.pt2"), file.to_str().unwrap());
    let program = program.to_str().unwrap();
    let json = |command: &str, more: &[&str]| -> Value {
        let asked = [&[command, program, "--input", file, "--format", "json"], more].concat();
        serde_json::from_str(&stdout(&asked)).unwrap()
    };
    let (counted, run) = (json("count", &[]), json("run", &[]));
    // Six tokens of one item and four of the other, seen by six of each.
    assert_eq!(counted["binding"]["pairs"], 6 * 6 + 6 * 4);
    assert_eq!(counted["binding"], run["binding"]);
    assert_eq!(counted["macs"], run["useful"]["macs"]);
    let tool = json("count", &["--convention", "torch-flop-counter"]);
    assert_eq!(tool["conventions"][0]["total"], 48640);
    let swept = refused(&["count", program, "--input", file, "--set", "b=1,2"]);
    assert!(swept.contains("the tensors of --input are of one size"), "{swept}");
}

#[test]
fn symbols_are_called_as_they_are_named() {
    let [batch, tokens] = own_symbols();
    for (b, n) in [("b", "n"), ("n", "b"), ("batch", "tokens")] {
        let names = [format!("{batch}={b}"), format!("{tokens}={n}")];
        let named = ["--name", &names[0], "--name", &names[1]];
        let json = |command: &[&str]| -> Value {
            serde_json::from_str(&stdout(&[command, &named, &["--format", "json"]].concat()))
                .unwrap()
        };
        let sizes = [format!("{b}=2"), format!("{n}=3")];
        let set = ["--set", &sizes[0], "--set", &sizes[1]];
        let derived = json(&["derive", ARCHIVE]);
        let macs = derived["macs"].as_str().unwrap();
        assert!(macs.contains(&format!("{n}²")) && !macs.contains(&format!("{b}²")), "{macs}");
        let counted = json(&[&["count", ARCHIVE], &set[..]].concat());
        assert_eq!(counted["macs"], 64 * 2 * 9 + 8192 * 6);
        let run = json(&[&["run", ARCHIVE], &set[..]].concat());
        assert_eq!(run["binding"], counted["binding"]);
    }
}

#[test]
fn names_that_fit_nothing_are_refused() {
    let [batch, _] = own_symbols();
    let twice = [format!("{batch}=x"), format!("{batch}=y")];
    let message = refused(&["derive", ARCHIVE, "--name", &twice[0], "--name", &twice[1]]);
    assert_eq!(message, format!("error: {batch} is given a name twice\n"));
    for (name, said) in [("s0", "own=symbol"), ("s0=2b", "own=symbol"), ("s0=", "own=symbol")] {
        let message = refused(&["derive", ARCHIVE, "--name", name]);
        assert!(message.contains(said), "{message}");
    }
    for option in [&["--name", "s0=b"][..], &["--partial"]] {
        let message = refused(&[&["derive", "gpt2"], option].concat());
        assert!(message.contains("`gpt2` is no exported program"), "{message}");
    }
}

/// Lines of the module in Python, or of the layer that recorded the node.
#[test]
fn every_node_says_which_line_it_comes_from() {
    let programs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/programs");
    let path = format!("{programs}/chunked.pt2");
    let count = ["count", &path, "--set", "b=1", "--where"];
    let counted: Value =
        serde_json::from_str(&stdout(&[&count[..], &["--format", "json"]].concat())).unwrap();
    let source = std::fs::read_to_string(format!("{programs}/export.py")).unwrap();
    let source: Vec<&str> = source.lines().collect();
    let mut products = 0;
    for node in counted["nodes"].as_array().unwrap() {
        let line = node["where"].as_str().unwrap();
        if let Some(number) = line.strip_prefix("export.py:")
            && node["macs"] != 0
        {
            let line = source[number.parse::<usize>().unwrap() - 1];
            assert!(line.contains(" @ "), "{node}: {line}");
            products += 1;
        }
    }
    assert!(products >= 2, "{counted}");
    assert!(stdout(&count).contains(" export.py:"));
    let layer = stdout(&["count", "linear:in=2,out=3,b=1,n=2", "--where"]);
    assert!(layer.contains("linear.rs:"), "{layer}");
}

/// A guard of a quotient of what is below 0.
#[test]
fn a_size_below_nothing_has_quotients_below_nothing() {
    let program = "../../tests/programs/sized.pt2";
    stdout(&["count", program, "--set", "b=2", "--set", "n=6", "--set", "s56=2"]);
}
