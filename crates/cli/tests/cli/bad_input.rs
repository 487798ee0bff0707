//! Input that cannot be: one clear message, exit code 2, nothing on stdout.

use crate::opledger;

/// The message of a command that must fail.
fn error(arguments: &[&str]) -> String {
    let ended = opledger(arguments);
    assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{arguments:?}: {}", ended.stderr);
    assert_eq!(ended.stderr.matches("error:").count(), 1, "{}", ended.stderr);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    ended.stderr
}

/// Checks the whole message of `opledger` followed by space-separated arguments.
fn says(arguments: &str, message: &str) {
    let found = error(&arguments.split(' ').collect::<Vec<_>>());
    assert_eq!(found, format!("error: {message}\n"), "{arguments}");
}

/// Checks that the message has a part.
fn mentions(arguments: &str, part: &str) {
    let found = error(&arguments.split(' ').collect::<Vec<_>>());
    assert!(found.contains(part), "{arguments}: {found}");
}

#[test]
fn models_that_are_none() {
    mentions("count mhaa", "did you mean `mha`");
    mentions("count mha:head=8", "`mha` has no key `head`");
    mentions("count mha:=", "`mha` has no key");
    mentions("derive encoder-layer:acct=relu", "act");
    mentions("count mha:c=zero", "zero");
    mentions("count mha:c=-8", "-8");
    mentions("count mha:c=0", "0");
    says("count mha:c=510,h=8 --set b=1 --set n=2", "c = 510 is not a multiple of h = 8");
    mentions("count mha:c=512,h=8,e=3", "512");
}

#[test]
fn sizes_that_are_none() {
    mentions("count mha --set n=-1", "a size cannot be negative");
    mentions("count mha --set n", "symbol=size");
    mentions("count mha --set n=1e6", "write it as 10^6");
    mentions("count mha --set n=x", "1_000_000");
    mentions("count mha --set n=10^999999999999", "over 1000 digits");
    says("count mha --set n=1 --set n=2", "--set gives n twice: 1 and 2");
    says("count mha:c=8 --set c=16", "c is 8 in `mha:c=8` and 16 by --set");
    says("count mha --set q=3", "`q` is no size of this model; its sizes are b, n, h, c");
    says(
        "count mha:h=8 --set n=3",
        "`mha:h=8` has no size for b and c; give them with --set b=<size> --set c=<size>",
    );
    says(
        "run linear:in=3,out=4 --set b=3",
        "`linear:in=3,out=4` has no size for n; give it with --set n=<size>",
    );
}

#[test]
fn a_sum_over_nothing_is_refused_and_an_empty_batch_is_not() {
    let refusal = "attention: axis `n` is 0, and attention over nothing has no value";
    says("count mha:c=64,h=8 --set b=1 --set n=0", refusal);
    says("run mha:c=64,h=8 --set b=1 --set n=0", refusal);
    let ended = opledger(&["run", "mha:c=64,h=8", "--set", "b=0", "--set", "n=4"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[test]
fn a_run_that_does_not_fit_says_how_many_bytes_it_needs() {
    let run = "run mha:c=512,h=8 --set b=1 --set n=10^12";
    // Elements, and what eight parameters and the input take beside them.
    let bytes = 10_240_000_004_202_496_u64 + 9 * 512;
    mentions(run, &format!("the run needs {bytes} bytes of memory"));
    mentions("run encoder:c=64,h=8,ff=64 --set b=1 --set n=1 --set l=10^15", "bytes of memory");
    mentions("run mha:c=512,h=8 --set b=1 --set n=10^300", "bytes of memory");
}

#[test]
fn claims_and_options_that_are_none() {
    mentions("verify B9", "there is no claim `B9` (did you mean `B");
    mentions("verify B9", "the claims are A1, A2");
    mentions(
        "count mha --format tex",
        "[possible values: table, json, csv, markdown, latex, mermaid]",
    );
    mentions("run mha --threads 0", "0 is not in 1..=1024");
    mentions("run mha --repeat 0", "0 is not in");
    mentions("count", "MODEL");
    mentions("frobnicate", "frobnicate");
}
