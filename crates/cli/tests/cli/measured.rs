//! What the machine and the benches report: their structure, never their speed.

use serde_json::Value;

use crate::{opledger, stdout};

/// The shortest timing, on two threads.
const QUICK: [&str; 4] = ["--seconds", "0", "--threads", "2"];

fn bench(arguments: &[&str]) -> String {
    stdout(&[&["bench"], arguments, &QUICK].concat())
}

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&bench(&[arguments, &["--format", "json"]].concat())).unwrap()
}

fn texts<'a>(points: &'a Value, key: &str) -> Vec<&'a str> {
    points["points"].as_array().unwrap().iter().map(|p| p[key].as_str().unwrap()).collect()
}

fn macs(points: &Value) -> Vec<u64> {
    points["points"].as_array().unwrap().iter().map(|p| p["macs"].as_u64().unwrap()).collect()
}

/// The message of a bench that must fail.
fn refused(arguments: &str) -> String {
    let arguments: Vec<&str> = ["bench"].into_iter().chain(arguments.split(' ')).collect();
    let ended = opledger(&arguments);
    assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{arguments:?}: {}", ended.stderr);
    ended.stderr
}

#[test]
fn the_machine_has_a_peak_for_each_instruction_set_and_a_bandwidth() {
    let report: Value = serde_json::from_str(&stdout(&["machine", "--format", "json"])).unwrap();
    let machine = &report["machine"];
    assert!(machine["usable_cores"].as_u64().unwrap() >= 1);
    assert!(["scalar", "avx2", "avx512"].contains(&machine["isa"].as_str().unwrap()));
    let measured = report["measured"].as_array().unwrap();
    let of = |quantity: &'static str| measured.iter().filter(move |m| m["quantity"] == quantity);
    assert!(of("fma-peak").any(|m| m["isa"] == "scalar" && m["threads"] == 1));
    assert!(of("read-bandwidth").all(|m| m["unit"] == "GB/s"));
    assert!(of("read-bandwidth").count() >= 1);
    assert!(measured.iter().all(|m| m["value"].as_f64().unwrap() > 0.0));
    let text = stdout(&["machine"]);
    for part in ["instruction set", "FMA peak", "read bandwidth", "one multiply-add being two"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn attention_is_timed_at_every_size() {
    let sizes = ["--set", "n=8..32:*2", "--set", "h=4", "--set", "kv=2", "--set", "e=8"];
    let full = json(&[&["attention"], &sizes[..]].concat());
    assert_eq!(texts(&full, "at"), ["8", "16", "32"]);
    assert_eq!(full["subject"], "b=1, h=4, kv=2, e=8");
    assert_eq!((&full["axis"], &full["threads"]), (&"n".into(), &2.into()));
    // 2·h·n²·e
    assert_eq!(macs(&full), [8, 16, 32].map(|n| 2 * 4 * n * n * 8));
    let causal = json(&[&["attention", "--causal"], &sizes[..]].concat());
    assert_eq!(macs(&causal), [8, 16, 32].map(|n| 2 * 4 * (n * (n + 1) / 2) * 8));
    assert!(full["roof"]["value"].as_f64().unwrap() > 0.0);
    assert_eq!(full["roof"]["unit"], "GFLOP/s");
    for point in full["points"].as_array().unwrap() {
        let times = &point["times"];
        assert!(times["runs"].as_u64().unwrap() >= 5);
        assert!(times["best_ms"].as_f64() <= times["median_ms"].as_f64());
        assert!(point["share"].as_f64().unwrap() > 0.0);
    }
    assert!(full["conventions"]["matmul-flops"].is_string());
}

#[test]
fn any_size_may_be_swept() {
    let heads = json(&["attention", "--set", "h=1,2,4", "--set", "n=8", "--set", "e=4"]);
    assert_eq!((&heads["axis"], &heads["subject"]), (&"h".into(), &"b=1, n=8, e=4".into()));
    // As many heads of keys as of queries.
    assert_eq!(macs(&heads), [1, 2, 4].map(|h| 2 * h * 64 * 4));
}

#[test]
fn decoding_is_held_against_the_bandwidth() {
    let sizes = ["--set", "n=16,64", "--set", "h=4", "--set", "kv=2", "--set", "e=8"];
    let decode = json(&[&["decode"], &sizes[..]].concat());
    assert_eq!(decode["roof"]["unit"], "GB/s");
    let bytes: Vec<_> =
        decode["points"].as_array().unwrap().iter().map(|p| &p["cache_bytes"]).collect();
    assert_eq!(bytes, [2 * 16 * 2 * 8 * 4, 2 * 64 * 2 * 8 * 4]);
    assert_eq!(macs(&decode), [2 * 4 * 16 * 8, 2 * 4 * 64 * 8]);
    let text = bench(&[&["decode"], &sizes[..]].concat());
    assert!(text.contains("% of bandwidth") && text.contains("keys and values"), "{text}");
}

#[test]
fn products_and_layers_are_timed() {
    let products = json(&["gemm", "3x4x5", "8×8×8"]);
    assert_eq!(texts(&products, "at"), ["3×4×5", "8×8×8"]);
    assert_eq!(macs(&products), [60, 512]);
    let layer = json(&["layer", "mha:c=8,h=2,bias=false", "--set", "n=2,4"]);
    assert_eq!(layer["subject"], "mha:c=8,h=2,bias=false, b=1");
    // 4·n·c² + 2·n²·c
    assert_eq!(macs(&layer), [2, 4].map(|n| 4 * n * 64 + 2 * n * n * 8));
    let depth = json(&["layer", "encoder:c=8,h=2,ff=8", "--set", "l=1..2:+1", "--set", "n=4"]);
    assert_eq!((&depth["axis"], texts(&depth, "at").len()), (&"l".into(), 2));
    assert_eq!(macs(&depth)[1], 2 * macs(&depth)[0]);
}

#[test]
fn results_are_saved_compared_and_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (saved, svg) = (file("saved.json"), file("chart.svg"));
    let text = bench(&["gemm", "2x3x4", "5x6x7", "--save", &saved, "--svg", &svg]);
    assert!(text.contains("matmul-flops = 2·macs") && !text.contains("saved"), "{text}");
    let drawn = std::fs::read_to_string(&svg).unwrap();
    assert_eq!(drawn.matches("<circle ").count(), 2);
    assert!(drawn.contains("measured FMA peak, 2 threads"), "{drawn}");
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 2, "no unfinished file is left");

    let again = bench(&["gemm", "5x6x7", "9x9x9", "--baseline", &saved]);
    assert!(again.contains("× saved") && again.contains("1 of 2 points"), "{again}");
    assert!(!again.contains("the machine differs"), "{again}");
    let mut other: Value = serde_json::from_str(&std::fs::read_to_string(&saved).unwrap()).unwrap();
    other["machine"]["processor"] = "another".into();
    std::fs::write(&saved, other.to_string()).unwrap();
    let elsewhere = bench(&["gemm", "5x6x7", "--baseline", &saved]);
    assert!(elsewhere.contains("the machine differs: processor: then another"), "{elsewhere}");

    std::fs::write(&saved, "{}").unwrap();
    let error = refused(&format!("gemm 2x3x4 --baseline {saved}"));
    assert!(error.contains("no saved bench") && error.contains("--save"), "{error}");
    assert!(refused(&format!("gemm 2x3x4 --baseline {svg}x")).contains("could not be read"));
    assert!(refused(&format!("gemm 2x3x4 --svg {svg} --save {svg}")).contains("a file of its own"));
    assert!(refused("gemm 2x3x4 --svg none/x.svg").contains("there is no folder"));
}

#[test]
fn what_cannot_be_timed_says_how_to_mend_it() {
    for (arguments, part) in [
        ("attention --set n=2..8", "write 2..8:*2"),
        ("attention --set n=0", "at least 1"),
        ("attention --set n=1,2 --set h=1,2", "give one of them a single size"),
        ("attention --set n=1 --set n=2", "list its sizes once, as n=1,2,4"),
        ("attention --set c=8", "its sizes are b, h, kv, e and n"),
        ("attention --set h=4 --set kv=3", "give --set kv=<a divisor of 4>"),
        ("attention --set n=10^30", "give a smaller size"),
        ("decode --set n=10^15", "bytes of memory"),
        ("gemm 2x3", "such as 512x768x3072"),
        ("gemm 2x3x4 --threads 0", "0 is not in 1..=1024"),
        ("gemm 2x3x4 --seconds=-1", "from 0 to 3600"),
        ("layer mhaa", "did you mean `mha`"),
        ("layer cross-attention:c=8,h=2", "give it with --set m=<size>"),
        ("layer mha:c=8,h=2 --set q=3", "`q` is no size of this model"),
        ("layer mha:c=8,h=2 --set n=10^12", "bytes of memory"),
        ("attention --threads 2 --format latex", "possible values"),
        ("run", "unrecognized subcommand"),
        ("layer mha:c=8,h=2 --seconds 0 --set n=4,10^12", "smaller sizes"),
    ] {
        let error = refused(arguments);
        assert!(error.contains(part) && !error.contains("panicked"), "{arguments}: {error}");
    }
}
