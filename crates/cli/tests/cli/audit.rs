//! Published tables, recomputed.

use insta::assert_snapshot;
use serde_json::Value;

use super::{opledger, stdout};

const TABLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../audit/tables");
const CHART: &str = include_str!("../../../audit/rules.svg");

#[test]
fn all_tables_are_listed_with_a_tally() {
    assert_snapshot!(stdout(&["audit"]));
}

#[test]
fn a_search_as_a_table() {
    assert_snapshot!(stdout(&["audit", "vaswani-table-3"]));
}

#[test]
fn formulas_as_markdown() {
    assert_snapshot!(stdout(&["audit", "chinchilla-appendix-f", "--format", "markdown"]));
}

#[test]
fn every_reading_is_in_json_and_csv() {
    let text = stdout(&["audit", "chinchilla-table-a4", "--format", "json"]);
    let record: Value = serde_json::from_str(&text).unwrap();
    let cells = record["tables"][0]["cells"].as_array().unwrap();
    let ratio = cells.iter().find(|c| c["row"] == "6.8B" && c["column"] == "ratio").unwrap();
    assert_eq!(ratio["printed"], "0.99");
    assert_eq!(ratio["read"]["how"], "full-text");
    assert_eq!(ratio["read"]["at"], "arXiv:2203.15556");
    assert_eq!(ratio["outcome"], "agrees");
    let column = &record["tables"][0]["columns"][1];
    assert_eq!((&column["agree"], &column["cells"]), (&6.into(), &6.into()));
    assert_eq!(ratio["readings"][0]["agrees"], false);
    assert_eq!(ratio["readings"][0]["difference"], "+3.83 %");
    assert_eq!(ratio["readings"][1]["computed"], "0.9942");
    // 6·2,048 times the 6,795,694,080 parameters.
    assert_eq!(ratio["readings"][1]["exact"][1].to_string(), "83505488855040");
    let csv = stdout(&["audit", "chinchilla-table-a4", "--format", "csv"]);
    // A head, one reading of each size and two of each ratio.
    assert_eq!(csv.lines().count(), 1 + 6 + 2 * 6, "{csv}");
    assert!(csv.contains(",in full text,arXiv:2203.15556,agrees,"), "{csv}");
    let json = stdout(&["audit", "vaswani-table-3", "--format", "json"]);
    let record: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(record["tables"][0]["searches"][0]["shared"].to_string(), "[41004,41208]");
}

#[test]
fn a_table_of_ones_own_is_settled_from_its_file() {
    let own = stdout(&["audit", &format!("{TABLES}/bert.json")]);
    assert_eq!(own, stdout(&["audit", "bert"]));
}

#[test]
fn the_chart_of_a_rule_is_the_one_of_the_readme() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rules.svg");
    stdout(&["audit", "bert", "rules", "--svg", path.to_str().unwrap()]);
    assert!(std::fs::read_to_string(path).unwrap() == CHART, "write crates/audit/rules.svg anew");
}

#[test]
fn what_is_no_table_is_refused() {
    let refused = |arguments: &[&str], part: &str| {
        let ended = opledger(arguments);
        assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{arguments:?}");
        assert!(ended.stderr.contains(part), "{}", ended.stderr);
    };
    refused(&["audit", "gpt-3"], "there is no table `gpt-3` (did you mean `gpt-2`?)");
    refused(&["audit", "none"], "the tables are bert, chinchilla-appendix-f,");
    refused(&["audit", "none.json"], "`none.json` could not be read as a table");
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(file("empty.json"), "{}").unwrap();
    refused(&["audit", &file("empty.json")], "is no table: missing field `id`");
    refused(
        &["audit", "bert", "--svg", &file("x.svg")],
        "those that have one: megatron-table-1, rules, training-rules",
    );
    assert!(!folder.path().join("x.svg").exists());
}
