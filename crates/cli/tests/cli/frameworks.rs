//! What frameworks say of a training step, formulas as code, batches of unequal lengths.

use super::{opledger, stdout};

#[test]
fn two_frameworks_are_accounted_for_part_by_part() {
    let told =
        stdout(&["explain", "maxtext", "step-products", "deepseek-v2-lite", "--set", "n=4096"]);
    assert!(told.contains("attention products"), "{told}");
    assert!(told.contains("accounted for: all of it"), "{told}");
    let both = ["--convention", "torchtitan", "--convention", "maxtext@e591f30", "--format", "csv"];
    let counted =
        stdout(&[&["count", "llama-3.1-8b", "--set", "b=4", "--set", "n=64"], &both[..]].concat());
    assert!(counted.contains("torchtitan@b5bcd76,maxtext@e591f30"), "{counted}");
    let listed = stdout(&["conventions", "--format", "csv"]);
    for name in ["megatron-lm@d98e8a6", "vllm-decode@0.33.0", "step-products@1"] {
        assert!(listed.contains(&format!("\n{name},")), "{name}: {listed}");
    }
    let held = ["count", "gpt2", "--set", "n=8", "--format", "csv", "--assert", "nanogpt > 5e9"];
    assert_eq!(opledger(&held).code, Some(0));
}

#[test]
fn what_is_not_asked_well_is_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    std::fs::write(path, "12\nthree\n").unwrap();
    for (arguments, expected) in [
        (
            &["count", "gpt2", "--set", "n=8", "--convention", "nanogpt", "--convention", "fvcore"]
                [..],
            "counts a training step",
        ),
        (&["explain", "nanogpt", "vllm-decode", "gpt2", "--set", "n=8"], "counts a training step"),
        (
            &["count", "gpt2", "--set", "n=8", "--set", "p=8", "--convention", "nanogpt"],
            "leave out p",
        ),
        (
            &["count", "gpt2", "--set", "n=8", "--convention", "megatron"],
            "(did you mean megatron-lm?)",
        ),
        (&["explain", "maxtext", "maxtext", "llama-2-7b", "--set", "n=8"], "maxtext"),
        (&["count", "bert-base", "--set", "n=8", "--convention", "maxtext"], "no causal decoder"),
        (&["count", "gpt2", "--lengths", path], "line 2 is `three`"),
        (&["count", "gpt2", "--lengths", "/nowhere"], "could not be read as lengths"),
        (&["count", "gpt2", "--set", "n=3", "--lengths", path], "line 2 is `three`"),
        (&["derive", "gpt2", "--emit", "perl"], "invalid value 'perl'"),
        (&["derive", "mha:c=8,h=2,padding=true", "--emit", "c"], "no function of sizes gives"),
    ] {
        let ended = opledger(arguments);
        assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{arguments:?}");
        assert!(ended.stderr.contains(expected), "{arguments:?}: {}", ended.stderr);
    }
    for (text, expected) in [
        ("", "there is no text"),
        ("3\n0\n", "a token or more"),
        ("9\n2000\n", "positions for 1024"),
    ] {
        std::fs::write(path, text).unwrap();
        let ended = opledger(&["count", "gpt2", "--lengths", path]);
        assert_eq!(ended.code, Some(2), "{text}");
        assert!(ended.stderr.contains(expected), "{text}: {}", ended.stderr);
    }
    std::fs::write(path, "3\n").unwrap();
    let ended = opledger(&["count", "gpt2", "--lengths", path, "--set", "n=3"]);
    assert!(ended.stderr.contains("the lengths say b and n"), "{}", ended.stderr);
}

#[test]
fn texts_of_unequal_lengths_are_packed_and_padded() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    std::fs::write(path, "7\n100\n\n7\n1\n").unwrap();
    let counted = stdout(&["count", "llama-2-7b", "--lengths", path, "--format", "json"]);
    let record: serde_json::Value = serde_json::from_str(&counted).unwrap();
    let macs = |b: u64, n: u64| -> u64 {
        let (b, n) = (format!("b={b}"), format!("n={n}"));
        let one = stdout(&["count", "llama-2-7b", "--set", &b, "--set", &n, "--format", "json"]);
        let one: serde_json::Value = serde_json::from_str(&one).unwrap();
        one["macs"].to_string().parse().unwrap()
    };
    let own = |key: &str| -> u64 { record["counts"][0][key].to_string().parse().unwrap() };
    assert_eq!(own("packed"), 2 * macs(1, 7) + macs(1, 100) + macs(1, 1));
    assert_eq!(own("padded"), macs(4, 100));
    assert_eq!(record["squares"].to_string(), (49 + 49 + 10_000 + 1).to_string());
    // The same by the sums of powers.
    assert_eq!(record["counts"][0]["formula"], "131072·Σn² + 6607208448·Σn");
    assert_eq!(own("packed"), 131_072 * 10_099 + 6_607_208_448 * 115);
}

#[test]
fn formulas_are_emitted_in_every_language() {
    for (language, expected) in [
        ("python", "def macs(b, n):"),
        ("rust", "pub fn macs(b: i128, n: i128) -> Option<i128> {"),
        ("javascript", "function macs(b, n) {"),
        ("c", "int macs(i128 b, i128 n, i128 *result) {"),
        ("sympy", "macs = Integer("),
        ("latex", r"\text{macs} &= "),
    ] {
        let code = stdout(&["derive", "llama-2-7b", "--emit", language]);
        assert!(code.contains(expected), "{language}: {code}");
    }
}
