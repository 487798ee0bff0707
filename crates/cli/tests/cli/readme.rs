//! What the README and the pages of `docs` show is what the command prints.

use std::fs;
use std::path::{Path, PathBuf};

use super::{command, ended};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The README and the pages it links to, by file name.
fn pages() -> Vec<(PathBuf, String)> {
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        docs.filter(|f| f.extension().is_some_and(|e| e == "md")).collect();
    files.sort();
    files.insert(0, root().join("README.md"));
    files.into_iter().map(|file| (file.clone(), fs::read_to_string(file).unwrap())).collect()
}

/// The words of a command line; single quotes hold one together.
fn words(line: &str) -> Vec<&str> {
    let pieces = line.split('\'').enumerate();
    let words = pieces.flat_map(|(i, piece)| match i % 2 {
        0 => piece.split_whitespace().collect(),
        _ => vec![piece],
    });
    words.collect()
}

/// The command lines of a page whose output it shows, with that output.
fn transcripts(page: &str) -> Vec<(Vec<&str>, &str)> {
    let blocks = page.split("```console\n").skip(1).filter_map(|rest| rest.split_once("```"));
    let shown = blocks.filter_map(|(block, _)| {
        let (line, output) = block.split_once('\n')?;
        let line = line.strip_prefix("$ ")?;
        let arguments = line
            .strip_prefix("opledger ")
            .or_else(|| line.strip_prefix("cargo run --release -- "))?;
        (!output.is_empty() && !output.starts_with('$')).then(|| (words(arguments), output))
    });
    shown.collect()
}

/// Whether a page shows what was printed; a line `…` stands for any lines.
fn shows(shown: &str, printed: &str) -> bool {
    let mut rest = printed;
    let pieces: Vec<&str> = shown.split("…\n").collect();
    for (i, piece) in pieces.iter().enumerate() {
        let found = match i {
            0 => rest.starts_with(piece).then_some(0),
            _ if i + 1 == pieces.len() => rest.ends_with(piece).then(|| rest.len() - piece.len()),
            _ => format!("\n{rest}").find(&format!("\n{piece}")),
        };
        let Some(at) = found else { return false };
        rest = &rest[at + piece.len()..];
    }
    pieces.len() > 1 || rest.is_empty()
}

/// The stdout of a command that is given in the root of the repository.
fn at_the_root(arguments: &[&str]) -> String {
    let mut command = command(arguments);
    command.current_dir(root());
    let ended = ended(command);
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{arguments:?}");
    ended.stdout
}

#[test]
fn shown_output_is_the_output() {
    for (file, page) in pages() {
        for (arguments, shown) in transcripts(&page) {
            let printed = at_the_root(&arguments);
            assert!(shows(shown, &printed), "{}: {arguments:?} prints\n{printed}", file.display());
        }
    }
}

#[test]
fn lines_may_be_left_out_and_none_changed() {
    let printed = "a\nb\nc\nd\n";
    for shown in [printed, "a\n…\n", "…\nd\n", "a\n…\nc\n…\n", "a\n…\nc\nd\n"] {
        assert!(shows(shown, printed), "{shown}");
    }
    for shown in ["a\nb\nc\n", "a\nc\nd\n", "b\n…\n", "a\n…\nx\n…\n", "…\nc\n…\nb\n…\n", ""]
    {
        assert!(!shows(shown, printed), "{shown}");
    }
}

/// The files that the pages link to stand in the repository.
#[test]
fn links_lead_somewhere() {
    for (file, page) in pages() {
        let targets = page.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let local = targets.filter(|target| !target.contains("://") && !target.starts_with('#'));
        for target in local.filter_map(|target| target.split('#').next()) {
            let path = file.parent().unwrap().join(target);
            assert!(path.exists(), "{} links to {target}", file.display());
        }
    }
}
