//! The files of a checkpoint: one safetensors file, or several with an index.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use opledger_json::{Object, Strict, unknown};
use serde::de::MapAccess;

use crate::error::{IndexError, WeightsError};
use crate::files::{Identity, open_regular, read_bounded};
use crate::header::{HeaderError, TensorInfo, parse_header};
use crate::limits::{MAX_HEADER, MAX_TENSORS};

pub(crate) const SINGLE: &str = "model.safetensors";
pub(crate) const INDEX: &str = "model.safetensors.index.json";

/// The tensors of one safetensors file or of several. Their headers are read and checked; elements
/// are read when they are asked for.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    pub(crate) path: PathBuf,
    pub(crate) shards: Vec<Shard>,
    pub(crate) tensors: BTreeMap<String, Located>,
    /// Tensors of its files that its index does not name, and that are not read.
    pub(crate) unlisted: Vec<String>,
}

/// A file of a checkpoint.
#[derive(Clone, Debug)]
pub(crate) struct Shard {
    pub(crate) path: PathBuf,
    pub(crate) identity: Identity,
    /// Where the elements begin, in bytes.
    pub(crate) start: u64,
}

/// A tensor, and the position of its file.
#[derive(Clone, Debug)]
pub(crate) struct Located {
    pub(crate) info: TensorInfo,
    pub(crate) shard: usize,
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

    pub(crate) fn empty(path: &Path) -> Self {
        let (path, shards, tensors) = (path.to_owned(), Vec::new(), BTreeMap::new());
        Checkpoint { path, shards, tensors, unlisted: Vec::new() }
    }

    /// Adds the tensors of a file; gives back the name of one that is there already.
    fn add(&mut self, path: PathBuf) -> Result<Option<String>, WeightsError> {
        let (mut file, identity) = open(&path)?;
        let bad = |problem: HeaderError| WeightsError::Malformed { path: path.clone(), problem };
        let mut bytes = [0; 8];
        file.read_exact(&mut bytes).map_err(|_| bad(HeaderError::Short))?;
        let (size, rest) = (u64::from_le_bytes(bytes), identity.length.saturating_sub(8));
        if size > rest.min(MAX_HEADER) {
            let (claimed, length, limit) = (size, identity.length, MAX_HEADER);
            return Err(bad(HeaderError::TooLong { claimed, length, limit }));
        }
        let mut text = vec![0; size as usize];
        file.read_exact(&mut text).map_err(|_| WeightsError::Changed { path: path.clone() })?;
        let tensors = parse_header(&text, rest - size).map_err(bad)?;
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
        let bad = |problem: IndexError| WeightsError::Index { path: path.to_owned(), problem };
        let index = Index::read(path)?;
        let nested = |value: &serde_json::Value| value.is_object() || value.is_array();
        if index.metadata.unwrap_or_default().values().any(nested) {
            return Err(bad(IndexError::Metadata));
        }
        let map = index.weight_map.ok_or_else(|| bad(IndexError::NoMap))?;
        let mut checkpoint = Checkpoint::empty(folder);
        for shard in map.values().collect::<BTreeSet<_>>() {
            let shard = shard_path(folder, shard).map_err(bad)?;
            if let Some(tensor) = checkpoint.add(shard)? {
                return Err(bad(IndexError::TooMany { tensor }));
            }
        }
        for (tensor, said) in &map {
            let there = checkpoint.info(tensor).and_then(|(_, path)| path.file_name()?.to_str());
            if there != Some(said) {
                let (said, there) = (said.clone(), there.map(str::to_owned));
                return Err(bad(IndexError::Elsewhere { tensor: tensor.clone(), said, there }));
            }
        }
        let unlisted = checkpoint.tensors.keys().filter(|tensor| !map.contains_key(*tensor));
        checkpoint.unlisted = unlisted.cloned().collect();
        checkpoint.tensors.retain(|tensor, _| map.contains_key(tensor));
        Ok(checkpoint)
    }
}

/// The index of a checkpoint of several files.
#[derive(Default)]
struct Index {
    weight_map: Option<BTreeMap<String, String>>,
    metadata: Option<BTreeMap<String, serde_json::Value>>,
}

impl Index {
    fn read(path: &Path) -> Result<Index, WeightsError> {
        let text = read_bounded(path, MAX_HEADER).map_err(|problem| unreadable(path, problem))?;
        match serde_json::from_slice::<Strict<Index>>(&text) {
            Ok(Strict(index)) => Ok(index),
            Err(e) => {
                let problem = IndexError::Json(e.to_string());
                Err(WeightsError::Index { path: path.to_owned(), problem })
            }
        }
    }
}

/// The paths of the files that the index of a folder names, where it has one that can be read.
pub(crate) fn shards_named(folder: &Path) -> Vec<PathBuf> {
    let map = Index::read(&folder.join(INDEX)).ok().and_then(|index| index.weight_map);
    let names: BTreeSet<String> = map.unwrap_or_default().into_values().collect();
    names.iter().filter(|name| is_plain(name)).map(|name| folder.join(name)).collect()
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

/// The path of a file that an index names: an entry of the folder, never one reached through it.
///
/// An index is a text that came from elsewhere, so it may name only what lies beside it. An entry may
/// be a link that leads out of the folder, as all are in a snapshot of the Hugging Face cache, whose
/// files lie among `blobs`: links are made by whoever fills the folder, who may as well make
/// `model.safetensors` one. What is behind a link is opened only if it is a regular file, and nothing of
/// it is shown unless it is a safetensors file.
fn shard_path(folder: &Path, file: &str) -> Result<PathBuf, IndexError> {
    let bad = |problem| Err(IndexError::File { file: file.to_owned(), problem });
    if !is_plain(file) {
        return bad("is no plain file name");
    }
    let path = folder.join(file);
    match fs::metadata(&path) {
        Ok(_) => Ok(path),
        Err(e) => Err(IndexError::NotThere { file: file.to_owned(), problem: e.to_string() }),
    }
}

/// Whether a name is that of an entry of a folder.
fn is_plain(file: &str) -> bool {
    !(file.is_empty() || file == "." || file == ".." || file.contains(['/', '\\', ':', '\0']))
}

/// Opens a regular file.
fn open(path: &Path) -> Result<(File, Identity), WeightsError> {
    open_regular(path).map_err(|problem| unreadable(path, problem))
}

pub(crate) fn unreadable(path: &Path, problem: impl ToString) -> WeightsError {
    WeightsError::Unreadable { path: path.to_owned(), problem: problem.to_string() }
}

impl Shard {
    /// Opens the file once more; it is the one whose header was read.
    pub(crate) fn open(&self) -> Result<File, WeightsError> {
        let (file, _) = open(&self.path)?;
        self.check(&file)?;
        Ok(file)
    }

    /// Checks that a file is, still, the one whose header was read.
    pub(crate) fn check(&self, file: &File) -> Result<(), WeightsError> {
        let metadata = file.metadata().map_err(|e| unreadable(&self.path, e))?;
        match Identity::of(&metadata) == self.identity {
            true => Ok(()),
            false => Err(self.changed()),
        }
    }

    pub(crate) fn changed(&self) -> WeightsError {
        WeightsError::Changed { path: self.path.clone() }
    }
}
