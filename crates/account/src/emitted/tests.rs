//! What is emitted, run by rustc and at hand by the other languages' tools, against the graph.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use opledger_dims::{Binding, Symbol};

use super::{Language, evaluated};
use crate::Model;

/// Models with every kind of definition that code is written for: windows, chunks, experts, divisions.
const MODELS: [&str; 9] = [
    "mha:mask=causal",
    "mha:c=64,h=4,bias=false",
    "encoder-layer:c=32,h=4,ff=64",
    "llama-2-7b",
    "gemma-3-1b",
    "llama-4-scout-17b-16e",
    "mixtral-8x7b",
    "deepseek-v2-lite",
    "swin-t",
];

/// Sizes for what is free, drawn by a fixed rule, products agreeing.
fn drawn(names: &[Symbol], seed: u64) -> Vec<u64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    names
        .iter()
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            1 + state % 9000
        })
        .collect()
}

/// A call of a function, and what it gives.
type Call = (&'static str, Vec<u64>, String);

/// Calls of every function at drawn sizes, with what the graph says.
fn calls(model: &Model) -> Vec<Call> {
    let sized = model.partly_at(&Binding::new()).unwrap();
    let program = sized.program().unwrap();
    let mut calls = Vec::new();
    for seed in 1..=20 {
        let mut sizes = drawn(&program.sizes, seed);
        // Of c = h·e, c is h times a width.
        let at = |name: &str| program.sizes.iter().position(|own| own.as_str() == name);
        if let (Some(c), Some(h)) = (at("c"), at("h")) {
            sizes[h] = 1 + sizes[h] % 16;
            sizes[c] = sizes[h] * (1 + sizes[c] % 64);
        }
        let mut binding = sized.sizes().clone();
        for (symbol, size) in program.sizes.iter().zip(&sizes) {
            binding.set(symbol, *size);
        }
        for quantity in super::QUANTITIES {
            let Some(value) = evaluated(&sized, &binding, quantity) else { continue };
            calls.push((quantity.name(), sizes.clone(), value.to_string()));
        }
    }
    assert!(calls.len() >= 60, "{}: {} calls", model.name(), calls.len());
    calls
}

fn code(model: &str, language: Language) -> (String, Vec<Call>) {
    let model = Model::open(model).unwrap();
    let code = model.partly_at(&Binding::new()).unwrap().emit(language).unwrap();
    (code, calls(&model))
}

fn written(folder: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let path = folder.join(name);
    std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
    path
}

fn succeeds(command: &mut Command) {
    let out = command.output().unwrap();
    let text = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{command:?}\n{}", text.chars().take(2000).collect::<String>());
}

/// Whether a program is on this machine.
fn is_here(program: &str) -> bool {
    let here =
        Command::new(program).arg("--version").output().is_ok_and(|out| out.status.success());
    if !here {
        println!("{program} is not on this machine: nothing is run by it");
    }
    here
}

fn list(sizes: &[u64]) -> String {
    sizes.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}

#[test]
fn emitted_rust_gives_what_the_graph_says() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = String::from("#![allow(clippy::all)]\n");
    let mut main = String::from("fn main() {\n");
    for (at, model) in MODELS.into_iter().enumerate() {
        let (code, calls) = code(model, Language::Rust);
        all.push_str(&format!("mod m{at} {{\n{code}}}\n"));
        for (name, sizes, value) in calls {
            let name = name.replace('-', "_");
            main.push_str(&format!(
                "    assert_eq!(m{at}::{name}({}), Some({value}));\n",
                list(&sizes)
            ));
        }
    }
    // What passes 128 bits is none.
    main.push_str("    assert_eq!(m3::macs(i128::MAX / 2, 9000), None);\n}\n");
    let path = written(folder.path(), "all.rs", &(all + &main));
    let binary = folder.path().join("all");
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    succeeds(
        Command::new(&rustc)
            .args(["--edition", "2021", "-A", "warnings", "-o"])
            .arg(&binary)
            .arg(&path),
    );
    succeeds(&mut Command::new(&binary));
    let checks = folder.path().join("checks");
    succeeds(
        Command::new(rustc)
            .args(["--edition", "2021", "-A", "warnings", "--test", "-o"])
            .arg(&checks)
            .arg(&path),
    );
    succeeds(&mut Command::new(&checks));
}

#[test]
fn emitted_python_gives_what_the_graph_says() {
    if !is_here("python3") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (at, model) in MODELS.into_iter().enumerate() {
        let (mut code, calls) = code(model, Language::Python);
        for (name, sizes, value) in calls {
            let name = name.replace('-', "_");
            code.push_str(&format!("assert {name}({}) == {value}\n", list(&sizes)));
        }
        succeeds(Command::new("python3").arg(written(folder.path(), &format!("m{at}.py"), &code)));
    }
}

#[test]
fn emitted_javascript_gives_what_the_graph_says() {
    if !is_here("node") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (at, model) in MODELS.into_iter().enumerate() {
        let (mut code, calls) = code(model, Language::JavaScript);
        for (name, sizes, value) in calls {
            let name = name.replace('-', "_");
            let sizes = list(&sizes);
            code.push_str(&format!(
                "if ({name}({sizes}) !== {value}n) throw new Error(\"{name} at {sizes}\");\n"
            ));
        }
        succeeds(Command::new("node").arg(written(folder.path(), &format!("m{at}.cjs"), &code)));
    }
}

#[test]
fn emitted_c_gives_what_the_graph_says() {
    if !is_here("cc") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (at, model) in MODELS.into_iter().enumerate() {
        let (code, calls) = code(model, Language::C);
        let code = code.split("#ifdef CHECK").next().unwrap();
        let mut main = String::from("int main(void) {\n  i128 r;\n");
        for (name, sizes, value) in calls {
            let name = name.replace('-', "_");
            let sizes: String = sizes.iter().map(|size| format!("{size}, ")).collect();
            let value = super::code::literal(&value.parse().unwrap());
            main.push_str(&format!("  if ({name}({sizes}&r) || r != {value}) return 1;\n"));
        }
        if model == "llama-2-7b" {
            main.push_str("  if (!macs((i128)1 << 120, 9000, &r)) return 2;\n");
        }
        main.push_str("  return check();\n}\n");
        let path = written(folder.path(), &format!("m{at}.c"), &format!("{code}{main}"));
        let binary = folder.path().join(format!("m{at}"));
        succeeds(
            Command::new("cc")
                .args(["-Wall", "-Werror", "-Wno-unused-function", "-o"])
                .arg(&binary)
                .arg(&path),
        );
        succeeds(&mut Command::new(&binary));
    }
}

#[test]
fn formulas_of_mathematics_name_every_size() {
    for model in MODELS {
        let (sympy, _) = code(model, Language::Sympy);
        assert!(sympy.contains("def check():"), "{model}");
        let (latex, _) = code(model, Language::Latex);
        assert_eq!(latex.matches('{').count(), latex.matches('}').count(), "{model}");
        assert!(latex.contains(r"\text{macs} &= "), "{model}");
    }
    if Command::new("python3")
        .args(["-c", "import sympy"])
        .output()
        .is_ok_and(|o| o.status.success())
    {
        let folder = tempfile::tempdir().unwrap();
        for model in MODELS {
            let path = written(folder.path(), "m.py", &code(model, Language::Sympy).0);
            succeeds(Command::new("python3").arg(path));
        }
    }
}

#[test]
fn a_wrong_number_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let (code, _) = code("mha:c=64,h=4,bias=false", Language::Rust);
    let wrong = code.replacen("16384", "16385", 1);
    assert_ne!(code, wrong);
    let path = written(folder.path(), "wrong.rs", &wrong);
    let checks = folder.path().join("wrong");
    succeeds(
        Command::new("rustc")
            .args(["--edition", "2021", "-A", "warnings", "--test", "-o"])
            .arg(&checks)
            .arg(&path),
    );
    assert!(!Command::new(&checks).output().unwrap().status.success());
}

#[test]
fn what_follows_from_a_mask_has_no_function() {
    let model = Model::open("mha:c=8,h=2,padding=true").unwrap();
    let said = model.partly_at(&Binding::new()).unwrap().emit(Language::Python);
    let said = said.unwrap_err().to_string();
    assert!(said.starts_with("no function of sizes gives"), "{said}");
    assert!("perl".parse::<Language>().is_err());
}
