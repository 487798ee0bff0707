//! Where the machine gives little: what does not fit is refused with its number.
#![cfg(target_os = "linux")]

use std::process::Command;

use crate::{Ended, command, ended, limited, opledger};

fn refused(ended: &Ended) -> &str {
    assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{}", ended.stderr);
    assert_eq!(ended.stderr.matches("error:").count(), 1, "{}", ended.stderr);
    &ended.stderr
}

/// Numbers of which each is small, and that are many: their paths and shapes take the memory.
#[test]
fn tensors_beyond_number_are_refused() {
    for layers in ["10^7", "10^8"] {
        let layers = format!("l={layers}");
        let run = ["run", "encoder:c=1,h=1,ff=1", "--set", "b=1", "--set", "n=1", "--set", &layers];
        let message = limited(2_000_000, &run);
        assert!(refused(&message).contains("bytes of memory"), "{}", message.stderr);
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    let config = r#"{"model_type":"gpt2","vocab_size":1,"n_positions":1,"n_embd":1,"n_head":1,
        "n_layer":10000000}"#;
    std::fs::write(&path, config).unwrap();
    let message = limited(2_000_000, &["run", path.to_str().unwrap(), "--set", "n=1"]);
    assert!(refused(&message).contains("bytes of memory"), "{}", message.stderr);
}

/// Whatever the limit, a run ends with its result or with the bytes that are missing.
#[test]
fn a_limit_on_the_address_space_is_told_in_bytes() {
    let runs = [
        "run ffn:c=4096,ff=16384 --set b=1 --set n=16",
        "run ffn:c=1024,ff=4096 --set b=1 --set n=64",
        "run mha:c=256,h=8 --set b=1 --set n=128",
        "run linear:in=8192,out=8192 --set b=1 --set n=1",
    ];
    let mut told = 0;
    for mebibytes in [64, 96, 256] {
        for run in runs {
            let arguments: Vec<&str> = run.split(' ').chain(["--threads", "2"]).collect();
            let ended = limited(mebibytes * 1024, &arguments);
            match ended.code {
                Some(0) => {}
                // What the allocator reserves may leave no room for the stack of a thread.
                Some(2) if refused(&ended).contains("threads could not be started") => {}
                Some(2) => {
                    assert!(refused(&ended).contains("bytes of memory"), "{}", ended.stderr);
                    told += 1;
                }
                code => panic!("{run} at {mebibytes} MiB ends with {code:?}: {}", ended.stderr),
            }
        }
    }
    assert!(told >= 6, "{told} refusals");
}

#[test]
fn a_grid_is_refused_before_it_is_counted() {
    let axes = ["--set", "b=1..10^4:+1", "--set", "n=1..10^4:+1"];
    let grid = [&["count", "mha:c=64,h=4"][..], &axes].concat();
    let csv = limited(2_000_000, &[&grid[..], &["--format", "csv"]].concat());
    assert!(refused(&csv).contains("a grid of 100,000,000 points, over 1,048,576"));
    let diagram = limited(2_000_000, &[&grid[..], &["--format", "mermaid"]].concat());
    assert_eq!((diagram.code, &*diagram.stderr), (Some(0), ""));
}

/// Points are written as they are counted, in every format; kept, these take a kilobyte each.
#[test]
fn memory_does_not_grow_with_the_points_of_a_grid() {
    let grid = ["count", "mha:c=64,h=4", "--set", "b=1..256:+1", "--set", "n=1..256:+1"];
    for (format, begins) in
        [("csv", "b,n,macs"), ("markdown", "**mha"), ("table", "mha:c=64,h=4"), ("json", "{\n")]
    {
        let ended = limited(90_000, &[&grid[..], &["--format", format]].concat());
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{format}");
        assert!(ended.stdout.starts_with(begins), "{format}: {}", &ended.stdout[..80]);
        let last = ended.stdout.lines().filter(|line| line.contains("256")).count();
        assert!(last >= 511, "{format}: {last} lines");
    }
}

/// Sizes of a range are worked out one by one.
#[test]
fn memory_does_not_grow_with_the_sizes_of_a_symbol() {
    let count = ["count", "mha:c=64,h=4", "--format", "csv"];
    let points = ["--set", "b=1", "--set", "n=1..2^17:+1"];
    let points = limited(60_000, &[&count[..], &points].concat());
    assert_eq!((points.code, points.stdout.lines().count()), (Some(0), (1 << 17) + 1));
    let axis = [&count[..], &["--set", "n=1..2^20:+1"]].concat();
    let grid = limited(60_000, &[&axis[..], &["--set", "b=1..2^20:+1"]].concat());
    assert!(refused(&grid).contains("over 1,048,576"), "{}", grid.stderr);
    let listed = opledger(&[&axis[..], &["--set", "b=0,1..2^17:+1"]].concat());
    assert_eq!(listed.code, Some(2));
    assert!(listed.stderr.contains("over 65536 sizes"), "{}", listed.stderr);
}

/// A table and Markdown of a grid look as those of any other result, and its JSON is whole.
#[test]
fn a_grid_is_one_result_in_every_format() {
    let grid = |format: &str| {
        let sizes = ["--set", "b=1", "--set", "n=4,1024"];
        let ended =
            opledger(&[&["count", "mha:c=64,h=4"][..], &sizes, &["--format", format]].concat());
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{format}");
        ended.stdout
    };
    let json: serde_json::Value = serde_json::from_str(&grid("json")).unwrap();
    let points = json["points"].as_array().unwrap();
    assert_eq!((points.len(), &json["symbols"][0]), (2, &"n".into()));
    let macs = points[1]["macs"].to_string();
    assert!(grid("csv").contains(&format!("\n1024,{macs},")), "{}", grid("csv"));
    assert!(json["conventions"]["macs"].is_string());
    let table = grid("table");
    assert!(table.contains("───") && table.contains("\n1,024  "), "{table}");
    assert!(grid("markdown").contains("\n| 1,024 | "), "{}", grid("markdown"));
}

/// Needs a user without processes: the limit on them does not hold for a privileged one.
#[test]
fn threads_that_cannot_be_started_are_an_error() {
    let layer = ["mha:c=64,h=4", "--set", "b=1", "--set", "n=4"];
    let mut few = Command::new("setpriv");
    few.args(["--reuid=65534", "--regid=65534", "--clear-groups", "prlimit", "--nproc=1"]);
    let probe = Command::new("setpriv").args(["--reuid=65534", "--clear-groups", "true"]).output();
    let privileged = probe.is_ok_and(|probe| probe.status.success());
    // Under a small address space stacks cannot be had; this needs no privilege.
    let mut wide = Command::new("sh");
    wide.args([
        "-c",
        "ulimit -v 262144 && exec \"$@\"",
        "sh",
        env!("CARGO_BIN_EXE_opledger"),
        "run",
    ]);
    wide.args(layer).env("RAYON_NUM_THREADS", "512");
    let message = ended(wide);
    assert!(refused(&message).contains("512 threads could not be started"), "{}", message.stderr);
    if !privileged {
        return;
    }
    let folder = tempfile::Builder::new().permissions(open_to_all()).tempdir().unwrap();
    let binary = folder.path().join("opledger");
    std::fs::copy(env!("CARGO_BIN_EXE_opledger"), &binary).unwrap();
    few.arg(&binary).arg("run").args(layer).current_dir("/");
    let message = ended(few);
    assert!(refused(&message).contains("threads could not be started"), "{}", message.stderr);
}

fn open_to_all() -> std::fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o755)
}

#[test]
fn the_environment_cannot_ask_for_more_threads_than_the_command_line() {
    assert!(opledger(&["run", "mha", "--threads", "1025"]).stderr.contains("1..=1024"));
    let layer = ["run", "mha:c=8,h=2", "--set", "b=1", "--set", "n=2", "--format", "json"];
    let mut many = command(&layer);
    many.env("RAYON_NUM_THREADS", "100000");
    let ended = ended(many);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains("\"threads\": 1024"), "{:.200}", ended.stdout);
}
