//! A model cut among ranks.

use serde_json::Value;

use crate::{opledger, stdout};

fn json(arguments: &[&str]) -> Value {
    let all = [&["parallel"][..], arguments, &["--format", "json"]].concat();
    serde_json::from_str(&stdout(&all)).unwrap()
}

fn number(value: &Value) -> u64 {
    value["value"].as_u64().unwrap_or_else(|| panic!("{value}"))
}

/// What one rank sends is the sum of what it sends in each collective, in all layers.
#[test]
fn collectives_make_up_the_whole() {
    let llama = ["llama-3.1-8b", "--dtype", "bf16", "--set", "b=8", "--set", "n=1024"];
    for cut in [
        &["--tp", "8"][..],
        &["--tp", "8", "--sp"],
        &["--tp", "8", "--vocabulary"],
        &["--tp", "4", "--step"],
        &["--cp", "4"],
        &["--dp", "8"],
        &["--dp", "8", "--zero", "3"],
        &["--pp", "4"],
        &["--dp", "2", "--tp", "4"],
        &["--dp", "2", "--tp", "4", "--sp", "--zero", "3"],
        &["--tp", "2", "--pp", "4"],
    ] {
        let told = json(&[&llama[..], cut].concat());
        let rows = told["collectives"].as_array().unwrap();
        let sum: u64 = rows.iter().map(|row| number(&row["times"]) * number(&row["sent"])).sum();
        assert_eq!(sum, number(&told["sent"]), "{cut:?}");
        let axes = told["mesh"].as_array().unwrap().iter();
        assert_eq!(axes.map(|axis| number(&axis["sent"])).sum::<u64>(), sum, "{cut:?}");
        assert!(sum > 0, "{cut:?}");
    }
}

/// Twice seven eighths of the bytes of all parameters; of ZeRO's third stage an eighth of them lies on a rank.
#[test]
fn gradients_of_all_parameters_go_round() {
    let model = ["llama-3.1-8b", "--dtype", "bf16", "--set", "b=8", "--set", "n=1024"];
    let parameters = 2 * 8_030_261_248;
    for zero in ["0", "1", "2"] {
        let told = json(&[&model[..], &["--dp", "8", "--zero", zero]].concat());
        assert_eq!(number(&told["sent"]), parameters / 8 * 7 * 2);
        assert_eq!(number(&told["weights"][0]["bytes"]), parameters);
    }
    let told = json(&[&model[..], &["--dp", "8", "--zero", "3"]].concat());
    assert_eq!(number(&told["weights"][0]["bytes"]), parameters / 8);
}

#[test]
fn free_sizes_leave_formulas() {
    let told = json(&["llama-3.1-8b", "--tp", "8", "--dtype", "bf16"]);
    assert_eq!(told["sent"]["formula"], "7·b·l·n·c");
    assert_eq!(told["sent"]["value"], Value::Null);
}

#[test]
fn items_that_are_cut_are_asked_for() {
    let ended = opledger(&["parallel", "gpt2", "--dp", "4", "--set", "n=8"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("say how many there are, with --set b=4"), "{}", ended.stderr);
}

#[test]
fn ranks_that_do_not_divide_are_told_with_both_sides() {
    let refused = |arguments: &[&str], told: &str| {
        let ended = opledger(&[&["parallel"][..], arguments].concat());
        assert_eq!(ended.code, Some(2), "{arguments:?}");
        assert!(ended.stderr.contains(told), "{}", ended.stderr);
    };
    refused(
        &["llama-3.1-8b", "--tp", "16"],
        "16 ranks do not divide 8 heads (kv, of `model.layers.",
    );
    refused(&["gpt2", "--tp", "8"], "8 ranks do not divide 12 heads (h, of `transformer.h.");
    refused(
        &["llama-3.1-8b", "--cp", "8", "--set", "n=100"],
        "8 ranks do not divide 100 tokens (n,",
    );
    refused(&["mixtral-8x7b", "--ep", "3"], "3 ranks do not divide 8 experts (x,");
    refused(&["llama-3.1-8b", "--dp", "4", "--set", "b=6"], "4 ranks do not divide 6 items (b,");
    refused(&["llama-3.1-8b", "--ep", "2"], "there are no experts");
    refused(&["llama-3.1-8b", "--tp", "2", "--cp", "2"], "cannot be used with");
    refused(&["llama-3.1-8b", "--tp", "1"], "1 is not in 2..");
    refused(
        &["llama-3.1-8b", "--pp", "5"],
        "5 ranks do not divide 32 layers (l, of `model.layers`)",
    );
    refused(&["llama-3.1-8b"], "required");
    refused(&["llama-3.1-8b", "--tp", "2", "--zero", "2"], "--dp <RANKS>");
    refused(&["llama-3.1-8b", "--pp", "2", "--sp"], "--tp <RANKS>");
    refused(&["llama-3.1-8b", "--dp", "2", "--pp", "2"], "cannot be used with");
    refused(&["llama-3.1-8b", "--cp", "2", "--sp"], "cannot be used with");
}

/// What the rules of placement say of these is no cut that an engine makes.
#[test]
fn cuts_that_are_not_worked_out_are_refused() {
    let cases = [
        ("swin-b --tp 2", "more than a row for each token"),
        ("llama-3.1-8b --cp 2 --step", "this is a training step"),
        ("vit-b16 --cp 2", "patches of an image"),
        ("qwen3.5-27b --tp 2 --step", "in another way than a forward pass"),
        ("hubert-base --pp 2", "read by no stage"),
        ("gpt2 --tp 2 --set n=5000", "`gpt2` has positions for 1024"),
    ];
    for (line, told) in cases {
        let ended = opledger(&[&["parallel"][..], &line.split(' ').collect::<Vec<_>>()].concat());
        assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{line}");
        assert!(ended.stderr.contains(told), "{line}: {}", ended.stderr);
    }
    let allowed = [
        "gpt2 --dp 2 --set b=2",
        "encoder-layer --dp 2 --set b=2 --zero 3",
        "mixtral-8x7b --dp 2 --set b=2",
        "llama-3.1-8b --tp 8 --sp --step",
        "gpt2 --tp 4 --sp",
        "mixtral-8x7b --ep 8",
        "bert-base --tp 2 --step",
        "gemma-2-27b --dp 2 --set b=2",
        "albert-base-v2 --dp 2 --set b=2 --zero 3",
        "bart-base --dp 2 --set b=2",
        "t5-base --dp 2 --set b=2",
        "mixtral-8x7b --ep 8 --step",
        "qwen3-30b-a3b --tp 2 --sp --set n=8",
        "qwen3-0.6b --tp 2 --step",
    ];
    for line in allowed {
        let ended = opledger(&[&["parallel"][..], &line.split(' ').collect::<Vec<_>>()].concat());
        assert_eq!(ended.code, Some(0), "{line}: {}", ended.stderr);
    }
}
