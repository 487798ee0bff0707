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
    let shells: Vec<String> = ["bash", "zsh", "fish", "powershell", "elvish"]
        .into_iter()
        .map(|shell| stdout(&["completions", shell]))
        .collect();
    let man = stdout(&["man"]);
    for command in &commands {
        assert!(stdout(&["help", command]).contains("Usage: opledger"), "{command}");
        assert!(shells.iter().all(|text| text.contains(&**command)), "{command}");
        assert!(man.contains(&command.replace('-', "\\-")), "{command}");
        if command != "help" {
            let page = stdout(&["man", command]);
            assert!(page.contains(&format!(".TH opledger-{command} 1")), "{page}");
        }
    }
    assert!(shells[0].contains("--convention") && stdout(&["man", "count"]).contains("assert"));
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

/// The shell itself takes them.
#[test]
fn bash_completes_commands_and_flags() {
    let script = format!(
        "{}\nCOMP_WORDS=(opledger count --conv); COMP_CWORD=2; _opledger opledger --conv count; echo \"${{COMPREPLY[*]}}\"",
        stdout(&["completions", "bash"])
    );
    let Ok(output) = std::process::Command::new("bash").args(["-c", &script]).output() else {
        return;
    };
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "--convention");
}
