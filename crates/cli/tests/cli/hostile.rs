//! Files made to harm: one message, exit code 2, and nothing that reaches the terminal unescaped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::{Ended, command, ended, limited, opledger};

fn golden(model: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/models").join(model)
}

/// A folder with a small GPT-2 and a tokenizer.
fn model(tokenizer: &[u8]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "model.safetensors"] {
        fs::copy(golden("gpt2_lm").join(file), folder.path().join(file)).unwrap();
    }
    fs::write(folder.path().join("tokenizer.json"), tokenizer).unwrap();
    folder
}

/// The one message of a command that must fail.
fn refused(ended: &Ended) -> &str {
    assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{}", ended.stderr);
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    assert!(ended.stderr.starts_with("error: "), "{}", ended.stderr);
    &ended.stderr
}

#[test]
#[cfg(feature = "text")]
fn a_tokenizer_on_which_the_library_panics_is_no_tokenizer() {
    let files: [(&str, &[u8], &str); 4] = [
        ("bpe prefix", include_bytes!("tokenizers/bpe_prefix_panic.json"), "is no tokenizer"),
        ("length 0", include_bytes!("tokenizers/fixed_length_panic.json"), "turned into ids"),
        ("map", include_bytes!("tokenizers/precompiled_index_panic.json"), "turned into ids"),
        ("template", include_bytes!("tokenizers/template_panic.json"), "turned into ids"),
    ];
    for (name, tokenizer, part) in files {
        let folder = model(tokenizer);
        let folder = folder.path().to_str().unwrap();
        let generate = ["generate", folder, "--text", "ab ba", "--new-tokens", "1"];
        let run = ["run", folder, "--text", "ab ba"];
        for arguments in [&generate[..], &run] {
            let ended = opledger(arguments);
            let message = refused(&ended);
            assert!(message.contains(part), "{name}: {message}");
            assert!(message.contains("the tokenizers library fails on it"), "{name}: {message}");
        }
    }
}

#[test]
#[cfg(all(feature = "text", target_os = "linux"))]
fn a_tokenizer_that_asks_for_memory_or_time_is_refused() {
    let bomb = model(include_bytes!("tokenizers/memory_bomb.json"));
    let folder = bomb.path().to_str().unwrap();
    let text = ["generate", folder, "--text", "aaaaaaaaaa", "--new-tokens", "1"];
    let message = limited(2_000_000, &text);
    assert!(refused(&message).contains("a text of 10 bytes may grow to 10000000000000"));

    let token = "x".repeat(100_000);
    let long = format!(
        r#"{{"version":"1.0","added_tokens":[{{"id":0,"content":"{token}","single_word":false,
        "lstrip":false,"rstrip":false,"normalized":false,"special":true}}],
        "model":{{"type":"WordLevel","vocab":{{}},"unk_token":"x"}}}}"#
    );
    let folder = model(long.as_bytes());
    let ended = opledger(&["run", folder.path().to_str().unwrap(), "--text", "a"]);
    assert!(refused(&ended).contains("an added token has 100000 bytes"));
}

/// What follows an escape, or a line of its own, would be taken for the command's own words.
#[test]
fn keys_and_values_of_a_configuration_are_escaped_and_cut() {
    let text = fs::read_to_string(golden("gpt2_lm").join("config.json")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    let with = |key: &str, value: serde_json::Value| {
        let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
        config[key] = value;
        fs::write(&path, config.to_string()).unwrap();
        opledger(&["count", path.to_str().unwrap(), "--set", "n=4"])
    };
    let plain = |ended: &Ended| {
        for text in [&ended.stdout, &ended.stderr] {
            let told = text.chars().all(|c| c == '\n' || !c.is_control());
            assert!(told && !text.contains('\u{202e}'), "{text:?}");
        }
    };
    // The note, as it stands last in the table.
    let note = |ended: &Ended| {
        let (_, note) = ended.stdout.split_once("note: ").unwrap();
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
        note.to_owned()
    };
    let steering = "\u{1b}[2K\u{1b}[31m\nerror: forged\u{9b}31m\u{202e}";
    let noted = with(steering, 1.into());
    plain(&noted);
    assert_eq!(note(&noted).lines().count(), 1, "{}", noted.stdout);
    let long = note(&with(&"k".repeat(5000), 1.into()));
    assert!(long.len() < 400, "{long}");
    for value in [steering.to_owned(), "m".repeat(1 << 20)] {
        for key in ["model_type", "activation_function", "n_embd"] {
            let ended = with(key, value.clone().into());
            plain(&ended);
            assert!(refused(&ended).len() < 1500, "{key}");
        }
    }
    let twice = format!(r#"{{"{0}":1,"{0}":2}}"#, "k".repeat(5000));
    fs::write(&path, twice).unwrap();
    assert!(refused(&opledger(&["count", path.to_str().unwrap()])).len() < 500);
}

/// What a model says is made of the words of its tokenizer.
#[test]
#[cfg(feature = "text")]
fn words_of_a_tokenizer_are_escaped() {
    let config = fs::read_to_string(golden("gpt2_lm").join("config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    let words = 0..config["vocab_size"].as_u64().unwrap();
    let words: serde_json::Map<String, serde_json::Value> =
        words.map(|id| (format!("\u{1b}[31m{id}\u{9b}K"), id.into())).collect();
    let unknown = words.keys().next().unwrap();
    let tokenizer = serde_json::json!({
        "version": "1.0",
        "model": {"type": "WordLevel", "vocab": words, "unk_token": unknown},
    });
    let folder = model(tokenizer.to_string().as_bytes());
    for format in ["table", "json"] {
        let folder = folder.path().to_str().unwrap();
        let ended =
            opledger(&["generate", folder, "--text", "x", "--new-tokens", "2", "--format", format]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(ended.stdout.contains("1b"), "{}", ended.stdout);
        assert!(!ended.stdout.contains(|c: char| c.is_control() && c != '\n'), "{format}");
    }
}

#[test]
fn long_arguments_are_cut_in_messages() {
    let long = "x".repeat(100_000);
    let set = format!("n={long}");
    for arguments in [
        &["count", &long][..],
        &["count", "mha:c=8,h=2", "--set", &set],
        &["count", "mha:c=8,h=2", "--format", &long],
        &["derive", "mha:c=8,h=2", &long],
        &["verify", &long],
        &["audit", &long],
        &["explain", &long, "macs", "mha:c=8,h=2", "--set", "b=1", "--set", "n=1"],
    ] {
        let ended = opledger(arguments);
        assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{}", ended.stderr);
        assert!(ended.stderr.len() < 5000, "{} bytes: {:.300}", ended.stderr.len(), ended.stderr);
    }
}

/// A table of one's own is a file like any other.
#[test]
fn a_table_cannot_steer_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.json");
    let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("../audit/tables/vaswani-table-3.json");
    let text = fs::read_to_string(table).unwrap();
    // Words for readers; the first column names the models.
    let mut table: serde_json::Value = serde_json::from_str(&text).unwrap();
    for place in ["/title", "/source", "/assumes/0", "/rows/0/0", "/readings/0/name"] {
        let words = table.pointer_mut(place).unwrap();
        *words = format!("{}\u{1b}[31m\u{9b}31m", words.as_str().unwrap()).into();
    }
    fs::write(&path, table.to_string()).unwrap();
    for format in ["table", "csv", "markdown", "json"] {
        let ended = opledger(&["audit", path.to_str().unwrap(), "--format", format]);
        let steers = |c: char| c.is_control() && c != '\n' && c != '\r';
        assert!(!ended.stdout.contains(steers) && !ended.stderr.contains(steers), "{format}");
        let escaped = match format {
            "json" => r"\u001b[31m\u009b",
            "markdown" => r"\\u{1b}[31m\\u{9b}",
            _ => r"\u{1b}[31m\u{9b}",
        };
        assert!(ended.stdout.contains(escaped), "{format}: {:.500}", ended.stdout);
        assert_eq!(ended.code, Some(0), "{format}: {}", ended.stderr);
    }
}

#[test]
#[cfg(unix)]
fn a_pipe_is_no_file_to_read() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("config.json");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let (folder, pipe) = (folder.path().to_str().unwrap(), pipe.to_str().unwrap());
    for arguments in [
        &["count", folder, "--set", "n=8"][..],
        &["count", pipe, "--set", "n=8"],
        &["audit", pipe],
        &["bench", "gemm", "2x2x2", "--baseline", pipe],
        &["run", "mha:c=8,h=2", "--set", "b=1", "--set", "n=2", "--input", pipe],
    ] {
        let ended = opledger(arguments);
        assert!(refused(&ended).contains("it is no regular file"), "{}", ended.stderr);
    }
}

/// What the Hugging Face hub leaves in its cache: links to files that are named by their hashes.
#[test]
#[cfg(unix)]
fn a_snapshot_of_several_files_runs() {
    use std::os::unix::fs::symlink;
    let cache = tempfile::tempdir().unwrap();
    let snapshot = cache.path().join("snapshots/revision");
    fs::create_dir_all(&snapshot).unwrap();
    fs::create_dir(cache.path().join("blobs")).unwrap();
    for entry in fs::read_dir(golden("mixtral_full")).unwrap() {
        let name = entry.unwrap().file_name();
        let blob = Path::new("blobs").join(format!("blob-{}", name.display()));
        fs::copy(golden("mixtral_full").join(&name), cache.path().join(&blob)).unwrap();
        symlink(Path::new("../..").join(blob), snapshot.join(name)).unwrap();
    }
    let ended = opledger(&["run", snapshot.to_str().unwrap(), "--set", "n=4"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[test]
fn what_is_asserted_is_looked_up_before_anything_is_said() {
    let model = ["count", "mha:c=8,h=2", "--set", "b=1", "--set", "n=2"];
    let ended = opledger(&[&model[..], &["--assert", "nosuch < 1"]].concat());
    assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{}", ended.stderr);
    assert!(ended.stderr.contains("nosuch"), "{}", ended.stderr);
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_device_is_told() {
    for arguments in [&["--help"][..], &["--version"], &["count", "--help"], &["layers"], &[]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let Output { status, stderr, .. } = command(arguments).stdout(full).output().unwrap();
        let told = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(2), "{arguments:?}: {told}");
        assert!(told.contains("No space left on device"), "{told}");
    }
    assert_eq!(ended(command(&["--help"])).code, Some(0));
}
