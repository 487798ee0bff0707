//! Published models, configurations, and checkpoints that run.

use serde_json::Value;

use super::{opledger, stdout};

pub(super) fn golden(name: &str) -> String {
    format!("{}/../../tests/golden/models/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn json(arguments: &[&str]) -> Value {
    let all: Vec<&str> = arguments.iter().copied().chain(["--format", "json"]).collect();
    serde_json::from_str(&stdout(&all)).unwrap()
}

/// Sums over the literature's prefill and one token at a context of 4,096, keys and values included.
#[test]
fn counts_are_the_published_ones() {
    let matmul = |arguments: &[&str]| json(arguments)["matmul_flops"].to_string();
    let prefill = matmul(&["count", "llama-2-7b", "--set", "n=128"]);
    assert_eq!(prefill, (1_691_411_808_256_u64 + 4_328_521_728).to_string());
    let step = |model: &str| matmul(&["count", model, "--set", "n=1", "--set", "p=4095"]);
    assert_eq!(step("llama-2-7b"), "15361638400");
    assert_eq!(step("llama-3-8b"), "17156800512");
    assert_eq!(step("llama-3-70b"), "149740847104");
    let account = json(&["count", "mixtral-8x7b", "--set", "n=1", "--dtype", "f16"]);
    let memory = &account["memory"];
    assert_eq!(memory["active_parameters"].to_string(), "12879925248");
    assert_eq!(memory["parameters"].to_string(), (2 * 46_702_792_704_u64).to_string());
    assert_eq!(memory["cache_per_token"].to_string(), "131072");
}

#[test]
fn a_generation_costs_what_its_steps_do() {
    let model = golden("mistral_window");
    let counted = json(&["count", &model, "--set", "n=3", "--new-tokens", "6"]);
    let done = json(&["generate", &model, "--ids", "5,17,23", "--new-tokens", "6"]);
    assert_eq!(done["theorem"]["mismatches"], 0);
    let steps = done["steps"].as_array().unwrap();
    let sum = |key: &str| -> u64 {
        steps.iter().map(|step| step[key].to_string().parse::<u64>().unwrap()).sum()
    };
    assert_eq!(steps.len(), 6);
    assert_eq!(counted["all"]["flops"].to_string(), sum("flops").to_string());
    assert_eq!(counted["all"]["macs"].to_string(), sum("macs").to_string());
    assert_eq!(counted["prompt"]["macs"], steps[0]["macs"]);
}

#[test]
fn a_grid_has_the_counts_of_its_points() {
    let grid = json(&["count", "gpt2", "--set", "n=1..1024:*32", "--set", "b=1,3"]);
    let points = grid["points"].as_array().unwrap();
    assert_eq!(points.len(), 6);
    for point in points {
        let [n, b] = [0, 1].map(|at| point["sizes"][at].to_string());
        let (n, b) = (format!("n={n}"), format!("b={b}"));
        let one = json(&["count", "gpt2", "--set", &n, "--set", &b]);
        assert_eq!(point["flops"], one["flops"]);
        assert_eq!(point["bytes_read"], one["bytes"]["read"]);
    }
    let long = opledger(&["count", "gpt2", "--set", "n=1024,1025"]);
    assert_eq!(long.code, Some(2));
    assert!(
        long.stderr.contains("1025 tokens, and `gpt2` has positions for 1024"),
        "{}",
        long.stderr
    );
}

#[test]
fn a_checkpoint_runs_from_its_directory() {
    let folder = golden("llama_untied");
    let run = json(&["run", &folder, "--set", "n=5"]);
    assert_eq!(run["theorem"]["mismatches"], 0);
    assert_eq!(run["outputs"][0]["name"], "logits");
    let unknown = opledger(&["count", "lama-3-8b", "--set", "n=1"]);
    assert!(unknown.stderr.contains("did you mean `llama-3-8b`"), "{}", unknown.stderr);
    let text = opledger(&["generate", &folder, "--text", "hello"]);
    assert!(text.stderr.contains("has no tokenizer.json"), "{}", text.stderr);
    assert_eq!((unknown.code, text.code), (Some(2), Some(2)));
}
