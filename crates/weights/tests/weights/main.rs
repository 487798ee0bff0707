//! Weights: hostile files, files that are right, and how names and layouts meet a graph.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod files;
mod folders;
mod mapping;
mod properties;

use std::fs;
use std::path::{Path, PathBuf};

use opledger_weights::{Checkpoint, WeightsError};

/// A file of a header and as many bytes of data.
fn file(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

/// A file of `f32` tensors: names, sizes and elements.
fn reals(tensors: &[(&str, &[usize], Vec<f32>)]) -> Vec<u8> {
    let (mut entries, mut data) = (Vec::new(), Vec::new());
    for (name, shape, elements) in tensors {
        let begin = data.len();
        data.extend(elements.iter().flat_map(|x| x.to_le_bytes()));
        let end = data.len();
        entries.push(format!(
            r#""{name}":{{"dtype":"F32","shape":{shape:?},"data_offsets":[{begin},{end}]}}"#
        ));
    }
    file(&format!("{{{}}}", entries.join(",")), &data)
}

/// `n` different numbers.
fn ramp(n: usize) -> Vec<f32> {
    (0..n).map(|i| i as f32).collect()
}

/// A folder that is gone after the test.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Folder(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn with(self, name: &str, bytes: impl AsRef<[u8]>) -> Self {
        fs::write(self.path().join(name), bytes).unwrap();
        self
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    fn open(&self) -> Result<Checkpoint, WeightsError> {
        Checkpoint::open(self.path())
    }

    /// The message that opening the folder ends with.
    fn refused(&self) -> String {
        self.open().unwrap_err().to_string()
    }
}

/// A checkpoint of one file, and the folder that it is in.
fn single(bytes: &[u8]) -> (Folder, Checkpoint) {
    let folder = Folder::new().with("model.safetensors", bytes);
    let checkpoint = folder.open().unwrap();
    (folder, checkpoint)
}
