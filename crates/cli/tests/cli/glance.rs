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
    // Programs read of it with the result.
    let json = ["count", "linear:in=2,out=2", "--set", "b=1", "--set", "n=1k", "--format", "json"];
    let count: Value = serde_json::from_str(&opledger(&json).stdout).unwrap();
    assert_eq!(count["notes"][0], "in n=1k, k is 1,000 (Ki is 1,024)");
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

/// The last cells of a command's lines that have bars.
fn bars(arguments: &[&str], locale: &str, sign: char) -> Vec<usize> {
    let mut command = command(arguments);
    command.env("LC_ALL", locale).env("COLUMNS", "140");
    let table = ended(command).stdout;
    assert!(table.lines().all(|line| line.chars().count() <= 140), "{table}");
    let long = |line: &str| line.chars().filter(|c| *c == sign).count();
    table.lines().map(long).filter(|long| *long > 0).collect()
}

#[test]
fn bars_are_drawn_where_they_are_asked_for() {
    let all = [&GPT2[..], &["--depth", "2", "--bars", "always"]].concat();
    let drawn = bars(&all, "en_US.UTF-8", '█');
    // Of the rows of modules and of those of kinds the longest is whole.
    assert!(drawn.len() >= 4 && drawn.iter().filter(|long| **long == 24).count() == 2, "{drawn:?}");
    assert!(bars(&all, "C", '█').is_empty());
    assert_eq!(bars(&all, "C", '#').iter().filter(|long| **long == 24).count(), 2);
    assert!(bars(&GPT2, "en_US.UTF-8", '█').is_empty(), "a pipe has no bars by itself");
    let never = [&GPT2[..], &["--bars", "never"]].concat();
    assert!(bars(&never, "en_US.UTF-8", '█').is_empty());
    let markdown = [&all[..], &["--format", "markdown"]].concat();
    assert_eq!(stdout(&markdown), with(&["--depth", "2", "--format", "markdown"]));
}

#[test]
fn colours_are_those_that_are_asked_for() {
    let coloured = |more: &[&str]| with(more).contains('\x1b');
    assert!(coloured(&["--color", "always"]));
    assert!(!coloured(&["--color", "never"]) && !coloured(&["--color", "auto"]) && !coloured(&[]));
    assert_eq!(opledger(&[&GPT2[..], &["--color", "pink"]].concat()).code, Some(2));
}

#[test]
fn kinds_of_layers_make_up_the_whole() {
    for model in ["gpt2", "mixtral-8x7b", "vit-b16", "mamba2-1.3b", "deepseek-v3"] {
        let n = ["--set", "n=8"];
        let sizes: &[&str] = if model.starts_with("vit") { &[] } else { &n };
        let count = [&["count", model, "--format", "json"], sizes].concat();
        let count: Value = serde_json::from_str(&stdout(&count)).unwrap();
        let kinds = count["kinds"].as_array().unwrap();
        let number = |of: &Value| of.to_string().parse::<u128>().unwrap();
        let sum = |key: &str| kinds.iter().map(|kind| number(&kind[key])).sum::<u128>();
        assert_eq!(sum("flops"), number(&count["flops"]), "{model}");
        assert_eq!(sum("macs"), number(&count["macs"]), "{model}");
        assert_eq!(sum("params"), number(&count["params"]["total"]), "{model}");
        let moved = |key: &str| kinds.iter().map(|kind| number(&kind["bytes"][key])).sum::<u128>();
        assert_eq!(moved("read"), number(&count["bytes"]["read"]), "{model}");
    }
    let layer = stdout(&["count", "ffn:c=8,ff=16", "--set", "b=1", "--set", "n=2"]);
    assert!(!layer.contains("kind of layer"), "{layer}");
}

#[test]
fn derive_and_run_tell_modules_together() {
    let formulas = stdout(&["derive", "gpt2", "--depth", "4"]);
    assert!(formulas.contains("transformer.h.*.mlp"), "{formulas}");
    assert!(!formulas.contains("transformer.h.*.mlp.c_fc"), "{formulas}");
    let at = ["run", "encoder-layer:c=16,h=2,ff=32", "--set", "b=1", "--set", "n=4"];
    let json = |more: &[&str]| -> Value {
        serde_json::from_str(&stdout(&[&at[..], more, &["--format", "json"]].concat())).unwrap()
    };
    let (all, told) = (json(&[]), json(&["--depth", "1", "--sort", "flops", "--top", "2"]));
    let sum = |run: &Value, of: &dyn Fn(&Value) -> u64| {
        run["nodes"].as_array().unwrap().iter().map(of).sum::<u64>()
    };
    for of in [
        &|node: &Value| node["useful"]["flops"].as_u64().unwrap(),
        &|node: &Value| node["executed"]["macs"].as_u64().unwrap(),
        &|node: &Value| node["bytes"]["read"].as_u64().unwrap(),
        &|node: &Value| node["members"].as_u64().unwrap(),
    ] as [&dyn Fn(&Value) -> u64; 4]
    {
        assert_eq!(sum(&all, of), sum(&told, of));
    }
    let rows = told["nodes"].as_array().unwrap();
    let flops: Vec<u64> =
        rows.iter().map(|node| node["useful"]["flops"].as_u64().unwrap()).collect();
    assert!(rows.len() == 3 && flops[0] >= flops[1], "{flops:?}");
    assert_eq!(rows[2]["path"], "(rest)");
    let table = stdout(&[&at[..], &["--depth", "1"]].concat());
    assert!(table.contains(" nodes") && table.contains("ms %"), "{table}");
}

/// What rows are sorted by is among the columns that are printed.
#[test]
fn the_column_that_is_sorted_by_is_shown() {
    for (order, column) in [
        ("params", "params_read"),
        ("macs", "macs"),
        ("bytes-read", "bytes_read"),
        ("bytes-written", "bytes_written"),
    ] {
        let csv = with(&["--sort", order, "--format", "csv"]);
        let mut lines = csv.lines();
        let at = lines.next().unwrap().split(',').position(|title| title == column).unwrap();
        // Shapes have commas, behind which columns are counted from the end.
        let columns = csv.lines().next().unwrap().split(',').count() - at;
        let numbers: Vec<u128> =
            lines.map(|line| digits(line.rsplit(',').nth(columns - 1).unwrap())).collect();
        assert!(numbers.is_sorted_by(|a, b| a >= b) && numbers[0] > 0, "{order}: {csv}");
    }
    assert!(with(&["--sort", "bytes-read", "--depth", "1"]).contains("bytes read"));
}

/// Formulas are compared where all sizes without a number have grown alike.
#[test]
fn formulas_are_sorted_and_have_shares() {
    let derive = |more: &[&str]| -> Value {
        let all = [&["derive", "mha:c=512,h=8", "--format", "json"], more].concat();
        serde_json::from_str(&stdout(&all)).unwrap()
    };
    let sorted = derive(&["--top", "1"]);
    let paths: Vec<&str> =
        sorted["nodes"].as_array().unwrap().iter().map(|n| n["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["attention", "(rest)"]);
    assert_eq!(sorted["shares"], serde_json::json!(["100.0", "< 0.1"]));
    assert_eq!(sorted["flops"], derive(&[])["flops"]);
    // At sizes that are given they are the shares of a count.
    let sizes = ["--set", "b=2", "--set", "n=64", "--sort", "flops"];
    let shares = derive(&sizes)["shares"].clone();
    let shares: Vec<&str> =
        shares.as_array().unwrap().iter().map(|share| share.as_str().unwrap()).collect();
    let counted = stdout(&[&["count", "mha:c=512,h=8"], &sizes[..]].concat());
    let own = rows(&counted);
    let own: Vec<&str> = own
        .iter()
        .filter(|row| row.len() > 6 && row[0] != "total")
        .map(|row| *row.last().unwrap())
        .collect();
    assert_eq!(own, shares, "{counted}");
    let table = stdout(&["derive", "gpt2", "--sort", "params", "--top", "2"]);
    assert!(table.contains("(rest)") && table.contains("grow alike"), "{table}");
    assert_eq!(opledger(&["derive", "gpt2", "--top", "2", "--emit", "python"]).code, Some(2));
}

#[test]
fn a_diagram_has_no_numbers() {
    for option in [&["--device", "h100-sxm"][..], &["--top", "2"], &["--depth", "1"]] {
        let ended = opledger(&[&GPT2[..], option, &["--format", "mermaid"]].concat());
        assert!(ended.code == Some(2) && ended.stderr.contains(option[0]), "{}", ended.stderr);
    }
}
