//! What the tables come to, and that no printed digit can change unseen.

use std::collections::BTreeSet;

use opledger_dims::Integer;
use opledger_report::{AuditedCell, AuditedTable};
use serde_json::Value;

use crate::{AuditError, PublishedTable, audit, table, table_names};

/// Every cell that agrees under no reading.
const DIFFER: &[(&str, &str, &str)] = &[
    ("bert", "BERT-base", "paper"),
    ("bert", "BERT-large", "paper"),
    ("chinchilla-appendix-f", "softmax", "formula"),
    ("chinchilla-table-a4", "305M", "parameters"),
    ("chinchilla-table-a4", "73M", "parameters"),
    ("gpt-2", "1.5B", "paper"),
    ("gpt-2", "124M", "paper"),
    ("gpt-2", "355M", "paper"),
    ("gpt-2", "774M", "paper"),
    ("gpt-3-table-2.1", "175B", "n_params"),
    ("gpt-3-table-2.1", "Medium", "n_params"),
    ("llama", "LLaMA-65B", "paper"),
    ("rules", "2·N, layers alone, causal", "formula"),
    ("swin-table-1", "Swin-B 384", "FLOPs"),
    ("swin-table-1", "Swin-T", "#param."),
    ("vaswani-table-3", "big", "params (10^6)"),
];

fn cell<'t>(table: &'t AuditedTable, row: &str, column: &str) -> &'t AuditedCell {
    table.cells.iter().find(|cell| cell.row == row && cell.column == column).unwrap()
}

#[test]
fn every_file_is_listed_under_its_name() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tables");
    let mut there: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().file_name().to_string_lossy().trim_end_matches(".json").to_owned())
        .collect();
    there.sort();
    assert_eq!(table_names().collect::<Vec<_>>(), there);
    for name in table_names() {
        let table = table(name).unwrap();
        assert_eq!(table.id, name);
        assert!(!table.source.is_empty() && !table.assumes.is_empty(), "{name}");
    }
}

#[test]
fn cells_agree_but_for_those_known_to_differ() {
    let mut found = BTreeSet::new();
    for name in table_names() {
        for cell in audit(name).unwrap().cells.iter().filter(|cell| !cell.agrees()) {
            found.insert((name.to_owned(), cell.row.clone(), cell.column.clone()));
        }
    }
    let owned = |(a, b, c): &(&str, &str, &str)| (a.to_string(), b.to_string(), c.to_string());
    assert_eq!(found, DIFFER.iter().map(owned).collect());
}

#[test]
fn a_changed_digit_makes_a_cell_differ() {
    let mut changed = 0;
    for name in table_names() {
        let whole = table(name).unwrap();
        let columns: Vec<String> = whole.computed().map(str::to_owned).collect();
        for row in &whole.rows {
            for column in &columns {
                let at = whole.columns.iter().position(|c| c == column).unwrap();
                let Value::String(printed) = &row[at] else { continue };
                let mut one = whole.clone();
                one.formulas.clear();
                one.rules.clear();
                let digit = printed[..1].parse::<u8>().unwrap() % 9 + 1;
                let mut row = row.clone();
                row[at] = format!("{digit}{}", &printed[1..]).into();
                let label = row[0].as_str().unwrap().to_owned();
                one.rows = vec![row];
                let settled = one.settle().unwrap();
                assert!(!cell(&settled, &label, column).agrees(), "{name}, {label}, {column}");
                changed += 1;
            }
        }
        for formula in &whole.formulas {
            let mut one = whole.clone();
            (one.rows, one.rules) = (Vec::new(), Vec::new());
            one.formulas = vec![formula.clone()];
            one.formulas[0].printed = format!("3*({})", formula.printed);
            assert!(!one.settle().unwrap().cells[0].agrees(), "{name}, {}", formula.name);
            changed += 1;
        }
    }
    let cells: usize = table_names().map(|name| audit(name).unwrap().cells.len()).sum();
    assert_eq!(changed, cells);
}

#[test]
fn no_vocabulary_fits_all_of_vaswani_table_3() {
    let table = audit("vaswani-table-3").unwrap();
    let [search] = &table.searches[..] else { panic!("{} searches", table.searches.len()) };
    let interval = |from: i64, to: i64| Some((Integer::from(from), Integer::from(to)));
    assert_eq!(search.shared, interval(40_932, 41_160));
    for row in &search.rows {
        assert_eq!(row.shares, row.row != "big", "{}", row.row);
    }
    assert_eq!(search.rows.last().unwrap().found, interval(35_296, 36_272));
    let stated = |row| &cell(&table, row, "params (10^6)").readings[0].computed;
    assert_eq!((stated("base").as_str(), stated("big").as_str()), ("63.08", "214.25"));
    // The ends of an interval round to what is printed, and what lies beyond them does not.
    let at = |words: &str, row: &str| {
        let text = include_str!("../tables/vaswani-table-3.json").replace("41000", words);
        let settled = PublishedTable::read("test.json", &text).unwrap().settle().unwrap();
        cell(&settled, row, "params (10^6)").readings[1].agrees
    };
    assert_eq!(
        ["35295", "35296", "36272", "36273"].map(|v| at(v, "big")),
        [false, true, true, false]
    );
    assert_eq!(["40931", "40932"].map(|v| at(v, "(C) ff=1024")), [false, true]);
    assert_eq!(["41160", "41161"].map(|v| at(v, "(C) N=4")), [true, false]);
}

#[test]
fn chinchilla_table_a4_leaves_embeddings_out() {
    let table = audit("chinchilla-table-a4").unwrap();
    let ratios = table.cells.iter().filter(|cell| cell.column == "ratio");
    let printed: Vec<[bool; 2]> =
        ratios.clone().map(|cell| [cell.readings[0].agrees, cell.readings[1].agrees]).collect();
    assert_eq!(printed, vec![[false, true]; 6]);
    let whole: Vec<&str> = ratios.map(|cell| &cell.readings[0].computed[..4]).collect();
    assert_eq!(whole, ["1.58", "1.31", "1.23", "1.14", "1.11", "1.02"]);
}

#[test]
fn rows_of_chinchilla_table_a9_tell_widths_of_attention_apart() {
    let table = audit("chinchilla-table-a9").unwrap();
    assert_eq!(table.cells.len(), 50);
    assert!(table.cells.iter().all(|cell| cell.readings[0].agrees));
    let off = |cell: &&AuditedCell| {
        let by = cell.readings[1].difference.as_deref().unwrap_or("0 %");
        by.trim_end_matches(" %").parse::<f64>().unwrap().abs() > 1.0
    };
    assert_eq!(table.cells.iter().filter(off).count(), 6, "kv_size·n_heads is not d_model");
}

#[test]
fn operations_of_swin_are_multiply_accumulates() {
    let table = audit("swin-table-1").unwrap();
    let counts = ["Swin-T", "Swin-S", "Swin-B", "Swin-B 384", "Swin-L 384"]
        .map(|row| cell(&table, row, "FLOPs").readings[1].computed.clone());
    let tool = ["4490566656", "8740875264", "15430946816", "47083134976", "103919087616"];
    assert_eq!(counts, tool);
    for formula in table.cells.iter().filter(|cell| cell.column == "formula") {
        assert_eq!([0, 1].map(|at| formula.readings[at].agrees), [false, true]);
    }
}

#[test]
fn what_no_graph_gives_is_called_arithmetic() {
    let derived = |name: &str| {
        let table = audit(name).unwrap();
        table.cells.iter().map(|cell| cell.readings[0].derived).collect::<Vec<_>>()
    };
    assert!(derived("korthikanti-activations").iter().all(|derived| !derived));
    assert!(derived("megatron-table-1").iter().all(|derived| *derived));
    assert_eq!(derived("palm-mfu"), [false, true, true]);
}

#[test]
fn the_rule_of_two_n_falls_behind_as_attention_grows() {
    let table = audit("rules").unwrap();
    for series in &table.rules[0].series {
        let falls = series.points.windows(2).all(|pair| pair[1].1 < pair[0].1);
        assert!(falls, "{}: {:?}", series.name, series.points);
    }
    // 2·6,738,415,616 over (128·1,691,411,808,256/128 + 4,328,521,728)/128, in percent.
    let llama = table.rules[0].series.iter().find(|s| s.name == "llama-2-7b").unwrap();
    let exact = (1_691_411_808_256.0 + 4_328_521_728.0) / 128.0;
    let percent = (2.0 * 6_738_415_616.0 / exact - 1.0) * 100.0;
    assert!((llama.points[0].1 - percent).abs() < 1e-6, "{percent}");
}

#[test]
fn errors_name_the_file_and_the_place() {
    let text = include_str!("../tables/bert.json");
    let error = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        let read = PublishedTable::read("mine.json", &text.replace(from, to));
        read.and_then(|table| table.settle()).unwrap_err().to_string()
    };
    let cases = [
        ("\"title\"", "\"titel\"", "unknown field `titel`"),
        ("\"source\": ", "\"assumes\": [], \"x\": ", "x"),
        ("\"BERT-base\", ", "", "row 1: it has 3 cells, the table 4 columns"),
        (
            "\"column\": \"paper\"",
            "\"column\": \"papier\"",
            "`column` is none of the columns model, preset",
        ),
        ("{preset}", "{presset}", "`{presset}` is none of the columns"),
        ("\"110M\"", "\"many\"", "column `paper`: `many` is no number"),
        ("\"bert-base\"", "\"bert-bas\"", "`bert-bas`"),
        ("\"value\": \"params\"", "\"value\": \"params +\"", "a number, a name or `(` is missing"),
        ("\"value\": \"params\"", "\"value\": \"parms\"", "symbol `parms` has no value"),
        ("\"of\": \"params\"", "\"of\": \"weights\"", "there is no quantity `weights`"),
        (
            "\"of\": \"params\"",
            "\"of\": \"macs\", \"part\": \"score\"",
            "no operation of this model",
        ),
        (
            "\"of\": \"params\"",
            "\"of\": \"params\", \"with\": {\"q\": \"1\"}",
            "leaves no size `q` open",
        ),
    ];
    for (from, to, told) in cases {
        let error = error(from, to);
        assert!(error.contains("`mine.json`") && error.contains(told), "{from}: {error}");
    }
    let unknown = audit("berd").unwrap_err();
    assert!(matches!(unknown, AuditError::Unknown { nearest: Some("bert"), .. }), "{unknown}");
}
