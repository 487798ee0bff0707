//! The files of a checkpoint: one safetensors file, or several with an index.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::de::MapAccess;

use super::error::escaped;
use super::header::{TensorInfo, parse_header};
use super::json::{Object, Strict, unknown};
use super::{MAX_HEADER, MAX_TENSORS, WeightsError};

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// The tensors of one safetensors file or of several. Their headers are read and checked; elements
/// are read when they are asked for.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    pub(super) path: PathBuf,
    pub(super) shards: Vec<Shard>,
    pub(super) tensors: BTreeMap<String, Located>,
}

/// A file of a checkpoint.
#[derive(Clone, Debug)]
pub(super) struct Shard {
    pub(super) path: PathBuf,
    identity: Identity,
    /// Where the elements begin, in bytes.
    pub(super) start: u64,
}

/// A tensor, and the position of its file.
#[derive(Clone, Debug)]
pub(super) struct Located {
    pub(super) info: TensorInfo,
    pub(super) shard: usize,
}

impl Checkpoint {
    /// Reads the header of a `.safetensors` file; of a folder, that of its `model.safetensors`, or
    /// those of the files that its `model.safetensors.index.json` names, which lie in the folder.
    ///
    /// # Errors
    /// What cannot be read, or what about it is wrong.
    pub fn open(path: &Path) -> Result<Self, WeightsError> {
        if !path.is_dir() {
            return Checkpoint::open_file(path);
        }
        let (single, index) = (path.join(SINGLE), path.join(INDEX));
        match (single.exists(), index.exists()) {
            (true, _) => Checkpoint::open_file(&single),
            (false, true) => Checkpoint::open_index(path, &index),
            (false, false) => {
                Err(unreadable(path, format!("it has neither `{SINGLE}` nor `{INDEX}`")))
            }
        }
    }

    /// Reads the header of one safetensors file.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn open_file(path: &Path) -> Result<Self, WeightsError> {
        let mut checkpoint = Checkpoint::empty(path);
        checkpoint.add(path.to_owned())?;
        Ok(checkpoint)
    }

    /// The names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// A tensor, and the file that it is in.
    pub fn info(&self, name: &str) -> Option<(&TensorInfo, &Path)> {
        let located = self.tensors.get(name)?;
        Some((&located.info, &self.shards.get(located.shard)?.path))
    }

    fn empty(path: &Path) -> Self {
        Checkpoint { path: path.to_owned(), shards: Vec::new(), tensors: BTreeMap::new() }
    }

    /// Adds the tensors of a file; gives back the name of one that is there already.
    fn add(&mut self, path: PathBuf) -> Result<Option<String>, WeightsError> {
        let (mut file, identity) = open_regular(&path)?;
        let bad = |problem: String| WeightsError::Malformed { path: path.clone(), problem };
        let mut bytes = [0; 8];
        file.read_exact(&mut bytes).map_err(|_| bad("it is shorter than 8 bytes".to_owned()))?;
        let (size, rest) = (u64::from_le_bytes(bytes), identity.length.saturating_sub(8));
        if size > rest.min(MAX_HEADER) {
            let length = identity.length;
            return Err(bad(format!(
                "its header claims {size} bytes of a file of {length}; at most {MAX_HEADER} are read"
            )));
        }
        let mut text = vec![0; size as usize];
        file.read_exact(&mut text).map_err(|_| WeightsError::Changed { path: path.clone() })?;
        let tensors = parse_header(&text, rest - size).map_err(|e| bad(escaped(&e)))?;
        let shard = self.shards.len();
        for (name, info) in tensors {
            if self.tensors.contains_key(&name) || self.tensors.len() == MAX_TENSORS {
                return Ok(Some(name));
            }
            self.tensors.insert(name, Located { info, shard });
        }
        self.shards.push(Shard { path, identity, start: 8 + size });
        Ok(None)
    }

    fn open_index(folder: &Path, path: &Path) -> Result<Self, WeightsError> {
        let bad = |problem: String| WeightsError::Index { path: path.to_owned(), problem };
        let mut text = Vec::new();
        let (file, _) = open_regular(path)?;
        let read = file.take(MAX_HEADER + 1).read_to_end(&mut text);
        if read.map_err(|e| unreadable(path, e))? as u64 > MAX_HEADER {
            return Err(bad(format!("it is longer than {MAX_HEADER} bytes")));
        }
        let Strict(index) = serde_json::from_slice::<Strict<Index>>(&text)
            .map_err(|e| bad(escaped(&e.to_string())))?;
        let nested = |value: &serde_json::Value| value.is_object() || value.is_array();
        if index.metadata.unwrap_or_default().values().any(nested) {
            return Err(bad("its metadata is no map of single values".to_owned()));
        }
        let map = index.weight_map.ok_or_else(|| bad("it has no `weight_map`".to_owned()))?;
        let mut checkpoint = Checkpoint::empty(folder);
        for shard in map.values().collect::<BTreeSet<_>>() {
            let shard = shard_path(folder, shard)
                .map_err(|problem| bad(format!("its file `{}` {problem}", escaped(shard))))?;
            if let Some(name) = checkpoint.add(shard)? {
                let name = escaped(&name);
                return Err(bad(format!("tensor `{name}` is in two files, or one of too many")));
            }
        }
        let names = map.keys().chain(checkpoint.tensors.keys()).collect::<BTreeSet<_>>();
        for name in names {
            let there = checkpoint.info(name).and_then(|(_, path)| path.file_name()?.to_str());
            let said = map.get(name).map(String::as_str);
            if there != said {
                let place = |file: Option<&str>| {
                    file.map_or("no file".to_owned(), |file| format!("`{}`", escaped(file)))
                };
                let (name, said, there) = (escaped(name), place(said), place(there));
                return Err(bad(format!("tensor `{name}` should be in {said} and is in {there}")));
            }
        }
        Ok(checkpoint)
    }
}

/// The index of a checkpoint of several files.
#[derive(Default)]
struct Index {
    weight_map: Option<BTreeMap<String, String>>,
    metadata: Option<BTreeMap<String, serde_json::Value>>,
}

impl Object for Index {
    fn take<'de, A: MapAccess<'de>>(
        &mut self,
        key: String,
        values: &mut A,
    ) -> Result<bool, A::Error> {
        Ok(match &*key {
            "weight_map" => self.weight_map.replace(values.next_value::<Strict<_>>()?.0).is_none(),
            "metadata" => self.metadata.replace(values.next_value::<Strict<_>>()?.0).is_none(),
            _ => return unknown(&key, "weight_map, metadata"),
        })
    }
}

/// The path of a file that an index names: a file of the folder, not one reached through it.
fn shard_path(folder: &Path, name: &str) -> Result<PathBuf, String> {
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\\', ':', '\0']) {
        return Err("is no plain file name".to_owned());
    }
    let path = folder.join(name);
    let real = |path: &Path| fs::canonicalize(path).map_err(|e| format!("is not there: {e}"));
    if real(&path)?.starts_with(real(folder)?) {
        return Ok(path);
    }
    Err("is a link that leads out of the folder; put a copy of the file there".to_owned())
}

/// By what a file is known again.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Identity {
    length: u64,
    modified: Option<SystemTime>,
    /// Device and number on it, where the system has them.
    number: Option<(u64, u64)>,
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let number = {
            use std::os::unix::fs::MetadataExt;
            Some((metadata.dev(), metadata.ino()))
        };
        #[cfg(not(unix))]
        let number = None;
        Identity { length: metadata.len(), modified: metadata.modified().ok(), number }
    }
}

/// Opens a regular file; what is none (a pipe would keep this waiting) is not opened.
fn open_regular(path: &Path) -> Result<(File, Identity), WeightsError> {
    let fail = |e: std::io::Error| unreadable(path, e);
    if !fs::metadata(path).map_err(fail)?.is_file() {
        return Err(unreadable(path, "it is no regular file"));
    }
    let file = File::open(path).map_err(fail)?;
    let metadata = file.metadata().map_err(fail)?;
    Ok((file, Identity::of(&metadata)))
}

pub(super) fn unreadable(path: &Path, problem: impl ToString) -> WeightsError {
    WeightsError::Unreadable { path: path.to_owned(), problem: problem.to_string() }
}

impl Shard {
    /// Opens the file once more; it is the one whose header was read.
    pub(super) fn open(&self) -> Result<File, WeightsError> {
        let (file, _) = open_regular(&self.path)?;
        self.check(&file)?;
        Ok(file)
    }

    /// Checks that a file is, still, the one whose header was read.
    pub(super) fn check(&self, file: &File) -> Result<(), WeightsError> {
        let metadata = file.metadata().map_err(|e| unreadable(&self.path, e))?;
        match Identity::of(&metadata) == self.identity {
            true => Ok(()),
            false => Err(self.changed()),
        }
    }

    pub(super) fn changed(&self) -> WeightsError {
        WeightsError::Changed { path: self.path.clone() }
    }
}
