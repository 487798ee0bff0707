//! Files that results are written to.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::failure::Failure;
use crate::interrupt;

/// A file for results that stands under its name only when it is whole.
pub(crate) struct Destination {
    path: PathBuf,
    file: NamedTempFile,
}

impl Destination {
    /// Makes sure, before anything is computed, that the results can be written.
    pub(crate) fn new(path: &Path) -> Result<Self, Failure> {
        let fail = |problem: String| Failure::Write { path: path.to_owned(), problem };
        if path.is_dir() {
            return Err(fail("it is a folder".to_owned()));
        }
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        if !folder.is_dir() {
            return Err(fail(format!("there is no folder `{}`", folder.display())));
        }
        let mut builder = tempfile::Builder::new();
        builder.prefix(".opledger-").suffix(".unfinished");
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let file = interrupt::begin(|| builder.tempfile_in(folder), NamedTempFile::path)
            .map_err(|e| fail(e.kind().to_string()))?;
        Ok(Destination { path: path.to_owned(), file })
    }

    /// Has the results written and gives the file its name.
    pub(crate) fn write(
        self,
        contents: impl FnOnce(&File) -> Result<(), String>,
    ) -> Result<(), Failure> {
        let Destination { path, file } = self;
        let fail = |problem: String| Failure::Write { path: path.clone(), problem };
        contents(file.as_file()).map_err(fail)?;
        let unfinished = file.path().to_owned();
        file.as_file().sync_all().map_err(|e| fail(e.to_string()))?;
        interrupt::finish(&unfinished, || file.persist(&path))
            .map_err(|e| fail(e.error.to_string()))?;
        Ok(())
    }

    /// Writes a text and gives the file its name.
    pub(crate) fn write_text(self, text: &str) -> Result<(), Failure> {
        self.write(|mut file| file.write_all(text.as_bytes()).map_err(|e| e.to_string()))
    }
}
