//! Single files that are not what they claim, each class of error once.

use std::fs::{self, File, OpenOptions};
use std::time::{Duration, SystemTime};

use opledger_weights::{Checkpoint, MAX_HEADER, MAX_TENSORS, WeightsError, parse_header};

use crate::{Folder, file, ramp, reals, single};

/// The message that a file is refused with.
fn refused(bytes: &[u8]) -> String {
    let message = Folder::new().with("model.safetensors", bytes).refused();
    assert!(message.contains("is no safetensors file"), "{message}");
    message
}

/// The message that a header is refused with, over so many bytes of data.
fn header(text: &str, data: usize) -> String {
    refused(&file(text, &vec![0; data]))
}

/// The header of one tensor.
fn tensor(dtype: &str, shape: &str, begin: u64, end: u64) -> String {
    format!(r#"{{"w":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{begin},{end}]}}}}"#)
}

/// Each message has its piece of text.
fn all(cases: &[(String, &str)]) {
    for (message, part) in cases {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
}

#[test]
fn what_the_cases_vary_is_a_good_file() {
    let (_folder, checkpoint) = single(&file(&tensor("F32", "[2]", 0, 8), &[0; 8]));
    let (info, path) = checkpoint.info("w").unwrap();
    assert_eq!((info.dtype.to_string(), &*info.shape), ("F32".to_owned(), &[2][..]));
    assert!(path.ends_with("model.safetensors"));
    assert_eq!(checkpoint.names().collect::<Vec<_>>(), ["w"]);
    let empty = r#"{"__metadata__":{"format":"pt"}}   "#;
    assert_eq!(single(&file(empty, b"")).1.names().count(), 0);
}

#[test]
fn a_header_is_no_longer_than_its_file() {
    let claim = |size: u64| refused(&size.to_le_bytes());
    all(&[
        (refused(b""), "shorter than 8 bytes"),
        (refused(b"1234567"), "shorter than 8 bytes"),
        (claim(1), "claims 1 bytes of a file of 8"),
        (claim(1 << 60), "claims 1152921504606846976 bytes"),
        (claim(u64::MAX), "claims 18446744073709551615 bytes"),
        (claim(0), "does not begin with `{`"),
    ]);
}

#[test]
fn a_header_over_the_limit_is_not_read() {
    let folder = Folder::new().with("model.safetensors", (MAX_HEADER + 1).to_le_bytes());
    let sparse = OpenOptions::new().write(true).open(folder.file("model.safetensors")).unwrap();
    sparse.set_len(2 * MAX_HEADER).unwrap();
    assert!(folder.refused().contains("at most 100000000 are read"));
}

#[test]
fn tensors_are_counted_before_they_fill_the_memory() {
    let entry = r#"{"dtype":"U8","shape":[0],"data_offsets":[0,0]}"#;
    let entries: Vec<String> = (0..=MAX_TENSORS).map(|i| format!("\"{i}\":{entry}")).collect();
    let text = format!("{{{}}}", entries.join(","));
    let problem = parse_header(text.as_bytes(), 0).unwrap_err().to_string();
    assert!(problem.contains("over 1048576 tensors"), "{problem}");
}

#[test]
fn sizes_are_multiplied_without_wrapping() {
    let wide = (1_u64 << 32).to_string();
    let max = u64::MAX.to_string();
    all(&[
        // 4 · 2^64 bytes are 0 modulo 2^64.
        (header(&tensor("F32", &format!("[{wide},{wide}]"), 0, 0), 0), "its range has 0 bytes"),
        // 2^61 · 8 bits as well, and 2^62 numbers of 4 bytes.
        (header(&tensor("U8", "[2305843009213693952,8]", 0, 0), 0), "its range has 0 bytes"),
        (header(&tensor("F32", "[4611686018427387904]", 0, 0), 0), "its range has 0 bytes"),
        (header(&tensor("F32", &format!("[{max},{max},{max}]"), 0, 0), 0), "too large a product"),
        (header(&tensor("F32", "[18446744073709551616]", 0, 0), 0), "invalid type"),
        (header(&tensor("F32", "[-1]", 0, 0), 0), "invalid value"),
        (header(&tensor("F32", "[1.0]", 0, 4), 4), "invalid type"),
        // An exabyte that agrees with itself, but not with the file.
        (
            header(&tensor("F32", "[288230376151711744]", 0, 1 << 60), 4),
            "its tensors take 1152921504606846976 bytes, 4 are there",
        ),
        (header(&tensor("F32", "[2]", 0, 4), 4), "F32 [2] takes 64 bits, its range has 4 bytes"),
        (header(&tensor("F4", "[1]", 0, 1), 1), "F4 [1] takes 4 bits"),
    ]);
}

#[test]
fn tensors_fill_the_file_and_each_byte_belongs_to_one() {
    let two = |a: [u64; 2], b: [u64; 2], data: usize| {
        let entry = |[begin, end]: [u64; 2]| {
            let shape = end.saturating_sub(begin);
            format!(r#"{{"dtype":"U8","shape":[{shape}],"data_offsets":[{begin},{end}]}}"#)
        };
        header(&format!(r#"{{"a":{},"b":{}}}"#, entry(a), entry(b)), data)
    };
    all(&[
        (two([0, 4], [0, 4], 4), "overlaps another"),
        (two([0, 4], [3, 8], 8), "`b` overlaps another: it begins at byte 3, not 4"),
        (two([4, 8], [0, 5], 8), "`a` overlaps another"),
        (two([0, 4], [5, 8], 8), "`b` leaves a hole: it begins at byte 5, not 4"),
        (two([1, 4], [4, 8], 8), "`a` leaves a hole: it begins at byte 1, not 0"),
        (two([0, 4], [4, 8], 9), "its tensors take 8 bytes, 9 are there"),
        (two([0, 4], [4, 8], 7), "its tensors take 8 bytes, 7 are there"),
        (two([0, 4], [8, 4], 8), "it ends at 4, before its begin at 8"),
        (header("{}", 1), "its tensors take 0 bytes, 1 are there"),
    ]);
}

#[test]
fn no_key_stands_twice_at_any_level() {
    let entry = |dtype: &str| format!(r#"{{"dtype":"{dtype}","shape":[1],"data_offsets":[0,4]}}"#);
    // The same name and range with two kinds of elements: readers would differ in what they see.
    let names = format!(r#"{{"w":{},"w":{}}}"#, entry("F32"), entry("I32"));
    let escaped = format!(r#"{{"w":{},"\u0077":{}}}"#, entry("F32"), entry("F32"));
    let keys = r#"{"w":{"dtype":"F32","dtype":"I32","shape":[1],"data_offsets":[0,4]}}"#;
    let metadata = r#"{"__metadata__":{"a":"1","a":"2"}}"#;
    all(&[
        (header(&names, 4), "the key `w` stands twice"),
        (header(&escaped, 4), "the key `w` stands twice"),
        (header(keys, 4), "the key `dtype` stands twice"),
        (header(metadata, 0), "the key `a` stands twice"),
        (header(r#"{"__metadata__":{},"__metadata__":{}}"#, 0), "`__metadata__` stands twice"),
    ]);
}

#[test]
fn a_header_has_the_one_form() {
    let w = |entry: &str| header(&format!(r#"{{"w":{entry}}}"#), 4);
    let deep = format!(r#"{{"w":{}"#, "[".repeat(1_000_000));
    let deep_metadata = format!(r#"{{"__metadata__":{}"#, r#"{"a":"#.repeat(1_000_000));
    all(&[
        (header(&tensor("F128", "[1]", 0, 4), 4), "unknown variant `F128`"),
        (w(r#"{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":0}"#), "the key `x` is none of"),
        (w(r#"{"dtype":"F32","shape":[1]}"#), "tensor `w`: it has no `data_offsets`"),
        (w(r#"{"shape":[1],"data_offsets":[0,4]}"#), "it has no `dtype`"),
        (w(r#"{"dtype":{"F32":null},"shape":[1],"data_offsets":[0,4]}"#), "expected a string"),
        (w(r#"{"dtype":"F32","shape":[1],"data_offsets":[0,4,4]}"#), "its header"),
        (w(r#"{"dtype":"F32","shape":[1],"data_offsets":[0]}"#), "invalid length 1"),
        (w(r#"["F32",[1],[0,4]]"#), "expected an object"),
        (header(r#"{"__metadata__":{"a":1}}"#, 0), "expected a string"),
        (header(r#"{"__metadata__":{"a":{"b":"c"}}}"#, 0), "expected a string"),
        (header(r#"{"__metadata__":"a"}"#, 0), "expected an object"),
        (header("[]", 0), "does not begin with `{`"),
        (header(" {}", 0), "does not begin with `{`"),
        (header("{} x", 0), "trailing characters"),
        (header(r#"{"w":"#, 0), "EOF"),
        (header(&deep, 0), "expected an object"),
        (header(&deep_metadata, 0), "expected a string"),
        (refused(&[&3_u64.to_le_bytes()[..], b"{\"\xff"].concat()), "its header"),
        (refused(&[&5_u64.to_le_bytes()[..], b"{\"\xff\":"].concat()), "invalid unicode"),
    ]);
}

#[test]
fn names_reach_no_terminal_as_they_are() {
    let bad =
        r#"{"\u001b[2J\u202ew":{"dtype":"\u001b]0;x\u0007","shape":[],"data_offsets":[0,4]}}"#;
    let long = format!(
        r#"{{"{}":{{"dtype":"U8","shape":[2],"data_offsets":[0,1]}}}}"#,
        "w".repeat(1 << 20)
    );
    let good = r#"{"\u001b[2Jw":{"dtype":"F64","shape":[],"data_offsets":[0,8]}}"#;
    let unread = single(&file(good, &[0; 8])).1.read("\u{1b}[2Jw").unwrap_err().to_string();
    all(&[
        (unread.clone(), "tensor `\\u{1b}[2Jw`"),
        (unread.clone(), "is F64; F32, F16, BF16, I64"),
    ]);
    for message in [header(bad, 4), header(&long, 1), unread] {
        assert!(!message.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{message:?}");
        assert!(message.len() < 2000, "{} bytes", message.len());
    }
}

#[test]
fn only_regular_files_are_opened() {
    let folder = Folder::new();
    all(&[
        (folder.refused(), "it has neither `model.safetensors` nor `model.safetensors.index.json`"),
        (Checkpoint::open_file(folder.path()).unwrap_err().to_string(), "it is no regular file"),
        (Checkpoint::open(&folder.file("none")).unwrap_err().to_string(), "could not be read"),
    ]);
    #[cfg(unix)]
    {
        // Opening a pipe would wait for someone to write.
        let pipe = folder.file("model.safetensors");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert!(folder.refused().contains("it is no regular file"));
    }
}

#[test]
fn a_file_that_changes_is_refused() {
    let bytes = reals(&[("w", &[4], ramp(4))]);
    let changed = |change: &dyn Fn(&Folder)| {
        let (folder, checkpoint) = single(&bytes);
        assert!(checkpoint.read("w").is_ok());
        change(&folder);
        let path = folder.file("model.safetensors");
        assert_eq!(checkpoint.read("w").unwrap_err(), WeightsError::Changed { path });
    };
    let open = |folder: &Folder| -> File {
        OpenOptions::new().write(true).open(folder.file("model.safetensors")).unwrap()
    };
    changed(&|folder| open(folder).set_len(bytes.len() as u64 - 1).unwrap());
    changed(&|folder| open(folder).set_len(bytes.len() as u64 + 1).unwrap());
    let later = SystemTime::now() + Duration::from_secs(5);
    changed(&|folder| open(folder).set_modified(later).unwrap());
    // Another file of the same name, length and time.
    #[cfg(unix)]
    changed(&|folder| {
        let modified = fs::metadata(folder.file("model.safetensors")).unwrap().modified().unwrap();
        fs::write(folder.file("new"), &bytes).unwrap();
        fs::rename(folder.file("new"), folder.file("model.safetensors")).unwrap();
        open(folder).set_modified(modified).unwrap();
    });
    let (folder, checkpoint) = single(&bytes);
    fs::remove_file(folder.file("model.safetensors")).unwrap();
    assert!(matches!(checkpoint.read("w"), Err(WeightsError::Unreadable { .. })));
}

#[test]
fn tensors_are_read_by_name() {
    let header = r#"{"i":{"dtype":"I64","shape":[2],"data_offsets":[8,24]},"r":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}}"#;
    let data = [
        &1.5_f32.to_le_bytes()[..],
        &(-2_f32).to_le_bytes(),
        &7_i64.to_le_bytes(),
        &(-8_i64).to_le_bytes(),
    ];
    let (_folder, checkpoint) = single(&file(header, &data.concat()));
    let (ids, real) = (checkpoint.read("i").unwrap(), checkpoint.read("r").unwrap());
    assert_eq!(ids.index().unwrap().data(), [7, -8]);
    assert_eq!((real.shape(), real.real().unwrap().data()), (&[1, 2][..], &[1.5, -2.0][..]));
    assert!(checkpoint.read("x").unwrap_err().to_string().contains("has no tensor `x`"));
}
