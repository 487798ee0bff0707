//! GGUF files of llama.cpp's writer: what they hold, to the byte, and the model that they are.

use std::path::PathBuf;

use opledger_account::Model;
use opledger_weights::Gguf;
use serde_json::Value;

fn folder() -> PathBuf {
    concat!(env!("CARGO_MANIFEST_DIR"), "/gguf").into()
}

fn files() -> serde_json::Map<String, Value> {
    let text = std::fs::read(folder().join("files.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

#[test]
fn headers_are_the_models_they_describe() {
    let mut models = 0;
    for (name, told) in files() {
        let path = folder().join(format!("{name}.gguf"));
        let Some(parameters) = told.get("parameters") else { continue };
        let model = Model::open(path.to_str().unwrap()).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(model.parameters().to_string(), parameters.to_string(), "{name}");
        assert_eq!(model.not_understood(), [""; 0], "{name}");
        let kinds = model.stored_weights();
        assert_eq!(kinds.len(), told["kinds"].as_object().unwrap().len(), "{name}");
        for kind in kinds {
            let of = &told["kinds"][kind.name];
            assert_eq!(kind.tensors.to_string(), of["tensors"].to_string(), "{name}");
            assert_eq!(kind.elements.to_string(), of["elements"].to_string(), "{name}");
            assert_eq!(kind.bytes.to_string(), of["bytes"].to_string(), "{name}");
        }
        let memory = model.at([("n", 5)]).unwrap().memory(model.storage()).unwrap();
        let cached = memory.cache_per_token.map(|bytes| bytes.to_string());
        let expected = told.get("cache_per_token").map(ToString::to_string);
        assert_eq!(cached, expected, "{name}");
        models += 1;
    }
    assert_eq!(models, 40);
}

#[test]
fn every_type_takes_the_bytes_that_the_writer_says() {
    let file = Gguf::open(&folder().join("types.gguf")).unwrap();
    let kinds = files()["types"]["kinds"].as_object().unwrap().clone();
    assert_eq!(file.tensors.len(), kinds.len());
    for (name, tensor) in &file.tensors {
        assert_eq!(tensor.kind.name(), name);
        assert_eq!(tensor.elements().to_string(), kinds[name]["elements"].to_string());
        assert_eq!(tensor.bytes().to_string(), kinds[name]["bytes"].to_string());
    }
}
