//! Folders of several files with an index.

use std::fs;

use crate::{Folder, ramp, reals};

const INDEX: &str = "model.safetensors.index.json";

fn index(entries: &[(&str, &str)]) -> String {
    let json = |text: &str| serde_json::Value::from(text);
    let lines: Vec<String> =
        entries.iter().map(|(name, file)| format!("{}:{}", json(name), json(file))).collect();
    format!(r#"{{"metadata":{{"total_size":32}},"weight_map":{{{}}}}}"#, lines.join(","))
}

/// Two files, of the tensors `a` and `b`, and an index.
fn two(text: impl AsRef<[u8]>) -> Folder {
    Folder::new()
        .with("1.safetensors", reals(&[("a", &[4], ramp(4))]))
        .with("2.safetensors", reals(&[("b", &[2, 2], ramp(4))]))
        .with(INDEX, text)
}

const GOOD: [(&str, &str); 2] = [("a", "1.safetensors"), ("b", "2.safetensors")];

#[test]
fn an_index_names_the_file_of_each_tensor() {
    let folder = two(index(&GOOD));
    let checkpoint = folder.open().unwrap();
    assert_eq!(checkpoint.names().collect::<Vec<_>>(), ["a", "b"]);
    let (info, path) = checkpoint.info("b").unwrap();
    assert_eq!((&*info.shape, path), (&[2, 2][..], &*folder.file("2.safetensors")));
    assert_eq!(checkpoint.read("b").unwrap().real().unwrap().data(), ramp(4));
}

#[test]
fn an_index_and_its_files_agree() {
    let refused = |entries: &[(&str, &str)]| two(index(entries)).refused();
    let cases = [
        (
            refused(&[GOOD[0], GOOD[1], ("c", "2.safetensors")]),
            "`c` should be in `2.safetensors` and is in no file",
        ),
        (
            refused(&[("a", "2.safetensors"), ("b", "1.safetensors")]),
            "`a` should be in `2.safetensors` and is in `1.safetensors`",
        ),
        (refused(&[GOOD[0], ("b", "3.safetensors")]), "its file `3.safetensors` is not there"),
    ];
    for (message, part) in &cases {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
    // What an index does not name is not there.
    let checkpoint = two(index(&GOOD[..1])).open().unwrap();
    assert_eq!(checkpoint.names().collect::<Vec<_>>(), ["a"]);
    let twice = two(index(&GOOD)).with("2.safetensors", reals(&[("a", &[4], ramp(4))]));
    assert!(twice.refused().contains("tensor `a` is in two files"), "{}", twice.refused());
}

#[test]
fn an_index_has_the_one_form() {
    let cases = [
        ("", "EOF"),
        ("[]", "expected an object"),
        (r#"{"metadata":{}}"#, "it has no `weight_map`"),
        (r#"{"weight_map":{"a":"1.safetensors","a":"2.safetensors"}}"#, "the key `a` stands twice"),
        (r#"{"weight_map":{},"weight_map":{}}"#, "the key `weight_map` stands twice"),
        (r#"{"weight_map":{"a":1}}"#, "expected a string"),
        (r#"{"weight_map":{},"other":1}"#, "the key `other` is none of"),
        (r#"{"metadata":{"a":{"b":1,"b":2}},"weight_map":{}}"#, "no map of single values"),
    ];
    for (text, part) in cases {
        let message = two(text).refused();
        assert!(message.contains("is no index of weights"), "{message}");
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
    let deep = format!(r#"{{"metadata":{{"a":{}"#, "[".repeat(1_000_000));
    assert!(two(deep).refused().contains("recursion limit"));
}

#[test]
fn an_index_leads_to_no_file_outside_its_folder() {
    let outer = Folder::new().with("1.safetensors", reals(&[("a", &[4], ramp(4))]));
    let folder = outer.path().join("inner");
    fs::create_dir(&folder).unwrap();
    let refused = |name: &str| {
        fs::write(folder.join(INDEX), index(&[("a", name)])).unwrap();
        opledger_weights::Checkpoint::open(&folder).unwrap_err().to_string()
    };
    let absolute = outer.file("1.safetensors");
    let absolute = absolute.to_str().unwrap();
    let names = ["../1.safetensors", "..", ".", "", "x/../../1.safetensors", absolute];
    for name in names.into_iter().chain(["C:1.safetensors", "..\\1.safetensors", "1.safetensors\0"])
    {
        let message = refused(name);
        assert!(message.contains("is no plain file name"), "{message}");
    }
    fs::create_dir(folder.join("folder")).unwrap();
    assert!(refused("folder").contains("it is no regular file"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::symlink;
        symlink("/dev/zero", folder.join("device")).unwrap();
        assert!(refused("device").contains("it is no regular file"));
        symlink("nowhere", folder.join("broken")).unwrap();
        assert!(refused("broken").contains("its file `broken` is not there"));
        fs::rename(outer.file("1.safetensors"), folder.join("here")).unwrap();
        symlink("here", folder.join("in")).unwrap();
        fs::write(folder.join(INDEX), index(&[("a", "in")])).unwrap();
        let checkpoint = opledger_weights::Checkpoint::open(&folder).unwrap();
        assert_eq!(checkpoint.read("a").unwrap().shape(), [4]);
        // Two names of one file are two files with the same tensor.
        fs::write(folder.join(INDEX), index(&[("a", "in"), ("b", "here")])).unwrap();
        let message = opledger_weights::Checkpoint::open(&folder).unwrap_err().to_string();
        assert!(message.contains("tensor `a` is in two files"), "{message}");
    }
}

/// A snapshot of the Hugging Face cache: every file is a link to one named by its hash.
#[test]
#[cfg(unix)]
fn files_of_a_snapshot_are_links_to_blobs() {
    let cache = Folder::new();
    let snapshot = cache.path().join("snapshots/revision");
    fs::create_dir_all(&snapshot).unwrap();
    fs::create_dir(cache.path().join("blobs")).unwrap();
    let files = [
        (INDEX, index(&GOOD).into_bytes()),
        ("1.safetensors", reals(&[("a", &[4], ramp(4))])),
        ("2.safetensors", reals(&[("b", &[2, 2], ramp(4))])),
    ];
    for (at, (name, bytes)) in files.iter().enumerate() {
        fs::write(cache.path().join(format!("blobs/{at}")), bytes).unwrap();
        let to = format!("../../blobs/{at}");
        std::os::unix::fs::symlink(to, snapshot.join(name)).unwrap();
    }
    let checkpoint = opledger_weights::Checkpoint::open(&snapshot).unwrap();
    assert_eq!(checkpoint.read("b").unwrap().real().unwrap().data(), ramp(4));
}
