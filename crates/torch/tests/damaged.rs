//! Archives that are cut, changed or made up: an error each, or a graph that can be counted.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};

use opledger_torch::{ImportOptions, open};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rawzip::{ZipArchive, ZipArchiveWriter};
use serde_json::Value;

fn archive(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/archives").join(name)
}

/// The names and bytes of an archive's entries.
fn entries(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let zip = ZipArchive::from_slice(bytes).unwrap();
    let mut all = Vec::new();
    let mut listed = zip.entries();
    while let Some(entry) = listed.next_entry().unwrap() {
        let name = String::from_utf8_lossy(entry.file_path().as_ref()).into_owned();
        all.push((name, zip.get_entry(entry.wayfinder()).unwrap().data().to_vec()));
    }
    all
}

fn zipped(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut zip = ZipArchiveWriter::new(&mut bytes);
    for (name, data) in entries {
        let (mut entry, config) = zip.new_file(name).start().unwrap();
        let mut writer = config.wrap(&mut entry);
        std::io::Write::write_all(&mut writer, data).unwrap();
        let (_, descriptor) = writer.finish().unwrap();
        entry.finish(descriptor).unwrap();
    }
    zip.finish().unwrap();
    bytes
}

/// Every value of a JSON text, as paths of keys and places.
fn leaves(value: &Value, path: &str, all: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            all.push(path.to_owned());
            for (key, inner) in map {
                let key = key.replace('~', "~0").replace('/', "~1");
                leaves(inner, &format!("{path}/{key}"), all);
            }
        }
        Value::Array(list) => {
            all.push(path.to_owned());
            for (at, inner) in list.iter().enumerate() {
                leaves(inner, &format!("{path}/{at}"), all);
            }
        }
        _ => all.push(path.to_owned()),
    }
}

/// One value of a program changed.
fn changed(program: &Value, paths: &[String], rng: &mut StdRng) -> Value {
    let mut program = program.clone();
    let pick = |rng: &mut StdRng| paths[rng.next_u64() as usize % paths.len()].clone();
    let other = program.pointer(&pick(rng)).cloned().unwrap_or(Value::Null);
    let Some(value) = program.pointer_mut(&pick(rng)) else { return program };
    *value = match (rng.next_u32() % 4, &*value) {
        (0, _) => other,
        (_, Value::Number(_)) => {
            let numbers = [-1_i64, 0, 1, 2, 7, 1 << 40, i64::MAX, i64::MIN];
            numbers[rng.next_u32() as usize % numbers.len()].into()
        }
        (_, Value::String(_)) => {
            let texts =
                ["", "input", "aten.view.default", "Mul(Integer(0))", "as_int", "\u{1b}[2J"];
            texts[rng.next_u32() as usize % texts.len()].into()
        }
        (_, Value::Array(list)) => {
            let mut list = list.clone();
            match rng.next_u32() % 2 {
                0 => drop(list.pop()),
                _ => list.extend(list.clone()),
            }
            list.into()
        }
        (_, Value::Bool(value)) => (!value).into(),
        (_, Value::Object(_) | Value::Null) => Value::Null,
    };
    program
}

/// Opens bytes as an archive; what opens can be counted.
fn attempt(bytes: &[u8]) {
    let file = tempfile::Builder::new().suffix(".pt2").tempfile().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let options = ImportOptions { partial: true, ..ImportOptions::default() };
    match open(file.path(), &options) {
        Err(error) => assert!(!error.to_string().is_empty()),
        Ok(imported) => drop(imported.graph.cost().flops()),
    }
}

fn cases() -> u32 {
    std::env::var("OPLEDGER_DAMAGES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(200)
}

/// The programs with an operation of every group are those that the tests as a whole have.
fn programs() -> Vec<PathBuf> {
    let whole = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/programs");
    let of_all = [
        "cells",
        "functions",
        "further",
        "in_place",
        "joined",
        "losses",
        "merged",
        "modes",
        "nested",
        "ordered",
        "places",
        "quotients",
        "recurrent",
        "resampled",
        "sampled",
        "sized",
    ];
    let of_all = of_all.map(|name| whole.join(format!("{name}.pt2")));
    [archive("encoder_layer.pt2"), archive("bert.pt2")].into_iter().chain(of_all).collect()
}

#[test]
fn no_change_of_a_program_is_a_panic() {
    for (place, path) in programs().into_iter().enumerate() {
        let whole = entries(&std::fs::read(path).unwrap());
        let cases = if place < 2 { cases() } else { cases() / 4 };
        let at = whole.iter().position(|(name, _)| name.contains("/models/")).unwrap();
        let program: Value = serde_json::from_slice(&whole[at].1).unwrap();
        let mut paths = Vec::new();
        leaves(&program, "", &mut paths);
        for seed in 0..cases {
            let mut rng = StdRng::seed_from_u64(u64::from(seed));
            let mut entries = whole.clone();
            entries[at].1 = serde_json::to_vec(&changed(&program, &paths, &mut rng)).unwrap();
            attempt(&zipped(&entries));
        }
    }
}

/// What views and their arguments say of sizes holds without guards too.
#[test]
fn without_guards_views_say_what_sizes_are_multiples_of() {
    let whole = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/programs/nested.pt2");
    let mut entries = entries(&std::fs::read(whole).unwrap());
    let at = entries.iter().position(|(name, _)| name.contains("/models/")).unwrap();
    let mut program: Value = serde_json::from_slice(&entries[at].1).unwrap();
    program["guards_code"] = Value::Array(Vec::new());
    entries[at].1 = serde_json::to_vec(&program).unwrap();
    let file = tempfile::Builder::new().suffix(".pt2").tempfile().unwrap();
    std::fs::write(file.path(), zipped(&entries)).unwrap();
    let imported = open(file.path(), &ImportOptions::default()).unwrap();
    let told: Vec<String> = imported.conditions.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["s46 mod 8 = 0", "s9 ≥ 3"]);
}

#[test]
fn no_cut_and_no_byte_of_an_archive_is_a_panic() {
    let whole = std::fs::read(archive("encoder_layer.pt2")).unwrap();
    let mut rng = StdRng::seed_from_u64(7);
    for _ in 0..cases() / 4 {
        attempt(&whole[..rng.next_u64() as usize % whole.len()]);
        let mut bytes = whole.clone();
        for _ in 0..8 {
            let at = rng.next_u64() as usize % bytes.len();
            bytes[at] = rng.next_u32() as u8;
        }
        attempt(&bytes);
    }
}

#[test]
fn what_is_no_program_is_named() {
    let message = |bytes: &[u8]| {
        let file = tempfile::Builder::new().suffix(".pt2").tempfile().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        open(file.path(), &ImportOptions::default()).unwrap_err().to_string()
    };
    assert!(message(b"").contains("no archive"));
    assert!(message(b"PK\x03\x04").contains("no archive"));
    let entry = |name: &str, data: &[u8]| zipped(&[(name.to_owned(), data.to_vec())]);
    assert!(message(&entry("a/b.txt", b"")).contains("models/"));
    assert!(message(&entry("a/models/a.json", b"{}")).contains("not understood"));
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(message(&entry("a/models/a.json", deep.as_bytes())).contains("not understood"));
    let whole = entries(&std::fs::read(archive("encoder_layer.pt2")).unwrap());
    let changed = |whole: &[(String, Vec<u8>)], from: &str, to: &str| {
        let mut entries = whole.to_vec();
        for (name, data) in &mut entries {
            if name.contains("/models/") {
                *data = String::from_utf8(data.clone()).unwrap().replacen(from, to, 1).into_bytes();
            }
        }
        message(&zipped(&entries))
    };
    let with = |from: &str, to: &str| changed(&whole, from, to);
    assert!(with("\"major\":8", "\"major\":9").contains("schema 9."));
    let unknown = with("torch.ops.aten.relu.default", "torch.ops.aten.fold.default");
    assert!(unknown.contains("aten.fold.default in the model itself, once, at "), "{unknown}");
    assert!(unknown.starts_with("1 operation of the program is not known:\n"), "{unknown}");
    // What only the data says is refused, each kind with what to write instead.
    for (operation, said) in [
        ("aten.nonzero.default", "choose by `torch.where`"),
        ("aten._pack_padded_sequence.default", "hide what is padding by a mask"),
        ("aten.where.default", "choose by `torch.where`"),
        ("aten.item.default", "keep it a tensor"),
        ("higher_order.cond", "which branch is executed"),
        ("higher_order.while_loop", "how often the body is executed"),
    ] {
        let refused = with("torch.ops.aten.relu.default", &format!("torch.ops.{operation}"));
        assert!(refused.contains(said), "{operation}: {refused}");
    }
    // No default stands in the place of an argument of another kind.
    let misread = with("{\"as_float\":1e-05}", "{\"as_string\":\"small\"}");
    assert!(misread.contains("norm1: `eps` is of a kind that is not read"), "{misread}");
    let misread = with("aten.relu.default", "aten.item.default");
    assert!(misread.starts_with("aten.item.default in the model itself: "), "{misread}");
    // A misfit is told by sizes and by the line of the model, and by no line of the graph's own.
    let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/programs/skipped.pt2");
    let images = entries(&std::fs::read(images).unwrap());
    let weight = |name: &str| {
        format!("{{\"name\":\"weight\",\"arg\":{{\"as_tensor\":{{\"name\":\"{name}\"}}}}")
    };
    let misfit = changed(&images, &weight("p_narrower_weight"), &weight("p_least_weight"));
    assert!(misfit.contains("operands of `convolution`: ["), "{misfit}");
    assert!(misfit.contains("at conv.py:") && !misfit.contains(".rs"), "{misfit}");
}
