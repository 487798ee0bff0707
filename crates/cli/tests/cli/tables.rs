//! What people read, kept as snapshots.

use insta::assert_snapshot;

use crate::stdout;

#[test]
fn count_as_a_table() {
    assert_snapshot!(stdout(&["count", "mha:c=512,h=8", "--set", "b=32", "--set", "n=1_024"]));
}

#[test]
fn count_by_depth_at_absurd_sizes() {
    let layer = "encoder:c=512,h=8,ff=2048";
    let sizes = ["--set", "b=1", "--set", "n=10^12", "--set", "l=6", "--depth", "3"];
    assert_snapshot!(stdout(&[&["count", layer], &sizes[..]].concat()));
}

#[test]
fn count_as_csv_and_markdown() {
    let arguments = ["count", "layer-norm:c=8", "--set", "b=2", "--set", "n=3", "--format"];
    assert_snapshot!("count_csv", stdout(&[&arguments[..], &["csv"]].concat()));
    assert_snapshot!("count_markdown", stdout(&[&arguments[..], &["markdown"]].concat()));
}

#[test]
fn count_draws_the_graph() {
    assert_snapshot!(stdout(&["count", "linear", "--format", "mermaid"]));
}

#[test]
fn derive_as_a_table() {
    assert_snapshot!(stdout(&["derive", "mha"]));
}

#[test]
fn derive_substitutes_bound_symbols() {
    assert_snapshot!(stdout(&["derive", "linear:in=512", "--set", "n=10"]));
}

#[test]
fn derive_as_latex() {
    assert_snapshot!(stdout(&["derive", "mha", "--format", "latex"]));
}

#[test]
fn run_as_a_table() {
    let arguments = ["run", "mha:c=64,h=4", "--set", "b=2", "--set", "n=16", "--threads", "2"];
    let text = stdout(&arguments);
    assert_snapshot!(text.lines().map(timeless).collect::<Vec<_>>().join("\n"));
}

#[test]
fn kinds_of_layers() {
    let text = stdout(&["layers"]);
    for kind in ["linear", "mha", "self-attention", "encoder-layer", "decoder-layer", "ffn"] {
        assert!(text.contains(&format!("{kind}: ")), "{kind}");
    }
    let norm = text.split("\n\n").skip_while(|block| !block.starts_with("layer-norm")).take(2);
    assert_snapshot!(norm.collect::<Vec<_>>().join("\n\n"));
}

#[test]
fn claims_are_listed() {
    let text = stdout(&["verify", "--list", "A1", "e8"]);
    assert_eq!(text.lines().filter(|line| !line.starts_with(" ")).count(), 4, "{text}");
    assert!(text.contains("\nA1  ") && text.contains("\nE8  "), "{text}");
}

#[test]
fn short_help_without_a_command() {
    assert_snapshot!(stdout(&[]));
}

/// A line with every measured number masked and its spaces collapsed.
fn timeless(line: &str) -> String {
    let masked = |word: &str| {
        match word.split_once('.') {
            Some((whole, rest))
                if (whole.to_owned() + rest).bytes().all(|b| b.is_ascii_digit()) =>
            {
                "#"
            }
            _ if word.starts_with('─') => "─",
            _ => return word.to_owned(),
        }
        .to_owned()
    };
    line.split_whitespace()
        .map(|word| masked(word.trim_end_matches(',')))
        .collect::<Vec<_>>()
        .join(" ")
}
