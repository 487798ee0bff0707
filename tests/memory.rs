//! Attention never holds the scores of all pairs: the peak of resident memory, which a process of its
//! own reports for each run, grows with the tokens and not with their square.
//!
//! `OPLEDGER_PEAK_OF` names the layer that such a process runs.

use std::process::Command;

use opledger_interp::{Fast, Feeds};
use opledger_models::layer::parse;

const VARIABLE: &str = "OPLEDGER_PEAK_OF";
const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Attention of one head of width 64 to itself, with its projections.
fn layer(tokens: usize) -> String {
    format!("mha:b=1,n={tokens},c=64,h=1")
}

/// The greatest resident memory of this process so far, in bytes.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * KIB
}

#[test]
#[ignore = "run by other tests in a process of its own"]
fn reports_its_peak() {
    let Ok(layer) = std::env::var(VARIABLE) else { return };
    let model = parse(&layer).unwrap();
    let run = Fast::new().unwrap().run(&model.graph, &model.binding, &Feeds::seeded(3)).unwrap();
    assert!(run.output("y").unwrap().iter().all(|y| y.is_finite()));
    println!("peak: {}", peak());
}

/// The peak of a process that runs the layer on two threads, in bytes.
fn peak_of(layer: &str) -> usize {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "memory::reports_its_peak", "--nocapture"])
        .env(VARIABLE, layer)
        .env("RAYON_NUM_THREADS", "2")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find_map(|line| line.split_once("peak: "));
    line.unwrap_or_else(|| panic!("{layer}: {text}")).1.parse().unwrap()
}

#[test]
fn grows_with_the_tokens() {
    let none = peak_of(&layer(64));
    for tokens in [2048, 4096, 8192] {
        // The scores alone take 4 bytes for each pair: 64 MiB at 4096 tokens.
        let growth = peak_of(&layer(tokens)).saturating_sub(none);
        println!("{tokens} tokens: {} KiB over a few", growth / KIB);
        assert!(growth <= tokens * 4 * KIB, "{growth} bytes more for {tokens} tokens");
    }
    // Where the weights are asked for, they are held, and seen.
    let growth = peak_of(&format!("{},weights=mean", layer(4096))).saturating_sub(none);
    assert!(growth >= 64 * MIB, "{growth} bytes more with the weights of 4096 tokens");
}

/// `cargo test --release -p opledger-tests memory -- --ignored --nocapture`
#[test]
#[ignore = "1.1e12 floating-point operations: seconds in release on two cores"]
fn of_65536_tokens_stays_under_200_mib() {
    let peak = peak_of(&layer(65_536));
    println!("65536 tokens: {} MiB in all", peak / MIB);
    assert!(peak < 200 * MIB, "{peak} bytes");
}
