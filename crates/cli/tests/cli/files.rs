//! Tensors read and written.

use std::fs;
use std::path::Path;

use safetensors::{Dtype, SafeTensors};

use crate::{command, opledger, stdout};

const MODEL: [&str; 6] = ["run", "mha:c=16,h=2", "--set", "b=1", "--set", "n=3"];

/// Runs the model with more arguments and gives back its message; it must fail with code 2.
fn refused(arguments: &[&str]) -> String {
    let ended = opledger(&[&MODEL[..], arguments].concat());
    assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{}", ended.stderr);
    assert_eq!(ended.stderr.matches("error:").count(), 1, "{}", ended.stderr);
    ended.stderr
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
}

/// A file of one tensor of zeros.
fn zeros(path: &Path, name: &str, dtype: &str, shape: &[usize], bytes: usize) {
    let header = format!(
        "{{\"{name}\":{{\"dtype\":\"{dtype}\",\"shape\":{shape:?},\"data_offsets\":[0,{bytes}]}}}}"
    );
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.bytes());
    file.extend(vec![0; bytes]);
    fs::write(path, file).unwrap();
}

#[test]
fn results_are_the_same_bits_for_any_number_of_threads_and_seeds_matter() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, arguments: &[&str]| {
        let path = folder.path().join(name);
        stdout(&[&MODEL[..], arguments, &["--output", path.to_str().unwrap()]].concat());
        fs::read(path).unwrap()
    };
    let one = write("one", &["--threads", "1", "--seed", "3"]);
    assert_eq!(one, write("two", &["--threads", "2", "--seed", "3"]));
    assert_ne!(one, write("other", &["--seed", "4"]));
    let tensors = SafeTensors::deserialize(&one).unwrap();
    let y = tensors.tensor("y").unwrap();
    assert_eq!((y.dtype(), y.shape()), (Dtype::F32, &[1, 3, 16][..]));
    assert_eq!(names(folder.path()).len(), 3, "nothing but the results is left");
}

#[test]
fn tensors_are_given_by_path_or_input_name() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in"), folder.path().join("out"));
    let files = ["--input", input.to_str().unwrap(), "--output", output.to_str().unwrap()];
    // Without an output projection's weight only its bias is left, the same for all tokens. Heads
    // may be merged as other tools store them.
    for shape in [&[16, 2, 8][..], &[16, 16]] {
        zeros(&input, "out_proj.weight", "F32", shape, 16 * 16 * 4);
        stdout(&[&MODEL[..], &files].concat());
        let bytes = fs::read(&output).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let data = tensors.tensor("y").unwrap().data();
        assert!(data.chunks(16 * 4).all(|token| token == &data[..16 * 4]));
    }
    zeros(&input, "x", "F32", &[1, 3, 16], 3 * 16 * 4);
    stdout(&[&MODEL[..], &files].concat());
}

#[test]
fn what_does_not_fit_is_named_with_both_shapes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.safetensors");
    let input = ["--input", path.to_str().unwrap()];
    zeros(&path, "x", "F32", &[2, 3, 16], 2 * 3 * 16 * 4);
    let message = refused(&input);
    assert!(message.contains("tensor `x`"), "{message}");
    assert!(message.contains("is F32 [2, 3, 16] where F32 [1, 3, 16] is needed"), "{message}");
    zeros(&path, "x", "F32", &[48], 3 * 16 * 4);
    assert!(refused(&input).contains("F32 [48]"), "inputs are not reshaped");
    zeros(&path, "x", "I64", &[1, 3, 16], 3 * 16 * 8);
    assert!(refused(&input).contains("is I64 [1, 3, 16] where F32 [1, 3, 16] is needed"));
    zeros(&path, "z", "F32", &[1], 4);
    assert!(refused(&input).contains("tensor `z`"));
}

#[test]
fn no_bytes_make_it_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.safetensors");
    let input = ["--input", path.to_str().unwrap()];
    assert!(refused(&input).contains("could not be read"));
    let huge = (1_u64 << 60).to_le_bytes();
    let overflow =
        br#"{"x":{"dtype":"F32","shape":[18446744073709551615,9],"data_offsets":[0,4]}}"#;
    let mut overflowing = (overflow.len() as u64).to_le_bytes().to_vec();
    overflowing.extend(overflow);
    let garbage: [&[u8]; 6] =
        [b"", b"abc", &huge, &[0; 8], b"\x05\0\0\0\0\0\0\0{\"a\":", &overflowing];
    for bytes in garbage {
        fs::write(&path, bytes).unwrap();
        assert!(refused(&input).contains("is no safetensors file"), "{bytes:?}");
    }
    assert!(refused(&["--input", folder.path().to_str().unwrap()]).contains("no regular file"));
}

#[test]
fn a_failing_run_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out");
    let output = output.to_str().unwrap();
    let ended =
        opledger(&["run", "mha:c=16,h=2", "--set", "b=1", "--set", "n=10^12", "--output", output]);
    assert_eq!(ended.code, Some(2));
    assert!(names(folder.path()).is_empty());
    assert!(refused(&["--output", "/no/such/folder/out"]).contains("there is no folder"));
    assert!(refused(&["--output", folder.path().to_str().unwrap()]).contains("it is a folder"));
}

#[test]
#[cfg(unix)]
fn a_reader_that_goes_away_is_no_error() {
    use std::process::Stdio;
    let mut child =
        command(&["layers"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), &*ended.stderr), (Some(0), &b""[..]));
}
