//! The command as a user runs it.

// Helpers of tests fail loudly, as tests do.
#![allow(clippy::unwrap_used, clippy::panic)]

mod audit;
mod bad_input;
mod bounds;
mod checkpoints;
mod conventions;
mod destinations;
mod diff;
mod experiments;
mod files;
mod frameworks;
mod glance;
mod halves;
mod hostile;
mod limits;
mod manners;
mod measured;
mod memory;
mod models;
mod page;
mod parallel;
mod programs;
mod published;
mod readme;
mod records;
mod tables;
mod told;
mod training;

use std::process::{Command, Output, Stdio};

/// What a command wrote and how it ended.
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_opledger"));
    command.args(arguments).stdin(Stdio::null()).env_remove("RUST_BACKTRACE");
    command.env("COLUMNS", "100");
    command
}

fn opledger(arguments: &[&str]) -> Ended {
    ended(command(arguments))
}

/// The same in so many KiB of address space.
#[cfg(target_os = "linux")]
fn limited(kib: u64, arguments: &[&str]) -> Ended {
    let mut limited = Command::new("sh");
    let limit = format!("ulimit -v {kib} && exec \"$@\"");
    limited.args(["-c", &limit, "sh", env!("CARGO_BIN_EXE_opledger")]).args(arguments);
    ended(limited)
}

fn ended(mut command: Command) -> Ended {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

/// The stdout of a command that must succeed and be silent otherwise.
fn stdout(arguments: &[&str]) -> String {
    let ended = opledger(arguments);
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{arguments:?}");
    ended.stdout
}
