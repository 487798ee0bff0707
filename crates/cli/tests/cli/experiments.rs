//! Experiments of one's own: claims in a line each, orders of tokens, values, traces.

use serde_json::Value;

use crate::{opledger, stdout};

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

#[test]
fn claims_have_a_line_each_and_their_evidence_on_request() {
    let short = stdout(&["verify", "D5", "E7", "A6"]);
    let rows: Vec<&str> = short
        .lines()
        .filter(|line| ["A6", "D5", "E7"].iter().any(|id| line.starts_with(&format!("{id}  "))))
        .collect();
    assert_eq!(rows.len(), 3, "{short}");
    assert!(short.contains("Liu et al. 2021, Swin Transformer (arXiv:2103.14030)"), "{short}");
    assert!(short.contains("holds = ") && !short.contains("closed form"), "{short}");
    assert!(short.lines().all(|line| line.chars().count() <= 100), "{short}");
    let long = stdout(&["verify", "D5", "--details"]);
    assert!(long.contains("closed form") && long.contains("source: "), "{long}");
}

#[test]
fn orders_of_tokens_are_tried_on_tokens_of_ones_own() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("moved.svg");
    let file = file.to_str().unwrap();
    let json = |arguments: &str| -> Value {
        let arguments = [words(arguments), vec!["--format", "json"]].concat();
        serde_json::from_str(&stdout(&arguments)).unwrap()
    };
    let both = json("verify permutation");
    let ids: Vec<&str> = both["claims"]
        .as_array()
        .unwrap()
        .iter()
        .map(|claim| claim["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["B5", "B6"]);
    let own =
        json(&format!("verify permutation --set n=4 --set c=6 --set h=3 --seed 5 --svg {file}"));
    for claim in own["claims"].as_array().unwrap() {
        assert_eq!(
            (&claim["verdict"], &claim["settled"]),
            (&"holds".into(), &true.into()),
            "{claim}"
        );
    }
    let evidence = own["claims"][0]["evidence"].as_str().unwrap();
    assert!(evidence.contains("all 24 orders of 4 tokens"), "{evidence}");
    let svg = std::fs::read_to_string(file).unwrap();
    for told in ["no positions: 24 orders", "learned: 3, 4 exchanged"] {
        assert!(svg.contains(told), "{svg}");
    }
    let refused = |arguments: &str| {
        let ended = opledger(&words(arguments));
        assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{arguments}");
        ended.stderr
    };
    assert!(refused("verify B5 D5 --seed 3").contains("D5 has none"));
    assert!(refused("verify B5 --set n=2").contains("n from 3"));
    assert!(refused("verify B5 --set c=5 --set h=2").contains("h that divides c"));
    assert!(refused("verify B5 --set m=5").contains("no m"));
    assert!(
        refused("verify permutations").contains("did you mean `permutation`"),
        "{}",
        refused("verify permutations")
    );
}

#[test]
fn a_run_shows_its_values() {
    let at = ["run", "linear:in=3,out=12", "--set", "b=2", "--set", "n=9", "--show"];
    let table = stdout(&at);
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("  [")).collect();
    assert_eq!(rows.len(), 8, "{table}");
    assert!(rows[7].starts_with("  [0, 7] ") && rows[7].ends_with(" …"), "{table}");
    assert!(table.contains("… 18 rows in all"), "{table}");
    let json: Value =
        serde_json::from_str(&stdout(&[&at[..], &["--format", "json"]].concat())).unwrap();
    assert_eq!(json["outputs"][0]["values"].as_array().unwrap().len(), 2 * 9 * 12);
    let first = json["outputs"][0]["values"][0].as_f64().unwrap();
    assert!(rows[0].contains(&format!("{first:.4}")), "{first}: {}", rows[0]);
}

#[test]
fn a_trace_has_every_node_and_its_modules_around_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (trace, flame, folded) = (path("trace.json"), path("flame.svg"), path("folded.txt"));
    let model = ["encoder-layer:c=16,h=2,ff=32", "--set", "b=1", "--set", "n=4"];
    let files = ["-o", &trace, "--flame", &flame, "--folded", &folded];
    let told = stdout(&[&["trace"], &model[..], &files].concat());
    assert!(told.contains("0 mismatches"), "{told}");
    let run: Value =
        serde_json::from_str(&stdout(&[&["run"], &model[..], &["--format", "json"]].concat()))
            .unwrap();
    let trace: Value = serde_json::from_str(&std::fs::read_to_string(trace).unwrap()).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let nodes: Vec<&Value> = events.iter().filter(|event| event["cat"] != "module").collect();
    assert_eq!(nodes.len(), run["nodes"].as_array().unwrap().len());
    let span = |event: &Value| {
        let begin = event["ts"].as_f64().unwrap();
        (begin, begin + event["dur"].as_f64().unwrap())
    };
    for (node, own) in nodes.iter().zip(run["nodes"].as_array().unwrap()) {
        assert_eq!(node["args"]["useful flops"], own["useful"]["flops"]);
        let path = own["path"].as_str().unwrap();
        let (begin, end) = span(node);
        if let Some((module, _)) = path.rsplit_once('.') {
            let around = events.iter().any(|event| {
                let (first, last) = span(event);
                event["args"]["module"] == module && first <= begin && end <= last + 1e-6
            });
            assert!(around, "{path}");
        }
    }
    let folded = std::fs::read_to_string(folded).unwrap();
    let sum: u64 =
        folded.lines().map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum();
    assert_eq!(sum, run["useful"]["flops"].as_u64().unwrap(), "{folded}");
    let flame = std::fs::read_to_string(flame).unwrap();
    assert!(flame.contains("<title>all: 100.0 %</title>"), "{flame}");
    let none = opledger(&[&["trace"], &model[..]].concat());
    assert_eq!(none.code, Some(2), "{}", none.stderr);
}

#[test]
fn tables_are_set_in_latex() {
    for (arguments, told) in [
        ("count gpt2 --set n=4 --depth 3", ", by kind of layer}"),
        ("count gpt2 --set n=4 --depth 3", ", by node}"),
        ("count gpt2 mistral-7b --set n=4", r"124,439,808 & 7,241,732,096 \\"),
        ("count gpt2 --set n=4 --device h100-sxm", r"lower bound on h100-sxm"),
        ("verify D5", r"\caption{Published claims, settled}"),
        ("audit vaswani-table-3", r"\caption{"),
    ] {
        let latex = stdout(&[words(arguments), vec!["--format", "latex"]].concat());
        assert!(latex.contains(told), "{arguments}: {latex}");
        for (begin, end) in
            [(r"\begin{table}", r"\end{table}"), (r"\begin{tabular}", r"\end{tabular}")]
        {
            assert!(latex.contains(begin), "{latex}");
            assert_eq!(latex.matches(begin).count(), latex.matches(end).count(), "{latex}");
        }
        let set = latex.lines().filter(|line| !line.starts_with('%')).collect::<String>();
        for sign in ['%', '_', '#'] {
            let bare = set.matches(sign).count() - set.matches(&format!("\\{sign}")).count();
            assert_eq!(bare, 0, "{sign}: {latex}");
        }
    }
}
