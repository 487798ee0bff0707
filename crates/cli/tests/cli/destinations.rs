//! Where results go: nothing but regular files is replaced, and nothing unfinished stays.
#![cfg(unix)]

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::{Ended, command, opledger};

const MODEL: [&str; 6] = ["run", "mha:c=16,h=2", "--set", "b=1", "--set", "n=3"];

fn written_to(path: &Path) -> Ended {
    opledger(&[&MODEL[..], &["--output", path.to_str().unwrap()]].concat())
}

fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The bytes of a result.
fn results(folder: &Path) -> Vec<u8> {
    let path = folder.join("results");
    assert_eq!(written_to(&path).code, Some(0));
    let bytes = fs::read(&path).unwrap();
    fs::remove_file(path).unwrap();
    bytes
}

#[test]
fn a_device_stays_one() {
    // Of the machine's own, through a link: replacing the link would tell as well.
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("null");
    symlink("/dev/null", &link).unwrap();
    assert_eq!(written_to(&link).code, Some(0));
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
    let svg = ["count", "mha:c=8,h=2", "--set", "b=1", "--set", "n=2", "--convention", "all"];
    let ended = opledger(&[&svg[..], &["--svg", link.to_str().unwrap()]].concat());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    let full = written_to(Path::new("/dev/full"));
    assert_eq!(full.code, Some(2));
    assert!(full.stderr.contains("No space left on device"), "{}", full.stderr);
}

#[test]
fn a_pipe_is_written_through() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    pipe(&path);
    let alone = written_to(&path);
    assert_eq!(alone.code, Some(2));
    assert!(alone.stderr.contains("nobody reads from it"), "{}", alone.stderr);

    let expected = results(folder.path());
    let from = path.clone();
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        File::open(from).unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    });
    // Until the reader is there, nobody reads.
    let start = Instant::now();
    while written_to(&path).code != Some(0) {
        assert!(start.elapsed() < Duration::from_secs(20));
    }
    assert!(reader.join().unwrap() == expected);
    assert!(fs::metadata(&path).unwrap().file_type().is_fifo());
    assert_eq!(names(folder.path()), ["pipe"]);
}

#[test]
fn a_link_leads_to_the_file_that_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("elsewhere")).unwrap();
    fs::write(at("elsewhere/real"), "kept").unwrap();
    symlink("elsewhere/real", at("link")).unwrap();
    let expected = results(folder.path());
    assert_eq!(written_to(&at("link")).code, Some(0));
    assert!(fs::symlink_metadata(at("link")).unwrap().is_symlink());
    assert!(fs::read(at("elsewhere/real")).unwrap() == expected);
    assert_eq!(names(&at("elsewhere")), ["real"]);

    symlink("nowhere", at("broken")).unwrap();
    let broken = written_to(&at("broken"));
    assert_eq!(broken.code, Some(2));
    assert!(broken.stderr.contains("a link to what is not there"), "{}", broken.stderr);
}

#[test]
fn a_file_keeps_its_permissions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("private");
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let owner = fs::metadata(&path).unwrap().uid();
    assert_eq!(written_to(&path).code, Some(0));
    let there = fs::metadata(&path).unwrap();
    assert_eq!((there.mode() & 0o7777, there.uid()), (0o600, owner));
    assert!(there.len() > 0);
}

#[test]
fn what_is_read_is_not_what_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let (path, link) = (folder.path().join("file"), folder.path().join("link"));
    fs::write(&path, results(folder.path())).unwrap();
    symlink("file", &link).unwrap();
    let (path, link) = (path.to_str().unwrap(), link.to_str().unwrap());
    for (first, second) in [(path, path), (path, link), (link, path)] {
        // `y` is no input, but that is not looked at before.
        let ended = opledger(&[&MODEL[..], &["--input", first, "--output", second]].concat());
        assert_eq!(ended.code, Some(2));
        assert!(ended.stderr.contains("--input and --output both name"), "{}", ended.stderr);
    }
    let bench = ["bench", "gemm", "2x2x2", "--save", path, "--svg", link];
    assert!(opledger(&bench).stderr.contains("--save and --svg both name"));
}

#[test]
fn a_file_of_the_model_is_never_replaced() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/models/gpt2_lm");
    let folder = tempfile::tempdir().unwrap();
    for name in ["config.json", "model.safetensors"] {
        fs::copy(golden.join(name), folder.path().join(name)).unwrap();
    }
    symlink("model.safetensors", folder.path().join("link")).unwrap();
    let model = folder.path().to_str().unwrap();
    let run = |output: &str| {
        let output = folder.path().join(output);
        opledger(&["run", model, "--set", "n=3", "--output", output.to_str().unwrap()])
    };
    for name in ["config.json", "model.safetensors", "link"] {
        let ended = run(name);
        assert_eq!(ended.code, Some(2), "{name}: {}", ended.stderr);
        assert!(ended.stderr.contains("a file of the model"), "{}", ended.stderr);
    }
    for name in ["config.json", "model.safetensors"] {
        let same =
            fs::read(golden.join(name)).unwrap() == fs::read(folder.path().join(name)).unwrap();
        assert!(same, "{name} was written to");
    }
    // Results beside the model may be written again.
    assert_eq!([run("out").code, run("out").code], [Some(0); 2]);
}

#[test]
fn results_do_not_take_the_place_of_the_report() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report");
    let report = File::create(&path).unwrap();
    let mut run = command(&[&MODEL[..], &["--output", path.to_str().unwrap()]].concat());
    let ended = run.stdout(report).output().unwrap();
    assert_eq!(ended.status.code(), Some(2));
    let told = String::from_utf8(ended.stderr).unwrap();
    assert!(told.contains("the report goes there"), "{told}");
}

/// A run that takes some time and has begun to write.
fn begun(folder: &Path) -> Child {
    let output = folder.join("out");
    let model = ["run", "mha:c=256,h=8", "--set", "b=8", "--set", "n=512"];
    let oracle = ["--interpreter", "oracle", "--output", output.to_str().unwrap()];
    let child = command(&[&model[..], &oracle].concat()).spawn().unwrap();
    let start = Instant::now();
    while names(folder).is_empty() && start.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(!names(folder).is_empty());
    child
}

/// Whether the tests were started with a signal ignored, as `nohup` does: programs leave it so.
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
    ignored.is_some_and(|set| set >> (signal - 1) & 1 == 1)
}

#[test]
fn a_signal_ends_the_run_and_leaves_nothing() {
    for (signal, number) in [("HUP", 1), ("INT", 2), ("QUIT", 3), ("TERM", 15)] {
        if is_ignored(number) {
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        let mut child = begun(folder.path());
        let (start, id) = (Instant::now(), child.id().to_string());
        let kill = Command::new("kill").args([&format!("-{signal}"), &id]).status();
        assert!(kill.unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(128 + number), "{signal}");
        assert!(start.elapsed() < Duration::from_secs(10));
        assert!(names(folder.path()).is_empty(), "{signal}: {:?}", names(folder.path()));
    }
}

/// Steps of training that are saved to a file of 25 MB.
fn training(path: &Path, seed: &str, steps: &str) -> Command {
    let step = ["train", "ffn:c=512,ff=2048", "--set", "b=1", "--set", "n=1", "--seed", seed];
    let run = ["--loss", "mean-square", "--optimizer", "adamw", "--rate", "0.01", "--steps", steps];
    command(&[&step[..], &run, &["--save", path.to_str().unwrap()]].concat())
}

/// Waits until the unfinished file of a run has more than so many bytes; whether it had before the run ended.
fn reaches(child: &mut Child, folder: &Path, bytes: u64) -> bool {
    while child.try_wait().unwrap().is_none() {
        let sizes = fs::read_dir(folder).unwrap().filter_map(|entry| {
            let entry = entry.ok()?;
            let unfinished = entry.file_name().to_string_lossy().ends_with(".unfinished");
            unfinished.then(|| entry.metadata().ok()).flatten().map(|of| of.len())
        });
        if sizes.max().is_some_and(|most| most >= bytes) {
            return true;
        }
    }
    false
}

/// An interrupted training leaves the file that was there or the one that it writes, whole, by whatever signal
/// and at whatever moment.
#[test]
fn a_signal_leaves_the_old_state_of_a_training_or_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let [old, new] = ["1", "2"].map(|seed| {
        let path = folder.path().join(seed);
        assert!(training(&path, seed, "1").output().unwrap().status.success());
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(path).unwrap();
        bytes
    });
    assert_eq!(old.len(), new.len());
    assert!(old != new && old.len() > 20_000_000);
    let state = folder.path().join("state");
    let mut while_writing = 0;
    for (signal, number) in [("TERM", Some(15)), ("INT", Some(2)), ("KILL", None)] {
        // Between steps, and at the beginning, in the middle and near the end of the file.
        let moments = [("1000000", 0), ("1", 1), ("1", new.len() / 2), ("1", new.len() - 1)];
        for (steps, bytes) in moments {
            if number.is_some_and(is_ignored) {
                continue;
            }
            fs::write(&state, &old).unwrap();
            let mut child = training(&state, "2", steps);
            let mut child = child.stdout(std::process::Stdio::null()).spawn().unwrap();
            let reached = reaches(&mut child, folder.path(), bytes as u64);
            if bytes == 0 {
                std::thread::sleep(Duration::from_millis(300));
            }
            let _ = Command::new("kill")
                .args([&format!("-{signal}"), &child.id().to_string()])
                .output();
            let ended = child.wait().unwrap();
            let found = fs::read(&state).unwrap();
            assert!(found == old || found == new, "{signal} at {bytes}: {} bytes", found.len());
            if steps != "1" {
                assert!(found == old, "{signal} between steps");
            }
            while_writing += usize::from(reached && !ended.success() && bytes > 0);
            let left = names(folder.path());
            match number {
                Some(_) => assert_eq!(left, ["state"], "{signal} at {bytes}"),
                // Nobody answers this one: what was unfinished lies about, beside the state.
                None => {
                    for name in left.iter().filter(|name| *name != "state") {
                        fs::remove_file(folder.path().join(name)).unwrap();
                    }
                }
            }
        }
    }
    assert!(while_writing > 0, "no signal came while the file was written");
}

#[test]
fn a_file_beyond_the_limit_is_an_error_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out");
    // 512 tokens of 64 numbers take 128 KiB; blocks of `ulimit` are of 512 or 1024 bytes.
    let limit = "ulimit -f 20 && exec \"$@\"";
    let run = ["run", "mha:c=64,h=2", "--set", "b=1", "--set", "n=512", "--output"];
    let mut command = Command::new("sh");
    command.args(["-c", limit, "sh", env!("CARGO_BIN_EXE_opledger")]).args(run).arg(&output);
    let ended = command.output().unwrap();
    let told = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(2), "{told}");
    assert!(told.contains("File too large"), "{told}");
    assert!(names(folder.path()).is_empty(), "{:?}", names(folder.path()));
}
