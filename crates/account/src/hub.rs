//! Models in the cache that the libraries of Hugging Face keep on this machine. Nothing is fetched.
//!
//! A repository `org/name` is the folder `models--org--name`, with a folder for each commit below
//! `snapshots` and the commit of a branch in `refs`
//! (<https://huggingface.co/docs/huggingface_hub/guides/manage-cache>).

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use opledger_weights::{CONFIG, read_bounded};

/// The folder of the cache, by the variables that the libraries read.
pub(crate) fn cache() -> Option<PathBuf> {
    cache_of(|name| std::env::var_os(name).filter(|value| !value.is_empty()))
}

fn cache_of(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let named = ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"].into_iter().find_map(&variable);
    if let Some(cache) = named {
        return Some(cache.into());
    }
    let home = variable("HF_HOME").map(PathBuf::from).or_else(|| {
        let caches = variable("XDG_CACHE_HOME").map(PathBuf::from);
        let caches = caches.or_else(|| Some(PathBuf::from(variable("HOME")?).join(".cache")));
        Some(caches?.join("huggingface"))
    });
    Some(home?.join("hub"))
}

/// The folder of a model in a cache: of `org/name`, or of a plain name that one organisation alone has.
pub(crate) fn snapshot(cache: &Path, name: &str) -> Option<PathBuf> {
    let plain = |part: &str| !part.is_empty() && !part.contains(['/', '\\']) && part != "..";
    let repository = match name.split_once('/') {
        Some((organisation, name)) if plain(organisation) && plain(name) => {
            cache.join(format!("models--{organisation}--{name}"))
        }
        Some(_) => return None,
        None if plain(name) => {
            let end = format!("--{name}");
            let entries = fs::read_dir(cache).ok()?.filter_map(Result::ok);
            let of_name = |folder: &OsString| {
                folder
                    .to_str()
                    .is_some_and(|own| own.starts_with("models--") && own.ends_with(&end))
            };
            let mut found = entries.map(|entry| entry.file_name()).filter(of_name);
            let first = found.next()?;
            if found.next().is_some() {
                return None;
            }
            cache.join(first)
        }
        None => return None,
    };
    // The name of a commit has 40 letters.
    let commit = read_bounded(&repository.join("refs").join("main"), 256).ok()?;
    let commit = String::from_utf8(commit).ok()?;
    let commit = Some(commit.trim()).filter(|commit| plain(commit))?;
    let snapshot = repository.join("snapshots").join(commit);
    snapshot.join(CONFIG).exists().then_some(snapshot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_where_the_variables_say() {
        let of = |all: &[(&str, &str)]| {
            let value = |name: &str| all.iter().find(|(own, _)| *own == name);
            cache_of(|name| value(name).map(|(_, value)| value.into()))
        };
        let home = ("HOME", "/home/me");
        assert_eq!(of(&[home]), Some("/home/me/.cache/huggingface/hub".into()));
        assert_eq!(of(&[home, ("XDG_CACHE_HOME", "/c")]), Some("/c/huggingface/hub".into()));
        assert_eq!(of(&[home, ("HF_HOME", "/hf")]), Some("/hf/hub".into()));
        assert_eq!(of(&[("HF_HOME", "/hf"), ("HF_HUB_CACHE", "/hub")]), Some("/hub".into()));
        assert_eq!(of(&[]), None);
    }
}
