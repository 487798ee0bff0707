//! Weights beside a configuration: those that are read, or what else lies there.

use std::fs;
use std::path::Path;

use crate::checkpoint::{Checkpoint, INDEX, SINGLE, unreadable};
use crate::error::WeightsError;

/// Ends of the names of files that hold weights in one library or another.
const ENDS: &[&str] = &[
    "safetensors",
    "bin",
    "pt",
    "pth",
    "ckpt",
    "gguf",
    "ggml",
    "h5",
    "msgpack",
    "onnx",
    "ot",
    "npz",
];

/// Beginnings of the names of files that end so and hold no weights of a model.
const OTHERS: &[&str] =
    &["training_args", "optimizer", "scheduler", "rng_state", "scaler", "tokenizer", "vocab"];

impl Checkpoint {
    /// The checkpoint in a folder, if there is one.
    ///
    /// # Errors
    /// As [`Checkpoint::open`], and when files in the folder look like weights under other names than
    /// those that are read.
    pub fn beside(folder: &Path) -> Result<Option<Checkpoint>, WeightsError> {
        if [SINGLE, INDEX].iter().any(|name| folder.join(name).exists()) {
            return Checkpoint::open(folder).map(Some);
        }
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).map_err(|e| unreadable(folder, e))? {
            let name = entry.map_err(|e| unreadable(folder, e))?.file_name();
            let name = name.to_string_lossy().into_owned();
            if is_weights(&name) || is_adapter(&name) {
                found.push(name);
            }
        }
        found.sort();
        if found.is_empty() {
            return Ok(None);
        }
        let mend = mend(&found);
        Err(WeightsError::OtherName { folder: folder.to_owned(), found, mend })
    }
}

fn is_weights(name: &str) -> bool {
    let end = name.rsplit_once('.').map(|(_, end)| end.to_ascii_lowercase());
    end.is_some_and(|end| ENDS.contains(&&*end))
        && !OTHERS.iter().any(|other| name.starts_with(other))
}

fn is_adapter(name: &str) -> bool {
    name.starts_with("adapter_")
}

/// How files under other names become a checkpoint.
fn mend(found: &[String]) -> &'static str {
    let shard = |name: &String| name.starts_with("model-") && name.ends_with(".safetensors");
    if found.iter().any(|name| is_adapter(name)) {
        "merge the adapter into the model that it is for, and save that"
    } else if found.iter().any(shard) {
        "put `model.safetensors.index.json` beside its shards"
    } else if found.iter().all(|name| name.ends_with(".safetensors")) {
        "call the file with the weights `model.safetensors`"
    } else {
        "convert them to safetensors, as `save_pretrained` of the transformers library writes"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beside(files: &[&str]) -> Result<bool, String> {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            fs::write(folder.path().join(file), "").unwrap();
        }
        Checkpoint::beside(folder.path()).map(|found| found.is_some()).map_err(|e| e.to_string())
    }

    #[test]
    fn weights_under_another_name_are_refused_with_how_to_mend_it() {
        let refused = [
            (&["pytorch_model.bin", "in.safetensors"][..], "convert them to safetensors"),
            (&["model-00001-of-00002.safetensors"], "put `model.safetensors.index.json` beside"),
            (&["adapter_config.json", "adapter_model.safetensors"], "merge the adapter"),
            (&["weights.safetensors"], "call the file"),
            (&["llama.Q4_K_M.gguf"], "convert them"),
        ];
        for (files, mend) in refused {
            let error = beside(files).unwrap_err();
            assert!(error.contains(mend) && error.contains(files[0]), "{error}");
        }
        let nothing = ["config.json", "tokenizer.json", "training_args.bin", "README.md"];
        assert_eq!(beside(&nothing), Ok(false));
    }
}
