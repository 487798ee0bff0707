//! Tables at a glance: shares, the order of rows, and the rest of them in one.

use serde_json::Value;

use crate::{command, ended, opledger, stdout};

const GPT2: [&str; 4] = ["count", "gpt2", "--set", "n=64"];

fn with(more: &[&str]) -> String {
    stdout(&[&GPT2[..], more].concat())
}

/// The cells of the rows of the first table, the line of the whole included.
fn rows(table: &str) -> Vec<Vec<&str>> {
    let below = table.lines().skip_while(|line| !line.starts_with('─')).skip(1);
    let rows = below.take_while(|line| !line.is_empty() && !line.starts_with("(no"));
    let rows = rows.filter(|line| !line.starts_with('─'));
    rows.map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
        .collect()
}

fn digits(word: &str) -> u128 {
    word.replace(',', "").parse().unwrap()
}

#[test]
fn rows_have_parameters_and_shares_that_add_up() {
    let table = with(&["--depth", "2"]);
    let rows = rows(&table);
    let own: Vec<_> = rows.iter().filter(|row| row[0].contains('.')).collect();
    let sum = |column: usize| own.iter().map(|row| digits(row[row.len() - column])).sum::<u128>();
    let total = rows.last().unwrap();
    assert_eq!((total[0], total[1]), ("total", "124,439,808"), "{table}");
    let whole = |column: usize| digits(total[total.len() - column]);
    for column in [3, 4, 5] {
        assert_eq!(sum(column), whole(column), "{table}");
    }
    let shares: f64 = own.iter().filter_map(|row| row.last().unwrap().parse::<f64>().ok()).sum();
    assert!((99.0..101.0).contains(&shares), "{table}");
    assert!(table.contains("≈flops = flops rounded to three digits, k M G T"), "{table}");
}

/// Parameters stand at what reads them first, those of a table of two uses once.
#[test]
fn parameters_of_nodes_are_those_that_they_read_first() {
    for model in ["gpt2", "llama-3.1-8b", "t5-small", "modernbert-base", "mixtral-8x7b"] {
        let sizes: &[&str] = if model == "t5-small" { &["--set", "m=2"] } else { &[] };
        let arguments = [&["count", model, "--set", "n=2", "--format", "json"], sizes].concat();
        let count: Value = serde_json::from_str(&stdout(&arguments)).unwrap();
        let nodes = count["nodes"].as_array().unwrap();
        let sum = |key: &str| nodes.iter().map(|node| node[key].as_u64().unwrap()).sum::<u64>();
        assert_eq!(sum("params_read"), count["params"]["total"].as_u64().unwrap(), "{model}");
        assert_eq!(sum("params_read"), sum("params"), "{model}");
        let left = nodes.iter().filter(|node| node["op"] == "param" && node["params_read"] != 0);
        assert_eq!(left.count(), 0, "{model}: a parameter that nothing reads");
    }
}

#[test]
fn the_greatest_rows_come_first_and_the_rest_is_one() {
    let table = with(&["--depth", "4", "--top", "2"]);
    let top = rows(&table);
    let names: Vec<&str> = top.iter().map(|row| row[0]).collect();
    assert_eq!(names.iter().filter(|name| name.contains("mlp")).count(), 1, "{table}");
    assert!(names.contains(&"(rest)"), "{table}");
    let json = |more: &[&str]| -> Value {
        serde_json::from_str(&with(&[more, &["--format", "json"]].concat())).unwrap()
    };
    let (all, kept) = (json(&[]), json(&["--sort", "params", "--top", "3"]));
    let sum = |count: &Value, key: &str| {
        let nodes = count["nodes"].as_array().unwrap();
        nodes.iter().map(|node| node[key].as_u64().unwrap()).sum::<u64>()
    };
    for key in ["flops", "macs", "params", "params_read", "members"] {
        assert_eq!(sum(&all, key), sum(&kept, key), "{key}");
    }
    let nodes = kept["nodes"].as_array().unwrap();
    assert_eq!((nodes.len(), &nodes[3]["path"]), (4, &Value::from("(rest)")));
    let params: Vec<u64> = nodes.iter().map(|node| node["params_read"].as_u64().unwrap()).collect();
    assert!(params[0] >= params[1] && params[1] >= params[2], "{params:?}");
    let by_name = with(&["--depth", "1", "--sort", "node"]);
    assert!(by_name.find("\nlm_head") < by_name.find("\ntransformer"), "{by_name}");
    // More rows than there are: no row of none.
    assert!(!with(&["--depth", "1", "--top", "50"]).contains("(rest)"));
}

#[test]
fn what_cannot_be_sorted_is_refused() {
    let refused = |arguments: &str| {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        let ended = opledger(&arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}");
        ended.stderr
    };
    assert!(refused("count gpt2 --set n=1 --sort flop").contains("flops"));
    assert!(refused("count gpt2 --set n=1,2 --top 3").contains("give n one size"));
    assert!(refused("count gpt2 --set n=1 --top 3 --convention all").contains("cannot be used"));
}

#[test]
fn lists_are_filtered() {
    let models = stdout(&["models", "LLaMA-3.1"]);
    assert!(models.contains("llama-3.1-8b") && !models.contains("gpt2"), "{models}");
    let layers = stdout(&["layers", "mha"]);
    assert!(layers.contains("mha: ") && !layers.contains("layer-norm: "), "{layers}");
    for list in ["models", "layers"] {
        let ended = opledger(&[list, "nothing like it"]);
        assert_eq!((ended.code, &*ended.stdout), (Some(2), ""));
        assert!(ended.stderr.contains("has `nothing like it` in"), "{}", ended.stderr);
    }
}

#[test]
fn units_of_sizes_are_told() {
    let ended = opledger(&["count", "linear:in=2,out=2", "--set", "b=1", "--set", "n=128Ki"]);
    assert_eq!(ended.stderr, "note: in n=128Ki, Ki is 1,024\n");
    assert!(ended.stdout.contains("n=131072"), "{}", ended.stdout);
    let ended = opledger(&["count", "linear:in=2,out=2", "--set", "b=1", "--set", "n=1k..4k:*2"]);
    assert_eq!(ended.stderr, "note: in n=1k..4k:*2, k is 1,000 (Ki is 1,024)\n");
    assert!(ended.stdout.contains("4,000") || ended.stdout.contains("4000"), "{}", ended.stdout);
}

#[test]
fn a_pipe_gets_all_columns_and_a_width_that_is_given_is_kept() {
    let of = |columns: Option<&str>| {
        let mut command = command(&GPT2);
        match columns {
            Some(columns) => command.env("COLUMNS", columns),
            None => command.env_remove("COLUMNS"),
        };
        ended(command).stdout
    };
    let whole = of(None);
    let header = whole.lines().find(|line| line.starts_with("node")).unwrap();
    for column in ["op", "shape", "params", "macs", "flops", "≈flops", "flops %"] {
        assert!(header.contains(column), "{header}");
    }
    assert!(!whole.contains("(no room for"), "{whole}");
    for width in [60, 80, 140] {
        let narrow = of(Some(&width.to_string()));
        assert!(narrow.lines().all(|line| line.chars().count() <= width), "{narrow}");
    }
    assert_eq!(of(Some("wide")), whole);
}
