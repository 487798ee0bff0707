//! Which files a model is read from.

use std::path::{Path, PathBuf};

use crate::checkpoint::{INDEX, SINGLE, shards_named};
use crate::config::{CONFIG, GENERATION};

/// The files that are read, where they are there, of a model that a path names: of a file itself, of a
/// folder its configurations, its weights and the index that names them. What an index names that is no
/// file of the folder is left out.
pub fn files_of(path: &Path) -> Vec<PathBuf> {
    if !path.is_dir() {
        return vec![path.to_owned()];
    }
    let mut files: Vec<PathBuf> =
        [CONFIG, GENERATION, SINGLE, INDEX].iter().map(|name| path.join(name)).collect();
    files.extend(shards_named(path));
    files
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_folder_has_the_files_that_it_is_read_from_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let index = r#"{"weight_map": {"a": "part-1.safetensors", "b": "../b.safetensors"}}"#;
        fs::write(folder.path().join(INDEX), index).unwrap();
        let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
        let names: Vec<String> = files_of(folder.path()).iter().map(name).collect();
        assert_eq!(names, [CONFIG, GENERATION, SINGLE, INDEX, "part-1.safetensors"]);
        let file = folder.path().join("mine.json");
        assert_eq!(files_of(&file), [file]);
        fs::write(folder.path().join(INDEX), "no index").unwrap();
        assert_eq!(files_of(folder.path()).len(), 4);
    }
}
