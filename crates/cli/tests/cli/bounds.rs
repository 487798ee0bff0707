//! Lower bounds on a device: worked by hand, and as sums.

use serde_json::Value;

use crate::{opledger, stdout};

fn json(arguments: &str) -> Value {
    let arguments: Vec<&str> = arguments.split(' ').chain(["--format", "json"]).collect();
    let ended = opledger(&arguments);
    assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.stderr);
    serde_json::from_str(&ended.stdout).unwrap()
}

fn seconds(of: &Value) -> f64 {
    of["seconds"].as_f64().unwrap()
}

fn close(number: f64, expected: f64) {
    assert!((number - expected).abs() <= 1e-12 * expected.abs(), "{number} and {expected}");
}

/// 989.4·10¹² operations a second in products of bf16, 3.35·10¹² bytes a second.
const PEAK: f64 = 989.4e12;
const BANDWIDTH: f64 = 3.35e12;

#[test]
fn a_linear_map_takes_what_it_takes_by_hand() {
    let at = |n: u32| {
        json(&format!(
            "count linear:in=1024,out=1024 --set b=1 --set n={n} --device h100-sxm --dtype bf16 --depth 2"
        ))
    };
    // One token: weights are 2·1024² bytes, a row 2·1024. The product reads a row and the weights and writes a
    // row; the bias is read with a row, and a row written. Both are bound by memory.
    let one = at(1);
    let bytes = [2.0 * 1024.0 * 1024.0 + 2.0 * 2048.0, 3.0 * 2048.0];
    close(seconds(&one["total"]), (bytes[0] + bytes[1]) / BANDWIDTH);
    assert_eq!(one["total"]["matmul_flops"], 2 * 1024 * 1024);
    assert_eq!(one["total"]["bytes"], 2_101_248 + 6_144);
    assert_eq!(one["total"]["seconds_bound_by_operations"], 0.0);
    // 4096 tokens: the product is bound by its operations, the bias still by its bytes.
    let many = at(4096);
    let product = 2.0 * 4096.0 * 1024.0 * 1024.0 / PEAK;
    let bias = (2.0 * 2.0 * 4096.0 * 1024.0 + 2048.0) / BANDWIDTH;
    close(seconds(&many["total"]), product + bias);
    close(many["total"]["seconds_bound_by_operations"].as_f64().unwrap(), product);
    // Whatever is fused, all products are done and the weights, the bias among them, are read.
    close(many["seconds_whatever_is_fused"].as_f64().unwrap(), product);
    close(
        one["seconds_whatever_is_fused"].as_f64().unwrap(),
        (2.0 * 1024.0 * 1024.0 + 2048.0) / BANDWIDTH,
    );
    let source = many["device"]["operations_source"].as_str().unwrap();
    assert!(source.starts_with("https://"), "{source}");
    let table = stdout(
        &"count linear:in=1024,out=1024 --set b=1 --set n=4096 --device h100-sxm --dtype bf16"
            .split(' ')
            .collect::<Vec<_>>(),
    );
    for told in ["operations 63.4 %", "13.7 µs", "lower bound, no prediction", source] {
        assert!(table.contains(told), "{told}: {table}");
    }
}

#[test]
fn totals_are_sums_over_modules_and_over_parts() {
    for arguments in [
        "count gpt2 --set n=1024 --device h100-sxm",
        "count llama-3.1-8b --set n=1 --set p=4096 --device h100-sxm --dtype bf16 --depth 3",
        "count gpt2 --set n=128 --new-tokens 40 --device a100-sxm-80gb",
        "count t5-small --set m=40 --new-tokens 5 --device tpu-v6e --dtype bf16",
        "count mixtral-8x7b --set n=1 --set p=64 --device h200 --dtype bf16",
        "train gpt2 --set b=2 --set n=64 --device h100-sxm --optimizer adamw --accumulate 3",
    ] {
        let bound = json(arguments);
        for list in ["modules", "phases"] {
            let list = bound[list].as_array().unwrap();
            let sum: f64 = list.iter().map(seconds).sum();
            let total = seconds(&bound["total"]);
            assert!((sum / total - 1.0).abs() < 1e-12, "{arguments}: {sum} and {total}");
            let flops: u128 = list.iter().map(|own| number(own, "matmul_flops")).sum();
            assert_eq!(flops, number(&bound["total"], "matmul_flops"), "{arguments}");
        }
        let fused = bound["seconds_whatever_is_fused"].as_f64().unwrap();
        assert!(fused > 0.0 && fused <= seconds(&bound["total"]), "{arguments}: {fused}");
    }
}

fn number(of: &Value, key: &str) -> u128 {
    of[key].to_string().parse().unwrap()
}

#[test]
fn counts_are_those_of_count_and_of_train() {
    let bound = json("count gpt2 --set n=64 --device h100-sxm --dtype f32");
    let count = json("count gpt2 --set n=64");
    assert_eq!(number(&bound["total"], "matmul_flops"), number(&count, "matmul_flops"));
    let bytes = number(&count["bytes"], "read") + number(&count["bytes"], "written");
    assert_eq!(number(&bound["total"], "bytes"), bytes);
    let bound = json("count gpt2 --set n=64 --new-tokens 9 --device h100-sxm --dtype f32");
    let count = json("count gpt2 --set n=64 --new-tokens 9");
    for (phase, key) in bound["phases"].as_array().unwrap().iter().zip(["prompt", "steps"]) {
        assert_eq!(number(phase, "matmul_flops"), 2 * number(&count[key], "macs"), "{key}");
        let bytes = number(&count[key], "bytes_read") + number(&count[key], "bytes_written");
        assert_eq!(number(phase, "bytes"), bytes, "{key}");
    }
    let sizes = "gpt2 --set b=2 --set n=64 --recompute full";
    let bound = json(&format!("train {sizes} --device h100-sxm"));
    let step = json(&format!("train {sizes}"));
    assert_eq!(number(&bound["total"], "matmul_flops"), number(&step, "hardware_flops"));
}

/// With a window of 4096 tokens, a step reads no more of the cache however many tokens there are.
#[test]
fn of_a_window_what_the_cache_holds_is_read() {
    let at = |p: u32| {
        number(
            &json(&format!("count mistral-7b --set n=1 --set p={p} --device h200 --dtype bf16"))["total"],
            "bytes",
        )
    };
    assert_eq!(at(10_000), at(100_000));
    assert!(at(1_000) < at(10_000));
}

#[test]
fn the_batch_that_makes_a_step_bound_by_operations_is_the_least() {
    let told = json("count gpt2 --set n=1 --set p=128 --device h100-sxm --dtype f32");
    let from: u64 = told["batch"]["from"].as_u64().unwrap();
    let bound_by_operations = |b: u64| {
        let one = json(&format!(
            "count gpt2 --set b={b} --set n=1 --set p=128 --device h100-sxm --dtype f32"
        ));
        let total = |key: &str| number(&one["total"], key);
        total("matmul_flops") * 3_350_000_000_000 >= total("bytes") * 66_900_000_000_000
    };
    assert!(bound_by_operations(from) && !bound_by_operations(from - 1), "{from}");
    let never = json("count gpt2 --set n=1 --set p=1000 --device h100-sxm --dtype f32");
    assert_eq!(never["batch"]["from"], Value::Null);
    let reason = never["batch"]["reason"].as_str().unwrap();
    assert!(reason.contains("bound by memory at any b"), "{reason}");
}

#[test]
fn what_is_not_known_is_refused_by_name() {
    let refused = |arguments: &str| {
        let ended = opledger(&arguments.split(' ').collect::<Vec<_>>());
        assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{arguments}");
        ended.stderr
    };
    let both = refused("count gpt2 --set n=1 --device h200 --dtype f32");
    assert!(both.contains("`h200`") && both.contains("products of f32"), "{both}");
    let this = refused("count gpt2 --set n=1 --device this --dtype bf16");
    assert!(this.contains("`this`") && this.contains("bf16 is not known, only of f32"), "{this}");
    let several = refused("count gpt2 --set n=1 --device a100");
    assert!(several.contains("one of a100-sxm-40gb, a100-sxm-80gb?"), "{several}");
    assert!(refused("count gpt2 --set n=1 --device h100-smx").contains("did you mean h100-sxm?"));
    assert!(refused("count gpt2 --set n=1,2 --device h200").contains("give n one size"));
}

#[test]
fn a_run_tells_what_share_of_the_bound_it_reaches() {
    let run = json("run linear:in=64,out=64 --set b=1 --set n=64 --device this");
    let rates = ["operations_per_second", "bytes_per_second"];
    let [peak, bandwidth] = rates.map(|key| run["device"][key].as_f64().unwrap());
    let mut sum = 0.0;
    for node in run["nodes"].as_array().unwrap() {
        let operations = 2.0 * node["useful"]["macs"].as_f64().unwrap() / peak;
        let bytes = number(&node["bytes"], "read") + number(&node["bytes"], "written");
        let least = 1e3 * operations.max(bytes as f64 / bandwidth);
        close(node["least_ms"].as_f64().unwrap(), least);
        sum += least;
    }
    close(run["least_ms"].as_f64().unwrap(), sum);
    let plain = json("run linear:in=64,out=64 --set b=1 --set n=64");
    assert_eq!((&plain["device"], &plain["least_ms"]), (&Value::Null, &Value::Null));
}
