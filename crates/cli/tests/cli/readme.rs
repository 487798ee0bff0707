//! What the README shows is what the command prints.

use super::stdout;

const README: &str = include_str!("../../../../README.md");

/// The command lines of the README whose output it shows, with that output.
fn transcripts() -> Vec<(Vec<&'static str>, &'static str)> {
    let blocks = README.split("```console\n").skip(1).filter_map(|rest| rest.split_once("```"));
    let shown = blocks.filter_map(|(block, _)| {
        let (line, output) = block.split_once('\n')?;
        let line = line.strip_prefix("$ ")?;
        let arguments = line
            .strip_prefix("opledger ")
            .or_else(|| line.strip_prefix("cargo run --release -- "))?;
        (!output.starts_with('$')).then(|| (arguments.split_whitespace().collect(), output))
    });
    shown.collect()
}

#[test]
fn shown_output_is_the_output() {
    let transcripts = transcripts();
    assert!(transcripts.len() >= 2, "the README shows {} outputs", transcripts.len());
    for (arguments, shown) in transcripts {
        let printed = stdout(&arguments);
        match shown.strip_suffix("…\n") {
            Some(beginning) => assert!(printed.starts_with(beginning), "{arguments:?}: {printed}"),
            None => assert_eq!(printed, shown, "{arguments:?}"),
        }
    }
}
