//! What describes the command line itself.

use crate::{opledger, stdout};

/// The commands that the first page of help lists.
fn commands() -> Vec<String> {
    let help = stdout(&["--help"]);
    let (_, list) = help.split_once("Commands:\n").unwrap();
    let lines = list.lines().take_while(|line| !line.is_empty());
    let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
}

#[test]
fn every_command_has_help_a_page_and_completions() {
    let commands = commands();
    assert!(commands.len() > 15 && commands.contains(&"completions".to_owned()), "{commands:?}");
    let completed = completed("");
    let man = stdout(&["man"]);
    for command in &commands {
        assert!(stdout(&["help", command]).contains("Usage: opledger"), "{command}");
        assert!(completed.contains(command), "{command}");
        assert!(man.contains(&command.replace('-', "\\-")), "{command}");
        if command != "help" {
            let page = stdout(&["man", command]);
            assert!(page.contains(&format!(".TH opledger-{command} 1")), "{page}");
        }
    }
    assert!(stdout(&["man", "count"]).contains("assert"));
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = stdout(&["completions", shell]);
        assert!(script.contains("# opledger, for") && script.contains(" complete "), "{script}");
    }
}

/// What may stand in the place of the last word.
fn completed(words: &str) -> Vec<String> {
    let mut arguments = vec!["complete", "--"];
    arguments.extend(words.split(' '));
    let lines = stdout(&arguments);
    lines.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect()
}

#[test]
fn words_are_completed_by_what_may_stand_there() {
    for (words, all) in [
        ("expl", "explain"),
        ("count --dev", "--device"),
        ("count gpt2 --device h100-s", "h100-sxm"),
        ("count gpt2 --device=h100-s", "--device=h100-sxm"),
        ("count gpt2 --convention fvc", "fvcore"),
        ("count gpt2 --convention al", "all"),
        ("train gpt2 --convention megatron-l", "megatron-lm"),
        ("count gpt2 --dtype bf", "bf16"),
        ("count gpt2 --sort bytes-w", "bytes-written"),
        ("count gpt2 --format mer", "mermaid"),
        ("count gpt2 llama-3.1-40", "llama-3.1-405b"),
        ("fit --memory 24GB llama-3.1-8", "llama-3.1-8b"),
        ("derive mha --emit pyt", "python"),
        ("derive mha:mask=cau", "mha:mask=causal"),
        ("derive mha:c=512,mas", "mha:c=512,mask="),
        ("explain fvc", "fvcore"),
        ("explain fvcore tho", "thop"),
        ("explain fvcore gpt2-me", "gpt2-medium"),
        ("explain fvcore thop gpt2-me", "gpt2-medium"),
        ("train gpt2 --optimizer ada", "adam adamw adafactor"),
        ("train gpt2 --recompute sel", "selective"),
        ("audit vaswani", "vaswani-table-3"),
        ("verify B1", "B1"),
        ("man par", "parallel"),
        ("completions z", "zsh"),
        ("count gpt2 --set n=", ""),
        ("count gpt2 --input fi", ""),
        ("page -o x", ""),
    ] {
        let found = completed(words);
        let mut wanted: Vec<&str> = all.split_whitespace().collect();
        let mut found: Vec<&str> = found.iter().map(String::as_str).collect();
        wanted.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, wanted, "{words}");
    }
    assert!(completed("derive mh").contains(&"mha:".to_owned()));
    assert!(completed("--color ").contains(&"never".to_owned()));
    assert!(stdout(&["complete", "--next", "--", "count"]).contains("llama-3.1-8b\tllama"));
}

#[test]
fn a_command_that_is_not_there_is_told() {
    let ended = opledger(&["man", "cuont"]);
    assert_eq!((ended.code, &*ended.stdout), (Some(2), ""));
    assert!(ended.stderr.contains("there is no command `cuont`"), "{}", ended.stderr);
    assert!(ended.stderr.contains("did you mean count?"), "{}", ended.stderr);
    let ended = opledger(&["help", "cuont"]);
    assert!(ended.code == Some(2) && ended.stderr.contains("exists: count"), "{}", ended.stderr);
    let ended = opledger(&["cuont", "gpt2"]);
    assert!(ended.code == Some(2) && ended.stderr.contains("'count'"), "{}", ended.stderr);
    assert_eq!(opledger(&["completions", "cmd"]).code, Some(2));
}

/// A line as bash completes it, where there is a bash.
fn in_bash(line: &str) -> Option<Vec<String>> {
    let script = format!(
        "{}\nCOMP_LINE={line:?}; COMP_POINT=${{#COMP_LINE}}; _opledger \"$0\"; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        stdout(&["completions", "bash"])
    );
    let mut bash = std::process::Command::new("bash");
    let output = bash.args(["-c", &script, env!("CARGO_BIN_EXE_opledger")]).output().ok()?;
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{line}");
    let lines = String::from_utf8(output.stdout).unwrap();
    Some(lines.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

/// The shell itself takes them: of a word with a sign that bash ends words at, what follows it.
#[test]
fn bash_completes_commands_flags_and_values() {
    for (line, wanted) in [
        ("opledger count --conv", "--convention"),
        ("opledger count gpt2 --convention fvc", "fvcore"),
        ("opledger count gpt2 --device=h100-s", "h100-sxm"),
        ("opledger derive mha:c=512,mask=cau", "causal"),
        ("opledger derive mha:c=512,mas", "512,mask="),
        ("opledger derive encoder-lay", "encoder-layer encoder-layer:"),
    ] {
        let Some(found) = in_bash(line) else { return };
        assert_eq!(found.join(" "), wanted, "{line}");
    }
    assert!(in_bash("opledger ").is_none_or(|found| found.contains(&"count".to_owned())));
}
