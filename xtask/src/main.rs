//! `cargo xtask check`: every check of the project, cheapest first, stopping at the first failure.

use std::process::{Command, ExitCode};

/// The name of a check, the command, and the environment it wants.
type Check = (&'static str, &'static [&'static str], &'static [(&'static str, &'static str)]);

const LINT: &[Check] = &[
    ("formatting", &["fmt", "--all", "--check"], &[]),
    ("lock file", &lock_file("Cargo.toml"), &[]),
    ("lock file of the fuzz targets", &lock_file("fuzz/Cargo.toml"), &[]),
    ("lock file of the peers", &lock_file("benches/peers/Cargo.toml"), &[]),
    ("lints", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], &[]),
    ("worker of the peers", &other_workspace("benches/peers/Cargo.toml", "--bin=ours"), &[]),
    ("fuzz targets", &other_workspace("fuzz/Cargo.toml", "--bins"), &[]),
    ("documentation", &["doc", "--workspace", "--no-deps"], &[("RUSTDOCFLAGS", "-D warnings")]),
];

/// Benches run each of their cases once.
const TEST: &[Check] = &[
    ("tests and benches", &["test", "--workspace", "--all-targets"], &[]),
    ("examples of the documentation", &["test", "--workspace", "--doc"], &[]),
];

/// Programs of a workspace of its own, in the folder of the others' results: the worker of `benches/peers` that is
/// ours, and the targets of `fuzz`, whose libFuzzer wants a C++ compiler.
const fn other_workspace(manifest: &'static str, programs: &'static str) -> [&'static str; 8] {
    [
        "check",
        "--quiet",
        "--locked",
        "--manifest-path",
        manifest,
        programs,
        "--target-dir",
        "target",
    ]
}

/// Fails if the lock file of a workspace would change. Nothing is downloaded but the index.
const fn lock_file(manifest: &'static str) -> [&'static str; 6] {
    ["update", "--quiet", "--workspace", "--locked", "--manifest-path", manifest]
}

fn main() -> ExitCode {
    let argument = std::env::args().nth(1);
    let checks = match argument.as_deref() {
        Some("check") => [LINT, TEST].concat(),
        Some("lint") => LINT.to_vec(),
        _ => {
            eprintln!("usage: cargo xtask check|lint");
            return ExitCode::from(2);
        }
    };
    for (name, arguments, environment) in checks {
        eprintln!("== {name}: cargo {}", arguments.join(" "));
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
        let status = Command::new(cargo).args(arguments).envs(environment.iter().copied()).status();
        if !status.is_ok_and(|status| status.success()) {
            eprintln!("== {name} failed");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
