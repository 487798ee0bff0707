//! A `.pt2` archive: a ZIP whose entries are read one by one, within bounds.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use rawzip::{CompressionMethod, FileReader, RECOMMENDED_BUFFER_SIZE, ZipArchive};

use crate::error::ImportError;
use crate::inline::inline;
use crate::schema::{ExportedProgram, MAJOR, PayloadConfig, PayloadMeta};

/// The most bytes that the JSON of a program may have.
const MOST_JSON: u64 = 1 << 29;
/// The most entries an archive may have.
const MOST_ENTRIES: usize = 1 << 20;

/// An archive on disk, of which the program is read and tensors can be.
pub(crate) struct Archive {
    path: PathBuf,
    zip: ZipArchive<FileReader>,
    /// Where entries are and how many bytes they say they have, by their names.
    entries: BTreeMap<String, (rawzip::ZipArchiveEntryWayfinder, u64)>,
    /// The folder that all entries stand in, with its slash.
    prefix: String,
}

/// Where the elements of parameters and constants are, by their names.
pub(crate) type Payloads = BTreeMap<String, (&'static str, PayloadMeta)>;

impl Archive {
    pub(crate) fn open(path: &Path) -> Result<Archive, ImportError> {
        let bad = |problem: String| ImportError::Archive { path: path.to_owned(), problem };
        let zip = |error: rawzip::Error| bad(format!("it is no archive: {error}"));
        let metadata = std::fs::metadata(path).map_err(|e| bad(e.to_string()))?;
        if !metadata.is_file() {
            return Err(bad("it is no file".to_owned()));
        }
        let file = File::open(path).map_err(|e| bad(e.to_string()))?;
        let mut buffer = vec![0; RECOMMENDED_BUFFER_SIZE];
        let archive = ZipArchive::from_file(file, &mut buffer).map_err(zip)?;
        let mut entries = BTreeMap::new();
        let mut listed = archive.entries(&mut buffer);
        while let Some(entry) = listed.next_entry().map_err(zip)? {
            let name = String::from_utf8_lossy(entry.file_path().as_ref()).into_owned();
            if entries.len() == MOST_ENTRIES {
                return Err(bad(format!("it has more than {MOST_ENTRIES} entries")));
            }
            if entry.is_dir() {
                continue;
            }
            if entry.compression_method() != CompressionMethod::STORE {
                let name = opledger_dims::escaped(&name);
                return Err(bad(format!(
                    "`{name}` is compressed; PyTorch stores entries as they are"
                )));
            }
            let place = (entry.wayfinder(), entry.uncompressed_size_hint());
            if entries.insert(name.clone(), place).is_some() {
                return Err(bad(format!("it has `{}` twice", opledger_dims::escaped(&name))));
            }
        }
        let model = |name: &String| {
            let (folder, file) = name.rsplit_once('/')?;
            let is_model = file.ends_with(".json") && folder.rsplit('/').next() == Some("models");
            is_model.then(|| folder[..folder.len() - "models".len()].to_owned())
        };
        let prefix = entries.keys().find_map(model).ok_or_else(|| {
            bad("it has no `models/….json`: write it with `torch.export.save` of PyTorch 2.8 or later"
                .to_owned())
        })?;
        Ok(Archive { path: path.to_owned(), zip: archive, entries, prefix })
    }

    fn bad(&self, problem: String) -> ImportError {
        ImportError::Archive { path: self.path.clone(), problem }
    }

    /// The bytes of an entry, at most so many.
    fn entry(&mut self, name: &str, most: u64) -> Result<Vec<u8>, ImportError> {
        let path = self.path.clone();
        let bad = |problem: String| ImportError::Archive {
            path: path.clone(),
            problem: format!("`{}`: {problem}", opledger_dims::escaped(name)),
        };
        let (place, size) =
            self.entries.get(name).ok_or_else(|| bad("it is not there".to_owned()))?;
        if *size > most {
            return Err(bad(format!("{size} bytes where at most {most} are read")));
        }
        let entry = self.zip.get_entry(*place).map_err(|e| bad(e.to_string()))?;
        let mut bytes = Vec::new();
        let mut reader = entry.verifying_reader(entry.reader());
        reader.by_ref().take(most).read_to_end(&mut bytes).map_err(|e| bad(e.to_string()))?;
        Ok(bytes)
    }

    /// The program.
    pub(crate) fn program(&mut self) -> Result<ExportedProgram, ImportError> {
        let folder = format!("{}models/", self.prefix);
        let mut names: Vec<String> = self
            .entries
            .keys()
            .filter(|name| name.starts_with(&folder) && name.ends_with(".json"))
            .cloned()
            .collect();
        names.sort();
        let [name] = &names[..] else {
            return Err(self.bad(format!("it has {} programs where one is read", names.len())));
        };
        let bytes = self.entry(name, MOST_JSON)?;
        program(&bytes).map_err(|problem| self.bad(problem))
    }

    /// Where elements are; empty for a program without weights.
    pub(crate) fn payloads(&mut self) -> Result<Payloads, ImportError> {
        let mut payloads = Payloads::new();
        let folders = [
            ("data/weights/", "_weights_config.json"),
            ("data/constants/", "_constants_config.json"),
        ];
        for (folder, ending) in folders {
            let start = format!("{}{folder}", self.prefix);
            let config = self
                .entries
                .keys()
                .find(|name| name.starts_with(&start) && name.ends_with(ending))
                .cloned();
            let Some(config) = config else { continue };
            let bytes = self.entry(&config, MOST_JSON)?;
            let config: PayloadConfig = serde_json::from_slice(&bytes)
                .map_err(|e| self.bad(format!("`{ending}` is not understood: {e}")))?;
            payloads.extend(config.config.into_iter().map(|(name, meta)| (name, (folder, meta))));
        }
        Ok(payloads)
    }

    /// How many names modules have, of those that have several, where the archive says it.
    pub(crate) fn module_names(&mut self) -> Result<Option<BTreeMap<String, u64>>, ImportError> {
        let name = format!("{}extra/module_names.json", self.prefix);
        if !self.entries.contains_key(&name) {
            return Ok(None);
        }
        let bytes = self.entry(&name, MOST_JSON)?;
        let names = serde_json::from_slice(&bytes);
        names.map(Some).map_err(|e| self.bad(format!("`{name}` is not understood: {e}")))
    }

    /// The bytes of a payload.
    pub(crate) fn payload(
        &mut self,
        folder: &str,
        name: &str,
        most: u64,
    ) -> Result<Vec<u8>, ImportError> {
        let name = format!("{}{folder}{name}", self.prefix);
        self.entry(&name, most)
    }
}

/// The program of a JSON text.
pub(crate) fn program(bytes: &[u8]) -> Result<ExportedProgram, String> {
    let mut program: ExportedProgram =
        serde_json::from_slice(bytes).map_err(|e| format!("the program is not understood: {e}"))?;
    let version = &program.schema_version;
    if version.major != MAJOR {
        return Err(format!(
            "it is of schema {}.{}, and {MAJOR} is read: export it with PyTorch 2.8 to 2.15",
            version.major, version.minor
        ));
    }
    inline(&mut program.graph_module.graph);
    Ok(program)
}
