//! Folders as they are published: with parts of other models, without a pooler, in the cache of Hugging
//! Face.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use safetensors::tensor::{SafeTensors, TensorView};
use serde_json::json;

use super::checkpoints::{change, copied};
use super::models::golden;
use super::{command, ended, opledger};

/// Rewrites the weights of a folder with some tensors added, as copies of others, and some left out.
fn rewritten(folder: &Path, added: &[(&str, &str)], without: &[&str]) {
    let path = folder.join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let mut all: BTreeMap<&str, TensorView<'_>> = tensors.iter().collect();
    for (name, of) in added {
        all.insert(name, tensors.tensor(of).unwrap());
    }
    all.retain(|name, _| !without.contains(name));
    fs::write(path, safetensors::serialize(all, None).unwrap()).unwrap();
}

/// The notes of a run on tokens that are drawn, and its results.
#[track_caller]
fn run(folder: &Path) -> (String, BTreeMap<String, Vec<u8>>) {
    let output = folder.join("out.safetensors");
    let [model, output] = [folder, &output].map(|path| path.to_str().unwrap());
    let ended = opledger(&["run", model, "--set", "b=2", "--set", "n=5", "--output", output]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let notes = ended.stdout.split_once("note: ").map_or("", |(_, notes)| notes);
    let bytes = fs::read(output).unwrap();
    let results = SafeTensors::deserialize(&bytes).unwrap();
    let results = results.iter().map(|(name, view)| (name.to_owned(), view.data().to_vec()));
    (notes.split_whitespace().collect::<Vec<_>>().join(" "), results.collect())
}

#[test]
fn what_belongs_to_other_heads_is_left_aside() {
    let (_, whole) = run(copied("bert_pretraining", &[]).path());
    // The file of both heads, for a model with one of them, as bert-base-uncased is published.
    let folder = copied("bert_pretraining", &[]);
    change(&folder.path().join("config.json"), json!({ "architectures": ["BertForMaskedLM"] }));
    let (notes, words) = run(folder.path());
    assert_eq!(words["logits"], whole["prediction_logits"]);
    let told = "left aside, of parts that the model does not have: `bert.pooler.dense.bias`, \
                `bert.pooler.dense.weight`, `cls.seq_relationship.bias` and 1 more";
    assert_eq!(notes, told);
    change(&folder.path().join("config.json"), json!({ "architectures": ["BertModel"] }));
    let (notes, _) = run(folder.path());
    assert!(notes.contains("`cls.predictions.bias`"), "{notes}");

    // Within the model's own parts nothing is passed over: it may change what is computed.
    let map = "encoder.layer.0.attention.self.query";
    let of = "encoder.layer.0.output.LayerNorm.bias";
    for extra in [&*format!("{map}.lora_A.weight"), "encoder.layer.7.output.LayerNorm.bias"] {
        let folder = copied("bert_base", &[]);
        rewritten(folder.path(), &[(extra, of)], &[]);
        let refused = opledger(&["run", folder.path().to_str().unwrap(), "--set", "n=3"]);
        assert_eq!(refused.code, Some(2));
        assert!(refused.stderr.contains(extra), "{}", refused.stderr);
    }
}

#[test]
fn without_a_pooler_in_the_files_there_is_none_in_the_model() {
    let (_, whole) = run(copied("bert_base", &[]).path());
    assert_eq!(whole.len(), 2);
    let folder = copied("bert_base", &[]);
    rewritten(folder.path(), &[], &["pooler.dense.weight", "pooler.dense.bias"]);
    let (notes, results) = run(folder.path());
    assert_eq!(results.len(), 1);
    assert_eq!(results["last_hidden_state"], whole["last_hidden_state"]);
    assert!(notes.contains("the model is read without its `pooler_output`"), "{notes}");
}

#[test]
fn tensors_that_an_index_does_not_name_are_left_aside() {
    let folder = copied("gpt2_lm", &[]);
    let names: Vec<String> = {
        let bytes = fs::read(folder.path().join("model.safetensors")).unwrap();
        SafeTensors::deserialize(&bytes).unwrap().names().into_iter().map(str::to_owned).collect()
    };
    let (_, whole) = run(folder.path());
    rewritten(folder.path(), &[("extra.weight", &names[0])], &[]);
    let shard = "model-00001-of-00001.safetensors";
    fs::rename(folder.path().join("model.safetensors"), folder.path().join(shard)).unwrap();
    let map: BTreeMap<&String, &str> = names.iter().map(|name| (name, shard)).collect();
    change(&folder.path().join("model.safetensors.index.json"), json!({ "weight_map": map }));
    let (notes, results) = run(folder.path());
    assert_eq!(results, whole);
    assert!(notes.contains("`extra.weight`"), "{notes}");
}

#[test]
fn a_name_is_looked_for_in_the_cache_of_hugging_face() {
    let cache = tempfile::tempdir().unwrap();
    let repository = |name: &str, model: &str| {
        let folder = cache.path().join(name);
        let snapshot = folder.join("snapshots").join("0123abc");
        fs::create_dir_all(&snapshot).unwrap();
        fs::create_dir(folder.join("refs")).unwrap();
        fs::write(folder.join("refs").join("main"), "0123abc\n").unwrap();
        fs::copy(golden(&format!("{model}/config.json")), snapshot.join("config.json")).unwrap();
    };
    repository("models--acme--tiny", "gpt2_lm");
    repository("models--acme--twice", "gpt2_lm");
    repository("models--other--twice", "gpt2_lm");
    repository("models--meta-llama--Llama-3.1-8B", "llama_bias");
    let count = |model: &str| {
        let mut command = command(&["count", model, "--set", "n=2", "--format", "json"]);
        ended({
            command.env("HF_HUB_CACHE", cache.path());
            command
        })
    };
    let params = |model: &str| {
        let counted = count(model);
        assert_eq!(counted.code, Some(0), "{}", counted.stderr);
        let value: serde_json::Value = serde_json::from_str(&counted.stdout).unwrap();
        value["params"]["total"].to_string()
    };
    assert_eq!(params("acme/tiny"), params(&golden("gpt2_lm")));
    assert_eq!(params("tiny"), params("acme/tiny"));
    // What is published under that name is on this machine; the preset has a name of its own.
    assert_eq!(params("meta-llama/Llama-3.1-8B"), params(&golden("llama_bias")));
    assert_eq!(params("Llama-3.1-8B"), params("meta-llama/Llama-3.1-8B"));
    assert_eq!(params("llama-3.1-8b"), "8030261248");
    assert_eq!(params("meta-llama/Llama-3.2-1B"), params("llama-3.2-1b"));
    #[cfg(unix)]
    {
        let endless = cache.path().join("models--acme--endless").join("refs");
        fs::create_dir_all(&endless).unwrap();
        std::os::unix::fs::symlink("/dev/zero", endless.join("main")).unwrap();
        assert_eq!(count("acme/endless").code, Some(2));
    }
    for unknown in ["twice", "acme/none", "../tiny", "acme/../tiny", "models--acme--tiny"] {
        let counted = count(unknown);
        assert_eq!(counted.code, Some(2), "{unknown}");
        let three = counted.stderr.contains("published model")
            && counted.stderr.contains("no file or folder")
            && counted.stderr.contains(&*cache.path().to_string_lossy());
        assert!(three, "{}", counted.stderr);
    }
}
