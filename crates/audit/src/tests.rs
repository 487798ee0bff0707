//! What the tables come to, and that no printed digit can change unseen.

use std::collections::BTreeSet;

use opledger_dims::Integer;
use opledger_report::{
    Audit, AuditedCell, AuditedTable, Format, Outcome, Provenance, Style, render,
};
use serde_json::Value;

use crate::{AuditError, PublishedTable, audit, table, table_names};

/// Every cell that agrees under another reading than most of its column.
const OTHERWISE: &[(&str, &str, &str)] =
    &[("vit-table-1", "ViT-Base", "Params"), ("vit-table-1", "ViT-Large", "Params")];

/// Every cell that agrees under no reading.
const DIFFER: &[(&str, &str, &str)] = &[
    ("bert", "BERT-large", "paper"),
    ("chinchilla-appendix-f", "Softmax", "formula"),
    ("chinchilla-table-a4", "305M", "parameters"),
    ("chinchilla-table-a4", "73M", "parameters"),
    ("gpt-2", "1.5B", "paper"),
    ("gpt-2", "124M", "paper"),
    ("gpt-2", "355M", "paper"),
    ("gpt-2", "774M", "paper"),
    ("gpt-3-table-2.1", "175B", "n_params"),
    ("gpt-3-table-2.1", "Medium", "n_params"),
    ("korthikanti", "FLOPs that the hardware does", "formula"),
    ("korthikanti", "MT-NLG", "HFU"),
    ("llama", "LLaMA-65B", "paper"),
    ("rules", "2·N, layers alone, causal", "formula"),
    ("swin-table-1", "Swin-B 384", "FLOPs"),
    ("swin-table-1", "Swin-T", "#param."),
    ("training-rules", "a step of one layer, norms last", "formula"),
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
    let tables: Vec<AuditedTable> = table_names().map(|name| audit(name).unwrap()).collect();
    let that = |outcome: Outcome| -> BTreeSet<(String, String, String)> {
        let cells = tables.iter().flat_map(|t| t.cells.iter().map(move |cell| (&t.id, cell)));
        let cells = cells.filter(|(_, cell)| cell.outcome == outcome);
        cells.map(|(id, c)| (id.clone(), c.row.clone(), c.column.clone())).collect()
    };
    let owned = |(a, b, c): &(&str, &str, &str)| (a.to_string(), b.to_string(), c.to_string());
    assert_eq!(that(Outcome::Differs), DIFFER.iter().map(owned).collect());
    assert_eq!(that(Outcome::AgreesOtherwise), OTHERWISE.iter().map(owned).collect());
    assert_eq!(that(Outcome::Unread), BTreeSet::new());
    // A vocabulary that was searched so that they agree.
    let fitted = that(Outcome::Fitted);
    assert_eq!(fitted.len(), 10);
    assert!(fitted.iter().all(|(id, ..)| id == "vaswani-table-3"));
}

/// An arXiv number, a file of a repository at a commit, a release of a package, or a publisher's file.
fn is_address(text: &str) -> bool {
    let number = |text: &str| {
        let digits = |text: &str, n| text.len() == n && text.bytes().all(|b| b.is_ascii_digit());
        text.split_once('.').is_some_and(|(year, rest)| digits(year, 4) && digits(rest, 5))
    };
    let at_commit = |text: &str| {
        let commit = |text: &str| text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit());
        text.split_once('@').is_some_and(|(repository, rest)| {
            repository.split('/').count() == 2
                && rest.split_once(", ").is_some_and(|(c, _)| commit(c))
        })
    };
    if let Some(rest) = text.strip_prefix("arXiv:") {
        return number(rest.split(' ').next().unwrap_or_default());
    }
    if let Some(rest) = text.strip_prefix("github.com/") {
        let request = |rest: &str| {
            rest.split_once("/pull/").is_some_and(|(repository, number)| {
                repository.split('/').count() == 2 && number.bytes().all(|b| b.is_ascii_digit())
            })
        };
        return at_commit(rest) || request(rest);
    }
    text.strip_prefix("pypi.org/project/").is_some_and(|rest| rest.split('/').count() == 2)
        || (text.starts_with("cdn.openai.com/") && text.ends_with(".pdf"))
}

#[test]
fn every_cell_says_where_it_was_read() {
    for name in table_names() {
        let table = audit(name).unwrap();
        for cell in &table.cells {
            let read = cell.read.as_ref();
            let read = read.unwrap_or_else(|| panic!("{name}, {}, {}", cell.row, cell.column));
            assert!(is_address(&read.at), "{name}: {}", read.at);
        }
        for read in &table.read {
            let spoken_of = |cell: &AuditedCell| read.is_about(&cell.row, &cell.column);
            assert!(table.cells.iter().any(spoken_of), "{name}: {read:?}");
        }
    }
    for text in ["somewhere", "arXiv:17", "github.com/a/b", "github.com/a/b@main, x", "example.org"]
    {
        assert!(!is_address(text), "{text}");
    }
}

/// A table of one's own: two columns of numbers, three readings, one of them fitted.
const OWN: &str = r#"{
  "id": "own", "title": "two widths", "source": "a notebook", "assumes": [],
  "read": [
    {"how": "full-text", "at": "arXiv:0000.00000"},
    {"row": "b", "column": "x", "how": "unread", "at": "a scan"},
    {"row": "a square", "how": "transcriptions", "at": "two others"}
  ],
  "columns": ["row", "w", "x"],
  "rows": [["a", 3, "3"], ["b", 4, "9"], ["c", 5, "10"], ["d", 6, "12"], ["e", 7, "8"], ["f", 8, "9"]],
  "readings": [
    {"name": "width", "column": "x", "value": "w"},
    {"name": "twice", "column": "x", "value": "2*w"},
    {"name": "twice", "column": "x", "value": "w + 1", "fitted": true}
  ],
  "formulas": [{"name": "a square", "printed": "w^2", "readings": [{"name": "w·w", "value": "w*w"}]}]
}"#;

#[test]
fn one_reading_is_preferred_and_fitted_ones_do_not_agree() {
    let table = PublishedTable::read("own.json", OWN).unwrap().settle().unwrap();
    let outcome = |row: &str| table.cells.iter().find(|cell| cell.row == row).unwrap().outcome;
    // "twice" agrees with two cells that were read, "width" with one, the fitted one with two.
    let [column, formula] = &table.columns[..] else { panic!("{:?}", table.columns) };
    assert_eq!((column.reading.as_str(), column.agree, column.cells), ("twice", 2, 5));
    assert_eq!((column.any, column.readings), (3, 2));
    assert_eq!((formula.agree, formula.cells), (1, 1));
    let outcomes = ["a", "b", "c", "d", "e", "f", "a square"].map(outcome);
    let [other, unread, agrees, fitted] =
        [Outcome::AgreesOtherwise, Outcome::Unread, Outcome::Agrees, Outcome::Fitted];
    assert_eq!(outcomes, [other, unread, agrees, agrees, fitted, fitted, agrees]);
    let how = |row: &str| {
        let cell = table.cells.iter().find(|cell| cell.row == row).unwrap();
        cell.read.as_ref().unwrap().how
    };
    assert_eq!(how("a"), Provenance::FullText);
    assert_eq!(how("b"), Provenance::Unread);
    assert_eq!(how("a square"), Provenance::Transcriptions);
    let audit = Audit { tables: vec![table], details: true };
    let shown = render(&audit, Format::Table, Style::plain()).unwrap();
    for part in [
        "cells: 6; agree under one reading a column: 3; otherwise: 1; fitted: 2; differ: 0; not read: 1",
        "\"twice\" agrees in 2 of 5 cells; any reading in 3.",
        "Read (b, x): not read, a scan.",
    ] {
        assert!(shown.replace('\n', " ").contains(part), "{shown}");
    }
    let elsewhere = OWN.replace("\"row\": \"b\"", "\"row\": \"z\"");
    let error = PublishedTable::read("own.json", &elsewhere).unwrap_err().to_string();
    assert!(error.contains("the table has no row `z`"), "{error}");
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
                let outcome = cell(&settled, &label, column).outcome;
                assert_eq!(outcome, Outcome::Differs, "{name}, {label}, {column}");
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
    let [without, with] = &table.searches[..] else { panic!("{}", table.searches.len()) };
    let interval = |from: i64, to: i64| Some((Integer::from(from), Integer::from(to)));
    for (search, most, big) in [
        (without, interval(41_004, 41_208), interval(35_368, 36_344)),
        (with, interval(40_932, 41_160), interval(35_296, 36_272)),
    ] {
        assert_eq!(search.shared, most);
        for row in &search.rows {
            assert_eq!(row.shares, row.row != "big", "{}", row.row);
        }
        assert_eq!(search.rows.last().unwrap().found, big);
    }
    let stated =
        |row, reading: usize| cell(&table, row, "params (10^6)").readings[reading].computed.clone();
    assert_eq!(["base", "big"].map(|row| stated(row, 0)), ["63.05", "214.17"]);
    assert_eq!(["base", "big"].map(|row| stated(row, 1)), ["63.08", "214.25"]);
    // The ends of an interval round to what is printed, and what lies beyond them does not.
    let at = |words: &str, row: &str| {
        let text = include_str!("../tables/vaswani-table-3.json").replace("41100", words);
        let settled = PublishedTable::read("test.json", &text).unwrap().settle().unwrap();
        let reading = &cell(&settled, row, "params (10^6)").readings[2];
        assert!(reading.fitted);
        reading.agrees
    };
    assert_eq!(
        ["35367", "35368", "36344", "36345"].map(|v| at(v, "big")),
        [false, true, true, false]
    );
    assert_eq!(["41003", "41004"].map(|v| at(v, "(C) ff=1024")), [false, true]);
    assert_eq!(["41208", "41209"].map(|v| at(v, "(C) N=4")), [true, false]);
}

#[test]
fn bert_is_110_million_with_the_heads_of_pre_training() {
    let table = audit("bert").unwrap();
    let with_heads = ["BERT-base", "BERT-large"]
        .map(|row| cell(&table, row, "paper").readings[1].computed.clone());
    // The encoder, and by hand: c·c + c, 2·c, a bias of 30,522 words, 2·c + 2.
    let by_hand = |encoder: u64, c: u64| (encoder + c * c + 5 * c + 30_522 + 2).to_string();
    assert_eq!(with_heads, [by_hand(109_482_240, 768), by_hand(335_141_888, 1024)]);
    assert_eq!(with_heads[0], "110106428");
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

/// Multiply-accumulates of a Swin Transformer by the arithmetic of its paper, sections 3.1 to 3.3: patches
/// of 4×4, four stages that halve the image and double the width, windows that fill it, 1,000 classes.
fn swin_macs(width: u64, blocks: [u64; 4], window: u64, image: u64) -> u64 {
    let (mut side, mut c) = (image / 4, width);
    let mut macs = side * side * (4 * 4 * 3) * c;
    for (stage, blocks) in blocks.into_iter().enumerate() {
        if stage > 0 {
            side /= 2;
            macs += side * side * (4 * c) * (2 * c);
            c *= 2;
        }
        assert_eq!(side % window, 0);
        // Ω(W-MSA), and two maps between c and 4·c.
        let tokens = side * side;
        macs +=
            blocks * (4 * tokens * c * c + 2 * window * window * tokens * c + 8 * tokens * c * c);
    }
    macs + c * 1000
}

#[test]
fn operations_of_swin_are_multiply_accumulates() {
    let table = audit("swin-table-1").unwrap();
    let counts = ["Swin-T", "Swin-S", "Swin-B", "Swin-B 384", "Swin-L 384"]
        .map(|row| cell(&table, row, "FLOPs").readings[1].computed.clone());
    let by_hand = [
        swin_macs(96, [2, 2, 6, 2], 7, 224),
        swin_macs(96, [2, 2, 18, 2], 7, 224),
        swin_macs(128, [2, 2, 18, 2], 7, 224),
        swin_macs(128, [2, 2, 18, 2], 12, 384),
        swin_macs(192, [2, 2, 18, 2], 12, 384),
    ];
    assert_eq!(counts, by_hand.map(|count| count.to_string()));
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
    let row = [false, true, false, true];
    assert_eq!(derived("korthikanti"), [&row[..], &row, &[true], &[true, true, false]].concat());
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

/// Of a step whose attention is computed again, the paper's 2.7 % and 1.6 % are six times what gradients read again,
/// which is the scores, half of a forward pass of attention, whose result is kept.
#[test]
fn recomputation_of_attention_is_a_sixth_of_what_is_said() {
    let table = audit("korthikanti").unwrap();
    for (model, said, own) in [("GPT-3", 2.6932, 0.4489), ("MT-NLG", 1.6361, 0.2727)] {
        let cell = cell(&table, model, "FLOPs more");
        let of = |at: usize| cell.readings[at].computed.parse::<f64>().unwrap();
        assert!((of(0) - said).abs() < 1e-3 && (of(2) - own).abs() < 1e-3, "{cell:?}");
        assert!((of(0) - 6.0 * of(2)).abs() < 4e-3, "{cell:?}");
    }
}

/// A step is three forward passes of products exactly, and of all operations nearly; 6·N overcounts tables of short
/// texts and leaves attention of long ones out.
#[test]
fn rules_of_training_are_followed_along_the_tokens() {
    let table = audit("training-rules").unwrap();
    let [six, without, three, four] = &table.rules[..] else { panic!("{:?}", table.rules) };
    for rule in [six, without] {
        for series in &rule.series {
            assert!(series.points.windows(2).all(|pair| pair[1].1 < pair[0].1), "{}", series.name);
        }
    }
    for series in &three.series {
        assert!(series.points.iter().all(|(_, error)| error.abs() < 1.0), "{}", series.name);
    }
    // What gradients read of a layer is less than the layer.
    for series in &four.series {
        assert!(series.points.iter().all(|(_, error)| *error > 0.0), "{}", series.name);
    }
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
        ("\"BERT-base\", ", "", "row 1: it has 4 cells, the table 5 columns"),
        (
            "\"column\": \"paper\"",
            "\"column\": \"papier\"",
            "`papier` is none of the columns model, preset",
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

#[test]
fn what_nothing_computes_is_no_table() {
    let table = |changes: serde_json::Value| {
        let mut table = serde_json::json!({
            "id": "mine", "title": "t", "source": "s", "assumes": [],
            "columns": ["name", "params"], "rows": [["a", 1]],
            "readings": [{"name": "r", "column": "params", "value": "1"}],
        });
        let all = table.as_object_mut().unwrap();
        all.extend(changes.as_object().unwrap().clone());
        PublishedTable::read("mine.json", &table.to_string())
            .and_then(|table| table.settle())
            .map(drop)
            .map_err(|problem| problem.to_string())
    };
    assert!(table(serde_json::json!({})).is_ok());
    for (column, told) in [
        (Value::Null, "`column`, which is missing, is none of the columns name, params"),
        ("flops".into(), "`flops` is none of the columns name, params"),
    ] {
        let reading = serde_json::json!({"name": "r", "column": column, "value": "1"});
        let found = table(serde_json::json!({"readings": [reading]})).unwrap_err();
        assert_eq!(found, format!("`mine.json`, reading `r`: {told}"));
    }
    for (changes, place) in [
        (serde_json::json!({"readings": []}), "the table"),
        (serde_json::json!({"readings": [], "rows": [], "columns": []}), "the table"),
        (
            serde_json::json!({"formulas": [{"name": "f", "printed": "n", "readings": []}]}),
            "formula `f`",
        ),
    ] {
        let told = table(changes).unwrap_err();
        let expected = format!("`mine.json`, {place}: no reading says how it is computed");
        assert!(told.starts_with(&expected), "{told}");
    }
}
