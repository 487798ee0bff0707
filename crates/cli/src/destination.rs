//! Files that results are written to.

use std::fs::{self, File, Metadata};
use std::io::Write;
use std::path::{Path, PathBuf};

use opledger_weights::files_of;
use tempfile::NamedTempFile;

use crate::failure::Failure;
use crate::interrupt;
use crate::text;

/// Where results go: a file that stands under its name only when it is whole, or what is no regular
/// file (a device, a pipe), which is written to and never replaced.
pub(crate) struct Destination {
    path: PathBuf,
    place: Place,
}

enum Place {
    File {
        /// The file behind all links.
        target: PathBuf,
        unfinished: NamedTempFile,
        /// What is there already.
        replaced: Option<Box<Metadata>>,
    },
    Stream(File),
}

/// Refuses two options that name one file.
pub(crate) fn distinct(options: [(&'static str, Option<&Path>); 2]) -> Result<(), Failure> {
    let [(first, Some(one)), (second, Some(other))] = options else { return Ok(()) };
    match (resolved(one), resolved(other)) {
        (Ok(left), Ok(right)) if left == right => {
            Err(Failure::SameFile { first, second, path: other.to_owned() })
        }
        _ => Ok(()),
    }
}

/// Refuses a result that would take the place of a file that the model is read from, or become one: its
/// configurations, the files of its tokenizer, its weights.
pub(crate) fn spares(model: &Path, output: Option<&Path>) -> Result<(), Failure> {
    let Some(output) = output else { return Ok(()) };
    let Ok(target) = resolved(output) else { return Ok(()) };
    let mut files = files_of(model);
    files.extend(text::FILES.iter().map(|name| model.join(name)));
    match files.iter().any(|file| resolved(file).is_ok_and(|file| file == target)) {
        true => Err(Failure::OwnFile { path: output.to_owned() }),
        false => Ok(()),
    }
}

impl Destination {
    /// Makes sure, before anything is computed, that the results can be written.
    pub(crate) fn new(path: &Path) -> Result<Self, Failure> {
        let place = Place::new(path);
        let fail = |problem: String| Failure::Write { path: path.to_owned(), problem };
        Ok(Destination { path: path.to_owned(), place: place.map_err(fail)? })
    }

    /// Has the results written and gives the file its name.
    pub(crate) fn write(
        self,
        contents: impl FnOnce(&File) -> Result<(), String>,
    ) -> Result<(), Failure> {
        let Destination { path, place } = self;
        let written = match place {
            Place::Stream(file) => contents(&file),
            Place::File { target, unfinished, replaced } => {
                contents(unfinished.as_file()).and_then(|()| keep(unfinished, &target, replaced))
            }
        };
        written.map_err(|problem| Failure::Write { path, problem })
    }

    /// Writes a text and gives the file its name.
    pub(crate) fn write_text(self, text: &str) -> Result<(), Failure> {
        self.write(|mut file| file.write_all(text.as_bytes()).map_err(|e| e.to_string()))
    }
}

impl Place {
    fn new(path: &Path) -> Result<Place, String> {
        let replaced = fs::metadata(path).ok();
        if replaced.as_ref().is_some_and(Metadata::is_dir) {
            return Err("it is a folder".to_owned());
        }
        if replaced.as_ref().is_some_and(|there| !there.is_file()) {
            return stream(path).map(Place::Stream);
        }
        if replaced.as_ref().is_some_and(is_stdout) {
            return Err("the report goes there; name another file".to_owned());
        }
        if replaced.is_none() && fs::symlink_metadata(path).is_ok() {
            return Err("it is a link to what is not there".to_owned());
        }
        let target = resolved(path)?;
        let folder = target.parent().unwrap_or(Path::new("/"));
        let mut builder = tempfile::Builder::new();
        builder.prefix(".opledger-").suffix(".unfinished");
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let unfinished = interrupt::begin(|| builder.tempfile_in(folder), NamedTempFile::path)
            .map_err(|e| e.kind().to_string())?;
        Ok(Place::File { target, unfinished, replaced: replaced.map(Box::new) })
    }
}

/// The path of a file, there or not, behind all links.
fn resolved(path: &Path) -> Result<PathBuf, String> {
    if let Ok(target) = fs::canonicalize(path) {
        return Ok(target);
    }
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let there = fs::canonicalize(folder).ok().filter(|folder| folder.is_dir());
    match (there, path.file_name()) {
        (Some(folder), Some(name)) => Ok(folder.join(name)),
        _ => Err(format!("there is no folder `{}`", folder.display())),
    }
}

/// Gives a finished file its name.
fn keep(
    unfinished: NamedTempFile,
    target: &Path,
    replaced: Option<Box<Metadata>>,
) -> Result<(), String> {
    let (file, path) = (unfinished.as_file(), unfinished.path().to_owned());
    if let Some(replaced) = replaced {
        succeed(file, &replaced)?;
    }
    file.sync_all().map_err(|e| e.to_string())?;
    interrupt::finish(&path, || unfinished.persist(target)).map_err(|e| e.error.to_string())?;
    Ok(())
}

/// Gives a file the owner and the permissions of the one that it takes the place of.
#[cfg(unix)]
fn succeed(file: &File, replaced: &Metadata) -> Result<(), String> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
    // Only a privileged process gives files away; else the results stay the caller's own.
    let _ = fchown(file, Some(replaced.uid()), Some(replaced.gid()));
    let permissions = fs::Permissions::from_mode(replaced.mode() & 0o777);
    file.set_permissions(permissions).map_err(|e| e.to_string())
}

#[cfg(not(unix))]
fn succeed(_: &File, _: &Metadata) -> Result<(), String> {
    Ok(())
}

/// Opens what is no regular file. A pipe without a reader would keep this waiting, and is refused.
#[cfg(unix)]
fn stream(path: &Path) -> Result<File, String> {
    use rustix::fs::{Mode, OFlags, fcntl_setfl, open};
    let told = |e: rustix::io::Errno| match e {
        rustix::io::Errno::NXIO => "nobody reads from it".to_owned(),
        e => std::io::Error::from(e).to_string(),
    };
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = open(path, flags, Mode::empty()).map_err(told)?;
    // Writes wait for the reader.
    fcntl_setfl(&file, OFlags::empty()).map_err(told)?;
    Ok(file.into())
}

#[cfg(not(unix))]
fn stream(path: &Path) -> Result<File, String> {
    fs::OpenOptions::new().write(true).open(path).map_err(|e| e.to_string())
}

/// Whether a file is the one that stdout goes to.
#[cfg(unix)]
fn is_stdout(file: &Metadata) -> bool {
    use std::os::fd::AsFd;
    use std::os::unix::fs::MetadataExt;
    let stdout = std::io::stdout().as_fd().try_clone_to_owned().map(File::from);
    let stdout = stdout.and_then(|stdout| stdout.metadata());
    stdout.is_ok_and(|there| (there.dev(), there.ino()) == (file.dev(), file.ino()))
}

#[cfg(not(unix))]
fn is_stdout(_: &Metadata) -> bool {
    false
}
